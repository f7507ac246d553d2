"""Dialects: what each one says of every mask, what it refuses and in which words, and columns of every kind."""

import doctest
import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import reference
import strategies
from hypothesis import given, settings
from hypothesis import strategies as st

import cloudrle
from cloudrle import DIALECTS, RLE, RLEError, dialects
from cloudrle.dialects import Dialect

# Made by pycocotools 2.0.11, label-studio-converter 0.0.59 (brush.mask2rle) and cvat-sdk 2.80 (masks.encode_mask);
# "relative" by mask_functions.py of the SIIM-ACR challenge, and by hand where that loses the last run; the others by
# `reference.in_dialect`.
FROZEN = json.loads((Path(__file__).parent / "fixtures/rle/dialects.json").read_text())
for frozen in FROZEN:
    frozen["coco-bytes"] = frozen["coco"].encode()  # which JSON does not hold
TEXTS = [name for name in DIALECTS if name.split("-")[0] in ("kaggle", "zero", "start", "relative")]


def convert(column: Any, source: str, target: str, **options: Any) -> list[Any]:
    return cloudrle.convert(column, cast(Dialect, source), cast(Dialect, target), **options)


def attempt(cell: Any, source: str, target: str, shape: tuple[int, int]) -> str | RLEError:
    try:
        return str(convert([cell], source, target, shape=shape)[0])
    except RLEError as error:
        return error


def refused(cell: Any, source: str, target: str, shape: tuple[int, int]) -> RLEError:
    with pytest.raises(RLEError) as caught:
        convert([cell], source, target, shape=shape)
    return caught.value


def test_the_definitions_have_true_examples() -> None:
    result = doctest.testmod(dialects)
    assert result.attempted > len(DIALECTS)
    assert result.failed == 0
    assert dialects.__doc__ is not None
    assert all(f"**{name}**: " in dialects.__doc__ for name in DIALECTS)


@pytest.mark.parametrize("case", FROZEN, ids=[case["name"] for case in FROZEN])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_frozen_masks_are_read_for_ever(case: dict[str, Any], dialect: str) -> None:
    assert convert([case["kaggle"]], "kaggle", dialect, shape=case["shape"]) == [case[dialect]]
    assert convert([case[dialect]], dialect, "kaggle", shape=case["shape"]) == [case["kaggle"]]


@pytest.mark.parametrize("dialect", DIALECTS)
@given(mask=strategies.dense())
@settings(max_examples=40, deadline=None)
def test_every_mask_goes_there_and_back(dialect: str, mask: Any) -> None:
    text, shape = cloudrle.encode(mask), mask.shape
    if dialect == "cvat" and mask.size == 0:
        message = f"row 0: a {shape[0]} x {shape[1]} mask has no pixels; a CVAT mask has a box of at least one"
        assert str(refused(text, "kaggle", dialect, shape)) == message
        return
    cell = reference.in_dialect(mask, dialect)
    assert convert([text], "kaggle", dialect, shape=shape) == [cell]
    assert convert([cell], dialect, "kaggle", shape=shape) == [text]


@given(mask=strategies.dense(), source=st.sampled_from(DIALECTS), target=st.sampled_from(DIALECTS))
@settings(max_examples=40, deadline=None)
def test_any_dialect_leads_to_any_other(mask: Any, source: str, target: str) -> None:
    if mask.size == 0 and "cvat" in (source, target):
        return
    cells = [reference.in_dialect(mask, name) for name in (source, target)]
    assert convert(cells[:1], source, target, shape=mask.shape) == cells[1:]


