// Runs one kernel of the core on a fixed input: benchmarks/instructions.py counts what it takes.
//
//     instructions                       names of the kernels, and the bytes that one run of each reads or writes
//     instructions KERNEL LEVEL TIMES    runs one so many times at a SIMD level
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "rle/algebra.hpp"
#include "rle/buffer.hpp"
#include "rle/coco.hpp"
#include "rle/components.hpp"
#include "rle/mask.hpp"
#include "rle/polygon.hpp"
#include "rle/probabilities.hpp"
#include "rle/resize.hpp"
#include "rle/resize_runs.hpp"
#include "rle/simd.hpp"
#include "rle/text.hpp"
#include "rle/transpose.hpp"

namespace cloudrle {
namespace {

constexpr Shape kShape{350, 525};
constexpr Shape kSmall{175, 263};
constexpr Shape kMaps{80, 120};
constexpr std::int64_t kClasses = 4;

// Discs: whether a pixel lies in one of them.
std::vector<std::uint8_t> discs(Shape shape) {
    std::vector<std::uint8_t> rows;
    for (std::int64_t y = 0; y < shape.height; ++y) {
        for (std::int64_t x = 0; x < shape.width; ++x) {
            const std::int64_t dy = (y + 40) % 130 - 65;
            const std::int64_t dx = (x + 3 * (y / 130)) % 170 - 85;
            rows.push_back(dy * dy + dx * dx < 60 * 60);
        }
    }
    return rows;
}

std::vector<std::uint8_t> noise(Shape shape) {
    std::vector<std::uint8_t> rows;
    std::uint64_t state = 1;
    for (std::int64_t i = 0; i < shape.size(); ++i) {
        state = state * 6364136223846793005 + 1442695040888963407;
        rows.push_back(static_cast<std::uint8_t>(state >> 63));
    }
    return rows;
}

struct Mask {
    explicit Mask(std::vector<std::uint8_t> pixels) : rows(std::move(pixels)) {
        encode(runs);
        text.resize(static_cast<std::size_t>(text_room(view().runs, view().count)));
        text.resize(static_cast<std::size_t>(write_text(view().runs, view().count, text.data())));
        coco.resize(static_cast<std::size_t>(coco_room(view().count, kShape.size())));
        coco.resize(static_cast<std::size_t>(write_coco(view().runs, view().count, kShape.size(), coco.data())));
    }

    RunView view() const { return {reinterpret_cast<const Run*>(runs.data()), runs.size() / 2}; }
    void encode(Boundaries& boundaries) const {
        encode_mask({rows.data(), kShape, kShape.width, 1, 1, 255}, all_columns(kShape), boundaries);
    }

    std::vector<std::uint8_t> rows;
    Boundaries runs;
    std::string text;
    std::string coco;
};

// All that kernels read, and room for what they write.
struct Inputs {
    Mask smooth{discs(kShape)};
    Mask rough{noise(kShape)};
    std::vector<float> maps;
    std::vector<std::uint8_t> pixels = std::vector<std::uint8_t>(static_cast<std::size_t>(kShape.size()));
    std::vector<Run> found = std::vector<Run>(static_cast<std::size_t>(kShape.size()));
    std::string text = std::string(static_cast<std::size_t>(8 * kShape.size()), ' ');

