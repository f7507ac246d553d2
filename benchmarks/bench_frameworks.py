"""The notebook's network from JPEG files to Kaggle text: `Segmenter.predict` beside Keras and PyTorch, in turn.

`python -m benchmarks.bench_frameworks IMAGES` with a folder of full-resolution JPEGs. All run the same weights. Around
the peers is a plain loop of cv2 and NumPy, with the preprocessing and the text of the notebook: grey, stretched to
256 x 384, standardized; maps resized to 350 x 525, 0.5 on pixels, no more. Each peer has the batch size that it was
fastest with. PyTorch runs channels-last; it is left out, with a word, where it is not installed, and so is bfloat16
where the CPU has none.

First the class maps of all are compared, on the same tensors. Ratios are medians of those within a round, in which all
meet the same machine. "by CPU" compares CPU times, which other programs disturb little; "by the clock" is images a
second, and wants an idle machine.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

sys.path.append(str(Path(__file__).parents[1] / "tests"))  # for reference, as in pytest's configuration

import cv2
import numpy as np
import reference
from numpy.typing import NDArray

from benchmarks.bench_predict import CORES, Cost, cost
from cloudseg_sdk import ModelConfig, Segmenter
from cloudseg_sdk.data.images import read_image, stretch
from cloudseg_sdk.inference.engines import has_bfloat16, import_openvino
from cloudseg_sdk.metrics import METRIC_SIZE
from cloudseg_sdk.models.weights import get_weights
from cloudseg_sdk.network import Precision

CONFIG = ModelConfig.notebook()
BATCH_SIZES = (1, 2, 4, 8)
PAUSE = 0.5  # until the threads of the one before sleep
LUMA = np.array([0.299, 0.587, 0.114], np.float32)

Maps = NDArray[np.float32]
Network = Callable[[Maps, int], Maps]
"""Standardized grey images ``(N, H, W, 1)`` and a batch size to class maps ``(N, H, W, C)``."""


class Contender(NamedTuple):
    """Who goes from files to text, how, and what an image cost in each round."""

    name: str
    precision: str
    predict: Callable[[Sequence[Path]], object]
    costs: list[Cost]


def standardize(image: NDArray[Any]) -> Maps:
    """Bring one grey image ``(H, W)`` to mean 0 and deviation 1, as the notebook does."""
    scaled = image.astype(np.float64)
    scaled -= scaled.mean()
    scaled /= scaled.std()
    return scaled[:, :, np.newaxis].astype(np.float32)


def read_grey(path: Path) -> Maps:
    """Read an image as the notebook does."""
    grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert grey is not None
    return standardize(cv2.resize(grey, CONFIG.input_size[::-1]))


def write_texts(maps: Maps) -> list[str]:
    """Return the Kaggle text of each class of one image."""
    resized = cv2.resize(maps, METRIC_SIZE[::-1], interpolation=cv2.INTER_LINEAR)
    return [reference.notebook_mask_to_rle((resized[:, :, number] >= 0.5).astype(np.uint8)) for number in range(4)]


def predict_plainly(network: Network, batch_size: int, paths: Sequence[Path]) -> list[list[str]]:
    """Go from files to texts, batch by batch."""
    texts = []
    for first in range(0, len(paths), batch_size):
        images = np.stack([read_grey(path) for path in paths[first : first + batch_size]])
        texts += [write_texts(maps) for maps in network(images, batch_size)]
    return texts


def predict_by_sdk(segmenter: Segmenter, paths: Sequence[Path]) -> list[list[str]]:
    """Do the same with the SDK."""
    options: dict[str, Any] = {"presence": 0, "threshold": 0.5, "min_area": 0}
    predictions = segmenter.predict(paths, output_size=METRIC_SIZE, on_error="raise", **options)
    return [[rle.to_kaggle() for rle in prediction.rles] for prediction in predictions]


def keras_network(model: Any) -> Network:
    """Return `keras.Model.predict`."""
    return lambda images, batch_size: np.asarray(model.predict(images, batch_size=batch_size, verbose=0))


def torch_networks(weights: dict[str, NDArray[np.float32]], precisions: Sequence[str]) -> Iterator[tuple[str, Network]]:
    """Yield the network in PyTorch by precision, where that is installed."""
    try:
        import torch

        from benchmarks.torch_network import UNetPlusPlus
    except ImportError as error:
        print(f"PyTorch is left out: {error}")  # noqa: T201
        return
    torch.set_num_threads(CORES)
    model = UNetPlusPlus(CONFIG)
    model.take_weights(weights)
    model = model.eval().to(memory_format=torch.channels_last)

    def run(half: bool, images: Maps, _: int) -> Maps:
        batch = torch.from_numpy(images).permute(0, 3, 1, 2)  # channels last as they are
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
            return np.asarray(model(batch).float().permute(0, 2, 3, 1).numpy())

    for precision in precisions:
        yield precision, partial(run, precision == "bfloat16")


def check(name: str, precision: str, maps: Maps, wanted: Maps) -> None:
    """Print how many pixels of the masks are equal; raise where float32 differs by more than rounding."""
    furthest = float(np.abs(maps - wanted).max())
    equal = float(((maps >= 0.5) == (wanted >= 0.5)).mean())
    print(f"{name} {precision}: maps within {furthest:.1e} of Keras', {equal:.4%} of the masks' pixels equal")  # noqa: T201
    if precision == "float32" and (furthest > 1e-3 or equal < 0.9999):
        raise AssertionError(f"{name} does not agree with Keras")


def fastest(network: Network, paths: Sequence[Path]) -> int:
    """Return the batch size that a peer takes least time with."""
    spent = {}
    for size in BATCH_SIZES:
        predict_plainly(network, size, paths[:size])  # compiles
        spent[size] = cost(partial(predict_plainly, network, size, paths[: max(BATCH_SIZES)]), 1).clock
    return min(spent, key=lambda size: spent[size])


def open_contenders(paths: Sequence[Path]) -> list[Contender]:
    """Make all of one set of weights, compare their class maps, and run each once."""
    precisions: list[Precision] = ["float32"]
    if has_bfloat16(import_openvino().Core()):
        precisions.append("bfloat16")
    built = Segmenter.build(CONFIG, seed=0)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "notebook.cloudseg"
        built.save(file)
        opened = {name: Segmenter.load(file, engine="openvino", precision=name) for name in precisions}
    peers = {("Keras", "float32"): keras_network(built.model)}
    for precision, network in torch_networks(get_weights(built.model), precisions):
        peers["PyTorch", precision] = network

    pixels = np.stack([stretch(read_image(path), CONFIG.input_size) for path in paths[:4]])
    tensors = np.stack([standardize(image @ LUMA) for image in pixels])
    wanted = peers["Keras", "float32"](tensors, len(tensors))
    for precision, segmenter in opened.items():
        check("cloudseg", precision, segmenter._running_engine().run(pixels).maps, wanted)
    for (name, precision), network in peers.items():
        check(name, precision, network(tensors, len(tensors)), wanted)

    found = []
    for (name, precision), network in peers.items():
        size = fastest(network, paths)
        print(f"{name} {precision}: batches of {size}")  # noqa: T201
        found.append(Contender(name, precision, partial(predict_plainly, network, size), []))
    for precision, segmenter in opened.items():
        predict_by_sdk(segmenter, paths)
        found.append(Contender("cloudseg", precision, partial(predict_by_sdk, segmenter), []))
    return found


def race(paths: Sequence[Path], rounds: int) -> None:
    """Print the table."""
    contenders = open_contenders(paths)
    for _ in range(rounds):
        for one in contenders:
            time.sleep(PAUSE)
            one.costs.append(cost(partial(one.predict, paths), len(paths)))
    print(f"{len(paths)} images, {rounds} rounds, {CORES} cores")  # noqa: T201
    for one in contenders:
        cpu, clock = (1e3 * statistics.median(getattr(each, field) for each in one.costs) for field in Cost._fields)
        print(f"  {one.name:<9}{one.precision:<9} {cpu:>7.1f} ms of CPU  {clock:>7.1f} ms by the clock")  # noqa: T201
    for own in (one for one in contenders if one.name == "cloudseg"):
        for peer in contenders:
            if peer.name == "Keras" or (peer.name == "PyTorch" and peer.precision == own.precision):
                pairs = list(zip(peer.costs, own.costs, strict=True))
                by_cpu = statistics.median(theirs.cpu / ours.cpu for theirs, ours in pairs)
                by_clock = statistics.median(theirs.clock / ours.clock for theirs, ours in pairs)
                words = f"{by_cpu:.2f} times by CPU, {by_clock:.2f} by the clock"
                print(f"  images a second, cloudseg {own.precision} / {peer.name} {peer.precision}: {words}")  # noqa: T201


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=16, help="images, the first so many")
    arguments = parser.parse_args()
    if not arguments.images.is_dir():
        raise SystemExit(f"no folder {arguments.images}: skipped")
    paths = list(islice(sorted(arguments.images.glob("*.jpg")), arguments.count))
    for path in paths:
        path.read_bytes()  # so that nobody pays for the disk
    race(paths, arguments.rounds)


if __name__ == "__main__":
    main()
