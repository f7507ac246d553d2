#include "rle/text.hpp"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <limits>
#include <memory>

#include "rle/swar.hpp"
#include "rle/text_kernels.hpp"
#include "rle/threads.hpp"

namespace cloudrle {
namespace {

constexpr bool is_space(char c) noexcept { return c == ' ' || (c >= '\t' && c <= '\r'); }
constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

// How a kind of pairs counts.
constexpr bool is_one_based(Pairs pairs) noexcept { return pairs == Pairs::kaggle || pairs == Pairs::ends_inclusive; }
constexpr bool has_ends(Pairs pairs) noexcept {
    return pairs == Pairs::ends_inclusive || pairs == Pairs::ends_exclusive;
}

constexpr Error kind_of(char c, bool ends) noexcept {
    if (c == '\0') return Error::text_nul;
    if (c == '+' || c == '-') return ends ? Error::ends_sign : Error::text_sign;
    if (c == '.') return ends ? Error::ends_decimal : Error::text_decimal;
    return ends ? Error::ends_character : Error::text_character;
}

// Reads a text in two gaits. read_plain() takes digits and single spaces at several bytes a cycle and stops before the
// first run that holds anything else, faults of any kind included; read_run() reads any run and names its fault.
template <Pairs kPairs>
class Parser {
  public:
    Parser(const char* text, std::int64_t length, Shape shape, Run* runs) noexcept
        : begin_(text), at_(text), end_(text + length), size_(shape.size()), runs_(runs) {}

    Result parse() noexcept {
        for (;;) {
            if (at_end()) return Result{Error::none, count_};  // white space before a run is not plain
            read_plain();
            const char* const pause = at_ + std::min<std::ptrdiff_t>(end_ - at_, 64);  // no rescan for each odd run
            do {
                if (at_end()) return Result{Error::none, count_};
                if (const Result result = read_run(); result.error != Error::none) return result;
            } while (at_ < pause);
        }
    }

  private:
    static constexpr std::ptrdiff_t kWindow = 1024;
    static constexpr std::ptrdiff_t kMargin = 64;  // characters behind a window that kernels may load

    void read_plain() noexcept {
        while (at_ != end_ && read_window()) {
        }
    }

    // Reads the runs that lie within the next characters; false where one of them is not plain.
    bool read_window() noexcept {
        const std::ptrdiff_t left = end_ - at_;
        const char* text = at_;
        std::ptrdiff_t width = kWindow;
        char tail[kWindow + kMargin];
        if (left < kWindow + kMargin) {
            width = std::min((left + 64) & ~std::ptrdiff_t{63}, kWindow);
            std::memcpy(tail, at_, static_cast<std::size_t>(left));
            tail[left] = ' ';  // ends the last number
            std::memset(tail + left + 1, '0', static_cast<std::size_t>(width + kMargin - 1 - left));
            text = tail;
        }
        std::uint16_t starts[1 + kWindow + kSlackStarts];
        starts[0] = 0;
        const Scan scan = kernels_.find_starts(text, width, starts + 1);
        if (const std::ptrdiff_t sound = read_sound(text, starts, scan.starts); sound > 0) {
            at_ += std::min<std::ptrdiff_t>(starts[sound], left);
            return scan.characters == width;
        }
        std::int64_t numbers[kWindow];
        const std::ptrdiff_t count = kernels_.read_numbers(text, starts, scan.starts, numbers);
        const std::ptrdiff_t read = starts[add_pairs(numbers, count)];
        at_ += std::min(read, left);
        return scan.characters == width && read > 0;
    }

    // Reads sound runs several at a time; returns how many numbers that are.
    std::ptrdiff_t read_sound(const char* text, const std::uint16_t* starts, std::ptrdiff_t count) noexcept {
        if constexpr (kPairs == Pairs::kaggle || kPairs == Pairs::zero_based) {
            if (kernels_.read_sound == nullptr) return 0;
            const std::int64_t last = count_ == 0 ? -1 : previous_.end;
            const std::ptrdiff_t read = kernels_.read_sound(text, starts, count, is_one_based(kPairs), last, size_,
                                                            reinterpret_cast<std::int64_t*>(runs_ + count_));
            count_ += read / 2;
            number_ += read / 2;
            if (read > 0) previous_ = runs_[count_ - 1];
            return read;
        } else {
            return 0;
        }
    }

    // Takes over pairs of numbers up to the first that breaks a rule, and returns how many numbers that are.
    std::ptrdiff_t add_pairs(const std::int64_t* numbers, std::ptrdiff_t count) noexcept {
        const std::int64_t size = size_;
        std::int64_t last = count_ == 0 ? -1 : previous_.end;
        std::int64_t previous_start = 0;
        Run* run = runs_ + count_;
        std::ptrdiff_t i = 0;
        for (; i + 2 <= count; i += 2) {
            const auto [start, end] = run_of(numbers[i], numbers[i + 1], last);
            if (end <= start || end > size) break;
            if (start > last) {
                *run++ = Run{start, end};
            } else if (start == last && run != runs_) {
                run[-1].end = end;
            } else {
                break;
            }
            previous_start = start;
            last = end;
        }
        if (i > 0) {
            previous_ = Run{previous_start, last};
            number_ += i / 2;
            count_ = run - runs_;
        }
        return i;
    }

