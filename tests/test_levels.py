"""A level chosen at inference: the sub-network that ends at one head, in both engines and saved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from cloudseg_sdk import BundleError, ConfigError, Decision, ModelConfig, Segmenter
from cloudseg_sdk.bundle import read_bundle, write_bundle
from cloudseg_sdk.inference.engines import KerasEngine, OpenVINOEngine
from cloudseg_sdk.models.serving import serving_model
from cloudseg_sdk.models.unetpp import build_network, prune
from cloudseg_sdk.models.weights import get_weights, set_weights
from cloudseg_sdk.network import EngineName

CONFIG = ModelConfig(classes=("a", "b"), input_size=(32, 48), filters=(4, 5, 6, 7), output_stride=1, presence_head=True)
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 32, 48, 3), np.uint8)
VERSION_1 = Path(__file__).parent / "fixtures" / "bundle" / "version1.cloudseg"
ENGINES: tuple[EngineName, ...] = ("keras", "openvino")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("levels") / "model.cloudseg"
    segmenter = Segmenter.build(CONFIG, seed=1)
    segmenter.save(path, metrics={"dice": 0.5}, provenance={"data": "none"})
    decision = Decision((0.3, 0.3), (0.4, 0.4), (0.0, 0.0))
    write_bundle(path, replace(read_bundle(path), decision=decision), "float32")
    return path


def heads(path: Path) -> list[NDArray[np.float32]]:
    """What the whole network says at each head."""
    network = Segmenter.load(path, engine="keras").model
    outputs = network.predict_on_batch(IMAGES.astype(np.float32) / 127.5 - 1)
    return [np.asarray(maps) for maps in outputs[:-1]]


@pytest.mark.parametrize("level", [1, 2, 3])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_level_gives_the_maps_of_its_head(saved: Path, engine: EngineName, level: int) -> None:
    segmenter = Segmenter.load(saved, engine=engine, level=level)
    assert segmenter.engine == engine
    output = segmenter._running_engine().run(IMAGES)
    wanted = heads(saved)
    np.testing.assert_allclose(output.maps, wanted[level - 1], atol=1e-5)
    assert all(np.abs(other - output.maps).max() > 0.01 for k, other in enumerate(wanted, start=1) if k != level)
    assert (output.presence is not None) == (level == 3)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_level_leaves_thresholds_and_scores_behind_and_the_whole_keeps_them(saved: Path, engine: EngineName) -> None:
    part, whole = (Segmenter.load(saved, engine=engine, level=level) for level in (2, 3))
    assert (part.decision, part.metrics, part.provenance) == (Decision.plain(2), {}, {"data": "none"})
    assert part.config == replace(CONFIG, filters=(4, 5, 6), presence_head=False)
    assert (whole.decision.presence, whole.metrics, whole.config) == ((0.3, 0.3), {"dice": 0.5}, CONFIG)
    assert part(IMAGES[0]).masks.shape == (2, 32, 48)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_level_saved_is_the_smaller_network(saved: Path, tmp_path: Path, engine: EngineName) -> None:
    part = Segmenter.load(saved, engine=engine, level=1)
    part.save(tmp_path / "part.cloudseg")
    smaller = build_network(part.config)
    set_weights(smaller, read_bundle(tmp_path / "part.cloudseg").weights)
    whole = read_bundle(saved).weights
    assert set(get_weights(smaller)) < set(whole)
    for path, array in get_weights(smaller).items():
        np.testing.assert_array_equal(array, whole[path])
    again = Segmenter.load(tmp_path / "part.cloudseg")
    np.testing.assert_allclose(again._running_engine().run(IMAGES).maps, heads(saved)[0], atol=1e-5)


def test_a_pruned_network_shares_its_weights() -> None:
    network = build_network(CONFIG)
    part = prune(network, 2)
    engine = KerasEngine(serving_model(part, CONFIG.pruned(2)))
    before = engine.run(IMAGES).maps
    weights = get_weights(network)
    weights["conv11_1/kernel"] *= 1.5
    set_weights(network, weights)
    assert np.abs(engine.run(IMAGES).maps - before).max() > 1e-3
    assert {id(variable) for variable in part.variables} < {id(variable) for variable in network.variables}


def test_openvino_leaves_out_what_a_level_does_not_need(saved: Path) -> None:
    graph = read_bundle(saved).graph
    assert graph is not None

    def convolutions(level: int | None) -> int:
        return sum(node.get_type_name() == "Convolution" for node in OpenVINOEngine(graph, level)._model.get_ops())

    # Two a node, and one for the head: 3, 6 and 10 nodes; with level None the presence head is no convolution.
    assert [convolutions(level) for level in (1, 2, 3, None)] == [7, 13, 21, 21]


def test_a_pruned_encoder_of_keras_applications_is_the_smaller_network() -> None:
    config = ModelConfig(classes=("a",), input_size=(32, 64), filters=(4, 4, 4, 4, 4), encoder="mobilenetv3small")
    network = build_network(config)
    part, smaller = prune(network, 2), build_network(config.pruned(2))
    assert {variable.path for variable in part.variables} == {variable.path for variable in smaller.variables}
    set_weights(smaller, get_weights(part))
    scaled = np.random.default_rng(0).normal(size=(2, 32, 64, 3)).astype(np.float32)
    for one, other in zip(part.predict_on_batch(scaled), smaller.predict_on_batch(scaled), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("level", [0, 4, -1, 1.0, True, "2"])
def test_a_level_that_is_none(saved: Path, level: int) -> None:
    with pytest.raises(ConfigError) as caught:
        Segmenter.load(saved, level=level)
    assert str(caught.value) == f"level must be a whole number from 1 to 3, got {level!r}"


def test_without_deep_supervision_there_is_one_level() -> None:
    config = replace(CONFIG, deep_supervision=False)
    assert config.pruned(3) == config
    with pytest.raises(ConfigError) as caught:
        config.pruned(2)
    assert str(caught.value) == "level must be 3: without deep supervision no other head was trained"


def test_a_graph_of_an_earlier_release_has_no_levels_but_its_weights_have() -> None:
    with pytest.raises(BundleError) as caught:
        Segmenter.load(VERSION_1, level=1)
    assert str(caught.value) == (
        f"{VERSION_1}: the model's graph has no head of level 1, because an earlier release wrote it; load it with the "
        "keras engine and save it again"
    )
    segmenter = Segmenter.load(VERSION_1, engine="keras", level=1)
    assert isinstance(segmenter.model, keras.Model)
    assert segmenter(IMAGES[0]).masks.shape == (2, 32, 48)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_level_of_an_ensemble_is_that_of_its_members(saved: Path, tmp_path: Path, engine: EngineName) -> None:
    other = Segmenter.build(CONFIG, seed=2)
    other.save(tmp_path / "other.cloudseg")
    both = Segmenter.ensemble([Segmenter.load(saved), other])
    both.save(tmp_path / "both.cloudseg", metrics={"dice": 0.5}, provenance={"data": "none"})
    decision = Decision((0.3, 0.3), (0.4, 0.4), (0.0, 0.0))
    write_bundle(
        tmp_path / "both.cloudseg", replace(read_bundle(tmp_path / "both.cloudseg"), decision=decision), "float32"
    )
    part, whole = (Segmenter.load(tmp_path / "both.cloudseg", engine=engine, level=level) for level in (1, 3))
    assert (part.decision, part.metrics, part.provenance) == (Decision.plain(2), {}, {"data": "none"})
    assert (whole.decision, whole.metrics) == (decision, {"dice": 0.5})
    wanted = (heads(saved)[0] + heads(tmp_path / "other.cloudseg")[0]) / 2
    part.save(tmp_path / "part.cloudseg")
    for segmenter in (part, Segmenter.load(tmp_path / "part.cloudseg", engine=engine)):
        assert segmenter.config == CONFIG.pruned(1)
        np.testing.assert_allclose(segmenter._running_engine().run(IMAGES).maps, wanted, atol=1e-5)


def test_a_level_that_leaves_a_presence_head_to_some_members_alone(saved: Path, tmp_path: Path) -> None:
    deeper = Segmenter.build(replace(CONFIG, filters=(4, 5, 6, 7, 8)))
    Segmenter.ensemble([Segmenter.load(saved), deeper]).save(tmp_path / "both.cloudseg")
    with pytest.raises(ConfigError, match=r"the same presence_head: member 1 has True, member 2 False$"):
        Segmenter.load(tmp_path / "both.cloudseg", level=3)
