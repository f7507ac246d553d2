"""Prediction: as many results as images, in their order, whatever the images are and however they are given."""

import csv
import dataclasses
import itertools
import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import reference
from numpy.typing import NDArray

from cloudrle import RLE
from cloudseg_sdk import CloudsegError, DataError, Decision, ImageError, ModelConfig, Prediction, Predictions, Segmenter
from cloudseg_sdk.bundle import read_bundle
from cloudseg_sdk.data.headers import SUFFIXES
from cloudseg_sdk.data.images import Image
from cloudseg_sdk.inference.engines import Engine, OpenVINOEngine, Output
from cloudseg_sdk.inference.options import OnError, Options
from cloudseg_sdk.inference.pipeline import predict_groups, predict_images
from cloudseg_sdk.inference.postprocess import decide, presence_scores
from cloudseg_sdk.synthetic import CLASSES, scene

KINDS = "a path, the bytes of an image file, a binary file object, a PIL image or a uint8 array (H, W) or (H, W, 3)"
SIZES = [(64, 96), (32, 48), (97, 61), (70, 105), (40, 200)]


@pytest.fixture(scope="module")
def images() -> list[Image]:
    """Five scenes of five sizes, the network's own among them."""
    return [scene(seed, size).image for seed, size in enumerate(SIZES)]


