"""Writing a file whole or not at all: what `cloudseg_sdk.files` does, on which the codec does not depend."""

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

_TEMPORARY = re.compile(r"\..{0,16}-[0-9a-f]{8}(\.[^.]*)?")
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # of which the system does not say which file had none


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that replaces it when the block ends well, and vanishes when it does not.

    What a process that was killed has left of the same file is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
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
        temporary = path.parent / f".{path.stem[:16]}-{secrets.token_hex(4)}{path.suffix}"
        with temporary.open("xb") as file:
            is_locked = _lock(file.fileno(), wait=True)
            if is_locked and temporary.exists():  # else another writer took it for a leftover just before
                yield temporary
                return
        if not is_locked:
            yield temporary
            return


def _remove_leftovers(path: Path) -> None:
    start = f".{path.stem[:16]}-"
    with suppress(OSError):  # a folder that may be written but not listed
        for entry in [entry for entry in os.scandir(path.parent) if entry.name.startswith(start)]:
            if _TEMPORARY.fullmatch(entry.name):
                _remove_unlocked(Path(entry))


def _remove_unlocked(path: Path) -> None:
    with suppress(OSError), path.open("rb+") as file:  # its writer lives, or it is gone already, or another user's
        if _lock(file.fileno()):
            path.unlink()


def _lock(descriptor: int, *, wait: bool = False) -> bool:
    """Lock an open file until it is closed; return False where the system has no locks."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        return False
    return True
