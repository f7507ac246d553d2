// Resizing of masks. `from` holds bytes, foreground where not zero; neither shape has a zero side, and every side is
// below 2^31. nearest and linear are bit-equal to OpenCV.
#pragma once

#include "rle/mask.hpp"

namespace cloudrle {

enum class Interpolation {
    nearest,  // OpenCV's INTER_NEAREST
    linear,   // OpenCV's INTER_LINEAR on the mask as 0 and 255, then > 127
    area,     // foreground where at least half of the cell is covered, exactly
};

void resize_mask(const MaskView& from, const PixelView& to, Interpolation interpolation);

}  // namespace cloudrle
