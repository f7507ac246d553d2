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

// Turns counts into runs one by one.
class Builder {
  public:
    Builder(std::int64_t size, Run* runs) noexcept : size_(size), runs_(runs) {}

    std::int64_t room() const noexcept { return size_ - total_; }
    std::int64_t total() const noexcept { return total_; }
    std::int64_t runs() const noexcept { return written_; }
    std::int64_t counts() const noexcept { return counts_; }

    // `pixels` lies between 0 and room().
    void add(std::int64_t pixels) noexcept {
        const bool foreground = (counts_++ & 1) != 0;
        const Run run{total_, total_ + pixels};
        total_ = run.end;
        if (!foreground || pixels == 0) return;
        if (written_ > 0 && runs_[written_ - 1].end == run.start) {
            runs_[written_ - 1].end = run.end;
        } else {
            runs_[written_++] = run;
        }
    }

  private:
    std::int64_t size_;
    Run* runs_;
    std::int64_t total_ = 0;
    std::int64_t written_ = 0;
    std::int64_t counts_ = 0;
};

Result finish(const Builder& builder, std::int64_t position) noexcept {
    if (builder.room() == 0) return Result{Error::none, builder.runs()};
    return Result{Error::counts_too_short, 0, position, builder.counts(), builder.total()};
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
        builder.add(counts[i]);
    }
    return finish(builder, length);
}

std::int64_t coco_length(const Run* runs, std::int64_t count, std::int64_t size) noexcept {
    std::int64_t length = 0;
    put_string(runs, count, size, [&](char) { ++length; });
    return length;
}

void write_coco(const Run* runs, std::int64_t count, std::int64_t size, char* text) noexcept {
    put_string(runs, count, size, [&](char c) { *text++ = c; });
}

std::int64_t count_coco_numbers(const char* text, std::int64_t length) noexcept {
    std::int64_t count = 0;
    for (std::int64_t i = 0; i < length; ++i) count += ((text[i] - kFirst) & kMore) == 0;
    return count;
}

Result parse_coco(const char* text, std::int64_t length, Shape shape, Run* runs) noexcept {
    Builder builder(shape.size(), runs);
    std::int64_t before[2] = {0, 0};
    for (std::int64_t at = 0; at < length;) {
        const std::int64_t first = at;
        const std::int64_t index = builder.counts();
        std::int64_t number = 0;
        const int code = text[at] - kFirst;
        if (code >= 0 && code < kMore) {  // one character, as most are
            number = code - 2 * (code & kSign);
            ++at;
        } else if (const Result result = read_number(text, length, at, number); result.error != Error::none)
            return result;
        std::int64_t& two_before = before[index & 1];
        const std::int64_t base = index > 2 ? two_before : 0;
        // Nothing overflows: base lies between 0 and the size of the mask.
        if (number < -base) return Result{Error::count_negative, 0, first, index + 1, number + base};
        if (number > builder.room() - base) return Result{Error::count_past_end, 0, first, index + 1, number};
        two_before = number + base;
        builder.add(two_before);
    }
    return finish(builder, length);
}

}  // namespace cloudrle
