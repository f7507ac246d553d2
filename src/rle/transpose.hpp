// Runs down the columns <-> runs along the rows, without a mask between them.
#pragma once

#include "rle/buffer.hpp"
#include "rle/run.hpp"

namespace cloudrle {

// Appends the boundaries of the transposed mask; `shape` is that of the mask which the runs go down. Runs along the
// rows of a mask are runs down the columns of its transpose, so this leads both ways.
//
// Takes time and memory for the runs in and out, and for no column or row that none of them begins or ends in.
void transpose(const Run* runs, std::int64_t count, Shape shape, Boundaries& transposed);

}  // namespace cloudrle
