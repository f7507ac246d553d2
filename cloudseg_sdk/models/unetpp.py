"""UNet++ (Zhou et al. 2018, arXiv:1807.10165) as a functional Keras model.

Nodes stand on a triangular grid. ``row`` counts resolutions from 1 (finest), ``column`` counts nesting from 1 (the
encoder): node (row, column) joins the upsampled node (row + 1, column - 1) with all nodes to its left. Names are those
of the notebook's ``Nest_Net``: ``conv{row}{column}_1``, ``up{row}{column}``, ``merge{row}{column}``, ``output_{head}``.
"""

from __future__ import annotations

from typing import Any

import keras

from cloudseg_sdk.config import ModelConfig
from cloudseg_sdk.models.blocks import conv_unit, penalty
from cloudseg_sdk.models.encoders import encode


def build_network(config: ModelConfig) -> keras.Model:
    """Build the network: scaled images in, one sigmoid map per class out.

    Parameters
    ----------
    config
        Its input is float32 ``(N, *config.input_size, config.channels)``, scaled already (see
        :class:`cloudseg_sdk.models.serving.Scale`).

    Returns
    -------
    keras.Model
        Its outputs are class maps, float32 ``(N, *config.output_size, classes)``: one, or with deep supervision one for
        each nested U-Net, of which the last is the deepest and the one to predict with. With a presence head, after
        them, the probability that a class is there, float32 ``(N, classes)``.
    """
    image = keras.Input((*config.input_size, config.channels), name="main_input")
    finest = config.output_stride.bit_length()  # rows above it would be finer than the output
    nodes: dict[tuple[int, int], Any] = {}
    for deepest, features, about in encode(image, config):
        nodes[deepest, 1], summary = features, about
        for row in range(deepest - 1, finest - 1, -1):
            column = deepest - row + 1
            up = _upsample(nodes[row + 1, column - 1], config, row, column)
            left = [nodes[row, k] for k in range(1, column)]
            merged = keras.layers.Concatenate(name=f"merge{row}{column}")([up, *left])
            nodes[row, column] = conv_unit(merged, config, row, column)

    heads = [_head(nodes[finest, number + 1], config, number) for number in range(1, config.nested + 1)]
    outputs = heads if config.deep_supervision else heads[-1:]
    if config.presence_head:
        outputs = [*outputs, _presence(summary, config)]
    return keras.Model(image, outputs if len(outputs) > 1 else outputs[0], name="unetpp")


def prune(network: keras.Model, level: int) -> keras.Model:
    """Return the network that ends at head `level`, sharing the weights of `network`; what lies deeper is left out."""
    heads = [network.get_layer(f"output_{number}").output for number in range(1, level + 1)]
    return keras.Model(network.input, heads if level > 1 else heads[0], name=network.name)


def _upsample(x: Any, config: ModelConfig, row: int, column: int) -> Any:
    name = f"up{row}{column}"
    if config.upsampling == "transpose":
        return keras.layers.Conv2DTranspose(config.filters[row - 1], 2, strides=2, padding="same", name=name)(x)
    return keras.layers.UpSampling2D(2, name=name)(x)


def _head(x: Any, config: ModelConfig, number: int) -> Any:
    return keras.layers.Conv2D(
        len(config.classes),
        1,
        padding="same",
        activation="sigmoid",
        kernel_initializer="he_normal",
        kernel_regularizer=penalty(config),
        dtype="float32",  # probabilities stay float32 under mixed precision
        name=f"output_{number}",
    )(x)


def _presence(x: Any, config: ModelConfig) -> Any:
    x = keras.layers.GlobalAveragePooling2D(dtype="float32", name="presence_pool")(x)
    return keras.layers.Dense(len(config.classes), activation="sigmoid", dtype="float32", name="presence")(x)
