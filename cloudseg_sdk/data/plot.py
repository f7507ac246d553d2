"""Pictures in rows and columns (matplotlib)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cloudseg_sdk.data.colours import class_colours, draw_masks
from cloudseg_sdk.data.images import Image, read_image
from cloudseg_sdk.data.readers import Example
from cloudseg_sdk.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_examples(examples: Sequence[Example], classes: Sequence[str]) -> Figure:
    """Draw each example in a row of its own: the bare image, then each class's mask on it."""
    images = [read_image(example.image) for example in examples]
    shares = [[rle.area / (rle.shape[0] * rle.shape[1]) for rle in example.rles] for example in examples]
    masks = [
        [rle.resize(image.shape[:2]).to_mask() for rle in example.rles]
        for image, example in zip(images, examples, strict=True)
    ]
    return _plot_rows([example.image.name for example in examples], images, masks, shares, classes)


def plot_batch(images: NDArray[np.uint8], masks: NDArray[np.uint8], classes: Sequence[str]) -> Figure:
    """Draw a batch in the same way: images ``(N, H, W, 3)``, masks ``(N, h, w, classes)`` of any size."""
    planes = masks.transpose(0, 3, 1, 2)
    size = images.shape[1:3]
    grown = [[cv2.resize(plane, size[::-1], interpolation=cv2.INTER_NEAREST) for plane in one] for one in planes]
    return _plot_rows([str(number) for number in range(len(images))], images, grown, planes.mean((2, 3)), classes)


def new_figure(rows: int, columns: int, cell: tuple[float, float]) -> tuple[Figure, NDArray[Any]]:
    """Return a figure without a window, and its bare axes ``(rows, columns)`` of `cell` (height, width) inches."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("plots need matplotlib", "plot") from error

    figure = Figure(figsize=(cell[1] * columns, cell[0] * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    return figure, axes


def _plot_rows(
    names: Sequence[str],
    images: Iterable[Image],
    masks: Iterable[Sequence[NDArray[np.uint8]]],
    shares: Iterable[Sequence[float]],
    classes: Sequence[str],
) -> Figure:
    figure, axes = new_figure(max(len(names), 1), 1 + len(classes), cell=(2.2, 3.0))
    colours = class_colours(len(classes))
    for row, name, image, planes, parts in zip(axes, names, images, masks, shares, strict=False):
        row[0].imshow(image)
        row[0].set_title(name, fontsize=8)
        for axis, label, plane, share, colour in zip(row[1:], classes, planes, parts, colours, strict=True):
            axis.imshow(draw_masks(image, [plane], [colour]))
            axis.set_title(f"{label}: {share:.0%}", fontsize=8)
    return figure
