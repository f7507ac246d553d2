"""Cells of a column that are no plain text: what a caller may pass, made into memory that the core reads."""

import numbers as abstract
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from cloudrle.errors import RLEError

_MAX_POSITION = 2**63 - 1


def numbers(value: object, row: int, shape: tuple[int, int], dialect: str) -> npt.NDArray[np.int64]:
    """Whole numbers as C-contiguous int64; CVAT's may be floats, because its server sends them so."""
    name = "counts" if dialect == "coco-counts" else "the numbers of a CVAT mask"
    if dialect == "coco-counts":
        value = _counts(value, row, shape)
    wanted = f"row {row}: {name} must be a list of integers"
    if isinstance(value, str | bytes | bytearray | memoryview | Mapping):
        raise TypeError(f"{wanted}, got {type(value).__name__}")
    try:
        array = np.asarray(value)
    except (ValueError, OverflowError):
        raise TypeError(f"{wanted}, got {value!r:.80}") from None
    if array.ndim != 1:
        raise TypeError(f"{wanted}, got {_described(value, array)}")
    if array.size == 0:
        return np.empty(0, np.int64)
    if dialect == "cvat" and array.dtype.kind == "f":
        return _whole(array, row)
    if array.dtype.kind == "O" and all(isinstance(item, abstract.Integral) for item in array):
        raise RLEError(f"row {row}: {name} must be below 2**63, got {max(array, key=abs)}", row)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{wanted}, got dtype {array.dtype}")
    if array.dtype.kind == "u" and int(array.max()) > _MAX_POSITION:
        raise RLEError(f"row {row}: {name} must be below 2**63, got {int(array.max())}", row)
    return np.array(array, np.int64, order="C")


def string(value: object, row: int, shape: tuple[int, int], dialect: str) -> bytes:
    """Bytes of a COCO string, or of Label Studio's brush data, which is a list of ints in its JSON."""
    if dialect != "label-studio":
        value = _counts(value, row, shape)
        if isinstance(value, str):
            return value.encode("utf-8", "surrogatepass")
        if isinstance(value, bytes):
            return value
        raise TypeError(f"row {row}: a COCO string must be a str or bytes, got {_named(value)}")
    wanted = f"row {row}: brush data must be bytes or a list of integers from 0 to 255"
    if isinstance(value, np.ndarray):
        if value.ndim != 1 or value.dtype != np.uint8:
            raise TypeError(f"{wanted}, got {_described(value, value)} and dtype {value.dtype}")
        return value.tobytes()
    if not isinstance(value, bytes | bytearray | list | tuple):
        raise TypeError(f"{wanted}, got {_named(value)}")
    try:
        return bytes(value)
    except TypeError:
        raise TypeError(f"{wanted}, got {value!r:.80}") from None
    except ValueError:
        position = next(i for i, item in enumerate(value) if not 0 <= item <= 255)
        message = f"row {row}: entry {position + 1} of the brush data is {value[position]}; wanted bytes, 0 to 255"
        raise RLEError(message, row, position) from None


def _counts(value: object, row: int, shape: tuple[int, int]) -> object:
    """Take the counts out of a COCO segmentation, if the value is one; its size must be that of the row."""
    if not isinstance(value, Mapping):
        return value
    if not {"size", "counts"} <= value.keys():
        raise TypeError(f"row {row}: a segmentation must have 'size' and 'counts', got {sorted(map(str, value))}")
    size: Any = value["size"]
    odd = not isinstance(size, list | tuple) or any(isinstance(side, bool | float) for side in size)
    if odd or [*size] != [*shape]:
        wanted = f"the shape of this row is {shape[0]} x {shape[1]}"
        raise RLEError(f"row {row}: the size of the segmentation is {size!r:.40}, but {wanted} (height, width)", row)
    return value["counts"]


def _whole(array: npt.NDArray[Any], row: int) -> npt.NDArray[np.int64]:
    """Floats that are whole numbers, of which a float64 holds every one up to 2**53."""
    faulty = ~(np.abs(array) <= 2**53) | (array != np.floor(array))
    if faulty.any():
        position = int(faulty.argmax())
        message = (
            f"row {row}: number {position + 1} of a CVAT mask is {array[position]}; wanted whole numbers of pixels"
        )
        raise RLEError(message, row, position)
    return array.astype(np.int64)


def _named(value: object) -> str:
    return (
        "a list; for a list of counts the dialect is 'coco-counts'" if isinstance(value, list) else type(value).__name__
    )


def _described(value: object, array: npt.NDArray[Any]) -> str:
    return type(value).__name__ if array.ndim == 0 else f"an array of shape {array.shape}"
