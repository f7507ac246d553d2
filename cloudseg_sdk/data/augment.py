"""Random changes of an image together with its masks."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from cloudseg_sdk.data.images import Image
from cloudseg_sdk.errors import ConfigError

_PROBABILITIES = ("horizontal_flip", "vertical_flip", "warp", "cutout")
_LIMITS = {"shift": 1.0, "scale": 0.9, "rotation": 180.0, "brightness": 1.0, "contrast": 1.0, "cutout_size": 1.0}


@dataclass(frozen=True)
class Augmentation:
    """What may happen to a training image and its masks; the defaults are the preset to start from.

    Parameters
    ----------
    horizontal_flip, vertical_flip
        Probability of mirroring left and right, top and bottom.
    warp
        Probability that the image is shifted, scaled and rotated, all in one resampling. What comes from outside the
        image is black, like the gaps between a satellite's swaths, and belongs to no class.
    shift, scale, rotation
        Largest shift as a fraction of each side, largest change of size as a fraction of it, largest angle in degrees;
        each is drawn uniformly between minus and plus this.
    brightness, contrast
        Values become ``contrast * value + 255 * brightness``, clipped; `contrast` is drawn from 1 minus to 1 plus this,
        `brightness` from minus to plus this (the formula of Albumentations' RandomBrightnessContrast).
    cutout, cutout_size
        Probability that a box is blackened in the image alone, so that the network must tell from what surrounds it,
        and the box's sides as fractions of the image's; its centre is anywhere (DeVries and Taylor, arXiv 1708.04552).

    Raises
    ------
    ConfigError
        Where a value is no number or out of range.

    Examples
    --------
    >>> Augmentation(rotation=15).flips_only().rotation
    0.0
    """

    horizontal_flip: float = 0.5
    vertical_flip: float = 0.5
    warp: float = 0.5
    shift: float = 0.05
    scale: float = 0.1
    rotation: float = 10.0
    brightness: float = 0.1
    contrast: float = 0.1
    cutout: float = 0.0
    cutout_size: float = 0.25

    def __post_init__(self) -> None:
        for field in fields(self):
            value, limit = getattr(self, field.name), _LIMITS.get(field.name, 1.0)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= limit:
                raise ConfigError(f"{field.name} must be a number from 0 to {limit:g}, got {value!r}")

    @classmethod
    def flips_only(cls) -> Self:
        """Return the augmentation that mirrors, and does nothing else."""
        return cls(warp=0.0, shift=0.0, scale=0.0, rotation=0.0, brightness=0.0, contrast=0.0, cutout=0.0)

    @classmethod
    def none(cls) -> Self:
        """Return the augmentation that does nothing."""
        return replace(cls.flips_only(), horizontal_flip=0.0, vertical_flip=0.0)

    def draw(self, random: np.random.Generator, size: tuple[int, int]) -> Change:
        """Draw what happens to one image of this size.

        Every field has random numbers of its own: setting one leaves what the others do as it was.
        """
        chance = dict(zip(_PROBABILITIES, random.random(len(_PROBABILITIES)), strict=True))
        happens = {name: bool(chance[name] < getattr(self, name)) for name in _PROBABILITIES}
        spread = random.uniform(-1, 1, 6)
        centre = random.random(2)
        matrix = None
        if happens["warp"]:
            down, across = self.shift * spread[:2] * size
            grown, angle = 1 + self.scale * spread[2], np.radians(self.rotation * spread[3])
            flips = -1 if happens["vertical_flip"] else 1, -1 if happens["horizontal_flip"] else 1
            matrix = _matrix(size, (down, across), grown, angle, flips)
        tone = None
        if self.brightness or self.contrast:
            values = (1 + self.contrast * spread[4]) * np.arange(256) + 255 * self.brightness * spread[5]
            tone = np.rint(np.clip(values, 0, 255)).astype(np.uint8)
        hole = None
        if happens["cutout"]:
            edges = [np.rint((centre + half) * size) for half in (-self.cutout_size / 2, self.cutout_size / 2)]
            top, left, bottom, right = np.maximum(np.concatenate(edges), 0).astype(int).tolist()
            hole = slice(top, bottom), slice(left, right)
        return Change(size, (happens["vertical_flip"], happens["horizontal_flip"]), matrix, tone, hole)


@dataclass(frozen=True)
class Change:
    """What happens to one image and its masks, decided.

    Parameters
    ----------
    size
        (height, width) of the image.
    flips
        Up and down, left and right.
    matrix
        float64 ``(2, 3)``: where in the image each point (x, y) of the changed image comes from, flips included. Points
        are measured in pixels of the image from its corner, so that the same matrix serves masks of any size. None
        where flips are all that moves it.
    tone
        The value that each of the 256 becomes, or None.
    hole
        Rows and columns that are blackened in the image, or None.
    """

    size: tuple[int, int]
    flips: tuple[bool, bool]
    matrix: NDArray[np.float64] | None
    tone: NDArray[np.uint8] | None
    hole: tuple[slice, slice] | None

    def apply_to_image(self, image: Image, out: Image) -> None:
        """Write the changed image ``(*size, 3)`` to `out`; between pixels it is bilinear."""
        self._move(image, cv2.INTER_LINEAR, out)
        if self.tone is not None:
            cv2.LUT(out, self.tone, dst=out)
        if self.hole is not None:
            out[self.hole] = 0

    def apply_to_mask(self, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the changed mask ``(h, w)``, of whatever size; each pixel takes the nearest one's value."""
        out = np.empty_like(mask)
        self._move(mask, cv2.INTER_NEAREST, out)
        return out

    def _move(self, source: NDArray[np.uint8], interpolation: int, out: NDArray[np.uint8]) -> None:
        if self.matrix is not None:
            height, width = source.shape[:2]
            matrix = _between_pixels(self.matrix, (height / self.size[0], width / self.size[1]))
            cv2.warpAffine(source, matrix, (width, height), dst=out, flags=interpolation | cv2.WARP_INVERSE_MAP)
        elif any(self.flips):
            # NumPy would copy a reversed row fifty times as slowly.
            cv2.flip(source, {(True, False): 0, (False, True): 1, (True, True): -1}[self.flips], dst=out)
        else:
            np.copyto(out, source)


def _matrix(
    size: tuple[int, int], shift: tuple[float, float], grown: float, angle: float, flips: tuple[int, int]
) -> NDArray[np.float64]:
    """Undo, from the last step to the first: flip about the centre, grow, rotate, shift down and across."""
    centre = np.array([size[1], size[0]]) / 2
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    linear = np.diag(flips[::-1]) @ rotation / grown
    return np.column_stack([linear, centre - linear @ (centre + shift[::-1])])


def _between_pixels(matrix: NDArray[np.float64], scale: tuple[float, float]) -> NDArray[np.float64]:
    """Turn a matrix on points into one on a grid's pixel indices, whose points are their centres.

    `scale` is the size of the grid, (height, width), over that of the image.
    """
    to_grid = np.array(scale[::-1])
    linear = to_grid[:, np.newaxis] * matrix[:, :2] / to_grid
    return np.column_stack([linear, to_grid * matrix[:, 2] + linear @ (0.5, 0.5) - 0.5])
