"""Checks of arguments, with one wording: what was wanted, what was given, and the remedy where there is one."""

import math
import operator
import os
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from numbers import Integral
from typing import Any, Literal, SupportsIndex, TypeVar, cast

import numpy as np
import numpy.typing as npt

from cloudrle._core import RunList, require_memory
from cloudrle._text import ArrowTexts

Shape = tuple[int, int]
Box = tuple[int, int, int, int]
RLE = TypeVar("RLE", bound=RunList)

INTERPOLATIONS = ("nearest", "linear", "area")
_MAX_POSITION = 2**63 - 1
_MOST_THREADS = 256  # more would only take memory
_MAX_SIDE = 2**31 - 1  # of a mask that is resized
_BOOLS = (bool, np.bool_)  # ints too, but never meant as such
_AXES = {2: "(height, width)", 3: "(N, height, width)"}


def pair(value: Sequence[SupportsIndex], name: str = "shape") -> Shape:
    """Two non-negative ints (height, width)."""
    if type(value) is tuple and len(value) == 2:  # what it mostly is, at a third of the time
        height, width = value
        if type(height) is int and type(width) is int and 0 <= height <= _MAX_SIDE and 0 <= width <= _MAX_SIDE:
            return height, width
    wanted = f"{name} must be a pair of ints (height, width)"
    try:
        height, width = value
    except (TypeError, ValueError):
        raise TypeError(f"{wanted}, got {value!r}") from None
    if isinstance(height, _BOOLS) or isinstance(width, _BOOLS):
        raise TypeError(f"{wanted}, got {value!r}")
    try:
        height, width = operator.index(height), operator.index(width)
    except TypeError:
        raise TypeError(f"{wanted}, got {value!r}") from None
    if height < 0 or width < 0:
        raise ValueError(f"{name} must not be negative, got {height} x {width}")
    if max(height, width, height * width) > _MAX_POSITION:
        raise ValueError(f"{name} must have at most 2**63 - 1 pixels, got {height} x {width}")
    return height, width


def integer(value: SupportsIndex, name: str) -> int:
    """Any int, but no bool."""
    if type(value) is int:
        return value
    if not isinstance(value, _BOOLS):
        try:
            return operator.index(value)
        except TypeError:
            pass
    raise TypeError(f"{name} must be an int, got {value!r}")


def whole_number(value: SupportsIndex, name: str) -> int:
    """Any int that is not negative."""
    number = integer(value, name)
    if number < 0:
        raise ValueError(f"{name} must not be negative, got {number}")
    return number


def pixel_count(value: SupportsIndex, name: str) -> int:
    """Whole number of pixels; as many as any mask can have stand for more."""
    return min(whole_number(value, name), _MAX_POSITION)


def one_int(value: SupportsIndex, choices: Sequence[int], name: str) -> int:
    """One of a few ints."""
    number = integer(value, name)
    if number not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(str, choices))}, got {number}")
    return number


def box(value: Sequence[SupportsIndex], shape: Shape) -> Box:
    """Four ints (y0, x0, y1, x1), half-open, inside a mask."""
    wanted = "box must be four ints (y0, x0, y1, x1)"
    try:
        numbers = [integer(number, "box") for number in value]
    except TypeError:
        raise TypeError(f"{wanted}, got {value!r}") from None
    if len(numbers) != 4:
        raise ValueError(f"{wanted}, got {value!r}")
    top, left, bottom, right = numbers
    if not (0 <= top <= bottom <= shape[0] and 0 <= left <= right <= shape[1]):
        raise ValueError(
            f"box must lie inside the mask of {shape[0]} x {shape[1]}, 0 <= y0 <= y1 <= {shape[0]} and 0 <= x0 <= x1 "
            f"<= {shape[1]}, got (y0, x0, y1, x1) = {top, left, bottom, right}"
        )
    return top, left, bottom, right


def ring(vertices: npt.ArrayLike, name: str) -> npt.NDArray[np.float64]:
    """Array (n, 2) of x and y of the vertices of one ring, given as such or flat."""
    wanted = f"{name} must be one ring, [x1, y1, x2, y2, ...] or pairs (x, y)"
    try:
        array = np.asarray(vertices)
    except ValueError:
        raise ValueError(f"{wanted}, got rows of unequal length; unite several polygons with RLE.union") from None
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{wanted}, got dtype {array.dtype}")
    if array.ndim == 1 and array.size % 2:
        raise ValueError(f"{wanted}, got {array.size} numbers, of which the last x has no y")
    if array.ndim != 1 and (array.ndim != 2 or array.shape[1] != 2):
        raise ValueError(f"{wanted}, got an array of shape {array.shape}; unite several polygons with RLE.union")
    # The core looks at the numbers, in a copy that nobody changes while the GIL is released.
    return np.array(array, np.float64, order="C").reshape(-1, 2)


