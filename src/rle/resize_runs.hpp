// Resizing of masks from runs to runs, with the same results as resize.hpp. Time and memory go with the number of runs
// and what they turn into; the full mask never exists.
#pragma once

#include <cstdint>

#include "rle/buffer.hpp"
#include "rle/resize.hpp"
#include "rle/row_tables.hpp"
#include "rle/run.hpp"

namespace cloudrle {

// Masks of one shape to another. Neither has a zero side, and every side is below 2^31. Scratch space: for area 9 bytes
// per target row; where boundaries are many, some 20 bytes more for each row.
class Resizer {
  public:
    // Tables take 4 bytes per source row (8 for area) and up to 12 per target row.
    Resizer(Shape from, Shape to, Interpolation interpolation, bool in_tables);

    // Appends the boundaries of the resized mask: start, end, start, end, ...
    void resize(const Run* runs, std::int64_t count, Boundaries& boundaries) const;

  private:
    Shape from_;
    Shape to_;
    RowTables rows_;
};

// The same for one mask.
void resize_runs(const Run* runs, std::int64_t count, Shape from, Shape to, Interpolation interpolation,
                 Boundaries& boundaries);

}  // namespace cloudrle
