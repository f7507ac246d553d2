"""The training loop: steps, the competition's metric after each epoch, weights kept, going on after a kill."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar

from cloudrle import RLE
from cloudseg_sdk.config import Decision, ModelConfig
from cloudseg_sdk.data.dataset import CloudDataset
from cloudseg_sdk.errors import CloudsegError, ConfigError, DataError
from cloudseg_sdk.inference.engines import Engine, KerasEngine
from cloudseg_sdk.inference.postprocess import decide
from cloudseg_sdk.metrics import METRIC_SIZE, pair_dice, truth_at_metric_size
from cloudseg_sdk.models.encoders import encoder_stages
from cloudseg_sdk.models.serving import serving_model
from cloudseg_sdk.training.batches import Batches, Samples
from cloudseg_sdk.training.checkpoints import Checkpoint, History, Progress, one_writer
from cloudseg_sdk.training.config import TrainConfig
from cloudseg_sdk.training.devices import Devices
from cloudseg_sdk.training.learner import Learner, copy_for_training
from cloudseg_sdk.training.losses import LOSSES
from cloudseg_sdk.training.optimizer import make_optimizer

SECONDS_BETWEEN_SAVES = 120.0  # within an epoch; what a kill may cost


def _head_shares(config: ModelConfig, head_weights: Sequence[float] | None) -> tuple[float, ...]:
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
    digests: dict[str, str]  # of names and labels, by "train" and "validation"


def load_training_data(
    config: ModelConfig, train: CloudDataset, validation: CloudDataset, options: TrainConfig, *, progress: bool
) -> TrainingData:
    """Check that all fit the network, and read into memory what is not cached."""
    _head_shares(config, options.head_weights)
    datasets = {"train": train, "validation": validation}
    for name, dataset in datasets.items():
        if not isinstance(dataset, CloudDataset):
            raise TypeError(f"{name} must be a CloudDataset, got {dataset!r:.80}")
        if dataset.classes != config.classes:
            raise DataError(f"{name} has the classes {dataset.classes}, the model {config.classes}")
        if not len(dataset):
            raise DataError(f"{name} holds no images")
    return TrainingData(
        train=Samples.of(train, config, progress=progress),
        validation=Samples.of(validation, config, progress=progress),
        names=tuple(example.image.name for example in train),
        truth=[truth_at_metric_size(example.rles) for example in validation],
        digests={name: _digest(dataset) for name, dataset in datasets.items()},
    )


def _digest(dataset: CloudDataset) -> str:
    """Return the SHA-256 of the images' names and their labels, in order."""
    digest = hashlib.sha256()
    for example in dataset:
        digest.update(repr((example.image.name, [rle.shape for rle in example.rles])).encode())
        for rle in example.rles:
            digest.update(f"{len(rle.runs)} ".encode() + rle.runs.tobytes())
    return digest.hexdigest()


class Interrupted(KeyboardInterrupt):
    """Ctrl-C in a training run; `history` is of the epochs that had ended."""

    def __init__(self, history: History) -> None:
        super().__init__()
        self.history = history


def fit_network(
    network: keras.Model,
    config: ModelConfig,
    data: TrainingData,
    options: TrainConfig,
    devices: Devices,
    checkpoint: Path | None,
    *,
    progress: bool,
) -> History:
    """Train `network` and leave it with the weights of the epoch that `options` keeps.

    Interrupted by Ctrl-C, which it raises as :class:`Interrupted`, or an error, it keeps those of the epochs so far:
    before the first has ended, those that it began with.
    """
    with nullcontext() if checkpoint is None else one_writer(checkpoint):
        run = _Run(network, config, data, options, devices, checkpoint)
        with _Bar(options.epochs, run.steps, progress=progress) as bar:
            try:
                while not run.is_over():
                    bar.show(run.progress.epoch + 1, run.progress)
                    run.train_epoch(bar)
                    run.end_epoch()
                    bar.tell(run.progress)
            except KeyboardInterrupt as error:
                ended = {name: values[: run.progress.epoch] for name, values in run.progress.history.items()}
                raise Interrupted(ended) from error
            finally:
                network.set_weights(run.kept)
        return run.progress.history


