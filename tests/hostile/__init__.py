"""Hostile files: what is in them, and what each reader must say of them.

``python -m hostile FOLDER`` (from ``tests/``) writes all of them into a folder, reads each, and prints what came of it,
a line of JSON for each. Nothing here is random, and nothing is stored: a bomb is made of its recipe.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """A hostile file.

    Parameters
    ----------
    file
        Its name; it lies in a folder of its own, which has the name of the case.
    make
        Returns its bytes.
    words
        By the name of a reader (see :mod:`hostile.__main__`), the words of its error, in which ``{path}`` is the file
        and ``...`` stands for anything; None where it reads the file.
    """

    file: str
    make: Callable[[], bytes]
    words: Mapping[str, str | None]
