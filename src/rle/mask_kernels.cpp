#include "rle/mask_kernels.hpp"

#include <cstring>

#include "rle/simd.hpp"

#if CLOUDRLE_X86
#include <immintrin.h>
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // GCC 12 warns of its own _mm512_undefined_epi32()
#endif
#endif

namespace cloudrle {
namespace {

constexpr int kRowsAhead = 16;  // to prefetch: a row is usually a page or half of one away, which hardware gives up on

namespace scalar {

constexpr std::uint64_t kEachByte = 0x0101010101010101;
constexpr std::uint64_t kLowSeven = 0x7f * kEachByte;

inline int lowest_bit(std::uint64_t word) noexcept { return __builtin_ctzll(word); }

// Bit i is set where byte i is not zero.
inline std::uint64_t pack64(const std::uint8_t* row) noexcept {
    std::uint64_t word = 0;
    for (int i = 0; i < 64; i += 8) {
        std::uint64_t bytes;
        std::memcpy(&bytes, row + i, sizeof bytes);
        const std::uint64_t flags = ((((bytes & kLowSeven) + kLowSeven) | bytes) & ~kLowSeven) >> 7;
        word |= ((flags * 0x0102040810204080) >> 56) << i;
    }
    return word;
}

inline std::uint64_t pack_some(const std::uint8_t* row, int columns) noexcept {
    std::uint8_t padded[64] = {};
    std::memcpy(padded, row, static_cast<std::size_t>(columns));
    return pack64(padded);
}

// Byte i becomes 1 where bit i is set, else 0.
inline void store64(std::uint8_t* row, std::uint64_t word) noexcept {
    for (int i = 0; i < 64; i += 8) {
        const std::uint64_t chosen = (((word >> i) & 0xff) * kEachByte) & 0x8040201008040201;
        const std::uint64_t bytes = ((chosen + kLowSeven) >> 7) & kEachByte;
        std::memcpy(row + i, &bytes, sizeof bytes);
    }
}

inline void store_some(std::uint8_t* row, std::uint64_t word, int columns) noexcept {
    std::uint8_t bytes[64];
    store64(bytes, word);
    std::memcpy(row, bytes, static_cast<std::size_t>(columns));
}

// Writes position + i for each bit i, and returns the end of what it wrote.
inline std::int64_t* emit(std::int64_t* next, std::uint64_t bits, std::int64_t position) noexcept {
    for (; bits != 0; bits &= bits - 1) *next++ = position + lowest_bit(bits);
    return next;
}

// Of no use here: unaligned stores take hardly longer.
inline bool write_stream(const std::uint64_t*, std::ptrdiff_t, std::int64_t, int, const std::uint64_t*,
                         std::uint8_t*) noexcept {
    return false;
}

#include "rle/mask_kernels.inl"

}  // namespace scalar

#if CLOUDRLE_X86

CLOUDRLE_BEGIN_TARGET(CLOUDRLE_AVX2)
namespace avx2 {

inline int lowest_bit(std::uint64_t word) noexcept { return static_cast<int>(_tzcnt_u64(word)); }

inline std::uint32_t pack32(const std::uint8_t* row) noexcept {
    const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(row));
    return ~static_cast<std::uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(bytes, _mm256_setzero_si256())));
}

inline std::uint64_t pack64(const std::uint8_t* row) noexcept {
    return pack32(row) | (std::uint64_t{pack32(row + 32)} << 32);
}

inline std::uint64_t pack_some(const std::uint8_t* row, int columns) noexcept {
    std::uint8_t padded[64] = {};
    std::memcpy(padded, row, static_cast<std::size_t>(columns));
    return pack64(padded);
}

inline void store32(std::uint8_t* row, std::uint32_t word) noexcept {
    const __m256i spread = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i bit = _mm256_set1_epi64x(static_cast<std::int64_t>(0x8040201008040201));
    const __m256i chosen =
        _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32(static_cast<int>(word)), spread), bit);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(row), _mm256_min_epu8(chosen, _mm256_set1_epi8(1)));
}

inline void store64(std::uint8_t* row, std::uint64_t word) noexcept {
    store32(row, static_cast<std::uint32_t>(word));
    store32(row + 32, static_cast<std::uint32_t>(word >> 32));
}

inline void store_some(std::uint8_t* row, std::uint64_t word, int columns) noexcept {
    std::uint8_t bytes[64];
    store64(bytes, word);
    std::memcpy(row, bytes, static_cast<std::size_t>(columns));
}

// Eight at a time, whether they are there or not: a branch for each would mostly be guessed wrong (simdjson's way).
inline std::int64_t* emit(std::int64_t* next, std::uint64_t bits, std::int64_t position) noexcept {
    std::int64_t* const end = next + __builtin_popcountll(bits);
    for (; next < end; next += 8) {
        for (int k = 0; k < 8; ++k, bits = _blsr_u64(bits)) next[k] = position + lowest_bit(bits);
    }
    return end;
}

// Of no use here: unaligned stores take hardly longer.
inline bool write_stream(const std::uint64_t*, std::ptrdiff_t, std::int64_t, int, const std::uint64_t*,
                         std::uint8_t*) noexcept {
    return false;
}

#include "rle/mask_kernels.inl"

}  // namespace avx2
CLOUDRLE_END_TARGET

