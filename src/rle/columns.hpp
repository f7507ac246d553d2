// Run lists read and written by columns.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "rle/buffer.hpp"
#include "rle/mask_kernels.hpp"
#include "rle/run.hpp"

namespace cloudrle {

// Appends the boundaries of a mask of which values are told from the first pixel to the last.
class Writer {
  public:
    explicit Writer(Boundaries& boundaries)
        : boundaries_(boundaries), first_(boundaries.room(kFirstRoom)), next_(first_), limit_(first_ + kFirstRoom) {}

    // From this position on the mask has this value, until the next call. Of calls at one position the last counts.
    void set(std::int64_t position, bool value) {
        const bool moved = position != position_;
        next_ += moved & (value_ != written_);  // keeps what was put there, or writes over it
        written_ = moved ? value_ : written_;
        value_ = value;
        position_ = position;
        if (next_ == limit_) enlarge();
        *next_ = position;
    }

    // Calls tell(set), which may call set(position, value) up to `count` times. In between, what the writer knows stays
    // in registers.
    template <class Tell>
    void set_many(std::int64_t count, const Tell& tell) {
        while (limit_ - next_ <= count) enlarge();
        std::int64_t* next = next_;
        std::int64_t last = position_;
        bool value_there = value_;
        bool written = written_;
        tell([&](std::int64_t position, bool value) {  // as set() does
            const bool moved = position != last;
            next += moved & (value_there != written);
            written = moved ? value_there : written;
            value_there = value;
            last = position;
            *next = position;
        });
        next_ = next;
        position_ = last;
        value_ = value_there;
        written_ = written;
    }

    // From this position on the mask has these pixels, 0 or not, and then goes on like the last of them.
    void write(std::int64_t position, const std::vector<std::uint8_t>& pixels) {
        set(position, false);  // settles what lies before
        const auto count = static_cast<std::int64_t>(pixels.size());
        while (limit_ - next_ < count + kSlack) enlarge();
        std::uint64_t before = written_;
        next_ += mask_kernels().find_boundaries(pixels.data(), count, position, &before, next_);
        value_ = written_ = before != 0;
    }

    void finish(std::int64_t size) {
        set(size, false);
        next_ += value_ != written_;
        boundaries_.add(next_ - first_);
    }

  private:
    static constexpr std::int64_t kFirstRoom = 256;

    [[gnu::cold]] void enlarge() {
        const std::ptrdiff_t used = next_ - first_;
        const std::ptrdiff_t room = 2 * (limit_ - first_);
        first_ = boundaries_.room(room);
        next_ = first_ + used;
        limit_ = first_ + room;
    }

    Boundaries& boundaries_;
    std::int64_t* first_;
    std::int64_t* next_;  // where the boundary goes that the last call may have made
    std::int64_t* limit_;
    std::int64_t position_ = 0;
    bool value_ = false;    // from position_ on
    bool written_ = false;  // before it
};

// The boundaries that lie in one source column, as rows.
class Column {
  public:
    // Of which there are `most` at most.
    Column(const std::int64_t* next, const std::int64_t* last, std::int64_t most, std::int64_t top, std::int64_t height,
           bool inside)
        : inside_(inside), next_(next), last_(last - next > most ? next + most : last), top_(top), height_(height) {}

    bool inside() const noexcept { return inside_; }  // the value of the pixel before the column

    // The next row where the value changes; the height where there is none.
    std::int64_t row() const noexcept {
        if (next_ == last_) return height_;
        // Compared unsigned: a boundary out of order ends the column and is never a row out of range.
        const std::uint64_t row = static_cast<std::uint64_t>(*next_) - static_cast<std::uint64_t>(top_);
        return row < static_cast<std::uint64_t>(height_) ? static_cast<std::int64_t>(row) : height_;
    }
    void advance(bool by = true) noexcept { next_ += by; }

    const std::int64_t* next() const noexcept { return next_; }

