"""From class maps to masks: presence, resize, threshold, small components dropped, runs."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cloudrle import RLE
from cloudseg_sdk.config import Decision

PRESENCE_FRACTION = 0.095
"""The competition's winner scored presence by the mean of the highest 17,500 of 183,750 pixels."""


def presence_scores(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return each class's mean of its highest 9.5% of probabilities, float32 ``(C,)``, for maps ``(h, w, C)``."""
    flat = probabilities.reshape(-1, probabilities.shape[-1])
    count = max(1, round(PRESENCE_FRACTION * len(flat)))
    highest = np.partition(flat, len(flat) - count, axis=0)[-count:]
    # Along the first axis NumPy adds one row after another: in float32 a large map would lose the third digit.
    return np.asarray(highest.mean(axis=0, dtype=np.float64), np.float32)


def resize_map(probabilities: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Resize one class map ``(h, w)`` to `size` (height, width), half-pixel bilinear in float32."""
    resized = cv2.resize(np.ascontiguousarray(probabilities), size[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, np.float32)


def decide(probabilities: NDArray[np.float32], size: tuple[int, int], decision: Decision) -> tuple[RLE, ...]:
    """Turn one image's class maps ``(h, w, C)`` into one mask per class at `size` (height, width)."""
    scores = presence_scores(probabilities)
    empty = RLE.from_counts([size[0] * size[1]], size)
    rles = []
    for channel, score in enumerate(scores):
        if score < decision.presence[channel]:
            rles.append(empty)
            continue
        mask = (resize_map(probabilities[:, :, channel], size) >= decision.threshold[channel]).view(np.uint8)
        rles.append(RLE.from_mask(drop_small(mask, decision.min_area[channel])))
    return tuple(rles)


def drop_small(mask: NDArray[np.uint8], min_area: float) -> NDArray[np.uint8]:
    """Return `mask` without its 8-connected components smaller than `min_area`, a fraction of the whole."""
    if min_area * mask.size <= 1:
        return mask
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    keep = stats[:, cv2.CC_STAT_AREA] / mask.size >= min_area  # k / n * n can exceed k, k / n cannot exceed itself
    keep[0] = False  # label 0 is the background
    return np.asarray(keep[labels], np.uint8)
