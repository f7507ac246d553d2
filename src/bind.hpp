// What the files that bind the core share.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace cloudrle {

inline void require(bool holds, const char* wanted) {
    if (!holds) throw pybind11::value_error(wanted);
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