    bool at_end() noexcept {
        while (at_ != end_ && is_space(*at_)) ++at_;
        return at_ == end_;
    }

    Result failure(const char* at, Error error, std::int64_t value, std::int64_t other = 0) const noexcept {
        return Result{error, 0, at - begin_, number_, value, other};
    }

    // The run that a pair of numbers stands for; `last` is the end of the one before, or -1. What is past 2^63 - 1
    // wraps round and breaks a rule.
    static constexpr Run run_of(std::int64_t first, std::int64_t second, std::int64_t last) noexcept {
        const auto sum = [](std::int64_t a, std::int64_t b) {
            return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
        };
        std::int64_t start = is_one_based(kPairs) ? first - 1 : first;
        if (kPairs == Pairs::relative && last > 0) start = sum(start, last);
        return Run{start, has_ends(kPairs) ? second : sum(start, second)};
    }

    Result read_run() noexcept {
        ++number_;
        const char* at = at_;
        std::int64_t first = 0;
        if (const Error error = read_number(first); error != Error::none) return failure(at_, error, first);
        if (const Result result = check_start(at, first); result.error != Error::none) return result;
        if (at_end())
            return failure(at, has_ends(kPairs) ? Error::ends_no_end : Error::text_no_length, 2 * number_ - 1);
        at = at_;
        std::int64_t second = 0;
        if (const Error error = read_number(second); error != Error::none) return failure(at_, error, second);
        if (const Result result = check_end(at, first, second); result.error != Error::none) return result;

        const Run run = run_of(first, second, previous_.end);
        if (count_ > 0 && runs_[count_ - 1].end == run.start) {
            runs_[count_ - 1].end = run.end;
        } else {
            runs_[count_++] = run;
        }
        previous_ = run;
        return Result{};
    }

    Result check_start(const char* at, std::int64_t first) const noexcept {
        if (kPairs == Pairs::relative) {
            if (first < size_ - previous_.end) return Result{};
            return failure(at, Error::gap_past_end, first, previous_.end);
        }
        constexpr std::int64_t base = is_one_based(kPairs) ? 1 : 0;
        const auto either = [](Error one_based, Error zero_based) { return base == 1 ? one_based : zero_based; };
        const std::int64_t start = first - base;
        if (start < 0) return failure(at, Error::text_zero_start, first);
        if (start >= size_) return failure(at, either(Error::text_starts_past_end, Error::run_starts_past_end), first);
        if (start < previous_.start)
            return failure(at, either(Error::text_unsorted, Error::run_unsorted), first, previous_.start + base);
        if (start < previous_.end)
            return failure(at, either(Error::text_overlap, Error::run_overlap), first, previous_.end);
        return Result{};
    }

    Result check_end(const char* at, std::int64_t first, std::int64_t second) const noexcept {
        if (has_ends(kPairs)) {
            constexpr bool last = kPairs == Pairs::ends_inclusive;
            if (last && second < first) return failure(at, Error::ends_backwards, second, first);
            if (!last && second <= first) return failure(at, Error::run_empty, first, second);
            if (second > size_) return failure(at, last ? Error::ends_past_end : Error::run_past_end, second);
            return Result{};
        }
        const std::int64_t start = run_of(first, 0, previous_.end).start;
        if (second == 0) return failure(at, Error::text_zero_length, second);
        if (second <= size_ - start) return Result{};
        return failure(at, Error::text_ends_past_end, second, is_one_based(kPairs) ? start + 1 : start);
    }

    // Reads the number that starts here, up to white space or the end of the text.
    Error read_number(std::int64_t& value) noexcept {
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
            return kind_of(*at_, has_ends(kPairs));
        }
        return Error::none;
    }

    const char* begin_;
    const char* at_;
    const char* end_;
    std::int64_t size_;
    Run* runs_;
    const TextKernels& kernels_ = text_kernels();
    std::int64_t count_ = 0;
    std::int64_t number_ = 0;  // of the run in the text; merging makes `count_` smaller
    Run previous_{0, 0};       // as in the text, not merged
};

// Whether the text says "-1", which stands for an empty mask among relative starts.
bool is_minus_one(const char* text, std::int64_t length) noexcept {
    const char* end = text + length;
    while (text != end && is_space(*text)) ++text;
    while (text != end && is_space(end[-1])) --end;
    return end - text == 2 && text[0] == '-' && text[1] == '1';
}

}  // namespace

