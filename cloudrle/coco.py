"""Drop-in for ``pycocotools.mask``: the same functions, arguments, types and results, on cloudrle's core.

``from cloudrle import coco as maskUtils`` is the whole move; `pycocotools.cocoeval` gives the same numbers with either.
A COCO RLE is a dict ``{"size": [height, width], "counts": bytes}``; a box is ``[x, y, width, height]``.

What is different, on purpose:

=============================================== ============================================ ===========================
input                                           pycocotools                                  here
=============================================== ============================================ ===========================
masks in C order, strided, of any number dtype  ValueError                                   encoded
masks with values other than 0 and 1            an RLE of another mask                       what is not 0 is foreground
masks that are neither 2-D nor 3-D              None                                         ValueError
counts that don't add up to the size            the rest of the mask is memory as it lay     RLEError
a string cut short, with wrong characters, or   a wrong mask, or memory as it lay            RLEError
that gives negative counts
counts as a list of int where an RLE is wanted  TypeError                                    read
tuples of RLEs, lists of tuples as boxes        TypeError, Exception                         read
counts of 0 in an RLE                           kept by `merge` of one and by                joined with their
                                                `frUncompressedRLE`; a wrong box where they  neighbours
                                                alone are foreground
areas of 2**32 pixels and more                  modulo 2**32                                 uint64
masks of 2**32 pixels and more                  a wrong mask                                 right
masks of different sizes: `merge`               an RLE of size [0, 0]                        RLEError
masks of different sizes: `iou`                 -1.0, or 0.0 where the boxes are apart       RLEError
masks of different sizes: `decode`              a wrong mask, or ValueError                  RLEError
`decode` and `merge` of an empty list           memory as it lay, an RLE of size [0, 0]      ValueError
`iscrowd` of another length than `gt`           AssertionError                               ValueError
boxes and masks mixed, and other wrong types    Exception, TypeError                         TypeError
coordinates that are not finite                 a wrong mask, or a wrong IoU                 ValueError
polygons with an x without a y                  without that x                               ValueError
polygons onto a mask of width 0                 counts past its end                          an empty mask
boxes given as a list, or one alone             TypeError                                    made a mask
heights and widths that are floats              rounded down                                 TypeError
=============================================== ============================================ ===========================
"""

from collections.abc import Mapping, Sequence
from typing import Any, SupportsIndex

import numpy as np
import numpy.typing as npt

from cloudrle import _check, _core
from cloudrle.errors import RLEError, different_shapes
from cloudrle.rle import RLE

__all__ = [
    "area",
    "decode",
    "encode",
    "frBbox",
    "frPoly",
    "frPyObjects",
    "frUncompressedRLE",
    "iou",
    "merge",
    "toBbox",
]

CocoRLE = Mapping[str, Any]
Boxes = npt.NDArray[np.float64]  # (n, 4): x, y, width, height


def encode(bimask: npt.NDArray[Any]) -> Any:
    """Encode one mask or a stack of masks.

    Parameters
    ----------
    bimask : array of shape (height, width) or (height, width, n)
        Any integer, bool or float dtype, any order or strides; what is not zero is foreground.

    Returns
    -------
    dict, or list of n dicts
        ``{"size": [height, width], "counts": bytes}``.

    Raises
    ------
    TypeError, ValueError
        For a dtype that is no number, and for other shapes.

    Examples
    --------
    >>> from cloudrle import coco
    >>> coco.encode(np.array([[0, 1], [0, 1]]))
    {'size': [2, 2], 'counts': b'22'}
    """
    array = np.asarray(bimask)
    if array.ndim == 2:
        return _written(RLE.from_mask(array))
    if array.ndim == 3:
        return _core.encode_coco(_check.mask_array(np.moveaxis(array, 2, 0), 3))
    raise ValueError(
        f"bimask must be an array (height, width) or (height, width, n), got an array of shape {array.shape}"
    )


