// Pixels put elsewhere: cropping, padding, shifting and mirroring run lists, without making a mask.
#pragma once

#include <cstdint>

#include "rle/algebra.hpp"
#include "rle/buffer.hpp"
#include "rle/run.hpp"

namespace cloudrle {

// Copies the part of a mask that lies in a window onto an empty mask of shape `to`, where the window's first pixel
// comes to lie in row `top` and column `left`. The window lies in the mask, and its copy in `to`.
void place(RunView mask, std::int64_t height, Box window, Shape to, std::int64_t top, std::int64_t left,
           Boundaries& boundaries);

void flip_rows(RunView mask, Shape shape, Boundaries& boundaries);     // top to bottom
void flip_columns(RunView mask, Shape shape, Boundaries& boundaries);  // left to right

}  // namespace cloudrle
