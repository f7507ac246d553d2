// Masks on several threads: a large one parted between them, or many, each on the thread that reads or writes its text.
// What comes out does not depend on the number of threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "rle/buffer.hpp"
#include "rle/mask.hpp"
#include "rle/resize.hpp"
#include "rle/resize_runs.hpp"
#include "rle/run.hpp"

namespace cloudrle {

// As encode_mask and decode_mask of all columns. Scratch space on several threads: the boundaries once more.
void encode_parted(const MaskView& mask, std::int64_t threads, Boundaries& boundaries);
void decode_parted(const Run* runs, std::int64_t count, const PixelView& mask, std::int64_t threads);

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

// Masks to be painted from run lists of another shape, or of the same.
class Canvas {
  public:
    Canvas(Shape from, Interpolation how, Stack<PixelView> masks);

    std::int64_t count() const noexcept { return masks_.count; }
    void paint(std::int64_t i, const Run* runs, std::int64_t count) const;

  private:
    Stack<PixelView> masks_;
    std::optional<Resizer> resizer_;
};

}  // namespace cloudrle
