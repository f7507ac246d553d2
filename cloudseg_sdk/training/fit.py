"""The training loop: steps, the competition's metric after each epoch, best weights kept, going on after a kill."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import keras
import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar

from cloudrle import RLE
from cloudseg_sdk.config import Decision, ModelConfig
from cloudseg_sdk.data.augment import Augmentation
from cloudseg_sdk.data.dataset import CloudDataset
from cloudseg_sdk.errors import CloudsegError, ConfigError, DataError
from cloudseg_sdk.inference.engines import Engine, KerasEngine
from cloudseg_sdk.inference.postprocess import decide
from cloudseg_sdk.metrics import METRIC_SIZE, pair_dice, truth_at_metric_size
from cloudseg_sdk.models.encoders import encoder_stages
from cloudseg_sdk.models.serving import serving_model
from cloudseg_sdk.training.batches import Batches, Samples
from cloudseg_sdk.training.checkpoints import Checkpoint, History, Progress
from cloudseg_sdk.training.learner import Learner, Precision, copy_for_training
from cloudseg_sdk.training.losses import LOSSES
from cloudseg_sdk.training.optimizer import make_optimizer

SECONDS_BETWEEN_SAVES = 120.0  # within an epoch; what a kill may cost


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
    ema: float
    encoder_rate: float
    frozen_stages: int | None
    precision: Precision
    patience: int | None
    checkpoint: Path | None
    seed: int
    progress: bool

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 1), ("seed", 0), ("patience", 1), ("frozen_stages", 0)):
            value = getattr(self, name)
            if not (type(value) is int and value >= least) and not (value is None and name in _OPTIONAL):
                choice = "None or " if name in _OPTIONAL else ""
                raise ConfigError(f"{name} must be {choice}a whole number of at least {least}, got {value!r}")
        for name in ("learning_rate", "encoder_rate"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ConfigError(f"{name} must be a positive number, got {getattr(self, name)!r}")
        if not 0 <= self.presence_weight < float("inf"):
            raise ConfigError(f"presence_weight must be 0 or a positive number, got {self.presence_weight!r}")
        if not 0 <= self.ema < 1:
            raise ConfigError(f"ema must be at least 0 and below 1, got {self.ema!r}")
        if self.precision not in get_args(Precision):
            raise ConfigError(f"precision must be one of {', '.join(get_args(Precision))}, got {self.precision!r}")
        if not (self.loss in LOSSES if isinstance(self.loss, str) else isinstance(self.loss, keras.losses.Loss)):
            raise ConfigError(f"loss must be one of {', '.join(LOSSES)} or a keras.losses.Loss, got {self.loss!r}")


_OPTIONAL = ("patience", "frozen_stages")


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
    names: tuple[str, ...]  # of the training images
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
        names=tuple(example.image.name for example in train),
        truth=[truth_at_metric_size(example.rles) for example in validation],
    )


def fit_network(network: keras.Model, config: ModelConfig, data: TrainingData, options: FitOptions) -> History:
    """Train `network` and leave it with the weights of the epoch that had the best ``val_dice``.

    Interrupted by Ctrl-C or an error, it keeps the best weights so far: before the first epoch has ended, those that it
    began with.
    """
    run = _Run(network, config, data, options)
    with _Bar(options, run.steps) as bar:
        try:
            while not run.is_over():
                bar.show(run.progress.epoch + 1, run.progress)
                run.train_epoch(bar)
                run.end_epoch()
                bar.tell(run.progress)
        finally:
            network.set_weights(run.best)
    return run.progress.history


class _Run:
    """A learner, where it stands, and the best weights so far."""

    def __init__(self, network: keras.Model, config: ModelConfig, data: TrainingData, options: FitOptions) -> None:
        loss = LOSSES[options.loss]() if isinstance(options.loss, str) else options.loss
        self._network = network
        self._options = options
        self._names = data.names
        self._batches = Batches(data.train, options.batch_size, seed=options.seed, augmentation=options.augmentation)
        self.steps = len(self._batches) * options.epochs
        self._learner = _make_learner(network, config, loss, options, self.steps)
        self._validation = _Validation(network, config, data, loss, options.batch_size)
        self._variables = [*self._learner.variables, *self._learner.optimizer.variables]
        self._checkpoint = None
        self.progress = Progress()
        if options.checkpoint is not None:
            self._checkpoint = Checkpoint(options.checkpoint, _describe(network, config, data, options))
            self.progress = self._checkpoint.load(self._variables) or self.progress
            if self.progress.best_epoch is not None:
                self._checkpoint.load_best(network.weights)
        self.best = network.get_weights()

    def is_over(self) -> bool:
        epoch, best, patience = self.progress.epoch, self.progress.best_epoch, self._options.patience
        waited = 0 if best is None else epoch - 1 - best
        return epoch == self._options.epochs or (patience is not None and waited >= patience)

    def train_epoch(self, bar: _Bar) -> None:
        """Take the steps of this epoch that are still to be taken."""
        progress, saved = self.progress, time.monotonic()
        for images, masks in self._batches.epoch(progress.epoch, len(progress.losses)):
            loss = float(self._learner.train_on_batch(images, masks))
            if not np.isfinite(loss):
                number = len(progress.losses)
                names = ", ".join(self._names[one] for one in self._batches.chosen(progress.epoch, number))
                raise self._not_finite("loss", loss, f"in its batch {number + 1}, which is {names}")
            progress.losses.append(loss)
            bar.advance_to(progress.epoch * len(self._batches) + len(progress.losses))
            if self._checkpoint is not None and time.monotonic() - saved >= SECONDS_BETWEEN_SAVES:
                self._checkpoint.save(progress, self._variables)
                saved = time.monotonic()

    def end_epoch(self) -> None:
        """Measure the averaged weights, keep them where they are the best, and write what was reached."""
        progress = self.progress
        self._network.set_weights(self._learner.averaged_weights())
        val_loss, val_dice = self._validation.measure()
        if not np.isfinite(val_loss):  # maps of NaN show nothing, and that may well score best
            raise self._not_finite("val_loss", val_loss, "after its last batch")
        for name, value in (("loss", np.mean(progress.losses)), ("val_loss", val_loss), ("val_dice", val_dice)):
            progress.history[name].append(float(value))
        improved = progress.best_epoch == progress.epoch
        progress.epoch, progress.losses = progress.epoch + 1, []
        if improved:
            self.best = self._network.get_weights()
        if self._checkpoint is not None:
            if improved:
                self._checkpoint.save_best(self.best)
            self._checkpoint.write_history(progress.history)
            self._checkpoint.save(progress, self._variables)

    def _not_finite(self, name: str, value: float, where: str) -> CloudsegError:
        return CloudsegError(
            f"{name} became {value} in epoch {self.progress.epoch + 1}; {where}; the best weights so far are kept. Try "
            f"a learning rate below {self._options.learning_rate}."
        )


class _Validation:
    """Measures the last head on the validation images."""

    def __init__(
        self, network: keras.Model, config: ModelConfig, data: TrainingData, loss: keras.losses.Loss, batch_size: int
    ) -> None:
        self._engine: Engine = KerasEngine(serving_model(network, config))
        self._decision = Decision.plain(len(config.classes))
        self._truth = data.truth
        self._samples = data.validation
        self._loss = loss
        self._batch_size = batch_size

    def measure(self) -> tuple[float, float]:
        """Return the loss, and the competition's metric."""
        losses, dice = [], []
        for start in range(0, len(self._truth), self._batch_size):
            part = slice(start, start + self._batch_size)
            images, masks = self._samples.stack(part)
            found = self._engine.run(images)
            losses.append(float(self._loss(masks, found.maps)) * len(found.maps))
            predicted = [decide(one.maps, METRIC_SIZE, self._decision, one.presence) for one in found.images()]
            dice += [pair_dice(*pair).mean() for pair in zip(self._truth[part], predicted, strict=True)]
        return sum(losses) / len(self._truth), float(np.mean(dice))


