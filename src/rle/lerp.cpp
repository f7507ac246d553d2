#include "rle/lerp.hpp"

#include <cfloat>
#include <cstring>

#include "rle/simd.hpp"

#if CLOUDRLE_X86
#include <immintrin.h>
#endif

namespace cloudrle {
namespace {

// Loops for the compiler to vectorize: always inlined, so that each level's caller compiles its own copy.
#define CLOUDRLE_INLINE inline __attribute__((always_inline))

CLOUDRLE_INLINE float probability(std::uint8_t value) noexcept { return static_cast<float>(value) / 255.0F; }

// Infinity times a weight of 0 would be NaN.
CLOUDRLE_INLINE float probability(float value) noexcept { return value > FLT_MAX ? FLT_MAX : value; }

template <class Element>
CLOUDRLE_INLINE void split_class(const std::uint8_t* source, std::ptrdiff_t stride, std::int64_t columns,
                                 float* plane) noexcept {
    for (std::int64_t x = 0; x < columns; ++x) {
        Element value;
        std::memcpy(&value, source + x * stride, sizeof value);  // it may lie unaligned
        plane[x] = probability(value);
    }
}

template <class Element>
CLOUDRLE_INLINE void split_all(const PixelSpan& pixels, float* planes, std::ptrdiff_t pitch) noexcept {
    constexpr std::ptrdiff_t size = sizeof(Element);
    const std::uint8_t* source = pixels.data;
    const std::int64_t columns = pixels.columns;
    for (std::int64_t i = 0; i < pixels.classes; ++i, source += pixels.class_stride, planes += pitch) {
        switch (pixels.column_stride) {  // a constant stride can be vectorized
            case size:
                split_class<Element>(source, size, columns, planes);
                break;
            case 2 * size:
                split_class<Element>(source, 2 * size, columns, planes);
                break;
            case 3 * size:
                split_class<Element>(source, 3 * size, columns, planes);
                break;
            case 4 * size:
                split_class<Element>(source, 4 * size, columns, planes);
                break;
            default:
                split_class<Element>(source, pixels.column_stride, columns, planes);
        }
    }
}

CLOUDRLE_INLINE void split_any(const PixelSpan& pixels, float* planes, std::ptrdiff_t pitch) noexcept {
    pixels.bytes ? split_all<std::uint8_t>(pixels, planes, pitch) : split_all<float>(pixels, planes, pitch);
}

void split_scalar(const PixelSpan& pixels, float* planes, std::ptrdiff_t pitch) { split_any(pixels, planes, pitch); }

void stretch_scalar(const float* planes, std::ptrdiff_t pitch, std::int64_t classes, const ColumnTaps& taps,
                    float* row) {
    for (std::int64_t i = 0; i < classes; ++i, planes += pitch, row += kStripColumns) {
        for (int x = 0; x < taps.columns; ++x) {
            const float* const source = planes + taps.indices[x];
            row[x] = source[0] * taps.first_weights[x] + source[1] * taps.second_weights[x];
        }
    }
}

void compare_scalar(const RowPair& rows, int columns, const float* thresholds, std::int64_t classes,
                    std::uint64_t* words, std::ptrdiff_t word_pitch) {
    for (std::int64_t i = 0; i < classes; ++i) {
        const float* const upper = rows.upper + i * kStripColumns;
        const float* const lower = rows.lower + i * kStripColumns;
        std::uint64_t word = 0;
        for (int x = 0; x < columns; ++x) {
            const float value = upper[x] * rows.upper_weight + lower[x] * rows.lower_weight;
            word |= std::uint64_t{value >= thresholds[i]} << x;
        }
        words[i * word_pitch] = word;
    }
}

#if CLOUDRLE_X86

CLOUDRLE_BEGIN_TARGET(CLOUDRLE_AVX2)

// Pixels of four probabilities side by side, at least eight of them: each four pixels are transposed.
CLOUDRLE_INLINE void split_four(const std::uint8_t* source, std::int64_t columns, float* planes,
                                std::ptrdiff_t pitch) noexcept {
    const __m256 most = _mm256_set1_ps(FLT_MAX);
    for (std::int64_t next = 0; next < columns; next += 8) {
        const std::int64_t x = next + 8 <= columns ? next : columns - 8;  // the last eight may overlap those before
        const auto pixel = [&](std::int64_t k) {
            return _mm_loadu_ps(reinterpret_cast<const float*>(source + (x + k) * 4 * std::int64_t{sizeof(float)}));
        };
        __m256 rows[4];
        for (int k = 0; k < 4; ++k) {
            rows[k] = _mm256_insertf128_ps(_mm256_castps128_ps256(pixel(k)), pixel(k + 4), 1);
        }
        const __m256d top_left = _mm256_castps_pd(_mm256_unpacklo_ps(rows[0], rows[1]));
        const __m256d top_right = _mm256_castps_pd(_mm256_unpackhi_ps(rows[0], rows[1]));
        const __m256d low_left = _mm256_castps_pd(_mm256_unpacklo_ps(rows[2], rows[3]));
        const __m256d low_right = _mm256_castps_pd(_mm256_unpackhi_ps(rows[2], rows[3]));
        const __m256d classes[4] = {_mm256_unpacklo_pd(top_left, low_left), _mm256_unpackhi_pd(top_left, low_left),
                                    _mm256_unpacklo_pd(top_right, low_right), _mm256_unpackhi_pd(top_right, low_right)};
        for (int c = 0; c < 4; ++c) {  // the minimum as probability() has it: of a NaN it is the NaN
            _mm256_storeu_ps(planes + c * pitch + x, _mm256_min_ps(most, _mm256_castpd_ps(classes[c])));
        }
    }
}

CLOUDRLE_INLINE void split_wide(const PixelSpan& pixels, float* planes, std::ptrdiff_t pitch) noexcept {
    constexpr std::ptrdiff_t size = sizeof(float);
    const bool four = pixels.classes == 4 && pixels.class_stride == size && pixels.column_stride == 4 * size;
    if (four && !pixels.bytes && pixels.columns >= 8) return split_four(pixels.data, pixels.columns, planes, pitch);
    split_any(pixels, planes, pitch);
}

void split_avx2(const PixelSpan& pixels, float* planes, std::ptrdiff_t pitch) { split_wide(pixels, planes, pitch); }

void stretch_avx2(const float* planes, std::ptrdiff_t pitch, std::int64_t classes, const ColumnTaps& taps, float* row) {
    for (int x = 0; x < taps.columns; x += 8) {
        const std::int32_t base = taps.indices[x];
        const bool near = taps.indices[x + 7] - base < 8;  // all eight columns lie within one load
        const __m256i indices = _mm256_sub_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(taps.indices + x)),
                                                 _mm256_set1_epi32(base));
        const __m256 first_weight = _mm256_loadu_ps(taps.first_weights + x);
        const __m256 second_weight = _mm256_loadu_ps(taps.second_weights + x);
        const float* source = planes + base;
        for (std::int64_t i = 0; i < classes; ++i, source += pitch) {
            const __m256 first = near ? _mm256_permutevar8x32_ps(_mm256_loadu_ps(source), indices)
                                      : _mm256_i32gather_ps(source, indices, 4);
            const __m256 second = near ? _mm256_permutevar8x32_ps(_mm256_loadu_ps(source + 1), indices)
                                       : _mm256_i32gather_ps(source + 1, indices, 4);
            _mm256_storeu_ps(row + i * kStripColumns + x,
                             _mm256_add_ps(_mm256_mul_ps(first, first_weight), _mm256_mul_ps(second, second_weight)));
        }
    }
}

