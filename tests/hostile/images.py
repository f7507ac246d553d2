"""Images that are bombs, by what they claim or by what they make a decoder do."""

import io
import struct
import zipfile
import zlib

import cv2
import numpy as np
from image_files import jpeg_claiming, png_chunk, png_claiming, tiff

from hostile import Case

PICTURE = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
SIGNATURE = b"\x89PNG\r\n\x1a\n"
NO_IMAGE = "{path} is damaged or not an image (... bytes); wanted one of .bmp, .jpeg, .jpg, .png, .tif, .tiff, .webp"
LIMIT = "more than the 134,217,728 that are decoded; pass what it holds as arrays, in parts"


def encoded(suffix: str, *options: int) -> bytes:
    return cv2.imencode(suffix, PICTURE, options)[1].tobytes()


def header(height: int = 20, width: int = 30) -> bytes:
    return png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    """A sound PNG with more chunks before its pixels."""
    sound = encoded(".png")
    start = len(SIGNATURE) + len(header())
    return sound[:start] + b"".join(png_chunk(*chunk) for chunk in chunks) + sound[start:]


def png_of(pixels: bytes) -> bytes:
    return SIGNATURE + header() + png_chunk(b"IDAT", pixels) + png_chunk(b"IEND", b"")


def zeros(count: int) -> bytes:
    return zlib.compress(bytes(count), 9)


def png_claiming_a_chunk() -> bytes:
    sound = png()
    return sound[:33] + struct.pack(">I", 2**31 - 1) + b"tEXt" + sound[33:]


def animated_png(height: int, width: int, frames: int) -> bytes:
    control = struct.pack(">IIIIIHHBB", 0, width, height, 0, 0, 1, 1, 0, 0)
    chunks = ((b"acTL", struct.pack(">II", frames, 0)), (b"fcTL", control))
    return png(*chunks)


