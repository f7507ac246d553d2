#include "rle/arrow.hpp"

#include <algorithm>
#include <stdexcept>

namespace cloudrle {
namespace {

constexpr Chars kMissing{nullptr, -1};

bool is_valid(const ArrowArray& array, std::int64_t index) noexcept {
    const auto* const bits = static_cast<const std::uint8_t*>(array.buffers[0]);
    return bits == nullptr || ((bits[index / 8] >> (index % 8)) & 1) != 0;  // no bitmap: no nulls
}

Chars read_null(const ArrowArray&, std::int64_t) noexcept { return kMissing; }

template <class Offset>
Chars read_string(const ArrowArray& array, std::int64_t index) noexcept {
    if (!is_valid(array, index)) return kMissing;
    const Offset* const offset = static_cast<const Offset*>(array.buffers[1]) + index;
    return {static_cast<const char*>(array.buffers[2]) + offset[0], offset[1] - offset[0]};
}

template <class Offset, class Number>
Chars read_list(const ArrowArray& array, std::int64_t index) noexcept {
    constexpr std::int64_t bytes = sizeof(Number);
    if (!is_valid(array, index)) return kMissing;
    const Offset* const offset = static_cast<const Offset*>(array.buffers[1]) + index;
    const ArrowArray& numbers = *array.children[0];
    return {static_cast<const char*>(numbers.buffers[1]) + (numbers.offset + offset[0]) * bytes,
            (offset[1] - offset[0]) * bytes};
}

bool has_null(const ArrowArray& array) noexcept {
    if (array.null_count == 0) return false;
    for (std::int64_t i = array.offset; i < array.offset + array.length; ++i)
        if (!is_valid(array, i)) return true;
    return false;
}

Chars read_view(const ArrowArray& array, std::int64_t index) noexcept {
    struct View {
        std::int32_t size;
        std::int32_t start;  // a short string begins here and fills the rest
        std::int32_t buffer;
        std::int32_t offset;
    };
    if (!is_valid(array, index)) return kMissing;
    const View* const view = static_cast<const View*>(array.buffers[1]) + index;
    if (view->size <= 12) return {reinterpret_cast<const char*>(&view->start), view->size};
    return {static_cast<const char*>(array.buffers[2 + view->buffer]) + view->offset, view->size};
}

}  // namespace

ArrowColumn::~ArrowColumn() {
    for (ArrowArray& array : arrays_) array.release(&array);
}

bool ArrowColumn::set_type(const ArrowSchema& schema, Cells cells) {
    const std::string_view format = schema.format;
    if (schema.dictionary != nullptr) return false;
    if (format == "n") read_ = &read_null;
    if (cells == Cells::texts || cells == Cells::strings) {
        if (format == "u") read_ = &read_string<std::int32_t>;
        if (format == "U") read_ = &read_string<std::int64_t>;
        if (format == "vu") read_ = &read_view;
    }
    if (cells == Cells::strings || cells == Cells::bytes) {
        if (format == "z") read_ = &read_string<std::int32_t>;
        if (format == "Z") read_ = &read_string<std::int64_t>;
        if (format == "vz") read_ = &read_view;
    }
    if (format == "+l" || format == "+L") {
        const bool large = format == "+L";
        const std::string_view number = schema.children[0]->format;
        if (cells == Cells::bytes && number == "C")
            read_ = large ? &read_list<std::int64_t, std::uint8_t> : &read_list<std::int32_t, std::uint8_t>;
        if (cells == Cells::numbers && number == "l")
            read_ = large ? &read_list<std::int64_t, std::int64_t> : &read_list<std::int32_t, std::int64_t>;
        holds_lists_ = read_ != nullptr;
    }
    return read_ != nullptr;
}

void ArrowColumn::append(ArrowArray& array) {
    ends_.push_back(size() + array.length);
    arrays_.push_back(array);
    array.release = nullptr;  // Arrow's way to say that it has moved
    if (holds_lists_ && has_null(*arrays_.back().children[0]))
        throw std::invalid_argument("the lists of an Arrow column must not hold nulls");
}

Chars ArrowColumn::row(std::int64_t row) const noexcept {
    const auto end = std::upper_bound(ends_.begin(), ends_.end(), row);
    const ArrowArray& array = arrays_[static_cast<std::size_t>(end - ends_.begin())];
    return read_(array, row - (*end - array.length) + array.offset);
}

}  // namespace cloudrle
