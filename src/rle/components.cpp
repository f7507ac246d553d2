#include "rle/components.hpp"

#include <algorithm>
#include <cstddef>

#include "rle/algebra.hpp"
#include "rle/pieces.hpp"

namespace cloudrle {
namespace {

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

// Joins each piece with those of the column to its left that reach from the row above it to the row below it; the rows
// above and below don't count where `shared`, the rows that two pieces must share, is 1 and not 0.
void unite_columns(const std::vector<Run>& pieces, std::int64_t height, std::int64_t shared, Forest forest) {
    const Run* const piece = pieces.data();
    std::int64_t edge = 0;      // the number behind the last column so far
    std::int64_t previous = 0;  // its first piece
    for_each_column(
        pieces, height, [&](std::size_t first, std::size_t last, std::int64_t top, std::int64_t bottom) noexcept {
            const auto begin = static_cast<std::int64_t>(first);
            const auto end = static_cast<std::int64_t>(last);
            std::int64_t next = top == edge ? previous : begin;  // the first piece to the left that may still touch one
            for (std::int64_t i = begin; i < end; ++i) {
                while (next < begin && piece[next].end + height < piece[i].start + shared) ++next;
                std::int64_t label = i;
                for (std::int64_t k = next; k < begin && piece[k].start + height + shared <= piece[i].end; ++k) {
                    const std::int64_t root = forest.root(k);
                    label = label == i ? root : forest.unite(label, root);
                }
                forest.plant(i, label);
            }
            edge = bottom;
            previous = begin;
        });
}

// Appends the pieces of the components of which keep(label) holds.
template <class Keep>
void keep_components(const Components& found, const Keep& keep, Boundaries& boundaries) {
    for (std::size_t i = 0; i < found.pieces.size(); ++i) {
        if (keep(static_cast<std::size_t>(found.labels[i]))) {
            join(boundaries, found.pieces[i].start, found.pieces[i].end);
        }
    }
}

}  // namespace

Components label_components(RunView mask, std::int64_t height, Connectivity connectivity) {
    Components found{cut_at_seams(mask, height), {}, {}};
    const auto& pieces = found.pieces;
    auto& labels = found.labels;
    labels.resize(pieces.size());
    unite_columns(pieces, height, connectivity == Connectivity::edges, Forest(labels.data()));
    found.areas.resize(pieces.size());
    for (std::size_t i = 0; i < pieces.size(); ++i) {
        labels[i] = labels[static_cast<std::size_t>(labels[i])];  // a parent comes first, so it knows its root by now
        found.areas[static_cast<std::size_t>(labels[i])] += pieces[i].end - pieces[i].start;
    }
    return found;
}

std::vector<Boundaries> split_components(RunView mask, std::int64_t height, Connectivity connectivity) {
    const Components found = label_components(mask, height, connectivity);
    std::vector<Boundaries> components;
    std::vector<std::size_t> number(found.pieces.size());  // by label
    for (std::size_t i = 0; i < found.pieces.size(); ++i) {
        const auto label = static_cast<std::size_t>(found.labels[i]);
        if (label == i) {
            number[label] = components.size();
            components.emplace_back();
        }
        join(components[number[label]], found.pieces[i].start, found.pieces[i].end);
    }
    return components;
}

void remove_small(RunView mask, std::int64_t height, std::int64_t min_area, Boundaries& boundaries) {
    const Components found = label_components(mask, height, Connectivity::edges_and_corners);
    keep_components(found, [&](std::size_t label) { return found.areas[label] >= min_area; }, boundaries);
}

void fill_holes(RunView mask, Shape shape, std::int64_t max_area, Boundaries& boundaries) {
    Boundaries background;
    complement(mask, shape.size(), background);
    const Components found = label_components(view(background), shape.height, Connectivity::edges);
    std::vector<bool> outside(found.pieces.size());  // by label
    for_each_column(found.pieces, shape.height,
                    [&](std::size_t first, std::size_t last, std::int64_t top, std::int64_t bottom) {
                        const bool border = top == 0 || bottom == shape.size();
                        for (std::size_t i = first; i < last; ++i) {
                            if (border || found.pieces[i].start == top || found.pieces[i].end == bottom) {
                                outside[static_cast<std::size_t>(found.labels[i])] = true;
                            }
                        }
                    });
    Boundaries kept;
    keep_components(found, [&](std::size_t label) { return outside[label] || found.areas[label] > max_area; }, kept);
    complement(view(kept), shape.size(), boundaries);
}

}  // namespace cloudrle