    Inputs() {
        for (const std::uint8_t value : discs({kMaps.height, kMaps.width * kClasses}))
            maps.push_back(value != 0 ? 0.875F : 0.125F);
    }
};

std::int64_t bytes_of(RunView mask) { return mask.count * std::int64_t{sizeof(Run)}; }
std::int64_t size_of(const std::string& text) { return static_cast<std::int64_t>(text.size()); }

std::int64_t encode(const Mask& mask) {
    Boundaries boundaries;
    mask.encode(boundaries);
    return kShape.size();
}

std::int64_t decode(Inputs& inputs, const Mask& mask) {
    decode_mask(mask.view().runs, mask.view().count, {inputs.pixels.data(), kShape, kShape.width, 1},
                all_columns(kShape));
    return kShape.size();
}

std::int64_t parse(Inputs& inputs, const Mask& mask) {
    parse_text(mask.text.data(), size_of(mask.text), kShape, inputs.found.data());
    return size_of(mask.text);
}

std::int64_t print(Inputs& inputs, const Mask& mask) {
    return write_text(mask.view().runs, mask.view().count, inputs.text.data());
}

std::int64_t resize_to_small(const Mask& mask, Interpolation how) {
    Boundaries boundaries;
    resize_runs(mask.view().runs, mask.view().count, kShape, kSmall, how, boundaries);
    return bytes_of(mask.view());
}

struct Kernel {
    const char* name;
    std::int64_t (*run)(Inputs& inputs);  // returns how many bytes it reads or writes
};

const Kernel kKernels[] = {
    {"mask to runs", [](Inputs& in) { return encode(in.smooth); }},
    {"mask to runs, noise", [](Inputs& in) { return encode(in.rough); }},
    {"runs to mask", [](Inputs& in) { return decode(in, in.smooth); }},
    {"runs to mask, noise", [](Inputs& in) { return decode(in, in.rough); }},
    {"text to runs", [](Inputs& in) { return parse(in, in.smooth); }},
    {"text to runs, noise", [](Inputs& in) { return parse(in, in.rough); }},
    {"runs to text", [](Inputs& in) { return print(in, in.smooth); }},
    {"runs to text, noise", [](Inputs& in) { return print(in, in.rough); }},
    {"COCO to runs",
     [](Inputs& in) {
         parse_coco(in.rough.coco.data(), size_of(in.rough.coco), kShape, in.found.data());
         return size_of(in.rough.coco);
     }},
    {"runs to COCO",
     [](Inputs& in) { return write_coco(in.rough.view().runs, in.rough.view().count, kShape.size(), in.text.data()); }},
    {"resizing, nearest", [](Inputs& in) { return resize_to_small(in.smooth, Interpolation::nearest); }},
    {"resizing, linear", [](Inputs& in) { return resize_to_small(in.smooth, Interpolation::linear); }},
    {"resizing, area", [](Inputs& in) { return resize_to_small(in.smooth, Interpolation::area); }},
    {"resizing, area, noise", [](Inputs& in) { return resize_to_small(in.rough, Interpolation::area); }},
    {"union",
     [](Inputs& in) {
         Boundaries boundaries;
         combine(in.smooth.view(), in.rough.view(), Operation::either, boundaries);
         return bytes_of(in.smooth.view()) + bytes_of(in.rough.view());
     }},
    {"columns to rows",
     [](Inputs& in) {
         Boundaries boundaries;
         transpose(in.smooth.view().runs, in.smooth.view().count, kShape, boundaries);
         return bytes_of(in.smooth.view());
     }},
    {"components",
     [](Inputs& in) {
         split_components(in.smooth.view(), kShape.height, Connectivity::edges);
         return bytes_of(in.smooth.view());
     }},
    {"polygon to runs",
     [](Inputs&) {
         const double vertices[] = {3.5, 10, 500, 20.25, 300, 340, 222, 100, 20, 320};
         Boundaries boundaries;
         fill_polygon(vertices, 5, kShape, boundaries);
         return boundaries.size() * std::int64_t{sizeof(std::int64_t)};
     }},
    {"class maps to runs",
     [](Inputs& in) {
         const float thresholds[kClasses] = {0.5F, 0.5F, 0.5F, 0.5F};
         const std::int64_t min_areas[kClasses] = {};
         const std::int64_t item = sizeof(float);
         std::vector<std::int64_t> boundaries[kClasses];
         encode_probabilities({reinterpret_cast<const std::uint8_t*>(in.maps.data()), kMaps, kClasses,
                               kMaps.width * kClasses * item, kClasses * item, item, false},
                              Resampling(kMaps, kShape), {thresholds, min_areas}, boundaries);
         return kShape.size() * kClasses;
     }},
};

}  // namespace
}  // namespace cloudrle

int main(int argc, char** argv) {
    using namespace cloudrle;
    Inputs inputs;
    if (argc == 1) {
        for (const Kernel& kernel : kKernels)
            std::printf("%s\t%lld\n", kernel.name, static_cast<long long>(kernel.run(inputs)));
        return 0;
    }
    if (argc != 4 || !lower_level(argv[2])) return 2;
    for (const Kernel& kernel : kKernels) {
        if (std::strcmp(kernel.name, argv[1]) != 0) continue;
        for (int times = std::atoi(argv[3]); times > 0; --times) kernel.run(inputs);
        return 0;
    }
    return 2;
}