def decode(rleObjs: CocoRLE | Sequence[CocoRLE]) -> npt.NDArray[np.uint8]:
    """Decode one RLE or several of one size.

    Returns
    -------
    uint8 array of shape (height, width), or (height, width, n) for a list
        1 for foreground, 0 for background; in Fortran order.

    Raises
    ------
    RLEError
        For an RLE that is no mask of its size, and for different sizes; `.row` is an index in the list.
    TypeError, ValueError
        For what is no RLE, and for an empty list.

    Examples
    --------
    >>> from cloudrle import coco
    >>> coco.decode({"size": [2, 2], "counts": b"22"})
    array([[0, 1],
           [0, 1]], dtype=uint8)
    """
    if isinstance(rleObjs, Mapping):
        mask = RLE.from_coco(rleObjs)
        return mask.to_mask(_check.new_masks(mask.shape, "F"))
    masks = _some(_read(rleObjs))
    shape = masks[0].shape
    stack = _check.new_masks((*shape, len(masks)), "F")
    for i, mask in enumerate(masks):
        if mask.shape != shape:
            raise different_shapes(shape, mask.shape, i)
        mask.to_mask(stack[:, :, i])
    return stack


def area(rleObjs: CocoRLE | Sequence[CocoRLE]) -> Any:
    """Count the foreground pixels.

    Returns
    -------
    uint32, or uint32 array of shape (n,) for a list
        uint64 where an area does not fit in 32 bits.

    Raises
    ------
    RLEError, TypeError, ValueError
        For what is no RLE.

    Examples
    --------
    >>> from cloudrle import coco
    >>> coco.area([{"size": [2, 2], "counts": b"22"}])
    array([2], dtype=uint32)
    """
    if isinstance(rleObjs, Mapping):
        return area([rleObjs])[0]
    areas = _core.coco_areas(_listed(rleObjs), _read_one)
    return areas.astype(np.uint64 if areas.max(initial=0) >= 2**32 else np.uint32)


def toBbox(rleObjs: CocoRLE | Sequence[CocoRLE]) -> Boxes:
    """Find the bounding boxes.

    Returns
    -------
    float64 array of shape (4,), or (n, 4) for a list
        x, y, width and height; zeros for an empty mask.

    Raises
    ------
    RLEError, TypeError, ValueError
        For what is no RLE.

    Examples
    --------
    >>> from cloudrle import coco
    >>> coco.toBbox({"size": [2, 2], "counts": b"22"})
    array([1., 0., 1., 2.])
    """
    if isinstance(rleObjs, Mapping):
        return np.asarray(toBbox([rleObjs])[0])
    return _core.coco_boxes(_listed(rleObjs), _read_one)


def merge(rleObjs: Sequence[CocoRLE], intersect: int | bool = 0) -> dict[str, Any]:
    """Unite RLEs of one size, or intersect them.

    Raises
    ------
    RLEError
        For an RLE that is no mask of its size, and for different sizes; `.row` is an index in the list.
    TypeError, ValueError
        For what is no RLE, and for an empty list.

    Examples
    --------
    >>> from cloudrle import coco
    >>> left, right = {"size": [1, 2], "counts": b"011"}, {"size": [1, 2], "counts": b"11"}
    >>> coco.merge([left, right])
    {'size': [1, 2], 'counts': b'02'}
    >>> coco.merge([left, right], intersect=True)
    {'size': [1, 2], 'counts': b'2'}
    """
    masks = _some(_read(rleObjs))
    return _written(RLE.intersection(masks) if intersect else RLE.union(masks))


