"""The SDK's own errors. Each is also the built-in that a caller would expect."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class CloudsegError(Exception):
    """Root of the SDK's errors: the command line prints any of them as one line."""


class ConfigError(CloudsegError, ValueError):
    """A configuration holds a value that no network or decision can have."""


class DataError(CloudsegError, ValueError):
    """Labels or images of a dataset are missing, doubled or malformed; the message names file and row."""


class ImageError(CloudsegError, ValueError):
    """An input is not an image that can be read; the message names the file or the array."""


class BundleError(CloudsegError, ValueError):
    """A model file is damaged or of another version; the message names file and part."""


class MissingExtraError(CloudsegError, ImportError):
    """An optional dependency is not installed; the message gives the command that installs it."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f'{what}; install it with: pip install "cloudseg-sdk[{extra}]"')
        self._parts = (what, extra)

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str]]:
        return MissingExtraError, self._parts  # or it could not come back from another process


@contextmanager
def naming(file: str | Path) -> Iterator[None]:
    """Begin with `file` what a :class:`BundleError` says of one of its parts."""
    try:
        yield
    except BundleError as error:
        raise BundleError(f"{file}: {error}") from error
