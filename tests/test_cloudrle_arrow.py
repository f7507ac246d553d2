"""Columns that speak Arrow's C interface: the same masks and the same errors as lists."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

import cloudrle
from cloudrle import RLEError

pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed: there are no Arrow columns to read")

SHAPE = (1, 40)
LONG = "1 1 3 1 5 1 7 1"  # more than the 12 characters that a string view holds itself
TEXTS = ["1 2", "", LONG, None, "3 1", None, "30 11", LONG]
TYPES = [pa.string(), pa.large_string(), pa.string_view()]


@pytest.mark.parametrize("kind", TYPES, ids=str)
def test_arrays_slices_and_chunks(kind: Any) -> None:
    wanted = cloudrle.decode_many(TEXTS, SHAPE, missing="empty")
    array = pa.array(TEXTS, kind)
    chunked = pa.chunked_array([array[:3], array[:0], array[3:4], array[4:]], kind)
    for start in range(len(TEXTS) + 1):
        for stop in range(start, len(TEXTS) + 1):
            for column in (array[start:stop], chunked[start:stop]):
                masks = cloudrle.decode_many(column, SHAPE, missing="empty")
                np.testing.assert_array_equal(masks, wanted[start:stop])
    with pytest.raises(RLEError) as caught:
        cloudrle.decode_many(chunked[4:], SHAPE)
    assert str(caught.value) == "row 1: the mask is missing (None); pass missing='empty' to read it as an empty mask"


@pytest.mark.parametrize("kind", TYPES, ids=str)
@pytest.mark.parametrize("bad", ["x", "1 1 é", "1 2 3", "1 1 \0", "é 1 1 3 1 5 1 7 1"])
def test_errors_are_those_of_lists(kind: Any, bad: str) -> None:
    rows = ["9 9"] * 5000 + ["1 1", bad, "y"]
    with pytest.raises(RLEError) as wanted:
        cloudrle.decode_many(rows, SHAPE)
    with pytest.raises(RLEError) as caught:
        cloudrle.decode_many(pa.chunked_array([rows[:10], rows[10:]], kind), SHAPE)
    assert str(caught.value) == str(wanted.value)
    assert (caught.value.row, caught.value.position) == (5001, wanted.value.position)


def test_empty_columns_and_columns_of_nulls() -> None:
    assert cloudrle.decode_many(pa.chunked_array([], pa.string()), SHAPE).shape == (0, *SHAPE)
    assert cloudrle.decode_many(pa.array([], pa.string()), SHAPE).shape == (0, *SHAPE)
    assert cloudrle.decode_many(pa.array(["", ""]), SHAPE).sum() == 0
    assert cloudrle.decode_many(pa.nulls(2), SHAPE, missing="empty").tolist() == [[[0] * 40]] * 2
    with pytest.raises(RLEError, match="row 0: the mask is missing"):
        cloudrle.decode_many(pa.nulls(2), SHAPE)


@pytest.mark.parametrize(
    ("column", "got"),
    [
        (pa.array([1, 2]), "int64"),
        (pa.array([b"1 1"]), "binary"),
        (pa.array(["1 1"]).dictionary_encode(), "dictionary<string, int32>; cast it to string"),
        (pa.table({"a": ["1 1"]}), "struct; pick one column, as in frame['EncodedPixels']"),
        (pa.array([0], pa.timestamp("s")), "with code 'tss:'"),
    ],
    ids=["int64", "binary", "dictionary", "table", "timestamp"],
)
def test_other_types_are_named(column: Any, got: str) -> None:
    with pytest.raises(TypeError) as caught:
        cloudrle.decode_many(column, SHAPE)
    assert str(caught.value) == f"texts must be a column of strings, got the Arrow type {got}"


@pytest.mark.parametrize("dtype", ["object", "str", "string", "string[python]", "string[pyarrow]", "category"])
def test_pandas_columns(dtype: str) -> None:
    series = pd.Series(TEXTS, index=range(8, 0, -1), dtype=dtype)
    wanted = cloudrle.decode_many(TEXTS, SHAPE, missing="empty")
    for column in (series, pd.Index(series)):
        np.testing.assert_array_equal(cloudrle.decode_many(column, SHAPE, missing="empty"), wanted)
    np.testing.assert_array_equal(cloudrle.decode_many(series[2:][::2], SHAPE, missing="empty"), wanted[2::2])
    arrow = series.astype(pd.ArrowDtype(pa.large_string()))
    np.testing.assert_array_equal(cloudrle.decode_many(arrow, SHAPE, missing="empty"), wanted)
    with pytest.raises(RLEError, match="row 3: the mask is missing"):
        cloudrle.decode_many(series, SHAPE)


def test_polars_columns() -> None:
    pl = pytest.importorskip("polars", reason="polars is not installed")
    wanted = cloudrle.decode_many(TEXTS, SHAPE, missing="empty")
    np.testing.assert_array_equal(cloudrle.decode_many(pl.Series(TEXTS), SHAPE, missing="empty"), wanted)
    with pytest.raises(TypeError, match="pick one column"):
        cloudrle.decode_many(pl.DataFrame({"a": ["1 1"], "b": ["1 1"]}), SHAPE)
