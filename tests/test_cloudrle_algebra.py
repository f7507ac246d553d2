"""What an RLE does with its runs alone, beside the same done with NumPy on masks; and what it refuses."""

import math
import operator
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial, reduce
from typing import Any

import numpy as np
import pytest
import reference
import strategies
from hypothesis import given, settings
from hypothesis import strategies as st

import cloudrle
from cloudrle import RLE, RLEError

SMALL = st.tuples(st.integers(0, 24), st.integers(0, 24))
HUGE = (2**20 + 3, 2**20 + 1)
LARGEST = (2**63 - 1, 1)


def is_mask(rle: RLE, mask: reference.Mask) -> bool:
    """Whether an RLE is that of a mask, with runs that follow the rules."""
    return RLE.from_runs(rle.runs, rle.shape) == rle == RLE.from_mask(mask)


@st.composite
def alike(draw: st.DrawFn, least: int = 2, most: int = 2) -> list[reference.Mask]:
    """Masks of one shape."""
    shape = draw(strategies.SHAPES)
    return draw(st.lists(strategies.dense(st.just(shape)), min_size=least, max_size=most))


@st.composite
def huge(draw: st.DrawFn) -> RLE:
    """Few runs on a trillion pixels: long ones, and some of neighbouring columns."""
    base = draw(st.integers(0, HUGE[1] - 3)) * HUGE[0]
    near = st.integers(-5, 5).flatmap(lambda step: st.sampled_from([base + k * HUGE[0] + step for k in (1, 2)]))
    cuts = sorted(draw(st.sets(st.one_of(near, st.integers(0, HUGE[0] * HUGE[1])), max_size=14)))
    return RLE.from_runs(list(zip(cuts[::2], cuts[1::2], strict=False)), HUGE)


@settings(max_examples=500)
@given(alike())
def test_set_operations_are_those_of_the_pixels(masks: list[reference.Mask]) -> None:
    a, b = masks
    x, y = map(RLE.from_mask, masks)
    assert is_mask(x & y, a & b)
    assert is_mask(x | y, a | b)
    assert is_mask(x ^ y, a ^ b)
    assert is_mask(x - y, a & (1 - b))
    assert is_mask(~x, 1 - a)
    assert np.array_equal(a, x.to_mask()), "operands stay as they are"


@given(strategies.dense())
def test_a_mask_and_its_complement_share_their_runs(mask: reference.Mask) -> None:
    rle = RLE.from_mask(mask)
    complement = ~rle
    assert np.shares_memory(rle.runs, complement.runs) == (0 < rle.area < mask.size)
    copied = ~RLE.from_runs(rle.runs, rle.shape)  # those of an array lie there alone
    assert is_mask(copied, 1 - mask)
    del rle
    assert is_mask(complement, 1 - mask), "the runs outlive the mask that they were of"
    for both in (complement, copied):
        assert is_mask(~both, mask)
        assert is_mask(~~both, 1 - mask)


@given(alike(least=1, most=9))
def test_union_and_intersection_take_any_number_of_masks(masks: list[reference.Mask]) -> None:
    rles = [RLE.from_mask(mask) for mask in masks]
    assert is_mask(RLE.union(rles), reduce(operator.or_, masks))
    assert is_mask(RLE.intersection(iter(rles)), reduce(operator.and_, masks))


@settings(max_examples=500)
@given(strategies.dense(), st.data())
def test_crop_is_a_slice(mask: reference.Mask, data: st.DataObject) -> None:
    (y0, y1), (x0, x1) = (sorted(data.draw(st.tuples(*[st.integers(0, side)] * 2))) for side in mask.shape)
    if data.draw(st.booleans()):
        y0, y1 = 0, mask.shape[0]
    assert is_mask(RLE.from_mask(mask).crop((y0, x0, y1, x1)), mask[y0:y1, x0:x1])


@settings(max_examples=500)
@given(strategies.dense(), *[st.sampled_from([0, 0, 1, 70])] * 4)
def test_pad_is_that_of_numpy(mask: reference.Mask, top: int, bottom: int, left: int, right: int) -> None:
    padded = RLE.from_mask(mask).pad(top=top, bottom=bottom, left=left, right=right)
    assert is_mask(padded, np.pad(mask, ((top, bottom), (left, right))))
    box = (top, left, top + mask.shape[0], left + mask.shape[1])
    assert padded.crop(box) == RLE.from_mask(mask)


