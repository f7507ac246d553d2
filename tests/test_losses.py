"""The losses against their definitions in NumPy and in the notebook, at their edges, and in training."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import reference
import tensorflow as tf
from keras import ops
from numpy.typing import NDArray

from cloudseg_sdk import ModelConfig
from cloudseg_sdk.models.unetpp import build_network
from cloudseg_sdk.training.losses import LOSSES, BCEDice, BCEPositiveDice, Dice, FocalTversky, Lovasz, Pooling, Tversky

SMOOTHED = [name for name in LOSSES if name != "lovasz"]
POOLINGS: tuple[Pooling, ...] = ("image", "batch")
SHAPE = (3, 10, 14, 2)


def random_masks(seed: int, *, empty: bool = True) -> NDArray[np.uint8]:
    """Masks of every density; with `empty`, one pair has no foreground and one no background."""
    rng = np.random.default_rng(seed)
    masks = (rng.random(SHAPE) < rng.random((SHAPE[0], 1, 1, SHAPE[3]))).astype(np.uint8)
    if empty:
        masks[0, :, :, 0], masks[1, :, :, 1] = 0, 1
    return masks


def random_maps(seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(0.001, 0.999, SHAPE).astype(np.float32)


def gradient(loss: keras.losses.Loss, truth: Any, predicted: NDArray[Any]) -> NDArray[np.float64]:
    variable = tf.constant(predicted)
    with tf.GradientTape() as tape:
        tape.watch(variable)
        value = loss(truth, variable)
    return np.asarray(tape.gradient(value, variable), np.float64)


@pytest.mark.parametrize("per", POOLINGS)
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("seed", range(3))
def test_loss_is_its_definition_on_random_maps(name: str, per: Pooling, seed: int) -> None:
    truth, predicted = random_masks(seed), random_maps(seed)
    value = float(LOSSES[name](per=per)(truth, predicted))
    assert value == pytest.approx(reference.LOSSES[name](truth, predicted, per), rel=1e-5)


@pytest.mark.parametrize("per", POOLINGS)
@pytest.mark.parametrize("name", LOSSES)
def test_loss_is_its_definition_where_maps_are_all_zero_all_one_or_inverted(name: str, per: Pooling) -> None:
    truth = random_masks(5)
    for predicted in (np.zeros(SHAPE), np.ones(SHAPE), 1 - truth, truth):
        value = float(LOSSES[name](per=per)(truth, predicted.astype(np.float32)))
        # Float32 rounds the 1 - 1e-7 that bounds the logarithms to 1 - 1.2e-7; FocalTversky is bounded below by 3e-5.
        assert value == pytest.approx(reference.LOSSES[name](truth, predicted, per), rel=0.02, abs=5e-5)


@pytest.mark.parametrize("per", POOLINGS)
def test_parameters_enter_as_the_definition_says(per: Pooling) -> None:
    truth, predicted = random_masks(7), random_maps(8)
    dice = reference.dice_loss(truth, predicted, per, smooth=5.0)
    assert float(Dice(smooth=5.0, per=per)(truth, predicted)) == pytest.approx(dice, rel=1e-5)
    mixed = 0.25 * reference.bce_loss(truth, predicted) + 3.0 * dice
    value = BCEDice(bce_weight=0.25, dice_weight=3.0, smooth=5.0, per=per)(truth, predicted)
    assert float(value) == pytest.approx(mixed, rel=1e-5)
    positive = 0.5 * reference.bce_loss(truth, predicted) + 2.0 * reference.positive_dice_loss(
        truth, predicted, per, 5.0
    )
    value = BCEPositiveDice(bce_weight=0.5, dice_weight=2.0, smooth=5.0, per=per)(truth, predicted)
    assert float(value) == pytest.approx(positive, rel=1e-5)
    weights = {"fp_weight": 0.9, "fn_weight": 0.2, "smooth": 2.0}
    tversky = reference.focal_tversky_loss(truth, predicted, per, **weights)
    assert float(Tversky(per=per, **weights)(truth, predicted)) == pytest.approx(tversky, rel=1e-5)
    focal = reference.focal_tversky_loss(truth, predicted, per, **weights, gamma=2.0)
    assert float(FocalTversky(per=per, gamma=2.0, **weights)(truth, predicted)) == pytest.approx(focal, rel=1e-5)


def test_tversky_weighs_false_alarms_and_misses_as_named() -> None:
    nothing, everything = np.zeros((1, 4, 4, 1), np.float32), np.ones((1, 4, 4, 1), np.float32)
    false_alarm, miss = (nothing, everything), (everything, nothing)
    only_misses = Tversky(fp_weight=0.0, fn_weight=1.0)
    assert float(only_misses(*false_alarm)) == pytest.approx(0.0, abs=1e-6)
    assert float(only_misses(*miss)) == pytest.approx(1 - 1 / 17)  # 16 pixels and the smoothing


def test_tversky_with_halves_is_dice_of_half_the_smoothing() -> None:
    truth, predicted = random_masks(1), random_maps(2)
    halves = Tversky(fp_weight=0.5, fn_weight=0.5, smooth=1.0)(truth, predicted)
    assert float(halves) == pytest.approx(float(Dice(smooth=2.0)(truth, predicted)), rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("per", POOLINGS)
def test_two_empty_masks_cost_nothing_and_a_perfect_one_next_to_nothing(name: str, per: Pooling) -> None:
    loss = LOSSES[name](per=per)
    for truth in (np.zeros(SHAPE, np.float32), np.ones(SHAPE, np.float32), random_masks(3).astype(np.float32)):
        assert 0 <= float(loss(truth, truth)) < 1e-4


@pytest.mark.parametrize("name", ["dice", "tversky", "focal_tversky"])
def test_pooling_over_the_batch_lets_an_image_vouch_for_another_and_pooling_per_image_does_not(name: str) -> None:
    truth = np.zeros((2, 8, 8, 1), np.float32)
    truth[0] = 1
    noise = truth.copy()
    noise[1, 0, :4] = 1  # four wrong pixels in an empty image: 4/5 of its Dice is lost, and next to nothing of the sum
    assert float(LOSSES[name](per="image")(truth, noise)) > 2 * float(LOSSES[name](per="batch")(truth, noise))


def test_positive_dice_leaves_empty_masks_to_the_cross_entropy() -> None:
    only_dice = BCEPositiveDice(bce_weight=0.0, dice_weight=1.0)
    empty, noise = np.zeros(SHAPE, np.float32), random_maps(1)
    assert float(only_dice(empty, noise)) == 0
    assert (gradient(only_dice, empty, noise) == 0).all()
    truth = empty.copy()
    truth[1, :, :, 1] = random_masks(2)[1, :, :, 1]
    alone = Dice()(truth[1:2, :, :, 1:], noise[1:2, :, :, 1:])
    assert float(only_dice(truth, noise)) == pytest.approx(float(alone), rel=1e-6)


@pytest.mark.parametrize("per", POOLINGS)
def test_lovasz_of_binary_maps_is_the_jaccard_loss(per: Pooling) -> None:
    truth, predicted = random_masks(3), random_masks(4)
    predicted[0] = truth[0]  # of two empty masks it is 0
    pools = [(truth, predicted)] if per == "batch" else [
        (truth[n, :, :, c], predicted[n, :, :, c]) for n in range(SHAPE[0]) for c in range(SHAPE[3])
    ]  # fmt: skip
    wanted = [1 - (t & p).sum() / (t | p).sum() if (t | p).any() else 0.0 for t, p in pools]
    assert float(Lovasz(per=per)(truth, predicted)) == pytest.approx(float(np.mean(wanted)), rel=1e-5)


def test_lovasz_of_an_empty_mask_is_its_highest_probability() -> None:
    predicted = random_maps(1)[:1, :, :, :1]
    assert float(Lovasz()(np.zeros_like(predicted), predicted)) == pytest.approx(float(predicted.max()), rel=1e-5)


def notebook_dice_loss(y_true: Any, y_pred: Any) -> Any:
    """The notebook's cell, its TensorFlow calls spelled in Keras 3."""
    smooth = 1.0
    y_true_f = keras.layers.Flatten()(y_true)
    y_pred_f = keras.layers.Flatten()(y_pred)
    intersection = ops.sum(y_true_f * y_pred_f)
    return 1 - (2.0 * intersection + smooth) / (ops.sum(y_true_f) + ops.sum(y_pred_f) + smooth)


