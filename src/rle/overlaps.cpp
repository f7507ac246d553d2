#include "rle/overlaps.hpp"

#include <algorithm>
#include <cstddef>

#include "rle/algebra.hpp"
#include "rle/threads.hpp"

namespace cloudrle {
namespace {

struct Measured {
    RunView mask;
    Box box;  // of no size where the mask is empty
    std::int64_t area;
};

std::vector<Measured> measure(const std::vector<RunView>& masks, std::int64_t height) {
    std::vector<Measured> measured;
    measured.reserve(masks.size());
    for (const RunView mask : masks) {
        const Box box = mask.count > 0 ? bounding_box(mask.runs, mask.count, height) : Box{0, 0, 0, 0};
        measured.push_back({mask, box, area(mask.runs, mask.count)});
    }
    return measured;
}

bool are_apart(const Box& a, const Box& b) noexcept {
    // Not &&, which jumps: most pairs are apart, but nobody knows on which side.
    return (a.right <= b.left) | (b.right <= a.left) | (a.bottom <= b.top) | (b.bottom <= a.top);
}

double score(const Measured& a, const Measured& b, Overlap overlap) noexcept {
    using Pixels = std::uint64_t;  // the sum of two areas may not fit in an int64
    const auto shared = static_cast<Pixels>(intersection(a.mask.runs, a.mask.count, b.mask.runs, b.mask.count));
    if (shared == 0) return 0;
    const auto ratio = [](Pixels part, Pixels whole) { return static_cast<double>(part) / static_cast<double>(whole); };
    if (overlap == Overlap::coverage) return ratio(shared, static_cast<Pixels>(a.area));
    const Pixels total = static_cast<Pixels>(a.area) + static_cast<Pixels>(b.area);
    return overlap == Overlap::iou ? ratio(shared, total - shared) : ratio(2 * shared, total);
}

std::int64_t total_runs(const std::vector<RunView>& masks) noexcept {
    std::int64_t runs = 0;
    for (const RunView mask : masks) runs += mask.count;
    return runs;
}

}  // namespace

void overlap_matrix(const std::vector<RunView>& a, const std::vector<RunView>& b, std::int64_t height,
                    const std::vector<Overlap>& overlaps, double both_empty, std::int64_t threads, double* matrix) {
    const auto rows = static_cast<std::int64_t>(a.size());
    const auto columns = static_cast<std::int64_t>(b.size());
    const std::vector<Measured> from = measure(a, height);
    const std::vector<Measured> to = measure(b, height);
    // A thread costs some ten microseconds to start, in which one walks through so many runs.
    constexpr std::int64_t few = 1 << 16;
    if (columns * (total_runs(a) + rows) + rows * total_runs(b) < few) threads = 1;
    for_each_group(rows, threads, [&](std::int64_t, std::int64_t first, std::int64_t last) {
        for (std::int64_t i = first; i < last; ++i) {
            const Measured& mask = from[static_cast<std::size_t>(i)];
            double* const row = matrix + i * columns;
            for (std::int64_t j = 0; j < columns; ++j) {
                const Measured& other = to[static_cast<std::size_t>(j)];
                if (are_apart(mask.box, other.box)) {
                    row[j] = (mask.area | other.area) == 0 ? both_empty : 0;
                } else {
                    row[j] = score(mask, other, overlaps[static_cast<std::size_t>(j)]);
                }
            }
        }
    });
}

void coco_box_overlaps(const double* a, std::int64_t a_count, const double* b, std::int64_t b_count, const bool* crowd,
                       double* matrix) {
    // One side of all boxes after the other, so that the loop over them goes by vectors.
    const auto count = static_cast<std::size_t>(a_count);
    std::vector<double> sides(5 * count);
    double* const left = sides.data();
    double* const top = left + count;
    double* const right = top + count;
    double* const bottom = right + count;
    double* const own = bottom + count;
    for (std::size_t i = 0; i < count; ++i) {
        const double* const box = a + 4 * i;
        left[i] = box[0];
        top[i] = box[1];
        right[i] = box[2] + box[0];
        bottom[i] = box[3] + box[1];
        own[i] = box[2] * box[3];
    }
    for (std::int64_t j = 0; j < b_count; ++j, matrix += a_count) {
        const double* const other = b + 4 * j;
        const double other_left = other[0];
        const double other_top = other[1];
        const double other_right = other[2] + other[0];
        const double other_bottom = other[3] + other[1];
        const double others = crowd[j] ? 0 : other[2] * other[3];
        const double counted = crowd[j] ? 0 : 1;  // how often what both share is taken from the sum of the areas
        for (std::size_t i = 0; i < count; ++i) {
            const double width = std::min(right[i], other_right) - std::max(left[i], other_left);
            const double height = std::min(bottom[i], other_bottom) - std::max(top[i], other_top);
            const double shared = width * height;
            const double ratio = shared / (own[i] + others - counted * shared);
            matrix[i] = std::min(width, height) > 0 ? ratio : 0;
        }
    }
}

}  // namespace cloudrle
