"""Options of a call: thresholds of its own, class maps, windows, and where the time went."""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import reference
from numpy.typing import NDArray

from cloudrle import encode_probabilities
from cloudseg_sdk import ConfigError, Decision, ImageError, ModelConfig, Segmenter
from cloudseg_sdk.bundle import read_bundle
from cloudseg_sdk.data.images import Image, stretch
from cloudseg_sdk.inference.engines import Engine, OpenVINOEngine, Output
from cloudseg_sdk.inference.options import Options, choose_options
from cloudseg_sdk.inference.pipeline import predict_images
from cloudseg_sdk.inference.postprocess import decide, presence_scores
from cloudseg_sdk.inference.prediction import Prediction
from cloudseg_sdk.inference.timing import Timing
from cloudseg_sdk.inference.windows import Windows, cover
from cloudseg_sdk.synthetic import CLASSES, scene

CONFIG = ModelConfig(input_size=(32, 48), filters=(4, 6, 8))  # maps of 16 x 24
PLAIN = Decision.plain(4)


@pytest.fixture(scope="module")
def segmenter(tiny_bundle: Path) -> Segmenter:
    return Segmenter.load(tiny_bundle)


@pytest.fixture(scope="module")
def engine(tiny_bundle: Path) -> OpenVINOEngine:
    graph = read_bundle(tiny_bundle).graph
    assert graph is not None
    return OpenVINOEngine(graph)


@pytest.fixture(scope="module")
def images() -> list[Image]:
    return [scene(seed, size).image for seed, size in enumerate([(64, 96), (70, 105), (97, 61)])]


def only_maps(engine: Engine, image: Image) -> NDArray[np.float32]:
    (output,) = engine.run(stretch(image, CONFIG.input_size)[np.newaxis]).images()
    return output.maps


# --- thresholds of one call ---


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (0.45, (0.45,) * 4),
        (1, (1,) * 4),
        ((0.1, 0.2, 0.3, 0.4), (0.1, 0.2, 0.3, 0.4)),
        ([0.1, 0.2, 0.3, 0], (0.1, 0.2, 0.3, 0)),
        (np.array([0.25, 0.5, 0.75, 1.0]), (0.25, 0.5, 0.75, 1.0)),
        (np.float32(0.25), (0.25,) * 4),
        (np.float64(0.45), (0.45,) * 4),
        (np.int64(1), (1,) * 4),
        (np.array(0.45), (0.45,) * 4),
        ([np.float32(0.25), np.array(0.5), np.int8(1), 0], (0.25, 0.5, 1, 0)),
        ({"Sugar": np.float32(0.25), "Fish": np.array(0.5)}, (0.5, 0.52, 0.53, 0.25)),
        ({"Sugar": 0.4, "Fish": 0.1}, (0.1, 0.52, 0.53, 0.4)),
        ({}, (0.51, 0.52, 0.53, 0.54)),
        (None, (0.51, 0.52, 0.53, 0.54)),
    ],
)
@pytest.mark.parametrize("name", ["presence", "threshold", "min_area"])
def test_a_call_may_have_thresholds_of_its_own(engine: OpenVINOEngine, name: Any, given: Any, wanted: Any) -> None:
    stored = (0.51, 0.52, 0.53, 0.54)
    decision = Decision(stored, stored, stored, tta="flips")
    options = choose_options({name: given}, CONFIG, decision, engine)  # type: ignore[misc]
    assert options.decision == replace(decision, **{name: wanted})
    assert {type(value) for value in getattr(options.decision, name)} <= {int, float}


def test_an_overlap_may_be_of_numpy(engine: OpenVINOEngine) -> None:
    options = choose_options({"window": (8, 8), "overlap": np.float32(0.5)}, CONFIG, PLAIN, engine)  # type: ignore[typeddict-item]
    assert options.windows == Windows((8, 8), 0.5)
    assert options.windows is not None
    assert type(options.windows.overlap) is float


def test_they_are_used_and_then_forgotten(segmenter: Segmenter, engine: OpenVINOEngine, images: list[Image]) -> None:
    maps = only_maps(engine, images[0])
    cuts = tuple(float(value) for value in np.quantile(maps, 0.4, axis=(0, 1)))
    scores = presence_scores(maps)
    before = segmenter(images[0])
    found = segmenter(
        images[0], threshold=cuts, presence={"Flower": float(scores[1]) + 1e-3}, min_area=dict.fromkeys(CLASSES, 0.01)
    )
    decision = Decision((0.0, float(scores[1]) + 1e-3, 0.0, 0.0), cuts, (0.01,) * 4)
    assert found.rles == decide(maps, (64, 96), decision)
    assert found.mask("Flower").sum() == 0 < found.mask("Fish").sum()
    assert found.rles != before.rles
    assert segmenter.decision == PLAIN
    assert segmenter(images[0]) == before


