"""What one epoch feeds to the network."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from cloudseg_sdk.data.arrays import TrainingArrays


class Batches(keras.utils.PyDataset):  # type: ignore[misc]  # Keras has no types
    """Shuffled batches of ``(images, masks)``, each pair flipped at random along either axis.

    Every image is seen in every epoch. The last batch is filled up with images from the epoch's beginning: all batches
    have one shape, so that a compiling backend compiles once.

    Parameters
    ----------
    arrays
        Images and masks at the network's sizes.
    batch_size
        Pairs in a batch.
    seed
        Order and flips depend on it, on the epoch, and on nothing else.
    """

    def __init__(self, arrays: TrainingArrays, batch_size: int, seed: int) -> None:
        super().__init__()
        self._arrays = arrays
        self._batch_size = batch_size
        self._seed = seed
        self._epoch = 0
        self._shuffle()

    def __len__(self) -> int:
        return math.ceil(len(self._arrays.images) / self._batch_size)

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return images ``(B, H, W, 3)`` and masks ``(B, h, w, classes)``, both uint8."""
        chosen = slice(index * self._batch_size, (index + 1) * self._batch_size)
        order, flips = self._order[chosen], self._flips[chosen]
        return _flip(self._arrays.images[order], flips), _flip(self._arrays.masks[order], flips)

    def on_epoch_end(self) -> None:
        """Draw the next epoch's order and flips."""
        self._epoch += 1
        self._shuffle()

    def _shuffle(self) -> None:
        random = np.random.default_rng((self._seed, self._epoch))
        count = len(self) * self._batch_size
        self._order = np.resize(random.permutation(len(self._arrays.images)), count)
        self._flips = random.integers(0, 2, (count, 2), dtype=np.uint8).astype(bool)


def _flip(batch: NDArray[np.uint8], flips: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Flip each item of a freshly indexed batch ``(B, H, W, C)`` in place: up-down, left-right."""
    for item, (vertical, horizontal) in zip(batch, flips, strict=True):
        steps: tuple[Any, ...] = (slice(None, None, -1 if vertical else 1), slice(None, None, -1 if horizontal else 1))
        item[:] = item[steps].copy()
    return batch
