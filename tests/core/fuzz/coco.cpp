// COCO's strings and counts, and back.
#include "rle/coco.hpp"

#include <optional>
#include <string>

#include "../guarded.hpp"
#include "../input.hpp"
#include "../plain.hpp"

using namespace cloudrle;

namespace {

using Wide = __int128;

Parsed plain_counts(const std::vector<Wide>& counts, const std::vector<std::int64_t>& positions, Shape shape,
                    const std::optional<Result>& fault, std::int64_t length, bool differences) {
    Parsed parsed;
    std::vector<Wide> pixels;
    Wide total = 0;
    for (std::size_t i = 0; i < counts.size(); ++i) {
        const Wide count = differences && i > 2 ? counts[i] + pixels[i - 2] : counts[i];
        const auto number = static_cast<std::int64_t>(i + 1);
        if (count < 0)
            return {{Error::count_negative, 0, positions[i], number, static_cast<std::int64_t>(count), 0}, {}};
        if (count > shape.size() - total)
            return {{Error::count_past_end, 0, positions[i], number, static_cast<std::int64_t>(counts[i]), 0}, {}};
        const Run run{static_cast<std::int64_t>(total), static_cast<std::int64_t>(total + count)};
        total += count;
        pixels.push_back(count);
        if (i % 2 == 0 || count == 0) continue;
        if (!parsed.runs.empty() && parsed.runs.back().end == run.start) {
            parsed.runs.back().end = run.end;
        } else {
            parsed.runs.push_back(run);
        }
    }
    if (fault) return {*fault, {}};
    if (total < shape.size()) {
        const auto found = static_cast<std::int64_t>(counts.size());
        return {{Error::counts_too_short, 0, length, found, static_cast<std::int64_t>(total), 0}, {}};
    }
    parsed.result.count = static_cast<std::int64_t>(parsed.runs.size());
    return parsed;
}

// Numbers of five bits a character, lowest first; bit 5 says that more follow, bit 4 of the last is the sign.
Parsed plain_parse(const std::string& text, Shape shape) {
    std::vector<Wide> counts;
    std::vector<std::int64_t> positions;
    std::optional<Result> fault;
    for (std::size_t i = 0; i < text.size() && !fault;) {
        const std::size_t first = i;
        const auto position = static_cast<std::int64_t>(first);
        Wide number = 0;
        Wide weight = 1;
        for (;; ++i) {
            if (i == first + 13)
                fault = Result{Error::coco_too_large, 0, position};
            else if (i == text.size())
                fault = Result{Error::coco_unfinished, 0, position};
            else if (const auto byte = static_cast<unsigned char>(text[i]); byte < '0' || byte > 'o')
                fault = Result{byte < 0x80 ? Error::coco_character : Error::coco_not_ascii, 0,
                               static_cast<std::int64_t>(i), 0, byte};
            if (fault) break;
            const int code = text[i] - '0';
            number += weight * (code & 0x1f);
            weight *= 32;
            if ((code & 0x20) != 0) continue;
            if ((code & 0x10) != 0) number -= weight;
            ++i;
            if (number != static_cast<std::int64_t>(number)) fault = Result{Error::coco_too_large, 0, position};
            break;
        }
        if (fault) break;
        counts.push_back(number);
        positions.push_back(position);
    }
    return plain_counts(counts, positions, shape, fault, static_cast<std::int64_t>(text.size()), true);
}

Parsed parse(const std::string& text, Shape shape) {
    const auto characters = Guarded<char>(text);
    Guarded<Run> runs(count_coco_numbers(characters.data(), characters.size()) / 2);
    const Result result = parse_coco(characters.data(), characters.size(), shape, runs.data());
    if (result.error != Error::none) return {result, {}};
    return {result, runs_of(runs.data(), result.count)};
}

Parsed parse(const std::vector<std::int64_t>& counts, Shape shape) {
    const auto numbers = Guarded<std::int64_t>(counts);
    Guarded<Run> runs(numbers.size() / 2);
    const Result result = parse_counts(numbers.data(), numbers.size(), shape, runs.data());
    if (result.error != Error::none) return {result, {}};
    return {result, runs_of(runs.data(), result.count)};
}

void write_and_parse(const std::vector<Run>& runs, Shape shape) {
    const auto guarded = Guarded<Run>(runs);
    const std::int64_t size = shape.size();
    Guarded<std::int64_t> counts(counts_length(guarded.data(), guarded.size(), size));
    write_counts(guarded.data(), guarded.size(), size, counts.data());
    const Parsed from_counts = parse(std::vector<std::int64_t>(counts.data(), counts.data() + counts.size()), shape);
    CHECK(from_counts.result.error == Error::none && from_counts.runs == runs);

    Guarded<char> text(coco_room(guarded.size(), size));
    const std::int64_t length = write_coco(guarded.data(), guarded.size(), size, text.data());
    CHECK(count_coco_numbers(text.data(), length) == counts.size());
    const Parsed from_text = parse(std::string(text.data(), as_size(length)), shape);
    CHECK(from_text.result.error == Error::none && from_text.runs == runs);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input input(data, size);
    const std::int64_t kind = input.below(3);
    const Shape shape = input.any_shape();
    if (kind == 0) {
        write_and_parse(input.runs(shape.size()), shape);
    } else if (kind == 1) {
        const std::string text = input.rest();
        const Parsed parsed = parse(text, shape);
        CHECK(parsed == plain_parse(text, shape));
        CHECK(is_valid(parsed.runs, shape));
    } else {
        std::vector<std::int64_t> counts;
        while (!input.at_end()) counts.push_back(input.signed_number(input.flag() ? 8 : 1));
        std::vector<std::int64_t> positions;
        for (std::size_t i = 0; i < counts.size(); ++i) positions.push_back(static_cast<std::int64_t>(i));
        const std::vector<Wide> wide(counts.begin(), counts.end());
        const auto length = static_cast<std::int64_t>(counts.size());
        const Parsed parsed = parse(counts, shape);
        CHECK(parsed == plain_counts(wide, positions, shape, {}, length, false));
        CHECK(is_valid(parsed.runs, shape));
    }
    return 0;
}
