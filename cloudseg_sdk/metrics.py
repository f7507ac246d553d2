"""The competition's metric, on runs: mean Dice over image-class pairs at 350 x 525."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudrle import RLE

METRIC_SIZE = (350, 525)
"""(height, width) at which the competition compares masks, and that of a submission."""


@dataclass(frozen=True)
class Report:
    """What a model scored on a dataset.

    Parameters
    ----------
    dice
        Mean over all image-class pairs; both empty counts 1, one empty counts 0.
    dice_by_class
        The same for each class alone.
    empty_dice
        What predicting nothing at all scores on the same pairs: the floor to beat.
    images
        Number of images.
    """

    dice: float
    dice_by_class: dict[str, float]
    empty_dice: float
    images: int

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON can hold them."""
        return asdict(self)


def truth_at_metric_size(rles: Iterable[RLE]) -> tuple[RLE, ...]:
    """Bring labels to 350 x 525: a pixel is foreground where at least half of its area is covered."""
    return tuple(rle.resize(METRIC_SIZE, "area") for rle in rles)


def pair_dice(truth: Sequence[RLE], predicted: Sequence[RLE]) -> NDArray[np.float64]:
    """Return the Dice of each class of one image, float64 ``(classes,)``; both empty is 1, one empty is 0.

    Examples
    --------
    >>> from cloudrle import RLE
    >>> empty, left, full = (RLE.from_mask([row]) for row in ([0, 0], [1, 0], [1, 1]))
    >>> pair_dice([empty, empty, left], [empty, left, full]).round(3).tolist()
    [1.0, 0.0, 0.667]
    """
    return np.array([one.dice(other) for one, other in zip(truth, predicted, strict=True)])


def summarize(dice: NDArray[np.float64], truth_empty: NDArray[np.bool_], classes: Sequence[str]) -> Report:
    """Average pairs ``(images, classes)`` to a report."""
    return Report(
        dice=float(dice.mean()),
        dice_by_class={name: float(value) for name, value in zip(classes, dice.mean(axis=0), strict=True)},
        empty_dice=float(truth_empty.mean()),
        images=len(dice),
    )
