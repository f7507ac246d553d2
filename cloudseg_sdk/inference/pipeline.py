"""Images in, predictions out: in order, lazily, with bounded memory.

read and stretch (threads) -> batches of one shape -> engine, flips (threads) -> decide (threads) -> Prediction

Where a batch is one image, one thread takes it all the way from its file's bytes, which others have read ahead: with no
more threads at work than cores, nothing is put off a core while its data are in the cache. That is 1 to 3% of the
whole, measured on two cores.

The consumer's own thread takes images from what it was given, starts a job for each batch of them, and yields results
in order. While it is away the threads finish the jobs that they have, and no lock is held.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain, islice, repeat
from time import perf_counter
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from cloudseg_sdk.config import ModelConfig
from cloudseg_sdk.data.images import CORES, READERS, Content, Image, read_file, read_image, stretch
from cloudseg_sdk.data.sources import Images, name_sources
from cloudseg_sdk.errors import ImageError
from cloudseg_sdk.inference.engines import Engine, Output
from cloudseg_sdk.inference.options import Options
from cloudseg_sdk.inference.postprocess import decide_scored, presence_scores
from cloudseg_sdk.inference.prediction import Prediction
from cloudseg_sdk.inference.timing import Timing
from cloudseg_sdk.inference.tta import run_augmented
from cloudseg_sdk.inference.windows import Tile, Windows, cover

_FETCHERS = max(2, CORES)  # threads that wait for files; twice as many cost 0.5% of the whole

_Item = TypeVar("_Item")
_Out = TypeVar("_Out")


@dataclass(frozen=True)
class Loaded:
    """An image at the network's size, or whole where windows are cut from it; or the reason why there is none."""

    source: str
    shape: tuple[int, int] = (0, 0)  # of the file
    pixels: Image | None = None
    error: str | None = None
    timing: Timing = field(default_factory=lambda: Timing(images=1))


@dataclass(frozen=True)
class Seen:
    """An image, its pixels gone, and what the network says of it; None where it could not be read."""

    image: Loaded
    output: Output | None = None
    scores: NDArray[np.float32] | None = None  # of presence, where windows gave them


