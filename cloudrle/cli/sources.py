"""Files of masks as streams of rows: CSV, Parquet, JSON and COCO JSON, read a block at a time."""

import io
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from cloudrle._check import listed
from cloudrle._csv import read_rows
from cloudrle.cli.json_stream import pieces
from cloudrle.dialects import Dialect

MASK_COLUMNS = ("EncodedPixels", "rle", "counts", "segmentation", "points", "mask")
LIST_DIALECTS = ("coco-counts", "label-studio", "cvat")
_BLOCK_ROWS = 2048
_BLOCK_CHARACTERS = 1 << 22

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
    if len(set(columns)) != len(columns):
        raise ValueError(f"{path} has two columns of one name: {listed(columns)}")
    if mask is not None and mask not in columns:
        raise ValueError(f"{path} has no column {mask!r}; it has {listed(columns)}")
    known = [name for name in MASK_COLUMNS if name in columns]
    if mask is None and not known:
        raise ValueError(
            f"{path} has no column of masks that is known by its name, only {listed(columns)}; pass --column"
        )
    return Table(columns, mask or known[0], blocks, suffix == ".csv")


def _read_csv(path: Path) -> tuple[list[str], Iterator[Block]]:
    rows = read_rows(path)
    columns = next(rows, ([], 0))[0]

    def blocks() -> Iterator[Block]:
        held: list[list[str]] = []
        characters = read = 0
        for row, now in rows:
            held.append(row)
            characters += sum(map(len, row))
            read = now
            if len(held) == _BLOCK_ROWS or characters > _BLOCK_CHARACTERS:
                yield Block(_turned(columns, held), read)
                held, characters = [], 0
        if held:
            yield Block(_turned(columns, held), read)

    return columns, blocks()


def _turned(columns: list[str], rows: list[list[str]]) -> dict[str, Cells]:
    return dict(zip(columns, map(list, zip(*rows, strict=True)), strict=True))


