"""How each peer does what cloudrle does, by the quickest way found; one that is not installed is left out.

A peer is a dictionary from operations to functions; it lacks what it cannot do:

- ``from_mask(mask)``: a C-order mask to an RLE of the peer's own, and ``to_mask(rle)`` back to a new C-order mask;
- ``encode(mask)`` and ``decode(text, shape)``: to and from Kaggle text; no library reads or writes it, so
  NumPy's quickest way leads from counts to text and back;
- ``decode_resized(text, shape, size)`` and ``resize(rle, size)``: nearest pixel, as OpenCV has it;
- ``iou(rle, rle)``, and the operations that bench_algebra.py names;
- ``rle(mask)``: an RLE to start from, never timed.
"""

import operator
from collections.abc import Callable
from functools import partial
from importlib import import_module
from operator import methodcaller
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import reference

from benchmarks.cases import Mask, Shape
from cloudrle import RLE

Counts = npt.NDArray[Any]
Peer = dict[str, Callable[..., Any]]

OWN_RULE = "*"  # ends the name of one whose answer differs by design: it is timed, not compared

cv2.setNumThreads(1)


def counts_of(rle: Any) -> Counts:
    """Bring anybody's RLE to COCO's counts, to compare them."""
    if isinstance(rle, dict):
        return RLE.from_coco(rle).counts
    if isinstance(rle, tuple):
        return np.asarray(rle[0])
    return np.asarray(getattr(rle, "counts", rle))


def counts_of_mask(mask: Mask) -> Counts:
    """Measure background and foreground in turn, down each column."""
    pixels = mask.ravel(order="F").view(np.bool_)
    edges = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    ends = np.concatenate([[0] * (1 + int(pixels[0])), edges, [pixels.size]])
    return np.diff(ends)


def counts_of_text(text: str, shape: Shape) -> Counts:
    """Read counts from Kaggle text."""
    numbers = np.fromstring(text, np.int64, sep=" ")  # 4 times as quick as np.array(text.split())
    edges = np.empty(len(numbers) + 2, np.int64)
    edges[0], edges[-1] = 0, shape[0] * shape[1]
    edges[1:-1:2] = numbers[::2] - 1
    edges[2:-1:2] = edges[1:-1:2] + numbers[1::2]
    return np.diff(edges)


def text_of_counts(counts: Counts) -> str:
    """Write counts as Kaggle text."""
    lengths = counts[1::2]
    numbers = np.empty(2 * len(lengths), np.int64)
    numbers[::2] = np.cumsum(counts, dtype=np.int64)[: 2 * len(lengths) : 2] + 1
    numbers[1::2] = lengths
    return " ".join(map(str, numbers.tolist()))


def nearest(mask: Mask, size: Shape) -> Any:
    """Resize by OpenCV's nearest pixel."""
    return cv2.resize(mask, size[::-1], interpolation=cv2.INTER_NEAREST)


def _nearest_fortran(mask: Mask, size: Shape) -> Any:
    """Resize from Fortran order to Fortran order, which copies nothing."""
    return nearest(mask.T, size[::-1]).T


def _coco(api: Any, from_mask: Callable[[Mask], Any], from_counts: Callable[[Counts, Shape], Any]) -> Peer:
    """Use a module with the functions of pycocotools.mask, whose masks are in Fortran order."""

    def painted(text: str, shape: Shape) -> Any:
        return api.decode(from_counts(counts_of_text(text, shape), shape))

    return {
        "rle": from_mask,
        "from_mask": from_mask,
        "to_mask": lambda rle: np.ascontiguousarray(api.decode(rle)),
        "decode": lambda text, shape: np.ascontiguousarray(painted(text, shape)),
        "decode_resized": lambda text, shape, size: np.ascontiguousarray(_nearest_fortran(painted(text, shape), size)),
        "resize": lambda rle, size: api.encode(_nearest_fortran(api.decode(rle), size)),
        "iou": lambda a, b: api.iou([a], [b], [False])[0, 0],
        "a & b": lambda a, b: api.merge([a, b], True),
        "a | b": lambda a, b: api.merge([a, b], False),
        "RLE.union": lambda rles: api.merge(rles, False),
        "RLE.intersection": lambda rles: api.merge(rles, True),
        "area": api.area,
        "bbox": lambda rle: _y0_x0_y1_x1(api.toBbox(rle)),
        "iou_matrix": lambda a, b: api.iou(a, b, [False] * len(b)),
        "from_polygon": lambda ring, shape: api.frPyObjects([ring.ravel().tolist()], *shape)[0],
    }


