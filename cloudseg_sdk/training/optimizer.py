"""How weights move: AdamW under a schedule, an encoder that was trained before more slowly than the rest."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import keras
from keras import ops

from cloudseg_sdk.training.config import TrainConfig

WARM_UP = 0.05  # of all steps; batch normalization's first statistics make full steps risky


def make_optimizer(
    variables: list[keras.Variable], slow: Collection[str], config: TrainConfig, steps: int
) -> keras.optimizers.Optimizer:
    """Build the optimizer of `variables`.

    Parameters
    ----------
    variables
        All that will be trained.
    slow
        The paths of those whose learning rate is multiplied by ``config.encoder_rate``.
    config
        Says how; see :class:`TrainConfig`.
    steps
        The whole length of the schedule.
    """
    rates = [config.encoder_rate if variable.path in slow else 1.0 for variable in variables]
    decays = [config.weight_decay if len(variable.shape) > 1 else 0.0 for variable in variables]
    optimizer = _AdamW(_learning_rate(config, steps), rates, decays, config)
    optimizer.build(variables)
    return optimizer


def _learning_rate(config: TrainConfig, steps: int) -> Any:
    if config.schedule == "constant":
        return config.learning_rate
    warm_up = max(1, round(WARM_UP * steps))
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        decay_steps=max(1, steps - warm_up),
        warmup_target=config.learning_rate,
        warmup_steps=warm_up,
    )


class _AdamW(keras.optimizers.Adam):  # type: ignore[misc]  # Keras has no types
    """Decoupled weight decay (Loshchilov & Hutter 2019, arXiv:1711.05101) with rates of each variable's own.

    Keras' own decays every variable at the same rate.
    """

    def __init__(self, learning_rate: Any, rates: list[float], decays: list[float], config: TrainConfig) -> None:
        super().__init__(learning_rate, epsilon=config.epsilon, global_clipnorm=config.clip_norm, name="adamw")
        self._rates = rates
        self._decays = decays

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        index = self._get_variable_index(variable)
        rate = ops.cast(learning_rate, variable.dtype) * self._rates[index]
        if self._decays[index]:
            self.assign_sub(variable, rate * self._decays[index] * variable)
        super().update_step(gradient, variable, rate)
