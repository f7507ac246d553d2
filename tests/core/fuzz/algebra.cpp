// Set operations, measures and moves against the bits of the masks.
#include "rle/algebra.hpp"

#include <cmath>

#include "../guarded.hpp"
#include "../input.hpp"
#include "../plain.hpp"
#include "rle/moves.hpp"
#include "rle/overlaps.hpp"
#include "rle/transpose.hpp"

using namespace cloudrle;

namespace {

constexpr Operation kOperations[] = {Operation::both, Operation::either, Operation::one, Operation::first_alone};

bool plain_bit(Operation operation, bool a, bool b) {
    switch (operation) {
        case Operation::both:
            return a && b;
        case Operation::either:
            return a || b;
        case Operation::one:
            return a != b;
        case Operation::first_alone:
            return a && !b;
    }
    return false;
}

std::vector<Run> combined(const std::vector<Run>& a, const std::vector<Run>& b, Operation operation) {
    const auto first = Guarded<Run>(a);
    const auto second = Guarded<Run>(b);
    Boundaries boundaries;
    combine({first.data(), first.size()}, {second.data(), second.size()}, operation, boundaries);
    return runs_of(boundaries);
}

std::vector<Run> complemented(const std::vector<Run>& runs, std::int64_t size) {
    const auto guarded = Guarded<Run>(runs);
    Boundaries boundaries;
    complement({guarded.data(), guarded.size()}, size, boundaries);
    return runs_of(boundaries);
}

std::int64_t area_of(const std::vector<Run>& runs) { return area(runs.data(), static_cast<std::int64_t>(runs.size())); }

// Where a mask has so many pixels that nobody can look at each, laws of sets must do.
void obey_laws(const std::vector<Run>& a, const std::vector<Run>& b, Shape shape) {
    const std::int64_t size = shape.size();
    const std::vector<Run> either = combined(a, b, Operation::either);
    const std::vector<Run> both = combined(a, b, Operation::both);
    for (const Operation operation : kOperations) CHECK(is_valid(combined(a, b, operation), shape));
    CHECK(complemented(complemented(a, size), size) == a);
    CHECK(either == complemented(combined(complemented(a, size), complemented(b, size), Operation::both), size));
    CHECK(combined(either, both, Operation::first_alone) == combined(a, b, Operation::one));
    CHECK(combined(combined(a, b, Operation::one), b, Operation::one) == a);
    CHECK(combined(a, b, Operation::first_alone) == combined(a, complemented(b, size), Operation::both));
    CHECK(static_cast<__int128>(area_of(a)) + area_of(b) == static_cast<__int128>(area_of(either)) + area_of(both));
    CHECK(intersection(a.data(), view_of(a).count, b.data(), view_of(b).count) == area_of(both));
    if (a.empty()) return;
    const Box box = bounding_box(a.data(), view_of(a).count, shape.height);
    CHECK(0 <= box.top && box.top < box.bottom && box.bottom <= shape.height);
    CHECK(0 <= box.left && box.left < box.right && box.right <= shape.width);
    const Point centre = centroid(view_of(a), shape.height);
    CHECK(static_cast<double>(box.top) <= centre.y && centre.y <= static_cast<double>(box.bottom));
    CHECK(static_cast<double>(box.left) <= centre.x && centre.x <= static_cast<double>(box.right));
    Boundaries flipped;
    flip_rows(view_of(a), shape, flipped);
    const std::vector<Run> upside_down = runs_of(flipped);
    CHECK(is_valid(upside_down, shape) && area_of(upside_down) == area_of(a));
    flipped.clear();
    flip_rows(view_of(upside_down), shape, flipped);
    CHECK(runs_of(flipped) == a);
}

struct Both {
    std::vector<Run> runs;
    Dense pixels;
};

Both mask(Input& input, std::int64_t size) {
    const std::vector<Run> runs = input.runs(size);
    return {runs, plain_pixels(runs, size)};
}

void combine_bits(const std::vector<Both>& masks, std::int64_t size) {
    const Both& a = masks[0];
    const Both& b = masks[1];
    for (const Operation operation : kOperations) {
        Dense wanted(as_size(size));
        for (std::size_t i = 0; i < wanted.size(); ++i) wanted[i] = plain_bit(operation, a.pixels[i], b.pixels[i]);
        CHECK(combined(a.runs, b.runs, operation) == plain_runs(wanted));
    }
    for (const Operation operation : {Operation::both, Operation::either}) {
        std::vector<RunView> views;
        Dense wanted = a.pixels;
        for (const Both& mask : masks) {
            views.push_back(view_of(mask.runs));
            for (std::size_t i = 0; i < wanted.size(); ++i) wanted[i] = plain_bit(operation, wanted[i], mask.pixels[i]);
        }
        Boundaries boundaries;
        combine_all(views.data(), static_cast<std::int64_t>(views.size()), operation, boundaries);
        CHECK(runs_of(boundaries) == plain_runs(wanted));
    }
    Dense turned = a.pixels;
    for (std::uint8_t& pixel : turned) pixel ^= 1;
    CHECK(complemented(a.runs, size) == plain_runs(turned));
}

void measure(const Both& mask, Shape shape) {
    std::int64_t pixels = 0, rows = 0, columns = 0;
    Box box{shape.height, shape.width, 0, 0};
    for (std::int64_t i = 0; i < shape.size(); ++i) {
        if (mask.pixels[as_size(i)] == 0) continue;
        const std::int64_t y = i % shape.height;
        const std::int64_t x = i / shape.height;
        ++pixels;
        rows += y;
        columns += x;
        box = {std::min(box.top, y), std::min(box.left, x), std::max(box.bottom, y + 1), std::max(box.right, x + 1)};
    }
    CHECK(area_of(mask.runs) == pixels);
    if (pixels == 0) return;
    const Box found = bounding_box(mask.runs.data(), view_of(mask.runs).count, shape.height);
    CHECK(found.top == box.top && found.left == box.left && found.bottom == box.bottom && found.right == box.right);
    const Point centre = centroid(view_of(mask.runs), shape.height);
    CHECK(std::abs(centre.y - static_cast<double>(rows) / static_cast<double>(pixels)) < 1e-9);
    CHECK(std::abs(centre.x - static_cast<double>(columns) / static_cast<double>(pixels)) < 1e-9);
}

void overlap(const std::vector<Both>& masks, std::int64_t height, std::int64_t threads) {
    const auto count = static_cast<std::int64_t>(masks.size());
    std::vector<RunView> views;
    for (const Both& mask : masks) views.push_back(view_of(mask.runs));
    for (const Overlap kind : {Overlap::iou, Overlap::dice, Overlap::coverage}) {
        Guarded<double> matrix(count * count);
        overlap_matrix(views, views, height, std::vector<Overlap>(views.size(), kind), -1, threads, matrix.data());
        for (std::int64_t i = 0; i < count; ++i) {
            for (std::int64_t j = 0; j < count; ++j) {
                double shared = 0, first = 0, second = 0;
                for (std::size_t k = 0; k < masks[0].pixels.size(); ++k) {
                    first += masks[as_size(i)].pixels[k];
                    second += masks[as_size(j)].pixels[k];
                    shared += masks[as_size(i)].pixels[k] & masks[as_size(j)].pixels[k];
                }
                const double wanted = kind == Overlap::iou    ? shared / (first + second - shared)
                                      : kind == Overlap::dice ? 2 * shared / (first + second)
                                                              : shared / first;
                const double found = matrix[i * count + j];
                CHECK(first + second == 0 ? found == -1 : shared == 0 ? found == 0 : found == wanted);
            }
        }
    }
}

void move(const Both& mask, Shape shape, Input& input) {
    const auto pixel = [&](std::int64_t y, std::int64_t x) { return mask.pixels[as_size(x * shape.height + y)]; };
    const auto guarded = Guarded<Run>(mask.runs);
    const RunView view{guarded.data(), guarded.size()};
    Dense rows(mask.pixels.size()), columns(mask.pixels.size());
    for (std::int64_t x = 0; x < shape.width; ++x) {
        for (std::int64_t y = 0; y < shape.height; ++y) {
            rows[as_size(x * shape.height + y)] = pixel(shape.height - 1 - y, x);
            columns[as_size(x * shape.height + y)] = pixel(y, shape.width - 1 - x);
        }
    }
    Boundaries boundaries;
    flip_rows(view, shape, boundaries);
    CHECK(runs_of(boundaries) == plain_runs(rows));
    boundaries.clear();
    flip_columns(view, shape, boundaries);
    CHECK(runs_of(boundaries) == plain_runs(columns));
    boundaries.clear();
    transpose(view.runs, view.count, shape, boundaries);
    CHECK(runs_of(boundaries) == plain_runs(plain_transpose(mask.pixels, shape)));

    Box window{};
    window.top = input.below(shape.height + 1);
    window.bottom = window.top + input.below(shape.height - window.top + 1);
    window.left = input.below(shape.width + 1);
    window.right = window.left + input.below(shape.width - window.left + 1);
    const std::int64_t top = input.below(5);
    const std::int64_t left = input.below(5);
    const Shape to{window.bottom - window.top + top + input.below(5),
                   window.right - window.left + left + input.below(5)};
    Dense placed(as_size(to.size()), 0);
    for (std::int64_t x = window.left; x < window.right; ++x)
        for (std::int64_t y = window.top; y < window.bottom; ++y)
            placed[as_size((x - window.left + left) * to.height + y - window.top + top)] = pixel(y, x);
    boundaries.clear();
    place(view, shape.height, window, to, top, left, boundaries);
    CHECK(runs_of(boundaries) == plain_runs(placed));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input input(data, size);
    if (input.below(4) == 0) {
        const Shape shape = input.any_shape();
        const std::vector<Run> a = input.runs(shape.size());
        obey_laws(a, input.runs(shape.size()), shape);
        return 0;
    }
    const Shape shape = input.small_shape(100, 1 << 9);
    std::vector<Both> masks;
    for (std::int64_t count = 2 + input.below(3); count > 0; --count) masks.push_back(mask(input, shape.size()));
    combine_bits(masks, shape.size());
    for (const Both& mask : masks) measure(mask, shape);
    overlap(masks, shape.height, input.below(8) == 0 ? 3 : 1);
    move(masks[0], shape, input);
    return 0;
}
