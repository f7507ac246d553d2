"""Polygons to runs as COCO does it, and runs to polygons and back."""

import numpy as np
import pytest
import reference
import strategies
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import _mask as pycoco

from cloudrle import RLE, _check

SMALL = st.tuples(st.integers(0, 16), st.integers(0, 16))


def polygons(rng: np.random.Generator, shape: tuple[int, int]) -> list[float]:
    """Vertices in and around a mask: anywhere, on fifths and halves, on the edges of pixels, or repeated."""
    count = int(rng.integers(1, 12))
    points = rng.uniform(-0.3, 1.3, (count, 2)) * np.maximum(shape[::-1], 3)
    match rng.integers(5):
        case 0:
            points = np.round(points)
        case 1:
            points = np.round(points * 10) / 10
        case 2:
            points[1:] = np.where(rng.random((count - 1, 2)) < 0.5, points[:-1], points[1:])
        case 3:
            points = rng.integers(0, 3, (count, 2)) * np.array(shape[::-1]) / 2
    return [float(number) for number in points.ravel()]


def test_thousands_of_polygons_are_those_of_pycocotools() -> None:
    rng = np.random.default_rng(0)
    for _ in range(5000):
        shape = (int(rng.integers(0, 50)), int(rng.integers(1, 50)))  # of width 0 pycocotools makes rubbish
        polygon = polygons(rng, shape)
        ours = RLE.from_polygon(polygon, shape)
        assert [ours.to_coco()["counts"].encode()] == [rle["counts"] for rle in pycoco.frPoly([polygon], *shape)]


def test_long_edges_are_those_of_pycocotools() -> None:
    rng = np.random.default_rng(1)
    for _ in range(300):
        shape = (int(rng.integers(1, 3000)), int(rng.integers(1, 3000)))
        polygon = polygons(rng, shape)
        ours = RLE.from_polygon(polygon, shape)
        assert [ours.to_coco()["counts"].encode()] == [rle["counts"] for rle in pycoco.frPoly([polygon], *shape)]


COORDINATES = st.one_of(st.integers(-20, 60).map(lambda n: n / 5), st.floats(-5, 20), st.integers(-3, 20).map(float))


@settings(max_examples=300)
@given(st.lists(st.tuples(COORDINATES, COORDINATES), max_size=8), st.integers(0, 15), st.integers(0, 15))
def test_polygons_follow_the_definition(vertices: list[tuple[float, float]], height: int, width: int) -> None:
    flat = [number for vertex in vertices for number in vertex]
    ours = RLE.from_polygon(np.array(vertices).reshape(-1, 2), (height, width))
    wanted = RLE.from_mask(reference.paint(reference.coco_polygon(flat, (height, width)), (height, width)))
    assert ours == wanted == RLE.from_polygon(flat, (height, width))
    assert RLE.from_runs(ours.runs, ours.shape) == ours


def test_vertices_are_copied_before_they_are_checked() -> None:
    """Another thread may write to the caller's array while the core reads."""
    vertices = np.array([[0.0, 0], [2, 0], [2, 2]])
    assert not np.shares_memory(_check.ring(vertices, "polygon"), vertices)


def test_polygons_have_no_32_bit_limit() -> None:
    side = 2**40
    triangle = np.array([[side - 4, side - 4], [side, side - 4], [side - 4, side]])
    shape = (side, 2**22)
    assert RLE.from_polygon(triangle, shape).area == 0
    corner = RLE.from_polygon(triangle - [side - 2**22, 0], shape)
    box = (side - 4, 2**22 - 4, side, 2**22)
    assert corner.crop(box) == RLE.from_polygon(triangle - (side - 4), (4, 4))
    assert corner.area == corner.crop(box).area > 0


def test_steep_edges_where_a_double_has_few_digits_left() -> None:
    """Out there the column of a step is far from what the slope says."""
    rng = np.random.default_rng(3)
    shape = (100, 2**49)
    for _ in range(300):
        corners = np.round(rng.uniform([2.0**48, -20], [2.0**48 + 30, 120], (4, 2)) * 5) / 5
        flat = corners.ravel().tolist()
        runs = RLE.from_polygon(flat, shape).runs
        assert [tuple(run) for run in runs.tolist()] == reference.coco_polygon(flat, shape)


