// Tests of the core for branches that noise seldom takes: widths and layouts of memory, columns of other types, texts
// of many spaces, work for several threads.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "guarded.hpp"
#include "rle/algebra.hpp"
#include "rle/arrow.hpp"
#include "rle/brush.hpp"
#include "rle/buffer.hpp"
#include "rle/cvat.hpp"
#include "rle/dialects.hpp"
#include "rle/many.hpp"
#include "rle/mask.hpp"
#include "rle/moves.hpp"
#include "rle/outline.hpp"
#include "rle/overlaps.hpp"
#include "rle/polygon.hpp"
#include "rle/probabilities.hpp"
#include "rle/resize_runs.hpp"
#include "rle/text.hpp"
#include "testing.hpp"

namespace cloudrle {
namespace {

// Rows without gaps, of every number of vectors, from several places in a cache line.
void rows_of_every_width_are_written() {
    for (const std::int64_t width : {5, 100, 511, 512, 1000, 1100, 1700, 2100, 2700, 3200, 3700, 4030, 4100}) {
        const Shape shape{60, width};
        std::vector<Run> runs;
        for (std::int64_t at = 7; at + 1 < shape.size(); at += 911)
            runs.push_back({at, std::min(at + 454, shape.size())});
        const Dense wanted = plain_transpose(plain_pixels(runs, shape.size()), shape);
        for (const std::int64_t before : {0, 1, 63}) {
            CHECK(at_every_level([&] {
                Guarded<std::uint8_t> out(before + shape.size());
                std::memset(out.data(), 0xee, as_size(before));
                decode_mask(runs.data(), view_of(runs).count, {out.data() + before, shape, width, 1},
                            all_columns(shape));
                CHECK(std::all_of(out.data(), out.data() + before, [](std::uint8_t byte) { return byte == 0xee; }));
                return std::equal(wanted.begin(), wanted.end(), out.data() + before);
            }));
        }
    }
}

void columns_of_one_height_may_have_another_width() {
    const Shape from{20, 30};
    const Shape to{20, 45};
    const std::vector<Run> runs = plain_runs(noise(from.size(), 30));
    Guarded<std::uint8_t> out(to.size());
    const Canvas canvas{from, Interpolation::nearest, {{out.data(), to, to.width, 1}, 1, to.size()}};
    canvas.paint(0, runs.data(), view_of(runs).count);
    Boundaries resized;
    resize_runs(runs.data(), view_of(runs).count, from, to, Interpolation::nearest, resized);
    const Dense wanted = plain_transpose(plain_pixels(runs_of(resized), to.size()), to);
    CHECK(std::equal(wanted.begin(), wanted.end(), out.data()));
}

// Columns that a run fills or leaves free as a whole, in the middle of a mask and behind the last run.
void parts_without_a_boundary_are_filled() {
    const Shape shape{20, 256};
    for (const Run run : {Run{0, 10}, Run{5, shape.size()}, Run{shape.size() - 1, shape.size()}}) {
        const std::vector<Run> runs{run};
        const Dense wanted = plain_transpose(plain_pixels(runs, shape.size()), shape);
        CHECK(at_every_level([&] {
            Guarded<std::uint8_t> out(shape.size());
            for (const Columns part : {Columns{0, 64}, Columns{64, 192}, Columns{192, 256}})
                decode_mask(runs.data(), 1, {out.data(), shape, shape.width, 1}, part);
            return std::equal(wanted.begin(), wanted.end(), out.data());
        }));
    }
}

struct Layout {
    std::int64_t column;
    std::int64_t plane;
};

// Boundaries of each class of the same maps, whose numbers lie so far apart, in elements.
template <class Element>
std::vector<std::vector<std::int64_t>> boundaries_of_maps(Shape shape, Layout layout) {
    constexpr std::int64_t classes = 4;
    const float thresholds[classes] = {0.5F, 0.25F, 0.75F, 0.1F};
    const std::int64_t min_areas[classes] = {0, 0, 3, 0};
    Guarded<Element> values((layout.column + classes * layout.plane) * shape.size());
    std::uint64_t state = 1;
    for (std::int64_t i = 0; i < shape.size(); ++i) {
        for (std::int64_t c = 0; c < classes; ++c) {
            state = state * 6364136223846793005 + 1442695040888963407;
            const std::uint64_t byte = state >> 56;
            values.data()[i * layout.column + c * layout.plane] =
                sizeof(Element) == 1 ? static_cast<Element>(byte) : static_cast<Element>(byte) / Element{255};
        }
    }
    constexpr auto item = static_cast<std::int64_t>(sizeof(Element));
    const ProbabilityView map{reinterpret_cast<const std::uint8_t*>(values.data()),
                              shape,
                              classes,
                              shape.width * layout.column * item,
                              layout.column * item,
                              layout.plane * item,
                              item == 1};
    const Resampling resampling(shape, {2 * shape.height, 3 * shape.width});
    return at_every_level([&] {
        std::vector<std::vector<std::int64_t>> boundaries(classes);
        encode_probabilities(map, resampling, {thresholds, min_areas}, boundaries.data());
        return boundaries;
    });
}

// Classes side by side, with a gap behind them or between them, and plane by plane; a byte is a 255th.
void the_layout_of_maps_does_not_matter() {
    for (const Shape shape : {Shape{9, 5}, Shape{9, 30}}) {
        const auto wanted = boundaries_of_maps<float>(shape, {4, 1});
        CHECK(!wanted[0].empty() && wanted[0] != wanted[1]);
        for (const Layout layout : {Layout{7, 1}, Layout{8, 2}, Layout{16, 4}, Layout{1, shape.size()}}) {
            CHECK(boundaries_of_maps<float>(shape, layout) == wanted);
            CHECK(boundaries_of_maps<std::uint8_t>(shape, layout) == wanted);
        }
    }
}

// More spaces in a row than there can be numbers; runs that touch, which every kernel joins.
void spaces_may_be_many_and_runs_may_touch() {
    const std::string many = "1 1" + std::string(3000, ' ') + "9 2" + std::string(64, ' ') + "12 1";
    const std::pair<std::string, std::vector<Run>> cases[] = {{many, {{0, 1}, {8, 10}, {11, 12}}},
                                                              {"1 2 3 2 5 1 9 9", {{0, 5}, {8, 17}}}};
    for (const auto& [text, wanted] : cases) {
        const Guarded<char> characters(text);
        CHECK(at_every_level([&, &text = characters] {
                  Guarded<Run> runs(runs_room(text.size()));
                  const Result result = parse_text(text.data(), text.size(), {20, 1}, runs.data());
                  CHECK(result.error == Error::none);
                  return runs_of(runs.data(), result.count);
              }) == wanted);
    }
}

void missing_rows_are_empty_masks() {
    const std::vector<Row> rows{{{nullptr, -1}, {2, 3}}};
    std::int64_t faulty = -1;
    std::vector<Lines> groups;
    CHECK(convert_rows(rows, Dialect::kaggle, Dialect::relative, 1, groups, faulty).error == Error::none);
    CHECK(std::string(groups[0].chars.data(), as_size(groups[0].chars.size())) == "-1");
    Measure measure{1, 1, 1, 1, 1, 1};
    CHECK(measure_rows(rows, Dialect::kaggle, 1, &measure, faulty).error == Error::none);
    CHECK(measure.area == 0 && measure.bottom == 0 && measure.right == 0 && measure.runs == 0);
}

// Enough pairs to be worth several threads.
void matrices_do_not_depend_on_threads() {
    constexpr std::int64_t count = 300;
    std::vector<std::vector<Run>> masks;
    std::vector<RunView> views;
    for (std::int64_t i = 0; i < count; ++i) masks.push_back({{i, i + 10}});
    for (const std::vector<Run>& mask : masks) views.push_back(view_of(mask));
    const std::vector<Overlap> overlaps(as_size(count), Overlap::dice);
    std::vector<double> matrix(as_size(count * count));
    overlap_matrix(views, views, 7, overlaps, 1, 4, matrix.data());
    for (std::int64_t i = 0; i < count; ++i) {
        for (std::int64_t j = 0; j < count; ++j) {
            const std::int64_t shared = std::max<std::int64_t>(0, 10 - std::abs(i - j));
            CHECK(matrix[as_size(i * count + j)] == static_cast<double>(2 * shared) / 20);
        }
    }
}

void arrow_columns_of_other_types_are_refused() {
    ArrowSchema item{};
    ArrowSchema* items[] = {&item};
    ArrowSchema schema{};
    schema.children = items;
    const auto takes = [&](const char* format, const char* of, Cells cells) {
        schema.format = format;
        item.format = of;
        return ArrowColumn().set_type(schema, cells);
    };
    CHECK(takes("+l", "C", Cells::bytes) && takes("+L", "l", Cells::numbers));
    CHECK(!takes("+l", "l", Cells::bytes) && !takes("+L", "C", Cells::numbers));
    CHECK(!takes("+l", "C", Cells::texts) && !takes("+L", "l", Cells::strings));
    CHECK(!takes("z", "", Cells::texts) && !takes("u", "", Cells::bytes) && !takes("U", "", Cells::numbers));
    schema.dictionary = &item;
    CHECK(!takes("u", "", Cells::texts));
}

void arrow_lists_hold_no_nulls() {
    const std::int32_t offsets[] = {0, 1, 3};
    const std::int64_t numbers[] = {5, 6, 7};
    ArrowSchema item{};
    item.format = "l";
    ArrowSchema* items[] = {&item};
    ArrowSchema schema{};
    schema.format = "+l";
    schema.children = items;
    for (const std::uint8_t valid : {0b1111, 0b1101}) {
        for (const std::int64_t nulls : {0, 1, -1}) {  // how many there are is not always known
            const void* child_buffers[] = {&valid, numbers};
            ArrowArray child{};
            child.length = 3;
            child.null_count = nulls;
            child.buffers = child_buffers;
            ArrowArray* children[] = {&child};
            const void* buffers[] = {nullptr, offsets};
            ArrowArray array{};
            array.length = 2;
            array.buffers = buffers;
            array.children = children;
            array.release = [](ArrowArray* released) { released->release = nullptr; };
            ArrowColumn column;
            CHECK(column.size() == 0 && column.set_type(schema, Cells::numbers));
            const bool refused = throws<std::invalid_argument>([&] { column.append(array); });
            CHECK(refused == (nulls != 0 && valid != 0b1111));
            CHECK(column.row(1).size == 16 && std::memcmp(column.row(1).data, numbers + 1, 16) == 0);
        }
    }
}

void each_rule_of_runs_is_checked() {
    const Shape shape{5, 4};
    const auto check = [&](std::vector<Run> runs) { return validate(runs.data(), view_of(runs).count, shape); };
    CHECK((check({{0, 3}, {4, 20}}) == Result{Error::none, 2}));
    CHECK((check({{-1, 3}}) == Result{Error::run_negative, 0, 0, 1, -1}));
    CHECK((check({{0, 3}, {5, 5}}) == Result{Error::run_empty, 0, 1, 2, 5, 5}));
    CHECK((check({{0, 21}}) == Result{Error::run_past_end, 0, 0, 1, 21}));
    CHECK((check({{4, 6}, {1, 2}}) == Result{Error::run_unsorted, 0, 1, 2, 1, 4}));
    CHECK((check({{4, 6}, {5, 7}}) == Result{Error::run_overlap, 0, 1, 2, 5, 6}));
    CHECK((check({{4, 6}, {6, 7}}) == Result{Error::run_touching, 0, 1, 2, 6}));
}

// What a run of few numbers, or an edge, would take is asked for before the first column is written.
void what_no_machine_holds_is_refused_at_once() {
    constexpr std::int64_t far = std::int64_t{1} << 49;
    Boundaries boundaries;
    const Run tall{0, 3 * far};
    CHECK(throws<NoMemory>([&] { place({&tall, 1}, 3, {0, 0, 3, far}, {4, far}, 0, 0, boundaries); }));
    const std::int64_t numbers[] = {0, far, 0, 0, 0, far - 1};
    CHECK(throws<NoMemory>([&] { parse_cvat(numbers, 6, {far, 2}, boundaries); }));
    const auto wide = static_cast<double>(far);
    const double vertices[] = {0, 0, wide, 0, wide, 2};
    CHECK(throws<NoMemory>([&] { fill_polygon(vertices, 3, {3, far}, boundaries); }));
    const Run all{0, (std::int64_t{1} << 62) - 1};  // one row, of which twice as many boundaries are no number
    CHECK(throws<NoMemory>([&] { place({&all, 1}, 1, {0, 0, 1, all.end}, {2, all.end}, 0, 0, boundaries); }));
    const std::int64_t column[] = {0, all.end, 0, 0, 0, all.end - 1};
    CHECK(throws<NoMemory>([&] { parse_cvat(column, 6, {all.end, 2}, boundaries); }));
    CHECK(boundaries.size() == 0);
    try {
        boundaries.room(far);
        CHECK(false);
    } catch (const NoMemory& error) {
        CHECK(
            std::string(error.what()).rfind("this takes 4503599.6 GB of memory, which cannot be had: there are ", 0) ==
            0);
    }
}

// A polygon goes behind what is there.
void polygons_are_appended() {
    const double vertices[] = {1, 1, 4, 1, 4, 4, 1, 4};
    Boundaries boundaries;
    append_run(0, 1, boundaries);
    fill_polygon(vertices, 4, {5, 5}, boundaries);
    const std::vector<Run> wanted{{0, 1}, {6, 9}, {11, 14}, {16, 19}};
    CHECK(runs_of(boundaries) == wanted);
}

void faults_of_brush_data_have_their_byte() {
    const std::string head("\0\0\0\x30\x39\x1b\xfe", 7);  // of a 3 x 4 mask, and then an item of 8 bits
    const auto parse = [&](const std::string& items) {
        Boundaries rows;
        return parse_brush((head + items).data(), 7 + static_cast<std::int64_t>(items.size()), {3, 4}, rows);
    };
    CHECK((parse(std::string("\x30\0", 2)) == Result{Error::brush_past_end, 0, 6, 0, 49, 48}));
    CHECK((parse(std::string("\x2f\0\0\0", 4)) == Result{Error::brush_trailing, 0, 9}));
    CHECK((parse(std::string("\x2f\0\0", 3)) == Result{Error::none, 0}));
    const Guarded<char> cut(head.substr(0, 6));
    Boundaries rows;
    CHECK((parse_brush(cut.data(), cut.size(), {3, 4}, rows) == Result{Error::brush_unfinished, 0, 6, 0, 0, 48}));
}

// Twice the sum of its rows is more than 64 bits hold.
void the_middle_of_a_huge_square_is_found() {
    constexpr std::int64_t kSide = 2200000;
    const Run all{0, kSide * kSide};
    const Point middle = centroid({&all, 1}, kSide);
    CHECK(middle.y == kSide / 2.0 - 0.5 && middle.x == kSide / 2.0 - 0.5);
}

void rings_do_not_touch_themselves() {
    const Shape shape{15, 300};
    for (unsigned changing = 16; changing < 160; ++changing) {
        const std::vector<Run> runs = plain_runs(noise(shape.size(), changing));
        const Outlines outlines = trace_outlines(view_of(runs), shape.height);
        const std::int64_t* const numbers = outlines.coordinates.data();
        std::int64_t first = 0;
        for (const auto& ring : outlines.rings) {
            std::set<std::pair<std::int64_t, std::int64_t>> vertices;
            for (std::int64_t i = first; i < ring.end; i += 2)
                CHECK(vertices.insert({numbers[i], numbers[i + 1]}).second);
            first = ring.end;
        }
    }
}

}  // namespace
}  // namespace cloudrle