def test_per_batch_is_the_notebooks_loss() -> None:
    for seed in range(3):
        truth, predicted = random_masks(seed).astype(np.float32), random_maps(seed)
        dice = notebook_dice_loss(truth, predicted)
        assert float(Dice(per="batch")(truth, predicted)) == pytest.approx(float(dice), rel=1e-6)
        both = ops.mean(keras.losses.binary_crossentropy(truth, predicted) + dice)  # the mean is Keras' own reduction
        assert float(BCEDice(per="batch")(truth, predicted)) == pytest.approx(float(both), rel=1e-6)


@pytest.mark.parametrize("per", POOLINGS)
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_gradients_are_finite_at_the_extremes(name: str, per: Pooling, dtype: type) -> None:
    for truth in (random_masks(4), np.zeros(SHAPE, np.uint8), np.ones(SHAPE, np.uint8)):
        for predicted in (truth, 1 - truth, np.zeros(SHAPE), np.ones(SHAPE), np.full(SHAPE, 1e-30)):
            slopes = gradient(LOSSES[name](per=per), truth, predicted.astype(dtype))
            assert np.isfinite(slopes).all()


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_of_a_half_precision_network_are_finite(name: str) -> None:
    """Saturated heads on empty, full and mixed masks."""
    config = ModelConfig(classes=("a", "b", "c"), input_size=(16, 24), filters=(4, 4), output_stride=1)
    keras.config.set_dtype_policy("mixed_float16")
    try:
        network = build_network(config)
    finally:
        keras.config.set_dtype_policy("float32")
    truth = np.zeros((2, 16, 24, 3), np.uint8)
    truth[:, :, :, 1], truth[:, 4:9, 5:, 2] = 1, 1
    scaled = np.random.default_rng(0).normal(size=(2, 16, 24, 3)).astype(np.float32)
    for bias in (-100.0, 0.0, 100.0):
        network.get_layer("output_1").bias.assign(np.full(3, bias))
        with tf.GradientTape() as tape:
            loss = LOSSES[name]()(truth, network(scaled))
        slopes = tape.gradient(loss, network.trainable_variables)
        assert all(np.isfinite(slope).all() for slope in slopes)
        assert bias or any(np.any(slope) for slope in slopes)


