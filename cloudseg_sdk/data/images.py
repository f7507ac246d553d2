"""Reading and resizing images: the one way for training and prediction alike."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from cloudseg_sdk.errors import ImageError

Image: TypeAlias = NDArray[np.uint8]
Source: TypeAlias = str | Path | NDArray[Any]

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


def read_image(source: Source) -> Image:
    """Return an image as RGB uint8 ``(H, W, 3)``.

    Parameters
    ----------
    source
        A file that OpenCV reads (EXIF orientation applied, alpha dropped, 16 bits a channel scaled to 8), or a uint8
        array, grey ``(H, W)`` or RGB ``(H, W, 3)``.

    Raises
    ------
    ImageError
        Where the file cannot be read or is no whole image, or the array has another shape or dtype.
    """
    if isinstance(source, np.ndarray):
        return _check_array(source)
    path = Path(source)
    return decode_image(read_file(path), path)


def read_file(path: Path) -> bytes:
    """Return the bytes of an image file, or raise an ImageError that names it."""
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # the latter for a NUL in the name
        raise ImageError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    if not data:
        raise ImageError(f"{path} is empty (0 bytes)")
    return data


def decode_image(data: bytes, path: Path) -> Image:
    """Return the image that a file's bytes hold, RGB uint8 ``(H, W, 3)``; `path` is for the error's words."""
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error as error:
        raise ImageError(f"{path} cannot be decoded: {error.err}") from error
    if image is None:
        raise ImageError(
            f"{path} is damaged or not an image ({len(data):,} bytes); wanted one of {', '.join(SUFFIXES)}"
        )
    return np.asarray(image, np.uint8)


def stretch(image: Image, size: Sequence[int]) -> Image:
    """Resize to `size` (height, width) without cropping: by area averaging where it shrinks, else bilinear."""
    height, width = size
    if image.shape[:2] == (height, width):
        return image
    shrinks = image.shape[0] >= height and image.shape[1] >= width
    resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(resized, np.uint8)


def list_images(folder: Path) -> list[Path]:
    """Return the image files of `folder`, sorted by name, without hidden ones (macOS leaves ``._scene.jpg``)."""
    if not folder.is_dir():
        raise ImageError(f"{folder} is not a folder" if folder.exists() else f"no such folder: {folder}")
    paths = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and not path.is_dir()
    )
    if not paths:
        raise ImageError(f"no images in {folder}; wanted files ending in {', '.join(SUFFIXES)}")
    return paths


def _check_array(array: NDArray[Any]) -> Image:
    if array.dtype != np.uint8:
        raise ImageError(f"an image array must be uint8 with values 0 to 255, got {array.dtype}")
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3) or 0 in array.shape:
        raise ImageError(f"an image array must be grey (H, W) or RGB (H, W, 3) and not empty, got shape {array.shape}")
    return array if array.ndim == 3 else np.repeat(array[:, :, None], 3, axis=2)
