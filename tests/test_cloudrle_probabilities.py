"""From class maps to masks: the definition, OpenCV within its tolerance, components, threads and refusals."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

import cloudrle
from cloudrle import RLE, encode_probabilities

Maps = npt.NDArray[Any]

SIDES = st.one_of(st.sampled_from([1, 2, 63, 64, 65]), st.integers(1, 150))
SIZES = st.tuples(SIDES, SIDES)


@st.composite
def class_maps(draw: st.DrawFn) -> Maps:
    """Maps (N, height, width, classes), noise or smooth, in any layout."""
    shape = (draw(st.integers(1, 2)), *draw(SIZES), draw(st.integers(1, 5)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    maps = rng.random(shape, np.float32)
    match draw(st.sampled_from(["noise", "coarse", "smooth"])):
        case "coarse":
            maps = np.round(4 * maps) / np.float32(4)
        case "smooth":
            maps = np.stack([blurred(image) for image in maps])
    if draw(st.booleans()):
        maps = np.round(255 * maps).astype(np.uint8)
    match draw(st.sampled_from(["C", "classes first", "flipped", "strided", "unaligned"])):
        case "classes first":
            maps = np.moveaxis(np.ascontiguousarray(np.moveaxis(maps, -1, 1)), 1, -1)
        case "flipped":
            maps = maps[:, ::-1, ::-1, ::-1]
        case "strided":
            maps = np.repeat(maps, 2, axis=2)[:, :, ::2]
        case "unaligned":
            maps = np.frombuffer(b"\0" + maps.tobytes(), np.uint8)[1:].view(maps.dtype).reshape(maps.shape)
    return maps


def blurred(image: Maps) -> Maps:
    smooth = cv2.GaussianBlur(image, (0, 0), 4).reshape(image.shape)
    stretched: Maps = (smooth - smooth.min()) / max(np.ptp(smooth), np.float32(1e-3))
    return stretched


@st.composite
def thresholds(draw: st.DrawFn, resized: Maps) -> list[float]:
    """For each class 0, 1, a half or a value that is there."""
    values = [0.0, 0.5, 1.0, *(float(resized.flat[i]) for i in range(0, resized.size, 1 + resized.size // 20))]
    return [min(draw(st.sampled_from(values)), 1.0) for _ in range(resized.shape[-1])]


@settings(max_examples=300, deadline=None)
@given(maps=class_maps(), data=st.data())
def test_masks_follow_their_definition(maps: Maps, data: st.DataObject) -> None:
    size = data.draw(st.none() | SIZES)
    resized = [reference.resized_maps(image, size or image.shape[:2]) for image in maps]
    threshold = data.draw(thresholds(resized[0]))
    masks = encode_probabilities(maps, threshold=threshold, size=size)
    assert [len(image) for image in masks] == [maps.shape[-1]] * len(maps)
    for image, probabilities in zip(masks, resized, strict=True):
        for mask, plane, limit in zip(image, np.moveaxis(probabilities, -1, 0), threshold, strict=True):
            assert mask == RLE.from_mask(plane >= np.float32(limit))
            assert mask == RLE.from_runs(mask.runs, size or maps.shape[1:3])


LEVELS = """
import hashlib
import numpy as np, reference, cloudrle
rng = np.random.default_rng(3)
digest = hashlib.sha256()
for case in range(200):
    height, width, rows, columns = rng.integers(1, 200, 4)
    maps = rng.random((1, height, width, rng.integers(1, 6)), np.float32)
    if case % 2:
        maps = (255 * maps).astype(np.uint8)
    resized = reference.resized_maps(maps[0], (rows, columns))
    for value in rng.choice(resized.ravel(), 5).clip(0, 1):
        for mask in cloudrle.encode_probabilities(maps, threshold=float(value), size=(rows, columns), min_area=3)[0]:
            digest.update(mask.runs.tobytes())
