"""Label formats. Each reader checks everything and returns examples; the first fault raises with its place."""

from __future__ import annotations

import codecs
import io
import json
import os
import re
import reprlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cloudrle import RLE, RLEError
from cloudseg_sdk.data.headers import check_size, damaged
from cloudseg_sdk.data.images import read_file
from cloudseg_sdk.errors import DataError, ImageError

if TYPE_CHECKING:
    import pandas as pd

_KINDS: dict[type | UnionType, str] = {
    int: "a whole number",
    str: "text",
    int | str: "a whole number or text",
    list: "a list",
}
_MAX_PIXELS = 1 << 30  # OpenCV reads no larger image


@dataclass(frozen=True)
class Example:
    """One labelled image: its file, and one mask per class, whose shape may differ from the image's."""

    image: Path
    rles: tuple[RLE, ...]


def read_kaggle(folder: Path, label_shape: tuple[int, int], classes: tuple[str, ...]) -> tuple[Example, ...]:
    """Read ``train.csv`` and ``train_images/``; see :meth:`cloudseg_sdk.CloudDataset.from_kaggle`."""
    table = read_csv(folder / "train.csv", ("Image_Label", "EncodedPixels"))
    rles: dict[str, dict[str, RLE]] = defaultdict(dict)
    for line, (key, text) in enumerate(zip(table["Image_Label"], table["EncodedPixels"], strict=True), start=2):
        if not key and not text:  # a blank line
            continue
        place = f"train.csv line {line} ({key if key.isprintable() else ascii(key)})"
        known = [label for label in classes if key.endswith(f"_{label}")]  # a class may hold a "_" itself
        label = max(known, key=len) if known else key.rpartition("_")[2]
        name = key[: -len(label) - 1]
        if not name:
            raise DataError(f"{place}: Image_Label must be <file>_<class>")
        if label not in classes:
            raise DataError(f"{place}: unknown class {label!r}; wanted one of {', '.join(classes)}")
        if label in rles[name]:
            raise DataError(f"{place}: a second row for this image and class; remove one")
        try:
            rles[name][label] = RLE.from_kaggle(text, label_shape)
        except RLEError as error:
            raise DataError(f"{place}: {error}") from error
    for name, masks in rles.items():
        missing = [label for label in classes if label not in masks]
        if missing:
            raise DataError(f"train.csv has no row for {name}_{missing[0]}; give every class a row, empty if need be")
    images = _require_images(folder / "train_images" / name for name in rles)
    return tuple(
        Example(image, tuple(rles[name][label] for label in classes)) for image, name in zip(images, rles, strict=True)
    )


def read_masks(
    images: Sequence[Path], masks: Sequence[NDArray[Any] | str | Path], classes: tuple[str, ...]
) -> tuple[Example, ...]:
    """Pair images with dense masks; see :meth:`cloudseg_sdk.CloudDataset.from_masks`."""
    if len(images) != len(masks):
        raise DataError(f"got {len(images)} images and {len(masks)} masks; wanted as many of each")
    _refuse_doubled(images, "one image is given twice:")
    _require_images(images)
    return tuple(
        Example(image, _encode_classes(mask, classes, f"mask of {image}"))
        for image, mask in zip(images, masks, strict=True)
    )


def read_coco(annotations: Path, folder: Path) -> tuple[tuple[Example, ...], tuple[str, ...]]:
    """Read COCO JSON; return examples and classes. See :meth:`cloudseg_sdk.CloudDataset.from_coco`."""
    document = _read_json(annotations)
    images = _by_id(document, "images", annotations)
    categories = _by_id(document, "categories", annotations)
    shapes = {key: _coco_shape(image, f"image {key}") for key, image in images.items()}
    paths = {key: folder / _field(image, "file_name", str, f"image {key}") for key, image in images.items()}
    ordered = sorted(categories, key=lambda key: (isinstance(key, str), key))
    names = {key: _field(categories[key], "name", str, f"category {key}") for key in ordered}
    if not all(names.values()) or not names:
        raise DataError(f"{annotations}: wanted categories with names, got {list(names.values())}")
    for kind, values in (("images", paths.values()), ("categories", names.values())):
        _refuse_doubled(values, f"{annotations}: two {kind} are named")
    _require_images(paths.values())
    found: dict[tuple[Any, Any], list[tuple[str, Any]]] = defaultdict(list)
    for number, entry in enumerate(_field(document, "annotations", list, str(annotations))):
        known = isinstance(entry, dict) and "id" in entry
        place = f"annotation {reprlib.repr(entry['id'])}" if known else f"annotations[{number}]"
        image, category = (_field(entry, name, int | str, place) for name in ("image_id", "category_id"))
        if image not in images or category not in categories:
            raise DataError(f"{place}: unknown image_id {image!r} or category_id {category!r}")
        found[image, category].append((place, entry.get("segmentation")))
    # One image at a time: the dense masks of a whole dataset would not fit into memory.
    examples = [
        Example(path, tuple(_unite_coco(found.get((key, name), []), shapes[key]) for name in names))
        for key, path in paths.items()
    ]
    return tuple(examples), tuple(names.values())


