"""Results: one :class:`Prediction` per image, runs first, and what to write from many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from cloudrle import RLE
from cloudseg_sdk.data.images import Image
from cloudseg_sdk.data.sources import Images, Source
from cloudseg_sdk.errors import CloudsegError
from cloudseg_sdk.inference.pictures import draw_rles, plot_grid, read_again, save_overlay
from cloudseg_sdk.inference.timing import Timing
from cloudseg_sdk.inference.writers import make_frame, write_coco, write_csv, write_parquet, write_submission

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Prediction:
    """The masks of one image, or the reason why it has none.

    Parameters
    ----------
    source
        The path as given, or what else the image was, and where: ``array 3``. The table in
        :func:`cloudseg_sdk.data.sources.name_sources` has all of them.
    classes
        Names of the classes.
    shape
        (height, width) of the masks; None where there is an error.
    rles
        One mask per class; empty where there is an error.
    scores
        One presence score from 0 to 1 per class; empty where there is an error.
    error
        Why the image could not be read, or None.
    probabilities
        Where they were asked for: the class maps, uint8 ``(h, w, classes)``, each value the probability times 255. They
        have the network's size, not the masks', and ``cloudrle.encode_probabilities`` makes masks of them as they are.
    timing
        Where the time went. It makes no difference to ``==``, nor do the probabilities.
    """

    source: str
    classes: tuple[str, ...]
    shape: tuple[int, int] | None = None
    rles: tuple[RLE, ...] = ()
    scores: tuple[float, ...] = ()
    error: str | None = None
    probabilities: NDArray[np.uint8] | None = field(default=None, compare=False, repr=False)
    timing: Timing = field(default=Timing(), compare=False, repr=False)

    @property
    def masks(self) -> NDArray[np.uint8]:
        """uint8 0/1 ``(classes, H, W)``."""
        return np.stack([rle.to_mask() for rle in self.require_rles()])

    def mask(self, name: str) -> NDArray[np.uint8]:
        """Return the mask of one class, uint8 0/1 ``(H, W)``."""
        if name not in self.classes:
            raise KeyError(f"no class {name!r}; this model has {', '.join(self.classes)}")
        return self.require_rles()[self.classes.index(name)].to_mask()

    def overlay(self, image: Source | None = None) -> Image:
        """Return the image with each mask tinted and outlined, at the image's size.

        Parameters
        ----------
        image
            What was predicted, given as then; None for the file that it was read from.
        """
        rles = self.require_rles()
        return draw_rles(read_again(self, image), rles)

    def save_overlay(self, path: str | Path, image: Source | None = None) -> None:
        """Write :meth:`overlay` with a legend, whole or not at all, as large as a screen (700 x 1050) at most.

        Parameters
        ----------
        path
            A name that ends in ``.png`` or ``.jpg``.
        image
            As for :meth:`overlay`.

        Raises
        ------
        CloudsegError
            Where there are no masks, the image cannot be read again, or the name ends otherwise.
        """
        save_overlay(self, Path(path), image)

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold: source, error, and for each class score, area in pixels, and Kaggle text."""
        masks = {
            name: {"score": score, "area": rle.area, "rle": rle.to_kaggle()}
            for name, score, rle in zip(self.classes, self.scores, self.rles, strict=bool(self.rles))
        }
        return {"source": self.source, "error": self.error, "shape": self.shape, "masks": masks}

    def require_rles(self) -> tuple[RLE, ...]:
        """Return ``rles``, or raise a CloudsegError that says why there are none."""
        if self.error is not None:
            raise CloudsegError(f"{self.source} has no masks: {self.error}")
        return self.rles


@dataclass(frozen=True)
class Predictions(Sequence[Prediction]):
    """Predictions in the order of their images, as many as there were images."""

    items: tuple[Prediction, ...]

    @overload
    def __getitem__(self, index: int) -> Prediction: ...
    @overload
    def __getitem__(self, index: slice) -> Predictions: ...
    def __getitem__(self, index: int | slice) -> Prediction | Predictions:
        """Return one prediction, or for a slice several."""
        return Predictions(self.items[index]) if isinstance(index, slice) else self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Prediction]:
        return iter(self.items)

    @property
    def errors(self) -> Predictions:
        """Those that have no masks."""
        return Predictions(tuple(item for item in self.items if item.error is not None))

    @property
    def timing(self) -> Timing:
        """Where the time went, all images together."""
        return sum((item.timing for item in self.items), start=Timing())

    def to_frame(self) -> pd.DataFrame:
        """Return one row per image and class: source, class, score, area (pixels), height, width, rle, error.

        An image that could not be read has one row, with its error and nothing else.
        """
        return make_frame(self.items)

    def to_csv(self, path: str | Path) -> None:
        """Write :meth:`to_frame` as CSV, whole or not at all."""
        write_csv(self.items, Path(path))

    def to_parquet(self, path: str | Path) -> None:
        """Write :meth:`to_frame` as Parquet, whole or not at all (needs pyarrow: the extra ``arrow``).

        An empty mask is ``""``; null is what a failed image does not have, and the error of one that did not fail.

        Raises
        ------
        CloudsegError
            Where the name of a file is no UTF-8.
        """
        write_parquet(self.items, Path(path))

    def to_coco(self, path: str | Path) -> None:
        """Write a COCO dataset as JSON, whole or not at all.

        Each mask that is not empty is one annotation: compressed runs, area, box ``[x, y, width, height]``, and the
        presence score. The list ``annotations`` by itself is what ``pycocotools.COCO.loadRes`` takes.
        Ids count from 1, and the same image and class have the same ids whatever was found: images by their position,
        categories by that of the class, annotations through all pairs of both. Images that could not be read are
        listed, with their ids, under ``errors``, which other programs ignore.

        Raises
        ------
        CloudsegError
            Where predictions of models with different classes are mixed.
        """
        write_coco(self.items, Path(path))

    def to_submission(self, path: str | Path, sample: str | Path | None = None) -> None:
        """Write the competition's CSV: ``Image_Label,EncodedPixels``, one row per image and class, 350 x 525 pixels.

        Parameters
        ----------
        path
            The file to write, whole or not at all.
        sample
            The competition's ``sample_submission.csv``: its rows and order are kept, and every one must be predicted.

        Raises
        ------
        CloudsegError
            Where masks have another size, an image has an error, two have one name, or the sample names others.
        """
        write_submission(self.items, Path(path), None if sample is None else Path(sample))

    def plot(self, images: Images | None = None, *, count: int = 16) -> Figure:
        """Draw the first `count` predictions in a grid, with a legend (needs matplotlib: the extra ``plot``).

        Opens no window: in a notebook the figure shows itself, elsewhere ``.savefig("grid.png")`` writes it.

        Parameters
        ----------
        images
            What was predicted, given as then; None for the files that they were read from.
        count
            At least 1.

        Raises
        ------
        CloudsegError
            Where there are no predictions, or an image cannot be read again.
        """
        return plot_grid(self.items, images, count)
