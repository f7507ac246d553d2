"""A thousand files with twenty kinds of damage among them: a result for each, in order, with its exact reason."""

import os
import struct
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from faults import without_privileges
from image_files import jpeg_claiming, png_claiming, tiff

from cloudseg_sdk import ImageError, Segmenter

COUNT = 1000
WANTED = "wanted one of .bmp, .jpeg, .jpg, .png, .tif, .tiff, .webp"
NO_IMAGE = "{path} is damaged or not an image ({size:,} bytes); " + WANTED
NO_RANGE = (
    "which have no defined range; wanted unsigned ones of up to 16. "
    "Scale them to 0 to 255 yourself, and pass a uint8 array"
)
HUGE = (
    "{path} has 30,000 x 30,000 pixels by its header, more than the 134,217,728 that are decoded; "
    "pass what it holds as arrays, in parts"
)
PICTURE = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
PNG = cv2.imencode(".png", PICTURE)[1].tobytes()
JPEG = cv2.imencode(".jpg", PICTURE)[1].tobytes()


def write(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


def vanish(path: Path) -> None:
    path.write_bytes(PNG)
    path.unlink()


# name of the file, how it is made, and the exact reason why it cannot be read, or None where it can
KINDS: list[tuple[str, Callable[[Path], object], str | None]] = [
    ("truncated.jpg", write(JPEG[: len(JPEG) // 2]), NO_IMAGE),
    ("truncated.png", write(PNG[:-1]), NO_IMAGE),
    ("empty.jpg", write(b""), "{path} is empty (0 bytes)"),
    ("zeros.jpg", write(bytes(500)), NO_IMAGE),
    ("text.jpg", write(b"a scene, honestly\n"), NO_IMAGE),
    ("page.jpg", write(b"<!doctype html><title>404 Not Found</title>"), NO_IMAGE),
    ("checksum.png", write(PNG[:200] + bytes([PNG[200] ^ 255]) + PNG[201:]), NO_IMAGE),
    ("png_as.jpg", write(PNG), None),
    ("one_pixel.png", write(cv2.imencode(".png", PICTURE[:1, :1])[1].tobytes()), None),
    ("sixteen_bits.png", write(cv2.imencode(".png", PICTURE.astype(np.uint16) * 257)[1].tobytes()), None),
    ("cmyk.tif", write(tiff(np.dstack([PICTURE, PICTURE[:, :, 0]]), photometric=5)), None),
    ("huge.png", write(png_claiming(30_000, 30_000)), HUGE),
    ("huge.jpg", write(jpeg_claiming(JPEG, 30_000, 30_000)), HUGE),
    (
        "float.tif",
        write(tiff(PICTURE.astype(np.float32), sample_format=3)),
        "{path} holds floating-point values of 32 bits, " + NO_RANGE,
    ),
    (
        "bands.tif",
        write(tiff(np.dstack([PICTURE, PICTURE[:, :, :2]]), extra=(0, 0))),
        "{path} has 5 channels; wanted grey or RGB, with or without alpha. Pass those to be seen as an array (H, W, 3)",
    ),
    ("folder.jpg", Path.mkdir, "cannot read {path}: Is a directory"),
    ("dangling.jpg", lambda path: path.symlink_to("nowhere"), "cannot read {path}: No such file or directory"),
    ("circle.jpg", lambda path: path.symlink_to(path), "cannot read {path}: Too many levels of symbolic links"),
    ("vanished.png", vanish, "cannot read {path}: No such file or directory"),
    ("b\udcff\udcfe.png", write(b"GIF89a" + struct.pack("<HH", 30, 20)), NO_IMAGE),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, str | None]]:
    """Each file with the reason why it cannot be read; every tenth has one of the twenty kinds in turn."""
    folder = tmp_path_factory.mktemp("thousand")
    made: list[tuple[Path, str | None]] = []
    for number in range(COUNT):
        if number % 10 != 3:
            path = folder / f"{number:04}.png"
            path.write_bytes(PNG)
            made.append((path, None))
            continue
        name, make, words = KINDS[number // 10 % len(KINDS)]
        path = folder / f"{number:04}_{name}"
        make(path)
        size = path.stat().st_size if path.is_file() else 0
        made.append((path, words and words.format(path=path, size=size)))
    return made


@pytest.mark.skipif(os.name != "posix", reason="links, and names that are no text")
def test_a_thousand_files_give_a_thousand_results(tiny_bundle: Path, files: list[tuple[Path, str | None]]) -> None:
    predictions = Segmenter.load(tiny_bundle).predict([path for path, _ in files])
    assert len(KINDS) == 20
    assert len(predictions) == COUNT
    assert [item.source for item in predictions] == [str(path) for path, _ in files]
    assert [item.error for item in predictions] == [words for _, words in files]
    assert len(predictions.errors) == sum(words is not None for _, words in files) == 80
    sizes = {item.shape for item in predictions if item.error is None}
    assert sizes == {(20, 30), (1, 1)}


@pytest.mark.skipif(os.name != "posix", reason="links, and names that are no text")
def test_raising_names_the_first_of_them(tiny_bundle: Path, files: list[tuple[Path, str | None]]) -> None:
    first = next(words for _, words in files if words is not None)
    with pytest.raises(ImageError) as caught:
        Segmenter.load(tiny_bundle).predict([path for path, _ in files], on_error="raise")
    assert str(caught.value) == first


def test_a_forbidden_file_is_one_more_kind(tiny_bundle: Path, open_folder: Path) -> None:
    path = open_folder / "secret.png"
    path.write_bytes(PNG)
    path.chmod(0)
    segmenter = Segmenter.load(tiny_bundle)
    with without_privileges():
        (item,) = segmenter.predict([path])
    assert item.error == f"cannot read {path}: Permission denied"