def read_csv(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """Read a CSV file that has exactly these columns, every cell as text. Blank lines are rows of empty cells."""
    import pandas as pd  # slow to import

    text = _read_text(path).replace("\r\n", "\n").replace("\r", "\n")
    _check_cells(text, columns, path)
    try:
        # Everything stays text: an empty cell is an empty mask here, not a missing value. Blank lines count as lines.
        table = pd.read_csv(
            io.StringIO(text), dtype=str, keep_default_na=False, na_filter=False, skip_blank_lines=False
        )
    except ValueError as error:  # pandas' parser errors are ValueErrors
        raise DataError(f"{path} is not a CSV file: {str(error).strip()}") from error
    if list(table.columns) != list(columns):
        raise DataError(f"{path} must have the columns {', '.join(columns)}, got {', '.join(map(str, table.columns))}")
    return table


def _read_text(path: Path) -> str:
    """Read a file of UTF-8, with a byte order mark or without."""
    try:
        data = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    wanted = "save the file as UTF-8"
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path} line {line}: the byte 0x{data[error.start]:02x} is not UTF-8; {wanted}") from error
    if "\0" in text:  # as UTF-16 has them, and what a crash left of a file
        raise DataError(
            f"{path} line {text.count(chr(10), 0, text.index(chr(0))) + 1}: a NUL byte is no text; {wanted}"
        )
    return text


def _check_cells(text: str, columns: tuple[str, ...], path: Path) -> None:
    """Refuse rows of more or fewer cells: pandas takes the first for an index, and the missing for empty ones."""
    plain = re.sub('"[^"]*"', "", text) if '"' in text else text  # cells in quotes may hold commas and line ends
    for number, line in enumerate(plain.split("\n"), start=1):
        if number == 1 and line.count(",") != len(columns) - 1:
            raise DataError(f"{path} must have the columns {', '.join(columns)}, got {line!r:.80}")
        if line and line.count(",") != len(columns) - 1:
            raise DataError(f"{path} line {number}: wanted {len(columns)} cells, got {line.count(',') + 1}")


def _refuse_doubled(values: Iterable[object], words: str) -> None:
    doubled = [value for value, count in Counter(values).items() if count > 1]
    if doubled:
        raise DataError(f"{words} {doubled[0]}")


def _require_images(images: Iterable[Path]) -> list[Path]:
    found = list(images)
    missing = [image for image in found if not _is_file(image)]
    if missing:
        raise DataError(f"{len(missing)} of {len(found)} images are missing, the first is {missing[0]}")
    if not found:
        raise DataError("there is not one image in these labels")
    return found


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long, say
        return False


def _encode_classes(mask: NDArray[Any] | str | Path, classes: tuple[str, ...], place: str) -> tuple[RLE, ...]:
    if not isinstance(mask, np.ndarray | str | os.PathLike):
        raise TypeError(
            f"{place}: wanted an array or the path of an image file, got a {type(mask).__name__}; numpy.array makes an "
            "array of nested lists"
        )
    array = mask if isinstance(mask, np.ndarray) else _read_mask(Path(mask))
    if array.dtype.kind not in "biuf" or array.size == 0:
        raise DataError(f"{place}: wanted numbers and at least one pixel, got {array.dtype} of shape {array.shape}")
    if array.ndim == 3:
        if array.shape[2] != len(classes):
            raise DataError(f"{place}: got {array.shape[2]} channels for {len(classes)} classes")
        return tuple(RLE.from_mask(array[:, :, channel]) for channel in range(len(classes)))
    if array.ndim != 2 or array.dtype.kind not in "ui":
        raise DataError(
            f"{place}: wanted (H, W) whole numbers or (H, W, {len(classes)}), got {array.dtype} of shape {array.shape}"
        )
    unknown = np.setdiff1d(array, np.arange(len(classes) + 1))
    if unknown.size:
        raise DataError(f"{place}: value {unknown[0]} stands for no class; wanted 0 to {len(classes)}")
    return tuple(RLE.from_mask(array == number) for number in range(1, len(classes) + 1))


