"""The competition's metric on runs, and the road from class maps to masks, against dense definitions."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import reference
from numpy.typing import NDArray

from cloudrle import RLE
from cloudseg_sdk.config import Decision
from cloudseg_sdk.errors import ConfigError
from cloudseg_sdk.inference.postprocess import decide, masks_by_threshold, presence_scores
from cloudseg_sdk.metrics import METRIC_SIZE, Scores, pair_dice, summarize, truth_at_metric_size

Masks = NDArray[np.uint8]


def blobs(seed: int, shape: tuple[int, ...], share: float = 0.4) -> Masks:
    """Return masks ``(..., H, W)`` of blocks and specks, some of them empty or full."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((*shape[:-2], -(-shape[-2] // 7), -(-shape[-1] // 9))) < share
    masks = coarse.repeat(7, axis=-2).repeat(9, axis=-1)[..., : shape[-2], : shape[-1]]
    masks = masks ^ (rng.random(shape) < 0.02)
    flat = masks.reshape(-1, *shape[-2:])
    flat[::5], flat[3::11] = False, True
    return flat.reshape(shape).astype(np.uint8)


def smooth_maps(seed: int, shape: tuple[int, int, int]) -> NDArray[np.float32]:
    return np.random.default_rng(seed).beta(0.4, 0.6, shape).astype(np.float32)


def to_rles(masks: Masks) -> tuple[RLE, ...]:
    return tuple(RLE.from_mask(mask) for mask in masks)


def to_masks(rles: tuple[RLE, ...]) -> Masks:
    return np.stack([rle.to_mask() for rle in rles])


def one_class(presence: float = 0.0, threshold: float = 0.5, min_area: float = 0.0) -> Decision:
    return Decision((presence,), (threshold,), (min_area,))


# The metric


@pytest.mark.parametrize("shape", [(4, 35, 52), (1, 1, 1), (3, 64, 65)])
def test_pair_dice_is_the_dense_definition(shape: tuple[int, int, int]) -> None:
    for seed in range(10):
        truth, predicted = blobs(seed, shape), blobs(seed + 100, shape)
        wanted = [reference.dice(t, p) for t, p in zip(truth, predicted, strict=True)]
        np.testing.assert_allclose(pair_dice(to_rles(truth), to_rles(predicted)), wanted, rtol=1e-12)


def test_both_empty_is_one_and_one_empty_is_zero_however_small_the_other() -> None:
    empty, speck = np.zeros((2, 3), np.uint8), np.array([[0, 0, 0], [0, 0, 1]], np.uint8)
    truth, predicted = np.stack([empty, empty, speck, speck]), np.stack([empty, speck, empty, speck])
    assert pair_dice(to_rles(truth), to_rles(predicted)).tolist() == [1, 0, 0, 1]


def test_pairs_of_different_shapes_or_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(350, 525\).*\(35, 53\)|\(35, 53\).*\(350, 525\)|350 x 525|35 x 53"):
        pair_dice([RLE.from_counts([350 * 525], METRIC_SIZE)], [RLE.from_counts([35 * 53], (35, 53))])
    with pytest.raises(ValueError, match="zip"):
        pair_dice(to_rles(blobs(0, (2, 4, 4))), to_rles(blobs(0, (3, 4, 4))))


def test_truth_comes_to_the_metrics_size_by_area() -> None:
    masks = blobs(3, (4, 700, 1050))
    quarters = masks.reshape(4, 350, 2, 525, 2).sum((2, 4), dtype=int) >= 2
    np.testing.assert_array_equal(to_masks(truth_at_metric_size(to_rles(masks))), quarters)
    coarse = blobs(4, (2, 6, 10))
    wanted = [reference.area(mask, METRIC_SIZE) for mask in coarse]
    np.testing.assert_array_equal(to_masks(truth_at_metric_size(to_rles(coarse))), wanted)


