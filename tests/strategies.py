"""Hypothesis strategies: masks at the edges of words and columns, in every layout; run lists; hostile text."""

from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

SIDES = st.one_of(st.sampled_from([0, 1, 2, 63, 64, 65, 128, 129]), st.integers(0, 140))
SHAPES = st.tuples(SIDES, SIDES)
DTYPES = st.sampled_from(
    ["?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", "g", ">u2", ">i4", ">f2", ">f4", ">f8"]
)


@st.composite
def dense(draw: st.DrawFn, shapes: st.SearchStrategy[tuple[int, int]] = SHAPES) -> npt.NDArray[np.uint8]:
    """Mask of 0 and 1 in C order: empty, full, sparse, noise, stripes or blocks."""
    shape = draw(shapes)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    density = draw(st.sampled_from([0.0, 0.01, 0.5, 0.99, 1.0]))
    block = draw(st.sampled_from([(1, 1), (1, 200), (200, 1), (7, 9)]))  # (200, 1): whole columns, so seams
    coarse = rng.random((shape[0] // block[0] + 1, shape[1] // block[1] + 1)) < density
    return np.kron(coarse, np.ones(block, bool))[: shape[0], : shape[1]].astype(np.uint8)


@st.composite
def masks(draw: st.DrawFn) -> npt.NDArray[Any]:
    """Mask of any dtype, order and strides, read-only or not."""
    plain = draw(dense())
    values = draw(st.sampled_from([1, 2, 128, 255, -1, 0.25, np.nan]))
    dtype = np.dtype(draw(DTYPES))
    if dtype.kind != "f":
        values = 1 if values != values else max(1, abs(int(values)) % 127)
    mask = np.where(plain != 0, np.array(values, dtype), np.array(0, dtype)).astype(dtype)
    if dtype.kind == "f" and draw(st.booleans()):
        mask[plain == 0] = -0.0
    match draw(st.sampled_from(["C", "F", "flipped", "strided", "padded"])):
        case "F":
            mask = np.asfortranarray(mask)
        case "flipped":
            mask = np.ascontiguousarray(mask[::-1, ::-1])[::-1, ::-1]
        case "strided":
            wide = np.full((2 * mask.shape[0], 3 * mask.shape[1]), 1, dtype)
            wide[::2, ::3] = mask
            mask = wide[::2, ::3]
        case "padded":
            wide = np.full((mask.shape[0] + 2, mask.shape[1] + 5), 1, dtype)
            wide[1:-1, 3:-2] = mask
            mask = wide[1:-1, 3:-2]
    mask.setflags(write=draw(st.booleans()))
    return mask


@st.composite
def outs(draw: st.DrawFn, shape: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Array to decode into, full of rubbish: C order, Fortran order or strided, forwards or backwards."""
    match draw(st.sampled_from(["C", "F", "flipped", "strided"])):
        case "F":
            return np.full(shape, 7, np.uint8, order="F")
        case "flipped":
            return np.full(shape, 7, np.uint8)[::-1, ::-1]
        case "strided":
            return np.full((2 * shape[0], 3 * shape[1]), 7, np.uint8)[::2, ::3]
        case _:
            return np.full(shape, 7, np.uint8)


@st.composite
def run_lists(draw: st.DrawFn, size: int) -> list[tuple[int, int]]:
    """Sorted runs that neither overlap nor touch, within `size` pixels."""
    cuts = sorted(draw(st.sets(st.integers(0, size), max_size=20)))
    return list(zip(cuts[::2], cuts[1::2], strict=False))


NUMBERS = st.one_of(st.integers(0, 40), st.sampled_from([2**31, 2**32, 2**63 - 1, 2**63, 2**64, 10**30])).map(str)
SCRAPS = st.sampled_from([" ", "  ", "\t", "\n", "\x0b", "\x1c", "\0", "-", "+", ".", "e", "x", "é", "٣", "\ud800", ""])
HOSTILE_TEXT = st.one_of(
    st.lists(st.one_of(NUMBERS, NUMBERS.map(lambda number: number + " "), SCRAPS), max_size=12).map("".join),
    st.lists(NUMBERS, max_size=8).map(" ".join),
    st.text(max_size=20),
)
