"""Masks to Kaggle text and back."""

from functools import partial
from typing import Literal

import pytest

import cloudrle
from benchmarks import peers
from benchmarks.cases import Case
from benchmarks.racing import OURS, Race, memory


def bench_encode(race: Race, case: Case) -> None:
    mask = case.mask
    expected = peers.text_of_counts(peers.counts_of_mask(mask))
    race(
        "encode",
        case.name,
        {OURS: partial(cloudrle.encode, mask), **peers.calls("encode", mask)},
        agree=lambda text: bool(text == expected),
        baselines=memory(mask),
    )


def bench_decode(race: Race, case: Case) -> None:
    mask, text = case.mask, cloudrle.encode(case.mask)
    race(
        "decode",
        case.name,
        {OURS: partial(cloudrle.decode, text, mask.shape), **peers.calls("decode", text, mask.shape)},
        agree=lambda answer: peers.is_mask(answer, mask),
        baselines=memory(mask),
    )


@pytest.mark.parametrize("interpolation", ["nearest", "linear"])
def bench_decode_resized(race: Race, case: Case, interpolation: Literal["nearest", "linear"]) -> None:
    mask, text, size = case.mask, cloudrle.encode(case.mask), (256, 384)
    operation = "decode_resized" if interpolation == "nearest" else "decode_resized_linear"
    ours = partial(cloudrle.decode, text, mask.shape, size=size, interpolation=interpolation)
    expected = peers.PEERS["notebook"][operation](text, mask.shape, size) != 0
    race(
        f'decode(size=(256, 384), interpolation="{interpolation}")',
        case.name,
        {OURS: ours, **peers.calls(operation, text, mask.shape, size)},
        agree=lambda answer: peers.is_mask(answer, expected),
        baselines=memory(mask),
    )
