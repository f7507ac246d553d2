// Tests of the core that no fuzzer makes: large masks in parts, many rows on many threads, sizes at the edge of 64
// bits.
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <limits>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "guarded.hpp"
#include "rle/components.hpp"
#include "rle/dialects.hpp"
#include "rle/many.hpp"
#include "rle/moves.hpp"
#include "rle/outline.hpp"
#include "rle/overlaps.hpp"
#include "rle/polygon.hpp"
#include "rle/probabilities.hpp"
#include "rle/resize_runs.hpp"
#include "rle/text.hpp"
#include "rle/threads.hpp"
#include "rle/transpose.hpp"
#include "testing.hpp"

namespace cloudrle {
namespace {

constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();

Parsed parse(Pairs pairs, const std::string& text, Shape shape) {
    const Guarded<char> characters(text);
    return at_every_level([&] {
        Guarded<Run> runs(runs_room(characters.size()));
        const Result result = parse_pairs(pairs, characters.data(), characters.size(), shape, runs.data());
        return Parsed{result, runs_of(runs.data(), result.count)};
    });
}

void large_masks_go_in_parts() {
    for (const Shape shape : {Shape{700, 900}, Shape{5, 70001}, Shape{300000, 3}, Shape{1600, 2570}}) {
        for (const unsigned changing : {0U, 1U, 100U}) {
            const Dense pixels = noise(shape.size(), changing);
            const std::vector<Run> runs = plain_runs(pixels);
            const Guarded<std::uint8_t> rows(plain_transpose(pixels, shape));
            const MaskView mask{rows.data(), shape, shape.width, 1, 1, ~std::uint64_t{0}};
            const Guarded<Run> guarded(runs);
            for (const std::int64_t threads : {1, 3}) {
                CHECK(at_every_level([&] {
                          Boundaries boundaries;
                          encode_parted(mask, threads, boundaries);
                          return runs_of(boundaries);
                      }) == runs);
                CHECK(at_every_level([&] {
                    Guarded<std::uint8_t> out(shape.size());
                    decode_parted(guarded.data(), guarded.size(), {out.data(), shape, shape.width, 1}, threads);
                    return std::memcmp(out.data(), rows.data(), as_size(shape.size())) == 0;
                }));
            }
        }
    }
}

void parts_join() {
    const Shape shape{600, 1000};
    const Dense pixels = noise(shape.size(), 3);
    const Guarded<std::uint8_t> columns(pixels);
    const std::vector<Run> runs = plain_runs(pixels);
    const Guarded<std::uint8_t> rows(plain_transpose(pixels, shape));
    for (const std::int64_t threads : {1, 3, 64}) {
        Boundaries boundaries;
        encode_parted({rows.data(), shape, shape.width, 1, 1, ~std::uint64_t{0}}, threads, boundaries);
        CHECK(runs_of(boundaries) == runs);
        boundaries.clear();
        encode_parted({columns.data(), shape, 1, shape.height, 1, ~std::uint64_t{0}}, threads, boundaries);
        CHECK(runs_of(boundaries) == runs);
        Guarded<std::uint8_t> out(shape.size());
        decode_parted(runs.data(), view_of(runs).count, {out.data(), shape, 1, shape.height}, threads);
        CHECK(std::memcmp(out.data(), columns.data(), as_size(shape.size())) == 0);
        decode_parted(runs.data(), view_of(runs).count, {out.data(), shape, shape.width, 1}, threads);
        CHECK(std::memcmp(out.data(), rows.data(), as_size(shape.size())) == 0);
    }
}

void columns_go_over_threads() {
    const Rows rows(500);
    for (const std::int64_t threads : {1, 2, 8, 200}) {
        std::vector<std::vector<Run>> taken(rows.masks.size());
        std::vector<std::vector<Run>>* const target = &taken;
        const RunSink sink{[](const void* to, std::int64_t row, const Run* runs, std::int64_t count) {
                               auto& all = **static_cast<std::vector<std::vector<Run>>* const*>(to);
                               all[as_size(row)] = runs_of(runs, count);
                           },
                           &target};
        std::int64_t faulty = -1;
        CHECK(parse_texts(rows.chars(), rows.shape, 0, sink, threads, faulty).error == Error::none);
        CHECK(taken == rows.masks);

        const RunSource source{[](const void* from, std::int64_t row, Boundaries& boundaries) {
                                   for (const auto [start, end] : static_cast<const Rows*>(from)->masks[as_size(row)])
                                       append_run(start, end, boundaries);
                               },
                               &rows};
        const std::vector<Lines> groups = write_texts(source, 0, 500, threads);
        std::vector<std::string> written;
        for (const Lines& lines : groups) {
            std::int64_t first = 0;
            for (const std::int64_t end : lines.ends) {
                written.emplace_back(lines.chars.data() + first, as_size(end - first));
                first = end;
            }
        }
        CHECK(written == rows.texts);
        std::vector<char*> places;
        for (std::string& text : written) {
            text.assign(text.size(), '?');
            places.push_back(text.data());
        }
        copy_lines(groups, places, threads);
        CHECK(written == rows.texts);
    }
}

void the_first_fault_of_a_column_counts() {
    Rows rows(300);
    rows.texts[123] = "1 0";
    rows.texts[124] = "x";
    rows.texts[299] = "-";
    std::vector<Row> cells;
    for (const Chars chars : rows.chars()) cells.push_back({chars, rows.shape});
    const RunSink nothing{[](const void*, std::int64_t, const Run*, std::int64_t) {}, nullptr};
    for (const std::int64_t threads : {1, 2, 8}) {
        std::int64_t faulty = -1;
        CHECK(parse_texts(rows.chars(), rows.shape, 0, nothing, threads, faulty).error == Error::text_zero_length);
        CHECK(faulty == 123);
        faulty = -1;
        std::vector<Lines> groups;
        const Result result = convert_rows(cells, Dialect::kaggle, Dialect::coco, threads, groups, faulty);
        CHECK(result.error == Error::text_zero_length && faulty == 123);
        std::vector<Measure> measures(cells.size());
        faulty = -1;
        CHECK(measure_rows(cells, Dialect::kaggle, threads, measures.data(), faulty) == result && faulty == 123);
    }
}

void stacks_are_painted_side_by_side() {
    const Shape from{20, 30};
    const Shape to{40, 45};
    const std::vector<Run> runs = plain_runs(noise(from.size(), 30));
    for (const Shape shape : {from, to}) {
        Guarded<std::uint8_t> out(20 * shape.size());
        const PixelView first{out.data(), shape, shape.width, 1};
        const Canvas canvas(from, Interpolation::area, {first, 20, shape.size()});
        for_each_index(20, 4, [&](std::int64_t i) { canvas.paint(i, runs.data(), view_of(runs).count); });
        for (std::int64_t i = 1; i < 20; ++i)
            CHECK(std::memcmp(out.data(), out.data() + i * shape.size(), as_size(shape.size())) == 0);
        Boundaries boundaries;
        encode_mask({out.data(), shape, shape.width, 1, 1, ~std::uint64_t{0}}, all_columns(shape), boundaries);
        Boundaries resized;
        resize_runs(runs.data(), view_of(runs).count, from, shape, Interpolation::area, resized);
        CHECK(runs_of(boundaries) == runs_of(resized));
    }
}

void every_index_is_worked_on_once() {
    for (const std::int64_t count : {0, 1, 2, 1000}) {
        for (const std::int64_t threads : {1, 2, 7, 100}) {
            std::vector<int> visits(as_size(count), 0);
            for_each_group(count, threads, [&](std::int64_t, std::int64_t first, std::int64_t last) {
                for (std::int64_t i = first; i < last; ++i) ++visits[as_size(i)];
            });
            CHECK(std::all_of(visits.begin(), visits.end(), [](int visited) { return visited == 1; }));
        }
    }
}

// A thread of the pool is one caller's at a time, and the work of one call may be to call for more.
void calls_share_the_pool() {
    std::vector<std::int64_t> sums(40);
    for_each_index(40, 8, [&](std::int64_t i) {
        std::atomic<std::int64_t> sum{0};
        for_each_index(100, 3, [&](std::int64_t k) { sum += i * k; });
        sums[as_size(i)] = sum;
    });
    for (std::int64_t i = 0; i < 40; ++i) CHECK(sums[as_size(i)] == i * 4950);
}

#ifdef __linux__
cpu_set_t cores_of_this_thread() {
    cpu_set_t cores;
    CHECK(sched_getaffinity(0, sizeof cores, &cores) == 0);
    return cores;
}

// The cores that a helper of this thread may use, and the core that this thread was on; -1 where it moved.
std::pair<cpu_set_t, int> cores_of_a_helper() {
    const std::thread::id caller = std::this_thread::get_id();
    const int core = sched_getcpu();
    std::atomic<bool> helped{false};
    cpu_set_t cores;
    for_each_index(2, 2, [&](std::int64_t) {
        if (std::this_thread::get_id() == caller) {
            while (!helped) std::this_thread::yield();
        } else {
            cores = cores_of_this_thread();
            helped = true;
        }
    });
    return {cores, sched_getcpu() == core ? core : -1};
}

// On the caller's own core a helper would be of no help; but no other core is taken than those that the caller has.
void a_helper_gets_a_core_of_its_own() {
    const cpu_set_t all = cores_of_this_thread();
    for (int call = 0; call < 20; ++call) {
        const auto [cores, here] = cores_of_a_helper();
        cpu_set_t both;
        CPU_AND(&both, &cores, &all);
        CHECK(CPU_EQUAL(&both, &cores));
        CHECK(CPU_COUNT(&cores) == std::max(1, CPU_COUNT(&all) - 1));
        if (here >= 0 && CPU_COUNT(&all) > 1) CHECK(!CPU_ISSET(static_cast<std::size_t>(here), &cores));
    }
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<std::size_t>(sched_getcpu()), &one);
    CHECK(sched_setaffinity(0, sizeof one, &one) == 0);
    const cpu_set_t given = cores_of_a_helper().first;
    CHECK(CPU_EQUAL(&given, &one));
    CHECK(sched_setaffinity(0, sizeof all, &all) == 0);
}
#endif

void an_exception_comes_out_of_the_pool() {
    std::atomic<std::int64_t> done{0};
    CHECK(throws<std::out_of_range>([&] {
        for_each_index(100000, 8, [&](std::int64_t i) {
            if (i == 10) throw std::out_of_range("10");
            ++done;
        });
    }));
    CHECK(done < 100000);
}

// Numbers of 16 digits, which the quick loop reads, up to 2 ** 63 and past it.
void relative_starts_do_not_overflow() {
    const std::int64_t number = 9999999999999999;
    std::string text;
    for (int i = 0; i < 461; ++i) text += "9999999999999999 9999999999999999 ";
    const auto position = static_cast<std::int64_t>(text.size());
    const Parsed start = parse(Pairs::relative, text + "9999999999999999 1", {kMost, 1});
    CHECK((start.result == Result{Error::gap_past_end, 0, position, 462, number, 922 * number}));
    const Parsed end = parse(Pairs::relative, text + "1 9999999999999999", {kMost, 1});
    CHECK((end.result == Result{Error::text_ends_past_end, 0, position + 2, 462, number, 922 * number + 1}));
}

// Sums of rows and columns past 64 bits.
void the_middle_of_a_huge_mask_is_found() {
    const Shape shape{(std::int64_t{1} << 40) + 1, (std::int64_t{1} << 20) + 1};
    const Run most{1, shape.size() - 1};
    const Point middle = centroid({&most, 1}, shape.height);
    CHECK(middle.y == 0x1p39 && middle.x == 0x1p19);
    const std::int64_t left = 5 * shape.height;
    const Run runs[] = {{left + 3, left + 4}, {left + 2 * shape.height + 3, left + 2 * shape.height + 4}};
    const Point between = centroid({runs, 2}, shape.height);
    CHECK(between.y == 3 && between.x == 6);
}

void boxes_overlap() {
    const Guarded<double> a(std::vector<double>{0, 0, 2, 4, 10, 10, 1, 1});
    const Guarded<double> b(std::vector<double>{1, 2, 2, 4, 0, 0, 8, 8, 2, 0, 1, 1});
    const bool crowd[] = {false, true, false};
    Guarded<double> matrix(6);
    coco_box_overlaps(a.data(), 2, b.data(), 3, crowd, matrix.data());
    const double wanted[] = {2.0 / 14, 0, 1, 0, 0, 0};  // in Fortran order
    CHECK(std::equal(wanted, wanted + 6, matrix.data()));
}

// More boundaries than memory has bytes; eight times as many wrap round to a few.
void a_buffer_refuses_what_no_memory_holds() {
    for (const std::int64_t count : {(std::int64_t{1} << 61) + 1, kMost / 8, kMost}) {
        Boundaries boundaries;
        *boundaries.room(1) = 7;
        boundaries.add(1);
        CHECK(throws<std::bad_alloc>([&] { boundaries.room(count); }));
        CHECK(boundaries.size() == 1 && boundaries.data()[0] == 7);
    }
    const Run run{std::int64_t{1} << 61, std::int64_t{1} << 62};
    Boundaries rows;
    CHECK(throws<std::bad_alloc>([&] { transpose(&run, 1, {std::int64_t{1} << 61, 3}, rows); }));
}

// Between 2 ** 51 and 2 ** 52 doubles are halves: the step that changes a column lies far from where the slope says.
void steep_edges_far_out_take_no_time() {
    const double far = kMostCoordinate - 10;
    const std::int64_t width = std::int64_t{1} << 49;
    const std::vector<double> vertices{far, 0, far + 1.2, kMostCoordinate, far, kMostCoordinate};
    Boundaries boundaries;
    fill_polygon(vertices.data(), 3, {100, width}, boundaries);
    CHECK(is_valid(runs_of(boundaries), {100, width}));
}

void no_pixels_make_no_trouble() {
    for (const Shape shape : {Shape{0, 0}, Shape{0, 5}, Shape{5, 0}, Shape{0, kMost}, Shape{kMost, 0}}) {
        Boundaries boundaries;
        std::uint8_t pixel = 9;
        encode_mask({&pixel, shape, 1, 1, 1, 255}, all_columns(shape), boundaries);
        decode_mask(nullptr, 0, {&pixel, shape, 1, 1}, all_columns(shape));
        combine({nullptr, 0}, {nullptr, 0}, Operation::either, boundaries);
        complement({nullptr, 0}, shape.size(), boundaries);
        flip_rows({nullptr, 0}, shape, boundaries);
        flip_columns({nullptr, 0}, shape, boundaries);
        transpose(nullptr, 0, shape, boundaries);
        fill_holes({nullptr, 0}, shape, 10, boundaries);
        remove_small({nullptr, 0}, shape.height, 10, boundaries);
        const double vertices[] = {-1, -1, 9, -1, 9, 9};
        fill_polygon(vertices, 3, {shape.height, std::min<std::int64_t>(shape.width, 100)}, boundaries);
        CHECK(boundaries.size() == 0 && pixel == 9);
        CHECK(split_components({nullptr, 0}, shape.height, Connectivity::edges).empty());
        CHECK(trace_outlines({nullptr, 0}, shape.height).rings.empty());
    }
    const std::uint8_t pixel = 200;
    const float threshold = 0.5F;
    const std::int64_t min_area = 0;
    std::vector<std::int64_t> boundaries;
    for (const Shape to : {Shape{0, 0}, Shape{0, kMost}, Shape{kMost, 0}}) {
        for (const Shape from : {Shape{1, 1}, Shape{0, 4}, Shape{4, 0}}) {
            const Resampling resampling(from, to);
            encode_probabilities({&pixel, from, 1, 1, 1, 1, true}, resampling, {&threshold, &min_area}, &boundaries);
            CHECK(boundaries.empty());
        }
    }
}

}  // namespace
}  // namespace cloudrle

int main(int argc, char** argv) {
    using namespace cloudrle;
    return run_tests(argc, argv,
                     {
                         CLOUDRLE_TEST(large_masks_go_in_parts),
                         CLOUDRLE_TEST(parts_join),
                         CLOUDRLE_TEST(columns_go_over_threads),
                         CLOUDRLE_TEST(the_first_fault_of_a_column_counts),
                         CLOUDRLE_TEST(stacks_are_painted_side_by_side),
                         CLOUDRLE_TEST(every_index_is_worked_on_once),
                         CLOUDRLE_TEST(calls_share_the_pool),
#ifdef __linux__
                         CLOUDRLE_TEST(a_helper_gets_a_core_of_its_own),
#endif
                         CLOUDRLE_TEST(an_exception_comes_out_of_the_pool),
                         CLOUDRLE_TEST(relative_starts_do_not_overflow),
                         CLOUDRLE_TEST(the_middle_of_a_huge_mask_is_found),
                         CLOUDRLE_TEST(boxes_overlap),
                         CLOUDRLE_TEST(a_buffer_refuses_what_no_memory_holds),
                         CLOUDRLE_TEST(steep_edges_far_out_take_no_time),
                         CLOUDRLE_TEST(no_pixels_make_no_trouble),
                     });
}
