#include "rle/resize_runs.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "rle/axis.hpp"
#include "rle/columns.hpp"
#include "rle/coverage.hpp"

namespace cloudrle {
namespace {

// Whether a table of every row costs less than computing the rows at the boundaries. It keeps memory in proportion to
// the runs.
bool table_pays(std::int64_t count, Shape from, Shape to) noexcept { return from.height + to.height <= 32 * count; }

// Up to so many boundaries are gone through one by one; where there are more, it is quicker to write columns out as
// pixels and look at every row, of which there are `rows`. Measured.
std::int64_t few(std::int64_t rows) noexcept { return rows / 16; }

// Source rows to output rows.
template <class Axis>
class Rows {
  public:
    Rows(const Axis& axis, std::int64_t from, std::int64_t to, bool in_table) : axis_(axis), to_(to) {
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

  private:
    Axis axis_;
    std::int64_t to_;
    std::vector<std::int32_t> table_;
};

// The sampled rows of columns that have many boundaries.
class SampledPixels {
  public:
    SampledPixels(const NearestAxis& rows, Shape from, Shape to)
        : height_(from.height), pixels_(static_cast<std::size_t>(to.height)) {
        rows_.reserve(pixels_.size());
        for (std::int64_t y = 0; y < to.height; ++y) rows_.push_back(static_cast<std::int32_t>(rows.pixel(y)));
    }

    void write(const Source& source, std::int64_t x, std::int64_t top, Writer& writer) {
        const std::uint8_t* const column = column_.read(source, x, height_);
        for (std::size_t y = 0; y < pixels_.size(); ++y) pixels_[y] = column[rows_[y]];
        writer.write(top, pixels_);
    }

  private:
    std::int64_t height_;
    std::vector<std::int32_t> rows_;
    PixelColumn column_;
    std::vector<std::uint8_t> pixels_;
};

void resize_nearest(Source source, Shape from, Shape to, bool in_table, Writer& writer) {
    const NearestAxis columns(from.width, to.width);
    const NearestAxis down(from.height, to.height);
    const Rows rows(down, from.height, to.height, in_table);
    std::optional<SampledPixels> pixels;
    for (std::int64_t x = 0; x < to.width;) {
        const std::int64_t top = x * to.height;
        const std::int64_t sampled = columns.pixel(x);
        source.seek(sampled);
        bool value = source.inside();
        if (source.constant_before(sampled + 1)) {
            writer.set(top, value);
            x = first_reaching(columns, source.changing(), x + 1, to.width);
            continue;
        }
        if (source.more_than(few(from.height + to.height), sampled + 1)) {
            if (!pixels) pixels.emplace(down, from, to);
            pixels->write(source, sampled, top, writer);
        } else {
            writer.set(top, value);
            Column column = source.column(sampled);
            for (std::int64_t y = column.row(); y < from.height; y = column.row()) {
                value = !value;
                writer.set(top + rows.reaching(y), value);
                column.advance();
            }
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

// Looks at every output row, as two columns have many boundaries.
class BlendedPixels {
  public:
    BlendedPixels(const LinearRows& rows, std::int64_t source_height)
        : rows_(rows), source_height_(source_height), pixels_(static_cast<std::size_t>(rows.height)) {}

    void write(const Source& source, const Taps& columns, std::int64_t top, Writer& writer) {
        if (second_.column() == columns.first) std::swap(first_, second_);
        const std::uint8_t* const first = first_.read(source, columns.first, source_height_);
        const std::uint8_t* const second = second_.read(source, columns.second, source_height_);
        const auto state = [&](std::int32_t row) { return unsigned{first[row]} | unsigned{second[row]} << 1; };
        const Blend blend(columns);
        for (std::size_t y = 0; y < pixels_.size(); ++y) {
            const Taps rows = rows_.taps(static_cast<std::int64_t>(y));
            pixels_[y] = blend.pixel(rows, state(rows.first), state(rows.second));
        }
        writer.write(top, pixels_);
    }

  private:
    const LinearRows& rows_;
    std::int64_t source_height_;
    PixelColumn first_;
    PixelColumn second_;
    std::vector<std::uint8_t> pixels_;
};

void resize_linear(Source source, Shape from, Shape to, bool in_table, Writer& writer) {
    const LinearAxis columns(from.width, to.width, Edge::clamp_fraction);
    const LinearRows rows(from.height, to.height, in_table);
    std::optional<BlendedPixels> pixels;
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
        if (source.more_than(few(from.height + to.height), taps.second + 1)) {
            if (!pixels) pixels.emplace(rows, from.height);
            pixels->write(source, taps, top, writer);
        } else {
            const Column first = source.column(taps.first);
            const Column second = source.column(taps.second);
            blend_boundaries(Blend(taps), first, second, from.height, rows, top, writer);
        }
        ++x;
    }
}

// Adds what the source columns between two places cover. Neighbours without a boundary count as one.
template <class Coverage>
void cover(Source& source, Shape to, std::int64_t left, std::int64_t end, Coverage& coverage) {
    while (left < end) {
        const std::int64_t present = left / to.width;
        source.seek(present);
        const std::int64_t changing = source.changing();
        const std::int64_t right = std::min(end, std::max(present + 1, changing) * to.width);
        coverage.add(source, present, changing != present, static_cast<std::uint64_t>(right - left));
        left = right;
    }
}

void resize_area(Source source, Shape from, Shape to, bool in_table, Writer& writer) {
    const auto cell = static_cast<std::uint64_t>(from.size());
    BoundaryCoverage boundaries(from, to, in_table);
    std::optional<PixelCoverage> pixels;
    for (std::int64_t x = 0; x < to.width;) {
        const std::int64_t left = x * from.width;
        const std::int64_t end = left + from.width;
        const std::int64_t column = left / to.width;
        const std::int64_t columns_end = (end - 1) / to.width + 1;
        source.seek(column);
        if (source.constant_before(columns_end)) {
            writer.set(x * to.height, source.inside());
            x = std::max(x + 1, source.changing() * to.width / from.width);
            continue;
        }
        if (source.more_than(few((columns_end - column + 1) * from.height + to.height), columns_end)) {
            if (!pixels) pixels.emplace(from, to);
            cover(source, to, left, end, *pixels);
            pixels->write(cell, x * to.height, writer);
        } else {
            cover(source, to, left, end, boundaries);
            boundaries.write(cell, x * to.height, writer);
        }
        ++x;
    }
}

}  // namespace

void resize_runs(const Run* runs, std::int64_t count, Shape from, Shape to, Interpolation interpolation,
                 Boundaries& boundaries) {
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
