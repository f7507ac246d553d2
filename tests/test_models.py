"""The network against the notebook's own code, its options, its scaling, its weights and its ONNX graph."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import onnx.reference
import pytest
from keras.layers import Conv2D, Conv2DTranspose, Dropout, Input, MaxPool2D, concatenate
from keras.regularizers import l2
from numpy.typing import NDArray

from cloudseg_sdk import ModelConfig, Segmenter
from cloudseg_sdk.errors import BundleError, ConfigError
from cloudseg_sdk.graph import fill_graph, strip_graph
from cloudseg_sdk.inference.engines import OpenVINOEngine
from cloudseg_sdk.models.serving import Scale, serving_model
from cloudseg_sdk.models.unetpp import build_network
from cloudseg_sdk.models.weights import get_weights, name_kernels, set_weights, to_onnx

SIZE = (32, 48)
TINY = ModelConfig(classes=("a", "b"), input_size=SIZE, filters=(4, 6, 8), output_stride=1)
PLAIN = replace(  # the notebook's kind
    TINY,
    channels=1,
    scaling="standardize",
    activation="elu",
    normalization="none",
    dropout=0.5,
    upsampling="transpose",
    deep_supervision=False,
)


def images(count: int, seed: int = 0) -> NDArray[np.uint8]:
    """Noise of several contrasts, and one image of a single colour."""
    random = np.random.default_rng(seed)
    contrast = random.uniform(0.05, 1, (count, 1, 1, 1))
    noise = (random.integers(0, 256, (count, *SIZE, 3)) * contrast).astype(np.uint8)
    noise[-1] = (17, 120, 203)
    return noise


def predict(model: keras.Model, batch: NDArray[Any]) -> NDArray[np.float32]:
    return np.asarray(model.predict_on_batch(batch), np.float32)


def shake(network: keras.Model, seed: int) -> None:
    """Give every variable, moving statistics too, values that no initializer gives, yet no wild ones."""
    random = np.random.default_rng(seed)
    weights = get_weights(network)
    for path, array in weights.items():
        scale = 0.3 * array.std() if path.endswith("kernel") else 0.2
        noise = random.normal(0, scale, array.shape).astype(np.float32)
        weights[path] = np.exp(noise) if "variance" in path else array + noise
    set_weights(network, weights)


# The notebook


def standard_unit(input_tensor: Any, stage: str, nb_filter: int, kernel_size: int = 3) -> Any:
    """The notebook's cell."""
    act = "elu"
    dropout_rate = 0.5
    shape = (kernel_size, kernel_size)
    settings = {"kernel_initializer": "he_normal", "padding": "same"}
    x = Conv2D(nb_filter, shape, activation=act, name="conv" + stage + "_1", kernel_regularizer=l2(1e-4), **settings)(
        input_tensor
    )
    x = Dropout(dropout_rate, name="dp" + stage + "_1")(x)
    x = Conv2D(nb_filter, shape, activation=act, name="conv" + stage + "_2", kernel_regularizer=l2(1e-4), **settings)(x)
    return Dropout(dropout_rate, name="dp" + stage + "_2")(x)


