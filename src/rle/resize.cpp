#include "rle/resize.hpp"

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "rle/axis.hpp"

namespace cloudrle {
namespace {

bool same(Shape a, Shape b) noexcept { return a.height == b.height && a.width == b.width; }

// A source row of 0 and 255, already resized along x.
struct LinearRow {
    std::int64_t source = -1;
    std::vector<std::int32_t> values;

    void fill(const MaskView& from, const std::vector<Taps>& columns, std::int64_t y) {
        source = y;
        values.resize(columns.size());
        const std::uint8_t* const row = from.data + y * from.row_stride;
        for (std::size_t x = 0; x < columns.size(); ++x) {
            const Taps& taps = columns[x];
            const std::int32_t first = row[taps.first * from.column_stride] != 0 ? 255 : 0;
            const std::int32_t second = row[taps.second * from.column_stride] != 0 ? 255 : 0;
            values[x] = first * taps.first_weight + second * taps.second_weight;
        }
    }
};

// OpenCV takes INTER_AREA for INTER_LINEAR here: the mean of four, rounded half up, passes 127 from two on.
void halve(const MaskView& from, const PixelView& to) noexcept {
    for (std::int64_t y = 0; y < to.shape.height; ++y) {
        const std::uint8_t* const upper = from.data + 2 * y * from.row_stride;
        const std::uint8_t* const lower = upper + from.row_stride;
        std::uint8_t* const out = to.data + y * to.row_stride;
        for (std::int64_t x = 0; x < to.shape.width; ++x) {
            const std::ptrdiff_t left = 2 * x * from.column_stride;
            const std::ptrdiff_t right = left + from.column_stride;
            const int set = (upper[left] != 0) + (upper[right] != 0) + (lower[left] != 0) + (lower[right] != 0);
            out[x * to.column_stride] = set >= 2;
        }
    }
}

// Adds to `covered` how much of the cells' row [top, bottom) lies on foreground in each source column.
void cover_rows(const MaskView& from, std::int64_t unit, std::int64_t top, std::int64_t bottom,
                std::vector<std::uint64_t>& covered) noexcept {
    for (std::int64_t y = top / unit; y * unit < bottom; ++y) {
        const auto weight = static_cast<std::uint64_t>(std::min(bottom, (y + 1) * unit) - std::max(top, y * unit));
        const std::uint8_t* const row = from.data + y * from.row_stride;
        for (std::size_t x = 0; x < covered.size(); ++x) {
            covered[x] += weight * (row[static_cast<std::ptrdiff_t>(x) * from.column_stride] != 0);
        }
    }
}

void resize_nearest(const MaskView& from, const PixelView& to) {
    const NearestAxis rows(from.shape.height, to.shape.height);
    const NearestAxis across(from.shape.width, to.shape.width);
    std::vector<std::int64_t> columns;
    for (std::int64_t x = 0; x < to.shape.width; ++x) columns.push_back(across.pixel(x));
    std::uint8_t* out_row = to.data;
    for (std::int64_t y = 0; y < to.shape.height; ++y) {
        const std::uint8_t* const row = from.data + rows.pixel(y) * from.row_stride;
        std::uint8_t* out = out_row;
        for (const std::int64_t x : columns) {
            *out = row[x * from.column_stride] != 0;
            out += to.column_stride;
        }
        out_row += to.row_stride;
    }
}

void resize_linear(const MaskView& from, const PixelView& to) {
    if (same(from.shape, to.shape)) return resize_nearest(from, to);
    if (same(from.shape, {2 * to.shape.height, 2 * to.shape.width})) return halve(from, to);
    const LinearAxis rows(from.shape.height, to.shape.height, Edge::clamp_indices);
    const LinearAxis across(from.shape.width, to.shape.width, Edge::clamp_fraction);
    std::vector<Taps> columns;
    for (std::int64_t x = 0; x < to.shape.width; ++x) columns.push_back(across.taps(x));
    LinearRow upper;
    LinearRow lower;
    std::uint8_t* out_row = to.data;
    for (std::int64_t y = 0; y < to.shape.height; ++y) {
        const Taps taps = rows.taps(y);
        if (upper.source != taps.first) std::swap(upper, lower);  // going down, the lower row often becomes the upper
        if (upper.source != taps.first) upper.fill(from, columns, taps.first);
        if (lower.source != taps.second) lower.fill(from, columns, taps.second);
        std::uint8_t* out = out_row;
        for (std::size_t x = 0; x < columns.size(); ++x, out += to.column_stride) {
            const std::int32_t first = (taps.first_weight * (upper.values[x] >> 4)) >> 16;
            const std::int32_t second = (taps.second_weight * (lower.values[x] >> 4)) >> 16;
            *out = ((first + second + 2) >> 2) > 127;
        }
        out_row += to.row_stride;
    }
}

void resize_area(const MaskView& from, const PixelView& to) {
    // With coordinates scaled by the target's size, a source pixel is `to` units long and a cell `from` units, and
    // every overlap is a whole number. Unsigned: the running sum may wrap, the difference of two is always right.
    const auto [rows, columns] = from.shape;
    const auto cell = static_cast<std::uint64_t>(from.shape.size());
    const std::int64_t unit = to.shape.width;
    std::vector<std::uint64_t> covered(static_cast<std::size_t>(columns));
    for (std::int64_t y = 0; y < to.shape.height; ++y) {
        std::fill(covered.begin(), covered.end(), 0);
        cover_rows(from, to.shape.height, y * rows, (y + 1) * rows, covered);
        std::uint8_t* out = to.data + y * to.row_stride;
        std::int64_t source = 0;   // the pixel that the cell's right edge falls in
        std::uint64_t whole = 0;   // sum over the pixels to its left
        std::uint64_t before = 0;  // sum up to the cell's left edge
        for (std::int64_t x = 0; x < to.shape.width; ++x, out += to.column_stride) {
            const std::int64_t right = (x + 1) * columns;
            for (; (source + 1) * unit <= right; ++source) {
                whole += covered[static_cast<std::size_t>(source)] * static_cast<std::uint64_t>(unit);
            }
            std::uint64_t sum = whole;
            if (const std::int64_t rest = right - source * unit; rest > 0) {
                sum += covered[static_cast<std::size_t>(source)] * static_cast<std::uint64_t>(rest);
            }
            *out = 2 * (sum - before) >= cell;
            before = sum;
        }
    }
}

}  // namespace

void resize_mask(const MaskView& from, const PixelView& to, Interpolation interpolation) {
    switch (interpolation) {
        case Interpolation::nearest:
            return resize_nearest(from, to);
        case Interpolation::linear:
            return resize_linear(from, to);
        case Interpolation::area:
            return resize_area(from, to);
    }
}

}  // namespace cloudrle
