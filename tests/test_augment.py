"""Augmentation: images and masks move together, everything stays in its range, and the seed decides."""

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
import reference
from numpy.typing import NDArray

from cloudseg_sdk import Augmentation, ConfigError
from cloudseg_sdk.data.augment import Change

SIZE = (40, 60)
STILL = Augmentation(horizontal_flip=0, vertical_flip=0, warp=0, brightness=0, contrast=0)


def draws(augmentation: Augmentation, count: int = 400) -> list[Change]:
    return [augmentation.draw(np.random.default_rng((3, number)), SIZE) for number in range(count)]


def smooth_image() -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).standard_normal((*SIZE, 3))
    smooth = np.asarray(cv2.GaussianBlur(noise, (0, 0), 4))
    return np.asarray(np.interp(smooth, (smooth.min(), smooth.max()), (20, 235)), np.uint8)


def changed(change: Change, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    image.flags.writeable = False  # as in a cache
    out = np.full_like(image, 77)
    change.apply_to_image(image, out)
    return out


def matrix_of(change: Change) -> NDArray[np.float64]:
    """Also of a change that only flips: left is where right was."""
    if change.matrix is not None:
        return change.matrix
    down, across = (-1 if flip else 1 for flip in change.flips)
    return np.array([[across, 0, (across < 0) * SIZE[1]], [0, down, (down < 0) * SIZE[0]]], np.float64)


@pytest.mark.parametrize("grid", [SIZE, (20, 30), (10, 15), (20, 15), (80, 60)], ids=str)
@pytest.mark.parametrize("warp", [0, 1])
def test_masks_of_any_size_go_where_the_image_goes(grid: tuple[int, int], warp: int) -> None:
    random = np.random.default_rng(1)
    for change in draws(Augmentation(warp=warp, shift=0.3, scale=0.5, rotation=60, cutout=1), 12):
        mask = (random.random(grid) < 0.5).astype(np.uint8)
        wanted, certain = reference.warp_mask(mask, SIZE, matrix_of(change))
        drawn = change.apply_to_mask(mask)
        assert certain.mean() > 0.8
        np.testing.assert_array_equal(drawn[certain], wanted[certain])
        assert set(np.unique(drawn)) <= {0, 1}


@pytest.mark.parametrize("warp", [0, 1])
def test_images_go_where_their_matrix_says(warp: int) -> None:
    image = smooth_image()
    for change in draws(replace(STILL, horizontal_flip=0.5, vertical_flip=0.5, warp=warp, shift=0.2), 8):
        wanted = reference.warp_image(image, matrix_of(change))
        # OpenCV rounds places to 1/32 of a pixel, and steps to the black outside are high.
        assert np.abs(changed(change, image) - wanted).max() <= (8 if warp else 0)
        assert np.abs(changed(change, image) - wanted).mean() < 1


def test_what_is_drawn_stays_in_its_range_and_fills_it() -> None:
    augmentation = Augmentation(warp=1, shift=0.2, scale=0.3, rotation=25)
    found = []
    for change in draws(augmentation):
        assert change.matrix is not None
        back = np.vstack([change.matrix, [0, 0, 1]])
        forth = np.linalg.inv(back)
        centre = np.array([SIZE[1] / 2, SIZE[0] / 2, 1])
        shift = (forth @ centre - centre)[:2] / (SIZE[1], SIZE[0])
        mirror = np.diag([-1.0 if flip else 1.0 for flip in change.flips[::-1]])
        turn = forth[:2, :2] @ mirror  # undone first: flips come first
        grown = np.sqrt(np.linalg.det(turn))
        np.testing.assert_allclose(turn @ turn.T, grown**2 * np.eye(2), atol=1e-9)  # nothing is sheared
        found.append((*shift, grown - 1, np.degrees(np.arctan2(turn[1, 0], turn[0, 0]))))
    limits = np.array([0.2, 0.2, 0.3, 25])
    assert (np.abs(found).max(axis=0) <= limits + 1e-9).all()
    assert (np.max(found, axis=0) > 0.95 * limits).all()
    assert (np.min(found, axis=0) < -0.95 * limits).all()


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_probabilities_are_kept(probability: float) -> None:
    augmentation = replace(
        STILL, horizontal_flip=probability, vertical_flip=probability, warp=probability, cutout=probability
    )
    drawn = draws(augmentation)
    happened = np.array([[*one.flips, one.matrix is not None, one.hole is not None] for one in drawn])
    np.testing.assert_allclose(happened.mean(axis=0), probability, atol=0.08 if 0 < probability < 1 else 0)
    assert len(np.unique(happened, axis=0)) == (16 if probability == 0.3 else 1)  # each on its own


def test_values_are_scaled_and_shifted_and_clipped() -> None:
    ramp = np.resize(np.arange(256, dtype=np.uint8), (*SIZE, 3))
    factors, offsets = [], []
    for change in draws(replace(STILL, brightness=0.2, contrast=0.4), 200):
        assert change.tone is not None
        inner = np.flatnonzero((change.tone > 0) & (change.tone < 255))
        factor, offset = np.polyfit(inner, change.tone[inner], 1)
        wanted = np.clip(factor * ramp.astype(np.float64) + offset, 0, 255)
        assert np.abs(changed(change, ramp) - wanted).max() < 1.5
        factors.append(factor - 1)
        offsets.append(offset / 255)
    assert 0.35 < np.max(factors) < 0.42
    assert -0.42 < np.min(factors) < -0.35
    assert 0.17 < np.max(offsets) < 0.21
    assert -0.21 < np.min(offsets) < -0.17
    assert abs(np.corrcoef(factors, offsets)[0, 1]) < 0.2


def test_a_hole_is_black_in_the_image_and_nowhere_else() -> None:
    centres = []
    for change in draws(replace(STILL, cutout=1, cutout_size=0.5)):
        image = np.full((*SIZE, 3), 200, np.uint8)
        black = (changed(change, image) == 0).all(axis=2)
        rows, columns = np.flatnonzero(black.any(axis=1)), np.flatnonzero(black.any(axis=0))
        assert black.sum() == len(rows) * len(columns)
        assert 10 <= len(rows) <= 20  # half of the side, unless the image ends
        assert 15 <= len(columns) <= 30
        assert set(np.unique(changed(change, image))) <= {0, 200}
        np.testing.assert_array_equal(change.apply_to_mask(np.ones((20, 30), np.uint8)), 1)
        centres.append((rows.mean() / SIZE[0], columns.mean() / SIZE[1]))
    assert (np.ptp(centres, axis=0) > 0.6).all()


def test_nothing_happens_where_nothing_may() -> None:
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3)).astype(np.uint8)
    for change in draws(STILL, 20):
        np.testing.assert_array_equal(changed(change, image), image)