void compare_avx2(const RowPair& rows, int columns, const float* thresholds, std::int64_t classes, std::uint64_t* words,
                  std::ptrdiff_t word_pitch) {
    const __m256 upper_weight = _mm256_set1_ps(rows.upper_weight);
    const __m256 lower_weight = _mm256_set1_ps(rows.lower_weight);
    for (std::int64_t i = 0; i < classes; ++i) {
        const __m256 threshold = _mm256_set1_ps(thresholds[i]);
        const float* const upper = rows.upper + i * kStripColumns;
        const float* const lower = rows.lower + i * kStripColumns;
        std::uint64_t word = 0;
        for (int x = 0; x < columns; x += 8) {
            const __m256 value = _mm256_add_ps(_mm256_mul_ps(_mm256_loadu_ps(upper + x), upper_weight),
                                               _mm256_mul_ps(_mm256_loadu_ps(lower + x), lower_weight));
            const int bits = _mm256_movemask_ps(_mm256_cmp_ps(value, threshold, _CMP_GE_OQ));
            word |= static_cast<std::uint64_t>(bits) << x;
        }
        words[i * word_pitch] = word;
    }
}

CLOUDRLE_END_TARGET

CLOUDRLE_BEGIN_TARGET(CLOUDRLE_AVX512)

