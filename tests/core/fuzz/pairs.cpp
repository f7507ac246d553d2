// Texts of pairs of numbers, strictly parsed, against a parser that takes one character after another; and back.
#include <limits>
#include <string>

#include "../guarded.hpp"
#include "../input.hpp"
#include "../plain.hpp"
#include "rle/text.hpp"

using namespace cloudrle;

namespace {

using Wide = __int128;  // holds every sum of two numbers of 64 bits

struct Number {
    Result fault;
    std::int64_t position;
    std::int64_t value;
};

bool is_space(char c) { return c == ' ' || ('\t' <= c && c <= '\r'); }

bool is_relative(Pairs pairs) { return pairs == Pairs::relative; }
bool has_ends(Pairs pairs) { return pairs == Pairs::ends_inclusive || pairs == Pairs::ends_exclusive; }
std::int64_t base_of(Pairs pairs) { return pairs == Pairs::kaggle || pairs == Pairs::ends_inclusive; }

Error fault_of(char c, bool ends) {
    if (c == '\0') return Error::text_nul;
    if (c == '+' || c == '-') return ends ? Error::ends_sign : Error::text_sign;
    if (c == '.') return ends ? Error::ends_decimal : Error::text_decimal;
    return ends ? Error::ends_character : Error::text_character;
}

// The numbers of a text up to the first that is none.
std::vector<Number> plain_numbers(Pairs pairs, const std::string& text) {
    std::vector<Number> numbers;
    for (std::size_t i = 0; i < text.size();) {
        if (is_space(text[i])) {
            ++i;
            continue;
        }
        Number number{{}, static_cast<std::int64_t>(i), 0};
        Wide value = 0;
        for (; i < text.size() && !is_space(text[i]) && number.fault.error == Error::none; ++i) {
            if (text[i] < '0' || text[i] > '9') {
                number.fault.error = fault_of(text[i], has_ends(pairs));
                number.fault.position = static_cast<std::int64_t>(i);
                number.fault.value = static_cast<unsigned char>(text[i]);
            } else if (value = 10 * value + (text[i] - '0'); value > kMostPixels64) {
                number.fault.error = Error::text_too_large;
                number.fault.position = number.position;
                value = 0;
            }
        }
        number.value = static_cast<std::int64_t>(value);
        numbers.push_back(number);
        if (number.fault.error != Error::none) break;
    }
    return numbers;
}

Parsed plain_parse(Pairs pairs, const std::string& text, Shape shape) {
    Parsed parsed;
    if (is_relative(pairs)) {
        std::string word;
        for (const char c : text) word += is_space(c) ? std::string() : std::string(1, c);
        const auto at = text.find('-');
        if (word == "-1" && text[at + 1] == '1') return parsed;
    }
    const std::int64_t base = base_of(pairs);
    const Wide size = shape.size();
    const std::vector<Number> numbers = plain_numbers(pairs, text);
    Run before{0, 0};
    for (std::size_t i = 0; i < numbers.size(); i += 2) {
        const auto number = static_cast<std::int64_t>(i / 2 + 1);
        const auto stop = [&](const Number& at, Error error, std::int64_t value, std::int64_t other = 0) {
            return Parsed{{error, 0, at.position, number, value, other}, {}};
        };
        const auto stop_inside = [&](const Number& at) {
            Result fault = at.fault;
            fault.number = number;
            return Parsed{fault, {}};
        };
        const Number first = numbers[i];
        if (first.fault.error != Error::none) return stop_inside(first);
        const Wide start = is_relative(pairs) ? Wide{before.end} + first.value : Wide{first.value} - base;
        if (is_relative(pairs)) {
            if (start >= size) return stop(first, Error::gap_past_end, first.value, before.end);
        } else {
            if (start < 0) return stop(first, Error::text_zero_start, first.value);
            if (start >= size)
                return stop(first, base == 1 ? Error::text_starts_past_end : Error::run_starts_past_end, first.value);
            if (start < before.start)
                return stop(first, base == 1 ? Error::text_unsorted : Error::run_unsorted, first.value,
                            before.start + base);
            if (start < before.end)
                return stop(first, base == 1 ? Error::text_overlap : Error::run_overlap, first.value, before.end);
        }
        if (i + 1 == numbers.size())
            return stop(first, has_ends(pairs) ? Error::ends_no_end : Error::text_no_length, 2 * number - 1);
        const Number second = numbers[i + 1];
        if (second.fault.error != Error::none) return stop_inside(second);
        const Wide end = has_ends(pairs) ? Wide{second.value} : start + second.value;
        if (pairs == Pairs::ends_inclusive && end <= start)
            return stop(second, Error::ends_backwards, second.value, first.value);
        if (pairs == Pairs::ends_exclusive && end <= start)
            return stop(second, Error::run_empty, first.value, second.value);
        if (end == start) return stop(second, Error::text_zero_length, 0);
        if (end > size && has_ends(pairs))
            return stop(second, base == 1 ? Error::ends_past_end : Error::run_past_end, second.value);
        if (end > size)
            return stop(second, Error::text_ends_past_end, second.value, static_cast<std::int64_t>(start) + base);
        before = {static_cast<std::int64_t>(start), static_cast<std::int64_t>(end)};
        if (!parsed.runs.empty() && parsed.runs.back().end == before.start) {
            parsed.runs.back().end = before.end;
        } else {
            parsed.runs.push_back(before);
        }
    }
    parsed.result.count = static_cast<std::int64_t>(parsed.runs.size());
    return parsed;
}

Parsed parse(Pairs pairs, const std::string& text, Shape shape) {
    const auto characters = Guarded<char>(text);
    return at_every_level([&] {
        Guarded<Run> runs(runs_room(characters.size()));
        Result result = parse_pairs(pairs, characters.data(), characters.size(), shape, runs.data());
        if (result.error == Error::text_too_large) result.value = 0;  // as much of it as was read
        if (result.error != Error::none) return Parsed{result, {}};
        return Parsed{result, runs_of(runs.data(), result.count)};
    });
}

std::string plain_text(Pairs pairs, const std::vector<Run>& runs) {
    std::string text;
    std::int64_t last = 0;
    for (const auto [start, end] : runs) {
        text += std::to_string(is_relative(pairs) ? start - last : start + base_of(pairs)) + ' ';
        text += std::to_string(has_ends(pairs) ? end : end - start) + ' ';
        last = end;
    }
    if (!text.empty()) text.pop_back();
    return text;
}

std::string write(Pairs pairs, const std::vector<Run>& runs) {
    const auto guarded = Guarded<Run>(runs);
    Guarded<char> text(text_room(guarded.data(), guarded.size()));
    const std::int64_t length = write_pairs(pairs, guarded.data(), guarded.size(), text.data());
    return {text.data(), as_size(length)};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input input(data, size);
    const auto pairs = static_cast<Pairs>(input.below(5));
    const bool writes = input.flag();
    const Shape shape = input.any_shape();
    if (writes) {
        const std::vector<Run> runs = input.runs(shape.size());
        const std::string text = write(pairs, runs);
        CHECK(text == plain_text(pairs, runs));
        const Parsed parsed = parse(pairs, text, shape);
        CHECK(parsed.result.error == Error::none && parsed.runs == runs);
        return 0;
    }
    const std::string text = input.rest();
    const Parsed parsed = parse(pairs, text, shape);
    CHECK(parsed == plain_parse(pairs, text, shape));
    CHECK(is_valid(parsed.runs, shape));
    return 0;
}
