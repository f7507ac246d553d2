"""From a dataset to a trained, calibrated and evaluated network: arrays, batches, fit, calibrate, evaluate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
import pytest
import reference
import tensorflow as tf
from keras import ops
from numpy.typing import NDArray

from cloudrle import RLE
from cloudseg_sdk import Augmentation, CloudDataset, ModelConfig, Segmenter, TrainConfig
from cloudseg_sdk.config import Decision
from cloudseg_sdk.errors import CloudsegError, ConfigError, DataError, ImageError
from cloudseg_sdk.inference.postprocess import presence_scores
from cloudseg_sdk.metrics import METRIC_SIZE, truth_at_metric_size
from cloudseg_sdk.models.serving import serving_model
from cloudseg_sdk.models.weights import get_weights
from cloudseg_sdk.training.batches import Batch, Batches, Samples
from cloudseg_sdk.training.fit import Interrupted
from cloudseg_sdk.training.losses import LOSSES, BCEDice

CLASSES = ("bright", "red")
SIZE = (32, 48)
LABELS = (700, 1050)  # twice the metric's size, so that its area resize is a count of quarters
DEEP = ModelConfig(classes=CLASSES, input_size=SIZE, filters=(4, 6, 8), output_stride=1)  # two heads
TINY = replace(DEEP, filters=(4, 6))
FLAT = replace(TINY, normalization="none", deep_supervision=False)


def make_dataset(folder: Path, count: int, seed: int, *, empty: bool = False) -> CloudDataset:
    """Dark noise with bright and red boxes, some images without one or both; labels are larger than the images."""
    random = np.random.default_rng(seed)
    folder.mkdir()
    paths, masks = [], []
    for number in range(count):
        image = random.integers(0, 60, (40, 60, 3)).astype(np.uint8)
        mask = np.zeros((*LABELS, 2), np.uint8)
        for channel, colour in enumerate(((250, 250, 250), (20, 20, 220))):
            if empty or random.random() < 0.3:
                continue
            top, left = (int(random.integers(0, side // 2)) for side in (40, 60))
            box = (slice(top, top + 18), slice(left, left + 25))
            image[box] = colour
            rows, columns = (slice(part.start * 35 // 2, part.stop * 35 // 2) for part in box)  # 17.5 label pixels to 1
            mask[rows, columns, channel] = 1
        paths.append(folder / f"{number}.png")
        cv2.imwrite(str(paths[-1]), image)
        masks.append(mask)
    return CloudDataset.from_masks(paths, masks, CLASSES)


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> CloudDataset:
    return make_dataset(tmp_path_factory.mktemp("data") / "train", 6, seed=1)


@pytest.fixture(scope="module")
def validation(tmp_path_factory: pytest.TempPathFactory) -> CloudDataset:
    return make_dataset(tmp_path_factory.mktemp("data") / "validation", 7, seed=2)


def dense(dataset: CloudDataset, config: ModelConfig) -> Batch:
    """All images and masks at the network's sizes."""
    return Samples.of(dataset, config, progress=False).stack(slice(None))


def maps_of(segmenter: Segmenter, dataset: CloudDataset) -> NDArray[np.float32]:
    images, _ = dense(dataset, segmenter.config)
    return np.asarray(serving_model(segmenter.model, segmenter.config).predict_on_batch(images))


def dense_truth(dataset: CloudDataset) -> NDArray[np.uint8]:
    """Labels at the metric's size ``(N, C, 350, 525)``: at least two of four quarters."""
    masks = np.stack([[rle.to_mask() for rle in example.rles] for example in dataset])
    height, width = METRIC_SIZE
    quarters = masks.reshape(len(dataset), len(CLASSES), height, 2, width, 2).sum((3, 5), dtype=int)
    return np.asarray(quarters >= 2, np.uint8)


# Samples