class _Run:
    """A learner, where it stands, and the weights to keep so far."""

    def __init__(
        self,
        network: keras.Model,
        config: ModelConfig,
        data: TrainingData,
        options: TrainConfig,
        devices: Devices,
        checkpoint: Path | None,
    ) -> None:
        loss = LOSSES[options.loss]() if isinstance(options.loss, str) else options.loss
        self._network = network
        self._options = options
        self._devices = devices
        self._names = data.names
        self._batches = Batches(data.train, options.batch_size, seed=options.seed, augmentation=options.augmentation)
        self.steps = len(self._batches) * options.epochs
        with devices.scope():
            self._learner = _make_learner(network, config, loss, options, self.steps, devices.parts)
        self._validation = _Validation(network, config, data, loss, options.batch_size)
        self._variables = [*self._learner.variables, *self._learner.optimizer.variables]
        self._checkpoint = None
        self.progress = Progress()
        if checkpoint is not None:
            self._checkpoint = Checkpoint(checkpoint, _describe(network, config, data, options, devices))
            self.progress = self._checkpoint.load(self._variables) or self.progress
            if self.progress.epoch:
                self._checkpoint.load_kept(network.weights)
        self.kept = network.get_weights()

    def is_over(self) -> bool:
        epoch, best, patience = self.progress.epoch, self.progress.best_epoch, self._options.patience
        waited = 0 if best is None else epoch - 1 - best
        return epoch == self._options.epochs or (patience is not None and waited >= patience)

    def train_epoch(self, bar: _Bar) -> None:
        """Take the steps of this epoch that are still to be taken."""
        progress, saved = self.progress, time.monotonic()
        for batch in self._batches.epoch(progress.epoch, len(progress.losses)):
            with self._devices.scope():
                loss = float(self._learner.train_on_batch(*self._devices.share(batch)))
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
        """Measure the averaged weights, keep them where that is asked for, and write what was reached."""
        progress = self.progress
        self._network.set_weights(self._learner.averaged_weights())
        val_loss, val_dice = self._validation.measure()
        if not np.isfinite(val_loss):  # maps of NaN show nothing, and that may well score best
            raise self._not_finite("val_loss", val_loss, "after its last batch")
        for name, value in (("loss", np.mean(progress.losses)), ("val_loss", val_loss), ("val_dice", val_dice)):
            progress.history[name].append(float(value))
        keep = self._options.keep == "last" or progress.best_epoch == progress.epoch
        progress.epoch, progress.losses = progress.epoch + 1, []
        if keep:
            self.kept = self._network.get_weights()
        if self._checkpoint is not None:
            if keep:
                self._checkpoint.save_kept(self.kept)
            self._checkpoint.write_history(progress.history)
            self._checkpoint.save(progress, self._variables)

    def _not_finite(self, name: str, value: float, where: str) -> CloudsegError:
        return CloudsegError(
            f"{name} became {value} in epoch {self.progress.epoch + 1}; {where}; the weights of the epochs "
            f"before are kept. Try a learning rate below {self._options.learning_rate}."
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

    def __init__(self, epochs: int, steps: int, *, progress: bool) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        super().__init__(*columns, disable=not progress)
        self._epochs = epochs
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
    network: keras.Model, config: ModelConfig, loss: keras.losses.Loss, options: TrainConfig, steps: int, parts: int
) -> Learner:
    copy = copy_for_training(network, config, options.precision, options.frozen_stages, options.seed)
    shares = _head_shares(config, options.head_weights)
    learner = Learner(copy, config, loss, shares, options.presence_weight, options.ema, parts)
    slow: set[str] = set()
    if options.encoder_rate != 1:
        slow = {weight.path for stage in encoder_stages(copy, config) for layer in stage for weight in layer.weights}
    variables = learner.trainable_variables
    if options.clip_norm is not None:  # of each part's gradient, before they are added up
        options = replace(options, clip_norm=options.clip_norm / parts)
    learner.compile(make_optimizer(variables, slow, options, steps))
    return learner


def _describe(
    network: keras.Model, config: ModelConfig, data: TrainingData, options: TrainConfig, devices: Devices
) -> dict[str, Any]:
    """Return what decides the course of a run, in JSON values."""
    course = {name: value for name, value in options.to_dict().items() if name != "patience"}
    weights = hashlib.sha256(b"".join(array.tobytes() for array in network.get_weights())).hexdigest()
    return {**config.to_dict(), **course, "devices": devices.count, **data.digests, "initial_weights": weights}
