// Masks of any element type and memory layout to runs and back, against one pixel after another.
#include <cstring>

#include "../guarded.hpp"
#include "../input.hpp"
#include "../plain.hpp"
#include "rle/many.hpp"
#include "rle/mask.hpp"

using namespace cloudrle;

namespace {

// Where the elements of a mask lie: byte offsets that need `bytes` in all.
struct Layout {
    Layout(Input& input, Shape shape, std::int64_t item) {
        const std::int64_t gap = item * input.below(3);    // between elements
        const std::int64_t wide_gap = input.below(3) * 5;  // between lines; items then lie unaligned
        const std::int64_t step = item + gap;
        const std::int64_t order = input.below(8);
        const bool by_rows = (order & 1) == 0;
        const std::int64_t line = step * (by_rows ? shape.width : shape.height) + wide_gap;
        row_stride = by_rows ? line : step;
        column_stride = by_rows ? step : line;
        const std::int64_t lines = by_rows ? shape.height : shape.width;
        if (shape.size() > 0) bytes = line * (lines - 1) + step * ((by_rows ? shape.width : shape.height) - 1) + item;
        if ((order & 2) != 0 && shape.size() > 0) {
            first += row_stride * (shape.height - 1);
            row_stride = -row_stride;
        }
        if ((order & 4) != 0 && shape.size() > 0) {
            first += column_stride * (shape.width - 1);
            column_stride = -column_stride;
        }
    }

    std::int64_t offset(std::int64_t y, std::int64_t x) const { return first + y * row_stride + x * column_stride; }

    std::int64_t bytes = 0;
    std::int64_t first = 0;
    std::ptrdiff_t row_stride = 0;
    std::ptrdiff_t column_stride = 0;
};

// Elements with some bit set where a pixel is; sign bits alone are no pixel where they are left out.
void write_elements(const Dense& pixels, Shape shape, const Layout& layout, std::size_t item, bool is_float,
                    std::uint64_t salt, std::uint8_t* bytes) {
    for (std::int64_t x = 0; x < shape.width; ++x) {
        for (std::int64_t y = 0; y < shape.height; ++y) {
            salt = salt * 6364136223846793005 + 1442695040888963407;
            const int bits = static_cast<int>(8 * item);
            const int bit = static_cast<int>((salt >> 33) % static_cast<std::uint64_t>(is_float ? bits - 1 : bits));
            std::uint64_t element = std::uint64_t{pixels[as_size(x * shape.height + y)]} << bit;
            if (is_float && (salt >> 62) != 0) element |= std::uint64_t{1} << (bits - 1);
            std::memcpy(bytes + layout.offset(y, x), &element, item);
        }
    }
}

void decode(const std::vector<Run>& runs, const Dense& pixels, Shape shape, const Layout& layout,
            std::int64_t threads) {
    const auto guarded = Guarded<Run>(runs);
    Dense wanted(as_size(layout.bytes), 0xee);  // the gaps keep what was there
    for (std::int64_t x = 0; x < shape.width; ++x)
        for (std::int64_t y = 0; y < shape.height; ++y)
            wanted[as_size(layout.offset(y, x))] = pixels[as_size(x * shape.height + y)];
    const Dense found = at_every_level([&] {
        Guarded<std::uint8_t> out(layout.bytes);
        if (layout.bytes > 0) std::memset(out.data(), 0xee, as_size(layout.bytes));
        const PixelView view{out.data() + layout.first, shape, layout.row_stride, layout.column_stride};
        decode_parted(guarded.data(), guarded.size(), view, threads);
        return Dense(out.data(), out.data() + out.size());
    });
    CHECK(found == wanted);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input input(data, size);
    const Shape shape = input.small_shape(3000, 1 << 12);
    const std::size_t item = std::size_t{1} << input.below(4);
    const bool is_float = item > 1 && input.flag();
    const Layout from(input, shape, static_cast<std::int64_t>(item));
    const Layout to(input, shape, 1);
    const std::uint64_t salt = input.number(2);
    const std::int64_t cut = shape.width == 0 ? 0 : input.below(shape.width + 1) / 64 * 64;
    const std::int64_t threads = 1 + input.below(2);
    // Runs, or where many are wanted, noise.
    Dense pixels = plain_pixels(input.runs(shape.size()), shape.size());
    if (const std::int64_t noise = input.below(256); noise > 128) {
        std::uint64_t state = salt;
        for (std::uint8_t& pixel : pixels) {
            state = state * 6364136223846793005 + 1442695040888963407;
            pixel ^= static_cast<std::int64_t>(state >> 57) < noise - 128;
        }
    }
    const std::vector<Run> wanted = plain_runs(pixels);

    Guarded<std::uint8_t> elements(from.bytes);
    write_elements(pixels, shape, from, item, is_float, salt, elements.data());
    const std::uint64_t significant = is_float ? ~(std::uint64_t{1} << (8 * item - 1)) : ~std::uint64_t{0};
    const MaskView view{elements.data() + from.first, shape, from.row_stride, from.column_stride, item, significant};
    CHECK(at_every_level([&] {
              Boundaries boundaries;
              encode_parted(view, threads, boundaries);
              return runs_of(boundaries);
          }) == wanted);
    // In two parts, as threads take them.
    CHECK(at_every_level([&] {
              Boundaries boundaries;
              encode_mask(view, {0, cut}, boundaries);
              encode_mask(view, {cut, shape.width}, boundaries);
              return runs_of(boundaries);
          }) == wanted);
    decode(wanted, pixels, shape, to, threads);
    return 0;
}
