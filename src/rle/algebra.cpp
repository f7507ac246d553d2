#include "rle/algebra.hpp"

#include <algorithm>

namespace cloudrle {
namespace {

// A run list read flat: where the value changes, so that the index of a boundary has the value before it as lowest bit.
struct Changes {
    explicit Changes(RunView mask) noexcept
        : at(reinterpret_cast<const std::int64_t*>(mask.runs)), count(2 * mask.count) {}

    std::int64_t before(std::int64_t position) const noexcept {
        return std::lower_bound(at, at + count, position) - at;
    }

    const std::int64_t* at;
    std::int64_t count;
};

// Merges a part of one list with the part of another over the same pixels. `value` says what comes of two pixels of 0
// or 1; of two zeros always 0.
template <class Value>
class Merge {
  public:
    // From change `i` and `j` on, before `i_end` and `j_end`; the index `k` of the first change to write has as lowest
    // bit what comes of the values before it.
    Merge(Changes a, Changes b, std::int64_t i, std::int64_t j, std::int64_t i_end, std::int64_t j_end,
          std::int64_t* out, std::int64_t k, const Value& value) noexcept
        : a_(a.at), b_(b.at), i_(i), j_(j), i_end_(i_end), j_end_(j_end), out_(out), k_(k), value_(value) {}

    bool has_both() const noexcept { return (i_ < i_end_) & (j_ < j_end_); }

    // Without jumps: which of the two comes next is anybody's guess.
    void step() noexcept {
        const std::int64_t from_a = a_[i_];
        const std::int64_t from_b = b_[j_];
        out_[k_] = std::min(from_a, from_b);
        i_ += from_a <= from_b;
        j_ += from_b <= from_a;
        k_ += (value_(i_ & 1, j_ & 1) ^ k_) & 1;
    }

    // Where only one of the two has changes left, they are kept or dropped as a whole.
    void pass_a(std::int64_t end) noexcept { pass(a_, i_, end, value_(1, j_ & 1) != value_(0, j_ & 1)); }
    void pass_b(std::int64_t end) noexcept { pass(b_, j_, end, value_(i_ & 1, 1) != value_(i_ & 1, 0)); }

    // Does what is left, and returns the index behind the last change written.
    std::int64_t finish() noexcept {
        while (has_both()) step();
        pass_a(i_end_);
        pass_b(j_end_);
        return k_;
    }

  private:
    void pass(const std::int64_t* alone, std::int64_t& from, std::int64_t to, bool kept) noexcept {
        if (kept) k_ = std::copy(alone + from, alone + to, out_ + k_) - out_;
        from = to;
    }

