// Many masks at once, on several threads. A large mask is parted between them, and small ones are worked on in groups;
// what comes out does not depend on the number of threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "rle/buffer.hpp"
#include "rle/mask.hpp"
#include "rle/resize.hpp"
#include "rle/run.hpp"

namespace cloudrle {

struct RunSpan {
    const Run* data;
    std::int64_t count;
};

// Masks of one shape, at a stride.
template <class View>
struct Stack {
    View first;
    std::int64_t count;
    std::ptrdiff_t stride;

    View operator[](std::int64_t i) const noexcept {
        View view = first;
        view.data += i * stride;
        return view;
    }
};

// The boundaries of the first masks, and how many runs there are after each: of as many masks as make up a block, so
// that memory stays bounded, and of at least one.
struct Encoded {
    Boundaries boundaries;
    std::vector<std::int64_t> offsets{0};
};
Encoded encode_masks(const Stack<MaskView>& masks, std::int64_t threads);

// Writes a mask from each of the run lists. Scratch space: 8 bytes per row and thread.
void decode_masks(const std::vector<RunSpan>& runs, const Stack<PixelView>& masks, std::int64_t threads);

// Masks to be painted from run lists of another shape, or of the same.
struct Canvas {
    Shape from;
    Interpolation how;
    Stack<PixelView> masks;

    void paint(std::int64_t i, const Run* runs, std::int64_t count) const;
};

}  // namespace cloudrle
