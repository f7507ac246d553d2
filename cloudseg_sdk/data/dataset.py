"""A dataset: image files, and for each class one mask as runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from cloudseg_sdk.config import CLOUD_CLASSES, check_classes
from cloudseg_sdk.data.readers import Example, read_coco, read_kaggle, read_masks
from cloudseg_sdk.errors import DataError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class CloudDataset(Sequence[Example]):
    """Labelled images in a fixed order.

    Make one with :meth:`from_kaggle`, :meth:`from_masks` or :meth:`from_coco`; each checks all labels and that every
    image exists before it returns.

    Parameters
    ----------
    examples
        In the order in which they will be evaluated.
    classes
        Names, in the order of each example's masks.

    Raises
    ------
    ConfigError
        Where the classes are not different names.
    """

    examples: tuple[Example, ...]
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        check_classes(self.classes)

    @classmethod
    def from_kaggle(
        cls, folder: str | Path, label_shape: tuple[int, int] = (1400, 2100), classes: Sequence[str] = CLOUD_CLASSES
    ) -> CloudDataset:
        """Read ``train.csv`` and ``train_images/`` in the layout of the 2019 cloud competition.

        Parameters
        ----------
        folder
            Holds ``train.csv`` with the columns ``Image_Label`` (``<file>_<class>``) and ``EncodedPixels`` (an empty
            cell is an empty mask), one row for each image and class, and the folder ``train_images``.
        label_shape
            (height, width) of the grid that the labels were drawn on; the images may have another size.
        classes
            The classes to expect.

        Raises
        ------
        DataError
            For a missing file or image, a malformed row (with its line), an unknown class, a doubled or missing row.
        """
        return cls(read_kaggle(Path(folder), label_shape, tuple(classes)), tuple(classes))

    @classmethod
    def from_masks(
        cls, images: Sequence[str | Path], masks: Sequence[NDArray[Any] | str | Path], classes: Sequence[str]
    ) -> CloudDataset:
        """Pair image files with masks, given as arrays or as image files.

        Parameters
        ----------
        images
            Image files.
        masks
            One for each image. ``(H, W, C)``: a binary mask per class, non-zero is foreground. ``(H, W)``: integers,
            0 for background and k for the k-th class; a file (PNG, say) holds this kind.
        classes
            Names of the C classes.

        Raises
        ------
        DataError
            Where numbers differ, a file is missing or doubled, or a mask has another shape or unknown values.
        """
        return cls(read_masks([Path(image) for image in images], masks, tuple(classes)), tuple(classes))

    @classmethod
    def from_coco(cls, annotations: str | Path, images: str | Path) -> CloudDataset:
        """Read COCO annotations; the masks of one category in one image are united.

        Parameters
        ----------
        annotations
            COCO JSON file: polygons, uncompressed or compressed runs. The classes are its categories, by id.
        images
            Folder that the images' ``file_name`` is relative to.

        Raises
        ------
        DataError
            For a missing image, a malformed, doubled or dangling entry, with its id.
        """
        return cls(*read_coco(Path(annotations), Path(images)))

    def __len__(self) -> int:
        return len(self.examples)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> CloudDataset: ...
    def __getitem__(self, index: int | slice) -> Example | CloudDataset:
        """Return one example, or for a slice a smaller dataset."""
        if isinstance(index, slice):
            return CloudDataset(self.examples[index], self.classes)
        return self.examples[index]

    def __iter__(self) -> Iterator[Example]:
        return iter(self.examples)

    def split(self, validation: float = 0.2, seed: int = 0) -> tuple[CloudDataset, CloudDataset]:
        """Part the dataset at random into training and validation; no image is in both.

        Parameters
        ----------
        validation
            Fraction of the images in the second part, above 0 and below 1; at least one image goes to each.
        seed
            The same seed gives the same parts.
        """
        if not 0 < validation < 1 or len(self) < 2:
            raise DataError(
                f"a split needs a fraction between 0 and 1 and at least 2 images, got {validation!r} of {len(self)}"
            )
        order = np.random.default_rng(seed).permutation(len(self))
        count = min(max(round(validation * len(self)), 1), len(self) - 1)
        # Each part keeps the dataset's own order, so that results line up with files.
        return self._take(np.sort(order[count:])), self._take(np.sort(order[:count]))

    def plot(self, count: int = 4, seed: int = 0) -> Figure:
        """Draw `count` images chosen by `seed`, each with its masks in the classes' colours (needs matplotlib)."""
        from cloudseg_sdk.data.plot import plot_examples

        if count < 1:
            raise DataError(f"count must be at least 1, got {count!r}")
        order = np.random.default_rng(seed).permutation(len(self))[:count]
        return plot_examples(self._take(np.sort(order)).examples, self.classes)

    def _take(self, indices: NDArray[np.integer[Any]]) -> CloudDataset:
        return CloudDataset(tuple(self.examples[i] for i in indices), self.classes)