@pytest.mark.parametrize("dialect", TEXTS)
@given(numbers=st.lists(st.integers(-1, 14), max_size=8), shape=st.tuples(st.integers(0, 4), st.integers(0, 4)))
@settings(max_examples=150)
def test_hostile_numbers_are_read_right_or_refused(dialect: str, numbers: list[int], shape: tuple[int, int]) -> None:
    text = " ".join(map(str, numbers))
    cell = attempt(text, dialect, "start-end-exclusive", shape)
    if isinstance(cell, RLEError):
        assert cell.row == 0
        assert cell.position is not None
        assert 0 <= cell.position <= len(text)
        return
    # What was read says the same with every touching run joined.
    mask = RLE.from_kaggle(convert([cell], "start-end-exclusive", "kaggle", shape=shape)[0], shape).to_mask()
    assert convert([text], dialect, dialect, shape=shape) == [reference.in_dialect(mask, dialect)]
    area = sum(
        second - first + (dialect == "start-end-inclusive") if "end" in dialect else second
        for first, second in zip(numbers[::2], numbers[1::2], strict=False)
    )
    assert mask.sum() == area


@given(data=st.binary(max_size=24), shape=st.tuples(st.integers(0, 4), st.integers(0, 4)))
@settings(max_examples=300)
def test_hostile_brush_data_is_read_right_or_refused(data: bytes, shape: tuple[int, int]) -> None:
    head = bytes([0, 0, 0, 4 * shape[0] * shape[1], 0b00111001, 0b00011011])
    for brush in (data, head + data):
        text = attempt(brush, "label-studio", "kaggle", shape)
        if isinstance(text, RLEError):
            assert text.row == 0
        else:
            assert RLE.from_kaggle(text, shape).shape == shape


@given(numbers=st.lists(st.integers(-1, 5), max_size=9), shape=st.tuples(st.integers(0, 4), st.integers(0, 4)))
@settings(max_examples=300)
def test_hostile_cvat_numbers_are_read_right_or_refused(numbers: list[int], shape: tuple[int, int]) -> None:
    text = attempt(numbers, "cvat", "kaggle", shape)
    if isinstance(text, RLEError):
        assert text.row == 0
        return
    *counts, left, top, right, bottom = numbers
    mask = np.zeros(shape, np.uint8)
    box = mask[top : bottom + 1, left : right + 1]
    box[:] = np.repeat(np.arange(len(counts)) % 2, counts).reshape(box.shape)
    assert text == reference.encode(mask)


LETTER = "is neither a digit nor white space; wanted"
SHAPE = (3, 4)
HEAD = [0, 0, 0, 48, 57, 27]  # 48 values of 8 bits; the first 5 bits of the widths, and 3 more in the next byte
BRUSH = "the brush data"