def test_samples_are_images_stretched_and_masks_by_area_in_the_datasets_order(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    paths, masks, blocks = [], [], []
    for number in range(5):
        block = random.integers(0, 256, (*SIZE, 3)).astype(np.uint8)
        cv2.imwrite(str(tmp_path / f"{9 - number}.png"), block.repeat(2, axis=0).repeat(3, axis=1)[:, :, ::-1])
        paths.append(tmp_path / f"{9 - number}.png")
        masks.append((random.random((20, 30, 2)) < 0.5).astype(np.uint8))
        blocks.append(block)
    for stride in (1, 2):
        config = replace(DEEP, output_stride=stride)
        images, drawn = dense(CloudDataset.from_masks(paths, masks, CLASSES), config)
        assert images.dtype == drawn.dtype == np.uint8
        np.testing.assert_array_equal(images, blocks)
        wanted = [np.stack([reference.area(m[:, :, c], config.output_size) for c in (0, 1)], axis=-1) for m in masks]
        np.testing.assert_array_equal(drawn, wanted)


def test_images_are_stretched_whole_and_not_cropped(tmp_path: Path) -> None:
    tall = np.zeros((200, 60, 3), np.uint8)
    tall[:100, :30], tall[:100, 30:], tall[100:, :30], tall[100:, 30:] = (255, 0, 0), (0, 255, 0), (0, 0, 255), 255
    path = tmp_path / "tall.png"
    cv2.imwrite(str(path), tall[:, :, ::-1])
    dataset = CloudDataset.from_masks([path], [np.zeros((8, 8, 2), np.uint8)], CLASSES)
    ((image,), _) = dense(dataset, TINY)
    quarters = tall[::100, ::30].repeat(16, axis=0).repeat(24, axis=1)
    inner = np.ones(SIZE, bool)
    inner[14:18], inner[:, 22:26] = False, False  # where colours meet
    np.testing.assert_array_equal(image[inner], quarters[inner])


def test_an_image_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "images", 4, seed=3)
    dataset[2].image.write_bytes(dataset[2].image.read_bytes()[:60])
    with pytest.raises(ImageError, match=r"2\.png"):
        dense(dataset, TINY)
    dataset[2].image.unlink()
    with pytest.raises(ImageError, match=r"2\.png"):
        dense(dataset, TINY)


# Batches


def numbered_samples(count: int, stride: int = 2) -> Samples:
    """Random masks; each image is its two masks blown up, and its number."""
    masks = (np.random.default_rng(4).random((count, 16, 24, 2)) < 0.5).astype(np.uint8)
    fine = 255 * masks.repeat(stride, axis=1).repeat(stride, axis=2)
    numbers = np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (*fine.shape[:3], 1))
    images = np.concatenate([fine, numbers], axis=-1)
    images.flags.writeable = False  # like those of a cache
    rles = tuple((RLE.from_mask(mask[:, :, 0]), RLE.from_mask(mask[:, :, 1])) for mask in masks)
    return Samples(tuple(images), rles, (16, 24), CLASSES)


def flipped(samples: Samples, batch_size: int, seed: int, threads: int | None = None) -> Batches:
    return Batches(samples, batch_size, seed=seed, augmentation=Augmentation.flips_only(), threads=threads)


def epoch(batches: Batches) -> list[Batch]:
    """One epoch as Keras reads it."""
    drawn = [batches[index] for index in range(len(batches))]
    batches.on_epoch_end()
    return drawn


def order(drawn: list[Batch]) -> list[int]:
    return [int(image[0, 0, 2]) for images, _ in drawn for image in images]


