// cloudrle._core: arrays in, arrays out. The Python face has checked and worded everything; what is checked here again
// is what memory safety needs. The GIL is released round every kernel.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bind.hpp"
#include "rle/many.hpp"
#include "rle/mask.hpp"
#include "rle/memory.hpp"
#include "rle/ports.hpp"
#include "rle/resize.hpp"
#include "rle/resize_runs.hpp"
#include "rle/run.hpp"
#include "rle/simd.hpp"
#include "run_list.hpp"

namespace py = pybind11;

namespace cloudrle {

void bind_algebra(py::module_& m);
void bind_coco(py::module_& m);
void bind_probabilities(py::module_& m);

namespace {

using Pixels = py::array_t<std::uint8_t, 0>;  // any strides, and no cast

std::uint64_t significant_bits(const py::dtype& dtype) {
    if (dtype.kind() != 'f') return ~std::uint64_t{0};
    const auto bits = static_cast<int>(8 * dtype.itemsize());
    const bool swapped = dtype.byteorder() == '>';  // then the sign is the top bit of the first byte
    return ~(std::uint64_t{1} << (swapped ? 7 : bits - 1));
}

// Bool, or an integer or float of at most 8 bytes: NumPy numbers these types from 0 to 12, and float16 with 23.
bool is_readable(const py::array& masks) {
    const int type = masks.dtype().num();
    return (0 <= type && type <= 12) || type == 23;
}

}  // namespace

MaskView first_mask(const py::array& masks) {
    require(is_readable(masks), "mask must have an integer, bool or float dtype of at most 8 bytes");
    const py::dtype dtype = masks.dtype();
    const py::ssize_t y = masks.ndim() - 2;
    const py::ssize_t x = masks.ndim() - 1;
    return {static_cast<const std::uint8_t*>(masks.data()),
            {masks.shape(y), masks.shape(x)},
            masks.strides(y),
            masks.strides(x),
            static_cast<std::size_t>(dtype.itemsize()),
            significant_bits(dtype)};
}

namespace {

PixelView first_pixels(Pixels& masks) {
    const py::ssize_t y = masks.ndim() - 2;
    const py::ssize_t x = masks.ndim() - 1;
    auto* const data = static_cast<std::uint8_t*>(masks.mutable_data());  // raises where the array is read-only
    return {data, {masks.shape(y), masks.shape(x)}, masks.strides(y), masks.strides(x)};
}

bool is_mask(const py::object& mask) {
    if (!py::isinstance<py::array>(mask)) return false;
    const auto array = py::reinterpret_borrow<py::array>(mask);
    return array.ndim() == 2 && is_readable(array);
}

// To let the GIL go and take it back costs more than a mask of so few pixels.
constexpr std::int64_t kFewPixels = 1024;

RunList encode(py::handle type, py::object mask, std::int64_t threads) {
    if (!is_mask(mask)) {
        mask = checked("mask_array", mask, py::int_(2));
        require(is_mask(mask), "mask must be a 2-D array of numbers");
    }
    const MaskView view = first_mask(py::reinterpret_borrow<py::array>(mask));
    Boundaries boundaries;
    if (view.shape.size() <= kFewPixels) {
        encode_mask(view, all_columns(view.shape), boundaries);
    } else {
        without_gil([&] { encode_parted(view, threads, boundaries); });
    }
    return new_run_list(type, std::move(boundaries), view.shape);
}

bool fits(const py::object& out, Shape shape) {
    if (!py::isinstance<Pixels>(out)) return false;
    const auto pixels = py::reinterpret_borrow<Pixels>(out);
    return pixels.ndim() == 2 && pixels.shape(0) == shape.height && pixels.shape(1) == shape.width &&
           pixels.writeable();
}

Pixels decode(const RunList& rle, py::object out, std::int64_t threads) {
    const Shape shape = rle.shape();
    if (out.is_none()) {
        require_memory(static_cast<double>(shape.size()));
        out = Pixels({shape.height, shape.width});
    } else if (!fits(out, shape)) {
        out = checked("out_array", out, rle.attr("shape"));
        require(fits(out, shape), "out must be writeable uint8 of the mask's shape");
    }
    auto pixels = py::reinterpret_borrow<Pixels>(out);
    const PixelView mask = first_pixels(pixels);
    if (shape.size() <= kFewPixels) {
        decode_mask(rle.runs(), rle.count(), mask, all_columns(shape));
    } else {
        without_gil([&] { decode_parted(rle.runs(), rle.count(), mask, threads); });
    }
    return pixels;
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

// A port that is passed to the other module in a capsule, and keeps the array alive that it reads or writes.
template <class Port, class Masks>
struct Held : Port {
    Masks masks;
    py::array array;
};

template <class Port, class Masks, class Call>
py::capsule hold(const char* name, Call call, const Masks& masks, const py::array& array) {
    auto held = std::make_unique<Held<Port, Masks>>(Held<Port, Masks>{{call, nullptr}, masks, array});
    Port* const port = held.get();
    *port = {call, &held->masks};
    py::capsule capsule(port, name,
                        [](void* object) { delete static_cast<Held<Port, Masks>*>(static_cast<Port*>(object)); });
    held.release();
    return capsule;
}

// What gives the runs of row i: those of masks[i].
py::capsule scanner(const py::array& masks) {
    require(masks.ndim() == 3 && masks.shape(0) > 0, "masks must be 3-D and not empty");
    const Stack<MaskView> stack{first_mask(masks), masks.shape(0), masks.strides(0)};
    const auto give = [](const void* origin, std::int64_t row, Boundaries& boundaries) {
        const auto& stack = *static_cast<const Stack<MaskView>*>(origin);
        if (row < 0 || row >= stack.count) throw std::out_of_range("no mask for this row");
        const MaskView mask = stack[row];
        encode_mask(mask, all_columns(mask.shape), boundaries);
    };
    return hold<RunSource>(kRunSourceName, +give, stack, masks);
}

// What paints the runs of row i, those of a mask of the given shape, onto out[i].
py::capsule painter(std::int64_t height, std::int64_t width, const std::string& interpolation, Pixels out) {
    require(out.ndim() == 3, "out must be 3-D");
    const Stack<PixelView> stack{first_pixels(out), out.shape(0), out.strides(0)};
    const Shape from{height, width};
    if (height != stack.first.shape.height || width != stack.first.shape.width) {
        require_resizable(from);
        require_resizable(stack.first.shape);
    }
    const auto take = [](const void* target, std::int64_t row, const Run* runs, std::int64_t count) {
        const auto& canvas = *static_cast<const Canvas*>(target);
        if (row < 0 || row >= canvas.count()) throw std::out_of_range("no mask for this row");
        canvas.paint(row, runs, count);
    };
    return hold<RunSink>(kRunSinkName, +take, Canvas(from, interpolation_named(interpolation), stack), out);
}

void check_runs(const Numbers& runs, std::int64_t height, std::int64_t width) {
    require(runs.ndim() == 2 && runs.shape(1) == 2, "runs must have shape (n, 2)");
    const Shape shape{height, width};
    const auto* const data = reinterpret_cast<const Run*>(runs.data());
    const std::int64_t count = runs.shape(0);
    raise_if_failed(without_gil([&] { return validate(data, count, shape); }), shape);
}

// Of an array that nobody else will change. Its dtype is compared here: what pybind11 does takes as long as all the
// rest.
RunList adopt_runs(py::handle type, const py::array& runs, std::int64_t height, std::int64_t width) {
    return new_run_list(type, runs, Shape{height, width});
}

bool are_equal(const RunList& a, const RunList& b) {
    const bool alike =
        a.shape().height == b.shape().height && a.shape().width == b.shape().width && a.count() == b.count();
    const auto bytes = static_cast<std::size_t>(a.count()) * sizeof(Run);
    return alike && (bytes == 0 || std::memcmp(a.runs(), b.runs(), bytes) == 0);
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

RunList resize_rle(py::handle type, const RunList& rle, std::int64_t height, std::int64_t width,
                   const std::string& interpolation) {
    const Shape to{height, width};
    require_resizable(rle.shape());
    require_resizable(to);
    const Interpolation how = interpolation_named(interpolation);
    Boundaries boundaries;
    without_gil([&] { resize_runs(rle.runs(), rle.count(), rle.shape(), to, how, boundaries); });
    return new_run_list(type, std::move(boundaries), to);
}

// CLOUDRLE_SIMD takes the level down, for tests and comparisons; it never takes it past what the CPU has.
void choose_level() {
    const char* const wanted = std::getenv("CLOUDRLE_SIMD");
    if (wanted == nullptr || *wanted == '\0' || lower_level(wanted)) return;
    throw py::import_error("CLOUDRLE_SIMD must be scalar, avx2 or avx512, got " + std::string(wanted));
}

// What the core allocates by itself says no more than std::bad_alloc.
void explain_shortage(std::exception_ptr exception) {
    try {
        std::rethrow_exception(std::move(exception));
    } catch (const NoMemory&) {
        throw;  // its words will do
    } catch (const std::bad_alloc&) {
        PyErr_SetString(PyExc_MemoryError,
                        "memory for this work cannot be had; take a smaller shape or size, or fewer masks at a time");
    }
}

void bind_codec(py::module_& m) {
    m.def("encode", &encode, py::arg("cls"), py::arg("mask"), py::arg("threads"));
    m.def("decode", &decode, py::arg("rle"), py::arg("out"), py::arg("threads"));
    m.def("scanner", &scanner, py::arg("masks").noconvert());
    m.def("painter", &painter, py::arg("height"), py::arg("width"), py::arg("interpolation"),
          py::arg("out").noconvert());
    m.def("resize", &resize, py::arg("mask").noconvert(), py::arg("interpolation"), py::arg("out").noconvert());
    m.def("simd_level", &level_name);
    m.def("require_memory", &require_memory, py::arg("wanted"));
}

void bind_runs(py::module_& m) {
    m.def("check_runs", &check_runs, py::arg("runs").noconvert(), py::arg("height"), py::arg("width"));
    m.def("adopt_runs", &adopt_runs, py::arg("cls"), py::arg("runs").noconvert(), py::arg("height"), py::arg("width"));
    m.def("equal", &are_equal, py::arg("a"), py::arg("b"));
    m.def("resize_runs", &resize_rle, py::arg("cls"), py::arg("rle"), py::arg("height"), py::arg("width"),
          py::arg("interpolation"));
}

}  // namespace
}  // namespace cloudrle

PYBIND11_MODULE(_core, m, py::mod_gil_not_used()) {
    cloudrle::choose_level();
    py::register_local_exception_translator(&cloudrle::explain_shortage);
    m.doc() = "Masks and run lists: the kernels behind cloudrle.";
    cloudrle::bind_run_list(m);
    cloudrle::bind_codec(m);
    cloudrle::bind_runs(m);
    cloudrle::bind_coco(m);
    cloudrle::bind_algebra(m);
    cloudrle::bind_probabilities(m);
}