def masks_list(masks: Iterable[RLE], kind: type[RLE], name: str = "masks") -> list[RLE]:
    """List of masks; their shapes are left to the core."""
    wanted = f"{name} must be a sequence of RLE"
    try:
        found = list(masks)
    except TypeError:
        raise TypeError(f"{wanted}, got {type(masks).__name__}") from None
    for index, mask in enumerate(found):
        if not isinstance(mask, kind):
            raise TypeError(f"{wanted}, got {type(mask).__name__} at index {index}")
    return found


def some_masks(masks: Iterable[RLE], kind: type[RLE]) -> list[RLE]:
    """List of at least one mask."""
    found = masks_list(masks, kind)
    if not found:
        raise ValueError("masks must hold at least one RLE: none at all have no shape")
    return found


def target_size(shape: Shape, size: Sequence[SupportsIndex] | None, interpolation: str) -> Shape:
    """Shape that a mask gets by resizing; None keeps the one it has."""
    one_of(interpolation, INTERPOLATIONS, "interpolation")
    if size is None:
        return shape
    target = pair(size, "size")
    resizable(shape, target)
    return target


def resizable(shape: Shape, size: Shape) -> None:
    """Refuse shapes that nothing can be resized from or to."""
    if 0 in shape or 0 in size:
        raise ValueError(
            f"cannot resize {shape[0]} x {shape[1]} to {size[0]} x {size[1]}: a mask without pixels has no other size"
        )
    if max(*shape, *size) > _MAX_SIDE:
        raise ValueError(
            f"cannot resize {shape[0]} x {shape[1]} to {size[0]} x {size[1]}: sides must be below 2**31 pixels"
        )


def mask_array(mask: npt.ArrayLike, ndim: int = 2, name: str = "mask") -> npt.NDArray[Any]:
    """Array of `ndim` axes and a dtype that the kernels read."""
    try:
        array = np.asarray(mask)
    except ValueError:
        raise ValueError(f"{name} must be a {ndim}-D array {_AXES[ndim]}, got rows of unequal length") from None
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must have an integer, bool or float dtype, got {array.dtype}")
    if array.ndim != ndim:
        raise ValueError(
            f"{name} must be a {ndim}-D array {_AXES[ndim]}, got a {array.ndim}-D array of shape {array.shape}"
        )
    return array if array.dtype.itemsize <= 8 else array != 0  # long double has no kernel