def jpeg_of_scans(count: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again, with nothing in it."""
    sound = encoded(".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    last = sound.rindex(b"\xff\xda")
    empty = sound[last : last + 2 + int.from_bytes(sound[last + 2 : last + 4])]
    return sound[:-2] + empty * count + b"\xff\xd9"


def jpeg_of_profiles(count: int) -> bytes:
    sound = encoded(".jpg")
    segment = b"\xff\xe2" + struct.pack(">H", 65535) + b"ICC_PROFILE\0\x01\xff" + bytes(65519)
    return sound[:2] + segment * count + sound[2:]


def tiff_of_pages(next_page: int) -> bytes:
    """A TIFF whose directory of tags says where the next one is."""
    data = bytearray(tiff(PICTURE))
    (count,) = struct.unpack_from("<H", data, 8)
    struct.pack_into("<I", data, 10 + 12 * count, next_page)
    return bytes(data)


def tiff_saying(tag: int, kind: int, count: int, value: int) -> bytes:
    data = bytearray(tiff(PICTURE))
    (entries,) = struct.unpack_from("<H", data, 8)
    for at in range(10, 10 + 12 * entries, 12):
        if struct.unpack_from("<H", data, at) == (tag,):
            struct.pack_into("<HHII", data, at, tag, kind, count, value)
    return bytes(data)


def webp_of_frames(count: int) -> bytes:
    size = (29).to_bytes(3, "little") + (19).to_bytes(3, "little")
    frame = bytes(6) + size + bytes(4) + encoded(".webp")[12:]
    body = b"VP8X" + struct.pack("<I", 10) + bytes([2, 0, 0, 0]) + size + b"ANIM" + struct.pack("<I", 6) + bytes(6)
    body += (b"ANMF" + struct.pack("<I", len(frame)) + frame + bytes(len(frame) % 2)) * count
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def put(data: bytes, at: int, value: bytes) -> bytes:
    return data[:at] + value + data[at + len(value) :]


def archive(compression: int, data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as opened:
        opened.writestr("a.png", data)
    return file.getvalue()


IMAGES: dict[str, Case] = {
    # what they claim
    "png 60,000 x 60,000": Case(
        "scene.png",
        lambda: png_claiming(60_000, 60_000),
        {"image": "{path} has 60,000 x 60,000 pixels by its header, " + LIMIT},
    ),
    "jpeg 65,500 x 65,500": Case(
        "scene.jpg",
        lambda: jpeg_claiming(encoded(".jpg"), 65_500, 65_500),
        {"image": "{path} has 65,500 x 65,500 pixels by its header, " + LIMIT},
    ),
    "webp 16,383 x 16,383": Case(
        "scene.webp",
        lambda: put(encoded(".webp", cv2.IMWRITE_WEBP_QUALITY, 50), 26, struct.pack("<HH", 16_383, 16_383)),
        {"image": "{path} has 16,383 x 16,383 pixels by its header, " + LIMIT},
    ),
    "bmp 2**31 - 1 square": Case(
        "scene.bmp",
        lambda: put(encoded(".bmp"), 18, struct.pack("<ii", 2**31 - 1, -(2**31 - 1))),
        {"image": "{path} has 2,147,483,647 x 2,147,483,647 pixels by its header, " + LIMIT},
    ),
    "png with a chunk of two gigabytes": Case("scene.png", png_claiming_a_chunk, {"image": NO_IMAGE}),
    "png of 2**31 frames": Case("scene.png", lambda: animated_png(20, 30, 2**31 - 1), {"image": None}),
    "png with a frame of 60,000 x 60,000": Case(
        "scene.png", lambda: animated_png(60_000, 60_000, 2), {"image": NO_IMAGE}
    ),
    "tiff of 2**31 samples": Case("scene.tif", lambda: tiff_saying(258, 3, 2**31, 8), {"image": NO_IMAGE}),
    "tiff of 2**30 strips": Case("scene.tif", lambda: tiff_saying(273, 4, 2**30, 8), {"image": NO_IMAGE}),
    "tiff with pixels past its end": Case("scene.tif", lambda: tiff_saying(273, 4, 1, 2**31), {"image": NO_IMAGE}),
    "bmp with pixels past its end": Case(
        "scene.bmp", lambda: put(encoded(".bmp"), 10, struct.pack("<I", 2**31 - 1)), {"image": NO_IMAGE}
    ),
    # what they make a decoder do
    "png of a thousand compressed texts": Case(
        "scene.png",
        lambda: png(*[(b"zTXt", b"key\0\0" + zeros(7_900_000))] * 1000),
        {"image": "{path} has 1,000 compressed texts, wanted at most 50; save it without them"},
    ),
    "png with a text of 100 megabytes": Case(
        "scene.png", lambda: png((b"zTXt", b"key\0\0" + zeros(100_000_000))), {"image": None}
    ),
    "png with a profile of 50 megabytes": Case(
        "scene.png", lambda: png((b"iCCP", b"key\0\0" + zeros(50_000_000))), {"image": None}
    ),
    "png of 20 x 30 pixels in 100 megabytes": Case(
        "scene.png",
        lambda: png_of(zeros(100_000_000)),
        {"image": "{path} has ... compressed bytes for 20 x 30 pixels, more than those take"},
    ),
    "png of a hundred thousand chunks": Case(
        "scene.png", lambda: png(*[(b"tEXt", b"key\0")] * 100_000), {"image": None}
    ),
    "jpeg of a thousand scans": Case(
        "scene.jpg",
        lambda: jpeg_of_scans(1000),
        {"image": "{path} has more than 100 scans; wanted one, or a few of a progressive JPEG"},
    ),
    "jpeg with profiles of 6 megabytes": Case("scene.jpg", lambda: jpeg_of_profiles(100), {"image": None}),
    "jpeg of a thousand previews": Case(
        "scene.jpg",
        lambda: put(jpeg_of_profiles(1), 100, b"\xff\xda\0\x08" * 1000),
        {"image": None},
    ),
    "tiff of pages in a circle": Case("scene.tif", lambda: tiff_of_pages(8), {"image": None}),
    "tiff with a page past its end": Case("scene.tif", lambda: tiff_of_pages(2**31), {"image": None}),
    "webp of a thousand frames": Case("scene.webp", lambda: webp_of_frames(1000), {"image": None}),
    "gif": Case("scene.gif", lambda: b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + bytes(3), {"image": NO_IMAGE}),
    "svg of a billion laughs": Case(
        "scene.png",
        lambda: b'<!DOCTYPE svg [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><svg>&b;</svg>',
        {"image": NO_IMAGE},
    ),
    "archive of bzip2": Case(
        "scenes.zip",
        lambda: archive(zipfile.ZIP_BZIP2, bytes(100_000_000)),
        {
            "archive": "{path}/a.png is compressed by zip's method 12; wanted 0 (stored) or 8 (deflated): pack the "
            "archive again"
        },
    ),
}