@dataclass(frozen=True)
class Plan:
    """What one call does, and with what. Its methods run in threads."""

    engine: Engine
    config: ModelConfig
    options: Options

    @property
    def one_by_one(self) -> bool:
        """Whether a batch is one image."""
        return self.options.windows is None and self.options.batch_size == 1

    def threads(self) -> AbstractContextManager[list[ThreadPoolExecutor]]:
        """Make what :func:`_flow` needs: threads that work, that wait for files or the engine, and that cut scenes."""
        return _threads(CORES, _FETCHERS, 1) if self.one_by_one else _threads(READERS, self.engine.calls, 2)

    def fetch(self, name: str, source: Content) -> tuple[Content, float]:
        """Read the bytes of a file, which takes next to no core, and say how long it took."""
        if isinstance(source, bytes | np.ndarray | ImageError):
            return source, 0.0
        start = perf_counter()
        content: Content
        try:
            content = read_file(source, name)
        except ImageError as error:
            content = error
        return content, perf_counter() - start

    def load(self, name: str, source: Content, fetched: float = 0.0) -> Loaded:
        """Read an image, and stretch it unless windows are cut from it later; `fetched` are seconds spent before."""
        start = perf_counter() - fetched
        try:
            pixels = read_image(source, name)
        except ImageError as error:
            if self.options.on_error == "raise":
                raise
            return Loaded(name, error=str(error), timing=Timing(1, read=perf_counter() - start))
        read = perf_counter()
        shape = (pixels.shape[0], pixels.shape[1])
        if self.options.windows is None:
            pixels = stretch(pixels, self.config.input_size)
        return Loaded(name, shape, pixels, timing=Timing(1, read=read - start, stretch=perf_counter() - read))

    def run_batch(self, images: Sequence[Loaded], length: int, alone: bool) -> list[Seen]:
        """Run the readable ones of `images` as one batch, padded to `length`, so that the engine compiles once."""
        pixels = [image.pixels for image in images if image.pixels is not None]
        if not pixels:
            return [Seen(image) for image in images]
        start = perf_counter()
        outputs = self._run(pixels, length, alone=alone).images()
        timing = Timing(engine=(perf_counter() - start) / len(pixels))
        return [
            Seen(image)
            if image.pixels is None
            else Seen(replace(image, pixels=None, timing=image.timing + timing), next(outputs))
            for image in images
        ]

    def run_scene(self, image: Loaded, windows: Windows, callers: ThreadPoolExecutor) -> Seen:
        """Run the windows of one image in batches, and blend their maps; presence is the highest of any window."""
        if image.pixels is None:
            return Seen(image)
        tiles = cover(image.shape, windows, self.config.output_size)
        batches = list(_batches(tiles, self.options.batch_size))
        maps = np.zeros((*tiles.size, len(self.config.classes)), np.float32)
        scores = np.zeros(len(self.config.classes), np.float32)
        timing = image.timing
        results = callers.map(self._run_tiles, repeat(image.pixels), batches)
        for batch, (output, spent) in zip(batches, results, strict=True):
            start = perf_counter()
            for tile, one in zip(batch, output.images(), strict=False):  # what pads the last batch has no tile
                tile.blend(one.maps, into=maps)
                scores = np.maximum(scores, presence_scores(*one))
            timing += spent + Timing(decide=perf_counter() - start)
        return Seen(replace(image, pixels=None, timing=timing), Output(maps), scores)

    def _run_tiles(self, image: Image, tiles: Sequence[Tile]) -> tuple[Output, Timing]:
        start = perf_counter()
        pixels = [stretch(tile.cut(image), self.config.input_size) for tile in tiles]
        cut = perf_counter()
        output = self._run(pixels, self.options.batch_size)
        return output, Timing(stretch=cut - start, engine=perf_counter() - cut)

    def _run(self, pixels: Sequence[Image], length: int, *, alone: bool = False) -> Output:
        if length == 1:
            batch = np.ascontiguousarray(pixels[0])[np.newaxis]
        else:
            batch = np.zeros((length, *pixels[0].shape), np.uint8)
            np.stack(pixels, out=batch[: len(pixels)])
        return run_augmented(self.engine, batch, self.options.decision.tta, alone=alone)

    def decide(self, seen: Seen) -> Prediction:
        """Make the masks of one image."""
        image, output, options = seen.image, seen.output, self.options
        if output is None:
            return Prediction(image.source, self.config.classes, error=image.error, timing=image.timing)
        start = perf_counter()
        size = options.output_size or image.shape
        scores = presence_scores(*output) if seen.scores is None else seen.scores
        share = 1.0 if options.windows is None else options.windows.area_share(image.shape)
        return Prediction(
            image.source,
            self.config.classes,
            size,
            decide_scored(output.maps, scores, size, options.decision, share),
            tuple(float(score) for score in scores),
            probabilities=_to_uint8(output.maps) if options.probabilities else None,
            timing=image.timing + Timing(decide=perf_counter() - start),
        )


def predict_images(
    images: Images, engine: Engine, config: ModelConfig, options: Options
) -> Generator[Prediction, None, None]:
    """Yield a prediction for each image, in order.

    At most ``(engine.calls + 2) * batch_size`` of the images taken from `images`, and one for each core, rounded up to
    whole batches, are not yielded yet; of those that are cut into windows, 3.
    """
    with closing(predict_groups([images], engine, config, options)) as groups:
        for group in groups:
            yield from group


def predict_groups(
    groups: Iterable[Images], engine: Engine, config: ModelConfig, options: Options
) -> Generator[Iterator[Prediction], None, None]:
    """Yield the predictions of each group of images, which are to be taken before the next group's.

    No batch has images of two groups. The threads are the same for all: the allocator keeps memory for each new one.
    """
    plan = Plan(engine, config, options)
    with plan.threads() as threads:
        for images in groups:
            yield _flow(images, plan, plan.decide, threads)