    const std::int64_t* a_;
    const std::int64_t* b_;
    std::int64_t i_;
    std::int64_t j_;
    std::int64_t i_end_;
    std::int64_t j_end_;
    std::int64_t* out_;
    std::int64_t k_;
    Value value_;
};

template <class Value>
void merge(Changes a, Changes b, const Value& value, Boundaries& boundaries) {
    std::int64_t* const out = boundaries.room(a.count + b.count + 1);
    const std::int64_t i = b.count > 0 ? a.before(b.at[0]) : a.count;
    const std::int64_t j = i == 0 && a.count > 0 ? b.before(a.at[0]) : 0;
    // Each step waits for the one before, but not for those of another merge: two halves take half the time of one.
    const std::int64_t i_half = i + (a.count - i) / 2;
    const std::int64_t j_half = i_half < a.count ? std::max(j, b.before(a.at[i_half])) : b.count;
    const std::int64_t room = i_half + j_half;
    const std::int64_t k_half = room + ((room & 1) != value(i_half & 1, j_half & 1));
    Merge<Value> first(a, b, 0, 0, i_half, j_half, out, 0, value);
    Merge<Value> second(a, b, i_half, j_half, a.count, b.count, out, k_half, value);
    first.pass_a(i);
    first.pass_b(j);
    while (first.has_both() && second.has_both()) {
        first.step();
        second.step();
    }
    const std::int64_t k_end = second.finish();
    const std::int64_t k = first.finish();
    boundaries.add(std::copy(out + k_half, out + k_end, out + k) - out);
}

// The mean of rows and columns, summed up as whole numbers.
template <class Sum>
Point mean(RunView mask, std::int64_t height) noexcept {
    Sum rows = 0;  // twice the sum of the pixels' rows: a range has as mean half the sum of its first and last
    Sum columns = 0;
    Sum pixels = 0;
    const auto add = [&](std::int64_t top, std::int64_t bottom, std::int64_t left, std::int64_t right) {
        const Sum count = static_cast<Sum>(bottom - top) * (right - left);
        rows += count * (static_cast<Sum>(top) + bottom - 1);
        columns += count * (static_cast<Sum>(left) + right - 1);
        pixels += count;
    };
    std::int64_t x = 0;
    std::int64_t column = 0;  // number of its top pixel
    for (std::int64_t i = 0; i < mask.count; ++i) {
        const auto [start, end] = mask.runs[i];
        if (start - column >= height) {
            x = start / height;
            column = x * height;
        }
        if (end - column <= height) {
            add(start - column, end - column, x, x + 1);
            continue;
        }
        add(start - column, height, x, x + 1);
        const std::int64_t last = end / height;  // the column after the whole ones
        if (last > x + 1) add(0, height, x + 1, last);
        x = last;
        column = x * height;
        if (end > column) add(0, end - column, x, x + 1);
    }
    // Whole part and rest, each for itself: sums beyond 2^53, once rounded, can name a point outside of the mask.
    const Sum twice = 2 * pixels;
    const auto half = [twice](Sum sum) {
        const Sum whole = sum / twice;
        return static_cast<double>(whole) + static_cast<double>(sum - whole * twice) / static_cast<double>(twice);
    };
    return {half(rows), half(columns)};
}

RunView from_position(RunView mask, std::int64_t position) noexcept {
    const Run* const last = mask.runs + mask.count;
    const Run* const first = std::partition_point(mask.runs, last, [&](const Run& run) { return run.end <= position; });
    return {first, last - first};
}

}  // namespace

std::int64_t area(const Run* runs, std::int64_t count) noexcept {
    std::int64_t pixels = 0;
    for (std::int64_t i = 0; i < count; ++i) pixels += runs[i].end - runs[i].start;
    return pixels;
}

Box bounding_box(const Run* runs, std::int64_t count, std::int64_t height) noexcept {
    Box box{height, runs[0].start / height, 0, (runs[count - 1].end - 1) / height + 1};
    std::int64_t column = box.left * height;  // number of the column's top pixel
    for (std::int64_t i = 0; i < count; ++i) {
        const auto [start, end] = runs[i];
        if (start >= column + height) {  // mostly in the next column, which takes no division
            column = start - column < 2 * height ? column + height : start / height * height;
        }
        if (end > column + height) return {0, box.left, height, box.right};  // it takes in a bottom and a top pixel
        box.top = std::min(box.top, start - column);
        box.bottom = std::max(box.bottom, end - column);
    }
    return box;
}

Point centroid(RunView mask, std::int64_t height) noexcept {
    const auto end = static_cast<double>(mask.runs[mask.count - 1].end);
    const auto sides = static_cast<double>(height) + end / static_cast<double>(height);
    // Twice the sum of the rows, or columns, of so many pixels: mostly no 128 bits are needed, which take twice the
    // time.
    return 2 * end * sides < 9e18 ? mean<std::int64_t>(mask, height) : mean<__int128>(mask, height);
}

std::int64_t intersection(const Run* a, std::int64_t a_count, const Run* b, std::int64_t b_count) noexcept {
    if (a_count == 0 || b_count == 0) return 0;
    const RunView left = from_position({a, a_count}, b->start);
    const RunView right = from_position({b, b_count}, a->start);
    a = left.runs;
    b = right.runs;
    const Run* const a_last = a + left.count;
    const Run* const b_last = b + right.count;
    std::int64_t pixels = 0;
    while (a != a_last && b != b_last) {
        pixels += std::max<std::int64_t>(0, std::min(a->end, b->end) - std::max(a->start, b->start));
        if (a->end < b->end) {
            ++a;
        } else {
            ++b;
        }
    }
    return pixels;
}

void combine(RunView a, RunView b, Operation operation, Boundaries& boundaries) {
    using Bit = std::int64_t;
    switch (operation) {
        case Operation::both:
            return merge(Changes(a), Changes(b), [](Bit x, Bit y) { return x & y; }, boundaries);
        case Operation::either:
            return merge(Changes(a), Changes(b), [](Bit x, Bit y) { return x | y; }, boundaries);
        case Operation::one:
            return merge(Changes(a), Changes(b), [](Bit x, Bit y) { return x ^ y; }, boundaries);
        case Operation::first_alone:
            return merge(Changes(a), Changes(b), [](Bit x, Bit y) { return x & ~y; }, boundaries);
    }
}

void combine_all(const RunView* masks, std::int64_t count, Operation operation, Boundaries& boundaries) {
    if (count <= 2) return combine(masks[0], masks[count - 1], operation, boundaries);
    const std::int64_t half = count / 2;  // in halves, each run is looked at log(count) times
    Boundaries left;
    Boundaries right;
    combine_all(masks, half, operation, left);
    combine_all(masks + half, count - half, operation, right);
    combine(view(left), view(right), operation, boundaries);
}

void complement(RunView mask, std::int64_t size, Boundaries& boundaries) {
    if (size == 0) return;
    const Changes changes(mask);
    const std::int64_t* first = changes.at;
    const std::int64_t* last = changes.at + changes.count;
    std::int64_t* const out = boundaries.room(changes.count + 2);
    std::int64_t* next = out;
    if (first != last && *first == 0) {
        ++first;
    } else {
        *next++ = 0;
    }
    const bool reaches_end = first != last && last[-1] == size;
    next = std::copy(first, last - reaches_end, next);
    if (!reaches_end) *next++ = size;
    boundaries.add(next - out);
}

}  // namespace cloudrle