def _y0_x0_y1_x1(box: Any) -> tuple[float, ...]:
    x, y, width, height = box
    return y, x, y + height, x + width


def _pycocotools() -> Peer:
    from pycocotools import mask as api

    def from_counts(counts: Counts, shape: Shape) -> Any:
        return api.frPyObjects({"size": shape, "counts": counts.tolist()}, *shape)

    return _coco(api, lambda mask: api.encode(np.asfortranarray(mask)), from_counts)


def _faster_coco_eval() -> Peer:
    from faster_coco_eval import mask_api_new_cpp
    from faster_coco_eval.core import mask as api

    def from_counts(counts: Counts, shape: Shape) -> Any:
        return api.frPyObjects({"size": list(shape), "counts": counts.tolist()}, *shape)

    def encode(mask: Mask) -> str:
        return text_of_counts(np.array(mask_api_new_cpp.toUncompressedRLE([api.encode(mask)])[0]["counts"]))

    return _coco(api, api.encode, from_counts) | {"encode": encode}


def _hotcoco() -> Peer:
    from hotcoco import mask as api

    def from_counts(counts: Counts, shape: Shape) -> Any:
        return {"size": list(shape), "counts": counts.tolist()}

    return _coco(api, api.encode, from_counts)


def _rlemasklib() -> Peer:
    from rlemasklib import RLEMask

    to_mask = methodcaller("to_array", order="C")

    def decode(text: str, shape: Shape) -> Any:
        return to_mask(RLEMask.from_counts(counts_of_text(text, shape), shape))

    return {
        "rle": RLEMask.from_array,
        "from_mask": RLEMask.from_array,
        "to_mask": to_mask,
        "encode": lambda mask: text_of_counts(RLEMask.from_array(mask).counts),
        "decode": decode,
        "decode_resized": lambda text, shape, size: nearest(decode(text, shape), size),
        "resize": lambda rle, size: RLEMask.from_array(nearest(to_mask(rle), size)),
        "iou": RLEMask.iou,
        "a & b": operator.and_,
        "a | b": operator.or_,
        "a ^ b": operator.xor,
        "a - b": operator.sub,
        "~mask": operator.invert,
        "RLE.union": RLEMask.union,
        "RLE.intersection": RLEMask.intersection,
        "area": RLEMask.area,
        "bbox": lambda rle: _y0_x0_y1_x1(rle.bbox()),
        "centroid": lambda rle: rle.centroid()[::-1],
        "crop": lambda rle: rle.crop([20, 50, rle.shape[1] - 20, rle.shape[0] - 50]),
        "pad": lambda rle: rle.pad(50, 0, 20, 0),
        "translate": lambda rle: rle.shift((30, -40)),
        "flip(0)": lambda rle: rle.flip(0),
        "flip(1)": lambda rle: rle.flip(1),
        "remove_small": lambda rle: rle.remove_small_components(100, 8),
        "components": lambda rle: rle.connected_components(8),
        "iou_matrix": RLEMask.iou_matrix,
        "from_polygon": lambda ring, shape: RLEMask.from_polygon(ring, imshape=shape),
    }


def _rlemasklib_dense() -> Peer:
    """Give it its hint for masks with many runs."""
    from rlemasklib import RLEMask

    return {"from_mask": lambda mask: RLEMask.from_array(mask, is_sparse=False)}


