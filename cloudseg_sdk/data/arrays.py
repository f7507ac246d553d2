"""The arrays that training reads: every image and mask at the network's sizes, made once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from cloudseg_sdk.config import ModelConfig
from cloudseg_sdk.data.dataset import CloudDataset
from cloudseg_sdk.data.images import read_image, stretch
from cloudseg_sdk.data.readers import Example


@dataclass(frozen=True)
class TrainingArrays:
    """A dataset at a network's sizes, in the dataset's order.

    Parameters
    ----------
    images
        uint8 RGB ``(N, *input_size, 3)``.
    masks
        uint8 0/1 ``(N, *output_size, classes)``: a pixel is foreground where its class covers at least half of it.
    """

    images: NDArray[np.uint8]
    masks: NDArray[np.uint8]


def load_arrays(dataset: CloudDataset, config: ModelConfig, *, progress: bool) -> TrainingArrays:
    """Read and resize a whole dataset in threads.

    Raises
    ------
    ImageError
        Where an image cannot be read; it names the file.
    """
    images = np.empty((len(dataset), *config.input_size, 3), np.uint8)
    masks = np.empty((len(dataset), *config.output_size, len(config.classes)), np.uint8)

    def load(item: tuple[int, Example]) -> None:
        index, example = item
        images[index] = stretch(read_image(example.image), config.input_size)
        for channel, rle in enumerate(example.rles):
            masks[index, :, :, channel] = rle.resize(config.output_size, "area").to_mask()

    with ThreadPoolExecutor() as pool:
        done = pool.map(load, enumerate(dataset))
        for _ in track(done, "reading images", total=len(dataset), disable=not progress, transient=True):
            pass
    return TrainingArrays(images, masks)
