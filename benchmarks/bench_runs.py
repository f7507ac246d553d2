"""What needs no mask: resizing and comparing runs."""

import math
from functools import partial

import numpy as np
import pytest

from benchmarks import peers
from benchmarks.cases import Case
from benchmarks.racing import OURS, Race, memory
from cloudrle import RLE


def bench_resize(race: Race, case: Case) -> None:
    mask, size = case.mask, (350, 525)
    expected = peers.counts_of_mask(peers.nearest(mask, size))
    race(
        "RLE.resize((350, 525))",
        case.name,
        {OURS: partial(RLE.from_mask(mask).resize, size), **peers.calls_on_runs("resize", [mask], size)},
        agree=lambda rle: np.array_equal(peers.counts_of(rle), expected),
        baselines=memory(mask),
    )


def bench_iou(race: Race, case: Case) -> None:
    mask = case.mask
    if not mask.any():
        pytest.skip("0 / 0: each library has its own answer")
    other = np.roll(mask, (mask.shape[0] // 20, mask.shape[1] // 20), (0, 1))
    ours = partial(RLE.from_mask(mask).iou, RLE.from_mask(other))
    expected = np.count_nonzero(mask & other) / np.count_nonzero(mask | other)
    race(
        "RLE.iou",
        case.name,
        {OURS: ours, **peers.calls_on_runs("iou", [mask, other])},
        agree=lambda iou: math.isclose(iou, expected, rel_tol=1e-12),
        baselines=memory(mask),
    )
