"""How much each of many masks overlaps each of others."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from cloudrle import _check, _core
from cloudrle.rle import RLE


def iou_matrix(a: Iterable[RLE], b: Iterable[RLE], *, threads: int | None = None) -> npt.NDArray[np.float64]:
    """Intersection over union of each mask of one list with each of another.

    Pairs whose bounding boxes are apart cost next to nothing.

    Parameters
    ----------
    a, b : iterables of RLE
        All of one shape.
    threads : int, optional
        How many threads to use at most; None for as many as there are cores. Small lists are done in one.

    Returns
    -------
    float64 array of shape (len(a), len(b))
        Entry [i, j] is what ``a[i].iou(b[j])`` gives, but for the last digit where areas are 2**53 and more: 1.0
        where both are empty.

    Raises
    ------
    RLEError
        For masks of different shapes.
    TypeError, ValueError
        For anything but RLEs, and for threads that are no positive int.

    Examples
    --------
    >>> import cloudrle
    >>> left, both = (cloudrle.RLE.from_mask([row]) for row in ([1, 0], [1, 1]))
    >>> cloudrle.iou_matrix([left, both], [left])
    array([[1. ],
           [0.5]])
    """
    return _matrix(a, b, "iou", threads)


def dice_matrix(a: Iterable[RLE], b: Iterable[RLE], *, threads: int | None = None) -> npt.NDArray[np.float64]:
    """Dice coefficient of each mask of one list with each of another.

    Parameters and errors are those of `iou_matrix`.

    Returns
    -------
    float64 array of shape (len(a), len(b))
        Entry [i, j] is what ``a[i].dice(b[j])`` gives, but for the last digit where areas are 2**53 and more: 1.0
        where both are empty.

    Examples
    --------
    >>> import cloudrle
    >>> left, both = (cloudrle.RLE.from_mask([row]) for row in ([1, 0], [1, 1]))
    >>> cloudrle.dice_matrix([left], [left, both]).round(3)
    array([[1.   , 0.667]])
    """
    return _matrix(a, b, "dice", threads)


def _matrix(a: Iterable[RLE], b: Iterable[RLE], overlap: str, threads: int | None) -> npt.NDArray[np.float64]:
    rows, columns = _check.masks_list(a, RLE, "a"), _check.masks_list(b, RLE, "b")
    return _core.overlaps(rows, columns, overlap, _check.thread_count(threads))