def _read_parquet(path: Path) -> tuple[list[str], Iterator[Block]]:
    parquet = import_parquet()
    size = path.stat().st_size
    with _parquet_faults(path):
        file = parquet.ParquetFile(path)
        rows, names = file.metadata.num_rows, list(file.schema_arrow.names)

    def blocks() -> Iterator[Block]:
        done = 0
        with file:
            batches = file.iter_batches(batch_size=_BLOCK_ROWS)
            while True:
                with _parquet_faults(path):
                    batch = next(batches, None)
                    if batch is not None:
                        batch.validate(full=True)  # that its texts are UTF-8
                if batch is None:
                    return
                done += batch.num_rows
                yield Block(dict(zip(batch.schema.names, batch.columns, strict=True)), size * done // max(1, rows))

    return names, blocks()


@contextmanager
def _parquet_faults(path: Path) -> Iterator[None]:
    """Name the file in what pyarrow says of it: errors of its own, and OSErrors without a number."""
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ValueError(f"{path} is no Parquet file, or a damaged one: {error}") from None


def import_parquet() -> Any:
    """Import pyarrow's Parquet, or say how to get it."""
    try:
        import pyarrow.parquet
    except ImportError:
        raise ModuleNotFoundError('Parquet needs pyarrow: pip install "cloudseg-sdk[arrow]"') from None
    return pyarrow.parquet


def _read_json(path: Path) -> tuple[list[str], Iterator[Block]]:
    with path.open("rb") as file:
        start = file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
        while not start and (more := file.read(4096)):  # nothing but white space so far
            start = more.lstrip()
    is_object = start[:1] == b"{"
    return _read_coco(path) if is_object else _read_records(path)


def _pieces(path: Path) -> Iterator[tuple[str, int | None, Any, int]]:
    """Pieces of a JSON file, and how many bytes have been read for each."""
    with path.open("rb") as binary, io.TextIOWrapper(binary, encoding="utf-8-sig") as text:
        try:
            for key, number, value in pieces(text):
                yield key, number, value, binary.tell()
        except UnicodeDecodeError as error:
            byte = error.object[error.start]
            raise ValueError(f"{path}: the byte 0x{byte:02x} is not UTF-8; save the file as UTF-8") from None
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None


def _read_records(path: Path) -> tuple[list[str], Iterator[Block]]:
    rows = _pieces(path)
    first = next(rows, None)
    if first is None:
        return [], iter(())
    columns = list(first[2]) if isinstance(first[2], dict) else []

    def blocks() -> Iterator[Block]:
        held: list[dict[str, Any]] = []
        read = 0
        for _, number, row, now in chain([first], rows):
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
    lists = set()
    for key, number, value, _ in _pieces(path):
        if key not in ("images", "categories", "annotations"):
            continue
        if number is None:
            raise ValueError(f"{path} is no COCO JSON: its {key} must be a list, got {value!r:.40}")
        if number < 0:
            lists.add(key)
        elif key == "images":
            place = f"{path}: image {value!r:.80}"
            images[_new_id(value, images, place)] = _name_of(value, "file_name", place), _coco_shape(value, place)
        elif key == "categories":
            place = f"{path}: category {value!r:.80}"
            categories[_new_id(value, categories, place)] = _name_of(value, "name", place)
    if "annotations" not in lists:
        raise ValueError(f"{path} is no COCO JSON: it has no list of annotations (rows of masks are a JSON array)")
    # From Image_Label nobody could tell where such a label begins.
    named = ["image", "label"] if any("_" in name for name in categories.values()) else ["Image_Label"]
    columns = [*named, "EncodedPixels"]
    if len({shape for _, shape in images.values()}) > 1:
        columns += ["height", "width"]

    def block(held: list[tuple[str, str, dict[str, Any], Shape]], read: int) -> Block:
        files, labels, segmentations, shapes = (list(part) for part in zip(*held, strict=True))
        both = [f"{file}_{label}" for file, label in zip(files, labels, strict=True)]
        names = [files, labels] if len(named) == 2 else [both]
        heights, widths = (list(part) for part in zip(*shapes, strict=True))
        cells: dict[str, Cells] = dict(zip(columns, [*names, segmentations, heights, widths], strict=False))
        return Block(cells, read, shapes, _kind(segmentations[0]))

    def blocks() -> Iterator[Block]:
        held: list[tuple[str, str, dict[str, Any], Shape]] = []
        read = 0
        for key, number, annotation, now in _pieces(path):
            if key != "annotations" or number == -1:
                continue
            row = _coco_row(f"{path}: annotation {number}", annotation, images, categories)
            if held and (len(held) == _BLOCK_ROWS or _kind(row[2]) != _kind(held[0][2])):
                yield block(held, read)
                held = []
            held.append(row)
            read = now
        if held:
            yield block(held, read)

    return columns, blocks()


def _new_id(entry: Any, known: Collection[Any], place: str) -> Any:
    key = entry.get("id") if isinstance(entry, dict) else None
    if not _is_id(key):
        raise ValueError(f"{place} must have an id, a whole number or text")
    if key in known:
        raise ValueError(f"{place}: the id {key!r} is used twice")
    return key


def _name_of(entry: dict[str, Any], field: str, place: str) -> str:
    name = entry.get(field)
    if not isinstance(name, str):
        raise ValueError(f"{place} must have a {field}, a text")
    return name


def _coco_shape(entry: dict[str, Any], place: str) -> Shape:
    height, width = entry.get("height"), entry.get("width")
    if type(height) is not int or type(width) is not int or min(height, width) < 0:
        raise ValueError(f"{place} must have a height and a width, whole numbers of pixels")
    return height, width


def _is_id(value: object) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool)


def _kind(segmentation: dict[str, Any]) -> Dialect:
    return "coco" if isinstance(segmentation["counts"], str) else "coco-counts"


def _coco_row(
    place: str, annotation: Any, images: dict[Any, tuple[str, Shape]], categories: dict[Any, str]
) -> tuple[str, str, dict[str, Any], Shape]:
    """Image, label, segmentation and shape of an annotation."""
    try:
        image, category = annotation["image_id"], annotation["category_id"]
        segmentation = annotation["segmentation"]
    except (KeyError, TypeError):
        raise ValueError(f"{place} must have image_id, category_id and segmentation") from None
    if not _is_id(image) or not _is_id(category):
        raise ValueError(
            f"{place} must have whole numbers or texts as image_id and category_id, got {image!r:.40} and "
            f"{category!r:.40}"
        )
    if image not in images:
        raise ValueError(f"{place} is of image {image!r}, which the file does not have")
    if category not in categories:
        raise ValueError(f"{place} is of category {category!r}, which the file does not have")
    if not isinstance(segmentation, dict) or not {"size", "counts"} <= segmentation.keys():
        raise ValueError(f"{place} is no run-length encoding with size and counts; polygons must become masks first")
    name, shape = images[image]
    return name, categories[category], segmentation, shape


def parsed_lists(cells: Cells, first: int) -> list[Any]:
    """Read lists that lie as JSON in cells of text, from row `first` on; an empty cell is missing."""
    lists: list[Any] = []
    for row, cell in enumerate(cells, first):
        try:
            lists.append(json.loads(cell) if cell else None)
        except (ValueError, RecursionError):
            raise ValueError(f"row {row}: wanted a list as JSON, as in [1, 2, 3], got {cell!r:.40}") from None
    return lists