NAMES = "Fish, Flower, Gravel, Sugar"


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"threshold": {"Fisch": 0.5}}, ConfigError, f"threshold names the class 'Fisch'; this model has {NAMES}"),
        (
            {"presence": (0.5, 0.5)},
            ConfigError,
            f"presence must be one number, one for each of {NAMES}, or a mapping by class, got (0.5, 0.5)",
        ),
        (
            {"min_area": "half"},
            ConfigError,
            f"min_area must be one number, one for each of {NAMES}, or a mapping by class, got 'half'",
        ),
        (
            {"threshold": np.array([0.5, 0.25])},
            ConfigError,
            f"threshold must be one number, one for each of {NAMES}, or a mapping by class, got [0.5, 0.25]",
        ),
        (
            {"threshold": np.array(None)},
            ConfigError,
            f"threshold must be one number, one for each of {NAMES}, or a mapping by class, got None",
        ),
        (
            {"threshold": np.full((4, 1), 0.5)},
            ConfigError,
            "threshold must be a tuple of one number from 0 to 1 for each class, got ([0.5], [0.5], [0.5], [0.5])",
        ),
        (
            {"threshold": np.bool_(True)},
            ConfigError,
            "threshold must be a tuple of one number from 0 to 1 for each class, got (True, True, True, True)",
        ),
        (
            {"threshold": np.float32(1.5)},
            ConfigError,
            "threshold must be a tuple of one number from 0 to 1 for each class, got (1.5, 1.5, 1.5, 1.5)",
        ),
        (
            {"threshold": 1.5},
            ConfigError,
            "threshold must be a tuple of one number from 0 to 1 for each class, got (1.5, 1.5, 1.5, 1.5)",
        ),
        (
            {"min_area": {"Fish": None}},
            ConfigError,
            "min_area must be a tuple of one number from 0 to 1 for each class, got (None, 0.0, 0.0, 0.0)",
        ),
        (
            {"presence": True},
            ConfigError,
            "presence must be a tuple of one number from 0 to 1 for each class, got (True, True, True, True)",
        ),
        ({"treshold": 0.5}, TypeError, "no option 'treshold'; did you mean 'threshold'?"),
        ({"zzz": 0.5}, TypeError, "no option 'zzz'"),
        ({"probabilities": 1}, ValueError, "probabilities must be True or False, got 1"),
        (
            {"window": (0, 5)},
            ValueError,
            "window must be (height, width) of positive whole numbers or None, got (0, 5)",
        ),
        ({"window": 512}, ValueError, "window must be (height, width) of positive whole numbers or None, got 512"),
        ({"overlap": 0.5}, ValueError, "overlap is of windows; give window=(height, width) too"),
        *(
            (
                {"window": (5, 5), "overlap": value},
                ValueError,
                f"overlap must be a number from 0 to below 1, got {value!r}",
            )
            for value in (1, -0.1, True, "0.5", None, float("nan"))
        ),
    ],
)
def test_what_cannot_be_is_refused_before_any_image_is_read(
    segmenter: Segmenter, options: Any, error: type[Exception], words: str
) -> None:
    def never() -> Iterator[Image]:
        raise AssertionError("read")
        yield

    for call in (segmenter.predict, segmenter.stream):
        with pytest.raises(error) as caught:
            call(never(), **options)
        assert str(caught.value) == words
    with pytest.raises(error) as caught:
        segmenter("none.png", **options)
    assert str(caught.value) == words


def test_a_batch_that_nobody_chose_fits_the_engine_and_the_memory() -> None:
    engine = Brightness()  # four at a time
    assert choose_options({}, CONFIG, PLAIN, engine).batch_size == engine.batch_size
    assert choose_options({"batch_size": "auto"}, CONFIG, PLAIN, engine).batch_size == engine.batch_size
    assert choose_options({"batch_size": 100}, CONFIG, PLAIN, engine).batch_size == 100
    sizes = {(1024, 2048): 1, (1024, 1024): 2, (4096, 4096): 1}
    for size, batch in sizes.items():
        assert choose_options({}, replace(CONFIG, input_size=size), PLAIN, engine).batch_size == batch


# --- class maps ---


