// Kaggle text <-> runs: "start length start length ...", starts counted from 1, empty text for an empty mask.
#pragma once

#include <cstdint>

#include "rle/run.hpp"

namespace cloudrle {

// How many numbers a text holds; half of it (rounded up) is room enough for parse_text's runs.
std::int64_t count_numbers(const char* text, std::int64_t length) noexcept;

// Strict: any breach of the format is an error. Touching runs are merged.
Result parse_text(const char* text, std::int64_t length, Shape shape, Run* runs) noexcept;

// Exact length of the text that write_text writes.
std::int64_t text_length(const Run* runs, std::int64_t count) noexcept;
void write_text(const Run* runs, std::int64_t count, char* text) noexcept;

}  // namespace cloudrle
