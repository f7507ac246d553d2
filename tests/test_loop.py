"""The training loop: optimizer, average, frozen stages, early stopping, checkpoints, and going on from them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import keras
import numpy as np
import pytest
import reference
import resumable
from keras import ops
from numpy.typing import NDArray

from cloudseg_sdk import (
    Augmentation,
    BundleError,
    CloudDataset,
    CloudsegError,
    ConfigError,
    ModelConfig,
    Segmenter,
    TrainConfig,
)
from cloudseg_sdk.models.weights import get_weights
from cloudseg_sdk.training.batches import Samples
from cloudseg_sdk.training.config import LossName
from cloudseg_sdk.training.learner import Learner, copy_for_training
from cloudseg_sdk.training.losses import LOSSES, BCEDice
from cloudseg_sdk.training.optimizer import make_optimizer

TINY = replace(resumable.CONFIG, dropout=0.0, filters=(4, 6, 8))
LITE = ModelConfig(input_size=(32, 48), encoder="efficientnetlite0", filters=(4,) * 5, presence_head=True)


@pytest.fixture(scope="module")
def dataset(dataset_folder: Path) -> CloudDataset:
    return CloudDataset.from_kaggle(dataset_folder, (140, 210))


def same(one: Segmenter, other: Segmenter) -> bool:
    """Bit for bit."""
    weights = get_weights(other.model)
    return all(array.tobytes() == weights[path].tobytes() for path, array in get_weights(one.model).items())


# Optimizer and average


ADAMW = TrainConfig(learning_rate=0.1, encoder_rate=0.25)
ADAM = TrainConfig(learning_rate=0.1, schedule="constant", weight_decay=0, epsilon=0.1, clip_norm=None)


@pytest.mark.parametrize("steps", [1, 12, 45])
@pytest.mark.parametrize("config", [ADAMW, replace(ADAMW, weight_decay=0.1, clip_norm=0.5), ADAM], ids=str)
def test_weights_move_by_adamw_under_the_schedule_each_at_its_rate(config: TrainConfig, steps: int) -> None:
    random = np.random.default_rng(0)
    shapes = ((3, 4), (4,), (2, 5))
    starts = [random.normal(size=shape) for shape in shapes]
    variables = [keras.Variable(start.astype(np.float32), name=name) for name, start in zip("abc", starts, strict=True)]
    optimizer = make_optimizer(variables, {variables[2].path}, config, steps)
    # Of both kinds: a norm that is clipped, and one that is not.
    gradients = [[random.normal(0, 0.1 + step % 2, shape) for shape in shapes] for step in range(steps)]
    for parts in gradients:
        optimizer.apply([ops.convert_to_tensor(part, "float32") for part in parts], variables)
    cosine = config.schedule == "cosine"
    rates = [reference.learning_rate(step, steps, 0.1) if cosine else 0.1 for step in range(steps)]
    clip = config.clip_norm or np.inf
    scales = (1, 1, config.encoder_rate)
    wanted = reference.adamw(starts, gradients, rates, scales, config.weight_decay, config.epsilon, clip)
    for variable, array in zip(variables, wanted, strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(variable), array, atol=2e-5)


def make_learner(config: ModelConfig, decay: float, seed: int = 0) -> Learner:
    copy = copy_for_training(Segmenter.build(config, seed=seed).model, config, "float32", None, 0)
    heads = config.nested if config.deep_supervision else 1
    learner = Learner(copy, config, BCEDice(), (1 / heads,) * heads, 0.1, decay)
    learner.compile(make_optimizer(learner.trainable_variables, (), TrainConfig(learning_rate=0.05), 20))
    return learner


def batch(seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (2, 32, 48, 3), np.uint8), random.integers(0, 2, (2, 16, 24, 4), np.uint8)


@pytest.mark.parametrize("decay", [0.5, 0.998])
def test_the_average_is_that_of_the_weights_after_every_step(decay: float) -> None:
    """Statistics of batch normalization are taken when they change, half a step before the weights."""
    learner = make_learner(TINY, decay)
    weights = learner.network.weights
    early = ["moving" in weight.path for weight in weights]
    assert 0 < sum(early) < len(early)
    seen: list[list[NDArray[np.float32]]] = []
    for step in range(12):
        before = [ops.convert_to_numpy(weight).copy() for weight in weights]
        learner.train_on_batch(*batch(step))
        after = [ops.convert_to_numpy(weight).copy() for weight in weights]
        seen.append([late if first else one for one, late, first in zip(before, after, early, strict=True)])
    seen.append(after)
    start = [ops.convert_to_numpy(weight) for weight in make_learner(TINY, decay).network.weights]
    for number, average in enumerate(learner.averaged_weights()):
        sequence = [one[number] for one in seen]
        wanted = start[number].astype(np.float64)
        for step, weight in enumerate(sequence):
            kept = min(decay, (1 + step) / (10 + step))
            wanted = kept * wanted + (1 - kept) * weight
        if not early[number]:
            np.testing.assert_allclose(reference.moving_average(sequence, decay), wanted)
        np.testing.assert_allclose(average, wanted, atol=1e-6)
    assert max(np.abs(one - other).max() for one, other in zip(after, learner.averaged_weights(), strict=True)) > 1e-3


def test_without_a_decay_the_weights_are_the_last_steps() -> None:
    learner = make_learner(TINY, 0)
    learner.train_on_batch(*batch(0))
    for average, weight in zip(learner.averaged_weights(), learner.network.weights, strict=True):
        np.testing.assert_array_equal(average, ops.convert_to_numpy(weight))


def fit(
    segmenter: Segmenter, dataset: CloudDataset, checkpoint: str | Path | None = None, **options: Any
) -> dict[str, list[float]]:
    config = TrainConfig(**({"epochs": 2, "batch_size": 2, "learning_rate": 0.01} | options))
    return segmenter.fit(dataset[:4], dataset[4:7], config, checkpoint=checkpoint, progress=False)


def test_fit_measures_and_keeps_averaged_weights(dataset: CloudDataset) -> None:
    """At a rate this high the last step's weights are far from their average."""
    averaged, last = Segmenter.build(TINY), Segmenter.build(TINY)
    history = fit(averaged, dataset, epochs=1, learning_rate=0.1, ema=0.9)
    plain = fit(last, dataset, epochs=1, learning_rate=0.1, ema=0)
    assert history["loss"] == plain["loss"]
    assert history["val_loss"] != plain["val_loss"]
    assert not same(averaged, last)
    assert averaged.evaluate(dataset[4:7]).dice == pytest.approx(history["val_dice"][0], abs=1e-4)


