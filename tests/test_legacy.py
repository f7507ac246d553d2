"""Files that Keras 2 wrote of the notebook's network: they predict the same, and nothing in them is run.

``fixtures/legacy`` holds what tf_keras 2.21 wrote with the notebook's own cells (widths 2, 3, 4, 3, 2; 16 x 32 pixels;
noise on all weights): a whole compiled model, one with deep supervision, weights alone; and what each predicts for `x`.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from cloudseg_sdk import BundleError, ConfigError, ModelConfig, Segmenter
from cloudseg_sdk.models.unetpp import build_network
from cloudseg_sdk.models.weights import get_weights

FIXTURES = Path(__file__).parent / "fixtures" / "legacy"
SIZE = (16, 32)
CONFIG = replace(ModelConfig.notebook(), input_size=SIZE, filters=(2, 3, 4, 3, 2))


def unpacked(name: str, folder: Path) -> Path:
    path = folder / f"{name}.h5"
    path.write_bytes(gzip.decompress((FIXTURES / f"{name}.h5.gz").read_bytes()))
    return path


@pytest.mark.parametrize(("name", "heads"), [("whole", 1), ("deep", 4), ("weights", 1)])
def test_a_file_of_keras_2_predicts_what_keras_2_predicted(name: str, heads: int, tmp_path: Path) -> None:
    segmenter = Segmenter.from_legacy(unpacked(name, tmp_path), input_size=SIZE if name == "weights" else None)
    assert segmenter.config == replace(CONFIG, deep_supervision=heads > 1)
    expected = np.load(FIXTURES / f"{name}.npz")
    found = segmenter.model.predict_on_batch(expected["x"])
    for number, maps in enumerate(found if heads > 1 else [found]):
        assert np.ptp(expected[f"y{number}"]) > 0.1
        np.testing.assert_allclose(maps, expected[f"y{number}"], atol=1e-5)


def test_a_converted_file_is_a_bundle_like_any_other(tmp_path: Path) -> None:
    segmenter = Segmenter.from_legacy(unpacked("whole", tmp_path), classes=("a", "b", "c", "d"))
    segmenter.save(tmp_path / "model.cloudseg")
    again = Segmenter.load(tmp_path / "model.cloudseg")
    assert again.engine == "openvino"
    assert again.classes == ("a", "b", "c", "d")
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    np.testing.assert_allclose(again(image).scores, segmenter(image).scores, atol=1e-5)


def test_weights_alone_take_the_notebooks_size(tmp_path: Path) -> None:
    assert Segmenter.from_legacy(unpacked("weights", tmp_path)).config.input_size == (256, 384)


def test_a_file_of_keras_3_is_read_as_well(tmp_path: Path) -> None:
    config = replace(CONFIG, activation="relu", dropout=0.25, l2=0.0, channels=3, deep_supervision=True)
    network = build_network(config)
    network.save(tmp_path / "model.h5")
    segmenter = Segmenter.from_legacy(tmp_path / "model.h5")
    assert segmenter.config == config
    weights = get_weights(network)
    for path, array in get_weights(segmenter.model).items():
        np.testing.assert_array_equal(array, weights[path])


def test_names_in_pieces_and_in_bytes_are_read(tmp_path: Path) -> None:
    """As Keras 2 writes lists of names above 64 kB, and as it wrote all of them in 2019."""
    path = unpacked("whole", tmp_path)
    with h5py.File(path, "r+") as file:
        group = file["model_weights"]
        names = [name.encode() for name in group.attrs["layer_names"]]
        del group.attrs["layer_names"]
        group.attrs["layer_names0"], group.attrs["layer_names1"] = np.array(names[:30]), np.array(names[30:])
        file.attrs["model_config"] = np.bytes_(file.attrs["model_config"])
    expected = np.load(FIXTURES / "whole.npz")
    found = Segmenter.from_legacy(path).model.predict_on_batch(expected["x"])
    np.testing.assert_allclose(found, expected["y0"], atol=1e-5)


def change_architecture(change: Callable[[dict[str, Any]], object]) -> Callable[[h5py.File], None]:
    """Change the layers' configurations, by name."""

    def edit(file: h5py.File) -> None:
        architecture = json.loads(file.attrs["model_config"])
        change({layer["config"]["name"]: layer for layer in architecture["config"]["layers"]})
        file.attrs["model_config"] = json.dumps(architecture)

    return edit


def set_unit(name: str, **values: object) -> Callable[[h5py.File], None]:
    return change_architecture(lambda layers: layers[name]["config"].update(values))


def as_lambda(layers: dict[str, Any]) -> None:
    layers["dp11_1"]["class_name"] = "Lambda"


def replaced(path: str, make: Callable[[h5py.File], object]) -> Callable[[h5py.File], None]:
    def edit(file: h5py.File) -> None:
        group, _, name = path.rpartition("/")
        del file[path]
        file[group][name] = make(file)

    return edit


def outside(file: h5py.File) -> h5py.ExternalLink:
    other = Path(file.filename).with_name("other.h5")
    with h5py.File(other, "w") as target:
        target["x"] = np.zeros((3, 3, 1, 2), np.float32)
    return h5py.ExternalLink(str(other), "x")


