"""Flips at test time: the mean over mirror images, remembered with the thresholds that were chosen on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import reference
from numpy.typing import NDArray

from cloudseg_sdk import CloudDataset, ConfigError, Decision, Segmenter
from cloudseg_sdk.bundle import read_bundle
from cloudseg_sdk.inference.engines import OpenVINOEngine, Output
from cloudseg_sdk.inference.postprocess import decide, presence_scores
from cloudseg_sdk.inference.tta import run_augmented


@pytest.fixture(scope="module")
def dataset(dataset_folder: Path) -> CloudDataset:
    return CloudDataset.from_kaggle(dataset_folder, label_shape=(140, 210))


@pytest.fixture(scope="module")
def engine(tiny_bundle: Path) -> OpenVINOEngine:
    graph = read_bundle(tiny_bundle).graph
    assert graph is not None
    return OpenVINOEngine(graph)


@pytest.fixture
def segmenter(tiny_bundle: Path) -> Segmenter:
    return Segmenter.load(tiny_bundle)


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (3, 32, 48, 3), np.uint8)


def test_flips_are_the_mean_over_the_mirror_images(engine: OpenVINOEngine, images: NDArray[np.uint8]) -> None:
    wanted = reference.flipped_mean(lambda batch: engine.run(batch).maps, images)
    found = run_augmented(engine, images, "flips").maps
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    plain = run_augmented(engine, images, "none").maps
    np.testing.assert_array_equal(plain, engine.run(images).maps)
    assert np.abs(found - plain).max() > 0.01  # else either would do


@pytest.mark.parametrize("axis", [0, 1])
def test_under_flips_a_mirrored_image_has_mirrored_masks(
    segmenter: Segmenter, images: NDArray[np.uint8], axis: int
) -> None:
    """Up to float rounding, which may turn a pixel that lies at the threshold."""
    turned = segmenter(np.flip(images[0], axis).copy(), tta="flips")
    straight = segmenter(images[0], tta="flips")
    np.testing.assert_allclose(turned.scores, straight.scores, atol=1e-5)
    assert (np.flip(turned.masks, axis + 1) != straight.masks).mean() < 0.002
    plain = segmenter(np.flip(images[0], axis).copy(), tta="none")
    assert (np.flip(plain.masks, axis + 1) != segmenter(images[0]).masks).mean() > 0.05


def test_predictions_are_made_from_the_mean(
    segmenter: Segmenter, engine: OpenVINOEngine, images: NDArray[np.uint8]
) -> None:
    for item, maps in zip(
        segmenter.predict(images, tta="flips", batch_size=2),
        reference.flipped_mean(lambda batch: engine.run(batch).maps, images).astype(np.float32),
        strict=True,
    ):
        np.testing.assert_allclose(item.scores, presence_scores(maps), atol=1e-5)
        wanted = np.stack([rle.to_mask() for rle in decide(maps, (32, 48), Decision.plain(4))])
        assert (item.masks != wanted).mean() < 0.001


def test_every_batch_keeps_its_shape(engine: OpenVINOEngine, images: NDArray[np.uint8]) -> None:
    shapes = []

    class Recorder:
        name, batch_size, calls = "recorder", 3, 1

        def run(self, batch: NDArray[np.uint8], *, alone: bool = False) -> Output:
            assert batch.flags.c_contiguous
            shapes.append(batch.shape)
            return engine.run(batch)

    run_augmented(Recorder(), images, "flips")
    assert shapes == [images.shape] * 4


def test_thresholds_are_used_with_the_flips_that_they_were_chosen_with(
    segmenter: Segmenter, dataset: CloudDataset, tmp_path: Path
) -> None:
    plain = segmenter.evaluate(dataset, tta="flips")
    calibration = segmenter.calibrate(dataset, tta="flips")
    assert calibration.steps[0].dice == plain.dice
    assert segmenter.decision.tta == "flips"
    assert segmenter.evaluate(dataset).dice == calibration.steps[-1].dice

    segmenter.save(tmp_path / "flips.cloudseg")
    loaded = Segmenter.load(tmp_path / "flips.cloudseg")
    assert loaded.decision == segmenter.decision
    image = dataset[0].image
    for name in ("flips", "none"):
        assert loaded(image, tta=name).scores == next(segmenter.stream(image, tta=name)).scores
    assert loaded(image).scores == loaded(image, tta="flips").scores != loaded(image, tta="none").scores
    again = loaded.calibrate(dataset)  # as it was
    assert again.decision == calibration.decision
    assert loaded.calibrate(dataset, tta="none").decision.tta == "none"


def test_a_file_from_before_flips_has_none(segmenter: Segmenter) -> None:
    """The shipped model was saved before there was such a field."""
    assert Segmenter.load("clouds").decision.tta == "none"


def test_unknown_augmentations_are_refused_before_any_work(segmenter: Segmenter, dataset: CloudDataset) -> None:
    for call in (segmenter.calibrate, segmenter.evaluate):
        with pytest.raises(ConfigError, match=r'^tta must be "none" or "flips", got \'hflip\'$'):
            call(dataset, tta="hflip")  # type: ignore[arg-type]
