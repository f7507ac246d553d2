// Columns of texts in Arrow's memory layout, read where they lie.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "rle/arrow_abi.h"
#include "rle/text.hpp"

namespace cloudrle {

// Owns the arrays that make up a column.
class ArrowColumn {
  public:
    ArrowColumn() = default;
    ArrowColumn(const ArrowColumn&) = delete;
    ArrowColumn& operator=(const ArrowColumn&) = delete;
    ~ArrowColumn();

    // False where arrays of that type hold no texts. A column of nothing but nulls does: they are missing.
    bool set_type(const ArrowSchema& schema);

    // Takes over the array, which must be of the type that was set.
    void append(ArrowArray& array);

    std::int64_t size() const noexcept { return ends_.empty() ? 0 : ends_.back(); }

    Chars row(std::int64_t row) const noexcept;

  private:
    Chars (*read_)(const ArrowArray& array, std::int64_t index) noexcept = nullptr;
    std::vector<ArrowArray> arrays_;
    std::vector<std::int64_t> ends_;  // of each array, in rows of the column
};

}  // namespace cloudrle