def test_each_field_has_random_numbers_of_its_own() -> None:
    plain = draws(Augmentation(warp=1))
    for other in (Augmentation(warp=1, cutout=1, brightness=0), Augmentation(warp=1, contrast=0.5)):
        for one, two in zip(plain, draws(other), strict=True):
            assert one.flips == two.flips
            np.testing.assert_array_equal(one.matrix, two.matrix)


def test_flips_only_flips() -> None:
    for change in draws(Augmentation.flips_only(), 50):
        assert (change.matrix, change.tone, change.hole) == (None, None, None)
    assert {change.flips for change in draws(Augmentation.flips_only(), 50)} == {
        (False, False),
        (False, True),
        (True, False),
        (True, True),
    }


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("warp", 1.1, "warp must be a number from 0 to 1, got 1.1"),
        ("cutout", -0.1, "cutout must be a number from 0 to 1, got -0.1"),
        ("horizontal_flip", True, "horizontal_flip must be a number from 0 to 1, got True"),
        ("vertical_flip", "half", "vertical_flip must be a number from 0 to 1, got 'half'"),
        ("scale", 1, "scale must be a number from 0 to 0.9, got 1"),
        ("rotation", 181, "rotation must be a number from 0 to 180, got 181"),
        ("shift", float("nan"), "shift must be a number from 0 to 1, got nan"),
        ("contrast", None, "contrast must be a number from 0 to 1, got None"),
    ],
)
def test_a_value_out_of_range_is_refused(field: str, value: Any, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Augmentation(**{field: value})
    assert str(caught.value) == words
