// cloudrle._core.encode_probabilities. As in bind_core.cpp, what is checked here is what memory safety needs.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "bind.hpp"
#include "rle/probabilities.hpp"
#include "rle/run.hpp"
#include "rle/threads.hpp"

namespace py = pybind11;

namespace cloudrle {
namespace {

template <class Number>
using PerClass = py::array_t<Number, py::array::c_style>;

ProbabilityView first_map(const py::array& maps) {
    const bool bytes = py::isinstance<py::array_t<std::uint8_t>>(maps);
    require(bytes || py::isinstance<py::array_t<float>>(maps), "maps must have dtype float32 or uint8");
    return {static_cast<const std::uint8_t*>(maps.data()),
            {maps.shape(1), maps.shape(2)},
            maps.shape(3),
            maps.strides(1),
            maps.strides(2),
            maps.strides(3),
            bytes};
}

// One list for each map, of one run list for each class.
py::list encode_maps(const py::array& maps, std::int64_t height, std::int64_t width, const PerClass<float>& thresholds,
                     const PerClass<std::int64_t>& min_areas, std::int64_t threads) {
    require(maps.ndim() == 4, "maps must be 4-D");
    const std::int64_t count = maps.shape(0);
    const std::int64_t classes = maps.shape(3);
    require(thresholds.ndim() == 1 && thresholds.shape(0) == classes, "thresholds must have one entry for each class");
    require(min_areas.ndim() == 1 && min_areas.shape(0) == classes, "min_areas must have one entry for each class");
    require(height >= 0 && width >= 0 && threads > 0,
            "height and width must not be negative, and threads must be positive");
    const ProbabilityView first = first_map(maps);
    const Shape to{height, width};
    require(first.shape.size() > 0 || to.size() == 0, "maps without pixels have no other size");
    const std::ptrdiff_t stride = maps.strides(0);
    const ClassRules rules{thresholds.data(), min_areas.data()};
    std::vector<std::vector<std::int64_t>> boundaries(static_cast<std::size_t>(count * classes));
    {
        const py::gil_scoped_release released;
        const Resampling resampling(first.shape, to);
        for_each_index(count, threads, [&](std::int64_t i) {
            ProbabilityView map = first;
            map.data += i * stride;
            encode_probabilities(map, resampling, rules, boundaries.data() + i * classes);
        });
    }
    py::list masks;
    auto next = boundaries.begin();
    for (std::int64_t i = 0; i < count; ++i) {
        py::list mask;
        for (std::int64_t c = 0; c < classes; ++c) mask.append(copy_runs(*next++));
        masks.append(std::move(mask));
    }
    return masks;
}

}  // namespace

void bind_probabilities(py::module_& m) {
    m.def("encode_probabilities", &encode_maps, py::arg("maps").noconvert(), py::arg("height"), py::arg("width"),
          py::arg("thresholds").noconvert(), py::arg("min_areas").noconvert(), py::arg("threads"));
}

}  // namespace cloudrle
