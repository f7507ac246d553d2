"""Class maps of a network to runs, as prediction needs them for every image."""

from functools import partial
from typing import Any

import numpy as np
import pytest

import cloudrle
from benchmarks import peers
from benchmarks.cases import probabilities
from benchmarks.racing import OURS, Race, memory
from cloudrle import RLE

THRESHOLDS, SIZE, MIN_AREA = [0.5, 0.55, 0.6, 0.65], (350, 525), 200


def painted(answer: Any) -> Any:
    """All masks of an answer (N, C, height, width), from anybody's runs."""
    return np.stack(
        [[RLE.from_counts(peers.counts_of(rle), SIZE).to_mask() for rle in of_image] for of_image in answer]
    )


def bench_encode_probabilities(race: Race) -> None:
    encode: Any = getattr(cloudrle, "encode_probabilities", None)
    if encode is None:
        pytest.skip("this cloudrle has no encode_probabilities")
    maps = probabilities((256, 384), len(THRESHOLDS))
    dense = partial(peers.probabilities_to_counts, maps, THRESHOLDS, SIZE, MIN_AREA)
    fused = partial(encode, maps, threshold=THRESHOLDS, size=SIZE, min_area=MIN_AREA, threads=1)
    expected = painted(dense())
    race(
        "encode_probabilities(size=(350, 525), min_area=200)",
        "(1, 256, 384, 4) float32",
        {OURS: fused, "cv2 + numpy": dense},
        agree=lambda answer: bool((painted(answer) != expected).mean() < 1e-4),  # ties may fall either way
        baselines=memory(maps),
    )
