#include "rle/cvat.hpp"

#include <algorithm>
#include <cstddef>
#include <memory>

#include "rle/algebra.hpp"
#include "rle/coco.hpp"

namespace cloudrle {
namespace {

constexpr std::int64_t kSides = 4;

// Where the pixels of the box lie in the mask.
void append_box_runs(const Run* runs, std::int64_t count, const Box& box, std::int64_t width, Boundaries& rows) {
    const std::int64_t box_width = box.right - box.left;
    const std::int64_t first = box.top * width + box.left;
    if (box_width == width) {
        for (std::int64_t i = 0; i < count; ++i) append_run(first + runs[i].start, first + runs[i].end, rows);
        return;
    }
    for (std::int64_t i = 0; i < count; ++i) {
        auto [start, end] = runs[i];
        if (end - start > box_width) make_room_for_runs((end - start) / box_width + 2, rows);
        while (start < end) {
            const std::int64_t row = start / box_width;
            const std::int64_t stop = std::min(end, (row + 1) * box_width);
            const std::int64_t shift = first + row * (width - box_width);
            append_run(shift + start, shift + stop, rows);
            start = stop;
        }
    }
}

// Runs of the mask, as they lie in a box round all of them.
void append_runs_in_box(const Run* rows, std::int64_t count, const Box& box, std::int64_t width, Boundaries& runs) {
    const auto in_box = [&](std::int64_t pixel) {
        const std::int64_t row = pixel / width;
        return (row - box.top) * (box.right - box.left) + pixel - row * width - box.left;
    };
    for (std::int64_t i = 0; i < count; ++i) append_run(in_box(rows[i].start), in_box(rows[i].end - 1) + 1, runs);
}

}  // namespace

Result parse_cvat(const std::int64_t* numbers, std::int64_t length, Shape shape, Boundaries& rows) {
    if (length <= kSides) return {Error::cvat_too_short, 0, length, 0, length};
    const std::int64_t counts = length - kSides;
    const std::int64_t* const sides = numbers + counts;
    for (std::int64_t i = 0; i < kSides; ++i) {
        const bool outside = sides[i] < 0 || sides[i] >= (i % 2 == 0 ? shape.width : shape.height);
        if (outside) return {Error::cvat_outside, 0, counts + i, counts + i + 1, sides[i]};
    }
    for (std::int64_t i = 0; i < 2; ++i)
        if (sides[i + 2] < sides[i]) return {Error::cvat_backwards, 0, counts + i + 2, 0, sides[i + 2], sides[i]};
    const Box box{sides[1], sides[0], sides[3] + 1, sides[2] + 1};
    const Shape inside{box.bottom - box.top, box.right - box.left};

    const std::unique_ptr<Run[]> runs(new Run[static_cast<std::size_t>(counts / 2)]);
    Result result = parse_counts(numbers, counts, inside, runs.get());
    if (result.error == Error::count_past_end) result.error = Error::cvat_count_past_end;
    if (result.error == Error::counts_too_short) result.error = Error::cvat_counts_too_short;
    result.other = inside.size();
    if (result.error != Error::none) return result;
    const std::int64_t before = rows.size();
    append_box_runs(runs.get(), result.count, box, shape.width, rows);
    return {Error::none, (rows.size() - before) / 2};
}

Result write_cvat(const Run* rows, std::int64_t count, Shape shape, Buffer<std::int64_t>& numbers) {
    if (shape.size() == 0) return {Error::cvat_no_pixels};
    Box box{0, 0, 1, 1};
    if (count > 0) {
        const Box turned = bounding_box(rows, count, shape.width);  // of the transpose, whose columns are our rows
        box = {turned.left, turned.top, turned.right, turned.bottom};
    }
    const std::int64_t size = (box.bottom - box.top) * (box.right - box.left);
    Boundaries boundaries;
    append_runs_in_box(rows, count, box, shape.width, boundaries);
    const auto* const runs = reinterpret_cast<const Run*>(boundaries.data());
    const std::int64_t length = counts_length(runs, boundaries.size() / 2, size);
    write_counts(runs, boundaries.size() / 2, size, numbers.room(length));
    numbers.add(length);
    std::int64_t* const sides = numbers.room(kSides);
    sides[0] = box.left;
    sides[1] = box.top;
    sides[2] = box.right - 1;
    sides[3] = box.bottom - 1;
    numbers.add(kSides);
    return {};
}

}  // namespace cloudrle
