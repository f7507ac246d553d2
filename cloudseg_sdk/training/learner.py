"""The network as it is trained: its loss, its precision, what of it stands still, and the average of its weights."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from cloudseg_sdk.config import ModelConfig
from cloudseg_sdk.models.encoders import encoder_stages
from cloudseg_sdk.models.serving import Scale, as_list
from cloudseg_sdk.models.weights import copy_network, has_gpu
from cloudseg_sdk.training.config import Precision


class Learner(keras.Model):  # type: ignore[misc]  # Keras has no types
    """Raw images in, every head out; holds one target against all of them.

    Keras would ask for a copy of the target for each head. Also keeps an exponential moving average of every weight
    (Polyak & Juditsky 1992), the statistics of batch normalization included, which belong to the weights around them.
    It is part of the compiled step, on every backend: weights are averaged in when the next step begins.

    Parameters
    ----------
    network, config
        What is trained, and its configuration.
    loss
        Of masks and one head's maps.
    head_shares
        Of each head in the loss.
    presence_weight
        Of the presence head's binary cross-entropy, where there is one.
    decay
        Share of the average that a step keeps, at most; 0 for no average. It begins low, so that fresh weights are soon
        forgotten: step t keeps ``min(decay, (1 + t) / (10 + t))``.
    parts
        Into how many a batch is taken apart, of which this sees one; the losses of all are added up.
    """

    def __init__(
        self,
        network: keras.Model,
        config: ModelConfig,
        loss: keras.losses.Loss,
        head_shares: tuple[float, ...],
        presence_weight: float,
        decay: float,
        parts: int = 1,
    ) -> None:
        super().__init__(name="learner")
        self.network = network
        self._scale = Scale(config.channels, config.scaling, dtype="float32")
        self._scale.build((None, *config.input_size, 3))  # Keras could not by itself, of a batch on several devices
        self._target_loss = loss
        self._head_shares = head_shares
        self._presence_weight = presence_weight if config.presence_head else None
        self._decay = decay
        self._parts = parts
        self._averages = [self._variable(tuple(weight.shape)) for weight in network.weights if decay]
        for average, weight in zip(self._averages, network.weights, strict=False):
            # A copy: JAX would share the buffer, and cannot give it away twice.
            average.assign(np.array(ops.convert_to_numpy(weight)))
        self._count = self._variable(())  # steps averaged
        self.built = True

    def call(self, images: Any, training: bool = False) -> Any:
        return self.network(self._scale(images), training=training)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        if training and self._decay:
            self._average()
        outputs = as_list(y_pred)
        loss = sum(self.losses)  # the L2 penalties
        if self._presence_weight is not None:
            present = ops.cast(ops.max(y, axis=(1, 2)), "float32")  # any pixel
            loss += self._presence_weight * ops.mean(ops.binary_crossentropy(present, outputs.pop()))
        loss += sum(share * self._loss_of(y, maps) for share, maps in zip(self._head_shares, outputs, strict=True))
        return loss / self._parts

    def _loss_of(self, y: Any, maps: Any) -> Any:
        """Do what calling the loss does, which would divide some losses by the number of parts and others not."""
        loss = self._target_loss
        values = loss.call(ops.cast(y, loss.dtype), ops.cast(maps, loss.dtype))
        return ops.sum(values) * self._parts if loss.reduction == "sum" else ops.mean(values)

    def averaged_weights(self) -> list[NDArray[np.float32]]:
        """Return the averages in the order of ``network.weights``, those of the last step included."""
        current = [np.array(ops.convert_to_numpy(weight)) for weight in self.network.weights]
        if not self._decay:
            return current
        count = float(ops.convert_to_numpy(self._count))
        part = np.float32(1 - min(self._decay, (1 + count) / (10 + count)))
        averages = [ops.convert_to_numpy(average) for average in self._averages]
        return [average + part * (weight - average) for average, weight in zip(averages, current, strict=True)]

    def _average(self) -> None:
        part = 1 - ops.minimum(self._decay, (1 + self._count) / (10 + self._count))
        for average, weight in zip(self._averages, self.network.weights, strict=True):
            average.assign(average + part * (ops.stop_gradient(weight) - average))
        self._count.assign(self._count + 1)

    def _variable(self, shape: tuple[int, ...]) -> keras.Variable:
        return self.add_weight(shape=shape, initializer="zeros", dtype="float32", trainable=False)


def copy_for_training(
    network: keras.Model, config: ModelConfig, precision: Precision, frozen_stages: int | None, seed: int
) -> keras.Model:
    """Build `network` again with its weights, to be trained in another precision and in part.

    What is frozen in `network` is frozen in the copy.

    Parameters
    ----------
    precision
        "bfloat16" for what is not weights; "auto" takes it on a GPU.
    frozen_stages
        How many of the encoder's stages keep their weights; from 0 on, batch normalization keeps its statistics in all
        of them. None trains everything.
    seed
        Of dropout.
    """
    mixed = precision == "bfloat16" or (precision == "auto" and has_gpu())
    copy = copy_network(network, config, "mixed_bfloat16" if mixed else "float32")
    for layer in network.layers:
        copy.get_layer(layer.name).trainable = layer.trainable
    if frozen_stages is not None:
        for number, layers in enumerate(encoder_stages(copy, config)):
            for layer in layers:
                if number < frozen_stages or isinstance(layer, keras.layers.BatchNormalization):
                    layer.trainable = False
    generators = [variable for variable in copy.variables if "seed_generator" in variable.path]
    for number, variable in enumerate(generators):
        variable.assign(np.array([seed, number], np.uint32))
    return copy
