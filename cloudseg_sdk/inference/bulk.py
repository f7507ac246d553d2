"""Bulk jobs: predictions of any number of images in a folder, which a run that was killed goes on with.

The images are shared out among shards, and those of a shard among parts of `part_size`, in their order. A part follows
from its own images and the job's settings alone, so that it has the same bytes whenever and wherever it is made. The
folder holds

- ``part-0002-000017.parquet``: the rows of one part of shard 2. In the order of their names, the parts of all shards
  are the rows of all images in order;
- ``_manifest-2-of-4.json``: see :mod:`cloudseg_sdk.inference.manifest`. Readers of a folder of Parquet pass over names
  that begin with ``_`` or ``.``;
- ``.lock-2-of-4``: there while somebody writes the shard, who holds its lock.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloudseg_sdk.data.sources import Images, name_sources
from cloudseg_sdk.errors import DataError, MissingExtraError
from cloudseg_sdk.inference.parts import WRITERS, BulkReport, open_parts
from cloudseg_sdk.inference.prediction import Prediction
from cloudseg_sdk.inference.progress import Bar


@dataclass(frozen=True)
class BulkJob:
    """What to predict, and how it is kept.

    Parameters
    ----------
    folder
        Its suffix is the parts' format: ``.parquet`` or ``.csv``.
    names
        The paths of all images of all shards.
    shard
        (number, count), numbers counting from 0.
    part_size
        Images in a part, but for a shard's last.
    settings
        JSON values on which predictions depend.

    Raises
    ------
    ValueError, DataError
        Where any of these cannot be.
    MissingExtraError
        Where Parquet is asked for and pyarrow is not installed.
    """

    folder: Path
    names: Sequence[str]
    shard: tuple[int, int]
    part_size: int
    settings: Mapping[str, Any]

    def __post_init__(self) -> None:
        suffix = self.folder.suffix
        if suffix not in WRITERS:
            raise ValueError(f"a bulk job writes a folder whose name ends in .parquet or .csv, got {self.folder}")
        if suffix == ".parquet":
            require_pyarrow()
        shard = self.shard
        valid = isinstance(shard, tuple) and len(shard) == 2 and all(type(number) is int for number in shard)
        if not valid or not 0 <= shard[0] < shard[1]:
            raise ValueError(f"shard must be (number, count) with a number from 0 to count - 1, got {shard!r}")
        if type(self.part_size) is not int or self.part_size < 1:
            raise ValueError(f"part_size must be a whole number of at least 1, got {self.part_size!r}")
        if not self.names:
            raise DataError("there are no images to predict")

    def parts(self) -> dict[str, Sequence[str]]:
        """Return the images of each part of the shard, by the part's file name."""
        number, count = self.shard
        start, stop = (len(self.names) * edge // count for edge in (number, number + 1))
        suffix, size = self.folder.suffix, self.part_size
        return {
            f"part-{number:04}-{position:06}{suffix}": self.names[first : min(first + size, stop)]
            for position, first in enumerate(range(start, stop, size))
        }

    def describe(self) -> dict[str, Any]:
        """Return what tells this job from others; the same for all of its shards."""
        strict = self.folder.suffix == ".parquet"  # whose text is UTF-8, where CSV takes a file's name as it is
        digest = hashlib.sha256()
        for name in self.names:
            try:
                digest.update(name.encode("utf-8", "strict" if strict else "surrogateescape") + b"\0")
            except UnicodeEncodeError as error:
                remedy = "rename the file, or write .csv" if strict else "rename the file"
                raise DataError(
                    f"the name {name!r} is no UTF-8, as a {self.folder.suffix} file wants; {remedy}"
                ) from error
        images = {
            "count": len(self.names),
            "first": self.names[0],
            "last": self.names[-1],
            "sha256": digest.hexdigest(),
        }
        return {**self.settings, "images": images, "shards": self.shard[1], "part_size": self.part_size}


def list_names(images: Images) -> list[str]:
    """Return the path of each image.

    Raises
    ------
    TypeError
        Where one is no path: only files are found again by the run after a kill.
    """
    names = []
    for name, source in name_sources(images):
        if not isinstance(source, str | Path):
            raise TypeError(
                f"a bulk job wants paths, which a later run finds again, got {name} ({type(source).__name__}); write "
                "such images to files, or use stream()"
            )
        names.append(name)
    return names


def run_job(
    job: BulkJob,
    predict: Callable[[Iterable[Sequence[str]]], Generator[Iterator[Prediction], None, None]],
    *,
    resume: bool,
    progress: bool,
) -> BulkReport:
    """Make the parts that are not there yet; see :meth:`cloudseg_sdk.Segmenter.predict_to`.

    Parameters
    ----------
    job
        What to predict.
    predict
        Yields the predictions of each group of images, in order.
    resume
        Whether to go on with what is there.
    progress
        Show a progress bar.
    """
    with open_parts(job.folder, job.shard, job.describe(), resume=resume) as done:
        parts = job.parts()
        missing = {name: images for name, images in parts.items() if not done.holds(name)}
        total, left = (sum(map(len, some.values())) for some in (parts, missing))
        with (
            Bar(total, done=total - left, progress=progress) as bar,
            closing(predict(missing.values())) as found,  # or its threads would live as long as an error's traceback
        ):
            for name, items in zip(missing, found, strict=True):
                done.write(name, bar.count(items))
        return done.finish()


def require_pyarrow() -> None:
    """Say at once that Parquet cannot be written, where that is so."""
    try:
        importlib.import_module("pyarrow")
    except ImportError as error:
        raise MissingExtraError("Parquet files need pyarrow", "arrow") from error
