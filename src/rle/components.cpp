#include "rle/components.hpp"

#include <algorithm>
#include <cstddef>
#include <new>

namespace cloudrle {
namespace {

// The bottom of the column that a pixel lies in, given that of a column before it; mostly the next column's.
std::int64_t bottom_of_column(std::int64_t pixel, std::int64_t before, std::int64_t height) noexcept {
    return pixel < before + height ? before + height : (pixel / height + 1) * height;
}

// An upper bound, and cheap: few runs are longer than a column, and only those cost a division.
std::size_t most_pieces(const Run* runs, std::int64_t count, std::int64_t height) noexcept {
    std::size_t most = 2 * static_cast<std::size_t>(count);
    for (std::int64_t i = 0; i < count; ++i) {
        const std::int64_t length = runs[i].end - runs[i].start;
        if (length > height) most += static_cast<std::size_t>(length / height);
    }
    return most;
}

// A run goes on from the bottom of a column to the top of the next, where nothing connects the two.
std::vector<Run> cut_at_seams(const Run* runs, std::int64_t count, std::int64_t height) {
    std::vector<Run> pieces;
    // Room at once, so that a mask with too many columns for memory is refused before it has filled the memory.
    const std::size_t most = most_pieces(runs, count, height);
    if (most > pieces.max_size()) throw std::bad_alloc();
    pieces.reserve(most);
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

std::vector<Boundaries> split_components(const Run* runs, std::int64_t count, std::int64_t height) {
    const Components found = label_components(runs, count, height);
    std::vector<Boundaries> components;
    std::vector<std::size_t> number(found.pieces.size());  // by label
    for (std::size_t i = 0; i < found.pieces.size(); ++i) {
        const auto label = static_cast<std::size_t>(found.labels[i]);
        if (label == i) {
            number[label] = components.size();
            components.emplace_back();
        }
        Boundaries& component = components[number[label]];
        const auto [start, end] = found.pieces[i];
        std::int64_t* const next = component.room(2);
        if (component.size() > 0 && next[-1] == start) {  // cut at the seam before
            next[-1] = end;
        } else {
            next[0] = start;
            next[1] = end;
            component.add(2);
        }
    }
    return components;
}

}  // namespace cloudrle
