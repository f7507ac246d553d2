"""The ways in which tools write a mask as runs, and the conversion of a column from one to another.

Each takes the pixels of a mask down its columns or along its rows and says which of them are foreground. The examples
below are this mask of 3 x 4 pixels, and an empty one of the same shape:

>>> import numpy as np
>>> from cloudrle import convert, encode
>>> mask = np.array([[0, 1, 1, 0], [0, 1, 0, 0], [1, 1, 0, 1]])
>>> column = [encode(mask), ""]
>>> def write(dialect):
...     return convert(column, "kaggle", dialect, shape=(3, 4))

Texts of pairs of numbers
-------------------------
All but the last write an empty mask as "" and read blank text as one. Runs are sorted and do not overlap; those that
touch are joined.

**kaggle**: "start length start length ...", pixels counted from 1 down each column in turn. The format of most
competitions since the 2016 ultrasound nerve segmentation; those of the Carvana challenge and some later ones go along
the rows.

>>> write("kaggle")
['3 5 12 1', '']

**kaggle-rows**: the same, but counted along each row in turn.

>>> write("kaggle-rows")
['2 2 6 1 9 2 12 1', '']

**zero-based**: "start length ..." down the columns, with pixels counted from 0, as code writes it that does not add 1.

>>> write("zero-based")
['2 5 11 1', '']

**start-end-inclusive**: "first last first last ..." down the columns, counted from 1; a run holds its last pixel.

>>> write("start-end-inclusive")
['3 7 12 12', '']

**start-end-exclusive**: "start end start end ..." down the columns, counted from 0; a run is ``[start, end)``, as a
slice of Python and as `RLE.runs`.

>>> write("start-end-exclusive")
['2 7 11 12', '']

**relative**: "gap length gap length ..." down the columns: how many pixels of background precede each run, and its
length. The format of the SIIM-ACR pneumothorax challenge, whose ``mask_functions.py`` defines it and whose files say
"-1" for an empty mask. (Its ``mask2rle`` loses a run that ends with the last pixel; this does not.)

>>> write("relative")
['2 5 4 1', '-1']

COCO
----
**coco-counts**: lengths of background and foreground in turn down the columns, background first, which add up to the
number of pixels: a list of int. The ``counts`` of an uncompressed segmentation.

>>> write("coco-counts")
[[2, 5, 4, 1], [12]]

**coco**: the same as a string, as pycocotools writes it, 5 bits of a number to a character, from the fourth number on
as the difference from the one before the last. A str, as JSON holds it.

>>> write("coco")
['254L', '<']

**coco-bytes**: that string as bytes, as pycocotools returns it.

>>> write("coco-bytes")
[b'254L', b'<']

Both of them read str and bytes alike. All three also read whole segmentations, ``{"size": [height, width], "counts":
...}``, whose size must be the row's shape.

Annotation tools
----------------
**label-studio**: the brush data that Label Studio keeps under "rle", a list of bytes as int. They hold the four
channels of each pixel along the rows as a stream of bits; foreground is where the fourth, alpha, is not 0. The package
rle-pack of thi.ng/umbrella defines it; what is written here is what label-studio-converter writes for a mask of 0 and
255. A mask must have fewer than 2**30 pixels. Bytes and uint8 arrays are read as well.

>>> write("label-studio")[1]
[0, 0, 0, 48, 57, 27, 254, 47, 0, 0]

**cvat**: the "points" of a mask in CVAT's API and SDK: counts as COCO's, but along the rows of a box round the
foreground, and then the box: left, top, right, bottom, each of them inside. Whole numbers, which may be floats. An
empty mask is that of a box of one background pixel, as in ``cvat_sdk.masks.encode_mask``; a mask must have a pixel.

>>> write("cvat")
[[1, 2, 2, 1, 2, 2, 1, 1, 0, 0, 3, 2], [1, 0, 0, 0, 0]]
"""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, SupportsIndex

import numpy as np
import numpy.typing as npt

from cloudrle import _check, _text

Dialect = Literal[
    "kaggle",
    "kaggle-rows",
    "zero-based",
    "start-end-inclusive",
    "start-end-exclusive",
    "relative",
    "coco",
    "coco-bytes",
    "coco-counts",
    "label-studio",
    "cvat",
]