def nest_net(
    img_rows: int,
    img_cols: int,
    nb_filter: tuple[int, ...],
    color_type: int = 1,
    num_class: int = 4,
    deep_supervision: bool = False,
) -> keras.Model:
    """The notebook's cell ``Nest_Net``, with its filters as an argument."""
    bn_axis = 3
    img_input = Input(shape=(img_rows, img_cols, color_type), name="main_input")

    conv1_1 = standard_unit(img_input, stage="11", nb_filter=nb_filter[0])
    pool1 = MaxPool2D((2, 2), strides=(2, 2), name="pool1")(conv1_1)

    conv2_1 = standard_unit(pool1, stage="21", nb_filter=nb_filter[1])
    pool2 = MaxPool2D((2, 2), strides=(2, 2), name="pool2")(conv2_1)

    up1_2 = Conv2DTranspose(nb_filter[0], (2, 2), strides=(2, 2), name="up12", padding="same")(conv2_1)
    conv1_2 = concatenate([up1_2, conv1_1], name="merge12", axis=bn_axis)
    conv1_2 = standard_unit(conv1_2, stage="12", nb_filter=nb_filter[0])

    conv3_1 = standard_unit(pool2, stage="31", nb_filter=nb_filter[2])
    pool3 = MaxPool2D((2, 2), strides=(2, 2), name="pool3")(conv3_1)

    up2_2 = Conv2DTranspose(nb_filter[1], (2, 2), strides=(2, 2), name="up22", padding="same")(conv3_1)
    conv2_2 = concatenate([up2_2, conv2_1], name="merge22", axis=bn_axis)
    conv2_2 = standard_unit(conv2_2, stage="22", nb_filter=nb_filter[1])

    up1_3 = Conv2DTranspose(nb_filter[0], (2, 2), strides=(2, 2), name="up13", padding="same")(conv2_2)
    conv1_3 = concatenate([up1_3, conv1_1, conv1_2], name="merge13", axis=bn_axis)
    conv1_3 = standard_unit(conv1_3, stage="13", nb_filter=nb_filter[0])

    conv4_1 = standard_unit(pool3, stage="41", nb_filter=nb_filter[3])
    pool4 = MaxPool2D((2, 2), strides=(2, 2), name="pool4")(conv4_1)

    up3_2 = Conv2DTranspose(nb_filter[2], (2, 2), strides=(2, 2), name="up32", padding="same")(conv4_1)
    conv3_2 = concatenate([up3_2, conv3_1], name="merge32", axis=bn_axis)
    conv3_2 = standard_unit(conv3_2, stage="32", nb_filter=nb_filter[2])

    up2_3 = Conv2DTranspose(nb_filter[1], (2, 2), strides=(2, 2), name="up23", padding="same")(conv3_2)
    conv2_3 = concatenate([up2_3, conv2_1, conv2_2], name="merge23", axis=bn_axis)
    conv2_3 = standard_unit(conv2_3, stage="23", nb_filter=nb_filter[1])

    up1_4 = Conv2DTranspose(nb_filter[0], (2, 2), strides=(2, 2), name="up14", padding="same")(conv2_3)
    conv1_4 = concatenate([up1_4, conv1_1, conv1_2, conv1_3], name="merge14", axis=bn_axis)
    conv1_4 = standard_unit(conv1_4, stage="14", nb_filter=nb_filter[0])

    conv5_1 = standard_unit(pool4, stage="51", nb_filter=nb_filter[4])

    up4_2 = Conv2DTranspose(nb_filter[3], (2, 2), strides=(2, 2), name="up42", padding="same")(conv5_1)
    conv4_2 = concatenate([up4_2, conv4_1], name="merge42", axis=bn_axis)
    conv4_2 = standard_unit(conv4_2, stage="42", nb_filter=nb_filter[3])

    up3_3 = Conv2DTranspose(nb_filter[2], (2, 2), strides=(2, 2), name="up33", padding="same")(conv4_2)
    conv3_3 = concatenate([up3_3, conv3_1, conv3_2], name="merge33", axis=bn_axis)
    conv3_3 = standard_unit(conv3_3, stage="33", nb_filter=nb_filter[2])

    up2_4 = Conv2DTranspose(nb_filter[1], (2, 2), strides=(2, 2), name="up24", padding="same")(conv3_3)
    conv2_4 = concatenate([up2_4, conv2_1, conv2_2, conv2_3], name="merge24", axis=bn_axis)
    conv2_4 = standard_unit(conv2_4, stage="24", nb_filter=nb_filter[1])

    up1_5 = Conv2DTranspose(nb_filter[0], (2, 2), strides=(2, 2), name="up15", padding="same")(conv2_4)
    conv1_5 = concatenate([up1_5, conv1_1, conv1_2, conv1_3, conv1_4], name="merge15", axis=bn_axis)
    conv1_5 = standard_unit(conv1_5, stage="15", nb_filter=nb_filter[0])

    outputs = []
    for number, node in enumerate((conv1_2, conv1_3, conv1_4, conv1_5), start=1):
        settings = {"kernel_initializer": "he_normal", "padding": "same", "kernel_regularizer": l2(1e-4)}
        outputs.append(Conv2D(num_class, (1, 1), activation="sigmoid", name=f"output_{number}", **settings)(node))
    return keras.Model(img_input, outputs if deep_supervision else [outputs[3]])


