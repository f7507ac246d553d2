"""What an image file's headers say, read before any pixel is decoded.

A few bytes can claim a billion pixels, and OpenCV would set out to decode them: a JPEG of 20 kB that claims 30,000 x
30,000 took it 80 seconds and 5 GB. Nor do few pixels mean little work: a PNG of 2 kB with a chunk that claims two
gigabytes took it 3 seconds and all of them, one of 8 MB with a thousand compressed texts 40 seconds, and a JPEG of
400 kB that goes over its 8,000 x 8,000 pixels a thousand times 8 seconds. OpenCV also reads some TIFF files as
something else than what they hold.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cloudseg_sdk.errors import ImageError

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
MAX_PIXELS = 1 << 27  # 400 MB as RGB; a whole Sentinel-2 tile has 120 million

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_JPEG_MARKER = re.compile(rb"\xff+([^\x00\xff])")
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # those three hold tables
_JPEG_SCAN, _JPEG_END = 0xDA, 0xD9
_MOST_SCANS = 100  # progressive files have about ten
_JPEG_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})  # markers without a length

_PNG_TEXTS = (b"zTXt", b"iTXt", b"iCCP")  # compressed; libpng makes up to 8 MB of each
_MOST_TEXTS = 50
_PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a pixel, by colour type

# TIFF 6.0, section 2 and (8 bytes) BigTIFF: formats of a tag's values.
_TIFF_TYPES = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 16: "Q", 17: "q"}
_WIDTH, _HEIGHT, _BITS, _CHANNELS, _EXTRA, _FORMAT = 256, 257, 258, 277, 338, 339
_FORMATS = {2: "signed", 3: "floating-point", 5: "complex", 6: "complex"}


def check_header(data: bytes, name: str) -> bytes:
    """Return the bytes to decode of an image file, or raise an ImageError that begins with `name`.

    Raises
    ------
    ImageError
        Where the file is no BMP, JPEG, PNG, TIFF or WebP, claims more than `MAX_PIXELS` pixels, would take far more
        work than its pixels do, or is a TIFF of values that have no defined range (all but unsigned ones of up to 16
        bits) or of more than four channels.
    """
    check_size(data, name)
    return _check_tiff(data, name) if data.startswith((b"II", b"MM")) else data


def check_size(data: bytes, name: str) -> None:
    """Refuse a file of an unknown format, of more than `MAX_PIXELS` pixels by its header, or of needless work."""
    try:
        height, width = _read_shape(data)
        check_pixels(height, width, name)
        if data.startswith(_PNG):
            _check_png(data, name)
        elif data.startswith(_JPEG):
            _check_jpeg(data, name)
    except (struct.error, LookupError):  # the header ends too early, or a tag is missing
        raise damaged(data, name) from None


def check_pixels(height: int, width: int, name: str) -> None:
    """Refuse an image of more than `MAX_PIXELS` pixels."""
    if height * width > MAX_PIXELS:
        raise ImageError(
            f"{name} has {height:,} x {width:,} pixels by its header, more than the {MAX_PIXELS:,} that are decoded; "
            "pass what it holds as arrays, in parts"
        )


def damaged(data: bytes, name: str) -> ImageError:
    """Return the error of a file that cannot be decoded."""
    return ImageError(f"{name} is damaged or not an image ({len(data):,} bytes); wanted one of {', '.join(SUFFIXES)}")


def _read_shape(data: bytes) -> tuple[int, int]:
    """Return (height, width) by the header; raise struct.error or LookupError where there is none."""
    if data.startswith(_JPEG):
        return _jpeg_shape(data)
    if data.startswith(_PNG) and data[12:16] == b"IHDR":
        width, height = struct.unpack_from(">II", data, 16)
        return height, width
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _webp_shape(data)
    if data.startswith(b"BM"):
        old = struct.unpack_from("<I", data, 14) == (12,)  # OS/2's header
        width, height = struct.unpack_from("<HH" if old else "<ii", data, 18)
        return abs(height), abs(width)  # a negative height: rows from the top
    if data.startswith((b"II", b"MM")):
        tags = _read_tags(data)
        return tags[_HEIGHT].value, tags[_WIDTH].value
    raise LookupError


def _jpeg_shape(data: bytes) -> tuple[int, int]:
    at = 2
    while marker := _JPEG_MARKER.search(data, at):  # like libjpeg, over what may lie between segments
        at = marker.end()
        kind = marker[1][0]
        if kind in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 3)
            return height, width
        if kind not in _JPEG_ALONE:
            at += int.from_bytes(data[at : at + 2])
    raise LookupError


def _check_jpeg(data: bytes, name: str) -> None:
    """Refuse an image that is drawn over and over: each scan takes libjpeg as long as all pixels do."""
    scan = np.frombuffer(bytes([0xFF, _JPEG_SCAN]), np.uint16)
    if sum(np.count_nonzero(pairs == scan) for pairs in _byte_pairs(data)) <= _MOST_SCANS:
        return  # most files; others may have those bytes in a preview, say
    at, scans = 2, 0
    while (marker := _JPEG_MARKER.search(data, at)) and marker[1][0] != _JPEG_END:
        at, kind = marker.end(), marker[1][0]
        if kind not in _JPEG_ALONE:
            at += int.from_bytes(data[at : at + 2])
        scans += kind == _JPEG_SCAN
        if scans > _MOST_SCANS:
            raise ImageError(f"{name} has more than {_MOST_SCANS} scans; wanted one, or a few of a progressive JPEG")


def _byte_pairs(data: bytes) -> list[NDArray[np.uint16]]:
    """Return every two neighbours as one number: bytes.count takes ten times as long to count them."""
    return [np.frombuffer(data, np.uint16, (len(data) - start) // 2, start) for start in (0, 1)]


def _check_png(data: bytes, name: str) -> None:
    """Refuse chunks that claim more than is there, of which libpng would make room first, and much to inflate.

    Raises struct.error where the file ends before its IEND.
    """
    width, height, bits, colours = struct.unpack_from(">IIBB", data, 16)
    row = width * _PNG_SAMPLES[colours] * bits // 8 + 2  # and its filter
    texts = packed = 0
    at, kind = len(_PNG), b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, at)
        at += 12 + length  # with length, kind and checksum
        if at > len(data):
            raise damaged(data, name)
        texts += kind in _PNG_TEXTS
        packed += length if kind == b"IDAT" else 0
    if texts > _MOST_TEXTS:
        raise ImageError(f"{name} has {texts:,} compressed texts, wanted at most {_MOST_TEXTS}; save it without them")
    # Interlaced rows are seven times as many at most; what cannot be compressed grows by less than a hundredth.
    if packed > 2 * (height * row + 7 * height) + (1 << 16):
        raise ImageError(
            f"{name} has {packed:,} compressed bytes for {height:,} x {width:,} pixels, more than those take"
        )


def _webp_shape(data: bytes) -> tuple[int, int]:
    kind = data[12:16]
    if kind == b"VP8X":  # the canvas, which no frame may exceed
        return 1 + int.from_bytes(data[27:30], "little"), 1 + int.from_bytes(data[24:27], "little")
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return 1 + (bits >> 14 & 0x3FFF), 1 + (bits & 0x3FFF)
    width, height = struct.unpack_from("<HH", data, 26)
    return height & 0x3FFF, width & 0x3FFF


@dataclass(frozen=True)
class _Tag:
    """The first value of a TIFF tag, how many there are, and where the first one lies."""

    value: int
    count: int
    at: int


def _check_tiff(data: bytes, name: str) -> bytes:
    tags = _read_tags(data)
    bits, channels, kind = (tags[tag].value if tag in tags else 1 for tag in (_BITS, _CHANNELS, _FORMAT))
    if bits > 16 or kind in _FORMATS:
        raise ImageError(
            f"{name} holds {_FORMATS.get(kind, 'unsigned')} values of {bits} bits, which have no defined range; wanted "
            "unsigned ones of up to 16. Scale them to 0 to 255 yourself, and pass a uint8 array"
        )
    if channels > 4:
        raise ImageError(
            f"{name} has {channels} channels; wanted grey or RGB, with or without alpha. "
            "Pass those to be seen as an array (H, W, 3)"
        )
    extra = tags.get(_EXTRA)
    if extra is not None and (extra.value, extra.count) == (2, 1):
        # libtiff would multiply the colours by what is declared as alpha. Declared as unspecified, it leaves them.
        return data[: extra.at] + bytes(2) + data[extra.at + 2 :]
    return data


def _read_tags(data: bytes) -> dict[int, _Tag]:
    """Read the first image's tags of whole numbers, of a TIFF or BigTIFF file."""
    order = "<" if data.startswith(b"II") else ">"
    (version,) = struct.unpack_from(order + "H", data, 2)
    if version not in (42, 43):
        raise LookupError
    word, counter, start = ("Q", "Q", 8) if version == 43 else ("I", "H", 4)
    (at,) = struct.unpack_from(order + word, data, start)
    (entries,) = struct.unpack_from(order + counter, data, at)
    at += struct.calcsize(counter)
    layout = struct.Struct(f"{order}HH{word}")
    room = struct.calcsize(word)  # for values in the entry itself
    tags: dict[int, _Tag] = {}
    for _ in range(min(entries, 0xFFFF)):
        tag, kind, count = layout.unpack_from(data, at)
        form = _TIFF_TYPES.get(kind)
        if form is not None and count and tag not in tags:  # of a doubled tag, libtiff takes the first
            place = at + layout.size
            if count * struct.calcsize(form) > room:
                (place,) = struct.unpack_from(order + word, data, place)
            (value,) = struct.unpack_from(order + form, data, place)
            tags[tag] = _Tag(value, count, place)
        at += layout.size + room
    return tags
