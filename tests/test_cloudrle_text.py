"""Kaggle text and columns of it."""

from collections.abc import Callable
from typing import Any, Literal, TypeVar

import numpy as np
import pandas as pd
import pytest
import reference
import strategies
from hypothesis import example, given, settings
from hypothesis import strategies as st

import cloudrle
from cloudrle import RLE, RLEError

Result = TypeVar("Result")


@given(st.data())
def test_white_space_may_be_any_and_anywhere(data: st.DataObject) -> None:
    runs = data.draw(strategies.run_lists(600))
    space = st.text(" \t\n\r\v\f", min_size=1, max_size=3)
    words = [str(number) for start, end in runs for number in (start + 1, end - start)]
    text = "".join(word + data.draw(space) for word in words)
    text = data.draw(st.sampled_from(["", " ", "\n\t"])) + (text if data.draw(st.booleans()) else text.rstrip())
    assert RLE.from_kaggle(text, (20, 30)) == RLE.from_runs(runs, (20, 30))


def test_runs_that_touch_are_joined() -> None:
    assert RLE.from_kaggle("1 2 3 1 5 1 6 2", (4, 4)).runs.tolist() == [[0, 3], [4, 7]]


def test_leading_zeros_mean_nothing() -> None:
    assert cloudrle.decode("0001 " + "0" * 30 + "2", (1, 2)).tolist() == [[1, 1]]


def attempt(read: Callable[[], Result]) -> Result | RLEError:
    try:
        return read()
    except RLEError as error:
        return error


@settings(max_examples=1500)
@given(strategies.HOSTILE_TEXT, st.tuples(st.integers(0, 9), st.integers(0, 9)))
@example("1 1" * 1000, (3, 3))
@example("9" * 100_000, (3, 3))
def test_hostile_text_is_read_right_or_refused(text: str, shape: tuple[int, int]) -> None:
    result = attempt(lambda: cloudrle.decode(text, shape))
    if not isinstance(result, RLEError):
        np.testing.assert_array_equal(result, reference.decode(text, shape))
        return
    assert result.row is None
    assert result.position is not None
    assert 0 <= result.position <= len(text)
    with pytest.raises(RLEError) as caught:
        cloudrle.decode_many(["", text], shape)
    assert str(caught.value) == f"row 1: {result}"
    assert (caught.value.row, caught.value.position) == (1, result.position)


@settings(max_examples=1500)
@given(st.text(st.characters(max_codepoint=130), max_size=8) | st.binary(max_size=8), strategies.SHAPES)
def test_hostile_coco_strings_are_read_right_or_refused(counts: str | bytes, shape: tuple[int, int]) -> None:
    result = attempt(lambda: RLE.from_coco({"size": list(shape), "counts": counts}))
    if isinstance(result, RLEError):
        assert result.position is not None
        assert 0 <= result.position <= len(counts)
    else:
        assert RLE.from_coco(result.to_coco()) == result
        assert int(result.counts.sum()) == shape[0] * shape[1]


TEXTS = ["1 2", "", "3 1", None]
MASKS = [[[1, 0], [1, 0]], [[0, 0], [0, 0]], [[0, 1], [0, 0]], [[0, 0], [0, 0]]]


@pytest.mark.parametrize(
    "column",
    [
        TEXTS,
        tuple(TEXTS),
        iter(TEXTS),
        np.array(TEXTS, dtype=object),
        pd.Series(TEXTS, dtype=object),
        pd.Series(TEXTS, dtype="string"),
        pd.Series(TEXTS, dtype="str"),
        pd.Series(TEXTS, index=[9, 8, 7, 6]),
        [*TEXTS[:3], float("nan")],
        [*TEXTS[:3], np.float64("nan")],
        [*TEXTS[:3], np.float32("nan")],
        [*TEXTS[:3], pd.NA],
    ],
)
def test_columns_of_any_kind(column: Any) -> None:
    assert cloudrle.decode_many(column, (2, 2), missing="empty").tolist() == MASKS


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA])
def test_missing_is_not_empty(missing: object) -> None:
    with pytest.raises(RLEError) as caught:
        cloudrle.decode_many(["1 1", missing], (2, 2))
    shown = "nan" if isinstance(missing, float) else str(missing)
    assert (
        str(caught.value) == f"row 1: the mask is missing ({shown}); pass missing='empty' to read it as an empty mask"
    )
    assert (caught.value.row, caught.value.position) == (1, None)


