#include "rle/resize_runs.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "rle/axis.hpp"
#include "rle/columns.hpp"

namespace cloudrle {
namespace {

// Whether a table of every row costs less than computing the rows at the boundaries. It keeps memory in proportion to
// the runs.
bool table_pays(std::int64_t count, Shape from, Shape to) noexcept { return from.height + to.height <= 32 * count; }

// Source rows to output rows.
template <class Axis>
class Rows {
  public:
    Rows(const Axis& axis, std::int64_t from, std::int64_t to, bool in_table) : axis_(axis), to_(to) {
        if (!in_table) return;
        table_.resize(static_cast<std::size_t>(from), static_cast<std::int32_t>(to));
        std::int64_t row = 0;
        for (std::int64_t i = 0; i < to; ++i) {
            const std::int64_t end = std::min(axis.pixel(i) + 1, from);
            for (; row < end; ++row) table_[static_cast<std::size_t>(row)] = static_cast<std::int32_t>(i);
        }
    }

    // The first output row whose source row is `row` or later.
    std::int64_t reaching(std::int64_t row) const noexcept {
        return table_.empty() ? first_reaching(axis_, row, 0, to_) : table_[static_cast<std::size_t>(row)];
    }

  private:
    Axis axis_;
    std::int64_t to_;
    std::vector<std::int32_t> table_;
};

void resize_nearest(Source source, Shape from, Shape to, bool in_table, Writer& writer) {
    const NearestAxis columns(from.width, to.width);
    const Rows rows(NearestAxis(from.height, to.height), from.height, to.height, in_table);
    for (std::int64_t x = 0; x < to.width;) {
        const std::int64_t top = x * to.height;
        const std::int64_t sampled = columns.pixel(x);
        source.seek(sampled);
        bool value = source.inside();
        writer.set(top, value);
        if (source.constant_before(sampled + 1)) {
            x = first_reaching(columns, source.changing(), x + 1, to.width);
            continue;
        }
        Column column = source.column(sampled);
        for (std::int64_t y = column.row(); y < from.height; y = column.row()) {
            value = !value;
            writer.set(top + rows.reaching(y), value);
            column.advance();
        }
        ++x;
    }
}

// What linear interpolation makes of two source columns. A source row has one of four states: bit 0 is its pixel in
// the first column, bit 1 that in the second.
class Blend {
  public:
    explicit Blend(const Taps& taps) noexcept {
        for (int state = 0; state < 4; ++state) {
            const int first = state & 1 ? 255 : 0;
            const int second = state & 2 ? 255 : 0;
            mixed_[static_cast<std::size_t>(state)] = (first * taps.first_weight + second * taps.second_weight) >> 4;
        }
    }

    // The output pixel between a row of state `upper` and one of state `lower`.
    bool pixel(const Taps& rows, unsigned upper, unsigned lower) const noexcept {
        const std::int32_t first = (rows.first_weight * mixed_[upper]) >> 16;
        const std::int32_t second = (rows.second_weight * mixed_[lower]) >> 16;
        return ((first + second + 2) >> 2) > 127;
    }

    // Between two rows of one state the weights of the rows matter only where the columns' mean is within rounding of
    // the threshold: the weights add up to 2047, 2048 or 2049, so pixel() is false up to 16311 and true from 16361.
    bool is_clear(unsigned state) const noexcept { return mixed_[state] <= 16311 || mixed_[state] >= 16361; }
    bool clear_pixel(unsigned state) const noexcept { return mixed_[state] >= 16361; }

  private:
    std::array<std::int32_t, 4> mixed_;
};

class LinearRows {
  public:
    LinearRows(std::int64_t from, std::int64_t to, bool in_table)
        : height(to), axis_(from, to, Edge::clamp_indices), rows_(axis_, from, to, in_table) {
        if (!in_table) return;
        table_.reserve(static_cast<std::size_t>(to));
        for (std::int64_t i = 0; i < to; ++i) table_.push_back(axis_.taps(i));
    }

    Taps taps(std::int64_t i) const noexcept {
        return table_.empty() ? axis_.taps(i) : table_[static_cast<std::size_t>(i)];
    }
    std::int64_t reaching(std::int64_t row) const noexcept { return rows_.reaching(row); }

    const std::int64_t height;

