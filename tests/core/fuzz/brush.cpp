// Label Studio's brush data against a reader of one bit after another; and back.
#include "rle/brush.hpp"

#include <string>

#include "../guarded.hpp"
#include "../input.hpp"
#include "../plain.hpp"

using namespace cloudrle;

namespace {

constexpr std::int64_t kMostRead = 1 << 12;  // pixels that the plain reader is asked for

// The pixels that data hold; no words for what is wrong with them.
bool plain_parse(const std::string& bytes, Shape shape, Dense& pixels) {
    std::vector<bool> bits;
    for (const char byte : bytes)
        for (int bit = 7; bit >= 0; --bit) bits.push_back((byte >> bit & 1) != 0);
    std::size_t at = 0;
    bool enough = true;
    const auto read = [&](int count) {
        std::int64_t value = 0;
        for (int i = 0; i < count; ++i) {
            enough = enough && at < bits.size();
            value = 2 * value + (enough && bits[at++] ? 1 : 0);
        }
        return value;
    };
    const std::int64_t total = read(32);
    const std::int64_t word = read(5) + 1;
    int widths[4];
    for (int& width : widths) width = static_cast<int>(read(4)) + 1;
    if (!enough || total != 4 * shape.size() || word != 8) return false;
    std::vector<std::int64_t> values;
    while (static_cast<std::int64_t>(values.size()) < total) {
        const bool repeats = read(1) != 0;
        const int width = widths[read(2)];
        const std::int64_t count = read(width) + 1;
        if (!enough || count > total - static_cast<std::int64_t>(values.size())) return false;
        if (repeats) {
            values.insert(values.end(), as_size(count), read(8));
        } else {
            for (std::int64_t i = 0; i < count && enough; ++i) values.push_back(read(8));
        }
        if (!enough) return false;
    }
    const std::size_t left = bits.size() - at;
    if (left > 8 || read(static_cast<int>(left)) != 0) return false;
    for (std::size_t i = 3; i < values.size(); i += 4) pixels.push_back(values[i] != 0);
    return true;
}

Parsed parse(const std::string& bytes, Shape shape) {
    const auto guarded = Guarded<char>(bytes);
    Boundaries rows;
    const Result result = parse_brush(guarded.data(), guarded.size(), shape, rows);
    return {result, result.error == Error::none ? runs_of(rows) : std::vector<Run>()};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input input(data, size);
    const bool writes = input.flag();
    const Shape shape = input.any_shape();
    if (writes) {
        const std::vector<Run> rows = input.runs(shape.size());
        const auto guarded = Guarded<Run>(rows);
        Buffer<char> bytes;
        if (shape.size() >= std::int64_t{1} << 30) {
            CHECK(write_brush(guarded.data(), guarded.size(), shape, bytes).error == Error::brush_too_large);
            return 0;
        }
        CHECK(write_brush(guarded.data(), guarded.size(), shape, bytes).error == Error::none);
        const std::string written(bytes.data(), as_size(bytes.size()));
        const Parsed parsed = parse(written, shape);
        CHECK(parsed.result.error == Error::none && parsed.runs == rows);
        Dense pixels;
        if (shape.size() <= kMostRead) CHECK(plain_parse(written, shape, pixels) && plain_runs(pixels) == rows);
        return 0;
    }
    const std::string bytes = input.rest();
    const Parsed parsed = parse(bytes, shape);
    CHECK(is_valid(parsed.runs, {shape.width, shape.height}));
    if (shape.size() > kMostRead) return 0;
    Dense pixels;
    CHECK(plain_parse(bytes, shape, pixels) == (parsed.result.error == Error::none));
    if (parsed.result.error == Error::none) CHECK(plain_runs(pixels) == parsed.runs);
    return 0;
}