print(digest.hexdigest())
"""


def test_every_simd_level_makes_the_same_bits() -> None:
    package, tests = Path(cloudrle.__file__).parents[1], Path(__file__).parent
    digests = {
        subprocess.run(
            [sys.executable, "-c", LEVELS],
            capture_output=True,
            text=True,
            check=True,
            cwd=package,
            env={**os.environ, "CLOUDRLE_SIMD": level, "PYTHONPATH": os.pathsep.join(map(str, (package, tests)))},
        ).stdout
        for level in ("scalar", "avx2", "avx512")
    }
    assert len(digests) == 1


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((256, 384), (350, 525)),
        ((320, 480), (350, 525)),
        ((350, 525), (350, 525)),
        ((700, 1050), (350, 525)),
        ((1400, 2100), (350, 525)),
        ((37, 1), (1, 300)),
        ((500, 3), (40, 130)),
    ],
)
def test_opencv_differs_at_ties_alone(shape: tuple[int, int], size: tuple[int, int], dtype: type[Any]) -> None:
    image = np.random.default_rng(7).random((*shape, 4), np.float32)
    if dtype is np.uint8:
        image = np.round(255 * image).astype(np.uint8)
    threshold = [0.3, 0.5, 0.62, 0.9]
    probabilities = image.astype(np.float32) / (255 if dtype is np.uint8 else 1)
    resized = cv2.resize(probabilities, size[::-1], interpolation=cv2.INTER_LINEAR)
    masks = encode_probabilities(image[np.newaxis], threshold=threshold, size=size)[0]
    for mask, plane, limit in zip(masks, np.moveaxis(resized, -1, 0), threshold, strict=True):
        differs = mask.to_mask() != (plane >= limit)
        assert not differs[np.abs(plane - limit) > 1e-5].any()


@settings(max_examples=150, deadline=None)
@given(shape=SIZES, seed=st.integers(0, 2**32 - 1), density=st.sampled_from([0.05, 0.3, 0.6, 1.0]), data=st.data())
def test_components_below_the_minimum_area_are_dropped(
    shape: tuple[int, int], seed: int, density: float, data: st.DataObject
) -> None:
    mask = (np.random.default_rng(seed).random(shape) < density).astype(np.uint8)
    areas = [len(component) for component in reference.components(mask)]
    area = data.draw(st.sampled_from([0, 1, *areas]))
    for min_area in (area, area + 1):
        kept = encode_probabilities(mask[np.newaxis, :, :, np.newaxis] * np.uint8(255), threshold=1, min_area=min_area)
        assert kept[0][0] == RLE.from_mask(reference.without_small(mask, min_area))


SEVEN = ["1000", "0100", "0010", "0001", "0010", "0100", "1000"]


@pytest.mark.parametrize(
    ("rows", "area"),
    [
        (["10", "01"], 2),  # a corner
        (["01", "10"], 2),
        (SEVEN, 7),
        (["0100", "0110", "0010", "0010", "1011", "1001", "1111"], 14),  # two arms that meet below
        (["11", "11"], 4),
        (["1"], 1),
        (["101"], 1),
        (["1", "0", "1", "1"], 2),
        (["01", "00", "10"], 1),  # one run, but its two pixels lie at the bottom and at the top
        (["011", "001", "101"], 4),  # such a run, and a whole column after it
        (["0", "0"], 0),
    ],
)
def test_the_largest_component_stays_up_to_its_own_area(rows: list[str], area: int) -> None:
    mask = np.array([[int(pixel) for pixel in row] for row in rows], np.float32)
    maps = mask[np.newaxis, :, :, np.newaxis]
    assert max((len(component) for component in reference.components(mask)), default=0) == area
    assert encode_probabilities(maps, threshold=0.5, min_area=area + 1)[0][0].area == 0
    kept = encode_probabilities(maps, threshold=0.5, min_area=area)[0][0]
    assert kept == RLE.from_mask(reference.without_small(mask, area))


def test_a_threshold_is_met_by_itself() -> None:
    maps = np.array([[[[0.3, 0.3], [0.7, 0.7]]]], np.float32)
    masks = encode_probabilities(maps, threshold=[0.3, np.nextafter(np.float32(0.3), np.float32(1))])[0]
    assert [mask.area for mask in masks] == [2, 1]
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    for level in range(256):
        assert encode_probabilities(levels, threshold=level / 255)[0][0].area == 256 - level


def test_nan_is_background_and_infinity_foreground() -> None:
    maps = np.full((1, 2, 2, 3), [np.nan, np.inf, -np.inf], np.float32)
    for size in (None, (2, 2), (6, 6), (5, 3), (1, 1)):
        for threshold in (0.0, 1.0):
            masks = encode_probabilities(maps, threshold=threshold, size=size)[0]
            pixels = np.prod(size or (2, 2))
            assert [mask.area for mask in masks] == [0, pixels, 0]
    maps[0, 0, 0] = 1
    assert [mask.area for mask in encode_probabilities(maps, threshold=1)[0]] == [1, 4, 1]


def test_nan_and_infinity_stay_in_their_class() -> None:
    maps = np.full((1, 3, 11, 4), [np.nan, np.inf, -np.inf, 1], np.float32)  # four classes in a wide row: a fast way
    for size in (None, (3, 11), (5, 30)):
        masks = encode_probabilities(maps, threshold=0.5, size=size)[0]
        pixels = np.prod(size or (3, 11))
        assert [mask.area for mask in masks] == [0, pixels, 0, pixels]


def test_a_byte_is_not_rounded_after_resizing() -> None:
    maps = np.array([100, 101], np.uint8).reshape(1, 1, 2, 1)
    assert encode_probabilities(maps, threshold=100.5 / 255, size=(1, 10))[0][0].area == 5
    assert encode_probabilities(maps, threshold=100.7 / 255, size=(1, 10))[0][0].area == 4


@pytest.mark.parametrize("threads", [None, 1, 2, 3, 50, np.int64(2)])
def test_threads_make_no_difference(threads: int | None) -> None:
    maps = np.random.default_rng(8).random((7, 40, 70, 3), np.float32)
    wanted = [encode_probabilities(image[np.newaxis], threshold=0.6, size=(50, 90), min_area=4)[0] for image in maps]
    assert encode_probabilities(maps, threshold=0.6, size=(50, 90), min_area=4, threads=threads) == wanted


def test_numbers_may_be_one_for_each_class() -> None:
    maps = np.random.default_rng(9).random((2, 20, 30, 2), np.float32)
    both = encode_probabilities(maps, threshold=(0.4, 0.8), min_area=np.array([3, 2**63], np.uint64))
    assert [image[0] for image in both] == [
        image[0] for image in encode_probabilities(maps[..., :1], threshold=np.float64(0.4), min_area=np.int8(3))
    ]
    assert [image[1].area for image in both] == [0, 0]


@pytest.mark.parametrize("shape", [(0, 4, 5, 2), (2, 0, 5, 3), (2, 4, 0, 3), (2, 4, 5, 0)])
def test_nothing_in_nothing_out(shape: tuple[int, ...]) -> None:
    masks = encode_probabilities(np.ones(shape, np.float32), threshold=0.5, min_area=9)
    assert masks == [[RLE.from_runs([], shape[1:3])] * shape[3]] * shape[0]


maps = np.zeros((1, 2, 3, 4), np.float32)
call: Any = encode_probabilities  # for arguments that a type checker would refuse
AREA = "min_area must be a non-negative int, or one for each of the 4 classes"
THRESHOLD = "threshold must be a number in [0, 1], or one for each of the 4 classes"

CALLS: list[tuple[Callable[[], object], type[Exception], str]] = [
    (
        lambda: call(maps.astype(np.float64), threshold=0.5),
        TypeError,
        "probabilities must have dtype float32 or uint8, got float64",
    ),
    (
        lambda: call(maps.astype(">f4"), threshold=0.5),
        TypeError,
        "probabilities must have dtype float32 or uint8, got >f4",
    ),
    (
        lambda: call(maps[0], threshold=0.5),
        ValueError,
        "probabilities must be a 4-D array (N, height, width, classes), got a 3-D array of shape (2, 3, 4)",
    ),
    (lambda: call(maps, threshold=1.5), ValueError, "threshold must be in [0, 1], got 1.5"),
    (lambda: call(maps, threshold=[0, 0.5, -0.25, 1]), ValueError, "threshold must be in [0, 1], got -0.25"),
    (lambda: call(maps, threshold=np.nan), ValueError, "threshold must be in [0, 1], got nan"),
    (lambda: call(maps, threshold=[0.5, 0.5]), ValueError, f"{THRESHOLD}, got [0.5, 0.5]"),
    (lambda: call(maps, threshold=[[0.5] * 4]), ValueError, f"{THRESHOLD}, got [[0.5, 0.5, 0.5, 0.5]]"),
    (lambda: call(maps, threshold=[0.5, [0.5]]), TypeError, f"{THRESHOLD}, got [0.5, [0.5]]"),
    (lambda: call(maps, threshold="0.5"), TypeError, f"{THRESHOLD}, got '0.5'"),
    (lambda: call(maps, threshold=True), TypeError, f"{THRESHOLD}, got True"),
    (lambda: call(maps, threshold=None), TypeError, f"{THRESHOLD}, got None"),
    (lambda: call(maps, threshold=0.5, min_area=-1), ValueError, "min_area must not be negative, got -1"),
    (lambda: call(maps, threshold=0.5, min_area=2.0), TypeError, f"{AREA}, got 2.0"),
    (lambda: call(maps, threshold=0.5, min_area=[1, 2, 3]), ValueError, f"{AREA}, got [1, 2, 3]"),
    (lambda: call(maps, threshold=0.5, size=5), TypeError, "size must be a pair of ints (height, width), got 5"),
    (
        lambda: call(maps, threshold=0.5, size=(0, 5)),
        ValueError,
        "cannot resize 2 x 3 to 0 x 5: a mask without pixels has no other size",
    ),
    (lambda: call(maps, threshold=0.5, threads=0), ValueError, "threads must be a positive int or None, got 0"),
    (lambda: call(maps, threshold=0.5, threads=1.0), TypeError, "threads must be a positive int or None, got 1.0"),
    (lambda: call(maps, threshold=0.5, threads=True), TypeError, "threads must be a positive int or None, got True"),
]


@pytest.mark.parametrize(("bad_call", "error", "message"), CALLS)
def test_bad_arguments(bad_call: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        bad_call()
