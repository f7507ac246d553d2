"""The training loop: AdamW under a cosine schedule, the competition's metric after each epoch, best weights kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from cloudrle import RLE
from cloudseg_sdk.config import Decision, ModelConfig
from cloudseg_sdk.data.augment import Augmentation
from cloudseg_sdk.data.dataset import CloudDataset
from cloudseg_sdk.errors import CloudsegError, ConfigError, DataError
from cloudseg_sdk.inference.engines import Engine, KerasEngine
from cloudseg_sdk.inference.postprocess import decide
from cloudseg_sdk.metrics import METRIC_SIZE, pair_dice, truth_at_metric_size
from cloudseg_sdk.models.serving import as_list, serving_model, serving_parts
from cloudseg_sdk.training.batches import Batches, Samples
from cloudseg_sdk.training.losses import LOSSES

History = dict[str, list[float]]

WARM_UP = 0.05  # of all steps; batch normalization's first statistics make full steps risky
WEIGHT_DECAY = 1e-4


@dataclass(frozen=True)
class FitOptions:
    """How to train; see :meth:`cloudseg_sdk.Segmenter.fit`."""

    epochs: int
    batch_size: int
    learning_rate: float
    loss: str | keras.losses.Loss
    augmentation: Augmentation
    head_shares: tuple[float, ...]
    presence_weight: float
    seed: int
    progress: bool

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            if type(getattr(self, name)) is not int or getattr(self, name) < 1:
                raise ConfigError(f"{name} must be a whole number of at least 1, got {getattr(self, name)!r}")
        if type(self.seed) is not int or self.seed < 0:
            raise ConfigError(f"seed must be a whole number of at least 0, got {self.seed!r}")
        if not 0 < self.learning_rate < float("inf"):
            raise ConfigError(f"learning_rate must be a positive number, got {self.learning_rate!r}")
        if not 0 <= self.presence_weight < float("inf"):
            raise ConfigError(f"presence_weight must be 0 or a positive number, got {self.presence_weight!r}")
        if not (self.loss in LOSSES if isinstance(self.loss, str) else isinstance(self.loss, keras.losses.Loss)):
            raise ConfigError(f"loss must be one of {', '.join(LOSSES)} or a keras.losses.Loss, got {self.loss!r}")


def shares(config: ModelConfig, head_weights: Sequence[float] | None) -> tuple[float, ...]:
    """Return each head's share of the loss: `head_weights` over their sum, None being equal ones."""
    heads = config.nested if config.deep_supervision else 1
    weights = (1.0,) * heads if head_weights is None else tuple(head_weights)
    if len(weights) != heads or not all(0 <= weight < float("inf") for weight in weights) or not sum(weights):
        raise ConfigError(
            f"head_weights must be {heads} numbers of at least 0, one for each head and not all 0; got {head_weights!r}"
        )
    return tuple(weight / sum(weights) for weight in weights)


@dataclass(frozen=True)
class TrainingData:
    """What one run trains and measures on, read and checked."""

    train: Samples
    validation: Samples
    truth: list[tuple[RLE, ...]]  # of the validation images, at the metric's size


def load_training_data(
    config: ModelConfig, train: CloudDataset, validation: CloudDataset, *, progress: bool
) -> TrainingData:
    """Check both datasets, and read into memory what is not cached."""
    for name, dataset in (("train", train), ("validation", validation)):
        if dataset.classes != config.classes:
            raise DataError(f"{name} has the classes {dataset.classes}, the model {config.classes}")
        if not len(dataset):
            raise DataError(f"{name} holds no images")
    return TrainingData(
        train=Samples.of(train, config, progress=progress),
        validation=Samples.of(validation, config, progress=progress),
        truth=[truth_at_metric_size(example.rles) for example in validation],
    )


