"""Resizing: equal to its definitions, and to OpenCV bit for bit."""

import re
from typing import Literal

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
SIDES = st.integers(1, 40)
SIZES = st.tuples(SIDES, SIDES)


def opencv(mask: reference.Mask, size: tuple[int, int], interpolation: str) -> reference.Mask:
    if interpolation == "nearest":
        return cv2.resize(mask, size[::-1], interpolation=cv2.INTER_NEAREST)
    return (cv2.resize(mask * np.uint8(255), size[::-1], interpolation=cv2.INTER_LINEAR) > 127).astype(np.uint8)


@pytest.mark.parametrize("interpolation", ["nearest", "linear", "area"])
@settings(max_examples=400)
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


@pytest.mark.parametrize("interpolation", ["nearest", "linear", "area"])
@given(mask=strategies.masks().filter(lambda mask: mask.size > 0), size=SIZES)
def test_layout_and_dtype_make_no_difference(
    interpolation: Interpolation, mask: reference.Mask, size: tuple[int, int]
) -> None:
    plain = (mask != 0).astype(np.uint8)
    wanted = cloudrle.resize(plain, size, interpolation=interpolation)
    np.testing.assert_array_equal(cloudrle.resize(mask, size, interpolation=interpolation), wanted)
    assert RLE.from_mask(mask).resize(size, interpolation) == RLE.from_mask(wanted)


@pytest.mark.parametrize("interpolation", ["nearest", "linear", "area"])
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
