"""Decoding and resizing one image: the one way for training and prediction alike."""

from __future__ import annotations

import errno
import os
import zipfile
import zlib
from collections.abc import Sequence
from importlib.resources.abc import Traversable
from pathlib import Path, PurePath
from typing import IO, Any, TypeAlias, TypeVar, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from cloudseg_sdk.data._area import shrink
from cloudseg_sdk.data.headers import MAX_PIXELS, SUFFIXES, check_header, damaged
from cloudseg_sdk.errors import ImageError

Image: TypeAlias = NDArray[np.uint8]
Content: TypeAlias = Traversable | bytes | NDArray[Any] | ImageError
"""An image to be read: a file (a path, or a member of a zip archive), its bytes, an array, or why there is none."""

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
READERS = CORES + 1
"""Threads that read images: a core each, and one more for while a file is waited for. Six on two cores took 2 to 10%
more CPU."""

_MAX_BYTES = 8 * MAX_PIXELS  # the most pixels as RGBA of 16 bits, without any compression
_CHUNK = 1 << 22
# What files raise: an OSError; a ValueError for a NUL in the name or a closed file; zip members all of them.
READ_ERRORS = (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)

# How to make uint8 of other arrays, which only their owner can know.
_TO_UINT8 = {
    "b": "for a mask: 255 * image.astype(np.uint8)",
    "u": "for the full range of 16 bits: (image // 257).astype(np.uint8)",
    "f": "for values from 0 to 1: np.rint(255 * image).astype(np.uint8)",
}

_Folder = TypeVar("_Folder", bound=Traversable)


def read_image(source: Content | str, name: str | None = None) -> Image:
    """Return an image as RGB uint8 ``(H, W, 3)``.

    This is the one rule of what an image is, for predictions and datasets alike.

    **A file** is BMP, JPEG, PNG, TIFF or WebP, told by its content and not by its name. What the format defines is
    followed: EXIF orientation is applied; grey becomes three equal channels; palettes, black and white, CMYK and YCbCr
    become RGB; 16 bits a channel are scaled to 8. Alpha and colour profiles are ignored. Of several pages or frames
    the first counts. At most 134,217,728 pixels (``1 << 27``) are decoded; more, by the header, are refused before.

    **An array** is uint8 with values 0 to 255, grey ``(H, W)`` or RGB ``(H, W, 3)`` in this order, of any size. Nothing
    else is guessed: floats, 16 bits, alpha and channels first are refused, with what to write instead.

    Parameters
    ----------
    source
        A file's path, a member of a zip archive (:class:`zipfile.Path`), the bytes of a file, or an array.
    name
        What errors call it; None for the path.

    Raises
    ------
    ImageError
        Where the file cannot be read or is no whole image, or the array has another shape or dtype.
    """
    if isinstance(source, ImageError):
        raise source
    if isinstance(source, np.ndarray):
        return _check_array(source)
    if isinstance(source, bytes):
        return decode_image(source, name or "bytes")
    file = Path(source) if isinstance(source, str) else source
    name = name or name_file(file)
    return decode_image(read_file(file, name), name)


def name_file(file: Traversable, number: int = 0) -> str:
    """Return the path of a file, or ``zip 3/a.jpg`` for member ``a.jpg`` of an archive in memory, `number` being 3."""
    if isinstance(file, zipfile.Path) and not isinstance(file.root.filename, str):
        return f"zip {number}/{file.at}"
    return str(file)


def read_file(file: Traversable, name: str | None = None) -> bytes:
    """Return the bytes of an image file, or raise an ImageError that names it, None being its path."""
    name = name or name_file(file)
    try:
        if isinstance(file, zipfile.Path):
            _check_member(file, name)
        with file.open("rb") as opened:
            data = read_all(opened, name)
    except ImageError:
        raise
    except READ_ERRORS as error:
        raise ImageError(f"cannot read {name}: {reason(error)}") from error
    if not data:
        raise ImageError(f"{name} is empty (0 bytes)")
    return data


def _check_member(file: zipfile.Path, name: str) -> None:
    """Refuse what zipfile inflates in one piece, however large: a few kilobytes of bzip2 can hold many gigabytes."""
    member = file.root.NameToInfo.get(file.at)  # None where there is none: opening it says so
    if member is not None and member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ImageError(
            f"{name} is compressed by zip's method {member.compress_type}; wanted 0 (stored) or 8 (deflated): pack the "
            "archive again"
        )


