// The part of cloudrle._core that reads and writes COCO's runs. As in bind_core.cpp, what is checked here is what
// memory safety needs.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <string_view>
#include <utility>

#include "bind.hpp"
#include "rle/coco.hpp"
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

// Calls write(target) for a new object of a string's characters.
template <class Object, class Target>
Object written(const RunList& rle, PyObject* (*create)(std::int64_t), Target target) {
    const std::int64_t size = rle.shape().size();
    const std::int64_t length = without_gil(rle.count(), [&] { return coco_length(rle.runs(), rle.count(), size); });
    auto text = py::reinterpret_steal<Object>(create(length));
    if (!text) throw py::error_already_set();
    char* const characters = target(text.ptr());
    without_gil(rle.count(), [&] { write_coco(rle.runs(), rle.count(), size, characters); });
    return text;
}

py::str to_coco(const RunList& rle) {
    return written<py::str>(
        rle, [](std::int64_t length) { return PyUnicode_New(length, 127); },
        [](PyObject* text) { return reinterpret_cast<char*>(PyUnicode_1BYTE_DATA(text)); });
}

py::bytes to_coco_bytes(const RunList& rle) {
    return written<py::bytes>(
        rle, [](std::int64_t length) { return PyBytes_FromStringAndSize(nullptr, length); },
        [](PyObject* text) { return PyBytes_AS_STRING(text); });
}

// A side of a mask, of an int that is one; else -1.
std::int64_t side(PyObject* number) {
    if (!PyLong_CheckExact(number)) return -1;
    int overflow = 0;
    const long long value = PyLong_AsLongLongAndOverflow(number, &overflow);
    constexpr long long most = (std::int64_t{1} << 31) - 1;
    return overflow == 0 && 0 <= value && value <= most ? value : -1;
}

// The runs of a dict of the plainest kind; no object for another, and for counts that are no mask.
py::object plain_coco(py::handle type, py::handle rle, py::handle size_key, py::handle counts_key) {
    if (!PyDict_CheckExact(rle.ptr())) return {};
    const auto entry = [&](py::handle key) {
        return py::reinterpret_borrow<py::object>(PyDict_GetItemWithError(rle.ptr(), key.ptr()));
    };
    const py::object size = entry(size_key);
    const py::object counts = entry(counts_key);
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
    Boundaries boundaries;
    if (read(text, shape, boundaries).error != Error::none) return {};
    return new_run_list(type, std::move(boundaries), shape);
}

// An RLE of each dict; other(i, rles[i]) reads what is not plainly one, or says what is wrong.
py::list read_coco(py::handle type, const py::list& rles, const py::function& other) {
    const py::str size("size");
    const py::str counts("counts");
    py::list masks;
    for (std::size_t i = 0; i < rles.size(); ++i) {
        const py::object rle = rles[i];
        py::object mask = plain_coco(type, rle, size, counts);
        masks.append(mask ? std::move(mask) : other(i, rle));
    }
    return masks;
}

py::list write_coco_dicts(const py::list& masks) {
    const py::str size_key("size");
    const py::str counts_key("counts");
    py::list rles;
    for (const py::handle mask : masks) {
        const auto rle = mask.cast<RunList>();
        py::list size;
        size.append(rle.shape().height);
        size.append(rle.shape().width);
        py::dict found;
        found[size_key] = std::move(size);
        found[counts_key] = to_coco_bytes(rle);
        rles.append(std::move(found));
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
    m.def("write_coco", &write_coco_dicts, py::arg("masks"));
    m.def("box_iou", &box_iou, py::arg("a").noconvert(), py::arg("b").noconvert(), py::arg("crowd").noconvert());
}

}  // namespace cloudrle