def iou(dt: Any, gt: Any, pyiscrowd: Sequence[int] | npt.NDArray[Any]) -> Any:
    """Intersection over union of each detection with each ground truth.

    Parameters
    ----------
    dt, gt : lists of RLEs, or boxes
        Both the one or both the other; boxes as an array of shape (n, 4) or a list of four numbers each.
    pyiscrowd : sequence of n bools or ints
        One for each ground truth. With a crowd the union is the detection: any part of the crowd may match it.

    Returns
    -------
    float64 array of shape (len(dt), len(gt)) in Fortran order
        0.0 where both are empty; an empty list where there is nothing to compare.

    Raises
    ------
    RLEError
        For an RLE that is no mask of its size, and for different sizes.
    TypeError, ValueError
        For anything else.

    Examples
    --------
    >>> from cloudrle import coco
    >>> coco.iou([[0, 0, 2, 2]], [[1, 0, 2, 2], [1, 0, 2, 2]], [False, True])
    array([[0.33333333, 0.5       ]])
    """
    detections, truths = _comparable(dt, "dt"), _comparable(gt, "gt")
    crowd = np.asarray(pyiscrowd).astype(np.bool_)
    if crowd.shape != (len(truths),):
        raise ValueError(f"pyiscrowd must have one entry for each of the {len(truths)} in gt, got shape {crowd.shape}")
    if len(detections) == 0 or len(truths) == 0:
        return []
    if isinstance(detections, np.ndarray) and isinstance(truths, np.ndarray):
        return _core.box_iou(detections, truths, crowd)
    if isinstance(detections, np.ndarray) or isinstance(truths, np.ndarray):
        raise TypeError("dt and gt must both be RLEs or both be boxes, got one of each")
    return np.asfortranarray(_core.mask_iou(detections, truths, crowd))


def frBbox(bb: npt.ArrayLike, h: SupportsIndex, w: SupportsIndex) -> list[dict[str, Any]]:
    """Make a mask of each box, by COCO's rule for polygons.

    Parameters
    ----------
    bb : array of shape (n, 4)
        x, y, width and height of each.
    h, w : int
        Size of the masks.

    Raises
    ------
    TypeError, ValueError
        For anything else.

    Examples
    --------
    >>> from cloudrle import coco
    >>> coco.frBbox(np.array([[1.0, 0.0, 1.0, 2.0]]), 2, 2)
    [{'size': [2, 2], 'counts': b'22'}]
    """
    x, y, width, height = _boxes(bb, "bb").T
    corners = np.stack([x, y, x, y + height, x + width, y + height, x + width, y], axis=1)
    return frPoly(list(corners), h, w)


def frPoly(poly: Sequence[npt.ArrayLike], h: SupportsIndex, w: SupportsIndex) -> list[dict[str, Any]]:
    """Make a mask of each polygon.

    Parameters
    ----------
    poly : sequence of [x1, y1, x2, y2, ...]
        Polygons; to have one mask of them, `merge` the result.
    h, w : int
        Size of the masks.

    Raises
    ------
    TypeError, ValueError
        For anything else.

    Examples
    --------
    >>> from cloudrle import coco
    >>> coco.frPoly([[1, 0, 2, 0, 2, 2, 1, 2]], 2, 2)
    [{'size': [2, 2], 'counts': b'22'}]
    """
    shape = _check.pair((h, w))
    return _core.write_coco([_core.from_polygon(RLE, polygon, "polygon", *shape) for polygon in poly])


def frUncompressedRLE(ucRles: Sequence[CocoRLE], h: SupportsIndex, w: SupportsIndex) -> list[dict[str, Any]]:
    """Compress RLEs that have their counts as a list.

    Parameters
    ----------
    ucRles : sequence of dicts
        ``{"size": [height, width], "counts": list of int}``.
    h, w : int
        Not used: each RLE has its own size. They are here because pycocotools has them.

    Raises
    ------
    RLEError
        For counts that are no mask of that size; `.row` is an index in the list.
    TypeError, ValueError
        For what is no RLE.

    Examples
    --------
    >>> from cloudrle import coco
    >>> coco.frUncompressedRLE([{"size": [2, 2], "counts": [2, 2]}], 2, 2)
    [{'size': [2, 2], 'counts': b'22'}]
    """
    return _core.write_coco(_read(ucRles))


