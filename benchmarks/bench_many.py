"""Many masks in one call, and the whole of train.csv."""

import filecmp
import inspect
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import cloudrle
from benchmarks import peers
from benchmarks.cases import CLOUDS, NO_CLOUDS, REAL_SHAPE, Mask, mask_of, real_rows
from benchmarks.racing import OURS, Calls, Race, memory

SIZE = (256, 384)
SLICE = 64  # masks of that size: 6.3 MB, which stay in the last cache


@pytest.fixture(
    params=["32 smooth masks", "4 large rough masks", "8 large empty masks", "real rows", "512 resized real masks"]
)
def batch(request: pytest.FixtureRequest, quick: bool) -> tuple[str, Mask]:
    """Name and masks (N, height, width)."""
    name = request.param
    if "real" in name:
        if not CLOUDS.exists():
            pytest.skip(NO_CLOUDS)
        texts = list(real_rows().values())[: 1 if quick else 8]
        if "resized" in name:
            masks = np.stack([cloudrle.decode(text, REAL_SHAPE, size=SIZE) for text in texts])
            return name, np.tile(masks, (512 // len(texts), 1, 1))
        return f"{len(texts)} {name}", np.stack(each(peers.PEERS["numpy"]["decode"], texts, REAL_SHAPE))
    number, *_, kind, _ = name.split()  # empty ones tell what memory alone gives to a second thread
    shape = (64, 96) if quick else REAL_SHAPE if "large" in name else SIZE
    return name, np.stack([mask_of(kind, shape, seed) for seed in range(int(number))])


@pytest.fixture(scope="module")
def train_csv(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """train.csv, made anew from its boxes."""
    if not CLOUDS.exists():
        pytest.skip(NO_CLOUDS)
    path = tmp_path_factory.mktemp("clouds") / "train.csv"
    limit = ["--limit", "2"] if request.config.getoption("--quick") else []
    subprocess.run([sys.executable, CLOUDS / "make_train_csv.py", path, *limit], check=True)
    yield path
    path.unlink()  # 138 MB


def ours(call: Callable[..., Any]) -> Calls:
    """Call on one thread, and on two where `call` takes a number of threads."""
    if "threads" not in inspect.signature(call).parameters:
        return {OURS: call}
    return {OURS: partial(call, threads=1), f"{OURS}, 2 threads": partial(call, threads=2)}


def each(function: Callable[..., Any], items: Any, *arguments: Any) -> list[Any]:
    """Do what people do with a library that takes one at a time."""
    return [function(item, *arguments) for item in items]


def equal(answers: Any, expected: Any) -> bool:
    """Compare two batches of masks."""
    return all(np.array_equal(a != 0, b != 0) for a, b in zip(answers, expected, strict=True))


def bench_encode_many(race: Race, batch: tuple[str, Mask]) -> None:
    name, masks = batch
    contenders = {other: partial(each, peer["encode"], masks) for other, peer in peers.able("encode").items()}
    expected = each(peers.PEERS["numpy"]["encode"], masks)
    race(
        "encode_many",
        name,
        {**ours(partial(cloudrle.encode_many, masks)), **contenders},
        agree=lambda texts: bool(texts == expected),
        baselines=memory(masks),
    )


def bench_decode_many(race: Race, batch: tuple[str, Mask]) -> None:
    name, masks = batch
    texts, shape, out = each(cloudrle.encode, masks), masks.shape[1:], np.empty_like(masks)
    contenders = {other: partial(each, peer["decode"], texts, shape) for other, peer in peers.able("decode").items()}
    race(
        "decode_many(out=)",
        name,
        {**ours(partial(cloudrle.decode_many, texts, shape, out=out)), **contenders},
        agree=lambda answers: equal(answers, masks),
        baselines=memory(masks),
    )


def bench_column_of_train_csv(race: Race, train_csv: Path, quick: bool) -> None:
    """Race the peers on some rows."""
    column = pd.read_csv(train_csv, nrows=8 if quick else 512)["EncodedPixels"]
    texts = column.fillna("").tolist()
    contenders = {
        name: partial(each, peer["decode_resized"], texts, REAL_SHAPE, SIZE)
        for name, peer in peers.able("decode_resized").items()
    }
    call = partial(cloudrle.decode_many, column, REAL_SHAPE, size=SIZE, missing="empty")
    out = np.empty((len(column), *SIZE), np.uint8)
    expected = each(peers.PEERS["numpy"]["decode_resized"], texts, REAL_SHAPE, SIZE)
    race(
        "decode_many(size=(256, 384), out=)",
        f"{len(column)} rows of train.csv",
        {**ours(partial(call, out=out)), **contenders},
        agree=lambda answers: equal(answers, expected),
        baselines=memory(out),
    )


def bench_command_on_train_csv(race: Race, train_csv: Path, tmp_path: Path) -> None:
    """Convert the file with the command, beside pandas that reads and writes it; each in processes of its own."""
    coco, back = tmp_path / "train.json", tmp_path / "train.csv"

    def run(*arguments: str | Path) -> None:
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)

    def convert() -> Path:
        run("-m", "cloudrle.cli", "convert", train_csv, coco, "--shape", "x".join(map(str, REAL_SHAPE)))
        run("-m", "cloudrle.cli", "convert", coco, back)
        return back

    def copy() -> Path:
        run("-c", "import sys, pandas; pandas.read_csv(sys.argv[1]).to_csv(sys.argv[2], index=False)", train_csv, back)
        return back

    race(
        "cloudrle convert to COCO JSON and back",
        f"train.csv of {train_csv.stat().st_size / 1e6:.1f} MB",
        {OURS: convert, "pandas, no conversion": copy},
        agree=lambda path: filecmp.cmp(path, train_csv, shallow=False),
        baselines={},
    )


def bench_whole_train_csv(race: Race, train_csv: Path) -> None:
    """Decode all rows in slices into one array, beside reading the file; only the last slice is compared."""
    column = pd.read_csv(train_csv)["EncodedPixels"]
    slices = [column.iloc[start : start + SLICE] for start in range(0, len(column), SLICE)]
    out = np.empty((SLICE, *SIZE), np.uint8)

    def all_slices(decode: Callable[..., Any]) -> Any:
        for texts in slices:
            last = decode(texts, REAL_SHAPE, size=SIZE, missing="empty", out=out[: len(texts)])
        return last

    contenders = {name: partial(all_slices, decode) for name, decode in ours(cloudrle.decode_many).items()}
    expected = each(peers.PEERS["numpy"]["decode_resized"], slices[-1].fillna(""), REAL_SHAPE, SIZE)
    race(
        f"decode_many(size=(256, 384), out=) in slices of {SLICE}",
        f"all {len(column)} rows of train.csv",
        contenders,
        agree=lambda answers: equal(answers, expected),
        baselines={"pandas.read_csv": partial(pd.read_csv, train_csv)},
    )
