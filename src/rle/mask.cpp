#include "rle/mask.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "rle/mask_kernels.hpp"

namespace cloudrle {
namespace {

#if defined(__BYTE_ORDER__)
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "bit i of a word is column i: bytes must load lowest first");
#endif

constexpr int kStrips = 8;         // read side by side: memory gives 512 bytes of a row quicker than 64 of many rows
constexpr int kStripRows = 128;    // of one strip before those of the next
constexpr int kTileRows = 64;      // of a strip turned into bytes at once: 4 KiB
constexpr int kLinePixels = 4096;  // of a column turned into boundaries at once

std::size_t as_size(std::int64_t count) noexcept { return static_cast<std::size_t>(count); }

// Elements at a stride, in some order, as bytes that are zero for background.
class Flags {
  public:
    Flags(const MaskView& mask, std::ptrdiff_t stride, const MaskKernels& kernels) noexcept
        : mask_(mask), stride_(stride), kernels_(kernels) {}

    // Bytes that lie side by side are their own flags.
    bool are_pixels() const noexcept { return mask_.item_size == 1 && stride_ == 1; }

    void write(const std::uint8_t* elements, int count, std::uint8_t* flags) const noexcept {
        if (stride_ == static_cast<std::ptrdiff_t>(mask_.item_size) && mask_.item_size > 1) {
            const auto flag = mask_.item_size == 2   ? kernels_.flag_pairs
                              : mask_.item_size == 4 ? kernels_.flag_quads
                                                     : kernels_.flag_eights;
            return flag(elements, count, mask_.significant, flags);
        }
        for (int i = 0; i < count; ++i) {
            std::uint64_t element = 0;
            std::memcpy(&element, elements + i * stride_, mask_.item_size);  // it may lie unaligned
            flags[i] = (element & mask_.significant) != 0;
        }
    }

