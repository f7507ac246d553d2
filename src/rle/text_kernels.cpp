#include "rle/text_kernels.hpp"

#include "rle/simd.hpp"
#include "rle/swar.hpp"

#if CLOUDRLE_X86
#include <immintrin.h>
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // GCC 12 warns of its own _mm512_undefined_epi32()
#endif
#endif

namespace cloudrle {
namespace {

// Writes `count` positions behind spaces, one for each bit, and up to kSlackStarts rubbish after them. Inlined, so that
// it is compiled for the level of its caller.
__attribute__((always_inline)) inline void write_starts(std::uint64_t bits, int count, std::ptrdiff_t base,
                                                        std::uint16_t* starts) noexcept {
    const auto write = [&](int from, int to) {
        for (int i = from; i < to; ++i, bits &= bits - 1) {
            starts[i] = static_cast<std::uint16_t>(base + __builtin_ctzll(bits | std::uint64_t{1} << 63));
        }
    };
    // In steps, so that the loops' branches are foreseen: a text has about as many numbers here as there.
    write(0, 8);
    if (count > 8) write(8, 16);
    if (count > 16) write(16, count);
}

namespace scalar {

using swar::each;
using swar::Word;

Scan find_starts(const char* text, std::ptrdiff_t width, std::uint16_t* starts) noexcept {
    Scan scan{0, 0};
    for (; scan.characters < width; scan.characters += 64) {
        Word bits = 0;  // bit i: character i of 64 is a space
        Word counts = 0;
        Word odd = 0;
        for (int i = 0; i < 8; ++i) {
            const Word flipped =
                swar::load(text + scan.characters + 8 * i) ^ each(' ');  // 0: space; 0x10 .. 0x19: digits
            const Word space = ~flipped & each(0x10);
            odd |= ((flipped + each(0x66)) | flipped) & each(0x80);   // above 0x19
            odd |= (flipped + each(0x0F)) & space;                    // 0x01 .. 0x0F
            bits |= ((space * 0x0010204081020408) >> 56) << (8 * i);  // gathers the eight flags
            counts += space >> 4;
        }
        if (odd != 0) break;
        const int count = static_cast<int>((counts * each(1)) >> 56);
        write_starts(bits, count, scan.characters + 1, starts + scan.starts);
        scan.starts += count;
    }
    return scan;
}

std::ptrdiff_t read_numbers(const char* text, const std::uint16_t* starts, std::ptrdiff_t count,
                            std::int64_t* numbers) noexcept {
    for (std::ptrdiff_t i = 0; i < count; ++i) {
        const std::uint32_t digits = starts[i + 1] - starts[i] - 1U;
        if (digits - 1 < 8) {
            numbers[i] = swar::short_number(text + starts[i], digits);
        } else if (digits - 1 < 16) {
            numbers[i] = swar::long_number(text + starts[i], digits);
        } else {
            return i;
        }
    }
    return count;
}

constexpr TextKernels kernels = {find_starts, read_numbers, nullptr};

}  // namespace scalar

#if CLOUDRLE_X86

CLOUDRLE_BEGIN_TARGET(CLOUDRLE_AVX2)
namespace avx2 {

inline std::uint64_t flags(__m256i low, __m256i high) noexcept {
    return static_cast<std::uint32_t>(_mm256_movemask_epi8(low)) |
           std::uint64_t{static_cast<std::uint32_t>(_mm256_movemask_epi8(high))} << 32;
}

inline __m256i are_digits(__m256i characters) noexcept {
    const __m256i values = _mm256_sub_epi8(characters, _mm256_set1_epi8('0'));
    return _mm256_cmpeq_epi8(_mm256_min_epu8(values, _mm256_set1_epi8(9)), values);
}

Scan find_starts(const char* text, std::ptrdiff_t width, std::uint16_t* starts) noexcept {
    Scan scan{0, 0};
    const __m256i space = _mm256_set1_epi8(' ');
    for (; scan.characters < width; scan.characters += 64) {
        const auto* const characters = reinterpret_cast<const __m256i*>(text + scan.characters);
        const __m256i low = _mm256_loadu_si256(characters);
        const __m256i high = _mm256_loadu_si256(characters + 1);
        const __m256i low_spaces = _mm256_cmpeq_epi8(low, space);
        const __m256i high_spaces = _mm256_cmpeq_epi8(high, space);
        const __m256i plain = _mm256_and_si256(_mm256_or_si256(low_spaces, are_digits(low)),
                                               _mm256_or_si256(high_spaces, are_digits(high)));
        if (_mm256_movemask_epi8(plain) != -1) break;
        const std::uint64_t bits = flags(low_spaces, high_spaces);
        const int count = __builtin_popcountll(bits);
        write_starts(bits, count, scan.characters + 1, starts + scan.starts);
        scan.starts += count;
    }
    return scan;
}

// Four numbers of 1 to 8 digits. `shifts` are the bits by which the characters behind each number must move out.
inline __m256i four_numbers(const char* text, const std::uint16_t* starts, __m256i shifts) noexcept {
    const auto load = [&](int i) { return static_cast<long long>(swar::load(text + starts[i])); };
    const __m256i characters = _mm256_set_epi64x(load(3), load(2), load(1), load(0));
    const __m256i digits = _mm256_sllv_epi64(_mm256_sub_epi8(characters, _mm256_set1_epi8('0')), shifts);
    const __m256i pairs = _mm256_maddubs_epi16(digits, _mm256_set1_epi16(10 + (1 << 8)));
    const __m256i fours = _mm256_madd_epi16(pairs, _mm256_set1_epi32(100 + (1 << 16)));
    return _mm256_add_epi64(_mm256_mul_epu32(fours, _mm256_set1_epi64x(10000)), _mm256_srli_epi64(fours, 32));
}

std::ptrdiff_t read_numbers(const char* text, const std::uint16_t* starts, std::ptrdiff_t count,
                            std::int64_t* numbers) noexcept {
    const auto load = [&](std::ptrdiff_t i) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(starts + i)); };
    std::ptrdiff_t i = 0;
    for (; i + 8 <= count; i += 8) {
        const __m128i less_one = _mm_sub_epi16(_mm_sub_epi16(load(i + 1), load(i)), _mm_set1_epi16(2));  // digits - 1
        const __m128i too_many = _mm_subs_epu16(less_one, _mm_set1_epi16(7));
        if (_mm_testz_si128(too_many, too_many) == 0) {
            const std::ptrdiff_t read = scalar::read_numbers(text, starts + i, 8, numbers + i);
            if (read < 8) return i + read;
            continue;
        }
        const __m128i shifts = _mm_slli_epi16(_mm_sub_epi16(_mm_set1_epi16(7), less_one), 3);
        auto* const target = reinterpret_cast<__m256i*>(numbers + i);
        _mm256_storeu_si256(target, four_numbers(text, starts + i, _mm256_cvtepu16_epi64(shifts)));
        _mm256_storeu_si256(target + 1,
                            four_numbers(text, starts + i + 4, _mm256_cvtepu16_epi64(_mm_srli_si128(shifts, 8))));
    }
    return i + scalar::read_numbers(text, starts + i, count - i, numbers + i);
}

constexpr TextKernels kernels = {find_starts, read_numbers, nullptr};

}  // namespace avx2
CLOUDRLE_END_TARGET