@pytest.mark.parametrize("per", POOLINGS)
@pytest.mark.parametrize("name", LOSSES)
def test_gradient_is_the_slope_of_the_definition(name: str, per: Pooling) -> None:
    truth, predicted = random_masks(6, empty=False), random_maps(9).astype(np.float64)
    slopes = gradient(LOSSES[name](per=per), truth, predicted.astype(np.float32))
    step = 1e-6
    for place in [(0, 0, 0, 0), (1, 4, 7, 1), (2, 9, 13, 0)]:
        above, below = predicted.copy(), predicted.copy()
        above[place] += step
        below[place] -= step
        values = [reference.LOSSES[name](truth, maps, per) for maps in (above, below)]
        assert slopes[place] == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-3, abs=1e-7)


@pytest.mark.parametrize("name", LOSSES)
def test_half_precision_maps_are_summed_in_float32(name: str) -> None:
    truth = np.ones((1, 300, 400, 1), np.float16)  # 120,000 pixels: their sum is infinite in float16
    predicted = np.full(truth.shape, 0.75, np.float16)
    loss = LOSSES[name]()
    assert float(loss(truth, predicted)) == pytest.approx(reference.LOSSES[name](truth, predicted, "image"), rel=1e-4)
    slopes = gradient(loss, truth, predicted)
    assert np.isfinite(slopes).all()
    assert (slopes <= 0).all()
    assert slopes.min() < 0