HOSTILE: list[tuple[str, Any, str, int | None]] = [
    ("kaggle-rows", "13 1", "run 1 starts at 13, past the last pixel of a 3 x 4 mask (12)", 0),
    ("kaggle-rows", "3 2 1 1", "run 2 starts at 1, before the start of the previous run (3); sort the runs", 4),
    ("kaggle-rows", "3 2 4 1", "run 2 starts at 4, inside the previous run, whose last pixel is 4; merge the two", 4),
    ("zero-based", "12 1", "run 1 starts at 12, past the end of a 3 x 4 mask (12 pixels, counted from 0)", 0),
    (
        "zero-based",
        "11 2",
        "run 1 starts at 11 with length 2, past the last pixel of a 3 x 4 mask (12); is the shape (height, width)?",
        3,
    ),
    ("zero-based", "3 2 1 1", "run 2 starts at 1, before the start of the previous run (3); sort the runs", 4),
    ("zero-based", "3 2 4 1", "run 2 starts at 4, before the end of the previous run (5); merge the two", 4),
    ("zero-based", "3 0", "run 1 has length 0; leave it out (an empty mask is '')", 2),
    ("zero-based", "3", "run 1 has a start but no length; wanted pairs of numbers, got 1 numbers", 0),
    ("zero-based", "1 x", f"'x' at position 2 {LETTER} 'start length start length ...'", 2),
    (
        "start-end-inclusive",
        "0 1",
        "run 1 starts at 0, but this text counts pixels from 1; to read starts from 0, convert from 'zero-based'",
        0,
    ),
    (
        "start-end-inclusive",
        "5 4",
        "run 1 goes from 5 to 4, but its last pixel must not lie before its first; does the text hold lengths?",
        2,
    ),
    (
        "start-end-inclusive",
        "5 13",
        "run 1 ends with pixel 13, past the last pixel of a 3 x 4 mask (12); is the shape (height, width)?",
        2,
    ),
    ("start-end-inclusive", "13 13", "run 1 starts at 13, past the last pixel of a 3 x 4 mask (12)", 0),
    (
        "start-end-inclusive",
        "1 2 2 3",
        "run 2 starts at 2, inside the previous run, whose last pixel is 2; merge the two",
        4,
    ),
    ("start-end-inclusive", "1 2 3", "run 2 has a start but no end; wanted pairs of numbers, got 3 numbers", 4),
    ("start-end-exclusive", "5 5", "run 1 is [5, 5), but a run must end after its start", 2),
    ("start-end-exclusive", "5 13", "run 1 ends at 13, past the end of a 3 x 4 mask (12)", 2),
    ("start-end-exclusive", "12 13", "run 1 starts at 12, past the end of a 3 x 4 mask (12 pixels, counted from 0)", 0),
    ("start-end-exclusive", "3 5 4 6", "run 2 starts at 4, before the end of the previous run (5); merge the two", 4),
    ("start-end-exclusive", "1 x", f"'x' at position 2 {LETTER} 'start end start end ...'", 2),
    (
        "start-end-exclusive",
        "1 -2",
        "sign '-' at position 2; starts and ends carry no sign, an empty mask is '' and a missing one None",
        2,
    ),
    ("start-end-exclusive", "1.5 2", "decimal point at position 1; starts and ends are whole numbers of pixels", 1),
    (
        "relative",
        "5 2 5 1",
        "run 2 starts 5 pixels behind the end of the previous run (7), past the end of a 3 x 4 mask (12); are the "
        "starts relative?",
        4,
    ),
    (
        "relative",
        "5 2 4 2",
        "run 2 starts at 11 with length 2, past the last pixel of a 3 x 4 mask (12); is the shape (height, width)?",
        6,
    ),
    ("relative", "5 0", "run 1 has length 0; leave it out (an empty mask is '')", 2),
    (
        "relative",
        "-1 3",
        "sign '-' at position 0; starts and lengths carry no sign, an empty mask is '' and a missing one None",
        0,
    ),
    (
        "relative",
        "1 1 9223372036854775807 1",
        "run 2 starts 9,223,372,036,854,775,807 pixels behind the end of the previous run (2), past the end of a "
        "3 x 4 mask (12); are the starts relative?",
        4,
    ),
    *((name, "1 9" + "9" * 20, "the number at position 2 does not fit in 64 bits", 2) for name in TEXTS),
    *(
        (
            name,
            "1 é",
            "non-ASCII character 'é' at position 2; wanted the digits 0 to 9 and ASCII white space only",
            2,
        )
        for name in TEXTS
    ),
    *(
        (name, counts, message, position)
        for name in ("coco", "coco-bytes")
        for counts, message, position in [
            ("1o", "the COCO string stops inside the number at position 1; it was cut short", 1),
            (b"1o", "the COCO string stops inside the number at position 1; it was cut short", 1),
            (
                "1",
                "the counts add up to 1, but a 3 x 4 mask has 12 pixels; is the size [height, width]?",
                1,
            ),
            ("", "the counts add up to 0, but a 3 x 4 mask has 12 pixels; is the size [height, width]?", 0),
            ("=", "count 1 reaches past the end of a 3 x 4 mask (12); is the size [height, width]?", 0),
            ("1@", "count 2 is -16; counts are numbers of pixels and never negative", 1),
            ("é", "non-ASCII byte 0xc3 at position 0; a COCO string holds the characters '0' to 'o'", 0),
            ("\ud800", "non-ASCII byte 0xed at position 0; a COCO string holds the characters '0' to 'o'", 0),
            ("1" + "o" * 13, "the number at position 1 does not fit in 64 bits", 1),
            (
                {"size": [4, 3], "counts": "<"},
                "the size of the segmentation is [4, 3], but the shape of this row is 3 x 4 (height, width)",
                None,
            ),
        ]
    ),
    ("coco-counts", [13, -1], "count 1 reaches past the end of a 3 x 4 mask (12); is the size [height, width]?", 0),
    ("coco-counts", [11], "the counts add up to 11, but a 3 x 4 mask has 12 pixels; is the size [height, width]?", 1),
    ("coco-counts", [3, -1], "count 2 is -1; counts are numbers of pixels and never negative", 1),
    ("coco-counts", [2**63], "counts must be below 2**63, got 9223372036854775808", None),
    ("coco-counts", [-(2**70)], "counts must be below 2**63, got -1180591620717411303424", None),
    (
        "coco-counts",
        {"size": (3.5, 4), "counts": [12]},
        "the size of the segmentation is (3.5, 4), but the shape of this row is 3 x 4 (height, width)",
        None,
    ),
    ("label-studio", [], f"{BRUSH} stops after 0 of 48 values; it was cut short", 0),
    ("label-studio", HEAD, f"{BRUSH} stops after 0 of 48 values; it was cut short", 6),
    ("label-studio", [*HEAD, 254, 47], f"{BRUSH} stops after 0 of 48 values; it was cut short", 8),
    (
        "label-studio",
        [0, 0, 0, 44, 57, 27, 254],
        f"{BRUSH} holds 44 values, but a 3 x 4 mask has 4 for each of its 12 pixels; is the shape (height, width)?",
        0,
    ),
    (
        "label-studio",
        [0, 0, 0, 49, 57, 27, 254],
        f"{BRUSH} holds 49 values, but a 3 x 4 mask has 4 for each of its 12 pixels; is the shape (height, width)?",
        0,
    ),
    ("label-studio", [0, 0, 0, 48, 121, 27, 254], f"{BRUSH} has values of 16 bits; Label Studio's have 8", 4),
    (
        "label-studio",
        [*HEAD, 254, 48, 0],
        "the item at byte 6 of the brush data reaches past the last of 48 values",
        6,
    ),
    *(
        (
            "label-studio",
            [*HEAD, 254, 47, *behind],
            f"{BRUSH} goes on behind its last value, at byte 9; wanted zeros up to the end of the byte, or one byte of "
            "them",
            9,
        )
        for behind in ([0, 0, 0], [0, 1])
    ),
    ("label-studio", [*HEAD, 256], "entry 7 of the brush data is 256; wanted bytes, 0 to 255", 6),
    ("label-studio", [-1], "entry 1 of the brush data is -1; wanted bytes, 0 to 255", 0),
    ("cvat", [0, 0, 0, 0], "a CVAT mask is counts and then left, top, right, bottom: at least 5 numbers, got 4", 4),
    ("cvat", [], "a CVAT mask is counts and then left, top, right, bottom: at least 5 numbers, got 0", 0),
    (
        "cvat",
        [1, 4, 0, 4, 0],
        "number 2, a side of the box, is 4, outside a 3 x 4 mask; wanted left, top, right, bottom, and is the shape "
        "(height, width)?",
        1,
    ),
    (
        "cvat",
        [1, 0, -1, 0, 0],
        "number 3, a side of the box, is -1, outside a 3 x 4 mask; wanted left, top, right, bottom, and is the shape "
        "(height, width)?",
        2,
    ),
    (
        "cvat",
        [1, 2, 0, 1, 0],
        "the box goes from 2 to 1, but must not end before its start; wanted left, top, right, bottom",
        3,
    ),
    ("cvat", [1, 0, 0, 1, 0], "the counts add up to 1, but the box has 2 pixels", 1),
    ("cvat", [1, 2, 0, 0, 1, 0], "count 2 reaches past the end of the box, which has 2 pixels", 1),
    ("cvat", [3, -1, 0, 0, 1, 0], "count 1 reaches past the end of the box, which has 2 pixels", 0),
    ("cvat", [1, -1, 0, 0, 1, 0], "count 2 is -1; counts are numbers of pixels and never negative", 1),
    ("cvat", [1.5, 0, 0, 0, 0], "number 1 of a CVAT mask is 1.5; wanted whole numbers of pixels", 0),
    ("cvat", [1.0, 0, 0, float("nan"), 0], "number 4 of a CVAT mask is nan; wanted whole numbers of pixels", 3),
    ("cvat", [1.0, 0, 0, 1e300, 0], "number 4 of a CVAT mask is 1e+300; wanted whole numbers of pixels", 3),
]


