"""Choosing each class's presence, pixel and area threshold by the exact metric.

One pass over the class maps keeps the Dice of each image and class at every pair of pixel threshold and minimum area;
all else is sums of these. The presence threshold is exact over all cuts between the images' scores.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudrle import RLE
from cloudseg_sdk.config import TTA, Decision
from cloudseg_sdk.inference.engines import Output
from cloudseg_sdk.inference.postprocess import masks_by_threshold, presence_scores

THRESHOLDS = tuple(step / 32 for step in range(1, 32))
"""Pixel thresholds to choose from; exact in float32."""
MIN_AREAS = (0.0, *(2 ** (-halves / 2) for halves in range(20, 2, -1)))
"""Minimum areas to choose from, as fractions of the image: none, and 0.1% to 35% in steps of the square root of 2."""
STEPS = ("plain", "threshold", "presence", "min_area")
"""What may be chosen: nothing (0.5 on pixels); pixel thresholds; presence too; minimum areas too."""

_FOLDS = 5
# On 888 real scenes a minimum area chosen on 35, 107, 444 or 710 of them lost 0.001 to 0.003 on the others if it was
# taken at any gain, and nothing if at two standard errors. Thresholds smoothed over their neighbours gained nothing.
_STANDARD_ERRORS = 2.0
_ROUNDING = 1e-9  # sums that differ by less are ties


@dataclass(frozen=True)
class CalibrationStep:
    """What a model scores when some of its thresholds are chosen.

    Parameters
    ----------
    name
        One of :data:`STEPS`: each may choose what the one before it may, and one thing more.
    dice, dice_by_class
        The metric on the images that the thresholds were chosen on: too good by what was fitted.
    cross_fitted, cross_fitted_by_class
        The metric when each fifth of the images is scored with thresholds chosen on the others, which is what to expect
        of other images; None for a single image.
    """

    name: str
    dice: float
    dice_by_class: dict[str, float]
    cross_fitted: float | None
    cross_fitted_by_class: dict[str, float] | None


@dataclass(frozen=True)
class Calibration:
    """What :meth:`cloudseg_sdk.Segmenter.calibrate` chose, and what each step brought.

    Parameters
    ----------
    decision
        The thresholds, those of the last step.
    steps
        In the order of :data:`STEPS`.
    images
        Number of images.
    """

    decision: Decision
    steps: tuple[CalibrationStep, ...]
    images: int

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON can hold them."""
        return {**asdict(self), "decision": self.decision.to_dict(), "steps": [asdict(step) for step in self.steps]}


def calibrate_decision(
    outputs: Iterable[Output], truth: Sequence[Sequence[RLE]], classes: Sequence[str], tta: TTA = "none"
) -> Calibration:
    """Choose the thresholds that score best on these images.

    Of candidates that score the same, one without a minimum area goes before one with, then the pixel threshold nearest
    to 0.5, then the lowest presence. A minimum area is taken only where it gains more than two standard errors.

    Parameters
    ----------
    outputs
        What the network says of each image.
    truth
        Masks of each image and class, at the metric's size.
    classes
        Names.
    tta
        How the outputs were made; kept in the decision.
    """
    scores, dice = [], []
    for output, rles in zip(outputs, truth, strict=True):
        scores.append(presence_scores(*output))
        dice.append([dice_by_candidate(output.maps[:, :, channel], rle) for channel, rle in enumerate(rles)])
    all_scores, all_dice = np.array(scores), np.array(dice)
    empty = np.array([[float(rle.area == 0) for rle in rles] for rles in truth])
    pairs = [_Pairs(all_scores[:, k], empty[:, k], all_dice[:, k]) for k in range(len(classes))]

    rules = [_choose(one) for one in pairs]  # of each class, for each step
    fitted = [[rule.dice(one) for rule in by_step] for one, by_step in zip(pairs, rules, strict=True)]
    crossed = [_cross_fit(one) for one in pairs] if len(truth) > 1 else None
    final = [by_step[-1] for by_step in rules]
    return Calibration(
        decision=Decision(
            presence=tuple(rule.presence for rule in final),
            threshold=tuple(THRESHOLDS[rule.threshold] for rule in final),
            min_area=tuple(MIN_AREAS[rule.min_area] for rule in final),
            tta=tta,
        ),
        steps=_describe(np.stack(fitted, axis=-1), None if crossed is None else np.stack(crossed, axis=-1), classes),
        images=len(truth),
    )


def dice_by_candidate(probabilities: NDArray[np.float32], truth: RLE) -> NDArray[np.float64]:
    """Return the Dice of one class map ``(h, w)`` at the size of its truth, float64 ``(MIN_AREAS, THRESHOLDS)``.

    Components smaller than the least of the minimum areas are never looked at one by one: noise has thousands.
    """
    dice = np.empty((len(MIN_AREAS), len(THRESHOLDS)))
    for row, min_area in enumerate(MIN_AREAS[:2]):
        masks = masks_by_threshold(probabilities, truth.shape, THRESHOLDS, min_area)
        dice[row] = [mask.dice(truth) for mask in masks]
    fractions = np.array(MIN_AREAS[2:])[:, np.newaxis]
    for column, mask in enumerate(masks):
        parts = mask.components()
        areas = np.array([part.area for part in parts], np.int64)
        shared = np.array([_shared(part, truth) for part in parts], np.int64)
        kept = areas / math.prod(truth.shape) >= fractions
        total = kept @ areas + truth.area
        dice[2:, column] = np.where(total == 0, 1.0, 2 * (kept @ shared) / np.maximum(total, 1))
    return dice


