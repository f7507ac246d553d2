"""What is refused, in which words: input -> class, message, row, position."""

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import cloudrle
from cloudrle import RLE, RLEError

SHAPE = (1400, 2100)
LETTER = "is neither a digit nor white space; wanted 'start length start length ...'"
ASCII = "wanted the digits 0 to 9 and ASCII white space only"
SIGN = "starts and lengths carry no sign, an empty mask is '' and a missing one None"
SIZE = "is the size [height, width]?"

TEXTS = [
    ("1 2 3", "run 2 has a start but no length; wanted pairs of numbers, got 3 numbers", 4),
    ("1 0", "run 1 has length 0; leave it out (an empty mask is '')", 2),
    (
        "0 3",
        "run 1 starts at 0, but this text counts pixels from 1; to read starts from 0, convert from 'zero-based'",
        0,
    ),
    ("9 2 4 1", "run 2 starts at 4, before the start of the previous run (9); sort the runs", 4),
    ("9 4 11 2", "run 2 starts at 11, inside the previous run, whose last pixel is 12; merge the two", 4),
    ("3 2 3 2", "run 2 starts at 3, inside the previous run, whose last pixel is 4; merge the two", 4),
    ("1 1 5 2 2940001 3", "run 3 starts at 2,940,001, past the last pixel of a 1400 x 2100 mask (2,940,000)", 8),
    (
        "2940000 2",
        "run 1 starts at 2,940,000 with length 2, past the last pixel of a 1400 x 2100 mask (2,940,000); "
        "is the shape (height, width)?",
        8,
    ),
    (
        "1 9223372036854775807",
        "run 1 starts at 1 with length 9,223,372,036,854,775,807, past the last pixel of a 1400 x 2100 mask "
        "(2,940,000); is the shape (height, width)?",
        2,
    ),
    ("1 x", f"'x' at position 2 {LETTER}", 2),
    ("1,2", f"',' at position 1 {LETTER}", 1),
    ("1e3 2", f"'e' at position 1 {LETTER}", 1),
    ("1 2\x1c", f"'\\x1c' at position 3 {LETTER}", 3),
    ("9223372036854775808 1", "the number at position 0 does not fit in 64 bits", 0),
    ("1 " + "9" * 30, "the number at position 2 does not fit in 64 bits", 2),
    ("1 \0 2", "NUL byte at position 2; wanted digits and white space only", 2),
    ("1 é", f"non-ASCII character 'é' at position 2; {ASCII}", 2),
    ("1 ٣", f"non-ASCII character '٣' at position 2; {ASCII}", 2),
    ("1 \ud800", f"non-ASCII character '\\ud800' at position 2; {ASCII}", 2),
    ("-1", f"sign '-' at position 0; {SIGN}", 0),
    ("1 -3", f"sign '-' at position 2; {SIGN}", 2),
    ("+1 3", f"sign '+' at position 0; {SIGN}", 0),
    ("1.5 3", "decimal point at position 1; starts and lengths are whole numbers of pixels", 1),
]


@pytest.mark.parametrize(("text", "message", "position"), TEXTS, ids=[ascii(text) for text, _, _ in TEXTS])
def test_bad_text(text: str, message: str, position: int) -> None:
    for read in (cloudrle.decode, RLE.from_kaggle):
        with pytest.raises(RLEError) as caught:
            read(text, SHAPE)
        assert (str(caught.value), caught.value.row, caught.value.position) == (message, None, position)
    with pytest.raises(RLEError) as caught:
        cloudrle.decode_many(["1 1"] * 17 + [text, "x"], (1400, 2100))
    assert (str(caught.value), caught.value.row, caught.value.position) == (f"row 17: {message}", 17, position)