def test_the_numbers_of_cvat_may_be_whole_floats_as_its_server_sends_them() -> None:
    assert (
        attempt([0.0, 2.0, 1.0, 0.0, 2.0, 0.0], "cvat", "kaggle", (3, 4))
        == attempt([0, 2, 1, 0, 2, 0], "cvat", "kaggle", (3, 4))
        == "4 1 7 1"
    )


@pytest.mark.parametrize(
    ("dialect", "cell", "message", "position"), HOSTILE, ids=[f"{name} {cell!a:.40}" for name, cell, _, _ in HOSTILE]
)
def test_hostile_cells(dialect: str, cell: Any, message: str, position: int | None) -> None:
    empty = convert([""], "kaggle", dialect, shape=SHAPE)
    for column in ([*empty * 3, cell], [*empty * 3, cell, 7.5]):  # the first fault is the one that is named
        with pytest.raises(RLEError) as caught:
            convert(column, dialect, "kaggle", shape=SHAPE)
        got = caught.value
        assert (str(got), got.row, got.position) == (f"row 3: {message}", 3, position)


TYPES: list[tuple[str, Any, str]] = [
    ("kaggle", b"1 1", "text must be a str, got bytes"),
    ("relative", 3, "text must be a str, got int"),
    ("coco", 3, "a COCO string must be a str or bytes, got int"),
    (
        "coco",
        [12],
        "a COCO string must be a str or bytes, got a list; for a list of counts the dialect is 'coco-counts'",
    ),
    ("coco", {"counts": "<"}, "a segmentation must have 'size' and 'counts', got ['counts']"),
    ("coco-counts", "<", "counts must be a list of integers, got str"),
    ("coco-counts", [6.0, 6.0], "counts must be a list of integers, got dtype float64"),
    ("coco-counts", [True], "counts must be a list of integers, got dtype bool"),
    ("coco-counts", [[12]], "counts must be a list of integers, got an array of shape (1, 1)"),
    ("coco-counts", [[12], 3], "counts must be a list of integers, got [[12], 3]"),
    ("coco-counts", 12, "counts must be a list of integers, got int"),
    ("coco-counts", bytearray(b"22"), "counts must be a list of integers, got bytearray"),
    ("coco-counts", [None], "counts must be a list of integers, got dtype object"),
    ("label-studio", "abc", "brush data must be bytes or a list of integers from 0 to 255, got str"),
    ("label-studio", [1.5], "brush data must be bytes or a list of integers from 0 to 255, got [1.5]"),
    (
        "label-studio",
        np.zeros(3, np.int64),
        "brush data must be bytes or a list of integers from 0 to 255, got an array of shape (3,) and dtype int64",
    ),
    ("cvat", {"rle": "1"}, "the numbers of a CVAT mask must be a list of integers, got dict"),
]