def test_report_averages_pairs_and_classes() -> None:
    dice = np.array([[1.0, 0.25], [0.0, 0.5], [0.5, 0.0]])
    truth_empty = np.array([[True, False], [False, False], [False, True]])
    predicted_empty = np.array([[True, False], [True, False], [False, False]])
    report = summarize(dice, truth_empty, predicted_empty, ("a", "b"))
    assert (report.dice, report.empty_dice) == pytest.approx((2.25 / 6, 2 / 6))
    assert report.present_dice == pytest.approx((0.25 + 0.0 + 0.5 + 0.5) / 4)
    assert (report.presence_precision, report.presence_recall) == pytest.approx((3 / 4, 3 / 4))
    assert report.by_class == {
        "a": Scores(0.5, 1 / 3, 0.25, 1.0, 0.5),
        "b": Scores(0.25, 1 / 3, 0.375, 2 / 3, 1.0),
    }
    assert report.images == 3
    assert json.loads(json.dumps(report.to_dict()))["by_class"]["a"]["presence_recall"] == 0.5


def test_what_has_no_pairs_to_count_is_none() -> None:
    dice, yes, no = np.ones((2, 1)), np.full((2, 1), True), np.full((2, 1), False)
    assert summarize(dice, yes, yes, ("a",)).by_class["a"] == Scores(1.0, 1.0, None, None, None)
    assert summarize(dice * 0, yes, no, ("a",)).by_class["a"] == Scores(0.0, 1.0, None, 0.0, None)
    assert summarize(dice * 0, no, yes, ("a",)).by_class["a"] == Scores(0.0, 0.0, 0.0, None, 0.0)


def test_empty_dice_is_what_predicting_nothing_scores() -> None:
    masks = blobs(9, (7, 3, 20, 30))
    nothing = to_rles(np.zeros((3, 20, 30), np.uint8))
    dice = np.array([pair_dice(to_rles(truth), nothing) for truth in masks])
    report = summarize(dice, np.asarray(~masks.any(axis=(2, 3))), np.ones((7, 3), bool), ("a", "b", "c"))
    assert report.empty_dice == report.dice
    assert 0 < report.dice < 1


# Presence


@pytest.mark.parametrize("shape", [(35, 53, 3), (128, 192, 4), (1, 1, 2), (2, 5, 1)])
def test_presence_is_the_mean_of_the_highest_share(shape: tuple[int, int, int]) -> None:
    maps = smooth_maps(1, shape)
    wanted = [reference.presence_score(maps[:, :, channel]) for channel in range(shape[2])]
    np.testing.assert_allclose(presence_scores(maps), wanted, rtol=1e-6)
    head = np.linspace(0, 1, shape[2], dtype=np.float32)
    np.testing.assert_allclose(presence_scores(maps, head), (wanted + head) / 2, rtol=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.3, 0.77, 0.9, 1.0])
def test_presence_of_a_large_even_map_is_its_value(value: float) -> None:
    scores = presence_scores(np.full((512, 768, 2), value, np.float32))
    np.testing.assert_allclose(scores, value, rtol=1e-6)
    assert scores.dtype == np.float32


def test_presence_does_not_see_where_the_pixels_are_and_leaves_the_map_alone() -> None:
    maps = smooth_maps(2, (40, 60, 2))
    kept = maps.copy()
    shuffled = np.random.default_rng(0).permutation(maps.reshape(-1, 2)).reshape(maps.shape)
    np.testing.assert_allclose(presence_scores(maps), presence_scores(shuffled), rtol=1e-6)
    np.testing.assert_array_equal(maps, kept)


# Resize and threshold


@pytest.mark.parametrize("size", [(350, 525), (33, 50), (16, 24), (200, 31)])
def test_masks_are_the_resized_map_thresholded(size: tuple[int, int]) -> None:
    maps = smooth_maps(4, (32, 48, 3))
    thresholds = (0.2, 0.5, 0.83)
    rles = decide(maps, size, Decision((0.0,) * 3, thresholds, (0.0,) * 3))
    for channel, (rle, threshold) in enumerate(zip(rles, thresholds, strict=True)):
        assert rle.shape == size
        wanted = reference.bilinear(maps[:, :, channel], size)
        sure = np.abs(wanted - threshold) > 1e-5
        assert sure.mean() > 0.999
        np.testing.assert_array_equal(rle.to_mask()[sure], (wanted >= threshold)[sure])


