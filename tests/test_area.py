"""Shrinking of images: the exact mean of areas, at every SIMD level (see test_cloudrle_levels.py)."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st

from cloudseg_sdk.data._area import shrink
from cloudseg_sdk.data.images import Image


def noise(height: int, width: int, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


# Black and white, where sums are largest and rounding matters most, and values between.
@st.composite
def images_and_sizes(draw: st.DrawFn) -> tuple[Image, tuple[int, int]]:
    height, width = draw(st.integers(1, 90)), draw(st.integers(1, 400))
    image = noise(height, width, draw(st.integers(0, 1 << 30)))
    if draw(st.booleans()):
        image = (image > draw(st.integers(0, 254))) * np.uint8(255)
    return image, (draw(st.integers(1, height)), draw(st.integers(1, width)))


@given(images_and_sizes())
def test_every_value_is_the_mean_of_its_area(case: tuple[Image, tuple[int, int]]) -> None:
    image, size = case
    found = shrink(image, *size)
    assert found.shape == (*size, 3)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, reference.area_means(image, size))


@given(images_and_sizes())
def test_opencv_is_at_most_1_away(case: tuple[Image, tuple[int, int]]) -> None:
    image, size = case
    theirs = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(shrink(image, *size).astype(int) - theirs).max() <= 1


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((1400, 2100), (192, 288)),  # the shipped model
        ((1400, 2100), (350, 525)),
        ((1399, 2099), (19, 28)),
        ((1200, 5), (1, 2)),  # more rows than 16 bits hold sums of
        ((5, 1200), (2, 1)),
        ((257, 4), (1, 1)),  # sums of columns that just fit into 16 bits
        ((257, 4), (256, 3)),
        ((258, 1), (1, 1)),
        ((2903, 2909), (3, 2)),  # sums of 64 bits
    ],
)
def test_large_images(shape: tuple[int, int], size: tuple[int, int]) -> None:
    for image in (noise(*shape), np.full((*shape, 3), 255, np.uint8)):
        np.testing.assert_array_equal(shrink(image, *size), reference.area_means(image, size))


@pytest.mark.parametrize(("values", "mean"), [([0, 1], 1), ([0, 0, 1], 0), ([0, 1, 1], 1), ([254, 255], 255)])
def test_halves_are_rounded_up(values: list[int], mean: int) -> None:
    image = np.repeat(np.array(values, np.uint8)[:, np.newaxis, np.newaxis], 3, axis=2)
    assert shrink(image, 1, 1).tolist() == [[[mean] * 3]]
    assert shrink(image.transpose(1, 0, 2), 1, 1).tolist() == [[[mean] * 3]]


LAYOUTS: dict[str, Callable[[Image], Image]] = {
    "read-only": lambda image: np.frombuffer(image.tobytes(), np.uint8).reshape(image.shape),
    "upside down": lambda image: np.ascontiguousarray(image[::-1])[::-1],
    "BGR turned by a view": lambda image: np.ascontiguousarray(image[:, :, ::-1])[:, :, ::-1],
    "mirrored": lambda image: np.ascontiguousarray(image[:, ::-1])[:, ::-1],
    "Fortran's order": np.asfortranarray,
    "cut out": lambda image: np.pad(image, ((2, 3), (5, 1), (0, 0)))[2:-3, 5:-1],
    "without alpha": lambda image: np.pad(image, ((0, 0), (0, 0), (0, 1)))[:, :, :3],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("width", [1, 60])
def test_any_strides(layout: str, width: int) -> None:
    image = noise(40, width)
    size = (9, (width + 3) // 4)
    np.testing.assert_array_equal(shrink(LAYOUTS[layout](image), *size), shrink(image, *size))


def test_calls_from_many_threads_do_not_meet() -> None:
    images = [noise(300, 400, seed) for seed in range(16)]
    wanted = [shrink(image, 47, 61) for image in images]
    with ThreadPoolExecutor(8) as pool:
        for found, one in zip(pool.map(lambda image: shrink(image, 47, 61), 4 * images), 4 * wanted, strict=True):
            np.testing.assert_array_equal(found, one)


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 1), (4, 6, 4), (1, 4, 6, 3)])
def test_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"^image must have shape \(H, W, 3\)$"):
        shrink(np.zeros(shape, np.uint8), 1, 1)


@pytest.mark.parametrize("size", [(0, 6), (4, 0), (-1, 6), (5, 6), (4, 7)])
def test_a_size_that_is_none_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"^height and width must be positive, and not greater than the image's$"):
        shrink(noise(4, 6), *size)


@pytest.mark.parametrize("image", [np.zeros((4, 6, 3)), np.zeros((4, 6, 3), np.int8), [[[0, 0, 0]]], None])
def test_nothing_is_cast(image: Any) -> None:
    with pytest.raises(TypeError):
        shrink(image, 1, 1)