@pytest.mark.parametrize(("count", "batch_size"), [(11, 4), (12, 4), (3, 8), (1, 1), (1, 5)])
def test_every_epoch_sees_every_image_and_fills_its_last_batch_from_its_beginning(count: int, batch_size: int) -> None:
    batches = flipped(numbered_samples(count), batch_size, seed=0)
    for _ in range(4):
        drawn = epoch(batches)
        assert len(drawn) == -(-count // batch_size)
        assert {(images.shape, masks.shape) for images, masks in drawn} == {
            ((batch_size, 32, 48, 3), (batch_size, 16, 24, 2))
        }
        seen = order(drawn)
        assert sorted(seen[:count]) == list(range(count))
        assert seen[count:] == [seen[place % count] for place in range(count, len(seen))]


def test_images_and_masks_are_flipped_together_in_all_four_ways() -> None:
    samples = numbered_samples(10)
    _, all_masks = samples.stack(slice(None))
    batches = flipped(samples, 4, seed=1)
    ways = []
    for _ in range(8):
        for images, masks in epoch(batches):
            np.testing.assert_array_equal(images[:, :, :, :2], 255 * masks.repeat(2, axis=1).repeat(2, axis=2))
            for image, mask in zip(images, masks, strict=True):
                whole = all_masks[image[0, 0, 2]]
                turned = [whole, whole[::-1], whole[:, ::-1], whole[::-1, ::-1]]
                ways.append([bool((mask == other).all()) for other in turned])
    assert np.sum(ways, axis=1).tolist() == [1] * len(ways)
    assert (np.mean(ways, axis=0) > 0.1).all()


def test_batches_leave_the_dataset_as_it_was() -> None:
    samples = numbered_samples(5)
    for images, masks in epoch(flipped(samples, 2, seed=0)):
        images[:], masks[:] = 0, 0
    for part, kept in zip(samples.stack(slice(None)), numbered_samples(5).stack(slice(None)), strict=True):
        np.testing.assert_array_equal(part, kept)


def test_the_seed_decides_order_and_flips_and_epochs_differ() -> None:
    samples = numbered_samples(10)
    first, again, other = flipped(samples, 4, seed=5), flipped(samples, 4, seed=5), flipped(samples, 4, seed=6)
    orders = []
    for _ in range(3):
        drawn, same, different = epoch(first), epoch(again), epoch(other)
        for (images, masks), (images_again, masks_again) in zip(drawn, same, strict=True):
            np.testing.assert_array_equal(images, images_again)
            np.testing.assert_array_equal(masks, masks_again)
        assert order(drawn) != order(different)
        orders.append(tuple(order(drawn)))
    assert len(set(orders)) == 3


def everything(augmentation: Augmentation, threads: int, start: int) -> list[Batch]:
    """Two epochs from a batch on, read by `threads`."""
    batches = Batches(numbered_samples(11), 4, seed=5, augmentation=augmentation, threads=threads)
    return [*batches.epoch(1, start), *batches.epoch(2)]


@pytest.mark.parametrize("threads", [1, 2, 7])
@pytest.mark.parametrize("start", [0, 2])
def test_batches_do_not_depend_on_the_number_of_threads_or_on_where_a_run_begins(threads: int, start: int) -> None:
    augmentation = Augmentation(warp=1, cutout=0.5)
    batches = Batches(numbered_samples(11), 4, seed=5, augmentation=augmentation)
    alone = [batches.batch(number, index) for number in (1, 2) for index in range(3)][start:]
    drawn = everything(augmentation, threads, start)
    assert len(drawn) == len(alone)
    for pair, wanted in zip(drawn, alone, strict=True):
        for part, again in zip(pair, wanted, strict=True):
            np.testing.assert_array_equal(part, again)


def test_batches_may_be_read_in_any_order_and_twice() -> None:
    batches = flipped(numbered_samples(11), 4, seed=5)
    for index in (2, 0, 0, 1, 2, 1, 2):
        for part, again in zip(batches[index], batches.batch(0, index), strict=True):
            np.testing.assert_array_equal(part, again)


def test_batches_made_ahead_and_never_asked_for_are_forgotten() -> None:
    batches = flipped(numbered_samples(11), 4, seed=5, threads=2)
    for number in (0, 50, 3, 90):
        next(batches.epoch(number))
        assert len(batches._pending) <= 3


def test_the_batch_size_does_not_change_what_happens_to_an_image() -> None:
    samples = numbered_samples(12)
    for part in (0, 1):
        one, other = (np.concatenate([pair[part] for pair in epoch(flipped(samples, size, 5))]) for size in (3, 4))
        np.testing.assert_array_equal(one, other)


def test_a_few_batches_are_made_ahead_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[int, int]] = []
    plain = Batches.batch

    def batch(self: Batches, epoch: int, index: int) -> Batch:
        made.append((epoch, index))
        return plain(self, epoch, index)

    monkeypatch.setattr(Batches, "batch", batch)
    batches = flipped(numbered_samples(11), 4, seed=5, threads=2)
    seen = batches.epoch(0)
    for _ in range(3):
        next(seen)
    batches._pool.shutdown(wait=True)
    # Three asked for, and those being made when the third was: into the next epoch, so that its start does not wait.
    assert sorted(made) == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]


def test_a_fault_in_a_thread_reaches_the_loop() -> None:
    samples = numbered_samples(5)
    broken = replace(samples, rles=(*samples.rles[:4], 2 * (RLE.from_mask(np.ones((3, 3))),)))
    with pytest.raises(ValueError, match="could not broadcast"):
        list(flipped(broken, 2, seed=0).epoch(0))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1, got 0"),
        ({"batch_size": 2.0}, "batch_size must be a whole number of at least 1, got 2.0"),
        ({"threads": 0}, "threads must be a whole number of at least 1, got 0"),
    ],
)
def test_batches_of_nothing_are_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Batches(numbered_samples(2), **{"batch_size": 1, "seed": 0, "augmentation": Augmentation(), **arguments})
    assert str(caught.value) == words


