#include "rle/transpose.hpp"

#include <algorithm>
#include <cstddef>
#include <vector>

namespace cloudrle {
namespace {

using Rows = std::vector<std::int64_t>;  // where a column changes, read downwards from background

// In rows first .. end - 1, the pixel in this column differs from the one before it along the row.
struct Change {
    std::int64_t column;
    std::int64_t first;
    std::int64_t end;
};

// Reads columns from left to right.
class Columns {
  public:
    Columns(const Run* runs, std::int64_t count, std::int64_t height)
        : at_(&runs->start), end_(at_ + 2 * count), height_(height) {}

    // The next column, from `column` on, that holds a boundary; boundaries at the end of the mask are in none.
    std::int64_t next_change(std::int64_t columns) const noexcept {
        return at_ == end_ ? columns : std::min(*at_ / height_, columns);
    }

    // Whether the columns before that are foreground.
    bool inside() const noexcept { return inside_; }

    void read(std::int64_t column, Rows& rows) {
        rows.clear();
        if (inside_) rows.push_back(0);
        const std::int64_t top = column * height_;
        for (; at_ != end_ && *at_ - top < height_; ++at_) {
            if (inside_ && *at_ == top) {
                rows.pop_back();
            } else {
                rows.push_back(*at_ - top);
            }
            inside_ = !inside_;
        }
    }

    void skip_to(std::int64_t column) noexcept {
        const auto* const found = std::lower_bound(at_, end_, column * height_);
        inside_ ^= ((found - at_) & 1) != 0;
        at_ = found;
    }

  private:
    const std::int64_t* at_;
    const std::int64_t* end_;
    std::int64_t height_;
    bool inside_ = false;
};

// Adds the rows in which two columns differ: one boundary list toggles what the other has toggled.
void add_changes(const Rows& left, const Rows& right, std::int64_t column, std::int64_t height,
                 std::vector<Change>& changes) {
    std::size_t i = 0;
    std::size_t j = 0;
    std::int64_t first = -1;
    const auto toggle = [&](std::int64_t row) {
        if (first >= 0) changes.push_back({column, first, row});
        first = first >= 0 ? -1 : row;
    };
    while (i < left.size() || j < right.size()) {
        if (j == right.size() || (i < left.size() && left[i] < right[j])) {
            toggle(left[i++]);
        } else if (i == left.size() || right[j] < left[i]) {
            toggle(right[j++]);
        } else {
            ++i;
            ++j;
        }
    }
    if (first >= 0) changes.push_back({column, first, height});
}

std::vector<Change> find_changes(const Run* runs, std::int64_t count, Shape shape) {
    std::vector<Change> changes;
    Rows left;
    Rows right;
    // Before the first pixel of a row comes the last one of the row above.
    Columns columns(runs, count, shape.height);
    columns.skip_to(shape.width - 1);
    columns.read(shape.width - 1, left);
    for (std::int64_t& row : left) ++row;
    if (!left.empty() && left.back() == shape.height) left.pop_back();

    columns = Columns(runs, count, shape.height);
    for (std::int64_t column = 0; column < shape.width; ++column) {
        const std::int64_t next = columns.next_change(shape.width);
        if (column < next) {  // up to there, all columns are alike
            right.assign(columns.inside() ? 1 : 0, 0);
            add_changes(left, right, column, shape.height, changes);
            left.swap(right);
            column = next;
            if (column == shape.width) break;
        }
        columns.read(column, right);
        add_changes(left, right, column, shape.height, changes);
        left.swap(right);
    }
    return changes;
}

// Puts the boundaries in order, row by row. The changes come column by column, so counting is enough.
void place_by_row(const std::vector<Change>& changes, Shape shape, std::int64_t* boundaries) {
    std::vector<std::int64_t> places(static_cast<std::size_t>(shape.height) + 1);
    for (const auto [column, first, end] : changes) {
        ++places[static_cast<std::size_t>(first)];
        --places[static_cast<std::size_t>(end)];
    }
    std::int64_t in_row = 0;
    std::int64_t before = 0;
    for (std::int64_t& place : places) {
        in_row += place;
        place = before;
        before += in_row;
    }
    for (const auto [column, first, end] : changes)
        for (std::int64_t row = first; row < end; ++row)
            boundaries[places[static_cast<std::size_t>(row)]++] = row * shape.width + column;
}

// The same for masks of so many rows that most have no boundary.
void place_by_sorting(const std::vector<Change>& changes, Shape shape, std::int64_t* boundaries) {
    std::int64_t* at = boundaries;
    for (const auto [column, first, end] : changes)
        for (std::int64_t row = first; row < end; ++row) *at++ = row * shape.width + column;
    std::sort(boundaries, at);
}

}  // namespace

void transpose(const Run* runs, std::int64_t count, Shape shape, Boundaries& transposed) {
    if (count == 0) return;
    const std::vector<Change> changes = find_changes(runs, count, shape);
    std::int64_t total = 0;
    for (const auto [column, first, end] : changes) total += end - first;
    std::int64_t* const boundaries = transposed.room(total + 1);
    if (shape.height / 16 <= total) {
        place_by_row(changes, shape, boundaries);
    } else {
        place_by_sorting(changes, shape, boundaries);
    }
    if (runs[count - 1].end == shape.size()) boundaries[total++] = shape.size();
    transposed.add(total);
}

}  // namespace cloudrle
