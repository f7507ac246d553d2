"""The presence head: in the network, in its loss, in both engines, in the score and in the masks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
import onnx
import pytest
import reference
from numpy.typing import NDArray

from cloudseg_sdk import CloudDataset, ConfigError, Decision, ModelConfig, Segmenter, TrainConfig
from cloudseg_sdk.bundle import read_bundle, write_bundle
from cloudseg_sdk.data.augment import Augmentation
from cloudseg_sdk.inference.engines import KerasEngine, OpenVINOEngine
from cloudseg_sdk.inference.postprocess import decide, presence_scores
from cloudseg_sdk.inference.tta import run_augmented
from cloudseg_sdk.metrics import METRIC_SIZE, pair_dice, truth_at_metric_size
from cloudseg_sdk.models.serving import serving_model
from cloudseg_sdk.models.unetpp import build_network
from cloudseg_sdk.models.weights import get_weights, set_weights, to_onnx
from cloudseg_sdk.network import EngineName
from cloudseg_sdk.training.batches import Samples

CLASSES = ("a", "b", "c")
CONFIG = ModelConfig(
    classes=CLASSES, input_size=(16, 24), filters=(4, 6, 8), output_stride=1, normalization="none", presence_head=True
)


def images(count: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, *CONFIG.input_size, 3), np.uint8)


def spread(network: keras.Model) -> None:
    """Make the head's answers differ from image to image and from class to class."""
    weights = get_weights(network)
    random = np.random.default_rng(3)
    weights["presence/kernel"] = random.normal(0, 0.3, weights["presence/kernel"].shape).astype(np.float32)
    weights["presence/bias"] = np.array([-1.0, 0.0, 1.0], np.float32)
    set_weights(network, weights)


@pytest.mark.parametrize("deep_supervision", [False, True])
def test_the_head_is_a_dense_layer_on_the_mean_of_the_coarsest_features(deep_supervision: bool) -> None:
    network = Segmenter.build(replace(CONFIG, deep_supervision=deep_supervision), seed=2).model
    spread(network)
    *maps, presence = network.outputs
    assert [tensor.shape for tensor in maps] == [(None, 16, 24, 3)] * (2 if deep_supervision else 1)
    assert presence.shape == (None, 3)
    scaled = np.random.default_rng(1).normal(size=(4, 16, 24, 3)).astype(np.float32)
    features = keras.Model(network.input, network.get_layer("conv31_2").output).predict_on_batch(scaled)
    weights = get_weights(network)
    logits = features.astype(np.float64).mean(axis=(1, 2)) @ weights["presence/kernel"] + weights["presence/bias"]
    np.testing.assert_allclose(network.predict_on_batch(scaled)[-1], 1 / (1 + np.exp(-logits)), atol=1e-5)


def test_the_head_changes_no_other_layer() -> None:
    with_head, without = (build_network(replace(CONFIG, presence_head=head)) for head in (True, False))
    names = {path: array.shape for path, array in get_weights(without).items()}
    more = {path: array.shape for path, array in get_weights(with_head).items()}
    assert more == {**names, "presence/kernel": (8, 3), "presence/bias": (3,)}


def test_the_head_stays_float32_under_mixed_precision() -> None:
    keras.config.set_dtype_policy("mixed_float16")
    try:
        network = build_network(CONFIG)
    finally:
        keras.config.set_dtype_policy("float32")
    assert network.get_layer("conv31_2").compute_dtype == "float16"
    assert {network.get_layer(name).compute_dtype for name in ("presence_pool", "presence")} == {"float32"}


