"""Rows of a CSV file in UTF-8 (RFC 4180), read line by line, so that it may be larger than memory."""

import re
from collections.abc import Iterator
from itertools import count
from os import PathLike
from pathlib import Path
from typing import IO

_READ = 1 << 20  # bytes of a file at a time
_LONGEST = 1 << 28  # bytes of a row
_CELL = re.compile(r'(?:"([^"]*+(?:""[^"]*+)*+)"|([^",\r]*+))(,|\Z)')


def read_rows(path: str | PathLike[str]) -> Iterator[tuple[list[str], int]]:
    """Yield each row's cells, and how many bytes of the file have been read.

    Lines end in LF or CRLF; empty ones are no rows. All rows have as many cells as the first.

    Raises
    ------
    ValueError
        For what is no such file; it names the file and the line.
    OSError
        For a file that cannot be read.
    """
    name = str(path)
    width = 0
    with Path(path).open("rb", buffering=_READ) as file:
        lines = _read_lines(file, name)
        for number, line in lines:
            bare = line.removesuffix("\n").removesuffix("\r")
            if not bare:
                continue
            if '"' in line:  # these alone are looked at character by character
                cells = _split_quoted(line, number, lines, name)
            elif "\r" in bare:
                raise ValueError(f"{name} line {number}: a carriage return inside the line; end lines in LF or CRLF")
            else:
                cells = bare.split(",")
            width = width or len(cells)
            if len(cells) != width:
                raise ValueError(f"{name} line {number}: wanted {width} cells, got {len(cells)}")
            yield cells, file.tell()


def _read_lines(file: IO[bytes], name: str) -> Iterator[tuple[int, str]]:
    """Yield numbers and lines, with their ends."""
    for number in count(1):
        line = file.readline(_LONGEST + 1)
        if not line:
            return
        if len(line) > _LONGEST:
            raise ValueError(f"{name} line {number}: more than {_LONGEST:,} bytes; is it a CSV file?")
        try:
            yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            byte = error.object[error.start]
            raise ValueError(
                f"{name} line {number}: the byte 0x{byte:02x} is not UTF-8; save the file as UTF-8"
            ) from None


def _split_quoted(line: str, number: int, lines: Iterator[tuple[int, str]], name: str) -> list[str]:
    """Return the cells of a row with quotes, which takes further lines where one of them is open at the end."""
    parts, size = [line], len(line)
    is_open = line.count('"') % 2
    while is_open:
        _, more = next(lines, (0, ""))
        if not more or size > _LONGEST:
            raise ValueError(f"{name} line {number}: a quote is opened and never closed")
        parts.append(more)
        size += len(more)
        is_open ^= more.count('"') % 2
    row = "".join(parts).removesuffix("\n").removesuffix("\r")
    cells, at = [], 0
    while found := _CELL.match(row, at):
        cells.append(found[2] if found[1] is None else found[1].replace('""', '"'))
        at = found.end()
        if not found[3]:
            return cells
    raise ValueError(
        f"{name} line {number}: a quote where none belongs; wanted cells that hold one in quotes, with every quote "
        "inside doubled"
    )