def reason(error: Exception) -> str:
    """Return why something could not be read, in the system's words where it has some."""
    if isinstance(error, OSError) and error.errno is None:  # as zipfile raises them
        code = {FileNotFoundError: errno.ENOENT, IsADirectoryError: errno.EISDIR}.get(type(error))
        return os.strerror(code) if code else str(error)
    return str(getattr(error, "strerror", None) or str(error) or type(error).__name__)


def read_all(file: IO[bytes], name: str) -> bytes:
    """Return what a file object has left, or raise an ImageError where that is more than any image."""
    chunks: list[bytes] = []
    size = 0
    while chunk := file.read(_CHUNK):
        if not isinstance(chunk, bytes):
            raise ImageError(f'{name} gives {type(chunk).__name__}, wanted bytes; open it with the mode "rb"')
        chunks.append(chunk)
        size += len(chunk)
        if size > _MAX_BYTES:
            raise ImageError(f"{name} has more than {_MAX_BYTES:,} bytes, as no image that is decoded")
    return b"".join(chunks)


def decode_image(data: bytes, name: str | Path) -> Image:
    """Return the image that a file's bytes hold, RGB uint8 ``(H, W, 3)``; `name` is for the error's words."""
    checked = check_header(data, str(name))
    try:
        image = cv2.imdecode(np.frombuffer(checked, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error as error:
        raise ImageError(f"{name} cannot be decoded: {error.err}") from error
    if image is None:
        raise damaged(data, str(name))
    return np.asarray(image, np.uint8)


def stretch(image: Image, size: Sequence[int]) -> Image:
    """Resize to `size` (height, width) without cropping, for training and prediction alike.

    Where no side grows, each value is the mean of the area that it covers, weighted by how much of each pixel that is,
    and rounded exactly, halves up: OpenCV's INTER_AREA without its rounding errors, from which it is at most 1 away.
    Else it is bilinear (INTER_LINEAR).

    Parameters
    ----------
    image
        RGB uint8 ``(H, W, 3)``, of any strides. Returned as it is where it has that size.
    size
        Positive.
    """
    height, width = size
    if image.shape[:2] == (height, width):
        return image
    if image.shape[0] >= height and image.shape[1] >= width:
        return shrink(image, height, width)
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def list_images(folder: _Folder) -> list[_Folder]:
    """Return the image files of `folder`, sorted by name, without hidden ones (macOS leaves ``._scene.jpg``)."""
    name = name_file(folder)
    if not folder.is_dir():
        raise ImageError(f"{name} is not a folder" if folder.is_file() else f"no such folder: {name}")
    try:
        files = cast("list[_Folder]", [file for file in folder.iterdir() if _is_image(file)])
    except READ_ERRORS as error:
        raise ImageError(f"cannot read {name}: {reason(error)}") from error
    if not files:
        raise ImageError(f"no images in {name}; wanted files ending in {', '.join(SUFFIXES)}")
    return sorted(files, key=lambda file: file.name)


def _is_image(file: Traversable) -> bool:
    return PurePath(file.name).suffix.lower() in SUFFIXES and not file.name.startswith(".") and not file.is_dir()


def _check_array(array: NDArray[Any]) -> Image:
    if array.dtype != np.uint8:
        remedy = _TO_UINT8.get(array.dtype.kind, "scale it to that range, then .astype(np.uint8)")
        raise ImageError(f"an image array must be uint8 with values 0 to 255, got {array.dtype}; {remedy}")
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3) or 0 in array.shape:
        raise ImageError(
            f"an image array must be grey (H, W) or RGB (H, W, 3) and not empty, got shape {array.shape}"
            f"{_reshaping(array.shape)}"
        )
    return array if array.ndim == 3 else np.repeat(array[:, :, None], 3, axis=2)


def _reshaping(shape: tuple[int, ...]) -> str:
    """Return what to write for the shapes that images commonly have elsewhere."""
    if len(shape) == 1:
        return "; for the bytes of a file: .tobytes()"
    if len(shape) == 3 and shape[2] == 4:
        return "; without alpha: image[:, :, :3]"
    if len(shape) == 3 and shape[2] == 1:
        return "; as grey: image[:, :, 0]"
    if len(shape) == 3 and shape[0] == 3:
        return "; with channels last: image.transpose(1, 2, 0)"
    return ""
