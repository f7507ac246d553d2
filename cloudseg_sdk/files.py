"""Writing files whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
