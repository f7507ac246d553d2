// CVAT's masks <-> runs along the rows: counts of a box, and the box.
#pragma once

#include <cstdint>

#include "rle/buffer.hpp"
#include "rle/run.hpp"

namespace cloudrle {

// Numbers: lengths of background and foreground in turn along the rows of the box, then its left, top, right and
// bottom, all inside the box. Appends boundaries.
Result parse_cvat(const std::int64_t* numbers, std::int64_t length, Shape shape, Boundaries& rows);

// Appends the numbers that CVAT's own SDK writes: the box is the smallest, or the first pixel for an empty mask.
Result write_cvat(const Run* rows, std::int64_t count, Shape shape, Buffer<std::int64_t>& numbers);

}  // namespace cloudrle
