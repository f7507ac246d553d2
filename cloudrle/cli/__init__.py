"""The command ``cloudrle``: convert, info, check, view."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer

from cloudrle import RLE, RLEError, convert
from cloudrle._files import atomic_path
from cloudrle.cli.sinks import FORMATS, writing
from cloudrle.cli.sources import LIST_DIALECTS, Block, Cells, Shape, Table, parsed_lists, read_table
from cloudrle.dialects import DIALECTS, Dialect, measure

_BINS = 10  # of the histogram
_BAR = 40  # characters of its longest bar
_LONGEST_SIDE, _MOST_PIXELS = 1_000_000, 1 << 30  # of a picture that is drawn: libpng's and OpenCV's
_PAINT = (0, 0, 255)  # red, in OpenCV's order

app = typer.Typer(
    help="Convert, check, describe and show masks that are written as runs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)

SourceArgument = Annotated[
    Path, typer.Argument(help="A .csv, .parquet or .json file; COCO JSON is told by being an object.", metavar="FILE")
]
DialectOption = Annotated[
    str, typer.Option("--from", help=f"Dialect of the masks: {', '.join(DIALECTS)}. COCO JSON says its own.")
]
ShapeOption = Annotated[
    str | None,
    typer.Option(
        help="HEIGHTxWIDTH of every mask; not needed for COCO JSON, nor with columns height and width.",
        show_default=False,
    ),
]
ColumnOption = Annotated[
    str | None,
    typer.Option(help="The column of masks; default: EncodedPixels, rle, counts, ...", show_default=False),
]
MissingOption = Annotated[
    Literal["raise", "empty"],
    typer.Option(help='What a missing mask is: an error or empty. (Empty text is an empty mask: "" is not missing.)'),
]


def main() -> None:
    """Run the command line; an error is one line on stderr and exit code 1 (2 for wrong usage)."""
    try:
        app()
    except (OSError, ValueError, TypeError, ImportError, MemoryError) as error:
        sys.exit(f"cloudrle: {str(error) or 'not enough memory'}")


@app.command("convert")
def convert_file(
    source: SourceArgument,
    target: Annotated[Path, typer.Argument(help="The file to write.", show_default=False)],
    dialect: DialectOption = "kaggle",
    to: Annotated[
        str | None, typer.Option("--to", help="Dialect to write; default: coco for COCO JSON, else kaggle.")
    ] = None,
    target_format: Annotated[
        str | None,
        typer.Option("--format", help=f"{', '.join(FORMATS)}; default: by the suffix, where .json is COCO JSON."),
    ] = None,
    shape: ShapeOption = None,
    column: ColumnOption = None,
    missing: MissingOption = "raise",
) -> None:
    """Convert a file of masks to another dialect, another format, or both.

    The file is read and written in blocks, so it may be larger than memory, and it appears under its name only when it
    is complete. COCO JSON holds one annotation for each row, empty masks too (with area 0), in order, so that the way
    back gives the same rows. Of COCO JSON, masks, images and labels are kept: ids are numbered anew, iscrowd is 0, and
    images without an annotation are left out.

    Example: `cloudrle convert train.csv train.json --shape 1400x2100`
    """
    file_format = _format_of(target, target_format)
    written = _dialect(to or ("coco" if file_format == "coco" else "kaggle"))
    table = read_table(source, column)
    rows = 0
    sink_of = writing(target, file_format, table, written)
    with _text_that_utf8_holds(source), sink_of as sink, _progress(source, "converting") as progress:
        for block, read, cells, shapes in _blocks(table, _dialect(dialect), _shape(shape)):
            with _rows_from(rows):
                converted = convert(cells, read, written, shape=shapes, missing=missing)
            sink.write(block, converted, shapes)
            rows += len(block)
            progress(block.read)
    typer.echo(f"wrote {rows:,} masks to {target} ({target.stat().st_size / 1e6:.1f} MB)")


@contextmanager
def _text_that_utf8_holds(source: Path) -> Iterator[None]:
    """Name the file that has other text: JSON may say half of a surrogate pair."""
    try:
        yield
    except UnicodeEncodeError as error:
        raise ValueError(f"{source}: {error.object!r:.80} is no text that UTF-8 can hold") from None


@app.command()
def info(
    source: SourceArgument,
    dialect: DialectOption = "kaggle",
    shape: ShapeOption = None,
    column: ColumnOption = None,
    missing: MissingOption = "raise",
) -> None:
    """Describe a file of masks: rows, areas, runs, boxes, and how much of the image the masks cover.

    Example: `cloudrle info train.csv --shape 1400x2100`
    """
    table = read_table(source, column)
    parts, sizes = [np.empty((0, 6), np.int64)], [np.empty(0)]
    rows = 0
    with _progress(source, "reading") as progress:
        for block, read, cells, shapes in _blocks(table, _dialect(dialect), _shape(shape)):
            with _rows_from(rows):
                parts.append(measure(cells, read, shape=shapes, missing=missing))
            sizes.append(np.prod(np.array(shapes, np.float64), axis=1))
            rows += len(block)
            progress(block.read)
    measures, pixels = np.concatenate(parts), np.concatenate(sizes)
    present = measures[:, 0] > 0
    typer.echo(f"{rows:,} masks, {rows - int(present.sum()):,} of them empty")
    if not present.any():
        return
    area, top, left, bottom, right, runs = measures[present].T
    typer.echo(f"{'of the others':14}{'least':>12}{'median':>12}{'mean':>14}{'most':>12}")
    for name, values in (("area", area), ("runs", runs), ("box height", bottom - top), ("box width", right - left)):
        typer.echo(f"{name:14}{values.min():12,}{np.median(values):12,.0f}{values.mean():14,.1f}{values.max():12,}")
    typer.echo("share of the image that is foreground:")
    shares = np.minimum((area / pixels[present] * _BINS).astype(int), _BINS - 1)
    counts = np.bincount(shares, minlength=_BINS)
    for number, count in enumerate(counts.tolist()):
        bar = "#" * -(-_BAR * count // int(counts.max()))
        typer.echo(f"{number * 100 // _BINS:3}% to {(number + 1) * 100 // _BINS:3}% {count:10,} {bar}")


@app.command()
def check(
    source: SourceArgument,
    dialect: DialectOption = "kaggle",
    shape: ShapeOption = None,
    column: ColumnOption = None,
    missing: MissingOption = "raise",
) -> None:
    """List every row whose mask is faulty, with the place of the fault and the reason. Exit code 1 if there is one.

    A file that is broken itself (a cell that should hold JSON, an annotation without runs, a shape that is none) ends
    it.

    Example: `cloudrle check train.csv --shape 1400x2100`
    """
    table = read_table(source, column)
    rows = faults = 0
    with _progress(source, "checking") as progress:
        for block, read, cells, shapes in _blocks(table, _dialect(dialect), _shape(shape)):
            try:
                measure(cells, read, shape=shapes, missing=missing)
            except (RLEError, TypeError):
                names = _names(block)
                for row in range(len(block)):
                    reason = _fault(cells[row : row + 1], read, shapes[row], missing)
                    if reason is not None:
                        name = f" ({names[row]})" if names else ""
                        typer.echo(f"row {rows + row}{name}: {reason}")
                        faults += 1
            rows += len(block)
            progress(block.read)
    typer.echo(f"{faults:,} of {rows:,} masks are faulty")
    if faults:
        raise typer.Exit(1)


def _fault(cell: Cells, dialect: Dialect, shape: Shape, missing: Literal["raise", "empty"]) -> str | None:
    try:
        measure(cell, dialect, shape=shape, missing=missing, threads=1)
    except (RLEError, TypeError) as error:
        return _worded(error).removeprefix("row 0: ")
    return None


def _names(block: Block) -> list[str]:
    """Return the Image_Label of each row, or image and label; nothing where the file has neither."""
    columns = block.columns
    if {"image", "label"} <= columns.keys():
        return [f"{image}_{label}" for image, label in zip(columns["image"], columns["label"], strict=True)]
    return [str(name) for name in columns.get("Image_Label", ())]


@app.command()
def view(
    source: SourceArgument,
    row: Annotated[str, typer.Argument(help="Number of the row, from 0, or its Image_Label.", show_default=False)],
    out: Annotated[Path, typer.Option(help="The PNG to write.")] = Path("mask.png"),
    image: Annotated[
        Path | None,
        typer.Option(help="Paint the mask over this image, to whose size it is brought.", show_default=False),
    ] = None,
    dialect: DialectOption = "kaggle",
    shape: ShapeOption = None,
    column: ColumnOption = None,
    missing: MissingOption = "raise",
) -> None:
    """Draw one mask as a PNG: white on black, or red over an image.

    Example: `cloudrle view train.csv 0011165.jpg_Fish --shape 1400x2100 --image train_images/0011165.jpg`
    """
    import cv2

    table = read_table(source, column)
    for first, (block, read, cells, shapes) in _numbered(_blocks(table, _dialect(dialect), _shape(shape))):
        at = _find(block, row, first)
        if at is None:
            continue
        with _rows_from(first + at):
            text = convert(cells[at : at + 1], read, "kaggle", shape=shapes[at], missing=missing)[0]
        rle = RLE.from_kaggle(text, shapes[at])
        height, width = rle.shape
        if not (0 < height <= _LONGEST_SIDE and 0 < width <= _LONGEST_SIDE and height * width <= _MOST_PIXELS):
            raise ValueError(f"row {row}: a mask of {height} x {width} pixels cannot be drawn")
        picture = rle.to_mask() * np.uint8(255) if image is None else _overlay(rle, image)
        try:
            is_encoded, data = cv2.imencode(out.suffix, picture)
        except cv2.error:
            is_encoded = False
        if not is_encoded:
            raise ValueError(f"{out} must end in .png, or another suffix of a picture that OpenCV writes")
        with atomic_path(out) as temporary:
            temporary.write_bytes(data.data)
        typer.echo(f"wrote {out}: {rle.shape[0]} x {rle.shape[1]}, area {rle.area:,}, box {rle.bbox}")
        return
    raise ValueError(f"{source} has no row {row!r}")


def _overlay(rle: RLE, image: Path) -> Any:
    import cv2

    try:
        picture = cv2.imread(str(image), cv2.IMREAD_COLOR)
    except cv2.error:  # more pixels than it reads
        picture = None
    if picture is None:
        raise ValueError(f"{image} is no image that OpenCV reads")
    painted = rle.resize(picture.shape[:2]).to_mask() != 0
    picture[painted] = picture[painted] // 2 + np.array(_PAINT, np.uint8) // 2
    return picture


def _numbered(blocks: Iterator[tuple[Block, Dialect, Cells, list[Shape]]]) -> Iterator[tuple[int, Any]]:
    """Blocks and the number of the first row of each."""
    first = 0
    for item in blocks:
        yield first, item
        first += len(item[0])


def _find(block: Block, wanted: str, first: int) -> int | None:
    at = next((i for i, name in enumerate(_names(block)) if name == wanted), None)
    if at is None and wanted.isdecimal() and first <= int(wanted) < first + len(block):
        at = int(wanted) - first
    return at


def _blocks(table: Table, dialect: Dialect, shape: Shape | None) -> Iterator[tuple[Block, Dialect, Cells, list[Shape]]]:
    """Blocks of a table, and of each: the dialect of its masks, their cells, and their shapes."""
    rows = 0
    for block in table.blocks:
        read = block.dialect or dialect
        cells = block.columns[table.mask]
        if table.is_text and read in LIST_DIALECTS:
            cells = parsed_lists(cells, rows)
        yield block, read, cells, _shapes(block, shape, rows)
        rows += len(block)


def _shapes(block: Block, shape: Shape | None, first: int) -> list[Shape]:
    if block.shapes is not None:
        return block.shapes
    if shape is not None:
        return [shape] * len(block)
    if not {"height", "width"} <= block.columns.keys():
        raise ValueError("the file does not say how large its masks are; pass --shape HEIGHTxWIDTH")
    sides = zip(block.columns["height"], block.columns["width"], strict=True)
    return [_row_shape(row, str(height), str(width)) for row, (height, width) in enumerate(sides, first)]


def _row_shape(row: int, height: str, width: str) -> Shape:
    if not re.fullmatch(r"\d{1,19}", height, re.ASCII) or not re.fullmatch(r"\d{1,19}", width, re.ASCII):
        raise ValueError(f"row {row}: height and width must be whole numbers of pixels, got {height!r} and {width!r}")
    return int(height), int(width)


@contextmanager
def _rows_from(first: int) -> Iterator[None]:
    """Name a row of a block by its number in the file."""
    try:
        yield
    except (RLEError, TypeError) as error:
        message = re.sub(r"^row (\d+)", lambda found: f"row {int(found[1]) + first}", _worded(error))
        raise ValueError(message) from error


def _worded(error: Exception) -> str:
    """Say what an error says, its remedy in the command's words."""
    return str(error).replace("missing='empty'", "--missing empty")


@contextmanager
def _progress(source: Path, doing: str) -> Iterator[Callable[[int], None]]:
    """Show a bar on stderr, where that is a terminal, and yield what moves it to a number of bytes."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    columns = ("{task.description}", BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(doing, total=source.stat().st_size)
        yield lambda read: bar.update(task, completed=read)


def _format_of(path: Path, wanted: str | None) -> str:
    by_suffix = {".csv": "csv", ".parquet": "parquet", ".json": "coco"}
    found = wanted or by_suffix.get(path.suffix.lower())
    if found not in FORMATS:
        raise ValueError(f"{path}: the format must be one of {', '.join(FORMATS)}; pass --format")
    return found


def _dialect(name: str) -> Any:
    if name not in DIALECTS:
        raise ValueError(f"a dialect must be one of {', '.join(DIALECTS)}, got {name!r}")
    return name


def _shape(text: str | None) -> Shape | None:
    if text is None:
        return None
    found = re.fullmatch(r"(\d+)x(\d+)", text.strip(), re.ASCII)
    if found is None:
        raise ValueError(f"--shape must be HEIGHTxWIDTH, as in 1400x2100, got {text!r}")
    return int(found[1]), int(found[2])