@pytest.mark.parametrize("deep_supervision", [False, True])
def test_both_engines_give_maps_and_presence(deep_supervision: bool) -> None:
    config = replace(CONFIG, deep_supervision=deep_supervision)
    network = Segmenter.build(config, seed=2).model
    spread(network)
    graph = to_onnx(network, config)
    assert graph is not None
    names = [output.name for output in onnx.load_from_string(graph).graph.output]
    assert names == ([] if not deep_supervision else ["maps_1"]) + ["maps_2", "presence"]
    wanted = KerasEngine(serving_model(network, config)).run(images(3))
    found = OpenVINOEngine(graph).run(images(3))
    assert wanted.presence is not None
    assert found.presence is not None
    assert wanted.maps.shape == (3, 16, 24, 3)
    assert wanted.presence.shape == (3, 3)
    np.testing.assert_allclose(found.maps, wanted.maps, atol=1e-5)
    np.testing.assert_allclose(found.presence, wanted.presence, atol=1e-5)
    for number, one in enumerate(found.images()):
        np.testing.assert_array_equal(one.maps, found.maps[number])
        np.testing.assert_array_equal(one.presence, found.presence[number])
    assert np.ptp(wanted.presence) > 0.2
    assert (np.ptp(wanted.presence, axis=0) > 0.001).all()


def test_the_score_is_the_mean_of_the_head_and_of_the_highest_pixels() -> None:
    maps = np.random.default_rng(0).random((20, 30, 3), np.float32) ** 3
    head = np.array([0.0, 0.4, 1.0], np.float32)
    wanted = [reference.presence_score(maps[:, :, channel], float(head[channel])) for channel in range(3)]
    scores = presence_scores(maps, head)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, wanted, rtol=1e-6)


def test_the_head_can_empty_a_mask_and_save_one() -> None:
    maps = np.full((8, 8, 3), 0.6, np.float32)
    decision = Decision(presence=(0.5,) * 3, threshold=(0.5,) * 3, min_area=(0.0,) * 3)
    assert [rle.area for rle in decide(maps, (8, 8), decision)] == [64] * 3
    head = np.array([0.3, 0.5, 0.9], np.float32)  # means 0.45, 0.55, 0.75
    assert [rle.area for rle in decide(maps, (8, 8), decision, head)] == [0, 64, 64]
    strict = replace(decision, presence=(0.7,) * 3)
    assert [rle.area for rle in decide(maps, (8, 8), strict)] == [0] * 3
    assert [rle.area for rle in decide(maps, (8, 8), strict, head)] == [0, 0, 64]


def test_a_saved_head_scores_alike_in_both_engines(tmp_path: Path) -> None:
    segmenter = Segmenter.build(CONFIG)
    spread(segmenter.model)
    wanted = np.array([item.scores for item in segmenter.predict(images(5), batch_size=2)])
    bare = KerasEngine(serving_model(segmenter.model, CONFIG)).run(images(5))
    assert bare.presence is not None
    by_hand = [
        [reference.presence_score(maps[:, :, c], float(head[c])) for c in range(3)]
        for maps, head in zip(bare.maps, bare.presence, strict=True)
    ]
    np.testing.assert_allclose(wanted, by_hand, atol=1e-5)
    segmenter.save(tmp_path / "model.cloudseg", dtype="float16")
    engines: tuple[EngineName, ...] = ("keras", "openvino")
    for engine in engines:
        again = Segmenter.load(tmp_path / "model.cloudseg", engine=engine)
        assert again.config == CONFIG
        scores = np.array([item.scores for item in again.predict(images(5), batch_size=2)])
        np.testing.assert_allclose(scores, wanted, atol=2e-3)


# Flips, ensembles, calibration


def spread_segmenter(seed: int) -> Segmenter:
    segmenter = Segmenter.build(CONFIG, seed=seed)
    spread(segmenter.model)
    return segmenter


def engine_of(segmenter: Segmenter) -> KerasEngine:
    return KerasEngine(serving_model(segmenter.model, CONFIG))


