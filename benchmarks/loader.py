"""Images a second of the training loader beside the notebook's generator, in turn, so that both meet the same machine.

`python -m benchmarks.loader DATA` with a folder in the competition's layout. Every file is read once before the clock
starts, so that no contender pays for the disk. "cold" builds the cache in an empty folder and draws one epoch from it.
The ratios are medians of those within a round.
"""

import argparse
import csv
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.append(str(Path(__file__).parents[1] / "tests"))  # for reference, as in pytest's configuration

from benchmarks.notebook_loader import DataGenerator
from cloudseg_sdk import Augmentation, CloudDataset, ModelConfig
from cloudseg_sdk.training.batches import Batches, Samples

CONFIG = ModelConfig.notebook()  # 256 x 384, masks of the same size
BATCH = 10  # the notebook's
PEER_BATCHES = 6  # of its in a round: two seconds
FLIPS_AND_BRIGHTNESS = replace(Augmentation.flips_only(), brightness=0.1, contrast=0.1)
AUGMENTATIONS = {
    "warm, flips": Augmentation.flips_only(),
    "warm, flips and brightness": FLIPS_AND_BRIGHTNESS,
    "warm, the preset": Augmentation(),
    "warm, every image warped": Augmentation(warp=1.0, cutout=0.5),
}


def timed(call: Callable[[], object]) -> float:
    """Return the seconds of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def run(batches: Batches, epoch: int) -> None:
    """Draw an epoch and use it for nothing."""
    for _ in batches.epoch(epoch):
        pass


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, help="only the first so many")
    arguments = parser.parse_args()

    dataset = CloudDataset.from_kaggle(arguments.data)[: arguments.images]
    with (arguments.data / "train.csv").open(newline="") as lines:
        labels = {row["Image_Label"]: row["EncodedPixels"] for row in csv.DictReader(lines) if row["EncodedPixels"]}
    notebook = DataGenerator(
        [example.image.name for example in dataset],
        labels,
        arguments.data / "train_images",
        batch_size=BATCH,
        img_h=CONFIG.input_size[0],
        img_w=CONFIG.input_size[1],
        seed=0,
    )
    for example in dataset:
        example.image.read_bytes()

    rounds = []
    with TemporaryDirectory() as folder:
        samples = Samples.of(dataset.cache(CONFIG.input_size, Path(folder) / "warm"), CONFIG, progress=False)
        batches = {
            name: Batches(samples, BATCH, seed=0, augmentation=augmentation)
            for name, augmentation in AUGMENTATIONS.items()
        }
        for number in range(arguments.rounds):
            rates = {"the notebook's generator": peer_rate(notebook, number)}
            with TemporaryDirectory(dir=folder) as empty:
                rates["cold"] = len(dataset) / timed(partial(first_epoch, dataset, Path(empty)))
            for name, loader in batches.items():
                rates[name] = len(loader) * BATCH / timed(partial(run, loader, number))
            rounds.append(rates)

    for name in rounds[0]:
        rate = statistics.median(rates[name] for rates in rounds)
        ratio = statistics.median(rates[name] / rates["the notebook's generator"] for rates in rounds)
        print(f"{name:<28} {rate:>8,.0f} images/s  {ratio:>6.1f} x the notebook's")  # noqa: T201


def peer_rate(notebook: DataGenerator, number: int) -> float:
    """Return images a second of the notebook's generator over a few batches."""
    chosen = [(number * PEER_BATCHES + step) % len(notebook) for step in range(PEER_BATCHES)]

    def draw() -> None:
        for index in chosen:
            notebook[index]

    return PEER_BATCHES * BATCH / timed(draw)


def first_epoch(dataset: CloudDataset, folder: Path) -> None:
    """Build a cache and draw an epoch from it."""
    samples = Samples.of(dataset.cache(CONFIG.input_size, folder, progress=False), CONFIG, progress=False)
    run(Batches(samples, BATCH, seed=0, augmentation=FLIPS_AND_BRIGHTNESS), 0)


if __name__ == "__main__":
    main()
