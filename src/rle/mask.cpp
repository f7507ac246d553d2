#include "rle/mask.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace cloudrle {
namespace {

#if defined(__BYTE_ORDER__)
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "bit i of a word is column i: bytes must load lowest first");
#endif

constexpr int kColumns = 64;  // of a strip: one bit each
constexpr std::uint64_t kEachByte = 0x0101010101010101;
constexpr std::uint64_t kLowSeven = 0x7f * kEachByte;

int lowest_bit(std::uint64_t word) noexcept { return __builtin_ctzll(word); }

// Eight bytes to eight bits: bit i is set where byte i is not zero.
std::uint64_t pack_bytes(std::uint64_t bytes) noexcept {
    const std::uint64_t flags = ((((bytes & kLowSeven) + kLowSeven) | bytes) & ~kLowSeven) >> 7;
    return (flags * 0x0102040810204080) >> 56;
}

// The inverse: byte i is 1 where bit i is set.
std::uint64_t spread_bits(std::uint64_t bits) noexcept {
    const std::uint64_t chosen = ((bits & 0xff) * kEachByte) & 0x8040201008040201;
    return ((chosen + kLowSeven) >> 7) & kEachByte;
}

// The two packers turn up to 64 elements of a row into a word, bit i for column i.

struct PackBytes {
    std::uint64_t operator()(const std::uint8_t* row, int columns) const noexcept {
        if (columns == kColumns) return pack(row);
        std::uint8_t padded[kColumns] = {};
        std::memcpy(padded, row, static_cast<std::size_t>(columns));
        return pack(padded);
    }

  private:
    static std::uint64_t pack(const std::uint8_t* row) noexcept {
        std::uint64_t word = 0;
        for (int i = 0; i < kColumns; i += 8) {
            std::uint64_t bytes;
            std::memcpy(&bytes, row + i, sizeof bytes);
            word |= pack_bytes(bytes) << i;
        }
        return word;
    }
};

template <class Element>
struct PackStrided {
    std::ptrdiff_t stride;
    Element significant;

    std::uint64_t operator()(const std::uint8_t* row, int columns) const noexcept {
        std::uint64_t word = 0;
        for (int i = 0; i < columns; ++i) {
            Element element;
            std::memcpy(&element, row + i * stride, sizeof element);  // it may lie unaligned
            word |= std::uint64_t{(element & significant) != 0} << i;
        }
        return word;
    }
};

// A row of a strip that differs from the row above, and where.
struct Change {
    std::int64_t row;
    std::uint64_t columns;
};

// Appends the boundaries of a strip, `found` of them in each column, in order of columns.
void place_boundaries(const std::vector<Change>& changes, const std::array<std::int64_t, kColumns>& found,
                      std::int64_t left, std::int64_t height, std::vector<std::int64_t>& boundaries) {
    std::array<std::size_t, kColumns> next;
    std::size_t total = boundaries.size();
    for (std::size_t x = 0; x < kColumns; ++x) {
        next[x] = total;
        total += static_cast<std::size_t>(found[x]);
    }
    boundaries.resize(total);
    for (const auto [y, columns] : changes) {
        for (std::uint64_t bits = columns; bits != 0; bits &= bits - 1) {
            const int x = lowest_bit(bits);
            boundaries[next[static_cast<std::size_t>(x)]++] = (left + x) * height + y;
        }
    }
}

template <class Pack>
void encode_strips(const MaskView& mask, const Pack& pack, std::vector<std::int64_t>& boundaries) {
    const auto [height, width] = mask.shape;
    std::vector<Change> changes;
    std::uint64_t carry = 0;  // the last pixel of the column before the strip
    for (std::int64_t left = 0; left < width; left += kColumns) {
        const int columns = static_cast<int>(std::min<std::int64_t>(kColumns, width - left));
        const std::uint8_t* row = mask.data + left * mask.column_stride;
        // The pixel before the top of a column is the bottom of the column to its left, so a run that goes on
        // across the seam makes no boundary there.
        const std::uint64_t bottom = pack(row + (height - 1) * mask.row_stride, columns);
        std::uint64_t above = (bottom << 1) | carry;
        if (columns < kColumns) above &= (std::uint64_t{1} << columns) - 1;
        carry = bottom >> (columns - 1);

        std::array<std::int64_t, kColumns> found{};
        changes.clear();
        for (std::int64_t y = 0; y < height; ++y, row += mask.row_stride) {
            const std::uint64_t word = pack(row, columns);
            const std::uint64_t differs = word ^ above;
            above = word;
            if (differs == 0) continue;
            changes.push_back({y, differs});
            for (std::uint64_t bits = differs; bits != 0; bits &= bits - 1) {
                ++found[static_cast<std::size_t>(lowest_bit(bits))];
            }
        }

        place_boundaries(changes, found, left, height, boundaries);
    }
    if (carry != 0) boundaries.push_back(mask.shape.size());
}