@pytest.mark.parametrize(("dialect", "cell", "message"), TYPES, ids=[f"{name} {cell!a:.40}" for name, cell, _ in TYPES])
def test_cells_of_other_types(dialect: str, cell: Any, message: str) -> None:
    with pytest.raises(TypeError) as caught:
        convert([*convert([""], "kaggle", dialect, shape=SHAPE), cell], dialect, "kaggle", shape=SHAPE)
    assert str(caught.value) == f"row 1: {message}"


CALLS: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
    (
        "1 1",
        {},
        TypeError,
        "column must be a sequence of masks, got one str; put it into a list",
    ),
    (
        {"size": [3, 4], "counts": "<"},
        {},
        TypeError,
        "column must be a sequence of masks, got one dict; put it into a list",
    ),
    (3, {}, TypeError, "column must be a sequence of masks, got int"),
    (
        np.array([["1 1"]]),
        {},
        ValueError,
        "column must be one column, got 2 dimensions; pick one, as in frame['EncodedPixels']",
    ),
    (["", ""], {"shape": [(3, 4)]}, ValueError, "shape must be one pair, or one for each of the 2 rows, got 1 pairs"),
    (["", ""], {"shape": [(3, 4), (3, -4)]}, ValueError, "shape[1] must not be negative, got 3 x -4"),
    (
        ["", ""],
        {"shape": [(3, 4), (3, 4.0)]},
        TypeError,
        "shape[1] must be a pair of ints (height, width), got (3, 4.0)",
    ),
    ([""], {"shape": 3}, TypeError, "shape must be a pair of ints (height, width), got 3"),
    ([""], {"shape": (3, 4, 5)}, TypeError, "shape must be a pair of ints (height, width), got (3, 4, 5)"),
    ([""], {"missing": "skip"}, ValueError, "missing must be one of 'raise', 'empty', got 'skip'"),
    ([""], {"threads": 0}, ValueError, "threads must be a positive int or None, got 0"),
]