def test_a_plot_of_a_batch_shows_it(train: CloudDataset) -> None:
    batches = flipped(Samples.of(train, TINY, progress=False), 3, seed=0)
    images, masks = batches.batch(1, 1)
    figure = batches.plot(1, 1)
    assert len(figure.axes) == 3 * (1 + 2)
    for number, (image, mask) in enumerate(zip(images, masks, strict=True)):
        bare, *classes = figure.axes[3 * number : 3 * number + 3]
        np.testing.assert_array_equal(bare.images[0].get_array(), image)
        assert [axis.get_title() for axis in classes] == [
            f"{name}: {mask[:, :, channel].mean():.0%}" for channel, name in enumerate(CLASSES)
        ]
        for channel, axis in enumerate(classes):
            shown = (np.asarray(axis.images[0].get_array()) != image).any(axis=-1)
            assert shown.any() == mask[:, :, channel].any()


def test_a_cache_of_another_size_is_refused(train: CloudDataset) -> None:
    with pytest.raises(DataError) as caught:
        Segmenter.build(FLAT).fit(train.cache((16, 24), progress=False), train, progress=False)
    assert str(caught.value) == (
        "the dataset is cached at (16, 24), but the network's input_size is (32, 48) (height, width); cache it at that "
        "size"
    )


# Fit


@dataclass(frozen=True)
class Trained:
    segmenter: Segmenter
    history: dict[str, list[float]]


@pytest.fixture(scope="module")
def trained(train: CloudDataset, validation: CloudDataset) -> Trained:
    """Trained until the boxes are found."""
    segmenter = Segmenter.build(TINY, seed=0)
    history = segmenter.fit(
        train, validation, TrainConfig(epochs=15, batch_size=2, learning_rate=0.03, loss="bce_dice"), progress=False
    )
    return Trained(segmenter, history)


def test_history_has_three_numbers_for_each_epoch(trained: Trained) -> None:
    assert sorted(trained.history) == ["loss", "val_dice", "val_loss"]
    for values in trained.history.values():
        assert len(values) == 15
        assert {type(value) for value in values} == {float}
    assert all(0 <= value <= 1 for value in trained.history["val_dice"])


def test_training_learns(trained: Trained, validation: CloudDataset) -> None:
    assert trained.history["loss"][-1] < 0.6 * trained.history["loss"][0]
    assert max(trained.history["val_dice"]) > trained.segmenter.evaluate(validation).empty_dice + 0.3


def test_fit_leaves_the_weights_of_the_best_epoch(trained: Trained, validation: CloudDataset) -> None:
    score = trained.segmenter.evaluate(validation).dice
    assert score == pytest.approx(max(trained.history["val_dice"]), abs=1e-4)


def test_two_heads_train_on_the_mean_of_their_losses_plus_the_penalty(tmp_path: Path) -> None:
    """Images of a single colour under empty or full masks look the same flipped, so every step sees one batch."""
    cv2.imwrite(str(tmp_path / "flat.png"), np.full((40, 60, 3), (30, 200, 90), np.uint8))
    mask = np.stack([np.ones((40, 60)), np.zeros((40, 60))], axis=-1).astype(np.uint8)
    dataset = CloudDataset.from_masks([tmp_path / "flat.png"], [mask], CLASSES)
    segmenter = Segmenter.build(replace(DEEP, normalization="none", l2=0.05), seed=2)
    images, masks = dense(dataset, segmenter.config)

    def losses() -> list[float]:
        heads = [np.asarray(head) for head in segmenter.model(images.astype(np.float32) / 127.5 - 1)]
        return [reference.bce_loss(masks, head) + reference.dice_loss(masks, head, "image") for head in heads]

    kernels = [array for path, array in get_weights(segmenter.model).items() if path.endswith("kernel")]
    penalty = 0.05 * sum(float(np.square(kernel).sum()) for kernel in kernels)
    first, last = losses()
    assert abs(first - last) > 0.1
    history = segmenter.fit(
        dataset,
        dataset,
        TrainConfig(
            epochs=6, batch_size=1, learning_rate=0.02, loss="bce_dice", augmentation=Augmentation.flips_only()
        ),
        progress=False,
    )
    assert history["loss"][0] == pytest.approx((first + last) / 2 + penalty, rel=1e-4)
    assert history["loss"][-1] < 0.9 * history["loss"][0]
    first_now, last_now = losses()
    assert first_now < first
    assert last_now < last
    best = int(np.argmax(history["val_dice"]))
    assert history["val_loss"][best] == pytest.approx(last_now, rel=1e-3)  # the last head's, without the penalty


