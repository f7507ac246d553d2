"""Masks to runs and back, in every layout, and what an RLE promises about itself."""

import copy
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import reference
import strategies
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as pycoco

import cloudrle
from cloudrle import RLE


@settings(max_examples=1000)
@given(strategies.masks())
def test_any_mask_gives_the_runs_of_the_definition(mask: reference.Mask) -> None:
    rle = RLE.from_mask(mask)
    assert rle.runs.tolist() == [list(run) for run in reference.runs(mask)]
    assert rle.shape == mask.shape
    assert rle.counts.tolist() == reference.counts(mask)
    assert rle.area == np.count_nonzero(mask)
    assert rle.bbox == reference.bbox(mask)
    assert rle.to_kaggle() == cloudrle.encode(mask) == reference.encode(mask)


@settings(max_examples=500)
@given(strategies.dense(), st.data())
def test_masks_come_back_as_they_went_in(mask: reference.Mask, data: st.DataObject) -> None:
    rle = RLE.from_mask(mask)
    fresh = rle.to_mask()
    assert fresh.dtype == np.uint8
    assert fresh.flags.c_contiguous
    np.testing.assert_array_equal(fresh, mask)
    out = data.draw(strategies.outs(mask.shape))
    around = out.base.copy() if out.base is not None else None
    assert rle.to_mask(out) is out
    np.testing.assert_array_equal(out, mask)
    if around is not None and out.strides[1:] == (3,):  # nothing between the pixels was touched
        out[...] = 7
        np.testing.assert_array_equal(out.base, around)


@pytest.mark.parametrize("density", [0.0, 1e-4, 0.3, 1.0])
@pytest.mark.parametrize("dtype", ["?", "u2"])
def test_masks_of_several_strips_and_blocks_of_rows(density: float, dtype: str) -> None:
    rng = np.random.default_rng(0)
    mask = (rng.random((390, 1300)) < density).astype(dtype)
    mask[100:300, 200:900] |= True
    wanted = reference.counts(mask.astype(np.uint8))
    wide = np.zeros((400, 1310), dtype)
    wide[5:-5, 5:-5] = mask
    for array in (mask, np.asfortranarray(mask), wide[5:-5, 5:-5], np.asfortranarray(wide)[5:-5, 5:-5]):
        assert RLE.from_mask(array).counts.tolist() == wanted


@given(strategies.dense())
def test_every_way_in_gives_an_equal_rle(mask: reference.Mask) -> None:
    rle = RLE.from_mask(mask)
    twins = [
        RLE.from_runs(rle.runs, mask.shape),
        RLE.from_runs(rle.runs.tolist(), mask.shape),
        RLE.from_counts(rle.counts, mask.shape),
        RLE.from_kaggle(rle.to_kaggle(), mask.shape),
        RLE.from_coco(rle.to_coco()),
        RLE.from_coco(rle.to_coco(compressed=False)),
        RLE.from_coco({"size": list(mask.shape), "counts": rle.to_coco()["counts"].encode()}),
        pickle.loads(pickle.dumps(rle)),
        copy.deepcopy(rle),
    ]
    assert all(twin == rle and hash(twin) == hash(rle) for twin in twins)
    assert rle.to_coco()["counts"] == reference.coco_string(reference.counts(mask))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools under NumPy 2
def test_thousands_of_masks_agree_with_pycocotools() -> None:
    rng = np.random.default_rng(0)
    for _ in range(3000):
        shape = rng.choice([0, 1, 63, 64, 65, *rng.integers(0, 90, 5)], 2)
        mask = (rng.random(shape) < rng.choice([0.0, 0.02, 0.5, 0.98, 1.0])).astype(np.uint8)
        theirs = pycoco.encode(np.asfortranarray(mask))
        ours = RLE.from_mask(mask)
        assert ours.to_coco() == {"size": theirs["size"], "counts": theirs["counts"].decode()}
        assert RLE.from_coco(theirs) == ours
        np.testing.assert_array_equal(ours.to_mask(), pycoco.decode(theirs))