def head_of(engine: KerasEngine, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
    presence = engine.run(batch).presence
    assert presence is not None
    return presence


def scores_by_hand(maps: NDArray[Any], presence: NDArray[Any]) -> NDArray[np.float64]:
    pairs = zip(maps, presence, strict=True)
    return np.array([[reference.presence_score(one[:, :, c], float(head[c])) for c in range(3)] for one, head in pairs])


def test_flips_average_what_the_head_says() -> None:
    segmenter = spread_segmenter(2)
    engine = engine_of(segmenter)
    batch = images(3)
    batch[:, :8] //= 8  # or a mirror image would say nearly the same
    batch[:, :, :12] //= 4
    mirrored = [batch, batch[:, ::-1], batch[:, :, ::-1], batch[:, ::-1, ::-1]]
    heads = [head_of(engine, np.ascontiguousarray(view)) for view in mirrored]
    presence = np.array(heads, np.float64).mean(axis=0)
    maps = reference.flipped_mean(lambda views: engine.run(views).maps, batch)
    found = run_augmented(engine, batch, "flips")
    assert found.presence is not None
    assert found.presence.dtype == np.float32
    np.testing.assert_allclose(found.presence, presence, atol=1e-6)
    predicted = np.array([item.scores for item in segmenter.predict(batch, tta="flips", batch_size=2)])
    np.testing.assert_allclose(predicted, scores_by_hand(maps, presence), atol=1e-5)
    assert np.abs(head_of(engine, batch) - presence).max() > 1e-3  # else either would do


def test_an_ensemble_averages_what_the_heads_say(tmp_path: Path) -> None:
    members = [spread_segmenter(seed) for seed in (2, 3)]
    outputs = [engine_of(member).run(images(3)) for member in members]
    assert outputs[0].presence is not None
    assert outputs[1].presence is not None
    maps = (outputs[0].maps.astype(np.float64) + outputs[1].maps) / 2
    presence = (outputs[0].presence.astype(np.float64) + outputs[1].presence) / 2
    wanted = scores_by_hand(maps, presence)
    ensemble = Segmenter.ensemble(members)
    ensemble.save(tmp_path / "both.cloudseg")
    for segmenter in (ensemble, Segmenter.load(tmp_path / "both.cloudseg")):
        scores = np.array([item.scores for item in segmenter.predict(images(3))])
        np.testing.assert_allclose(scores, wanted, atol=1e-4)
    assert np.abs(outputs[0].presence - outputs[1].presence).max() > 0.01  # else either would do


def test_calibration_and_evaluation_hear_the_head(tmp_path: Path) -> None:
    """With a presence between the score that the head gives and the one without it."""
    segmenter = spread_segmenter(2)
    random = np.random.default_rng(5)
    paths = [tmp_path / f"{number}.png" for number in range(6)]
    for path, image in zip(paths, images(6), strict=True):
        cv2.imwrite(str(path), image)
    masks = [np.kron(random.random((2, 3, 3)) < 0.4, np.ones((8, 8, 1))).astype(np.uint8) for _ in paths]
    output = engine_of(segmenter).run(np.ascontiguousarray(images(6)[:, :, :, ::-1]))
    with_head = np.array([presence_scores(*one) for one in output.images()])
    without = np.array([presence_scores(one.maps) for one in output.images()])
    decision = Decision(
        presence=tuple(float(cut) for cut in (with_head + without).mean(axis=0) / 2),
        threshold=(0.5,) * 3,
        min_area=(0.0,) * 3,
    )
    assert ((with_head < decision.presence) != (without < decision.presence)).any()
    there = with_head >= decision.presence
    dataset = CloudDataset.from_masks(paths, [m * t for m, t in zip(masks, there, strict=True)], CLASSES)

    segmenter.save(tmp_path / "model.cloudseg")
    write_bundle(
        tmp_path / "model.cloudseg", replace(read_bundle(tmp_path / "model.cloudseg"), decision=decision), "float32"
    )
    loaded = Segmenter.load(tmp_path / "model.cloudseg", engine="keras")
    by_hand, deaf = (
        np.mean(
            [
                pair_dice(truth_at_metric_size(example.rles), decide(one.maps, METRIC_SIZE, decision, head))
                for example, one, head in zip(dataset, output.images(), heads, strict=True)
            ]
        )
        for heads in ([one.presence for one in output.images()], [None] * 6)
    )
    assert loaded.evaluate(dataset).dice == pytest.approx(by_hand, abs=1e-3)
    assert abs(by_hand - deaf) > 0.01  # else it would not matter
    calibration = loaded.calibrate(dataset)
    assert any(calibration.decision.presence)
    assert loaded.evaluate(dataset).dice == calibration.steps[-1].dice


# Training


@pytest.fixture
def dataset(tmp_path: Path) -> CloudDataset:
    """One image of a single colour, so that flips change nothing; of its classes one is full, one has a pixel."""
    cv2.imwrite(str(tmp_path / "flat.png"), np.full((16, 24, 3), (30, 200, 90), np.uint8))
    mask = np.zeros((16, 24, 3), np.uint8)
    mask[:, :, 0], mask[5, 7, 2] = 1, 1
    return CloudDataset.from_masks([tmp_path / "flat.png"], [mask], CLASSES)


@pytest.mark.parametrize("weight", [0.0, 0.1, 3.0])
def test_the_loss_adds_the_heads_entropy_against_classes_that_have_a_pixel(
    dataset: CloudDataset, weight: float
) -> None:
    segmenter = Segmenter.build(CONFIG, seed=2)
    images, masks = Samples.of(dataset, CONFIG, progress=False).stack(slice(None))
    outputs = [np.asarray(one) for one in segmenter.model(images.astype(np.float32) / 127.5 - 1)]
    *heads, presence = outputs
    wanted = weight * reference.bce_loss(np.array([[1, 0, 1]]), presence)
    wanted += sum(reference.dice_loss(masks, head, "image") for head in heads) / len(heads)
    history = segmenter.fit(
        dataset,
        dataset,
        TrainConfig(
            epochs=1, batch_size=1, loss="dice", presence_weight=weight, augmentation=Augmentation.flips_only()
        ),
        progress=False,
    )
    assert history["loss"][0] == pytest.approx(wanted, rel=1e-3)  # the flip moves a single pixel
    assert reference.bce_loss(np.array([[1, 0, 1]]), presence) > 0.1


def test_the_head_learns_what_is_there(dataset: CloudDataset) -> None:
    segmenter = Segmenter.build(CONFIG, seed=2)
    segmenter.fit(
        dataset,
        dataset,
        TrainConfig(
            epochs=40,
            batch_size=1,
            learning_rate=0.02,
            loss="dice",
            presence_weight=1.0,
            augmentation=Augmentation.flips_only(),
        ),
        progress=False,
    )
    (image,) = Samples.of(dataset, CONFIG, progress=False).images
    presence = KerasEngine(serving_model(segmenter.model, CONFIG)).run(image[None]).presence
    assert presence is not None
    assert (presence[0] > 0.5).tolist() == [True, False, True]


@pytest.mark.parametrize("weight", [-0.1, float("nan"), float("inf")])
def test_a_weight_that_no_loss_can_have(dataset: CloudDataset, weight: float) -> None:
    with pytest.raises(ConfigError) as caught:
        Segmenter.build(CONFIG).fit(dataset, dataset, TrainConfig(presence_weight=weight))
    assert str(caught.value) == f"presence_weight must be 0 or a positive number, got {weight!r}"


@pytest.mark.parametrize("weights", [(1.0, 3.0), (0, 1), (2.0, 2.0)])
def test_heads_weigh_as_told(dataset: CloudDataset, weights: tuple[float, float]) -> None:
    segmenter = Segmenter.build(CONFIG, seed=2)
    images, masks = Samples.of(dataset, CONFIG, progress=False).stack(slice(None))
    first, last, presence = (np.asarray(one) for one in segmenter.model(images.astype(np.float32) / 127.5 - 1))
    losses = [reference.dice_loss(masks, head, "image") for head in (first, last)]
    wanted = np.average(losses, weights=weights) + 0.1 * reference.bce_loss(np.array([[1, 0, 1]]), presence)
    history = segmenter.fit(
        dataset,
        dataset,
        TrainConfig(epochs=1, batch_size=1, loss="dice", head_weights=weights, augmentation=Augmentation.flips_only()),
        progress=False,
    )
    assert history["loss"][0] == pytest.approx(wanted, rel=1e-3)
    assert abs(losses[0] - losses[1]) > 0.02


@pytest.mark.parametrize(
    "weights", [(1.0,), (1.0, 1.0, 1.0), (0.0, 0.0), (1.0, -1.0), (1.0, float("nan")), (1.0, float("inf")), ()]
)
def test_weights_that_no_heads_can_have(dataset: CloudDataset, weights: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError) as caught:
        Segmenter.build(CONFIG).fit(dataset, dataset, TrainConfig(head_weights=weights))
    assert str(caught.value) == (
        f"head_weights must be 2 numbers of at least 0, one for each head and not all 0; got {weights!r}"
    )
