"""Reading and stretching images: what can be read is read right, what cannot is named, nothing is cropped."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from faults import without_privileges
from numpy.typing import NDArray

from cloudseg_sdk import ImageError
from cloudseg_sdk.data.headers import SUFFIXES
from cloudseg_sdk.data.images import Image, list_images, read_image, stretch

LOSSLESS = (".bmp", ".png", ".tif", ".tiff")


@pytest.fixture
def picture() -> Image:
    """Smooth (JPEG keeps it), of three different channels, and symmetric in no way."""
    y, x = np.mgrid[:40, :60].astype(np.float32)
    return np.stack([4 * x, 6 * y, 120 + x - 2 * y], axis=-1).astype(np.uint8)


def encoded(image: NDArray[Any], suffix: str) -> bytes:
    """Image file of a picture in RGB, RGBA or grey."""
    if image.ndim == 3:
        image = image[:, :, [2, 1, 0, 3][: image.shape[2]]]
    quality = [cv2.IMWRITE_JPEG_QUALITY, 100, cv2.IMWRITE_WEBP_QUALITY, 100] if suffix not in LOSSLESS else []
    done, data = cv2.imencode(suffix, np.ascontiguousarray(image), quality)
    assert done
    return data.tobytes()


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kind", [str, Path])
def test_colours_come_as_rgb(tmp_path: Path, picture: Image, suffix: str, kind: Callable[[Path], str | Path]) -> None:
    path = tmp_path / f"picture{suffix.upper()}"
    path.write_bytes(encoded(picture, suffix))
    image = read_image(kind(path))
    assert image.dtype == np.uint8
    assert image.shape == (40, 60, 3)
    assert np.abs(image.astype(int) - picture).mean() < (0.001 if suffix in LOSSLESS else 3)


def test_the_content_decides_and_not_the_suffix(tmp_path: Path, picture: Image) -> None:
    (tmp_path / "picture.jpg").write_bytes(encoded(picture, ".png"))
    np.testing.assert_array_equal(read_image(tmp_path / "picture.jpg"), picture)


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_grey_files_get_three_equal_channels(tmp_path: Path, picture: Image, suffix: str) -> None:
    (tmp_path / f"grey{suffix}").write_bytes(encoded(picture[:, :, 0], suffix))
    np.testing.assert_array_equal(read_image(tmp_path / f"grey{suffix}"), picture[:, :, [0, 0, 0]])


@pytest.mark.parametrize("alpha", [0, 128, 255])
def test_alpha_is_dropped(tmp_path: Path, picture: Image, alpha: int) -> None:
    image = np.dstack([picture, np.full(picture.shape[:2], alpha, np.uint8)])
    (tmp_path / "alpha.png").write_bytes(encoded(image, ".png"))
    np.testing.assert_array_equal(read_image(tmp_path / "alpha.png"), picture)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("grey", [False, True])
def test_sixteen_bits_are_scaled_to_eight(tmp_path: Path, picture: Image, suffix: str, grey: bool) -> None:
    image = picture[:, :, 1] if grey else picture
    (tmp_path / f"deep{suffix}").write_bytes(encoded(image.astype(np.uint16) * 257, suffix))
    read = read_image(tmp_path / f"deep{suffix}")
    np.testing.assert_array_equal(read, picture[:, :, [1, 1, 1]] if grey else picture)


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        (1, lambda image: image),
        (2, lambda image: image[:, ::-1]),
        (3, lambda image: image[::-1, ::-1]),
        (4, lambda image: image[::-1]),
        (5, lambda image: image.swapaxes(0, 1)),
        (6, lambda image: np.rot90(image, -1)),
        (7, lambda image: image[::-1, ::-1].swapaxes(0, 1)),
        (8, lambda image: np.rot90(image)),
    ],
)
def test_exif_orientation_is_applied(
    tmp_path: Path, picture: Image, orientation: int, upright: Callable[[Image], Image]
) -> None:
    tiff = b"II*\0" + struct.pack("<IHHHII", 8, 1, 0x0112, 3, 1, orientation) + struct.pack("<I", 0)
    exif = b"Exif\0\0" + tiff
    jpeg = encoded(picture, ".jpg")
    path = tmp_path / "turned.jpg"
    path.write_bytes(jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:])
    image, expected = read_image(path), upright(picture)
    assert image.shape == expected.shape
    assert np.abs(image.astype(int) - expected).mean() < 3


WANTED = "wanted one of .bmp, .jpeg, .jpg, .png, .tif, .tiff, .webp"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "{path} is empty (0 bytes)"),
        (b"a scene, honestly\n", f"{{path}} is damaged or not an image (18 bytes); {WANTED}"),
        (bytes(5000), f"{{path}} is damaged or not an image (5,000 bytes); {WANTED}"),
        (b"\x89PNG\r\n\x1a\n", f"{{path}} is damaged or not an image (8 bytes); {WANTED}"),
        (b"\xff\xd8\xff\xe0", f"{{path}} is damaged or not an image (4 bytes); {WANTED}"),
    ],
    ids=["no bytes", "text", "zeros", "png signature", "jpeg signature"],
)
def test_a_file_that_is_no_image_is_named(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "scene.jpg"
    path.write_bytes(data)
    with pytest.raises(ImageError) as caught:
        read_image(path)
    assert str(caught.value) == words.format(path=path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_truncated_file_is_no_image_wherever_it_ends(tmp_path: Path, picture: Image, suffix: str) -> None:
    data = encoded(picture, suffix)
    path = tmp_path / f"cut{suffix}"
    for end in {1, 2, 10, 50, len(data) // 4, len(data) // 2, 3 * len(data) // 4, len(data) - 50, len(data) - 1}:
        path.write_bytes(data[:end])
        with pytest.raises(ImageError) as caught:
            read_image(path)
        assert str(caught.value) == f"{path} is damaged or not an image ({end:,} bytes); {WANTED}"


def test_what_cannot_be_opened_is_named_with_the_reason(tmp_path: Path) -> None:
    cases = {
        tmp_path / "missing.jpg": "No such file or directory",
        tmp_path / "missing" / "scene.jpg": "No such file or directory",
        tmp_path: "Is a directory",
        tmp_path / ("x" * 300): "File name too long",
        Path("a\0b.jpg"): "embedded null byte",
    }
    for path, reason in cases.items():
        with pytest.raises(ImageError) as caught:
            read_image(path)
        assert str(caught.value) == f"cannot read {path}: {reason}"


def test_a_folder_that_may_not_be_listed_is_named(open_folder: Path) -> None:
    closed = open_folder / "closed"
    closed.mkdir(0o111)
    with without_privileges(), pytest.raises(ImageError) as caught:
        list_images(closed)
    assert str(caught.value) == f"cannot read {closed}: Permission denied"


@pytest.mark.parametrize(
    ("dtype", "remedy"),
    [
        (bool, "for a mask: 255 * image.astype(np.uint8)"),
        (np.int8, "scale it to that range, then .astype(np.uint8)"),
        (np.int64, "scale it to that range, then .astype(np.uint8)"),
        (object, "scale it to that range, then .astype(np.uint8)"),
        (np.uint16, "for the full range of 16 bits: (image // 257).astype(np.uint8)"),
        (np.float32, "for values from 0 to 1: np.rint(255 * image).astype(np.uint8)"),
        (np.float64, "for values from 0 to 1: np.rint(255 * image).astype(np.uint8)"),
    ],
)
def test_an_array_of_another_dtype_is_refused(dtype: type, remedy: str) -> None:
    with pytest.raises(ImageError) as caught:
        read_image(np.zeros((4, 6, 3), dtype))
    assert str(caught.value) == f"an image array must be uint8 with values 0 to 255, got {np.dtype(dtype)}; {remedy}"


@pytest.mark.parametrize(
    ("shape", "remedy"),
    [
        ((), ""),
        ((6,), "; for the bytes of a file: .tobytes()"),
        ((4, 6, 1), "; as grey: image[:, :, 0]"),
        ((4, 6, 2), ""),
        ((4, 6, 4), "; without alpha: image[:, :, :3]"),
        ((3, 4, 6), "; with channels last: image.transpose(1, 2, 0)"),
        ((1, 4, 6, 3), ""),
        ((0, 6, 3), ""),
        ((4, 0), ""),
        ((4, 6, 0), ""),
        ((0, 0), ""),
    ],
)
def test_an_array_of_another_rank_is_refused(shape: tuple[int, ...], remedy: str) -> None:
    with pytest.raises(ImageError) as caught:
        read_image(np.zeros(shape, np.uint8))
    assert str(caught.value) == (
        f"an image array must be grey (H, W) or RGB (H, W, 3) and not empty, got shape {shape}{remedy}"
    )


@pytest.mark.parametrize(
    ("image", "remedy", "wanted"),
    [
        (np.array([[[0.0, 0.5, 1.0]]]), lambda image: np.rint(255 * image).astype(np.uint8), [0, 128, 255]),
        (np.array([[[0, 257, 65535]]], np.uint16), lambda image: (image // 257).astype(np.uint8), [0, 1, 255]),
        (np.array([[[1, 2, 3, 4]]], np.uint8), lambda image: image[:, :, :3], [1, 2, 3]),
        (np.array([[[7]]], np.uint8), lambda image: image[:, :, 0], [7, 7, 7]),
        (np.array([[[1]], [[2]], [[3]]], np.uint8), lambda image: image.transpose(1, 2, 0), [1, 2, 3]),
    ],
)
def test_each_remedy_works(image: NDArray[Any], remedy: Callable[[NDArray[Any]], Image], wanted: list[int]) -> None:
    with pytest.raises(ImageError):
        read_image(image)
    assert read_image(remedy(image)).tolist() == [[wanted]]


def test_arrays_pass_unchanged_and_grey_ones_get_three_channels(picture: Image) -> None:
    assert read_image(picture) is picture
    np.testing.assert_array_equal(read_image(picture[:, :, 1]), picture[:, :, [1, 1, 1]])


def test_arrays_of_any_layout_are_stretched_alike(picture: Image) -> None:
    expected = stretch(picture, (16, 24))
    read_only = picture.copy()
    read_only.setflags(write=False)
    flipped = np.ascontiguousarray(picture[::-1, :, ::-1])[::-1, :, ::-1]  # BGR turned by a view, say
    for array in (read_only, flipped, np.asfortranarray(picture), picture.repeat(2, axis=1)[:, ::2]):
        np.testing.assert_array_equal(stretch(read_image(array), (16, 24)), expected)


def test_stretch_to_the_same_size_is_the_identity(picture: Image) -> None:
    assert stretch(picture, (40, 60)) is picture
    assert stretch(picture, [40, 60]) is picture


@pytest.mark.parametrize(
    "size", [(20, 30), (16, 48), (80, 120), (80, 30), (20, 120), (40, 30), (20, 60), (41, 61), (39, 59), (7, 11)]
)
def test_stretch_never_crops(size: tuple[int, int]) -> None:
    # A frame in four colours: were a side cropped or shifted, its colour would be gone.
    image = np.zeros((40, 60, 3), np.uint8)
    image[:, :12], image[:, -12:] = (255, 0, 0), (0, 255, 0)
    image[:8], image[-8:] = (0, 0, 255), (255, 255, 0)
    stretched = stretch(image, size)
    assert stretched.shape == (*size, 3)
    assert stretched.dtype == np.uint8
    middle_row, middle_column = stretched[size[0] // 2], stretched[:, size[1] // 2]
    np.testing.assert_array_equal(middle_row[0], (255, 0, 0))
    np.testing.assert_array_equal(middle_row[-1], (0, 255, 0))
    np.testing.assert_array_equal(middle_column[0], (0, 0, 255))
    np.testing.assert_array_equal(middle_column[-1], (255, 255, 0))
    # Each stripe keeps its share of the side.
    assert abs((middle_row[:, 0] > 127).mean() - 0.2) <= 1 / size[1]
    assert abs((middle_column[:, 2] > 127).mean() - 0.2) <= 1 / size[0]


def test_shrinking_averages_areas() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    means = noise.reshape(10, 4, 15, 4, 3).mean(axis=(1, 3))
    assert np.abs(stretch(noise, (10, 15)) - means).max() <= 0.5


@pytest.mark.parametrize("size", [(1, 1), (1, 60), (40, 1), (300, 2)])
def test_stretch_of_one_colour_is_that_colour(size: tuple[int, int]) -> None:
    image = np.full((40, 60, 3), (10, 200, 90), np.uint8)
    np.testing.assert_array_equal(stretch(image, size), np.full((*size, 3), (10, 200, 90)))


def test_a_folder_gives_its_images_by_name(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "c.tiff", "notes.txt", "._b.JPG", ".c.png", "train.csv"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in list_images(tmp_path)] == ["a.png", "b.JPG", "c.tiff"]


def test_a_folder_without_images_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    cases = {
        tmp_path: f"no images in {tmp_path}; wanted files ending in .bmp, .jpeg, .jpg, .png, .tif, .tiff, .webp",
        tmp_path / "missing": f"no such folder: {tmp_path / 'missing'}",
        tmp_path / "notes.txt": f"{tmp_path / 'notes.txt'} is not a folder",
    }
    for path, words in cases.items():
        with pytest.raises(ImageError) as caught:
            list_images(path)
        assert str(caught.value) == words


def test_a_real_scene_is_read_whole_and_blue(clouds: Path) -> None:
    image = read_image(list_images(clouds / "full_resolution")[0])
    assert image.shape == (1400, 2100, 3)
    # Oceans are blue: channels in the wrong order would be seen.
    dark = stretch(image, (140, 210)).reshape(-1, 3)
    dark = dark[dark.sum(axis=1) < np.median(dark.sum(axis=1))]
    assert dark[:, 2].mean() > dark[:, 0].mean() + 5