def out_array(out: npt.NDArray[np.uint8] | None, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """Array to write a result to: `out` where it fits, a new one where it is None."""
    if out is None:
        return new_masks(shape)
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a uint8 array of shape {shape}, got {type(out).__name__}")
    if out.dtype != np.uint8:
        raise TypeError(f"out must be a uint8 array of shape {shape}, got dtype {out.dtype}")
    if out.shape != shape:
        raise ValueError(f"out must be a uint8 array of shape {shape}, got shape {out.shape}")
    if not out.flags.writeable:
        raise ValueError("out must be writeable, got a read-only array")
    return out


def new_masks(shape: tuple[int, ...], order: Literal["C", "F"] = "C") -> npt.NDArray[np.uint8]:
    """Uninitialized array, where the machine has the memory for it."""
    require_memory(math.prod(shape))
    return np.empty(shape, np.uint8, order)


def int64_array(values: npt.ArrayLike, name: str, wanted: str) -> npt.NDArray[np.int64]:
    """Copy of integers as C-contiguous int64; an empty list will do too."""
    if isinstance(values, bytes | bytearray | memoryview):  # as arrays they would be numbers, one for each byte
        raise TypeError(f"{name} must be {wanted}, got {type(values).__name__}")
    try:
        array = np.asarray(values)
    except ValueError:
        raise ValueError(f"{name} must be {wanted}, got rows of unequal length") from None
    if array.dtype.kind == "O" and array.size > 0 and all(isinstance(number, Integral) for number in array.flat):
        raise ValueError(f"{name} must be {wanted} below 2**63, got {max(array.flat, key=abs)!r:.40}")
    if array.dtype.kind not in "iu" and array.size > 0:
        raise TypeError(f"{name} must be {wanted}, got dtype {array.dtype}")
    if array.dtype.kind == "u" and array.size > 0 and int(array.max()) > _MAX_POSITION:
        raise ValueError(f"{name} must be {wanted} below 2**63, got {int(array.max())}")
    return np.array(array, dtype=np.int64, order="C").view(np.int64)  # NumPy has two types of 64 bits


def texts_column(texts: Iterable[object]) -> tuple[object, ...] | ArrowTexts:
    """Rows of a column; where not Arrow's, a tuple, so that nobody can change it while the GIL is released."""
    if isinstance(texts, str | bytes):
        raise TypeError(f"texts must be a sequence of str, got one {type(texts).__name__}; for one text use decode")
    return _rows(texts, "kaggle", "texts", "a sequence of str")


def column(values: Iterable[object], dialect: str) -> tuple[object, ...] | ArrowTexts:
    """Rows of a column in a dialect, as texts_column gives them."""
    if isinstance(values, str | bytes | Mapping):
        raise TypeError(f"column must be a sequence of masks, got one {type(values).__name__}; put it into a list")
    return _rows(values, dialect, "column", "a sequence of masks")


def _rows(values: Iterable[object], dialect: str, name: str, wanted: str) -> tuple[object, ...] | ArrowTexts:
    ndim = getattr(values, "ndim", 1)
    if ndim != 1:
        raise ValueError(f"{name} must be one column, got {ndim} dimensions; pick one, as in frame['EncodedPixels']")
    arrow = _arrow_face(values)
    if arrow is not None:
        return ArrowTexts(arrow, dialect)
    try:
        return tuple(values)
    except TypeError:
        raise TypeError(f"{name} must be {wanted}, got {type(values).__name__}") from None


def shapes(value: object, rows: int) -> npt.NDArray[np.int64]:
    """Shape of each row: int64 array (rows, 2), or (1, 2) where they are alike."""
    items: Any = value.tolist() if isinstance(value, np.ndarray) else value
    try:
        items = [*items]
    except TypeError:
        items = []
    if not any(isinstance(item, Iterable) for item in items):
        if items or rows:
            return np.array([pair(cast(Any, value))], np.int64)
        return np.empty((0, 2), np.int64)
    if len(items) != rows:
        raise ValueError(f"shape must be one pair, or one for each of the {rows} rows, got {len(items)} pairs")
    return np.array([pair(item, f"shape[{i}]") for i, item in enumerate(items)], np.int64)


def _arrow_face(texts: Any) -> Any:
    """Object that gives a column by Arrow's C interface without converting it; None where there is none."""
    pandas = sys.modules.get("pandas")  # never imported here: without it no column is of pandas
    if pandas is not None and isinstance(texts, (pandas.Series, pandas.Index)):
        # Those that lie in Python objects have the interface too, but they would be copied.
        arrow_backed = hasattr(texts.dtype, "pyarrow_dtype") or getattr(texts.dtype, "storage", None) == "pyarrow"
        return texts.array.__arrow_array__() if arrow_backed else None
    return texts if hasattr(texts, "__arrow_c_stream__") or hasattr(texts, "__arrow_c_array__") else None


def listed(names: Iterable[object]) -> str:
    """Names for an error's words, on one line and not without end."""
    text = ", ".join(map(str, names)) or "none at all"
    return text if text.isprintable() and len(text) <= 200 else f"{text!r:.200}..."


def one_of(value: str, choices: Collection[str], name: str) -> str:
    """Return `value`, one of the choices."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")
    return value


def class_maps(probabilities: npt.ArrayLike) -> npt.NDArray[Any]:
    """Array (N, height, width, classes) of float32 or uint8."""
    array = np.asarray(probabilities)
    if array.dtype not in (np.float32, np.uint8):
        raise TypeError(f"probabilities must have dtype float32 or uint8, got {array.dtype}")
    if array.ndim != 4:
        raise ValueError(
            f"probabilities must be a 4-D array (N, height, width, classes), got a {array.ndim}-D array of shape "
            f"{array.shape}"
        )
    return array


def thresholds(value: float | Sequence[float], classes: int) -> npt.NDArray[np.float32]:
    """Thresholds in [0, 1], one for each class."""
    array = _per_class(value, classes, "threshold", "number in [0, 1]", "iuf")
    if outside := [number for number in array.tolist() if not 0 <= number <= 1]:
        raise ValueError(f"threshold must be in [0, 1], got {outside[0]}")
    return array.astype(np.float32)


def min_areas(value: SupportsIndex | Sequence[SupportsIndex], classes: int) -> npt.NDArray[np.int64]:
    """Numbers of pixels, one for each class."""
    array = _per_class(value, classes, "min_area", "non-negative int", "iu")
    numbers: list[int] = array.tolist()
    if negative := [number for number in numbers if number < 0]:
        raise ValueError(f"min_area must not be negative, got {negative[0]}")
    return np.array([min(number, _MAX_POSITION) for number in numbers], np.int64)  # no component is larger


def _per_class(value: object, classes: int, name: str, wanted: str, kinds: str) -> npt.NDArray[Any]:
    wanted = f"{name} must be a {wanted}, or one for each of the {classes} classes"
    try:
        array = np.asarray(value)
    except ValueError:
        raise TypeError(f"{wanted}, got {value!r}") from None
    if array.dtype.kind not in kinds:
        raise TypeError(f"{wanted}, got {value!r}")
    if array.shape not in ((), (classes,)):
        raise ValueError(f"{wanted}, got {value!r}")
    return np.broadcast_to(array, classes)


def thread_count(threads: int | None) -> int:
    """How many threads to use at most; None stands for as many as there are cores to run on."""
    if threads is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = "threads must be a positive int or None"
    if isinstance(threads, bool | np.bool_):
        raise TypeError(f"{wanted}, got {threads!r}")
    try:
        count = operator.index(threads)
    except TypeError:
        raise TypeError(f"{wanted}, got {threads!r}") from None
    if count < 1:
        raise ValueError(f"{wanted}, got {count}")
    return min(count, _MOST_THREADS)
