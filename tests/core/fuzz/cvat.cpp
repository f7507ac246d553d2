// CVAT's numbers against a box that is filled pixel by pixel; and back.
#include "rle/cvat.hpp"

#include "../guarded.hpp"
#include "../input.hpp"
#include "../plain.hpp"

using namespace cloudrle;

namespace {

constexpr std::int64_t kMostRows = 1 << 10;    // a run of a box becomes one for each row
constexpr std::int64_t kMostFilled = 1 << 12;  // pixels of a mask that is filled

// Pixels along the rows; no words for what is wrong with the numbers.
bool plain_parse(std::vector<std::int64_t> numbers, Shape shape, Dense& pixels) {
    if (numbers.size() < 5) return false;
    const std::vector<std::int64_t> box(numbers.end() - 4, numbers.end());
    numbers.resize(numbers.size() - 4);
    const std::int64_t left = box[0], top = box[1], right = box[2], bottom = box[3];
    if (left < 0 || left > right || right >= shape.width) return false;
    if (top < 0 || top > bottom || bottom >= shape.height) return false;
    const std::int64_t box_width = right - left + 1;
    const std::int64_t box_size = box_width * (bottom - top + 1);
    pixels.assign(as_size(shape.size()), 0);
    std::int64_t at = 0;
    for (std::size_t i = 0; i < numbers.size(); ++i) {
        if (numbers[i] < 0 || numbers[i] > box_size - at) return false;
        for (std::int64_t end = at + numbers[i]; at < end; ++at)
            pixels[as_size((top + at / box_width) * shape.width + left + at % box_width)] = i % 2;
    }
    return at == box_size;
}

Parsed parse(const std::vector<std::int64_t>& numbers, Shape shape) {
    const auto guarded = Guarded<std::int64_t>(numbers);
    Boundaries rows;
    Result result = parse_cvat(guarded.data(), guarded.size(), shape, rows);
    return {result, result.error == Error::none ? runs_of(rows) : std::vector<Run>()};
}

void write_and_parse(const std::vector<Run>& rows, Shape shape) {
    const auto guarded = Guarded<Run>(rows);
    Buffer<std::int64_t> numbers;
    const Result result = write_cvat(guarded.data(), guarded.size(), shape, numbers);
    CHECK((result.error == Error::none) == (shape.size() > 0));
    if (result.error != Error::none) return;
    const Parsed parsed = parse({numbers.data(), numbers.data() + numbers.size()}, shape);
    CHECK(parsed.result.error == Error::none && parsed.runs == rows);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input input(data, size);
    const bool writes = input.flag();
    Shape shape = input.any_shape();
    shape.height = std::min(shape.height, kMostRows);
    if (writes) {
        write_and_parse(input.runs(shape.size()), shape);
        return 0;
    }
    std::vector<std::int64_t> numbers;
    while (!input.at_end()) numbers.push_back(input.signed_number(input.flag() ? 8 : 2));
    const Parsed parsed = parse(numbers, shape);
    CHECK(is_valid(parsed.runs, {shape.width, shape.height}));
    if (shape.size() > kMostFilled) return 0;
    Dense pixels;
    CHECK(plain_parse(numbers, shape, pixels) == (parsed.result.error == Error::none));
    if (parsed.result.error == Error::none) CHECK(plain_runs(pixels) == parsed.runs);
    return 0;
}
