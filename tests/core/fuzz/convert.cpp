// Columns of masks from any dialect to any other, and their measures, on several threads; texts by the thousand.
#include <cstring>
#include <memory>
#include <string>

#include "../guarded.hpp"
#include "../input.hpp"
#include "../plain.hpp"
#include "rle/dialects.hpp"

using namespace cloudrle;

namespace {

constexpr std::int64_t kDialects = 10;

bool holds_numbers(Dialect dialect) { return dialect == Dialect::coco_counts || dialect == Dialect::cvat; }

// One cell after another, whatever group wrote it.
std::vector<std::string> cells_of(const std::vector<Lines>& groups) {
    std::vector<std::string> cells;
    for (const Lines& group : groups) {
        std::int64_t first = 0;
        for (const std::int64_t end : group.ends) {
            cells.emplace_back(group.chars.data() + first, as_size(end - first));
            first = end;
        }
    }
    return cells;
}

struct Table {
    Result result;
    std::int64_t faulty = -1;
    std::vector<std::string> cells;
};
bool operator==(const Table& a, const Table& b) {
    return a.result == b.result && a.faulty == b.faulty && a.cells == b.cells;
}

Table convert(const std::vector<std::string>& cells, const std::vector<Shape>& shapes, Dialect from, Dialect to,
              std::int64_t threads) {
    std::vector<Row> rows;
    std::vector<std::unique_ptr<Guarded<char>>> kept;
    for (std::size_t i = 0; i < cells.size(); ++i) {
        kept.push_back(std::make_unique<Guarded<char>>(static_cast<std::int64_t>(cells[i].size())));
        if (!cells[i].empty()) std::memcpy(kept.back()->data(), cells[i].data(), cells[i].size());
        rows.push_back({{kept.back()->data(), kept.back()->size()}, shapes[i]});
    }
    return at_every_level([&] {
        Table table;
        std::vector<Lines> groups;
        table.result = convert_rows(rows, from, to, threads, groups, table.faulty);
        if (table.result.error != Error::none) return table;
        table.cells = cells_of(groups);
        return table;
    });
}

// Counts of a dialect that holds numbers are written as its bytes.
std::string counts_text(const std::vector<Run>& runs, std::int64_t size) {
    std::string text;
    const auto put = [&](std::int64_t count) { text.append(reinterpret_cast<const char*>(&count), sizeof count); };
    std::int64_t at = 0;
    for (const auto [start, end] : runs) {
        put(start - at);
        put(end - start);
        at = end;
    }
    if (at < size || runs.empty()) put(size - at);
    return text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input input(data, size);
    const auto from = static_cast<Dialect>(input.below(kDialects));
    const auto to = static_cast<Dialect>(input.below(kDialects));
    const std::int64_t threads = input.below(8) == 0 ? 3 : 1;  // to start them takes longer than the rest
    const bool hostile = input.below(4) == 0;
    std::vector<std::string> cells;
    std::vector<Shape> shapes;
    std::vector<Measure> wanted;
    for (std::int64_t count = input.below(5); count > 0; --count) {
        const Shape shape = input.small_shape(64, 1 << 8);
        const std::vector<Run> runs = input.runs(shape.size());
        const Dense pixels = plain_pixels(runs, shape.size());
        shapes.push_back(shape);
        cells.push_back(counts_text(runs, shape.size()));
        Measure measure{0, shape.height, shape.width, 0, 0, static_cast<std::int64_t>(runs.size())};
        for (std::int64_t i = 0; i < shape.size(); ++i) {
            if (pixels[as_size(i)] == 0) continue;
            const std::int64_t y = i % shape.height;
            const std::int64_t x = i / shape.height;
            measure = {measure.area + 1,
                       std::min(measure.top, y),
                       std::min(measure.left, x),
                       std::max(measure.bottom, y + 1),
                       std::max(measure.right, x + 1),
                       measure.runs};
        }
        wanted.push_back(measure.area == 0 ? Measure{0, 0, 0, 0, 0, 0} : measure);
    }
    if (hostile) {
        std::string text = input.rest();
        if (holds_numbers(from)) text.resize(text.size() / 8 * 8);
        cells.push_back(text);
        shapes.push_back({5, 7});
        const Table one = convert(cells, shapes, from, to, 1);
        const Table many = convert(cells, shapes, from, to, threads);
        CHECK(one == many);
        return 0;
    }
    const bool empty = std::any_of(shapes.begin(), shapes.end(), [](Shape shape) { return shape.size() == 0; });
    const Table there = convert(cells, shapes, Dialect::coco_counts, from, threads);
    if (empty && from == Dialect::cvat) {
        CHECK(there.result.error == Error::cvat_no_pixels);
        return 0;
    }
    CHECK(there.result.error == Error::none && there.cells.size() == cells.size());
    const Table across = convert(there.cells, shapes, from, to, threads);
    if (empty && to == Dialect::cvat) {
        CHECK(across.result.error == Error::cvat_no_pixels);
        return 0;
    }
    CHECK(across.result.error == Error::none);
    const Table back = convert(across.cells, shapes, to, Dialect::coco_counts, 1);
    CHECK(back.result.error == Error::none && back.cells == cells);

    std::vector<Row> rows;
    for (std::size_t i = 0; i < cells.size(); ++i) {
        rows.push_back({{there.cells[i].data(), static_cast<std::int64_t>(there.cells[i].size())}, shapes[i]});
    }
    Guarded<Measure> measures(static_cast<std::int64_t>(rows.size()));
    std::int64_t faulty = -1;
    CHECK(measure_rows(rows, from, threads, measures.data(), faulty).error == Error::none);
    CHECK(rows.empty() || std::memcmp(measures.data(), wanted.data(), wanted.size() * sizeof(Measure)) == 0);
    return 0;
}