SHIFTS = st.one_of(st.integers(-150, 150), st.sampled_from([0, 1, -1, 2**70, -(2**70)]))


@settings(max_examples=300)
@given(strategies.dense(), SHIFTS, SHIFTS)
def test_translate_moves_each_pixel(mask: reference.Mask, dy: int, dx: int) -> None:
    assert is_mask(RLE.from_mask(mask).translate(dy, dx), reference.translated(mask, dy, dx))


@settings(max_examples=300)
@given(strategies.dense())
def test_flip_is_that_of_numpy(mask: reference.Mask) -> None:
    for axis in (0, 1):
        assert is_mask(RLE.from_mask(mask).flip(axis), np.flip(mask, axis))


@settings(max_examples=300)
@given(strategies.dense())
def test_centroid_is_the_mean_of_the_pixels(mask: reference.Mask) -> None:
    found, wanted = RLE.from_mask(mask).centroid, reference.centroid(mask)
    assert (found is None) == (wanted is None)
    assert found is None or found == pytest.approx(wanted, rel=1e-12)


@settings(max_examples=200)
@given(strategies.dense(SMALL), st.sampled_from([4, 8]))
def test_components_are_those_of_the_definition_by_their_first_pixels(mask: reference.Mask, connectivity: int) -> None:
    height = mask.shape[0]
    wanted = sorted(sorted(x * height + y for y, x in part) for part in reference.components(mask, connectivity))
    found = RLE.from_mask(mask).components(connectivity)  # type: ignore[arg-type]
    assert [[i for start, end in part.runs.tolist() for i in range(start, end)] for part in found] == wanted
    for part in found:
        assert RLE.from_runs(part.runs, mask.shape) == part  # which checks that its runs are canonical
    if found:
        with pytest.raises(ValueError, match="read-only"):
            found[0].runs[0, 0] = 1


@settings(max_examples=200)
@given(strategies.dense(SMALL))
def test_small_components_and_holes_follow_their_definitions(mask: reference.Mask) -> None:
    rle = RLE.from_mask(mask)
    for limit in (0, 1, 2, 5):
        assert is_mask(rle.remove_small(limit), reference.without_small(mask, limit))
        assert is_mask(rle.fill_holes(limit), reference.without_holes(mask, limit))
    assert is_mask(rle.fill_holes(), reference.without_holes(mask))
    assert rle.remove_small(2**70).area == 0
    assert rle.fill_holes(2**70) == rle.fill_holes()


@given(strategies.SHAPES, st.data())
def test_a_box_is_filled_as_a_slice_is(shape: tuple[int, int], data: st.DataObject) -> None:
    (y0, y1), (x0, x1) = (sorted(data.draw(st.tuples(*[st.integers(0, side)] * 2))) for side in shape)
    mask = np.zeros(shape, np.uint8)
    mask[y0:y1, x0:x1] = 1
    assert is_mask(RLE.from_box((y0, x0, y1, x1), shape), mask)


@given(huge(), huge())
def test_a_trillion_pixels_obey_the_laws(a: RLE, b: RLE) -> None:
    assert ~~a == a
    assert a - b == a & ~b == ~(~a | b)
    assert a ^ b == (a | b) - (a & b)
    assert (a | b).area + (a & b).area == a.area + b.area
    for axis in (0, 1):
        assert a.flip(axis).flip(axis) == a
        assert (a & b).flip(axis) == a.flip(axis) & b.flip(axis)
    cut = 2**19 + 1
    right = a.crop((0, cut, HUGE[0], HUGE[1]))
    assert a.crop((0, 0, HUGE[0], cut)).pad(right=HUGE[1] - cut) | right.pad(left=cut) == a
    assert a.translate(0, -cut) == right.pad(right=cut)
    assert RLE.union([*a.components(), a - a]) == RLE.union([*a.components(4), a - a]) == a
    assert a.remove_small(1) == a
    assert a.fill_holes() & a == a


