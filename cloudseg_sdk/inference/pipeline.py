"""Images in, predictions out: in order, lazily, with bounded memory.

read and stretch (threads) -> batches of one shape -> engine, flips -> decide (threads) -> Prediction
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Literal, TypeAlias, TypeVar

import numpy as np

from cloudseg_sdk.config import TTA, Decision, ModelConfig, check_tta
from cloudseg_sdk.data.images import Content, Image, read_image, stretch
from cloudseg_sdk.data.sources import Images, name_sources
from cloudseg_sdk.errors import ImageError
from cloudseg_sdk.inference.engines import Engine, Output
from cloudseg_sdk.inference.postprocess import decide, presence_scores
from cloudseg_sdk.inference.prediction import Prediction
from cloudseg_sdk.inference.tta import run_augmented

OnError: TypeAlias = Literal["record", "raise"]

_In = TypeVar("_In")
_Out = TypeVar("_Out")


@dataclass(frozen=True)
class Options:
    """What one call asks for.

    Parameters
    ----------
    output_size
        (height, width) of the masks; None for each image's own size.
    batch_size
        Images that the engine runs at once.
    on_error
        "record": an unreadable image becomes a prediction with an error; "raise": it ends the call.
    tta
        Test-time augmentation; see :class:`cloudseg_sdk.Decision`.
    """

    output_size: tuple[int, int] | None
    batch_size: int
    on_error: OnError
    tta: TTA = "none"

    def __post_init__(self) -> None:
        size = self.output_size
        valid = isinstance(size, tuple) and len(size) == 2 and all(type(n) is int and n > 0 for n in size)
        if size is not None and not valid:
            raise ValueError(f"output_size must be (height, width) of positive whole numbers or None, got {size!r}")
        if type(self.batch_size) is not int or self.batch_size < 1:
            raise ValueError(f"batch_size must be a whole number of at least 1, got {self.batch_size!r}")
        if self.on_error not in ("record", "raise"):
            raise ValueError(f'on_error must be "record" or "raise", got {self.on_error!r}')
        check_tta(self.tta)


@dataclass(frozen=True)
class Loaded:
    """An image at the network's size and the size it had, or the reason why there is none."""

    source: str
    pixels: Image | None = None
    shape: tuple[int, int] = (0, 0)
    error: str | None = None


def predict_images(
    images: Images, engine: Engine, config: ModelConfig, decision: Decision, options: Options
) -> Iterator[Prediction]:
    """Yield a prediction for each image, in order. At most a few batches are held at any time."""

    def finish(item: tuple[Loaded, Output | None]) -> Prediction:
        loaded, output = item
        if output is None:
            return Prediction(loaded.source, config.classes, error=loaded.error)
        size = options.output_size or loaded.shape
        scores = tuple(float(score) for score in presence_scores(*output))
        return Prediction(
            loaded.source, config.classes, size, decide(output.maps, size, decision, output.presence), scores
        )

    pool = ThreadPoolExecutor(thread_name_prefix="cloudseg")
    try:
        outputs = _run_loaded(pool, images, engine, config, options)
        yield from _ordered_map(pool, finish, outputs, ahead=options.batch_size)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def run_images(images: Images, engine: Engine, config: ModelConfig, tta: TTA) -> Iterator[Output]:
    """Yield what the engine says of each image, in order; one that cannot be read raises."""
    options = Options(None, 8, "raise", tta)
    with ThreadPoolExecutor(thread_name_prefix="cloudseg") as pool:
        for _, output in _run_loaded(pool, images, engine, config, options):
            if output is not None:  # never None under "raise"
                yield output


def _run_loaded(
    pool: ThreadPoolExecutor, images: Images, engine: Engine, config: ModelConfig, options: Options
) -> Iterator[tuple[Loaded, Output | None]]:
    """Yield each image, read in `pool`, with what the engine says of it; None where it could not be read."""

    def load(item: tuple[str, Content]) -> Loaded:
        name, source = item
        try:
            pixels = read_image(source, name)
        except ImageError as error:
            if options.on_error == "raise":
                raise
            return Loaded(name, error=str(error))
        height, width = pixels.shape[:2]
        return Loaded(name, stretch(pixels, config.input_size), (height, width))

    loaded = _ordered_map(pool, load, name_sources(images), ahead=2 * options.batch_size)
    return _run_batches(loaded, engine, options)


def _run_batches(loaded: Iterator[Loaded], engine: Engine, options: Options) -> Iterator[tuple[Loaded, Output | None]]:
    """Yield each image with its output.

    Every batch has the shape of the first, padded where the images run out, so that the engine compiles once.
    """
    shape: tuple[int, ...] | None = None
    while batch := list(islice(loaded, options.batch_size)):
        pixels = [item.pixels for item in batch if item.pixels is not None]
        outputs: Iterator[Output] = iter(())
        if pixels:
            shape = shape or (len(batch), *pixels[0].shape)  # unreadable images count: the next batch may have none
            padded = np.zeros(shape, np.uint8)
            np.stack(pixels, out=padded[: len(pixels)])
            outputs = run_augmented(engine, padded, options.tta).images()
        for item in batch:
            yield item, None if item.pixels is None else next(outputs)


def _ordered_map(
    pool: ThreadPoolExecutor, function: Callable[[_In], _Out], items: Iterable[_In], ahead: int
) -> Iterator[_Out]:
    """Map in threads, at most `ahead` items before the one being yielded."""
    pending: deque[Future[_Out]] = deque()
    for item in items:
        pending.append(pool.submit(function, item))
        if len(pending) > ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()
