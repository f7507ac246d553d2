"""Calibration against its slow definition: every candidate, on masks, one by one."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cloudrle import RLE
from cloudseg_sdk.config import Decision
from cloudseg_sdk.inference.engines import Output
from cloudseg_sdk.inference.postprocess import decide, presence_scores
from cloudseg_sdk.metrics import pair_dice
from cloudseg_sdk.training.calibrate import (
    MIN_AREAS,
    STEPS,
    THRESHOLDS,
    Calibration,
    calibrate_decision,
    dice_by_candidate,
)

SIZE = (14, 20)  # of the truth; the definitions take a second for each hundred masks of this size

Maps = NDArray[np.float32]
Masks = NDArray[np.uint8]


def case(seed: int, images: int, classes: int = 2) -> tuple[Maps, Masks]:
    """Coarse maps ``(N, 7, 10, C)`` that know a little of their truth ``(N, C, *SIZE)``."""
    random = np.random.default_rng(seed)
    coarse = random.random((images, classes, 7, 10)) < 0.4
    coarse[random.random((images, classes)) < 0.4] = False
    truth = coarse.repeat(2, axis=2).repeat(2, axis=3).astype(np.uint8)
    maps = 0.35 * coarse.transpose(0, 2, 3, 1) + random.beta(1, 1.5, (images, 7, 10, classes)) * 0.65
    return maps.astype(np.float32), truth


def calibrate(maps: Maps, truth: Masks) -> Calibration:
    rles = [[RLE.from_mask(mask) for mask in masks] for masks in truth]
    return calibrate_decision(map(Output, maps), rles, [f"class {k}" for k in range(truth.shape[1])])


def check(maps: Maps, truth: Masks) -> Calibration:
    """Compare with the definition: the decision, and the Dice of each step, fitted and cross-fitted."""
    found = calibrate(maps, truth)
    images, classes = truth.shape[:2]
    areas, levels = list(MIN_AREAS), list(THRESHOLDS)
    scores = np.stack([presence_scores(image) for image in maps])
    fold = np.random.default_rng(0).permutation(images) % 5
    fitted, crossed = np.empty((len(STEPS), images, classes)), np.empty((len(STEPS), images, classes))
    for k in range(classes):
        empty = (~truth[:, k].any(axis=(1, 2))).astype(float)
        resized = [reference.resized_maps(image[:, :, k : k + 1], truth.shape[2:])[:, :, 0] for image in maps]
        pairs = zip(resized, truth[:, k], strict=True)
        table = np.stack([reference.candidate_dice(one, mask, levels, areas) for one, mask in pairs])
        everything = [scores[:, k], empty, table]

        def best(parts: list[reference.Maps]) -> list[reference.Rule]:
            return reference.best_rules(parts[0], parts[1], parts[2], areas, levels)

        def dice(rules: list[reference.Rule], parts: list[reference.Maps]) -> list[reference.Maps]:
            return [reference.rule_dice(rule, parts[0], parts[1], parts[2], areas, levels) for rule in rules]

        rules = best(everything)
        decision = found.decision
        assert (decision.min_area[k], decision.threshold[k], decision.presence[k]) == rules[-1]
        fitted[:, :, k] = dice(rules, everything)
        for inside in (fold == number for number in range(5 if images > 1 else 0)):
            if inside.any():
                rules = best([part[~inside] for part in everything])
                crossed[:, inside, k] = dice(rules, [part[inside] for part in everything])
    assert [step.name for step in found.steps] == list(STEPS)
    for number, step in enumerate(found.steps):
        assert step.dice == pytest.approx(fitted[number].mean(), abs=1e-12)
        assert list(step.dice_by_class.values()) == pytest.approx(fitted[number].mean(axis=0).tolist(), abs=1e-12)
        if images > 1:
            assert step.cross_fitted == pytest.approx(crossed[number].mean(), abs=1e-12)
            assert step.cross_fitted_by_class is not None
            wanted = crossed[number].mean(axis=0).tolist()
            assert list(step.cross_fitted_by_class.values()) == pytest.approx(wanted, abs=1e-12)
        else:
            assert (step.cross_fitted, step.cross_fitted_by_class) == (None, None)
    assert found.images == images
    return found


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.sampled_from([(1, 1), (5, 7), (12, 18), (30, 44)]))
def test_every_candidate_is_what_the_decision_would_score(seed: int, share: int, shape: tuple[int, int]) -> None:
    """Not nearly: the same bits, at ties with a threshold too."""
    random = np.random.default_rng(seed)
    maps = (random.integers(0, 33, (*shape, 1)) / 32).astype(np.float32) ** (share / 4)
    truth = RLE.from_mask(random.random((35, 52)) < share / 12)
    found = dice_by_candidate(maps[:, :, 0], truth)
    assert found.shape == (len(MIN_AREAS), len(THRESHOLDS))
    for row, min_area in enumerate(MIN_AREAS):
        for column, threshold in enumerate(THRESHOLDS):
            masks = decide(maps, truth.shape, Decision((0.0,), (threshold,), (min_area,)))
            assert found[row, column] == pair_dice([truth], masks)[0]


@pytest.mark.parametrize("pixels", [4, 8, 16, 32, 64])
def test_a_component_of_exactly_a_minimum_area_stays(pixels: int) -> None:
    maps = np.zeros((16, 16), np.float32)
    maps.flat[:pixels] = 1  # whole rows, or a part of one
    found = dice_by_candidate(maps, RLE.from_mask(maps))
    assert pixels / 256 in MIN_AREAS
    for row, min_area in enumerate(MIN_AREAS):
        assert (found[row] == (min_area <= pixels / 256)).all()


@pytest.mark.parametrize("images", [2, 5, 9])
def test_calibration_is_the_best_of_all_candidates(images: int) -> None:
    check(*case(images, images))


def test_each_step_scores_at_least_what_the_one_before_does() -> None:
    maps, truth = case(3, 40, 3)
    dice = [step.dice for step in calibrate(maps, truth).steps]
    assert dice == sorted(dice)
    assert dice[2] > dice[0] + 0.05


def test_calibration_does_not_cut_between_images_of_one_score() -> None:
    """Two maps are the same, but one truth is empty: no presence can tell them apart."""
    maps, truth = case(0, 6)
    maps[:3], truth[:3] = maps[3:], 0
    check(maps, truth)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_calibration_of_maps_that_are_all_alike(value: float) -> None:
    maps, truth = case(1, 6)
    maps[:] = value
    truth[:3], truth[3:, 0], truth[3:, 1] = 0, 1, 0
    check(maps, truth)


def test_of_thresholds_that_score_the_same_the_plainest_is_chosen() -> None:
    random = np.random.default_rng(0)
    truth = random.random((6, 2, *SIZE)) < 0.5
    truth[:3, 0] = False
    decision = check(truth.transpose(0, 2, 3, 1).astype(np.float32), truth.astype(np.uint8)).decision
    assert decision == Decision.plain(2)


def test_calibration_counts_an_image_emptied_by_its_pixels_alone() -> None:
    """An even map has the higher presence and no truth; only the threshold can empty it and spare the other."""
    maps = np.full((2, 7, 10, 1), 0.6, np.float32)
    maps[1], maps[1, :2, :1] = 0, 1
    truth = np.zeros((2, 1, *SIZE), np.uint8)
    truth[1, 0, :4, :2] = 1
    found = check(maps, truth)
    assert found.decision.threshold[0] > 0.6
    assert found.steps[-1].dice > 0.8


def test_calibration_between_neighbouring_floats() -> None:
    """Halfway between two adjacent float32 scores there is no float32."""
    for value in np.array([0.3, 0.5, 0.9, 0.9 + 2**-24], np.float32):
        maps = np.full((2, 7, 10, 1), value, np.float32)
        maps[1] = np.nextafter(value, np.float32(1))
        truth = np.zeros((2, 1, *SIZE), np.uint8)
        truth[1] = 1
        assert check(maps, truth).steps[-1].dice == 1


def test_calibration_of_one_image() -> None:
    for seed in range(3):
        check(*case(seed, 1))


def scattered(images: int) -> tuple[Maps, Masks]:
    """Half of the maps show one block, which is there; half as many pixels one by one, which are not."""
    maps, truth = np.zeros((images, *SIZE, 1), np.float32), np.zeros((images, 1, *SIZE), np.uint8)
    maps[::2, 2:6, 2:9] = 0.9
    truth[::2, 0, 2:6, 2:9] = 1
    for number in range(1, images, 2):
        maps[number, 1::2, 2::5] = 0.9
    assert (maps > 0).sum(axis=(1, 2, 3)).tolist() == [28] * images  # so that no presence tells them apart
    return maps, truth


def test_a_minimum_area_that_pays_is_found() -> None:
    found = check(*scattered(12))
    assert found.decision.min_area[0] > 1 / math.prod(SIZE)
    assert [step.dice for step in found.steps] == [0.5, 0.5, 0.5, 1]
    assert found.steps[-1].cross_fitted == 1


def test_a_minimum_area_that_helps_by_chance_is_left_alone() -> None:
    """One image of twenty gains by it, which is less than two standard errors."""
    maps, truth = scattered(20)
    maps[3:20:2], truth[3:20:2] = maps[:18:2], truth[:18:2]
    found = check(maps, truth)
    assert found.decision.min_area == (0.0,)
    assert found.steps[-1].dice == pytest.approx(0.95)


def test_the_order_of_the_images_decides_no_threshold() -> None:
    maps, truth = case(5, 30, 1)
    order = np.random.default_rng(1).permutation(30)
    assert calibrate(maps, truth).decision == calibrate(maps[order], truth[order]).decision


def test_a_calibration_is_json() -> None:
    found = calibrate(*case(6, 8))
    values = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert Decision.from_dict(values["decision"]) == found.decision
    assert [step["name"] for step in values["steps"]] == list(STEPS)
    assert values["steps"][3]["cross_fitted"] == found.steps[3].cross_fitted
    assert values["images"] == 8
