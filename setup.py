"""The two compiled extensions; pyproject.toml holds everything else."""

from pathlib import Path

from Cython.Build import cythonize
from pybind11.setup_helpers import Pybind11Extension
from setuptools import Extension, setup

HEADERS = sorted(map(str, Path("src/rle").glob("*.[hi]*")))
WARNINGS = ["-Wall", "-Wextra", "-Wconversion"]
CORE = ("algebra", "coco", "mask", "mask_kernels", "resize", "simd")

core = Pybind11Extension(
    "cloudrle._core",
    ["src/bind_core.cpp", *(f"src/rle/{name}.cpp" for name in CORE)],
    include_dirs=["src"],
    depends=HEADERS,
    cxx_std=17,
    extra_compile_args=["-O3", *WARNINGS],
)
text = Extension(
    "cloudrle._text",
    ["src/bind_text.pyx", "src/rle/text.cpp"],
    include_dirs=["src"],
    depends=HEADERS,
    language="c++",
    # No -Wconversion: the C++ that Cython writes is not clean under it.
    extra_compile_args=["-O3", "-std=c++17", "-fvisibility=hidden", "-Wall", "-Wextra"],
)

setup(
    ext_modules=[
        core,
        *cythonize(
            [text], build_dir="build", compiler_directives={"language_level": 3, "freethreading_compatible": True}
        ),
    ]
)