# The encoder


def test_the_bar_ends_with_the_best_score_of_all_epochs(
    dataset: CloudDataset, capsys: pytest.CaptureFixture[str]
) -> None:
    segmenter = Segmenter.build(TINY)
    history = segmenter.fit(dataset, dataset, TrainConfig(epochs=1, batch_size=4), progress=True)
    assert f"epoch 1 of 1, best val_dice {history['val_dice'][0]:.4f}" in capsys.readouterr().out


def moved(config: ModelConfig, dataset: CloudDataset, **options: Any) -> dict[str, bool]:
    segmenter = Segmenter.build(config)
    before = get_weights(segmenter.model)
    fit(segmenter, dataset[:7], epochs=1, ema=0, **options)
    assert all(layer.trainable for layer in segmenter.model.layers)
    return {path: not np.array_equal(array, before[path]) for path, array in get_weights(segmenter.model).items()}


def test_frozen_stages_and_the_encoders_statistics_stay(dataset: CloudDataset) -> None:
    for path, has_moved in moved(LITE, dataset, frozen_stages=2).items():
        block = path.split("_")[0]
        frozen = block in ("stem", "block1a", "block2a", "block2b")
        encoder = block.startswith(("stem", "block", "top"))
        stays = frozen or (encoder and "_bn/" in path)
        assert has_moved != stays, path


