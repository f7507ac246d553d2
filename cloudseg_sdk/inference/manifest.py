"""The record of one shard of a bulk job: what the job is, and which parts of the shard are finished.

It is JSON, written whole after each part, and after the part's own file: a kill between them only repeats that part.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Self

from cloudrle import __version__
from cloudrle._files import atomic_path
from cloudseg_sdk.errors import BundleError, CloudsegError, ConfigError

FORMAT_VERSION = 1
_PACKAGES = ("keras", "numpy", "opencv-python-headless", "openvino", "pandas", "pyarrow", "ray")


@dataclass(frozen=True)
class Part:
    """A finished file, and what it holds."""

    name: str
    bytes: int
    sha256: str
    images: int
    rows: int
    errors: int

    @classmethod
    def of(cls, path: Path, *, images: int, rows: int, errors: int) -> Self:
        """Describe the file as it lies there."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return cls(path.name, path.stat().st_size, digest, images, rows, errors)


class Manifest:
    """One shard's record in `folder`.

    Parameters
    ----------
    folder
        It exists.
    shard
        (number, count).
    job
        JSON values that tell this job from others. All shards in a folder agree on them.
    resume
        Whether to go on with what is there of this shard.

    Raises
    ------
    ConfigError
        Where the folder holds another job, or anything that is of no job.
    BundleError
        Where a manifest is damaged.
    """

    def __init__(self, folder: Path, shard: tuple[int, int], job: Mapping[str, Any], *, resume: bool) -> None:
        number, count = shard
        self._folder = folder
        self._path = folder / f"_manifest-{number}-of-{count}.json"
        self._shard = number
        self._job = json.loads(json.dumps(job))  # as it comes back: tuples are lists
        self._versions: list[dict[str, str]] = []
        self._parts: dict[str, Part] = {}
        self._complete = False
        is_new = not self._path.exists()
        if is_new:
            self._write()  # before reading the others', so that of two shards that begin at once one sees the other
        try:
            found = self._read_all(unknown=number if is_new else None)
        except BaseException:
            if is_new:
                self._path.unlink()
            raise
        if not is_new:
            if not resume:
                what = f"shard {number} of {count}" if count > 1 else "this job"
                raise ConfigError(
                    f"{folder} holds {what} already; give another folder, or resume=True to go on with it"
                )
            own = found[self._path]
            self._versions, self._complete = own["versions"], own["complete"]
            self._parts = {part["name"]: Part(**part) for part in own["parts"]}

    def holds(self, name: str) -> bool:
        """Say whether a part is finished, and its file still there."""
        path = self._folder / name
        return name in self._parts and path.is_file() and path.stat().st_size == self._parts[name].bytes

    def names(self) -> list[str]:
        """Return the names of the recorded parts."""
        return list(self._parts)

    def forget_unfinished(self) -> None:
        """Forget the parts whose files are gone or cut short."""
        self._parts = {name: part for name, part in self._parts.items() if self.holds(name)}

    def check_there(self) -> None:
        """Raise where the folder is not the one that this began in: removed, renamed or unmounted."""
        if not self._path.is_file():
            raise CloudsegError(
                f"{self._folder} is gone, or was made anew; call it again to go on where it is back, or to begin anew"
            )

    def add(self, part: Part) -> None:
        """Record a part whose file is written."""
        self._parts[part.name] = part
        self._complete = False
        self._write()

    def finish(self) -> None:
        """Record that no part is missing."""
        if not self._complete:
            self._complete = True
            self._write()

    def total(self, name: str) -> int:
        """Sum "images", "rows" or "errors" over the finished parts."""
        return sum(getattr(part, name) for part in self._parts.values())

    def _write(self) -> None:
        versions = _versions()
        if versions not in self._versions:
            self._versions.append(versions)
        manifest = {
            "format_version": FORMAT_VERSION,
            "complete": self._complete,
            "shard": self._shard,
            "job": self._job,
            "versions": self._versions,  # of every run that wrote here
            **{name: self.total(name) for name in ("images", "rows", "errors")},
            "parts": [asdict(part) for part in self._parts.values()],
        }
        with atomic_path(self._path) as temporary:
            temporary.write_text(json.dumps(manifest, indent=1), encoding="ascii")

    def _read_all(self, unknown: int | None) -> dict[Path, dict[str, Any]]:
        """Read the manifests of all shards; refuse other jobs, and files that readers would take for this one's.

        Those are files of no shard that has a manifest, and of the shard `unknown`, whose manifest is a new one.
        """
        folder = self._folder
        found = {path: _read(path) for path in sorted(folder.glob("_manifest-*.json"))}
        for other in found.values():
            for name in sorted({*self._job, *other["job"]}):
                got, wanted = self._job.get(name), other["job"].get(name)
                if got != wanted:
                    raise ConfigError(
                        f"{folder} holds a job with {name}={_words(wanted)}, not {_words(got)}; give another folder, "
                        "or call it as before"
                    )
        known = {other["shard"] for other in found.values()} - {unknown}
        for name in sorted(path.name for path in folder.iterdir()):
            part = re.match(r"part-(\d+)-", name)
            if not name.startswith((".", "_")) and not (part and int(part[1]) in known):
                raise ConfigError(
                    f"{folder} holds {name}, which is of no job known there; give a new or an empty folder"
                )
        return found


def _words(value: Any) -> str:
    if isinstance(value, dict):  # the list of images
        return f"{value['count']:,} from {value['first']} to {value['last']} (hash {value['sha256'][:8]})"
    return repr(value)


def _read(path: Path) -> dict[str, Any]:
    wanted = {"complete": bool, "shard": int, "job": dict, "versions": list, "parts": list}
    try:
        manifest = json.loads(path.read_bytes())
        found = manifest["format_version"]
        if found == FORMAT_VERSION:
            for name, kind in wanted.items():
                if not isinstance(manifest[name], kind):
                    raise TypeError(f"{name} is no {kind.__name__}")
            for part in manifest["parts"]:
                Part(**part)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleError(f"{path} is damaged: {error!r}; give another folder") from error
    if found != FORMAT_VERSION:
        raise BundleError(f"{path} has format version {found!r}; this release goes on with {FORMAT_VERSION}")
    return dict(manifest)


@cache
def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), "cloudseg-sdk": __version__}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