@pytest.mark.parametrize(("column", "options", "kind", "message"), CALLS)
def test_arguments(column: Any, options: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as caught:
        convert(column, "kaggle", "coco", **{"shape": SHAPE, **options})
    assert str(caught.value) == message


@pytest.mark.parametrize(("source", "target", "name"), [("Kaggle", "coco", "source"), ("coco", "rle", "target")])
def test_unknown_dialects_are_answered_with_all_names(source: str, target: str, name: str) -> None:
    with pytest.raises(ValueError, match=rf"^{name} must be one of 'kaggle', 'kaggle-rows', .*'cvat', got"):
        convert([], source, target, shape=SHAPE)


def test_shapes_may_differ_by_row() -> None:
    rng = np.random.default_rng(5)
    masks = [rng.random((h, w)) < 0.4 for h, w in [(3, 4), (4, 3), (1, 9), (9, 1), (7, 7)]]
    texts, shapes = [cloudrle.encode(mask) for mask in masks], [mask.shape for mask in masks]
    for form in (shapes, np.array(shapes), np.array(shapes, np.uint16), pd.DataFrame(shapes).to_numpy()):
        for dialect in DIALECTS:
            cells = convert(texts, "kaggle", dialect, shape=form)
            assert cells == [reference.in_dialect(mask, dialect) for mask in masks]
            assert convert(cells, dialect, "kaggle", shape=form) == texts
    assert convert([], "kaggle", "coco", shape=[]) == convert([], "kaggle", "coco", shape=SHAPE) == []


@pytest.mark.parametrize("shape", [(100_000, 100_000), (2**40, 2), (2, 2**40), (1, 2**60), (2**60, 1)], ids=str)
def test_positions_beyond_32_bits(shape: tuple[int, int]) -> None:
    size = shape[0] * shape[1]
    runs = np.array([[0, 1], [2**33, 2**33 + 3], [size - 5, size]])
    text = RLE.from_runs(runs, shape).to_kaggle()
    for dialect in DIALECTS:
        if dialect == "label-studio":
            message = (
                f"row 0: a {shape[0]} x {shape[1]} mask has {size:,} pixels; "
                "Label Studio's brush data holds fewer than 2**30"
            )
            assert str(refused(text, "kaggle", dialect, shape)) == message
        else:
            assert convert(convert([text], "kaggle", dialect, shape=shape), dialect, "kaggle", shape=shape) == [text]
    pixels = sorted(pixel % shape[0] * shape[1] + pixel // shape[0] for a, b in runs.tolist() for pixel in range(a, b))
    rows = convert([text], "kaggle", "kaggle-rows", shape=shape)[0]
    numbers = list(map(int, rows.split()))
    pairs = zip(numbers[::2], numbers[1::2], strict=True)
    assert [start - 1 + i for start, length in pairs for i in range(length)] == pixels


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA])
def test_missing_is_not_empty(dialect: str, missing: object) -> None:
    cells = [*convert(["1 1"], "kaggle", dialect, shape=SHAPE), missing]
    with pytest.raises(RLEError, match=r"^row 1: the mask is missing .*; pass missing='empty'") as caught:
        convert(cells, dialect, "kaggle", shape=SHAPE)
    assert (caught.value.row, caught.value.position) == (1, None)
    assert convert(cells, dialect, "kaggle", shape=SHAPE, missing="empty") == ["1 1", ""]
    assert convert(cells[1:], dialect, "kaggle", shape=SHAPE, missing="empty") == [""]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_columns_of_many_blocks_and_threads(dialect: str) -> None:
    rng = np.random.default_rng(6)
    masks = (rng.random((5000, 8, 11)) < 0.4).astype(np.uint8)
    texts = cloudrle.encode_many(masks)
    cells = convert(texts, "kaggle", dialect, shape=(8, 11), threads=1)
    assert cells[4500] == reference.in_dialect(masks[4500], dialect)
    assert convert(texts, "kaggle", dialect, shape=(8, 11), threads=3) == cells
    assert convert(cells, dialect, "kaggle", shape=(8, 11), threads=3) == texts
    cells[4500] = "x" if isinstance(cells[0], str) else cells[0][:2]
    for threads in (1, 3):
        with pytest.raises(RLEError, match=r"^row 4500: "):
            convert(cells, dialect, "kaggle", shape=(8, 11), threads=threads)


