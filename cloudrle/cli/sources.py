"""Files of masks as streams of rows: CSV, Parquet, JSON and COCO JSON, read a block at a time."""

import csv
import io
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from cloudrle.cli.json_stream import pieces
from cloudrle.dialects import Dialect

MASK_COLUMNS = ("EncodedPixels", "rle", "counts", "segmentation", "points", "mask")
LIST_DIALECTS = ("coco-counts", "label-studio", "cvat")
_BLOCK_ROWS = 2048
_BLOCK_CHARACTERS = 1 << 22
_READ = 1 << 20  # bytes of a file at a time

Shape = tuple[int, int]
Cells = Sequence[Any]  # a list, or an Arrow array


@dataclass(frozen=True)
class Block:
    """Neighbouring rows of a table, column by column."""

    columns: dict[str, Cells]
    read: int  # bytes of the file so far
    shapes: list[Shape] | None = None  # of the masks, where the file says them
    dialect: Dialect | None = None  # of the masks, where the file says it

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))


@dataclass(frozen=True)
class Table:
    """A file to read: the names of its columns, which of them holds the masks, and its rows."""

    columns: list[str]
    mask: str
    blocks: Iterator[Block]
    is_text: bool = False  # lists are JSON in cells of text


def read_table(path: Path, mask: str | None = None) -> Table:
    """Open a file; its format is told by its suffix, and COCO JSON by being an object.

    Raises
    ------
    ValueError
        For another suffix, a file without a column of masks, and one that is broken, now or while it is read.
    OSError
        For a file that cannot be read.
    """
    readers: dict[str, Callable[[Path], tuple[list[str], Iterator[Block]]]] = {
        ".csv": _read_csv,
        ".parquet": _read_parquet,
        ".json": _read_json,
    }
    suffix = path.suffix.lower()
    if suffix not in readers:
        raise ValueError(f"{path} must end in .csv, .parquet or .json")
    columns, blocks = readers[suffix](path)
    if mask is not None and mask not in columns:
        raise ValueError(f"{path} has no column {mask!r}; it has {', '.join(columns) or 'none'}")
    known = [name for name in MASK_COLUMNS if name in columns]
    if mask is None and not known:
        raise ValueError(
            f"{path} has no column of masks that is known by its name, only {', '.join(columns) or 'none at all'}; "
            "pass --column"
        )
    return Table(columns, mask or known[0], blocks, suffix == ".csv")


def _read_csv(path: Path) -> tuple[list[str], Iterator[Block]]:
    rows = _csv_rows(path)
    columns = next(rows, ([], 0, 0))[0]
    if len(set(columns)) != len(columns):
        raise ValueError(f"{path} has two columns of one name: {', '.join(columns)}")

    def blocks() -> Iterator[Block]:
        held: list[list[str]] = []
        characters = read = 0
        for row, line, now in rows:
            if len(row) != len(columns):
                raise ValueError(f"{path} line {line}: wanted {len(columns)} cells, got {len(row)}")
            held.append(row)
            characters += sum(map(len, row))
            read = now
            if len(held) == _BLOCK_ROWS or characters > _BLOCK_CHARACTERS:
                yield Block(_turned(columns, held), read)
                held, characters = [], 0
        if held:
            yield Block(_turned(columns, held), read)

    return columns, blocks()


def _csv_rows(path: Path) -> Iterator[tuple[list[str], int, int]]:
    """Rows, and for each the number of its last line and how many bytes have been read."""
    csv.field_size_limit(sys.maxsize)  # a mask may be longer than the 128 KiB that Python's reader allows
    number = 0
    with path.open("rb", buffering=_READ) as binary:

        def decoded() -> Iterator[str]:
            nonlocal number
            for number, line in enumerate(binary, start=1):
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")

        lines = decoded()
        try:
            for line in lines:
                if not line.rstrip("\r\n"):
                    continue
                # Python's reader looks at each character, which takes longer than all else; it is for quotes alone.
                quoted = '"' in line
                row = next(csv.reader(chain([line], lines), strict=True)) if quoted else line.rstrip("\r\n").split(",")
                yield row, number, binary.tell()
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"{path} is no CSV file in UTF-8: {error}") from None


def _turned(columns: list[str], rows: list[list[str]]) -> dict[str, Cells]:
    return dict(zip(columns, map(list, zip(*rows, strict=True)), strict=True))


