"""The three compiled extensions; pyproject.toml holds everything else."""

from pathlib import Path

import numpy
from Cython.Build import cythonize
from pybind11.setup_helpers import ParallelCompile, Pybind11Extension
from setuptools import Extension, setup

HEADERS = sorted(map(str, Path("src").rglob("*.[hi]*")))
BINDINGS = ("bind_algebra", "bind_coco", "bind_core", "bind_probabilities", "run_list")
CORE = (
    "algebra",
    "coco",
    "components",
    "lerp",
    "many",
    "mask",
    "mask_kernels",
    "memory",
    "moves",
    "outline",
    "overlaps",
    "polygon",
    "probabilities",
    "resize",
    "resize_runs",
    "threads",
)
# Counts, measures, threads and what memory there is are in both: a library for them would cost more than a copy.
TEXT = (
    "algebra",
    "arrow",
    "brush",
    "coco",
    "cvat",
    "dialects",
    "memory",
    "text",
    "text_kernels",
    "threads",
    "transpose",
)
WARNINGS = ["-Wall", "-Wextra", "-Wconversion"]

core = Pybind11Extension(
    "cloudrle._core",
    [*(f"src/{name}.cpp" for name in BINDINGS), *(f"src/rle/{name}.cpp" for name in CORE)],
    include_dirs=["src"],
    depends=HEADERS,
    cxx_std=17,
    # A product fused with a sum has other bits, and not every SIMD level could do it. Nobody reads the flags of
    # floating point, and without them loops with a division become vectors.
    extra_compile_args=["-O3", "-ffp-contract=off", "-fno-trapping-math", "-pthread", *WARNINGS],
    extra_link_args=["-pthread"],
)
area = Pybind11Extension(
    "cloudseg_sdk.data._area",
    ["src/bind_area.cpp", "src/images/area.cpp"],
    include_dirs=["src"],
    depends=HEADERS,
    cxx_std=17,
    extra_compile_args=["-O3", *WARNINGS],
)
text = Extension(
    "cloudrle._text",
    ["src/bind_text.pyx", *(f"src/rle/{name}.cpp" for name in TEXT)],
    include_dirs=["src", numpy.get_include()],
    define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")],
    depends=HEADERS,
    language="c++",
    # No -Wconversion: the C++ that Cython writes is not clean under it.
    extra_compile_args=["-O3", "-std=c++17", "-fvisibility=hidden", "-pthread", "-Wall", "-Wextra"],
    extra_link_args=["-pthread"],
)

ParallelCompile("CLOUDRLE_BUILD_THREADS", default=0).install()  # as many as there are cores

setup(
    ext_modules=[
        core,
        area,
        *cythonize(
            [text], build_dir="build", compiler_directives={"language_level": 3, "freethreading_compatible": True}
        ),
    ]
)
