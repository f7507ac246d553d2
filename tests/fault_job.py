"""Every kind of file, written while things go wrong: ``python fault_job.py kill|share|disk FOLDER INPUTS``.

``kill`` kills a writer before each of its operations on files, ``share`` has two processes write one file while a third
reads it, ``disk`` fills the disk that FOLDER lies on and then makes it read-only. Each prints what came of every
writer, as JSON. A process of its own, because it forks, and mounts what nobody else should see.
"""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from bulk_job import die_at

from cloudrle import RLE
from cloudrle.cli import convert_file
from cloudseg_sdk import CloudDataset, Decision, ModelConfig, Prediction, Predictions
from cloudseg_sdk.bundle import Bundle, read_bundle, write_bundle
from cloudseg_sdk.evaluation import evaluate_outputs, report_scenes
from cloudseg_sdk.inference.engines import Output
from cloudseg_sdk.page import Evaluation, write_page

SHAPE = (350, 525)
DECISION = Decision.plain(2)
ROUNDS = 10  # of two writers


def write_inputs(inputs: Path) -> None:
    """Make what the writers read: two images and two tables."""
    for version in (1, 2):
        cv2.imwrite(str(inputs / f"{version}.png"), np.full((60, 90, 3), 100 * version, np.uint8))
        rows = "".join(f"{number}.jpg_A,{version} 2 9 3\n" for number in range(3000))
        (inputs / f"{version}.csv").write_text(f"Image_Label,EncodedPixels\n{rows}")


def predictions(inputs: Path, version: int) -> Predictions:
    mask = np.zeros(SHAPE, np.uint8)
    mask[version::3] = 1
    rle = RLE.from_mask(mask)
    return Predictions((Prediction(str(inputs / f"{version}.png"), ("A", "B"), SHAPE, (rle, rle), (0.5, 0.25)),))


def write_model(path: Path, inputs: Path, version: int) -> None:
    config = ModelConfig(classes=("A", "B"), input_size=(32, 48), filters=(4, 6, 8))
    weights = {"conv/kernel": np.full((64, 64), version, np.float32)}
    write_bundle(path, Bundle(config, DECISION, weights, b"a graph"), "float32")


def write_report(path: Path, inputs: Path, version: int) -> None:
    dataset = CloudDataset.from_masks([inputs / f"{version}.png"], [np.ones((60, 90), np.uint8)], ("A", "B"))
    outputs = [Output(np.full((16, 24, 2), 0.3 * version, np.float32))]
    scenes, curves = evaluate_outputs(dataset, outputs, DECISION, curves=True)
    assert curves is not None
    write_page(path, Evaluation(report_scenes(scenes, ("A", "B")), scenes, curves, DECISION, {}))


def convert_table(path: Path, inputs: Path, version: int) -> None:
    with redirect_stdout(io.StringIO()):
        convert_file(inputs / f"{version}.csv", path, shape="350x525")


WRITERS: dict[str, Callable[[Path, Path, int], object]] = {
    "model.cloudseg": write_model,
    "table.csv": lambda path, inputs, version: predictions(inputs, version).to_csv(path),
    "table.parquet": lambda path, inputs, version: predictions(inputs, version).to_parquet(path),
    "coco.json": lambda path, inputs, version: predictions(inputs, version).to_coco(path),
    "submission.csv": lambda path, inputs, version: predictions(inputs, version).to_submission(path),
    "overlay.png": lambda path, inputs, version: predictions(inputs, version)[0].save_overlay(path),
    "report.html": write_report,
    "converted.csv": convert_table,
    "converted.json": convert_table,
    "converted.parquet": convert_table,
}


def in_child(work: Callable[[], object]) -> int:
    """Do it in a process of its own, and return that."""
    child = os.fork()
    if not child:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return child


def status(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def content(path: Path) -> bytes:
    """What a file holds, but for the times of day that a model file's zip has."""
    if path.suffix == ".cloudseg":
        return b"".join(array.tobytes() for array in read_bundle(path).weights.values())
    return path.read_bytes()


def write_in_child(path: Path, inputs: Path, version: int) -> None:
    """Write in a process of its own: threads that libraries start with their first use would not survive a fork."""
    assert status(in_child(lambda: WRITERS[path.name](path, inputs, version))) == 0


def versions(path: Path, inputs: Path) -> tuple[bytes, bytes]:
    """Write the second version and then the first, and return what each holds, the first one first."""
    found = []
    for version in (2, 1):
        write_in_child(path, inputs, version)
        found.append(content(path))
    return found[1], found[0]


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.parent.iterdir())


def kill(path: Path, inputs: Path) -> dict[str, Any]:
    old, new = versions(path, inputs)
    write = WRITERS[path.name]
    kills, torn, left = 0, 0, 0

    def die(operation: int) -> None:
        die_at(operation, path.parent)
        write(path, inputs, 2)

    for operation in count(1):
        if status(in_child(lambda: die(operation))) == 0:  # noqa: B023  # it is done at once
            break
        kills += 1
        torn += content(path) not in (old, new)
        left += len(names(path)) > 1
        write_in_child(path, inputs, 1)
        torn += names(path) != [path.name]
    return {"kills": kills, "torn": torn, "left": left, "last": content(path) == new}


def share(path: Path, inputs: Path) -> dict[str, Any]:
    whole = versions(path, inputs)

    def work(version: int) -> None:
        for _ in range(ROUNDS):
            WRITERS[path.name](path, inputs, version)

    children = [in_child(lambda: work(1)), in_child(lambda: work(2))]
    torn = reads = 0
    statuses = []
    while children:
        torn += content(path) not in whole
        reads += 1
        done, code = os.waitpid(children[0], os.WNOHANG)
        if done:
            statuses.append(os.waitstatus_to_exitcode(code))
            children.pop(0)
    return {"torn": torn, "reads": reads, "statuses": statuses, "names": names(path)}


def attempt(path: Path, inputs: Path) -> str:
    """Try to write the second version over the first, and say what came of it."""
    old = path.read_bytes()
    try:
        WRITERS[path.name](path, inputs, 2)
    except OSError as error:
        words = str(error).replace(str(path), "{path}")
    else:
        words = "written"
    return words if path.read_bytes() == old and names(path) == [path.name] else f"{words}, but {names(path)}"


def disk(path: Path, inputs: Path) -> dict[str, Any]:
    WRITERS[path.name](path, inputs, 1)
    ballast = path.parents[1] / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 12))
        except OSError:
            pass
    full = attempt(path, inputs)
    ballast.unlink()
    mount = path.parents[1]
    subprocess.run(["mount", "-o", "remount,ro", str(mount)], check=True)
    read_only = attempt(path, inputs)
    subprocess.run(["mount", "-o", "remount,rw", str(mount)], check=True)
    return {"full": full, "read-only": read_only}


def main(what: str, folder: Path, inputs: Path) -> None:
    write_inputs(inputs)
    run = {"kill": kill, "share": share, "disk": disk}[what]
    found = {}
    for name in WRITERS:
        path = folder / name.replace(".", "-") / name
        path.parent.mkdir()
        found[name] = run(path, inputs)
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
