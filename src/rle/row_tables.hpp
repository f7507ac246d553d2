// Where the rows of a source mask go when it is resized. A table of all of them serves every mask of one shape; without
// it each row is worked out when a boundary lies there, which costs less where boundaries are few.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <variant>
#include <vector>

#include "rle/axis.hpp"
#include "rle/resize.hpp"
#include "rle/run.hpp"

namespace cloudrle {

// Source rows to output rows.
template <class Axis>
class SampledRows {
  public:
    SampledRows(const Axis& axis, std::int64_t from, std::int64_t to, bool in_table) : axis_(axis), to_(to) {
        if (!in_table) return;
        constexpr std::int64_t step = 8;  // written at once: what is too much is written over, or lies past the end
        table_.resize(static_cast<std::size_t>(from + step), static_cast<std::int32_t>(to));
        std::int64_t row = 0;
        for (std::int64_t i = 0; i < to; ++i) {
            const std::int64_t end = std::min(axis.pixel(i) + 1, from);
            for (std::int64_t k = row; k < end; k += step)
                std::fill_n(&table_[static_cast<std::size_t>(k)], step, static_cast<std::int32_t>(i));
            row = std::max(row, end);
        }
        std::fill(table_.begin() + row, table_.end(), static_cast<std::int32_t>(to));
    }

    // The first output row whose source row is `row` or later.
    std::int64_t reaching(std::int64_t row) const noexcept {
        return table_.empty() ? first_reaching(axis_, row, 0, to_) : table_[static_cast<std::size_t>(row)];
    }

    const Axis& axis() const noexcept { return axis_; }

  private:
    Axis axis_;
    std::int64_t to_;
    std::vector<std::int32_t> table_;
};

class NearestRows : public SampledRows<NearestAxis> {
  public:
    NearestRows(std::int64_t from, std::int64_t to, bool in_table) : SampledRows({from, to}, from, to, in_table) {}
};

class LinearRows : public SampledRows<LinearAxis> {
  public:
    LinearRows(std::int64_t from, std::int64_t to, bool in_table)
        : SampledRows({from, to, Edge::clamp_indices}, from, to, in_table) {
        if (!in_table) return;
        taps_.reserve(static_cast<std::size_t>(to));
        for (std::int64_t i = 0; i < to; ++i) taps_.push_back(axis().taps(i));
    }

    Taps taps(std::int64_t i) const noexcept {
        return taps_.empty() ? axis().taps(i) : taps_[static_cast<std::size_t>(i)];
    }

  private:
    std::vector<Taps> taps_;
};

class AreaRows {
  public:
    // Where a source row begins: an output row, and how far down in it, in units of which a source row has `to`.
    struct Place {
        std::int32_t row;
        std::int32_t offset;
    };

    AreaRows(std::int64_t from, std::int64_t to, bool in_table) : from_(from), to_(to) {
        if (!in_table) return;
        table_.reserve(static_cast<std::size_t>(from));
        for (std::int64_t row = 0; row < from; ++row) table_.push_back(divide(row));
    }

    Place place(std::int64_t row) const noexcept {
        return table_.empty() ? divide(row) : table_[static_cast<std::size_t>(row)];
    }

  private:
    Place divide(std::int64_t row) const noexcept {
        return {static_cast<std::int32_t>(row * to_ / from_), static_cast<std::int32_t>(row * to_ % from_)};
    }

    std::int64_t from_;
    std::int64_t to_;
    std::vector<Place> table_;
};

// Of the interpolation that is done.
using RowTables = std::variant<NearestRows, LinearRows, AreaRows>;

}  // namespace cloudrle
