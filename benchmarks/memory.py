"""The peak memory of a process after 300 images and after 3,000, with the shipped model.

`python -m benchmarks.memory IMAGES` with a folder of images, which are taken again and again; each line is of two fresh
processes. Images are given as a list and a folder of paths, and by a generator: of arrays, or for `predict_to`, which
wants them, of paths. What `stream` yields is dropped, what `predict` returns is kept: there the last column says how
many bytes an image that costs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory

from cloudseg_sdk import Segmenter
from cloudseg_sdk.data.images import list_images, read_image
from cloudseg_sdk.data.sources import Images
from cloudseg_sdk.inference.engines import OpenVINOEngine

COUNTS = (300, 3000)
STATUS = Path("/proc/self/status")
WAYS: dict[str, Callable[[Segmenter, Images, str], object]] = {
    "stream": lambda segmenter, images, _: deque(segmenter.stream(images, on_error="raise"), maxlen=0),
    "predict": lambda segmenter, images, _: segmenter.predict(images, on_error="raise"),
    "predict_to": lambda segmenter, images, out: segmenter.predict_to(out, images, progress=False, on_error="raise"),
}
KINDS = ("list", "folder", "generator")


def measure(way: str, kind: str, folder: Path) -> tuple[int, int]:
    """Predict the images of `folder`; return this process's peak in bytes, and how often its engine was compiled."""
    segmenter = Segmenter.load("clouds")
    engine = segmenter._running_engine()
    assert isinstance(engine, OpenVINOEngine)
    paths = list_images(folder)
    images: Images = folder if kind == "folder" else paths
    if kind == "generator":
        images = (path if way == "predict_to" else read_image(path) for path in paths)
    with TemporaryDirectory() as out:
        kept = WAYS[way](segmenter, images, f"{out}/masks.csv")
        peak = next(line.split()[1] for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
        del kept
    return 1024 * int(peak), engine.compilations


def link_images(given: Path, count: int, folder: Path) -> Path:
    """Make `folder`, in which the images of another are `count` in all."""
    folder.mkdir()
    for number, path in enumerate(islice(cycle(list_images(given)), count)):
        (folder / f"{number:05}{path.suffix}").symlink_to(path.resolve())
    return folder


def main() -> None:
    """Print a line for each way to predict and each kind of input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("--way", choices=tuple(WAYS), help="only this one")
    parser.add_argument("--kind", choices=KINDS, help="only this one")
    parser.add_argument("--measure", action="store_true", help="the images as they are, in this process; prints JSON")
    arguments = parser.parse_args()
    if not STATUS.exists():
        raise SystemExit("no /proc/self/status, where Linux keeps the peak: skipped")
    if arguments.measure:
        print(json.dumps(measure(arguments.way, arguments.kind, arguments.images)))  # noqa: T201
        return
    with TemporaryDirectory() as name:
        folders = [link_images(arguments.images, count, Path(name) / str(count)) for count in COUNTS]
        for way in [arguments.way] if arguments.way else WAYS:
            for kind in [arguments.kind] if arguments.kind else KINDS:
                command = [sys.executable, "-m", "benchmarks.memory", "--measure", "--way", way, "--kind", kind]
                found = [subprocess.check_output([*command, str(folder)]) for folder in folders]
                (before, once), (after, again) = (json.loads(line) for line in found)
                print(  # noqa: T201
                    f"{way:<10} {kind:<9}  {before / 2**20:6.1f} MiB after {COUNTS[0]:,}, {after / 2**20:6.1f} after "
                    f"{COUNTS[1]:,}: {after / before:.3f} times; {once} and {again} compilations; "
                    f"{(after - before) / (COUNTS[1] - COUNTS[0]):+,.0f} bytes an image",
                    flush=True,
                )


if __name__ == "__main__":
    main()