@dataclass(frozen=True)
class Pair:
    ours: keras.Model
    notebook: keras.Model


@pytest.fixture(scope="module", params=[False, True], ids=["one head", "four heads"])
def pair(request: pytest.FixtureRequest) -> Pair:
    """Build both from one state of the random generators."""
    keras.utils.set_random_seed(11)
    config = ModelConfig.notebook(deep_supervision=request.param)
    ours = build_network(config)
    keras.utils.set_random_seed(11)
    filters = (32, 64, 128, 256, 512)
    return Pair(ours, nest_net(*config.input_size, filters, deep_supervision=request.param))


def describe(model: keras.Model) -> list[dict[str, Any]]:
    """Every layer: its class, name, settings, and the layers that feed it, in order."""
    described = []
    for layer in model.get_config()["layers"]:
        config = dict(layer["config"])
        if layer["class_name"] == "Concatenate":
            config["axis"] %= 4  # -1 and 3 are one axis of (N, H, W, C)
        text = json.dumps(layer["inbound_nodes"])
        histories = [part.split('"')[1] for part in text.split('"keras_history": [')[1:]]
        described.append({"class": layer["class_name"], "config": config, "inputs": histories})
    return described


def test_every_layer_is_the_notebooks_in_its_order_with_its_settings_and_inputs(pair: Pair) -> None:
    ours, notebook = describe(pair.ours), describe(pair.notebook)
    assert [layer["config"]["name"] for layer in ours] == [layer["config"]["name"] for layer in notebook]
    for mine, wanted in zip(ours, notebook, strict=True):
        assert mine == wanted
    merge = next(layer for layer in ours if layer["config"]["name"] == "merge15")
    assert merge["inputs"] == ["up15", "dp11_2", "dp12_2", "dp13_2", "dp14_2"]


def test_layers_are_created_in_the_notebooks_order(pair: Pair) -> None:
    """Each initializer draws its seed when its layer is made, so only the same order gives the same weights."""
    for mine, wanted in zip(pair.ours.weights, pair.notebook.weights, strict=True):
        assert mine.path == wanted.path
        np.testing.assert_array_equal(mine, wanted)


def test_parameters_are_as_many_as_the_notebooks(pair: Pair) -> None:
    heads = 1 if len(pair.notebook.outputs) == 1 else 4
    assert pair.ours.count_params() == pair.notebook.count_params() == 9_041_700 + (heads - 1) * (32 + 1) * 4


def test_outputs_and_inputs_are_the_notebooks(pair: Pair) -> None:
    assert [tensor.shape for tensor in pair.ours.outputs] == [tensor.shape for tensor in pair.notebook.outputs]
    names = [[tensor._keras_history.operation.name for tensor in model.outputs] for model in (pair.ours, pair.notebook)]
    assert names[0] == names[1]
    assert pair.ours.input_shape == pair.notebook.input_shape == (None, 256, 384, 1)


@pytest.mark.parametrize("deep_supervision", [False, True])
@pytest.mark.parametrize("suffix", [".weights.h5", ".h5"])
def test_weights_saved_by_the_notebook_load(tmp_path: Path, suffix: str, deep_supervision: bool) -> None:
    filters = (2, 3, 4, 5, 6)
    notebook = nest_net(*SIZE, filters, deep_supervision=deep_supervision)
    path = str(tmp_path / f"nested_unet{suffix}")
    if suffix == ".h5":
        notebook.save(path)
    else:
        notebook.save_weights(path)
    config = replace(
        ModelConfig.notebook(deep_supervision=deep_supervision), input_size=SIZE, filters=filters, dropout=0.5
    )
    ours = build_network(config)
    scaled = np.random.default_rng(0).normal(size=(2, *SIZE, 1)).astype(np.float32)
    wanted = [np.asarray(maps) for maps in keras.tree.flatten(notebook(scaled))]
    before = [np.asarray(maps) for maps in keras.tree.flatten(ours(scaled))]
    ours.load_weights(path)
    after = [np.asarray(maps) for maps in keras.tree.flatten(ours(scaled))]
    assert len(wanted) == len(after) == (4 if deep_supervision else 1)
    for maps, fresh, loaded in zip(wanted, before, after, strict=True):
        assert np.abs(fresh - maps).max() > 0.01
        np.testing.assert_allclose(loaded, maps, atol=1e-6)