def test_the_threshold_is_not_taken_to_8_bits_nor_before_resizing() -> None:
    edge = np.array([[0.0, 1.0]], np.float32)[:, :, None]  # from column 500 of 2000 it rises by a thousandth each
    for thousandths in range(205, 800, 7):
        (rle,) = decide(edge, (1, 2000), one_class(threshold=thousandths / 1000))
        assert rle.area == 1500 - thousandths


@pytest.mark.parametrize("threshold", [0.1, 0.2, 0.3, 0.5, 0.6, 0.7, 1.0, 0.0])
def test_a_pixel_at_the_threshold_is_foreground(threshold: float) -> None:
    level = np.float32(threshold)
    maps = np.array([np.nextafter(level, np.float32(-1)), level, np.nextafter(level, np.float32(2))], np.float32)
    (rle,) = decide(maps.reshape(1, 3, 1), (1, 3), one_class(threshold=threshold))
    assert rle.to_mask().tolist() == [[0, 1, 1]]


# Presence gate


def test_a_class_below_its_presence_is_left_empty_and_the_others_are_not() -> None:
    maps = smooth_maps(5, (32, 48, 3))
    scores = presence_scores(maps)
    just_above = float(np.nextafter(scores[1], np.float32(2)))
    cuts = (0.0, just_above, float(scores[2]))  # the third sits exactly at its cut, which keeps it
    plain, gated = (decide(maps, (64, 96), Decision(p, (0.5,) * 3, (0.0,) * 3)) for p in ((0.0,) * 3, cuts))
    assert gated[0] == plain[0]
    assert gated[1].area == 0 < plain[1].area
    assert gated[1].shape == (64, 96)
    assert gated[2] == plain[2]


def test_presence_looks_at_the_map_and_not_at_the_output() -> None:
    maps = smooth_maps(6, (32, 48, 1))
    cut = float(presence_scores(maps)[0])
    for size in ((8, 8), (350, 525)):
        assert decide(maps, size, one_class(presence=cut))[0].area > 0
        assert decide(maps, size, one_class(presence=cut + 1e-6))[0].area == 0


# Small components


def as_map(mask: Masks) -> NDArray[np.float32]:
    return mask.astype(np.float32)[:, :, None]


@pytest.mark.parametrize("pixels", [1, 2, 3, 5, 8, 20, 60])
def test_components_smaller_than_the_limit_are_dropped_and_no_others(pixels: int) -> None:
    for seed, share in enumerate((0.15, 0.3, 0.4, 0.6)):
        mask = (np.random.default_rng(seed).random((40, 61)) < share).astype(np.uint8)
        (rle,) = decide(as_map(mask), mask.shape, one_class(min_area=pixels / mask.size))
        np.testing.assert_array_equal(rle.to_mask(), reference.without_small(mask, pixels))


def test_pixels_that_touch_by_a_corner_are_one_component() -> None:
    diagonal = np.eye(6, 9, dtype=np.uint8)
    assert decide(as_map(diagonal), (6, 9), one_class(min_area=6 / 54))[0].area == 6
    assert decide(as_map(diagonal), (6, 9), one_class(min_area=6.5 / 54))[0].area == 0


def test_a_component_of_exactly_the_limit_stays_at_every_limit() -> None:
    """The limit is a fraction: k pixels of n must not be lost to the rounding of k / n * n."""
    height, width = METRIC_SIZE
    for pixels in (23, 46, 51, 59, 92, 1000, 1837, 17_500, 91_875):
        mask = np.zeros(METRIC_SIZE, np.uint8)
        mask.T.flat[:pixels] = 1
        (rle,) = decide(as_map(mask), METRIC_SIZE, one_class(min_area=pixels / (height * width)))
        assert rle.area == pixels
        (rle,) = decide(as_map(mask), METRIC_SIZE, one_class(min_area=(pixels + 1) / (height * width)))
        assert rle.area == 0


