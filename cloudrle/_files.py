"""Writing files whole or not at all, and one writer at a time."""

from __future__ import annotations

import errno
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_TEMPORARY = re.compile(r"\.(?P<stem>.{0,16})-[0-9a-f]{8}(\.[^.]*)?")
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP}
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # of which the system does not say which file had none


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that replaces it when the block ends well, and vanishes when it does not.

    The temporary name keeps the suffix, because writers choose their format by it. What a process that was killed has
    left of the same file is removed.

    Raises
    ------
    OSError
        Where the file cannot be written; it names `path`, not the temporary one.
    """
    path = Path(os.path.realpath(path)) if path.is_symlink() else path  # the link stays
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise OSError(errno.EINVAL, "only a regular file can be replaced, which this is not", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path.parent, path.stem[:16])
    try:
        with _new_beside(path) as temporary:
            try:
                yield temporary
                with temporary.open("rb+") as file:
                    os.fsync(file.fileno())
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
    except OSError as error:
        if error.errno in _NO_ROOM or _TEMPORARY.fullmatch(Path(str(error.filename)).name):
            raise OSError(error.errno, os.strerror(error.errno or 0), str(path)) from error
        raise


@contextmanager
def _new_beside(path: Path) -> Iterator[Path]:
    """Yield a new file, whose lock tells other writers that this one lives."""
    while True:
        # The stem is cut, because a longer name than the file's own might be too long for the file system.
        temporary = path.parent / f".{path.stem[:16]}-{secrets.token_hex(4)}{path.suffix}"
        with temporary.open("xb") as file:  # unlike tempfile, with the permissions that any new file has
            is_locked = _lock(file.fileno(), wait=True)
            if is_locked and temporary.exists():  # else another writer took it for a leftover just before
                yield temporary
                return
        if not is_locked:
            yield temporary
            return


def remove_leftovers(folder: Path, *stems: str) -> None:
    """Remove the temporary files of :func:`atomic_path` that begin with one of `stems` and whose writer is gone.

    Where the system has no locks, nobody can tell, and they stay.
    """
    with suppress(OSError):  # a folder that may be written but not listed
        names = [entry.name for entry in os.scandir(folder)]
        for name in names:
            found = _TEMPORARY.fullmatch(name)
            if found and found["stem"].startswith(stems):
                _remove_unlocked(folder / name)


def _remove_unlocked(path: Path) -> None:
    with suppress(OSError), path.open("rb+") as file:  # its writer lives, or it is gone already, or another user's
        if _lock(file.fileno()):
            path.unlink()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the operating system's lock on `path`, a file for nothing else; it ends with the process, however that ends.

    The file is there while somebody holds it, and after a kill until the next one does. On NFS the lock holds between
    machines. On Windows, and on file systems that have no locks, this does nothing.

    Raises
    ------
    BlockingIOError
        Where another process or thread holds it.
    """
    while True:
        with path.open("ab") as file:
            is_locked = _lock(file.fileno())
            if is_locked and not _is_at(file.fileno(), path):
                continue  # its last holder removed it between opening and locking
            try:
                yield
            finally:
                if is_locked and _is_at(file.fileno(), path):  # not another's, where a folder was put in its place
                    with suppress(OSError):
                        path.unlink()
            return


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False


def _lock(descriptor: int, *, wait: bool = False) -> bool:
    """Lock an open file until it is closed; return False where the system has no locks.

    Raises
    ------
    BlockingIOError
        Where another process or thread holds it, unless `wait` says to wait for that one.
    """
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return False
    return True
