"""What an RLE does with its runs, beside the peers that have it; answers are compared with those of dense masks."""

import operator
from collections.abc import Callable
from functools import partial
from typing import Any

import cv2
import numpy as np
import pytest

import cloudrle
from benchmarks import peers
from benchmarks.cases import Case, Mask, mask_of
from benchmarks.racing import OURS, Race, memory
from cloudrle import RLE, coco

Call = Callable[..., Any]

BOX = 50, 20  # what crop leaves out at the top left, and pad adds
SHIFT = 30, -40
MIN_AREA = 100


def moved(mask: Mask) -> Mask:
    """Shift as cv2 does it, for a mask like the other one."""
    matrix = np.array([[1, 0, SHIFT[1]], [0, 1, SHIFT[0]]], np.float32)
    return np.asarray(cv2.warpAffine(mask, matrix, mask.shape[::-1], flags=cv2.INTER_NEAREST), np.uint8)


def rolled(mask: Mask) -> Mask:
    """Make a second mask that meets the first in many places."""
    return np.roll(mask, (mask.shape[0] // 20, mask.shape[1] // 20), (0, 1))


def without_small(mask: Mask) -> Mask:
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    kept = np.append(False, stats[1:, cv2.CC_STAT_AREA] >= MIN_AREA)
    return np.asarray(kept[labels], np.uint8)


def without_holes(mask: Mask) -> Mask:
    background = np.pad(1 - mask, 1, constant_values=1)
    _, labels = cv2.connectedComponents(background, connectivity=4)
    return np.asarray(labels[1:-1, 1:-1] != labels[0, 0], np.uint8)


# Operation -> what it is here, and what it is on dense masks; peers.py has it by the same name.
ONE: dict[str, tuple[Call, Call]] = {
    "~mask": (operator.invert, lambda mask: 1 - mask),
    "crop": (lambda rle: rle.crop((*BOX, *rle.shape)), lambda mask: mask[BOX[0] :, BOX[1] :]),
    "pad": (
        lambda rle: rle.pad(top=BOX[0], left=BOX[1]),
        lambda mask: np.pad(mask, ((BOX[0], 0), (BOX[1], 0))),
    ),
    "translate": (lambda rle: rle.translate(*SHIFT), moved),
    "flip(0)": (lambda rle: rle.flip(0), np.flipud),
    "flip(1)": (lambda rle: rle.flip(1), np.fliplr),
    "remove_small": (lambda rle: rle.remove_small(MIN_AREA), without_small),
    "fill_holes": (RLE.fill_holes, without_holes),
}
TWO: dict[str, tuple[Call, Call]] = {
    "a & b": (operator.and_, operator.and_),
    "a | b": (operator.or_, operator.or_),
    "a ^ b": (operator.xor, operator.xor),
    "a - b": (operator.sub, operator.gt),
}
PAIRS = [("rough", (256, 384), 100), ("rough", (350, 525), 100), ("smooth", (1400, 2100), 40)]
NUMBERS: dict[str, tuple[Call, Call]] = {
    "area": (lambda rle: rle.area, np.count_nonzero),
    "bbox": (lambda rle: rle.bbox, lambda mask: _box(np.nonzero(mask))),
    "centroid": (lambda rle: rle.centroid, lambda mask: tuple(np.mean(np.nonzero(mask), axis=1))),
}


def _box(indices: tuple[Any, ...]) -> tuple[int, ...]:
    return tuple(int(end) for end in (*(i.min() for i in indices), *(i.max() + 1 for i in indices)))


@pytest.fixture
def mask(case: Case) -> Mask:
    """Leave out the cases that show nothing more: real masks and huge ones are as the smooth ones are."""
    if not case.name.startswith(("smooth", "rough", "noise")) or case.mask.size > 10**7:
        pytest.skip("masks of three kinds are enough")
    return case.mask


@pytest.mark.parametrize("name", TWO)
def bench_set_operations(race: Race, name: str, case: Case, mask: Mask) -> None:
    other = rolled(mask)
    ours, dense = TWO[name]
    race(
        name,
        case.name,
        {OURS: partial(ours, RLE.from_mask(mask), RLE.from_mask(other)), **peers.calls_on_runs(name, [mask, other])},
        agree=_is(dense(mask, other)),
        baselines=memory(mask),
    )


@pytest.mark.parametrize(("kind", "shape", "count"), PAIRS, ids=[f"{kind} {shape}" for kind, shape, _ in PAIRS])
@pytest.mark.parametrize("name", TWO)
def bench_pairs(race: Race, quick: bool, name: str, kind: str, shape: tuple[int, int], count: int) -> None:
    """Take pair after pair: of one pair that comes again and again the processor learns which mask changes next."""
    count = 2 if quick else count
    masks = [mask_of(kind, shape, seed) for seed in range(count)]
    pairs = [(mask, rolled(mask)) for mask in masks]
    ours, dense = TWO[name]
    calls: dict[str, list[Callable[[], Any]]] = {
        OURS: [partial(ours, RLE.from_mask(a), RLE.from_mask(b)) for a, b in pairs]
    }
    for pair in pairs:
        for peer, call in peers.calls_on_runs(name, list(pair)).items():
            calls.setdefault(peer, []).append(call)
    right = [_is(dense(a, b)) for a, b in pairs]
    race(
        f"{name} of pair after pair",
        f"{count} of {kind} {shape[0]} x {shape[1]}",
        {who: partial(_call_all, theirs) for who, theirs in calls.items()},
        agree=lambda answers: all(is_right(answer) for is_right, answer in zip(right, answers, strict=True)),
        baselines=memory(np.stack(masks)),
    )


def _call_all(calls: list[Callable[[], Any]]) -> list[Any]:
    return [call() for call in calls]


@pytest.mark.parametrize("name", ONE)
def bench_geometry(race: Race, name: str, case: Case, mask: Mask) -> None:
    ours, dense = ONE[name]
    race(
        name,
        case.name,
        {OURS: partial(ours, RLE.from_mask(mask)), **peers.calls_on_runs(name, [mask])},
        agree=_is(dense(mask)),
        baselines=memory(mask),
    )


def _is(expected: Mask) -> Callable[[Any], bool]:
    """Compare anybody's RLE with a mask."""
    counts = peers.counts_of_mask(np.ascontiguousarray(expected, np.uint8))
    # Some write a 0 at the end.
    return lambda rle: np.array_equal(np.trim_zeros(peers.counts_of(rle), "b"), np.trim_zeros(counts, "b"))


@pytest.mark.parametrize("name", NUMBERS)
def bench_measures(race: Race, name: str, case: Case, mask: Mask) -> None:
    ours, dense = NUMBERS[name]
    race(
        name,
        case.name,
        {OURS: partial(ours, RLE.from_mask(mask)), **peers.calls_on_runs(name, [mask])},
        agree=partial(np.allclose, dense(mask), rtol=1e-4),
        baselines=memory(mask),
    )


def bench_components(race: Race, case: Case, mask: Mask) -> None:
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    expected = sorted(stats[1:, cv2.CC_STAT_AREA].tolist())
    assert len(expected) == count - 1
    race(
        "components",
        case.name,
        {OURS: RLE.from_mask(mask).components, **peers.calls_on_runs("components", [mask])},
        agree=lambda parts: sorted(int(peers.counts_of(part)[1::2].sum()) for part in parts) == expected,
        baselines=memory(mask),
    )


def bench_to_polygons(race: Race, case: Case, mask: Mask) -> None:
    rle = RLE.from_mask(mask)
    count, _ = cv2.connectedComponents(mask, connectivity=4)
    contours = partial(cv2.findContours, mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    race(
        "to_polygons",
        case.name,
        {OURS: rle.to_polygons, f"cv2.findContours{peers.OWN_RULE}": contours},  # through the centres of pixels
        agree=lambda polygons: len(polygons) == count - 1,
        baselines=memory(mask),
    )


INSTANCES = 200


def instances(quick: bool) -> list[Mask]:
    """Masks like those of a detector's instances: blobs here and there, of 1/20 to 1/4 of the height."""
    shape = (96, 128) if quick else (480, 640)
    rng = np.random.default_rng(0)
    found = []
    for seed in range(10 if quick else INSTANCES):
        mask = np.zeros(shape, np.uint8)
        size = rng.integers(shape[0] // 20 + 2, shape[0] // 4, 2)
        y, x = rng.integers(0, np.array(shape) - size)
        mask[y : y + size[0], x : x + size[1]] = mask_of("rough", (int(size[0]), int(size[1])), seed)
        mask[y, x] = 1  # none is empty: 0 / 0 has another answer in each library
        found.append(mask)
    return found


def title(masks: list[Mask]) -> str:
    height, width = masks[0].shape
    return f"{len(masks)} instances {height} x {width}"


@pytest.mark.parametrize(("name", "dense"), [("union", np.maximum), ("intersection", np.minimum)])
def bench_many_masks(race: Race, quick: bool, name: str, dense: np.ufunc) -> None:
    masks = instances(quick)
    ours = partial(getattr(RLE, name), [RLE.from_mask(mask) for mask in masks])
    race(
        f"RLE.{name}",
        title(masks),
        {OURS: ours, **peers.calls_on_lists(f"RLE.{name}", [masks])},
        agree=_is(dense.reduce(masks)),
        baselines=memory(masks[0]),
    )


def bench_iou_matrix(race: Race, quick: bool) -> None:
    masks = instances(quick)
    rles = [RLE.from_mask(mask) for mask in masks]
    flat = np.array([mask.ravel() for mask in masks], np.float64)
    shared = flat @ flat.T
    matrix = shared / (flat.sum(1)[:, np.newaxis] + flat.sum(1) - shared)
    calls: dict[str, Call] = {
        OURS: partial(cloudrle.iou_matrix, rles, rles, threads=1),
        f"{OURS}, 2 threads": partial(cloudrle.iou_matrix, rles, rles, threads=2),
        **peers.calls_on_lists("iou_matrix", [masks, masks]),
    }
    race("iou_matrix", title(masks), calls, agree=partial(np.allclose, matrix), baselines=memory(masks[0]))


COCO: dict[str, Callable[[Any, Any], tuple[Any, ...]]] = {
    "encode": lambda stack, _: (stack,),
    "decode": lambda _, rles: (rles,),
    "area": lambda _, rles: (rles,),
    "toBbox": lambda _, rles: (rles,),
    "merge": lambda _, rles: (rles,),
    "iou": lambda _, rles: (rles[::2], rles, [i % 5 == 0 for i in range(len(rles))]),
    "iou of boxes": lambda _, rles: (coco.toBbox(rles[::2]), coco.toBbox(rles), [i % 5 == 0 for i in range(len(rles))]),
    "frPyObjects": lambda stack, rles: ([ring for rle in rles for ring in _rings(rle)], *stack.shape[:2]),
}


@pytest.mark.parametrize("name", COCO)
def bench_coco(race: Race, quick: bool, name: str) -> None:
    masks = instances(quick)
    stack = np.asfortranarray(np.stack(masks, axis=-1))
    arguments = COCO[name](stack, coco.encode(stack))
    function = name.split()[0]
    ours = partial(getattr(coco, function), *arguments)
    theirs = {peer: partial(getattr(api, function), *arguments) for peer, api in peers.coco_modules().items()}
    expected = ours()  # which the tests compare with pycocotools
    race(
        f"coco.{name}",
        title(masks),
        {OURS: ours, **theirs},
        agree=partial(_same, expected),
        baselines=memory(masks[0]),
    )


def _rings(rle: dict[str, Any]) -> list[list[int]]:
    return [outer.ravel().tolist() for outer, _ in RLE.from_coco(rle).to_polygons()]


def _same(expected: Any, answer: Any) -> bool:
    if isinstance(expected, np.ndarray):
        return bool(np.allclose(expected, answer))
    ours, theirs = (rles if isinstance(rles, list) else [rles] for rles in (expected, answer))
    return [peers.counts_of(rle).tolist() for rle in ours] == [peers.counts_of(rle).tolist() for rle in theirs]


@pytest.mark.parametrize("corners", [4, 20, 200])
def bench_from_polygon(race: Race, quick: bool, corners: int) -> None:
    rng = np.random.default_rng(corners)
    shape = (48, 64) if quick else (480, 640)
    angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
    spokes = shape[0] * rng.uniform(0.2, 0.45, (corners, 1))
    ring = np.array(shape[::-1]) / 2 + spokes * np.stack([np.cos(angles), np.sin(angles)], 1)
    mask = RLE.from_polygon(ring, shape).to_mask()
    race(
        "from_polygon",
        f"{corners} corners in {shape[0]} x {shape[1]}",
        {OURS: partial(RLE.from_polygon, ring, shape), **peers.calls("from_polygon", ring, shape)},
        agree=_is(mask),
        baselines=memory(mask),
    )
