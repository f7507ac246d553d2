#include "rle/polygon.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <utility>

namespace cloudrle {
namespace {

// COCO rounds vertices to a grid five times as fine as the pixels, and walks along the edges there. Where the walk goes
// from one fine column to the next in the middle of a pixel, between 5 x + 2 and 5 x + 3, the mask changes in column x.
constexpr int kFine = 5;
constexpr int kMiddle = 2;

struct Vertex {
    std::int64_t x;
    std::int64_t y;
};

// As C does it: towards zero.
std::int64_t truncate(double number) noexcept { return static_cast<std::int64_t>(number); }

Vertex fine_vertex(const double* vertex) noexcept {
    return {truncate(kFine * vertex[0] + .5), truncate(kFine * vertex[1] + .5)};
}

// Appends the positions where one polygon after the other changes the mask.
class Edges {
  public:
    Edges(Shape shape, Boundaries& positions) noexcept
        : shape_(shape), height_(static_cast<double>(shape.height)), positions_(positions) {}

    void add(Vertex from, Vertex to) {
        const std::int64_t wide = std::abs(to.x - from.x);
        const std::int64_t high = std::abs(to.y - from.y);
        if (wide >= high ? from.x > to.x : from.y > to.y) std::swap(from, to);
        const std::int64_t left = std::min(from.x, to.x) - kMiddle;
        const std::int64_t right = std::max(from.x, to.x) - kMiddle - 1;
        if (right < 0) return;
        const std::int64_t first = left <= 0 ? 0 : (left + kFine - 1) / kFine;
        const std::int64_t last = std::min(right / kFine, shape_.width - 1);
        if (last < first) return;
        next_ = positions_.room(last - first + 1);  // for all of them, or none
        positions_.add(last - first + 1);
        if (wide >= high) {
            add_flat(from, to, wide, first, last);
        } else {
            add_steep(from, to, high, first, last);
        }
    }

  private:
    // One step for each fine column.
    void add_flat(Vertex from, Vertex to, std::int64_t wide, std::int64_t first, std::int64_t last) {
        const double slope = static_cast<double>(to.y - from.y) / static_cast<double>(wide);
        const auto row = [&](std::int64_t step) {
            return truncate(static_cast<double>(from.y) + slope * static_cast<double>(step) + .5);
        };
        for (std::int64_t x = first; x <= last; ++x) {
            const std::int64_t step = kFine * x + kMiddle - from.x;
            put(x, std::min(row(step), row(step + 1)));
        }
    }

    // The first step that has passed a place, or the last of all. Far out, where doubles are coarse, it may lie far
    // from where the slope says.
    template <class Passed>
    static std::int64_t first_step(std::int64_t last, const Passed& passed) {
        std::int64_t first = 1;
        while (first < last) {
            const std::int64_t middle = first + (last - first) / 2;
            if (passed(middle)) {
                last = middle;
            } else {
                first = middle + 1;
            }
        }
        return first;
    }

    // One step for each fine row; the one that changes the column is mostly that which the slope says.
    void add_steep(Vertex from, Vertex to, std::int64_t high, std::int64_t first, std::int64_t last) {
        const double slope = static_cast<double>(to.x - from.x) / static_cast<double>(high);
        for (std::int64_t x = first; x <= last; ++x) {
            const std::int64_t before = kFine * x + kMiddle;
            const auto passed = [&](std::int64_t step) {
                const std::int64_t column =
                    truncate(static_cast<double>(from.x) + slope * static_cast<double>(step) + .5);
                return (column > before) == (slope > 0);
            };
            const double estimate = (static_cast<double>(before - from.x) + .5) / slope;
            std::int64_t step = std::clamp<std::int64_t>(truncate(estimate) + 1, 1, high);
            if ((step > 1 && passed(step - 1)) || (step < high && !passed(step))) step = first_step(high, passed);
            put(x, from.y + step - 1);
        }
    }

    void put(std::int64_t x, std::int64_t fine_row) {
        const double row = (static_cast<double>(fine_row) + .5) / kFine - .5;
        *next_++ = x * shape_.height + truncate(std::ceil(std::clamp(row, 0.0, height_)));
    }

    Shape shape_;
    double height_;
    Boundaries& positions_;
    std::int64_t* next_ = nullptr;  // where in it the next one goes
};

}  // namespace

void fill_polygon(const double* vertices, std::int64_t count, Shape shape, Boundaries& boundaries) {
    const std::int64_t before = boundaries.size();
    Edges edges(shape, boundaries);
    for (std::int64_t i = 0; i < count; ++i) {
        edges.add(fine_vertex(vertices + 2 * i), fine_vertex(vertices + 2 * ((i + 1) % count)));
    }
    std::int64_t* const last = boundaries.room(0);
    std::int64_t* const first = last - (boundaries.size() - before);
    std::sort(first, last);
    std::int64_t* kept = first;
    for (const std::int64_t* position = first; position != last; ++position) {
        if (position + 1 != last && position[0] == position[1]) {
            ++position;  // two changes at one place are none
        } else {
            *kept++ = *position;
        }
    }
    boundaries.add(kept - last);
}

}  // namespace cloudrle
