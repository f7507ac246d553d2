// The loops that parse plain text, digits and single spaces, once for each SIMD level.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cloudrle {

struct Scan {
    std::ptrdiff_t characters;  // read: 64 at a time, up to those that hold anything but digits and spaces
    std::ptrdiff_t starts;      // found
};

constexpr std::ptrdiff_t kSlackStarts = 32;  // that may be written too many

struct TextKernels {
    // Finds the positions behind spaces in the first `width` characters, a multiple of 64.
    Scan (*find_starts)(const char* text, std::ptrdiff_t width, std::uint16_t* starts) noexcept;

    // Reads the numbers between starts[i] and starts[i + 1] - 1 for every i below `count`, and returns how many there
    // are before the first that has no digits, or more than 16. Loads up to 64 characters behind a start.
    std::ptrdiff_t (*read_numbers)(const char* text, const std::uint16_t* starts, std::ptrdiff_t count,
                                   std::int64_t* numbers) noexcept;

    // Reads pairs of a start, counted from `base`, and a length, eight numbers at a time, and writes where they start
    // and end; stops before eight that are not plain or break a rule of run lists. Null where the level has no such
    // kernel.
    std::ptrdiff_t (*read_sound)(const char* text, const std::uint16_t* starts, std::ptrdiff_t count, std::int64_t base,
                                 std::int64_t last, std::int64_t size, std::int64_t* boundaries) noexcept;
};

// Those of the level in use.
const TextKernels& text_kernels() noexcept;

}  // namespace cloudrle
