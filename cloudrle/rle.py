"""One mask as runs."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Self, SupportsIndex, final

import numpy as np
import numpy.typing as npt

from cloudrle import _check, _core, _text
from cloudrle.algebra import RunAlgebra


@final
class RLE(RunAlgebra):
    """One mask as runs: immutable, hashable, picklable, equal by value.

    Make one with `from_mask`, `from_kaggle`, `from_coco`, `from_counts`, `from_runs`, `from_box` or `from_polygon`.
    Memory goes with the number of runs, not of pixels: a mask of 100,000 x 100,000 pixels is no problem. Masks of one
    shape are combined with ``&``, ``|``, ``^``, ``-`` and ``~``.

    Examples
    --------
    >>> mask = RLE.from_kaggle("1 3 10 2", (4, 3))
    >>> mask
    RLE(shape=(4, 3), runs=2, area=5)
    >>> mask.runs
    array([[ 0,  3],
           [ 9, 11]])
    >>> mask == RLE.from_mask(mask.to_mask())
    True
    >>> (mask - RLE.from_box((0, 0, 2, 3), mask.shape)).to_mask()
    array([[0, 0, 0],
           [0, 0, 0],
           [1, 0, 1],
           [0, 0, 0]], dtype=uint8)
    """

    __slots__ = ()

    @classmethod
    def from_mask(cls, mask: npt.ArrayLike) -> Self:
        """Make an RLE of a mask.

        Parameters
        ----------
        mask : array of shape (height, width)
            Any integer, bool or float dtype, any order or strides; what is not zero is foreground.

        Raises
        ------
        TypeError
            For a dtype that is no number.
        ValueError
            For an array that is not 2-D.

        Examples
        --------
        >>> RLE.from_mask([[0, 1], [0, 1]]).runs
        array([[2, 4]])
        """
        return _core.encode(cls, mask, 1)

    @classmethod
    def from_kaggle(cls, text: str, shape: Sequence[SupportsIndex]) -> Self:
        """Read Kaggle text: "start length start length ...", starts counted from 1 down each column in turn.

        Parameters
        ----------
        text : str
            Sorted and without overlaps; empty or blank for an empty mask; runs that touch are joined.
        shape : (height, width)
            Shape that the text was written for.

        Raises
        ------
        RLEError
            For a text that is no mask of that shape; `.position` is the offset of the fault in the text.
        TypeError, ValueError
            For anything but a str, or a shape that is no pair of non-negative ints.

        Examples
        --------
        >>> RLE.from_kaggle("3 2", (2, 2)).to_mask()
        array([[0, 1],
               [0, 1]], dtype=uint8)
        """
        height, width = _check.pair(shape)
        if not isinstance(text, str):
            raise TypeError(f"text must be a str, got {type(text).__name__}")
        return _core.adopt_runs(cls, _text.parse_one(text, height, width), height, width)

    @classmethod
    def from_counts(cls, counts: npt.ArrayLike, shape: Sequence[SupportsIndex]) -> Self:
        """Read COCO's uncompressed counts: lengths of background and foreground in turn, background first.

        Parameters
        ----------
        counts : array of shape (k,), integers
            They add up to height * width. A count of 0 is legal anywhere.
        shape : (height, width)
            Shape of the mask.

        Raises
        ------
        RLEError
            For negative counts and for counts that add up to anything else; `.position` is an index in `counts`.
        TypeError, ValueError
            For counts that are not a list of integers, or a shape that is no pair of non-negative ints.

        Examples
        --------
        >>> RLE.from_counts([0, 1, 3], (2, 2)).to_mask()
        array([[1, 0],
               [0, 0]], dtype=uint8)
        """
        wanted = "a list of integers"
        array = _check.int64_array(counts, "counts", wanted)
        if array.ndim != 1:
            raise ValueError(f"counts must be {wanted}, got an array of shape {array.shape}")
        shape = _check.pair(shape)
        return _core.from_counts(cls, array, *shape)

    @classmethod
    def from_coco(cls, coco: Mapping[str, Any]) -> Self:
        """Read a COCO segmentation.

        Parameters
        ----------
        coco : mapping with "size" and "counts"
            ``size`` is [height, width]; ``counts`` is a compressed string (str or bytes) or a list of integers.

        Raises
        ------
        RLEError
            For counts that are no mask of that size; `.position` is the offset of the fault in the string, or an
            index in the list.
        TypeError, ValueError
            For anything else.

        Examples
        --------
        >>> RLE.from_coco({"size": [2, 2], "counts": "013"})
        RLE(shape=(2, 2), runs=1, area=1)
        """
        if not isinstance(coco, Mapping):
            raise TypeError(f"coco must be a mapping with 'size' and 'counts', got {type(coco).__name__}")
        if not {"size", "counts"} <= coco.keys():
            raise ValueError(f"coco must be a mapping with 'size' and 'counts', got the keys {sorted(map(str, coco))}")
        shape = _check.pair(coco["size"], "size")
        counts = coco["counts"]
        if isinstance(counts, bytearray | memoryview):
            raise TypeError(f"counts must be a str, bytes or a list, got {type(counts).__name__}; pass bytes(counts)")
        if not isinstance(counts, str | bytes):
            return cls.from_counts(counts, shape)
        string = counts.encode("utf-8", "surrogatepass") if isinstance(counts, str) else counts
        return _core.from_coco(cls, string, *shape)

    @classmethod
    def from_runs(cls, runs: npt.ArrayLike, shape: Sequence[SupportsIndex]) -> Self:
        """Copy runs.

        Parameters
        ----------
        runs : array of shape (n, 2), integers
            [start, end) of each run: half-open, counted from 0 down each column in turn, sorted, never empty, never
            overlapping or touching.
        shape : (height, width)
            Shape of the mask.

        Raises
        ------
        RLEError
            For runs that break these rules; `.position` is an index in `runs`.
        TypeError, ValueError
            For anything but pairs of integers, or a shape that is no pair of non-negative ints.

        Examples
        --------
        >>> RLE.from_runs([[0, 1], [2, 4]], (2, 2)).to_kaggle()
        '1 1 3 2'
        """
        wanted = "pairs of integers [start, end)"
        array = _check.int64_array(runs, "runs", wanted)
        if array.size == 0:
            array = array.reshape(0, 2)
        if array.ndim != 2 or array.shape[1] != 2:
            raise ValueError(f"runs must be {wanted}, got an array of shape {array.shape}")
        shape = _check.pair(shape)
        _core.check_runs(array, *shape)
        return _core.adopt_runs(cls, array, *shape)

    @classmethod
    def from_box(cls, box: Sequence[SupportsIndex], shape: Sequence[SupportsIndex]) -> Self:
        """Fill a box.

        Parameters
        ----------
        box : (y0, x0, y1, x1), ints
            Half-open, as `bbox` gives it, and inside the mask. For COCO's boxes see `cloudrle.coco.frBbox`.
        shape : (height, width)
            Shape of the mask.

        Raises
        ------
        TypeError, ValueError
            For a box that is not four ints, or not inside the mask, or a shape that is no pair of non-negative ints.

        Examples
        --------
        >>> RLE.from_box((0, 1, 2, 3), (2, 4)).to_mask()
        array([[0, 1, 1, 0],
               [0, 1, 1, 0]], dtype=uint8)
        """
        shape = _check.pair(shape)
        return _core.from_box(cls, _check.box(box, shape), *shape)

    @classmethod
    def from_polygon(
        cls, polygon: npt.ArrayLike, shape: Sequence[SupportsIndex], holes: Iterable[npt.ArrayLike] = ()
    ) -> Self:
        """Fill a polygon by COCO's rule, pixel for pixel as `pycocotools` does.

        The rule rounds vertices to fifths of a pixel and is even-odd: what a ring goes round twice is outside. Rings
        along the edges of pixels, such as `to_polygons` gives, are filled exactly.

        Parameters
        ----------
        polygon : flat sequence [x1, y1, x2, y2, ...], or array of shape (n, 2)
            x and y of each vertex, in COCO's order, in pixels: (0, 0) is the top left corner of the first pixel. May
            reach outside the mask. Less than three vertices enclose nothing.
        shape : (height, width)
            Shape of the mask.
        holes : iterable of rings
            Each given like `polygon`; their pixels are taken away.

        Raises
        ------
        TypeError, ValueError
            For anything but numbers, for coordinates that are not finite or beyond 2**49, and for several polygons in
            one list, as COCO has them: `union` makes one mask of them.

        Examples
        --------
        >>> RLE.from_polygon([0, 0, 3, 0, 3, 3, 0, 3], (3, 4), holes=[[1, 1, 2, 1, 2, 2, 1, 2]]).to_mask()
        array([[1, 1, 1, 0],
               [1, 0, 1, 0],
               [1, 1, 1, 0]], dtype=uint8)
        >>> triangles = [[0, 0, 2, 0, 0, 2], [2, 2, 4, 2, 4, 0]]
        >>> RLE.union(RLE.from_polygon(triangle, (2, 4)) for triangle in triangles).to_mask()
        array([[1, 0, 0, 1],
               [0, 0, 1, 1]], dtype=uint8)
        """
        shape = _check.pair(shape)
        mask = _core.from_polygon(cls, polygon, "polygon", *shape)
        missing = [_core.from_polygon(cls, hole, "each of holes", *shape) for hole in holes]
        return mask - cls.union(missing) if missing else mask

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """COCO's counts: int64 array, background first; a full mask is [0, n], an empty one [n]; no trailing 0.

        >>> RLE.from_kaggle("2 2", (2, 3)).counts
        array([1, 2, 3])
        """
        return _core.to_counts(self)

    def to_mask(self, out: npt.NDArray[np.uint8] | None = None) -> npt.NDArray[np.uint8]:
        """Write the mask as an array.

        Parameters
        ----------
        out : uint8 array of shape (height, width), optional
            Writeable, any strides; the mask is written there.

        Returns
        -------
        uint8 array of shape (height, width)
            1 for foreground, 0 for background: `out`, or a new array in C order.

        Raises
        ------
        TypeError, ValueError
            For an `out` that does not fit.

        Examples
        --------
        >>> RLE.from_kaggle("2 2", (2, 2)).to_mask()
        array([[0, 1],
               [1, 0]], dtype=uint8)
        """
        return _core.decode(self, out, 1)

    def to_kaggle(self) -> str:
        """Write Kaggle text; "" for an empty mask.

        Examples
        --------
        >>> RLE.from_mask([[1, 0], [1, 0]]).to_kaggle()
        '1 2'
        """
        return _text.format_one(self.runs)

    def to_coco(self, compressed: bool = True) -> dict[str, Any]:
        """Write a COCO segmentation.

        Parameters
        ----------
        compressed : bool
            Whether ``counts`` is a compressed string or a list of int.

        Returns
        -------
        dict
            ``{"size": [height, width], "counts": str or list of int}``, ready for JSON.

        Examples
        --------
        >>> RLE.from_mask([[1, 0], [1, 0]]).to_coco()
        {'size': [2, 2], 'counts': '022'}
        >>> RLE.from_mask([[1, 0], [1, 0]]).to_coco(compressed=False)
        {'size': [2, 2], 'counts': [0, 2, 2]}
        """
        counts = _core.to_coco(self) if compressed else self.counts.tolist()
        return {"size": list(self.shape), "counts": counts}

    def resize(
        self, size: Sequence[SupportsIndex], interpolation: Literal["nearest", "linear", "area"] = "nearest"
    ) -> Self:
        """Resize the mask.

        Parameters
        ----------
        size : (height, width)
            Shape of the result; no side may be 0.
        interpolation : {"nearest", "linear", "area"}
            As for `cloudrle.resize`.

        Raises
        ------
        TypeError, ValueError
            For a size that is no pair of positive ints, an unknown interpolation, or a mask without pixels.

        Examples
        --------
        >>> RLE.from_mask([[1, 0], [1, 0]]).resize((1, 2)).to_kaggle()
        '1 1'
        """
        target = _check.target_size(self.shape, size, interpolation)
        return self if target == self.shape else _core.resize_runs(RLE, self, *target, interpolation)

    def __eq__(self, other: object) -> bool:
        return _core.equal(self, other) if isinstance(other, RLE) else NotImplemented

    def __hash__(self) -> int:
        return hash((self.shape, self.runs.tobytes()))

    def __reduce__(self) -> tuple[Any, ...]:
        return RLE.from_runs, (self.runs, self.shape)

    def __repr__(self) -> str:
        return f"RLE(shape={self.shape}, runs={len(self.runs)}, area={self.area})"
