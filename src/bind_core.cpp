// cloudrle._core: arrays in, arrays out. The Python face has checked and worded everything; what is checked here again
// is what memory safety needs. The GIL is released round every kernel.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bind.hpp"
#include "rle/algebra.hpp"
#include "rle/coco.hpp"
#include "rle/components.hpp"
#include "rle/mask.hpp"
#include "rle/resize.hpp"
#include "rle/resize_runs.hpp"
#include "rle/run.hpp"
#include "rle/simd.hpp"
#include "rle/words.hpp"

namespace py = pybind11;

namespace cloudrle {

void bind_probabilities(py::module_& m);

namespace {

using Numbers = py::array_t<std::int64_t, py::array::c_style>;
using Pixels = py::array_t<std::uint8_t, 0>;  // any strides, and no cast

struct RunSpan {
    const Run* data;
    std::int64_t count;
};

template <class Work>
auto without_gil(const Work& work) {
    const py::gil_scoped_release released;
    return work();
}

RunSpan span_of(const Numbers& runs) {
    require(runs.ndim() == 2 && runs.shape(1) == 2, "runs must have shape (n, 2)");
    return {reinterpret_cast<const Run*>(runs.data()), runs.shape(0)};
}

Run* run_data(Numbers& runs) { return reinterpret_cast<Run*>(runs.mutable_data()); }

Numbers new_runs(std::int64_t count) { return Numbers({count, std::int64_t{2}}); }

// NumPy takes over the memory.
Numbers adopt(Boundaries& boundaries) {
    const std::int64_t count = boundaries.size() / 2;
    std::int64_t* const data = boundaries.release();
    return Numbers({count, std::int64_t{2}}, data, py::capsule(data, [](void* held) { std::free(held); }));
}

// Room for more runs than there turned out to be: touching ones were merged.
Numbers trim(Numbers runs, std::int64_t count) {
    if (runs.shape(0) == count) return runs;
    Numbers trimmed = new_runs(count);
    std::copy_n(runs.data(), 2 * count, trimmed.mutable_data());
    return trimmed;
}

void raise_if_failed(const Result& result, Shape shape) {
    if (result.error == Error::none) return;
    const py::object error = py::module_::import("cloudrle.errors")
                                 .attr("from_result")(words(result.error), py::none(), result.position, result.number,
                                                      result.value, result.other, shape.height, shape.width);
    PyErr_SetObject(py::type::handle_of(error).ptr(), error.ptr());
    throw py::error_already_set();
}

std::uint64_t significant_bits(const py::dtype& dtype) {
    if (dtype.kind() != 'f') return ~std::uint64_t{0};
    const auto bits = static_cast<int>(8 * dtype.itemsize());
    const bool swapped = dtype.byteorder() == '>';  // then the sign is the top bit of the first byte
    return ~(std::uint64_t{1} << (swapped ? 7 : bits - 1));
}

// The first mask (last two axes) of an array of any layout.
MaskView first_mask(const py::array& masks) {
    const py::dtype dtype = masks.dtype();
    const auto size = static_cast<std::size_t>(dtype.itemsize());
    require(std::string_view("biuf").find(dtype.kind()) != std::string_view::npos && size <= 8,
            "mask must have an integer, bool or float dtype of at most 8 bytes");
    const py::ssize_t y = masks.ndim() - 2;
    const py::ssize_t x = masks.ndim() - 1;
    return {static_cast<const std::uint8_t*>(masks.data()),
            {masks.shape(y), masks.shape(x)},
            masks.strides(y),
            masks.strides(x),
            size,
            significant_bits(dtype)};
}

PixelView first_pixels(Pixels& masks) {
    const py::ssize_t y = masks.ndim() - 2;
    const py::ssize_t x = masks.ndim() - 1;
    auto* const data = static_cast<std::uint8_t*>(masks.mutable_data());  // raises where the array is read-only
    return {data, {masks.shape(y), masks.shape(x)}, masks.strides(y), masks.strides(x)};
}

std::pair<Numbers, Numbers> encode(const py::array& masks) {
    constexpr std::int64_t enough = std::int64_t{1} << 18;  // boundaries in one block: 2 MiB
    require(masks.ndim() == 3, "masks must be 3-D");
    Boundaries boundaries;
    std::vector<std::int64_t> offsets{0};
    const std::int64_t masks_count = masks.shape(0);
    if (masks_count > 0) {
        MaskView mask = first_mask(masks);
        const std::ptrdiff_t stride = masks.strides(0);
        without_gil([&] {
            for (std::int64_t i = 0; i < masks_count && boundaries.size() < enough; ++i, mask.data += stride) {
                encode_mask(mask, boundaries);
                offsets.push_back(boundaries.size() / 2);
            }
        });
    }
    return {adopt(boundaries), Numbers(static_cast<py::ssize_t>(offsets.size()), offsets.data())};
}

Numbers encode_one(const py::array& mask) {
    require(mask.ndim() == 2, "mask must be 2-D");
    Boundaries boundaries;
    const MaskView view = first_mask(mask);
    without_gil([&] { encode_mask(view, boundaries); });
    return adopt(boundaries);
}

// The runs of each of the masks that `out` has room for.
std::vector<RunSpan> spans_of(const Numbers& runs, const Numbers& offsets, const Pixels& out) {
    const RunSpan all = span_of(runs);
    require(out.ndim() == 3, "out must be 3-D");
    require(offsets.ndim() == 1 && offsets.shape(0) == out.shape(0) + 1, "offsets must have one entry more than out");
    const std::int64_t* const at = offsets.data();
    std::vector<RunSpan> spans;
    for (std::int64_t i = 0; i < out.shape(0); ++i) {
        require(at[i] >= 0 && at[i] <= at[i + 1] && at[i + 1] <= all.count, "offsets must rise within runs");
        spans.push_back({all.data + at[i], at[i + 1] - at[i]});
    }
    return spans;
}

void decode(const Numbers& runs, const Numbers& offsets, Pixels out) {
    const std::vector<RunSpan> spans = spans_of(runs, offsets, out);
    if (spans.empty()) return;
    PixelView mask = first_pixels(out);
    const std::ptrdiff_t stride = out.strides(0);
    without_gil([&] {
        for (const RunSpan span : spans) {
            decode_mask(span.data, span.count, mask);
            mask.data += stride;
        }
    });
}

Interpolation interpolation_named(std::string_view name) {
    if (name == "nearest") return Interpolation::nearest;
    if (name == "linear") return Interpolation::linear;
    require(name == "area", "interpolation must be nearest, linear or area");
    return Interpolation::area;
}

void require_resizable(Shape shape) {
    constexpr std::int64_t most = (std::int64_t{1} << 31) - 1;
    require(0 < shape.height && shape.height <= most && 0 < shape.width && shape.width <= most,
            "sides must be above 0 and below 2**31");
}

void decode_resized(const Numbers& runs, const Numbers& offsets, std::int64_t height, std::int64_t width,
                    const std::string& interpolation, Pixels out) {
    const std::vector<RunSpan> spans = spans_of(runs, offsets, out);
    if (spans.empty()) return;
    PixelView mask = first_pixels(out);
    const std::ptrdiff_t stride = out.strides(0);
    const Shape from{height, width};
    require_resizable(from);
    require_resizable(mask.shape);
    const Interpolation how = interpolation_named(interpolation);
    without_gil([&] {
        std::vector<std::int64_t> boundaries;
        for (const RunSpan span : spans) {
            resize_runs(span.data, span.count, from, mask.shape, how, boundaries);
            const auto count = static_cast<std::int64_t>(boundaries.size() / 2);
            decode_mask(reinterpret_cast<const Run*>(boundaries.data()), count, mask);
            mask.data += stride;
        }
    });
}

void decode_one(const Numbers& runs, Pixels out) {
    const RunSpan span = span_of(runs);
    require(out.ndim() == 2, "out must be 2-D");
    const PixelView mask = first_pixels(out);
    without_gil([&] { decode_mask(span.data, span.count, mask); });
}

void check_runs(const Numbers& runs, std::int64_t height, std::int64_t width) {
    const RunSpan span = span_of(runs);
    const Shape shape{height, width};
    raise_if_failed(without_gil([&] { return validate(span.data, span.count, shape); }), shape);
}

Numbers from_counts(const Numbers& counts, std::int64_t height, std::int64_t width) {
    require(counts.ndim() == 1, "counts must be 1-D");
    const Shape shape{height, width};
    const std::int64_t length = counts.shape(0);
    const std::int64_t* const data = counts.data();
    Numbers runs = new_runs(length / 2);
    Run* const target = run_data(runs);
    const Result result = without_gil([&] { return parse_counts(data, length, shape, target); });
    raise_if_failed(result, shape);
    return trim(std::move(runs), result.count);
}

Numbers to_counts(const Numbers& runs, std::int64_t size) {
    const RunSpan span = span_of(runs);
    Numbers counts(counts_length(span.data, span.count, size));
    std::int64_t* const target = counts.mutable_data();
    without_gil([&] { write_counts(span.data, span.count, size, target); });
    return counts;
}

Numbers from_coco(const py::bytes& text, std::int64_t height, std::int64_t width) {
    const auto view = static_cast<std::string_view>(text);
    const auto length = static_cast<std::int64_t>(view.size());
    const Shape shape{height, width};
    Numbers runs = new_runs(without_gil([&] { return count_coco_numbers(view.data(), length); }) / 2);
    Run* const target = run_data(runs);
    const Result result = without_gil([&] { return parse_coco(view.data(), length, shape, target); });
    raise_if_failed(result, shape);
    return trim(std::move(runs), result.count);
}

py::str to_coco(const Numbers& runs, std::int64_t size) {
    const RunSpan span = span_of(runs);
    const std::int64_t length = without_gil([&] { return coco_length(span.data, span.count, size); });
    auto text = py::reinterpret_steal<py::str>(PyUnicode_New(length, 127));
    if (!text) throw py::error_already_set();
    char* const target = reinterpret_cast<char*>(PyUnicode_1BYTE_DATA(text.ptr()));
    without_gil([&] { write_coco(span.data, span.count, size, target); });
    return text;
}

std::int64_t area_of(const Numbers& runs) {
    const RunSpan span = span_of(runs);
    return without_gil([&] { return area(span.data, span.count); });
}

py::tuple bounding_box_of(const Numbers& runs, std::int64_t height) {
    const RunSpan span = span_of(runs);
    require(span.count > 0 && height > 0, "no runs, no box");
    const Box box = without_gil([&] { return bounding_box(span.data, span.count, height); });
    return py::make_tuple(box.top, box.left, box.bottom, box.right);
}

std::int64_t intersection_of(const Numbers& a, const Numbers& b) {
    const RunSpan first = span_of(a);
    const RunSpan second = span_of(b);
    return without_gil([&] { return intersection(first.data, first.count, second.data, second.count); });
}

std::pair<Numbers, Numbers> components(const Numbers& runs, std::int64_t height) {
    const RunSpan span = span_of(runs);
    require(span.count == 0 || height > 0, "height must be above 0");
    const ComponentRuns split = without_gil([&] { return split_components(span.data, span.count, height); });
    Numbers found = new_runs(static_cast<std::int64_t>(split.runs.size()));
    std::copy(split.runs.begin(), split.runs.end(), run_data(found));
    return {std::move(found), Numbers(static_cast<py::ssize_t>(split.offsets.size()), split.offsets.data())};
}

void resize(const py::array& mask, const std::string& interpolation, Pixels out) {
    require(mask.ndim() == 2 && out.ndim() == 2 && mask.size() > 0 && out.size() > 0,
            "masks must be 2-D and not empty");
    const MaskView from = first_mask(mask);
    require(from.item_size == 1, "mask must have a dtype of one byte");
    const PixelView to = first_pixels(out);
    const Interpolation how = interpolation_named(interpolation);
    without_gil([&] { resize_mask(from, to, how); });
}

Numbers resize_rle(const Numbers& runs, std::int64_t height, std::int64_t width, std::int64_t new_height,
                   std::int64_t new_width, const std::string& interpolation) {
    const RunSpan span = span_of(runs);
    const Shape from{height, width};
    const Shape to{new_height, new_width};
    require_resizable(from);
    require_resizable(to);
    const Interpolation how = interpolation_named(interpolation);
    std::vector<std::int64_t> boundaries;
    without_gil([&] { resize_runs(span.data, span.count, from, to, how, boundaries); });
    return copy_runs(boundaries);
}

// CLOUDRLE_SIMD takes the level down, for tests and comparisons; it never takes it past what the CPU has.
void choose_level() {
    const char* const wanted = std::getenv("CLOUDRLE_SIMD");
    if (wanted == nullptr || *wanted == '\0') return;
    Level level;
    if (!level_named(wanted, level)) {
        throw py::import_error("CLOUDRLE_SIMD must be scalar, avx2 or avx512, got " + std::string(wanted));
    }
    set_level(std::min(level, best_level()));
}

void bind_codec(py::module_& m) {
    m.def("encode", &encode, py::arg("masks").noconvert());
    m.def("encode_one", &encode_one, py::arg("mask").noconvert());
    m.def("decode", &decode, py::arg("runs").noconvert(), py::arg("offsets").noconvert(), py::arg("out").noconvert());
    m.def("decode_one", &decode_one, py::arg("runs").noconvert(), py::arg("out").noconvert());
    m.def("simd_level", [] { return name_of(level()); });
}

void bind_runs(py::module_& m) {
    m.def("check_runs", &check_runs, py::arg("runs").noconvert(), py::arg("height"), py::arg("width"));
    m.def("from_counts", &from_counts, py::arg("counts").noconvert(), py::arg("height"), py::arg("width"));
    m.def("to_counts", &to_counts, py::arg("runs").noconvert(), py::arg("size"));
    m.def("from_coco", &from_coco, py::arg("text").noconvert(), py::arg("height"), py::arg("width"));
    m.def("to_coco", &to_coco, py::arg("runs").noconvert(), py::arg("size"));
    m.def("area", &area_of, py::arg("runs").noconvert());
    m.def("bounding_box", &bounding_box_of, py::arg("runs").noconvert(), py::arg("height"));
    m.def("intersection", &intersection_of, py::arg("a").noconvert(), py::arg("b").noconvert());
    m.def("components", &components, py::arg("runs").noconvert(), py::arg("height"));
}

void bind_resize(py::module_& m) {
    m.def("resize", &resize, py::arg("mask").noconvert(), py::arg("interpolation"), py::arg("out").noconvert());
    m.def("resize_runs", &resize_rle, py::arg("runs").noconvert(), py::arg("height"), py::arg("width"),
          py::arg("new_height"), py::arg("new_width"), py::arg("interpolation"));
    m.def("decode_resized", &decode_resized, py::arg("runs").noconvert(), py::arg("offsets").noconvert(),
          py::arg("height"), py::arg("width"), py::arg("interpolation"), py::arg("out").noconvert());
}

}  // namespace
}  // namespace cloudrle

PYBIND11_MODULE(_core, m, py::mod_gil_not_used()) {
    cloudrle::choose_level();
    m.doc() = "Masks and run lists: the kernels behind cloudrle.";
    cloudrle::bind_codec(m);
    cloudrle::bind_runs(m);
    cloudrle::bind_resize(m);
    cloudrle::bind_probabilities(m);
}