RUNS: list[tuple[Any, str, int]] = [
    ([[-1, 2]], "run 1 starts at -1, before the first pixel (0)", 0),
    ([[0, 1], [2, 2]], "run 2 is [2, 2), but a run must end after its start", 1),
    ([[3, 2]], "run 1 is [3, 2), but a run must end after its start", 0),
    ([[0, 13]], "run 1 ends at 13, past the end of a 3 x 4 mask (12)", 0),
    ([[5, 6], [1, 2]], "run 2 starts at 1, before the start of the previous run (5); sort the runs", 1),
    ([[5, 9], [7, 12]], "run 2 starts at 7, before the end of the previous run (9); merge the two", 1),
    ([[5, 9], [9, 12]], "run 2 starts at 9, where the previous run ends; join the two", 1),
]


@pytest.mark.parametrize("dtype", [np.longlong, np.ulonglong, np.int32, ">i8"])
@pytest.mark.parametrize("count", [0, 2])
def test_integers_of_any_type_are_runs_and_counts(dtype: Any, count: int) -> None:
    """NumPy's two integers of 64 bits are of different types."""
    runs = np.array([[0, 1], [3, 5]][:count]).reshape(-1, 2).astype(dtype)
    found = RLE.from_runs(runs, (3, 4))
    assert found.runs.tolist() == runs.tolist()
    assert RLE.from_counts(np.array(found.counts).astype(dtype), (3, 4)) == found


@pytest.mark.parametrize(("runs", "message", "position"), RUNS)
def test_bad_runs(runs: list[list[int]], message: str, position: int) -> None:
    with pytest.raises(RLEError) as caught:
        RLE.from_runs(runs, (3, 4))
    assert (str(caught.value), caught.value.row, caught.value.position) == (message, None, position)


COUNTS: list[tuple[Any, str, int]] = [
    ([1, -2], "count 2 is -2; counts are numbers of pixels and never negative", 1),
    ([1, 3], f"count 2 reaches past the end of a 1 x 3 mask (3); {SIZE}", 1),
    ([1, 2**63 - 1], f"count 2 reaches past the end of a 1 x 3 mask (3); {SIZE}", 1),
    ([1, 1], f"the counts add up to 2, but a 1 x 3 mask has 3 pixels; {SIZE}", 2),
    ([], f"the counts add up to 0, but a 1 x 3 mask has 3 pixels; {SIZE}", 0),
    ("1", f"the counts add up to 1, but a 1 x 3 mask has 3 pixels; {SIZE}", 1),
    ("", f"the counts add up to 0, but a 1 x 3 mask has 3 pixels; {SIZE}", 0),
    ("4", f"count 1 reaches past the end of a 1 x 3 mask (3); {SIZE}", 0),
    ("1@", "count 2 is -16; counts are numbers of pixels and never negative", 1),
    ("111M", "count 4 is -2; counts are numbers of pixels and never negative", 3),
    ("3~", "'~' at position 1 is no character of a COCO string ('0' to 'o')", 1),
    ("3\0", "'\\x00' at position 1 is no character of a COCO string ('0' to 'o')", 1),
    ("3é", "non-ASCII byte 0xc3 at position 1; a COCO string holds the characters '0' to 'o'", 1),
    (b"3\xff", "non-ASCII byte 0xff at position 1; a COCO string holds the characters '0' to 'o'", 1),
    ("1o", "the COCO string stops inside the number at position 1; it was cut short", 1),
    ("1" + "o" * 13, "the number at position 1 does not fit in 64 bits", 1),
    ("o" * 12 + "?", "the number at position 0 does not fit in 64 bits", 0),
]


@pytest.mark.parametrize(("counts", "message", "position"), COUNTS)
def test_bad_counts(counts: Any, message: str, position: int) -> None:
    with pytest.raises(RLEError) as caught:
        RLE.from_coco({"size": [1, 3], "counts": counts})
    assert (str(caught.value), caught.value.row, caught.value.position) == (message, None, position)


read_only = np.zeros((2, 2), np.uint8)
read_only.setflags(write=False)
empty = RLE.from_kaggle("", (2, 2))
untyped: Any = cloudrle  # for arguments that a type checker would refuse

