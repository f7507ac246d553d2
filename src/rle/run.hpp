// The rules of a run list. Every function that takes one assumes them; validate() proves them.
//
//   1. A run is half-open: [start, end) covers the pixels start .. end - 1.
//   2. Pixels are numbered from 0 down each column in turn: pixel (y, x) has number x * height + y.
//   3. No run is empty: start < end.
//   4. Runs are sorted and neither overlap nor touch: the end of each lies before the start of the next.
//   5. Runs lie inside the mask: 0 <= start and end <= height * width.
//   6. Positions are 64-bit, and height * width fits in one.
//
// Read flat, a run list is the sorted list of its boundaries: the pixels that differ from the pixel before them.
#pragma once

#include <cstdint>

namespace cloudrle {

struct Run {
    std::int64_t start;
    std::int64_t end;
};
static_assert(sizeof(Run) == 2 * sizeof(std::int64_t), "NumPy sees a run list as int64 (n, 2)");

// A run list that lies elsewhere.
struct RunView {
    const Run* runs;
    std::int64_t count;
};

struct Shape {
    std::int64_t height;
    std::int64_t width;

    constexpr std::int64_t size() const noexcept { return height * width; }
};

// What can be wrong with an input; words.hpp has the sentence for each.
enum class Error {
    none,
    text_nul,
    text_not_ascii,
    text_sign,
    text_decimal,
    text_character,
    text_too_large,
    text_no_length,
    text_zero_start,
    text_zero_length,
    text_starts_past_end,
    text_ends_past_end,
    text_unsorted,
    text_overlap,
    ends_sign,
    ends_decimal,
    ends_character,
    ends_no_end,
    ends_backwards,
    ends_past_end,
    gap_past_end,
    run_negative,
    run_empty,
    run_past_end,
    run_unsorted,
    run_overlap,
    run_touching,
    run_starts_past_end,
    count_negative,
    count_past_end,
    counts_too_short,
    coco_character,
    coco_not_ascii,
    coco_too_large,
    coco_unfinished,
    brush_unfinished,
    brush_word_size,
    brush_values,
    brush_past_end,
    brush_trailing,
    brush_too_large,
    cvat_too_short,
    cvat_outside,
    cvat_backwards,
    cvat_count_past_end,
    cvat_counts_too_short,
    cvat_no_pixels,
};

struct Result {
    Error error = Error::none;
    std::int64_t count = 0;     // success: how many runs there are
    std::int64_t position = 0;  // failure: 0-based offset of the character, or index of the run or count
    std::int64_t number = 0;    // failure: the run or count in question, counted from 1 as people do
    std::int64_t value = 0;     // failure: the number or character found there
    std::int64_t other = 0;     // failure: the number that it clashes with
};

inline Result validate(const Run* runs, std::int64_t count, Shape shape) noexcept {
    Run before{-1, -1};  // lets a first run start at 0
    for (std::int64_t i = 0; i < count; ++i) {
        const auto [start, end] = runs[i];
        const auto failure = [&](Error error, std::int64_t value, std::int64_t other) {
            return Result{error, 0, i, i + 1, value, other};
        };
        if (start < 0) return failure(Error::run_negative, start, 0);
        if (end <= start) return failure(Error::run_empty, start, end);
        if (end > shape.size()) return failure(Error::run_past_end, end, 0);
        if (start < before.start) return failure(Error::run_unsorted, start, before.start);
        if (start < before.end) return failure(Error::run_overlap, start, before.end);
        if (start == before.end) return failure(Error::run_touching, start, 0);
        before = runs[i];
    }
    return Result{Error::none, count};
}

}  // namespace cloudrle
