"""Several devices that share each batch train as one does; what they cannot share is refused.

Each backend trains once in a process of its own, with two CPU devices, and the tests look at what it left.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sharing
from numpy.typing import NDArray

from cloudseg_sdk import CloudDataset, ConfigError, Segmenter


@dataclass(frozen=True)
class Found:
    """What ``sharing.py`` left."""

    backend: str
    folder: Path
    histories: dict[str, dict[str, list[float]]]
    shapes: list[list[int]]
    errors: list[str]

    def weights(self, run: str) -> dict[str, NDArray[np.float32]]:
        with np.load(self.folder / f"{run}.npz") as file:
            return dict(file)

    def compare(self, one: str, other: str) -> None:
        assert self.histories[one]["loss"] == pytest.approx(self.histories[other]["loss"], rel=1e-5)
        wanted = self.weights(other)
        for path, array in self.weights(one).items():
            np.testing.assert_allclose(array, wanted[path], atol=1e-5, err_msg=path)


@pytest.fixture(scope="module", params=["tensorflow", "jax"])
def found(request: pytest.FixtureRequest, dataset_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Found:
    backend: str = request.param
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    folder = tmp_path_factory.mktemp(backend)
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, sharing.__file__, str(dataset_folder), str(folder)]
    environment = {**os.environ, "PYTHONPATH": path, "KERAS_BACKEND": backend}
    environment["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Found(backend, folder, **json.loads((folder / "found.json").read_text(encoding="utf-8")))


def test_each_device_is_given_its_part_of_a_batch(found: Found) -> None:
    counts = {shape[0] for shape in found.shapes}
    assert counts == {sharing.BATCH_SIZE, sharing.BATCH_SIZE // 2, 1}  # one device, two, and two with a batch of two
    assert {tuple(shape[1:]) for shape in found.shapes} == {(32, 48, 3)}


@pytest.mark.parametrize("loss", sharing.LOSSES)
def test_two_devices_train_as_one_does(found: Found, loss: str) -> None:
    """Whatever a loss returns, and penalties and presence beside it weigh what they did."""
    found.compare(f"{loss}2", f"{loss}1")


def test_statistics_and_clipping_are_those_of_one_device_where_parts_are_alike(found: Found) -> None:
    found.compare("twins2", "twins1")


def test_on_jax_they_are_always(found: Found) -> None:
    if found.backend != "jax":
        pytest.skip("TensorFlow takes each part for itself")
    found.compare("whole2", "whole1")


def test_a_run_on_two_devices_goes_on_to_the_same_weights(found: Found) -> None:
    assert found.histories["stopped"] == found.histories["whole2"]
    wanted = found.weights("whole2")
    for path, array in found.weights("stopped").items():
        assert array.tobytes() == wanted[path].tobytes(), path


def test_what_two_devices_cannot_share_is_named(found: Found) -> None:
    assert found.errors == [
        f"devices=3, but Keras on {found.backend} has 2: cpu:0, cpu:1",
        "2 devices cannot share batches of 5 evenly; batch_size must be a multiple of 2",
        f"{found.folder / 'checkpoint'} holds a run with devices=2, not 1; give another folder, or call it as before",
    ]


@pytest.mark.parametrize("devices", [0, -1, 1.0, "2", True, None])
def test_a_number_of_devices_that_is_none_is_named(devices: Any, dataset_folder: Path) -> None:
    dataset = CloudDataset.from_kaggle(dataset_folder, (140, 210))
    with pytest.raises(ConfigError) as caught:
        Segmenter.build(sharing.PLAIN).fit(dataset, dataset, devices=devices)
    assert str(caught.value) == f"devices must be a whole number of at least 1, got {devices!r}"