# Shapes and options


@pytest.mark.parametrize(
    ("levels", "stride", "heads"), [(2, 1, 1), (4, 1, 3), (6, 1, 5), (3, 2, 1), (5, 2, 3), (4, 4, 1), (6, 4, 3)]
)
def test_maps_have_the_output_size_at_every_depth_and_stride(levels: int, stride: int, heads: int) -> None:
    config = replace(TINY, input_size=(32, 96), filters=(2, 3, 2, 3, 2, 3)[:levels], output_stride=stride)
    network = build_network(config)
    assert config.output_size == (32 // stride, 96 // stride)
    assert [tensor.shape for tensor in network.outputs] == [(None, 32 // stride, 96 // stride, 2)] * heads


def test_at_half_resolution_only_the_first_row_is_left_out() -> None:
    """Levels of the grid above the output keep their encoder node alone, and lower nodes see all to their left."""
    network = build_network(replace(TINY, input_size=(32, 48), filters=(2, 3, 4, 5), output_stride=2))
    names = {layer.name for layer in network.layers}
    assert {name for name in names if name.startswith("merge")} == {"merge22", "merge32", "merge23"}
    assert {name for name in names if name.startswith("conv") and name.endswith("_1")} == {
        f"conv{node}_1" for node in ("11", "21", "31", "41", "22", "32", "23")
    }
    merge = next(layer for layer in describe(network) if layer["config"]["name"] == "merge23")
    assert merge["inputs"] == ["up23", "act21_2", "act22_2"]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"activation": "elu"},
        {"activation": "swish"},
        {"normalization": "none"},
        {"normalization": "group"},
        {"upsampling": "transpose"},
        {"dropout": 0.3},
        {"l2": 0.01},
        {"channels": 1, "scaling": "standardize"},
        {"deep_supervision": False},
        {"classes": ("only",)},
    ],
    ids=str,
)
def test_every_option_builds_what_it_says(changes: dict[str, Any]) -> None:
    config = replace(TINY, filters=(4, 6), **changes)
    network = build_network(config)
    kinds = {kind: [layer for layer in network.layers if type(layer).__name__ == kind] for kind in (
        "Conv2D", "BatchNormalization", "GroupNormalization", "Dropout", "Conv2DTranspose", "UpSampling2D", "Activation"
    )}  # fmt: skip
    units = [layer for layer in kinds["Conv2D"] if layer.name.startswith("conv")]
    assert len(units) == 6
    normalized = config.normalization != "none"
    assert len(kinds["BatchNormalization"]) == (6 if config.normalization == "batch" else 0)
    assert len(kinds["GroupNormalization"]) == (6 if config.normalization == "group" else 0)
    acting = kinds["Activation"] if normalized else units
    assert {layer.activation for layer in acting} == {keras.activations.get(config.activation)}
    assert {layer.use_bias for layer in units} == {not normalized}
    assert [layer.rate for layer in kinds["Dropout"]] == ([0.3] * 6 if config.dropout else [])
    assert len(kinds["Conv2DTranspose"]) == (config.upsampling == "transpose")
    assert len(kinds["UpSampling2D"]) == (config.upsampling == "nearest")
    penalties = [layer.kernel_regularizer for layer in kinds["Conv2D"]]
    assert all(penalty is None if not config.l2 else penalty.l2 == np.float32(0.01) for penalty in penalties)
    assert network.input_shape == (None, *SIZE, config.channels)
    maps = predict(serving_model(network, config), images(3))
    assert maps.shape == (3, *SIZE, len(config.classes))
    assert (maps > 0).all()
    assert (maps < 1).all()


def test_group_normalization_has_groups_of_eight_channels_or_of_what_divides_them() -> None:
    network = build_network(replace(TINY, filters=(12, 16, 7), normalization="group"))
    groups = {name: network.get_layer(f"gn{name}_1").groups for name in ("11", "21", "31")}
    assert groups == {"11": 3, "21": 2, "31": 7}