def test_a_column_of_many_blocks_names_the_right_row() -> None:
    rng = np.random.default_rng(3)
    masks = rng.random((3000, 20, 30)) < 0.5  # several million characters: more than one block
    texts = cloudrle.encode_many(masks)
    assert sum(map(len, texts)) > 2**21
    np.testing.assert_array_equal(cloudrle.decode_many(texts, (20, 30)), masks)
    texts[2900] = "1 x"
    with pytest.raises(RLEError, match="row 2900: 'x' at position 2") as caught:
        cloudrle.decode_many(texts, (20, 30))
    assert (caught.value.row, caught.value.position) == (2900, 2)
    short = ["1 1"] * 10_000
    assert cloudrle.decode_many(short, (1, 1)).sum() == 10_000
    with pytest.raises(TypeError, match="row 9000: text must be a str, got int"):
        cloudrle.decode_many([*short[:9000], 1, *short[9001:]], (1, 1))


def test_strings_of_numpy_are_strings() -> None:
    assert cloudrle.decode(np.str_("1 1"), (1, 2)).tolist() == [[1, 0]]
    assert cloudrle.decode_many(np.array(["1 1", ""]), (1, 2)).tolist() == [[[1, 0]], [[0, 0]]]


@pytest.mark.parametrize("later", [None, 3, "é", "x"])
def test_the_first_bad_row_is_the_one_named(later: object) -> None:
    with pytest.raises(RLEError, match="row 1: 'x' at position 0"):
        cloudrle.decode_many(["1 1", "x", later], (1, 2))


def test_out_is_written_and_returned() -> None:
    whole = np.full((4, 3, 5), 7, np.uint8)
    out = whole[::2, ::-1, 1:4]
    assert cloudrle.decode_many(["1 1", "9 1"], (3, 3), out=out) is out
    assert out.tolist() == [[[1, 0, 0], [0, 0, 0], [0, 0, 0]], [[0, 0, 0], [0, 0, 0], [0, 0, 1]]]
    assert (whole[1::2] == 7).all()
    assert (whole[:, :, [0, 4]] == 7).all()
    single = np.full((2, 2), 7, np.uint8, order="F")
    assert cloudrle.decode("2 1", (2, 2), out=single) is single
    assert single.tolist() == [[0, 0], [1, 0]]


@pytest.mark.parametrize("interpolation", ["nearest", "linear", "area"])
def test_decoding_to_a_size_is_decoding_then_resizing(interpolation: Literal["nearest", "linear", "area"]) -> None:
    rng = np.random.default_rng(4)
    masks = (rng.random((5, 33, 47)) < 0.5).astype(np.uint8)
    texts = cloudrle.encode_many(masks)
    wanted = [cloudrle.resize(mask, (20, 60), interpolation=interpolation) for mask in masks]
    many = cloudrle.decode_many(texts, (33, 47), size=(20, 60), interpolation=interpolation)
    np.testing.assert_array_equal(many, wanted)
    out = np.empty((20, 60), np.uint8, order="F")
    cloudrle.decode(texts[0], (33, 47), size=(20, 60), interpolation=interpolation, out=out)
    np.testing.assert_array_equal(out, wanted[0])
    same = cloudrle.decode_many(texts, (33, 47), size=(33, 47), interpolation=interpolation)
    np.testing.assert_array_equal(same, masks)
