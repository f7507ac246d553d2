"""The invented scenes: their promises on shape, seed and size, and that a dataset written from them reads back."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import cloudrle
from cloudseg_sdk.synthetic import CLASSES, Scene, scene, write_dataset

SMALL = (128, 192)


def black(image: NDArray[np.uint8]) -> float:
    """Share of pixels without data."""
    return float((image.max(axis=2) < 8).mean())


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [scene(seed, (64, 96)) for seed in range(60)]


@pytest.mark.parametrize("size", [(16, 16), (32, 48), (97, 61), (61, 333), (128, 192), (350, 525), (701, 1051)])
def test_any_size(size: tuple[int, int]) -> None:
    drawn = scene(7, size)
    assert drawn.image.shape == (*size, 3)
    assert drawn.masks.shape == (*size, 4)
    assert drawn.image.dtype == drawn.masks.dtype == np.uint8
    assert set(np.unique(drawn.masks)) == {0, 1}
    assert drawn.image.std() > 10


def test_full_size_is_the_default_and_has_the_small_ones_layout() -> None:
    full = scene(3)
    assert full.image.shape == (1400, 2100, 3)
    for size in (SMALL, (350, 525)):
        small = scene(3, size)
        shrunk = cv2.resize(full.image, size[::-1], interpolation=cv2.INTER_AREA)
        assert np.corrcoef(small.image.ravel(), shrunk.ravel())[0, 1] > 0.97
        masks = cv2.resize(full.masks, size[::-1], interpolation=cv2.INTER_NEAREST)
        assert (small.masks == masks).mean() > 0.98


def test_the_seed_decides_everything() -> None:
    first, again, other = scene(5, SMALL), scene(5, SMALL), scene(6, SMALL)
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.masks, again.masks)
    assert (first.image != other.image).mean() > 0.5
    assert (first.masks != other.masks).any()


def test_one_to_four_classes_and_all_of_them_over_the_seeds(scenes: list[Scene]) -> None:
    present = np.array([drawn.masks.any(axis=(0, 1)) for drawn in scenes])
    assert present.any(axis=1).all()
    assert present.any(axis=0).all()
    assert len(set(present.sum(axis=1))) >= 3


@pytest.mark.parametrize("index", range(4), ids=CLASSES)
def test_clouds_live_inside_their_labels(scenes: list[Scene], index: int) -> None:
    inside, outside = [], []
    for drawn in scenes:
        seen, bright = drawn.image.max(axis=2) >= 8, drawn.image.mean(axis=2)
        labelled = drawn.masks[..., index] > 0
        inside.append(bright[seen & labelled])
        outside.append(bright[seen & ~drawn.masks.any(axis=2)])
    assert np.concatenate(inside).mean() > np.concatenate(outside).mean() + 8


def test_swath_gap_on_request_or_by_the_seed(scenes: list[Scene]) -> None:
    for seed in range(10):
        gap, whole = (scene(seed, SMALL, swath_gap=wanted) for wanted in (True, False))
        assert 0.02 < black(gap.image) < 0.25
        assert black(whole.image) < 0.001
        np.testing.assert_array_equal(gap.masks, whole.masks)
        seen = cv2.erode((gap.image.max(axis=2) >= 8).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        assert (gap.image[seen] == whole.image[seen]).mean() > 0.999  # but for the wedge's tip
        left_to_the_seed = scene(seed, SMALL).image
        assert any((left_to_the_seed == drawn.image).all() for drawn in (gap, whole))
    assert 0.25 < np.mean([black(drawn.image) > 0.01 for drawn in scenes]) < 0.65


@pytest.mark.parametrize("size", [(15, 48), (48, 15), (1401, 2100), (1400, 2101), (0, 0), (-32, 48)])
def test_a_bad_size_is_named(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=rf"got {size[0]} x {size[1]}, wanted 16 x 16 to 1400 x 2100"):
        scene(0, size)


def test_a_bad_seed_is_named() -> None:
    with pytest.raises(ValueError, match="seed: got -1, wanted 0 or more"):
        scene(-1, SMALL)


def test_a_dataset_reads_back(tmp_path: Path) -> None:
    size, label_shape = (70, 105), (140, 210)
    write_dataset(tmp_path / "clouds", 3, seed=20, size=size, label_shape=label_shape)
    with (tmp_path / "clouds" / "train.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    images = sorted((tmp_path / "clouds" / "train_images").iterdir())
    assert [row["Image_Label"] for row in rows] == [f"{path.name}_{label}" for path in images for label in CLASSES]
    assert len(images) == 3
    assert {row["EncodedPixels"] == "" for row in rows} == {True, False}
    for number, path in enumerate(images):
        drawn = scene(20 + number, size)
        stored = cv2.imread(str(path))
        assert stored is not None
        assert np.abs(stored[..., ::-1].astype(int) - drawn.image).mean() < 8  # what JPEG loses
        for index in range(4):
            mask = cloudrle.decode(rows[4 * number + index]["EncodedPixels"], label_shape)
            np.testing.assert_array_equal(mask, drawn.masks[..., index].repeat(2, axis=0).repeat(2, axis=1))