CLOUDRLE_BEGIN_TARGET(CLOUDRLE_VBMI2)
namespace vbmi2 {

inline __m512i bytes_from_zero() noexcept {
    const __m512i eights =
        _mm512_set_epi64(0x3838383838383838, 0x3030303030303030, 0x2828282828282828, 0x2020202020202020,
                         0x1818181818181818, 0x1010101010101010, 0x0808080808080808, 0);
    return _mm512_add_epi8(eights, _mm512_set1_epi64(0x0706050403020100));
}

Scan find_starts(const char* text, std::ptrdiff_t width, std::uint16_t* starts) noexcept {
    Scan scan{0, 0};
    const __m512i places = bytes_from_zero();
    for (; scan.characters < width; scan.characters += 64) {
        const __m512i characters = _mm512_loadu_si512(text + scan.characters);
        const std::uint64_t spaces = _mm512_cmpeq_epi8_mask(characters, _mm512_set1_epi8(' '));
        const std::uint64_t digits =
            _mm512_cmplt_epu8_mask(_mm512_sub_epi8(characters, _mm512_set1_epi8('0')), _mm512_set1_epi8(10));
        if ((spaces | digits) != ~std::uint64_t{0}) break;
        const __m512i found = _mm512_maskz_compress_epi8(spaces, places);
        const __m512i base = _mm512_set1_epi16(static_cast<short>(scan.characters + 1));
        const int count = __builtin_popcountll(spaces);
        std::uint16_t* const next = starts + scan.starts;
        _mm512_storeu_si512(next, _mm512_add_epi16(_mm512_cvtepu8_epi16(_mm512_castsi512_si256(found)), base));
        if (count > 32) {
            _mm512_storeu_si512(next + 32,
                                _mm512_add_epi16(_mm512_cvtepu8_epi16(_mm512_extracti64x4_epi64(found, 1)), base));
        }
        scan.starts += count;
    }
    return scan;
}

// Eight numbers of 1 to 7 digits, which lie in 64 characters: each is moved to the end of a word, its space last.
// Returns whether they are such.
inline bool eight_numbers(const char* text, const std::uint16_t* starts, __m512i& numbers) noexcept {
    const auto load = [&](int i) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(starts + i)); };
    const __m128i sizes = _mm_sub_epi16(load(1), load(0));  // with the space
    const __m128i ends = _mm_srli_epi16(
        _mm_sllv_epi16(_mm_set1_epi16(static_cast<short>(0xff00)), _mm_sub_epi16(_mm_set1_epi16(8), sizes)), 8);
    const auto kept = static_cast<__mmask64>(_mm_cvtsi128_si64(_mm_packus_epi16(ends, ends)));
    const __m512i digits = _mm512_sub_epi8(_mm512_loadu_si512(text + starts[0]), _mm512_set1_epi8('0'));
    const __m512i pairs =
        _mm512_maddubs_epi16(_mm512_maskz_expand_epi8(kept, digits), _mm512_set1_epi64(0x0001'010a'010a'010a));
    const __m512i fours = _mm512_madd_epi16(pairs, _mm512_set1_epi64(0x0001'000a'0001'0064));
    numbers = _mm512_add_epi64(_mm512_mul_epu32(fours, _mm512_set1_epi64(1000)), _mm512_srli_epi64(fours, 32));
    return _mm_cmplt_epu16_mask(_mm_sub_epi16(sizes, _mm_set1_epi16(2)), _mm_set1_epi16(7)) == 0xff;
}

std::ptrdiff_t read_numbers(const char* text, const std::uint16_t* starts, std::ptrdiff_t count,
                            std::int64_t* numbers) noexcept {
    std::ptrdiff_t i = 0;
    for (; i + 8 <= count; i += 8) {
        __m512i eight;
        if (eight_numbers(text, starts + i, eight)) {
            _mm512_storeu_si512(numbers + i, eight);
        } else {
            const std::ptrdiff_t read = avx2::read_numbers(text, starts + i, 8, numbers + i);
            if (read < 8) return i + read;
        }
    }
    return i + avx2::read_numbers(text, starts + i, count - i, numbers + i);
}

std::ptrdiff_t read_sound(const char* text, const std::uint16_t* starts, std::ptrdiff_t count, std::int64_t base,
                          std::int64_t last, std::int64_t size, std::int64_t* boundaries) noexcept {
    __m512i before = _mm512_set1_epi64(last);
    std::ptrdiff_t i = 0;
    for (; i + 8 <= count; i += 8) {
        __m512i eight;
        if (!eight_numbers(text, starts + i, eight)) break;
        const __m512i first = _mm512_maskz_shuffle_epi32(0xcccc, eight, _MM_PERM_BADC);  // beside its length
        const __m512i here = _mm512_sub_epi64(_mm512_add_epi64(eight, first), _mm512_set1_epi64(base));
        const __mmask8 rising = _mm512_cmplt_epi64_mask(_mm512_alignr_epi64(here, before, 7), here);
        const __mmask8 inside = _mm512_cmple_epi64_mask(here, _mm512_set1_epi64(size));
        if ((rising & inside) != 0xff) break;
        _mm512_storeu_si512(boundaries + i, here);
        before = here;
    }
    return i;
}

constexpr TextKernels kernels = {find_starts, read_numbers, read_sound};

}  // namespace vbmi2
CLOUDRLE_END_TARGET

constexpr const TextKernels* kTable[kLevels] = {&scalar::kernels, &avx2::kernels, &avx2::kernels};

// Of the CPUs with AVX-512, the first could not yet move bytes by a mask.
const bool has_vbmi2 = [] {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512vbmi2") != 0;
}();
#else
constexpr const TextKernels* kTable[kLevels] = {&scalar::kernels, &scalar::kernels, &scalar::kernels};
#endif

}  // namespace

const TextKernels& text_kernels() noexcept {
#if CLOUDRLE_X86
    if (has_vbmi2 && level() == Level::avx512) return vbmi2::kernels;
#endif
    return *kTable[static_cast<int>(level())];
}

}  // namespace cloudrle
