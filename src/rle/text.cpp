#include "rle/text.hpp"

#include <charconv>
#include <cstddef>
#include <limits>

namespace cloudrle {
namespace {

constexpr int kMaxDigits = 19;  // of an int64

constexpr bool is_space(char c) noexcept { return c == ' ' || (c >= '\t' && c <= '\r'); }
constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

constexpr Error kind_of(char c) noexcept {
    if (c == '\0') return Error::text_nul;
    if (c == '+' || c == '-') return Error::text_sign;
    if (c == '.') return Error::text_decimal;
    return Error::text_character;
}

class Reader {
  public:
    Reader(const char* text, std::int64_t length) noexcept : begin_(text), at_(text), end_(text + length) {}

    bool at_end() noexcept {
        while (at_ != end_ && is_space(*at_)) ++at_;
        return at_ == end_;
    }

    std::int64_t position() const noexcept { return at_ - begin_; }

    // Reads the number that starts here, up to white space or the end of the text.
    Error number(std::int64_t& value) noexcept {
        constexpr std::int64_t max = std::numeric_limits<std::int64_t>::max();
        const char* const first = at_;
        value = 0;
        for (; at_ != end_ && is_digit(*at_); ++at_) {
            const int digit = *at_ - '0';
            if (value > max / 10 || (value == max / 10 && digit > max % 10)) {
                at_ = first;
                return Error::text_too_large;
            }
            value = value * 10 + digit;
        }
        if (at_ != end_ && !is_space(*at_)) {
            value = static_cast<unsigned char>(*at_);
            return kind_of(*at_);
        }
        return Error::none;
    }

  private:
    const char* begin_;
    const char* at_;
    const char* end_;
};

int digits(std::int64_t value) noexcept {
    int count = 1;
    for (; value >= 10; value /= 10) ++count;
    return count;
}

}  // namespace

std::int64_t count_numbers(const char* text, std::int64_t length) noexcept {
    std::int64_t count = 0;
    bool space = true;
    for (std::int64_t i = 0; i < length; ++i) {
        const bool before = space;
        space = is_space(text[i]);
        count += before && !space;
    }
    return count;
}

Result parse_text(const char* text, std::int64_t length, Shape shape, Run* runs) noexcept {
    const std::int64_t size = shape.size();
    Reader reader(text, length);
    std::int64_t count = 0;
    std::int64_t number = 0;          // of the run in the text; merging makes `count` smaller
    std::int64_t previous_start = 0;  // 1-based, as in the text
    std::int64_t previous_last = 0;
    while (!reader.at_end()) {
        ++number;
        std::int64_t at = reader.position();
        const auto failure = [&](Error error, std::int64_t value, std::int64_t other = 0) {
            return Result{error, 0, at, number, value, other};
        };
        std::int64_t start = 0;
        if (const Error error = reader.number(start); error != Error::none) {
            at = reader.position();
            return failure(error, start);
        }
        if (start == 0) return failure(Error::text_zero_start, start);
        if (start > size) return failure(Error::text_starts_past_end, start);
        if (start < previous_start) return failure(Error::text_unsorted, start, previous_start);
        if (start <= previous_last) return failure(Error::text_overlap, start, previous_last);
        if (reader.at_end()) return failure(Error::text_no_length, 2 * number - 1);
        at = reader.position();
        std::int64_t pixels = 0;
        if (const Error error = reader.number(pixels); error != Error::none) {
            at = reader.position();
            return failure(error, pixels);
        }
        if (pixels == 0) return failure(Error::text_zero_length, pixels);
        if (pixels > size - start + 1) return failure(Error::text_ends_past_end, pixels, start);

        const Run run{start - 1, start - 1 + pixels};
        if (count > 0 && runs[count - 1].end == run.start) {
            runs[count - 1].end = run.end;
        } else {
            runs[count++] = run;
        }
        previous_start = start;
        previous_last = run.end;
    }
    return Result{Error::none, count};
}

std::int64_t text_length(const Run* runs, std::int64_t count) noexcept {
    std::int64_t length = 0;
    for (std::int64_t i = 0; i < count; ++i)
        length += digits(runs[i].start + 1) + digits(runs[i].end - runs[i].start) + 2;
    return count == 0 ? 0 : length - 1;  // no space after the last number
}

void write_text(const Run* runs, std::int64_t count, char* text) noexcept {
    for (std::int64_t i = 0; i < count; ++i) {
        if (i > 0) *text++ = ' ';
        text = std::to_chars(text, text + kMaxDigits, runs[i].start + 1).ptr;
        *text++ = ' ';
        text = std::to_chars(text, text + kMaxDigits, runs[i].end - runs[i].start).ptr;
    }
}

}  // namespace cloudrle
