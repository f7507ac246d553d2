// Memory and threads that can't be had.
#include <atomic>
#include <functional>
#include <limits>
#include <memory>
#include <new>
#include <system_error>
#include <thread>

#include "rle/algebra.hpp"
#include "rle/brush.hpp"
#include "rle/components.hpp"
#include "rle/cvat.hpp"
#include "rle/dialects.hpp"
#include "rle/mask.hpp"
#include "rle/moves.hpp"
#include "rle/outline.hpp"
#include "rle/overlaps.hpp"
#include "rle/polygon.hpp"
#include "rle/probabilities.hpp"
#include "rle/resize_runs.hpp"
#include "rle/threads.hpp"
#include "rle/transpose.hpp"
#include "testing.hpp"

// Linked with --wrap: which allocation fails, counted from 0, and from which on no thread starts.
namespace {
constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();
std::atomic<std::int64_t> allocations_left{kNever};
std::atomic<std::int64_t> threads_left{kNever};

bool allocates() { return allocations_left.load() == kNever || allocations_left.fetch_sub(1) != 0; }
}  // namespace

extern "C" {
void* __real__Znwm(std::size_t bytes);
void* __real__Znam(std::size_t bytes);
void* __real_realloc(void* block, std::size_t bytes);
void* __wrap__Znwm(std::size_t bytes) { return allocates() ? __real__Znwm(bytes) : throw std::bad_alloc(); }
void* __wrap__Znam(std::size_t bytes) { return allocates() ? __real__Znam(bytes) : throw std::bad_alloc(); }
void* __wrap_realloc(void* block, std::size_t bytes) { return allocates() ? __real_realloc(block, bytes) : nullptr; }

void __real__ZNSt6thread15_M_start_threadESt10unique_ptrINS_6_StateESt14default_deleteIS1_EEPFvvE(
    std::thread* thread, std::unique_ptr<std::thread::_State> state, void (*depend)());
void __wrap__ZNSt6thread15_M_start_threadESt10unique_ptrINS_6_StateESt14default_deleteIS1_EEPFvvE(
    std::thread* thread, std::unique_ptr<std::thread::_State> state, void (*depend)()) {
    if (threads_left != kNever && threads_left-- <= 0)
        throw std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again));
    __real__ZNSt6thread15_M_start_threadESt10unique_ptrINS_6_StateESt14default_deleteIS1_EEPFvvE(
        thread, std::move(state), depend);
}
}