class Backwards(BCEDice):
    """Falls where the true loss grows, so that training only makes things worse."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return -ops.minimum(super().call(y_true, y_pred), 5.0)


class Recorder(BCEDice):
    """Hands over the masks of every batch that it measures; while Keras builds a graph there are none."""

    def __init__(self, called: Callable[[NDArray[np.float32]], None]) -> None:
        super().__init__()
        self.called = called

    def call(self, y_true: Any, y_pred: Any) -> Any:
        if hasattr(y_true, "numpy"):
            self.called(y_true.numpy())
        return super().call(y_true, y_pred)


@pytest.mark.filterwarnings("ignore:Even though the `tf.config.experimental_run_functions_eagerly`")
def test_every_image_reaches_the_network_in_every_epoch_in_the_seeds_order(tmp_path: Path) -> None:
    """Keras reads the first batches twice, could shuffle them, and ends epochs itself."""
    cv2.imwrite(str(tmp_path / "0.png"), np.zeros((*SIZE, 3), np.uint8))
    paths, masks = [tmp_path / "0.png"], [np.zeros((*SIZE, 2), np.uint8)]
    for number in range(1, 7):  # as many rows of foreground as the number, flipped or not
        paths.append(tmp_path / f"{number}.png")
        paths[-1].write_bytes(paths[0].read_bytes())
        masks.append(masks[0].copy())
        masks[-1][:number] = 1
    dataset = CloudDataset.from_masks(paths, masks, CLASSES)
    everything = CloudDataset.from_masks(paths[:1], [masks[0] + 1], CLASSES)
    seen: list[int] = []
    tf.config.run_functions_eagerly(True)
    try:
        Segmenter.build(FLAT).fit(
            dataset,
            everything,
            TrainConfig(
                epochs=4,
                batch_size=3,
                augmentation=Augmentation.flips_only(),
                loss=Recorder(lambda y_true: seen.extend(y_true[:, :, 0, 0].sum(axis=1).astype(int))),
                seed=3,
            ),
            progress=False,
        )
    finally:
        tf.config.run_functions_eagerly(False)
    epochs = [seen[start : start + 10] for start in range(0, 40, 10)]  # three batches of three, one image to validate
    batches = flipped(Samples.of(dataset, FLAT, progress=False), 3, seed=3)
    drawn = [[int(mask[:, 0, 0].sum()) for _, part in epoch(batches) for mask in part] for _ in range(6)]
    assert drawn.count(epochs[0][:9]) == 1
    first = drawn.index(epochs[0][:9])  # Keras may end an epoch before the first, having looked at the shapes
    assert [one[:9] for one in epochs[: 6 - first]] == drawn[first : first + 4]
    assert all(sorted(one[:7]) == list(range(7)) and one[9] == 32 for one in epochs)


def snapshot(trained: Trained) -> Segmenter:
    """A second network with the trained one's weights."""
    copy = Segmenter.build(trained.segmenter.config)
    copy.model.set_weights(trained.segmenter.model.get_weights())
    return copy


def test_the_best_epoch_is_kept_when_later_ones_are_worse(
    trained: Trained, train: CloudDataset, validation: CloudDataset
) -> None:
    segmenter = snapshot(trained)
    history = segmenter.fit(
        train, validation, TrainConfig(epochs=4, batch_size=2, learning_rate=0.1, loss=Backwards()), progress=False
    )
    best = max(history["val_dice"])
    assert best > history["val_dice"][-1] + 0.05
    assert segmenter.evaluate(validation).dice == pytest.approx(best, abs=1e-4)


@pytest.mark.parametrize("name", sorted(set(LOSSES) - {"bce_dice"}))  # with that one the tests above train
def test_every_named_loss_falls_on_one_batch(name: str, train: CloudDataset) -> None:
    segmenter = Segmenter.build(FLAT, seed=0)
    history = segmenter.fit(
        train[:4], train[:1], TrainConfig(epochs=12, batch_size=4, learning_rate=0.02, loss=name), progress=False
    )
    assert len(history["loss"]) == 12
    assert history["loss"][-1] < 0.97 * history["loss"][0]


def test_one_seed_trains_the_same_weights(train: CloudDataset) -> None:
    """Whatever else has drawn random numbers since the network was built."""
    results, histories = [], []
    for elsewhere in (1, 2):
        segmenter = Segmenter.build(FLAT, seed=7)
        keras.utils.set_random_seed(elsewhere)
        histories.append(
            segmenter.fit(train, train[:2], TrainConfig(epochs=2, batch_size=2, learning_rate=0.01), progress=False)
        )
        results.append(get_weights(segmenter.model))
    for path, array in results[0].items():
        np.testing.assert_allclose(array, results[1][path], atol=1e-6)  # threads may add in another order
    assert histories[0]["loss"] == pytest.approx(histories[1]["loss"], rel=1e-5)


