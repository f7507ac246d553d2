"""The cache: pixels as prediction sees them, made once, never stale, never half written, shared between processes."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from cloudseg_sdk import CloudDataset, DataError, ImageError
from cloudseg_sdk.data import cache
from cloudseg_sdk.data.images import decode_image, read_image, stretch

SIZE = (20, 30)
BUILD = """
import sys
from pathlib import Path
from cloudseg_sdk.data import cache
cache.SHARD = 2
files = sorted(Path(sys.argv[1]).iterdir())
cache.cache_images(files, (20, 30), Path(sys.argv[2]), progress=False)
"""


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "SHARD", 2)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were decoded."""
    names: list[str] = []

    def decode(data: bytes, path: Path) -> NDArray[np.uint8]:
        names.append(path.name)
        return decode_image(data, path)

    monkeypatch.setattr(cache, "decode_image", decode)
    return names


@pytest.fixture
def dataset(tmp_path: Path) -> CloudDataset:
    """Seven images of several sizes, not in the order of their names."""
    random = np.random.default_rng(0)
    paths = [tmp_path / "images" / f"{number * 3 % 7}.png" for number in range(7)]
    (tmp_path / "images").mkdir()
    for number, path in enumerate(paths):
        cv2.imwrite(str(path), random.integers(0, 256, (15 + 5 * number, 40, 3)).astype(np.uint8))
    return CloudDataset.from_masks(paths, [np.ones((4, 6, 1), np.uint8)] * 7, ("A",))


def images_of(dataset: CloudDataset, folder: Path | None = None, size: tuple[int, int] = SIZE) -> list[NDArray[Any]]:
    cached = dataset.cache(size, folder, progress=False).cached
    assert cached is not None
    assert cached.size == size
    return [cached.images[example.image] for example in dataset]


def expected(dataset: CloudDataset, size: tuple[int, int] = SIZE) -> list[NDArray[np.uint8]]:
    return [stretch(read_image(example.image), size) for example in dataset]


def check(dataset: CloudDataset, folder: Path | None, size: tuple[int, int] = SIZE) -> None:
    for image, wanted in zip(images_of(dataset, folder, size), expected(dataset, size), strict=True):
        np.testing.assert_array_equal(image, wanted)
        assert image.dtype == np.uint8
        assert not image.flags.writeable


