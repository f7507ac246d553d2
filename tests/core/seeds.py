"""Inputs that the fuzzers start from: the fixtures, as bytes that each target reads them from."""

import json
import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

FIXTURES = Path(__file__).parents[1] / "fixtures" / "rle"
PAIRS, COCO, BRUSH, CVAT = "pairs", "coco", "brush", "cvat"

# Of x and y in pixels: slopes that pass exactly through the middles that COCO's rule asks for, and edges outside.
POLYGONS = (
    (0, 0, 10, 20, 0, 20),
    (20, 0, 10, 20, 20, 30),
    (1, 1, 9, 33, 2, 30, 5, 2),
    (3, 3, 3, 9, 9, 9, 9, 3),
    (-9, -5, 40, 3, 60, 60, -3, 30),
    (5, 5),
)


def shape_bytes(shape: list[int]) -> bytes:
    return struct.pack("<HH", *shape)


def edge_shape(edge: int) -> bytes:
    """A shape whose height is one of those at the edges of formats in Input::any_shape()."""
    return struct.pack("<HH", 0xFF00 + edge, 1 + edge)


def length_bytes(length: int) -> bytes:
    """As Input::length() reads it: twice a short one, or how many bytes follow."""
    return bytes([2 * length]) if length < 0xE8 // 2 else b"\xe9" + struct.pack("<H", length)


def runs_bytes(kaggle: str) -> bytes:
    """As Input::runs() reads them: how many, and for each the gap before it and its length, both less what must be."""
    numbers = [int(number) for number in kaggle.split()]
    found = bytes([min(len(numbers) // 2, 255)])
    at = 0
    for index, (start, length) in enumerate(zip(numbers[::2], numbers[1::2], strict=True)):
        found += length_bytes(start - 1 - at - (index > 0)) + length_bytes(length - 1)
        at = start - 1 + length
    return found


def of_pairs(case: dict[str, Any]) -> Iterator[bytes]:
    for pairs in range(5):
        yield bytes([pairs, 0]) + shape_bytes(case["shape"]) + case["kaggle"].encode()
        yield bytes([pairs, 1]) + shape_bytes(case["shape"]) + runs_bytes(case["kaggle"])
    yield b"\x04\x00" + shape_bytes(case["shape"]) + case.get("relative", "-1").encode()
    yield b"\x00\x00" + edge_shape(10) + b"9223372036854775806 1 9223372036854775807 1"


def of_coco(case: dict[str, Any]) -> Iterator[bytes]:
    yield b"\x00" + shape_bytes(case["shape"]) + runs_bytes(case["kaggle"])
    yield b"\x01" + shape_bytes(case["shape"]) + case["coco"].encode()
    for last in (0, 7, 8, 15, 16, 23, 24, 31):  # of 65 bits, with a sign that 64 can or can't hold
        yield b"\x01" + edge_shape(10) + b"o" * 12 + bytes([ord("0") + last])
    counts = b"".join(bytes([0, count]) for count in case.get("counts", []) if count < 256)
    yield b"\x02" + shape_bytes(case["shape"]) + counts


def of_brush(case: dict[str, Any]) -> Iterator[bytes]:
    yield b"\x01" + shape_bytes(case["shape"]) + runs_bytes(case["kaggle"])
    data = b"\x00" + shape_bytes(case["shape"]) + bytes(case.get("label-studio", []))
    yield from (data, data[:-1], data + b"\x00", data + b"\x01", data[:-1] + bytes([data[-1] | 1]))


def of_cvat(case: dict[str, Any]) -> Iterator[bytes]:
    yield b"\x01" + shape_bytes(case["shape"]) + runs_bytes(case["kaggle"])
    numbers = b"".join(b"\x00" + struct.pack("<H", number) for number in case.get("cvat", []))
    yield b"\x00" + shape_bytes(case["shape"]) + numbers


OF_FIXTURES: dict[str, Callable[[dict[str, Any]], Iterator[bytes]]] = {
    PAIRS: of_pairs,
    COCO: of_coco,
    BRUSH: of_brush,
    CVAT: of_cvat,
}


def of_polygons() -> Iterator[bytes]:
    for vertices in POLYGONS:
        for part in (0, 32):  # 64ths of a pixel
            numbers = [64 * number + part for number in vertices]
            yield b"\x00" + bytes([32, 32]) + struct.pack(f"<{len(numbers)}h", *numbers)
            yield b"\x01" + shape_bytes([32, 32]) + struct.pack(f"<{len(numbers)}d", *vertices)


def write(target: str, folder: Path) -> None:
    """Put the target's first inputs into a folder; noise too, which stands for some mask wherever masks are made."""
    folder.mkdir(parents=True, exist_ok=True)
    noise = random.Random(7)  # the same every time
    inputs = [noise.randbytes(length) for length in (8, 32, 64, 128, 256, 512) for _ in range(4)]
    # Where the first byte, or the first two, are 0, most targets take any shape.
    inputs.extend(bytes(zeros) + edge_shape(edge) + noise.randbytes(40) for edge in range(12) for zeros in (1, 2))
    if target == "polygons":
        inputs.extend(of_polygons())
    if target in OF_FIXTURES:
        for name in ("masks.json", "dialects.json"):
            for case in json.loads((FIXTURES / name).read_text(encoding="utf-8")):
                inputs.extend(OF_FIXTURES[target](case))
    for index, data in enumerate(inputs):
        (folder / f"seed-{index:04}").write_bytes(data)