    // Writes a 1 to each row where the value changes. Prefetches boundaries so far ahead: columns in between are leapt
    // over, which hardware doesn't foresee.
    void mark(std::uint8_t* rows, std::ptrdiff_t ahead) const noexcept {
        const std::int64_t* next = next_;
        const auto mark_one = [&] {
            const std::uint64_t row = static_cast<std::uint64_t>(*next) - static_cast<std::uint64_t>(top_);
            if (row >= static_cast<std::uint64_t>(height_)) return false;
            rows[row] = 1;
            ++next;
            return true;
        };
        while (last_ - next >= 4) {  // fewer jumps, measured
            __builtin_prefetch(next + ahead);
            if (!mark_one() || !mark_one() || !mark_one() || !mark_one()) return;
        }
        while (next != last_ && mark_one()) continue;
    }

  private:
    bool inside_;
    const std::int64_t* next_;
    const std::int64_t* last_;
    std::int64_t top_;
    std::int64_t height_;
};

// A source mask, read from left to right.
class Source {
  public:
    Source(const Run* runs, std::int64_t count, Shape shape)
        : first_(reinterpret_cast<const std::int64_t*>(runs)),
          next_(first_),
          last_(first_ + 2 * count),
          shape_(shape) {}

    // Goes to a column at or after the present one. Mostly there is one run in each column between.
    void seek(std::int64_t column) noexcept {
        const std::int64_t position = column * shape_.height;
        const std::int64_t guess = 2 * (column - present_);
        present_ = column;
        if (guess > 0 && guess < last_ - next_ && next_[guess - 1] < position && next_[guess] >= position) {
            next_ += guess;
        } else {
            next_ = find(next_, position);
        }
    }

    std::int64_t at() const noexcept { return present_; }

    // The column of the next boundary; the width where there is none.
    std::int64_t changing() const noexcept {
        return next_ == last_ ? shape_.width : std::min(*next_ / shape_.height, shape_.width);
    }
    // Boundaries from the present column on.
    std::int64_t left() const noexcept { return last_ - next_; }
    bool constant_before(std::int64_t column) const noexcept {
        return next_ == last_ || *next_ >= column * shape_.height;
    }
    bool inside() const noexcept { return (next_ - first_) & 1; }  // the value of the pixel before the present column

    Column column(std::int64_t x) const noexcept { return column_at(find(next_, x * shape_.height), x, shape_.height); }
    Column present() const noexcept { return column_at(next_, present_, shape_.height); }
    Column present(std::int64_t most) const noexcept { return column_at(next_, present_, most); }  // boundaries of it

    // Whether more than `count` boundaries lie between the present column and this one.
    bool more_than(std::int64_t count, std::int64_t column) const noexcept {
        return last_ - next_ > count && next_[count] < column * shape_.height;
    }

  private:
    // The first boundary from `start` on that is at `position` or later.
    const std::int64_t* find(const std::int64_t* start, std::int64_t position) const noexcept {
        std::ptrdiff_t step = 16;
        while (last_ - start > step && start[step] < position) {
            start += step;
            step *= 2;
        }
        return std::lower_bound(start, start + std::min(step, last_ - start), position);
    }

    Column column_at(const std::int64_t* next, std::int64_t x, std::int64_t most) const noexcept {
        return {next, last_, most, x * shape_.height, shape_.height, static_cast<bool>((next - first_) & 1)};
    }

    const std::int64_t* first_;
    const std::int64_t* next_;
    const std::int64_t* last_;
    std::int64_t present_ = 0;
    Shape shape_;
};

// One column as pixels: the quicker way to look at many boundaries.
class PixelColumn {
  public:
    std::int64_t column() const noexcept { return column_; }

    // Pixels of 0 and 1, until the next call; x is at or after the source's present column.
    const std::uint8_t* read(const Source& source, std::int64_t x, std::int64_t height) {
        if (x == column_) return pixels_.data();
        column_ = x;
        pixels_.assign(static_cast<std::size_t>(height + 63) / 64 * 64, 0);
        const Column column = source.column(x);
        column.mark(pixels_.data(), start_ == nullptr ? 0 : column.next() - start_);
        start_ = column.next();
        mask_kernels().accumulate(pixels_.data(), static_cast<std::int64_t>(pixels_.size()), column.inside());
        return pixels_.data();
    }

  private:
    std::int64_t column_ = -1;
    const std::int64_t* start_ = nullptr;  // of its boundaries
    std::vector<std::uint8_t> pixels_;
};

}  // namespace cloudrle
