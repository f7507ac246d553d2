"""The fast ways through text against the slow definition: numbers, separators and ends at every offset of a word."""

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

import cloudrle
from cloudrle import RLE, RLEError

SIDE = 2**31
WIDE = (SIDE, SIDE)


@st.composite
def wide_runs(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Runs whose numbers have 1 to 19 digits."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    most = 2 ** draw(st.integers(0, 57))
    cuts = rng.integers(1, most + 1, 2 * draw(st.integers(0, 16))).cumsum() - draw(st.integers(0, 1))
    return list(zip(cuts[::2].tolist(), cuts[1::2].tolist(), strict=True))


def text_of(runs: list[tuple[int, int]], space: str = " ") -> str:
    return space.join(f"{start + 1}{space}{end - start}" for start, end in runs)


@settings(deadline=None)
@given(wide_runs(), st.sampled_from([" ", "\t", "\n", "  ", " \r\n"]), st.sampled_from(["", " ", "\n", "   "]))
def test_numbers_of_any_length_come_back(runs: list[tuple[int, int]], space: str, end: str) -> None:
    rle = RLE.from_kaggle(text_of(runs, space) + end, WIDE)
    assert rle.runs.tolist() == [list(run) for run in runs]
    assert rle.to_kaggle() == text_of(runs)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 300), st.integers(0, 2**32 - 1), st.sampled_from([9, 99, 1500]))
def test_texts_of_many_words_are_read_as_defined(count: int, seed: int, most: int) -> None:
    rng = np.random.default_rng(seed)
    steps = rng.integers(1, most + 1, 2 * count).cumsum().tolist()
    runs = list(zip(steps[::2], steps[1::2], strict=True))
    shape = (1, steps[-1] if steps else 0)
    np.testing.assert_array_equal(cloudrle.decode(text_of(runs), shape), reference.decode(text_of(runs), shape))
    assert RLE.from_runs(runs, shape).to_kaggle() == text_of(runs)


@pytest.mark.parametrize("fault", ["x", "-", "\0", "/", ":", "!", "\x1c"])
def test_a_fault_is_found_wherever_it_lies(fault: str) -> None:
    """It moves through the words of a text longer than one window of the fast reader, and over the window's edge."""
    good = text_of([(7 * i, 7 * i + 1 + i % 5) for i in range(200)])
    assert len(good) > 1100
    for at in [*range(140), *range(960, 1100), *range(len(good) - 70, len(good) + 1)]:
        with pytest.raises(RLEError) as caught:
            cloudrle.decode(good[:at] + fault + good[at:], (1, 2000))
        assert caught.value.position == at


@pytest.mark.parametrize("length", range(1, 21))
def test_zeros_in_front_and_limits_at_every_length(length: int) -> None:
    assert RLE.from_kaggle("1".zfill(length) + " " + "2".zfill(length), (1, 2)).area == 2
    number = int("9" * length)
    if number <= SIDE * SIDE:
        assert RLE.from_kaggle(f"{number} 1", WIDE).runs.tolist() == [[number - 1, number]]
    else:
        with pytest.raises(RLEError, match=r"past the last pixel|does not fit in 64 bits"):
            RLE.from_kaggle(f"{number} 1", WIDE)


@settings(deadline=None)
@given(st.lists(st.integers(0, 10), min_size=1, max_size=12), st.integers(0, 100))
def test_touching_runs_are_joined_at_any_place(lengths: list[int], first: int) -> None:
    """Lengths of 0 stand for a gap of one pixel."""
    words, at, painted = [], first, []
    for length in lengths:
        if length:
            words += [str(at + 1), str(length)]
            painted.append((at, at + length))
        at += max(length, 1)
    text = " ".join(words)
    np.testing.assert_array_equal(cloudrle.decode(text, (1, 300)), reference.paint(painted, (1, 300)))


@pytest.mark.parametrize("longest", [6, 7, 8, 9])
def test_runs_are_read_as_defined_where_eight_numbers_at_a_time_do_not_do(longest: int) -> None:
    """Numbers up to and past the seven digits that fit, runs that touch, and runs that break a rule, at every place."""
    most = 10**longest // 300
    starts = np.random.default_rng(longest).integers(2, most, 300).cumsum()
    runs = [(start, start + 1) for start in starts.tolist()]
    shape = (1, runs[-1][1])
    assert RLE.from_kaggle(text_of(runs), shape).runs.tolist() == [list(run) for run in runs]
    for i in [*range(40), *range(280, 299)]:
        touching = [*runs[:i], (runs[i][0], runs[i + 1][0]), *runs[i + 1 :]]
        joined = [*runs[:i], (runs[i][0], runs[i + 1][1]), *runs[i + 2 :]]
        assert RLE.from_kaggle(text_of(touching), shape).runs.tolist() == [list(run) for run in joined]
        overlap = [*runs[:i], (runs[i][0], runs[i + 1][0] + 1), *runs[i + 1 :]]
        with pytest.raises(RLEError, match="inside the previous run") as caught:
            RLE.from_kaggle(text_of(overlap), shape)
        assert caught.value.position == len(text_of(overlap[: i + 1])) + 1
    with pytest.raises(RLEError, match="past the last pixel"):
        RLE.from_kaggle(text_of(runs), (1, shape[1] - 1))
