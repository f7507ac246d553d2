// cloudseg_sdk.data._area: an image in, a smaller one out. What is checked here is what memory safety needs.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>

#include "images/area.hpp"
#include "rle/simd.hpp"

namespace py = pybind11;

namespace {

using Pixels = py::array_t<std::uint8_t, 0>;  // any strides, and no cast

Pixels packed(const Pixels& image) {
    const bool side_by_side = (image.shape(1) == 1 || image.strides(1) == cloudseg::kChannels) && image.strides(2) == 1;
    if (side_by_side) return image;
    return py::array_t<std::uint8_t, py::array::c_style>::ensure(image);
}

Pixels shrink(const Pixels& image, std::int64_t height, std::int64_t width) {
    if (image.ndim() != 3 || image.shape(2) != cloudseg::kChannels) {
        throw py::value_error("image must have shape (H, W, 3)");
    }
    if (height < 1 || width < 1 || height > image.shape(0) || width > image.shape(1)) {
        throw py::value_error("height and width must be positive, and not greater than the image's");
    }
    const Pixels source = packed(image);
    py::array_t<std::uint8_t, py::array::c_style> result({height, width, std::int64_t{cloudseg::kChannels}});
    const cloudseg::ImageView from{source.data(), {source.shape(0), source.shape(1)}, source.strides(0)};
    std::uint8_t* const to = result.mutable_data();
    {
        const py::gil_scoped_release released;
        cloudseg::shrink(from, {height, width}, to);
    }
    return result;
}

}  // namespace

PYBIND11_MODULE(_area, m, py::mod_gil_not_used()) {
    const auto level = py::module_::import("cloudrle").attr("simd_level")().cast<std::string>();
    cloudrle::lower_level(level.c_str());
    m.doc() = "Shrinking of images by area averaging.";
    m.def("shrink", &shrink, py::arg("image").noconvert(), py::arg("height"), py::arg("width"));
}
