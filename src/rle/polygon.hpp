// Polygons to runs, by COCO's rule.
#pragma once

#include <cstdint>

#include "rle/buffer.hpp"
#include "rle/run.hpp"

namespace cloudrle {

// No coordinate may be larger: from here on a double has no digits left for the fifths of a pixel that the rule wants.
constexpr double kMostCoordinate = 562949953421312;  // 2 ** 49

// The runs of a polygon, given as x and y of each vertex: what COCO's rleFrPoly gives, without its limit of 32 bits.
void fill_polygon(const double* vertices, std::int64_t count, Shape shape, Boundaries& boundaries);

}  // namespace cloudrle
