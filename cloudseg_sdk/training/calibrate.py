"""Choosing each class's presence and pixel threshold by the exact metric."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from cloudrle import RLE
from cloudseg_sdk.config import Decision
from cloudseg_sdk.inference.engines import Output
from cloudseg_sdk.inference.postprocess import presence_scores, resize_map
from cloudseg_sdk.metrics import METRIC_SIZE

THRESHOLDS = (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7)


def calibrate_decision(outputs: Iterable[Output], truth: Sequence[Sequence[RLE]]) -> Decision:
    """Return the decision that scores best on these images.

    Parameters
    ----------
    outputs
        What the network says of each image.
    truth
        Masks of each image and class at 350 x 525.
    """
    scores, dice = [], []
    for output, rles in zip(outputs, truth, strict=True):
        scores.append(presence_scores(*output))
        dice.append([_dice_by_threshold(output.maps[:, :, channel], rle) for channel, rle in enumerate(rles)])
    empty = np.array([[rle.area == 0 for rle in rles] for rles in truth], np.float64)
    chosen = [
        _best_cut(score, pairs, pair_empty)
        for score, pairs, pair_empty in zip(np.array(scores).T, np.array(dice).transpose(1, 0, 2), empty.T, strict=True)
    ]
    presence, threshold = zip(*chosen, strict=True)
    return Decision(presence=presence, threshold=threshold, min_area=(0.0,) * len(chosen))


def _dice_by_threshold(probabilities: NDArray[np.float32], truth: RLE) -> NDArray[np.float64]:
    """Dice at each of THRESHOLDS; both empty counts 1."""
    resized = resize_map(probabilities, METRIC_SIZE)
    inside = resized[truth.to_mask().view(bool)]
    predicted = np.array([np.count_nonzero(resized >= threshold) for threshold in THRESHOLDS])
    overlap = np.array([np.count_nonzero(inside >= threshold) for threshold in THRESHOLDS])
    total = predicted + inside.size
    return np.where(total == 0, 1.0, 2.0 * overlap / np.maximum(total, 1))


def _best_cut(
    scores: NDArray[np.float32], dice: NDArray[np.float64], empty: NDArray[np.float64]
) -> tuple[float, float]:
    """Return one class's (presence, threshold), given each image's score, its Dice by threshold, and 1 if truly empty.

    Sorted by score, the images below a cut are declared empty and earn 1 where they are; the others earn their Dice.
    """
    order = np.argsort(scores, kind="stable")
    declared = np.concatenate(([0.0], np.cumsum(empty[order])))
    kept = np.concatenate((np.cumsum(dice[order][::-1], axis=0)[::-1], np.zeros((1, dice.shape[1]))))
    below, above = scores[order], np.append(scores[order][1:], np.float32(1))
    # No presence parts equal scores, or declares empty what scores 1.
    possible = np.concatenate(([True], below < above))
    total = np.where(possible[:, None], declared[:, None] + kept, -1.0)
    cut, column = np.unravel_index(np.argmax(total), total.shape)
    # Halfway between the last image below the cut and the first above it; no cut at all is exactly 0. In float32, like
    # the scores: between neighbours there is no half.
    halfway = (below + above) / 2
    presence = np.concatenate(([0.0], np.where(halfway > below, halfway, above)))
    return float(presence[cut]), THRESHOLDS[column]
