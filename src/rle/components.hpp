// Connected components of run lists, without making a mask. Pixels that share an edge or a corner are connected.
#pragma once

#include <cstdint>
#include <vector>

#include "rle/buffer.hpp"
#include "rle/run.hpp"

namespace cloudrle {

struct Components {
    std::vector<Run> pieces;           // the runs, cut where a column ends
    std::vector<std::int64_t> labels;  // of each piece: the index of its component's first piece
    std::vector<std::int64_t> areas;   // of each label's component; 0 where an index is no label
};

Components label_components(const Run* runs, std::int64_t count, std::int64_t height);

// The runs of each component, in the order of their first pixels.
std::vector<Boundaries> split_components(const Run* runs, std::int64_t count, std::int64_t height);

// Takes the components that have fewer than `min_area` pixels out of a run list, given as its boundaries.
void drop_small(std::vector<std::int64_t>& boundaries, std::int64_t height, std::int64_t min_area);

}  // namespace cloudrle
