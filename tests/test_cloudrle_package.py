"""The package itself: what importing it does, its examples, its stubs, and files that it must read for ever."""

import doctest
import importlib
import inspect
import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import cloudrle
from cloudrle import RLE, coco
from cloudrle.algebra import RunAlgebra

FIXTURES = Path(__file__).parent / "fixtures/rle"
FROZEN = json.loads((FIXTURES / "masks.json").read_text())

IMPORT = """
import os, sys, threading
before = set(sys.modules)
import cloudrle
tops = {name.partition(".")[0] for name in set(sys.modules) - before}
files = {name for name in tops if getattr(sys.modules.get(name), "__file__", None)}  # leaves out Cython's own stand-in
third_party = files - sys.stdlib_module_names
tasks = "/proc/self/task"
threads = len(os.listdir(tasks)) if os.path.isdir(tasks) else threading.active_count()
print(sorted(third_party), threads)
"""


def test_importing_loads_numpy_alone_starts_no_thread_and_prints_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", IMPORT],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(cloudrle.__file__).parents[1],
        env={"OPENBLAS_NUM_THREADS": "1"},  # NumPy's own threads are not ours to forbid
    )
    assert done.stdout == "['cloudrle', 'numpy'] 1\n"
    assert done.stderr == ""


@pytest.mark.parametrize(
    "name",
    [
        "cloudrle",
        "cloudrle.algebra",
        "cloudrle.coco",
        "cloudrle.codec",
        "cloudrle.dialects",
        "cloudrle.errors",
        "cloudrle.frames",
        "cloudrle.overlaps",
        "cloudrle.probabilities",
        "cloudrle.rle",
    ],
)
def test_examples_are_true(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0


def test_every_public_name_exists_and_is_described() -> None:
    for name in cloudrle.__all__:
        assert getattr(cloudrle, name).__doc__, name
    assert cloudrle.simd_level() in ("scalar", "avx2", "avx512")


def examples_of(documented: object) -> list[str]:
    return [example.source for example in doctest.DocTestParser().get_examples(documented.__doc__ or "")]


def test_every_function_has_an_example() -> None:
    public = [getattr(module, name) for module in (cloudrle, coco) for name in module.__all__]
    functions = [function for function in public if inspect.isroutine(function)]
    assert len(functions) > 20
    assert [function.__qualname__ for function in functions if not examples_of(function)] == []


def test_every_operation_of_an_rle_has_an_example_of_its_own_or_in_the_class() -> None:
    shown = "".join(examples_of(RLE) + examples_of(RunAlgebra))
    names = [name for name in dir(RLE) if not name.startswith("_")]
    assert [name for name in names if not examples_of(getattr(RLE, name)) and f".{name}" not in shown] == []
    assert [operator for operator in "&|^-~" if operator not in shown] == []


def test_every_dialect_has_an_example() -> None:
    shown = "".join(examples_of(cloudrle.dialects))
    assert [name for name in cloudrle.DIALECTS if f'write("{name}")' not in shown] == []


def test_stubs_agree_with_the_compiled_modules() -> None:
    pytest.importorskip("mypy", reason="mypy is not installed")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy.stubtest",
            "--mypy-config-file=pyproject.toml",
            "cloudrle._core",
            "cloudrle._text",
            "cloudseg_sdk.data._area",
        ],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("case", FROZEN, ids=[case["name"] for case in FROZEN])
def test_frozen_masks_are_read_for_ever(case: dict[str, object]) -> None:
    shape, pixels = case["shape"], case["mask"]
    assert isinstance(shape, list)
    assert isinstance(pixels, list)
    mask = [[int(pixel) for pixel in row] for row in pixels]
    rle = RLE.from_kaggle(str(case["kaggle"]), shape)
    assert rle.to_mask().tolist() == mask
    assert rle.to_kaggle() == case["kaggle"]
    assert rle.to_coco() == {"size": shape, "counts": case["coco"]}
    assert rle.to_coco(compressed=False) == {"size": shape, "counts": case["counts"]}
    assert RLE.from_coco({"size": shape, "counts": case["coco"]}) == rle
    assert RLE.from_coco({"size": shape, "counts": case["counts"]}) == rle


def test_a_frozen_pickle_is_read_for_ever() -> None:
    with (FIXTURES / "rle-0.1.0.pickle").open("rb") as stored:
        assert pickle.load(stored) == RLE.from_kaggle("1 3 10 2", (4, 3))
