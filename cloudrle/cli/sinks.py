"""Writing rows of masks as CSV, Parquet, JSON and COCO JSON, a block at a time, whole or not at all."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from cloudrle._files import atomic_path
from cloudrle.cli.sources import Block, Cells, Shape, Table, import_parquet
from cloudrle.dialects import Dialect, measure

FORMATS = ("csv", "parquet", "json", "coco")


class Sink(Protocol):
    """A file to write."""

    def write(self, block: Block, cells: list[Any], shapes: Sequence[Shape]) -> None:
        """Write the rows of a block, with these cells in its column of masks."""

    def close(self) -> None:
        """Write what comes behind all rows."""


@contextmanager
def writing(path: Path, file_format: str, table: Table, dialect: Dialect) -> Iterator[Sink]:
    """Write a file that appears under its name when the block ends well, and not at all when it does not."""
    if dialect == "coco-bytes" and file_format != "parquet":
        raise ValueError("bytes fit into Parquet only; for text the dialect is 'coco'")
    if file_format == "coco" and dialect not in ("coco", "coco-counts"):
        raise ValueError(f"COCO JSON holds the dialects 'coco' and 'coco-counts', got {dialect!r}")
    with atomic_path(path) as temporary:
        sink: Sink
        if file_format == "csv":
            sink = _CSV(temporary, table)
        elif file_format == "json":
            sink = _Records(temporary, table)
        elif file_format == "coco":
            sink = _Coco(temporary, table, dialect)
        else:
            sink = _Parquet(temporary, table, dialect)
        try:
            yield sink
        finally:
            sink.close()


def _values(cells: Cells) -> list[Any]:
    """Cells as Python has them, Arrow's too."""
    return list(cells.to_pylist()) if hasattr(cells, "to_pylist") else list(cells)


class _CSV:
    """Lines end in a line feed, and only what needs quotes has them: as pandas writes."""

    def __init__(self, path: Path, table: Table) -> None:
        self._table = table
        self._file = path.open("w", encoding="utf-8", newline="")
        self._file.write(",".join(map(self._cell, table.columns)) + "\n")

    def write(self, block: Block, cells: list[Any], shapes: Sequence[Shape]) -> None:
        columns = [
            map(self._mask, cells) if name == self._table.mask else map(self._cell, _values(block.columns[name]))
            for name in self._table.columns
        ]
        blank = '""' if len(columns) == 1 else ""  # a line without characters would be no row
        self._file.writelines(f"{','.join(row) or blank}\n" for row in zip(*columns, strict=True))

    def close(self) -> None:
        self._file.close()

    @staticmethod
    def _mask(cell: str | list[int]) -> str:
        """No dialect's text needs quotes."""
        return cell if isinstance(cell, str) else f'"{json.dumps(cell)}"'

    @staticmethod
    def _cell(value: object) -> str:
        text = "" if value is None else str(value)
        if '"' in text or "," in text or "\n" in text or "\r" in text:
            return '"' + text.replace('"', '""') + '"'
        return text


class _Records:
    """An array of objects, one a line."""

    def __init__(self, path: Path, table: Table) -> None:
        self._table = table
        self._file = path.open("w", encoding="utf-8", newline="")
        self._before = "[\n"

    def write(self, block: Block, cells: list[Any], shapes: Sequence[Shape]) -> None:
        names = self._table.columns
        columns = [cells if name == self._table.mask else _values(block.columns[name]) for name in names]
        for row in zip(*columns, strict=True):
            record = dict(zip(names, map(_json_value, row), strict=True))
            self._file.write(self._before + json.dumps(record, ensure_ascii=False, default=str))
            self._before = ",\n"

    def close(self) -> None:
        self._file.write("[]\n" if self._before == "[\n" else "\n]\n")
        self._file.close()


def _json_value(value: object) -> object:
    """Return null for a missing number: NaN is no JSON."""
    return None if isinstance(value, float) and value != value else value