def run_images(images: Images, engine: Engine, config: ModelConfig, options: Options) -> Iterator[Output]:
    """Yield what the engine says of each image, in order; one that cannot be read raises."""
    plan = Plan(engine, config, options)
    with plan.threads() as threads:
        for output in _flow(images, plan, lambda seen: seen.output, threads):
            if output is not None:  # never None under "raise"
                yield output


def _flow(
    images: Images, plan: Plan, finish: Callable[[Seen], _Out], threads: Sequence[ThreadPoolExecutor]
) -> Iterator[_Out]:
    """Yield `finish` of each image, from threads that work for nobody else."""
    windows = plan.options.windows
    size, ahead = 1, 3
    if windows is None:
        size = plan.options.batch_size
        ahead = plan.engine.calls + 2 + math.ceil(CORES / size)
    sources = name_sources(images)
    first = list(islice(sources, 2))
    alone = len(first) == 1
    sources = chain(first, sources)
    del first  # of what was taken, nothing is kept
    length = 0  # of every batch: that of the first, where even unreadable images count

    workers, callers, scenes = threads
    turns = threading.Semaphore(plan.engine.calls)

    def run_one(name: str, fetching: Future[tuple[Content, float]]) -> _Out:
        image = plan.load(name, *fetching.result())
        with turns:
            (seen,) = plan.run_batch([image], 1, alone)
        return finish(seen)

    def run_batch(loading: Sequence[Future[Loaded]], length: int) -> list[Future[_Out]]:
        seen = plan.run_batch([future.result() for future in loading], length, alone)
        return [workers.submit(finish, one) for one in seen]

    def run_scene(loading: Sequence[Future[Loaded]], windows: Windows) -> list[Future[_Out]]:
        seen = (plan.run_scene(future.result(), windows, callers) for future in loading)
        return [workers.submit(finish, one) for one in seen]

    def start() -> Iterator[_Out] | None:
        """Begin with the next images, which nothing here keeps."""
        nonlocal length
        if plan.one_by_one:
            fetching = ((name, callers.submit(plan.fetch, name, source)) for name, source in sources)
            return next((_wait(workers.submit(run_one, *image)) for image in fetching), None)
        loading = [workers.submit(plan.load, *source) for source in islice(sources, size)]
        if not loading:
            return None
        if windows is not None:
            return _wait_all(scenes.submit(run_scene, loading, windows))
        length = length or len(loading)
        return _wait_all(callers.submit(run_batch, loading, length))

    jobs: deque[Iterator[_Out]] = deque()
    for job in iter(start, None):
        jobs.append(job)
        if len(jobs) == ahead:
            yield from jobs.popleft()
    while jobs:
        yield from jobs.popleft()


def _wait(result: Future[_Out]) -> Iterator[_Out]:
    yield result.result()


def _wait_all(job: Future[list[Future[_Out]]]) -> Iterator[_Out]:
    for future in job.result():
        yield from _wait(future)


@contextmanager
def _threads(*counts: int) -> Iterator[list[ThreadPoolExecutor]]:
    """Make pools of threads, which start when first used; at the end drop what waits, and wait for what runs."""
    pools = [ThreadPoolExecutor(count, thread_name_prefix="cloudseg") for count in counts]
    try:
        yield pools
    finally:
        for pool in pools:  # all of them, before waiting for one whose thread waits for another's
            pool.shutdown(wait=False, cancel_futures=True)
        for pool in pools:
            pool.shutdown(wait=True)


def _batches(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def _to_uint8(maps: NDArray[np.float32]) -> NDArray[np.uint8]:
    rounded = np.rint(maps * 255).astype(np.uint8)
    rounded.flags.writeable = False  # as the rest of a prediction
    return rounded