def test_group_normalization_does_not_look_at_other_images() -> None:
    network = build_network(replace(TINY, normalization="group"))
    scaled = np.random.default_rng(0).normal(size=(3, *SIZE, 3)).astype(np.float32)
    together = np.asarray(network(scaled, training=True)[-1])
    alone = np.asarray(network(scaled[:1], training=True)[-1])
    np.testing.assert_allclose(together[:1], alone, atol=1e-5)


def test_the_penalty_is_l2_of_every_kernel_but_the_upsampling() -> None:
    network = build_network(replace(PLAIN, l2=0.5))
    kernels = {path: array for path, array in get_weights(network).items() if path.endswith("kernel")}
    wanted = sum(0.5 * float(np.square(array).sum()) for path, array in kernels.items() if not path.startswith("up"))
    assert float(sum(network.losses)) == pytest.approx(wanted, rel=1e-5)


def test_the_default_preset_trains_heads_at_half_resolution() -> None:
    config = ModelConfig()
    assert config.classes == ("Fish", "Flower", "Gravel", "Sugar")
    network = build_network(config)
    assert network.input_shape == (None, 256, 384, 3)
    assert [tensor.shape for tensor in network.outputs] == [(None, 128, 192, 4)] * 3


@pytest.mark.parametrize("seed", [-1, 2**32, 1.0, None])
def test_a_seed_that_keras_has_not_is_named(seed: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        Segmenter.build(TINY, seed=seed)
    assert str(caught.value) == f"seed must be a whole number from 0 to 4294967295, got {seed!r}"


def test_one_seed_gives_the_same_weights_and_another_gives_others() -> None:
    first, again, other = (get_weights(Segmenter.build(TINY, seed=seed).model) for seed in (3, 3, 4))
    kernels = [path for path in first if path.endswith("kernel")]
    assert len(kernels) == 14
    for path, array in first.items():
        np.testing.assert_array_equal(array, again[path])
    assert all((first[path] != other[path]).all() for path in kernels)


def test_layers_of_one_shape_start_from_different_weights() -> None:
    weights = get_weights(Segmenter.build(TINY, seed=0).model)
    assert weights["conv12_2/kernel"].shape == weights["conv13_2/kernel"].shape
    assert (weights["conv12_2/kernel"] != weights["conv13_2/kernel"]).all()


# The configuration


@pytest.mark.parametrize(
    "changes",
    [
        {"classes": ()},
        {"classes": ("a", "a")},
        {"classes": ("a", "")},
        {"classes": "ab"},
        {"classes": ["a", "b"]},
        {"input_size": (30, 48)},
        {"input_size": (32, 48, 3)},
        {"input_size": (0, 48)},
        {"input_size": (32.0, 48.0)},
        {"input_size": (-32, 48)},
        {"channels": 2},
        {"channels": True},
        {"channels": 3.0},
        {"scaling": "none"},
        {"filters": (4,)},
        {"filters": (4, 0, 8)},
        {"filters": (4, 6.0, 8)},
        {"filters": [4, 6, 8]},
        {"filters": (2,) * 9},
        {"activation": "tanh"},
        {"normalization": None},
        {"upsampling": "bilinear"},
        {"output_stride": 8},
        {"output_stride": 3},
        {"output_stride": 2.0},
        {"output_stride": 4},
        {"deep_supervision": "no"},
        {"dropout": 1.0},
        {"dropout": -0.1},
        {"dropout": float("nan")},
        {"dropout": None},
        {"l2": -1e-9},
        {"l2": float("inf")},
        {"l2": "0.1"},
    ],
    ids=str,
)
def test_a_bad_configuration_is_named(changes: dict[str, Any]) -> None:
    (name, value), *_ = changes.items()
    named = "filters" if value == 4 else name  # a stride of 4 is fine, but asks for one level more
    with pytest.raises(ConfigError, match=rf"^{named} must be .*got "):
        replace(TINY, **changes)


@pytest.mark.parametrize("config", [TINY, PLAIN, ModelConfig(), ModelConfig.notebook(deep_supervision=True)])
def test_a_configuration_survives_json(config: ModelConfig) -> None:
    values = json.loads(json.dumps(config.to_dict()))
    assert ModelConfig.from_dict(values) == config
    del values["l2"]
    with pytest.raises(ConfigError, match=r"missing \['l2'\], unknown \['L2'\]"):
        ModelConfig.from_dict({**values, "L2": 0.0})


# Scaling


def luma(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    return (rgb.astype(np.float64) @ [0.299, 0.587, 0.114])[..., None]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("scaling", ["unit", "standardize"])
def test_scale_is_its_definition(channels: int, scaling: Any) -> None:
    batch = images(4)[:3]
    x = luma(batch) if channels == 1 else batch.astype(np.float64)
    standardized = np.stack([(image - image.mean()) / image.std() for image in x])
    wanted = standardized if scaling == "standardize" else x / 127.5 - 1
    scaled = np.asarray(Scale(channels, scaling)(batch))
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, wanted, atol=2e-5)


def test_unit_scaling_spans_minus_one_to_one() -> None:
    ends = np.stack([np.zeros((*SIZE, 3), np.uint8), np.full((*SIZE, 3), 255, np.uint8)])
    for channels in (1, 3):
        scaled = np.asarray(Scale(channels, "unit")(ends))
        np.testing.assert_allclose(scaled[0], -1, atol=1e-6)
        np.testing.assert_allclose(scaled[1], 1, atol=1e-6)


@pytest.mark.parametrize("value", [0, 1, 77, 254, 255])
def test_an_image_of_one_colour_is_standardized_to_zeros(value: int) -> None:
    flat = np.full((2, *SIZE, 3), value, np.uint8)
    for channels in (1, 3):
        np.testing.assert_allclose(np.asarray(Scale(channels, "standardize")(flat)), 0, atol=1e-3)


def test_contrast_under_one_grey_level_is_not_blown_up() -> None:
    almost = np.full((1, *SIZE, 3), 100, np.uint8)
    almost[0, 5, 7] = 104
    scaled = np.asarray(Scale(1, "standardize")(almost))
    np.testing.assert_allclose(scaled, luma(almost) - luma(almost).mean(), atol=1e-3)


def test_images_of_a_batch_are_standardized_each_by_itself() -> None:
    batch = images(3)
    together = np.asarray(Scale(3, "standardize")(batch))
    for number in range(3):
        alone = np.asarray(Scale(3, "standardize")(batch[number : number + 1]))
        np.testing.assert_allclose(together[number], alone[0], atol=1e-5)


def test_scale_survives_keras_serialization() -> None:
    layer = Scale(1, "standardize", name="scale")
    restored = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(restored) is Scale
    np.testing.assert_array_equal(np.asarray(restored(images(2))), np.asarray(layer(images(2))))


@pytest.fixture
def half_precision() -> Iterator[None]:
    keras.config.set_dtype_policy("mixed_float16")
    yield
    keras.config.set_dtype_policy("float32")


@pytest.mark.usefixtures("half_precision")
def test_scaling_and_maps_stay_float32_under_mixed_precision() -> None:
    for config in (TINY, PLAIN):
        network = build_network(config)
        assert network.get_layer("conv11_1").compute_dtype == "float16"
        serving = serving_model(network, config)
        scaled = keras.Model(serving.input, serving.get_layer("scale").output)
        values = scaled(images(2))
        assert keras.backend.standardize_dtype(values.dtype) == "float32"
        np.testing.assert_array_equal(
            np.asarray(values), np.asarray(Scale(config.channels, config.scaling, dtype="float32")(images(2)))
        )
        maps = serving.predict_on_batch(images(2))
        assert maps.dtype == np.float32
        assert all(array.dtype == np.float32 for array in get_weights(network).values())


# Serving


@pytest.mark.parametrize("config", [TINY, PLAIN], ids=["default kind", "notebook kind"])
def test_serving_is_scaling_and_then_the_last_head(config: ModelConfig) -> None:
    network = build_network(config)
    shake(network, 1)
    batch = images(3)
    scaled = Scale(config.channels, config.scaling)(batch)
    wanted = network.predict_on_batch(np.asarray(scaled))
    wanted = wanted[-1] if config.deep_supervision else wanted
    np.testing.assert_allclose(predict(serving_model(network, config), batch), wanted, atol=1e-6)


def test_serving_shares_the_networks_weights() -> None:
    network = build_network(TINY)
    serving = serving_model(network, TINY)
    before = predict(serving, images(2))
    shake(network, 2)
    after = predict(serving, images(2))
    assert np.abs(after - before).max() > 0.01
    np.testing.assert_allclose(after, predict(serving_model(network, TINY), images(2)), atol=1e-6)
    assert serving.count_params() == network.count_params()


# Weights


def test_weights_go_into_another_network_and_give_the_same_maps() -> None:
    first, second = build_network(TINY), build_network(TINY)
    shake(first, 3)
    weights = get_weights(first)
    assert all(array.dtype == np.float32 for array in weights.values())
    assert sum(array.size for array in weights.values()) == first.count_params()
    assert {"conv11_1/kernel", "bn11_1/moving_variance", "output_2/bias"} <= set(weights)
    set_weights(second, weights)
    np.testing.assert_array_equal(
        predict(serving_model(first, TINY), images(2)), predict(serving_model(second, TINY), images(2))
    )


def test_dropout_state_is_not_among_the_weights() -> None:
    assert len(get_weights(build_network(PLAIN))) == len(get_weights(build_network(replace(PLAIN, dropout=0.0))))


def test_weights_taken_are_a_copy() -> None:
    network = build_network(TINY)
    taken = get_weights(network)
    kept = {path: array.copy() for path, array in taken.items()}
    shake(network, 4)
    for path, array in taken.items():
        np.testing.assert_array_equal(array, kept[path])


def test_half_precision_arrays_become_float32_weights() -> None:
    network = build_network(TINY)
    weights = {path: array.astype(np.float16) for path, array in get_weights(network).items()}
    set_weights(network, weights)
    for path, array in get_weights(network).items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, weights[path])