class _Coco:
    """One annotation for each row, empty masks too, in order; images and categories behind them, as they came."""

    def __init__(self, path: Path, table: Table, dialect: Dialect) -> None:
        self._table, self._dialect = table, dialect
        self._names = _name_columns(table)
        self._images: dict[str, tuple[int, Shape]] = {}
        self._categories: dict[str, int] = {}
        self._rows = 0
        self._file = path.open("w", encoding="utf-8", newline="")
        self._file.write('{"annotations": [')

    def write(self, block: Block, cells: list[Any], shapes: Sequence[Shape]) -> None:
        labels = zip(*(_values(block.columns[name]) for name in self._names), strict=True)
        measures = measure(cells, self._dialect, shape=shapes).tolist()
        for label, counts, shape, (area, top, left, bottom, right, _) in zip(
            labels, cells, shapes, measures, strict=True
        ):
            name, category = self._split(label)
            annotation = {
                "id": self._rows + 1,
                "image_id": self._image_id(name, shape),
                "category_id": self._categories.setdefault(category, len(self._categories) + 1),
                "segmentation": {"size": list(shape), "counts": counts},
                "area": area,
                "bbox": [left, top, right - left, bottom - top],
                "iscrowd": 0,
            }
            self._file.write(",\n" if self._rows else "\n")
            self._file.write(json.dumps(annotation))
            self._rows += 1

    def close(self) -> None:
        images = [
            {"id": number, "file_name": name, "height": height, "width": width}
            for name, (number, (height, width)) in self._images.items()
        ]
        categories = [{"id": number, "name": name} for name, number in self._categories.items()]
        for key, items in (("images", images), ("categories", categories)):
            lines = ",\n".join(json.dumps(item, ensure_ascii=False) for item in items)
            self._file.write(f'],\n"{key}": [\n{lines}\n')
        self._file.write("]}\n")
        self._file.close()

    def _split(self, label: tuple[Any, ...]) -> tuple[str, str]:
        name, category = label if len(label) == 2 else str(label[0]).rpartition("_")[::2]
        if not name or not category:
            wanted = "image and label must not be empty" if len(label) == 2 else "Image_Label must be <image>_<label>"
            raise ValueError(f"row {self._rows}: {wanted}, got {', '.join(map(repr, label))}")
        return str(name), str(category)

    def _image_id(self, name: str, shape: Shape) -> int:
        number, known = self._images.setdefault(name, (len(self._images) + 1, shape))
        if known != shape:
            raise ValueError(
                f"row {self._rows}: image {name} has shape {shape[0]} x {shape[1]}, but in a row before "
                f"{known[0]} x {known[1]}"
            )
        return number


def _name_columns(table: Table) -> list[str]:
    """Name the columns that say image and label: two of them, or Image_Label for both."""
    others = [name for name in table.columns if name not in (table.mask, "height", "width")]
    if others in (["Image_Label"], ["image", "label"]):
        return others
    raise ValueError(
        "COCO JSON holds an image and a label for each mask: wanted a column Image_Label, or image and label, besides "
        f"{table.mask}, height and width, got {', '.join(others) or 'none'}"
    )


class _Parquet:
    """Masks as strings, binary or lists; the other columns as they are in Parquet, else as Arrow finds the first."""

    def __init__(self, path: Path, table: Table, dialect: Dialect) -> None:
        import_parquet()
        self._path, self._table, self._dialect = path, table, dialect
        self._writer: Any = None
        self._rows = 0

    def write(self, block: Block, cells: list[Any], shapes: Sequence[Shape]) -> None:
        import pyarrow

        columns = {
            name: pyarrow.array(cells, self._mask_type()) if name == self._table.mask else self._column(name, block)
            for name in self._table.columns
        }
        table = pyarrow.table(columns)
        with self._faults(f"rows {self._rows} to {self._rows + len(block) - 1}"):
            if self._writer is None:
                self._open(table.schema)
            self._writer.write_table(table)
        self._rows += len(block)

    def _column(self, name: str, block: Block) -> Any:
        """Values of another column than the masks', in the type that it has in the rows before."""
        import pyarrow

        with self._faults(f"column {name!r} of rows {self._rows} to {self._rows + len(block) - 1}"):
            cells: Any = block.columns[name]
            found = pyarrow.array(cells) if isinstance(cells, list) else cells
            if self._writer is None or found.type == (wanted := self._writer.schema.field(name).type):
                return found
            if not _are_alike(found.type, wanted):
                raise ValueError(f"it is {found.type}, but {wanted} in the rows before")
            return found.cast(wanted)  # or raise where a number would be another

    @contextmanager
    def _faults(self, place: str) -> Iterator[None]:
        """Name the place of what Parquet cannot hold."""
        try:
            yield
        except UnicodeEncodeError:  # which no other format can hold either
            raise
        except (ValueError, TypeError, NotImplementedError, OverflowError) as error:
            message = f"{place} cannot be written to Parquet: {error}; CSV and JSON hold any values"
            raise ValueError(message) from None

    def close(self) -> None:
        if self._writer is None:
            import pyarrow

            kinds = [
                self._mask_type() if name == self._table.mask else pyarrow.string() for name in self._table.columns
            ]
            self._open(pyarrow.schema(list(zip(self._table.columns, kinds, strict=True))))
        self._writer.close()

    def _open(self, schema: Any) -> None:
        self._writer = import_parquet().ParquetWriter(self._path, schema)

    def _mask_type(self) -> Any:
        import pyarrow

        kinds = {
            "coco-bytes": pyarrow.binary(),
            "coco-counts": pyarrow.list_(pyarrow.int64()),
            "cvat": pyarrow.list_(pyarrow.int64()),
            "label-studio": pyarrow.list_(pyarrow.uint8()),
        }
        return kinds.get(self._dialect, pyarrow.string())


def _are_alike(found: Any, wanted: Any) -> bool:
    """Whether values of one Arrow type are cast to another as they are, or not at all: text to numbers would not be."""
    from pyarrow.types import is_floating, is_integer, is_list, is_null

    if is_list(found) and is_list(wanted):
        return _are_alike(found.value_type, wanted.value_type)
    are_numbers = all(is_integer(kind) or is_floating(kind) for kind in (found, wanted))
    return found == wanted or is_null(found) or are_numbers
