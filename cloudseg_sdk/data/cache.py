"""Images decoded and stretched once: kept in memory, or in a folder that any number of runs and processes share.

Such a folder holds shards: raw RGB pixels of up to `SHARD` images each, written whole or not at all and read through a
memory map. A shard's name holds the size and a hash of the bytes of its image files: it never serves pixels of a file
that has changed since, and it still serves those of a folder that was copied or touched. That costs one reading of the
files at the start of a run, a third of a second for 4,439 scenes of 480 x 320.

Labels are not here: as runs they fit into memory, and resizing those of a whole dataset takes less than a second.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cloudrle._files import atomic_path
from cloudseg_sdk.data.images import READERS, Image, decode_image, read_file, stretch
from cloudseg_sdk.errors import DataError

SHARD = 16  # images: little to lose when killed, and few enough files for a hundred thousand scenes
_FORMAT = 3  # to be raised when `decode_image` or `stretch` gives other pixels


@dataclass(frozen=True)
class ImageCache:
    """Images at one size.

    Parameters
    ----------
    size
        (height, width).
    images
        By file: read-only uint8 RGB ``(*size, 3)``.
    """

    size: tuple[int, int]
    images: Mapping[Path, Image]


def cache_images(files: Iterable[Path], size: tuple[int, int], folder: Path | None, *, progress: bool) -> ImageCache:
    """Read and stretch images in threads, or find them in `folder`; see :meth:`cloudseg_sdk.CloudDataset.cache`."""
    valid = isinstance(size, tuple) and len(size) == 2 and all(type(side) is int and side > 0 for side in size)
    if not valid:
        raise DataError(f"size must be (height, width) of positive whole numbers, got {size!r}")
    from rich.progress import track  # slow to import

    unique = sorted(set(files))
    shards = [unique[start : start + SHARD] for start in range(0, len(unique), SHARD)]
    images: dict[Path, Image] = {}
    with ThreadPoolExecutor(READERS) as pool:
        # In random order, so that processes that build the same cache share the work instead of doing it twice.
        order = np.random.default_rng().permutation(len(shards))
        futures = {pool.submit(_load_shard, shards[number], size, folder): number for number in order}
        try:
            done = as_completed(futures)
            for future in track(done, "reading images", total=len(shards), disable=not progress, transient=True):
                images.update(zip(shards[futures[future]], future.result(), strict=True))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)  # after an error or Ctrl-C the rest is not needed
    return ImageCache(size, images)


def _load_shard(files: Sequence[Path], size: tuple[int, int], folder: Path | None) -> NDArray[np.uint8]:
    """Return the images of a shard, read-only uint8 ``(N, *size, 3)``."""
    contents = [read_file(file) for file in files]
    shape = (len(files), *size, 3)
    if folder is None:
        return _decode(files, contents, shape)
    path = folder / f"{size[0]}x{size[1]}-{_key(contents)}.rgb"
    if not path.is_file() or path.stat().st_size != math.prod(shape):
        pixels = _decode(files, contents, shape)
        with atomic_path(path) as temporary:
            temporary.write_bytes(pixels.data)
    return np.asarray(np.memmap(path, np.uint8, "r", shape=shape))


def _key(contents: Iterable[bytes]) -> str:
    # OpenCV's version is part of it, because JPEG decoders may differ in the last bit.
    parts = [str(_FORMAT), cv2.__version__, *(hashlib.sha256(data).hexdigest() for data in contents)]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:32]


def _decode(files: Iterable[Path], contents: Iterable[bytes], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    pixels = np.empty(shape, np.uint8)
    for image, file, data in zip(pixels, files, contents, strict=True):
        image[:] = stretch(decode_image(data, file), shape[1:3])
    pixels.flags.writeable = False
    return pixels