int main(int argc, char** argv) {
    using namespace cloudrle;
    return run_tests(argc, argv,
                     {
                         CLOUDRLE_TEST(rows_of_every_width_are_written),
                         CLOUDRLE_TEST(columns_of_one_height_may_have_another_width),
                         CLOUDRLE_TEST(the_layout_of_maps_does_not_matter),
                         CLOUDRLE_TEST(spaces_may_be_many_and_runs_may_touch),
                         CLOUDRLE_TEST(parts_without_a_boundary_are_filled),
                         CLOUDRLE_TEST(missing_rows_are_empty_masks),
                         CLOUDRLE_TEST(matrices_do_not_depend_on_threads),
                         CLOUDRLE_TEST(arrow_columns_of_other_types_are_refused),
                         CLOUDRLE_TEST(arrow_lists_hold_no_nulls),
                         CLOUDRLE_TEST(each_rule_of_runs_is_checked),
                         CLOUDRLE_TEST(what_no_machine_holds_is_refused_at_once),
                         CLOUDRLE_TEST(polygons_are_appended),
                         CLOUDRLE_TEST(faults_of_brush_data_have_their_byte),
                         CLOUDRLE_TEST(the_middle_of_a_huge_square_is_found),
                         CLOUDRLE_TEST(rings_do_not_touch_themselves),
                     });
}
