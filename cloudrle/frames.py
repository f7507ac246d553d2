"""A file or frame of masks as a tidy table of pandas, which is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, SupportsIndex

import numpy.typing as npt

from cloudrle import _check
from cloudrle._csv import read_rows
from cloudrle.dialects import Dialect, measure

if TYPE_CHECKING:
    import pandas as pd


def read_table(
    source: str | PathLike[str] | pd.DataFrame,
    *,
    shape: Sequence[SupportsIndex] | Sequence[Sequence[SupportsIndex]] | npt.NDArray[Any],
    column: str = "EncodedPixels",
    dialect: Dialect = "kaggle",
    missing: Literal["raise", "empty"] = "raise",
    threads: int | None = None,
) -> pd.DataFrame:
    """Measure all masks of a ``train.csv``.

    Parameters
    ----------
    source : path or DataFrame
        A CSV file in UTF-8, or what was read from one: with a column "Image_Label", <image>_<label>, or two columns
        "image" and "label", and one of masks. A file's empty cells are empty texts, not missing ones; `pandas.read_csv`
        makes them missing. Columns that lie in Arrow's memory, as pandas' strings do where pyarrow is installed, are
        read there.
    shape : (height, width), or one such pair for each row
        Of the masks.
    column : str
        Name of the column of masks.
    dialect : str
        How the masks are written; one of `cloudrle.DIALECTS`.
    missing, threads
        As for `convert`.

    Returns
    -------
    DataFrame with the index of `source`
        ``image`` and ``label``; ``area`` in pixels; ``bbox`` (y0, x0, y1, x1), half-open, None for an empty mask;
        ``runs``, how many there are.

    Raises
    ------
    ImportError
        Where pandas is not installed.
    RLEError, TypeError, ValueError
        As for `convert`, and for a source without these columns, or a file that is no CSV.
    OSError
        For a file that cannot be read.

    Examples
    --------
    >>> import pandas
    >>> frame = pandas.DataFrame({"Image_Label": ["a.jpg_Fish", "a.jpg_Gravel"], "EncodedPixels": ["2 2 5 1", ""]})
    >>> read_table(frame, shape=(3, 2))
       image   label  area          bbox  runs
    0  a.jpg    Fish     3  (1, 0, 3, 2)     2
    1  a.jpg  Gravel     0          None     0
    """
    import pandas as pd

    frame = _frame_of(source)
    names = ["image", "label"] if {"image", "label"} <= {*frame.columns} else ["Image_Label"]
    if absent := [name for name in (*names, column) if name not in frame.columns]:
        raise ValueError(
            f"the table must have the columns Image_Label, or image and label, and {column}; it lacks "
            f"{', '.join(absent)}, and has {_check.listed(frame.columns)}"
        )
    if doubled := [name for name in (*names, column) if [*frame.columns].count(name) > 1]:
        raise ValueError(f"the table has two columns {doubled[0]}; drop or rename one")
    images, labels = _images_and_labels(frame) if len(names) == 1 else (frame["image"], frame["label"])
    measures = measure(frame[column], dialect, shape=shape, missing=missing, threads=threads)
    boxes: list[Any] = [tuple(box) if area else None for area, *box in measures[:, :5].tolist()]
    return pd.DataFrame(
        {
            "image": images,
            "label": labels,
            "area": measures[:, 0],
            "bbox": pd.Series(boxes, frame.index, dtype=object),
            "runs": measures[:, 5],
        },
        index=frame.index,
    )


def _frame_of(source: str | PathLike[str] | pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    if isinstance(source, pd.DataFrame):
        return source
    rows = (cells for cells, _ in read_rows(source))
    names = next(rows, [])
    return pd.DataFrame(list(rows), columns=names, dtype="str")


def _images_and_labels(frame: pd.DataFrame) -> tuple[pd.Series[str], pd.Series[str]]:
    try:
        parts = frame["Image_Label"].str.rpartition("_")
    except AttributeError:
        raise TypeError(f"Image_Label must be a column of str, got dtype {frame['Image_Label'].dtype}") from None
    parts = parts.reindex(columns=[0, 2])  # there are none where there are no rows
    faulty = ~((parts != "") & parts.notna()).all(axis=1).to_numpy(bool)
    if faulty.any():
        row = int(faulty.argmax())
        raise ValueError(f"row {row}: Image_Label must be <image>_<label>, got {frame['Image_Label'].iloc[row]!r}")
    return parts[0], parts[2]
