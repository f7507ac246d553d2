"""cloudrle.coco beside pycocotools.mask: the same results, and a table of where they differ on purpose."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pycocotools.coco
import pycocotools.cocoeval
import pytest
from pycocotools import _mask as pycoco_core
from pycocotools import mask as pycoco

from cloudrle import RLE, RLEError, coco

Rng = np.random.Generator


def shapes(rng: Rng) -> tuple[int, int]:
    height, width = rng.choice([0, 1, 2, 63, 64, *rng.integers(1, 90, 6)], 2).tolist()
    return height, width


def masks(rng: Rng, shape: tuple[int, int], count: int) -> list[dict[str, Any]]:
    """RLEs of noise, blocks, nothing and everything, as pycocotools encodes them."""
    found = []
    for _ in range(count):
        mask = rng.random(shape) < rng.choice([0.0, 0.02, 0.5, 0.98, 1.0])
        if rng.random() < 0.5:
            y, x = (int(rng.integers(0, side + 1)) for side in shape)
            mask[:y, :] = mask[:, x:] = False
        found.append(pycoco.encode(np.asfortranarray(mask)))
    return found


def boxes(rng: Rng, count: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Boxes round and inside masks of up to 90 pixels a side, some without a size or of less."""
    values = rng.uniform(-20, 100, (count, 4)) * rng.choice([0.0, 0.3, 1.0], (count, 4))
    return np.asarray(np.where(rng.random((count, 4)) < 0.3, np.round(values), values))


def same(ours: Any, theirs: Any) -> None:
    """Compare values, types, dtypes, shapes and order."""
    assert type(ours) is type(theirs)
    if isinstance(theirs, np.ndarray):
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
        assert (ours.flags.f_contiguous, ours.flags.c_contiguous) == (
            theirs.flags.f_contiguous,
            theirs.flags.c_contiguous,
        )
        np.testing.assert_array_equal(ours, theirs)
    else:
        assert ours == theirs


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools under NumPy 2
def test_thousands_of_masks_are_encoded_and_measured_alike() -> None:
    rng = np.random.default_rng(0)
    for _ in range(1500):
        shape = shapes(rng)
        rles = masks(rng, shape, int(rng.integers(1, 4)))
        stack = pycoco.decode(rles)
        same(coco.decode(rles), stack)
        same(coco.decode(rles[0]), pycoco.decode(rles[0]))
        same(coco.encode(stack), rles)
        same(coco.encode(np.ascontiguousarray(stack[:, :, 0])), rles[0])
        for ours, theirs in ((coco.area, pycoco.area), (coco.toBbox, pycoco.toBbox)):
            same(ours(rles), theirs(rles))
            same(ours(rles[0]), theirs(rles[0]))
    same(coco.area([]), pycoco.area([]))
    same(coco.toBbox([]), pycoco.toBbox([]))
    none = np.zeros((3, 4, 0), np.uint8, order="F")
    same(coco.encode(none), pycoco.encode(none))


def test_thousands_of_merges_are_alike() -> None:
    rng = np.random.default_rng(1)
    for _ in range(3000):
        rles = masks(rng, shapes(rng), int(rng.integers(1, 6)))
        intersect = bool(rng.integers(2))
        same(coco.merge(rles, intersect), pycoco.merge(rles, intersect))
        same(coco.merge(rles), pycoco.merge(rles))


def test_thousands_of_ious_of_masks_are_alike() -> None:
    rng = np.random.default_rng(2)
    for _ in range(1500):
        shape = shapes(rng)
        dt, gt = (masks(rng, shape, int(rng.integers(0, 5))) for _ in range(2))
        crowd = rng.integers(0, 2, len(gt)).tolist()
        same(coco.iou(dt, gt, crowd), pycoco.iou(dt, gt, crowd))


def test_thousands_of_ious_of_boxes_are_alike() -> None:
    rng = np.random.default_rng(3)
    for _ in range(2000):
        dt, gt = (boxes(rng, int(rng.integers(0, 6))) for _ in range(2))
        crowd = rng.integers(0, 2, len(gt)).astype(bool)
        theirs = pycoco.iou(dt, gt, crowd)
        same(coco.iou(dt, gt, crowd), theirs)
        same(coco.iou(dt.tolist(), list(gt), crowd.tolist()), theirs)


