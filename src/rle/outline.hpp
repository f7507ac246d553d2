// Runs to polygons along the edges of pixels.
#pragma once

#include <cstdint>
#include <vector>

#include "rle/buffer.hpp"
#include "rle/run.hpp"

namespace cloudrle {

struct Outlines {
    struct Ring {
        std::int64_t component;  // counted from 0
        std::int64_t end;        // in `coordinates`; it begins where the ring before it ends
    };

    Boundaries coordinates;   // x and y of each vertex
    std::vector<Ring> rings;  // in the order of their first pixels: of each component the outer ring comes first
};

// Rings round the components of pixels that share edges. The foreground lies on the right hand as seen on a screen, so
// that outer rings go clockwise and holes counterclockwise. No ring touches itself.
Outlines trace_outlines(RunView mask, std::int64_t height);

}  // namespace cloudrle
