"""Columns of masks from one dialect to another.

No library converts between dialects: each contender is the quickest way that was found from a library's functions to
the other form, row by row; NumPy's way leads over counts, or over a mask where the pixels must be in another order.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import cloudrle
from benchmarks.bench_many import batch, ours
from benchmarks.cases import Mask, Shape
from benchmarks.peers import PEERS, counts_of_mask, counts_of_text, text_of_counts
from benchmarks.racing import Race, memory
from cloudrle.dialects import Dialect

Convert = Callable[[Any, Shape], Any]

__all__ = ["batch"]  # a fixture

PATHS: list[tuple[Dialect, Dialect]] = [
    ("kaggle", "start-end-inclusive"),
    ("kaggle", "coco"),
    ("coco", "kaggle"),
    ("kaggle", "coco-counts"),
    ("coco-counts", "kaggle"),
    ("kaggle", "kaggle-rows"),
    ("kaggle-rows", "kaggle"),
    ("kaggle", "label-studio"),
    ("label-studio", "kaggle"),
    ("kaggle", "cvat"),
    ("cvat", "kaggle"),
]


def _painted(counts: Any, shape: Shape, order: str = "F") -> Mask:
    pixels = np.repeat(np.arange(len(counts), dtype=np.uint8) & 1, counts)
    return pixels.reshape(shape) if order == "C" else pixels.reshape(shape[::-1]).T


def _inclusive(text: str, shape: Shape) -> str:
    numbers = np.fromstring(text, np.int64, sep=" ")
    numbers[1::2] += numbers[::2] - 1
    return " ".join(map(str, numbers.tolist()))


def _cvat(text: str, shape: Shape) -> list[int]:
    mask = _painted(counts_of_text(text, shape), shape)
    if not mask.any():
        return [1, 0, 0, 0, 0]
    y, x = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, left, bottom, right = (int(side) for side in (y[0], x[0], y[-1], x[-1]))
    return [*counts_of_mask(mask[top : bottom + 1, left : right + 1].T).tolist(), left, top, right, bottom]


def _from_cvat(numbers: list[int], shape: Shape) -> str:
    *counts, left, top, right, bottom = numbers
    mask = np.zeros(shape, np.uint8)
    mask[top : bottom + 1, left : right + 1] = _painted(counts, (bottom - top + 1, right - left + 1), "C")
    return text_of_counts(counts_of_mask(mask))


def _numpy() -> dict[tuple[str, str], Convert]:
    return {
        ("kaggle", "start-end-inclusive"): _inclusive,
        ("kaggle", "coco-counts"): lambda text, shape: _without_last_zero(counts_of_text(text, shape)),
        ("coco-counts", "kaggle"): lambda counts, shape: text_of_counts(np.array(counts)),
        ("kaggle", "kaggle-rows"): lambda text, shape: text_of_counts(
            counts_of_mask(_painted(counts_of_text(text, shape), shape).T)
        ),
        ("kaggle-rows", "kaggle"): lambda text, shape: text_of_counts(
            counts_of_mask(_painted(counts_of_text(text, shape), shape, "C"))
        ),
        ("kaggle", "cvat"): _cvat,
        ("cvat", "kaggle"): _from_cvat,
    }


def _without_last_zero(counts: Any) -> list[int]:
    found: list[int] = counts.tolist()
    return found[:-1] if found[-1] == 0 else found


def _pycocotools() -> dict[tuple[str, str], Convert]:
    from pycocotools import mask as api

    def coco(text: str, shape: Shape) -> str:
        counts = counts_of_text(text, shape).tolist()
        return str(api.frPyObjects({"size": shape, "counts": counts}, *shape)["counts"].decode())

    def kaggle(counts: str, shape: Shape) -> str:
        return text_of_counts(counts_of_mask(api.decode({"size": shape, "counts": counts})))

    return {("kaggle", "coco"): coco, ("coco", "kaggle"): kaggle}


def _faster_coco_eval() -> dict[tuple[str, str], Convert]:
    from faster_coco_eval import mask_api_new_cpp

    def kaggle(counts: str, shape: Shape) -> str:
        rle = {"size": list(shape), "counts": counts.encode()}
        return text_of_counts(np.array(mask_api_new_cpp.toUncompressedRLE([rle])[0]["counts"]))

    return {("coco", "kaggle"): kaggle}


def _rlemasklib() -> dict[tuple[str, str], Convert]:
    from rlemasklib import RLEMask

    def read(text: str, shape: Shape, order: str = "F") -> Any:
        return RLEMask.from_counts(counts_of_text(text, shape), shape, order=order)

    return {
        ("kaggle", "coco"): lambda text, shape: read(text, shape).to_dict()["counts"].decode(),
        ("coco", "kaggle"): lambda counts, shape: text_of_counts(
            RLEMask.from_dict({"size": shape, "counts": counts.encode()}).counts
        ),
        ("kaggle", "kaggle-rows"): lambda text, shape: text_of_counts(read(text, shape).T.counts),
        ("kaggle-rows", "kaggle"): lambda text, shape: text_of_counts(read(text, shape, "C").counts),
    }


def _label_studio() -> dict[tuple[str, str], Convert]:
    import label_studio_brush_rle_rs as api

    def brush(text: str, shape: Shape) -> list[int]:
        mask = _painted(counts_of_text(text, shape), shape)
        return list(api.encode_rle(np.repeat(mask.ravel() * np.uint8(255), 4), 8, [3, 4, 8, 16]))

    def kaggle(data: list[int], shape: Shape) -> str:
        return text_of_counts(counts_of_mask(api.decode_rle(bytes(data), False).reshape(*shape, 4)[:, :, 3] != 0))

    return {("kaggle", "label-studio"): brush, ("label-studio", "kaggle"): kaggle}


def _contenders() -> dict[str, dict[tuple[str, str], Convert]]:
    makers = {
        "pycocotools": _pycocotools,
        "rlemasklib": _rlemasklib,
        "faster-coco-eval": _faster_coco_eval,
        "label-studio-brush-rle-rs": _label_studio,
        "numpy": _numpy,
    }
    found = {}
    for name, make in makers.items():
        try:
            found[name] = make()
        except ImportError:
            assert name not in PEERS, name
    return found


def _each(convert: Convert, cells: list[Any], shape: Shape) -> list[Any]:
    return [convert(cell, shape) for cell in cells]


@pytest.mark.parametrize(("source", "target"), PATHS, ids=[f"{source} to {target}" for source, target in PATHS])
def bench_convert(race: Race, batch: tuple[str, Mask], source: Dialect, target: Dialect) -> None:
    name, masks = batch
    shape: Shape = (masks.shape[1], masks.shape[2])
    texts = cloudrle.encode_many(masks)
    cells = cloudrle.convert(texts, "kaggle", source, shape=shape)
    peers = {
        peer: partial(_each, paths[source, target], cells, shape)
        for peer, paths in _contenders().items()
        if (source, target) in paths
    }
    race(
        f'convert(column, "{source}", "{target}")',
        name,
        {**ours(partial(cloudrle.convert, cells, source, target, shape=shape)), **peers},
        agree=lambda answer: cloudrle.convert(answer, target, "kaggle", shape=shape) == texts,
        baselines=memory(masks),
    )
