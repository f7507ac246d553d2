"""Run-length encoded masks at memory speed.

A mask is an array of shape (height, width), 0 for background and anything else for foreground. Its runs go down each
column in turn, as in Kaggle's and COCO's formats. Needs NumPy and nothing else.

>>> import cloudrle
>>> cloudrle.decode("1 3 10 2", (4, 3))
array([[1, 0, 0],
       [1, 0, 1],
       [1, 0, 1],
       [0, 0, 0]], dtype=uint8)

Limits
------
A mask has at most 2**63 - 1 pixels; one that is resized, and what it is resized to, sides below 2**31; one that is
written for Label Studio, fewer than 2**30 pixels. A vertex of a polygon lies within 2**49 pixels. More than 256 threads
count as 256.

Memory goes with texts and runs, and not with the shape that they claim, but for results that hold something for every
pixel, column or row: masks as arrays; boxes, polygons, padded and shifted masks, which have a run for each column that
they partly cover; and CVAT's boxes and masks turned from columns to rows, one for each row. These are a MemoryError
before work starts where they take more than there is. `RLE.resize` meets it where its runs become too many.
"""

from cloudrle.codec import decode, decode_many, encode, encode_many, resize, simd_level
from cloudrle.dialects import DIALECTS, convert
from cloudrle.errors import RLEError
from cloudrle.frames import read_table
from cloudrle.overlaps import dice_matrix, iou_matrix
from cloudrle.probabilities import encode_probabilities
from cloudrle.rle import RLE

__all__ = [
    "DIALECTS",
    "RLE",
    "RLEError",
    "__version__",
    "convert",
    "decode",
    "decode_many",
    "dice_matrix",
    "encode",
    "encode_many",
    "encode_probabilities",
    "iou_matrix",
    "read_table",
    "resize",
    "simd_level",
]

__version__ = "0.1.0"
