#include "rle/coco.hpp"

namespace cloudrle {
namespace {

// A character holds five bits of a number, lowest first, and one bit that says whether more follow.
constexpr char kFirst = '0';
constexpr char kLast = 'o';
constexpr int kPayload = 0x1f;
constexpr int kSign = 0x10;
constexpr int kMore = 0x20;
constexpr int kMaxShift = 60;  // of the thirteenth character, the last that an int64 can need

template <class Visit>
void for_each_count(const Run* runs, std::int64_t count, std::int64_t size, const Visit& visit) noexcept {
    std::int64_t at = 0;
    for (std::int64_t i = 0; i < count; ++i) {
        visit(runs[i].start - at);
        visit(runs[i].end - runs[i].start);
        at = runs[i].end;
    }
    if (at < size || count == 0) visit(size - at);
}

template <class Put>
void put_number(std::int64_t number, const Put& put) noexcept {
    bool more = true;
    while (more) {
        const int bits = static_cast<int>(number & kPayload);
        number >>= 5;
        more = number != ((bits & kSign) != 0 ? -1 : 0);
        put(static_cast<char>(kFirst + bits + (more ? kMore : 0)));
    }
}

// From the fourth count on, the string holds the difference from the count two before.
template <class Put>
void put_string(const Run* runs, std::int64_t count, std::int64_t size, const Put& put) noexcept {
    std::int64_t index = 0;
    std::int64_t before[2] = {0, 0};
    for_each_count(runs, count, size, [&](std::int64_t pixels) {
        std::int64_t& two_before = before[index & 1];
        put_number(index > 2 ? pixels - two_before : pixels, put);
        two_before = pixels;
        ++index;
    });
}

// Turns counts into runs one by one; each lies between 0 and room().
class Builder {
  public:
    Builder(std::int64_t size, Run* runs) noexcept : size_(size), first_(runs), next_(runs) {}

    std::int64_t room() const noexcept { return size_ - total_; }
    std::int64_t total() const noexcept { return total_; }
    std::int64_t runs() const noexcept { return next_ - first_; }

    void skip(std::int64_t background) noexcept { total_ += background; }

    void fill(std::int64_t foreground) noexcept {
        const std::int64_t start = total_;
        total_ += foreground;
        if (foreground == 0) return;
        if (start == last_end_) {
            next_[-1].end = total_;
        } else {
            *next_++ = {start, total_};
        }
        last_end_ = total_;
    }