def frPyObjects(pyobj: Any, h: SupportsIndex, w: SupportsIndex) -> Any:
    """Make masks of boxes, polygons or uncompressed RLEs.

    Parameters
    ----------
    pyobj : array of shape (n, 4), list, or dict
        Boxes; a list of boxes, polygons or uncompressed RLEs; or one of these alone. What has four numbers is a box.
    h, w : int
        Size of the masks; RLEs have their own.

    Returns
    -------
    list of dicts, or a dict where one alone was given

    Raises
    ------
    RLEError, TypeError, ValueError
        For anything else, an empty list among it.

    Examples
    --------
    >>> from cloudrle import coco
    >>> coco.frPyObjects([[1, 0, 2, 0, 2, 2, 1, 2]], 2, 2)
    [{'size': [2, 2], 'counts': b'22'}]
    >>> coco.frPyObjects({"size": [2, 2], "counts": [2, 2]}, 2, 2)
    {'size': [2, 2], 'counts': b'22'}
    """
    if isinstance(pyobj, np.ndarray):
        return frBbox(pyobj, h, w)
    if isinstance(pyobj, Mapping):
        return frUncompressedRLE([pyobj], h, w)[0]
    if not isinstance(pyobj, list):
        raise TypeError(f"pyobj must be an array of boxes, a list or an RLE, got {type(pyobj).__name__}")
    if not pyobj:
        raise ValueError("pyobj must hold at least one box, polygon or RLE, got an empty list")
    if np.ndim(pyobj[0]) == 0 and not isinstance(pyobj[0], Mapping):
        return frPyObjects([pyobj], h, w)[0]
    if isinstance(pyobj[0], Mapping):
        return frUncompressedRLE(pyobj, h, w)
    return (frBbox if len(pyobj[0]) == 4 else frPoly)(pyobj, h, w)


def _written(mask: RLE) -> dict[str, Any]:
    return _core.write_coco([mask])[0]


def _listed(rles: Sequence[CocoRLE]) -> list[CocoRLE]:
    if not isinstance(rles, list | tuple):
        raise TypeError(f"an RLE or a list of RLEs is wanted, got {type(rles).__name__}")
    return list(rles)


def _read(rles: Sequence[CocoRLE]) -> list[RLE]:
    return _core.read_coco(RLE, _listed(rles), _read_one)


def _read_one(row: int, rle: CocoRLE) -> RLE:
    try:
        return RLE.from_coco(rle)
    except RLEError as error:
        raise RLEError(f"row {row}: {error}", row, error.position) from None
    except (TypeError, ValueError) as error:
        raise type(error)(f"row {row}: {error}") from None


def _some(masks: list[RLE]) -> list[RLE]:
    if not masks:
        raise ValueError("at least one RLE is wanted, got an empty list: none at all have no size")
    return masks


def _boxes(boxes: npt.ArrayLike, name: str) -> Boxes:
    wanted = f"{name} must be boxes, an array of shape (n, 4)"
    try:
        array = np.asarray(boxes)
    except ValueError:
        raise ValueError(f"{wanted}, got rows of unequal length") from None
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{wanted}, got dtype {array.dtype}")
    if array.ndim != 2 or array.shape[1] != 4:
        raise ValueError(f"{wanted}, got an array of shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{wanted} of finite numbers, got {array[~np.isfinite(array).all(axis=1)][0].tolist()}")
    return array.astype(np.float64)


def _comparable(objects: Any, name: str) -> Boxes | list[RLE]:
    """Masks, or boxes as an array; an empty list for none."""
    if isinstance(objects, np.ndarray):
        return _boxes(objects, name)
    if not isinstance(objects, list | tuple):
        raise TypeError(f"{name} must be a list of RLEs or boxes, or an array of boxes, got {type(objects).__name__}")
    if all(isinstance(one, Mapping) for one in objects):
        return _read(objects)
    if any(isinstance(one, Mapping) for one in objects):
        raise TypeError(f"{name} must be all RLEs or all boxes, got both")
    return _boxes(objects, name)