@pytest.mark.parametrize("name", LOSSES)
def test_losses_stay_in_float32_where_keras_is_told_to_use_float16(name: str) -> None:
    keras.config.set_floatx("float16")
    try:
        loss = LOSSES[name]()
        truth = np.ones((1, 300, 400, 1), np.uint8)
        value = loss(truth, ops.full(truth.shape, 0.75, dtype="float16"))
    finally:
        keras.config.set_floatx("float32")
    assert keras.backend.standardize_dtype(value.dtype) == "float32"
    assert np.isfinite(float(value))


@pytest.mark.parametrize(
    "loss",
    [
        Dice(smooth=0.5, per="batch", name="mine"),
        BCEDice(bce_weight=0.1, dice_weight=2.0, smooth=3.0, per="batch"),
        BCEPositiveDice(bce_weight=0.1, dice_weight=2.0, smooth=3.0),
        Tversky(fp_weight=0.8, fn_weight=0.1, smooth=0.25),
        FocalTversky(gamma=1.5, fp_weight=0.6, fn_weight=0.9, smooth=4.0, per="batch"),
        Lovasz(per="batch"),
    ],
    ids=list(LOSSES),
)
def test_keras_serialization_keeps_class_and_parameters(loss: keras.losses.Loss) -> None:
    restored = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert type(restored) is type(loss)
    assert restored.get_config() == loss.get_config()
    truth, predicted = random_masks(1), random_maps(1)
    assert float(restored(truth, predicted)) == float(loss(truth, predicted))
    assert float(type(loss)()(truth, predicted)) != float(loss(truth, predicted))


@pytest.mark.parametrize("name", SMOOTHED)
@pytest.mark.parametrize("smooth", [0.0, -1.0, float("nan"), float("inf")])
def test_a_bad_smooth_is_named(name: str, smooth: float) -> None:
    with pytest.raises(ValueError, match=f"smooth must be finite and above 0, .* got {smooth}"):
        LOSSES[name](smooth=smooth)


@pytest.mark.parametrize("name", LOSSES)
def test_a_bad_pooling_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=r'^per must be "image" or "batch", got \'class\'$'):
        LOSSES[name](per="class")


@pytest.mark.parametrize(
    ("make", "bad"),
    [
        (BCEDice, {"bce_weight": -1.0}),
        (BCEDice, {"dice_weight": float("nan")}),
        (BCEPositiveDice, {"bce_weight": float("inf")}),
        (BCEPositiveDice, {"dice_weight": -0.1}),
        (Tversky, {"fp_weight": -0.1}),
        (Tversky, {"fn_weight": float("inf")}),
        (FocalTversky, {"fn_weight": -0.1}),
        (FocalTversky, {"gamma": 0.0}),
        (FocalTversky, {"gamma": -1.0}),
        (FocalTversky, {"gamma": float("nan")}),
        (FocalTversky, {"gamma": float("inf")}),
    ],
)
def test_a_bad_weight_is_named(make: type[keras.losses.Loss], bad: dict[str, float]) -> None:
    (name, value), *_ = bad.items()
    with pytest.raises(ValueError, match=rf"{name} must be .*, got {value!r}"):
        make(**bad)


@pytest.mark.parametrize("name", LOSSES)
def test_descending_a_loss_fits_one_batch(name: str) -> None:
    """Starting anywhere, plain gradient descent on the logits must end near the masks."""
    truth = tf.constant(random_masks(2).astype(np.float32))
    logits = tf.Variable(np.random.default_rng(3).normal(size=SHAPE).astype(np.float32))
    loss, optimizer = LOSSES[name](), keras.optimizers.Adam(0.3)
    optimizer.build([logits])
    values = []
    for _ in range(60):
        with tf.GradientTape() as tape:
            value = loss(truth, tf.sigmoid(logits))
        optimizer.apply([tape.gradient(value, logits)], [logits])
        values.append(float(value))
    assert values[-1] < 0.2 * values[0]
    assert np.mean((tf.sigmoid(logits).numpy() > 0.5) == (truth.numpy() > 0.5)) > 0.95
