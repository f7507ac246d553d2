"""Reading a JSON file piece by piece, so that it may be larger than memory."""

import json
from collections.abc import Iterator
from typing import Any, TextIO

_CHUNK = 1 << 20  # characters read at a time
_LARGEST = 1 << 28  # characters of one piece


def pieces(file: TextIO) -> Iterator[tuple[str, int | None, Any]]:
    """Yield key, number and value of the elements of an array, whose key is "", or of the members of an object.

    Arrays among these come by the element too, with -1 and None before the first; the number of what is none is None.

    Raises
    ------
    ValueError
        For what is neither, and for broken JSON.
    """
    scanner = _Scanner(file)
    opening = scanner.take("[{")
    if opening == "[":
        for number, element in enumerate(scanner.elements()):
            yield "", number, element
    elif scanner.peek() == "}":
        scanner.take("}")
    else:
        seen = set()
        while True:
            key = scanner.value()
            if not isinstance(key, str):
                raise scanner.error("a key in quotes")
            if key in seen:
                raise scanner.error(f"no second {key!r:.40}")
            seen.add(key)
            scanner.take(":")
            if scanner.peek() == "[":
                scanner.take("[")
                yield key, -1, None
                for number, element in enumerate(scanner.elements()):
                    yield key, number, element
            else:
                yield key, None, scanner.value()
            if scanner.take(",}") == "}":
                break
    if scanner.peek():
        raise scanner.error("the end of the file")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a key that is there twice, of which Python would keep the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has a key twice")
    return found


class _Scanner:
    """Part of a text that grows at its end and is forgotten from its start."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._decode = json.JSONDecoder(object_pairs_hook=_object).raw_decode
        self._text = ""
        self._at = 0
        self._before = 0  # characters forgotten

    def elements(self) -> Iterator[Any]:
        """Yield what follows a "[", up to its "]"."""
        if self.peek() == "]":
            self.take("]")
            return
        while True:
            yield self.value()
            if self.take(",]") == "]":
                return

    def peek(self) -> str:
        """Look at the next character that is not white space; "" at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in " \t\n\r":
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._read():
                return ""

    def take(self, wanted: str) -> str:
        """Take one of these characters."""
        found = self.peek()
        if not found or found not in wanted:
            raise self.error(" or ".join(map(repr, wanted)))
        self._at += 1
        return found

    def value(self) -> Any:
        """Take a whole value."""
        self.peek()
        while True:
            try:
                value, end = self._decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if len(self._text) < _LARGEST and self._read():
                    continue
                self._at = error.pos
                raise self.error("a value") from None
            except RecursionError:
                raise self.error("a value that is nested less deeply") from None
            except ValueError as error:  # a number of more digits than Python reads, or a key that is there twice
                raise self.error(f"a sound value ({error})") from None
            if end == len(self._text) and self._read():
                continue  # a number may go on
            self._at = end
            return value

    def error(self, wanted: str) -> ValueError:
        """Say what is wrong here."""
        found = self._text[self._at : self._at + 20] or "the end of the file"
        return ValueError(f"broken JSON at character {self._before + self._at}: wanted {wanted}, got {found!r}")

    def _read(self) -> bool:
        """Read as much again as is held, at least a chunk, so that long values cost no more than twice their length."""
        left = self._text[self._at :]
        chunk = self._file.read(max(_CHUNK, len(left)))
        if chunk:
            self._before += self._at
            self._text, self._at = left + chunk, 0
        return bool(chunk)
