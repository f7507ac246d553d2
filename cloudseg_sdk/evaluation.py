"""Scoring a dataset: one pass over a network's outputs gives the numbers, and what a page shows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cloudrle import RLE
from cloudseg_sdk.config import Decision
from cloudseg_sdk.data.dataset import CloudDataset
from cloudseg_sdk.data.readers import Example
from cloudseg_sdk.inference.engines import Output
from cloudseg_sdk.inference.postprocess import decide, masks_by_threshold, presence_scores
from cloudseg_sdk.metrics import METRIC_SIZE, Report, pair_dice, summarize, truth_at_metric_size

CURVE_THRESHOLDS = tuple(step / 40 for step in range(1, 40))
CURVE_PRESENCES = tuple(step / 100 for step in range(101))


@dataclass(frozen=True)
class Scene:
    """One image with its masks, true and predicted, at the metric's size.

    Parameters
    ----------
    image
        The file.
    truth, predicted
        One mask per class.
    scores
        Presence score of each class, float32 ``(C,)``.
    dice
        Of each class, float64 ``(C,)``.
    """

    image: Path
    truth: tuple[RLE, ...]
    predicted: tuple[RLE, ...]
    scores: NDArray[np.float32]
    dice: NDArray[np.float64]


@dataclass(frozen=True)
class Curves:
    """What a dataset would score, float64 ``(C, points)``, if one threshold were another and the rest as they are.

    Parameters
    ----------
    threshold
        At each of CURVE_THRESHOLDS.
    presence
        At each of CURVE_PRESENCES.
    """

    threshold: NDArray[np.float64]
    presence: NDArray[np.float64]


def score_scene(example: Example, output: Output, decision: Decision) -> Scene:
    """Decide on what a network says of one image and compare with its labels."""
    truth = truth_at_metric_size(example.rles)
    predicted = decide(output.maps, METRIC_SIZE, decision, output.presence)
    return Scene(example.image, truth, predicted, presence_scores(*output), pair_dice(truth, predicted))


def report_scenes(scenes: list[Scene], classes: tuple[str, ...]) -> Report:
    """Average the scenes' scores."""

    def emptiness(masks: Iterable[tuple[RLE, ...]]) -> NDArray[np.bool_]:
        return np.array([[rle.area == 0 for rle in rles] for rles in masks])

    return summarize(
        np.array([scene.dice for scene in scenes]),
        emptiness(scene.truth for scene in scenes),
        emptiness(scene.predicted for scene in scenes),
        classes,
    )


def evaluate_outputs(
    dataset: CloudDataset, outputs: Iterable[Output], decision: Decision, *, curves: bool
) -> tuple[list[Scene], Curves | None]:
    """Score each image of a dataset, given what a network says of it, and trace the curves if wanted."""
    scenes, shown = [], []
    for example, output in zip(dataset, outputs, strict=True):
        scenes.append(score_scene(example, output, decision))
        if curves:
            shown.append(_dice_if_shown(output.maps, scenes[-1].truth, decision))
    return scenes, _trace(scenes, np.array(shown), decision) if curves else None


def _dice_if_shown(maps: NDArray[np.float32], truth: tuple[RLE, ...], decision: Decision) -> NDArray[np.float64]:
    """Return the Dice ``(C, points + 1)`` at CURVE_THRESHOLDS and then at the decision's, whatever the presence."""
    dice = []
    for channel, (rle, threshold, min_area) in enumerate(
        zip(truth, decision.threshold, decision.min_area, strict=True)
    ):
        thresholds = (*CURVE_THRESHOLDS, threshold)
        masks = masks_by_threshold(maps[:, :, channel], METRIC_SIZE, thresholds, min_area)
        dice.append([mask.dice(rle) for mask in masks])
    return np.array(dice)


def _trace(scenes: list[Scene], shown: NDArray[np.float64], decision: Decision) -> Curves:
    scores = np.array([scene.scores for scene in scenes])[:, :, np.newaxis]  # (N, C, 1)
    empty = np.array([[rle.area == 0 for rle in scene.truth] for scene in scenes], np.float64)[:, :, np.newaxis]
    present = scores >= np.array(decision.presence, np.float32)[:, np.newaxis]
    passing = scores >= np.array(CURVE_PRESENCES, np.float32)
    return Curves(
        threshold=np.where(present, shown[:, :, :-1], empty).mean(axis=0),
        presence=np.where(passing, shown[:, :, -1:], empty).mean(axis=0),
    )
