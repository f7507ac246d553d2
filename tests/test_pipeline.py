"""The flow of prediction: bounded, interruptible, shared by threads, and the same bits every time."""

from __future__ import annotations

import gc
import itertools
import math
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from cloudseg_sdk import ModelConfig, Prediction, Segmenter
from cloudseg_sdk.config import TTA
from cloudseg_sdk.data.images import CORES, Image, read_file
from cloudseg_sdk.inference import pipeline
from cloudseg_sdk.inference.engines import Engine, Output
from cloudseg_sdk.inference.pipeline import Loaded, Seen
from cloudseg_sdk.synthetic import scene

WINDOW = (32, 48)


@pytest.fixture(scope="module")
def segmenter(tiny_bundle: Path) -> Segmenter:
    return Segmenter.load(tiny_bundle)


@pytest.fixture(scope="module")
def images() -> list[Image]:
    return [scene(seed, size).image for seed, size in enumerate([(64, 96), (32, 48), (97, 61), (70, 105), (40, 200)])]


@pytest.fixture(scope="module")
def folder(images: list[Image], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    for number, image in enumerate(images):
        cv2.imwrite(str(folder / f"{number}.png"), image)
    return folder


def pipeline_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("cloudseg")]


class Watched:
    """An engine that counts its calls, and those that run at one time."""

    def __init__(self, engine: Engine) -> None:
        self.name, self.batch_size, self.calls = engine.name, engine.batch_size, engine.calls
        self._engine = engine
        self._lock = threading.Lock()
        self.now = self.most = self.total = 0
        self.alone: list[bool] = []
        self.threads: set[int] = set()

    def run(self, images: NDArray[np.uint8], *, alone: bool = False) -> Output:
        with self._lock:
            self.total += 1
            self.alone.append(alone)
            self.threads.add(threading.get_ident())
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            return self._engine.run(images, alone=alone)
        finally:
            with self._lock:
                self.now -= 1


@pytest.fixture
def watched(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Segmenter, Watched]:
    """A segmenter with an engine that counts."""
    segmenter = Segmenter.load(tiny_bundle)
    engine = Watched(segmenter._running_engine())
    monkeypatch.setattr(segmenter, "_running_engine", lambda: engine)
    return segmenter, engine


# --- how far ahead ---


@pytest.mark.parametrize(
    ("options", "batch_size"),
    [
        ({"batch_size": 1}, 1),
        ({"batch_size": 3}, 3),
        ({"batch_size": 3, "tta": "flips"}, 3),
        ({}, None),
        ({"window": WINDOW}, 0),
        ({"window": WINDOW, "batch_size": 5}, 0),
    ],
)
def test_a_stream_takes_no_more_images_than_it_says(
    watched: tuple[Segmenter, Watched], images: list[Image], options: Any, batch_size: int | None
) -> None:
    segmenter, engine = watched
    batch_size = engine.batch_size if batch_size is None else batch_size
    ahead = (engine.calls + 2 + math.ceil(CORES / batch_size)) * batch_size if batch_size else 3
    taken, threads, furthest = 0, set(), 0

    def endless() -> Iterator[Image]:
        nonlocal taken
        while True:
            threads.add(threading.get_ident())
            taken += 1
            yield images[taken % 5]

    stream = segmenter.stream(endless(), **options)
    assert taken == 0  # nothing before the first is asked for
    for yielded, _ in enumerate(itertools.islice(stream, 2 * ahead + 9), start=1):
        furthest = max(furthest, taken - (yielded - 1))
    assert furthest == ahead
    assert threads == {threading.get_ident()}  # a generator may use what belongs to its thread
    assert engine.most <= engine.calls
    stream.close()


