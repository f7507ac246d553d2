"""Encoders: what a network's first column of nodes is made of.

Each is a row of a table here: plain convolutions, a model of `keras.applications
<https://keras.io/api/applications/>`_ or EfficientNet-Lite0, whose weights may have been trained on ImageNet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import keras
from keras import applications

from cloudseg_sdk.config import ModelConfig
from cloudseg_sdk.errors import CloudsegError, ConfigError
from cloudseg_sdk.models.blocks import conv_unit
from cloudseg_sdk.models.efficientnet_lite import efficientnet_lite0


def encode(image: Any, config: ModelConfig) -> Iterator[tuple[int, Any, Any]]:
    """Yield row, features and summary, from fine to coarse: row r has stride ``2 ** (r - 1)``.

    The summary is what tells best what is in the image. At the end of an encoder other than "unetpp" it is what that
    has for its classifier, which may be wider than the features; elsewhere the features themselves.

    Parameters
    ----------
    image
        Keras tensor ``(N, *config.input_size, config.channels)``, scaled already.
    config
        Says which encoder; its last row is ``len(config.filters)``.
    """
    if config.encoder == "unetpp":
        yield from _plain(image, config)
    else:
        yield from _pretrained(image, config)


def load_encoder_weights(network: keras.Model, config: ModelConfig, source: str | Path) -> None:
    """Give the encoder of `network` weights that were trained before.

    Parameters
    ----------
    source
        "imagenet" downloads those of keras.applications, and takes those of EfficientNet-Lite0 from an installed
        package; a path is that of such a file: the encoder without its classifier ("notop"), or what
        ``save_weights("encoder.weights.h5")`` of such a model wrote.

    Raises
    ------
    ConfigError
        Where this encoder has no weights of its own, or there is no such file.
    CloudsegError
        Where the weights cannot be downloaded, or do not fit.
    """
    if config.encoder == "unetpp":
        raise ConfigError(f'the encoder "unetpp" has no weights of its own, got encoder_weights={str(source)!r}')
    if source != "imagenet" and not Path(source).is_file():
        raise ConfigError(f'encoder_weights must be None, "imagenet" or a file, got {str(source)!r}')
    encoder = _PRETRAINED[config.encoder]
    try:
        trained = encoder.build(weights=str(source), input_shape=(224, 224, 3))
    except CloudsegError:
        raise
    except Exception as error:  # Keras raises a bare Exception where a download fails
        remedy = "; without a network, give the path of a file" if source == "imagenet" else ""
        raise CloudsegError(f"cannot load the weights {str(source)!r} of {config.encoder}: {error}{remedy}") from error
    variables = {variable.path: variable for variable in trained.variables}
    for variable in network.variables:
        if variable.path in variables:
            variable.assign(variables[variable.path])


def encoder_stages(network: keras.Model, config: ModelConfig) -> list[list[Any]]:
    """Return the layers of the encoder of `network`, stage by stage: each ends at the features of one row.

    After the last of them there is one more, of what the encoder has for its classifier.

    Raises
    ------
    ConfigError
        Where the encoder is "unetpp", which nobody trained before.
    """
    if config.encoder == "unetpp":
        raise ConfigError('the encoder "unetpp" has no weights of its own to keep or to train more slowly')
    ends = [network.get_layer(name).output for name in _PRETRAINED[config.encoder].layers[: len(config.filters) - 1]]
    if config.presence_head:
        ends.append(network.get_layer("presence_pool").input)
    stages: list[list[Any]] = []
    seen: set[str] = set()
    for end in ends:
        layers = [layer for layer in keras.Model(network.input, end).layers if layer.name not in seen]
        seen |= {layer.name for layer in layers}
        stages.append(layers)
    return stages


def _plain(image: Any, config: ModelConfig) -> Iterator[tuple[int, Any, Any]]:
    """UNet++'s own: two convolutions a row, and pooling between rows."""
    x = image
    for row in range(1, len(config.filters) + 1):
        if row > 1:
            x = keras.layers.MaxPool2D(2, strides=2, name=f"pool{row - 1}")(x)
        x = conv_unit(x, config, row, 1)
        yield row, x, x


def _pretrained(image: Any, config: ModelConfig) -> Iterator[tuple[int, Any, Any]]:
    encoder = _PRETRAINED[config.encoder]
    x = image
    if encoder.scale is not None:
        x = keras.layers.Rescaling(encoder.scale, encoder.offset, dtype="float32", name="encoder_scale")(x)
    whole = encoder.build(weights=None, input_tensor=x)
    for row, name in enumerate(encoder.layers[: len(config.filters) - 1], start=2):
        features = whole.get_layer(name).output
        yield row, features, whole.output if name == encoder.layers[-1] else features


@dataclass(frozen=True)
class _Pretrained:
    """A model with the interface of keras.applications.

    Parameters
    ----------
    build
        Makes it, from ``weights`` and ``input_tensor`` or ``input_shape``.
    layers
        The last layer of each stride from 2 to 32 that is not widened for the next block.
    scale, offset
        Bring images of -1..1 to what its weights were trained on; None where that is it.
    """

    build: Callable[..., keras.Model]
    layers: tuple[str, str, str, str, str]
    scale: float | list[float] | None = None
    offset: float | list[float] | None = None


_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's RGB in 0..1, as in torchvision

_PRETRAINED = {
    "efficientnetlite0": _Pretrained(
        efficientnet_lite0,
        ("block1a_project_bn", "block2b_add", "block3b_add", "block5c_add", "block7a_project_bn"),
        scale=127.5 / 128,
        offset=0.5 / 128,
    ),
    "efficientnetv2b0": _Pretrained(
        partial(applications.EfficientNetV2B0, include_top=False, include_preprocessing=False),
        ("block1a_project_activation", "block2b_add", "block3b_add", "block5e_add", "block6h_add"),
        scale=[0.5 / deviation for deviation in _DEVIATION],
        offset=[(0.5 - mean) / deviation for mean, deviation in zip(_MEAN, _DEVIATION, strict=True)],
    ),
    "mobilenetv2": _Pretrained(
        partial(applications.MobileNetV2, include_top=False),
        ("expanded_conv_project_BN", "block_2_add", "block_5_add", "block_12_add", "block_16_project_BN"),
    ),
    "mobilenetv3large": _Pretrained(
        partial(applications.MobileNetV3Large, include_top=False, include_preprocessing=False),
        (
            "expanded_conv_add",
            "expanded_conv_2_add",
            "expanded_conv_5_add",
            "expanded_conv_11_add",
            "expanded_conv_14_add",
        ),
    ),
    "mobilenetv3small": _Pretrained(
        partial(applications.MobileNetV3Small, include_top=False, include_preprocessing=False),
        (
            "conv_bn",
            "expanded_conv_project_bn",
            "expanded_conv_2_add",
            "expanded_conv_7_add",
            "expanded_conv_10_add",
        ),
    ),
    "resnet50v2": _Pretrained(
        partial(applications.ResNet50V2, include_top=False),
        ("conv1_conv", "conv2_block3_1_relu", "conv3_block4_1_relu", "conv4_block6_1_relu", "post_relu"),
    ),
}
