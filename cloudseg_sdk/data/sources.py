"""What images may be given as, and what each is called: from the caller's objects to files, bytes and arrays.

The caller's own objects (iterators, file objects, tensors, PIL images) are touched here alone, one after the other in
the thread that asks for the next, because few of them may be shared between threads. Files are opened later.
"""

from __future__ import annotations

import glob
import os
import struct
import sys
import zipfile
from collections.abc import Iterable, Iterator
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeGuard

import numpy as np
from numpy.typing import NDArray

from cloudseg_sdk.data.headers import check_pixels
from cloudseg_sdk.data.images import READ_ERRORS, Content, Image, list_images, name_file, read_all, read_image, reason
from cloudseg_sdk.errors import ImageError


class _BinaryFile(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Array(Protocol):
    def __array__(self) -> NDArray[Any]: ...


class _ArrayInterface(Protocol):  # what PIL images have
    @property
    def __array_interface__(self) -> dict[str, Any]: ...


class _DLPack(Protocol):
    def __dlpack__(self) -> object: ...


Source: TypeAlias = (
    str
    | os.PathLike[str]
    | Traversable
    | bytes
    | bytearray
    | memoryview
    | _BinaryFile
    | NDArray[Any]
    | _Array
    | _ArrayInterface
    | _DLPack
)
"""One image; see :func:`name_sources`."""
Images: TypeAlias = Source | Iterable[Source]
"""One image, a folder, a pattern, a stack, or an iterable of images; see :func:`name_sources`."""

_WANTED = "a path, the bytes of an image file, a binary file object, a PIL image or a uint8 array (H, W) or (H, W, 3)"
_PIL_MODES = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"}  # what image files come as


def name_sources(images: Images) -> Iterator[tuple[str, Content]]:
    """Yield (name, image) of each image, lazily and in order.

    ==================================================  ==============================================================
    `images`                                            name of each
    ==================================================  ==============================================================
    a path                                              the path as given
    a pattern with ``*``, ``?``, ``[`` or ``**``,       the path found; sorted. A file of that very name wins
    such as ``"scenes/*.jpg"``
    a folder, on disk or (:class:`zipfile.Path`)        the path; sorted by name, images only, without subfolders
    in an archive
    a member of an archive                              ``scenes.zip/a.jpg``, or of one in memory ``zip 3/a.jpg``
    bytes, bytearray or memoryview of an image file     ``bytes 3``
    a binary file object, read from where it stands     its own name, or ``file 3``
    a PIL image                                         the file's name that it was opened with, or ``image 3``
    an array, or what has ``__array__`` or              ``array 3``
    ``__dlpack__`` (tensors of PyTorch, JAX,
    TensorFlow), ``(H, W)`` or ``(H, W, 3)``
    a stack ``(N, H, W, 3)`` of these                   ``array 0``, ``array 1``, ...
    a list, a generator, a column of a table (a pandas  as above, where 3 is the position in it, from 0 on
    Series, say), any iterable of the above
    ==================================================  ==============================================================

    An item of an iterable is one image: neither folder nor pattern nor stack. One that is none of the above comes as
    the :class:`cloudseg_sdk.ImageError` that says so, so that the others are still predicted.

    Raises
    ------
    TypeError
        Where `images` is none of the above.
    ImageError
        Where a folder has no images, a pattern finds none, or a path is empty.
    """
    for number, source in enumerate(_expand(images)):
        yield _take(source, number)


def read_source(source: Source) -> Image:
    """Return one image of any kind in :func:`name_sources` as RGB uint8 ``(H, W, 3)``; see :func:`read_image`."""
    name, content = _take(source, 0)
    return read_image(content, name)


def _expand(images: Images) -> Iterable[Source]:
    if isinstance(images, str | os.PathLike):
        return _expand_path(images)
    if _is_traversable(images):
        return list_images(images) if images.is_dir() else [images]
    if _is_single(images):
        return [images]  # type: ignore[list-item]  # narrowed by hand
    if _is_instance(images, "pandas", "DataFrame"):
        raise TypeError("images is a DataFrame, wanted one of its columns, such as table['path']")
    if _is_array(images):
        return _expand_array(images)
    if isinstance(images, Iterable) and not isinstance(images, dict):
        return images  # type: ignore[return-value]  # bytes were taken above
    raise TypeError(f"images must be {_WANTED}, or many of them, got {type(images).__name__}")


def _expand_path(given: str | os.PathLike[str]) -> Iterable[Source]:
    if not os.fspath(given):  # Path would make the current folder of it
        raise ImageError(
            "images is an empty path, ''; wanted an image file, a folder ('.' is the current one) or a pattern"
        )
    path = Path(os.fsdecode(given))
    try:
        if path.is_dir():
            return list_images(path)
        is_pattern = glob.has_magic(str(path)) and not path.is_symlink() and not path.exists()
    except OSError:  # a name that is too long, say: reading it tells
        return [given]
    if not is_pattern:
        return [given]
    found = sorted(Path(name) for name in glob.glob(str(path), recursive=True))  # noqa: PTH207  # absolute patterns too
    files: list[Source] = [file for file in found if not file.is_dir()]
    if not files:
        raise ImageError(f"no file matches {path}")
    return files


def _expand_array(images: Any) -> Iterable[Source]:
    """Part a stack or a column; anything else is one image."""
    array = images if hasattr(images, "shape") else _to_array(images)
    rank = len(array.shape)
    kind = getattr(getattr(array, "dtype", None), "kind", "O")
    # A column of numbers may be the bytes of a file: that is one mistake and not a million.
    is_column = rank == 1 and kind not in "biufcmM"
    return array if rank == 4 or is_column else [array]


def _take(source: Source, number: int) -> tuple[str, Content]:
    """Return the name and the content of one image."""
    if isinstance(source, str | os.PathLike):
        name = str(os.fsdecode(source))  # not NumPy's kind of str
        if not name:
            return f"item {number}", ImageError(f"images[{number}] is an empty path, ''; wanted an image file")
        return name, Path(name)
    if isinstance(source, bytes | bytearray | memoryview):
        return f"bytes {number}", bytes(source)
    if _is_traversable(source):
        return name_file(source, number), source
    if _is_instance(source, "PIL.Image", "Image"):
        name = _own_name(source, "filename") or f"image {number}"
        return name, _guarded(_from_pil, source, name)
    if hasattr(source, "read"):
        name = _own_name(source, "name") or f"file {number}"
        return name, _guarded(_from_file, source, name)
    name = f"array {number}"
    if _is_array(source):
        # A copy, because it is used later, when a camera, say, has written the next image there.
        return name, _guarded(lambda value, _: np.array(_to_array(value)), source, name)
    return f"item {number}", ImageError(f"images[{number}] must be {_WANTED}, got {type(source).__name__}")


def _guarded(take: Any, source: Any, name: str) -> Content:
    """Return the content, or the error that keeps it from being had."""
    try:
        content: Content = take(source, name)
    except ImageError as error:
        return error
    except (*READ_ERRORS, TypeError, SyntaxError, BufferError, struct.error) as error:  # PIL raises SyntaxErrors
        return ImageError(f"cannot read {name}: {reason(error)}")
    return content


def _from_file(file: Any, name: str) -> bytes:
    data = read_all(file, name)
    if not data:
        raise ImageError(f"{name} has nothing left to read (0 bytes); after writing or reading it, .seek(0)")
    return data


def _from_pil(image: Any, name: str) -> NDArray[Any]:
    """Convert as :func:`read_image` does with the file."""
    from PIL import ImageOps

    check_pixels(image.height, image.width, name)
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):
        return (np.asarray(image) >> 8).astype(np.uint8)
    if image.mode not in _PIL_MODES:
        raise ImageError(
            f"{name} is a PIL image of mode {image.mode}, whose values have no defined range or colour; wanted one of "
            f"{', '.join(sorted(_PIL_MODES))}, I;16"
        )
    if image.mode == "P":  # by RGBA, because Pillow warns of palettes with transparency otherwise
        image = image.convert("RGBA")
    return np.asarray(image.convert("RGB"))


def _to_array(value: Any) -> NDArray[Any]:
    if isinstance(value, np.ndarray):
        return value
    return np.asarray(value) if hasattr(value, "__array__") else np.from_dlpack(value)


def _is_array(value: object) -> bool:
    return hasattr(value, "__array__") or hasattr(value, "__dlpack__")


def _is_single(value: object) -> bool:
    """Say whether a value is one image by its type alone."""
    return (
        isinstance(value, bytes | bytearray | memoryview)
        or hasattr(value, "read")
        or _is_instance(value, "PIL.Image", "Image")
    )


def _is_traversable(value: object) -> TypeGuard[Traversable]:
    """Say whether a value is one, a :class:`zipfile.Path` first: asked for attributes, one in memory raises."""
    return isinstance(value, zipfile.Path | Traversable)


def _is_instance(value: object, module: str, name: str) -> bool:
    """Say whether `value` is of a class of a library that need not be installed."""
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(value, getattr(loaded, name))


def _own_name(value: object, attribute: str) -> str | None:
    """Return the name that an object brings along; a file made of a descriptor has its number there."""
    name = getattr(value, attribute, None)
    return name if isinstance(name, str) and name else None
