"""Columns of Python strings <-> runs and offsets."""

from typing import TypeAlias, final

import numpy as np
import numpy.typing as npt
from typing_extensions import CapsuleType

_Runs: TypeAlias = npt.NDArray[np.int64]  # (n, 2): [start, end) of each run
_Offsets: TypeAlias = npt.NDArray[np.int64]  # (m + 1,): the runs of row i are runs[offsets[i] : offsets[i + 1]]
_Bounds: TypeAlias = npt.NDArray[np.int64]  # (m, 2): the runs of row i are runs[bounds[i, 0] : bounds[i, 1]]

@final
class ArrowTexts:
    """Column that has `__arrow_c_stream__` or `__arrow_c_array__`."""

    def __init__(self, column: object) -> None: ...
    def __len__(self) -> int: ...

def parse_one(text: str, height: int, width: int) -> _Runs: ...
def parse_rows(
    column: tuple[object, ...] | ArrowTexts, first: int, height: int, width: int, missing_is_empty: bool, threads: int
) -> tuple[_Runs, _Bounds]: ...  # of a block of rows, beginning with row `first`
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
def format_rows(runs: _Runs, offsets: _Offsets, threads: int) -> list[str]: ...
