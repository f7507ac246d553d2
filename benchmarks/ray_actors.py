"""Prediction on a local Ray beside `predict_to` on the same cores: the figures of docs/ray.md.

    python -m benchmarks.ray_actors IMAGES [--cores 2] [--count 256] [--only WAY]

IMAGES is a folder of full-resolution JPEGs, to which links are made until there are COUNT. Images a second are the
slope of what is finished over the time, as the parts' files tell it; the start is what the whole takes more than that.
An actor's memory is what it holds at most, without what it shares with the object store; the store's is what shared
memory grew by. It wants an idle machine.
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import numpy as np
import ray
import ray.data

from cloudseg_sdk import Segmenter
from cloudseg_sdk.distributed import predict_dataset


@dataclass(frozen=True)
class Way:
    """One way to predict into a folder, in parts of so many images."""

    name: str
    predict: Callable[[list[str], Path], object]
    size: int = 64


def ways(cores: int) -> Iterator[Way]:
    """Yield `predict_to` and what is compared with it."""

    def here(paths: list[str], out: Path) -> object:
        return Segmenter.load("clouds").predict_to(out, paths, part_size=64, progress=False)

    def on_ray(actors: int, cpus: int, size: int, *, as_bytes: bool = False) -> Callable[[list[str], Path], object]:
        def predict(paths: list[str], out: Path) -> object:
            images: Any = paths
            if as_bytes:
                images = ray.data.read_binary_files(
                    paths, include_paths=True, override_num_blocks=max(1, len(paths) // size)
                )
            return predict_dataset(
                images,
                "clouds",
                out,
                concurrency=actors,
                num_cpus=cpus,
                images_per_call=size,
                part_size=size,
                progress=False,
            )

        return predict

    yield Way("predict_to", here)
    yield Way("1 actor of 1 CPU, paths by 64", on_ray(1, 1, 64))
    if cores > 1:
        yield Way(f"{cores} actors of 1 CPU, paths by 64", on_ray(cores, 1, 64))
        yield Way(f"1 actor of {cores} CPUs, paths by 64", on_ray(1, cores, 64))
        yield Way(f"1 actor of {cores} CPUs, paths by 16", on_ray(1, cores, 16), 16)
        # One core is left to those that read.
        yield Way(f"{cores - 1} actor(s) of 1 CPU, bytes by 64", on_ray(cores - 1, 1, 64, as_bytes=True))
        yield Way(f"{cores - 1} actor(s) of 1 CPU, bytes by 16", on_ray(cores - 1, 1, 16, as_bytes=True), 16)


class Watch:
    """Notes, while it runs, the most MB of any actor and of the object store."""

    def __init__(self) -> None:
        self.actor = self.store = 0.0
        self._empty = shared_memory()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._done.wait(0.2):
            self.actor = max([self.actor, *actors_memory()])
            self.store = max(self.store, shared_memory() - self._empty)

    def stop(self) -> None:
        """End."""
        self._done.set()
        self._thread.join()


def shared_memory() -> float:
    """Return the MB in shared memory, of which an object store's file has no name."""
    found = os.statvfs("/dev/shm")
    return (found.f_blocks - found.f_bfree) * found.f_frsize / 1e6


def actors_memory() -> Iterator[float]:
    """Yield the MB that each actor holds for itself."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cmdline").read_bytes().startswith(b"ray::MapWorker(MapBatches(_JobPredictor)"):
                lines = (line.split() for line in (process / "status").read_text().splitlines())
                yield sum(int(line[1]) for line in lines if line[0] in ("RssAnon:", "RssFile:")) / 1e3
        except (FileNotFoundError, ProcessLookupError):
            continue


def measure(way: Way, paths: list[str], cores: int) -> None:
    """Predict on a new Ray, and print a line."""
    ray.init(
        num_cpus=cores,
        object_store_memory=500_000_000,
        include_dashboard=False,
        logging_level="error",
        log_to_driver=False,
    )
    ray.data.DataContext.get_current().enable_progress_bars = False
    with tempfile.TemporaryDirectory() as folder:
        watch, start = Watch(), time.perf_counter()
        way.predict(paths, Path(folder) / "out.parquet")
        seconds = time.perf_counter() - start
        watch.stop()
        finished = sorted(path.stat().st_mtime for path in Path(folder).glob("out.parquet/part-*"))
    ray.shutdown()
    rate = way.size * np.polyfit(np.array(finished) - finished[0], np.arange(len(finished)), 1)[0]
    print(  # noqa: T201
        f"{way.name:<32}{rate:6.1f} images/s, start {seconds - len(paths) / rate:4.1f} s, "
        f"an actor {watch.actor:4.0f} MB, object store {watch.store:4.0f} MB",
        flush=True,
    )


def main() -> None:
    """Print a table, a line for each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--only", default="", help="only the ways with this in their name")
    arguments = parser.parse_args()
    scenes = sorted(arguments.images.glob("*.jpg"))
    if not scenes:
        raise SystemExit(f"no .jpg in {arguments.images}")
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, scene in zip(range(arguments.count), itertools.cycle(scenes), strict=False):
            path = Path(folder) / f"{number:06}.jpg"
            path.symlink_to(scene.resolve())
            paths.append(str(path))
        for way in ways(arguments.cores):
            if arguments.only in way.name:
                measure(way, paths, arguments.cores)


if __name__ == "__main__":
    main()
