"""How weights move: AdamW under a cosine schedule, an encoder that was trained before more slowly than the rest."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import keras
from keras import ops

WARM_UP = 0.05  # of all steps; batch normalization's first statistics make full steps risky
WEIGHT_DECAY = 1e-3


def make_optimizer(
    variables: list[keras.Variable], slow: Collection[str], slow_rate: float, learning_rate: float, steps: int
) -> keras.optimizers.Optimizer:
    """Build the optimizer of `variables`.

    Parameters
    ----------
    variables
        All that will be trained.
    slow, slow_rate
        The paths of those whose learning rate is multiplied by `slow_rate`.
    learning_rate
        The highest of the schedule: it rises from 0 over the first 5% of `steps` and falls to 0 along half a cosine.
    """
    warm_up = max(1, round(WARM_UP * steps))
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        decay_steps=max(1, steps - warm_up),
        warmup_target=learning_rate,
        warmup_steps=warm_up,
    )
    rates = [slow_rate if variable.path in slow else 1.0 for variable in variables]
    decays = [WEIGHT_DECAY if len(variable.shape) > 1 else 0.0 for variable in variables]
    optimizer = _AdamW(schedule, rates, decays)
    optimizer.build(variables)
    return optimizer


class _AdamW(keras.optimizers.Adam):  # type: ignore[misc]  # Keras has no types
    """Decoupled weight decay (Loshchilov & Hutter 2019, arXiv:1711.05101) with rates of each variable's own.

    Keras' own decays every variable at the same rate.
    """

    def __init__(self, schedule: Any, rates: list[float], decays: list[float]) -> None:
        super().__init__(schedule, global_clipnorm=1.0, name="adamw")
        self._rates = rates
        self._decays = decays

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        index = self._get_variable_index(variable)
        rate = ops.cast(learning_rate, variable.dtype) * self._rates[index]
        if self._decays[index]:
            self.assign_sub(variable, rate * self._decays[index] * variable)
        super().update_step(gradient, variable, rate)