def test_thousands_of_masks_agree_with_the_notebook() -> None:
    rng = np.random.default_rng(1)
    for _ in range(3000):
        shape = (int(rng.integers(1, 90)), int(rng.integers(1, 90)))
        mask = (rng.random(shape) < rng.choice([0.02, 0.5, 0.98, 1.0])).astype(np.uint8)
        text = cloudrle.encode(mask)
        assert text == reference.notebook_mask_to_rle(mask)
        if text:  # the notebook has no empty text: it fills empty cells with -1
            np.testing.assert_array_equal(
                cloudrle.decode(text, shape) * 255, reference.notebook_rle_to_mask(text, *shape)
            )
    np.testing.assert_array_equal(cloudrle.decode("", (4, 5)), reference.notebook_rle_to_mask(-1, 4, 5))


@given(strategies.SHAPES, st.data())
def test_iou_and_dice_follow_their_definitions(shape: tuple[int, int], data: st.DataObject) -> None:
    a, b = (data.draw(strategies.dense(st.just(shape))) for _ in range(2))
    ours = RLE.from_mask(a), RLE.from_mask(b)
    assert ours[0].iou(ours[1]) == ours[1].iou(ours[0]) == reference.iou(a, b)
    assert ours[0].dice(ours[1]) == ours[1].dice(ours[0]) == reference.dice(a, b)


@given(st.data())
def test_runs_of_a_huge_mask_need_no_pixels(data: st.DataObject) -> None:
    shape = (100_000, 100_000)
    runs = data.draw(strategies.run_lists(shape[0] * shape[1]))
    rle = RLE.from_runs(runs, shape)
    assert rle.area == sum(end - start for start, end in runs)
    assert RLE.from_kaggle(rle.to_kaggle(), shape) == rle
    assert RLE.from_coco(rle.to_coco()) == rle
    assert RLE.from_counts(rle.counts, shape) == rle
    assert rle.iou(rle) == rle.dice(rle) == 1.0
    if runs:
        y0, x0, y1, x1 = rle.bbox or (0, 0, 0, 0)
        assert (x0, x1) == (runs[0][0] // shape[0], (runs[-1][1] - 1) // shape[0] + 1)
        assert 0 <= y0 < y1 <= shape[0]


def test_the_largest_legal_mask_has_2_to_the_63_less_1_pixels() -> None:
    shape = (2**63 - 1, 1)
    rle = RLE.from_runs([[0, 2**63 - 1]], shape)
    assert rle.to_kaggle() == "1 9223372036854775807"
    assert RLE.from_kaggle(rle.to_kaggle(), shape) == RLE.from_coco(rle.to_coco()) == rle
    assert rle.area == 2**63 - 1
    assert rle.bbox == (0, 0, 2**63 - 1, 1)


@pytest.mark.parametrize(
    ("mask", "counts", "text"),
    [
        (np.zeros((2, 3)), [6], ""),
        (np.ones((2, 3)), [0, 6], "1 6"),
        (np.zeros((0, 3)), [0], ""),
        (np.zeros((3, 0)), [0], ""),
        (np.zeros((0, 0)), [0], ""),
    ],
)
def test_empty_and_full_masks(mask: reference.Mask, counts: list[int], text: str) -> None:
    rle = RLE.from_mask(mask)
    assert rle.counts.tolist() == counts
    assert rle.to_kaggle() == text
    np.testing.assert_array_equal(rle.to_mask(), mask)
    assert (rle.bbox is None) == (rle.area == 0)


def test_zero_counts_join_their_neighbours() -> None:
    assert RLE.from_counts([1, 2, 0, 1, 0], (2, 2)).runs.tolist() == [[1, 4]]
    assert RLE.from_counts([0, 0, 1, 0, 0, 3, 0, 0], (2, 2)).runs.tolist() == [[1, 4]]
    assert RLE.from_counts([], (0, 5)).runs.tolist() == []


def test_an_rle_never_changes() -> None:
    source = np.array([[0, 2]])
    rle = RLE.from_runs(source, (2, 2))
    source[0, 0] = 1
    assert rle.runs.tolist() == [[0, 2]]
    with pytest.raises(ValueError, match="read-only"):
        rle.runs[0, 0] = 1
    with pytest.raises(ValueError, match="WRITEABLE"):
        rle.runs.setflags(write=True)
    with pytest.raises(AttributeError, match="not writable"):
        rle.shape = (1, 1)  # type: ignore[misc]
    with pytest.raises(AttributeError, match="not writable"):
        del rle.runs
    with pytest.raises(AttributeError, match="no attribute 'name'"):
        rle.name = "mine"  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match=r"RLE has no constructor; use RLE\.from_mask"):
        RLE()


