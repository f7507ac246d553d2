// Runs column by column: cut where a column ends, and joined again.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "rle/buffer.hpp"
#include "rle/run.hpp"

namespace cloudrle {

// Appends a run that lies behind all others, and joins the two where it touches the last one.
inline void join(Boundaries& boundaries, std::int64_t start, std::int64_t end) {
    std::int64_t* const next = boundaries.room(2);
    if (boundaries.size() > 0 && next[-1] == start) {
        next[-1] = end;
        return;
    }
    next[0] = start;
    next[1] = end;
    boundaries.add(2);
}

// Follows positions from column to column; mostly from one to the next, which saves a division.
class ColumnWalk {
  public:
    explicit ColumnWalk(std::int64_t height) noexcept : height_(height), bottom_(height) {}

    // Goes to the column of a pixel in the present column or behind it.
    void enter(std::int64_t pixel) noexcept {
        if (pixel < bottom_) return;
        if (pixel - bottom_ >= height_) bottom_ = pixel / height_ * height_;
        bottom_ += height_;
    }

    std::int64_t top() const noexcept { return bottom_ - height_; }  // number of the first pixel
    std::int64_t bottom() const noexcept { return bottom_; }         // number behind the last pixel

  private:
    std::int64_t height_;
    std::int64_t bottom_;
};

// A run goes on from the bottom of a column to the top of the next. These pieces don't: each lies in one column, or is
// a number of whole columns, so that a run has at most three.
inline std::vector<Run> cut_at_seams(RunView mask, std::int64_t height) {
    std::vector<Run> pieces;
    pieces.reserve(3 * static_cast<std::size_t>(mask.count));
    ColumnWalk column(height);
    for (std::int64_t i = 0; i < mask.count; ++i) {
        auto [start, end] = mask.runs[i];
        column.enter(start);
        if (end <= column.bottom()) {
            pieces.push_back({start, end});
            continue;
        }
        const std::int64_t head = start == column.top() ? start : column.bottom();
        const std::int64_t tail = end - (end - column.bottom()) % height;
        if (start < head) pieces.push_back({start, head});
        if (head < tail) pieces.push_back({head, tail});
        if (tail < end) pieces.push_back({tail, end});
    }
    return pieces;
}

// Calls visit(first, last, top, bottom) for the pieces of one column after another, or of a number of whole columns:
// their indices, the number of the first pixel there, and that behind the last.
template <class Visit>
void for_each_column(const std::vector<Run>& pieces, std::int64_t height, const Visit& visit) {
    ColumnWalk column(height);
    for (std::size_t first = 0, last = 0; first < pieces.size(); first = last) {
        column.enter(pieces[first].start);
        for (last = first + 1; last < pieces.size() && pieces[last].start < column.bottom();) ++last;
        visit(first, last, column.top(), std::max(column.bottom(), pieces[last - 1].end));
    }
}

}  // namespace cloudrle