def misfit(weights: dict[str, NDArray[Any]], kind: str) -> tuple[dict[str, NDArray[Any]], str]:
    """Spoil the last variable; return the weights and what the error says."""
    path = list(weights)[-1]
    array = weights.pop(path)
    match kind:
        case "missing":
            return weights, rf"missing \['{path}'\], unknown \[\]"
        case "renamed":
            return {**weights, "conv99/kernel": array}, rf"missing \['{path}'\], unknown \['conv99/kernel'\]"
        case "longer":
            return {**weights, path: np.zeros((*array.shape, 2), np.float32)}, rf"{path} has shape .*, wanted "
        case "empty":
            return {**weights, path: np.zeros(0, np.float32)}, rf"{path} has shape \(0,\), wanted "
        case _:
            return {**weights, path: np.full(array.shape, "x")}, rf"{path} holds <U1, wanted floating-point numbers"


@pytest.mark.parametrize("kind", ["missing", "renamed", "longer", "empty", "text"])
def test_misfitting_weights_are_named_and_change_nothing(kind: str) -> None:
    network, other = build_network(TINY), build_network(TINY)
    before = get_weights(network)
    weights, message = misfit(get_weights(other), kind)
    with pytest.raises(BundleError, match=message):
        set_weights(network, weights)
    for path, array in get_weights(network).items():
        np.testing.assert_array_equal(array, before[path])


