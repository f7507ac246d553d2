// Resizing of masks. `from` holds bytes, foreground where not zero; neither shape has a zero side, and every side is
// below 2^31. nearest and linear are bit-equal to OpenCV.
#pragma once

#include "rle/mask.hpp"

namespace cloudrle {

// OpenCV's INTER_NEAREST.
void resize_nearest(const MaskView& from, const PixelView& to);

// OpenCV's INTER_LINEAR on the mask as 0 and 255, then > 127.
void resize_linear(const MaskView& from, const PixelView& to);

// Foreground where at least half of the cell is covered, exactly.
void resize_area(const MaskView& from, const PixelView& to);

}  // namespace cloudrle