Result parse_text(const char* text, std::int64_t length, Shape shape, Run* runs) noexcept {
    return parse_pairs(Pairs::kaggle, text, length, shape, runs);
}

Result parse_pairs(Pairs pairs, const char* text, std::int64_t length, Shape shape, Run* runs) noexcept {
    switch (pairs) {
        case Pairs::kaggle:
            break;
        case Pairs::zero_based:
            return Parser<Pairs::zero_based>(text, length, shape, runs).parse();
        case Pairs::ends_inclusive:
            return Parser<Pairs::ends_inclusive>(text, length, shape, runs).parse();
        case Pairs::ends_exclusive:
            return Parser<Pairs::ends_exclusive>(text, length, shape, runs).parse();
        case Pairs::relative:
            if (is_minus_one(text, length)) return Result{};
            return Parser<Pairs::relative>(text, length, shape, runs).parse();
    }
    return Parser<Pairs::kaggle>(text, length, shape, runs).parse();
}

std::int64_t text_room(const Run* runs, std::int64_t count) noexcept {
    if (count == 0) return 0;
    int digits = 1;  // no number is larger than the end of the last run
    for (std::int64_t value = runs[count - 1].end; value >= 10; value /= 10) ++digits;
    return count * 2 * (digits + 1) + swar::kMargin;
}

std::int64_t write_text(const Run* runs, std::int64_t count, char* text) noexcept {
    return write_pairs(Pairs::kaggle, runs, count, text);
}

std::int64_t write_pairs(Pairs pairs, const Run* runs, std::int64_t count, char* text) noexcept {
    const std::int64_t base = is_one_based(pairs) ? 1 : 0;
    const bool ends = has_ends(pairs);
    const bool relative = pairs == Pairs::relative;
    std::int64_t last = 0;
    char* at = text;
    for (std::int64_t i = 0; i < count; ++i) {
        const auto [start, end] = runs[i];
        at = swar::write_number(at, relative ? start - last : start + base);
        at = swar::write_number(at, ends ? end : end - start);
        last = end;
    }
    return count == 0 ? 0 : at - text - 1;  // no space after the last number
}

Result parse_texts(const std::vector<Chars>& texts, Shape shape, std::int64_t first, const RunSink& sink,
                   std::int64_t threads, std::int64_t& faulty) {
    std::int64_t room = 0;
    for (const Chars& text : texts) room = std::max(room, runs_room(text.size));
    std::vector<Result> results(texts.size());
    for_each_group(static_cast<std::int64_t>(texts.size()), threads,
                   [&](std::int64_t, std::int64_t i, std::int64_t end) {
                       const std::unique_ptr<Run[]> runs(new Run[static_cast<std::size_t>(room)]);
                       for (; i < end; ++i) {
                           const auto [data, size] = texts[static_cast<std::size_t>(i)];
                           Result& result = results[static_cast<std::size_t>(i)];
                           result = parse_text(data, size, shape, runs.get());
                           if (result.error != Error::none) return;
                           sink.take(sink.target, first + i, runs.get(), result.count);
                       }
                   });
    const auto fault =
        std::find_if(results.begin(), results.end(), [](const Result& result) { return result.error != Error::none; });
    faulty = fault - results.begin();
    return fault == results.end() ? Result{} : *fault;
}

std::vector<Lines> write_texts(const RunSource& source, std::int64_t first, std::int64_t last, std::int64_t threads) {
    std::vector<Lines> groups(static_cast<std::size_t>(groups_of(last - first, threads)));
    for_each_group(last - first, threads, [&](std::int64_t group, std::int64_t i, std::int64_t end) {
        Lines& lines = groups[static_cast<std::size_t>(group)];
        Boundaries boundaries;
        for (; i < end; ++i) {
            boundaries.clear();
            source.give(source.origin, first + i, boundaries);
            const auto* const runs = reinterpret_cast<const Run*>(boundaries.data());
            const std::int64_t count = boundaries.size() / 2;
            char* const text = lines.chars.room(text_room(runs, count));
            lines.chars.add(write_text(runs, count, text));
            lines.ends.push_back(lines.chars.size());
        }
    });
    return groups;
}

void copy_lines(const std::vector<Lines>& groups, const std::vector<char*>& places, std::int64_t threads) {
    std::vector<char* const*> first{places.data()};  // of each group
    for (const Lines& lines : groups) first.push_back(first.back() + lines.ends.size());
    for_each_index(static_cast<std::int64_t>(groups.size()), threads, [&](std::int64_t group) {
        const Lines& lines = groups[static_cast<std::size_t>(group)];
        char* const* place = first[static_cast<std::size_t>(group)];
        std::int64_t start = 0;
        for (const std::int64_t end : lines.ends) {
            std::copy(lines.chars.data() + start, lines.chars.data() + end, *place++);
            start = end;
        }
    });
}

}  // namespace cloudrle