DIALECTS: tuple[str, ...] = tuple(_text.DIALECTS)


def convert(
    column: Iterable[object],
    source: Dialect,
    target: Dialect,
    *,
    shape: Sequence[SupportsIndex] | Sequence[Sequence[SupportsIndex]] | npt.NDArray[Any],
    missing: Literal["raise", "empty"] = "raise",
    threads: int | None = None,
) -> list[Any]:
    """Convert a column of masks from one dialect to another.

    No mask is made: time and memory go with the runs. `cloudrle.dialects` says what each dialect is.

    Parameters
    ----------
    column : sequence
        A list, a column of a data frame, an array: anything that yields masks in the dialect `source`. Columns that
        have Arrow's C interface (pyarrow, polars, Arrow-backed pandas) are read where they lie: strings; binary for
        COCO's strings and Label Studio's bytes; lists of uint8 for those bytes; lists of int64 for counts and CVAT's
        numbers.
    source, target : str
        Names of dialects, of which `cloudrle.DIALECTS` has all. The same twice checks a column, and brings it to the
        form that this package writes.
    shape : (height, width), or one such pair for each row
        Of the masks: a pair, a list of pairs, or an integer array of shape (N, 2).
    missing : {"raise", "empty"}
        What to do with None, NaN, pandas.NA and Arrow's nulls: raise, or read them as empty masks.
    threads : int, optional
        How many threads to use at most; None takes as many as there are cores. The result doesn't depend on it.

    Returns
    -------
    list of str, of bytes or of lists of int
        One cell for each row, as `target` has it.

    Raises
    ------
    RLEError
        For a row that is no mask of its shape, a missing one, or one that `target` cannot hold; `.row` is its index,
        `.position` the offset of the fault in the text, the bytes or the list.
    TypeError, ValueError
        For any other argument, and for a row of another type than the dialect has.

    Examples
    --------
    >>> convert(["2 3", ""], "kaggle", "coco-counts", shape=(3, 2))
    [[1, 3, 2], [6]]
    >>> convert(["2 3", "1 1"], "kaggle", "kaggle-rows", shape=[(3, 2), (1, 1)])
    ['2 2 5 1', '1 1']
    """
    _check.one_of(source, DIALECTS, "source")
    _check.one_of(target, DIALECTS, "target")
    rows = _check.column(column, source)
    shapes = _check.shapes(shape, len(rows))
    empty = _check.one_of(missing, ("raise", "empty"), "missing") == "empty"
    count = _check.thread_count(threads)
    cells: list[Any] = []
    while len(cells) < len(rows):  # in blocks, so that the runs of a whole column never exist at once
        cells += _text.convert_rows(rows, len(cells), shapes, source, target, empty, count)
    return cells


def measure(
    column: Iterable[object],
    dialect: Dialect,
    *,
    shape: Sequence[SupportsIndex] | Sequence[Sequence[SupportsIndex]] | npt.NDArray[Any],
    missing: Literal["raise", "empty"] = "raise",
    threads: int | None = None,
) -> npt.NDArray[np.int64]:
    """Measure the masks of a column.

    Parameters
    ----------
    column, dialect, shape, missing, threads
        As for `convert`.

    Returns
    -------
    int64 array of shape (N, 6)
        Area; top, left, bottom and right of the box, half-open, all 0 for an empty mask; number of runs down the
        columns.

    Raises
    ------
    RLEError, TypeError, ValueError
        As for `convert`.

    Examples
    --------
    >>> measure(["2 3", ""], "kaggle", shape=(3, 2))
    array([[3, 0, 0, 3, 2, 1],
           [0, 0, 0, 0, 0, 0]])
    """
    _check.one_of(dialect, DIALECTS, "dialect")
    rows = _check.column(column, dialect)
    shapes = _check.shapes(shape, len(rows))
    empty = _check.one_of(missing, ("raise", "empty"), "missing") == "empty"
    count = _check.thread_count(threads)
    measures = np.empty((len(rows), 6), np.int64)
    row = 0
    while row < len(rows):
        row += _text.measure_rows(rows, row, shapes, dialect, empty, count, measures)
    return measures
