// Measures of run lists, and boolean operations on them, without making a mask.
#pragma once

#include <cstdint>

#include "rle/buffer.hpp"
#include "rle/run.hpp"

namespace cloudrle {

// Half-open: rows top .. bottom - 1, columns left .. right - 1.
struct Box {
    std::int64_t top;
    std::int64_t left;
    std::int64_t bottom;
    std::int64_t right;
};

struct Point {
    double y;
    double x;
};

std::int64_t area(const Run* runs, std::int64_t count) noexcept;

// The smallest box round at least one run.
Box bounding_box(const Run* runs, std::int64_t count, std::int64_t height) noexcept;

// The mean of the pixels' rows and columns, of at least one run.
Point centroid(RunView mask, std::int64_t height) noexcept;

// How many pixels lie in both lists.
std::int64_t intersection(const Run* a, std::int64_t a_count, const Run* b, std::int64_t b_count) noexcept;

enum class Operation { both, either, one, first_alone };  // & | ^ -

// All of these append to empty boundaries.
void combine(RunView a, RunView b, Operation operation, Boundaries& boundaries);
void combine_all(const RunView* masks, std::int64_t count, Operation operation, Boundaries& boundaries);  // one or more
void complement(RunView mask, std::int64_t size, Boundaries& boundaries);

inline RunView view(const Boundaries& boundaries) noexcept {
    return {reinterpret_cast<const Run*>(boundaries.data()), boundaries.size() / 2};
}

}  // namespace cloudrle
