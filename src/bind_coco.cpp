// The part of cloudrle._core that reads and writes COCO's runs. As in bind_core.cpp, what is checked here is what
// memory safety needs.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "bind.hpp"
#include "rle/algebra.hpp"
#include "rle/coco.hpp"
#include "rle/many.hpp"
#include "rle/mask.hpp"
#include "rle/overlaps.hpp"
#include "rle/run.hpp"
#include "run_list.hpp"

namespace py = pybind11;

namespace cloudrle {
namespace {

RunList from_counts(py::handle type, const Numbers& counts, std::int64_t height, std::int64_t width) {
    require(counts.ndim() == 1, "counts must be 1-D");
    const Shape shape{height, width};
    const std::int64_t length = counts.shape(0);
    const std::int64_t* const data = counts.data();
    Boundaries boundaries;
    const Result result = without_gil(
        length, [&] { return parse_counts(data, length, shape, reinterpret_cast<Run*>(boundaries.room(length))); });
    raise_if_failed(result, shape);
    boundaries.add(2 * result.count);
    return new_run_list(type, std::move(boundaries), shape);
}

Numbers to_counts(const RunList& rle) {
    const std::int64_t size = rle.shape().size();
    Numbers counts(counts_length(rle.runs(), rle.count(), size));
    std::int64_t* const target = counts.mutable_data();
    without_gil(rle.count(), [&] { write_counts(rle.runs(), rle.count(), size, target); });
    return counts;
}

Result read(std::string_view text, Shape shape, Boundaries& boundaries) {
    const auto length = static_cast<std::int64_t>(text.size());
    return without_gil(length, [&] {
        auto* const runs = reinterpret_cast<Run*>(boundaries.room(count_coco_numbers(text.data(), length)));
        const Result result = parse_coco(text.data(), length, shape, runs);
        boundaries.add(2 * result.count);
        return result;
    });
}

RunList from_coco(py::handle type, const py::bytes& text, std::int64_t height, std::int64_t width) {
    const Shape shape{height, width};
    Boundaries boundaries;
    raise_if_failed(read(static_cast<std::string_view>(text), shape, boundaries), shape);
    return new_run_list(type, std::move(boundaries), shape);
}

// Writes a string over what the buffer holds.
void write(RunView mask, std::int64_t size, Buffer<char>& text) {
    text.clear();
    text.add(write_coco(mask.runs, mask.count, size, text.room(coco_room(mask.count, size))));
}

py::str to_coco(const RunList& rle) {
    Buffer<char> text;
    without_gil(rle.count(), [&] { write({rle.runs(), rle.count()}, rle.shape().size(), text); });
    return {text.data(), static_cast<std::size_t>(text.size())};
}

// A side of a mask, of an int that is one; else -1.
std::int64_t side(PyObject* number) {
    if (!PyLong_CheckExact(number)) return -1;
    int overflow = 0;
    const long long value = PyLong_AsLongLongAndOverflow(number, &overflow);
    constexpr long long most = (std::int64_t{1} << 31) - 1;
    return overflow == 0 && 0 <= value && value <= most ? value : -1;
}

// The keys of a COCO RLE, as the one object of each that dicts compare without looking at characters.
struct Keys {
    py::object size = py::reinterpret_steal<py::object>(PyUnicode_InternFromString("size"));
    py::object counts = py::reinterpret_steal<py::object>(PyUnicode_InternFromString("counts"));
};

// Reads a dict of the plainest kind into empty boundaries; no shape for another, and for counts that are no mask.
std::optional<Shape> read_plain(py::handle rle, const Keys& keys, Boundaries& boundaries) {
    if (!PyDict_CheckExact(rle.ptr())) return {};
    const auto entry = [&](const py::object& key) {
        return py::reinterpret_borrow<py::object>(PyDict_GetItemWithError(rle.ptr(), key.ptr()));
    };
    const py::object size = entry(keys.size);
    const py::object counts = entry(keys.counts);
    if (!size || !counts || !PyList_CheckExact(size.ptr()) || PyList_GET_SIZE(size.ptr()) != 2) return {};
    const Shape shape{side(PyList_GET_ITEM(size.ptr(), 0)), side(PyList_GET_ITEM(size.ptr(), 1))};
    if (shape.height < 0 || shape.width < 0) return {};
    std::string_view text;
    if (PyBytes_CheckExact(counts.ptr())) {
        text = {PyBytes_AS_STRING(counts.ptr()), static_cast<std::size_t>(PyBytes_GET_SIZE(counts.ptr()))};
    } else if (PyUnicode_CheckExact(counts.ptr()) && PyUnicode_IS_ASCII(counts.ptr())) {
        text = {reinterpret_cast<const char*>(PyUnicode_1BYTE_DATA(counts.ptr())),
                static_cast<std::size_t>(PyUnicode_GET_LENGTH(counts.ptr()))};
    } else {
        return {};
    }
    if (read(text, shape, boundaries).error != Error::none) return {};
    return shape;
}

// An RLE of each dict; other(i, rles[i]) reads what is not plainly one, or says what is wrong.
py::list read_coco(py::handle type, const py::list& rles, const py::function& other) {
    const Keys keys;
    py::list masks(rles.size());
    for (std::size_t i = 0; i < rles.size(); ++i) {
        const py::object rle = rles[i];
        Boundaries boundaries;
        const std::optional<Shape> shape = read_plain(rle, keys, boundaries);
        masks[i] = shape ? new_run_list(type, std::move(boundaries), *shape) : other(i, rle);
    }
    return masks;
}

// Calls take(mask, shape) for each dict, and makes objects of those alone that `other` reads.
template <class Take>
void for_each_coco(const py::list& rles, const py::function& other, const Take& take) {
    const Keys keys;
    Boundaries boundaries;
    for (std::size_t i = 0; i < rles.size(); ++i) {
        const py::object rle = rles[i];
        boundaries.clear();
        if (const std::optional<Shape> shape = read_plain(rle, keys, boundaries)) {
            take(view(boundaries), *shape);
        } else {
            const RunList mask = other(i, rle);
            take(RunView{mask.runs(), mask.count()}, mask.shape());
        }
    }
}

py::array_t<std::int64_t> coco_areas(const py::list& rles, const py::function& other) {
    py::array_t<std::int64_t> areas(static_cast<py::ssize_t>(rles.size()));
    std::int64_t* next = areas.mutable_data();
    for_each_coco(rles, other, [&](RunView mask, Shape) { *next++ = area(mask.runs, mask.count); });
    return areas;
}

// x, y, width and height of each; zeros where there is no pixel.
py::array_t<double> coco_boxes(const py::list& rles, const py::function& other) {
    py::array_t<double> boxes({static_cast<py::ssize_t>(rles.size()), py::ssize_t{4}});
    double* next = boxes.mutable_data();
    for_each_coco(rles, other, [&](RunView mask, Shape shape) {
        Box box{0, 0, 0, 0};
        if (mask.count > 0) box = bounding_box(mask.runs, mask.count, shape.height);
        for (const std::int64_t number : {box.left, box.top, box.right - box.left, box.bottom - box.top}) {
            *next++ = static_cast<double>(number);
        }
    });
    return boxes;
}

py::dict dict_of(Shape shape, const Buffer<char>& text, const Keys& keys) {
    py::list size(2);
    size[0] = shape.height;
    size[1] = shape.width;
    py::dict rle;
    rle[keys.size] = std::move(size);
    rle[keys.counts] = py::bytes(text.data(), static_cast<std::size_t>(text.size()));
    return rle;
}

py::list write_coco_dicts(const py::list& masks) {
    const Keys keys;
    Buffer<char> text;
    py::list rles(masks.size());
    for (std::size_t i = 0; i < masks.size(); ++i) {
        const auto rle = masks[i].cast<RunList>();
        without_gil(rle.count(), [&] { write({rle.runs(), rle.count()}, rle.shape().size(), text); });
        rles[i] = dict_of(rle.shape(), text, keys);
    }
    return rles;
}

// A dict of each mask of a stack, without an object of its runs.
py::list encode_coco(const py::array& masks) {
    require(masks.ndim() == 3, "masks must be 3-D");
    const Stack<MaskView> stack{first_mask(masks), masks.shape(0), masks.strides(0)};
    const Shape shape = stack.first.shape;
    const Keys keys;
    Boundaries boundaries;
    Buffer<char> text;
    py::list rles(static_cast<std::size_t>(stack.count));
    for (std::int64_t i = 0; i < stack.count; ++i) {
        boundaries.clear();
        // Four pixels take about a step.
        without_gil(shape.size() / 4, [&] {
            encode_mask(stack[i], all_columns(shape), boundaries);
            write(view(boundaries), shape.size(), text);
        });
        rles[static_cast<std::size_t>(i)] = dict_of(shape, text, keys);
    }
    return rles;
}

using Boxes = py::array_t<double, py::array::c_style>;
using Flags = py::array_t<bool, py::array::c_style>;

py::array_t<double, py::array::f_style> box_iou(const Boxes& a, const Boxes& b, const Flags& crowd) {
    require(a.ndim() == 2 && a.shape(1) == 4 && b.ndim() == 2 && b.shape(1) == 4, "boxes must have shape (n, 4)");
    require(crowd.ndim() == 1 && crowd.shape(0) == b.shape(0), "crowd must have an entry for each box of b");
    py::array_t<double, py::array::f_style> matrix({a.shape(0), b.shape(0)});
    double* const target = matrix.mutable_data();
    without_gil(a.shape(0) * b.shape(0),
                [&] { coco_box_overlaps(a.data(), a.shape(0), b.data(), b.shape(0), crowd.data(), target); });
    return matrix;
}

}  // namespace

void bind_coco(py::module_& m) {
    m.def("from_counts", &from_counts, py::arg("cls"), py::arg("counts").noconvert(), py::arg("height"),
          py::arg("width"));
    m.def("to_counts", &to_counts, py::arg("rle"));
    m.def("from_coco", &from_coco, py::arg("cls"), py::arg("text").noconvert(), py::arg("height"), py::arg("width"));
    m.def("to_coco", &to_coco, py::arg("rle"));
    m.def("read_coco", &read_coco, py::arg("cls"), py::arg("rles"), py::arg("other"));
    m.def("coco_areas", &coco_areas, py::arg("rles"), py::arg("other"));
    m.def("coco_boxes", &coco_boxes, py::arg("rles"), py::arg("other"));
    m.def("encode_coco", &encode_coco, py::arg("masks").noconvert());
    m.def("write_coco", &write_coco_dicts, py::arg("masks"));
    m.def("box_iou", &box_iou, py::arg("a").noconvert(), py::arg("b").noconvert(), py::arg("crowd").noconvert());
}

}  // namespace cloudrle