def test_class_maps_are_kept_where_asked_for(segmenter: Segmenter, engine: OpenVINOEngine, images: list[Image]) -> None:
    plain = segmenter(images[1])
    assert plain.probabilities is None
    for size in (None, (20, 30)):
        found = segmenter(images[1], probabilities=True, output_size=size)
        maps = found.probabilities
        assert maps is not None
        np.testing.assert_array_equal(maps, np.rint(only_maps(engine, images[1]) * 255))
        assert maps.dtype == np.uint8
        assert not maps.flags.writeable
        assert found.shape is not None
        (rles,) = encode_probabilities(maps[np.newaxis], threshold=0.5, size=found.shape)
        for rle, wanted in zip(rles, found.rles, strict=True):  # what rounding to 8 bits changes
            assert rle.iou(wanted) > 0.9
        copy = pickle.loads(pickle.dumps(found)).probabilities
        np.testing.assert_array_equal(copy, maps)
    assert segmenter(images[1], probabilities=True) == plain
    (failed,) = segmenter.predict(["none.png"], probabilities=True)
    assert failed.probabilities is None


# --- windows ---

LAYOUTS = [
    ((97, 131), (40, 60), 0.25),
    ((200, 90), (64, 96), 0.5),
    ((64, 300), (64, 96), 0.0),
    ((33, 50), (32, 48), 0.9),
    ((12, 15), (5, 7), 0.25),  # windows smaller than the network's input
    ((3, 4), (1, 1), 0.25),
]


@pytest.mark.parametrize(("shape", "window", "overlap"), LAYOUTS)
def test_windows_are_blended_as_defined(
    segmenter: Segmenter, engine: OpenVINOEngine, shape: Any, window: Any, overlap: float
) -> None:
    image = np.random.default_rng(5).integers(0, 256, (*shape, 3), np.uint8)
    maps, parts = reference.blended(lambda part: only_maps(engine, part), image, window, overlap, (16, 24))
    wanted = np.stack([rle.to_mask() for rle in decide(maps.astype(np.float32), shape, PLAIN)])
    for batch_size in (1, 3):
        found = segmenter(image, window=window, overlap=overlap, probabilities=True, batch_size=batch_size)
        assert found.probabilities is not None
        assert found.probabilities.shape == maps.shape
        assert np.abs(found.probabilities - maps * 255).max() < 0.51
        np.testing.assert_allclose(found.scores, np.max([presence_scores(part) for part in parts], axis=0), atol=1e-5)
        assert found.shape == shape
        assert (wanted != found.masks).mean() < 0.002
    assert len(parts) > 1


@pytest.mark.parametrize("window", [(64, 96), (64, 1000), (65, 97), (10**9, 10**9)])
@pytest.mark.parametrize("tta", ["none", "flips"])
def test_one_window_over_all_is_the_plain_prediction(
    segmenter: Segmenter, images: list[Image], window: tuple[int, int], tta: Any
) -> None:
    plain = segmenter(images[0], tta=tta, probabilities=True, batch_size=1, min_area=0.01)
    found = segmenter(images[0], tta=tta, probabilities=True, batch_size=1, min_area=0.01, window=window)
    assert found == plain
    np.testing.assert_array_equal(found.probabilities, plain.probabilities)


class Brightness:
    """An engine that sees each cell by itself: the class maps are its mean red, green, blue and red again."""

    name, batch_size, calls = "brightness", 4, 2

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def run(self, images: NDArray[np.uint8], *, alone: bool = False) -> Output:
        self.shapes.append(images.shape)
        height, width = images.shape[1:3]
        cells = images.reshape(-1, height // 2, 2, width // 2, 2, 3).mean(axis=(2, 4)) / 255
        return Output(cells[..., [0, 1, 2, 0]].astype(np.float32))


def windowed(images: Any, size: tuple[int, int], overlap: float = 0.25, **decision: Any) -> list[Prediction]:
    options = Options(replace(PLAIN, **decision), 4, probabilities=True, windows=Windows(size, overlap))
    return list(predict_images(images, Brightness(), CONFIG, options))


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.6])
def test_no_seams(overlap: float) -> None:
    """Where windows say the same of a cell, so does the whole; at the training's scale they do."""
    image = np.random.default_rng(0).integers(0, 256, (320, 432, 3), np.uint8)
    (found,) = windowed([image], (64, 96), overlap)  # half the network's scale: cells of 4 x 4
    cells = image.reshape(80, 4, 108, 4, 3).mean(axis=(1, 3))
    assert found.probabilities is not None
    assert found.probabilities.shape == (80, 108, 4)
    assert (
        np.abs(found.probabilities[..., :3].astype(float) - cells).max() < 1.6
    )  # stretching rounds, and so does uint8


def test_every_batch_of_windows_has_one_shape() -> None:
    engine = Brightness()
    images = [np.zeros((size, 200, 3), np.uint8) for size in (32, 100, 200)]
    options = Options(PLAIN, 4, windows=Windows((32, 48), 0.25))
    assert len(list(predict_images(images, engine, CONFIG, options))) == 3
    assert set(engine.shapes) == {(4, 32, 48, 3)}


