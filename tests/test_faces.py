"""Whatever a caller passes to the codec, it is taken or refused by one of the documented errors: no other, no crash."""

import csv
import inspect
import io
import resource
import string
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import strategies
from faults import limited
from hypothesis import example, given, settings
from hypothesis import strategies as st

import cloudrle
from cloudrle import DIALECTS, RLE, coco, read_table
from cloudrle._csv import read_rows
from cloudseg_sdk import CloudDataset, DataError

# Far fewer than any memory, or far more: nothing between, of which a test could run out.
INTEGERS = st.one_of(st.integers(-2, 40), st.sampled_from([2**31 - 1, 2**31, 2**62, 2**63 - 1, 2**63, 2**64, 10**30]))
DTYPES = st.sampled_from(
    ["?", "u1", "i1", "u2", ">i4", "i8", "u8", "f2", "f4", ">f8", "g", "F", "D", "O", "U3", "S3", "M8[s]"]
)


@st.composite
def arrays(draw: st.DrawFn) -> Any:
    shape = draw(st.lists(st.integers(0, 5), max_size=4))
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    return (
        rng.integers(0, 3, shape).astype(draw(DTYPES), order=draw(st.sampled_from("CF")))[..., ::-1]
        if shape
        else np.array(1)
    )


class Odd:
    """A sequence that says that it is longer than it is, and an index that is none."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> int:
        if index > 1:
            raise IndexError
        return index

    def __index__(self) -> int:
        return -(2**70)


ATOMS = st.one_of(
    st.none(),
    st.booleans(),
    INTEGERS,
    st.floats(),
    st.complex_numbers(),
    st.text(max_size=5),
    strategies.HOSTILE_TEXT,
    st.binary(max_size=5),
    arrays(),
    st.sampled_from([pd.NA, pd.NaT, np.float64("nan"), np.str_("1 2"), np.int64(3), Odd(), object(), RLE, len, ...]),
    st.binary(max_size=5).map(lambda data: memoryview(data)),
    st.builds(pd.Series, st.lists(st.text("19 x-", max_size=5), max_size=3), dtype=st.just("str")),
)
RLES = st.builds(RLE.from_mask, strategies.dense(st.tuples(st.integers(0, 9), st.integers(0, 9))))
SEGMENTATIONS = st.fixed_dictionaries(
    {
        "size": st.one_of(ATOMS, st.tuples(INTEGERS, INTEGERS)),
        "counts": st.one_of(ATOMS, st.lists(INTEGERS, max_size=4)),
    }
)
ANYTHING = st.recursive(
    st.one_of(ATOMS, RLES, SEGMENTATIONS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.lists(inner, max_size=3).map(tuple), st.dictionaries(st.text(max_size=3), inner)
    ),
    max_leaves=6,
)
PAIRS = st.tuples(INTEGERS, INTEGERS)
# What a parameter of that name should be, so that calls come further than the first check.
LIKELY: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(["mask", "bimask"], strategies.masks()),
    **dict.fromkeys(["shape", "size"], PAIRS),
    **dict.fromkeys(["text"], strategies.HOSTILE_TEXT),
    **dict.fromkeys(["texts", "column"], st.lists(strategies.HOSTILE_TEXT, max_size=3)),
    **dict.fromkeys(["source", "target", "dialect"], st.sampled_from(DIALECTS)),
    **dict.fromkeys(["masks", "a", "b", "rleObjs", "dt", "gt"], st.lists(st.one_of(RLES, SEGMENTATIONS), max_size=3)),
    **dict.fromkeys(["counts", "pyiscrowd"], st.lists(INTEGERS, max_size=4)),
    **dict.fromkeys(["coco", "ucRles"], SEGMENTATIONS),
    **dict.fromkeys(["polygon", "poly", "holes"], st.lists(st.floats(), max_size=9)),
    **dict.fromkeys(["box", "bb"], st.lists(INTEGERS, min_size=4, max_size=4)),
    **dict.fromkeys(["h", "w", "dy", "dx", "axis", "min_area", "max_area", "threads"], INTEGERS),
    "self": RLES,
    "other": RLES,
    "runs": st.lists(PAIRS, max_size=3),
    "interpolation": st.sampled_from(["nearest", "linear", "area"]),
    "missing": st.sampled_from(["raise", "empty"]),
    "probabilities": st.builds(lambda n: np.full((1, n, 3, 2), 0.5, np.float32), st.integers(0, 3)),
    "threshold": st.floats(0, 1),
}

FACES: dict[str, Callable[..., object]] = {
    **{name: getattr(cloudrle, name) for name in cloudrle.__all__ if inspect.isfunction(getattr(cloudrle, name))},
    **{
        f"RLE.{name}": getattr(RLE, name)
        for name in dir(RLE)
        if not name.startswith("_") and callable(getattr(RLE, name))
    },
    **{f"RLE.{name}": getattr(RLE, name) for name in ("__and__", "__or__", "__xor__", "__sub__", "__eq__")},
    **{f"coco.{name}": getattr(coco, name) for name in coco.__all__},
}


@pytest.fixture(scope="module", autouse=True)
def _little_memory() -> Iterator[None]:
    """What is asked for beyond a gigabyte is refused, not given until none is left."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    with limited(resource.RLIMIT_AS, pages * resource.getpagesize() + (1 << 30)):
        yield


