"""The folder of a bulk job: its finished parts, their record, and the lock of whoever writes them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloudrle._files import locked, remove_leftovers
from cloudseg_sdk.errors import CloudsegError
from cloudseg_sdk.inference.manifest import Manifest, Part
from cloudseg_sdk.inference.prediction import Prediction
from cloudseg_sdk.inference.writers import read_sources, write_csv, write_parquet

WRITERS = {".parquet": write_parquet, ".csv": write_csv}


@dataclass(frozen=True)
class BulkReport:
    """What a shard of a bulk job holds when it is finished.

    Parameters
    ----------
    images, rows
        Their numbers, of this run and of those before it.
    errors
        How many of the images could not be read: each is a row with its error.
    """

    images: int
    rows: int
    errors: int


class Parts:
    """The parts of one shard, which nobody else writes meanwhile; see :func:`open_parts`."""

    def __init__(self, folder: Path, shard: tuple[int, int], manifest: Manifest) -> None:
        self._folder = folder
        self._shard = shard
        self._manifest = manifest

    def holds(self, name: str) -> bool:
        """Say whether a part is finished."""
        return self._manifest.holds(name)

    def write(self, name: str, items: Iterable[Prediction]) -> None:
        """Write a part as its predictions come, whole or not at all, and record it."""
        self._manifest.check_there()  # or writing would make the folder anew
        path = self._folder / name
        number: Counter[str] = Counter()

        def counted() -> Iterator[Prediction]:
            for item in items:
                failed = item.error is not None
                number.update(images=1, rows=1 if failed else len(item.rles), errors=int(failed))
                yield item

        with _writing(self._folder, self._shard):
            try:
                WRITERS[path.suffix](counted(), path)
            except FileNotFoundError:
                self._manifest.check_there()  # which has the better words
                raise
            self._manifest.add(Part.of(path, images=number["images"], rows=number["rows"], errors=number["errors"]))

    def finish(self) -> BulkReport:
        """Record that no part is missing."""
        with _writing(self._folder, self._shard):
            self._manifest.finish()
        return BulkReport(**{name: self._manifest.total(name) for name in ("images", "rows", "errors")})

    def clear_unfinished(self) -> set[str]:
        """Forget the parts that are not finished, remove their files, and return the sources in the others.

        For a job whose parts do not follow from a list of images, so that they are not made again by the same names.
        """
        with _writing(self._folder, self._shard):
            self._manifest.forget_unfinished()
            for path in self._folder.glob(f"part-{self._shard[0]:04}-*"):
                if not self.holds(path.name):
                    path.unlink()
        return {source for name in self._manifest.names() for source in read_sources(self._folder / name)}


@contextmanager
def open_parts(folder: Path, shard: tuple[int, int], job: Mapping[str, Any], *, resume: bool) -> Iterator[Parts]:
    """Yield the parts of a shard, to go on with or to begin.

    Parameters
    ----------
    folder
        Made where it is missing.
    shard
        (number, count).
    job, resume
        As for :class:`cloudseg_sdk.inference.manifest.Manifest`, which has the errors too.

    Raises
    ------
    CloudsegError
        Where the folder cannot be written, or another process is writing the shard.
    """
    with ExitStack() as lock:
        with _writing(folder, shard):
            folder.mkdir(parents=True, exist_ok=True)
            lock.enter_context(locked(folder / f".lock-{shard[0]}-of-{shard[1]}"))
            manifest = Manifest(folder, shard, job, resume=resume)
            remove_leftovers(folder, f"part-{shard[0]:04}-", f"_manifest-{shard[0]}-")
        yield Parts(folder, shard, manifest)


@contextmanager
def _writing(folder: Path, shard: tuple[int, int]) -> Iterator[None]:
    """Say what it means for the job that a file cannot be written."""
    number, count = shard
    try:
        yield
    except BlockingIOError as error:
        raise CloudsegError(
            f"another process is writing shard {number} of {count} into {folder}; let it end, or stop it first"
        ) from error
    except OSError as error:
        reason = error.strerror if error.errno is None else os.strerror(error.errno)  # pyarrow's own is a paragraph
        raise CloudsegError(
            f"cannot write to {folder}: {reason}; finished parts are kept: mend that, and call it again to go on"
        ) from error