@given(huge())
def test_a_trillion_pixels_have_a_centroid(mask: RLE) -> None:
    if mask.centroid is None:
        return
    y, x = mask.centroid
    assert mask.flip(0).flip(1).centroid == pytest.approx((HUGE[0] - 1 - y, HUGE[1] - 1 - x), rel=1e-9, abs=1e-6)


def test_the_centroid_of_a_piece_of_a_column_is_in_that_column() -> None:
    rng = np.random.default_rng(1)  # even draws: sums of round numbers, as hypothesis likes them, need no rounding
    for _ in range(200):
        height, column = int(rng.integers(1, 2**45)), int(rng.integers(2**17))
        top, bottom = sorted(rng.integers(height + 1, size=2).tolist())
        mask = RLE.from_runs([[column * height + top, column * height + bottom]], (height, 2**17))
        assert mask.centroid == ((top + bottom - 1) / 2, column)


def test_rows_that_are_cropped_and_padded_far_beyond_32_bits() -> None:
    mask = RLE.from_runs([[5 * 2**40 + 1, 5 * 2**40 + 4], [6 * 2**40 - 1, 7 * 2**40 + 2]], (2**40, 2**20))
    np.testing.assert_array_equal(mask.crop((1, 5, 4, 8)).to_mask(), [[1, 1, 1], [1, 1, 0], [1, 1, 0]])
    assert mask.crop((2**40 - 1, 4, 2**40, 8)).to_mask().tolist() == [[0, 1, 1, 0]]
    assert mask.pad(top=1, left=2**20).runs.tolist() == [
        [(2**20 + 5) * (2**40 + 1) + 2, (2**20 + 5) * (2**40 + 1) + 5],
        [(2**20 + 6) * (2**40 + 1) - 1, (2**20 + 6) * (2**40 + 1)],
        [(2**20 + 6) * (2**40 + 1) + 1, (2**20 + 7) * (2**40 + 1)],
        [(2**20 + 7) * (2**40 + 1) + 1, (2**20 + 7) * (2**40 + 1) + 3],
    ]


def test_the_largest_mask_needs_no_more_than_its_runs() -> None:
    full = RLE.from_runs([[0, 2**63 - 1]], LARGEST)
    assert (~full).area == 0
    assert ~~full == full == full.flip(0) == full.flip(1) == full | ~full
    assert full.components() == full.components(4) == [full]
    assert full.fill_holes() == full.remove_small(2**63 - 1) == full
    assert full.centroid == (2.0**62, 0.0)
    assert full.translate(1, 0).runs.tolist() == [[1, 2**63 - 1]]
    assert [(ring.tolist(), holes) for ring, holes in full.to_polygons()] == [
        ([[0, 0], [1, 0], [1, 2**63 - 1], [0, 2**63 - 1]], [])
    ]
    wide = RLE.from_counts([0, 2**62], (1, 2**62))
    assert wide.components() == [wide.flip(1)]
    columns = RLE.from_runs([[0, 3 * 2**40], [5 * 2**40 - 1, 5 * 2**40 + 1]], (2**40, 8))
    assert [part.runs.tolist() for part in columns.components()] == [
        [[0, 3 * 2**40]],
        [[5 * 2**40 - 1, 5 * 2**40]],
        [[5 * 2**40, 5 * 2**40 + 1]],
    ]


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0)])
def test_masks_without_pixels_are_empty_masks(shape: tuple[int, int]) -> None:
    none = RLE.from_runs([], shape)
    assert (none & none) == (none | none) == (none ^ none) == (none - none) == ~none == none
    assert none.flip(0) == none.flip(1) == none.translate(3, -3) == none.fill_holes() == none.remove_small(5) == none
    assert none.crop((0, 0, *shape)) == RLE.from_box((0, 0, *shape), shape) == none
    assert none.pad(top=2, right=1) == RLE.from_runs([], (shape[0] + 2, shape[1] + 1))
    assert none.components() == none.to_polygons() == []
    assert none.centroid is None
    assert none.bbox is None
    assert none.iou(none) == none.dice(none) == 1.0
    assert RLE.from_polygon([0, 0, 9, 0, 9, 9, 0, 9], shape) == none


