"""Scenes larger than those of the training: windows of the training's scale, their maps blended into one.

An axis of an image is divided into as many cells as its maps have; windows begin and end between cells, so that their
maps lie on the same cells and need no resampling.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Windows:
    """How an image is covered.

    Parameters
    ----------
    size
        (height, width) of a window in pixels of the image. Along an axis where the image is smaller, one window covers
        it.
    overlap
        Neighbours share at least this fraction of a window; from 0 to below 1.
    """

    size: tuple[int, int]
    overlap: float

    def area_share(self, shape: tuple[int, int]) -> float:
        """Return a window's area as a fraction of that of an image of `shape`."""
        covered = [min(window, length) / length for window, length in zip(self.size, shape, strict=True)]
        return covered[0] * covered[1]


@dataclass(frozen=True)
class Span:
    """A window along one axis: pixels of the image, cells of the maps, and the weight of each cell."""

    pixels: slice
    cells: slice
    weights: NDArray[np.float32]


@dataclass(frozen=True)
class Tile:
    """A window: its pixels, and where its maps ``(h, w, C)`` go."""

    rows: Span
    columns: Span

    def cut(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the window's part of an image ``(H, W, 3)``."""
        return image[self.rows.pixels, self.columns.pixels]

    def blend(self, maps: NDArray[np.float32], into: NDArray[np.float32]) -> None:
        """Add the window's maps to those of the image. The weights of all windows at a cell add up to 1."""
        weights = self.rows.weights[:, np.newaxis, np.newaxis] * self.columns.weights[:, np.newaxis]
        into[self.rows.cells, self.columns.cells] += weights * maps


@dataclass(frozen=True)
class Cover:
    """The windows over one image, row by row.

    Parameters
    ----------
    size
        (height, width) of the image's maps.
    rows, columns
        Where windows lie along each axis.
    """

    size: tuple[int, int]
    rows: tuple[Span, ...]
    columns: tuple[Span, ...]

    def __len__(self) -> int:
        return len(self.rows) * len(self.columns)

    def __iter__(self) -> Iterator[Tile]:
        return (Tile(row, column) for row, column in product(self.rows, self.columns))


def cover(shape: tuple[int, int], windows: Windows, maps_size: tuple[int, int]) -> Cover:
    """Lay windows over an image of `shape`, each of which has maps of `maps_size` (both height, width)."""
    (height, rows), (width, columns) = (
        _lay(length, window, windows.overlap, cells)
        for length, window, cells in zip(shape, windows.size, maps_size, strict=True)
    )
    return Cover((height, width), rows, columns)


def _lay(length: int, window: int, overlap: float, cells: int) -> tuple[int, tuple[Span, ...]]:
    """Return how many cells an axis of `length` pixels has, and its windows, evenly spaced, of `cells` each."""
    total = max(cells, round(length * cells / min(window, length)))
    step = max(1, math.floor(cells * (1 - overlap)))
    count = 1 + math.ceil((total - cells) / step)
    starts = [round(number * (total - cells) / max(1, count - 1)) for number in range(count)]
    # A Hann window: nothing at a window's edges, where the network sees the least around it.
    weights = np.sin(np.pi * (np.arange(cells) + 0.5) / cells) ** 2
    sums = np.zeros(total)
    for start in starts:
        sums[start : start + cells] += weights
    spans = (
        Span(
            slice(_nearest(start * length, total), _nearest((start + cells) * length, total)),
            slice(start, start + cells),
            np.asarray(weights / sums[start : start + cells], np.float32),
        )
        for start in starts
    )
    return total, tuple(spans)


def _nearest(numerator: int, denominator: int) -> int:
    """Round a fraction, halves always up: rounded to even, a window of one pixel could lose it."""
    return (2 * numerator + denominator) // (2 * denominator)
