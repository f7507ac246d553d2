#include "images/area.hpp"

#include <cstring>
#include <limits>
#include <numeric>
#include <vector>

#include "rle/simd.hpp"

// All is done in whole numbers. Along an axis from n to m pixels, both divided by what they have in common, a source
// pixel is m units long and an output pixel n, so that every overlap is a whole number of units; an output pixel's sum
// of bytes times overlaps, divided by the units of its area, is the mean.
//
// An output row begins with the sums of its source rows, byte by byte: the one pass over the image, which memory
// limits. The sums of whole pixels need no multiplication, and 16 bits hold those of 257 rows.

namespace cloudseg {
namespace {

// Loops for the compiler to vectorize: always inlined, so that each level's caller compiles its own copy.
#define CLOUDSEG_INLINE inline __attribute__((always_inline))

constexpr std::int64_t kStrip = 512;       // bytes of a row that are summed at a time (measured)
constexpr std::int64_t kRows16Bits = 257;  // 257 * 255 == 65,535

// Not std::min: instantiated in one target region, it could be linked into code for a lower level.
CLOUDSEG_INLINE std::int64_t least(std::int64_t a, std::int64_t b) noexcept { return a < b ? a : b; }

// What an output pixel covers along one axis: whole pixels, and some units of the two around them. Where that is none,
// `before` and `after` are any other pixel.
struct Span {
    std::int64_t begin;
    std::int64_t end;
    std::int64_t before;
    std::int64_t after;
    std::int64_t before_units;
    std::int64_t after_units;
};

class Axis {
  public:
    Axis(std::int64_t from, std::int64_t to) noexcept
        : cell(from / std::gcd(from, to)), unit(to / std::gcd(from, to)) {}

    Span span(std::int64_t i) const noexcept {
        const std::int64_t start = i * cell;
        const std::int64_t stop = start + cell;
        const std::int64_t begin = (start + unit - 1) / unit;
        const std::int64_t end = stop / unit;
        const std::int64_t before_units = begin * unit - start;
        const std::int64_t after_units = stop - end * unit;
        return {begin,        end,        before_units > 0 ? begin - 1 : begin, after_units > 0 ? end : end - 1,
                before_units, after_units};
    }

    // Whole pixels that every output pixel covers; some cover one more.
    std::int64_t fewest() const noexcept { return (cell + 1) / unit - 1; }

