// Polygons against COCO's rule, written down as its reference does it: every step along every edge.
#include <cmath>
#include <cstring>

#include "../guarded.hpp"
#include "../input.hpp"
#include "../plain.hpp"
#include "rle/polygon.hpp"

using namespace cloudrle;

namespace {

// rleFrPoly of pycocotools, with 64 bits.
std::vector<Run> plain_fill(const std::vector<double>& vertices, Shape shape) {
    const std::size_t count = vertices.size() / 2;
    std::vector<std::int64_t> u, v;
    for (std::size_t j = 0; j < count; ++j) {
        const std::size_t k = (j + 1) % count;
        auto xs = static_cast<std::int64_t>(5 * vertices[2 * j] + .5);
        auto ys = static_cast<std::int64_t>(5 * vertices[2 * j + 1] + .5);
        auto xe = static_cast<std::int64_t>(5 * vertices[2 * k] + .5);
        auto ye = static_cast<std::int64_t>(5 * vertices[2 * k + 1] + .5);
        const std::int64_t dx = std::abs(xe - xs), dy = std::abs(ys - ye);
        const bool flip = (dx >= dy && xs > xe) || (dx < dy && ys > ye);
        if (flip) std::swap(xs, xe), std::swap(ys, ye);
        const double slope = dx >= dy ? static_cast<double>(ye - ys) / static_cast<double>(dx)
                                      : static_cast<double>(xe - xs) / static_cast<double>(dy);
        for (std::int64_t d = 0; d <= std::max(dx, dy); ++d) {
            const std::int64_t t = flip ? std::max(dx, dy) - d : d;
            const auto step = static_cast<double>(t);
            u.push_back(dx >= dy ? t + xs : static_cast<std::int64_t>(static_cast<double>(xs) + slope * step + .5));
            v.push_back(dx >= dy
                            ? (dx == 0 ? ys : static_cast<std::int64_t>(static_cast<double>(ys) + slope * step + .5))
                            : t + ys);
        }
    }
    Dense changes(as_size(shape.size() + 1), 0);
    for (std::size_t j = 1; j < u.size(); ++j) {
        if (u[j] == u[j - 1]) continue;
        const auto fine = static_cast<double>(std::min(u[j], u[j - 1]));
        const double x = (fine + .5) / 5 - .5;
        if (std::floor(x) != x || x < 0 || x > static_cast<double>(shape.width - 1)) continue;
        const double y = (static_cast<double>(std::min(v[j], v[j - 1])) + .5) / 5 - .5;
        const double row = std::ceil(std::clamp(y, 0.0, static_cast<double>(shape.height)));
        changes[as_size(static_cast<std::int64_t>(x) * shape.height + static_cast<std::int64_t>(row))] ^= 1;
    }
    std::uint8_t inside = 0;
    for (std::uint8_t& pixel : changes) pixel = inside ^= pixel;
    changes.pop_back();
    return plain_runs(changes);
}

double coordinate(Input& input, bool huge) {
    if (!huge) return static_cast<double>(static_cast<std::int16_t>(input.number(2))) / 64;
    double number;
    const std::uint64_t bits = input.number(8);
    std::memcpy(&number, &bits, sizeof number);
    if (!std::isfinite(number)) return kMostCoordinate;  // who calls refuses these
    return std::clamp(number, -kMostCoordinate, kMostCoordinate);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input input(data, size);
    const bool huge = input.flag();
    Shape shape = huge ? input.any_shape() : input.small_shape(64, 1 << 11);
    shape.width = std::min<std::int64_t>(shape.width, 1 << 8);  // an edge takes time for each column that it crosses
    std::vector<double> vertices;
    while (!input.at_end() && vertices.size() < 24) {
        vertices.push_back(coordinate(input, huge));
        vertices.push_back(coordinate(input, huge));
    }
    const auto guarded = Guarded<double>(vertices);
    Boundaries boundaries;
    fill_polygon(guarded.data(), guarded.size() / 2, shape, boundaries);
    const std::vector<Run> runs = runs_of(boundaries);
    CHECK(is_valid(runs, shape));
    if (!huge) CHECK(runs == plain_fill(vertices, shape));
    return 0;
}
