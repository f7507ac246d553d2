// The ways to write a mask as runs, and columns of them: from one to another, and their measures.
#pragma once

#include <cstdint>
#include <vector>

#include "rle/buffer.hpp"
#include "rle/run.hpp"
#include "rle/text.hpp"

namespace cloudrle {

// cloudrle/dialects.py says what each is.
enum class Dialect {
    kaggle,
    kaggle_rows,
    zero_based,
    ends_inclusive,
    ends_exclusive,
    relative,
    coco,          // the string
    coco_counts,   // int64 numbers
    label_studio,  // bytes
    cvat,          // int64 numbers
};

// A mask as one of them, in memory that somebody else owns; missing for an empty mask. Numbers lie there as int64.
struct Row {
    Chars chars;
    Shape shape;
};

struct Measure {
    std::int64_t area;
    std::int64_t top;  // of the box: rows top .. bottom - 1, columns left .. right - 1; all 0 for an empty mask
    std::int64_t left;
    std::int64_t bottom;
    std::int64_t right;
    std::int64_t runs;
};
static_assert(sizeof(Measure) == 6 * sizeof(std::int64_t), "NumPy sees measures as int64 (n, 6)");

// Both work on several threads. The result is that of the first row with a fault, whose index is put into `faulty`.
Result convert_rows(const std::vector<Row>& rows, Dialect source, Dialect target, std::int64_t threads,
                    std::vector<Lines>& groups, std::int64_t& faulty);
Result measure_rows(const std::vector<Row>& rows, Dialect source, std::int64_t threads, Measure* measures,
                    std::int64_t& faulty);

}  // namespace cloudrle
