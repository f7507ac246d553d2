"""Write all hostile files into a folder, read each with its readers, and print what came of it."""

import json
import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from cloudrle import read_table
from cloudrle.cli import app
from cloudseg_sdk import BundleError, CloudDataset, DataError, ImageError, Segmenter
from cloudseg_sdk.bundle import read_bundle
from cloudseg_sdk.data.images import read_image
from hostile.bundles import BUNDLES
from hostile.images import IMAGES
from hostile.tables import TABLES

CORPUS = {**BUNDLES, **IMAGES, **TABLES}
SHAPE = (4, 6)


def run_command(name: str, path: Path, *more: str) -> None:
    """Run ``cloudrle``, and raise what its ``main`` would print."""
    result = CliRunner().invoke(app, [name, str(path), *more, "--shape", "4x6"])
    if isinstance(result.exception, SystemExit):  # of `check`, which found faults
        raise ValueError(result.output)
    if result.exception is not None:
        raise result.exception


# Each with the errors that it is documented to raise.
READERS: dict[str, tuple[Callable[[Path], object], tuple[type[Exception], ...]]] = {
    "bundle": (read_bundle, (BundleError,)),
    "model": (Segmenter.load, (BundleError,)),
    "image": (read_image, (ImageError,)),
    "archive": (lambda path: read_image(zipfile.Path(path, "a.png")), (ImageError,)),
    "kaggle": (lambda path: CloudDataset.from_kaggle(path.parent, SHAPE, ("A", "B")), (DataError,)),
    "coco": (lambda path: CloudDataset.from_coco(path, path.parent / "train_images"), (DataError,)),
    "read_table": (lambda path: read_table(path, shape=SHAPE), (ValueError, TypeError)),
    "check": (lambda path: run_command("check", path), (ValueError, TypeError)),
    "convert": (lambda path: run_command("convert", path, str(path.with_name("out.csv"))), (ValueError, TypeError)),
}


def write_corpus(folder: Path) -> None:
    """Write every case, beside two images for labels to be of."""
    for name, case in CORPUS.items():
        path = folder / name / case.file
        path.parent.mkdir(parents=True)
        path.write_bytes(case.make())
        if case.words.keys() & {"kaggle", "coco"}:
            (path.parent / "train_images").mkdir()
            for image in ("a.jpg", "b.jpg"):
                (path.parent / "train_images" / image).touch()  # labels are read, not images


def read_corpus(folder: Path) -> dict[str, str | None]:
    """Read every case, and return the words of its errors by case and reader."""
    found: dict[str, str | None] = {}
    for name, case in CORPUS.items():
        for reader in case.words:
            read, documented = READERS[reader]
            path = folder / name / case.file
            words = None
            try:
                read(path)
            except documented as error:
                words = str(error).replace(str(path), "{path}")
            except Exception as error:  # noqa: BLE001  # a foreign one, which the test will not find in the table
                words = f"FOREIGN {error!r}"
            found[f"{name} {reader}"] = words
    return found


def main(folder: Path) -> None:
    os.environ["OPENCV_LOG_LEVEL"] = "SILENT"
    write_corpus(folder)
    outcome: Any = read_corpus(folder)
    sys.stdout.write(json.dumps(outcome, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