def _read_parquet(path: Path) -> tuple[list[str], Iterator[Block]]:
    parquet = import_parquet()
    file = parquet.ParquetFile(path)
    size, rows = path.stat().st_size, file.metadata.num_rows

    def blocks() -> Iterator[Block]:
        done = 0
        with file:
            for batch in file.iter_batches(batch_size=_BLOCK_ROWS):
                done += batch.num_rows
                yield Block(dict(zip(batch.schema.names, batch.columns, strict=True)), size * done // rows)

    return list(file.schema_arrow.names), blocks()


def import_parquet() -> Any:
    """Import pyarrow's Parquet, or say how to get it."""
    try:
        import pyarrow.parquet
    except ImportError:
        raise ModuleNotFoundError('Parquet needs pyarrow: pip install "cloudseg-sdk[arrow]"') from None
    return pyarrow.parquet


def _read_json(path: Path) -> tuple[list[str], Iterator[Block]]:
    with path.open("rb") as file:
        is_object = file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{"
    return _read_coco(path) if is_object else _read_records(path)


def _pieces(path: Path) -> Iterator[tuple[str, Any, int]]:
    """Pieces of a JSON file, and how many bytes have been read for each."""
    with path.open("rb") as binary, io.TextIOWrapper(binary, encoding="utf-8-sig") as text:
        try:
            for key, value in pieces(text):
                yield key, value, binary.tell()
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None


def _read_records(path: Path) -> tuple[list[str], Iterator[Block]]:
    rows = _pieces(path)
    first = next(rows, None)
    if first is None:
        return [], iter(())
    columns = list(first[1]) if isinstance(first[1], dict) else []

    def blocks() -> Iterator[Block]:
        held: list[dict[str, Any]] = []
        read = 0
        for number, (_, row, now) in enumerate(chain([first], rows)):
            if not isinstance(row, dict) or row.keys() != set(columns):
                raise ValueError(f"{path}: row {number} must have the keys of row 0, {', '.join(columns)}")
            held.append(row)
            read = now
            if len(held) == _BLOCK_ROWS:
                yield Block({name: [row[name] for row in held] for name in columns}, read)
                held = []
        if held:
            yield Block({name: [row[name] for row in held] for name in columns}, read)

    return columns, blocks()


def _read_coco(path: Path) -> tuple[list[str], Iterator[Block]]:
    """Annotations as rows of train.csv; images and categories may come behind them, so the file is read twice."""
    images: dict[Any, tuple[str, Shape]] = {}
    categories: dict[Any, str] = {}
    for key, value, _ in _pieces(path):
        try:
            if key == "images":
                images[value["id"]] = value["file_name"], (value["height"], value["width"])
            elif key == "categories":
                categories[value["id"]] = value["name"]
        except (KeyError, TypeError):
            raise ValueError(f"{path}: {value!r:.80} among the {key} lacks what COCO wants") from None
    columns = ["Image_Label", "EncodedPixels"]
    if len({shape for _, shape in images.values()}) > 1:
        columns += ["height", "width"]

    def block(held: list[tuple[str, dict[str, Any], Shape]], read: int) -> Block:
        names, segmentations, shapes = (list(part) for part in zip(*held, strict=True))
        heights, widths = (list(part) for part in zip(*shapes, strict=True))
        cells: dict[str, Cells] = dict(zip(columns, [names, segmentations, heights, widths], strict=False))
        return Block(cells, read, shapes, _kind(segmentations[0]))

    def blocks() -> Iterator[Block]:
        held: list[tuple[str, dict[str, Any], Shape]] = []
        read = 0
        annotations = ((value, now) for key, value, now in _pieces(path) if key == "annotations")
        for number, (annotation, now) in enumerate(annotations):
            row = _coco_row(f"{path}: annotation {number}", annotation, images, categories)
            if held and (len(held) == _BLOCK_ROWS or _kind(row[1]) != _kind(held[0][1])):
                yield block(held, read)
                held = []
            held.append(row)
            read = now
        if held:
            yield block(held, read)

    return columns, blocks()


def _kind(segmentation: dict[str, Any]) -> Dialect:
    return "coco" if isinstance(segmentation["counts"], str) else "coco-counts"


def _coco_row(
    place: str, annotation: Any, images: dict[Any, tuple[str, Shape]], categories: dict[Any, str]
) -> tuple[str, dict[str, Any], Shape]:
    try:
        image, category = annotation["image_id"], annotation["category_id"]
        segmentation = annotation["segmentation"]
    except (KeyError, TypeError):
        raise ValueError(f"{place} must have image_id, category_id and segmentation") from None
    if image not in images:
        raise ValueError(f"{place} is of image {image!r}, which the file does not have")
    if category not in categories:
        raise ValueError(f"{place} is of category {category!r}, which the file does not have")
    if not isinstance(segmentation, dict) or not {"size", "counts"} <= segmentation.keys():
        raise ValueError(f"{place} is no run-length encoding with size and counts; polygons must become masks first")
    name, shape = images[image]
    return f"{name}_{categories[category]}", segmentation, shape


def parsed_lists(cells: Cells, first: int) -> list[Any]:
    """Read lists that lie as JSON in cells of text, from row `first` on; an empty cell is missing."""
    lists: list[Any] = []
    for row, cell in enumerate(cells, first):
        try:
            lists.append(json.loads(cell) if cell else None)
        except ValueError:
            raise ValueError(f"row {row}: wanted a list as JSON, as in [1, 2, 3], got {cell!r:.40}") from None
    return lists