def _rlemasklib_own_rule() -> Peer:
    """Let it resize its runs itself: nearest from centre to centre, which is not OpenCV's rule."""
    from rlemasklib import RLEMask

    def decode_resized(text: str, shape: Shape, size: Shape) -> Any:
        return RLEMask.from_counts(counts_of_text(text, shape), shape).resize(size).to_array(order="C")

    return {
        "rle": RLEMask.from_array,
        "resize": RLEMask.resize,
        "decode_resized": decode_resized,
        "fill_holes": lambda rle: rle.fill_small_holes(rle.shape[0] * rle.shape[1]),  # the outside among them
    }


def _numpy() -> Peer:
    def to_mask(rle: tuple[Counts, Shape]) -> Any:
        counts, (height, width) = rle
        values = np.arange(len(counts), dtype=np.uint8) & 1
        return np.ascontiguousarray(np.repeat(values, counts).reshape(width, height).T)

    def decode(text: str, shape: Shape) -> Any:
        return to_mask((counts_of_text(text, shape), shape))

    return {
        "rle": lambda mask: (counts_of_mask(mask), mask.shape),
        "from_mask": counts_of_mask,
        "to_mask": to_mask,
        "encode": lambda mask: text_of_counts(counts_of_mask(mask)),
        "decode": decode,
        "decode_resized": lambda text, shape, size: nearest(decode(text, shape), size),
        "resize": lambda rle, size: counts_of_mask(nearest(to_mask(rle), size)),
    }


def _notebook() -> Peer:
    """Use the notebook that this project began with; its masks are views in Fortran order, of 0 and 255."""

    def painted(text: str, shape: Shape) -> Any:
        return reference.notebook_rle_to_mask(text or -1, *shape)

    def linear(text: str, shape: Shape, size: Shape) -> Any:
        return cv2.resize(painted(text, shape), size[::-1], interpolation=cv2.INTER_LINEAR) > 127

    return {
        "encode": reference.notebook_mask_to_rle,
        "decode": lambda text, shape: np.ascontiguousarray(painted(text, shape)),
        "decode_resized": lambda text, shape, size: nearest(painted(text, shape), size),
        "decode_resized_linear": linear,
    }


def _scan(mask: Mask) -> Counts:
    height, width = mask.shape
    counts = np.empty(height * width + 1, np.int64)
    found, start, value = 0, 0, 0
    for x in range(width):
        for y in range(height):
            if mask[y, x] != value:
                counts[found] = x * height + y - start
                found, start, value = found + 1, x * height + y, 1 - value
    counts[found] = height * width - start
    return counts[: found + 1].copy()


def _fill(mask: Mask, start: int, length: int) -> None:
    x, y = divmod(start, mask.shape[0])
    for _ in range(length):
        mask[y, x] = 1
        y += 1
        if y == mask.shape[0]:
            x, y = x + 1, 0


def _numba() -> Peer:
    import numba

    scan, fill = numba.njit(_scan), numba.njit(_fill)

    @numba.njit  # type: ignore[untyped-decorator, unused-ignore]
    def paint(counts: Counts, height: int, width: int) -> Any:
        mask = np.zeros((height, width), np.uint8)
        start = 0
        for i in range(len(counts)):
            if i & 1:
                fill(mask, start, counts[i])
            start += counts[i]
        return mask

    @numba.njit  # type: ignore[untyped-decorator, unused-ignore]
    def parse(text: npt.NDArray[np.uint8], height: int, width: int) -> Any:
        mask = np.zeros((height, width), np.uint8)
        start, number, is_length = 0, 0, False
        for i in range(len(text) + 1):
            if i < len(text) and text[i] != 32:
                number = 10 * number + text[i] - 48
            else:
                if is_length:
                    fill(mask, start, number)
                start, number, is_length = number - 1, 0, not is_length
        return mask

    def decode(text: str, shape: Shape) -> Any:
        return parse(np.frombuffer(text.encode(), np.uint8), *shape)

    def to_mask(rle: tuple[Counts, Shape]) -> Any:
        return paint(rle[0], *rle[1])

    return {
        "rle": lambda mask: (scan(mask), mask.shape),
        "from_mask": scan,
        "to_mask": to_mask,
        "encode": lambda mask: text_of_counts(scan(mask)),
        "decode": decode,
        "decode_resized": lambda text, shape, size: nearest(decode(text, shape), size),
        "resize": lambda rle, size: scan(nearest(to_mask(rle), size)),
    }


