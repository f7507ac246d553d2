"""Segmentation losses: float32 inside, defined for empty masks, registered with Keras.

All take masks and probabilities ``(N, H, W, C)``. With ``per="image"`` each image-class pair has its own sums and the
results are averaged; with ``per="batch"`` one sum runs over everything, as in the notebook.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import keras
from keras import ops

Pooling = Literal["image", "batch"]

_register = keras.saving.register_keras_serializable(package="cloudseg_sdk")


class _PooledLoss(keras.losses.Loss):  # type: ignore[misc]  # Keras has no types
    """What all losses below share: which pixels belong together."""

    def __init__(self, per: Pooling = "image", name: str | None = None, **kwargs: Any) -> None:
        # Losses stay float32 under every precision policy: a sum over a mask overflows float16.
        super().__init__(name=name, **{**kwargs, "dtype": "float32"})
        if per not in ("image", "batch"):
            raise ValueError(f'per must be "image" or "batch", got {per!r}')
        self.per = per

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "per": self.per}


class _OverlapLoss(_PooledLoss):
    """Losses made of sums over masks, with the smoothing that keeps empty ones defined."""

    def __init__(self, smooth: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 0 < smooth < math.inf:
            raise ValueError(f"smooth must be finite and above 0, or two empty masks would give 0 / 0; got {smooth!r}")
        self.smooth = smooth

    def pooled(self, values: Any) -> Any:
        """Sum over the pixels that belong together: (N, C), or one number."""
        return ops.sum(values, axis=(1, 2)) if self.per == "image" else ops.sum(values)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "smooth": self.smooth}


@_register
class Dice(_OverlapLoss):
    """1 - (2 |X Y| + smooth) / (|X| + |Y| + smooth): 0 for two empty masks (the notebook's ``dice_loss``)."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        overlap = self.pooled(y_true * y_pred)
        total = self.pooled(y_true) + self.pooled(y_pred)
        return 1.0 - (2.0 * overlap + self.smooth) / (total + self.smooth)


@_register
class BCEDice(Dice):
    """Binary cross-entropy, averaged over pixels and classes, plus :class:`Dice`.

    Parameters
    ----------
    bce_weight, dice_weight
        1 and 1 are the notebook's ``bce_dice_loss``.
    """

    def __init__(self, bce_weight: float = 1.0, dice_weight: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        _check_weights(bce_weight=bce_weight, dice_weight=dice_weight)
        self.bce_weight = bce_weight
        self.dice_weight = dice_weight

    def call(self, y_true: Any, y_pred: Any) -> Any:
        entropy = ops.mean(ops.binary_crossentropy(y_true, y_pred))
        return self.bce_weight * entropy + self.dice_weight * self.reduced(super().call(y_true, y_pred), y_true)

    def reduced(self, dice: Any, y_true: Any) -> Any:
        """Average the Dice losses of pairs."""
        return ops.mean(dice)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "bce_weight": self.bce_weight, "dice_weight": self.dice_weight}


@_register
class BCEPositiveDice(BCEDice):
    """:class:`BCEDice` whose Dice is averaged over masks with foreground only, and is 0 where no mask has any.

    An empty mask has no shape to be learned: cross-entropy alone keeps it empty.

    Parameters
    ----------
    bce_weight, dice_weight
        0.75 and 0.25 are those of the competition's winner (https://github.com/pudae/kaggle-understanding-clouds).
    """

    def __init__(self, bce_weight: float = 0.75, dice_weight: float = 0.25, **kwargs: Any) -> None:
        super().__init__(bce_weight=bce_weight, dice_weight=dice_weight, **kwargs)

    def reduced(self, dice: Any, y_true: Any) -> Any:
        present = ops.cast(self.pooled(y_true) > 0, dice.dtype)
        return ops.sum(dice * present) / ops.maximum(ops.sum(present), 1.0)


@_register
class Tversky(_OverlapLoss):
    """1 - (TP + smooth) / (TP + fp_weight FP + fn_weight FN + smooth) (Salehi et al. 2017, arXiv:1706.05721).

    Parameters
    ----------
    fp_weight, fn_weight
        0.5 and 0.5 weigh false positives and negatives as Dice does; the paper's choice punishes misses more.
    """

    def __init__(self, fp_weight: float = 0.3, fn_weight: float = 0.7, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        _check_weights(fp_weight=fp_weight, fn_weight=fn_weight)
        self.fp_weight = fp_weight
        self.fn_weight = fn_weight

    def call(self, y_true: Any, y_pred: Any) -> Any:
        hit = self.pooled(y_true * y_pred)
        false_positive = self.pooled((1.0 - y_true) * y_pred)
        false_negative = self.pooled(y_true * (1.0 - y_pred))
        weighed = hit + self.fp_weight * false_positive + self.fn_weight * false_negative
        return 1.0 - (hit + self.smooth) / (weighed + self.smooth)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "fp_weight": self.fp_weight, "fn_weight": self.fn_weight}


@_register
class FocalTversky(Tversky):
    """:class:`Tversky` to the power `gamma` (Abraham and Khan 2019, arXiv:1810.07842, whose exponent is 1 / (4/3)).

    Parameters
    ----------
    gamma
        Below 1 it lifts the gradient of nearly solved pairs, above 1 that of hard ones.
    """

    def __init__(self, gamma: float = 0.75, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 0 < gamma < math.inf:
            raise ValueError(f"gamma must be finite and above 0, got {gamma!r}")
        self.gamma = gamma

    def call(self, y_true: Any, y_pred: Any) -> Any:
        # A power below 1 has an infinite slope at 0, where a perfect pair arrives.
        return ops.power(ops.maximum(super().call(y_true, y_pred), 1e-6), self.gamma)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "gamma": self.gamma}


@_register
class Lovasz(_PooledLoss):
    """Lovasz extension of the Jaccard loss (Berman et al. 2018, arXiv:1705.08790, Algorithm 1), on sigmoids.

    Of binary maps it is 1 - intersection / union, of two empty ones 0; an empty mask costs the highest probability.
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        if self.per == "image":
            y_true, y_pred = (ops.moveaxis(values, -1, 1) for values in (y_true, y_pred))
            shape = (-1, y_pred.shape[1], math.prod(y_pred.shape[2:]))
        else:
            shape = (1, 1, -1)
        truth, predicted = ops.reshape(y_true, shape), ops.reshape(y_pred, shape)
        errors = ops.abs(truth - predicted)
        order = ops.argsort(-errors, axis=-1)  # the largest error first
        errors, truth = (ops.take_along_axis(values, order, axis=-1) for values in (errors, truth))
        # Jaccard loss where the first k pixels are wrong and all others right: k / |foreground or among the first k|.
        count = ops.cumsum(ops.ones_like(truth), axis=-1)
        jaccard = count / (ops.sum(truth, axis=-1, keepdims=True) + ops.cumsum(1.0 - truth, axis=-1))
        steps = ops.concatenate([jaccard[..., :1], jaccard[..., 1:] - jaccard[..., :-1]], axis=-1)
        return ops.sum(errors * steps, axis=-1)


def _check_weights(**weights: float) -> None:
    for name, weight in weights.items():
        if not 0 <= weight < math.inf:
            raise ValueError(f"{name} must be finite and at least 0, got {weight!r}")


LOSSES: dict[str, type[keras.losses.Loss]] = {
    "dice": Dice,
    "bce_dice": BCEDice,
    "bce_positive_dice": BCEPositiveDice,
    "tversky": Tversky,
    "focal_tversky": FocalTversky,
    "lovasz": Lovasz,
}
