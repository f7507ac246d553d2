"""Encoders of keras.applications: their features, scaling, weights, and their way into both engines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import keras
import numpy as np
import pytest

from cloudseg_sdk import CloudsegError, ConfigError, ModelConfig, Segmenter
from cloudseg_sdk.config import Encoder
from cloudseg_sdk.inference.engines import KerasEngine, OpenVINOEngine
from cloudseg_sdk.models.efficientnet_lite import efficientnet_lite0
from cloudseg_sdk.models.encoders import encode, encoder_stages
from cloudseg_sdk.models.serving import Scale, serving_model
from cloudseg_sdk.models.unetpp import build_network
from cloudseg_sdk.models.weights import get_weights, to_onnx

SIZE = (64, 96)
CONFIG = ModelConfig(
    classes=("a", "b"), input_size=SIZE, encoder="mobilenetv3small", filters=(4, 4, 6, 6, 8, 8), presence_head=True
)
IMAGES = np.random.default_rng(0).integers(0, 256, (2, *SIZE, 3), np.uint8)
PRETRAINED: list[Encoder] = [name for name in get_args(Encoder) if name != "unetpp"]

applications = keras.applications


def without_top(make: Callable[..., keras.Model]) -> Callable[..., keras.Model]:
    """EfficientNet-Lite0 has no other form."""
    return lambda include_top, **arguments: make(**arguments)


# As keras.applications documents them: images of 0..255, scaled by the model itself or by its preprocess_input.
AS_DOCUMENTED: dict[str, tuple[Any, Any]] = {
    "efficientnetlite0": (without_top(efficientnet_lite0), lambda images: (images - 127) / 128),
    "efficientnetv2b0": (applications.EfficientNetV2B0, applications.efficientnet_v2.preprocess_input),
    "mobilenetv2": (applications.MobileNetV2, applications.mobilenet_v2.preprocess_input),
    "mobilenetv3large": (applications.MobileNetV3Large, applications.mobilenet_v3.preprocess_input),
    "mobilenetv3small": (applications.MobileNetV3Small, applications.mobilenet_v3.preprocess_input),
    "resnet50v2": (applications.ResNet50V2, applications.resnet_v2.preprocess_input),
}


@pytest.mark.parametrize("name", PRETRAINED)
def test_features_are_those_of_keras_applications_with_weights_from_a_file(name: Encoder, tmp_path: Path) -> None:
    make, preprocess = AS_DOCUMENTED[name]
    keras.utils.set_random_seed(7)
    documented = make(include_top=False, weights=None, input_shape=(*SIZE, 3))
    for variable in documented.variables:  # statistics that a fresh model has not
        if variable.path.endswith("moving_mean"):
            variable.assign(np.random.default_rng(1).normal(0, 0.1, variable.shape))
    documented.save_weights(tmp_path / "encoder.weights.h5")
    segmenter = Segmenter.build(replace(CONFIG, encoder=name), seed=1, encoder_weights=tmp_path / "encoder.weights.h5")
    network = segmenter.model
    trained, given = get_weights(documented), get_weights(network)
    assert len(trained.keys() & given.keys()) > 100
    for path in trained.keys() & given.keys():
        np.testing.assert_array_equal(given[path], trained[path])

    merges = [network.get_layer(f"merge{row}2") for row in (2, 3, 4, 5)]
    features = [merge.input[1] for merge in merges] + [network.get_layer("up52").input]
    assert [SIZE[0] // tensor.shape[1] for tensor in features] == [2, 4, 8, 16, 32]
    names = [tensor._keras_history.operation.name for tensor in features]
    found = keras.Model(network.input, features).predict_on_batch(np.asarray(Scale(3, "unit")(IMAGES)))
    outputs = [documented.get_layer(one).output for one in names]
    wanted = keras.Model(documented.input, outputs).predict_on_batch(preprocess(IMAGES.astype(np.float32)))
    for one, other in zip(found, wanted, strict=True):
        assert np.ptp(other) > 0.01
        np.testing.assert_allclose(one, other, atol=2e-4 * np.abs(other).max())


@pytest.mark.parametrize("name", PRETRAINED)
@pytest.mark.parametrize("levels", [3, 6])
def test_a_shorter_encoder_ends_at_its_last_row(name: Encoder, levels: int) -> None:
    config = replace(CONFIG, encoder=name, filters=(4,) * levels)
    encoded = list(encode(keras.Input((*SIZE, 3)), config))
    rows = [(row, tuple(features.shape[1:3])) for row, features, _ in encoded]
    assert rows == [(row, (SIZE[0] // 2 ** (row - 1), SIZE[1] // 2 ** (row - 1))) for row in range(2, levels + 1)]
    for row, features, summary in encoded:
        assert summary.shape[1:3] == features.shape[1:3]
        assert (summary is features) == (row < 6 or name == "resnet50v2")


@pytest.mark.parametrize("presence", [False, True])
def test_the_stages_end_at_the_rows_and_what_the_classifier_has(presence: bool) -> None:
    config = replace(CONFIG, presence_head=presence)
    stages = encoder_stages(build_network(config), config)
    assert len(stages) == len(config.filters) - 1 + presence
    names = [layer.name for stage in stages for layer in stage]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", PRETRAINED)
def test_both_engines_agree(name: Encoder) -> None:
    config = replace(CONFIG, encoder=name, filters=(4, 4, 6, 6))  # the rest is more of the same, and slow to export
    network = build_network(config)
    graph = to_onnx(network, config)
    assert graph is not None
    wanted, found = KerasEngine(serving_model(network, config)).run(IMAGES), OpenVINOEngine(graph).run(IMAGES)
    assert wanted.maps.shape == (2, 32, 48, 2)
    assert wanted.presence is not None
    assert found.presence is not None
    np.testing.assert_allclose(found.maps, wanted.maps, atol=1e-4)
    np.testing.assert_allclose(found.presence, wanted.presence, atol=1e-4)


def test_a_saved_encoder_comes_back(tmp_path: Path) -> None:
    segmenter = Segmenter.build(CONFIG)
    segmenter.save(tmp_path / "model.cloudseg")
    again = Segmenter.load(tmp_path / "model.cloudseg")
    assert (again.engine, again.config) == ("openvino", CONFIG)
    np.testing.assert_allclose(again(IMAGES[0]).scores, segmenter(IMAGES[0]).scores, atol=1e-4)
    weights = get_weights(again.model)
    for path, array in get_weights(segmenter.model).items():
        np.testing.assert_array_equal(weights[path], array)


def test_without_weights_the_seed_decides() -> None:
    first, again, other = (get_weights(Segmenter.build(CONFIG, seed=seed).model) for seed in (3, 3, 4))
    assert all(np.array_equal(array, again[path]) for path, array in first.items())
    assert any(not np.array_equal(array, other[path]) for path, array in first.items())


def test_every_variable_of_the_encoder_is_taken_from_the_file(tmp_path: Path) -> None:
    ones = keras.applications.MobileNetV3Small(include_top=False, weights=None, include_preprocessing=False)
    ones.set_weights([np.full(array.shape, 0.5) for array in ones.get_weights()])
    ones.save_weights(tmp_path / "half.weights.h5")
    network = Segmenter.build(CONFIG, encoder_weights=str(tmp_path / "half.weights.h5")).model
    decoder = ("conv2", "conv3", "conv4", "conv5", "bn2", "bn3", "bn4", "bn5", "output_", "presence")
    for path, array in get_weights(network).items():
        assert path.startswith(decoder) != bool((array == 0.5).all()), path


STRIDES = (
    "encoder 'mobilenetv3small' has features at strides 2 to 32: output_stride must be 2 or 4 and filters at most 6, "
    "got "
)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"encoder": "vgg"}, f"encoder must be one of {list(get_args(Encoder))}, got 'vgg'"),
        (
            {"channels": 1},
            "encoder 'mobilenetv3small' wants channels=3, which its weights were trained on; got 1",
        ),
        (
            {"scaling": "standardize"},
            "encoder 'mobilenetv3small' wants scaling='unit', which its weights were trained on; got 'standardize'",
        ),
        ({"output_stride": 1}, f"{STRIDES}1 and 6"),
        ({"filters": (4,) * 7}, f"{STRIDES}2 and 7"),
    ],
)
def test_what_an_encoder_cannot_do(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        replace(CONFIG, **changes)
    assert str(caught.value) == words


def test_weights_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        Segmenter.build(CONFIG, encoder_weights=tmp_path / "none.h5")
    assert str(caught.value) == f'encoder_weights must be None, "imagenet" or a file, got {str(tmp_path / "none.h5")!r}'
    with pytest.raises(ConfigError) as caught:
        Segmenter.build(ModelConfig(), encoder_weights="imagenet")
    assert str(caught.value) == "the encoder \"unetpp\" has no weights of its own, got encoder_weights='imagenet'"


def test_weights_of_another_encoder_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.weights.h5"
    keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(32, 32, 3)).save_weights(path)
    with pytest.raises(CloudsegError, match=r"^cannot load the weights '.*other.weights.h5' of mobilenetv3small: "):
        Segmenter.build(CONFIG, encoder_weights=path)
    path.write_bytes(b"no weights")
    with pytest.raises(CloudsegError, match=r"^cannot load the weights '.*other.weights.h5' of mobilenetv3small: "):
        Segmenter.build(CONFIG, encoder_weights=path)


def test_imagenet_without_a_network_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The download goes to a port where nobody listens."""
    home = "keras.src.applications.mobilenet_v3.BASE_WEIGHT_PATH"
    monkeypatch.setattr(home, "http://127.0.0.1:9/")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path), raising=False)
    with pytest.raises(CloudsegError) as caught:
        Segmenter.build(CONFIG, encoder_weights="imagenet")
    words = str(caught.value)
    assert words.startswith("cannot load the weights 'imagenet' of mobilenetv3small: URL fetch failure on http://127")
    assert words.endswith("; without a network, give the path of a file")
