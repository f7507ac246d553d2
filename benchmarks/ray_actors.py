"""Prediction on a local Ray beside `predict_to` on the same cores: what docs/ray.md says how to size a cluster by.

    python -m benchmarks.ray_actors IMAGES [--cores 2] [--count 256] [--rounds 3]

IMAGES is a folder of full-resolution JPEGs, to which links are made until there are enough. Each way predicts a quarter
of COUNT images and then COUNT: the difference of both gives images a second, the rest is the start. The ways take turns;
medians are printed. Actors' memory is what they hold for themselves at most (without what they share with Ray's object
store), and the object store's is what its file came to hold.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray
import ray.data

from cloudseg_sdk import Segmenter
from cloudseg_sdk.distributed import predict_dataset


@dataclass
class Way:
    """One way to predict, and what was measured of it."""

    name: str
    predict: Callable[[list[str], Path], object]
    rates: list[float] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)  # MB of an actor


def ways(cores: int) -> Iterator[Way]:
    """Yield `predict_to` and what is compared with it."""

    def here(paths: list[str], out: Path) -> object:
        return Segmenter.load("clouds").predict_to(out, paths, progress=False)

    def on_ray(actors: int, cpus: int, size: int, *, as_bytes: bool) -> Callable[[list[str], Path], object]:
        def predict(paths: list[str], out: Path) -> object:
            # A reader takes a little of a core, and has none to itself where actors have reserved them all.
            images: Any = ray.data.read_binary_files(
                paths, include_paths=True, ray_remote_args={"num_cpus": 0}, override_num_blocks=len(paths) // size or 1
            )
            return predict_dataset(
                images if as_bytes else paths,
                "clouds",
                out,
                concurrency=actors,
                num_cpus=cpus,
                images_per_call=size,
                progress=False,
            )

        return predict

    yield Way("predict_to", here)
    splits = [(actors, cores // actors) for actors in range(1, cores + 1) if cores % actors == 0]
    for actors, cpus in splits:
        yield Way(f"{actors} x {cpus} CPU, paths by 64", on_ray(actors, cpus, 64, as_bytes=False))
    yield Way("1 x 1 CPU, paths by 64", on_ray(1, 1, 64, as_bytes=False))
    yield Way(f"1 x {cores} CPU, paths by 16", on_ray(1, cores, 16, as_bytes=False))
    yield Way(f"1 x {cores} CPU, bytes by 64", on_ray(1, cores, 64, as_bytes=True))
    yield Way(f"1 x {cores} CPU, bytes by 16", on_ray(1, cores, 16, as_bytes=True))


@contextmanager
def watched(memory: list[float]) -> Iterator[None]:
    """Note the largest memory of any actor."""
    most, done = [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(0.1):
            most[0] = max([most[0], *actors_memory()])

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        memory.append(most[0])


def actors_memory() -> Iterator[float]:
    """Yield the MB that each actor holds for itself."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cmdline").read_bytes().startswith(b"ray::MapWorker"):
                lines = (line.split() for line in (process / "status").read_text().splitlines())
                held = {line[0]: int(line[1]) for line in lines if line[0] in ("RssAnon:", "RssFile:")}
                yield sum(held.values()) / 1e3
        except (FileNotFoundError, ProcessLookupError):
            continue


def store_memory() -> float:
    """Return the MB that the object store's files came to hold."""
    return sum(path.stat().st_blocks * 512 for path in Path("/dev/shm").glob("plasma*")) / 1e6


def measure(way: Way, paths: list[str]) -> None:
    """Predict few images and then all of them."""
    few = len(paths) // 4
    seconds = []
    with tempfile.TemporaryDirectory() as folder, watched(way.memory):
        for number, some in enumerate((paths[:few], paths)):
            start = time.perf_counter()
            way.predict(some, Path(folder) / f"{number}.parquet")
            seconds.append(time.perf_counter() - start)
    rate = (len(paths) - few) / (seconds[1] - seconds[0])
    way.rates.append(rate)
    way.starts.append(seconds[0] - few / rate)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", help="ways whose name contains this, beside predict_to")
    arguments = parser.parse_args()
    scenes = sorted(arguments.images.glob("*.jpg"))
    if not scenes:
        raise SystemExit(f"no .jpg in {arguments.images}")
    every = [way for way in ways(arguments.cores) if (arguments.only or "") in way.name or way.name == "predict_to"]
    store = {}
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, scene in zip(range(arguments.count), itertools.cycle(scenes), strict=False):
            path = Path(folder) / f"{number:06}.jpg"
            path.symlink_to(scene.resolve())
            paths.append(str(path))
        for _ in range(arguments.rounds):
            for way in every:
                ray.init(
                    num_cpus=arguments.cores,
                    object_store_memory=500_000_000,
                    include_dashboard=False,
                    logging_level="error",
                )
                ray.data.DataContext.get_current().enable_progress_bars = False
                measure(way, paths)
                store[way.name] = store_memory()
                ray.shutdown()
    bare = statistics.median(every[0].rates)
    print(f"{arguments.count} images, {arguments.rounds} rounds, {arguments.cores} cores")  # noqa: T201
    for way in every:
        rate, start, memory = map(statistics.median, (way.rates, way.starts, way.memory))
        print(  # noqa: T201
            f"{way.name:<24} {rate:6.1f} images/s ({rate / bare:5.2f} of predict_to; {min(way.rates):.1f} to "
            f"{max(way.rates):.1f})  start {start:5.1f} s  actor {memory:5.0f} MB  object store {store[way.name]:5.0f} MB"
        )


if __name__ == "__main__":
    main()
