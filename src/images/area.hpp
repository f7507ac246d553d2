// Shrinking of images: every pixel becomes the mean of the area that it covers. Knows nothing of Python.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cloudseg {

constexpr int kChannels = 3;  // bytes of a pixel, side by side, as are the pixels of a row

struct Size {
    std::int64_t height;
    std::int64_t width;
};

struct ImageView {
    const std::uint8_t* data;
    Size size;
    std::ptrdiff_t row_stride;  // in bytes, of any sign
};

// Writes `size` pixels to `to`, row by row without gaps: the exact mean of the area, rounded, halves up. Neither side
// of `size` is zero, nor greater than that of `from`.
void shrink(const ImageView& from, Size size, std::uint8_t* to);

}  // namespace cloudseg
