// Measures of run lists, without making a mask.
#pragma once

#include <cstdint>

#include "rle/run.hpp"

namespace cloudrle {

// Half-open: rows top .. bottom - 1, columns left .. right - 1.
struct Box {
    std::int64_t top;
    std::int64_t left;
    std::int64_t bottom;
    std::int64_t right;
};

std::int64_t area(const Run* runs, std::int64_t count) noexcept;

// The smallest box round at least one run.
Box bounding_box(const Run* runs, std::int64_t count, std::int64_t height) noexcept;

// How many pixels lie in both lists.
std::int64_t intersection(const Run* a, std::int64_t a_count, const Run* b, std::int64_t b_count) noexcept;

}  // namespace cloudrle