  private:
    std::int64_t size_;
    Run* first_;
    Run* next_;
    std::int64_t total_ = 0;
    std::int64_t last_end_ = -1;  // of the last run
};

Result finish(const Builder& builder, std::int64_t position, std::int64_t counts) noexcept {
    if (builder.room() == 0) return Result{Error::none, builder.runs()};
    return Result{Error::counts_too_short, 0, position, counts, builder.total()};
}

// Reads a number of one or two characters, as most are; false for others.
bool read_short_number(const char* text, std::int64_t length, std::int64_t& at, std::int64_t& number) noexcept {
    const int low = text[at] - kFirst;
    if (0 <= low && low < kMore) {
        number = low - 2 * (low & kSign);
        ++at;
        return true;
    }
    if (low < 0 || text[at] > kLast || at + 1 == length) return false;
    const int high = text[at + 1] - kFirst;
    if (high < 0 || high >= kMore) return false;
    number = (low & kPayload) + (high - 2 * (high & kSign)) * (kPayload + 1);
    at += 2;
    return true;
}

// Reads the number at `at` and moves on behind it; the position in the result is that of a failure.
Result read_number(const char* text, std::int64_t length, std::int64_t& at, std::int64_t& number) noexcept {
    const std::int64_t first = at;
    std::uint64_t bits = 0;
    for (int shift = 0; shift <= kMaxShift; shift += 5, ++at) {
        if (at == length) return Result{Error::coco_unfinished, 0, first};
        const char c = text[at];
        if (c < kFirst || c > kLast) {
            const auto byte = static_cast<unsigned char>(c);
            return Result{byte < 0x80 ? Error::coco_character : Error::coco_not_ascii, 0, at, 0, byte};
        }
        const int code = c - kFirst;
        bits |= static_cast<std::uint64_t>(code & kPayload) << shift;
        if ((code & kMore) != 0) continue;
        ++at;
        const bool negative = (code & kSign) != 0;
        if (shift < kMaxShift) {
            if (negative) bits |= ~std::uint64_t{0} << (shift + 5);
        } else if (negative != (bits >> 63 != 0)) {
            break;  // the fifth bit of the last character has no place in 64 bits and must repeat the one before
        }
        number = static_cast<std::int64_t>(bits);
        return Result{};
    }
    return Result{Error::coco_too_large, 0, first};
}

}  // namespace

std::int64_t counts_length(const Run* runs, std::int64_t count, std::int64_t size) noexcept {
    return count == 0 ? 1 : 2 * count + (runs[count - 1].end < size);
}

void write_counts(const Run* runs, std::int64_t count, std::int64_t size, std::int64_t* counts) noexcept {
    for_each_count(runs, count, size, [&](std::int64_t pixels) { *counts++ = pixels; });
}

Result parse_counts(const std::int64_t* counts, std::int64_t length, Shape shape, Run* runs) noexcept {
    Builder builder(shape.size(), runs);
    for (std::int64_t i = 0; i < length; ++i) {
        if (counts[i] < 0) return Result{Error::count_negative, 0, i, i + 1, counts[i]};
        if (counts[i] > builder.room()) return Result{Error::count_past_end, 0, i, i + 1, counts[i]};
        (i & 1) == 0 ? builder.skip(counts[i]) : builder.fill(counts[i]);
    }
    return finish(builder, length, length);
}

std::int64_t coco_room(std::int64_t count, std::int64_t size) noexcept {
    std::int64_t characters = 1;  // that hold the size and a sign
    for (std::int64_t rest = size >> 4; rest != 0; rest >>= 5) ++characters;
    return (2 * count + 1) * characters;
}

std::int64_t write_coco(const Run* runs, std::int64_t count, std::int64_t size, char* text) noexcept {
    char* next = text;
    put_string(runs, count, size, [&](char c) { *next++ = c; });
    return next - text;
}

std::int64_t count_coco_numbers(const char* text, std::int64_t length) noexcept {
    std::int64_t count = 0;
    for (std::int64_t i = 0; i < length; ++i) count += ((text[i] - kFirst) & kMore) == 0;
    return count;
}

Result parse_coco(const char* text, std::int64_t length, Shape shape, Run* runs) noexcept {
    Builder builder(shape.size(), runs);
    Result failure;
    std::int64_t at = 0;
    std::int64_t index = 0;
    // Reads the next count, given the one two before it.
    const auto read = [&](std::int64_t before, std::int64_t& pixels) noexcept {
        const std::int64_t first = at;
        std::int64_t number = 0;
        if (!read_short_number(text, length, at, number)) {
            std::int64_t behind = at;
            std::int64_t long_number = 0;
            failure = read_number(text, length, behind, long_number);
            if (failure.error != Error::none) return false;
            at = behind;
            number = long_number;
        }
        ++index;
        // Compared unsigned, in which what is negative or overflows is too large.
        const std::uint64_t sum = static_cast<std::uint64_t>(before) + static_cast<std::uint64_t>(number);
        pixels = static_cast<std::int64_t>(sum);
        if (sum <= static_cast<std::uint64_t>(builder.room())) return true;
        failure = number < -before ? Result{Error::count_negative, 0, first, index, pixels}
                                   : Result{Error::count_past_end, 0, first, index, number};
        return false;
    };
    std::int64_t background = 0;
    std::int64_t foreground = 0;
    if (at < length) {  // the first count is none that another is told from
        std::int64_t pixels = 0;
        if (!read(0, pixels)) return failure;
        builder.skip(pixels);
    }
    while (at < length) {
        if (!read(foreground, foreground)) return failure;
        builder.fill(foreground);
        if (at == length) break;
        if (!read(background, background)) return failure;
        builder.skip(background);
    }
    return finish(builder, length, index);
}

}  // namespace cloudrle