def test_the_encoders_rate_is_a_factor(dataset: CloudDataset) -> None:
    for path, has_moved in moved(LITE, dataset, encoder_rate=1e-30, frozen_stages=0).items():
        assert has_moved != path.startswith(("stem", "block", "top")), path


@pytest.mark.parametrize("options", [{"encoder_rate": 0.3}, {"frozen_stages": 0}])
def test_plain_convolutions_have_nothing_to_keep(options: dict[str, Any], dataset: CloudDataset) -> None:
    with pytest.raises(ConfigError) as caught:
        fit(Segmenter.build(TINY), dataset, **options)
    assert str(caught.value) == ('the encoder "unetpp" has no weights of its own to keep or to train more slowly')


def test_layers_that_the_user_froze_stay(dataset: CloudDataset) -> None:
    segmenter = Segmenter.build(TINY)
    segmenter.model.get_layer("conv11_1").trainable = False
    before = get_weights(segmenter.model)
    fit(segmenter, dataset)
    after = get_weights(segmenter.model)
    np.testing.assert_array_equal(after["conv11_1/kernel"], before["conv11_1/kernel"])
    assert not np.array_equal(after["conv11_2/kernel"], before["conv11_2/kernel"])


# Precision


def test_bfloat16_trains_beside_float32_weights(dataset: CloudDataset) -> None:
    copies = [
        copy_for_training(Segmenter.build(TINY).model, TINY, precision, None, 0) for precision in ("auto", "bfloat16")
    ]
    assert [copy.get_layer("conv11_1").compute_dtype for copy in copies] == ["float32", "bfloat16"]  # tests see no GPU
    assert {weight.dtype for weight in copies[1].weights} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"
    half, full = Segmenter.build(TINY), Segmenter.build(TINY)
    losses = [fit(half, dataset, precision="bfloat16")["loss"], fit(full, dataset, precision="float32")["loss"]]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)
    assert losses[0] != losses[1]
    assert half.model.get_layer("conv11_1").compute_dtype == "float32"


# The same again, stopped, killed, gone on with


@pytest.fixture(scope="module")
def whole(dataset_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Segmenter, Path]:
    """A run that nothing stopped, and its folder."""
    folder = tmp_path_factory.mktemp("whole")
    return resumable.train(dataset_folder, folder), folder


def test_one_seed_gives_the_same_weights_to_the_bit(whole: tuple[Segmenter, Path], dataset_folder: Path) -> None:
    keras.utils.set_random_seed(99)
    assert same(whole[0], resumable.train(dataset_folder, None))


@pytest.mark.parametrize("step", [2, 7])
def test_a_killed_run_goes_on_as_if_it_had_not_been(
    step: int, whole: tuple[Segmenter, Path], dataset_folder: Path, tmp_path: Path
) -> None:
    """Killed in the middle of the first or second epoch of three."""
    resumable.kill(dataset_folder, tmp_path / "run", step)
    with np.load(tmp_path / "run" / "last.npz") as file:
        progress = json.loads(str(file["state"]))["progress"]
    assert (progress["epoch"], len(progress["losses"])) == divmod(step, resumable.BATCHES)

    steps: list[int] = []
    count = Learner.train_on_batch
    with pytest.MonkeyPatch.context() as patch:

        def train_on_batch(*arguments: Any) -> Any:
            steps.append(1)
            return count(*arguments)

        patch.setattr(Learner, "train_on_batch", train_on_batch)
        resumed = resumable.train(dataset_folder, tmp_path / "run")
    assert len(steps) == resumable.EPOCHS * resumable.BATCHES - step
    assert same(resumed, whole[0])
    for name in ("history.csv", "kept.npz", "last.npz"):
        one, other = tmp_path / "run" / name, whole[1] / name
        if name == "history.csv":
            assert one.read_text() == other.read_text()
        else:
            with np.load(one) as files, np.load(other) as wanted:
                assert files.files == wanted.files
                assert all(files[key].tobytes() == wanted[key].tobytes() for key in files.files)


