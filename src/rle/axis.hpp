// Where a resized mask samples its source along one axis: OpenCV's formulae, kept in one place, and out of target
// regions so that no multiplication is fused with an addition.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace cloudrle {

// OpenCV's ratio: the reciprocal of a rounded quotient, not from / to.
inline double ratio(std::int64_t from, std::int64_t to) noexcept {
    return 1.0 / (static_cast<double>(to) / static_cast<double>(from));
}

class NearestAxis {
  public:
    NearestAxis(std::int64_t from, std::int64_t to) noexcept : last_(from - 1), scale_(ratio(from, to)) {}

    // The source pixel of output pixel i; it never falls as i rises.
    std::int64_t pixel(std::int64_t i) const noexcept {
        return std::min(static_cast<std::int64_t>(static_cast<double>(i) * scale_), last_);
    }

  private:
    std::int64_t last_;
    double scale_;
};

// A place between the centres of pixels `index` and `index + 1`, nearer to the second the larger the fraction.
struct Tap {
    std::int64_t index;
    float fraction;
};

// Two source pixels and their weights, in 2048ths.
struct Taps {
    std::int32_t first;
    std::int32_t second;
    std::int16_t first_weight;
    std::int16_t second_weight;
};

// OpenCV clamps the fraction at both ends of the x axis, and on the y axis the indices alone.
enum class Edge { clamp_fraction, clamp_indices };

class LinearAxis {
  public:
    LinearAxis(std::int64_t from, std::int64_t to, Edge edge) noexcept
        : last_(from - 1), scale_(ratio(from, to)), edge_(edge) {}

    // The first of the two source pixels, which may lie outside: -1 or more; it never falls as i rises.
    std::int64_t pixel(std::int64_t i) const noexcept { return static_cast<std::int64_t>(std::floor(centre(i))); }

    // As pixel(), the index may lie outside.
    Tap tap(std::int64_t i) const noexcept {
        const float whole = std::floor(centre(i));
        const auto index = static_cast<std::int64_t>(whole);
        const bool outside = index < 0 || index >= last_;
        return {index, edge_ == Edge::clamp_fraction && outside ? 0 : centre(i) - whole};
    }

    Taps taps(std::int64_t i) const noexcept {
        const auto [index, fraction] = tap(i);
        const auto weight = [](float part) { return static_cast<std::int16_t>(std::lrint(part * 2048.0F)); };
        const auto clamp = [this](std::int64_t k) {
            return static_cast<std::int32_t>(std::clamp<std::int64_t>(k, 0, last_));
        };
        return {clamp(index), clamp(index + 1), weight(1.0F - fraction), weight(fraction)};
    }

  private:
    float centre(std::int64_t i) const noexcept {
        return static_cast<float>((static_cast<double>(i) + 0.5) * scale_ - 0.5);
    }

    std::int64_t last_;
    double scale_;
    Edge edge_;
};

// The first output pixel from `start` on whose source pixel is `wanted` or later; `to` where there is none.
template <class Axis>
std::int64_t first_reaching(const Axis& axis, std::int64_t wanted, std::int64_t start, std::int64_t to) noexcept {
    std::int64_t step = 1;
    while (start < to && axis.pixel(std::min(start + step, to) - 1) < wanted) {
        start = std::min(start + step, to);
        step *= 2;
    }
    std::int64_t end = std::min(start + step, to);  // the answer is in [start, end)
    while (start < end) {
        const std::int64_t middle = start + (end - start) / 2;
        if (axis.pixel(middle) < wanted) {
            start = middle + 1;
        } else {
            end = middle;
        }
    }
    return start;
}

}  // namespace cloudrle
