"""A dataset: image files, and for each class one mask as runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from cloudseg_sdk.config import CLOUD_CLASSES, check_classes
from cloudseg_sdk.data.cache import ImageCache, cache_images
from cloudseg_sdk.data.readers import Example, read_coco, read_kaggle, read_masks
from cloudseg_sdk.data.splits import choose_share, deal_folds
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
    cached
        What :meth:`cache` has made, or None.

    Raises
    ------
    ConfigError
        Where the classes are not different names.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from cloudseg_sdk.synthetic import write_dataset
    >>> with TemporaryDirectory() as folder:
    ...     write_dataset(Path(folder), 10, size=(70, 105), label_shape=(140, 210))
    ...     dataset = CloudDataset.from_kaggle(folder, label_shape=(140, 210))
    ...     dataset = dataset.cache((32, 48), progress=False)
    ...     sizes = [(len(train), len(validation)) for train, validation in dataset.folds(5)]
    >>> sizes
    [(8, 2), (8, 2), (8, 2), (8, 2), (8, 2)]
    """

    examples: tuple[Example, ...]
    classes: tuple[str, ...]
    cached: ImageCache | None = field(default=None, compare=False, repr=False)

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
        ConfigError
            Where the classes are not different names.
        DataError
            For a missing file or image, a malformed row (with its line), an unknown class, a doubled or missing row.
        """
        names = _as_names(classes)
        return cls(read_kaggle(Path(folder), label_shape, names), names)

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
        ConfigError
            Where the classes are not different names.
        DataError
            Where numbers differ, a file is missing or doubled, or a mask has another shape or unknown values.
        TypeError
            Where a mask is neither an array nor a path.
        """
        names = _as_names(classes)
        return cls(read_masks([Path(image) for image in images], masks, names), names)

    @classmethod
    def from_coco(cls, annotations: str | Path, images: str | Path) -> CloudDataset:
        """Read COCO annotations; the masks of one category in one image are united.

        Parameters
        ----------
        annotations
            COCO JSON file: polygons, filled by COCO's rule, uncompressed or compressed runs. The classes are its
            categories, by id.
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
            return replace(self, examples=self.examples[index])
        return self.examples[index]

    def __iter__(self) -> Iterator[Example]:
        return iter(self.examples)

    def cache(self, size: tuple[int, int], folder: str | Path | None = None, *, progress: bool = True) -> CloudDataset:
        """Return this dataset with its images decoded and stretched to `size`, so that training reads no file again.

        Its parts (:meth:`split`, :meth:`folds`, slices) share them. :meth:`cloudseg_sdk.Segmenter.fit` does this in
        memory with a dataset that has not been cached; name a folder to pay for it once, or where memory is short:
        4,439 images take 1.3 GB at 256 x 384.

        Parameters
        ----------
        size
            (height, width), the model's ``config.input_size``.
        folder
            Where to keep the pixels, made if need be; they are then read through memory maps. It may hold several
            datasets and sizes, and several processes may build it at once. A run that was killed goes on where it
            stopped; an image file that changed is read again; what nobody needs any more is yours to delete. None
            keeps them in memory, like :meth:`tf.data.Dataset.cache`.
        progress
            Show a progress bar.

        Raises
        ------
        ImageError
            Where an image cannot be read; it names the file.
        OSError
            Where the folder cannot be written.
        """
        files = (example.image for example in self)
        return replace(
            self, cached=cache_images(files, size, None if folder is None else Path(folder), progress=progress)
        )

    def split(self, validation: float = 0.2, seed: int = 0) -> tuple[CloudDataset, CloudDataset]:
        """Part the dataset at random into training and validation, with the same mix of classes in both.

        Each combination of classes is shared out as `validation` says, give or take an image; combinations too rare
        for that are shared out together. Images whose files are the same to the byte stay together.

        Parameters
        ----------
        validation
            Fraction of the images in the second part, above 0 and below 1; at least one image goes to each.
        seed
            The same seed gives the same parts.

        Raises
        ------
        DataError
            Where the fraction or the seed is out of range, or there are no two different images.
        """
        _check_seed(seed)
        if not 0 < validation < 1 or len(self) < 2:
            raise DataError(
                f"a split needs a fraction between 0 and 1 and at least 2 images, got {validation!r} of {len(self)}"
            )
        return self._part(choose_share(self.examples, validation, seed))

    def folds(self, count: int = 5, seed: int = 0) -> list[tuple[CloudDataset, CloudDataset]]:
        """Return `count` pairs of training and validation; every image validates in exactly one of them.

        The validation parts are alike in size and in their mix of classes, like those of :meth:`split`.

        Parameters
        ----------
        count
            At least 2.
        seed
            The same seed gives the same folds.

        Raises
        ------
        DataError
            Where there are fewer different images than folds, or the seed is below 0.
        """
        _check_seed(seed)
        if type(count) is not int or count < 2:
            raise DataError(f"the number of folds must be a whole number of at least 2, got {count!r}")
        return [self._part(fold) for fold in deal_folds(self.examples, count, seed)]

    def plot(self, count: int = 4, seed: int = 0) -> Figure:
        """Draw `count` images chosen by `seed`, each with its masks in the classes' colours (needs matplotlib)."""
        from cloudseg_sdk.data.plot import plot_examples

        if count < 1:
            raise DataError(f"count must be at least 1, got {count!r}")
        _check_seed(seed)
        order = np.random.default_rng(seed).permutation(len(self))[:count]
        return plot_examples(self._take(np.sort(order)).examples, self.classes)

    def _part(self, validation: NDArray[np.intp]) -> tuple[CloudDataset, CloudDataset]:
        # Each part keeps the dataset's own order, so that results line up with files.
        return self._take(np.setdiff1d(np.arange(len(self)), validation)), self._take(validation)

    def _take(self, indices: NDArray[np.intp]) -> CloudDataset:
        return replace(self, examples=tuple(self.examples[index] for index in indices))


def _as_names(classes: Any) -> tuple[str, ...]:
    """Return `classes` as a tuple; text alone, which is a sequence of letters, is refused."""
    is_list = isinstance(classes, Iterable) and not isinstance(classes, str)
    names: tuple[str, ...] = tuple(classes) if is_list else classes
    check_classes(names)
    return names


def _check_seed(seed: int) -> None:
    if type(seed) is not int or seed < 0:
        raise DataError(f"seed must be a whole number of at least 0, got {seed!r}")
