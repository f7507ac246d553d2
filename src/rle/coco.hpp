// COCO counts <-> runs: lengths of background and foreground in turn, background first, and their string form.
#pragma once

#include <cstdint>

#include "rle/run.hpp"

namespace cloudrle {

// How many counts a run list has: an empty mask is {size}, a full one {0, size}, and the last count is never 0.
std::int64_t counts_length(const Run* runs, std::int64_t count, std::int64_t size) noexcept;
void write_counts(const Run* runs, std::int64_t count, std::int64_t size, std::int64_t* counts) noexcept;

// Counts of 0 are legal anywhere and join their neighbours. `runs` needs room for half the counts.
Result parse_counts(const std::int64_t* counts, std::int64_t length, Shape shape, Run* runs) noexcept;

// Room enough for the string that write_coco writes, and returns the length of.
std::int64_t coco_room(std::int64_t count, std::int64_t size) noexcept;
std::int64_t write_coco(const Run* runs, std::int64_t count, std::int64_t size, char* text) noexcept;

// How many numbers a string holds; half of it is room enough for parse_coco's runs.
std::int64_t count_coco_numbers(const char* text, std::int64_t length) noexcept;
Result parse_coco(const char* text, std::int64_t length, Shape shape, Run* runs) noexcept;

}  // namespace cloudrle