def test_thousands_of_boxes_and_polygons_are_alike() -> None:
    rng = np.random.default_rng(4)
    for _ in range(3000):
        height, width = max(shapes(rng)[0], 0), max(shapes(rng)[1], 1)
        found = boxes(rng, int(rng.integers(0, 4)))
        same(coco.frBbox(found, height, width), pycoco_core.frBbox(found, height, width))
        same(coco.frPyObjects(found, height, width), pycoco.frPyObjects(found, height, width))
        polygons = [rng.uniform(-10, 100, 2 * int(rng.integers(3, 9))).tolist() for _ in range(int(rng.integers(1, 4)))]
        same(coco.frPoly(polygons, height, width), pycoco_core.frPoly(polygons, height, width))
        same(coco.frPyObjects(polygons, height, width), pycoco.frPyObjects(polygons, height, width))


def test_thousands_of_counts_are_alike() -> None:
    rng = np.random.default_rng(5)
    for _ in range(1000):
        shape = shapes(rng)
        counts = [RLE.from_coco(rle).to_coco(compressed=False) for rle in masks(rng, shape, 2)]
        same(coco.frUncompressedRLE(counts, *shape), pycoco_core.frUncompressedRLE(counts, *shape))
        same(coco.frPyObjects(counts, *shape), pycoco.frPyObjects(counts, *shape))
        same(coco.frPyObjects(counts[0], *shape), pycoco.frPyObjects(counts[0], *shape))


# The whole of an evaluation


def blob(rng: Rng, shape: tuple[int, int]) -> list[float]:
    """A polygon with up to 11 corners."""
    angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(5, 12))))
    centre, radius = rng.uniform(0.2, 0.8, 2) * shape[::-1], rng.uniform(3, 18)
    spokes = radius * rng.uniform(0.6, 1.2, (len(angles), 1))
    return [float(number) for number in (centre + spokes * np.stack([np.cos(angles), np.sin(angles)], 1)).ravel()]