def fit_network(network: keras.Model, config: ModelConfig, data: TrainingData, options: FitOptions) -> History:
    """Train `network` in place and leave it with the weights of the epoch that had the best ``val_dice``.

    Interrupted by Ctrl-C or an error, it keeps the best weights so far: before the first epoch has ended, those that it
    began with.
    """
    loss = LOSSES[options.loss]() if isinstance(options.loss, str) else options.loss
    batches = Batches(data.train, options.batch_size, seed=options.seed, augmentation=options.augmentation)
    model = _SupervisedModel(*serving_parts(network, config), name="supervised")
    model.target_loss = loss
    model.head_shares = options.head_shares
    model.presence_weight = options.presence_weight if config.presence_head else None
    model.compile(optimizer=_optimizer(options, len(batches) * options.epochs))
    best = _Best(network, config, data, loss, options.batch_size)
    try:
        history = model.fit(
            batches,
            epochs=options.epochs,
            callbacks=[best],
            shuffle=False,  # Keras would shuffle the batches again, by a generator that options.seed does not set
            verbose=1 if options.progress else 0,
        )
    finally:
        best.restore()
    for name in ("loss", "val_loss"):
        values = history.history[name]
        if not np.isfinite(values[-1]):
            raise CloudsegError(
                f"{name} became {values[-1]} in epoch {len(values)}; the best weights so far are kept. Try a learning "
                f"rate below {options.learning_rate}."
            )
    return {name: [float(value) for value in values] for name, values in history.history.items()}


class _SupervisedModel(keras.Model):  # type: ignore[misc]  # Keras has no types
    """Holds one target against every head, and what it shows at all against the presence head.

    Keras would ask for a copy of the target for each.
    """

    target_loss: keras.losses.Loss
    head_shares: tuple[float, ...]
    presence_weight: float | None  # None where there is no presence head

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        outputs = as_list(y_pred)
        loss = sum(self.losses)  # the L2 penalties
        if self.presence_weight is not None:
            present = ops.cast(ops.max(y, axis=(1, 2)), "float32")  # any pixel
            loss += self.presence_weight * ops.mean(ops.binary_crossentropy(present, outputs.pop()))
        return loss + sum(
            share * self.target_loss(y, maps) for share, maps in zip(self.head_shares, outputs, strict=True)
        )


class _Best(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Measures the last head after each epoch and remembers the weights of the best ``val_dice``.

    Ends the training where a loss is no finite number.
    """

    def __init__(
        self,
        network: keras.Model,
        config: ModelConfig,
        data: TrainingData,
        loss: keras.losses.Loss,
        batch_size: int,
    ) -> None:
        super().__init__()
        self._network = network
        self._engine: Engine = KerasEngine(serving_model(network, config))
        self._decision = Decision.plain(len(config.classes))
        self._truth = data.truth
        self._samples = data.validation
        self._loss = loss
        self._batch_size = batch_size
        self._best = -1.0
        self._weights = network.get_weights()

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        if not np.isfinite(logs["loss"]):  # keras.callbacks.TerminateOnNaN does the same, but prints
            self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        losses, dice = [], []
        for start in range(0, len(self._truth), self._batch_size):
            part = slice(start, start + self._batch_size)
            images, masks = self._samples.stack(part)
            found = self._engine.run(images)
            losses.append(float(self._loss(masks, found.maps)) * len(found.maps))
            predicted = [decide(one.maps, METRIC_SIZE, self._decision, one.presence) for one in found.images()]
            dice += [pair_dice(*pair).mean() for pair in zip(self._truth[part], predicted, strict=True)]
        score = float(np.mean(dice))
        logs.update(val_loss=sum(losses) / len(self._truth), val_dice=score)
        if not np.isfinite([logs["loss"], logs["val_loss"]]).all():
            self.model.stop_training = True  # maps of NaN show nothing, and that may well score best
        elif score > self._best:
            self._best, self._weights = score, self._network.get_weights()

    def restore(self) -> None:
        """Give the network its best weights back; without a measured epoch those that it began with."""
        self._network.set_weights(self._weights)


def _optimizer(options: FitOptions, steps: int) -> keras.optimizers.Optimizer:
    warm_up = max(1, round(WARM_UP * steps))
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        decay_steps=max(1, steps - warm_up),
        warmup_target=options.learning_rate,
        warmup_steps=warm_up,
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=WEIGHT_DECAY, clipnorm=1.0)
    optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    return optimizer
