"""What a user does with a network, on the backend in ``KERAS_BACKEND``: TensorFlow, JAX or PyTorch."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import reference
import resumable
from numpy.typing import NDArray

from cloudseg_sdk import CloudDataset, ConfigError, ModelConfig, Segmenter, TrainConfig
from cloudseg_sdk.bundle import find_bundle, read_bundle
from cloudseg_sdk.doctor import examine
from cloudseg_sdk.inference.engines import KerasEngine, OpenVINOEngine
from cloudseg_sdk.models.serving import serving_model
from cloudseg_sdk.models.weights import get_weights
from cloudseg_sdk.synthetic import scene
from cloudseg_sdk.training.losses import LOSSES

SHAPE = (3, 10, 14, 2)


@pytest.fixture(scope="module")
def dataset(dataset_folder: Path) -> CloudDataset:
    return CloudDataset.from_kaggle(dataset_folder, (140, 210))


@pytest.fixture(scope="module")
def trained(dataset_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Segmenter, Path]:
    """With presence head, dropout and average, and the folder of the run."""
    folder = tmp_path_factory.mktemp("run")
    return resumable.train(dataset_folder, folder), folder


def masks_and_maps(seed: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Masks of every density, one empty and one full."""
    random = np.random.default_rng(seed)
    masks = (random.random(SHAPE) < random.random((SHAPE[0], 1, 1, SHAPE[3]))).astype(np.uint8)
    masks[0, :, :, 0], masks[1, :, :, 1] = 0, 1
    return masks, random.uniform(0.001, 0.999, SHAPE).astype(np.float32)


@pytest.mark.parametrize("per", ["image", "batch"])
@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_its_definition(name: str, per: Any) -> None:
    masks, maps = masks_and_maps(0)
    value = float(LOSSES[name](per=per)(masks, maps))
    assert value == pytest.approx(reference.LOSSES[name](masks, maps, per), rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_a_step_down_a_loss_is_finite_and_leads_down(name: str) -> None:
    """Also where maps are saturated: the weights of a network that begins there stay numbers."""
    images = np.random.default_rng(1).random((2, 16, 24, 3)).astype(np.float32)
    masks = np.zeros((2, 16, 24, 2), np.uint8)
    masks[:, 4:9, 5:, 1] = 1
    for bias in (-100.0, 0.0, 100.0):
        maps = keras.layers.Conv2D(2, 1, activation="sigmoid", bias_initializer=keras.initializers.Constant(bias))
        network = keras.Sequential([keras.Input((16, 24, 3)), maps])
        network.compile(keras.optimizers.SGD(0.1), LOSSES[name]())
        losses = [float(network.train_on_batch(images, masks)) for _ in range(3)]
        assert np.isfinite(losses).all()
        assert all(np.isfinite(weight).all() for weight in network.get_weights())
        assert bias or losses[-1] < losses[0]


def test_training_goes_down_and_is_measured(trained: tuple[Segmenter, Path]) -> None:
    table = np.genfromtxt(trained[1] / "history.csv", delimiter=",", names=True)
    assert table["epoch"].tolist() == [1, 2, 3]
    assert table["loss"][-1] < table["loss"][0]
    assert np.isfinite(table["val_loss"]).all()
    assert ((table["val_dice"] >= 0) & (table["val_dice"] <= 1)).all()


def test_a_killed_run_goes_on_to_the_same_weights(
    trained: tuple[Segmenter, Path], dataset_folder: Path, tmp_path: Path
) -> None:
    resumable.kill(dataset_folder, tmp_path, 7)
    with np.load(tmp_path / "last.npz") as file:
        assert len(json.loads(str(file["state"]))["progress"]["losses"]) == 7 - resumable.BATCHES
    wanted = get_weights(trained[0].model)
    for path, array in get_weights(resumable.train(dataset_folder, tmp_path).model).items():
        assert array.tobytes() == wanted[path].tobytes(), path


def test_a_trained_model_is_calibrated_scored_saved_and_loaded(
    trained: tuple[Segmenter, Path], dataset: CloudDataset, tmp_path: Path
) -> None:
    segmenter, _ = trained
    assert segmenter.engine == "keras"
    calibration = segmenter.calibrate(dataset)
    report = segmenter.evaluate(dataset)
    assert report.dice == pytest.approx(calibration.steps[-1].dice, abs=1e-9)
    images = [example.image for example in dataset]
    predictions = segmenter.predict(images)
    assert [prediction.error for prediction in predictions] == [None] * len(dataset)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a backend whose ONNX exporter is not installed says so
        segmenter.save(tmp_path / "model.cloudseg")
    loaded = Segmenter.load(tmp_path / "model.cloudseg", engine="keras")
    assert loaded.evaluate(dataset).dice == report.dice
    if read_bundle(tmp_path / "model.cloudseg").graph is not None:
        graph = Segmenter.load(tmp_path / "model.cloudseg", engine="openvino")
        assert graph.evaluate(dataset).dice == pytest.approx(report.dice, abs=1e-3)
    for one, other in zip(predictions, loaded.predict(images), strict=True):
        assert one.rles == other.rles


def test_bfloat16_trains(dataset: CloudDataset) -> None:
    segmenter = Segmenter.build(ModelConfig(input_size=(32, 48), filters=(4, 6, 8), presence_head=True))
    options = TrainConfig(epochs=1, batch_size=4, precision="bfloat16")
    history = segmenter.fit(dataset[:6], dataset[6:], options, progress=False)
    assert np.isfinite(list(history.values())).all()


@pytest.mark.parametrize(
    ("model", "tolerance"),
    [
        ("clouds", 5e-3),  # its graph rounds kernels to float16 that batch normalization was multiplied into before
        (str(Path(__file__).parent / "fixtures" / "bundle" / "version1.cloudseg"), 1e-4),
    ],
    ids=["clouds", "version1"],
)
def test_a_saved_model_is_the_same_on_keras_as_on_openvino(model: str, tolerance: float) -> None:
    bundle = read_bundle(find_bundle(model))
    assert bundle.graph is not None
    segmenter = Segmenter.load(model, engine="keras")
    images = np.stack([scene(seed, segmenter.config.input_size).image for seed in range(2)])
    found = KerasEngine(serving_model(segmenter.model, segmenter.config)).run(images)
    wanted = OpenVINOEngine(bundle.graph).run(images)
    np.testing.assert_allclose(found.maps, wanted.maps, atol=tolerance)
    assert (found.presence is None) == (wanted.presence is None)
    if found.presence is not None and wanted.presence is not None:
        np.testing.assert_allclose(found.presence, wanted.presence, atol=tolerance)
    assert np.ptp(wanted.maps) > 0.01


def test_doctor_names_the_backend() -> None:
    assert ("Keras backend", keras.backend.backend()) in examine().facts


def test_torch_trains_on_one_device(dataset: CloudDataset) -> None:
    if keras.backend.backend() != "torch":
        pytest.skip(f"Keras runs on {keras.backend.backend()}")
    with pytest.raises(ConfigError) as caught:
        Segmenter.build(resumable.CONFIG).fit(dataset, dataset, devices=2)
    assert str(caught.value) == (
        "devices=2 wants Keras on JAX or TensorFlow, but it runs on torch, where it trains on one device; set "
        "KERAS_BACKEND to jax or tensorflow"
    )
