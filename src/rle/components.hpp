// Connected components of run lists, without making a mask.
#pragma once

#include <cstdint>
#include <vector>

#include "rle/buffer.hpp"
#include "rle/run.hpp"

namespace cloudrle {

enum class Connectivity { edges, edges_and_corners };  // what two pixels that are connected share

struct Components {
    std::vector<Run> pieces;           // the runs, cut at the seams between columns
    std::vector<std::int64_t> labels;  // of each piece: the index of its component's first piece
    std::vector<std::int64_t> areas;   // of each label's component; 0 where an index is no label
};

Components label_components(RunView mask, std::int64_t height, Connectivity connectivity);

// The runs of each component, in the order of their first pixels.
std::vector<Boundaries> split_components(RunView mask, std::int64_t height, Connectivity connectivity);

// Leaves out the components, connected by edges and corners, that have fewer than `min_area` pixels.
void remove_small(RunView mask, std::int64_t height, std::int64_t min_area, Boundaries& boundaries);

// Adds the holes of at most `max_area` pixels: background, connected by edges, that no border of the mask touches.
void fill_holes(RunView mask, Shape shape, std::int64_t max_area, Boundaries& boundaries);

}  // namespace cloudrle