def test_a_finished_run_is_not_trained_again(dataset: CloudDataset, tmp_path: Path) -> None:
    first, again = Segmenter.build(TINY), Segmenter.build(TINY)
    history = fit(first, dataset, checkpoint=tmp_path)
    lines = (tmp_path / "history.csv").read_text().splitlines()
    assert lines[0] == "epoch,loss,val_loss,val_dice"
    assert [tuple(map(float, line.split(","))) for line in lines[1:]] == [
        (number, *values) for number, values in enumerate(zip(*history.values(), strict=True), start=1)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Learner, "train_on_batch", None)
        assert fit(again, dataset, checkpoint=str(tmp_path)) == history
    assert same(first, again)


def test_another_run_is_not_gone_on_with(dataset: CloudDataset, tmp_path: Path) -> None:
    fit(Segmenter.build(TINY), dataset, epochs=1, checkpoint=tmp_path)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"learning_rate": 0.02}, "learning_rate=0.01, not 0.02"),
        ({"epochs": 3}, "epochs=1, not 3"),
        ({"ema": 0.5}, "ema=0.998, not 0.5"),
        ({"keep": "last"}, "keep='best', not 'last'"),
        ({"loss": BCEDice()}, f"loss='bce_dice', not {TrainConfig(loss=BCEDice()).to_dict()['loss']}"),
    ]
    for options, words in cases:
        with pytest.raises(ConfigError) as caught:
            fit(Segmenter.build(TINY), dataset, checkpoint=tmp_path, **({"epochs": 1} | options))
        assert str(caught.value) == f"{tmp_path} holds a run with {words}; give another folder, or call it as before"
    with pytest.raises(ConfigError, match="holds a run with initial_weights="):
        fit(Segmenter.build(TINY, seed=1), dataset, epochs=1, checkpoint=tmp_path)


def test_a_run_on_other_images_or_labels_is_not_gone_on_with(dataset: CloudDataset, tmp_path: Path) -> None:
    options = TrainConfig(epochs=1, batch_size=2, learning_rate=0.01)
    Segmenter.build(TINY).fit(dataset[:4], dataset[4:7], options, checkpoint=tmp_path, progress=False)
    first, *others = dataset[:7]
    corrected = tuple(replace(one, rles=(~one.rles[0], *one.rles[1:])) for one in (first, others[3]))
    cases = (
        ("train", dataset[1:5], dataset[4:7]),
        ("train", replace(dataset, examples=(corrected[0], *others[:3])), dataset[4:7]),
        ("validation", dataset[:4], dataset[4:8]),
        ("validation", dataset[:4], replace(dataset, examples=(corrected[1], *others[4:]))),
    )
    for name, train, validation in cases:
        with pytest.raises(ConfigError) as caught:
            Segmenter.build(TINY).fit(train, validation, options, checkpoint=tmp_path, progress=False)
        words = rf"holds a run with {name}='[0-9a-f]{{64}}', not '[0-9a-f]{{64}}'; give another folder, or call it as "
        assert re.fullmatch(rf"{re.escape(str(tmp_path))} {words}before", str(caught.value))