namespace cloudrle {
namespace {

void work_is_done_where_threads_cannot_start() {
    for (const std::int64_t threads : {0, 1, 3}) {
        threads_left = threads;
        std::vector<int> visits(100, 0);
        for_each_index(100, 8, [&](std::int64_t i) { ++visits[as_size(i)]; });
        threads_left = kNever;
        CHECK(std::all_of(visits.begin(), visits.end(), [](int visited) { return visited == 1; }));
    }
}

// Of more threads than any test has started before.
void work_is_done_where_threads_find_no_memory() {
    std::vector<int> visits(1000, 0);
    allocations_left = 0;
    for_each_index(1000, 200, [&](std::int64_t i) { ++visits[as_size(i)]; });
    CHECK(allocations_left < 0);
    allocations_left = kNever;
    CHECK(std::all_of(visits.begin(), visits.end(), [](int visited) { return visited == 1; }));
}

// Every function that allocates, on masks small enough to let each of its allocations fail.
void memory_that_cannot_be_had_is_an_exception() {
    const Shape shape{12, 15};
    const Dense pixels = noise(shape.size(), 90);
    const std::vector<Run> runs = plain_runs(pixels);
    const RunView mask = view_of(runs);
    const Dense rows = plain_transpose(pixels, shape);
    Dense out(as_size(40 * 40));
    const double vertices[] = {1.5, 1, 13, 2, 7, 11.25};
    const std::vector<std::int64_t> numbers{10, 3, 7, 10, 1, 1, 5, 6};
    const std::string brush("\0\0\0\x30\x39\x1b\xfe\x2f\xff\0", 10);
    const Rows column(5);
    std::vector<Row> cells;
    for (const Chars chars : column.chars()) cells.push_back({chars, column.shape});
    std::vector<std::uint8_t> maps(as_size(shape.size() * 2), 150);
    const float thresholds[] = {0.5F, 0.25F};
    const std::int64_t min_areas[] = {5, 0};
    std::vector<double> matrix(4);
    std::vector<Measure> measures(cells.size());
    const RunSink nothing{[](const void*, std::int64_t, const Run*, std::int64_t) {}, nullptr};
    const RunSource source{[](const void* from, std::int64_t row, Boundaries& boundaries) {
                               for (const auto [start, end] : static_cast<const Rows*>(from)->masks[as_size(row)])
                                   append_run(start, end, boundaries);
                           },
                           &column};
    std::int64_t faulty = 0;
    Boundaries found;
    const std::vector<std::function<void()>> calls{
        [&] { encode_mask({rows.data(), shape, shape.width, 1, 1, 255}, all_columns(shape), found); },
        [&] { encode_mask({pixels.data(), shape, 1, shape.height, 1, 255}, all_columns(shape), found); },
        [&] { decode_mask(runs.data(), mask.count, {out.data(), shape, shape.width, 1}, all_columns(shape)); },
        [&] { resize_runs(runs.data(), mask.count, shape, {9, 40}, Interpolation::nearest, found); },
        [&] { resize_runs(runs.data(), mask.count, shape, {30, 9}, Interpolation::linear, found); },
        [&] { resize_runs(runs.data(), mask.count, shape, {7, 7}, Interpolation::area, found); },
        [&] {
            for (const auto how : {Interpolation::nearest, Interpolation::linear, Interpolation::area}) {
                resize_mask({rows.data(), shape, shape.width, 1, 1, 255}, {out.data(), {31, 17}, 17, 1}, how);
            }
        },
        [&] { combine(mask, mask, Operation::one, found); },
        [&] {
            const RunView masks[] = {mask, mask, mask, mask, mask};
            combine_all(masks, 5, Operation::either, found);
        },
        [&] { complement(mask, shape.size(), found); },
        [&] { place(mask, shape.height, {1, 1, 9, 9}, {20, 20}, 3, 3, found); },
        [&] { flip_columns(mask, shape, found); },
        [&] { transpose(runs.data(), mask.count, shape, found); },
        [&] { split_components(mask, shape.height, Connectivity::edges); },
        [&] { fill_holes(mask, shape, 9, found); },
        [&] { remove_small(mask, shape.height, 5, found); },
        [&] { trace_outlines(mask, shape.height); },
        [&] { fill_polygon(vertices, 3, shape, found); },
        [&] { overlap_matrix({mask, mask}, {mask, mask}, 12, {Overlap::iou, Overlap::dice}, 0, 2, matrix.data()); },
        [&] { parse_cvat(numbers.data(), 8, {8, 8}, found); },
        [&] { parse_brush(brush.data(), 10, {3, 4}, found); },
        [&] { parse_texts(column.chars(), column.shape, 0, nothing, 3, faulty); },
        [&] { write_texts(source, 0, 5, 3); },
        [&] {
            std::vector<Lines> groups;
            convert_rows(cells, Dialect::kaggle, Dialect::cvat, 3, groups, faulty);
        },
        [&] {
            std::vector<Lines> groups;
            convert_rows(cells, Dialect::kaggle, Dialect::label_studio, 1, groups, faulty);
        },
        [&] { measure_rows(cells, Dialect::kaggle, 3, measures.data(), faulty); },
        [&] {
            std::vector<std::int64_t> boundaries[2];
            const Resampling resampling(shape, {20, 31});
            encode_probabilities({maps.data(), shape, 2, 30, 2, 1, true}, resampling, {thresholds, min_areas},
                                 boundaries);
        },
    };
    for (const auto& call : calls) {
        std::int64_t exceptions = 0;
        bool failed = true;
        for (std::int64_t allowed = 0; failed; ++allowed) {
            found = Boundaries();
            allocations_left = allowed;
            const bool thrown = throws<std::bad_alloc>(call);
            failed = allocations_left < 0;  // a thread that memory is short for is done without
            allocations_left = kNever;
            CHECK(failed || !thrown);
            exceptions += thrown;
        }
        CHECK(exceptions > 0);
    }
}

}  // namespace
}  // namespace cloudrle

int main(int argc, char** argv) {
    using namespace cloudrle;
    return run_tests(argc, argv,
                     {
                         CLOUDRLE_TEST(work_is_done_where_threads_cannot_start),
                         CLOUDRLE_TEST(work_is_done_where_threads_find_no_memory),
                         CLOUDRLE_TEST(memory_that_cannot_be_had_is_an_exception),
                     });
}