@given(alike(least=0, most=4), alike(least=0, most=1), st.integers(1, 3))
def test_matrices_hold_what_pairs_give(masks: list[reference.Mask], more: list[reference.Mask], threads: int) -> None:
    a = [RLE.from_mask(mask) for mask in masks]
    b = [RLE.from_mask(mask) for mask in (more if more and masks and more[0].shape == masks[0].shape else masks[::-1])]
    for matrix, measure in ((cloudrle.iou_matrix, RLE.iou), (cloudrle.dice_matrix, RLE.dice)):
        found = matrix(a, iter(b), threads=threads)
        assert found.shape == (len(a), len(b))
        assert found.dtype == np.float64
        assert found.tolist() == [[measure(x, y) for y in b] for x in a]


def many(count: int, seed: int) -> list[RLE]:
    """Noise, in boxes here and there, some of them empty."""
    rng = np.random.default_rng(seed)
    masks = []
    for _ in range(count):
        mask = np.zeros((64, 80), np.uint8)
        y, x = rng.integers(0, 60, 2)
        mask[y : y + 20, x : x + 30] = rng.random(mask[y : y + 20, x : x + 30].shape) < rng.choice([0.0, 0.5])
        masks.append(RLE.from_mask(mask))
    return masks


def test_matrices_of_many_masks_are_the_same_on_every_number_of_threads() -> None:
    a, b = many(60, 0), many(50, 1)
    alone = cloudrle.iou_matrix(a, b, threads=1)
    assert alone.tolist() == [[x.iou(y) for y in b] for x in a]
    assert 0 < (alone == 0).sum() < alone.size
    for threads in (2, 5, None):
        np.testing.assert_array_equal(cloudrle.iou_matrix(a, b, threads=threads), alone)


def test_operations_run_side_by_side() -> None:
    masks = many(8, 2)
    calls: list[Callable[[], Any]] = [partial(RLE.union, masks), partial(cloudrle.dice_matrix, masks, masks)]
    calls += [
        call for a in masks for call in (a.components, a.fill_holes, a.to_polygons, partial(a.flip, 0), a.__invert__)
    ]
    alone = [repr(call()) for call in calls]
    with ThreadPoolExecutor(8) as pool:
        assert [repr(found) for found in pool.map(lambda call: call(), 4 * calls)] == 4 * alone


def test_an_array_is_no_operand() -> None:
    mask = RLE.from_mask([[1, 0]])
    array = np.array([[1, 0]])
    untyped: Any = mask
    for operation in (operator.and_, operator.or_, operator.xor, operator.sub):
        for operands in ((untyped, array), (array, untyped), (untyped, 1)):
            with pytest.raises(TypeError, match=r"unsupported operand type|does not support ufuncs"):
                operation(*operands)


small, tall = RLE.from_runs([], (2, 3)), RLE.from_runs([], (3, 2))
untyped: Any = cloudrle
BOX = "box must be four ints (y0, x0, y1, x1)"
INSIDE = "box must lie inside the mask of 2 x 3, 0 <= y0 <= y1 <= 2 and 0 <= x0 <= x1 <= 3, got (y0, x0, y1, x1) = "
SHAPES = "masks must have the same shape, got 2 x 3 and 3 x 2"
RING = "must be one ring, [x1, y1, x2, y2, ...] or pairs (x, y)"
UNITE = "unite several polygons with RLE.union"

