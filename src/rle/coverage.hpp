// How much of each output row of one column is covered by foreground, for area interpolation: from boundaries where
// they are few, and from pixels where they are many. Exact, in units of which a source pixel is `to` long and an output
// pixel `from`, on either axis: then every overlap is a whole number. Sums are unsigned and may wrap; what is looked at
// in the end is the difference of two sums, below 2^63.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "rle/columns.hpp"
#include "rle/row_tables.hpp"

namespace cloudrle {

class BoundaryCoverage {
  public:
    BoundaryCoverage(Shape from, Shape to, const AreaRows& rows)
        : rows_(rows),
          from_(from.height),
          changes_(static_cast<std::size_t>(to.height + 1)),
          touched_((changes_.size() + 7) / 8 * 8) {}

    // The source's present column covers `amount` more on its foreground.
    void add(const Source& source, bool constant, std::uint64_t amount) noexcept {
        if (source.inside()) {
            add_below(0, amount);
            amount = -amount;
        }
        if (constant) return;
        Column column = source.present();
        for (std::int64_t y = column.row(); y < from_; y = column.row()) {
            add_below(y, amount);
            amount = -amount;
            column.advance();
        }
    }

    // Writes the column, foreground where at least half of `cell` is covered, and starts the next one.
    void write(std::uint64_t cell, std::int64_t top, Writer& writer) {
        touched_[0] = 1;  // so that the top row is written
        std::uint64_t covered = 0;
        for (std::size_t first = 0; first < touched_.size(); first += 8) {
            std::uint64_t eight;
            std::memcpy(&eight, &touched_[first], sizeof eight);
            if (eight == 0) continue;
            std::memset(&touched_[first], 0, sizeof eight);
            for (; eight != 0; eight &= eight - 1) {
                const std::size_t row = first + static_cast<std::size_t>(__builtin_ctzll(eight)) / 8;
                covered += changes_[row];
                changes_[row] = 0;
                writer.set(top + static_cast<std::int64_t>(row), 2 * covered >= cell);
            }
        }
    }

  private:
    // From this source row down, `amount` more is covered; less is more, modulo 2^64.
    void add_below(std::int64_t row, std::uint64_t amount) noexcept {
        const AreaRows::Place place = rows_.place(row);
        change(place.row, amount * static_cast<std::uint64_t>(from_ - place.offset));
        change(place.row + 1, amount * static_cast<std::uint64_t>(place.offset));
    }

    void change(std::int64_t row, std::uint64_t amount) noexcept {
        changes_[static_cast<std::size_t>(row)] += amount;
        touched_[static_cast<std::size_t>(row)] = 1;
    }

    const AreaRows& rows_;
    std::int64_t from_;
    std::vector<std::uint64_t> changes_;  // of what is covered, from each output row to the next
    std::vector<std::uint8_t> touched_;   // 1 for each of these that may not be 0
};

class PixelCoverage {
  public:
    PixelCoverage(Shape from, Shape to)
        : from_(from.height), to_(to.height), covered_(static_cast<std::size_t>(from_)) {
        ends_.reserve(static_cast<std::size_t>(to_));
        for (std::int64_t i = 1; i <= to_; ++i) {
            ends_.push_back({static_cast<std::size_t>(i * from_ / to_), static_cast<std::uint64_t>(i * from_ % to_)});
        }
    }

    // As above; the amounts of a cell add up to less than 2^31.
    void add(const Source& source, bool constant, std::uint64_t amount) {
        const auto narrow = static_cast<std::uint32_t>(amount);
        if (!constant) {
            const std::uint8_t* const pixels = column_.read(source, source.at(), from_);
            for (std::size_t y = 0; y < covered_.size(); ++y) covered_[y] += (0U - pixels[y]) & narrow;
        } else if (source.inside()) {
            for (std::uint32_t& covered : covered_) covered += narrow;
        }
    }

    void write(std::uint64_t cell, std::int64_t top, Writer& writer) {
        const auto unit = static_cast<std::uint64_t>(to_);
        std::size_t y = 0;
        std::uint64_t whole = 0;   // sum over the source rows above the lower edge of the output row
        std::uint64_t before = 0;  // what is covered above its upper edge
        pixels_.resize(ends_.size());
        for (std::size_t i = 0; i < ends_.size(); ++i) {
            const End end = ends_[i];
            for (; y < end.row; ++y) whole += covered_[y];
            const std::uint64_t sum = whole * unit + (end.offset == 0 ? 0 : covered_[y] * end.offset);
            pixels_[i] = 2 * (sum - before) >= cell;
            before = sum;
        }
        std::fill(covered_.begin(), covered_.end(), 0);
        writer.write(top, pixels_);
    }

  private:
    // Where an output row ends: a source row, and how far down in it.
    struct End {
        std::size_t row;
        std::uint64_t offset;
    };

    std::int64_t from_;
    std::int64_t to_;
    std::vector<std::uint32_t> covered_;  // of each source row, by as much as the column's width
    std::vector<End> ends_;
    PixelColumn column_;
    std::vector<std::uint8_t> pixels_;  // of the output
};

}  // namespace cloudrle