def _read_mask(path: Path) -> NDArray[Any]:
    try:
        data = read_file(path)
        check_size(data, str(path))
        array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except ImageError as error:
        raise DataError(str(error)) from error
    except cv2.error as error:
        raise DataError(f"{path} cannot be decoded: {error.err}") from error
    if array is None:
        raise DataError(str(damaged(data, str(path))))
    if array.ndim != 2:
        raise DataError(
            f"{path} has {array.shape[2]} channels; a mask file holds one, the number of each pixel's class (a palette "
            "is read as colours). Pass several channels as an array (H, W, classes)"
        )
    return np.asarray(array)


def _read_json(path: Path) -> Any:
    text = _read_text(path)
    try:
        return json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON: {error}") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a name that is there twice, of which Python would keep the last: half of the annotations, say."""
    found = dict(pairs)
    if len(found) < len(pairs):
        name = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ValueError(f"an object has the name {name!r} twice")
    return found


def _field(entry: Any, name: str, kind: type | UnionType, place: str) -> Any:
    """Return a field of a JSON object, of the wanted type."""
    if not isinstance(entry, dict):
        raise DataError(f"{place} must be an object, got {reprlib.repr(entry)}")
    value = entry.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise DataError(f"{place}: {name!r} must be {_KINDS[kind]}, got {reprlib.repr(value)}")
    return value


def _by_id(document: Any, name: str, path: Path) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for number, entry in enumerate(_field(document, name, list, str(path))):
        key = _field(entry, "id", int | str, f"{name}[{number}]")
        if key in found:
            raise DataError(f"{name}[{number}]: the id {key!r} is used twice")
        found[key] = entry
    return found


def _coco_shape(image: Any, place: str) -> tuple[int, int]:
    height, width = (_field(image, name, int, place) for name in ("height", "width"))
    if min(height, width) < 1 or height * width > _MAX_PIXELS:
        raise DataError(f"{place}: height and width must be 1 to {_MAX_PIXELS:,} pixels in all, got {height} x {width}")
    return height, width


def _unite_coco(parts: Sequence[tuple[str, Any]], shape: tuple[int, int]) -> RLE:
    """Return the union of an image's annotations of one class, each given as (place, segmentation)."""
    masks = [mask for place, segmentation in parts for mask in _coco_masks(segmentation, shape, place)]
    return RLE.union(masks) if masks else RLE.from_counts([shape[0] * shape[1]], shape)


def _coco_masks(segmentation: Any, shape: tuple[int, int], place: str) -> list[RLE]:
    if isinstance(segmentation, list) and segmentation:
        return [RLE.from_polygon(_coco_polygon(polygon, place), shape) for polygon in segmentation]
    if isinstance(segmentation, dict):
        return [_coco_runs(segmentation, shape, place)]
    # [] as well: boxes without masks would train a model to find nothing
    raise DataError(f"{place}: 'segmentation' must be polygons or runs, got {reprlib.repr(segmentation)}")


def _coco_runs(segmentation: dict[str, Any], shape: tuple[int, int], place: str) -> RLE:
    try:
        rle = RLE.from_coco(segmentation)
    except (ValueError, TypeError) as error:  # RLEError is a ValueError
        raise DataError(f"{place}: {error}") from error
    if rle.shape != shape:
        raise DataError(f"{place}: runs for {rle.shape} in an image of {shape} (height, width)")
    return rle


def _coco_polygon(values: Any, place: str) -> NDArray[np.float64]:
    try:
        array = np.asarray(values)
    except ValueError:  # rows of unequal length
        array = np.empty(0)
    if array.dtype.kind not in "iuf" or array.ndim != 1 or array.size < 6 or array.size % 2:
        raise DataError(
            f"{place}: a polygon must be a flat list of x and y of at least 3 points, got {reprlib.repr(values)}"
        )
    if not (np.abs(array) < 1e9).all():
        raise DataError(f"{place}: a polygon has a point that is not finite or far outside any image")
    return np.asarray(array, np.float64)