def test_a_class_is_as_present_as_in_its_best_window() -> None:
    image = np.zeros((64, 960, 3), np.uint8)
    image[:, 480:576, 1] = 250  # a tenth of the scene, in the green
    (found,) = windowed([image], (64, 96), 0.5)
    assert found.scores[1] > 0.9
    assert found.scores[0] == 0
    gated = windowed([image], (64, 96), 0.5, presence=(0.0, 0.9, 0.0, 0.0))[0]
    assert gated.mask("Flower").sum() == found.mask("Flower").sum() > 0
    (none,) = windowed([image], (64, 96), 0.5, presence=(0.0, 0.99, 0.0, 0.0))
    assert none.mask("Flower").sum() == 0


def test_least_areas_are_of_a_window() -> None:
    image = np.zeros((320, 480, 3), np.uint8)
    image[160:192, 240:288] = 255  # a quarter of a window, a hundredth of the scene
    area = windowed([image], (64, 96))[0].mask("Fish").sum() / (64 * 96)
    assert 0.2 < area < 0.3
    for least, kept in ((area - 1e-3, True), (area + 1e-3, False)):
        assert (windowed([image], (64, 96), min_area=(least,) * 4)[0].mask("Fish").sum() > 0) == kept
    assert Windows((64, 96), 0.5).area_share((320, 480)) == pytest.approx(0.04)
    assert Windows((64, 96), 0.5).area_share((32, 960)) == pytest.approx(0.1)


def test_scenes_that_cannot_be_read_have_errors_too(segmenter: Segmenter, images: list[Image]) -> None:
    found = segmenter.predict([images[0], "none.png", images[1]], window=(32, 48))
    assert [item.error is None for item in found] == [True, False, True]
    assert [item.shape for item in found] == [(64, 96), None, (70, 105)]
    with pytest.raises(ImageError, match="No such file"):
        segmenter.predict([images[0], "none.png"], window=(32, 48), on_error="raise")


@pytest.mark.parametrize("length", [1, 2, 7, 48, 49, 100, 10_000])
@pytest.mark.parametrize("window", [1, 2, 5, 48, 60, 2100])
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.9])
def test_windows_cover_everything(length: int, window: int, overlap: float) -> None:
    if length / window > 500:
        pytest.skip("thousands of windows")
    tiles = cover((length, 10), Windows((window, 10), overlap), (24, 24))
    assert len(tiles) == len(tiles.rows)
    seen = np.zeros(length, int)
    weights = np.zeros(tiles.size[0])
    covered = min(window, length)
    for span in tiles.rows:
        assert span.pixels.start < span.pixels.stop
        # A whole number of cells covers the scene, so one of them may be off by half of it.
        assert abs(span.pixels.stop - span.pixels.start - covered) <= 1 + covered / tiles.size[0]
        seen[span.pixels] += 1
        weights[span.cells] += span.weights
    assert seen.min() >= 1
    np.testing.assert_allclose(weights, 1, rtol=1e-6)


# --- timing ---


class Slow(Brightness):
    """The same, asleep for a while."""

    def run(self, images: NDArray[np.uint8], *, alone: bool = False) -> Output:
        time.sleep(0.03)
        return super().run(images)


@pytest.mark.parametrize("windows", [None, Windows((64, 96), 0.25)])
def test_each_stage_has_its_seconds(windows: Windows | None, images: list[Image], tmp_path: Path) -> None:
    path = tmp_path / "0.png"
    cv2.imwrite(str(path), images[0])
    options = Options(PLAIN, 2, windows=windows)
    found = list(predict_images([path, "none.png", path, path], Slow(), CONFIG, options))
    for item in (found[0], found[2], found[3]):
        assert item.timing.images == 1
        assert min(item.timing.read, item.timing.stretch, item.timing.decide) > 0
    calls = {0: 1.0, 2: 0.5, 3: 0.5} if windows is None else {0: 1.0, 2: 1.0, 3: 1.0}
    for number, share in calls.items():  # of a call, alone in its batch or not
        assert found[number].timing.engine >= 0.03 * share
    assert found[1].timing.read > 0
    assert replace(found[1].timing, read=0.0) == Timing(images=1)


def test_the_whole_is_the_sum(segmenter: Segmenter, images: list[Image]) -> None:
    predictions = segmenter.predict([*images, "none.png"])
    assert predictions.timing.images == 4
    for stage in ("read", "stretch", "engine", "decide"):
        each = [getattr(item.timing, stage) for item in predictions]
        assert getattr(predictions.timing, stage) == pytest.approx(sum(each))
    assert predictions[:1].timing == predictions[0].timing
    assert predictions[:0].timing == Timing()