template <class Element>
void encode_strided(const MaskView& mask, std::vector<std::int64_t>& boundaries) {
    encode_strips(mask, PackStrided<Element>{mask.column_stride, static_cast<Element>(mask.significant)}, boundaries);
}

void write_word(std::uint64_t word, std::uint8_t* row, std::ptrdiff_t stride, int columns) noexcept {
    std::uint8_t bytes[kColumns];
    std::uint8_t* const target = stride == 1 && columns == kColumns ? row : bytes;
    for (int i = 0; i < kColumns; i += 8) {
        const std::uint64_t eight = spread_bits(word >> i);
        std::memcpy(target + i, &eight, sizeof eight);
    }
    if (target == row) return;
    if (stride == 1) {
        std::memcpy(row, bytes, static_cast<std::size_t>(columns));
    } else {
        for (int x = 0; x < columns; ++x) row[x * stride] = bytes[x];
    }
}

// Fortran order: memory is in the order of the runs.
void decode_columns(const Run* runs, std::int64_t count, const PixelView& mask) noexcept {
    const std::int64_t size = mask.shape.size();
    std::memset(mask.data, 0, static_cast<std::size_t>(size));
    for (std::int64_t i = 0; i < count; ++i) {
        const std::int64_t start = std::clamp<std::int64_t>(runs[i].start, 0, size);
        const std::int64_t end = std::clamp<std::int64_t>(runs[i].end, start, size);
        std::memset(mask.data + start, 1, static_cast<std::size_t>(end - start));
    }
}

void decode_strips(const Run* runs, std::int64_t count, const PixelView& mask) {
    const auto [height, width] = mask.shape;
    std::vector<std::uint64_t> changes(static_cast<std::size_t>(height));
    const auto* boundary = reinterpret_cast<const std::int64_t*>(runs);
    const std::int64_t* const last = boundary + 2 * count;
    std::uint64_t inside = 0;  // the value of the pixel before the column
    for (std::int64_t left = 0; left < width; left += kColumns) {
        const int columns = static_cast<int>(std::min<std::int64_t>(kColumns, width - left));
        std::fill(changes.begin(), changes.end(), 0);
        std::uint64_t word = 0;
        for (int x = 0; x < columns; ++x) {
            word |= inside << x;
            const std::int64_t top = (left + x) * height;
            // Compared unsigned: a boundary out of order ends the walk and is never an index out of range.
            for (; boundary != last; ++boundary, inside ^= 1) {
                const std::uint64_t y = static_cast<std::uint64_t>(*boundary) - static_cast<std::uint64_t>(top);
                if (y >= static_cast<std::uint64_t>(height)) break;
                changes[y] ^= std::uint64_t{1} << x;
            }
        }
        std::uint8_t* row = mask.data + left * mask.column_stride;
        for (const std::uint64_t differs : changes) {
            word ^= differs;
            write_word(word, row, mask.column_stride, columns);
            row += mask.row_stride;
        }
    }
}

}  // namespace

void encode_mask(const MaskView& mask, std::vector<std::int64_t>& boundaries) {
    if (mask.shape.size() == 0) return;
    switch (mask.item_size) {
        case 1:
            if (mask.column_stride == 1) return encode_strips(mask, PackBytes{}, boundaries);
            return encode_strided<std::uint8_t>(mask, boundaries);
        case 2:
            return encode_strided<std::uint16_t>(mask, boundaries);
        case 4:
            return encode_strided<std::uint32_t>(mask, boundaries);
        default:
            return encode_strided<std::uint64_t>(mask, boundaries);
    }
}

void decode_mask(const Run* runs, std::int64_t count, const PixelView& mask) {
    if (mask.shape.size() == 0) return;
    const bool columns_in_memory =
        mask.row_stride == 1 && (mask.column_stride == mask.shape.height || mask.shape.width == 1);
    return columns_in_memory ? decode_columns(runs, count, mask) : decode_strips(runs, count, mask);
}

}  // namespace cloudrle
