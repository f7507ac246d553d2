"""What one epoch feeds to the network."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import keras
import numpy as np
from numpy.typing import NDArray

from cloudrle import RLE
from cloudseg_sdk.config import ModelConfig
from cloudseg_sdk.data.augment import Augmentation
from cloudseg_sdk.data.dataset import CloudDataset
from cloudseg_sdk.data.images import Image
from cloudseg_sdk.errors import ConfigError, DataError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Batch: TypeAlias = tuple[NDArray[np.uint8], NDArray[np.uint8]]

_MOST_WORKERS = 16  # a core makes thousands of images a second, and each worker holds a batch
_ORDER, _SAMPLE = 0, 1  # two kinds of random numbers of an epoch


@dataclass(frozen=True)
class Samples:
    """A dataset at a network's sizes, in the dataset's order.

    Parameters
    ----------
    images
        uint8 RGB ``(*input_size, 3)`` each.
    rles
        For each image the mask of each class on `mask_size`: a pixel is foreground where its class covers at least
        half of it.
    mask_size
        (height, width).
    classes
        Their names.
    """

    images: tuple[Image, ...]
    rles: tuple[tuple[RLE, ...], ...]
    mask_size: tuple[int, int]
    classes: tuple[str, ...]

    @classmethod
    def of(cls, dataset: CloudDataset, config: ModelConfig, *, progress: bool) -> Samples:
        """Take a dataset's cached images, or read them into memory, and resize its masks.

        Raises
        ------
        DataError
            Where the dataset is cached at another size than the network's.
        ImageError
            Where an image cannot be read; it names the file.
        """
        cached = dataset.cached or dataset.cache(config.input_size, progress=progress).cached
        if cached is None or cached.size != config.input_size:
            raise DataError(
                f"the dataset is cached at {cached and cached.size}, but the network's input_size is "
                f"{config.input_size} (height, width); cache it at that size"
            )
        return cls(
            images=tuple(cached.images[example.image] for example in dataset),
            rles=tuple(tuple(rle.resize(config.output_size, "area") for rle in example.rles) for example in dataset),
            mask_size=config.output_size,
            classes=config.classes,
        )

    def __len__(self) -> int:
        return len(self.images)

    def stack(self, part: slice) -> Batch:
        """Return images ``(N, H, W, 3)`` and masks ``(N, h, w, classes)`` as they are, both uint8."""
        masks = [np.stack([rle.to_mask() for rle in rles], axis=-1) for rles in self.rles[part]]
        return np.stack(self.images[part]), np.stack(masks)


class Batches(keras.utils.PyDataset):  # type: ignore[misc]  # Keras has no types
    """Shuffled, augmented batches of ``(images, masks)``, made ahead in threads.

    A batch is a pure function of the seed, its epoch and its index: neither the number of threads nor what was asked
    for before changes it. Every image is seen in every epoch. The last batch is filled up with images from the epoch's
    beginning: all batches have one shape, so that a compiling backend compiles once.

    Parameters
    ----------
    samples
        Images and masks at the network's sizes.
    batch_size
        Pairs in a batch.
    seed
        Order and augmentation depend on it, on the epoch, and on nothing else.
    augmentation
        What may happen to each pair.
    threads
        How many batches are made at once; None for one on each core, but at most 16.

    Examples
    --------
    ``keras.Model.fit(batches, shuffle=False)`` takes them one after the other, epoch by epoch. A loop of one's own may
    begin anywhere; here with the second of the three batches of the fourth epoch:

    >>> full = RLE.from_mask(np.ones((16, 24)))
    >>> samples = Samples((np.zeros((32, 48, 3), np.uint8),) * 5, ((full,),) * 5, (16, 24), ("cloud",))
    >>> batches = Batches(samples, 2, seed=0, augmentation=Augmentation())
    >>> [(images.shape, masks.shape) for images, masks in batches.epoch(3, start=1)]
    [((2, 32, 48, 3), (2, 16, 24, 1)), ((2, 32, 48, 3), (2, 16, 24, 1))]
    """

    def __init__(
        self,
        samples: Samples,
        batch_size: int,
        *,
        seed: int,
        augmentation: Augmentation,
        threads: int | None = None,
    ) -> None:
        super().__init__()  # with Keras' own workers off: batches are made ahead here, for every kind of loop alike
        threads = min(os.cpu_count() or 1, _MOST_WORKERS) if threads is None else threads
        for name, value in (("batch_size", batch_size), ("threads", threads)):
            if type(value) is not int or value < 1:
                raise ConfigError(f"{name} must be a whole number of at least 1, got {value!r}")
        self._samples = samples
        self._batch_size = batch_size
        self._seed = seed
        self._augmentation = augmentation
        self._epoch = 0
        self._ahead = threads + 1  # one more than are being made, so that no thread waits for the consumer
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="cloudseg-batches")
        self._pending: dict[int, Future[Batch]] = {}  # by their number since the first epoch
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return math.ceil(len(self._samples) / self._batch_size)

    def __getitem__(self, index: int) -> Batch:
        """Return a batch of the current epoch; see :meth:`batch`."""
        return self._take(self._epoch * len(self) + index)

    def on_epoch_end(self) -> None:
        """Go on to the next epoch."""
        self._epoch += 1

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of one epoch from `start` on; those that follow are being made meanwhile."""
        for index in range(start, len(self)):
            yield self._take(number * len(self) + index)

    def batch(self, epoch: int, index: int) -> Batch:
        """Make images ``(B, H, W, 3)`` and masks ``(B, h, w, classes)``, both uint8 and the caller's to change."""
        size = self._samples.images[0].shape[:2]
        images = np.empty((self._batch_size, *size, 3), np.uint8)
        masks = np.zeros((self._batch_size, *self._samples.mask_size, len(self._samples.classes)), np.uint8)
        for slot, chosen in enumerate(self.chosen(epoch, index)):
            place = index * self._batch_size + slot
            change = self._augmentation.draw(np.random.default_rng((self._seed, epoch, _SAMPLE, place)), size)
            change.apply_to_image(self._samples.images[chosen], out=images[slot])
            for channel, rle in enumerate(self._samples.rles[chosen]):
                if rle.area:
                    masks[slot, :, :, channel] = change.apply_to_mask(rle.to_mask())
        return images, masks

    def chosen(self, epoch: int, index: int) -> list[int]:
        """Return the numbers in `samples` of a batch's images."""
        order = self._order(epoch)
        places = range(index * self._batch_size, (index + 1) * self._batch_size)
        return [order[place % len(order)] for place in places]

    def plot(self, epoch: int = 0, index: int = 0) -> Figure:
        """Draw a batch as the network sees it (needs matplotlib)."""
        from cloudseg_sdk.data.plot import plot_batch

        return plot_batch(*self.batch(epoch, index), self._samples.classes)

    def _order(self, epoch: int) -> list[int]:
        order: list[int] = np.random.default_rng((self._seed, epoch, _ORDER)).permutation(len(self._samples)).tolist()
        return order

    def _take(self, number: int) -> Batch:
        """Return the batch of this number since the first epoch, and have those after it made."""
        with self._lock:
            wanted = range(number, number + self._ahead + 1)
            for other in self._pending.keys() - wanted:
                self._pending.pop(other).cancel()
            for other in wanted:
                if other not in self._pending:
                    self._pending[other] = self._pool.submit(self.batch, *divmod(other, len(self)))
            future = self._pending.pop(number)
        return future.result()