def test_a_component_just_below_the_limit_goes_at_every_limit() -> None:
    """The limit is the next number above k / n, and its product with n is k."""
    height, width = METRIC_SIZE
    for pixels in (37, 135, 17_500):
        mask = np.zeros(METRIC_SIZE, np.uint8)
        mask.T.flat[: pixels + 1] = 1
        limit = float(np.nextafter(pixels / mask.size, 1))
        assert limit * (height * width) == pixels
        assert decide(as_map(mask), METRIC_SIZE, one_class(min_area=limit))[0].area == pixels + 1
        mask.T.flat[pixels] = 0
        assert decide(as_map(mask), METRIC_SIZE, one_class(min_area=limit))[0].area == 0


def test_the_limit_is_a_fraction_of_the_output() -> None:
    mask = np.zeros((20, 30), np.uint8)
    mask[:6, :10] = 1  # a tenth of the image at every size
    for size in ((20, 30), (200, 300), (40, 90)):
        assert decide(as_map(mask), size, one_class(min_area=0.09))[0].area > 0
        assert decide(as_map(mask), size, one_class(min_area=0.11))[0].area == 0


def test_full_and_empty_masks_pass_any_limit() -> None:
    for value in (0, 1):
        mask = np.full((5, 7), value, np.uint8)
        for limit in (0.0, 0.5, 1.0):
            assert decide(as_map(mask), (5, 7), one_class(min_area=limit))[0].area == 35 * value


def test_each_class_has_its_own_three_numbers() -> None:
    maps = smooth_maps(8, (32, 48, 4))
    presence, threshold, min_area = (0.1, 0.999, 0.2, 0.3), (0.3, 0.4, 0.6, 0.9), (0.01, 0.0, 0.002, 0.0)
    rles = decide(maps, (40, 60), Decision(presence, threshold, min_area))
    for channel, rle in enumerate(rles):
        alone = Decision((presence[channel],), (threshold[channel],), (min_area[channel],))
        assert decide(maps[:, :, channel : channel + 1], (40, 60), alone) == (rle,)
    assert rles[1].area == 0
    assert all(rle.area for rle in (rles[0], rles[2], rles[3]))


def test_masks_by_threshold_are_those_of_the_decision() -> None:
    maps = smooth_maps(10, (32, 48, 1))
    thresholds = (0.1, 0.5, 0.5, 0.9)
    for size, min_area in (((64, 96), 0.0), ((33, 70), 0.002)):
        wanted = [decide(maps, size, one_class(threshold=level, min_area=min_area))[0] for level in thresholds]
        assert masks_by_threshold(maps[:, :, 0], size, thresholds, min_area) == wanted


# The decision itself


@pytest.mark.parametrize("name", ["presence", "threshold", "min_area"])
@pytest.mark.parametrize("values", [(0.5,), (0.5, 1.01), (0.5, -0.01), (0.5, float("nan")), (0.1, 0.2, 0.3)])
def test_a_decision_outside_its_range_or_of_another_length_is_refused(name: str, values: tuple[float, ...]) -> None:
    fields: dict[str, Any] = {"presence": (0.0, 0.0), "threshold": (0.5, 0.5), "min_area": (0.0, 0.0), name: values}
    with pytest.raises(ConfigError, match="one number from 0 to 1 for each class"):
        Decision(**fields)


def test_a_decision_survives_json_and_refuses_other_fields() -> None:
    decision = Decision((0.1, 0.25), (0.5, 1.0), (0.0, 1 / 3))
    values = json.loads(json.dumps(decision.to_dict()))
    assert Decision.from_dict(values) == decision
    with pytest.raises(ConfigError, match=r"missing \[\], unknown \['area'\]"):
        Decision.from_dict({**values, "area": [0.0, 0.0]})
    assert Decision.from_dict({**values, "tta": "flips"}).tta == "flips"
    with pytest.raises(ConfigError, match=r'tta must be "none" or "flips", got None'):
        Decision.from_dict({**values, "tta": None})
    del values["presence"]
    with pytest.raises(ConfigError, match=r"missing \['presence'\]"):
        Decision.from_dict(values)


def test_the_plain_decision_is_a_half_on_pixels() -> None:
    maps = smooth_maps(9, (32, 48, 2))
    rles = decide(maps, (32, 48), Decision.plain(2))
    np.testing.assert_array_equal(to_masks(rles), maps.transpose(2, 0, 1) >= 0.5)
