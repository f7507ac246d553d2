#include "rle/many.hpp"

#include <algorithm>
#include <vector>

#include "rle/mask_kernels.hpp"
#include "rle/threads.hpp"

namespace cloudrle {
namespace {

std::size_t as_size(std::int64_t count) noexcept { return static_cast<std::size_t>(count); }

// Whole strips of columns, some ten microseconds of work each: less is not worth sharing.
std::vector<Columns> parts_of(Shape shape, std::int64_t threads) {
    constexpr std::int64_t pixels = std::int64_t{1} << 18;
    if (threads == 1 || shape.size() <= pixels) return {all_columns(shape)};
    const std::int64_t step = std::max<std::int64_t>(pixels / (shape.height * kColumns), 1) * kColumns;
    std::vector<Columns> parts;
    for (std::int64_t x = 0; x < shape.width; x += step) parts.push_back({x, std::min(x + step, shape.width)});
    return parts;
}

}  // namespace

void encode_parted(const MaskView& mask, std::int64_t threads, Boundaries& boundaries) {
    const std::vector<Columns> parts = parts_of(mask.shape, threads);
    if (parts.size() == 1) return encode_mask(mask, parts[0], boundaries);
    std::vector<Boundaries> found(parts.size());
    const auto count = static_cast<std::int64_t>(parts.size());
    for_each_index(count, threads, [&](std::int64_t i) { encode_mask(mask, parts[as_size(i)], found[as_size(i)]); });
    for (const Boundaries& part : found) {
        std::copy_n(part.data(), part.size(), boundaries.room(part.size()));
        boundaries.add(part.size());
    }
}

void decode_parted(const Run* runs, std::int64_t count, const PixelView& mask, std::int64_t threads) {
    const std::vector<Columns> parts = parts_of(mask.shape, threads);
    for_each_index(static_cast<std::int64_t>(parts.size()), threads,
                   [&](std::int64_t i) { decode_mask(runs, count, mask, parts[as_size(i)]); });
}

Canvas::Canvas(Shape from, Interpolation how, Stack<PixelView> masks) : masks_(masks) {
    const Shape to = masks.first.shape;
    if (from.height == to.height && from.width == to.width) return;
    constexpr std::int64_t rows_per_mask = 1024;  // so that tables of huge shapes are not made for a few masks
    resizer_.emplace(from, to, how, from.height + to.height <= rows_per_mask * masks.count);
}

void Canvas::paint(std::int64_t i, const Run* runs, std::int64_t count) const {
    const PixelView mask = masks_[i];
    const Columns columns = all_columns(mask.shape);
    if (!resizer_) return decode_mask(runs, count, mask, columns);
    Boundaries boundaries;
    resizer_->resize(runs, count, boundaries);
    decode_mask(reinterpret_cast<const Run*>(boundaries.data()), boundaries.size() / 2, mask, columns);
}

}  // namespace cloudrle
