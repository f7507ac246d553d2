"""Masks and run lists: the kernels behind cloudrle. Array arguments are never cast."""

from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
from typing_extensions import CapsuleType, disjoint_base

_Runs: TypeAlias = npt.NDArray[np.int64]  # (n, 2): [start, end) of each run
_Counts: TypeAlias = npt.NDArray[np.int64]  # (k,): lengths of background and foreground in turn
_Masks: TypeAlias = npt.NDArray[Any]  # (N, height, width): integer, bool or float of at most 8 bytes, any strides
_ByteMask: TypeAlias = npt.NDArray[Any]  # (height, width): uint8, int8 or bool, any strides
_Pixels: TypeAlias = npt.NDArray[np.uint8]  # (N, height, width) or (height, width): writeable, any strides
_Maps: TypeAlias = npt.NDArray[np.float32] | npt.NDArray[np.uint8]  # (N, height, width, classes), any strides

@disjoint_base
class RunList:
    """Runs of one mask, and its shape."""

    @property
    def runs(self) -> _Runs:
        """Runs: read-only int64 array of shape (n, 2), half-open [start, end), counted from 0 down each column."""

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the mask: (height, width)."""

_RLE = TypeVar("_RLE", bound=RunList)

# encode and decode check the array themselves, in the words of _check.
def encode(cls: type[_RLE], mask: object, threads: int) -> _RLE: ...
def decode(rle: RunList, out: npt.NDArray[np.uint8] | None, threads: int) -> npt.NDArray[np.uint8]: ...
def scanner(masks: _Masks) -> CapsuleType: ...  # of masks[i] as row i
def painter(height: int, width: int, interpolation: str, out: _Pixels) -> CapsuleType: ...  # of row i onto out[i]
def resize(mask: _ByteMask, interpolation: str, out: _Pixels) -> None: ...
def simd_level() -> str: ...
def check_runs(runs: _Runs, height: int, width: int) -> None: ...
def adopt_runs(cls: type[_RLE], runs: _Runs, height: int, width: int) -> _RLE: ...  # checked, and nobody else's
def from_counts(cls: type[_RLE], counts: _Counts, height: int, width: int) -> _RLE: ...
def to_counts(rle: RunList) -> _Counts: ...
def from_coco(cls: type[_RLE], text: bytes, height: int, width: int) -> _RLE: ...
def to_coco(rle: RunList) -> str: ...
def area(rle: RunList) -> int: ...
def bounding_box(rle: RunList) -> tuple[int, int, int, int] | None: ...  # top, left, bottom, right
def overlap(a: RunList, b: RunList) -> tuple[int, int] | None: ...  # shared pixels, sum of areas; None: other shapes
def components(cls: type[_RLE], rle: RunList) -> list[_RLE]: ...
def equal(a: RunList, b: RunList) -> bool: ...
def resize_runs(cls: type[_RLE], rle: RunList, height: int, width: int, interpolation: str) -> _RLE: ...
def encode_probabilities(
    maps: _Maps,
    height: int,
    width: int,
    thresholds: npt.NDArray[np.float32],
    min_areas: npt.NDArray[np.int64],
    threads: int,
) -> list[list[_Runs]]: ...
