"""Resizing: equal to its definitions, and to OpenCV bit for bit."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Literal, get_args

import cv2
import numpy as np
import pytest
import reference
import strategies
from hypothesis import given, settings
from hypothesis import strategies as st

import cloudrle
from cloudrle import RLE

Interpolation = Literal["nearest", "linear", "area"]
INTERPOLATIONS = get_args(Interpolation)
HUGE = (100_000, 100_000)
SIDES = st.integers(1, 40)
SIZES = st.tuples(SIDES, SIDES)


def opencv(mask: reference.Mask, size: tuple[int, int], interpolation: str) -> reference.Mask:
    if interpolation == "nearest":
        return cv2.resize(mask, size[::-1], interpolation=cv2.INTER_NEAREST)
    return (cv2.resize(mask * np.uint8(255), size[::-1], interpolation=cv2.INTER_LINEAR) > 127).astype(np.uint8)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_resizing_follows_its_definition(interpolation: Interpolation, data: st.DataObject) -> None:
    mask, size = data.draw(strategies.dense(SIZES)), data.draw(SIZES)
    resized = cloudrle.resize(mask, size, interpolation=interpolation)
    assert resized.dtype == np.uint8
    np.testing.assert_array_equal(resized, getattr(reference, interpolation)(mask, size))


@pytest.mark.parametrize("interpolation", ["nearest", "linear"])
def test_thousands_of_shapes_are_bit_equal_to_opencv(interpolation: Interpolation) -> None:
    rng = np.random.default_rng(5)
    for case in range(6000):
        shape = rng.integers(1, 200, 2)
        size = (int(rng.integers(1, 200)), int(rng.integers(1, 200)))
        if case % 5 == 0:  # whole factors, up and down, on one axis or both
            factor = rng.integers(1, 5, 2)
            shape = np.maximum(size * factor, 1) if case % 2 else np.maximum(np.array(size) // factor, 1)
        mask = (rng.random(shape) < rng.choice([0.1, 0.5, 0.9])).astype(np.uint8)
        np.testing.assert_array_equal(
            cloudrle.resize(mask, size, interpolation=interpolation),
            opencv(mask, size, interpolation),
            err_msg=f"{mask.shape} to {size}",
        )


@pytest.mark.parametrize("interpolation", ["nearest", "linear"])
@pytest.mark.parametrize("shape", [(1400, 2100), (1365, 2048), (427, 640), (350, 525)])
@pytest.mark.parametrize("size", [(350, 525), (256, 384), (320, 480), (700, 1050), (1400, 2100)])
def test_sizes_of_the_competition_are_bit_equal_to_opencv(
    interpolation: Interpolation, shape: tuple[int, int], size: tuple[int, int]
) -> None:
    rng = np.random.default_rng(6)
    mask = (cv2.GaussianBlur(rng.standard_normal(shape), (0, 0), 2) > 0).astype(np.uint8)
    np.testing.assert_array_equal(
        cloudrle.resize(mask, size, interpolation=interpolation), opencv(mask, size, interpolation)
    )


def test_half_a_cell_is_foreground() -> None:
    mask = [[1, 0, 0, 0], [0, 1, 1, 0]]
    assert cloudrle.resize(mask, (1, 2), interpolation="area").tolist() == [[1, 0]]


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@given(mask=strategies.masks().filter(lambda mask: mask.size > 0), size=SIZES)
def test_layout_and_dtype_make_no_difference(
    interpolation: Interpolation, mask: reference.Mask, size: tuple[int, int]
) -> None:
    plain = (mask != 0).astype(np.uint8)
    wanted = cloudrle.resize(plain, size, interpolation=interpolation)
    np.testing.assert_array_equal(cloudrle.resize(mask, size, interpolation=interpolation), wanted)
    assert RLE.from_mask(mask).resize(size, interpolation) == RLE.from_mask(wanted)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@given(mask=strategies.dense(SIZES))
def test_the_same_size_is_a_copy(interpolation: Interpolation, mask: reference.Mask) -> None:
    resized = cloudrle.resize(mask, mask.shape, interpolation=interpolation)
    np.testing.assert_array_equal(resized, mask)
    assert not np.shares_memory(resized, mask)


@pytest.mark.parametrize(("shape", "size"), [((0, 3), (2, 2)), ((3, 3), (0, 2)), ((0, 2), (0, 2))])
def test_a_mask_without_pixels_has_no_other_size(shape: tuple[int, int], size: tuple[int, int]) -> None:
    wanted = f"cannot resize {shape[0]} x {shape[1]} to {size[0]} x {size[1]}: a mask without pixels has no other size"
    for call in (
        lambda: cloudrle.resize(np.zeros(shape), size),
        lambda: cloudrle.decode("", shape, size=size),
        lambda: cloudrle.decode_many([], shape, size=size),
        lambda: RLE.from_kaggle("", shape).resize(size),
    ):
        with pytest.raises(ValueError, match=f"^{re.escape(wanted)}$"):
            call()


def assorted_mask(rng: np.random.Generator, shape: tuple[int, int]) -> reference.Mask:
    """Noise, stripes, long runs across the seams of columns, blobs, or columns of noise among others."""
    height, width = shape
    match rng.integers(6):
        case 0:
            return np.asarray((rng.random(shape) < rng.choice([0, 0.003, 0.05, 0.5, 0.95, 1])), np.uint8)
        case 1:
            return np.repeat((rng.random((1, width)) < 0.5).astype(np.uint8), height, axis=0)
        case 2:
            return np.repeat((rng.random((height, 1)) < 0.5).astype(np.uint8), width, axis=1)
        case 3:
            cuts = np.unique(rng.integers(0, height * width + 1, 2 * rng.integers(1, 5)))
            return reference.paint(list(zip(cuts[::2], cuts[1::2], strict=False)), shape)
        case 4:
            noise = rng.random(shape) < 0.5
            return np.where(rng.random(width) < rng.choice([0.1, 0.7]), noise, rng.random() < 0.5).astype(np.uint8)
        case _:
            blurred = cv2.GaussianBlur(rng.standard_normal(shape), (0, 0), float(rng.choice([0.7, 2, 6])))
            return np.asarray((blurred > np.median(blurred)), np.uint8)


def assorted_shapes(rng: np.random.Generator) -> tuple[tuple[int, int], tuple[int, int]]:
    """Shape and size: halves, whole factors up and down, slivers, one-pixel sides, anything."""
    height, width, new_height, new_width = (int(side) for side in rng.integers(1, rng.choice([4, 25, 120]), 4))
    match rng.integers(6):
        case 0:
            return (2 * new_height, 2 * new_width), (new_height, new_width)
        case 1:
            return (new_height * int(rng.integers(1, 9)), new_width * int(rng.integers(1, 9))), (new_height, new_width)
        case 2:
            return (height, width), (height * int(rng.integers(1, 11)), width * int(rng.integers(1, 11)))
        case 3:
            return (int(rng.integers(1, 4)), int(rng.integers(1, 800))), (new_height, new_width)
        case 4:
            return (int(rng.integers(1, 800)), int(rng.integers(1, 4))), (new_height, new_width)
        case _:
            return (height, width), (new_height, new_width)


def test_thousands_of_run_lists_resize_as_their_masks_do() -> None:
    rng = np.random.default_rng(7)
    for _ in range(3000):
        shape, size = assorted_shapes(rng)
        mask = assorted_mask(rng, shape)
        for interpolation in INTERPOLATIONS:
            resized = RLE.from_mask(mask).resize(size, interpolation)
            wanted = cloudrle.resize(mask, size, interpolation=interpolation)
            assert resized == RLE.from_mask(wanted), f"{interpolation}: {shape} to {size}"
            if interpolation != "area":
                np.testing.assert_array_equal(wanted, opencv(mask, size, interpolation), err_msg=f"{shape} to {size}")


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@settings(deadline=None)
@given(data=st.data())
def test_texts_are_resized_as_their_masks_are(interpolation: Interpolation, data: st.DataObject) -> None:
    shape, size = data.draw(SIZES), data.draw(SIZES)
    masks = data.draw(st.lists(strategies.dense(st.just(shape)), max_size=3))
    texts = cloudrle.encode_many(masks)
    many = cloudrle.decode_many(texts, shape, size=size, interpolation=interpolation)
    for text, mask, resized in zip(texts, masks, many, strict=True):
        wanted = getattr(reference, interpolation)(mask, size)
        np.testing.assert_array_equal(resized, wanted)
        out = data.draw(strategies.outs(size))
        cloudrle.decode(text, shape, size=size, interpolation=interpolation, out=out)
        np.testing.assert_array_equal(out, wanted)


def huge_runs(rng: np.random.Generator, shape: tuple[int, int]) -> list[tuple[int, int]]:
    """Runs inside a column, across a seam and of many columns, and both ends of the mask."""
    height, pixels = shape[0], shape[0] * shape[1]
    cuts = np.sort(rng.integers(2, pixels - 2, 13)).tolist()
    lengths = rng.choice([1, 100, height // 2 + 1, height, 7 * height], 12).tolist()
    inner = [(cut, min(cut + length, after - 1)) for cut, after, length in zip(cuts, cuts[1:], lengths, strict=False)]
    return [(0, 1), *((start, end) for start, end in inner if start < end), (pixels - 1, pixels)]


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize(
    ("shape", "size"),
    [
        (HUGE, (350, 525)),
        (HUGE, (50_000, 25_000)),
        (HUGE, (120_001, 99_999)),
        ((3, 2_000_000_000), (5, 1_999_999_999)),
        ((2_000_000_000, 3), (777, 5)),
        ((2**31 - 1, 2**31 - 1), (1234, 2**31 - 2)),
    ],
)
def test_huge_masks_follow_the_definition_where_their_runs_begin_and_end(
    interpolation: Interpolation, shape: tuple[int, int], size: tuple[int, int]
) -> None:
    runs = huge_runs(np.random.default_rng(8), shape)
    resized = RLE.from_runs(runs, shape).resize(size, interpolation)
    assert resized == RLE.from_runs(resized.runs, size)
    places = np.divmod(np.ravel(runs), shape[0])[::-1]  # of rows, of columns
    rows, columns = (
        np.unique(np.clip(np.add.outer((-1, 0, 1), place * to // from_), 0, to - 1)).tolist()
        for place, from_, to in zip(places, shape, size, strict=True)
    )
    if interpolation == "area":
        wanted = reference.area_at(runs, shape, size, rows, columns)
    else:
        pixels = reference.pixels_of_runs(np.array(runs), shape[0])
        wanted = getattr(reference, f"{interpolation}_at")(pixels, shape, size, rows, columns)
    np.testing.assert_array_equal(reference.pixels_of_runs(resized.runs, size[0])(rows, columns), wanted)


IN_LITTLE_MEMORY = """
import resource, sys
import numpy as np
import cloudrle
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20), resource.RLIM_INFINITY))
shape, size = (100_000, 100_000), (500, 700)
text = "1 50 1000000 3000000000 5000000000 99 9999999999 2"
for interpolation in ("nearest", "linear", "area"):
    mask = cloudrle.RLE.from_kaggle(text, shape).resize(size, interpolation).to_mask()
    assert 0.2 < mask.mean() < 0.4
    assert np.array_equal(cloudrle.decode(text, shape, size=size, interpolation=interpolation), mask)
    for row in cloudrle.decode_many([text] * 3, shape, size=size, interpolation=interpolation):
        assert np.array_equal(row, mask)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
def test_a_huge_mask_is_resized_in_little_memory() -> None:
    subprocess.run([sys.executable, "-c", IN_LITTLE_MEMORY], check=True, cwd=Path(cloudrle.__file__).parents[1])