INTEGERS = "counts must be a list of integers"
CALLS: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: RLE.from_counts(bytearray(b"22"), (10, 10)), TypeError, f"{INTEGERS}, got bytearray"),
    (lambda: RLE.from_counts(b"22", (10, 10)), TypeError, f"{INTEGERS}, got bytes"),
    (lambda: RLE.from_counts(memoryview(b"22"), (10, 10)), TypeError, f"{INTEGERS}, got memoryview"),
    (lambda: RLE.from_counts([[1], [2, 3]], (10, 10)), ValueError, f"{INTEGERS}, got rows of unequal length"),
    (lambda: RLE.from_counts([2**70], (10, 10)), ValueError, f"{INTEGERS} below 2**63, got {2**70}"),
    (
        lambda: RLE.from_coco({"size": [10, 10], "counts": bytearray(b"22")}),
        TypeError,
        "counts must be a str, bytes or a list, got bytearray; pass bytes(counts)",
    ),
    (
        lambda: cloudrle.encode(np.zeros((2, 3, 4))),
        ValueError,
        "mask must be a 2-D array (height, width), got a 3-D array of shape (2, 3, 4)",
    ),
    (
        lambda: RLE.from_mask(np.zeros(3)),
        ValueError,
        "mask must be a 2-D array (height, width), got a 1-D array of shape (3,)",
    ),
    (
        lambda: untyped.encode([[1], [1, 2]]),
        ValueError,
        "mask must be a 2-D array (height, width), got rows of unequal length",
    ),
    (
        lambda: cloudrle.encode(np.zeros((2, 2), object)),
        TypeError,
        "mask must have an integer, bool or float dtype, got object",
    ),
    (
        lambda: cloudrle.resize(np.zeros((2, 2), complex), (1, 1)),
        TypeError,
        "mask must have an integer, bool or float dtype, got complex128",
    ),
    (
        lambda: cloudrle.encode(np.zeros((2, 2), "U3")),
        TypeError,
        "mask must have an integer, bool or float dtype, got <U3",
    ),
    (
        lambda: cloudrle.encode_many(np.zeros((2, 3))),
        ValueError,
        "masks must be a 3-D array (N, height, width), got a 2-D array of shape (2, 3)",
    ),
    (
        lambda: cloudrle.encode_many([np.zeros((2, 3)), np.zeros(3)]),
        ValueError,
        "masks[1] must be a 2-D array (height, width), got a 1-D array of shape (3,)",
    ),
    (lambda: cloudrle.encode_many(5), TypeError, "masks must be an array or an iterable of arrays, got int"),
    (lambda: untyped.decode("", 3), TypeError, "shape must be a pair of ints (height, width), got 3"),
    (lambda: cloudrle.decode("", (1, 2, 3)), TypeError, "shape must be a pair of ints (height, width), got (1, 2, 3)"),
    (lambda: untyped.decode("", (1.0, 2)), TypeError, "shape must be a pair of ints (height, width), got (1.0, 2)"),
    (lambda: cloudrle.decode("", (True, 2)), TypeError, "shape must be a pair of ints (height, width), got (True, 2)"),
    (lambda: cloudrle.decode("", (-1, 2)), ValueError, "shape must not be negative, got -1 x 2"),
    (
        lambda: RLE.from_kaggle("", (2**32, 2**31)),
        ValueError,
        "shape must have at most 2**63 - 1 pixels, got 4294967296 x 2147483648",
    ),
    (lambda: untyped.resize([[1]], 5), TypeError, "size must be a pair of ints (height, width), got 5"),
    (
        lambda: cloudrle.resize([[1]], (2**31, 1)),
        ValueError,
        "cannot resize 1 x 1 to 2147483648 x 1: sides must be below 2**31 pixels",
    ),
    (
        lambda: untyped.resize([[1]], (2, 2), interpolation="cubic"),
        ValueError,
        "interpolation must be one of 'nearest', 'linear', 'area', got 'cubic'",
    ),
    (
        lambda: untyped.decode("", (2, 2), interpolation="cubic"),
        ValueError,
        "interpolation must be one of 'nearest', 'linear', 'area', got 'cubic'",
    ),
    (
        lambda: untyped.decode_many([], (2, 2), missing="skip"),
        ValueError,
        "missing must be one of 'raise', 'empty', got 'skip'",
    ),
    (
        lambda: untyped.decode(None, (2, 2)),
        TypeError,
        "text must be a str, got NoneType; for a column of texts use decode_many",
    ),
    (lambda: untyped.RLE.from_kaggle(b"1 1", (2, 2)), TypeError, "text must be a str, got bytes"),
    (lambda: cloudrle.decode_many(["", b"1 1"], (2, 2)), TypeError, "row 1: text must be a str, got bytes"),
    (lambda: cloudrle.decode_many(["", 3], (2, 2), missing="empty"), TypeError, "row 1: text must be a str, got int"),
    (
        lambda: cloudrle.decode_many("1 1", (2, 2)),
        TypeError,
        "texts must be a sequence of str, got one str; for one text use decode",
    ),
    (lambda: untyped.decode_many(3, (2, 2)), TypeError, "texts must be a sequence of str, got int"),
    (
        lambda: cloudrle.decode_many(np.array([["1 1"]]), (2, 2)),
        ValueError,
        "texts must be one column, got 2 dimensions; pick one, as in frame['EncodedPixels']",
    ),
    (lambda: empty.to_mask(read_only), ValueError, "out must be writeable, got a read-only array"),
    (
        lambda: empty.to_mask(np.zeros((2, 3), np.uint8)),
        ValueError,
        "out must be a uint8 array of shape (2, 2), got shape (2, 3)",
    ),
    (
        lambda: untyped.decode("", (2, 2), out=np.zeros((2, 2), bool)),
        TypeError,
        "out must be a uint8 array of shape (2, 2), got dtype bool",
    ),
    (
        lambda: untyped.decode_many([""], (2, 2), out=[[0]]),
        TypeError,
        "out must be a uint8 array of shape (1, 2, 2), got list",
    ),
    (
        lambda: RLE.from_runs([[1.5, 2.0]], (2, 2)),
        TypeError,
        "runs must be pairs of integers [start, end), got dtype float64",
    ),
    (
        lambda: RLE.from_runs([[1, 2, 3]], (2, 2)),
        ValueError,
        "runs must be pairs of integers [start, end), got an array of shape (1, 3)",
    ),
    (
        lambda: RLE.from_runs(np.array([[0, 2**63]], np.uint64), (2, 2)),
        ValueError,
        "runs must be pairs of integers [start, end) below 2**63, got 9223372036854775808",
    ),
    (lambda: RLE.from_counts([True], (1, 1)), TypeError, "counts must be a list of integers, got dtype bool"),
    (
        lambda: RLE.from_counts([[1, 2]], (1, 3)),
        ValueError,
        "counts must be a list of integers, got an array of shape (1, 2)",
    ),
    (lambda: untyped.RLE.from_coco(3), TypeError, "coco must be a mapping with 'size' and 'counts', got int"),
    (
        lambda: RLE.from_coco({"size": [1, 3]}),
        ValueError,
        "coco must be a mapping with 'size' and 'counts', got the keys ['size']",
    ),
    (
        lambda: RLE.from_coco({"size": 3, "counts": [3]}),
        TypeError,
        "size must be a pair of ints (height, width), got 3",
    ),
    (
        lambda: empty.iou(RLE.from_kaggle("", (2, 3))),
        RLEError,
        "masks must have the same shape, got 2 x 2 and 2 x 3; resize one of them",
    ),
    (lambda: untyped.RLE.dice(empty, "1 1"), TypeError, "other must be an RLE, got str"),
]


@pytest.mark.parametrize(("call", "kind", "message"), CALLS, ids=[message for _, _, message in CALLS])
def test_bad_arguments(call: Callable[[], object], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert type(caught.value) is kind
    assert str(caught.value) == message


def test_errors_survive_pickling() -> None:
    error = pickle.loads(pickle.dumps(RLEError("row 3: no", 3, 5)))
    assert type(error) is RLEError
    assert issubclass(RLEError, ValueError)
    assert (str(error), error.row, error.position) == ("row 3: no", 3, 5)
