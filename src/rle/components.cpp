#include "rle/components.hpp"

#include <algorithm>
#include <cstddef>
#include <new>
#include <numeric>

namespace cloudrle {
namespace {

// A run goes on from the bottom of a column to the top of the next, where nothing connects the two.
std::vector<Run> cut_at_seams(const Run* runs, std::int64_t count, std::int64_t height) {
    std::int64_t total = 0;
    for (std::int64_t i = 0; i < count; ++i) total += (runs[i].end - 1) / height - runs[i].start / height + 1;
    std::vector<Run> pieces;
    // At once, so that a mask with too many columns for memory is refused before it has filled the memory.
    if (static_cast<std::size_t>(total) > pieces.max_size()) throw std::bad_alloc();
    pieces.reserve(static_cast<std::size_t>(total));
    std::int64_t seam = 0;
    for (std::int64_t i = 0; i < count; ++i) {
        auto [start, end] = runs[i];
        if (start >= seam) seam = (start / height + 1) * height;
        for (; end > seam; start = seam, seam += height) pieces.push_back({start, seam});
        pieces.push_back({start, end});
    }
    return pieces;
}

// The root of a tree is its lowest index, and its own parent.
std::int64_t root(std::vector<std::int64_t>& parents, std::int64_t i) noexcept {
    const auto parent = [&](std::int64_t k) -> std::int64_t& { return parents[static_cast<std::size_t>(k)]; };
    for (; parent(i) != i; i = parent(i)) parent(i) = parent(parent(i));
    return i;
}

void unite(std::vector<std::int64_t>& parents, std::int64_t a, std::int64_t b) noexcept {
    a = root(parents, a);
    b = root(parents, b);
    parents[static_cast<std::size_t>(std::max(a, b))] = std::min(a, b);
}

// Joins each piece with those of the column to its left that reach from the row above it to the row below it.
void unite_columns(const std::vector<Run>& pieces, std::int64_t height, std::vector<std::int64_t>& parents) noexcept {
    const auto count = static_cast<std::int64_t>(pieces.size());
    std::int64_t top = -height;     // number of the top pixel of the column
    std::int64_t begin = 0;         // its first piece
    std::int64_t next = 0;          // the first piece to its left that may still touch one of its own
    std::int64_t previous_end = 0;  // past the last of them
    for (std::int64_t i = 0; i < count; ++i) {
        const auto [start, end] = pieces[static_cast<std::size_t>(i)];
        if (start >= top + height) {
            const std::int64_t new_top = start / height * height;
            next = new_top == top + height ? begin : i;
            previous_end = begin = i;
            top = new_top;
        }
        const Run* const left = pieces.data();
        while (next < previous_end && left[next].end + height < start) ++next;
        for (std::int64_t k = next; k < previous_end && left[k].start + height <= end; ++k) unite(parents, k, i);
    }
}

}  // namespace

Components label_components(const Run* runs, std::int64_t count, std::int64_t height) {
    Components found{cut_at_seams(runs, count, height), {}, {}};
    const auto& pieces = found.pieces;
    auto& labels = found.labels;
    labels.resize(pieces.size());
    std::iota(labels.begin(), labels.end(), 0);
    unite_columns(pieces, height, labels);
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

ComponentRuns split_components(const Run* runs, std::int64_t count, std::int64_t height) {
    const Components found = label_components(runs, count, height);
    const std::size_t pieces = found.pieces.size();
    // Pieces of one component that meet at a seam are one run again; `last` is where each component's latest piece
    // ends.
    std::vector<std::int64_t> last(pieces, -1);
    std::vector<std::int64_t> next(pieces, 0);  // by label: how many runs, then where the next one goes
    ComponentRuns split;
    split.offsets.push_back(0);
    const auto opens_run = [&](std::size_t i, std::size_t label) {
        const bool opens = last[label] != found.pieces[i].start;
        last[label] = found.pieces[i].end;
        return opens;
    };
    for (std::size_t i = 0; i < pieces; ++i) {
        const auto label = static_cast<std::size_t>(found.labels[i]);
        if (opens_run(i, label)) ++next[label];
    }
    for (std::size_t label = 0; label < pieces; ++label) {
        if (next[label] == 0) continue;
        const std::int64_t begin = split.offsets.back();
        split.offsets.push_back(begin + next[label]);
        next[label] = begin;
    }
    split.runs.resize(static_cast<std::size_t>(split.offsets.back()));
    std::fill(last.begin(), last.end(), -1);
    for (std::size_t i = 0; i < pieces; ++i) {
        const auto label = static_cast<std::size_t>(found.labels[i]);
        if (opens_run(i, label)) split.runs[static_cast<std::size_t>(next[label]++)].start = found.pieces[i].start;
        split.runs[static_cast<std::size_t>(next[label] - 1)].end = found.pieces[i].end;
    }
    return split;
}

}  // namespace cloudrle