def test_holes_are_taken_away() -> None:
    square, hole = [0, 0, 5, 0, 5, 5, 0, 5], [[1, 1], [3, 1], [3, 3], [1, 3]]
    mask = RLE.from_polygon(square, (5, 6), holes=[hole, [2, 2, 9, 2, 9, 4, 2, 4]])
    wanted = np.zeros((5, 6), np.uint8)
    wanted[:, :5] = 1
    wanted[1:3, 1:3] = wanted[2:4, 2:] = 0
    np.testing.assert_array_equal(mask.to_mask(), wanted)


def filled(rle: RLE) -> RLE:
    """The mask of its polygons."""
    masks = [RLE.from_polygon(outer, rle.shape, holes) for outer, holes in rle.to_polygons()]
    return RLE.union([RLE.from_runs([], rle.shape), *masks])


@settings(max_examples=300)
@given(strategies.dense(SMALL))
def test_rings_follow_the_definition(mask: reference.Mask) -> None:
    rle = RLE.from_mask(mask)
    found = rle.to_polygons()
    parts = rle.components(4)
    assert len(found) == len(parts)
    for (outer, holes), part in zip(found, parts, strict=True):
        pixels = part.to_mask()
        wanted = {tuple(sorted(hole)) for hole in reference.holes(np.pad(pixels, 1))}
        rings = [reference.ring_pixels(ring, mask.shape) for ring in holes]
        assert {tuple(map(tuple, np.argwhere(np.pad(ring, 1)).tolist())) for ring in rings} == wanted
        assert len(rings) == len(wanted)
        np.testing.assert_array_equal(reference.ring_pixels(outer, mask.shape), pixels + sum(rings))
        for ring, turn in ((outer, 1), *((hole, -1) for hole in holes)):
            assert ring.dtype == np.int64
            assert np.sign(signed_area(ring)) == turn
            assert len({tuple(corner) for corner in ring.tolist()}) == len(ring), "no ring touches itself"
            steps = np.roll(ring, -1, axis=0) - ring
            assert ((steps != 0).sum(axis=1) == 1).all(), "edges are horizontal or vertical"
            assert ((steps != 0) != (np.roll(steps, 1, axis=0) != 0)).all(), "and turn at each corner"


def signed_area(ring: reference.Mask) -> int:
    """Positive where a ring goes clockwise on a screen."""
    after = np.roll(ring, -1, axis=0)
    return int((ring[:, 0] * after[:, 1] - after[:, 0] * ring[:, 1]).sum())


def test_thousands_of_masks_come_back_from_their_polygons() -> None:
    rng = np.random.default_rng(2)
    for _ in range(2000):
        shape = (int(rng.integers(0, 40)), int(rng.integers(0, 40)))
        mask = rng.random(shape) < rng.choice([0.05, 0.5, 0.8, 1.0])
        if rng.random() < 0.3:
            mask = np.kron(mask, np.ones((1, 3), bool)) if rng.random() < 0.5 else np.kron(mask, np.ones((7, 2), bool))
        rle = RLE.from_mask(mask)
        assert filled(rle) == rle


@given(strategies.dense())
def test_masks_of_any_shape_come_back_from_their_polygons(mask: reference.Mask) -> None:
    if (np.diff(mask, axis=0) != 0).sum() < 1000:
        assert filled(RLE.from_mask(mask)) == RLE.from_mask(mask)


@pytest.mark.parametrize(
    ("mask", "rings"),
    [
        ([[1]], [([[0, 0], [1, 0], [1, 1], [0, 1]], [])]),
        ([[1, 0], [0, 1]], [([[0, 0], [1, 0], [1, 1], [0, 1]], []), ([[1, 1], [2, 1], [2, 2], [1, 2]], [])]),
        (
            [[1, 1, 1], [1, 0, 1], [1, 1, 0]],  # a hole that touches the outside at a corner
            [([[0, 0], [3, 0], [3, 2], [2, 2], [2, 3], [0, 3]], [[[1, 2], [2, 2], [2, 1], [1, 1]]])],
        ),
    ],
)
def test_rings_of_small_masks(
    mask: list[list[int]], rings: list[tuple[list[list[int]], list[list[list[int]]]]]
) -> None:
    found = RLE.from_mask(mask).to_polygons()
    assert [(outer.tolist(), [hole.tolist() for hole in holes]) for outer, holes in found] == rings
