#include "rle/resize_runs.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "rle/axis.hpp"
#include "rle/columns.hpp"
#include "rle/coverage.hpp"

namespace cloudrle {
namespace {

bool same(Shape a, Shape b) noexcept { return a.height == b.height && a.width == b.width; }

// Whether tables of every row cost less than computing the rows at the boundaries. It keeps memory in proportion to
// the runs.
bool tables_pay(std::int64_t count, Shape from, Shape to) noexcept { return from.height + to.height <= 32 * count; }

RowTables rows_for(Shape from, Shape to, Interpolation interpolation, bool in_tables) {
    const bool halves = from.height == 2 * to.height && from.width == 2 * to.width;
    if (interpolation == Interpolation::nearest) return NearestRows(from.height, to.height, in_tables);
    if (interpolation == Interpolation::linear && !halves) return LinearRows(from.height, to.height, in_tables);
    return AreaRows(from.height, to.height, in_tables);  // OpenCV too averages four pixels where it halves both sides
}

// Up to so many boundaries are gone through one by one; where there are more, it is quicker to write columns out as
// pixels and look at every row, of which there are `rows`. Measured.
std::int64_t few(std::int64_t rows) noexcept { return rows / 16; }

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

void resize_nearest(Source source, Shape from, Shape to, const NearestRows& rows, Writer& writer) {
    const NearestAxis columns(from.width, to.width);
    const std::int64_t most = std::min(few(from.height + to.height), source.left());
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
        if (source.more_than(most, sampled + 1)) {
            if (!pixels) pixels.emplace(rows.axis(), from, to);
            pixels->write(Source(source), sampled, top, writer);  // a copy: so that the other stays in registers
        } else {
            writer.set_many(most + 1, [&](const auto& set) {
                set(top, value);
                Column column = source.present(most);
                for (std::int64_t y = column.row(); y < from.height; y = column.row()) {
                    value = !value;
                    set(top + rows.reaching(y), value);
                    column.advance();
                }
            });
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

// Merges the boundaries of two columns, and looks only at output rows that straddle one or whose columns leave it open.
void blend_boundaries(const Blend& blend, Column first, Column second, std::int64_t source_height, std::int64_t height,
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
    fill(height);
}

// Looks at every output row, as two columns have many boundaries.
class BlendedPixels {
  public:
    BlendedPixels(const LinearRows& rows, Shape from, Shape to)
        : rows_(rows), source_height_(from.height), pixels_(static_cast<std::size_t>(to.height)) {}

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

void resize_linear(Source source, Shape from, Shape to, const LinearRows& rows, Writer& writer) {
    const LinearAxis columns(from.width, to.width, Edge::clamp_fraction);
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
            if (!pixels) pixels.emplace(rows, from, to);
            pixels->write(source, taps, top, writer);
        } else {
            const Column first = source.present();
            const Column second = source.column(taps.second);
            blend_boundaries(Blend(taps), first, second, from.height, to.height, rows, top, writer);
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
        coverage.add(source, changing != present, static_cast<std::uint64_t>(right - left));
        left = right;
    }
}

void resize_area(Source source, Shape from, Shape to, const AreaRows& rows, Writer& writer) {
    const auto cell = static_cast<std::uint64_t>(from.size());
    BoundaryCoverage boundaries(from, to, rows);
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

Resizer::Resizer(Shape from, Shape to, Interpolation interpolation, bool in_tables)
    : from_(from), to_(to), rows_(rows_for(from, to, interpolation, in_tables && !same(from, to))) {}

void Resizer::resize(const Run* runs, std::int64_t count, Boundaries& boundaries) const {
    const Source source(runs, count, from_);
    Writer writer(boundaries);
    if (same(from_, to_)) {
        // Every interpolation is a copy here; in huge masks rounded coordinates would not be.
        for (std::int64_t i = 0; i < count; ++i) {
            writer.set(runs[i].start, true);
            writer.set(runs[i].end, false);
        }
    } else if (const auto* nearest = std::get_if<NearestRows>(&rows_)) {
        resize_nearest(source, from_, to_, *nearest, writer);
    } else if (const auto* linear = std::get_if<LinearRows>(&rows_)) {
        resize_linear(source, from_, to_, *linear, writer);
    } else {
        resize_area(source, from_, to_, std::get<AreaRows>(rows_), writer);
    }
    writer.finish(to_.size());
}

void resize_runs(const Run* runs, std::int64_t count, Shape from, Shape to, Interpolation interpolation,
                 Boundaries& boundaries) {
    Resizer(from, to, interpolation, tables_pay(count, from, to)).resize(runs, count, boundaries);
}

}  // namespace cloudrle