  private:
    LinearAxis axis_;
    Rows<LinearAxis> rows_;
    std::vector<Taps> table_;
};

// Merges the boundaries of two columns, and looks only at output rows that straddle one or whose columns leave it open.
void blend_boundaries(const Blend& blend, Column first, Column second, std::int64_t source_height,
                      const LinearRows& rows, std::int64_t top, Writer& writer) {
    unsigned state = first.inside() | unsigned{second.inside()} << 1;
    std::int64_t done = 0;
    const auto fill = [&](std::int64_t end) {
        if (done < end && blend.is_clear(state)) {
            writer.set(top + done, blend.clear_pixel(state));
            done = end;
        }
        for (; done < end; ++done) writer.set(top + done, blend.pixel(rows.taps(done), state, state));
    };
    for (;;) {
        const std::int64_t in_first = first.row();
        const std::int64_t in_second = second.row();
        const std::int64_t row = std::min(in_first, in_second);
        if (row == source_height) break;
        const unsigned above = state;
        if (row > 0) fill(rows.reaching(row - 1));
        state ^= unsigned{in_first == row} | unsigned{in_second == row} << 1;
        first.advance(in_first == row);
        second.advance(in_second == row);
        if (row > 0) {
            for (const std::int64_t end = rows.reaching(row); done < end; ++done) {
                writer.set(top + done, blend.pixel(rows.taps(done), above, state));
            }
        }
    }
    fill(rows.height);
}

// Writes the two columns out, one byte for a row, and looks at every output row.
class DenseColumns {
  public:
    void blend(const Blend& blend, Column first, Column second, std::int64_t source_height, const LinearRows& rows,
               std::int64_t top, Writer& writer) {
        states_.assign(static_cast<std::size_t>(source_height + 7) / 8 * 8, 0);
        mark(first, 1, source_height);
        mark(second, 2, source_height);
        states_[0] ^= static_cast<std::uint8_t>(first.inside() | second.inside() << 1);
        accumulate();
        for (std::int64_t i = 0; i < rows.height; ++i) {
            const Taps taps = rows.taps(i);
            const std::uint8_t upper = states_[static_cast<std::size_t>(taps.first)];
            const std::uint8_t lower = states_[static_cast<std::size_t>(taps.second)];
            writer.set(top + i, blend.pixel(taps, upper, lower));
        }
    }

  private:
    void mark(Column column, std::uint8_t bit, std::int64_t source_height) noexcept {
        for (std::int64_t y = column.row(); y < source_height; y = column.row()) {
            states_[static_cast<std::size_t>(y)] ^= bit;
            column.advance();
        }
    }

    // From changes to states, eight rows at a time.
    void accumulate() noexcept {
        constexpr std::uint64_t each_byte = 0x0101010101010101;
        std::uint64_t above = 0;
        for (std::size_t y = 0; y < states_.size(); y += 8) {
            std::uint64_t rows;
            std::memcpy(&rows, &states_[y], sizeof rows);
            rows ^= rows << 8;
            rows ^= rows << 16;
            rows ^= rows << 32;
            rows ^= above;
            above = (rows >> 56) * each_byte;
            std::memcpy(&states_[y], &rows, sizeof rows);
        }
    }

    std::vector<std::uint8_t> states_;
};

void resize_linear(Source source, Shape from, Shape to, bool in_table, Writer& writer) {
    const LinearAxis columns(from.width, to.width, Edge::clamp_fraction);
    const LinearRows rows(from.height, to.height, in_table);
    DenseColumns dense;
    for (std::int64_t x = 0; x < to.width;) {
        const std::int64_t top = x * to.height;
        const Taps taps = columns.taps(x);
        source.seek(taps.first);
        if (source.constant_before(taps.second + 1)) {
            writer.set(top, source.inside());
            if (source.changing() == from.width) break;
            x = first_reaching(columns, source.changing() - 1, x + 1, to.width);
            continue;
        }
        const Column first = source.column(taps.first);
        const Column second = source.column(taps.second);
        // Measured: merging is the quicker up to one boundary for every eight rows, source and output rows together.
        if (8 * source.boundaries_before(taps.second + 1) <= from.height + to.height) {
            blend_boundaries(Blend(taps), first, second, from.height, rows, top, writer);
        } else {
            dense.blend(Blend(taps), first, second, from.height, rows, top, writer);
        }
        ++x;
    }
}

// How much of each output row of one column is covered, in units of which a source pixel is `to` long and an output
// pixel `from`, on either axis: then every overlap is a whole number.
class Coverage {
  public:
    Coverage(std::int64_t from, std::int64_t to, bool in_table)
        : from_(from), to_(to), changes_(static_cast<std::size_t>(to + 1)), touched_((changes_.size() + 7) / 8 * 8) {
        if (!in_table) return;
        table_.reserve(static_cast<std::size_t>(from));
        for (std::int64_t row = 0; row < from; ++row) table_.push_back(divide(row));
    }

