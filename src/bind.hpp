// What the files that bind the core share.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "rle/mask.hpp"
#include "rle/run.hpp"
#include "rle/words.hpp"

namespace cloudrle {

inline void require(bool holds, const char* wanted) {
    if (!holds) throw pybind11::value_error(wanted);
}

// Calls work() with the GIL released.
template <class Work>
auto without_gil(const Work& work) {
    const pybind11::gil_scoped_release released;
    return work();
}

// The same for work that takes so many steps; to let the GIL go and take it back costs more than few of them.
template <class Work>
auto without_gil(std::int64_t steps, const Work& work) {
    constexpr std::int64_t few = 256;
    return steps <= few ? work() : without_gil(work);
}

// What is not plainly right goes through here, to be converted or refused in words.
inline pybind11::object checked(const char* name, const pybind11::object& argument, const pybind11::object& wanted) {
    return pybind11::module_::import("cloudrle._check").attr(name)(argument, wanted);
}

// The first mask (last two axes) of an array of any layout.
MaskView first_mask(const pybind11::array& masks);

// Raises the exception that a function of cloudrle.errors makes.
template <class... Arguments>
[[noreturn]] void raise_error(const char* maker, Arguments&&... arguments) {
    const pybind11::object error =
        pybind11::module_::import("cloudrle.errors").attr(maker)(std::forward<Arguments>(arguments)...);
    PyErr_SetObject(pybind11::type::handle_of(error).ptr(), error.ptr());
    throw pybind11::error_already_set();
}

inline void raise_if_failed(const Result& result, Shape shape) {
    if (result.error == Error::none) return;
    raise_error("from_result", words(result.error), pybind11::none(), result.position, result.number, result.value,
                result.other, shape.height, shape.width);
}

// Boundaries as an array of runs.
inline pybind11::array_t<std::int64_t, pybind11::array::c_style> copy_runs(
    const std::vector<std::int64_t>& boundaries) {
    const auto count = static_cast<pybind11::ssize_t>(boundaries.size() / 2);
    pybind11::array_t<std::int64_t, pybind11::array::c_style> runs({count, pybind11::ssize_t{2}});
    std::copy(boundaries.begin(), boundaries.end(), runs.mutable_data());
    return runs;
}

}  // namespace cloudrle
