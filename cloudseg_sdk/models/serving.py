"""The network as users meet it: raw RGB images in, the final class maps and presence out.

Training and prediction both run this graph, so that they cannot scale an image differently.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from cloudseg_sdk.config import ModelConfig, Scaling

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, which OpenCV and libjpeg use


@keras.saving.register_keras_serializable(package="cloudseg_sdk")
class Scale(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """Bring uint8 RGB images to the numbers that the network was trained on.

    Parameters
    ----------
    channels
        1 turns RGB to luma, 3 keeps it.
    scaling
        See :class:`cloudseg_sdk.ModelConfig`. A standard deviation under one grey level counts as one, so that an
        image of a single colour becomes zeros and not noise or NaN.
    """

    def __init__(self, channels: int, scaling: Scaling, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.channels = channels
        self.scaling = scaling

    def call(self, images: Any) -> Any:
        x = ops.cast(images, "float32")
        if self.channels == 1:
            x = ops.sum(x * ops.convert_to_tensor(_LUMA, dtype="float32"), axis=-1, keepdims=True)
        if self.scaling == "standardize":
            mean = ops.mean(x, axis=(1, 2, 3), keepdims=True)
            deviation = ops.sqrt(ops.mean(ops.square(x - mean), axis=(1, 2, 3), keepdims=True))
            return (x - mean) / ops.maximum(deviation, 1.0)
        return x / 127.5 - 1.0

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "channels": self.channels, "scaling": self.scaling}


def serving_parts(network: keras.Model, config: ModelConfig) -> tuple[Any, list[Any]]:
    """Return a uint8 ``(N, H, W, 3)`` input and the list of outputs that `network` gives for it."""
    images = keras.Input((*config.input_size, 3), dtype="uint8", name="images")
    outputs = network(Scale(config.channels, config.scaling, name="scale", dtype="float32")(images))
    return images, as_list(outputs)


def serving_model(network: keras.Model, config: ModelConfig) -> keras.Model:
    """Wrap `network`, sharing its weights: uint8 ``(N, H, W, 3)`` in, float32 ``(N, h, w, classes)`` out.

    With a presence head it gives a list: the maps, and float32 ``(N, classes)``.
    """
    images, outputs = serving_parts(network, config)
    return keras.Model(images, outputs[-2:] if config.presence_head else outputs[-1], name="serving")


def as_list(outputs: Any) -> list[Any]:
    """Return a network's outputs as a list: Keras gives a single one bare."""
    return list(outputs) if isinstance(outputs, list | tuple) else [outputs]
