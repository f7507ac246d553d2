"""Image files made by hand, for what OpenCV does not write."""

import re
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_claiming(height: int, width: int) -> bytes:
    """A PNG whose header is sound and whose pixels end in the first row."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(kind, body) for kind, body in parts)


def jpeg_claiming(jpeg: bytes, height: int, width: int) -> bytes:
    """A JPEG whose header says another size."""
    frame = re.search(rb"\xff[\xc0\xc2]\x00\x11\x08", jpeg)  # baseline or progressive, of three channels
    assert frame
    at = frame.end()
    return jpeg[:at] + struct.pack(">HH", height, width) + jpeg[at + 4 :]


def tiff(
    pixels: NDArray[Any],
    *,
    order: Literal["<", ">"] = "<",
    big: bool = False,
    photometric: int = 2,
    sample_format: int | None = None,
    extra: tuple[int, ...] = (),
    claims: tuple[int, int] | None = None,
) -> bytes:
    """An uncompressed TIFF or BigTIFF of one strip, ``(H, W)`` or ``(H, W, channels)``, after the specification."""
    height, width = claims or pixels.shape[:2]
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    data = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    tags: list[tuple[int, str, tuple[int, ...]]] = [
        (256, "I", (width,)),
        (257, "I", (height,)),
        (258, "H", (8 * pixels.itemsize,) * channels),
        (259, "H", (1,)),
        (262, "H", (photometric,)),
        (273, "I", (0,)),  # where the pixels begin: known below
        (277, "H", (channels,)),
        (278, "I", (height,)),
        (279, "I", (len(data),)),
    ]
    if extra:
        tags.append((338, "H", extra))
    if sample_format is not None:
        tags.append((339, "H", (sample_format,) * channels))
    word, counter, head = ("Q", "Q", 16) if big else ("I", "H", 8)
    room = struct.calcsize(word)
    values = [struct.pack(f"{order}{len(numbers)}{form}", *numbers) for _, form, numbers in tags]
    tail_at = head + struct.calcsize(counter) + len(tags) * (4 + 2 * room) + room
    pixels_at = tail_at + sum(len(value) for value in values if len(value) > room)
    entries, tail = b"", b""
    for (tag, form, numbers), value in zip(tags, values, strict=True):
        entries += struct.pack(f"{order}HH{word}", tag, {"H": 3, "I": 4}[form], len(numbers))
        if tag == 273:
            entries += struct.pack(order + "I", pixels_at).ljust(room, b"\0")
        elif len(value) <= room:
            entries += value.ljust(room, b"\0")
        else:
            entries += struct.pack(order + word, tail_at + len(tail))
            tail += value
    mark = b"II" if order == "<" else b"MM"
    start = struct.pack(order + "HHHQ", 43, 8, 0, head) if big else struct.pack(order + "HI", 42, head)
    end = struct.pack(order + word, 0)
    return mark + start + struct.pack(order + counter, len(tags)) + entries + end + tail + data


def write_scenes(folder: Path, count: int, damaged: Mapping[int, bytes]) -> Path:
    """Make a folder of small random images, the numbers in `damaged` having those bytes instead."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(count):
        path = folder / f"{number:02}.png"
        cv2.imwrite(str(path), generator.integers(0, 256, (20, 30, 3), np.uint8))
        if number in damaged:
            path.write_bytes(damaged[number])
    return folder
