"""Splits and folds: an even mix of classes, every image in one part only, fixed by the seed."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloudrle import RLE
from cloudseg_sdk import CloudDataset, DataError
from cloudseg_sdk.data.readers import Example

CLASSES = ("A", "B", "C")
FULL, EMPTY = RLE.from_mask(np.ones((2, 2))), RLE.from_mask(np.zeros((2, 2)))
Combination = tuple[bool, ...]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A hundred files, nine of each length but for their bytes; splitting decodes none."""
    folder = tmp_path_factory.mktemp("images")
    paths = [folder / f"{number:02}.png" for number in range(100)]
    for number, path in enumerate(paths):
        path.write_bytes(f"{number:0{number // 9 + 3}}".encode())
    return paths


def dataset_of(combinations: list[Combination], files: list[Path]) -> CloudDataset:
    rles = [tuple(FULL if here else EMPTY for here in combination) for combination in combinations]
    return CloudDataset(tuple(Example(*pair) for pair in zip(files, rles, strict=False)), CLASSES)


def combination_lists(fewest: int) -> st.SearchStrategy[list[Combination]]:
    """Some combinations common, some rare."""
    common = st.sampled_from([(True, False, False), (True, False, True), (False, True, True)])
    return st.lists(st.one_of(common, common, st.tuples(*[st.booleans()] * 3)), min_size=fewest, max_size=100)


def numbers(part: CloudDataset, files: list[Path]) -> set[int]:
    return {files.index(example.image) for example in part}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(combination_lists(2), st.floats(0.01, 0.99), st.integers(0, 2**40))
def test_a_split_takes_its_share_of_every_combination(
    files: list[Path], combinations: list[Combination], share: float, seed: int
) -> None:
    train, validation = dataset_of(combinations, files).split(share, seed)
    chosen = numbers(validation, files)
    assert chosen == reference.split(combinations, share, seed)
    assert numbers(train, files) == set(range(len(combinations))) - chosen
    assert len(train) + len(validation) == len(combinations)
    everywhere, there = Counter(combinations), Counter(combinations[number] for number in chosen)
    for combination, count in everywhere.items():
        if count * min(share, 1 - share) >= 1:
            assert abs(there[combination] - count * len(chosen) / len(combinations)) < 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(combination_lists(6), st.integers(2, 6), st.integers(0, 2**40))
def test_folds_are_alike_and_every_image_validates_once(
    files: list[Path], combinations: list[Combination], count: int, seed: int
) -> None:
    pairs = dataset_of(combinations, files).folds(count, seed)
    parts = [numbers(validation, files) for _, validation in pairs]
    assert parts == reference.folds(combinations, count, seed)
    assert sorted(number for part in parts for number in part) == list(range(len(combinations)))
    for (train, _), part in zip(pairs, parts, strict=True):
        assert numbers(train, files) == set(range(len(combinations))) - part
    assert np.ptp([len(part) for part in parts]) <= 1
    for combination, total in Counter(combinations).items():
        found = [sum(combinations[number] == combination for number in part) for part in parts]
        assert total < count or np.ptp(found) <= 1


def test_the_seed_decides_and_five_folds_are_the_default(files: list[Path]) -> None:
    dataset = dataset_of([(True, False, False), (True, True, False)] * 40, files)
    assert dataset.folds() == dataset.folds(5, 0)
    assert len({tuple(example.image for example in dataset.folds(4, seed)[0][1]) for seed in range(10)}) == 10
    assert len({dataset.split(0.25, seed)[1] for seed in range(10)}) == 10


def test_parts_keep_the_datasets_order_classes_and_labels(files: list[Path]) -> None:
    dataset = dataset_of([(True, False, False), (False, True, False), (True, True, True)] * 10, files)
    for part in (*dataset.split(), *dataset.folds(3)[1]):
        assert part.classes == CLASSES
        assert [example for example in dataset if example in part.examples] == list(part)


def test_combinations_too_rare_for_their_own_share_are_shared_out_together(files: list[Path]) -> None:
    """Seven combinations of one image each beside 63 of another: five parts of 14, each with one or two rare ones."""
    rare = [(bool(n & 1), bool(n & 2), bool(n & 4)) for n in range(7)]
    dataset = dataset_of([*rare, *[(True, True, True)] * 63], files)
    seen = []
    for seed in range(10):
        parts = [numbers(validation, files) for _, validation in dataset.folds(5, seed)]
        assert {len(part) for part in parts} == {14}
        seen.append(tuple(tuple(sorted(number for number in part if number < 7)) for part in parts))
        assert {len(part) for part in seen[-1]} <= {1, 2}
    assert len(set(seen)) == 10


def test_nothing_of_an_image_is_in_two_parts(tmp_path: Path) -> None:
    """Three times the same bytes under other names, one file listed twice, and one of the same length only."""
    contents = [b"twin", b"else", b"twin", b"alone", b"twin", b"other", b"six six"]
    files = [tmp_path / f"{number}.png" for number in range(7)]
    for file, content in zip(files, contents, strict=True):
        file.write_bytes(content)
    examples = [Example(file, (FULL, EMPTY, EMPTY)) for file in [*files, files[5]]]
    dataset = CloudDataset(tuple(examples), CLASSES)
    for seed in range(20):
        for train, validation in [dataset.split(0.4, seed), *dataset.folds(5, seed)]:
            assert len(train) + len(validation) == 8
            assert not {e.image.read_bytes() for e in train} & {e.image.read_bytes() for e in validation}
    with pytest.raises(DataError) as caught:
        dataset.folds(6)
    assert str(caught.value) == "6 parts need at least 6 different images, got 5 of 8"
    with pytest.raises(DataError, match=r"^2 parts need at least 2 different images, got 1 of 3$"):
        CloudDataset(tuple(examples[index] for index in (0, 2, 4)), CLASSES).split()


@pytest.mark.parametrize("seed", [-1, 0.5, True, None, "1"])
@pytest.mark.parametrize("name", ["split", "folds", "plot"])
def test_a_seed_that_is_none_is_refused(files: list[Path], name: str, seed: Any) -> None:
    with pytest.raises(DataError) as caught:
        getattr(dataset_of([(True, False, False)] * 9, files), name)(seed=seed)
    assert str(caught.value) == f"seed must be a whole number of at least 0, got {seed!r}"


@pytest.mark.parametrize("count", [1, 0, -3, 2.0, True, "5"])
def test_a_number_of_folds_that_is_none_is_refused(files: list[Path], count: int) -> None:
    with pytest.raises(DataError) as caught:
        dataset_of([(True, False, False)] * 9, files).folds(count)
    assert str(caught.value) == f"the number of folds must be a whole number of at least 2, got {count!r}"
