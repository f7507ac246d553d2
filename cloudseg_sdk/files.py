"""Writing files whole or not at all, and one writer at a time."""

from __future__ import annotations

import errno
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# The names of :func:`atomic_path`, which a process that is killed leaves behind.
TEMPORARY = re.compile(r"\.(?P<stem>.{0,16})-[0-9a-f]{8}(\.[^.]*)?")

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP}


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that replaces it when the block ends well, and vanishes when it does not.

    The temporary name keeps the suffix, because writers choose their format by it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The stem is cut, because a longer name than the file's own might be too long for the file system.
    temporary = path.parent / f".{path.stem[:16]}-{secrets.token_hex(4)}{path.suffix}"
    temporary.touch(exist_ok=False)  # unlike tempfile, with the permissions that any new file has
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the operating system's lock on `path`, a file for nothing else; it ends with the process, however that ends.

    On NFS it holds between machines. On Windows, and on file systems that have no locks, this does nothing.

    Raises
    ------
    BlockingIOError
        Where another process or thread holds it.
    """
    with path.open("ab") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise
        yield
