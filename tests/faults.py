"""Faults that a test can make in its own process."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_privileges() -> Iterator[None]:
    """Be nobody for a while, because root may read and write anything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@contextmanager
def limited(kind: int, value: int) -> Iterator[None]:
    """Lower one of the system's limits, such as ``resource.RLIMIT_FSIZE``, the largest file in bytes."""
    soft, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (value, hard))
    try:
        yield
    finally:
        resource.setrlimit(kind, (soft, hard))