KERNEL = "model_weights/conv11_1/conv11_1/kernel:0"
NOT_OURS = "PATH is not of the notebook's network: "
DAMAGED = "PATH is no HDF5 file of Keras 2, or a damaged one: "


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (change_architecture(as_lambda), f"{NOT_OURS}it has layers of the kinds Lambda, wanted Concatenate, Conv2D, "),
        (
            set_unit("conv22_1", activation="relu"),
            f"{NOT_OURS}its convolutions have different activations: ['elu', 'relu']",
        ),
        (set_unit("dp22_1", rate=0.25), f"{NOT_OURS}its convolutions have different dropout rates: ['0.25', '0.5']"),
        (
            set_unit("conv22_1", kernel_regularizer=None),
            f"{NOT_OURS}its convolutions have different L2 penalties: ['0.0', '0.0001']",
        ),
        (
            set_unit("conv22_1", kernel_regularizer={"config": {"l1": 0.1, "l2": 0.1}}),
            f"{NOT_OURS}it has an L1 penalty",
        ),
        (
            lambda file: file["model_weights"].attrs.__setitem__("layer_names", np.array([b"conv11_1"])),
            f"{NOT_OURS}it has the weights ['conv11_1/kernel', 'conv11_1/bias'], wanted conv11_1/kernel and so on, ",
        ),
        (set_unit("output_4", activation="linear"), f"{NOT_OURS}its heads end in linear, wanted sigmoid"),
        (
            set_unit("main_input", batch_input_shape=[None, 15, 32, 1]),
            f"{NOT_OURS}input_size must be (height, width) in ",
        ),
        (
            replaced("model_weights/output_4/output_4/kernel:0", lambda _: np.zeros((1, 1, 2, 3), np.float32)),
            f"{NOT_OURS}it has 3 classes, got the names Fish, Flower, Gravel, Sugar",
        ),
        (
            replaced("model_weights/conv22_1/conv22_1/kernel:0", lambda _: np.zeros((5, 5, 6, 3), np.float32)),
            "weights: conv22_1/kernel has shape (5, 5, 6, 3), wanted (3, 3, 6, 3)",
        ),
        (
            lambda file: file["model_weights/conv22_1"].attrs.__setitem__(
                "weight_names", np.array([b"conv22_1/bias:0"])
            ),
            "the weights do not fit the configuration: missing ['conv22_1/kernel'], unknown []",
        ),
        (
            replaced(KERNEL, lambda _: np.zeros((3, 3, 1, 2), np.int32)),
            f"{DAMAGED}ValueError('conv11_1/kernel:0 ",
        ),
        (replaced(KERNEL, outside), f"{DAMAGED}ValueError('conv11_1/kernel:0 is not an array of "),
        (lambda file: file.__delitem__(KERNEL), f"{DAMAGED}KeyError("),
        (
            lambda file: file["model_weights"].attrs.__delitem__("layer_names"),
            f"{DAMAGED}ValueError('/model_weights has",
        ),
        (lambda file: file.attrs.modify("model_config", "{"), f"{DAMAGED}JSONDecodeError("),
        (lambda file: file.attrs.modify("model_config", "[" * 100_000), f"{DAMAGED}"),
        (lambda file: file.attrs.modify("model_config", "{}"), f"{DAMAGED}KeyError('config')"),
    ],
)
def test_what_is_not_the_notebooks_network_is_refused(
    change: Callable[[h5py.File], None], words: str, tmp_path: Path
) -> None:
    path = unpacked("whole", tmp_path)
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(BundleError) as caught:
        Segmenter.from_legacy(path)
    assert str(caught.value).replace(str(path), "PATH").startswith(words)


def test_classes_that_are_no_names_are_refused_and_the_file_is_not_blamed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^classes must be a tuple of different names, got 'abcd'$"):
        Segmenter.from_legacy(unpacked("whole", tmp_path), classes="abcd")  # type: ignore[arg-type]


def test_arrays_that_claim_too_much_are_refused_unread(tmp_path: Path) -> None:
    path = unpacked("weights", tmp_path)
    with h5py.File(path, "r+") as file:
        del file["conv11_1/conv11_1/kernel:0"]
        file["conv11_1/conv11_1"].create_dataset("kernel:0", (3, 3, 1 << 20, 64), "f4", chunks=(1, 1, 1024, 64))
    with pytest.raises(BundleError, match="the arrays claim more than 2,147,483,648 bytes"):
        Segmenter.from_legacy(path)


def test_a_file_that_is_no_hdf5_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.h5"
    for make in (lambda: path.write_bytes(b"PK\x03\x04"), lambda: path.write_bytes(b""), path.unlink):
        make()
        with pytest.raises(BundleError, match=r"^cannot read .*model\.h5 as HDF5: "):
            Segmenter.from_legacy(path)


def test_damage_anywhere_is_refused_or_harmless(tmp_path: Path) -> None:
    path = unpacked("weights", tmp_path)
    data = path.read_bytes()
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(40):
        damaged = bytearray(data)
        for place in random.integers(0, len(data), 200):
            damaged[place] = int(random.integers(0, 256))
        path.write_bytes(damaged)
        try:
            Segmenter.from_legacy(path, input_size=SIZE)
        except (BundleError, ConfigError):
            refused += 1
    assert refused
