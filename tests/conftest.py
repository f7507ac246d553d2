"""Fixtures that several test files share."""

import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from cloudseg_sdk import ModelConfig, Segmenter
from cloudseg_sdk.synthetic import write_dataset

# A busy machine is no failure.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# What a shell starts in the background ignores Ctrl-C, and so would the processes that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

CLOUDS = Path(__file__).parents[2] / "shared" / "clouds"


@pytest.fixture(scope="session")
def dataset_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight invented scenes of 70 x 105 in the competition's layout, labelled on a grid of 140 x 210."""
    folder = tmp_path_factory.mktemp("dataset")
    write_dataset(folder, 8, size=(70, 105), label_shape=(140, 210))
    return folder


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved network that nobody trained: its maps are noise about 0.5, so its masks have many edges."""
    path = tmp_path_factory.mktemp("bundle") / "tiny.cloudseg"
    config = ModelConfig(input_size=(32, 48), filters=(4, 6, 8))
    Segmenter.build(config).save(path, metrics={"dice": 0.5}, provenance={"data": "none"})
    return path


@pytest.fixture(scope="session")
def clouds() -> Path:
    """The folder of real scenes, which a user's machine does not have."""
    if not CLOUDS.is_dir():
        pytest.skip(f"no real scenes in {CLOUDS}")
    return CLOUDS


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter, which those of `tmp_path` are not."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        yield Path(place)