def test_a_keras_loss_of_the_users_own_trains_and_is_measured_over_all_images(
    train: CloudDataset, validation: CloudDataset
) -> None:
    """Validation runs in batches of the same size, which do not divide the seven images."""
    segmenter = Segmenter.build(FLAT, seed=0)
    loss = keras.losses.BinaryCrossentropy()
    history = segmenter.fit(
        train, validation, TrainConfig(epochs=5, batch_size=3, learning_rate=0.02, loss=loss), progress=False
    )
    assert history["loss"][-1] < history["loss"][0]
    _, truth = dense(validation, FLAT)
    best = int(np.argmax(history["val_dice"]))
    wanted = reference.bce_loss(truth, maps_of(segmenter, validation))
    assert history["val_loss"][best] == pytest.approx(wanted, rel=1e-3)


def test_training_a_saved_model_forgets_its_engine_and_decision(train: CloudDataset, tmp_path: Path) -> None:
    Segmenter.build(FLAT, seed=0).save(tmp_path / "old.cloudseg")
    segmenter = Segmenter.load(tmp_path / "old.cloudseg", engine="openvino")
    segmenter.calibrate(train[:3])
    before = segmenter(train[0].image)
    segmenter.fit(train[:4], train[:1], TrainConfig(epochs=3, batch_size=2, learning_rate=0.05), progress=False)
    assert segmenter.decision == Decision.plain(2)
    assert segmenter.metrics == {}
    assert segmenter.engine == "keras"  # the graph that OpenVINO ran holds the old weights
    after = segmenter(train[0].image)
    np.testing.assert_allclose(after.scores, presence_scores(maps_of(segmenter, train[:1])[0]), atol=1e-5)
    assert np.abs(np.subtract(before.scores, after.scores)).max() > 1e-3


# Refused, stopped and failed training


def refusals(train: CloudDataset) -> dict[str, tuple[CloudDataset, CloudDataset, str]]:
    other = CloudDataset(train.examples, ("bright", "blue"))
    swapped = CloudDataset(train.examples, CLASSES[::-1])
    return {
        "other classes": (other, train, r"train has the classes \('bright', 'blue'\), the model \('bright', 'red'\)"),
        "swapped classes": (train, swapped, r"validation has the classes \('red', 'bright'\)"),
        "no training images": (train[:0], train, "train holds no images"),
        "no validation images": (train, train[:0], "validation holds no images"),
    }


@pytest.mark.parametrize("case", ["other classes", "swapped classes", "no training images", "no validation images"])
def test_a_dataset_that_does_not_fit_is_refused_and_nothing_is_forgotten(case: str, train: CloudDataset) -> None:
    segmenter = Segmenter.build(FLAT, seed=0)
    decision = segmenter.calibrate(train[:3]).decision
    weights = get_weights(segmenter.model)
    first, second, message = refusals(train)[case]
    with pytest.raises(DataError, match=message):
        segmenter.fit(first, second, TrainConfig(epochs=1), progress=False)
    assert segmenter.decision is decision
    for path, array in get_weights(segmenter.model).items():
        np.testing.assert_array_equal(array, weights[path])


def test_an_unreadable_image_stops_before_training_and_nothing_is_forgotten(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "images", 3, seed=3)
    segmenter = Segmenter.build(FLAT, seed=0)
    decision = segmenter.calibrate(dataset).decision
    dataset[1].image.write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"1\.png"):
        segmenter.fit(dataset[:1], dataset, TrainConfig(epochs=1), progress=False)
    assert segmenter.decision is decision


@pytest.mark.parametrize(
    ("options", "words"),
    [({"epochs": 2}, "holds a run with epochs=1, not 2"), ({"frozen_stages": 1}, "no weights of its own")],
)
def test_training_that_fails_before_its_first_step_forgets_nothing(
    options: dict[str, Any], words: str, train: CloudDataset, tmp_path: Path
) -> None:
    Segmenter.build(FLAT, seed=0).save(tmp_path / "a.cloudseg", metrics={"dice": 0.5}, provenance={"data": "none"})
    config = TrainConfig(epochs=1, batch_size=2)
    Segmenter.load(tmp_path / "a.cloudseg").fit(train, train[:2], config, checkpoint=tmp_path / "run", progress=False)
    segmenter = Segmenter.load(tmp_path / "a.cloudseg", engine="openvino")
    calibration = segmenter.calibrate(train[:3])
    with pytest.raises(ConfigError, match=words):
        segmenter.fit(train, train[:2], replace(config, **options), checkpoint=tmp_path / "run", progress=False)
    assert segmenter.decision is calibration.decision
    assert segmenter.metrics == {"calibration": calibration.to_dict()}
    assert segmenter.provenance == {"data": "none"}
    assert segmenter.engine == "openvino"
    assert segmenter.parity