@pytest.mark.parametrize("name", FACES)
@settings(max_examples=12)
@given(data=st.data())
def test_a_function_takes_what_it_is_given_or_says_why_not(name: str, data: st.DataObject) -> None:
    parameters = inspect.signature(FACES[name]).parameters.values()
    positional, named = [], {}
    for parameter in parameters:
        value = data.draw(st.one_of(LIKELY.get(parameter.name, ANYTHING), ANYTHING), label=parameter.name)
        if parameter.name == "self" and not isinstance(value, RLE):
            value = RLE.from_kaggle("2 3", (2, 3))
        if parameter.kind is parameter.KEYWORD_ONLY:
            if parameter.default is parameter.empty or data.draw(st.booleans()):
                named[parameter.name] = value
        elif parameter.default is parameter.empty or data.draw(st.booleans()):
            positional.append(value)
        else:
            break
    # RLEError is a ValueError; read_table takes any text for a path.
    with suppress(TypeError, ValueError, MemoryError, *([OSError] if name == "read_table" else [])):
        FACES[name](*positional, **named)


@settings(max_examples=40)
@given(
    st.dictionaries(
        st.sampled_from(["Image_Label", "EncodedPixels", "image", "label", "x", 5]),
        st.lists(ATOMS, min_size=2, max_size=2),
        max_size=5,
    )
)
def test_a_table_is_read_or_refused(columns: dict[Any, list[Any]]) -> None:
    frame = pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in columns.items()})
    with suppress(TypeError, ValueError):
        read_table(frame, shape=(4, 6))


# --- CSV: what is read is what Python's own reader reads


CSV = st.one_of(
    st.lists(st.sampled_from(["a", ",", '"', "\n", "\r\n", "\r", "1 2", "é", " ", "\0", '""']), max_size=30).map(
        "".join
    ),
    st.text(string.printable, max_size=30),
)


@settings(max_examples=100)
@given(CSV)
@example('a,b\n"x\r\ny","a""b"\n')
@example('a"b"\n')
@example('"a"\r\n')
def test_rows_of_csv_are_those_of_the_standard_library(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "rows.csv"
    path.write_bytes(text.encode())
    try:
        found = [cells for cells, _ in read_rows(path)]
    except ValueError:
        return
    wanted = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    assert found == wanted


@settings(max_examples=100)
@given(CSV.map("Image_Label,EncodedPixels\n{}".format) | st.binary(max_size=30))
def test_labels_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str | bytes) -> None:
    folder = tmp_path_factory.getbasetemp() / "labels"
    folder.mkdir(exist_ok=True)
    (folder / "train.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError) as caught:  # there is no image at all
        CloudDataset.from_kaggle(folder, (4, 6), ("a", "1 2"))
    assert str(caught.value)
