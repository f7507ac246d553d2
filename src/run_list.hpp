// cloudrle._core.RunList: the runs of one mask and its shape as an immutable Python object, the base of RLE. It is
// written against Python's own interface because a call for a small mask costs little else than objects.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>

#include "rle/buffer.hpp"
#include "rle/run.hpp"

namespace cloudrle {

using Numbers = pybind11::array_t<std::int64_t, pybind11::array::c_style>;

struct RunListObject {
    PyObject_HEAD;
    const Run* runs;
    std::int64_t count;
    Shape shape;
    PyObject* owner;  // what holds the runs: an array, or the mask of which this is the complement; null where they are
                      // this object's own, between a 0 and the mask's size
};

bool is_run_list(PyObject* object);

class RunList : public pybind11::object {
    PYBIND11_OBJECT(RunList, pybind11::object, is_run_list)

    const Run* runs() const { return self()->runs; }
    std::int64_t count() const { return self()->count; }
    Shape shape() const { return self()->shape; }
    PyObject* owner() const { return self()->owner; }

  private:
    const RunListObject* self() const { return reinterpret_cast<const RunListObject*>(m_ptr); }
};

// New objects of `type`, RunList or a subclass, that take over the memory, or an array that nobody else will change.
RunList new_run_list(pybind11::handle type, Boundaries boundaries, Shape shape);
RunList new_run_list(pybind11::handle type, const pybind11::array& runs, Shape shape);

// The mask of all other pixels. Runs that have a 0 before them and the size behind them, or not, are those of either:
// it takes no memory, unless an array holds the runs.
RunList complement_of(const RunList& rle);

void bind_run_list(pybind11::module_& m);

}  // namespace cloudrle
