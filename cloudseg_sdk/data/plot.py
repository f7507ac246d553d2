"""Pictures of a dataset (matplotlib)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cloudseg_sdk.data.colours import class_colours, draw_masks
from cloudseg_sdk.data.images import read_image
from cloudseg_sdk.data.readers import Example
from cloudseg_sdk.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_examples(examples: Sequence[Example], classes: Sequence[str]) -> Figure:
    """Draw each example in a row of its own: the bare image, then each class's mask on it."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("plots need matplotlib", "plot") from error

    columns = 1 + len(classes)
    figure = Figure(figsize=(3 * columns, 2.2 * max(len(examples), 1)), layout="constrained")
    axes = figure.subplots(max(len(examples), 1), columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    colours = class_colours(len(classes))
    for row, example in zip(axes, examples, strict=False):
        image = read_image(example.image)
        row[0].imshow(image)
        row[0].set_title(example.image.name, fontsize=8)
        for axis, name, rle, colour in zip(row[1:], classes, example.rles, colours, strict=True):
            axis.imshow(draw_masks(image, [rle.resize(image.shape[:2]).to_mask()], [colour]))
            axis.set_title(f"{name}: {rle.area / (rle.shape[0] * rle.shape[1]):.0%}", fontsize=8)
    return figure
