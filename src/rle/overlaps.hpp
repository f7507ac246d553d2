// How much each mask of one list overlaps each of another.
#pragma once

#include <cstdint>
#include <vector>

#include "rle/run.hpp"

namespace cloudrle {

enum class Overlap { iou, dice, coverage };  // coverage: what part of the first mask lies in the second

// Writes a matrix in C order, with a row for each mask of `a` and a column for each of `b`, all of one height; each
// column has its own kind of overlap. Where both masks are empty, 0 / 0, the entry is `both_empty`.
void overlap_matrix(const std::vector<RunView>& a, const std::vector<RunView>& b, std::int64_t height,
                    const std::vector<Overlap>& overlaps, double both_empty, std::int64_t threads, double* matrix);

// The same of boxes, x, y, width and height, in Fortran order, and as COCO computes it, to the last bit: coverage where
// `crowd` holds, else IoU.
void coco_box_overlaps(const double* a, std::int64_t a_count, const double* b, std::int64_t b_count, const bool* crowd,
                       double* matrix);

}  // namespace cloudrle
