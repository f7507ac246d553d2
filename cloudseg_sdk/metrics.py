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
class Scores:
    """How well some image-class pairs were predicted.

    Parameters
    ----------
    dice
        The competition's metric: mean Dice over all pairs; both empty counts 1, one empty counts 0.
    empty_dice
        What predicting nothing at all scores on the same pairs: the floor to beat.
    present_dice
        Mean Dice of the pairs whose truth is not empty; None where there are none.
    presence_precision
        Of the pairs whose predicted mask is not empty, the share whose truth is not; None where nothing was predicted.
    presence_recall
        Of the pairs whose truth is not empty, the share whose predicted mask is not; None where there are none.
    """

    dice: float
    empty_dice: float
    present_dice: float | None
    presence_precision: float | None
    presence_recall: float | None


@dataclass(frozen=True)
class Report(Scores):
    """What a model scored on a dataset: all pairs together, and those of each class.

    Parameters
    ----------
    by_class
        The scores of each class alone.
    images
        Number of images.
    """

    by_class: dict[str, Scores]
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


def summarize(
    dice: NDArray[np.float64],
    truth_empty: NDArray[np.bool_],
    predicted_empty: NDArray[np.bool_],
    classes: Sequence[str],
) -> Report:
    """Average pairs ``(images, classes)`` to a report."""
    by_class = {name: _score(dice[:, k], truth_empty[:, k], predicted_empty[:, k]) for k, name in enumerate(classes)}
    overall = _score(dice, truth_empty, predicted_empty)
    return Report(**vars(overall), by_class=by_class, images=len(dice))


def _score(dice: NDArray[np.float64], truth_empty: NDArray[np.bool_], predicted_empty: NDArray[np.bool_]) -> Scores:
    present, claimed = ~truth_empty, ~predicted_empty
    return Scores(
        dice=float(dice.mean()),
        empty_dice=float(truth_empty.mean()),
        present_dice=_mean(dice[present]),
        presence_precision=_mean(present[claimed]),
        presence_recall=_mean(claimed[present]),
    )


def _mean(values: NDArray[np.float64] | NDArray[np.bool_]) -> float | None:
    return float(values.mean()) if values.size else None
