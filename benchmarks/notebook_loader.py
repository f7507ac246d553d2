"""The notebook's ``DataGenerator``, as it stands but for its base class: the peer of the loader's figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import reference

Array = npt.NDArray[Any]


class DataGenerator:
    """Grey images, each standardized, and masks; everything is read and decoded anew in each epoch.

    `labels` holds the runs of every mask that is not empty, by ``<file>_<class>``.
    """

    def __init__(
        self,
        list_ids: Sequence[str],
        labels: Mapping[str, str],
        image_dir: Path,
        *,
        batch_size: int,
        img_h: int,
        img_w: int,
        seed: int,
    ) -> None:
        self.list_ids = list_ids
        self.labels = labels
        self.image_dir = image_dir
        self.batch_size = batch_size
        self.img_h = img_h
        self.img_w = img_w
        self.indexes = np.random.default_rng(seed).permutation(len(list_ids))

    def __len__(self) -> int:
        return len(self.list_ids) // self.batch_size

    def __getitem__(self, index: int) -> tuple[Array, Array]:
        """Return images (B, H, W, 1) of float64 and masks (B, H, W, 4) of int64."""
        indexes = self.indexes[index * self.batch_size : (index + 1) * self.batch_size]
        return self._generate([self.list_ids[k] for k in indexes])

    def _generate(self, list_ids: Sequence[str]) -> tuple[Array, Array]:
        x = np.empty((self.batch_size, self.img_h, self.img_w, 1))
        y = np.empty((self.batch_size, self.img_h, self.img_w, 4))
        for idx, name in enumerate(list_ids):
            image = cv2.imread(str(self.image_dir / name), 0)
            assert image is not None
            image_resized = np.array(cv2.resize(image, (self.img_w, self.img_h)), dtype=np.float64)
            image_resized -= image_resized.mean()
            image_resized /= image_resized.std()
            mask = np.empty((self.img_h, self.img_w, 4))
            for idm, image_class in enumerate(["Fish", "Flower", "Gravel", "Sugar"]):
                rle = self.labels.get(name + "_" + image_class)
                if rle is None:
                    class_mask = np.zeros((2100, 1400))
                else:
                    class_mask = reference.notebook_rle_to_mask(rle, width=2100, height=1400)
                mask[..., idm] = cv2.resize(class_mask, (self.img_w, self.img_h))
            x[idx] = np.expand_dims(image_resized, axis=2)
            y[idx] = mask
        return x, (y > 0).astype(int)
