#include "rle/mask_kernels.hpp"

#include <cstring>

#include "rle/simd.hpp"

#if CLOUDRLE_X86
#include <immintrin.h>
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
