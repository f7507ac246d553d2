"""What the SDK costs beside its engine: prediction end to end, and the least that it can take, in turn.

`python -m benchmarks.bench_predict IMAGES` with a folder of full-resolution JPEGs. The least is the CPU time of bare
`cv2.imread` and of bare OpenVINO on ready tensors, added: what a program would take that did nothing else and left no
core idle. Prediction ends in Kaggle text at 350 x 525. Every file is read once before the clock starts.

Shares are medians of those within a round, in which all meet the same machine. "by CPU" compares CPU times, which other
programs disturb little; "by the clock" is images a second, and wants an idle machine.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from cloudrle import RLE
from cloudseg_sdk import ModelConfig, Segmenter
from cloudseg_sdk.bundle import find_bundle, read_bundle
from cloudseg_sdk.data.images import read_image, stretch
from cloudseg_sdk.inference.engines import import_openvino
from cloudseg_sdk.metrics import METRIC_SIZE

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Cost(NamedTuple):
    """Seconds for one image."""

    cpu: float
    clock: float


class BareOpenVINO:
    """A bundle's graph in float32, an image a call, as many calls at once as OpenVINO thinks best."""

    def __init__(self, graph: bytes, config: ModelConfig) -> None:
        openvino = import_openvino()
        model = openvino.Core().read_model(graph, b"")
        outputs = model.outputs[-2:] if config.presence_head else model.outputs[-1:]
        model = openvino.Model([output.get_node() for output in outputs], model.get_parameters())
        model.reshape([1, *config.input_size, 3])
        options = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "THROUGHPUT"}
        self._compiled = openvino.Core().compile_model(model, "CPU", options)
        self._queue = openvino.AsyncInferQueue(self._compiled)

    def run(self, tensors: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the class maps of ready tensors ``(N, H, W, 3)``."""
        maps = np.empty((len(tensors), *self._compiled.outputs[0].shape[1:]), np.float32)

        def keep(request: Any, number: int) -> None:
            maps[number] = request.get_output_tensor(0).data[0]

        self._queue.set_callback(keep)
        for number, tensor in enumerate(tensors):
            self._queue.start_async([tensor[np.newaxis]], number, share_inputs=True)
        self._queue.wait_all()
        return maps


def cost(call: Callable[[], object], images: int) -> Cost:
    """Time one call for so many images."""
    clock, cpu = time.perf_counter(), time.process_time()
    call()
    return Cost((time.process_time() - cpu) / images, (time.perf_counter() - clock) / images)


def read_all(paths: Sequence[Path]) -> None:
    """Decode every file and keep nothing."""
    for path in paths:
        cv2.imread(str(path))


def predict_texts(segmenter: Segmenter, paths: Sequence[Path]) -> list[list[str]]:
    """Return the Kaggle text of every mask."""
    predictions = segmenter.predict(paths, output_size=METRIC_SIZE, on_error="raise")
    return [[rle.to_kaggle() for rle in prediction.rles] for prediction in predictions]


def check(segmenter: Segmenter, bare: BareOpenVINO, paths: Sequence[Path], tensors: NDArray[np.uint8]) -> None:
    """Raise where prediction and the bare engine differ, on threshold alone, by more than a pixel in ten thousand."""
    found = segmenter.predict(paths, output_size=METRIC_SIZE, presence=0, threshold=0.5, min_area=0, tta="none")
    for prediction, maps in zip(found, bare.run(tensors), strict=True):
        resized = cv2.resize(maps, METRIC_SIZE[::-1], interpolation=cv2.INTER_LINEAR)
        wanted = np.moveaxis(resized >= np.float32(0.5), 2, 0)
        differing = (prediction.masks.astype(bool) != wanted).mean()
        if differing > 1e-4:
            raise AssertionError(f"{prediction.source}: {differing:.2%} of the pixels differ from the bare engine's")


def race(name: str, file: Path, paths: Sequence[Path], rounds: int) -> None:
    """Print one model's table."""
    segmenter = Segmenter.load(file, engine="openvino")
    bundle = read_bundle(file)
    if bundle.graph is None:
        raise SystemExit(f"{file} has no graph for OpenVINO")
    bare = BareOpenVINO(bundle.graph, bundle.config)
    tensors = np.stack([stretch(read_image(path), bundle.config.input_size) for path in paths])
    check(segmenter, bare, paths, tensors)
    assert_text(segmenter, paths[0])
    calls: dict[str, Callable[[], object]] = {
        "cv2.imread": lambda: read_all(paths),
        "bare OpenVINO": lambda: bare.run(tensors),
        "Segmenter.predict": lambda: predict_texts(segmenter, paths),
    }
    costs = [{key: cost(call, len(paths)) for key, call in calls.items()} for _ in range(rounds)]
    print(f"{name}: {len(paths)} images, {rounds} rounds, {CORES} cores")  # noqa: T201
    for key in calls:
        cpu, clock = (1e3 * statistics.median(getattr(one[key], field) for one in costs) for field in Cost._fields)
        print(f"  {key:<18} {cpu:>8.1f} ms of CPU  {clock:>8.1f} ms by the clock")  # noqa: T201
    least = [one["cv2.imread"].cpu + one["bare OpenVINO"].cpu for one in costs]
    whole = [one["Segmenter.predict"] for one in costs]
    by_cpu = statistics.median(a / b.cpu for a, b in zip(least, whole, strict=True))
    by_clock = statistics.median(a / CORES / b.clock for a, b in zip(least, whole, strict=True))
    print(f"  share of what is possible: {by_cpu:.3f} by CPU, {by_clock:.3f} by the clock")  # noqa: T201
    timing = segmenter.predict(paths, output_size=METRIC_SIZE).timing
    stages = ("read", "stretch", "engine", "decide")
    spent = ", ".join(f"{stage} {1e3 * getattr(timing, stage) / timing.images:.1f}" for stage in stages)
    print(f"  ms of its threads: {spent}")  # noqa: T201


def assert_text(segmenter: Segmenter, path: Path) -> None:
    """Raise where text does not give back the mask."""
    (texts,), prediction = predict_texts(segmenter, [path]), segmenter(path, output_size=METRIC_SIZE)
    if [RLE.from_kaggle(text, METRIC_SIZE) for text in texts] != list(prediction.rles):
        raise AssertionError(f"{path}: text and masks differ")


def main() -> None:
    """Print a table for the shipped model and one for the notebook's network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, help="only the first so many images")
    parser.add_argument("--model", choices=("clouds", "notebook"), help="only this one")
    arguments = parser.parse_args()
    if not arguments.images.is_dir():
        raise SystemExit(f"no folder {arguments.images}: skipped")
    paths = list(islice(sorted(arguments.images.glob("*.jpg")), arguments.count))
    read_all(paths)
    if arguments.model != "notebook":
        race("the shipped model", find_bundle("clouds"), paths, arguments.rounds)
    if arguments.model != "clouds":
        with TemporaryDirectory() as folder:
            file = Path(folder) / "notebook.cloudseg"
            Segmenter.build(ModelConfig.notebook()).save(file)  # its weights do not change how long it takes
            race("the notebook's network", file, paths, arguments.rounds)


if __name__ == "__main__":
    main()
