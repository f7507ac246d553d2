// The part of cloudrle._core that works on runs alone. As in bind_core.cpp, what is checked here is what memory safety
// needs; the result has the type of the operand.
#include <pybind11/critical_section.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "bind.hpp"
#include "rle/algebra.hpp"
#include "rle/components.hpp"
#include "rle/memory.hpp"
#include "rle/moves.hpp"
#include "rle/outline.hpp"
#include "rle/overlaps.hpp"
#include "rle/polygon.hpp"
#include "rle/run.hpp"
#include "run_list.hpp"

namespace py = pybind11;

namespace cloudrle {
namespace {

// Steps of work of which nobody counts the exact number.
constexpr std::int64_t kMany = std::numeric_limits<std::int64_t>::max();

RunView view_of(const RunList& rle) { return {rle.runs(), rle.count()}; }

// Makes a mask of what work(boundaries) appends in about so many steps.
template <class Work>
RunList make(py::handle type, Shape shape, std::int64_t steps, const Work& work) {
    Boundaries boundaries;
    without_gil(steps, [&] { work(boundaries); });
    return new_run_list(type, std::move(boundaries), shape);
}

// `index` is the other mask's place in a list; none where there are two.
void require_same_shape(const RunList& first, const RunList& other, const py::object& index = py::none()) {
    if (first.shape().height == other.shape().height && first.shape().width == other.shape().width) return;
    raise_error("different_shapes", first.attr("shape"), other.attr("shape"), index);
}

// The masks of a list, which the list keeps alive. All have the shape of the first, or of `wanted`.
std::vector<RunView> views_of(const py::list& masks) {
    std::vector<RunView> views;
    views.reserve(masks.size());
    for (std::size_t i = 0; i < masks.size(); ++i) {
        require(is_run_list(masks[i].ptr()), "masks must be RunLists");
        const auto mask = py::reinterpret_borrow<RunList>(masks[i]);
        require_same_shape(py::reinterpret_borrow<RunList>(masks[0]), mask, py::int_(i));
        views.push_back(view_of(mask));
    }
    return views;
}

// (top, left, bottom, right), or None where there is no pixel.
py::object bounding_box_of(const RunList& rle) {
    if (rle.count() == 0) return py::none();
    const Box box = without_gil(rle.count(), [&] { return bounding_box(rle.runs(), rle.count(), rle.shape().height); });
    return py::make_tuple(box.top, box.left, box.bottom, box.right);
}

py::object centroid_of(const RunList& rle) {
    if (rle.count() == 0) return py::none();
    const Point point = without_gil(rle.count(), [&] { return centroid(view_of(rle), rle.shape().height); });
    return py::make_tuple(point.y, point.x);
}

// Pixels in both masks, and the sum of the two areas.
py::tuple overlap_of(const RunList& a, const RunList& b) {
    require_same_shape(a, b);
    std::int64_t shared = 0;
    std::int64_t areas[2] = {0, 0};
    without_gil(a.count() + b.count(), [&] {
        shared = intersection(a.runs(), a.count(), b.runs(), b.count());
        areas[0] = area(a.runs(), a.count());
        areas[1] = area(b.runs(), b.count());
    });
    return py::make_tuple(shared, py::int_(areas[0]) + py::int_(areas[1]));
}

py::array_t<double> matrix_of(const py::list& a, const py::list& b, const std::vector<Overlap>& overlaps,
                              double both_empty, std::int64_t threads) {
    require_memory(static_cast<double>(a.size()) * static_cast<double>(b.size()) * sizeof(double));
    py::array_t<double> matrix({a.size(), b.size()});
    if (matrix.size() == 0) return matrix;
    const std::vector<RunView> from = views_of(a);
    const std::vector<RunView> to = views_of(b);
    const auto first = py::reinterpret_borrow<RunList>(a[0]);
    require_same_shape(first, py::reinterpret_borrow<RunList>(b[0]));
    double* const target = matrix.mutable_data();
    without_gil([&] { overlap_matrix(from, to, first.shape().height, overlaps, both_empty, threads, target); });
    return matrix;
}

py::array_t<double> overlaps(const py::list& a, const py::list& b, const std::string& name, std::int64_t threads) {
    require(threads > 0, "threads must be positive");
    require(name == "iou" || name == "dice", "overlap must be iou or dice");
    const Overlap overlap = name == "iou" ? Overlap::iou : Overlap::dice;
    return matrix_of(a, b, std::vector<Overlap>(b.size(), overlap), 1.0, threads);
}

// COCO's: coverage where `crowd` holds, else IoU; masks that are both empty share nothing.
py::array_t<double> mask_iou(const py::list& a, const py::list& b, const py::array_t<bool, py::array::c_style>& crowd) {
    require(crowd.ndim() == 1 && crowd.shape(0) == static_cast<py::ssize_t>(b.size()),
            "crowd must have an entry for each mask of b");
    std::vector<Overlap> overlaps;
    std::transform(crowd.data(), crowd.data() + crowd.size(), std::back_inserter(overlaps),
                   [](bool is_crowd) { return is_crowd ? Overlap::coverage : Overlap::iou; });
    return matrix_of(a, b, overlaps, 0.0, 1);
}

template <Operation operation>
RunList combined(const RunList& a, const RunList& b) {
    require_same_shape(a, b);
    return make(py::type::handle_of(a), a.shape(), a.count() + b.count(),
                [&](Boundaries& out) { combine(view_of(a), view_of(b), operation, out); });
}

template <Operation operation>
RunList all_combined(const py::list& masks) {
    require(!masks.empty(), "masks must not be empty");
    const std::vector<RunView> views = views_of(masks);
    const auto first = py::reinterpret_borrow<RunList>(masks[0]);
    const auto count = static_cast<std::int64_t>(views.size());
    return make(py::type::handle_of(first), first.shape(), kMany,
                [&](Boundaries& out) { combine_all(views.data(), count, operation, out); });
}

Box box_of(const py::tuple& box) {
    require(box.size() == 4, "box must have four entries");
    return {box[0].cast<std::int64_t>(), box[1].cast<std::int64_t>(), box[2].cast<std::int64_t>(),
            box[3].cast<std::int64_t>()};
}

bool holds(Shape shape, Box box) {
    return 0 <= box.top && box.top <= box.bottom && box.bottom <= shape.height &&  //
           0 <= box.left && box.left <= box.right && box.right <= shape.width;
}

RunList placed(const RunList& rle, const py::tuple& window, std::int64_t height, std::int64_t width, std::int64_t top,
               std::int64_t left) {
    const Box box = box_of(window);
    const Shape to{height, width};
    require(holds(rle.shape(), box), "window must lie in the mask");
    const bool fits = 0 <= top && 0 <= left && box.bottom - box.top <= height && box.right - box.left <= width &&
                      top <= height - (box.bottom - box.top) && left <= width - (box.right - box.left);
    require(fits, "the window must fit where it goes");
    return make(py::type::handle_of(rle), to, rle.count() + width,
                [&](Boundaries& out) { place(view_of(rle), rle.shape().height, box, to, top, left, out); });
}

RunList flipped(const RunList& rle, int axis) {
    require(axis == 0 || axis == 1, "axis must be 0 or 1");
    const Shape shape = rle.shape();
    return make(py::type::handle_of(rle), shape, rle.count(),
                [&](Boundaries& out) { (axis == 0 ? flip_rows : flip_columns)(view_of(rle), shape, out); });
}

py::list components_of(const RunList& rle, int connectivity) {
    require(connectivity == 4 || connectivity == 8, "connectivity must be 4 or 8");
    const Connectivity connected = connectivity == 4 ? Connectivity::edges : Connectivity::edges_and_corners;
    auto components =
        without_gil(rle.count(), [&] { return split_components(view_of(rle), rle.shape().height, connected); });
    py::list rles;
    for (Boundaries& component : components) {
        rles.append(new_run_list(py::type::handle_of(rle), std::move(component), rle.shape()));
    }
    return rles;
}

RunList without_small(const RunList& rle, std::int64_t min_area) {
    return make(py::type::handle_of(rle), rle.shape(), rle.count(),
                [&](Boundaries& out) { remove_small(view_of(rle), rle.shape().height, min_area, out); });
}

RunList without_holes(const RunList& rle, std::int64_t max_area) {
    return make(py::type::handle_of(rle), rle.shape(), rle.count(),
                [&](Boundaries& out) { fill_holes(view_of(rle), rle.shape(), max_area, out); });
}

RunList from_box(py::handle type, const py::tuple& box, std::int64_t height, std::int64_t width) {
    const Box window = box_of(box);
    const Shape shape{height, width};
    require(holds(shape, window), "box must lie in the mask");
    const Shape inside{window.bottom - window.top, window.right - window.left};
    const Run all{0, inside.size()};
    return make(type, shape, width, [&](Boundaries& out) {
        const RunView full{&all, inside.size() > 0 ? 1 : 0};
        place(full, inside.height, {0, 0, inside.height, inside.width}, shape, window.top, window.left, out);
    });
}

// The numbers of a flat list of floats and small ints, as COCO has its polygons; an array of them takes several times
// as long as the polygon.
bool read_plain_ring(py::handle ring, std::vector<double>& numbers) {
    if (!PyList_CheckExact(ring.ptr())) return false;
    const py::scoped_critical_section alone(ring);  // where there is no GIL
    if (PyList_GET_SIZE(ring.ptr()) % 2 != 0) return false;
    const Py_ssize_t size = PyList_GET_SIZE(ring.ptr());
    numbers.resize(static_cast<std::size_t>(size));
    for (Py_ssize_t i = 0; i < size; ++i) {
        PyObject* const number = PyList_GET_ITEM(ring.ptr(), i);
        int overflow = 0;
        double& found = numbers[static_cast<std::size_t>(i)];
        if (PyFloat_CheckExact(number)) {
            found = PyFloat_AS_DOUBLE(number);
        } else if (PyLong_CheckExact(number)) {
            found = static_cast<double>(PyLong_AsLongLongAndOverflow(number, &overflow));
        } else {
            return false;
        }
        if (overflow != 0) return false;
    }
    return true;
}

// Checks the polygon itself, in the words of _check, which call it `name`.
RunList from_polygon(py::handle type, const py::object& polygon, const py::object& name, std::int64_t height,
                     std::int64_t width) {
    using Vertices = py::array_t<double, py::array::c_style>;
    std::vector<double> numbers;
    Vertices vertices;
    const double* first = nullptr;
    std::int64_t count = 0;
    if (read_plain_ring(polygon, numbers)) {
        first = numbers.data();
        count = static_cast<std::int64_t>(numbers.size() / 2);
    } else {
        const py::object array = checked("ring", polygon, name);
        require(py::isinstance<Vertices>(array), "vertices must be float64");
        vertices = py::reinterpret_borrow<Vertices>(array);
        require(vertices.ndim() == 2 && vertices.shape(1) == 2, "vertices must have shape (n, 2)");
        first = vertices.data();
        count = vertices.shape(0);
    }
    for (const double* vertex = first; vertex != first + 2 * count; vertex += 2) {
        const auto fits = [](double number) { return std::abs(number) <= kMostCoordinate; };  // NaN doesn't
        if (!fits(vertex[0]) || !fits(vertex[1])) raise_error("far_vertex", vertex[0], vertex[1]);
    }
    const Shape shape{height, width};
    return make(type, shape, kMany, [&](Boundaries& out) { fill_polygon(first, count, shape, out); });
}

// A pair of the outer ring and a list of the holes' for each component; a ring is an array (n, 2) of x and y.
py::list to_polygons(const RunList& rle) {
    const Outlines outlines = without_gil([&] { return trace_outlines(view_of(rle), rle.shape().height); });
    py::list polygons;
    const std::int64_t* next = outlines.coordinates.data();
    const std::int64_t* const first = next;
    for (const auto [component, end] : outlines.rings) {
        const std::int64_t* const last = first + end;
        Numbers ring({static_cast<py::ssize_t>((last - next) / 2), py::ssize_t{2}});
        std::copy(next, last, ring.mutable_data());
        next = last;
        if (component == static_cast<std::int64_t>(polygons.size())) {
            polygons.append(py::make_tuple(std::move(ring), py::list()));
        } else {
            polygons[static_cast<std::size_t>(component)].cast<py::tuple>()[1].cast<py::list>().append(std::move(ring));
        }
    }
    return polygons;
}

}  // namespace

void bind_algebra(py::module_& m) {
    m.def("bounding_box", &bounding_box_of, py::arg("rle"));
    m.def("centroid", &centroid_of, py::arg("rle"));
    m.def("overlap", &overlap_of, py::arg("a"), py::arg("b"));
    m.def("overlaps", &overlaps, py::arg("a"), py::arg("b"), py::arg("overlap"), py::arg("threads"));
    m.def("mask_iou", &mask_iou, py::arg("a"), py::arg("b"), py::arg("crowd").noconvert());
    m.def("and_", &combined<Operation::both>, py::arg("a"), py::arg("b"));
    m.def("or_", &combined<Operation::either>, py::arg("a"), py::arg("b"));
    m.def("xor", &combined<Operation::one>, py::arg("a"), py::arg("b"));
    m.def("sub", &combined<Operation::first_alone>, py::arg("a"), py::arg("b"));
    m.def("intersection", &all_combined<Operation::both>, py::arg("masks"));
    m.def("union", &all_combined<Operation::either>, py::arg("masks"));
    m.def("invert", &complement_of, py::arg("rle"));
    m.def("place", &placed, py::arg("rle"), py::arg("window"), py::arg("height"), py::arg("width"), py::arg("top"),
          py::arg("left"));
    m.def("flip", &flipped, py::arg("rle"), py::arg("axis"));
    m.def("components", &components_of, py::arg("rle"), py::arg("connectivity"));
    m.def("remove_small", &without_small, py::arg("rle"), py::arg("min_area"));
    m.def("fill_holes", &without_holes, py::arg("rle"), py::arg("max_area"));
    m.def("from_box", &from_box, py::arg("cls"), py::arg("box"), py::arg("height"), py::arg("width"));
    m.def("from_polygon", &from_polygon, py::arg("cls"), py::arg("polygon"), py::arg("name"), py::arg("height"),
          py::arg("width"));
    m.def("to_polygons", &to_polygons, py::arg("rle"));
}

}  // namespace cloudrle