def _installed() -> tuple[dict[str, Peer], tuple[str, ...]]:
    makers = {
        "pycocotools": _pycocotools,
        "rlemasklib": _rlemasklib,
        "rlemasklib dense": _rlemasklib_dense,
        f"rlemasklib{OWN_RULE}": _rlemasklib_own_rule,
        "hotcoco": _hotcoco,
        "faster-coco-eval": _faster_coco_eval,
        "numba": _numba,
        "numpy": _numpy,
        "notebook": _notebook,
    }
    found: dict[str, Peer] = {}
    missing: dict[str, None] = {}
    for name, make in makers.items():
        try:
            found[name] = make()
        except ImportError as error:
            missing[error.name or name] = None
    return found, tuple(missing)


PEERS, MISSING = _installed()


def able(operation: str) -> dict[str, Peer]:
    """Choose the peers that have an operation."""
    return {name: peer for name, peer in PEERS.items() if operation in peer}


def calls(operation: str, *arguments: Any) -> dict[str, Callable[[], Any]]:
    """Make everybody's call of an operation on the same arguments."""
    return {name: partial(peer[operation], *arguments) for name, peer in able(operation).items()}


def calls_on_runs(operation: str, masks: list[Mask], *arguments: Any) -> dict[str, Callable[[], Any]]:
    """Make everybody's call of an operation on their own RLEs of the masks."""
    return {
        name: partial(peer[operation], *map(peer["rle"], masks), *arguments) for name, peer in able(operation).items()
    }


def calls_on_lists(operation: str, lists: list[list[Mask]]) -> dict[str, Callable[[], Any]]:
    """Make everybody's call of an operation on lists of their own RLEs."""
    return {
        name: partial(peer[operation], *([peer["rle"](mask) for mask in masks] for masks in lists))
        for name, peer in able(operation).items()
    }


def coco_modules() -> dict[str, Any]:
    """Find the modules that have the functions of pycocotools.mask."""
    found = {}
    for name, module in (
        ("pycocotools", "pycocotools.mask"),
        ("hotcoco", "hotcoco.mask"),
        ("faster-coco-eval", "faster_coco_eval.core.mask"),
    ):
        if name in PEERS:
            found[name] = import_module(module)
    return found


def is_mask(answer: Any, expected: Any) -> bool:
    """Compare a mask that must be in C order, whatever its foreground's value."""
    return bool(answer.flags.c_contiguous and np.array_equal(answer != 0, expected))


def probabilities_to_counts(maps: Any, thresholds: list[float], size: Shape, min_area: int) -> list[list[Counts]]:
    """Resize, threshold, drop small components and encode, each over the whole array."""
    found = []
    for maps_of_image in maps:
        resized = cv2.resize(maps_of_image, size[::-1], interpolation=cv2.INTER_LINEAR)
        masks = [np.asarray(resized[..., i] >= threshold, np.uint8) for i, threshold in enumerate(thresholds)]
        found.append([counts_of_mask(_without_specks(mask, min_area)) for mask in masks])
    return found


def _without_specks(mask: Mask, min_area: int) -> Any:
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    kept = stats[:, cv2.CC_STAT_AREA] >= min_area
    kept[0] = False
    return kept[labels]
