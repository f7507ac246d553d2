#include "run_list.hpp"

#include <utility>

#include "bind.hpp"
#include "rle/algebra.hpp"

namespace py = pybind11;

namespace cloudrle {
namespace {

PyTypeObject* run_list_type = nullptr;

RunListObject* cast(PyObject* object) { return reinterpret_cast<RunListObject*>(object); }

// The boundaries of runs that this module made, and may free.
std::int64_t* flat(const Run* runs) { return reinterpret_cast<std::int64_t*>(const_cast<Run*>(runs)); }

PyObject* refuse_new(PyTypeObject*, PyObject*, PyObject*) {
    PyErr_SetString(PyExc_TypeError,
                    "RLE has no constructor; use RLE.from_mask, from_kaggle, from_coco, from_counts or from_runs");
    return nullptr;
}

void deallocate(PyObject* object) {
    RunListObject* const self = cast(object);
    if (self->owner == nullptr) Boundaries::dispose(flat(self->runs));
    Py_XDECREF(self->owner);
    PyTypeObject* const type = Py_TYPE(object);
    type->tp_free(object);
    Py_DECREF(type);  // a type from a specification counts its objects
}

PyObject* get_area(PyObject* object, void*) {
    const RunListObject* const self = cast(object);
    return PyLong_FromLongLong(without_gil(self->count, [&] { return area(self->runs, self->count); }));
}

PyObject* get_shape(PyObject* object, void*) {
    const Shape shape = cast(object)->shape;
    return Py_BuildValue("(LL)", static_cast<long long>(shape.height), static_cast<long long>(shape.width));
}

// A view that keeps this object alive. It can't be made writeable: its base lends no writeable buffer.
PyObject* get_runs(PyObject* object, void*) {
    try {
        const RunListObject* const self = cast(object);
        Numbers view({self->count, std::int64_t{2}}, reinterpret_cast<const std::int64_t*>(self->runs), object);
        py::detail::array_proxy(view.ptr())->flags &= ~py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
        return view.release().ptr();
    } catch (py::error_already_set& error) {
        error.restore();
        return nullptr;
    }
}

RunList new_object(py::handle type, const Run* runs, std::int64_t count, Shape shape, PyObject* owner) {
    auto* const python_type = reinterpret_cast<PyTypeObject*>(type.ptr());
    require(PyType_Check(type.ptr()) && PyType_IsSubtype(python_type, run_list_type), "type must be a RunList");
    PyObject* const object = python_type->tp_alloc(python_type, 0);
    if (object == nullptr) throw py::error_already_set();
    RunListObject* const self = cast(object);
    self->runs = runs;
    self->count = count;
    self->shape = shape;
    self->owner = Py_XNewRef(owner);
    return py::reinterpret_steal<RunList>(object);
}

}  // namespace

bool is_run_list(PyObject* object) { return PyObject_TypeCheck(object, run_list_type); }

RunList new_run_list(py::handle type, Boundaries boundaries, Shape shape) {
    const std::int64_t count = boundaries.size() / 2;
    std::int64_t* const first = boundaries.release();
    first[-1] = 0;
    first[2 * count] = shape.size();
    try {
        return new_object(type, reinterpret_cast<const Run*>(first), count, shape, nullptr);
    } catch (...) {
        Boundaries::dispose(first);
        throw;
    }
}

RunList new_run_list(py::handle type, const py::array& runs, Shape shape) {
    require(runs.dtype().num() == py::dtype::num_of<std::int64_t>(), "runs must be int64");
    require(runs.ndim() == 2 && runs.shape(1) == 2, "runs must have shape (n, 2)");
    require((runs.flags() & py::array::c_style) != 0, "runs must be C-contiguous");
    return new_object(type, static_cast<const Run*>(runs.data()), runs.shape(0), shape, runs.ptr());
}

RunList complement_of(const RunList& rle) {
    const py::handle type = py::type::handle_of(rle);
    const Shape shape = rle.shape();
    if (shape.size() == 0) return rle;
    if (rle.owner() == nullptr) {
        const std::int64_t* const first = flat(rle.runs());
        const std::int64_t* const last = first + 2 * rle.count();
        const std::int64_t* const start = first != last && *first == 0 ? first + 1 : first - 1;
        const std::int64_t* const end = first != last && last[-1] == shape.size() ? last - 1 : last + 1;
        return new_object(type, reinterpret_cast<const Run*>(start), (end - start) / 2, shape, rle.ptr());
    }
    if (is_run_list(rle.owner())) return py::reinterpret_borrow<RunList>(rle.owner());
    Boundaries boundaries;
    without_gil(rle.count(), [&] { complement({rle.runs(), rle.count()}, shape.size(), boundaries); });
    return new_run_list(type, std::move(boundaries), shape);
}

void bind_run_list(py::module_& m) {
    static PyGetSetDef attributes[] = {
        {"shape", get_shape, nullptr, "Shape of the mask: (height, width).", nullptr},
        {"runs", get_runs, nullptr,
         "Runs: read-only int64 array of shape (n, 2), half-open [start, end), counted from 0 down each column.",
         nullptr},
        {"area", get_area, nullptr, "Number of foreground pixels.", nullptr},
        {nullptr, nullptr, nullptr, nullptr, nullptr},
    };
    static PyType_Slot slots[] = {
        {Py_tp_doc, const_cast<char*>("Runs of one mask, and its shape.")},
        {Py_tp_new, reinterpret_cast<void*>(refuse_new)},
        {Py_tp_dealloc, reinterpret_cast<void*>(deallocate)},
        {Py_tp_getset, attributes},
        {0, nullptr},
    };
    static PyType_Spec spec = {"cloudrle._core.RunList", sizeof(RunListObject), 0,
                               Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};
    PyObject* const type = PyType_FromSpec(&spec);
    if (type == nullptr) throw py::error_already_set();
    run_list_type = reinterpret_cast<PyTypeObject*>(type);
    m.add_object("RunList", type);
}

}  // namespace cloudrle