def test_touching_runs_are_joined_and_blank_text_is_empty() -> None:
    for dialect, text in [
        ("relative", "1 2 0 3"),
        ("start-end-inclusive", "2 3 4 6"),
        ("start-end-exclusive", "1 3 3 6"),
    ]:
        assert convert([text, " \n"], dialect, "kaggle", shape=SHAPE) == ["2 5", ""]
    assert convert([" -1\n"], "relative", "kaggle", shape=SHAPE) == [""]


def test_segmentations_are_read_whole() -> None:
    rle = RLE.from_mask([[0, 1], [1, 1]])
    whole = [
        rle.to_coco(),
        {**rle.to_coco(), "counts": rle.to_coco()["counts"].encode()},
        {"size": (2, 2), "counts": "022"},
    ]
    assert convert(whole, "coco", "kaggle", shape=(2, 2)) == ["2 3", "2 3", "1 2"]
    assert convert([rle.to_coco(compressed=False)], "coco-counts", "kaggle", shape=(2, 2)) == ["2 3"]


def test_brush_data_of_any_colour_and_of_literals() -> None:
    """What Label Studio's own brush leaves behind: colours in the first three channels, literal values, alpha."""
    pixels = [(255, 0, 0, 255), (1, 2, 3, 0), (9, 9, 9, 9), (0, 0, 0, 1), (7, 0, 255, 0), (0, 0, 0, 0)]
    values = [value for pixel in pixels for value in pixel]
    bits = f"{len(values):032b}{7:05b}" + "".join(f"{width - 1:04b}" for width in (5, 2, 1, 16))
    bits += f"0{0:02b}{7:05b}" + "".join(f"{value:08b}" for value in values[:8])  # 8 literals
    bits += f"1{1:02b}{3:02b}{9:08b}" + f"1{3:02b}{2:016b}{0:08b}"
    bits += f"0{0:02b}{8:05b}" + "".join(f"{value:08b}" for value in values[15:])
    data = [int(bits[i : i + 8].ljust(8, "0"), 2) for i in range(0, len(bits), 8)]
    for form in (data, bytes(data), bytearray(data), tuple(data), np.array(data, np.uint8)):
        assert convert([form], "label-studio", "kaggle-rows", shape=(2, 3)) == ["1 1 3 2"]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_arrow_columns(dialect: str) -> None:
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed: there are no Arrow columns to read")
    masks = [np.eye(3, 4), np.zeros((3, 4)), np.ones((3, 4)), np.tri(3, 4)]
    cells = [*convert([cloudrle.encode(mask) for mask in masks], "kaggle", dialect, shape=SHAPE), None]
    wanted = [*(cloudrle.encode(mask) for mask in masks), ""]
    if isinstance(cells[0], list):
        item = pa.uint8() if dialect == "label-studio" else pa.int64()
        kinds = [pa.list_(item), pa.large_list(item)]
    elif dialect == "coco-bytes":
        kinds = [pa.binary(), pa.large_binary(), pa.binary_view(), pa.string()]
    else:
        kinds = [pa.string(), pa.large_string(), pa.string_view()]
    if dialect == "label-studio":
        kinds.append(pa.binary())
    for kind in kinds:
        values = [None if cell is None else bytes(cell) for cell in cells] if kind == pa.binary() else cells
        array = pa.array(values, kind)
        chunked = pa.chunked_array([array[:2], array[2:2], array[2:]], kind)
        assert convert(chunked, dialect, "kaggle", shape=SHAPE, missing="empty") == wanted
        assert convert(array[1:], dialect, "kaggle", shape=SHAPE, missing="empty") == wanted[1:]
        with pytest.raises(RLEError, match=r"^row 3: the mask is missing"):
            convert(array[1:], dialect, "kaggle", shape=SHAPE)
    assert convert(pa.nulls(2), dialect, "kaggle", shape=SHAPE, missing="empty") == ["", ""]


