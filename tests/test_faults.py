"""Kills, full and read-only disks, two writers, files that may not be read, clocks set back: all of them for real.

Every kind of file that is written goes through the first four (``fault_job.py``). What bulk jobs, training runs and the
cache of images make of such faults is in ``test_bulk.py``, ``test_loop.py`` and ``test_cache.py``.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fault_job
import keras
import numpy as np
import pytest
from fault_job import WRITERS
from faults import limited, without_privileges

from cloudrle import read_table
from cloudseg_sdk import CloudDataset, CloudsegError, ModelConfig, Segmenter, TrainConfig
from cloudseg_sdk.bundle import read_bundle
from cloudseg_sdk.data.cache import cache_images
from cloudseg_sdk.data.images import read_image
from cloudseg_sdk.training.checkpoints import Checkpoint, Progress, one_writer

Outcome = dict[str, dict[str, Any]]


def run_job(what: str, folder: Path, *before: str) -> Outcome:
    (folder / "written").mkdir()
    (folder / "inputs").mkdir()
    mount = f"mount -t tmpfs -o size=4m tmpfs {folder / 'written'} || exit 77; " if before else ""
    job = " ".join([sys.executable, fault_job.__file__, what, str(folder / "written"), str(folder / "inputs")])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    command = [*before, "sh", "-c", mount + job]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode == 77 or done.stderr.startswith("unshare:"):
        pytest.skip(f"no small file system can be mounted here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    found: Outcome = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return run_job("kill", tmp_path_factory.mktemp("killed"))


@pytest.mark.parametrize("name", WRITERS)
def test_a_writer_that_is_killed_at_any_moment_leaves_a_whole_file_and_the_next_cleans_up(
    killed: Outcome, name: str
) -> None:
    found = killed[name]
    assert found["kills"] >= 4  # to make a file, to look at it, to open it for writing, to put it in its place
    assert found["left"] >= 1, "a kill while a half file lay there"
    assert (found["torn"], found["last"]) == (0, True)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return run_job("share", tmp_path_factory.mktemp("shared"))


@pytest.mark.parametrize("name", WRITERS)
def test_two_processes_that_write_one_file_leave_that_of_one(shared: Outcome, name: str) -> None:
    found = shared[name]
    assert found["reads"] > 10
    assert (found["torn"], found["statuses"], found["names"]) == (0, [0, 0], [name])


@pytest.fixture(scope="module")
def on_a_bad_disk(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare here, to mount a small file system")
    return run_job("disk", tmp_path_factory.mktemp("disk"), "unshare", "--mount", "--map-root-user")


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_or_read_only_disk_is_told_and_the_old_file_stays(on_a_bad_disk: Outcome, name: str) -> None:
    assert on_a_bad_disk[name] == {
        "full": "[Errno 28] No space left on device: '{path}'",
        "read-only": "[Errno 30] Read-only file system: '{path}'",
    }


# --- files that may not be read


def write_table(path: Path) -> None:
    path.write_text("Image_Label,EncodedPixels\na.png_A,1 1\n")


@pytest.mark.parametrize(
    ("name", "read", "words"),
    [
        ("model.cloudseg", read_bundle, "cannot read {path}: Permission denied"),
        ("model.onnx", Segmenter.load, "cannot read {path}: Permission denied: {path}"),
        ("scene.png", read_image, "cannot read {path}: Permission denied"),
        ("train.csv", lambda path: CloudDataset.from_kaggle(path.parent), "cannot read {path}: Permission denied"),
        ("c.json", lambda path: CloudDataset.from_coco(path, path.parent), "cannot read {path}: Permission denied"),
        ("table.csv", lambda path: read_table(path, shape=(2, 2)), "[Errno 13] Permission denied: '{path}'"),
    ],
)
def test_a_file_that_may_not_be_read_is_named(
    open_folder: Path, name: str, read: Callable[[Path], object], words: str
) -> None:
    path = open_folder / name
    write_table(path)
    path.chmod(0)
    with without_privileges(), pytest.raises((CloudsegError, OSError)) as caught:
        read(path)
    assert str(caught.value) == words.format(path=path)


# --- training runs


@pytest.fixture(scope="module")
def dataset(dataset_folder: Path) -> CloudDataset:
    return CloudDataset.from_kaggle(dataset_folder, (140, 210))


TINY = ModelConfig(input_size=(32, 48), filters=(4, 6, 8))
CONFIG = TrainConfig(epochs=1, batch_size=4)


def test_a_run_has_one_writer(dataset: CloudDataset, tmp_path: Path) -> None:
    with one_writer(tmp_path), pytest.raises(CloudsegError) as caught:
        Segmenter.build(TINY).fit(dataset, dataset, CONFIG, checkpoint=tmp_path, progress=False)
    assert str(caught.value) == (
        f"another process is training into {tmp_path}; let it end, or stop it first, or give another folder"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_run_on_a_full_disk_keeps_what_was_written(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, {"of": "a test"})
    variables = [keras.Variable(np.zeros(5000, np.float32))]
    checkpoint.save(Progress(epoch=1), variables)
    before = (tmp_path / "last.npz").read_bytes()
    with limited(resource.RLIMIT_FSIZE, 5000), pytest.raises(CloudsegError) as caught:
        checkpoint.save(Progress(epoch=2), variables)
    assert str(caught.value) == (
        f"cannot write to {tmp_path}: File too large; the run is kept as it was last written: mend that, and call it "
        "again to go on"
    )
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [before]
    progress = checkpoint.load(variables)
    assert progress is not None
    assert progress.epoch == 1


def test_a_run_into_a_folder_that_may_not_be_written_says_so_before_it_begins(
    dataset: CloudDataset, open_folder: Path
) -> None:
    folder = open_folder / "run"
    folder.mkdir()
    folder.chmod(0o555)
    segmenter = Segmenter.build(TINY)
    cached = dataset.cache(TINY.input_size, progress=False)
    with (
        without_privileges(),
        pytest.raises(CloudsegError, match=r"^cannot write to .*: Permission denied; the run"),
    ):
        segmenter.fit(cached, cached, CONFIG, checkpoint=folder, progress=False)
    assert list(folder.iterdir()) == []


# --- the cache


def test_a_cache_that_may_not_be_written_serves_what_it_has(dataset_folder: Path, open_folder: Path) -> None:
    files = sorted(shutil.copytree(dataset_folder / "train_images", open_folder / "images").iterdir())
    folder = open_folder / "cache"
    wanted = cache_images(files, (20, 30), folder, progress=False).images
    folder.chmod(0o555)
    with without_privileges():
        found = cache_images(files, (20, 30), folder, progress=False).images
        with pytest.raises(PermissionError, match=r"Permission denied: .*cache/10x15-[0-9a-f]{32}\.rgb"):
            cache_images(files, (10, 15), folder, progress=False)
    folder.chmod(0o755)
    for path in files:
        np.testing.assert_array_equal(found[path], wanted[path])


# --- clocks


@pytest.mark.parametrize("time", [0, 4_000_000_000])
def test_a_clock_that_was_set_back_or_ahead_changes_nothing(
    dataset: CloudDataset, tmp_path: Path, time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files of 1970 and of 2096: what is finished, and what has changed, is told by content alone."""
    run, cache = tmp_path / "run", tmp_path / "cache"
    first, again = Segmenter.build(TINY), Segmenter.build(TINY)
    cached = dataset.cache(TINY.input_size, cache, progress=False)
    history = first.fit(cached, cached, CONFIG, checkpoint=run, progress=False)
    out = tmp_path / "out.csv"
    images = [example.image for example in dataset]
    report = first.predict_to(out, images, part_size=3, progress=False)
    for path in (*run.iterdir(), *cache.iterdir(), *out.iterdir(), *images):
        os.utime(path, (time, time))
    monkeypatch.setattr("cloudseg_sdk.data.cache._decode", None)
    monkeypatch.setattr("cloudseg_sdk.training.learner.Learner.train_on_batch", None)
    monkeypatch.setattr("cloudseg_sdk.inference.parts.Parts.write", None)
    cached = dataset.cache(TINY.input_size, cache, progress=False)
    assert again.fit(cached, cached, CONFIG, checkpoint=run, progress=False) == history
    assert again.predict_to(out, images, part_size=3, progress=False) == report
