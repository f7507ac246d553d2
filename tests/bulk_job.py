"""A bulk job that is killed and begun again: ``python bulk_job.py FOLDER IMAGES KILL...``.

For each KILL, a number, a process of its own, which begins with all modules imported, goes on with the
job and kills itself at that number of operations on files in FOLDER or beside it; a last one lives. Prints what each
has left behind, as JSON.
"""

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import pandas as pd
import pyarrow.parquet as pq

from cloudseg_sdk import Segmenter
from cloudseg_sdk.inference.engines import import_openvino

BUNDLE = Path(__file__).parent / "fixtures" / "bundle" / "version1.cloudseg"
PART_SIZE = 2


def run(folder: Path, images: Path) -> None:
    """Begin the job, or go on with it."""
    segmenter = Segmenter.load(BUNDLE)
    segmenter.predict_to(folder, images, part_size=PART_SIZE, progress=False)


def die_at(operation: int, under: Path) -> None:
    """Kill this process at one of its next operations on files under a folder."""
    rest = iter(range(1, operation))

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        is_file = event == "open" or event.startswith("os.")
        if is_file and str(arguments[0]).startswith(str(under)) and next(rest, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


def left_behind(folder: Path) -> dict[str, int]:
    """Count what lies in the folder."""
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    manifest = folder / "_manifest-0-of-1.json"
    listed = json.loads(manifest.read_text())["parts"] if manifest.is_file() else []
    return {
        "parts": sum(name.startswith("part-") for name in names),
        "listed": len(listed),
        "temporary": sum(name.startswith((".part-", "._manifest-")) for name in names),
    }


def main(folder: Path, images: Path, kills: list[int]) -> Iterator[dict[str, int]]:
    # Only modules: their threads begin with the first use, and would not survive a fork.
    assert all((cv2, pd, pq, import_openvino()))
    for kill in (*kills, None):
        child = os.fork()
        if not child:
            if kill is not None:
                die_at(kill, folder.parent)
            run(folder, images)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        yield {"status": status, **left_behind(folder)}


if __name__ == "__main__":
    for found in main(Path(sys.argv[1]), Path(sys.argv[2]), list(map(int, sys.argv[3:]))):
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()
