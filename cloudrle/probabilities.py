"""From a model's class maps to masks."""

from collections.abc import Sequence
from typing import SupportsIndex

import numpy as np
import numpy.typing as npt

from cloudrle import _check, _core
from cloudrle.rle import RLE


def encode_probabilities(
    probabilities: npt.NDArray[np.float32] | npt.NDArray[np.uint8],
    *,
    threshold: float | Sequence[float],
    size: Sequence[SupportsIndex] | None = None,
    min_area: SupportsIndex | Sequence[SupportsIndex] = 0,
    threads: int | None = None,
) -> list[list[RLE]]:
    """Make a mask of each class of each map: resize, compare with a threshold, drop what is small.

    No map of the full size is ever made.

    Parameters
    ----------
    probabilities : array of shape (N, height, width, classes), float32 or uint8
        Any strides. A byte means a 255th of itself.
    threshold : float or sequence of float
        In [0, 1], one for all classes or one for each. Foreground is where a probability, resized in float32, is at
        least its threshold as a float32. NaN is background, and so is what it is mixed into; infinity is foreground.
    size : (height, width), optional
        Shape of the masks; None keeps that of the maps. Resizing is bilinear between the centres of pixels, OpenCV's
        INTER_LINEAR.
    min_area : int or sequence of int
        Components, connected by edges and corners, that have fewer pixels than this are dropped; one number for all
        classes or one for each.
    threads : int, optional
        How many maps to work on at the same time at most; None takes as many as there are cores. The masks don't
        depend on it.

    Returns
    -------
    list of list of RLE
        For each map, one mask for each class.

    Raises
    ------
    TypeError, ValueError
        For an array of another dtype or rank, a threshold outside [0, 1], a negative area, numbers that are not one
        for each class, a size that is no pair of positive ints, or threads that are no positive int.

    Examples
    --------
    >>> import numpy as np
    >>> maps = np.array([[[[0.9, 0.1], [0.2, 0.6]]]], np.float32)  # one map of 1 x 2 pixels and two classes
    >>> encode_probabilities(maps, threshold=0.5)
    [[RLE(shape=(1, 2), runs=1, area=1), RLE(shape=(1, 2), runs=1, area=1)]]
    >>> [mask.to_kaggle() for mask in encode_probabilities(maps, threshold=[0.5, 0.3], size=(1, 4))[0]]
    ['1 2', '3 2']
    """
    maps = _check.class_maps(probabilities)
    _, height, width, classes = maps.shape
    thresholds = _check.thresholds(threshold, classes)
    min_areas = _check.min_areas(min_area, classes)
    target: tuple[int, int] = (height, width) if size is None else _check.pair(size, "size")
    if size is not None:
        _check.resizable((height, width), target)
    masks = _core.encode_probabilities(maps, *target, thresholds, min_areas, _check.thread_count(threads))
    return [[_core.adopt_runs(RLE, runs, *target) for runs in mask] for mask in masks]
