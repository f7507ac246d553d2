"""Results: one :class:`Prediction` per image, runs first, and what to write from many."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from cloudrle import RLE
from cloudseg_sdk.data.colours import class_colours, draw_masks
from cloudseg_sdk.data.images import Image, Source, read_image
from cloudseg_sdk.data.readers import read_csv
from cloudseg_sdk.errors import CloudsegError
from cloudseg_sdk.files import atomic_path
from cloudseg_sdk.inference.timing import Timing
from cloudseg_sdk.inference.writers import make_frame, write_csv, write_parquet
from cloudseg_sdk.metrics import METRIC_SIZE

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Prediction:
    """The masks of one image, or the reason why it has none.

    Parameters
    ----------
    source
        The file's path as given, or ``array <position>``.
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
        return np.stack([rle.to_mask() for rle in self._require()])

    def mask(self, name: str) -> NDArray[np.uint8]:
        """Return the mask of one class, uint8 0/1 ``(H, W)``."""
        if name not in self.classes:
            raise KeyError(f"no class {name!r}; this model has {', '.join(self.classes)}")
        return self._require()[self.classes.index(name)].to_mask()

    def overlay(self, image: Source) -> Image:
        """Return `image` (a file, or RGB uint8) with each mask tinted and outlined, at the image's size."""
        pixels = read_image(image)
        masks = [rle.resize(pixels.shape[:2]).to_mask() for rle in self._require()]
        return draw_masks(pixels, masks, class_colours(len(masks)))

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold: source, error, and for each class score, area in pixels, and Kaggle text."""
        masks = {
            name: {"score": score, "area": rle.area, "rle": rle.to_kaggle()}
            for name, score, rle in zip(self.classes, self.scores, self.rles, strict=bool(self.rles))
        }
        return {"source": self.source, "error": self.error, "shape": self.shape, "masks": masks}

    def _require(self) -> tuple[RLE, ...]:
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
        cells: dict[str, str] = {}
        for item in self.items:
            rles = item._require()
            if item.shape != METRIC_SIZE:
                raise CloudsegError(
                    f"{item.source} has masks of {item.shape}, a submission wants {METRIC_SIZE} (height, width): "
                    f"predict(..., output_size={METRIC_SIZE})"
                )
            for name, rle in zip(item.classes, rles, strict=True):
                key = f"{Path(item.source).name}_{name}"
                if key in cells:
                    raise CloudsegError(f"two images are named {Path(item.source).name}; a submission knows names only")
                cells[key] = rle.to_kaggle()
        keys = list(cells) if sample is None else _sample_keys(Path(sample))
        missing = [key for key in keys if key not in cells]
        extra = sorted(cells.keys() - set(keys))
        if missing or extra:
            raise CloudsegError(
                f"{sample} has {len(keys)} rows, predicted are {len(cells)}; "
                f"not predicted {missing[:3] or 'none'}, not in the sample {extra[:3] or 'none'}"
            )
        with (
            atomic_path(Path(path)) as temporary,
            temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
        ):
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("Image_Label", "EncodedPixels"))
            writer.writerows((key, cells[key]) for key in keys)


def _sample_keys(path: Path) -> list[str]:
    keys = list(read_csv(path, ("Image_Label", "EncodedPixels"))["Image_Label"])
    doubled = [key for key, count in Counter(keys).items() if count > 1]
    if doubled:
        raise CloudsegError(f"{path} has two rows for {doubled[0]}")
    return keys
