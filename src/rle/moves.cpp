#include "rle/moves.hpp"

#include <algorithm>

#include "rle/pieces.hpp"

namespace cloudrle {
namespace {

// Counts the window's pixels that come before a position. Positions come in ascending order, from the window's columns.
class Window {
  public:
    Window(Box box, std::int64_t height) noexcept
        : first_(box.left * height), top_(box.top), height_(box.bottom - box.top), from_height_(height) {}

    std::int64_t pixels_before(std::int64_t position) noexcept {
        if (position - column_ - first_ >= from_height_) {
            const std::int64_t x = (position - first_) / from_height_;
            column_ = x * from_height_;
            pixels_ = x * height_;
        }
        return pixels_ + std::clamp<std::int64_t>(position - first_ - column_ - top_, 0, height_);
    }

  private:
    std::int64_t first_;  // number of the first pixel of the window's first column
    std::int64_t top_;
    std::int64_t height_;
    std::int64_t from_height_;
    std::int64_t column_ = 0;  // the same of the present column, counted from there
    std::int64_t pixels_ = 0;  // of the window, before the present column
};

// Calls take(start, end) for the runs of a window, counted from its first pixel. They may touch.
template <class Take>
void read_window(RunView mask, std::int64_t height, Box box, const Take& take) {
    const std::int64_t from = box.left * height;
    const std::int64_t to = box.right * height;
    const Run* const last = mask.runs + mask.count;
    const Run* run = std::partition_point(mask.runs, last, [&](const Run& run) { return run.end <= from; });
    Window window(box, height);
    for (; run != last && run->start < to; ++run) {
        const std::int64_t start = window.pixels_before(std::max(run->start, from));
        const std::int64_t end = window.pixels_before(std::min(run->end, to));
        if (start < end) take(start, end);
    }
}

}  // namespace

void place(RunView mask, std::int64_t height, Box window, Shape to, std::int64_t top, std::int64_t left,
           Boundaries& boundaries) {
    const std::int64_t from_height = window.bottom - window.top;
    if (from_height == to.height) {  // the numbers of all pixels move by the same
        const std::int64_t by = left * to.height;
        return read_window(mask, height, window,
                           [&](std::int64_t start, std::int64_t end) { join(boundaries, start + by, end + by); });
    }
    if (from_height == 0) return;
    ColumnWalk column(from_height);
    std::int64_t shift = left * to.height + top;  // what is added to numbers in the present column
    const auto enter = [&](std::int64_t pixel) {
        if (pixel < column.bottom()) return;
        column.enter(pixel);
        shift = (left + column.top() / from_height) * to.height + top - column.top();
    };
    read_window(mask, height, window, [&](std::int64_t start, std::int64_t end) {
        if (end - start > from_height) make_room_for_runs((end - start) / from_height + 2, boundaries);
        while (start < end) {
            enter(start);
            const std::int64_t stop = std::min(end, column.bottom());
            join(boundaries, start + shift, stop + shift);
            start = stop;
        }
    });
}

void flip_rows(RunView mask, Shape shape, Boundaries& boundaries) {
    const auto* const change = reinterpret_cast<const std::int64_t*>(mask.runs);
    const std::int64_t size = shape.size();
    std::int64_t count = 2 * mask.count;
    if (count > 0 && change[count - 1] == size) --count;  // where the mask ends it changes no pixel
    std::int64_t* const first = boundaries.room(3 * count + 2);
    std::int64_t* next = first;
    bool value = false;  // of the last pixel written
    const auto put = [&](std::int64_t position, bool wanted) {
        if (wanted != value) *next++ = position;
        value = wanted;
    };
    ColumnWalk column(shape.height);
    std::int64_t done = 0;  // the columns before this position
    for (std::int64_t i = 0; i < count;) {
        column.enter(change[i]);
        if (column.top() > done) put(done, i % 2 != 0);  // whole columns without a change
        i += change[i] == column.top();
        const bool top = i % 2 != 0;  // the column's first pixel, which becomes its last
        const std::int64_t begin = i;
        while (i < count && change[i] < column.bottom()) ++i;
        put(column.top(), i % 2 != 0);
        const std::int64_t sum = column.top() + column.bottom();
        for (std::int64_t k = i; k-- > begin;) *next++ = sum - change[k];
        value = top;
        done = column.bottom();
    }
    if (done < size) put(done, count % 2 != 0);
    put(size, false);
    boundaries.add(next - first);
}

void flip_columns(RunView mask, Shape shape, Boundaries& boundaries) {
    flip_rows(mask, shape, boundaries);  // and then both, which turns the order of all pixels round
    std::int64_t* last = boundaries.room(0);
    std::int64_t* first = last - boundaries.size();
    while (first != last) {  // there is an even number
        const std::int64_t mirrored = shape.size() - *first;
        *first++ = shape.size() - *--last;
        *last = mirrored;
    }
}

}  // namespace cloudrle