def dataset(rng: Rng) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Ground truth of polygons, and of runs that are crowds; detections near it and anywhere."""
    shape = (60, 80)
    images = [{"id": i, "height": shape[0], "width": shape[1]} for i in range(1, 16)]
    annotations: list[dict[str, Any]] = []
    detections: list[dict[str, Any]] = []
    for image in images:
        for _ in range(int(rng.integers(1, 6))):
            polygons = [blob(rng, shape) for _ in range(int(rng.integers(1, 3)))]
            rle = pycoco.merge(pycoco.frPyObjects(polygons, *shape))
            crowd = int(rng.random() < 0.2)
            counts = RLE.from_coco(rle).to_coco(compressed=False)
            category = int(rng.integers(1, 4))
            annotations.append(
                {
                    **{"id": len(annotations) + 1, "image_id": image["id"], "category_id": category, "iscrowd": crowd},
                    "segmentation": counts if crowd else polygons,
                    "area": float(pycoco.area(rle)),
                    "bbox": pycoco.toBbox(rle).tolist(),
                }
            )
            for _ in range(int(rng.integers(0, 3))):
                moved = np.roll(pycoco.decode(rle), rng.integers(-1, 2, 2), (0, 1))
                moved[rng.random(shape) < 0.05] = 0
                found = pycoco.encode(np.asfortranarray(moved if rng.random() < 0.8 else rng.random(shape) < 0.1))
                score = float(rng.random())
                detections.append(
                    {"image_id": image["id"], "category_id": category, "segmentation": found, "score": score}
                )
    return {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": i, "name": str(i)} for i in (1, 2, 3)],
        "info": {},
    }, detections


def twelve_numbers(truth: dict[str, Any], detections: list[dict[str, Any]], kind: str) -> list[float]:
    api = pycocotools.coco.COCO()
    api.dataset = truth
    api.createIndex()
    evaluation = pycocotools.cocoeval.COCOeval(api, api.loadRes([dict(one) for one in detections]), kind)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return [float(number) for number in evaluation.stats]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools under NumPy 2
@pytest.mark.parametrize("kind", ["segm", "bbox"])
def test_cocoeval_gives_the_same_twelve_numbers(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    truth, detections = dataset(np.random.default_rng(6))
    if kind == "bbox":
        detections = [{**one, "bbox": pycoco.toBbox(one.pop("segmentation")).tolist()} for one in detections]
    theirs = twelve_numbers(truth, detections, kind)
    for module in (pycocotools.coco, pycocotools.cocoeval):
        monkeypatch.setattr(module, "maskUtils", coco)
    ours = twelve_numbers(truth, detections, kind)
    assert len(ours) == 12
    assert ours == theirs
    assert 0.1 < ours[0] < 0.9


# Where the two differ on purpose: the rows of the module's table

SQUARE = {"size": [4, 4], "counts": b"52203"}
assert coco.decode(SQUARE).sum() == 4
OTHER = {"size": [2, 8], "counts": b"02>"}
LONG = {"size": [2**17, 2**17], "counts": RLE.from_counts([1, 2**34 - 1], (2**17, 2**17)).to_coco()["counts"]}


def test_masks_of_any_order_and_dtype_are_encoded() -> None:
    mask = np.arange(12).reshape(3, 4) % 3
    wanted = pycoco.encode(np.asfortranarray(mask != 0))
    for array in (mask, mask.astype(float), mask.astype(bool), mask[::-1, ::-1][::-1, ::-1], mask.astype(np.uint8)):
        assert coco.encode(array) == wanted
        stack = np.stack([array, np.zeros_like(array), array], axis=-1)
        for each in (stack, np.asfortranarray(stack), stack[:, ::-1][:, ::-1]):
            assert coco.encode(each) == [wanted, coco.encode(np.zeros((3, 4))), wanted]
    assert pycoco.encode(np.asfortranarray(mask.astype(np.uint8))) != wanted


def test_counts_of_zero_are_joined_with_their_neighbours() -> None:
    zeros = {"size": [2, 2], "counts": [1, 1, 0, 1, 1]}
    assert coco.frUncompressedRLE([zeros], 2, 2) == [{"size": [2, 2], "counts": b"121"}]
    assert pycoco.frPyObjects(zeros, 2, 2)["counts"] != b"121"
    empty = {"size": [2, 2], "counts": [0, 0, 4]}
    assert coco.toBbox(coco.frPyObjects(empty, 2, 2)).tolist() == [0, 0, 0, 0]
    assert coco.area(empty) == 0, "a list of counts is an RLE as well"


def test_rles_of_every_kind_are_measured_in_one_list() -> None:
    kinds: list[Any] = [SQUARE, {"size": (4, 4), "counts": [0, 16]}, {"size": [3, 0], "counts": b"0"}]
    rles = [*kinds, *kinds[::-1]]
    assert coco.area(rles).tolist() == [4, 16, 0, 0, 16, 4]
    boxes = [[1, 1, 2, 2], [0, 0, 4, 4], [0, 0, 0, 0]]
    assert coco.toBbox(rles).tolist() == boxes + boxes[::-1]


def test_more_than_32_bits_of_pixels() -> None:
    assert coco.area(LONG) == 2**34 - 1
    assert coco.area([LONG, SQUARE]).dtype == np.uint64
    assert coco.toBbox(LONG).tolist() == [0, 0, 2**17, 2**17]
    assert coco.merge([LONG, LONG])["counts"] == LONG["counts"].encode()
    assert coco.iou([LONG], [LONG], [0]).tolist() == [[1.0]]


def test_tuples_are_as_good_as_lists() -> None:
    assert coco.area((SQUARE, SQUARE)).tolist() == [4, 4]
    assert coco.iou([(0, 0, 2, 2)], [(0, 0, 2, 2)], (0,)).tolist() == [[1.0]]
    assert coco.iou((SQUARE,), (SQUARE,), (0,)).tolist() == [[1.0]]


def test_boxes_in_lists_are_boxes() -> None:
    wanted = coco.frBbox(np.array([[0.0, 0, 2, 2]]), 4, 4)
    assert coco.frPyObjects([[0, 0, 2, 2]], 4, 4) == coco.frBbox([[0, 0, 2, 2]], 4, 4) == wanted
    assert [coco.frPyObjects([0, 0, 2, 2], 4, 4)] == [coco.frPyObjects([0, 0, 2, 0, 2, 2, 0, 2], 4, 4)] == wanted


def test_polygons_on_a_mask_of_width_0_are_empty() -> None:
    assert coco.frPoly([[0, 0, 2, 2, 0, 2]], 4, 0) == [{"size": [4, 0], "counts": b"0"}]


untyped: Any = coco
REFUSED = [
    (lambda: coco.encode(np.zeros((2, 2, 2, 2))), ValueError, "got an array of shape (2, 2, 2, 2)"),
    (lambda: coco.encode(np.array([[["a"]]])), TypeError, "mask must have an integer, bool or float dtype, got <U1"),
    (lambda: coco.encode(np.array([["a"]])), TypeError, "mask must have an integer, bool or float dtype, got <U1"),
    (lambda: coco.decode({"size": [4, 4], "counts": b"52"}), RLEError, "the counts add up to 7, but a 4 x 4 mask has"),
    (lambda: coco.area([SQUARE, {"size": [4, 4], "counts": b"Q"}]), RLEError, "row 1: the COCO string stops inside"),
    (lambda: coco.toBbox({"size": [4, 4], "counts": ""}), RLEError, "the counts add up to 0, but a 4 x 4 mask has 16"),
    (lambda: coco.area({"size": [4, 4], "counts": b"1O"}), RLEError, "count 2 is -1; counts are numbers of pixels"),
    (lambda: coco.merge([SQUARE, {"size": [4, 4], "counts": b"\x80"}]), RLEError, "row 1: non-ASCII byte 0x80 at"),
    (lambda: coco.area({"size": [4, 4]}), ValueError, "coco must be a mapping with 'size' and 'counts', got the keys"),
    (
        lambda: coco.decode([SQUARE, {"size": [1, 1], "counts": [1.5]}]),
        TypeError,
        "row 1: counts must be a list of int",
    ),
    (lambda: coco.area([SQUARE, {"size": [4, 4]}]), ValueError, "row 1: coco must be a mapping with 'size' and"),
    (lambda: untyped.area("52203"), TypeError, "an RLE or a list of RLEs is wanted, got str"),
    (lambda: untyped.area([3]), TypeError, "coco must be a mapping with 'size' and 'counts', got int"),
    (lambda: coco.decode([]), ValueError, "at least one RLE is wanted, got an empty list"),
    (lambda: coco.merge([]), ValueError, "at least one RLE is wanted, got an empty list"),
    (lambda: coco.decode([SQUARE, OTHER]), RLEError, "masks must have the same shape, got 4 x 4 and 2 x 8 at index 1"),
    (lambda: coco.merge([SQUARE, OTHER]), RLEError, "masks must have the same shape, got 4 x 4 and 2 x 8 at index 1"),
    (lambda: coco.iou([SQUARE], [OTHER], [0]), RLEError, "masks must have the same shape, got 4 x 4 and 2 x 8"),
    (lambda: coco.iou([SQUARE], [SQUARE], []), ValueError, "pyiscrowd must have one entry for each of the 1 in gt"),
    (lambda: coco.iou([SQUARE], [[0, 0, 1, 1]], [0]), TypeError, "dt and gt must both be RLEs or both be boxes"),
    (lambda: coco.iou([SQUARE, [0, 0, 1, 1]], [SQUARE], [0]), TypeError, "dt must be all RLEs or all boxes, got both"),
    (lambda: coco.iou([[0, 0, 1]], [SQUARE], [0]), ValueError, "dt must be boxes, an array of shape (n, 4), got an"),
    (
        lambda: coco.iou(3, [SQUARE], [0]),
        TypeError,
        "dt must be a list of RLEs or boxes, or an array of boxes, got int",
    ),
    (lambda: coco.iou([[0, 0, 1, np.nan]], [[0, 0, 1, 1]], [0]), ValueError, "of finite numbers, got [0.0, 0.0, 1.0,"),
    (
        lambda: coco.frBbox([[0, 0, np.inf, 1]], 4, 4),
        ValueError,
        "bb must be boxes, an array of shape (n, 4) of finite",
    ),
    (lambda: coco.frBbox([["a"] * 4], 4, 4), TypeError, "bb must be boxes, an array of shape (n, 4), got dtype <U1"),
    (lambda: coco.frPoly([[0, 0, 1, 0, 1]], 4, 4), ValueError, "got 5 numbers, of which the last x has no y"),
    (lambda: coco.frPoly([[0, 0, 1, np.nan]], 4, 4), ValueError, "a polygon must have finite coordinates of at most"),
    (
        lambda: untyped.frPoly([[0, 0, 1, 1]], 4.5, 4),
        TypeError,
        "shape must be a pair of ints (height, width), got (4.5",
    ),
    (lambda: coco.frPoly([[0, 0, 1, 1]], -4, 4), ValueError, "shape must not be negative, got -4 x 4"),
    (lambda: coco.frPyObjects([], 4, 4), ValueError, "pyobj must hold at least one box, polygon or RLE, got an empty"),
    (lambda: coco.frPyObjects((0, 0, 1, 1), 4, 4), TypeError, "pyobj must be an array of boxes, a list or an RLE, got"),
    (lambda: coco.frPyObjects([[0, 0, 1, 1], [0, 0, 1, 1, 2, 2]], 4, 4), ValueError, "got rows of unequal length"),
]


@pytest.mark.parametrize(("call", "kind", "message"), REFUSED, ids=[message for _, _, message in REFUSED])
def test_what_pycocotools_reads_as_rubbish_is_refused(
    call: Callable[[], object], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert type(caught.value) is kind
    assert message in str(caught.value)


def test_every_function_of_pycocotools_is_here() -> None:
    public = {name for name in dir(pycoco) if callable(getattr(pycoco, name))} | {
        name for name in ("frBbox", "frPoly", "frUncompressedRLE") if hasattr(pycoco_core, name)
    }
    assert public == set(coco.__all__)
