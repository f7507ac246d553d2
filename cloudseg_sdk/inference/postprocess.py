"""From class maps to masks: presence, resize, threshold, small components dropped, runs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cloudrle import RLE, encode_probabilities
from cloudseg_sdk.config import Decision

PRESENCE_FRACTION = 0.095
"""The competition's winner scored presence by the mean of the highest 17,500 of 183,750 pixels."""


def presence_scores(
    probabilities: NDArray[np.float32], presence: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Return how likely each class is there at all, float32 ``(C,)``.

    Parameters
    ----------
    probabilities
        Class maps ``(h, w, C)`` of one image: what counts is the mean of each one's highest 9.5%.
    presence
        What the presence head says, ``(C,)``, to be averaged with that; None where the network has none.
    """
    pixels = math.prod(probabilities.shape[:-1])
    count = max(1, round(PRESENCE_FRACTION * pixels))
    rows = np.array(probabilities.reshape(pixels, -1).T, order="C")  # NumPy is several times as fast on whole rows
    rows.partition(pixels - count, axis=1)
    scores = rows[:, -count:].mean(axis=1, dtype=np.float64)
    return np.asarray(scores if presence is None else (scores + presence) / 2, np.float32)


def masks_by_threshold(
    probabilities: NDArray[np.float32], size: tuple[int, int], thresholds: Sequence[float], min_area: float
) -> list[RLE]:
    """Return the mask of one class map ``(h, w)`` at each threshold: what :func:`decide` makes, presence aside."""
    shape = (1, *probabilities.shape, len(thresholds))
    (rles,) = encode_probabilities(
        np.broadcast_to(probabilities[np.newaxis, :, :, np.newaxis], shape),
        threshold=thresholds,
        size=size,
        min_area=_least_pixels(min_area, size[0] * size[1]),
        threads=1,
    )
    return rles


def decide(
    probabilities: NDArray[np.float32],
    size: tuple[int, int],
    decision: Decision,
    presence: NDArray[np.float32] | None = None,
) -> tuple[RLE, ...]:
    """Turn one image's class maps ``(h, w, C)`` into one mask per class at `size` (height, width).

    `presence` is as in :func:`presence_scores`.
    """
    return decide_scored(probabilities, presence_scores(probabilities, presence), size, decision)


def decide_scored(
    probabilities: NDArray[np.float32],
    scores: NDArray[np.float32],
    size: tuple[int, int],
    decision: Decision,
    area_share: float = 1.0,
) -> tuple[RLE, ...]:
    """Do the same with presence scores ``(C,)`` that are known; `min_area` is of this share of the image's area."""
    pixels = size[0] * size[1]
    min_area = [_least_pixels(fraction * area_share, pixels) for fraction in decision.min_area]
    (rles,) = encode_probabilities(
        probabilities[np.newaxis], threshold=decision.threshold, size=size, min_area=min_area, threads=1
    )
    present = scores >= np.array(decision.presence, np.float32)
    empty = RLE.from_runs([], size)
    return tuple(rle if there else empty for rle, there in zip(rles, present, strict=True))


def _least_pixels(fraction: float, pixels: int) -> int:
    """Return the least k with ``k / pixels >= fraction``: k / n * n can round past k, k / n is always itself."""
    near = math.ceil(fraction * pixels)
    return next(k for k in (near - 1, near, near + 1) if k / pixels >= fraction)
