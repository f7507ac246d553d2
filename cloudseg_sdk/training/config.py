"""How to train: a frozen record that checks itself."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

from cloudseg_sdk.config import check_seed
from cloudseg_sdk.data.augment import Augmentation
from cloudseg_sdk.errors import ConfigError

if TYPE_CHECKING:
    import keras

LossName = Literal["dice", "bce_dice", "bce_positive_dice", "tversky", "focal_tversky", "lovasz"]
Schedule = Literal["cosine", "constant"]
Precision = Literal["auto", "float32", "bfloat16"]
Keep = Literal["best", "last"]

_CHOICES = {"schedule": get_args(Schedule), "precision": get_args(Precision), "keep": get_args(Keep)}
_COUNTS = {"epochs": 1, "batch_size": 1, "patience": 1, "frozen_stages": 0}  # and the least of each
_POSITIVE = ("learning_rate", "epsilon", "encoder_rate", "clip_norm")
_NOT_NEGATIVE = ("weight_decay", "presence_weight")
_OPTIONAL = ("patience", "frozen_stages", "clip_norm")


@dataclass(frozen=True)
class TrainConfig:
    """How :meth:`cloudseg_sdk.Segmenter.fit` trains; the defaults are the preset to start from.

    Parameters
    ----------
    epochs, batch_size
        Every image is seen in every epoch; the last batch is filled up with images from the epoch's beginning.
    learning_rate, schedule
        "cosine": it rises from 0 to `learning_rate` over the first 5% of all steps and falls to 0 along half a cosine;
        "constant": it is `learning_rate` throughout.
    weight_decay, epsilon, clip_norm
        Of AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101), which is Adam where `weight_decay` is 0; it is spared
        biases and the parameters of normalization. Gradients longer than `clip_norm`, all taken together, are
        shortened to it; None leaves them. `epsilon` is what Kingma & Ba 2015 call epsilon hat.
    loss
        "dice", "bce_dice", "bce_positive_dice", "tversky", "focal_tversky", "lovasz", or a Keras loss of masks and
        probabilities ``(N, H, W, C)``.
    augmentation
        What may happen to each image and its masks.
    head_weights
        Of the heads of deep supervision, from the shallowest to the last; only their ratios count. None for equal ones.
    presence_weight
        Of the presence head's binary cross-entropy beside `loss`; its target is whether a mask has any pixel.
    ema
        What is measured and kept is not the last step's weights but their exponential moving average, of which each
        step keeps this share, less in the beginning; 0 for no average.
    encoder_rate
        Learning rate of an encoder other than "unetpp", as a multiple of the others'.
    frozen_stages
        How many of the encoder's stages, from stride 2 on, keep their weights. From 0 on, batch normalization keeps its
        statistics in all of them, which saves a good part of the time. None trains everything.
    precision
        "bfloat16" for what is not weights, as "auto" does on a GPU, or "float32".
    keep
        The weights to end with: those of the epoch with the "best" ``val_dice``, or of the "last".
    patience
        Stop after this many epochs without a better ``val_dice``.
    seed
        Of the order of images, of their augmentation, and of dropout.

    Raises
    ------
    ConfigError
        Where a value cannot be; the message gives got and wanted.

    Examples
    --------
    >>> TrainConfig(epochs=10, loss="lovasz").learning_rate
    0.001
    """

    epochs: int = 25
    batch_size: int = 8
    learning_rate: float = 1e-3
    schedule: Schedule = "cosine"
    weight_decay: float = 1e-3
    epsilon: float = 1e-7
    clip_norm: float | None = 1.0
    loss: LossName | keras.losses.Loss = "bce_dice"
    augmentation: Augmentation = field(default_factory=Augmentation)
    head_weights: tuple[float, ...] | None = None
    presence_weight: float = 0.1
    ema: float = 0.998
    encoder_rate: float = 1.0
    frozen_stages: int | None = None
    precision: Precision = "auto"
    keep: Keep = "best"
    patience: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ConfigError(f"{name} must be one of {', '.join(allowed)}, got {getattr(self, name)!r}")
        for name, least in _COUNTS.items():
            value = getattr(self, name)
            if not (type(value) is int and value >= least) and not _may_lack(name, value):
                raise ConfigError(f"{name} must be {_or_none(name)}a whole number of at least {least}, got {value!r}")
        for name in _POSITIVE:
            value = getattr(self, name)
            if not (_is_finite(value) and value > 0) and not _may_lack(name, value):
                raise ConfigError(f"{name} must be {_or_none(name)}a positive number, got {value!r}")
        for name in _NOT_NEGATIVE:
            if not _is_finite(getattr(self, name)) or getattr(self, name) < 0:
                raise ConfigError(f"{name} must be 0 or a positive number, got {getattr(self, name)!r}")
        if not _is_finite(self.ema) or not 0 <= self.ema < 1:
            raise ConfigError(f"ema must be at least 0 and below 1, got {self.ema!r}")
        if self.head_weights is not None and not _are_numbers(self.head_weights):
            raise ConfigError(f"head_weights must be None or a tuple of numbers, got {self.head_weights!r}")
        check_seed(self.seed)
        if not isinstance(self.augmentation, Augmentation):
            raise ConfigError(f"augmentation must be an Augmentation, got {self.augmentation!r}")
        if not (self.loss in get_args(LossName) if isinstance(self.loss, str) else _is_keras_loss(self.loss)):
            raise ConfigError(
                f"loss must be one of {', '.join(get_args(LossName))} or a keras.losses.Loss, got {self.loss!r}"
            )

    @classmethod
    def notebook(cls) -> Self:
        """Return what the notebook's ``Nest_Net`` was trained with (``ModelConfig.notebook()``).

        Adam at a constant 0.05 with an epsilon of 0.1, on BCE + Dice taken over a whole batch of 10, no augmentation,
        25 epochs, of which the last is kept. Where it left out the rest of an epoch that fills no batch, here that
        batch is filled up; images and masks are brought to the network's size as everywhere in this package.
        """
        from cloudseg_sdk.training.losses import BCEDice

        return cls(
            epochs=25,
            batch_size=10,
            learning_rate=0.05,
            schedule="constant",
            weight_decay=0.0,
            epsilon=0.1,
            clip_norm=None,
            loss=BCEDice(per="batch"),
            augmentation=Augmentation.none(),
            ema=0.0,
            precision="float32",
            keep="last",
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON can hold them; a Keras loss as its class and configuration."""
        values = {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}
        if not isinstance(self.loss, str):
            values["loss"] = {**self.loss.get_config(), "name": type(self.loss).__name__}  # Keras counts its own names
        return {**values, "augmentation": asdict(self.augmentation)}


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")


def _are_numbers(values: object) -> bool:
    return isinstance(values, tuple) and all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in values
    )


def _may_lack(name: str, value: object) -> bool:
    return value is None and name in _OPTIONAL


def _or_none(name: str) -> str:
    return "None or " if name in _OPTIONAL else ""


def _is_keras_loss(value: object) -> bool:
    keras = sys.modules.get("keras")  # whoever has such a loss has imported it
    return keras is not None and isinstance(value, keras.losses.Loss)