def test_arrow_columns_of_other_types() -> None:
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed: there are no Arrow columns to read")
    for dialect, column, message in [
        ("coco", pa.array([[1]]), "strings or binary, got the Arrow type list<int64>"),
        (
            "coco-counts",
            pa.array([[1]], pa.list_(pa.int32())),
            "list<int64>, got the Arrow type list<int32>; cast it to list<int64>",
        ),
        ("coco-counts", pa.array(["<"]), "list<int64>, got the Arrow type string"),
        (
            "label-studio",
            pa.array([[1]]),
            "binary or list<uint8>, got the Arrow type list<int64>; cast it to binary or list<uint8>",
        ),
    ]:
        with pytest.raises(TypeError) as caught:
            convert(column, dialect, "kaggle", shape=SHAPE)
        assert str(caught.value) == f"column must be a column of {message}"
    with pytest.raises(ValueError, match="the lists of an Arrow column must not hold nulls"):
        convert(pa.array([[12], [11, None]]), "coco-counts", "kaggle", shape=SHAPE)


@pytest.mark.parametrize("dtype", ["object", "str", "string[python]", "string[pyarrow]"])
def test_pandas_columns(dtype: str) -> None:
    series = pd.Series(["1 2", None, "3 1"], index=[5, 4, 3], dtype=dtype)
    wanted = ["0 2", "", "2 1"]
    assert convert(series, "kaggle", "zero-based", shape=SHAPE, missing="empty") == wanted
    assert convert(series[::2], "kaggle", "zero-based", shape=SHAPE) == wanted[::2]
