"""One colour for each class, the same in plots and overlays."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

# Okabe and Ito's palette (2008), which colour-blind people can tell apart.
_PALETTE = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167))
_TINT = 0.3  # of the class's colour; enough to see, and the cloud still shows through


def class_colours(count: int) -> list[tuple[int, int, int]]:
    """Return RGB colours for `count` classes; beyond seven they repeat."""
    return [_PALETTE[number % len(_PALETTE)] for number in range(count)]


def draw_masks(
    image: NDArray[np.uint8], masks: Sequence[NDArray[np.uint8]], colours: Sequence[tuple[int, int, int]]
) -> NDArray[np.uint8]:
    """Return a copy of an RGB image with each mask ``(H, W)`` tinted and outlined in its colour."""
    drawn = image.astype(np.float32)
    for mask, colour in zip(masks, colours, strict=True):
        inside = mask != 0
        drawn[inside] += _TINT * (np.array(colour, np.float32) - drawn[inside])
    result = np.rint(drawn).astype(np.uint8)
    thickness = max(1, round(min(image.shape[:2]) / 350))
    for mask, colour in zip(masks, colours, strict=True):
        outlines, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(result, outlines, -1, colour, thickness)
    return result


def draw_legend(
    image: NDArray[np.uint8], names: Sequence[str], colours: Sequence[tuple[int, int, int]]
) -> NDArray[np.uint8]:
    """Return a copy of an RGB image with a strip below it that names the colours."""
    height, width = image.shape[:2]
    unit = max(12, round(height / 25))
    strip = np.full((2 * unit, width, 3), 24, np.uint8)
    for number, (name, colour) in enumerate(zip(names, colours, strict=True)):
        left = unit // 2 + number * width // max(len(names), 1)
        cv2.rectangle(strip, (left, unit // 2), (left + unit, unit * 3 // 2), colour, cv2.FILLED)
        origin = (left + unit * 3 // 2, unit * 7 // 5)
        cv2.putText(strip, name, origin, cv2.FONT_HERSHEY_SIMPLEX, unit / 25, (255, 255, 255), 1, cv2.LINE_AA)
    return np.vstack([image, strip])
