"""What encoder and decoder share: a node's convolutions."""

from __future__ import annotations

import math
from typing import Any

import keras

from cloudseg_sdk.config import ModelConfig

GROUP_SIZE = 8  # channels at least, where their number allows it; the paper's 32 groups want wider layers


def conv_unit(x: Any, config: ModelConfig, row: int, column: int) -> Any:
    """Two convolutions, each with its normalization, activation and dropout."""
    normalized = config.normalization != "none"
    for step in (1, 2):
        name = f"{row}{column}_{step}"
        x = keras.layers.Conv2D(
            config.filters[row - 1],
            3,
            padding="same",
            activation=None if normalized else config.activation,
            use_bias=not normalized,
            kernel_initializer="he_normal",
            kernel_regularizer=penalty(config),
            name=f"conv{name}",
        )(x)
        if normalized:
            x = _normalization(config, config.filters[row - 1], name)(x)
            x = keras.layers.Activation(config.activation, name=f"act{name}")(x)
        if config.dropout:
            x = keras.layers.Dropout(config.dropout, name=f"dp{name}")(x)
    return x


def penalty(config: ModelConfig) -> Any:
    """Return the L2 penalty on a kernel, or None."""
    return keras.regularizers.L2(config.l2) if config.l2 else None


def _normalization(config: ModelConfig, channels: int, name: str) -> Any:
    if config.normalization == "batch":
        return keras.layers.BatchNormalization(momentum=0.9, name=f"bn{name}")
    groups = channels // math.gcd(channels, GROUP_SIZE)
    return keras.layers.GroupNormalization(groups, name=f"gn{name}")
