"""Writing predictions down as tables. Every file is written whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from cloudseg_sdk.errors import CloudsegError, MissingExtraError
from cloudseg_sdk.files import atomic_path

if TYPE_CHECKING:
    from cloudseg_sdk.inference.prediction import Prediction

_COLUMNS = ("source", "class", "score", "area", "height", "width", "rle", "error")
_NUMBERS = {"score": "float64", "area": "Int64", "height": "Int64", "width": "Int64"}  # the others are text


def make_frame(items: Sequence[Prediction]) -> pd.DataFrame:
    """Return a table; see :meth:`cloudseg_sdk.Predictions.to_frame`."""
    rows: list[tuple[Any, ...]] = []
    for item in items:
        if item.shape is None:
            rows.append((item.source, None, None, None, None, None, None, item.error))
            continue
        for name, score, rle in zip(item.classes, item.scores, item.rles, strict=True):
            rows.append((item.source, name, score, rle.area, *item.shape, rle.to_kaggle(), None))
    # Text stays as Python's: Arrow's strings cannot hold a file name whose bytes are no UTF-8.
    return pd.DataFrame(rows, columns=list(_COLUMNS), dtype=object).astype(_NUMBERS)


def write_csv(items: Sequence[Prediction], path: Path) -> None:
    """Write the table as CSV; see :meth:`cloudseg_sdk.Predictions.to_csv`."""
    with atomic_path(path) as temporary:
        # surrogateescape: a file's name may be bytes that are no UTF-8; they are written as they are.
        make_frame(items).to_csv(temporary, index=False, lineterminator="\n", errors="surrogateescape")


def write_parquet(items: Sequence[Prediction], path: Path) -> None:
    """Write the table as Parquet; see :meth:`cloudseg_sdk.Predictions.to_parquet`."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtraError("Parquet files need pyarrow", "arrow") from error

    numbers = {"score": pa.float64(), "area": pa.int64(), "height": pa.int32(), "width": pa.int32()}
    schema = pa.schema([(name, numbers.get(name, pa.string())) for name in _COLUMNS])
    try:
        table = pa.Table.from_pandas(make_frame(items), schema, preserve_index=False)
    except UnicodeEncodeError as error:
        raise CloudsegError(
            f"the name {error.object!r} is no UTF-8, as Parquet's text must be; rename the file, or use to_csv"
        ) from error
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")
