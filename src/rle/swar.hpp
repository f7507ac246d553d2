// Decimal digits eight at a time in one 64-bit word ("SIMD within a register"): the same on every CPU.
#pragma once

#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace cloudrle::swar {

using Word = std::uint64_t;

constexpr Word each(Word byte) noexcept { return byte * 0x0101010101010101; }

// The first character in the lowest byte.
constexpr Word in_order(Word word) noexcept {
    return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? __builtin_bswap64(word) : word;
}

inline Word load(const char* text) noexcept {
    Word word;
    std::memcpy(&word, text, sizeof word);
    return in_order(word);
}

inline void store(char* text, Word word) noexcept {
    word = in_order(word);
    std::memcpy(text, &word, sizeof word);
}

inline int trailing_zeros(Word word) noexcept { return __builtin_ctzll(word); }

// The number that 1 to 8 digits make; reads 8 characters even where there are fewer.
inline std::int64_t short_number(const char* text, std::uint32_t digits) noexcept {
    Word word = (load(text) - each('0')) << (64 - 8 * digits);  // whatever follows the digits drops out at the top
    word = ((word * (1 + (10 << 8))) >> 8) & 0x00FF00FF00FF00FF;
    word = ((word * (1 + (100 << 16))) >> 16) & 0x0000FFFF0000FFFF;
    return static_cast<std::int64_t>((word * (1 + (Word{10000} << 32))) >> 32);
}

// The number that 9 to 16 digits make.
inline std::int64_t long_number(const char* text, std::uint32_t digits) noexcept {
    return short_number(text, digits - 8) * 100000000 + short_number(text + digits - 8, 8);
}

// 000 .. 999, first digit in the lowest byte.
constexpr std::array<std::uint32_t, 1000> kTriples = [] {
    std::array<std::uint32_t, 1000> triples{};
    for (std::uint32_t i = 0; i < 1000; ++i)
        triples[i] = ('0' + i / 100) | ('0' + i / 10 % 10) << 8 | ('0' + i % 10) << 16;
    return triples;
}();

constexpr std::ptrdiff_t kMargin = 8;

// Writes a number and a space, and up to kMargin characters of rubbish after them.
inline char* write_number(char* text, std::int64_t number) noexcept {
    const auto value = static_cast<Word>(number);
    if (value < 1000) {
        const int digits = 1 + (value >= 10) + (value >= 100);
        const Word word = Word{kTriples[value]} | Word{' '} << 24;
        store(text, word >> (8 * (3 - digits)));
        return text + digits + 1;
    }
    if (value < 100000000) {
        const Word high = value / 1000000;
        const Word middle = value / 1000 % 1000;
        const Word word = (kTriples[high] >> 8) | Word{kTriples[middle]} << 16 | Word{kTriples[value % 1000]} << 40;
        const int zeros = trailing_zeros(word ^ each('0')) & ~7;
        store(text, word >> zeros);
        text += 8 - zeros / 8;
    } else {
        text = std::to_chars(text, text + 19, number).ptr;
    }
    *text = ' ';
    return text + 1;
}

}  // namespace cloudrle::swar
