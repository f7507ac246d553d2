"""The limits that the package states, and what is said where one is passed."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cloudrle
from cloudrle import RLE, coco

CONTROL_GROUPS = [Path("/sys/fs/cgroup") / name for name in ("memory.max", "memory/memory.limit_in_bytes")]
SAID = [path.read_text().strip() for path in CONTROL_GROUPS if path.exists()]
MACHINE = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
MEMORY = min([MACHINE, *(int(said) for said in SAID if said != "max")])
FAR = 10**15  # columns or rows: of 16 petabytes of runs
MASK = RLE.from_kaggle("1 3", (10**6, 10**12))
DOT = RLE.from_kaggle("1 3", (10, 10))
WIDE = RLE.from_runs([[0, 2 * FAR]], (2, FAR))

# A call, and how many GB its result takes.
TOO_LARGE: dict[str, tuple[Callable[[], Any], float]] = {
    "decode": (lambda: cloudrle.decode("1 3", MASK.shape), 1e9),
    "decode, resized": (lambda: cloudrle.decode("1 3", (10, 10), size=(2**31 - 1, 2**31 - 1)), (2**31 - 1) ** 2 / 1e9),
    "decode_many": (lambda: cloudrle.decode_many(["1 3"] * 3, MASK.shape), 3e9),
    "decode_many, resized": (lambda: cloudrle.decode_many(["1 3"], (9, 9), size=(10**9, 10**9)), 1e9),
    "to_mask": (MASK.to_mask, 1e9),
    "resize": (lambda: cloudrle.resize(np.ones((4, 4)), (10**9, 10**9)), 1e9),
    "coco.decode": (lambda: coco.decode(MASK.to_coco()), 1e9),
    "coco.decode of a list": (lambda: coco.decode([MASK.to_coco()] * 2), 2e9),
    "iou_matrix": (lambda: cloudrle.iou_matrix([DOT] * 10**6, [DOT] * 10**6), 8e3),
    "from_box": (lambda: RLE.from_box((1, 0, 5, FAR), (10, FAR)), 16e6),
    "frPyObjects of a box": (lambda: coco.frPyObjects([[0, 1, 2**49, 2]], 5, 2**49), 8 * 2**49 / 1e9),
    "from_polygon": (lambda: RLE.from_polygon([0, 1, 2**49, 1, 2**49, 3], (5, 2**49)), 8 * 2**49 / 1e9),
    "a steep polygon": (lambda: RLE.from_polygon([0, 0, 2**48, 2**49, 0, 9], (2**10, 2**49)), 8 * 2**48 / 1e9),
    "pad": (lambda: WIDE.pad(top=1), 16e6),
    "translate": (lambda: WIDE.translate(1, 0), 16e6),
    "rows to columns": (lambda: cloudrle.convert([f"1 {2 * FAR}"], "kaggle", "kaggle-rows", shape=(FAR, 4)), 16e6),
    "CVAT's box": (lambda: cloudrle.convert([[0, FAR, 0, 0, 0, FAR - 1]], "cvat", "kaggle", shape=(FAR, 2)), 16e6),
}


@pytest.mark.parametrize("name", TOO_LARGE)
def test_results_that_no_machine_holds_are_refused_before_the_work(name: str) -> None:
    call, gigabytes = TOO_LARGE[name]
    with pytest.raises(MemoryError) as caught:
        call()
    assert str(caught.value) == (
        f"this takes {gigabytes:.1f} GB of memory, which cannot be had: there are {MEMORY / 1e9:.1f} GB in all; "
        "take a smaller shape or size, or fewer masks at a time"
    )


def test_a_mask_of_a_trillion_megapixels_costs_what_its_text_does() -> None:
    shape = (10**9, 10**9)
    mask = RLE.from_kaggle(f"1 {10**18}", shape)
    (piece,) = mask.components()
    assert piece == mask == RLE.from_coco(mask.to_coco())
    assert mask.area == 10**18
    assert mask.bbox == (0, 0, *shape)
    assert [outer.tolist() for outer, _ in mask.to_polygons()] == [[[0, 0], [10**9, 0], [10**9, 10**9], [0, 10**9]]]
    assert (~mask).area == 0
    assert mask.crop((1, 1, 10**9, 10**9)).area == (10**9 - 1) ** 2
    assert mask.flip(0) == mask.flip(1) == mask.fill_holes(1) == mask.remove_small(9) == mask
    assert cloudrle.convert([mask.to_kaggle()], "kaggle", "kaggle-rows", shape=shape) == [f"1 {10**18}"]
    assert cloudrle.convert([[0, 10**18, 0, 0, 10**9 - 1, 10**9 - 1]], "cvat", "coco-counts", shape=shape) == [
        [0, 10**18]
    ]


def test_more_threads_than_the_most_are_no_more() -> None:
    masks = np.arange(30).reshape(10, 1, 3) % 2
    assert cloudrle.encode_many(masks, threads=10**30) == cloudrle.encode_many(masks, threads=1)
