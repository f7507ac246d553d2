// The plain definitions that the core is compared with: a mask is a byte for each pixel, in the order of the runs.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "check.hpp"
#include "rle/buffer.hpp"
#include "rle/run.hpp"
#include "rle/simd.hpp"

namespace cloudrle {

using Dense = std::vector<std::uint8_t>;

inline bool operator==(const Run& a, const Run& b) noexcept { return a.start == b.start && a.end == b.end; }

// What a failure leaves in `count` says nothing.
inline bool operator==(const Result& a, const Result& b) noexcept {
    return a.error == b.error && a.position == b.position && a.number == b.number && a.value == b.value &&
           a.other == b.other && (a.error != Error::none || a.count == b.count);
}

// What a parser gives.
struct Parsed {
    Result result;
    std::vector<Run> runs;
};
inline bool operator==(const Parsed& a, const Parsed& b) noexcept { return a.result == b.result && a.runs == b.runs; }

inline std::size_t as_size(std::int64_t count) noexcept { return static_cast<std::size_t>(count); }

inline Dense plain_pixels(const std::vector<Run>& runs, std::int64_t size) {
    Dense pixels(as_size(size), 0);
    for (const auto [start, end] : runs) std::fill(pixels.begin() + start, pixels.begin() + end, std::uint8_t{1});
    return pixels;
}

inline std::vector<Run> plain_runs(const Dense& pixels) {
    std::vector<Run> runs;
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(pixels.size()); ++i) {
        if (pixels[as_size(i)] == 0) continue;
        if (!runs.empty() && runs.back().end == i) {
            runs.back().end = i + 1;
        } else {
            runs.push_back({i, i + 1});
        }
    }
    return runs;
}

// Pixels of the transposed mask.
inline Dense plain_transpose(const Dense& pixels, Shape shape) {
    Dense turned(pixels.size());
    for (std::int64_t x = 0; x < shape.width; ++x)
        for (std::int64_t y = 0; y < shape.height; ++y)
            turned[as_size(y * shape.width + x)] = pixels[as_size(x * shape.height + y)];
    return turned;
}

inline std::vector<Run> runs_of(const Run* runs, std::int64_t count) { return {runs, runs + count}; }
inline std::vector<Run> runs_of(const Boundaries& boundaries) {
    CHECK(boundaries.size() % 2 == 0);
    return runs_of(reinterpret_cast<const Run*>(boundaries.data()), boundaries.size() / 2);
}

inline RunView view_of(const std::vector<Run>& runs) noexcept {
    return {runs.data(), static_cast<std::int64_t>(runs.size())};
}

inline bool is_valid(const std::vector<Run>& runs, Shape shape) noexcept {
    return validate(runs.data(), static_cast<std::int64_t>(runs.size()), shape).error == Error::none;
}

// What compute() gives at every level that this machine has, which must be the same.
template <class Compute>
auto at_every_level(const Compute& compute) {
    current_level() = Level::scalar;
    auto wanted = compute();
    for (int level = 1; level <= static_cast<int>(best_level()); ++level) {
        current_level() = static_cast<Level>(level);
        CHECK(compute() == wanted);
    }
    return wanted;
}

}  // namespace cloudrle