REFUSED = [
    (lambda: small & tall, RLEError, f"{SHAPES}; resize one of them"),
    (lambda: small - tall, RLEError, f"{SHAPES}; resize one of them"),
    (lambda: small.dice(tall), RLEError, f"{SHAPES}; resize one of them"),
    (lambda: RLE.union([small, small, tall]), RLEError, f"{SHAPES} at index 2; resize one of them"),
    (lambda: cloudrle.iou_matrix([small], [tall]), RLEError, f"{SHAPES}; resize one of them"),
    (lambda: cloudrle.iou_matrix([small], [small, tall]), RLEError, f"{SHAPES} at index 1; resize one of them"),
    (lambda: RLE.union([]), ValueError, "masks must hold at least one RLE: none at all have no shape"),
    (lambda: RLE.intersection([]), ValueError, "masks must hold at least one RLE: none at all have no shape"),
    (lambda: untyped.RLE.union(3), TypeError, "masks must be a sequence of RLE, got int"),
    (lambda: untyped.RLE.union([small, "1 2"]), TypeError, "masks must be a sequence of RLE, got str at index 1"),
    (lambda: untyped.dice_matrix([small], [None]), TypeError, "b must be a sequence of RLE, got NoneType at index 0"),
    (lambda: small.crop((0, 0, 2)), ValueError, f"{BOX}, got (0, 0, 2)"),
    (lambda: untyped.RLE.crop(small, None), TypeError, f"{BOX}, got None"),
    (lambda: untyped.RLE.crop(small, (0, 0, 1.0, 1)), TypeError, f"{BOX}, got (0, 0, 1.0, 1)"),
    (lambda: small.crop((0, 0, 3, 3)), ValueError, f"{INSIDE}(0, 0, 3, 3)"),
    (lambda: small.crop((1, 0, 0, 3)), ValueError, f"{INSIDE}(1, 0, 0, 3)"),
    (lambda: small.crop((0, -1, 1, 1)), ValueError, f"{INSIDE}(0, -1, 1, 1)"),
    (lambda: RLE.from_box((0, 0, 1, 2**70), (2, 3)), ValueError, f"{INSIDE}(0, 0, 1, {2**70})"),
    (lambda: small.pad(top=-1), ValueError, "top must not be negative, got -1"),
    (lambda: untyped.RLE.pad(small, left=True), TypeError, "left must be an int, got True"),
    (
        lambda: small.pad(top=2**62),
        ValueError,
        f"the padded shape must have at most 2**63 - 1 pixels, got {2**62 + 2} x 3",
    ),
    (lambda: untyped.RLE.translate(small, 0.5, 1), TypeError, "dy must be an int, got 0.5"),
    (lambda: untyped.RLE.flip(small, 2), ValueError, "axis must be one of 0, 1, got 2"),
    (lambda: untyped.RLE.components(small, 6), ValueError, "connectivity must be one of 4, 8, got 6"),
    (lambda: untyped.RLE.components(small, 8.0), TypeError, "connectivity must be an int, got 8.0"),
    (lambda: small.remove_small(-1), ValueError, "min_area must not be negative, got -1"),
    (lambda: untyped.RLE.fill_holes(small, "2"), TypeError, "max_area must be an int, got '2'"),
    (
        lambda: RLE.from_polygon([1, 2, 3], (2, 3)),
        ValueError,
        f"polygon {RING}, got 3 numbers, of which the last x has no y",
    ),
    (lambda: untyped.RLE.from_polygon("1 2", (2, 3)), TypeError, f"polygon {RING}, got dtype <U3"),
    (
        lambda: RLE.from_polygon([[0, 0, 1, 0, 1, 1]], (2, 3)),
        ValueError,
        f"polygon {RING}, got an array of shape (1, 6); {UNITE}",
    ),
    (
        lambda: untyped.RLE.from_polygon([[0, 0, 1, 0, 1, 1], [0, 0]], (2, 3)),
        ValueError,
        f"polygon {RING}, got rows of unequal length; {UNITE}",
    ),
    (
        lambda: RLE.from_polygon([0, 0, math.nan, 1], (2, 3)),
        ValueError,
        "a polygon must have finite coordinates of at most 2**49, got the vertex (nan, 1.0)",
    ),
    (
        lambda: RLE.from_polygon([0, 0, 1, 1], (2, 3), holes=[[0, 2.0**50]]),
        ValueError,
        "a polygon must have finite coordinates of at most 2**49, got the vertex (0.0, 1125899906842624.0)",
    ),
]


@pytest.mark.parametrize(("call", "kind", "message"), REFUSED, ids=[message for _, _, message in REFUSED])
def test_what_does_not_fit_is_refused(call: Callable[[], object], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert type(caught.value) is kind
    assert str(caught.value) == message


def test_the_error_says_which_mask_of_a_list_differs() -> None:
    with pytest.raises(RLEError) as caught:
        RLE.union([small, small, tall])
    assert caught.value.row == 2