def test_equality_goes_by_runs_and_shape() -> None:
    rle = RLE.from_runs([[0, 2]], (2, 3))
    assert rle != RLE.from_runs([[0, 2]], (3, 2))
    assert rle != RLE.from_runs([[0, 3]], (2, 3))
    assert rle != "1 2"
    assert len({rle, RLE.from_kaggle("1 2", (2, 3))}) == 1
    assert repr(rle) == "RLE(shape=(2, 3), runs=1, area=2)"


def test_many_masks_are_the_same_as_one_by_one() -> None:
    rng = np.random.default_rng(2)
    masks = rng.random((400, 60, 70)) < 0.5  # more runs than one block holds
    texts = cloudrle.encode_many(masks)
    assert texts == [cloudrle.encode(mask) for mask in masks]
    assert texts == cloudrle.encode_many(list(masks)) == cloudrle.encode_many(iter(masks))
    assert texts == cloudrle.encode_many(np.asfortranarray(masks))
    np.testing.assert_array_equal(cloudrle.decode_many(texts, (60, 70)), masks)
    assert cloudrle.encode_many([]) == cloudrle.encode_many(np.zeros((0, 3, 3))) == []
    assert cloudrle.encode_many([np.ones((1, 2)), np.ones((3, 1), bool)]) == ["1 2", "1 3"]


def stack(shape: tuple[int, int], count: int) -> npt.NDArray[np.uint8]:
    """Masks that are full, empty, of whole columns, noise, and so on."""
    rng = np.random.default_rng(5)
    noise = [rng.integers(0, 2, shape, dtype=np.uint8) for _ in range(2)]
    columns = np.broadcast_to(rng.integers(0, 2, shape[1], dtype=np.uint8), shape)
    kinds = [np.ones(shape, np.uint8), np.zeros(shape, np.uint8), columns, *noise]
    return np.stack([kinds[i % len(kinds)] for i in range(count)])


LARGE, SMALL = ((1201, 900), 7), ((30, 41), 1000)  # masks that are parted between threads, and those taken in groups


@pytest.mark.parametrize("threads", [None, 1, 2, 3, 50, np.int64(2), 2**70])
@pytest.mark.parametrize(("shape", "count"), [LARGE, SMALL, ((0, 5), 3), ((5, 0), 3), ((1, 300_000), 2)])
def test_threads_change_nothing(shape: tuple[int, int], count: int, threads: int | None) -> None:
    masks = stack(shape, count)
    texts = [cloudrle.encode(mask) for mask in masks]
    fortran = masks.transpose(0, 2, 1).copy().transpose(0, 2, 1)
    for layout in (masks, masks[::-1], fortran, masks.astype(np.float32), masks[:, ::-1, ::-1]):
        wanted = [cloudrle.encode(mask) for mask in layout] if layout is not masks else texts
        assert cloudrle.encode_many(layout, threads=threads) == wanted
    np.testing.assert_array_equal(cloudrle.decode_many(texts, shape, threads=threads), masks)
    for out in (np.full_like(fortran, 7), np.full((count, shape[0], 2 * shape[1]), 7, np.uint8)[:, ::-1, ::-2]):
        np.testing.assert_array_equal(cloudrle.decode_many(texts, shape, out=out, threads=threads), masks)
    if masks.size:
        resized = [cloudrle.decode(text, shape, size=(33, 65)) for text in texts]
        np.testing.assert_array_equal(cloudrle.decode_many(texts, shape, size=(33, 65), threads=threads), resized)


