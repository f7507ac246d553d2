"""Functions from masks to Kaggle text and back, one at a time or a whole column."""

from collections.abc import Iterable, Sequence
from typing import Literal, SupportsIndex

import numpy as np
import numpy.typing as npt

from cloudrle import _check, _core, _text
from cloudrle.rle import RLE

_LARGE = 1 << 20  # pixels of a mask that is worth parting between threads
_BLOCK_PIXELS = 1 << 27  # of masks whose texts are written before any becomes a str


def encode(mask: npt.ArrayLike) -> str:
    """Write a mask as Kaggle text.

    Parameters
    ----------
    mask : array of shape (height, width)
        Any integer, bool or float dtype, any order or strides; what is not zero is foreground.

    Returns
    -------
    str
        "start length start length ...", starts counted from 1 down each column in turn; "" for an empty mask.

    Raises
    ------
    TypeError
        For a dtype that is no number.
    ValueError
        For an array that is not 2-D.

    Examples
    --------
    >>> import numpy as np
    >>> encode(np.array([[1, 0, 0], [1, 0, 1]]))
    '1 2 6 1'
    """
    return RLE.from_mask(mask).to_kaggle()


def encode_many(masks: npt.ArrayLike | Iterable[npt.ArrayLike], *, threads: int | None = None) -> list[str]:
    """Write many masks as Kaggle text.

    Parameters
    ----------
    masks : array of shape (N, height, width), or iterable of arrays of shape (height, width)
        As for `encode`. In an iterable, shapes and dtypes may differ.
    threads : int, optional
        How many threads to use at most on an array; None takes as many as there are cores. A large mask is parted
        between them. The texts don't depend on it. An iterable is read one mask after another on this one.

    Returns
    -------
    list of str
        One text for each mask, in order.

    Raises
    ------
    TypeError, ValueError
        As for `encode`, naming the mask; and for threads that are no positive int.

    Examples
    --------
    >>> import numpy as np
    >>> encode_many(np.eye(3, dtype=bool)[np.newaxis])
    ['1 1 5 1 9 1']
    """
    count = _check.thread_count(threads)
    if not isinstance(masks, np.ndarray):
        if not isinstance(masks, Iterable):
            raise TypeError(f"masks must be an array or an iterable of arrays, got {type(masks).__name__}")
        arrays = (_check.mask_array(mask, name=f"masks[{i}]") for i, mask in enumerate(masks))
        return [encode(array) for array in arrays]
    array = _check.mask_array(masks, ndim=3, name="masks")
    if _are_parted(array.shape, count):
        return [_core.encode(RLE, mask, count).to_kaggle() for mask in array]
    texts: list[str] = []
    if len(array):
        scanner = _core.scanner(array)
        step = max(count, _BLOCK_PIXELS // max(1, array.shape[1] * array.shape[2]))
        for first in range(0, len(array), step):
            texts += _text.format_rows(scanner, first, min(first + step, len(array)), count)
    return texts


def _are_parted(shape: tuple[int, ...], threads: int) -> bool:
    """Whether masks of shape (N, height, width) are so few and large that threads work on parts of one."""
    return threads > 1 and shape[0] < 2 * threads and shape[1] * shape[2] > _LARGE


def decode(
    text: str,
    shape: Sequence[SupportsIndex],
    *,
    size: Sequence[SupportsIndex] | None = None,
    interpolation: Literal["nearest", "linear", "area"] = "nearest",
    out: npt.NDArray[np.uint8] | None = None,
) -> npt.NDArray[np.uint8]:
    """Read a mask from Kaggle text.

    Parameters
    ----------
    text : str
        "start length start length ...", starts counted from 1 down each column in turn, sorted and without overlaps.
        Empty or blank text is an empty mask; runs that touch are joined.
    shape : (height, width)
        Shape that the text was written for.
    size : (height, width), optional
        Shape to resize the mask to; None keeps `shape`.
    interpolation : {"nearest", "linear", "area"}
        How to resize, as for `resize`.
    out : uint8 array, optional
        Writeable, of the shape of the result, any strides; the mask is written there.

    Returns
    -------
    uint8 array of shape `size` or else `shape`
        1 for foreground, 0 for background: `out`, or a new array in C order.

    Raises
    ------
    RLEError
        For a text that is no mask of that shape; `.position` is the offset of the fault in the text.
    TypeError, ValueError
        For any other argument.

    Examples
    --------
    >>> decode("2 3", (3, 2))
    array([[0, 1],
           [1, 0],
           [1, 0]], dtype=uint8)
    """
    if not isinstance(text, str):
        raise TypeError(f"text must be a str, got {type(text).__name__}; for a column of texts use decode_many")
    _check.one_of(interpolation, _check.INTERPOLATIONS, "interpolation")
    rle = RLE.from_kaggle(text, shape)
    if size is None:
        return rle.to_mask(out)
    out = _check.out_array(out, _check.target_size(rle.shape, size, interpolation))  # fails before the work
    return rle.resize(size, interpolation).to_mask(out)


def decode_many(
    texts: Iterable[object],
    shape: Sequence[SupportsIndex],
    *,
    size: Sequence[SupportsIndex] | None = None,
    interpolation: Literal["nearest", "linear", "area"] = "nearest",
    out: npt.NDArray[np.uint8] | None = None,
    missing: Literal["raise", "empty"] = "raise",
    threads: int | None = None,
) -> npt.NDArray[np.uint8]:
    """Read many masks from Kaggle text.

    Parameters
    ----------
    texts : sequence of str
        A list, a column of a data frame, an array: anything that yields texts as for `decode`. Columns of strings that
        have Arrow's C interface (pyarrow, polars, Arrow-backed pandas) are read where they lie.
    shape : (height, width)
        Shape that the texts were written for.
    size : (height, width), optional
        Shape to resize the masks to; None keeps `shape`.
    interpolation : {"nearest", "linear", "area"}
        How to resize, as for `resize`.
    out : uint8 array of shape (N, height, width), optional
        Writeable, any strides; the masks are written there. After an error, some may have been.
    missing : {"raise", "empty"}
        What to do with None, NaN, pandas.NA and Arrow's nulls: raise, or read them as empty masks.
    threads : int, optional
        How many threads to use at most; None takes as many as there are cores. A large mask is parted between them. The
        masks don't depend on it.

    Returns
    -------
    uint8 array of shape (N, height, width)
        1 for foreground, 0 for background: `out`, or a new array in C order.

    Raises
    ------
    RLEError
        For a text that is no mask of that shape, or a missing one; `.row` is its index, `.position` the offset of the
        fault in the text.
    TypeError, ValueError
        For any other argument, and for a row that is neither a str nor missing.

    Examples
    --------
    >>> decode_many(["1 1", "", None], (1, 2), missing="empty")
    array([[[1, 0]],
    <BLANKLINE>
           [[0, 0]],
    <BLANKLINE>
           [[0, 0]]], dtype=uint8)
    """
    column = _check.texts_column(texts)
    shape = _check.pair(shape)
    target = _check.target_size(shape, size, interpolation)
    out = _check.out_array(out, (len(column), *target))
    count = _check.thread_count(threads)
    empty = _check.one_of(missing, ("raise", "empty"), "missing") == "empty"
    if target == shape and _are_parted(out.shape, count):
        for row, mask in enumerate(out):
            runs = _text.parse_row(column, row, *shape, empty)
            _core.decode(_core.adopt_runs(RLE, runs, *shape), mask, count)
        return out
    painter = _core.painter(*shape, interpolation, out)
    row = 0
    while row < len(column):
        row += _text.paint_rows(column, row, *shape, empty, count, painter)
    return out


def resize(
    mask: npt.ArrayLike,
    size: Sequence[SupportsIndex],
    *,
    interpolation: Literal["nearest", "linear", "area"] = "nearest",
) -> npt.NDArray[np.uint8]:
    """Resize a mask.

    Parameters
    ----------
    mask : array of shape (height, width)
        As for `encode`.
    size : (height, width)
        Shape of the result; no side may be 0.
    interpolation : {"nearest", "linear", "area"}
        "nearest" is OpenCV's INTER_NEAREST; "linear" is OpenCV's INTER_LINEAR on the mask as 0 and 255, then
        ``> 127``; "area" is foreground where at least half of the pixel's cell is covered, computed exactly.

    Returns
    -------
    uint8 array of shape `size`
        1 for foreground, 0 for background.

    Raises
    ------
    TypeError, ValueError
        For a mask as in `encode`, a size that is no pair of positive ints, or an unknown interpolation.

    Examples
    --------
    >>> resize([[1, 1, 0, 0], [1, 0, 0, 0]], (1, 2), interpolation="area")
    array([[1, 0]], dtype=uint8)
    """
    array = _check.mask_array(mask)
    out = _check.new_masks(_check.target_size(array.shape, size, interpolation))
    _core.resize(array if array.dtype.itemsize == 1 else array != 0, interpolation, out)
    return out


def simd_level() -> str:
    """Name the kernels in use.

    Returns
    -------
    str
        "scalar", "avx2" or "avx512": the best that the CPU has, or what ``CLOUDRLE_SIMD`` lowered it to at import.

    Examples
    --------
    >>> simd_level() in ("scalar", "avx2", "avx512")
    True
    """
    return _core.simd_level()
