"""The one exception of the package that is not Python's own."""

__all__ = ["RLEError"]

_ARROW_TYPES = {
    **{"n": "null", "b": "bool", "c": "int8", "C": "uint8", "s": "int16", "S": "uint16", "i": "int32", "I": "uint32"},
    **{"l": "int64", "L": "uint64", "e": "float16", "f": "float32", "g": "float64", "u": "string", "U": "large_string"},
    **{"vu": "string_view", "z": "binary", "Z": "large_binary", "vz": "binary_view", "+s": "struct", "+l": "list"},
    "+L": "large_list",
}
_ARROW_CELLS = ("strings", "strings or binary", "binary or list<uint8>", "list<int64>")  # in the order of Cells


class RLEError(ValueError):
    """Text, counts or runs that are no mask of the given shape, and masks whose shapes differ.

    Parameters
    ----------
    message : str
        What was found, what was wanted and what to do about it.
    row : int, optional
        Index of the row in its column, counted from 0; the message shows this number too.
    position : int, optional
        Where the fault lies, counted from 0: the offset of a character in a text, or the index of an entry in counts or
        runs. (The message speaks of runs and counts by number, from 1: "run 3" is the third.)

    Examples
    --------
    >>> import cloudrle
    >>> try:
    ...     cloudrle.decode_many(["1 2", "1 2 x"], (3, 3))
    ... except cloudrle.RLEError as error:
    ...     print(error)
    ...     print(error.row, error.position)
    row 1: 'x' at position 4 is neither a digit nor white space; wanted 'start length start length ...'
    1 4
    """

    def __init__(self, message: str, row: int | None = None, position: int | None = None) -> None:
        super().__init__(message)
        self.row = row
        self.position = position

    def __reduce__(self) -> tuple[type["RLEError"], tuple[str, int | None, int | None]]:
        return type(self), (str(self), self.row, self.position)


def from_result(
    words: str,
    row: int | None,
    position: int,
    number: int,
    value: int,
    other: int,
    height: int,
    width: int,
) -> RLEError:
    """Fill in the words of a failed result; both extensions call this."""
    message = words.format(
        position=position,
        number=number,
        value=value,
        other=other,
        character=repr(chr(value)) if 0 <= value <= 0x10FFFF else None,
        height=height,
        width=width,
        size=height * width,
    )
    return RLEError(message if row is None else f"row {row}: {message}", row, position)


def different_shapes(first: tuple[int, int], other: tuple[int, int], index: int | None) -> RLEError:
    """Say that two masks don't have the same pixels; `index` is the place of the other in a list."""
    (h1, w1), (h2, w2) = first, other
    place = "" if index is None else f" at index {index}"
    message = f"masks must have the same shape, got {h1} x {w1} and {h2} x {w2}{place}; resize one of them"
    return RLEError(message, row=index)


def far_vertex(x: float, y: float) -> ValueError:
    """Say that a vertex of a polygon is nowhere."""
    return ValueError(f"a polygon must have finite coordinates of at most 2**49, got the vertex ({x}, {y})")


def missing_row(row: int, text: object) -> RLEError:
    """Say that a row of a column holds no mask."""
    return RLEError(f"row {row}: the mask is missing ({text}); pass missing='empty' to read it as an empty mask", row)


def arrow_type(code: str, values: str | None, items: str | None, cells: int) -> TypeError:
    """Say that an Arrow column holds no such cells: its format, that of a dictionary's values, of a list's items."""
    wanted = _ARROW_CELLS[cells]
    name = _ARROW_TYPES.get(code, f"with code {code!r}")
    remedy = "; pick one column, as in frame['EncodedPixels']" if code == "+s" else ""
    if values is not None:
        name = f"dictionary<{_ARROW_TYPES.get(values, repr(values))}, {name}>"
        remedy = "; cast it to string" if cells == 0 else f"; cast it to {wanted}"
    if items is not None:
        name = f"{name}<{_ARROW_TYPES.get(items, repr(items))}>"
        remedy = f"; cast it to {wanted}" if cells > 1 else ""
    return TypeError(
        f"{'texts' if cells == 0 else 'column'} must be a column of {wanted}, got the Arrow type {name}{remedy}"
    )