class _Bar(ProgressBar):
    """A progress bar over all steps, and a line for each epoch."""

    def __init__(self, options: FitOptions, steps: int) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        super().__init__(*columns, disable=not options.progress)
        self._epochs = options.epochs
        self._shown = self.add_task("", total=steps)

    def show(self, epoch: int, progress: Progress) -> None:
        best = "" if progress.best_epoch is None else f", best val_dice {max(progress.history['val_dice']):.4f}"
        self.update(self._shown, description=f"epoch {epoch} of {self._epochs}{best}")

    def advance_to(self, step: int) -> None:
        self.update(self._shown, completed=step)

    def tell(self, progress: Progress) -> None:
        self.show(progress.epoch, progress)
        if not self.disable:
            figures = ", ".join(f"{name} {values[-1]:.4f}" for name, values in progress.history.items())
            self.console.print(f"epoch {progress.epoch} of {self._epochs}: {figures}", highlight=False)


def _make_learner(
    network: keras.Model, config: ModelConfig, loss: keras.losses.Loss, options: FitOptions, steps: int
) -> Learner:
    copy = copy_for_training(network, config, options.precision, options.frozen_stages, options.seed)
    learner = Learner(copy, config, loss, options.head_shares, options.presence_weight, options.ema)
    slow: set[str] = set()
    if options.encoder_rate != 1:
        slow = {weight.path for stage in encoder_stages(copy, config) for layer in stage for weight in layer.weights}
    variables = learner.trainable_variables
    learner.compile(make_optimizer(variables, slow, options.encoder_rate, options.learning_rate, steps))
    return learner


def _describe(network: keras.Model, config: ModelConfig, data: TrainingData, options: FitOptions) -> dict[str, Any]:
    """Return what decides the course of a run, in JSON values."""
    kept = {name: value for name, value in vars(options).items() if name not in ("checkpoint", "patience", "progress")}
    kept["augmentation"] = asdict(options.augmentation)
    kept["loss"] = options.loss if isinstance(options.loss, str) else type(options.loss).__name__
    images = hashlib.sha256("/".join(data.names).encode()).hexdigest()
    weights = hashlib.sha256(b"".join(array.tobytes() for array in network.get_weights())).hexdigest()
    return {**config.to_dict(), **kept, "images": images, "initial_weights": weights}