@pytest.mark.parametrize(
    "bad",
    [
        {"epochs": 0},
        {"epochs": 2.0},
        {"batch_size": 0},
        {"batch_size": True},
        {"learning_rate": 0.0},
        {"learning_rate": -1e-3},
        {"learning_rate": float("nan")},
        {"learning_rate": float("inf")},
        {"loss": "mse"},
        {"loss": None},
        {"loss": max},
        {"seed": -1},
        {"seed": 0.5},
    ],
    ids=str,
)
def test_a_bad_option_is_named(bad: dict[str, Any], train: CloudDataset) -> None:
    with pytest.raises(ConfigError, match=rf"^{next(iter(bad))} must be .*got "):
        Segmenter.build(FLAT).fit(train, train, TrainConfig(**{"epochs": 1, **bad}), progress=False)


def test_what_is_no_dataset_and_no_configuration_is_named(train: CloudDataset) -> None:
    segmenter: Any = Segmenter.build(FLAT)
    cases: tuple[tuple[Callable[[], Any], str], ...] = (
        (lambda: segmenter.fit("clouds/", train), "train must be a CloudDataset, got 'clouds/'"),
        (lambda: segmenter.fit(train, [1]), "validation must be a CloudDataset, got [1]"),
        (lambda: segmenter.fit(train, train, {}), "config must be a TrainConfig, got {}"),
        (lambda: segmenter.calibrate("clouds/"), "dataset must be a CloudDataset, got 'clouds/'"),
        (lambda: segmenter.evaluate(None), "dataset must be a CloudDataset, got None"),
    )
    for call, words in cases:
        with pytest.raises(TypeError) as caught:
            call()
        assert str(caught.value) == words


def test_ctrl_c_keeps_the_best_weights_so_far(train: CloudDataset) -> None:
    segmenter = Segmenter.build(FLAT, seed=0)
    segmenter.calibrate(train[:3])
    kept: list[dict[str, NDArray[np.float32]]] = []

    def interrupt(_: NDArray[np.float32]) -> None:  # training runs a graph, so this is after each epoch
        kept.append(get_weights(segmenter.model))
        if len(kept) == 2:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        segmenter.fit(
            train,
            train[:2],
            TrainConfig(epochs=5, batch_size=2, learning_rate=0.01, loss=Recorder(interrupt)),
            progress=False,
        )
    assert len(kept) == 2
    assert {name: len(values) for name, values in caught.value.history.items()} == {
        "loss": 1,
        "val_loss": 1,
        "val_dice": 1,
    }
    assert max(float(np.abs(array - kept[1][path]).max()) for path, array in kept[0].items()) > 1e-4
    for path, array in get_weights(segmenter.model).items():
        np.testing.assert_array_equal(array, kept[0][path])
    assert segmenter(train[0].image).error is None
    assert (segmenter.decision, segmenter.metrics) == (Decision.plain(2), {})  # others were of the weights before