@pytest.fixture(scope="module")
def files(images: list[Image], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The same scenes in a folder, as PNG."""
    folder = tmp_path_factory.mktemp("scenes")
    for number, image in enumerate(images):
        cv2.imwrite(str(folder / f"{number}.png"), image[:, :, ::-1])
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def segmenter(tiny_bundle: Path) -> Segmenter:
    return Segmenter.load(tiny_bundle)


@pytest.fixture(scope="module")
def expected(segmenter: Segmenter, images: list[Image]) -> list[Prediction]:
    """What each image gives by itself."""
    return [segmenter(image) for image in images]


def assert_alike(found: Iterable[Prediction], wanted: Iterable[Prediction]) -> None:
    """Compare everything but the sources; an engine may round otherwise in a batch of another size."""
    for item, other in zip(found, wanted, strict=True):
        assert (item.classes, item.shape, item.error) == (other.classes, other.shape, other.error)
        np.testing.assert_allclose(item.scores, other.scores, atol=1e-5)
        assert (item.masks != other.masks).mean() < 0.001


def pipeline_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("cloudseg")]


# --- what may be given ---


def test_one_image_gives_one_prediction(segmenter: Segmenter, expected: list[Prediction], files: list[Path]) -> None:
    for path, wanted in zip(files, expected, strict=True):
        prediction = segmenter(path)
        assert_alike([prediction], [wanted])
        assert prediction.source == str(path)
        assert prediction.classes == CLASSES
        assert len(prediction.rles) == len(prediction.scores) == 4
        assert all(0 <= score <= 1 for score in prediction.scores)
    assert len({wanted.shape for wanted in expected}) == 5  # so a wrong order shows
    assert all(0.05 < wanted.masks.mean() < 0.95 for wanted in expected)  # neither empty nor full


@pytest.mark.parametrize(
    "kind",
    [list, tuple, iter, lambda items: (item for item in items), pd.Series, lambda items: list(map(str, items))],
    ids=["list", "tuple", "iterator", "generator", "series", "strings"],
)
def test_many_files_in_their_order(
    segmenter: Segmenter, expected: list[Prediction], files: list[Path], kind: Callable[[list[Path]], Any]
) -> None:
    order = [3, 0, 4, 1, 2, 0]  # the same one may come twice
    predictions = segmenter.predict(kind([files[i] for i in order]))
    assert isinstance(predictions, Predictions)
    assert [item.source for item in predictions] == [str(files[i]) for i in order]
    assert_alike(predictions, [expected[i] for i in order])


def test_a_folder_by_name(segmenter: Segmenter, expected: list[Prediction], files: list[Path]) -> None:
    for folder in (files[0].parent, str(files[0].parent)):
        predictions = segmenter.predict(folder)
        assert [item.source for item in predictions] == [str(path) for path in files]
        assert_alike(predictions, expected)


def test_a_single_file(segmenter: Segmenter, expected: list[Prediction], files: list[Path]) -> None:
    for path in (files[2], str(files[2])):
        predictions = segmenter.predict(path)
        assert [item.source for item in predictions] == [str(path)]
        assert_alike(predictions, expected[2:3])


def test_arrays_and_files_mixed(
    segmenter: Segmenter, expected: list[Prediction], files: list[Path], images: list[Image]
) -> None:
    predictions = segmenter.predict([images[0], files[1], str(files[2]), images[3]])
    assert [item.source for item in predictions] == ["array 0", str(files[1]), str(files[2]), "array 3"]
    assert_alike(predictions, expected[:4])


def test_an_array_and_a_stack_of_arrays(segmenter: Segmenter, images: list[Image], expected: list[Prediction]) -> None:
    predictions = segmenter.predict(images[0])
    assert [item.source for item in predictions] == ["array 0"]
    assert_alike(predictions, expected[:1])
    stack = np.stack([images[0], images[0][::-1], images[0]])
    predictions = segmenter.predict(stack)
    assert [item.source for item in predictions] == ["array 0", "array 1", "array 2"]
    assert_alike(predictions, [segmenter(image) for image in stack])
    grey = segmenter.predict(images[0][:, :, 0])
    assert_alike(grey, [segmenter(images[0][:, :, [0, 0, 0]])])


@pytest.mark.parametrize("nothing", [[], (), iter(()), np.empty((0, 32, 48, 3), np.uint8)])
def test_no_images_give_no_predictions(segmenter: Segmenter, nothing: Any) -> None:
    predictions = segmenter.predict(nothing)
    assert len(predictions) == 0
    assert list(predictions) == []
    assert predictions.to_frame().empty


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (None, f"images must be {KINDS}, or many of them, got NoneType"),
        (5, f"images must be {KINDS}, or many of them, got int"),
        ({"a": "b"}, f"images must be {KINDS}, or many of them, got dict"),
        (pd.DataFrame({"path": []}), "images is a DataFrame, wanted one of its columns, such as table['path']"),
    ],
)
def test_what_is_no_image_is_a_type_error(segmenter: Segmenter, bad: Any, words: str) -> None:
    with pytest.raises(TypeError) as caught:
        segmenter.predict(bad)
    assert str(caught.value) == words
    assert pipeline_threads() == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        *(
            (
                {"output_size": size},
                f"output_size must be (height, width) of positive whole numbers or None, got {size!r}",
            )
            for size in ((0, 5), (5, -1), (5,), (5, 5, 5), (5.0, 5), [350, 525], 350, "ab", (True, 5))
        ),
        *(
            ({"batch_size": n}, f'batch_size must be a whole number of at least 1 or "auto", got {n!r}')
            for n in (0, -1, 2.0, True, "many")
        ),
        ({"on_error": "ignore"}, 'on_error must be "record" or "raise", got \'ignore\''),
        *(({"tta": tta}, f'tta must be "none" or "flips", got {tta!r}') for tta in ("flip", "", True, 4, ["flips"])),
    ],
)
def test_bad_options_are_refused_at_once(segmenter: Segmenter, options: Any, words: str) -> None:
    for method in (segmenter.predict, segmenter.stream):
        with pytest.raises(ValueError, match="must be") as caught:
            method([], **options)
        assert str(caught.value) == words


# --- lazy, bounded, and clean ---


def test_a_generator_is_read_lazily_and_only_a_bounded_number_ahead(segmenter: Segmenter, images: list[Image]) -> None:
    taken = 0

    def endless() -> Iterator[Image]:
        nonlocal taken
        while True:
            taken += 1
            yield images[taken % 5]

    stream = segmenter.stream(endless(), batch_size=2)
    assert taken == 0
    for yielded, _ in enumerate(itertools.islice(stream, 40), start=1):
        assert yielded <= taken <= yielded + 10  # five batches
    stream.close()


def test_an_abandoned_stream_leaves_no_threads(segmenter: Segmenter, files: list[Path]) -> None:
    stream = segmenter.stream(itertools.cycle(files), batch_size=2)
    next(stream)
    assert pipeline_threads()
    del stream
    assert pipeline_threads() == []
    for _ in segmenter.stream(itertools.cycle(files), batch_size=2):
        break
    assert pipeline_threads() == []
    list(segmenter.stream(files))
    assert pipeline_threads() == []


def test_an_error_in_the_callers_generator_reaches_the_caller(segmenter: Segmenter, images: list[Image]) -> None:
    def broken() -> Iterator[Image]:
        yield from images
        raise RuntimeError("the camera is gone")

    with pytest.raises(RuntimeError, match=r"^the camera is gone$"):
        segmenter.predict(broken())
    assert pipeline_threads() == []


def test_two_streams_of_one_segmenter_do_not_mix(
    segmenter: Segmenter, files: list[Path], expected: list[Prediction]
) -> None:
    one, other = segmenter.stream(files, batch_size=2), segmenter.stream(files[::-1], batch_size=3)
    pairs = list(zip(one, other, strict=True))
    assert_alike([pair[0] for pair in pairs], expected)
    assert_alike([pair[1] for pair in pairs], expected[::-1])


@pytest.mark.parametrize("engine", ["openvino", "keras"])
def test_eight_threads_share_one_segmenter(
    tiny_bundle: Path, files: list[Path], expected: list[Prediction], engine: Any
) -> None:
    shared = Segmenter.load(tiny_bundle, engine=engine)  # fresh: its engine is made by whichever thread is first
    barrier = threading.Barrier(8)

    def predict(number: int) -> list[Prediction]:
        barrier.wait()
        order = files[number % 5 :] + files[: number % 5]
        return list(shared.predict(order, batch_size=1 + number % 3))

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(predict, range(8)))
    alone = expected if engine == "openvino" else list(shared.predict(files))
    for number, predictions in enumerate(found):
        wanted = alone[number % 5 :] + alone[: number % 5]
        assert [item.source for item in predictions] == [
            str(path) for path in files[number % 5 :] + files[: number % 5]
        ]
        assert_alike(predictions, wanted)


def test_threads_that_come_first_together_share_one_engine(tiny_bundle: Path) -> None:
    # Each Keras engine has a lock of its own; two of them would run one network at the same time.
    shared = Segmenter.load(tiny_bundle, engine="keras")
    barrier = threading.Barrier(8)

    def engine(_: int) -> Engine:
        barrier.wait()
        return shared._running_engine()

    with ThreadPoolExecutor(8) as pool:
        assert len({id(engine) for engine in list(pool.map(engine, range(8)))}) == 1


def test_a_generator_may_reuse_one_buffer(tiny_bundle: Path) -> None:
    segmenter = Segmenter.load(tiny_bundle)
    frames = np.random.default_rng(3).integers(0, 256, (20, 32, 48, 3), np.uint8)
    buffer = np.empty((32, 48, 3), np.uint8)

    def camera() -> Iterator[NDArray[np.uint8]]:
        for frame in frames:
            buffer[:] = frame
            yield buffer

    assert_alike(segmenter.predict(camera(), batch_size=4), segmenter.predict(list(frames), batch_size=4))


# --- unreadable images ---


@pytest.fixture
def bad_files(files: list[Path], tmp_path: Path) -> list[Path]:
    """Files 1 and 3 of six cannot be read."""
    (tmp_path / "text.png").write_text("no image")
    return [files[0], tmp_path / "missing.png", files[1], tmp_path / "text.png", files[2], files[3]]


@pytest.mark.parametrize("batch_size", [1, 2, 4, 8])
def test_unreadable_images_are_recorded_in_their_place(
    segmenter: Segmenter, bad_files: list[Path], expected: list[Prediction], batch_size: int
) -> None:
    predictions = segmenter.predict(bad_files, batch_size=batch_size)
    assert [item.source for item in predictions] == [str(path) for path in bad_files]
    assert_alike([predictions[i] for i in (0, 2, 4, 5)], expected[:4])
    assert [item.error for item in predictions.errors] == [
        f"cannot read {bad_files[1]}: No such file or directory",
        f"{bad_files[3]} is damaged or not an image (8 bytes); "
        "wanted one of .bmp, .jpeg, .jpg, .png, .tif, .tiff, .webp",
    ]
    assert [predictions[i] for i in (1, 3)] == list(predictions.errors)


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (
            np.zeros((4, 6, 3)),
            "must be uint8 with values 0 to 255, got float64; for values from 0 to 1: "
            "np.rint(255 * image).astype(np.uint8)",
        ),
        (np.zeros((4, 6, 4), np.uint8), "not empty, got shape (4, 6, 4); without alpha: image[:, :, :3]"),
        (np.array(5, np.uint8), "(H, W, 3) and not empty, got shape ()"),
        (np.zeros((1, 2, 4, 6, 3), np.uint8), "(H, W, 3) and not empty, got shape (1, 2, 4, 6, 3)"),
        (None, f"images[0] must be {KINDS}, got NoneType"),
        ([], f"images[0] must be {KINDS}, got list"),
        (b"scene", "bytes 0 is damaged or not an image (5 bytes); wanted one of " + ", ".join(SUFFIXES)),
        ("", "images[0] is an empty path, ''; wanted an image file"),
        (".", "cannot read .: Is a directory"),
        ("a\0.png", "cannot read a\0.png: embedded null byte"),
    ],
)
def test_an_unreadable_image_is_recorded_or_raised(segmenter: Segmenter, bad: Any, error: str) -> None:
    images = bad if isinstance(bad, np.ndarray) else [bad]
    (prediction,) = segmenter.predict(images)
    assert prediction.error is not None
    assert prediction.error.endswith(error)
    with pytest.raises(ImageError) as caught:
        segmenter.predict(images, on_error="raise")
    assert str(caught.value) == prediction.error
    with pytest.raises(ImageError) as caught:
        segmenter(bad)
    assert str(caught.value) == prediction.error
    assert pipeline_threads() == []


def test_a_single_call_takes_one_image_only(segmenter: Segmenter, files: list[Path]) -> None:
    with pytest.raises(ImageError, match="Is a directory"):
        segmenter(files[0].parent)
    with pytest.raises(ImageError, match=r"^images\[0\] must be a path, "):
        segmenter(files)  # type: ignore[arg-type]


def test_a_folder_without_images_raises_either_way(segmenter: Segmenter, tmp_path: Path) -> None:
    modes: tuple[OnError, ...] = ("record", "raise")
    for on_error in modes:
        with pytest.raises(ImageError, match=r"^no images in "):
            segmenter.predict(tmp_path, on_error=on_error)


def test_a_failed_prediction_says_why_it_has_no_masks(segmenter: Segmenter, files: list[Path]) -> None:
    (failed,) = segmenter.predict(["none.png"])
    assert failed == Prediction("none.png", CLASSES, error="cannot read none.png: No such file or directory")
    words = "^none.png has no masks: cannot read none.png: No such file or directory$"
    uses: list[Callable[[], object]] = [
        lambda: failed.masks,
        lambda: failed.mask("Fish"),
        lambda: failed.overlay(files[0]),
    ]
    for use in uses:
        with pytest.raises(CloudsegError, match=words):
            use()
    assert failed.to_dict() == {"source": "none.png", "error": failed.error, "shape": None, "masks": {}}


# --- sizes and batches ---


@pytest.mark.parametrize("size", [(350, 525), (1, 1), (7, 300), (32, 48)])
def test_masks_have_the_size_asked_for(segmenter: Segmenter, images: list[Image], size: tuple[int, int]) -> None:
    for prediction in segmenter.predict(images[:2], output_size=size):
        assert prediction.shape == size
        assert prediction.masks.shape == (4, *size)
        assert {rle.shape for rle in prediction.rles} == {size}


def test_masks_have_the_images_size_otherwise(segmenter: Segmenter, images: list[Image]) -> None:
    for image, prediction in zip(images, segmenter.predict(images), strict=True):
        assert prediction.shape == image.shape[:2]
        assert prediction.masks.shape == (4, *image.shape[:2])
        assert prediction.masks.dtype == np.uint8
        np.testing.assert_array_equal(prediction.mask("Gravel"), prediction.masks[2])


@pytest.mark.parametrize("batch_size", [1, 2, 3, 5, 8])
def test_the_batch_size_changes_nothing(
    segmenter: Segmenter, files: list[Path], expected: list[Prediction], batch_size: int
) -> None:
    found = segmenter.predict(files, batch_size=batch_size)
    assert_alike(found, expected)


class Recorder:
    """An engine that writes down the shape of every batch that it passes on, and the thread that brought it."""

    def __init__(self, engine: Engine) -> None:
        self.name, self.batch_size, self.calls = engine.name, engine.batch_size, 1
        self._engine = engine
        self.shapes: list[tuple[int, ...]] = []
        self.threads: set[threading.Thread] = set()

    def run(self, images: NDArray[np.uint8], *, alone: bool = False) -> Output:
        self.shapes.append(images.shape)
        self.threads.add(threading.current_thread())
        return self._engine.run(images, alone=alone)


@pytest.fixture(scope="module")
def engine(tiny_bundle: Path) -> OpenVINOEngine:
    graph = read_bundle(tiny_bundle).graph
    assert graph is not None
    return OpenVINOEngine(graph)


@pytest.mark.parametrize(
    ("pattern", "sizes"),
    [("+++++", [3, 3]), ("-++++", [3, 3]), ("--++++-+", [3, 3, 3]), ("+++---+", [3, 3]), ("++", [2]), ("--", [])],
)
def test_every_batch_has_one_shape(engine: OpenVINOEngine, images: list[Image], pattern: str, sizes: list[int]) -> None:
    recorder = Recorder(engine)
    given = [images[number % 5] if sign == "+" else "none.png" for number, sign in enumerate(pattern)]
    config = ModelConfig(input_size=(32, 48), filters=(4, 6, 8))
    found = list(predict_images(given, recorder, config, Options(Decision.plain(4), 3)))
    assert [item.error is None for item in found] == [sign == "+" for sign in pattern]
    assert recorder.shapes == [(size, 32, 48, 3) for size in sizes]


def test_groups_share_threads_and_no_batch(engine: OpenVINOEngine, images: list[Image]) -> None:
    recorder = Recorder(engine)
    config = ModelConfig(input_size=(32, 48), filters=(4, 6, 8))
    groups = predict_groups([images[:5], images[:2], images[:4]], recorder, config, Options(Decision.plain(4), 3))
    assert [len(list(group)) for group in groups] == [5, 2, 4]
    assert [shape[0] for shape in recorder.shapes] == [3, 3, 2, 3, 3]
    assert len(recorder.threads) == 1
    assert not any(thread.is_alive() for thread in recorder.threads)


def test_padding_a_batch_changes_nothing(engine: OpenVINOEngine) -> None:
    batch = np.random.default_rng(0).integers(0, 256, (3, 32, 48, 3), np.uint8)
    padded = np.concatenate([batch, np.zeros((5, 32, 48, 3), np.uint8)])
    np.testing.assert_allclose(engine.run(padded).maps[:3], engine.run(batch).maps, atol=1e-6)


def test_results_of_an_engine_are_the_callers_own(engine: OpenVINOEngine) -> None:
    batch = np.random.default_rng(0).integers(0, 256, (2, 32, 48, 3), np.uint8)
    first = engine.run(batch).maps
    copy = first.copy()
    engine.run(255 - batch)
    np.testing.assert_array_equal(first, copy)


def test_the_engines_agree(tiny_bundle: Path, files: list[Path], expected: list[Prediction]) -> None:
    other = Segmenter.load(tiny_bundle, engine="keras")
    assert other.engine == "keras"
    batch = np.stack([cv2.resize(scene(seed, (32, 48)).image, (48, 32)) for seed in range(4)]).astype(np.uint8)
    graph = read_bundle(tiny_bundle).graph
    assert graph is not None
    from cloudseg_sdk.models.serving import serving_model

    maps = np.asarray(serving_model(other.model, other.config).predict_on_batch(batch))
    assert maps.shape == (4, 16, 24, 4)
    assert np.abs(OpenVINOEngine(graph).run(batch).maps - maps).max() < 1e-4
    for item, wanted in zip(other.predict(files), expected, strict=True):
        np.testing.assert_allclose(item.scores, wanted.scores, atol=1e-4)
        assert (item.masks != wanted.masks).mean() < 0.002


# --- from maps to masks ---


def test_presence_is_the_mean_of_the_highest_pixels() -> None:
    maps = np.random.default_rng(0).random((20, 30, 3), np.float32)
    top = np.sort(maps.reshape(-1, 3), axis=0)[-57:]  # 9.5% of 600
    np.testing.assert_allclose(presence_scores(maps), top.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(presence_scores(maps[:1, :1]), maps[0, 0])


def test_each_step_of_a_decision() -> None:
    maps = np.zeros((10, 10, 2), np.float32)
    maps[1:4, 1:4], maps[7, 7], maps[8, 8] = 0.6, 0.6, 0.6  # 9 pixels, and 2 that touch at a corner
    scores = presence_scores(maps)

    def area(**changes: Any) -> list[int]:
        decision = dataclasses.replace(Decision.plain(2), **changes)
        return [rle.area for rle in decide(maps, (10, 10), decision)]

    assert area() == [11, 11]
    assert area(threshold=(0.6, 0.61)) == [11, 0] or float(np.float32(0.6)) < 0.6
    assert area(presence=(float(scores[0]), 0.99)) == [11, 0]
    assert area(min_area=(0.02, 0.021)) == [11, 9]
    assert area(min_area=(0.09, 0.1)) == [9, 0]
    assert area(threshold=(0.0, 0.0)) == [100, 100]


# --- predictions ---

EMPTY = RLE.from_kaggle("", (350, 525))
SUBMITTED = Prediction(
    "dir/a.jpg", ("A", "B"), (350, 525), (RLE.from_kaggle("1 3 10 5", (350, 525)), EMPTY), (0.75, 0.5)
)


def test_a_prediction_is_frozen_and_picklable(expected: list[Prediction]) -> None:
    for prediction in (*expected, SUBMITTED, Prediction("x", ("A",), error="no")):
        copy = pickle.loads(pickle.dumps(prediction))
        assert copy == prediction
        assert hash(copy) == hash(prediction)
    with pytest.raises(dataclasses.FrozenInstanceError):
        SUBMITTED.source = "b.jpg"  # type: ignore[misc]
    assert len(pickle.dumps(SUBMITTED)) < 2000  # no image inside


def test_an_unknown_class_is_named() -> None:
    with pytest.raises(KeyError, match=r"no class 'C'; this model has A, B"):
        SUBMITTED.mask("C")


def test_a_dict_is_ready_for_json() -> None:
    assert json.loads(json.dumps(SUBMITTED.to_dict())) == {
        "source": "dir/a.jpg",
        "error": None,
        "shape": [350, 525],
        "masks": {
            "A": {"score": 0.75, "area": 8, "rle": "1 3 10 5"},
            "B": {"score": 0.5, "area": 0, "rle": ""},
        },
    }


def test_predictions_are_a_sequence(expected: list[Prediction]) -> None:
    predictions = Predictions(tuple(expected))
    assert predictions[1:3] == Predictions((expected[1], expected[2]))
    assert predictions[-1] == expected[-1]
    assert expected[2] in predictions
    with pytest.raises(IndexError):
        predictions[5]


def test_a_csv_byte_for_byte(tmp_path: Path) -> None:
    predictions = Predictions(
        (
            dataclasses.replace(SUBMITTED, source='a,"b".jpg'),
            Prediction("none.jpg", ("A", "B"), error="cannot read none.jpg: No such file or directory"),
        )
    )
    predictions.to_csv(tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_bytes() == (
        b"source,class,score,area,height,width,rle,error\n"
        b'"a,""b"".jpg",A,0.75,8,350,525,1 3 10 5,\n'
        b'"a,""b"".jpg",B,0.5,0,350,525,,\n'
        b"none.jpg,,,,,,,cannot read none.jpg: No such file or directory\n"
    )
    Predictions(()).to_csv(str(tmp_path / "out.csv"))
    assert (tmp_path / "out.csv").read_bytes() == b"source,class,score,area,height,width,rle,error\n"
    assert list(tmp_path.iterdir()) == [tmp_path / "out.csv"]


def test_a_submission_byte_for_byte(tmp_path: Path) -> None:
    other = dataclasses.replace(SUBMITTED, source="b,c.jpg", rles=(EMPTY, SUBMITTED.rles[0]))
    Predictions((other, SUBMITTED)).to_submission(tmp_path / "new" / "submission.csv")
    assert (tmp_path / "new" / "submission.csv").read_bytes() == (
        b'Image_Label,EncodedPixels\n"b,c.jpg_A",\n"b,c.jpg_B",1 3 10 5\na.jpg_A,1 3 10 5\na.jpg_B,\n'
    )


@pytest.mark.parametrize("name", ["b\rc.jpg", "b\nc.jpg", "b\r\nc.jpg", "b\r", '"\r",\n"'])
def test_names_with_line_ends_are_one_cell(tmp_path: Path, name: str) -> None:
    failed = Prediction(f"x{name}", ("A", "B"), error=f"cannot read x{name}")
    Predictions((dataclasses.replace(SUBMITTED, source=name), failed)).to_csv(tmp_path / "out.csv")
    Predictions((dataclasses.replace(SUBMITTED, source=name),)).to_submission(tmp_path / "submission.csv")
    for file, wanted in {
        "out.csv": {"source": [name, name, f"x{name}"], "error": ["", "", f"cannot read x{name}"]},
        "submission.csv": {"Image_Label": [f"{name}_A", f"{name}_B"], "EncodedPixels": ["1 3 10 5", ""]},
    }.items():
        table = pd.read_csv(tmp_path / file, keep_default_na=False)
        with (tmp_path / file).open(newline="") as opened:
            rows = list(csv.DictReader(opened))
        for column, cells in wanted.items():
            assert table[column].tolist() == cells
            assert [row[column] for row in rows] == cells


def test_a_submission_keeps_the_order_of_the_sample(tmp_path: Path) -> None:
    sample = tmp_path / "sample.csv"
    sample.write_text("Image_Label,EncodedPixels\nb.jpg_B,1 1\na.jpg_B,1 1\nb.jpg_A,1 1\na.jpg_A,1 1\n")
    other = dataclasses.replace(SUBMITTED, source="b.jpg")
    Predictions((SUBMITTED, other)).to_submission(tmp_path / "submission.csv", sample)
    assert (tmp_path / "submission.csv").read_text() == (
        "Image_Label,EncodedPixels\nb.jpg_B,\na.jpg_B,\nb.jpg_A,1 3 10 5\na.jpg_A,1 3 10 5\n"
    )


HEADER = "Image_Label,EncodedPixels\n"


@pytest.mark.parametrize(
    ("sample", "words"),
    [
        (
            HEADER + "a.jpg_A,1 1\na.jpg_B,1 1\nb.jpg_A,1 1\n",
            "{sample} has 3 rows, predicted are 2; not predicted ['b.jpg_A'], not in the sample none",
        ),
        (
            HEADER + "a.jpg_A,1 1\n",
            "{sample} has 1 rows, predicted are 2; not predicted none, not in the sample ['a.jpg_B']",
        ),
        (
            HEADER + "a.jpg_A,1 1\nb.jpg_B,1 1\n",
            "{sample} has 2 rows, predicted are 2; not predicted ['b.jpg_B'], not in the sample ['a.jpg_B']",
        ),
        (HEADER, "{sample} has 0 rows, predicted are 2; not predicted none, not in the sample ['a.jpg_A', 'a.jpg_B']"),
        (HEADER + "a.jpg_A,1 1\na.jpg_A,1 1\n", "{sample} has two rows for a.jpg_A"),
        (HEADER + "a.jpg_A,1 1\na.jpg_B,1 1\na.jpg_B,\n", "{sample} has two rows for a.jpg_B"),
        (
            "Label,EncodedPixels\n",
            "{sample} must have the columns Image_Label, EncodedPixels, got Label, EncodedPixels",
        ),
        ("", "{sample} must have the columns Image_Label, EncodedPixels, got ''"),
        (None, "cannot read {sample}: No such file or directory"),
    ],
)
def test_a_sample_that_does_not_fit_is_refused(tmp_path: Path, sample: str | None, words: str) -> None:
    path = tmp_path / "sample.csv"
    if sample is not None:
        path.write_text(sample)
    with pytest.raises(CloudsegError) as caught:
        Predictions((SUBMITTED,)).to_submission(tmp_path / "submission.csv", path)
    assert str(caught.value) == words.format(sample=path)
    assert not (tmp_path / "submission.csv").exists()


@pytest.mark.parametrize(
    ("items", "words"),
    [
        (
            (dataclasses.replace(SUBMITTED, shape=(1400, 2100)),),
            "dir/a.jpg has masks of (1400, 2100), a submission wants (350, 525) (height, width): "
            "predict(..., output_size=(350, 525))",
        ),
        (
            (dataclasses.replace(SUBMITTED, shape=(525, 350)),),
            "dir/a.jpg has masks of (525, 350), a submission wants (350, 525) (height, width): "
            "predict(..., output_size=(350, 525))",
        ),
        (
            (SUBMITTED, dataclasses.replace(SUBMITTED, source="other/a.jpg")),
            "two images are named a.jpg; a submission knows names only",
        ),
        ((SUBMITTED, Prediction("b.jpg", ("A", "B"), error="is empty")), "b.jpg has no masks: is empty"),
    ],
)
def test_what_makes_no_submission_is_refused_and_the_old_file_stays(
    tmp_path: Path, items: tuple[Prediction, ...], words: str
) -> None:
    path = tmp_path / "submission.csv"
    path.write_text("old")
    with pytest.raises(CloudsegError) as caught:
        Predictions(items).to_submission(path)
    assert str(caught.value) == words
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_remedy_of_a_wrong_size_works(segmenter: Segmenter, files: list[Path], tmp_path: Path) -> None:
    predictions = segmenter.predict(files, output_size=(350, 525))
    predictions.to_submission(tmp_path / "submission.csv")
    with (tmp_path / "submission.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["Image_Label"] for row in rows] == [f"{path.name}_{name}" for path in files for name in CLASSES]
    for row, rle in zip(rows, (rle for item in predictions for rle in item.rles), strict=True):
        np.testing.assert_array_equal(
            reference.notebook_rle_to_mask(row["EncodedPixels"] or -1, 350, 525) > 0, rle.to_mask()
        )


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are any bytes on Linux only")
def test_names_that_are_no_text_go_through(segmenter: Segmenter, files: list[Path], tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.png"))
    path.write_bytes(files[0].read_bytes())
    predictions = segmenter.predict([path], output_size=(350, 525))
    predictions.to_csv(tmp_path / "out.csv")
    predictions.to_submission(tmp_path / "submission.csv")
    assert (tmp_path / "out.csv").read_bytes().count(b"/\xff\xfe.png,") == 4
    assert (tmp_path / "submission.csv").read_bytes().count(b"\n\xff\xfe.png_") == 4


# --- overlays ---


@pytest.mark.parametrize(("size", "thickness"), [((64, 96), 1), ((700, 1050), 2), ((300, 3000), 1)])
def test_an_overlay_changes_masks_and_outlines_alone(size: tuple[int, int], thickness: int) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (*size, 3), np.uint8)
    masks = np.zeros((3, *size), np.uint8)
    cv2.circle(masks[0], (size[1] // 3, size[0] // 2), size[0] // 4, 1, cv2.FILLED)
    masks[1, size[0] // 2 :, size[1] // 3 : size[1] // 2] = 1  # overlaps, and touches the border
    before = image.copy()
    prediction = Prediction("x", ("A", "B", "C"), size, tuple(RLE.from_mask(mask) for mask in masks), (1.0,) * 3)
    drawn = prediction.overlay(image)
    np.testing.assert_array_equal(image, before)
    assert drawn.shape == image.shape
    assert drawn.dtype == np.uint8
    changed = (drawn != image).any(axis=2)
    inside = np.asarray(masks.any(axis=0))
    near = cv2.dilate(np.asarray(inside, np.uint8), np.ones((2 * thickness - 1,) * 2, np.uint8)) > 0
    assert not (changed & ~near).any()
    assert (changed & inside).sum() > 0.98 * inside.sum()  # a pixel may have the colour already


def test_an_overlay_without_masks_is_the_image(images: list[Image]) -> None:
    prediction = Prediction("x", ("A",), (10, 10), (RLE.from_kaggle("", (10, 10)),), (0.0,))
    np.testing.assert_array_equal(prediction.overlay(images[0]), images[0])


def test_an_overlay_has_the_images_size_and_takes_files(
    expected: list[Prediction], files: list[Path], images: list[Image]
) -> None:
    for path, image, prediction in zip(files, images, expected, strict=True):
        drawn = prediction.overlay(path)
        assert drawn.shape == image.shape
        np.testing.assert_array_equal(drawn, prediction.overlay(image))
    other = np.zeros((50, 20, 3), np.uint8)
    half = Prediction("x", ("A",), (2, 2), (RLE.from_kaggle("1 2", (2, 2)),), (1.0,))  # the left column
    np.testing.assert_array_equal((half.overlay(other) > 0).any(axis=2), np.arange(20) < np.full((50, 1), 10))


# --- with OpenVINO alone ---


def test_openvino_needs_no_framework_no_network_and_no_home(
    tiny_bundle: Path, files: list[Path], tmp_path: Path
) -> None:
    script = """
import os, pathlib, sys
events = []
def listen(event, arguments):
    if event.startswith(("socket.", "urllib.", "http.", "ftplib.", "smtplib.")):
        events.append(event)
sys.addaudithook(listen)
from cloudseg_sdk import Segmenter
segmenter = Segmenter.load(sys.argv[1])
predictions = segmenter.predict(sys.argv[2:])
assert len(predictions) == len(sys.argv) - 2 and not predictions.errors
descriptors = pathlib.Path("/proc/self/fd")  # on Linux; sockets that compiled code holds open are here too
links = [os.readlink(link) for link in descriptors.iterdir() if link.exists()] if descriptors.is_dir() else []
print(segmenter.engine)
print(*{name.split(".")[0] for name in sys.modules})
print(*events, *(link for link in links if link.startswith("socket:")))
"""
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "HOME", "USERPROFILE"))}
    repository = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", script, str(tiny_bundle), *map(str, files[:2])],
        env={**kept, "HOME": str(home), "USERPROFILE": str(home), "PYTHONPATH": repository},
        cwd=work,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    engine, modules, network = done.stdout.splitlines()
    assert engine == "openvino"
    assert "openvino" in modules.split()
    assert not {"keras", "tensorflow", "jax", "torch", "tf2onnx", "matplotlib"} & set(modules.split())
    assert network == ""
    assert [*home.rglob("*"), *work.rglob("*")] == []


def test_real_scenes_make_a_submission(clouds: Path, tmp_path: Path) -> None:
    segmenter = Segmenter.load("clouds")
    paths = sorted((clouds / "full_resolution").iterdir())[:3]
    predictions = segmenter.predict(paths, output_size=(350, 525), on_error="raise")
    assert [item.source for item in predictions] == [str(path) for path in paths]
    predictions.to_submission(tmp_path / "submission.csv")
    rows = pd.read_csv(tmp_path / "submission.csv", keep_default_na=False)
    assert len(rows) == 12
    with pytest.raises(DataError, match="cannot read"):
        predictions.to_submission(tmp_path / "submission.csv", clouds / "none.csv")