    // From this source row down, `amount` more is covered. Unsigned: less is more, modulo 2^64.
    void add(std::int64_t row, std::uint64_t amount) noexcept {
        const Place place = table_.empty() ? divide(row) : table_[static_cast<std::size_t>(row)];
        change(place.row, amount * static_cast<std::uint64_t>(from_ - place.offset));
        change(place.row + 1, amount * static_cast<std::uint64_t>(place.offset));
    }

    // Writes the column, foreground where at least half of `cell` is covered, and starts the next one.
    void write(std::uint64_t cell, std::int64_t top, Writer& writer) {
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
    // Where a source row begins: an output row, and how far down in it.
    struct Place {
        std::int32_t row;
        std::int32_t offset;
    };

    Place divide(std::int64_t row) const noexcept {
        return {static_cast<std::int32_t>(row * to_ / from_), static_cast<std::int32_t>(row * to_ % from_)};
    }

    void change(std::int64_t row, std::uint64_t amount) noexcept {
        changes_[static_cast<std::size_t>(row)] += amount;
        touched_[static_cast<std::size_t>(row)] = 1;
    }

    std::int64_t from_;
    std::int64_t to_;
    std::vector<std::uint64_t> changes_;  // of what is covered, from each output row to the next
    std::vector<std::uint8_t> touched_;   // 1 for each of these that may not be 0
    std::vector<Place> table_;
};

// Adds what the source columns between two places cover. Neighbours without a boundary count as one.
void cover(Source& source, Shape from, Shape to, std::int64_t left, std::int64_t end, Coverage& coverage) {
    while (left < end) {
        const std::int64_t present = left / to.width;
        source.seek(present);
        const std::int64_t changing = source.changing();
        const std::int64_t right = std::min(end, std::max(present + 1, changing) * to.width);
        auto amount = static_cast<std::uint64_t>(right - left);
        if (source.inside()) {
            coverage.add(0, amount);
            amount = -amount;
        }
        if (changing == present) {
            Column column = source.column(present);
            for (std::int64_t y = column.row(); y < from.height; y = column.row()) {
                coverage.add(y, amount);
                amount = -amount;
                column.advance();
            }
        }
        left = right;
    }
}

void resize_area(Source source, Shape from, Shape to, bool in_table, Writer& writer) {
    const auto cell = static_cast<std::uint64_t>(from.size());
    Coverage coverage(from.height, to.height, in_table);
    for (std::int64_t x = 0; x < to.width;) {
        const std::int64_t left = x * from.width;
        const std::int64_t end = left + from.width;
        source.seek(left / to.width);
        if (source.constant_before((end - 1) / to.width + 1)) {
            writer.set(x * to.height, source.inside());
            x = std::max(x + 1, source.changing() * to.width / from.width);
            continue;
        }
        coverage.add(0, 0);  // so that the top row is written
        cover(source, from, to, left, end, coverage);
        coverage.write(cell, x * to.height, writer);
        ++x;
    }
}

}  // namespace

void resize_runs(const Run* runs, std::int64_t count, Shape from, Shape to, Interpolation interpolation,
                 std::vector<std::int64_t>& boundaries) {
    const Source source(runs, count, from);
    const bool in_table = table_pays(count, from, to);
    Writer writer(boundaries);
    const bool halves = from.height == 2 * to.height && from.width == 2 * to.width;
    if (from.height == to.height && from.width == to.width) {
        // Every interpolation is a copy here; in huge masks rounded coordinates would not be.
        for (std::int64_t i = 0; i < count; ++i) {
            writer.set(runs[i].start, true);
            writer.set(runs[i].end, false);
        }
    } else if (interpolation == Interpolation::nearest) {
        resize_nearest(source, from, to, in_table, writer);
    } else if (interpolation == Interpolation::linear && !halves) {
        resize_linear(source, from, to, in_table, writer);
    } else {
        resize_area(source, from, to, in_table, writer);  // OpenCV too averages four pixels where it halves both sides
    }
    writer.finish(to.size());
}

}  // namespace cloudrle
