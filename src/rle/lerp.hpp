// Kernels of bilinear interpolation: they make a strip of 64 output columns of every class, a row at a time. Each is
// compiled for each level, and as none fuses a product with a sum, all levels compute the same bits.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cloudrle {

constexpr int kStripColumns = 64;  // a word has one bit for each
constexpr int kPlanePadding = 32;  // floats after a plane that a kernel may read, but doesn't use

// Pixels of a row of probabilities: float32, or bytes that stand for 255ths. Strides are in bytes.
struct PixelSpan {
    const std::uint8_t* data;
    std::int64_t columns;
    std::int64_t classes;
    std::ptrdiff_t column_stride;
    std::ptrdiff_t class_stride;
    bool bytes;
};

// Column x of the strip lies between the source columns indices[x] and indices[x] + 1. There are entries for 64.
struct ColumnTaps {
    const std::int32_t* indices;
    const float* first_weights;
    const float* second_weights;
    int columns;
};

// Two rows of a strip, one class after another, and where between them the output lies.
struct RowPair {
    const float* upper;
    const float* lower;
    float upper_weight;
    float lower_weight;
};

struct LerpKernels {
    // One plane for each class, `pitch` floats apart.
    void (*split)(const PixelSpan& pixels, float* planes, std::ptrdiff_t pitch);

    // Planes to a row of a strip.
    void (*stretch)(const float* planes, std::ptrdiff_t pitch, std::int64_t classes, const ColumnTaps& taps,
                    float* row);

    // Two rows of a strip to one word for each class, `word_pitch` words apart: bit x is set where column x reaches the
    // class's threshold. Bits past `columns` mean nothing.
    void (*compare)(const RowPair& rows, int columns, const float* thresholds, std::int64_t classes,
                    std::uint64_t* words, std::ptrdiff_t word_pitch);
};

// Those of the level in use.
const LerpKernels& lerp_kernels() noexcept;

}  // namespace cloudrle
