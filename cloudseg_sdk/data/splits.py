"""Parting a dataset at random: the same mix of classes in every part, and nothing of an image in two."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cloudseg_sdk.data.images import read_file
from cloudseg_sdk.data.readers import Example
from cloudseg_sdk.errors import DataError

Groups = list[list[int]]


def choose_share(examples: Sequence[Example], share: float, seed: int) -> NDArray[np.intp]:
    """Return, sorted, the indices of about this share of the examples, but at least one group and not all.

    The groups of :func:`_order_groups` are gone through at an even pace, so that of each combination of classes as many
    are taken as the share says, give or take one.
    """
    groups = _order_groups(examples, 2, 1 / min(share, 1 - share), seed)
    count = min(max(round(share * len(groups)), 1), len(groups) - 1)
    steps = np.arange(len(groups) + 1) * count // len(groups)
    return _indices(groups, np.flatnonzero(np.diff(steps)))


def deal_folds(examples: Sequence[Example], count: int, seed: int) -> list[NDArray[np.intp]]:
    """Return, sorted, the indices of each fold: the groups of :func:`_order_groups` dealt out like cards."""
    groups = _order_groups(examples, count, count, seed)
    return [_indices(groups, np.arange(fold, len(groups), count)) for fold in range(count)]


def _order_groups(examples: Sequence[Example], fewest: int, common: float, seed: int) -> Groups:
    """Return groups of indices that must stay together, in random order within each combination of classes.

    The commonest combination comes first. Those of fewer than `common` groups, too few to reach every part, are last
    and count as one combination. Fewer than `fewest` groups are an error.
    """
    groups = _same_images(examples)
    if len(groups) < fewest:
        raise DataError(f"{fewest} parts need at least {fewest} different images, got {len(groups)} of {len(examples)}")
    present = [tuple(rle.area > 0 for rle in example.rles) for example in examples]
    combinations = [tuple(map(any, zip(*(present[index] for index in group), strict=True))) for group in groups]
    frequency = Counter(combinations)

    def stratum(number: int) -> tuple[int, tuple[bool, ...]]:
        combination = combinations[number]
        rare = frequency[combination] < common
        return (0, ()) if rare else (-frequency[combination], combination)

    order = np.random.default_rng(seed).permutation(len(groups)).tolist()
    return [groups[number] for number in sorted(order, key=stratum)]  # a stable sort: each stratum stays shuffled


def _same_images(examples: Sequence[Example]) -> Groups:
    """Group the indices of examples whose files are the same to the byte, in order of first appearance."""
    sizes = Counter(example.image.stat().st_size for example in examples)
    groups: dict[object, list[int]] = defaultdict(list)
    for index, example in enumerate(examples):
        alone = sizes[example.image.stat().st_size] == 1  # only files of one length can be equal
        key = example.image if alone else hashlib.sha256(read_file(example.image)).digest()
        groups[key].append(index)
    return list(groups.values())


def _indices(groups: Groups, chosen: NDArray[np.intp]) -> NDArray[np.intp]:
    return np.sort(np.array([index for number in chosen for index in groups[number]], np.intp))