@pytest.mark.parametrize(
    ("threads", "kind", "words"),
    [
        (0, ValueError, "threads must be a positive int or None, got 0"),
        (-1, ValueError, "threads must be a positive int or None, got -1"),
        (1.0, TypeError, "threads must be a positive int or None, got 1.0"),
        (True, TypeError, "threads must be a positive int or None, got True"),
        ("2", TypeError, "threads must be a positive int or None, got '2'"),
    ],
)
def test_threads_are_a_positive_number(threads: Any, kind: type[Exception], words: str) -> None:
    for call in (partial(cloudrle.encode_many, []), partial(cloudrle.decode_many, [], (2, 2))):
        with pytest.raises(kind) as caught:
            call(threads=threads)
        assert str(caught.value) == words


@pytest.mark.parametrize("first", [0, 1, 250, 499])
def test_of_many_bad_rows_the_first_is_named_whichever_thread_is_quicker(first: int) -> None:
    texts = [" ".join(f"{4 * i + 1} 2" for i in range(500))] * 500
    texts[first:] = ["1 2 x"] * (500 - first)
    for _ in range(5):
        with pytest.raises(cloudrle.RLEError, match=f"row {first}: 'x' at position 4") as caught:
            cloudrle.decode_many(texts, (50, 50), threads=4)
        assert caught.value.row == first


def test_a_bad_row_of_masks_that_are_parted_is_named() -> None:
    with pytest.raises(cloudrle.RLEError, match=r"^row 1: 'x' at position 4") as caught:
        cloudrle.decode_many(["1 2", "1 2 x"], LARGE[0], threads=2)
    assert caught.value.row == 1


@given(strategies.dense(), st.data())
def test_what_is_all_of_one_value_is_filled(mask: reference.Mask, data: st.DataObject) -> None:
    plain = np.full_like(mask, data.draw(st.sampled_from([0, 1])))
    out = data.draw(strategies.outs(mask.shape))
    np.testing.assert_array_equal(RLE.from_mask(plain).to_mask(out), plain)


@pytest.mark.parametrize("width", [1, 63, 64, 65, 447, 448, 511, 512, 513, 2100, 4031, 4032, 4033])
@pytest.mark.parametrize("threads", [1, 3])
def test_few_runs_are_written_whole_rows_at_a_time_wherever_they_lie(width: int, threads: int) -> None:
    """At every offset from a cache line, with nothing before or behind touched; parts of rows where threads share."""
    rng = np.random.default_rng(width)
    mask = np.zeros((70, width), np.uint8)
    for _ in range(4):
        y, x = rng.integers(70), rng.integers(width)
        mask[y : y + 1 + rng.integers(70), x : x + 1 + rng.integers(max(1, width // 128))] ^= 1
    mask[:, rng.integers(width)] = 1  # goes on in the next column
    mask[-1, -1] = width % 2
    text = reference.encode(mask)
    for offset in range(0, 64, 1 if width < 600 else 9):
        around = np.full(mask.size + 192, 9, np.uint8)
        start = -around.ctypes.data % 64 + 64 + offset
        out = around[start : start + mask.size].reshape(1, *mask.shape)
        cloudrle.decode_many([text], mask.shape, out=out, threads=threads)
        np.testing.assert_array_equal(out[0], mask)
        assert (around[:start] == 9).all()
        assert (around[start + mask.size :] == 9).all()


def test_calls_from_many_threads_do_not_meet() -> None:
    rng = np.random.default_rng(8)
    masks = [rng.random((90, 130)) < 0.5 for _ in range(64)]

    def round_trip(mask: reference.Mask) -> bool:
        text = cloudrle.encode(mask)
        rle = RLE.from_coco(RLE.from_kaggle(text, mask.shape).to_coco())
        return bool((rle.to_mask() == mask).all()) and rle.resize((45, 65), "area").area > 0

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(round_trip, masks * 4))


FORK = """
import os
import sys

import numpy as np

import cloudrle

masks = np.random.default_rng(8).random((8, 300, 400)) < 0.5
texts = cloudrle.encode_many(masks, threads=4)
child = os.fork()
for _ in range(50):
    right = cloudrle.encode_many(masks, threads=4) == texts
    right &= bool((cloudrle.decode_many(texts, (300, 400), threads=4) == masks).all())
if child == 0:
    os._exit(not right)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) or not right)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
def test_a_forked_process_has_threads_of_its_own() -> None:
    subprocess.run([sys.executable, "-c", FORK], check=True, timeout=60)
