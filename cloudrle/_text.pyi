"""Columns of Python strings <-> runs and offsets."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

_Runs: TypeAlias = npt.NDArray[np.int64]  # (n, 2): [start, end) of each run
_Offsets: TypeAlias = npt.NDArray[np.int64]  # (m + 1,): the runs of row i are runs[offsets[i] : offsets[i + 1]]

def parse_text_runs(text: str, height: int, width: int) -> _Runs: ...
def parse_rows(
    texts: tuple[object, ...], first: int, height: int, width: int, missing_is_empty: bool
) -> tuple[_Runs, _Offsets]: ...  # of a block of rows, beginning with row `first`
def format_rows(runs: _Runs, offsets: _Offsets) -> list[str]: ...