void split_avx512(const PixelSpan& pixels, float* planes, std::ptrdiff_t pitch) { split_wide(pixels, planes, pitch); }

void stretch_avx512(const float* planes, std::ptrdiff_t pitch, std::int64_t classes, const ColumnTaps& taps,
                    float* row) {
    for (int x = 0; x < taps.columns; x += 16) {
        const std::int32_t base = taps.indices[x];
        const std::int32_t span = taps.indices[x + 15] - base;
        const __m512i first_index = _mm512_sub_epi32(_mm512_loadu_si512(taps.indices + x), _mm512_set1_epi32(base));
        const __m512i second_index = _mm512_add_epi32(first_index, _mm512_set1_epi32(1));
        const __m512 first_weight = _mm512_loadu_ps(taps.first_weights + x);
        const __m512 second_weight = _mm512_loadu_ps(taps.second_weights + x);
        const float* source = planes + base;
        for (std::int64_t i = 0; i < classes; ++i, source += pitch) {
            __m512 first;
            __m512 second;
            // The masked forms, as GCC 12 warns of the undefined register in the plain ones.
            if (span < 16) {
                first = _mm512_maskz_permutexvar_ps(0xffff, first_index, _mm512_loadu_ps(source));
                second = _mm512_maskz_permutexvar_ps(0xffff, first_index, _mm512_loadu_ps(source + 1));
            } else if (span < 31) {
                const __m512 left = _mm512_loadu_ps(source);
                const __m512 right = _mm512_loadu_ps(source + 16);
                first = _mm512_permutex2var_ps(left, first_index, right);
                second = _mm512_permutex2var_ps(left, second_index, right);
            } else {
                first = _mm512_mask_i32gather_ps(_mm512_setzero_ps(), 0xffff, first_index, source, 4);
                second = _mm512_mask_i32gather_ps(_mm512_setzero_ps(), 0xffff, second_index, source, 4);
            }
            _mm512_storeu_ps(row + i * kStripColumns + x,
                             _mm512_add_ps(_mm512_mul_ps(first, first_weight), _mm512_mul_ps(second, second_weight)));
        }
    }
}

void compare_avx512(const RowPair& rows, int columns, const float* thresholds, std::int64_t classes,
                    std::uint64_t* words, std::ptrdiff_t word_pitch) {
    const __m512 upper_weight = _mm512_set1_ps(rows.upper_weight);
    const __m512 lower_weight = _mm512_set1_ps(rows.lower_weight);
    for (std::int64_t i = 0; i < classes; ++i) {
        const __m512 threshold = _mm512_set1_ps(thresholds[i]);
        const float* const upper = rows.upper + i * kStripColumns;
        const float* const lower = rows.lower + i * kStripColumns;
        std::uint64_t word = 0;
        for (int x = 0; x < columns; x += 16) {
            const __m512 value = _mm512_add_ps(_mm512_mul_ps(_mm512_loadu_ps(upper + x), upper_weight),
                                               _mm512_mul_ps(_mm512_loadu_ps(lower + x), lower_weight));
            word |= static_cast<std::uint64_t>(_mm512_cmp_ps_mask(value, threshold, _CMP_GE_OQ)) << x;
        }
        words[i * word_pitch] = word;
    }
}

CLOUDRLE_END_TARGET

#endif

constexpr LerpKernels kKernels[kLevels] = {
    {split_scalar, stretch_scalar, compare_scalar},
#if CLOUDRLE_X86
    {split_avx2, stretch_avx2, compare_avx2},
    {split_avx512, stretch_avx512, compare_avx512},
#endif
};

}  // namespace

const LerpKernels& lerp_kernels() noexcept { return kKernels[static_cast<int>(level())]; }

}  // namespace cloudrle