def test_batches_of_one_image_take_a_thread_for_each_core(
    watched: tuple[Segmenter, Watched], images: list[Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From bytes to masks; another reads the bytes."""
    threads = set()
    decide = pipeline.Plan.decide

    def spy(plan: pipeline.Plan, seen: Seen) -> Prediction:
        threads.add(threading.get_ident())
        return decide(plan, seen)

    monkeypatch.setattr(pipeline.Plan, "decide", spy)
    watched[0].predict(images * 8, batch_size=1)
    assert threads == watched[1].threads
    assert len(threads) <= CORES


def test_files_are_waited_for_side_by_side(folder: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a disk that is far away one after another would take its time."""
    count = pipeline._FETCHERS
    together = threading.Barrier(count)

    def wait(file: Traversable, name: str) -> bytes:
        together.wait(60)
        return read_file(file, name)

    monkeypatch.setattr("cloudseg_sdk.inference.pipeline.read_file", wait)
    paths = sorted(folder.iterdir())[:1] * (3 * count)
    assert len(Segmenter.load(tiny_bundle).predict(paths, on_error="raise")) == len(paths)


@pytest.mark.parametrize("tta", ["none", "flips"])
def test_one_image_has_the_engine_to_itself(watched: tuple[Segmenter, Watched], images: list[Image], tta: TTA) -> None:
    segmenter, engine = watched
    for given, alone in ((images[:1], True), (images[:2], False), (images, False)):
        engine.alone.clear()
        segmenter.predict(given, tta=tta)
        assert set(engine.alone) == {alone}


def test_nothing_of_a_finished_image_is_kept(watched: tuple[Segmenter, Watched], images: list[Image]) -> None:
    """Not even in the deques, frames and futures of a stream that goes on."""

    segmenter, engine = watched
    ahead = (engine.calls + 2 + math.ceil(CORES / 2)) * 2

    def alive() -> int:
        return sum(isinstance(item, Loaded | Seen) for item in gc.get_objects())

    before = alive()
    for options in ({"batch_size": 2}, {"window": WINDOW}):
        stream = segmenter.stream(itertools.cycle(images), **options)
        for _ in itertools.islice(stream, 10 * ahead):
            pass
        assert alive() - before <= 2 * ahead  # for each image that it is ahead, one of each stage at most
        stream.close()
        assert alive() == before


# --- how a stream ends ---


def leave(stream: Any) -> None:
    for _ in stream:
        return


def throw(stream: Any) -> None:
    with suppress(ZeroDivisionError):
        for _ in stream:
            raise ZeroDivisionError


@pytest.mark.parametrize(
    "end",
    [lambda stream: None, next, leave, throw, list, lambda stream: stream.close(), lambda stream: next(stream).masks],
    ids=["never started", "dropped", "left", "thrown out of", "exhausted", "closed", "one result kept"],
)
@pytest.mark.parametrize("options", [{"batch_size": 2}, {"window": WINDOW}], ids=["whole", "windows"])
def test_the_threads_of_a_stream_end_with_it(
    watched: tuple[Segmenter, Watched], folder: Path, end: Callable[[Any], Any], options: Any
) -> None:
    segmenter, engine = watched
    images = sorted(folder.iterdir()) * (2 if end is list else 1000)
    end(segmenter.stream(images, **options))
    assert pipeline_threads() == []
    total = engine.total
    assert total < 1000
    segmenter.predict(images[:2], batch_size=2)  # and nobody is in the way of the next
    assert engine.total == total + 1


@pytest.mark.parametrize("error", [RuntimeError("the camera is gone"), KeyboardInterrupt(), GeneratorExit()])
@pytest.mark.parametrize("before", [0, 1, 7, 50])
def test_an_exception_of_the_callers_generator_arrives_unchanged(
    segmenter: Segmenter, images: list[Image], error: BaseException, before: int
) -> None:
    def broken() -> Iterator[Image]:
        for number in range(before):
            yield images[number % 5]
        raise error

    for use in (segmenter.predict, lambda given: list(segmenter.stream(given, window=WINDOW))):
        with pytest.raises(type(error)) as caught:
            use(broken())
        assert caught.value is error
        assert pipeline_threads() == []


def test_an_exception_of_the_engine_arrives_unchanged(
    watched: tuple[Segmenter, Watched], images: list[Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    segmenter, engine = watched
    error = MemoryError("no room")

    def fail(_: object, *, alone: bool) -> Output:
        raise error

    monkeypatch.setattr(engine, "run", fail)
    for options in ({}, {"window": WINDOW}):
        with pytest.raises(MemoryError) as caught:
            segmenter.predict(itertools.cycle(images), **options)  # type: ignore[arg-type]
        assert caught.value is error
        assert pipeline_threads() == []


INTERRUPTED = """
import itertools, sys
from pathlib import Path
from cloudseg_sdk import Segmenter

def endless(paths):
    for number, path in enumerate(itertools.cycle(paths)):
        if number == 40:
            print("under way", flush=True)
        yield path

segmenter = Segmenter.load(sys.argv[1])
images = endless(sorted(Path(sys.argv[2]).iterdir()))
if sys.argv[3] == "predict":
    segmenter.predict(images)
else:
    stream = segmenter.stream(images)  # kept by its name while the exception goes up
    for prediction in stream:
        pass
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to one process")
@pytest.mark.parametrize("call", ["predict", "stream"])
def test_ctrl_c_ends_a_process(tiny_bundle: Path, folder: Path, call: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(tiny_bundle), str(folder), call],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "under way\n"
        process.send_signal(signal.SIGINT)
        try:
            _, words = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == -signal.SIGINT, words
    assert words.endswith("KeyboardInterrupt\n")
    assert len(re.findall("^Traceback", words, re.MULTILINE)) == 1
    assert "Exception ignored" not in words


# --- several at once ---


def assert_same_bits(found: list[Prediction], wanted: list[Prediction]) -> None:
    assert [item.scores for item in found] == [item.scores for item in wanted]
    assert [item.rles for item in found] == [item.rles for item in wanted]
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one.probabilities, other.probabilities)


@pytest.mark.parametrize("options", [{}, {"batch_size": 3}, {"window": WINDOW}, {"tta": "flips"}])
def test_eight_threads_and_one_give_the_same_bits(segmenter: Segmenter, images: list[Image], options: Any) -> None:
    def run(_: int = 0) -> list[Prediction]:
        barrier.wait()
        return list(segmenter.predict(images, probabilities=True, **options))

    barrier = threading.Barrier(1)
    alone = run()
    assert_same_bits(run(), alone)
    barrier = threading.Barrier(8)
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(run, range(8)):
            assert_same_bits(found, alone)


def test_a_stream_inside_a_stream_and_inside_its_images(segmenter: Segmenter, images: list[Image]) -> None:
    alone = list(segmenter.predict(images, probabilities=True))

    def given() -> Iterator[Image]:
        for image in images:
            segmenter(image)
            yield image

    outer = []
    for prediction in segmenter.stream(given(), probabilities=True):
        outer.append(prediction)
        assert_same_bits(list(segmenter.stream(images, probabilities=True)), alone)
    assert_same_bits(outer, alone)


def test_streams_in_turn_and_from_other_threads(segmenter: Segmenter, images: list[Image]) -> None:
    alone = list(segmenter.predict(images, probabilities=True, batch_size=2))
    streams = [segmenter.stream(images, probabilities=True, batch_size=2) for _ in range(3)]
    rounds = list(zip(*streams, strict=True))
    for results in zip(*rounds, strict=True):
        assert_same_bits(list(results), alone)
    stream = segmenter.stream(images, probabilities=True, batch_size=2)
    first = next(stream)
    with ThreadPoolExecutor(1) as pool:  # begun here, finished there
        assert_same_bits([first, *pool.submit(list, stream).result()], alone)


# --- memory ---

PEAKS = """
import itertools, json, sys
from pathlib import Path
from cloudseg_sdk import Segmenter
from cloudseg_sdk.data.images import read_image

def peak():  # MiB
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024

segmenter = Segmenter.load(sys.argv[1])
folder = Path(sys.argv[2])
options = json.loads(sys.argv[3])
options = {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
paths = sorted(folder.iterdir())
kinds = {
    "folder": lambda count: folder,
    "list": lambda count: list(itertools.islice(itertools.cycle(paths), count)),
    "generator": lambda count: (read_image(path) for path in itertools.islice(itertools.cycle(paths), count)),
}
for count in (10 * len(paths), 20 * len(paths)):  # the allocator's own peak comes late
    for images in kinds.values():
        for _ in range(count // len(paths) if images is kinds["folder"] else 1):
            for prediction in segmenter.stream(images(count), **options):
                assert prediction.error is None
    print(peak())
print(segmenter._running_engine().compilations)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak that Linux keeps")
@pytest.mark.parametrize("options", ["{}", '{"window": [96, 144], "probabilities": true}'], ids=["whole", "windows"])
def test_memory_stays_as_it_is_and_one_shape_is_compiled(tmp_path: Path, options: str) -> None:
    """A leak of one image's input, maps or 8-bit maps would be 63, 338 or 84 MiB of a peak of some 170."""
    config = ModelConfig(input_size=(128, 192), filters=(2, 2), output_stride=1)
    Segmenter.build(config).save(tmp_path / "wide.cloudseg")
    folder = tmp_path / "scenes"
    folder.mkdir()
    for number in range(15):
        cv2.imwrite(str(folder / f"{number}.jpg"), scene(number, (128, 192)).image)
    done = subprocess.run(
        [sys.executable, "-c", PEAKS, str(tmp_path / "wide.cloudseg"), str(folder), options],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, last, compilations = map(float, done.stdout.split())
    assert last < 1.15 * first
    assert compilations == 1  # the number of images is no multiple of a batch
