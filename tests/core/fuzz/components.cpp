// Connected components, holes and outlines against a flood of pixels.
#include "rle/components.hpp"

#include <map>

#include "../guarded.hpp"
#include "../input.hpp"
#include "../plain.hpp"
#include "rle/outline.hpp"

using namespace cloudrle;

namespace {

// Numbers pixels of value 1 by component, in the order of their first pixels; -1 elsewhere.
std::vector<std::int64_t> flood(const Dense& pixels, Shape shape, bool corners, std::int64_t& count) {
    std::vector<std::int64_t> labels(pixels.size(), -1);
    count = 0;
    std::vector<std::int64_t> wet;
    for (std::int64_t i = 0; i < shape.size(); ++i) {
        if (pixels[as_size(i)] == 0 || labels[as_size(i)] >= 0) continue;
        labels[as_size(i)] = count;
        wet.push_back(i);
        while (!wet.empty()) {
            const std::int64_t y = wet.back() % shape.height;
            const std::int64_t x = wet.back() / shape.height;
            wet.pop_back();
            for (std::int64_t v = std::max<std::int64_t>(y - 1, 0); v <= std::min(y + 1, shape.height - 1); ++v) {
                for (std::int64_t u = std::max<std::int64_t>(x - 1, 0); u <= std::min(x + 1, shape.width - 1); ++u) {
                    const std::int64_t other = u * shape.height + v;
                    if (!corners && v != y && u != x) continue;
                    if (pixels[as_size(other)] == 0 || labels[as_size(other)] >= 0) continue;
                    labels[as_size(other)] = count;
                    wet.push_back(other);
                }
            }
        }
        ++count;
    }
    return labels;
}

std::vector<Dense> plain_components(const Dense& pixels, Shape shape, bool corners) {
    std::int64_t count = 0;
    const std::vector<std::int64_t> labels = flood(pixels, shape, corners, count);
    std::vector<Dense> components(as_size(count), Dense(pixels.size(), 0));
    for (std::size_t i = 0; i < pixels.size(); ++i)
        if (labels[i] >= 0) components[as_size(labels[i])][i] = 1;
    return components;
}

std::int64_t area_of(const Dense& pixels) { return std::count(pixels.begin(), pixels.end(), 1); }

void add(const Dense& component, Dense& pixels) {
    for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] |= component[i];
}

bool touches_border(const Dense& pixels, Shape shape) {
    for (std::int64_t i = 0; i < shape.size(); ++i) {
        const std::int64_t y = i % shape.height;
        const std::int64_t x = i / shape.height;
        const bool border = y == 0 || x == 0 || y == shape.height - 1 || x == shape.width - 1;
        if (border && pixels[as_size(i)] != 0) return true;
    }
    return false;
}

// Each ring toggles what lies to the right of its vertical edges.
void check_outlines(RunView mask, const std::vector<Dense>& components, Shape shape) {
    const Outlines outlines = trace_outlines(mask, shape.height);
    const std::int64_t* const numbers = outlines.coordinates.data();
    std::vector<Dense> filled(components.size(), Dense(as_size(shape.size()), 0));
    std::int64_t first = 0;
    std::int64_t known = 0;  // components so far
    for (const auto [component, end] : outlines.rings) {
        CHECK(component <= known);
        known = std::max(known, component + 1);
        const std::int64_t vertices = (end - first) / 2;
        CHECK(vertices >= 4);
        for (std::int64_t i = 0; i < vertices; ++i) {
            const std::int64_t* const from = numbers + first + 2 * i;
            const std::int64_t* const to = numbers + first + 2 * ((i + 1) % vertices);
            CHECK((from[0] == to[0]) != (from[1] == to[1]));
            if (from[0] != to[0]) continue;
            for (std::int64_t y = std::min(from[1], to[1]); y < std::max(from[1], to[1]); ++y)
                for (std::int64_t x = from[0]; x < shape.width; ++x)
                    filled[as_size(component)][as_size(x * shape.height + y)] ^= 1;
        }
        first = end;
    }
    CHECK(known == static_cast<std::int64_t>(components.size()));
    CHECK(filled == components);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input input(data, size);
    const bool huge = input.below(8) == 0;
    const Shape shape = huge ? input.any_shape() : input.small_shape(64, 1 << 9);
    const std::vector<Run> runs = input.runs(shape.size());
    const auto guarded = Guarded<Run>(runs);
    const RunView mask{guarded.data(), guarded.size()};
    const std::int64_t limit = input.below(20);
    Boundaries large;
    remove_small(mask, shape.height, limit, large);
    Boundaries whole;
    fill_holes(mask, shape, limit, whole);
    CHECK(is_valid(runs_of(large), shape) && is_valid(runs_of(whole), shape));
    if (huge) {
        std::int64_t total = 0;
        for (const Boundaries& component : split_components(mask, shape.height, Connectivity::edges)) {
            CHECK(is_valid(runs_of(component), shape));
            total += component.size() / 2;
        }
        CHECK(total >= mask.count);
        trace_outlines(mask, shape.height);
        return 0;
    }
    const Dense pixels = plain_pixels(runs, shape.size());
    Dense kept(pixels.size(), 0);
    for (const bool corners : {false, true}) {
        const std::vector<Dense> wanted = plain_components(pixels, shape, corners);
        const auto found =
            split_components(mask, shape.height, corners ? Connectivity::edges_and_corners : Connectivity::edges);
        CHECK(found.size() == wanted.size());
        for (std::size_t i = 0; i < found.size(); ++i) CHECK(runs_of(found[i]) == plain_runs(wanted[i]));
        if (!corners) check_outlines(mask, wanted, shape);
        if (!corners) continue;
        for (const Dense& component : wanted)
            if (area_of(component) >= limit) add(component, kept);
    }
    CHECK(runs_of(large) == plain_runs(kept));

    Dense background = pixels;
    for (std::uint8_t& pixel : background) pixel ^= 1;
    Dense filled = pixels;
    for (const Dense& hole : plain_components(background, shape, false))
        if (!touches_border(hole, shape) && area_of(hole) <= limit) add(hole, filled);
    CHECK(runs_of(whole) == plain_runs(filled));
    return 0;
}
