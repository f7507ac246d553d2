#include "rle/components.hpp"

#include <algorithm>
#include <cstddef>

namespace cloudrle {
namespace {

// The bottom of the column that a pixel lies in, given that of a column before it; mostly the next column's.
std::int64_t bottom_of_column(std::int64_t pixel, std::int64_t before, std::int64_t height) noexcept {
    return pixel < before + height ? before + height : (pixel / height + 1) * height;
}

// A run goes on from the bottom of a column to the top of the next, where nothing connects the two.
std::vector<Run> cut_at_seams(const Run* runs, std::int64_t count, std::int64_t height) {
    std::vector<Run> pieces;
    pieces.reserve(static_cast<std::size_t>(count));
    std::int64_t seam = 0;
    for (std::int64_t i = 0; i < count; ++i) {
        auto [start, end] = runs[i];
        if (start >= seam) seam = bottom_of_column(start, seam, height);
        for (; end > seam; start = seam, seam += height) pieces.push_back({start, seam});
        pieces.push_back({start, end});
    }
    return pieces;
}

// A forest: the root of a tree is its lowest index, and its own parent.
class Forest {
  public:
    explicit Forest(std::int64_t* parents) noexcept : parents_(parents) {}

    std::int64_t root(std::int64_t i) noexcept {
        for (; parents_[i] != i; i = parents_[i]) parents_[i] = parents_[parents_[i]];
        return i;
    }

    // Joins the trees of two roots, and returns the root of both.
    std::int64_t unite(std::int64_t a, std::int64_t b) noexcept {
        const auto [low, high] = std::minmax(a, b);
        parents_[high] = low;
        return low;
    }

    void plant(std::int64_t i, std::int64_t parent) noexcept { parents_[i] = parent; }

  private:
    std::int64_t* parents_;
};

// Joins each piece with those of the column to its left that reach from the row above it to the row below it.
void unite_columns(const std::vector<Run>& pieces, std::int64_t height, Forest forest) noexcept {
    const Run* const piece = pieces.data();
    const auto count = static_cast<std::int64_t>(pieces.size());
    std::int64_t bottom = 0;        // of the column
    std::int64_t begin = 0;         // its first piece
    std::int64_t next = 0;          // the first piece to its left that may still touch one of its own
    std::int64_t previous_end = 0;  // past the last of them
    for (std::int64_t i = 0; i < count; ++i) {
        const auto [start, end] = piece[i];
        if (start >= bottom) {
            const std::int64_t new_bottom = bottom_of_column(start, bottom, height);
            next = new_bottom == bottom + height ? begin : i;
            previous_end = begin = i;
            bottom = new_bottom;
        }
        while (next < previous_end && piece[next].end + height < start) ++next;
        std::int64_t label = i;
        for (std::int64_t k = next; k < previous_end && piece[k].start + height <= end; ++k) {
            const std::int64_t root = forest.root(k);
            label = label == i ? root : forest.unite(label, root);
        }
        forest.plant(i, label);
    }
}

}  // namespace

Components label_components(const Run* runs, std::int64_t count, std::int64_t height) {
    Components found{cut_at_seams(runs, count, height), {}, {}};
    const auto& pieces = found.pieces;
    auto& labels = found.labels;
    labels.resize(pieces.size());
    unite_columns(pieces, height, Forest(labels.data()));
    found.areas.resize(pieces.size());
    for (std::size_t i = 0; i < pieces.size(); ++i) {
        labels[i] = labels[static_cast<std::size_t>(labels[i])];  // a parent comes first, so it knows its root by now
        found.areas[static_cast<std::size_t>(labels[i])] += pieces[i].end - pieces[i].start;
    }
    return found;
}

void drop_small(std::vector<std::int64_t>& boundaries, std::int64_t height, std::int64_t min_area) {
    const auto count = static_cast<std::int64_t>(boundaries.size() / 2);
    const Components found = label_components(reinterpret_cast<const Run*>(boundaries.data()), count, height);
    boundaries.clear();
    for (std::size_t i = 0; i < found.pieces.size(); ++i) {
        if (found.areas[static_cast<std::size_t>(found.labels[i])] < min_area) continue;
        const auto [start, end] = found.pieces[i];
        if (!boundaries.empty() && boundaries.back() == start) {
            boundaries.back() = end;
        } else {
            boundaries.push_back(start);
            boundaries.push_back(end);
        }
    }
}

}  // namespace cloudrle