    const std::int64_t cell;  // units of an output pixel
    const std::int64_t unit;  // units of a source pixel
};

struct Job {
    const ImageView& from;
    Size size;
    Axis rows;
    Axis columns;
    const Span* column_spans;
    std::uint8_t* to;
};

// Adds up to kRows16Bits rows of up to kStrip bytes.
CLOUDSEG_INLINE void add_rows(const std::uint8_t* row, std::ptrdiff_t stride, std::int64_t rows, std::int64_t columns,
                              std::uint16_t* __restrict sums) noexcept {
    std::memset(sums, 0, static_cast<std::size_t>(columns) * sizeof *sums);
    for (; rows > 0; --rows, row += stride) {
        for (std::int64_t x = 0; x < columns; ++x) sums[x] = static_cast<std::uint16_t>(sums[x] + row[x]);
    }
}

// Sums what an output row covers of each column, in `Part`s, which are quicker the smaller they are.
template <class Part, class Word>
CLOUDSEG_INLINE void sum_columns(const Job& job, const Span& span, Word* __restrict sums) noexcept {
    const std::ptrdiff_t stride = job.from.row_stride;
    const auto unit = static_cast<Part>(job.rows.unit);
    const auto before_units = static_cast<Part>(span.before_units);
    const auto after_units = static_cast<Part>(span.after_units);
    const std::int64_t bytes = job.from.size.width * kChannels;
    std::uint16_t whole[kStrip];
    for (std::int64_t left = 0; left < bytes; left += kStrip, sums += kStrip) {
        const std::int64_t columns = least(bytes - left, kStrip);
        const std::uint8_t* const strip = job.from.data + left;
        const std::uint8_t* const before = strip + span.before * stride;
        const std::uint8_t* const after = strip + span.after * stride;
        std::int64_t next = least(span.end, span.begin + kRows16Bits);
        add_rows(strip + span.begin * stride, stride, next - span.begin, columns, whole);
        for (std::int64_t x = 0; x < columns; ++x) {
            sums[x] =
                static_cast<Part>(unit * static_cast<Part>(whole[x]) + before_units * static_cast<Part>(before[x]) +
                                  after_units * static_cast<Part>(after[x]));
        }
        for (std::int64_t y = next; y < span.end; y = next) {
            next = least(span.end, y + kRows16Bits);
            add_rows(strip + y * stride, stride, next - y, columns, whole);
            for (std::int64_t x = 0; x < columns; ++x) sums[x] += static_cast<Part>(unit * static_cast<Part>(whole[x]));
        }
    }
}

// Sums what an output row covers, pixel by pixel, each of which is added as four words, the last of them the next
// one's.
template <class Word>
CLOUDSEG_INLINE void sum_pixels(const Job& job, const Word* sums, Word* __restrict totals) noexcept {
    typedef Word Lanes __attribute__((vector_size(4 * sizeof(Word))));
    const auto load = [sums](std::int64_t x, Lanes& lanes) { std::memcpy(&lanes, sums + x * kChannels, sizeof lanes); };
    const std::int64_t unit = job.columns.unit;
    const std::int64_t fewest = job.columns.fewest();
    for (std::int64_t j = 0; j < job.size.width; ++j) {
        const Span& span = job.column_spans[j];
        Lanes total = {};
        Lanes pixel;
        for (std::int64_t x = 0; x < fewest; ++x) {  // as often for each: a jump that is foreseen
            load(span.begin + x, pixel);
            total += pixel;
        }
        total *= static_cast<Word>(unit);
        load(span.end - 1, pixel);  // the last of one pixel more; else any, as `before` is where there is none
        total += pixel * static_cast<Word>((span.end - span.begin - fewest) * unit);
        load(span.before, pixel);
        total += pixel * static_cast<Word>(span.before_units);
        load(span.after, pixel);
        total += pixel * static_cast<Word>(span.after_units);
        std::memcpy(totals + j * kChannels, &total, sizeof total);
    }
}

// Writes floor((total + area / 2) / area), which is never mistaken: (a whole number + 0.5) / area is never so near to a
// whole number that two roundings could cross it.
template <class Word>
CLOUDSEG_INLINE void divide(const Word* __restrict totals, std::int64_t count, std::int64_t area,
                            std::uint8_t* __restrict to) noexcept {
    const double half = static_cast<double>(area / 2) + 0.5;
    const double share = 1.0 / static_cast<double>(area);
    for (std::int64_t k = 0; k < count; ++k) {
        to[k] = static_cast<std::uint8_t>(static_cast<std::int32_t>((static_cast<double>(totals[k]) + half) * share));
    }
}

template <class Part, class Word>
CLOUDSEG_INLINE void shrink_rows(const Job& job, void* scratch) noexcept {
    Word* const sums = static_cast<Word*>(scratch);
    const std::int64_t bytes = job.size.width * kChannels;
    Word* const totals = sums + job.from.size.width * kChannels + 1;
    for (std::int64_t i = 0; i < job.size.height; ++i) {
        sum_columns<Part>(job, job.rows.span(i), sums);
        sum_pixels(job, sums, totals);
        divide(totals, bytes, job.rows.cell * job.columns.cell, job.to + i * bytes);
    }
}

using Kernel = void(const Job& job, void* scratch);

struct Kernels {
    Kernel* brief;   // parts of 16 bits, sums of 32
    Kernel* narrow;  // both of 32 bits
    Kernel* wide;    // both of 64 bits
};

void brief_scalar(const Job& job, void* scratch) { shrink_rows<std::uint16_t, std::int32_t>(job, scratch); }
void narrow_scalar(const Job& job, void* scratch) { shrink_rows<std::int32_t, std::int32_t>(job, scratch); }
void wide_scalar(const Job& job, void* scratch) { shrink_rows<std::int64_t, std::int64_t>(job, scratch); }

#if CLOUDRLE_X86

#pragma GCC push_options
#pragma GCC target("avx2,bmi,bmi2,lzcnt,popcnt")
void brief_avx2(const Job& job, void* scratch) { shrink_rows<std::uint16_t, std::int32_t>(job, scratch); }
void narrow_avx2(const Job& job, void* scratch) { shrink_rows<std::int32_t, std::int32_t>(job, scratch); }
void wide_avx2(const Job& job, void* scratch) { shrink_rows<std::int64_t, std::int64_t>(job, scratch); }
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx2,bmi,bmi2,lzcnt,popcnt,avx512f,avx512bw,avx512dq,avx512vl")
void brief_avx512(const Job& job, void* scratch) { shrink_rows<std::uint16_t, std::int32_t>(job, scratch); }
void narrow_avx512(const Job& job, void* scratch) { shrink_rows<std::int32_t, std::int32_t>(job, scratch); }
void wide_avx512(const Job& job, void* scratch) { shrink_rows<std::int64_t, std::int64_t>(job, scratch); }
#pragma GCC pop_options

#endif

constexpr Kernels kKernels[cloudrle::kLevels] = {
    {brief_scalar, narrow_scalar, wide_scalar},
#if CLOUDRLE_X86
    {brief_avx2, narrow_avx2, wide_avx2},
    {brief_avx512, narrow_avx512, wide_avx512},
#endif
};

// The first whose numbers hold the sums of the brightest pixels.
Kernel* choose(const Kernels& kernels, std::int64_t row_units, std::int64_t column_units) noexcept {
    constexpr std::int64_t kBrightest = 255;
    if (row_units * column_units > std::numeric_limits<std::int32_t>::max() / kBrightest) return kernels.wide;
    return row_units > std::numeric_limits<std::uint16_t>::max() / kBrightest ? kernels.narrow : kernels.brief;
}

}  // namespace

void shrink(const ImageView& from, Size size, std::uint8_t* to) {
    const Axis rows(from.size.height, size.height);
    const Axis columns(from.size.width, size.width);
    std::vector<Span> spans;
    spans.reserve(static_cast<std::size_t>(size.width));
    for (std::int64_t j = 0; j < size.width; ++j) spans.push_back(columns.span(j));
    // A row of sums and one of totals, each with a word behind the last pixel's three.
    std::vector<std::int64_t> scratch(static_cast<std::size_t>((from.size.width + size.width) * kChannels + 2));
    const Job job{from, size, rows, columns, spans.data(), to};
    choose(kKernels[static_cast<int>(cloudrle::level())], rows.cell, columns.cell)(job, scratch.data());
}

}  // namespace cloudseg
