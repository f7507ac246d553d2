// Columns of texts, bytes or lists of numbers in Arrow's memory layout, read where they lie.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "rle/arrow_abi.h"
#include "rle/text.hpp"

namespace cloudrle {

// What a cell of a column holds.
enum class Cells {
    texts,
    strings,  // texts or bytes
    bytes,    // bytes or lists of uint8
    numbers,  // lists of int64
};

// Owns the arrays that make up a column.
class ArrowColumn {
  public:
    ArrowColumn() = default;
    ArrowColumn(const ArrowColumn&) = delete;
    ArrowColumn& operator=(const ArrowColumn&) = delete;
    ~ArrowColumn();

    // False where arrays of that type hold no such cells. A column of nothing but nulls does: they are missing.
    bool set_type(const ArrowSchema& schema, Cells cells);

    // Takes over the array, which must be of the type that was set; throws where a list holds a null.
    void append(ArrowArray& array);

    std::int64_t size() const noexcept { return ends_.empty() ? 0 : ends_.back(); }

    // Its characters, bytes or numbers: the size is in bytes.
    Chars row(std::int64_t row) const noexcept;

  private:
    Chars (*read_)(const ArrowArray& array, std::int64_t index) noexcept = nullptr;
    bool holds_lists_ = false;
    std::vector<ArrowArray> arrays_;
    std::vector<std::int64_t> ends_;  // of each array, in rows of the column
};

}  // namespace cloudrle
