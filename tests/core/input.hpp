// What a fuzzer's bytes stand for. They are read from the first on; behind the last come zeros.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "rle/run.hpp"

namespace cloudrle {

constexpr std::int64_t kMostPixels64 = std::numeric_limits<std::int64_t>::max();

class Input {
  public:
    Input(const std::uint8_t* data, std::size_t size) noexcept : at_(data), end_(data + size) {}

    bool at_end() const noexcept { return at_ == end_; }

    // Of so many bytes, lowest first.
    std::uint64_t number(int bytes) noexcept {
        std::uint64_t value = 0;
        for (int i = 0; i < bytes && at_ != end_; ++i) value |= std::uint64_t{*at_++} << (8 * i);
        return value;
    }
    std::int64_t signed_number(int bytes) noexcept { return static_cast<std::int64_t>(number(bytes)); }

    // 0 .. limit - 1
    std::int64_t below(std::int64_t limit) noexcept {
        const std::uint64_t value = number(limit <= 256 ? 1 : limit <= 65536 ? 2 : 8);
        return static_cast<std::int64_t>(value % static_cast<std::uint64_t>(limit));
    }
    bool flag() noexcept { return below(2) != 0; }

    std::string rest() {
        std::string text(reinterpret_cast<const char*>(at_), static_cast<std::size_t>(end_ - at_));
        at_ = end_;
        return text;
    }

    // Sides of at most so many pixels, and at most so many in all.
    Shape small_shape(std::int64_t side, std::int64_t pixels) noexcept {
        const std::int64_t height = below(side + 1);
        const std::int64_t width = std::min(below(side + 1), height == 0 ? side : pixels / height);
        return {height, width};
    }

    // Any shape that a mask may have: two bytes for each side, of which the largest stand for the edges of formats.
    Shape any_shape() noexcept {
        const auto side = [this]() -> std::int64_t {
            constexpr std::int64_t first = 0xff00;
            constexpr std::int64_t one = 1;
            constexpr std::int64_t edges[] = {(one << 16) - 1, one << 16,       (one << 31) - 1, one << 31,
                                              (one << 32) - 1, (one << 32) + 1, one << 53,       (one << 61) - 1,
                                              one << 61,       one << 62,       kMostPixels64,   kMostPixels64 / 3};
            const std::int64_t code = signed_number(2);
            return code < first ? code : edges[static_cast<std::size_t>(code - first) % std::size(edges)];
        };
        const std::int64_t height = side();
        const std::int64_t width = side();
        return {height, height == 0 ? width : std::min(width, kMostPixels64 / height)};
    }

    // A run list for a mask of so many pixels.
    std::vector<Run> runs(std::int64_t size) {
        std::vector<Run> runs;
        std::int64_t at = 0;
        for (std::int64_t count = below(256); count > 0; --count) {
            const std::int64_t gap = length() + !runs.empty();
            if (gap >= size - at) break;
            at += gap;
            const std::int64_t pixels = std::min(1 + length(), size - at);
            runs.push_back({at, at + pixels});
            at += pixels;
        }
        return runs;
    }

  private:
    // Mostly short; up to 2 ** 56 - 1.
    std::int64_t length() noexcept {
        const std::int64_t first = below(256);
        return first < 0xe8 ? first / 2 : signed_number(static_cast<int>(first - 0xe8) % 7 + 1);
    }

    const std::uint8_t* at_;
    const std::uint8_t* end_;
};

}  // namespace cloudrle
