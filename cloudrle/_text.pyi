"""Columns of Python strings, bytes and lists of numbers <-> runs and offsets."""

from typing import TypeAlias, final

import numpy as np
import numpy.typing as npt
from typing_extensions import CapsuleType

_Runs: TypeAlias = npt.NDArray[np.int64]  # (n, 2): [start, end) of each run
_Shapes: TypeAlias = npt.NDArray[np.int64]  # (N, 2), or (1, 2) for all rows, C-contiguous

DIALECTS: dict[str, tuple[int, int]]  # to the core's numbers of the dialect and of what its cells hold

@final
class ArrowTexts:
    """Column that has `__arrow_c_stream__` or `__arrow_c_array__`."""

    def __init__(self, column: object, dialect: str = ...) -> None: ...
    def __len__(self) -> int: ...

def parse_one(text: str, height: int, width: int) -> _Runs: ...
def parse_row(
    column: tuple[object, ...] | ArrowTexts, row: int, height: int, width: int, missing_is_empty: bool
) -> _Runs: ...
def paint_rows(
    column: tuple[object, ...] | ArrowTexts,
    first: int,
    height: int,
    width: int,
    missing_is_empty: bool,
    threads: int,
    painter: CapsuleType,
) -> int: ...  # of a block of rows: how many
def format_one(runs: _Runs) -> str: ...
def format_rows(scanner: CapsuleType, first: int, last: int, threads: int) -> list[str]: ...
def convert_rows(
    column: tuple[object, ...] | ArrowTexts,
    first: int,
    shapes: _Shapes,
    source: str,
    target: str,
    missing_is_empty: bool,
    threads: int,
) -> list[str] | list[bytes] | list[list[int]]: ...  # of a block of rows
def measure_rows(
    column: tuple[object, ...] | ArrowTexts,
    first: int,
    shapes: _Shapes,
    source: str,
    missing_is_empty: bool,
    threads: int,
    measures: npt.NDArray[np.int64],  # (N, 6), C-contiguous
) -> int: ...  # of a block of rows: how many