CLOUDRLE_BEGIN_TARGET(CLOUDRLE_AVX512)
namespace avx512 {

inline int lowest_bit(std::uint64_t word) noexcept { return static_cast<int>(_tzcnt_u64(word)); }

inline std::uint64_t first_bits(int count) noexcept {
    return _bzhi_u64(~std::uint64_t{0}, static_cast<unsigned>(count));
}

inline std::uint64_t pack64(const std::uint8_t* row) noexcept {
    const __m512i bytes = _mm512_loadu_si512(row);
    return _mm512_test_epi8_mask(bytes, bytes);
}

inline std::uint64_t pack_some(const std::uint8_t* row, int columns) noexcept {
    const __m512i bytes = _mm512_maskz_loadu_epi8(first_bits(columns), row);
    return _mm512_test_epi8_mask(bytes, bytes);
}

inline void store64(std::uint8_t* row, std::uint64_t word) noexcept {
    _mm512_storeu_si512(row, _mm512_maskz_set1_epi8(word, 1));
}

inline void store_some(std::uint8_t* row, std::uint64_t word, int columns) noexcept {
    _mm512_mask_storeu_epi8(row, first_bits(columns), _mm512_maskz_set1_epi8(word, 1));
}

inline std::int64_t* emit(std::int64_t* next, std::uint64_t bits, std::int64_t position) noexcept {
    std::int64_t* const end = next + __builtin_popcountll(bits);
    for (; next < end; next += 8) {
        for (int k = 0; k < 8; ++k, bits = _blsr_u64(bits)) next[k] = position + lowest_bit(bits);
    }
    return end;
}

template <int kVectors>
void write_lines(const std::uint64_t* changes, std::ptrdiff_t stride, std::int64_t rows, int columns,
                 const std::uint64_t* above, std::uint8_t* first) noexcept {
    const int strips = (columns + kColumns - 1) / kColumns;
    const auto rest = static_cast<__mmask8>(first_bits(strips % 8));
    const auto load = [rest](const std::uint64_t* words, int k) {
        return k + 1 < kVectors ? _mm512_loadu_si512(words + 8 * k) : _mm512_maskz_loadu_epi64(rest, words + 8 * k);
    };
    __m512i row[kVectors];
    for (int k = 0; k < kVectors; ++k) row[k] = load(above, k);
    // What lies before the mask in its first line counts as pending, and is not stored.
    std::uint64_t pending = reinterpret_cast<std::uintptr_t>(first) % kColumns;
    std::uint64_t mine = ~std::uint64_t{0} << pending;
    std::uint8_t* line = first - pending;
    std::uint64_t carry = 0;
    for (std::int64_t y = 0; y < rows; ++y, changes += stride) {
        alignas(64) std::uint64_t shifted[8 * kVectors];
        const __m512i left = _mm512_set1_epi64(static_cast<std::int64_t>(pending));
        const __m512i right = _mm512_set1_epi64(static_cast<std::int64_t>(kColumns - pending));
        __m512i before = _mm512_setzero_si512();
        for (int k = 0; k < kVectors; ++k) {
            row[k] = _mm512_xor_si512(row[k], load(changes, k));
            const __m512i out = _mm512_srlv_epi64(_mm512_alignr_epi64(row[k], before, 7), right);
            _mm512_store_si512(shifted + 8 * k, _mm512_or_si512(_mm512_sllv_epi64(row[k], left), out));
            before = row[k];
        }
        shifted[0] |= carry;
        pending += static_cast<std::uint64_t>(columns);
        const std::uint64_t lines = pending / kColumns;
        std::uint64_t k = 0;
        if (mine != ~std::uint64_t{0} && lines > 0) {
            _mm512_mask_storeu_epi8(line, mine, _mm512_maskz_set1_epi8(shifted[k++], 1));
            mine = ~std::uint64_t{0};
        }
        for (; k < lines; ++k) store64(line + k * kColumns, shifted[k]);
        line += lines * kColumns;
        carry = shifted[lines];
        pending %= kColumns;
    }
    mine &= first_bits(static_cast<int>(pending));
    _mm512_mask_storeu_epi8(line, mine, _mm512_maskz_set1_epi8(carry, 1));
}

// Writes rows without gaps as one stream, so that every store fills a cache line; false where a row is too wide to stay
// in registers.
inline bool write_stream(const std::uint64_t* changes, std::ptrdiff_t stride, std::int64_t rows, int columns,
                         const std::uint64_t* above, std::uint8_t* first) noexcept {
    using Write =
        void (*)(const std::uint64_t*, std::ptrdiff_t, std::int64_t, int, const std::uint64_t*, std::uint8_t*);
    constexpr Write writes[] = {write_lines<1>, write_lines<2>, write_lines<3>, write_lines<4>,
                                write_lines<5>, write_lines<6>, write_lines<7>, write_lines<8>};
    const int spare = (columns + kColumns - 1) / kColumns / 8;  // vectors, the last with a word for what is shifted out
    if (spare >= 8) return false;
    writes[spare](changes, stride, rows, columns, above, first);
    return true;
}

#include "rle/mask_kernels.inl"

}  // namespace avx512
CLOUDRLE_END_TARGET

constexpr const MaskKernels* kTable[kLevels] = {&scalar::kernels, &avx2::kernels, &avx512::kernels};
#else
constexpr const MaskKernels* kTable[kLevels] = {&scalar::kernels, &scalar::kernels, &scalar::kernels};
#endif

}  // namespace

const MaskKernels& mask_kernels() noexcept { return *kTable[static_cast<int>(level())]; }

}  // namespace cloudrle