def test_a_damaged_checkpoint_is_named(dataset: CloudDataset, tmp_path: Path) -> None:
    fit(Segmenter.build(TINY), dataset, checkpoint=tmp_path)
    for name in ("kept.npz", "last.npz"):
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data[: len(data) // 2])
        with pytest.raises(BundleError, match=rf"{name} is damaged: "):
            fit(Segmenter.build(TINY), dataset, checkpoint=tmp_path)


def test_a_checkpoint_without_its_state_or_of_other_arrays_is_damaged(dataset: CloudDataset, tmp_path: Path) -> None:
    fit(Segmenter.build(TINY), dataset, checkpoint=tmp_path)
    path = tmp_path / "last.npz"
    with np.load(path) as file:
        arrays = dict(file)
    for name, words in (("state", "KeyError\\('state'\\)"), ("0", "its arrays are not those of this network")):
        np.savez(path, **{other: array for other, array in arrays.items() if other != name})
        with pytest.raises(BundleError, match=rf"last\.npz is damaged: {words}$"):
            fit(Segmenter.build(TINY), dataset, checkpoint=tmp_path)


class Worse(BCEDice):
    """What it asks for makes every epoch worse than the one before."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return -ops.minimum(super().call(y_true, y_pred), 5.0)


def test_training_stops_when_it_has_waited_long_enough(dataset: CloudDataset) -> None:
    segmenter = Segmenter.build(TINY)
    fit(segmenter, dataset[:7], epochs=8, learning_rate=0.03)
    history = fit(segmenter, dataset[:7], epochs=12, learning_rate=0.1, loss=Worse(), ema=0, patience=2)
    scores = history["val_dice"]
    assert len(scores) < 12
    assert int(np.argmax(scores)) == len(scores) - 3
    assert segmenter.evaluate(dataset[4:7]).dice == pytest.approx(max(scores), abs=1e-4)


def test_the_last_epoch_is_kept_where_that_is_asked_for(dataset: CloudDataset, tmp_path: Path) -> None:
    best, last, resumed = (Segmenter.build(TINY) for _ in range(3))
    options: dict[str, Any] = {"epochs": 3, "learning_rate": 0.1, "loss": Worse(), "ema": 0}
    history = fit(best, dataset, **options)
    assert fit(last, dataset, tmp_path, **options, keep="last") == history
    assert history["val_dice"][-1] < max(history["val_dice"])
    assert last.evaluate(dataset[4:7]).dice == pytest.approx(history["val_dice"][-1], abs=1e-4)
    assert best.evaluate(dataset[4:7]).dice == pytest.approx(max(history["val_dice"]), abs=1e-4)
    fit(resumed, dataset, tmp_path, **options, keep="last")
    assert same(last, resumed)


def test_the_notebooks_training_is_the_notebooks() -> None:
    """``adam = Adam(lr = 0.05, epsilon = 0.1)``, ``bce_dice_loss``, batches of 10, 25 epochs, the last one saved."""
    config = TrainConfig.notebook()
    assert (config.epochs, config.batch_size, config.keep) == (25, 10, "last")
    assert (config.learning_rate, config.schedule, config.epsilon) == (0.05, "constant", 0.1)
    assert (config.weight_decay, config.clip_norm, config.ema) == (0, None, 0)
    assert config.augmentation == Augmentation.none()
    random = np.random.default_rng(0)
    truth, maps = (random.random((10, 4, 6, 4)) < 0.3).astype(np.float32), random.uniform(0.01, 0.99, (10, 4, 6, 4))
    entropy = -(truth * np.log(maps) + (1 - truth) * np.log(1 - maps)).mean()
    dice = (2 * (truth * maps).sum() + 1) / (truth.sum() + maps.sum() + 1)
    assert not isinstance(config.loss, str)
    assert float(config.loss(truth, maps.astype(np.float32))) == pytest.approx(entropy + 1 - dice, rel=1e-5)


def test_the_notebooks_network_trains_as_it_did(dataset: CloudDataset) -> None:
    small = replace(ModelConfig.notebook(), input_size=(32, 48), filters=(4, 6, 8))
    segmenter = Segmenter.build(small)
    history = segmenter.fit(dataset[:6], dataset[6:], replace(TrainConfig.notebook(), epochs=3), progress=False)
    assert np.isfinite(list(history.values())).all()
    assert history["loss"][-1] < history["loss"][0]


def test_a_configuration_is_json() -> None:
    for config in (TrainConfig(head_weights=(1, 2), seed=3), TrainConfig.notebook()):
        assert json.loads(json.dumps(config.to_dict())).keys() == vars(config).keys()
    assert TrainConfig.notebook().to_dict()["loss"] == {
        "name": "BCEDice",
        "reduction": "sum_over_batch_size",
        "per": "batch",
        "smooth": 1.0,
        "bce_weight": 1.0,
        "dice_weight": 1.0,
    }
    assert TrainConfig(augmentation=Augmentation.none()).to_dict()["augmentation"]["warp"] == 0


def test_every_name_of_a_loss_has_one() -> None:
    assert get_args(LossName) == tuple(LOSSES)


class Cliff(BCEDice):
    """Not a number where more of a batch is foreground than this share."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def call(self, y_true: Any, y_pred: Any) -> Any:
        above = ops.mean(ops.cast(y_true, "float32")) > self.share
        return super().call(y_true, y_pred) + ops.where(above, float("nan"), 0.0)


def test_a_loss_that_is_no_number_names_its_batch(dataset: CloudDataset) -> None:
    _, masks = Samples.of(dataset, TINY, progress=False).stack(slice(None, 4))
    shares = masks.mean(axis=(1, 2, 3))
    loss = Cliff(float(np.sort(shares)[-2:].mean()))
    options: dict[str, Any] = {"batch_size": 1, "augmentation": Augmentation.flips_only(), "epochs": 1}
    with pytest.raises(CloudsegError) as caught:
        fit(Segmenter.build(TINY), dataset, loss=loss, **options)
    name = dataset[int(shares.argmax())].image.name
    pattern = rf"loss became nan in epoch 1; in its batch [1-4], which is {name}; the weights of the epochs before are "
    assert re.fullmatch(pattern + r"kept\. Try a learning rate below 0\.01\.", str(caught.value))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"clip_norm": 0}, "clip_norm must be None or a positive number, got 0"),
        ({"epsilon": None}, "epsilon must be a positive number, got None"),
        ({"weight_decay": -1}, "weight_decay must be 0 or a positive number, got -1"),
        ({"schedule": "linear"}, "schedule must be one of cosine, constant, got 'linear'"),
        ({"keep": "first"}, "keep must be one of best, last, got 'first'"),
        ({"augmentation": None}, "augmentation must be an Augmentation, got None"),
        ({"ema": "1"}, "ema must be at least 0 and below 1, got '1'"),
        ({"ema": 1.0}, "ema must be at least 0 and below 1, got 1.0"),
        ({"ema": float("nan")}, "ema must be at least 0 and below 1, got nan"),
        ({"encoder_rate": 0}, "encoder_rate must be a positive number, got 0"),
        ({"frozen_stages": -1}, "frozen_stages must be None or a whole number of at least 0, got -1"),
        ({"head_weights": 1.0}, "head_weights must be None or a tuple of numbers, got 1.0"),
        ({"head_weights": [1, 2]}, "head_weights must be None or a tuple of numbers, got [1, 2]"),
        ({"head_weights": ("1", True)}, "head_weights must be None or a tuple of numbers, got ('1', True)"),
        ({"seed": -1}, "seed must be a whole number from 0 to 4294967295, got -1"),
        ({"seed": 2**32}, "seed must be a whole number from 0 to 4294967295, got 4294967296"),
        ({"patience": 0}, "patience must be None or a whole number of at least 1, got 0"),
        ({"precision": "float16"}, "precision must be one of auto, float32, bfloat16, got 'float16'"),
    ],
)
def test_what_no_run_can_have(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        TrainConfig(**options)
    assert str(caught.value) == words
    assert TrainConfig(seed=2**32 - 1, head_weights=(1, 0.5)).seed == 2**32 - 1