def test_images_are_those_of_prediction_in_memory_and_on_disk(dataset: CloudDataset, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    check(dataset, None)
    assert sorted(tmp_path.rglob("*")) == before
    check(dataset, tmp_path / "not" / "yet there")
    check(dataset, tmp_path / "not" / "yet there", (8, 48))
    mapped = images_of(dataset, tmp_path / "not" / "yet there")[0]
    while isinstance(mapped.base, np.ndarray):
        mapped = mapped.base
    assert isinstance(mapped, np.memmap)


def test_a_cached_dataset_is_the_dataset_and_its_parts_share_the_pixels(dataset: CloudDataset) -> None:
    cached = dataset.cache(SIZE, progress=False)
    assert cached == dataset
    assert dataset.cached is None
    for part in (*cached.split(), *cached.folds(3)[0], cached[2:4]):
        assert part.cached is cached.cached


def test_an_image_is_decoded_once(dataset: CloudDataset, tmp_path: Path, decoded: list[str]) -> None:
    check(dataset, tmp_path / "cache")
    assert sorted(decoded) == sorted(example.image.name for example in dataset)
    again = CloudDataset(dataset.examples[::-1], dataset.classes)
    for example in dataset:
        os.utime(example.image, (1, 1))  # a copy keeps no times
    check(again, tmp_path / "cache")
    assert len(decoded) == 7
    shutil.copytree(tmp_path / "images", tmp_path / "other")
    elsewhere = CloudDataset.from_masks(
        sorted((tmp_path / "other").iterdir()), [np.zeros((4, 6, 1), np.uint8)] * 7, ("A",)
    )
    check(elsewhere, tmp_path / "cache")
    assert len(decoded) == 7


def test_what_changed_is_decoded_again(dataset: CloudDataset, tmp_path: Path, decoded: list[str]) -> None:
    check(dataset, tmp_path / "cache")
    decoded.clear()
    path = tmp_path / "images" / "2.png"
    times = path.stat().st_mtime_ns
    content = bytearray(path.read_bytes())
    image = read_image(path)
    for value in range(256):  # another picture in as many bytes, at the same time
        cv2.imwrite(str(path), image ^ np.uint8(value))
        if path.stat().st_size == len(content) and path.read_bytes() != content:
            break
    os.utime(path, ns=(times, times))
    assert path.stat().st_size == len(content)
    assert path.read_bytes() != content
    check(dataset, tmp_path / "cache")
    assert sorted(decoded) == ["2.png", "3.png"]  # the shard's two
    check(dataset, tmp_path / "cache", (10, 15))
    assert len(decoded) == 2 + 7


def test_another_decoder_starts_anew(
    dataset: CloudDataset, tmp_path: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    check(dataset, tmp_path / "cache")
    monkeypatch.setattr(cv2, "__version__", "99.0")
    check(dataset, tmp_path / "cache")
    monkeypatch.setattr(cache, "_FORMAT", cache._FORMAT + 1)
    check(dataset, tmp_path / "cache")
    assert len(decoded) == 21


@pytest.mark.parametrize("damage", [b"", b"short", None], ids=["empty", "short", "absent"])
def test_a_damaged_shard_is_made_again(
    dataset: CloudDataset, tmp_path: Path, decoded: list[str], damage: bytes | None
) -> None:
    check(dataset, tmp_path / "cache")
    decoded.clear()
    shard = sorted((tmp_path / "cache").iterdir())[1]
    shard.unlink()
    if damage is not None:
        shard.write_bytes(damage)
    check(dataset, tmp_path / "cache")
    assert 1 <= len(decoded) <= 2


def start(tmp_path: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", BUILD, str(tmp_path / "images"), str(tmp_path / "cache")]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})


def test_a_killed_run_leaves_whole_shards_and_the_next_goes_on(tmp_path: Path, decoded: list[str]) -> None:
    (tmp_path / "images").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (600, 600, 3)).astype(np.uint8)
    paths = [tmp_path / "images" / f"{number:03}.png" for number in range(60)]
    for number, path in enumerate(paths):
        cv2.imwrite(str(path), np.roll(noise, number, axis=1), [cv2.IMWRITE_PNG_COMPRESSION, 0])
    running = start(tmp_path)
    while len(list((tmp_path / "cache").glob("20x30-*.rgb"))) < 3:  # as soon as there is something to lose
        assert running.poll() is None, "it ended before it could be killed"
        time.sleep(0.001)
    running.send_signal(signal.SIGKILL)
    running.wait()
    left = list((tmp_path / "cache").glob("20x30-*.rgb"))
    assert {path.stat().st_size for path in left} == {2 * 20 * 30 * 3}
    assert 3 <= len(left) < 30
    dataset = CloudDataset.from_masks(paths, [np.ones((4, 6, 1), np.uint8)] * 60, ("A",))
    check(dataset, tmp_path / "cache")
    assert len(decoded) == 2 * (30 - len(left))


def test_several_processes_may_build_one_cache(dataset: CloudDataset, tmp_path: Path, decoded: list[str]) -> None:
    running = [start(tmp_path) for _ in range(4)]
    assert [process.wait() for process in running] == [0] * 4
    assert len(list((tmp_path / "cache").iterdir())) == 4  # shards, and nothing temporary
    check(dataset, tmp_path / "cache")
    assert decoded == []


def test_an_image_that_cannot_be_read_is_named_and_the_rest_is_kept(
    dataset: CloudDataset, tmp_path: Path, decoded: list[str]
) -> None:
    path = tmp_path / "images" / "6.png"  # alone in the last shard
    good = path.read_bytes()
    path.write_bytes(good[:50])
    for folder in (None, tmp_path / "cache"):
        with pytest.raises(ImageError, match=re.escape(f"{path} is damaged or not an image (50 bytes)")):
            images_of(dataset, folder)
    path.unlink()
    with pytest.raises(ImageError, match=re.escape(f"cannot read {path}: No such file or directory")):
        images_of(dataset, tmp_path / "cache")
    kept = len(list((tmp_path / "cache").iterdir()))
    path.write_bytes(good)
    decoded.clear()
    check(dataset, tmp_path / "cache")
    assert len(decoded) == 7 - 2 * kept


@pytest.mark.parametrize("size", [(0, 30), (20.0, 30), (20,), [20, 30], 20, (True, 30)])
def test_a_size_that_is_none_is_refused(dataset: CloudDataset, size: Any) -> None:
    with pytest.raises(DataError) as caught:
        dataset.cache(size)
    assert str(caught.value) == f"size must be (height, width) of positive whole numbers, got {size!r}"


def test_a_folder_that_cannot_be_made_is_named(dataset: CloudDataset, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=re.escape(str(tmp_path / "file"))):
        images_of(dataset, tmp_path / "file" / "cache")


def test_nothing_is_printed_without_progress(dataset: CloudDataset, capsys: pytest.CaptureFixture[str]) -> None:
    dataset.cache(SIZE, progress=False)
    assert capsys.readouterr().out == ""
