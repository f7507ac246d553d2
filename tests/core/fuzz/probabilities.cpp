// Class maps to runs, against the same formula for each pixel.
#include "rle/probabilities.hpp"

#include <cfloat>
#include <cmath>
#include <cstring>

#include "../guarded.hpp"
#include "../input.hpp"
#include "../plain.hpp"
#include "rle/components.hpp"

using namespace cloudrle;

namespace {

struct Place {
    std::int64_t first;
    std::int64_t second;
    float first_weight;
    float second_weight;
};

// OpenCV's place of an output pixel among the source's, which goes no further than the outermost centres.
Place place_of(std::int64_t i, std::int64_t from, std::int64_t to) {
    if (from == to) return {i, i, 1, 0};
    const double scale = 1.0 / (static_cast<double>(to) / static_cast<double>(from));
    const auto centre = static_cast<float>((static_cast<double>(i) + 0.5) * scale - 0.5);
    const auto index = static_cast<std::int64_t>(std::floor(centre));
    if (index < 0) return {0, 0, 1, 0};
    if (index >= from - 1) return {from - 1, from - 1, 1, 0};
    const float fraction = centre - std::floor(centre);
    return {index, fraction == 0 ? index : index + 1, 1.0F - fraction, fraction};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input input(data, size);
    Shape from = input.small_shape(150, 1 << 9);
    const Shape to = input.flag() ? from : input.small_shape(150, 1 << 11);
    if (to.size() > 0) from = {std::max<std::int64_t>(from.height, 1), std::max<std::int64_t>(from.width, 1)};
    const std::int64_t classes = input.below(6);
    const bool bytes = input.flag();
    const std::int64_t order = input.below(3);
    const std::int64_t item = bytes ? 1 : 4;
    std::vector<float> thresholds;
    std::vector<std::int64_t> min_areas;
    for (std::int64_t c = 0; c < classes; ++c) {
        thresholds.push_back(static_cast<float>(input.below(256)) / 255.0F);
        min_areas.push_back(input.below(3) == 0 ? input.below(20) : 0);
    }
    // Pixels, classes or rows lie together.
    std::ptrdiff_t row = from.width * classes * item;
    std::ptrdiff_t column = classes * item;
    std::ptrdiff_t plane = item;
    if (order == 1) {
        plane = from.size() * item;
        row = from.width * item;
        column = item;
    } else if (order == 2) {
        plane = from.size() * item;
        row = item;
        column = from.height * item;
    }
    Guarded<std::uint8_t> map(from.size() * classes * item);
    std::uint64_t state = input.number(4);
    const std::vector<float> odd{NAN, INFINITY, -INFINITY, FLT_MAX, -FLT_MAX, -0.0F, 2};
    for (std::int64_t i = 0; i < from.size() * classes; ++i) {
        state = state * 6364136223846793005 + 1442695040888963407;
        const std::int64_t value = input.at_end() ? static_cast<std::int64_t>(state >> 56) : input.below(256);
        const bool is_odd = !bytes && (state >> 40) % 16 == 0;
        const float number = is_odd ? odd[as_size(value) % odd.size()] : static_cast<float>(value) / 255.0F;
        if (bytes) {
            map.data()[i] = static_cast<std::uint8_t>(value);
        } else {
            std::memcpy(map.data() + 4 * i, &number, 4);
        }
    }
    const auto probability = [&](std::int64_t y, std::int64_t x, std::int64_t c) {
        const std::uint8_t* const at = map.data() + y * row + x * column + c * plane;
        float value = static_cast<float>(*at) / 255.0F;
        if (!bytes) std::memcpy(&value, at, sizeof value);
        return value > FLT_MAX ? FLT_MAX : value;
    };

    std::vector<std::vector<Run>> wanted;
    for (std::int64_t c = 0; c < classes; ++c) {
        Dense pixels(as_size(to.size()));
        for (std::int64_t x = 0; x < to.width; ++x) {
            const Place across = place_of(x, from.width, to.width);
            for (std::int64_t y = 0; y < to.height; ++y) {
                const Place down = place_of(y, from.height, to.height);
                const auto mix = [&](std::int64_t source) {
                    const float first = probability(source, across.first, c) * across.first_weight;
                    if (from.width == to.width) return probability(source, x, c);
                    // Behind the map's last column lies nothing.
                    const bool none = across.first == from.width - 1;
                    const float other = none ? 0 : probability(source, across.first + 1, c);
                    return first + other * across.second_weight;
                };
                const float upper = mix(down.first) * down.first_weight;
                const float value = upper + mix(down.second) * down.second_weight;
                pixels[as_size(x * to.height + y)] = value >= thresholds[as_size(c)];
            }
        }
        wanted.push_back(plain_runs(pixels));
        if (min_areas[as_size(c)] > 1) {
            Boundaries kept;
            remove_small(view_of(wanted.back()), to.height, min_areas[as_size(c)], kept);
            wanted.back() = runs_of(kept);
        }
    }
    const Resampling resampling(from, to);
    const ProbabilityView view{map.data(), from, classes, row, column, plane, bytes};
    const std::vector<std::vector<Run>> found = at_every_level([&] {
        std::vector<std::vector<std::int64_t>> boundaries(as_size(classes));
        encode_probabilities(view, resampling, {thresholds.data(), min_areas.data()}, boundaries.data());
        std::vector<std::vector<Run>> runs;
        for (const std::vector<std::int64_t>& mask : boundaries)
            runs.push_back(
                runs_of(reinterpret_cast<const Run*>(mask.data()), static_cast<std::int64_t>(mask.size() / 2)));
        return runs;
    });
    CHECK(found == wanted);
    return 0;
}
