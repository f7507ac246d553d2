"""What the training loop costs beside bare `train_on_batch` calls on the same arrays, in turn.

`python -m benchmarks.fit_loop DATA` with a folder in the competition's layout. The bare calls have the epoch's batches
ready and read each loss, as the loop must to stop at a NaN; the loop also shows its progress. It is timed twice: on the
same ready arrays, and where it loads and augments every batch beside the steps, on the same cores. All train the same
compiled step. A checkpoint, every two minutes, is timed once and given by its share.
"""

import argparse
import io
import os
import statistics
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from rich.console import Console

from cloudseg_sdk import CloudDataset, ModelConfig, TrainConfig
from cloudseg_sdk.models.unetpp import build_network
from cloudseg_sdk.training.batches import Batch
from cloudseg_sdk.training.devices import Devices
from cloudseg_sdk.training.fit import SECONDS_BETWEEN_SAVES, _Bar, _Run, load_training_data

CONFIGS = {  # a larger network has longer steps, and the loop's share is smaller
    "64 x 96, filters 8 to 32": ModelConfig(input_size=(64, 96), filters=(8, 16, 32)),
    "128 x 192, filters 16 to 128": ModelConfig(input_size=(128, 192), filters=(16, 32, 64, 128), output_stride=2),
}


def timed(call: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds of one call, by the clock and of CPU time."""
    clock, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - clock, time.process_time() - cpu


def race(name: str, config: ModelConfig, dataset: CloudDataset, steps: int, rounds: int) -> None:
    """Print the figures of one network."""
    options = TrainConfig(epochs=1)
    part = dataset[: steps * options.batch_size]
    network = build_network(config)
    with TemporaryDirectory() as folder:
        part = part.cache(config.input_size, Path(folder) / "cache", progress=False)
        data = load_training_data(config, part, part[:1], options, progress=False)
        run = _Run(network, config, data, options, Devices(1, options.batch_size), Path(folder) / "checkpoint")
        bar = _Bar(1, steps, progress=True)
        assert run._checkpoint is not None
        bar.live.console = Console(file=io.StringIO(), force_terminal=True)

        batches = run._batches
        ready = list(batches.epoch(0))

        def bare() -> None:
            for batch in ready:
                float(run._learner.train_on_batch(*batch))

        def loop(epoch: Callable[..., Iterable[Batch]]) -> None:
            run.progress.losses.clear()
            with patch.object(batches, "epoch", epoch), bar:
                run.train_epoch(bar)

        calls = (bare, partial(loop, lambda *_: ready), partial(loop, batches.epoch))
        bare()  # compiles the step
        rounds_of = [[timed(call) for call in calls] for _ in range(rounds)]
        run.progress.losses.clear()
        clock = time.perf_counter()
        run._checkpoint.save(run.progress, run._variables)
        save = time.perf_counter() - clock
    step = 1e3 * statistics.median(times[0][0] for times in rounds_of) / len(ready)
    print(f"{name}: a bare step takes {step:.0f} ms")  # noqa: T201
    for number, what in ((1, "the loop on ready arrays"), (2, "the loop that loads and augments")):
        by_clock, by_cpu = (
            statistics.median(times[number][kind] / times[0][kind] for times in rounds_of) for kind in (0, 1)
        )
        print(f"  {what}: {by_clock:.3f} of it by the clock, {by_cpu:.3f} by CPU")  # noqa: T201
    print(f"  a checkpoint: {save:.2f} s, {save / SECONDS_BETWEEN_SAVES:.2%} of the time between two")  # noqa: T201


def main() -> None:
    """Print two lines for each network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=12)
    arguments = parser.parse_args()
    dataset = CloudDataset.from_kaggle(arguments.data)
    for name, config in CONFIGS.items():
        race(name, config, dataset, arguments.steps, arguments.rounds)


if __name__ == "__main__":
    main()
