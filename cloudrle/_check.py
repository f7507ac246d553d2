"""Checks of arguments, with one wording: what was wanted, what was given, and the remedy where there is one."""

import operator
from collections.abc import Iterable, Sequence
from typing import Any, SupportsIndex

import numpy as np
import numpy.typing as npt

Shape = tuple[int, int]

_MAX_POSITION = 2**63 - 1
_MAX_SIDE = 2**31 - 1  # of a mask that is resized
_AXES = {2: "(height, width)", 3: "(N, height, width)"}


def pair(value: Sequence[SupportsIndex], name: str = "shape") -> Shape:
    """Two non-negative ints (height, width)."""
    wanted = f"{name} must be a pair of ints (height, width)"
    try:
        height, width = value
    except (TypeError, ValueError):
        raise TypeError(f"{wanted}, got {value!r}") from None
    if isinstance(height, bool | np.bool_) or isinstance(width, bool | np.bool_):
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
        return np.empty(shape, np.uint8)
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a uint8 array of shape {shape}, got {type(out).__name__}")
    if out.dtype != np.uint8:
        raise TypeError(f"out must be a uint8 array of shape {shape}, got dtype {out.dtype}")
    if out.shape != shape:
        raise ValueError(f"out must be a uint8 array of shape {shape}, got shape {out.shape}")
    if not out.flags.writeable:
        raise ValueError("out must be writeable, got a read-only array")
    return out


def int64_array(values: npt.ArrayLike, name: str, wanted: str) -> npt.NDArray[np.int64]:
    """Copy of integers as C-contiguous int64; an empty list will do too."""
    array = np.asarray(values)
    if array.dtype.kind not in "iu" and array.size > 0:
        raise TypeError(f"{name} must be {wanted}, got dtype {array.dtype}")
    if array.dtype.kind == "u" and array.size > 0 and int(array.max()) > _MAX_POSITION:
        raise ValueError(f"{name} must be {wanted} below 2**63, got {int(array.max())}")
    return np.array(array, dtype=np.int64, order="C")


def texts_column(texts: Iterable[object]) -> tuple[object, ...]:
    """Rows of a column; a tuple, so that nobody can change it while the GIL is released."""
    if isinstance(texts, str | bytes):
        raise TypeError(f"texts must be a sequence of str, got one {type(texts).__name__}; for one text use decode")
    ndim = getattr(texts, "ndim", 1)
    if ndim != 1:
        raise ValueError(f"texts must be one column, got {ndim} dimensions; pick one, as in frame['EncodedPixels']")
    try:
        return tuple(texts)
    except TypeError:
        raise TypeError(f"texts must be a sequence of str, got {type(texts).__name__}") from None


def one_of(value: str, choices: Iterable[str], name: str) -> str:
    """Return `value`, one of the choices."""
    known = tuple(choices)
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, known))}, got {value!r}")
    return value
