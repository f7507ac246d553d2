// The loops over pixels, one table of them for each SIMD level.
#pragma once

#include <cstddef>
#include <cstdint>

#include "rle/run.hpp"

namespace cloudrle {

constexpr int kColumns = 64;  // of a strip: one bit of a word each
constexpr int kSlack = 8;     // boundaries that may be written past the last

// A row of a strip that differs from the row above, and in which columns.
struct Change {
    std::uint64_t columns;
    std::int64_t row;
};

struct MaskKernels {
    // Compares `rows` rows of a strip, the first being number `first`, each with the row above. `above` is the packed
    // row above the first; afterwards it is the last row. Needs room for a change in each row, and one more.
    std::int64_t (*find_changes)(const std::uint8_t* row, std::ptrdiff_t pitch, std::int64_t first, std::int64_t rows,
                                 int columns, std::uint64_t* above, Change* changes) noexcept;

    std::int64_t (*count_boundaries)(const Change* changes, std::int64_t count) noexcept;

    // Writes a strip's boundaries in order of columns. place_few suits few changes; place_many takes the same time for
    // any number, needs `plane`, ceil(height / 64) * 64 zeros, and may write kSlack boundaries too many.
    void (*place_few)(const Change* changes, std::int64_t count, std::int64_t left, std::int64_t height,
                      std::int64_t* boundaries) noexcept;
    void (*place_many)(const Change* changes, std::int64_t count, std::int64_t left, std::int64_t height,
                       std::uint64_t* plane, std::int64_t* boundaries) noexcept;

    // Writes the boundaries of pixels that lie in order of runs; `before` is the pixel before the first, and afterwards
    // the last. Returns how many there are; may write kSlack too many.
    std::int64_t (*find_boundaries)(const std::uint8_t* pixels, std::int64_t count, std::int64_t position,
                                    std::uint64_t* before, std::int64_t* boundaries) noexcept;

    // Turns changes into pixels: a byte is 1 where its pixel differs from the one before it, or from `before`, and then
    // 1 where the pixel is set. `count` is a multiple of 64.
    void (*accumulate)(std::uint8_t* bytes, std::int64_t count, std::uint64_t before) noexcept;

    // Writes the rows of a strip. changes[y] are the columns in which row y differs from the row above; the row above
    // the first is `above`.
    void (*write_rows)(const std::uint64_t* changes, std::int64_t rows, int columns, std::uint64_t above,
                       std::uint8_t* row, std::ptrdiff_t pitch) noexcept;

    // Marks where runs change columns the first of which begins at pixel `first`, for write_wide_rows().
    // size * height < 2^42.
    void (*mark_runs)(const Run* runs, std::int64_t count, std::int64_t first, std::int64_t height,
                      std::int64_t columns, std::uint64_t* changes, std::uint64_t* above) noexcept;

    // The same as write_rows() for strips side by side: `above` has a word for each, changes have `stride` words for
    // each row.
    void (*write_wide_rows)(const std::uint64_t* changes, std::ptrdiff_t stride, std::int64_t rows, int columns,
                            std::uint64_t* above, std::uint8_t* row, std::ptrdiff_t pitch) noexcept;

    // Turn elements of 2, 4 and 8 bytes that lie side by side into bytes, zero where no significant bit is set.
    void (*flag_pairs)(const std::uint8_t* elements, int count, std::uint64_t significant,
                       std::uint8_t* flags) noexcept;
    void (*flag_quads)(const std::uint8_t* elements, int count, std::uint64_t significant,
                       std::uint8_t* flags) noexcept;
    void (*flag_eights)(const std::uint8_t* elements, int count, std::uint64_t significant,
                        std::uint8_t* flags) noexcept;
};

// Those of the level in use.
const MaskKernels& mask_kernels() noexcept;

}  // namespace cloudrle
