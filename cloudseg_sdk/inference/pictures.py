"""Pictures of predictions: overlays on the screen, in files and in a grid."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from cloudrle import RLE
from cloudrle._files import atomic_path
from cloudseg_sdk.data.colours import class_colours, draw_legend, draw_masks
from cloudseg_sdk.data.images import Content, Image, read_image
from cloudseg_sdk.data.plot import new_figure
from cloudseg_sdk.data.sources import Images, Source, name_sources, read_source
from cloudseg_sdk.errors import CloudsegError, ImageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cloudseg_sdk.inference.prediction import Prediction

_SCREEN = (700, 1050)  # (height, width) at most: as much as a screen shows


def draw_rles(image: Image, rles: Sequence[RLE]) -> Image:
    """Return the image with each mask, brought to its size, tinted and outlined."""
    masks = [rle.resize(image.shape[:2]).to_mask() for rle in rles]
    return draw_masks(image, masks, class_colours(len(masks)))


def read_again(prediction: Prediction, image: Source | None) -> Image:
    """Return the image that was predicted; None for the file that it was read from."""
    if image is not None:
        return read_source(image)
    try:
        return read_image(Path(prediction.source))
    except ImageError as error:
        raise CloudsegError(f"{error}; give the image that was predicted") from error


def save_overlay(prediction: Prediction, path: Path, image: Source | None) -> None:
    """Write an overlay; see :meth:`cloudseg_sdk.Prediction.save_overlay`."""
    rles = prediction.require_rles()
    overlay = draw_rles(_shrink(read_again(prediction, image)), rles)
    picture = draw_legend(overlay, prediction.classes, class_colours(len(rles)))
    try:
        is_encoded, data = cv2.imencode(path.suffix, picture[:, :, ::-1])
    except cv2.error:
        is_encoded = False
    if not is_encoded:
        raise CloudsegError(f"cannot write a picture as {path}; use a name that ends in .png or .jpg")
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.data)


def plot_grid(items: Sequence[Prediction], images: Images | None, count: int) -> Figure:
    """Draw predictions in a grid; see :meth:`cloudseg_sdk.Predictions.plot`."""
    if count < 1 or not items:
        raise CloudsegError(f"a plot needs a count of at least 1 and predictions, got {count!r} and {len(items)}")
    shown = items[:count]
    contents: Iterable[tuple[str, Content] | None] = [None] * len(shown)
    if images is not None:
        contents = list(islice(name_sources(images), len(shown)))
        if len(contents) < len(shown):
            raise CloudsegError(
                f"got {len(contents)} images for {len(items)} predictions; give those that were predicted"
            )

    columns = min(4, math.ceil(math.sqrt(len(shown))))
    rows = math.ceil(len(shown) / columns)
    figure, axes = new_figure(rows, columns, cell=(3.0, 4.0))
    for axis, item, content in zip(axes.flat, shown, contents, strict=False):  # the last row may have room left
        axis.set_title(Path(item.source).name, fontsize=8)
        if item.error is not None:
            axis.text(0.5, 0.5, item.error, fontsize=7, ha="center", va="center", wrap=True, parse_math=False)
            continue
        image = read_again(item, None) if content is None else read_image(content[1], content[0])
        axis.imshow(draw_rles(_shrink(image), item.rles))
    colours = class_colours(len(shown[0].classes))
    for name, colour in zip(shown[0].classes, colours, strict=True):
        axes[0, 0].plot([], [], "s", color=[part / 255 for part in colour], label=name)
    figure.legend(loc="outside lower center", ncols=len(colours), fontsize=8)
    return figure


def _shrink(image: Image) -> Image:
    scale = min(_SCREEN[0] / image.shape[0], _SCREEN[1] / image.shape[1])
    if scale >= 1:
        return image
    width, height = (max(1, round(scale * side)) for side in (image.shape[1], image.shape[0]))
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]
