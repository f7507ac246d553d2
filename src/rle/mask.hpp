// Masks <-> runs. A column-major boundary in a C-order array is where a row differs from the row above, so strips of 64
// columns are read and written row by row, one 64-bit word per row, and nothing is ever transposed.
#pragma once

#include <cstddef>
#include <cstdint>

#include "rle/buffer.hpp"
#include "rle/run.hpp"

namespace cloudrle {

// A mask of any element type, order and (byte) strides. An element is foreground where any significant bit is set.
struct MaskView {
    const std::uint8_t* data;
    Shape shape;
    std::ptrdiff_t row_stride;
    std::ptrdiff_t column_stride;
    std::size_t item_size;      // 1, 2, 4 or 8
    std::uint64_t significant;  // leaves out the sign of a float, so that -0.0 is background
};

// A mask of 0 and 1 to be written.
struct PixelView {
    std::uint8_t* data;
    Shape shape;
    std::ptrdiff_t row_stride;
    std::ptrdiff_t column_stride;
};

// Columns first .. last - 1 of a mask. Those that part a mask leave the same boundaries, or pixels, as the whole.
struct Columns {
    std::int64_t first;
    std::int64_t last;
};

constexpr Columns all_columns(Shape shape) noexcept { return {0, shape.width}; }

// Appends the boundaries that lie in these columns; of a whole mask they are its runs: start, end, start, end, ...
// Scratch space: 24 bytes per row.
void encode_mask(const MaskView& mask, Columns columns, Boundaries& boundaries);

// Writes every pixel of these columns. Scratch space: 8 bytes per row, or 512 KiB where that is more.
void decode_mask(const Run* runs, std::int64_t count, const PixelView& mask, Columns columns);

}  // namespace cloudrle
