"""Encoders: what a network's first column of nodes is made of.

Each is a row of a table here: today's plain convolutions, or a model of `keras.applications
<https://keras.io/api/applications/>`_, whose weights may have been trained on ImageNet.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras

from cloudseg_sdk.config import ModelConfig
from cloudseg_sdk.errors import CloudsegError, ConfigError
from cloudseg_sdk.models.blocks import conv_unit


def encode(image: Any, config: ModelConfig) -> Iterator[tuple[int, Any]]:
    """Yield the encoder's features with their rows, from fine to coarse: row r has stride ``2 ** (r - 1)``.

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
        "imagenet" downloads those of keras.applications; a path is that of such a file: the encoder without its
        classifier ("notop"), or what ``save_weights("encoder.weights.h5")`` of such a model wrote.

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
    except Exception as error:  # Keras raises a bare Exception where a download fails
        remedy = "; without a network, give the path of a file" if source == "imagenet" else ""
        raise CloudsegError(f"cannot load the weights {str(source)!r} of {config.encoder}: {error}{remedy}") from error
    variables = {variable.path: variable for variable in trained.variables}
    for variable in network.variables:
        if variable.path in variables:
            variable.assign(variables[variable.path])


def _plain(image: Any, config: ModelConfig) -> Iterator[tuple[int, Any]]:
    """UNet++'s own: two convolutions a row, and pooling between rows."""
    x = image
    for row in range(1, len(config.filters) + 1):
        if row > 1:
            x = keras.layers.MaxPool2D(2, strides=2, name=f"pool{row - 1}")(x)
        x = conv_unit(x, config, row, 1)
        yield row, x


def _pretrained(image: Any, config: ModelConfig) -> Iterator[tuple[int, Any]]:
    encoder = _PRETRAINED[config.encoder]
    x = image
    if encoder.scale is not None:
        x = keras.layers.Rescaling(encoder.scale, encoder.offset, dtype="float32", name="encoder_scale")(x)
    whole = encoder.build(weights=None, input_tensor=x)
    for row, name in enumerate(encoder.layers[: len(config.filters) - 1], start=2):
        yield row, whole.get_layer(name).output


@dataclass(frozen=True)
class _Pretrained:
    """A model of keras.applications.

    Parameters
    ----------
    model
        Name of its function.
    layers
        The last layer of each stride from 2 to 32 that is not widened for the next block.
    scale, offset
        Bring images of -1..1 to what its weights were trained on; None where that is it.
    options
        Arguments of its function.
    """

    model: str
    layers: tuple[str, str, str, str, str]
    scale: list[float] | None = None
    offset: list[float] | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def build(self, **arguments: Any) -> keras.Model:
        return getattr(keras.applications, self.model)(include_top=False, **arguments, **self.options)


_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's RGB in 0..1, as in torchvision

_PRETRAINED = {
    "efficientnetv2b0": _Pretrained(
        "EfficientNetV2B0",
        ("block1a_project_activation", "block2b_add", "block3b_add", "block5e_add", "block6h_add"),
        scale=[0.5 / deviation for deviation in _DEVIATION],
        offset=[(0.5 - mean) / deviation for mean, deviation in zip(_MEAN, _DEVIATION, strict=True)],
        options={"include_preprocessing": False},
    ),
    "mobilenetv2": _Pretrained(
        "MobileNetV2",
        ("expanded_conv_project_BN", "block_2_add", "block_5_add", "block_12_add", "block_16_project_BN"),
    ),
    "mobilenetv3large": _Pretrained(
        "MobileNetV3Large",
        (
            "expanded_conv_add",
            "expanded_conv_2_add",
            "expanded_conv_5_add",
            "expanded_conv_11_add",
            "expanded_conv_14_add",
        ),
        options={"include_preprocessing": False},
    ),
    "mobilenetv3small": _Pretrained(
        "MobileNetV3Small",
        (
            "conv_bn",
            "expanded_conv_project_bn",
            "expanded_conv_2_add",
            "expanded_conv_7_add",
            "expanded_conv_10_add",
        ),
        options={"include_preprocessing": False},
    ),
    "resnet50v2": _Pretrained(
        "ResNet50V2",
        ("conv1_conv", "conv2_block3_1_relu", "conv3_block4_1_relu", "conv4_block6_1_relu", "post_relu"),
    ),
}
