"""Masks to run on: made from fixed seeds, and the competition's where its data lies beside the repository."""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import reference

Mask = npt.NDArray[np.uint8]
Shape = tuple[int, int]

CLOUDS = Path(__file__).parents[2] / "shared/clouds"
NO_CLOUDS = "no real data here: shared/clouds is not beside the repository"
REAL_SHAPE = (1400, 2100)
KINDS = ("smooth", "rough", "noise", "empty", "full")
_SIGMAS = {"smooth": 64.0, "rough": 16.0}


@dataclass(frozen=True)
class Case:
    """A mask that is made when it is first needed."""

    name: str
    make: Callable[[], Mask]

    @cached_property
    def mask(self) -> Mask:
        """The mask: 0 and 1, C order."""
        return np.ascontiguousarray(self.make())


def blurred(field: npt.NDArray[np.float64], sigma: float) -> npt.NDArray[np.float64]:
    """Gaussian blur that wraps around at the edges."""
    y, x = np.fft.fftfreq(field.shape[0])[:, np.newaxis], np.fft.rfftfreq(field.shape[1])
    kernel = np.exp(-2.0 * (np.pi * sigma) ** 2 * (y**2 + x**2))
    return np.fft.irfft2(np.fft.rfft2(field) * kernel, s=field.shape)


def mask_of(kind: str, shape: Shape, seed: int = 0) -> Mask:
    """Make a mask: blurred noise above its 65th percentile, coin flips, nothing or everything."""
    random = np.random.default_rng(seed)
    if kind in _SIGMAS:
        field = blurred(random.standard_normal(shape), _SIGMAS[kind])
        return np.asarray(field > np.quantile(field, 0.65), np.uint8)
    if kind == "noise":
        return random.integers(0, 2, shape, dtype=np.uint8)
    return np.full(shape, kind == "full", np.uint8)


def probabilities(shape: Shape, classes: int, seed: int = 0) -> npt.NDArray[np.float32]:
    """Class maps (1, height, width, classes) with large shapes, small specks and soft edges."""
    random = np.random.default_rng(seed)
    fields = []
    for sigma, weight in ((12.0, 1.0), (2.0, 0.3)):
        noise = (blurred(random.standard_normal(shape), sigma) for _ in range(classes))
        fields.append(np.stack([weight * field / field.std() for field in noise], -1))
    return np.asarray(1 / (1 + np.exp(-2 * sum(fields))), np.float32)[np.newaxis]


def real_rows() -> dict[str, str]:
    """Name and text of the eight original rows of train.csv."""
    with (CLOUDS / "real_rle_rows.csv").open(newline="") as lines:
        return {row["Image_Label"].replace(".jpg", ""): row["EncodedPixels"] for row in csv.DictReader(lines)}


def _painted(text: str) -> Mask:
    return np.asarray(reference.notebook_rle_to_mask(text or -1, *REAL_SHAPE) != 0, np.uint8)


def _tiled(tile: Shape, times: int) -> Mask:
    """Large mask without the cost of blurring one; the blur wraps around, so the tiles fit."""
    return np.tile(mask_of("smooth", tile), (times, times))


@cache
def cases(quick: bool) -> tuple[Case, ...]:
    """Every single mask, small ones only for a quick run."""
    found = [Case("full 1 x 1", partial(mask_of, "full", (1, 1)))]
    for shape in [(64, 96)] if quick else [(256, 384), (350, 525), REAL_SHAPE]:
        found += [Case(f"{kind} {shape[0]} x {shape[1]}", partial(mask_of, kind, shape)) for kind in KINDS]
    if not quick:
        found.append(Case("smooth 20000 x 20000", partial(_tiled, (2000, 2000), 10)))
        if CLOUDS.exists():
            found += [Case(f"real {name}", partial(_painted, text)) for name, text in real_rows().items()]
    return tuple(found)
