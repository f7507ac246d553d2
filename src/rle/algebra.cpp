#include "rle/algebra.hpp"

#include <algorithm>

namespace cloudrle {

std::int64_t area(const Run* runs, std::int64_t count) noexcept {
    std::int64_t pixels = 0;
    for (std::int64_t i = 0; i < count; ++i) pixels += runs[i].end - runs[i].start;
    return pixels;
}

Box bounding_box(const Run* runs, std::int64_t count, std::int64_t height) noexcept {
    Box box{height, runs[0].start / height, 0, (runs[count - 1].end - 1) / height + 1};
    std::int64_t column = box.left * height;  // number of the column's top pixel
    for (std::int64_t i = 0; i < count; ++i) {
        const auto [start, end] = runs[i];
        if (start >= column + height) column = start / height * height;
        if (end > column + height) return {0, box.left, height, box.right};  // it takes in a bottom and a top pixel
        box.top = std::min(box.top, start - column);
        box.bottom = std::max(box.bottom, end - column);
    }
    return box;
}

std::int64_t intersection(const Run* a, std::int64_t a_count, const Run* b, std::int64_t b_count) noexcept {
    const Run* const a_last = a + a_count;
    const Run* const b_last = b + b_count;
    std::int64_t pixels = 0;
    while (a != a_last && b != b_last) {
        pixels += std::max<std::int64_t>(0, std::min(a->end, b->end) - std::max(a->start, b->start));
        if (a->end < b->end) {
            ++a;
        } else {
            ++b;
        }
    }
    return pixels;
}

}  // namespace cloudrle