class Poison(BCEDice):
    """Once armed, its value stays finite, but its slope is not a number. It arms itself at the first validation."""

    def __init__(self, *, armed: bool, called: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self.armed = keras.Variable(float(armed), trainable=False)
        self.called = called

    def call(self, y_true: Any, y_pred: Any) -> Any:
        value = super().call(y_true, y_pred) + ops.sqrt(1.0 - self.armed + 0.0 * ops.sum(y_pred))
        if hasattr(y_true, "numpy") and not float(self.armed):
            self.armed.assign(1.0)
            self.called()
        return value


@pytest.mark.parametrize(("batch_size", "name"), [(4, "val_loss"), (2, "loss")])
def test_weights_that_stop_being_numbers_are_an_error_and_never_the_best(
    batch_size: int, name: str, train: CloudDataset, tmp_path: Path
) -> None:
    """The last step of an epoch may ruin a network whose losses were all finite.

    The validation images are empty, so that a network of NaN, which shows nothing, would score a perfect 1.
    """
    segmenter = Segmenter.build(FLAT, seed=0)
    nothing = make_dataset(tmp_path / "empty", 2, seed=5, empty=True)
    kept: list[dict[str, NDArray[np.float32]]] = []
    loss = Poison(armed=False, called=lambda: kept.append(get_weights(segmenter.model)))
    with pytest.raises(CloudsegError, match=rf"^{name} became nan in epoch 2; .* learning rate below 0\.001"):
        segmenter.fit(train[:4], nothing, TrainConfig(epochs=3, batch_size=batch_size, loss=loss), progress=False)
    assert segmenter.evaluate(nothing).dice < 1
    for path, array in get_weights(segmenter.model).items():
        np.testing.assert_array_equal(array, kept[0][path])


def test_a_network_ruined_in_its_first_epoch_is_left_as_it_was(
    train: CloudDataset, capsys: pytest.CaptureFixture[str]
) -> None:
    segmenter = Segmenter.build(FLAT, seed=0)
    decision = segmenter.calibrate(train[:3]).decision
    before = get_weights(segmenter.model)
    with pytest.raises(CloudsegError, match=r"^loss became nan in epoch 1;"):
        segmenter.fit(train, train[:2], TrainConfig(epochs=2, batch_size=2, loss=Poison(armed=True)), progress=False)
    for path, array in get_weights(segmenter.model).items():
        np.testing.assert_array_equal(array, before[path])
    assert segmenter.decision is decision
    assert capsys.readouterr().out == ""


# Calibrate and evaluate


def test_calibrating_a_trained_model_claims_exactly_what_evaluate_then_finds(
    trained: Trained, validation: CloudDataset
) -> None:
    segmenter = snapshot(trained)
    plain = segmenter.evaluate(validation)
    calibration = segmenter.calibrate(validation)
    assert segmenter.decision is calibration.decision
    assert segmenter.metrics["calibration"] == calibration.to_dict()
    calibrated = segmenter.evaluate(validation)
    first, *_, last = calibration.steps
    assert (first.dice, last.dice) == (plain.dice, calibrated.dice)
    for label, scores in calibrated.by_class.items():
        assert first.dice_by_class[label] == pytest.approx(plain.by_class[label].dice, abs=1e-12)
        assert last.dice_by_class[label] == pytest.approx(scores.dice, abs=1e-12)
    assert calibrated.dice > plain.dice


def test_evaluation_is_the_metric_on_dense_masks(trained: Trained, validation: CloudDataset) -> None:
    segmenter = snapshot(trained)
    report = segmenter.evaluate(validation)
    truth = dense_truth(validation)
    dice = np.zeros((len(validation), 2))
    for number, image in enumerate(maps_of(segmenter, validation)):
        for channel in range(2):
            shown = reference.bilinear(image[:, :, channel], METRIC_SIZE) >= 0.5
            dice[number, channel] = reference.dice(truth[number, channel], shown)
    assert report.dice == pytest.approx(dice.mean(), abs=1e-4)
    for label, wanted in zip(CLASSES, dice.mean(axis=0), strict=True):
        assert report.by_class[label].dice == pytest.approx(wanted, abs=1e-4)
    assert report.empty_dice == pytest.approx((~truth.any(axis=(2, 3))).mean())
    assert report.images == len(validation)
    assert 0 < report.empty_dice < report.dice < 1


def test_evaluation_takes_a_prediction_for_what_it_is(trained: Trained, validation: CloudDataset) -> None:
    """Labels made from the model's own masks at the metric's size are met exactly."""
    segmenter = snapshot(trained)
    predictions = segmenter.predict([example.image for example in validation], output_size=METRIC_SIZE)
    masks = [prediction.masks.transpose(1, 2, 0) for prediction in predictions]
    own = CloudDataset.from_masks([example.image for example in validation], masks, CLASSES)
    assert segmenter.evaluate(own).dice == 1
    inverted = CloudDataset.from_masks([example.image for example in validation], [1 - mask for mask in masks], CLASSES)
    assert segmenter.evaluate(inverted).dice == 0


@pytest.mark.parametrize("name", ["calibrate", "evaluate"])
def test_other_classes_no_images_and_unreadable_ones_are_refused(
    name: str, train: CloudDataset, tmp_path: Path
) -> None:
    call = getattr(Segmenter.build(FLAT), name)
    with pytest.raises(DataError, match=r"got 6 with \('red', 'bright'\)"):
        call(CloudDataset(train.examples, CLASSES[::-1]))
    with pytest.raises(DataError, match="got 0 with"):
        call(train[:0])
    broken = make_dataset(tmp_path / "images", 2, seed=3)
    broken[1].image.write_bytes(b"")
    with pytest.raises(ImageError, match=r"1\.png"):
        call(broken)


def test_the_metric_of_a_dataset_is_made_from_its_own_labels(validation: CloudDataset) -> None:
    truth = dense_truth(validation)
    for example, masks in zip(validation, truth, strict=True):
        np.testing.assert_array_equal([rle.to_mask() for rle in truth_at_metric_size(example.rles)], masks)
