"""Masks to runs and back."""

from functools import partial

import numpy as np

from benchmarks import peers
from benchmarks.cases import Case
from benchmarks.racing import OURS, Race, memory
from cloudrle import RLE


def bench_from_mask(race: Race, case: Case) -> None:
    mask = case.mask
    expected = peers.counts_of_mask(mask)
    race(
        "RLE.from_mask",
        case.name,
        {OURS: partial(RLE.from_mask, mask), **peers.calls("from_mask", mask)},
        agree=lambda rle: np.array_equal(peers.counts_of(rle), expected),
        baselines=memory(mask),
    )


def bench_to_mask(race: Race, case: Case) -> None:
    mask, out = case.mask, np.empty_like(case.mask)
    ours = partial(RLE.from_mask(mask).to_mask, out=out)
    race(
        "RLE.to_mask(out=)",
        case.name,
        {OURS: ours, **peers.calls_on_runs("to_mask", [mask])},
        agree=lambda answer: peers.is_mask(answer, mask),
        baselines=memory(mask),
    )