# ONNX


@dataclass(frozen=True)
class Exported:
    config: ModelConfig
    network: keras.Model
    graph: bytes

    def serve(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        return predict(serving_model(self.network, self.config), batch)


@pytest.fixture(scope="module", params=[TINY, PLAIN], ids=["default kind", "notebook kind"])
def exported(request: pytest.FixtureRequest) -> Exported:
    config = replace(request.param, filters=(8, 12, 16))
    network = build_network(config)
    shake(network, 5)
    graph = to_onnx(network, config)
    assert graph is not None
    return Exported(config, network, graph)


def test_the_graph_gives_the_same_maps_in_openvino_at_any_batch_size(exported: Exported) -> None:
    engine = OpenVINOEngine(exported.graph)
    batch = images(5)
    wanted = exported.serve(batch)
    assert wanted.std() > 0.01
    for part in (slice(0, 3), slice(4, 5), slice(0, 5), slice(0, 3)):
        np.testing.assert_allclose(engine.run(batch[part]).maps, wanted[part], atol=1e-5)


def test_a_result_of_openvino_is_not_overwritten_by_the_next(exported: Exported) -> None:
    engine = OpenVINOEngine(exported.graph)
    first = engine.run(images(2, seed=1)).maps
    kept = first.copy()
    engine.run(images(2, seed=2))
    np.testing.assert_array_equal(first, kept)


def test_a_graph_holds_no_kernel_of_its_own(exported: Exported) -> None:
    weights = get_weights(exported.network)
    stripped = strip_graph(exported.graph, weights)
    constants = onnx.load_from_string(stripped).graph.initializer
    own = {constant.name: onnx.numpy_helper.to_array(constant) for constant in constants}
    assert not [name for name, array in own.items() if array.ndim > 1 and array.size > array.shape[0]]  # but scales
    taken = {name for node in onnx.load_from_string(stripped).graph.node for name in node.input} & set(weights)
    assert taken == {name for name, array in weights.items() if array.ndim > 1}
    onnx.checker.check_model(onnx.load_from_string(exported.graph), full_check=True)


def test_other_kernels_can_be_filled_in(exported: Exported) -> None:
    """As when they were stored as float16."""
    weights = get_weights(exported.network)
    rounded = {name: array.astype(np.float16) if array.ndim > 1 else array for name, array in weights.items()}
    batch = images(4)
    maps = OpenVINOEngine(fill_graph(strip_graph(exported.graph, weights), rounded)).run(batch).maps
    assert np.abs(maps - exported.serve(batch)).max() > 1e-5
    other = build_network(exported.config)
    set_weights(other, rounded)
    np.testing.assert_allclose(maps, predict(serving_model(other, exported.config), batch), atol=1e-5)


def test_constants_that_are_no_kernels_stay() -> None:
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(3, 3, 4, 5)).astype(np.float32)
    moved = kernel.transpose(3, 2, 0, 1)
    near = moved.copy()
    near[0, 0, 0, 0] *= 1.001
    constants = {
        "moved": moved,
        "scaled": moved * np.array([1, -2, 0, 4e-5, 6e5], np.float32).reshape(5, 1, 1, 1),
        "near": near,
        "other": rng.normal(size=moved.shape).astype(np.float32),
        "double": moved.astype(np.float64),
        "vector": rng.normal(size=5).astype(np.float32),
    }
    outputs = [onnx.helper.make_tensor_value_info(f"out_{name}", 1, None) for name in constants]
    nodes = [onnx.helper.make_node("Cast", [name], [f"out_{name}"], to=onnx.TensorProto.FLOAT) for name in constants]
    initializers = [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = onnx.helper.make_model(onnx.helper.make_graph(nodes, "constants", [], outputs, initializers))
    named = name_kernels(graph.SerializeToString(), {"conv/bias": constants["vector"], "conv/kernel": kernel})
    kept = {constant.name for constant in onnx.load_from_string(named).graph.initializer}
    assert kept == {"moved/scale", "scaled/scale", "near", "other", "double", "vector"}
    found = onnx.reference.ReferenceEvaluator(onnx.load_from_string(fill_graph(named, {"conv/kernel": kernel}))).run(
        None, {}
    )
    for array, wanted in zip(found, constants.values(), strict=True):
        np.testing.assert_allclose(array, wanted, rtol=1e-6)


def test_filled_weights_are_what_onnx_reads() -> None:
    weights: dict[str, NDArray[Any]] = {
        "a/kernel": np.arange(600, dtype=np.float16).reshape(2, 300),
        "ünï": np.full((1, 1), 7, np.float32),
        "empty": np.zeros((0, 3), np.float32),
        "a": np.ones(1, np.float32),  # not named, though a part of a name
    }
    nodes = [onnx.helper.make_node("Identity", [name], [f"out/{name}"]) for name in list(weights)[:3]]
    graph = onnx.helper.make_model(onnx.helper.make_graph(nodes, "names", [], [])).SerializeToString()
    filled = fill_graph(graph, weights)
    read = {one.name: onnx.numpy_helper.to_array(one) for one in onnx.load_from_string(filled).graph.initializer}
    assert list(read) == list(weights)[:3]
    for name, array in read.items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, weights[name])
    assert strip_graph(filled, weights) == graph
    others = {**weights, "a/kernel": weights["a/kernel"] + 1}
    assert strip_graph(filled, others) == filled
    assert fill_graph(graph, {"a": weights["a"]}) == graph
    assert fill_graph(graph, {"ünï": np.ones(1, np.float32)}) == graph  # named, but no kernel
