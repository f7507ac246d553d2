"""What an RLE can do with its runs alone: the base of `cloudrle.RLE`, which adds the ways in and out."""

from collections.abc import Iterable, Sequence
from typing import ClassVar, Literal, Self, SupportsIndex

import numpy as np
import numpy.typing as npt

from cloudrle import _check, _core

Ring = npt.NDArray[np.int64]  # (n, 2): x and y of each vertex


class RunAlgebra(_core.RunList):
    """Set operations, measures and geometry of one mask as runs.

    Every call takes time and memory by the number of runs that it reads and writes, never of pixels; none changes the
    mask that it is called on. ``~`` takes neither: a mask and its complement share their runs.

    Examples
    --------
    >>> from cloudrle import RLE
    >>> left, top = RLE.from_box((0, 0, 2, 1), (2, 2)), RLE.from_box((0, 0, 1, 2), (2, 2))
    >>> [mask.to_kaggle() for mask in (left & top, left | top, left ^ top, left - top, ~left)]
    ['1 1', '1 3', '2 2', '2 1', '3 2']
    >>> (left | top).area
    3
    """

    __slots__ = ()
    __array_ufunc__: ClassVar[None] = None  # so that `array & mask` is refused as a whole, not pixel by pixel

    @property
    def bbox(self) -> tuple[int, int, int, int] | None:
        """Bounding box (y0, x0, y1, x1), half-open: ``mask[y0:y1, x0:x1]`` holds the foreground; None when empty.

        >>> from cloudrle import RLE
        >>> RLE.from_kaggle("2 1 5 2", (3, 2)).bbox
        (1, 0, 3, 2)
        """
        return _core.bounding_box(self)

    @property
    def centroid(self) -> tuple[float, float] | None:
        """Mean row and column (y, x) of the foreground pixels; None when empty.

        The first pixel is (0.0, 0.0), so that a pixel's centre is its index.

        >>> from cloudrle import RLE
        >>> RLE.from_mask([[1, 1, 0], [1, 1, 0]]).centroid
        (0.5, 0.5)
        """
        return _core.centroid(self)

    def __and__(self, other: Self) -> Self:
        return _core.and_(self, other) if isinstance(other, RunAlgebra) else NotImplemented

    def __or__(self, other: Self) -> Self:
        return _core.or_(self, other) if isinstance(other, RunAlgebra) else NotImplemented

    def __xor__(self, other: Self) -> Self:
        return _core.xor(self, other) if isinstance(other, RunAlgebra) else NotImplemented

    def __sub__(self, other: Self) -> Self:
        return _core.sub(self, other) if isinstance(other, RunAlgebra) else NotImplemented

    def __invert__(self) -> Self:
        return _core.invert(self)

    @classmethod
    def union(cls, masks: Iterable[Self]) -> Self:
        """Unite any number of masks: pixels that are foreground in at least one.

        Parameters
        ----------
        masks : iterable of RLE
            At least one; all of one shape.

        Raises
        ------
        RLEError
            For masks of different shapes; `.row` is the index of the first that differs.
        TypeError, ValueError
            For anything but RLEs, and for none at all, which have no shape.

        Examples
        --------
        >>> from cloudrle import RLE
        >>> RLE.union(RLE.from_kaggle(text, (2, 2)) for text in ["1 1", "1 2", "4 1"]).to_kaggle()
        '1 2 4 1'
        """
        return _core.union(_check.some_masks(masks, cls))

    @classmethod
    def intersection(cls, masks: Iterable[Self]) -> Self:
        """Intersect any number of masks: pixels that are foreground in all of them.

        Parameters and errors are those of `union`.

        Examples
        --------
        >>> from cloudrle import RLE
        >>> RLE.intersection(RLE.from_kaggle(text, (2, 2)) for text in ["1 3", "1 2", "2 3"]).to_kaggle()
        '2 1'
        """
        return _core.intersection(_check.some_masks(masks, cls))

    def iou(self, other: Self) -> float:
        """Intersection over union with another mask of the same shape; 1.0 where both are empty.

        Raises
        ------
        TypeError, RLEError
            For anything but an RLE of the same shape.

        Examples
        --------
        >>> from cloudrle import RLE
        >>> RLE.from_kaggle("1 2", (2, 2)).iou(RLE.from_kaggle("2 3", (2, 2)))
        0.25
        """
        shared, total = self._overlap(other)
        return shared / (total - shared) if total else 1.0

    def dice(self, other: Self) -> float:
        """Dice coefficient with another mask of the same shape; 1.0 where both are empty.

        Raises
        ------
        TypeError, RLEError
            For anything but an RLE of the same shape.

        Examples
        --------
        >>> from cloudrle import RLE
        >>> RLE.from_kaggle("1 2", (2, 2)).dice(RLE.from_kaggle("2 3", (2, 2)))
        0.4
        """
        shared, total = self._overlap(other)
        return 2 * shared / total if total else 1.0

    def _overlap(self, other: Self) -> tuple[int, int]:
        """Pixels in both masks, and the sum of the two areas."""
        if not isinstance(other, RunAlgebra):
            raise TypeError(f"other must be an RLE, got {type(other).__name__}")
        return _core.overlap(self, other)

    def crop(self, box: Sequence[SupportsIndex]) -> Self:
        """Cut out a box, as ``mask[y0:y1, x0:x1]`` does.

        Parameters
        ----------
        box : (y0, x0, y1, x1)
            Half-open, as `bbox` gives it, and inside the mask.

        Returns
        -------
        RLE of shape (y1 - y0, x1 - x0)

        Raises
        ------
        TypeError, ValueError
            For a box that is not four ints, or not inside the mask.

        Examples
        --------
        >>> from cloudrle import RLE
        >>> RLE.from_mask([[0, 1, 1], [0, 0, 1]]).crop((0, 1, 2, 3)).to_mask()
        array([[1, 1],
               [0, 1]], dtype=uint8)
        """
        top, left, bottom, right = window = _check.box(box, self.shape)
        return _core.place(self, window, bottom - top, right - left, 0, 0)

    def pad(
        self, *, top: SupportsIndex = 0, bottom: SupportsIndex = 0, left: SupportsIndex = 0, right: SupportsIndex = 0
    ) -> Self:
        """Add rows and columns of background at the borders.

        Parameters
        ----------
        top, bottom, left, right : int
            How many; not negative.

        Returns
        -------
        RLE of shape (top + height + bottom, left + width + right)

        Raises
        ------
        TypeError, ValueError
            For numbers that are no non-negative ints, or a result of more than 2**63 - 1 pixels.

        Examples
        --------
        >>> from cloudrle import RLE
        >>> RLE.from_mask([[1]]).pad(bottom=1, left=2).to_mask()
        array([[0, 0, 1],
               [0, 0, 0]], dtype=uint8)
        """
        height, width = self.shape
        above, before = _check.whole_number(top, "top"), _check.whole_number(left, "left")
        below, behind = _check.whole_number(bottom, "bottom"), _check.whole_number(right, "right")
        padded = _check.pair((above + height + below, before + width + behind), "the padded shape")
        return _core.place(self, (0, 0, height, width), *padded, above, before)

    def translate(self, dy: SupportsIndex, dx: SupportsIndex) -> Self:
        """Shift the foreground down by `dy` rows and right by `dx` columns; the shape stays.

        What leaves the mask is lost, and background comes in.

        Parameters
        ----------
        dy, dx : int
            Negative to shift up and left.

        Raises
        ------
        TypeError
            For anything but ints.

        Examples
        --------
        >>> from cloudrle import RLE
        >>> RLE.from_mask([[1, 1, 0], [1, 0, 0]]).translate(-1, 1).to_mask()
        array([[0, 1, 0],
               [0, 0, 0]], dtype=uint8)
        """
        height, width = self.shape
        # As much as moves everything out does the same as more.
        down = min(max(_check.integer(dy, "dy"), -height), height)
        along = min(max(_check.integer(dx, "dx"), -width), width)
        window = max(0, -down), max(0, -along), min(height, height - down), min(width, width - along)
        return _core.place(self, window, height, width, max(0, down), max(0, along))

    def flip(self, axis: Literal[0, 1]) -> Self:
        """Mirror the mask, as `numpy.flip` does.

        Parameters
        ----------
        axis : {0, 1}
            0 puts the last row first, 1 the last column.

        Raises
        ------
        TypeError, ValueError
            For any other axis.

        Examples
        --------
        >>> from cloudrle import RLE
        >>> RLE.from_mask([[1, 1, 0], [1, 0, 0]]).flip(1).to_mask()
        array([[0, 1, 1],
               [0, 0, 1]], dtype=uint8)
        """
        return _core.flip(self, _check.one_int(axis, (0, 1), "axis"))

    def components(self, connectivity: Literal[4, 8] = 8) -> list[Self]:
        """Part the mask into its components, in the order of their first pixels.

        Parameters
        ----------
        connectivity : {4, 8}
            Whether pixels are connected by edges alone, or by edges and corners.

        Raises
        ------
        TypeError, ValueError
            For any other connectivity.

        Examples
        --------
        >>> from cloudrle import RLE
        >>> mask = RLE.from_mask([[1, 0, 0, 1], [0, 1, 0, 1]])
        >>> [part.to_kaggle() for part in mask.components()]
        ['1 1 4 1', '7 2']
        >>> [part.to_kaggle() for part in mask.components(connectivity=4)]
        ['1 1', '4 1', '7 2']
        """
        return _core.components(self, _check.one_int(connectivity, (4, 8), "connectivity"))

    def remove_small(self, min_area: SupportsIndex) -> Self:
        """Leave out components, connected by edges and corners, that have fewer than `min_area` pixels.

        Parameters
        ----------
        min_area : int
            Not negative; 0 and 1 leave the mask as it is.

        Raises
        ------
        TypeError, ValueError
            For anything but a non-negative int.

        Examples
        --------
        >>> from cloudrle import RLE
        >>> RLE.from_mask([[1, 0, 1], [0, 0, 1]]).remove_small(2).to_mask()
        array([[0, 0, 1],
               [0, 0, 1]], dtype=uint8)
        """
        return _core.remove_small(self, _check.pixel_count(min_area, "min_area"))

    def fill_holes(self, max_area: SupportsIndex | None = None) -> Self:
        """Fill holes: background that is connected by edges and does not reach a border of the mask.

        Parameters
        ----------
        max_area : int, optional
            Fill only holes of at most so many pixels; without it all.

        Raises
        ------
        TypeError, ValueError
            For anything but a non-negative int or None.

        Examples
        --------
        >>> from cloudrle import RLE
        >>> RLE.from_mask([[0, 1, 0], [1, 0, 1], [0, 1, 0]]).fill_holes().to_mask()
        array([[0, 1, 0],
               [1, 1, 1],
               [0, 1, 0]], dtype=uint8)
        """
        most = self.shape[0] * self.shape[1] if max_area is None else _check.pixel_count(max_area, "max_area")
        return _core.fill_holes(self, most)

    def to_polygons(self) -> list[tuple[Ring, list[Ring]]]:
        """Trace the foreground along the edges of its pixels.

        Returns
        -------
        list of (outer, holes)
            One pair for each component of pixels that share edges (connectivity 4), in the order of their first pixels:
            its outer ring, and a list of the rings round its holes. A ring is an int64 array of shape (n, 2), x and y
            of each corner, where (0, 0) is the top left corner of the first pixel and (1, 1) its bottom right one. The
            first corner is not repeated. The foreground lies on the right hand as seen on a screen: outer rings go
            clockwise, holes counterclockwise. No ring touches itself; a hole's may touch others at corners.

        Notes
        -----
        `RLE.from_polygon` turns each pair back into the very same pixels, and their union is the mask. For COCO's
        flat lists take ``ring.ravel().tolist()``; COCO's polygons have no holes.

        Examples
        --------
        >>> from cloudrle import RLE
        >>> mask = RLE.from_mask([[1, 1, 1], [1, 0, 1], [1, 1, 1]])
        >>> [(outer, holes)] = mask.to_polygons()
        >>> outer.tolist(), holes[0].tolist()
        ([[0, 0], [3, 0], [3, 3], [0, 3]], [[1, 2], [2, 2], [2, 1], [1, 1]])
        >>> RLE.union(RLE.from_polygon(outer, mask.shape, holes) for outer, holes in mask.to_polygons()) == mask
        True
        """
        return _core.to_polygons(self)