def _shared(one: RLE, other: RLE) -> int:
    """Return the number of pixels in both; the quotient that Dice rounded is far nearer to it than a half."""
    return round(one.dice(other) * (one.area + other.area) / 2)


@dataclass(frozen=True)
class _Pairs:
    """One class in N images: presence scores, 1 where truth is empty, and the Dice of each candidate (N, A, T)."""

    scores: NDArray[np.float32]
    empty: NDArray[np.float64]
    dice: NDArray[np.float64]

    def take(self, images: NDArray[np.bool_]) -> _Pairs:
        return _Pairs(self.scores[images], self.empty[images], self.dice[images])


@dataclass(frozen=True)
class _Rule:
    """Thresholds of one class: a presence score, and positions in MIN_AREAS and THRESHOLDS."""

    presence: float
    min_area: int
    threshold: int

    def dice(self, pairs: _Pairs) -> NDArray[np.float64]:
        """Return each image's Dice, (N,): an image that the presence declares empty has 1 where it is."""
        shown = pairs.scores >= np.float32(self.presence)
        return np.where(shown, pairs.dice[:, self.min_area, self.threshold], pairs.empty)


def _choose(pairs: _Pairs) -> list[_Rule]:
    """Return the best rule for each of STEPS."""
    totals, presence = _totals(pairs)
    preferred = np.argsort(np.abs(np.array(THRESHOLDS) - 0.5), kind="stable")

    def best(cuts: int, areas: int) -> _Rule:
        candidates = totals[:areas, preferred, :cuts]
        # The first of the best, in the order of preference.
        found = np.argmax(candidates >= candidates.max() - _ROUNDING)
        area, threshold, cut = np.unravel_index(found, candidates.shape)
        return _Rule(float(presence[cut]), int(area), int(preferred[threshold]))

    plain = _Rule(0.0, 0, THRESHOLDS.index(0.5))
    threshold, present, sized = best(1, 1), best(len(presence), 1), best(len(presence), len(MIN_AREAS))
    gain = sized.dice(pairs) - present.dice(pairs)
    worth = gain.mean() > _STANDARD_ERRORS * gain.std() / math.sqrt(len(gain))
    return [plain, threshold, present, sized if worth else present]


def _totals(pairs: _Pairs) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Return the sum of Dice for every candidate and cut, ``(A, T, N + 1)``, and the presence ``(N + 1,)`` of each cut.

    Sorted by score, the images below a cut are declared empty and earn 1 where they are; the others earn their Dice.
    """
    order = np.argsort(pairs.scores, kind="stable")
    scores, empty, dice = pairs.scores[order], pairs.empty[order], pairs.dice[order]
    none = np.zeros((1, *dice.shape[1:]))
    kept = np.concatenate((np.cumsum(dice[::-1], axis=0)[::-1], none))
    declared = np.concatenate(([0.0], np.cumsum(empty)))
    below, above = scores, np.append(scores[1:], np.float32(1))
    # No presence parts equal scores, or declares empty what scores 1.
    possible = np.concatenate(([True], below < above))
    totals = np.where(possible, np.moveaxis(kept, 0, -1) + declared, -1.0)
    # Halfway between the last image below the cut and the first above it; no cut at all is exactly 0. In float32, like
    # the scores: between neighbours there is no half.
    halfway = (below + above) / 2
    return totals, np.concatenate((np.zeros(1, np.float32), np.where(halfway > below, halfway, above)))


def _cross_fit(pairs: _Pairs) -> NDArray[np.float64]:
    """Return the Dice ``(STEPS, N)`` of each image by rules chosen on the other folds."""
    count = len(pairs.scores)
    fold = np.random.default_rng(0).permutation(count) % _FOLDS
    dice = np.empty((len(STEPS), count))
    for number in range(min(_FOLDS, count)):
        inside = fold == number
        held_out = pairs.take(inside)
        dice[:, inside] = [rule.dice(held_out) for rule in _choose(pairs.take(~inside))]
    return dice


def _describe(
    fitted: NDArray[np.float64], crossed: NDArray[np.float64] | None, classes: Sequence[str]
) -> tuple[CalibrationStep, ...]:
    """Average the Dice ``(STEPS, N, C)`` of each pair, in the order in which evaluation does."""

    def by_class(dice: NDArray[np.float64]) -> dict[str, float]:
        return {name: float(value) for name, value in zip(classes, dice.mean(axis=0), strict=True)}

    return tuple(
        CalibrationStep(
            name=name,
            dice=float(fitted[step].mean()),
            dice_by_class=by_class(fitted[step]),
            cross_fitted=None if crossed is None else float(crossed[step].mean()),
            cross_fitted_by_class=None if crossed is None else by_class(crossed[step]),
        )
        for step, name in enumerate(STEPS)
    )