  private:
    const MaskView& mask_;
    std::ptrdiff_t stride_;
    const MaskKernels& kernels_;
};

// A strip that is being read.
struct Strip {
    const std::uint8_t* pixels;
    std::int64_t left;
    int columns;
    std::uint64_t above;  // the row above the next
    Change* changes;
    std::int64_t count;
};

// Finds the changes of a strip, by tiles where its pixels must be turned into bytes first.
std::int64_t find_strip_changes(const MaskView& mask, const std::uint8_t* strip, std::int64_t first, std::int64_t rows,
                                int columns, std::uint64_t& above, Change* changes, const MaskKernels& kernels) {
    const Flags flags(mask, mask.column_stride, kernels);
    if (flags.are_pixels()) {
        return kernels.find_changes(strip, mask.row_stride, first, rows, columns, &above, changes);
    }
    std::uint8_t tile[kTileRows * kColumns];
    std::int64_t found = 0;
    for (std::int64_t y = 0; y < rows; y += kTileRows) {
        const std::int64_t height = std::min<std::int64_t>(kTileRows, rows - y);
        for (std::int64_t k = 0; k < height; ++k) {
            flags.write(strip + (y + k) * mask.row_stride, columns, tile + k * kColumns);
        }
        found += kernels.find_changes(tile, kColumns, first + y, height, columns, &above, changes + found);
    }
    return found;
}

// The pixel before a column: the bottom of the one to its left.
std::uint64_t pixel_before(const MaskView& mask, std::int64_t column, const MaskKernels& kernels) noexcept {
    if (column == 0) return 0;
    const Flags flags(mask, mask.column_stride, kernels);
    std::uint8_t pixel;
    flags.write(mask.data + (mask.shape.height - 1) * mask.row_stride + (column - 1) * mask.column_stride, 1, &pixel);
    return pixel;
}

// A run that reaches the last pixel ends behind it.
void close_run(const MaskView& mask, Columns columns, std::uint64_t inside, Boundaries& boundaries) {
    if (inside == 0 || columns.last < mask.shape.width) return;
    *boundaries.room(1) = mask.shape.size();
    boundaries.add(1);
}

// Appends the boundaries of a strip of which the changes are known.
void place_strip(const Change* changes, std::int64_t count, std::int64_t left, std::int64_t height,
                 std::vector<std::uint64_t>& plane, Boundaries& boundaries) {
    const MaskKernels& kernels = mask_kernels();
    const std::int64_t total = kernels.count_boundaries(changes, count);
    std::int64_t* const target = boundaries.room(total + kSlack);
    if (total <= height) {  // below one a row, measured, counting columns first costs less than turning tiles
        kernels.place_few(changes, count, left, height, target);
    } else {
        plane.assign(as_size((height + 63) / 64 * 64), 0);
        kernels.place_many(changes, count, left, height, plane.data(), target);
    }
    boundaries.add(total);
}

// Rows lie side by side in memory: read strips of 64 columns row by row.
void encode_strips(const MaskView& mask, Columns range, Boundaries& boundaries) {
    const std::int64_t height = mask.shape.height;
    const MaskKernels& kernels = mask_kernels();
    const std::unique_ptr<Change[]> changes(new Change[as_size(kStrips * (height + 1))]);  // not written yet
    std::vector<std::uint64_t> plane;
    std::uint64_t carry = pixel_before(mask, range.first, kernels);  // the last pixel of the column before the strip
    for (std::int64_t first = range.first; first < range.last; first += kStrips * kColumns) {
        Strip strips[kStrips];
        int count = 0;
        for (std::int64_t left = first; count < kStrips && left < range.last; left += kColumns, ++count) {
            const int columns = static_cast<int>(std::min<std::int64_t>(kColumns, range.last - left));
            const std::uint8_t* const pixels = mask.data + left * mask.column_stride;
            // The pixel before the top of a column is the bottom of the column to its left, so a run that goes on
            // across the seam makes no boundary there.
            std::uint64_t bottom = 0;
            find_strip_changes(mask, pixels + (height - 1) * mask.row_stride, 0, 1, columns, bottom, changes.get(),
                               kernels);
            std::uint64_t above = (bottom << 1) | carry;
            if (columns < kColumns) above &= (std::uint64_t{1} << columns) - 1;
            carry = bottom >> (columns - 1);
            strips[count] = {pixels, left, columns, above, changes.get() + count * (height + 1), 0};
        }
        for (std::int64_t y = 0; y < height; y += kStripRows) {
            const std::int64_t rows = std::min<std::int64_t>(kStripRows, height - y);
            for (Strip* strip = strips; strip != strips + count; ++strip) {
                strip->count += find_strip_changes(mask, strip->pixels + y * mask.row_stride, y, rows, strip->columns,
                                                   strip->above, strip->changes + strip->count, kernels);
            }
        }
        for (const Strip* strip = strips; strip != strips + count; ++strip) {
            place_strip(strip->changes, strip->count, strip->left, height, plane, boundaries);
        }
    }
    close_run(mask, range, carry, boundaries);
}

// Columns lie side by side in memory: read them in the order of the runs.
void encode_columns(const MaskView& mask, Columns range, Boundaries& boundaries) {
    const std::int64_t height = mask.shape.height;
    const MaskKernels& kernels = mask_kernels();
    const Flags flags(mask, mask.row_stride, kernels);
    std::uint8_t line[kLinePixels];
    std::uint64_t before = pixel_before(mask, range.first, kernels);
    const auto encode_line = [&](const std::uint8_t* pixels, std::int64_t pixel_count, std::int64_t position) {
        for (std::int64_t i = 0; i < pixel_count; i += kLinePixels) {
            const int count = static_cast<int>(std::min<std::int64_t>(kLinePixels, pixel_count - i));
            const std::uint8_t* part = pixels + i * mask.row_stride;
            if (!flags.are_pixels()) {
                flags.write(part, count, line);
                part = line;
            }
            std::int64_t* const target = boundaries.room(count + kSlack);
            boundaries.add(kernels.find_boundaries(part, count, position + i, &before, target));
        }
    };
    if (mask.column_stride == height * mask.row_stride) {  // no gaps: one column goes on in the next
        const std::int64_t first = range.first * height;
        encode_line(mask.data + first * mask.row_stride, range.last * height - first, first);
    } else {
        for (std::int64_t x = range.first; x < range.last; ++x) {
            encode_line(mask.data + x * mask.column_stride, height, x * height);
        }
    }
    close_run(mask, range, before, boundaries);
}

// Fortran order without gaps: memory is in the order of the runs.
void decode_columns(const Run* runs, std::int64_t count, const PixelView& mask, Columns range) noexcept {
    const std::int64_t first = range.first * mask.shape.height;
    const std::int64_t last = range.last * mask.shape.height;
    std::memset(mask.data + first, 0, as_size(last - first));
    const Run* run =
        std::partition_point(runs, runs + count, [first](const Run& before) { return before.end <= first; });
    for (; run != runs + count && run->start < last; ++run) {
        const std::int64_t start = std::clamp(run->start, first, last);
        const std::int64_t end = std::clamp(run->end, start, last);
        std::memset(mask.data + start, 1, as_size(end - start));
    }
}

// Writes the rows of a strip whose columns do not lie side by side.
void scatter_rows(const std::vector<std::uint64_t>& changes, int columns, std::uint64_t above, std::uint8_t* row,
                  const PixelView& mask, const MaskKernels& kernels) noexcept {
    std::uint8_t pixels[kColumns];
    for (const std::uint64_t change : changes) {
        kernels.write_rows(&change, 1, columns, above, pixels, 0);
        above ^= change;
        for (int x = 0; x < columns; ++x) row[x * mask.column_stride] = pixels[x];
        row += mask.row_stride;
    }
}

// Fills the columns where not a single boundary lies within them.
bool decode_plain(const Run* runs, std::int64_t count, const PixelView& mask, Columns range) noexcept {
    if (mask.column_stride != 1) return false;
    const std::int64_t height = mask.shape.height;
    const auto* const boundaries = reinterpret_cast<const std::int64_t*>(runs);
    const std::int64_t* const last = boundaries + 2 * count;
    const std::int64_t* const within = std::upper_bound(boundaries, last, range.first * height);
    if (within != last && *within < range.last * height) return false;
    const int value = static_cast<int>((within - boundaries) & 1);
    const std::int64_t columns = range.last - range.first;
    std::uint8_t* const first = mask.data + range.first;
    if (mask.row_stride == columns) {
        std::memset(first, value, as_size(height * columns));
    } else {
        for (std::int64_t y = 0; y < height; ++y) std::memset(first + y * mask.row_stride, value, as_size(columns));
    }
    return true;
}

// Marks the changes of strips that lie side by side, a word of each in every row, and then writes them row by row.
template <int Strips>
void decode_strips(const Run* runs, std::int64_t count, const PixelView& mask, Columns range) {
    const std::int64_t height = mask.shape.height;
    const MaskKernels& kernels = mask_kernels();
    std::vector<std::uint64_t> changes(as_size(height * Strips));
    const auto* const boundaries = reinterpret_cast<const std::int64_t*>(runs);
    const std::int64_t* const last = boundaries + 2 * count;
    const std::int64_t* boundary = std::lower_bound(boundaries, last, range.first * height);
    std::uint64_t inside = (boundary - boundaries) & 1;  // the value of the pixel before the column
    for (std::int64_t left = range.first; left < range.last; left += Strips * kColumns) {
        const int columns = static_cast<int>(std::min<std::int64_t>(Strips * kColumns, range.last - left));
        if (left > range.first) std::fill(changes.begin(), changes.end(), 0);
        std::uint64_t above[Strips] = {};
        for (int x = 0; x < columns; ++x) {
            const int strip = x / kColumns;
            const std::uint64_t bit = std::uint64_t{1} << (x % kColumns);
            if (inside != 0) above[strip] |= bit;
            const std::int64_t top = (left + x) * height;
            // Compared unsigned: a boundary out of order ends the walk and is never an index out of range.
            for (; boundary != last; ++boundary, inside ^= 1) {
                const std::uint64_t y = static_cast<std::uint64_t>(*boundary) - static_cast<std::uint64_t>(top);
                if (y >= static_cast<std::uint64_t>(height)) break;
                changes[y * Strips + static_cast<std::uint64_t>(strip)] ^= bit;
            }
        }
        std::uint8_t* const first = mask.data + left * mask.column_stride;
        if constexpr (Strips > 1) {
            kernels.write_wide_rows(changes.data(), Strips, height, columns, above, first, mask.row_stride);
        } else if (mask.column_stride == 1) {
            kernels.write_rows(changes.data(), height, columns, above[0], first, mask.row_stride);
        } else {
            scatter_rows(changes, columns, above[0], first, mask, kernels);
        }
    }
}

// The same for all strips at once and few runs: no walk from column to column, whose ends are mostly guessed wrong.
void decode_whole_rows(const Run* runs, std::int64_t count, const PixelView& mask, Columns range) {
    const std::int64_t height = mask.shape.height;
    const std::int64_t columns = range.last - range.first;
    const std::int64_t strips = (columns + kColumns - 1) / kColumns;
    const std::int64_t first = range.first * height;
    const std::int64_t last = range.last * height;
    const Run* const begin =
        std::partition_point(runs, runs + count, [first](const Run& run) { return run.end <= first; });
    const Run* const end =
        std::partition_point(begin, runs + count, [last](const Run& run) { return run.start < last; });
    std::vector<std::uint64_t> changes(as_size(height * strips + 1));  // a word for a run that ends with the mask
    std::vector<std::uint64_t> above(as_size(strips));
    const MaskKernels& kernels = mask_kernels();
    kernels.mark_runs(begin, end - begin, first, height, columns, changes.data(), above.data());
    kernels.write_wide_rows(changes.data(), strips, height, static_cast<int>(columns), above.data(),
                            mask.data + range.first, mask.row_stride);
}

// Whole rows are written faster than strips, above all where the mask is in no cache; but then the changes of all
// strips, a bit for each pixel, must stay in the second-level cache where they are few, and in the first where they are
// many.
void decode_rows(const Run* runs, std::int64_t count, const PixelView& mask, Columns range) {
    constexpr std::int64_t first_level = 24 << 10;
    constexpr std::int64_t second_level = 512 << 10;
    constexpr std::int64_t few = 128;  // pixels for each boundary
    const std::int64_t strips = (range.last - range.first + kColumns - 1) / kColumns;
    const std::int64_t strip_bytes = 8 * mask.shape.height;
    const bool are_few = 2 * count <= mask.shape.size() / few;
    if (mask.column_stride == 1 && are_few && strips * strip_bytes <= second_level) {
        return decode_whole_rows(runs, count, mask, range);
    }
    if (mask.column_stride == 1 && 8 * strip_bytes <= first_level) return decode_strips<8>(runs, count, mask, range);
    decode_strips<1>(runs, count, mask, range);
}

}  // namespace

void encode_mask(const MaskView& mask, Columns columns, Boundaries& boundaries) {
    if (mask.shape.height == 0 || columns.first == columns.last) return;
    const bool columns_in_memory = std::abs(mask.row_stride) < std::abs(mask.column_stride);
    return columns_in_memory ? encode_columns(mask, columns, boundaries) : encode_strips(mask, columns, boundaries);
}

void decode_mask(const Run* runs, std::int64_t count, const PixelView& mask, Columns columns) {
    if (mask.shape.height == 0 || columns.first == columns.last) return;
    const bool runs_in_memory =
        mask.row_stride == 1 && (mask.column_stride == mask.shape.height || mask.shape.width == 1);
    if (runs_in_memory) return decode_columns(runs, count, mask, columns);
    if (!decode_plain(runs, count, mask, columns)) decode_rows(runs, count, mask, columns);
}

}  // namespace cloudrle
