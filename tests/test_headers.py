"""Headers: what claims too much is refused before its pixels, and no TIFF is read as something else."""

import io
import struct
from collections.abc import Callable
from typing import Any, Literal

import cv2
import numpy as np
import pytest
from image_files import jpeg_claiming, png_claiming, tiff
from PIL import Image as Pillow

from cloudseg_sdk import ImageError
from cloudseg_sdk.data import images
from cloudseg_sdk.data.headers import MAX_PIXELS, check_header
from cloudseg_sdk.data.images import Image, decode_image

SIDE = 11_586  # squared a little more than MAX_PIXELS
HUGE = (
    "scene has {:,} x {:,} pixels by its header, more than the 134,217,728 that are decoded; "
    "pass what it holds as arrays, in parts"
)


@pytest.fixture(scope="module")
def picture() -> Image:
    return np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)


def file_of(picture: Image, suffix: str, *options: int) -> bytes:
    done, data = cv2.imencode(suffix, picture[:, :, ::-1], options)
    assert done
    return data.tobytes()


def put(data: bytes, at: int, value: bytes) -> bytes:
    return data[:at] + value + data[at + len(value) :]


def refusal(data: bytes) -> str | None:
    try:
        check_header(data, "scene")
    except ImageError as error:
        return str(error)
    return None


def webp_extended(lossy: bytes, height: int, width: int) -> bytes:
    canvas = bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBP" + b"VP8X" + struct.pack("<I", 10) + canvas + lossy[12:]
    return b"RIFF" + struct.pack("<I", len(body)) + body


CLAIMS: dict[str, Callable[[Image, int, int], bytes]] = {
    "png": lambda _, height, width: png_claiming(height, width),
    "jpeg": lambda image, height, width: jpeg_claiming(file_of(image, ".jpg"), height, width),
    "jpeg progressive": lambda image, height, width: jpeg_claiming(
        file_of(image, ".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1), height, width
    ),
    "jpeg after rubbish": lambda image, height, width: (
        lambda jpeg: jpeg[:2] + b"\xff\xfe\x00\x0a\xff\xc0 note" + b"rubbish\xff\x00\xff\xff" + jpeg[3:]
    )(jpeg_claiming(file_of(image, ".jpg"), height, width)),
    "bmp": lambda image, height, width: put(file_of(image, ".bmp"), 18, struct.pack("<ii", width, height)),
    "bmp from the top": lambda image, height, width: put(
        file_of(image, ".bmp"), 18, struct.pack("<ii", width, -height)
    ),
    "bmp of OS/2": lambda _, height, width: b"BM" + bytes(12) + struct.pack("<IHHHH", 12, width, height, 1, 24),
    "tiff": lambda image, height, width: tiff(image, claims=(height, width)),
    "tiff of Motorola": lambda image, height, width: tiff(image, order=">", claims=(height, width)),
    "bigtiff": lambda image, height, width: tiff(image, big=True, claims=(height, width)),
    "webp": lambda image, height, width: put(
        file_of(image, ".webp", cv2.IMWRITE_WEBP_QUALITY, 50), 26, struct.pack("<HH", width, height)
    ),
    "webp lossless": lambda image, height, width: put(
        file_of(image, ".webp", cv2.IMWRITE_WEBP_QUALITY, 101), 21, struct.pack("<I", width - 1 | height - 1 << 14)
    ),
    "webp extended": lambda image, height, width: webp_extended(
        file_of(image, ".webp", cv2.IMWRITE_WEBP_QUALITY, 50), height, width
    ),
}


@pytest.mark.parametrize("kind", CLAIMS)
def test_a_file_that_claims_to_be_huge_is_refused_undecoded(
    picture: Image, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decode(*_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(cv2, "imdecode", decode)
    for height, width in ((SIDE, SIDE), (16_000, 9_000)):
        with pytest.raises(ImageError) as caught:
            decode_image(CLAIMS[kind](picture, height, width), "scene")
        assert str(caught.value) == HUGE.format(height, width)


@pytest.mark.parametrize("kind", CLAIMS)
def test_the_size_read_is_the_size_decoded(picture: Image, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were another size read than OpenCV decodes, the limit would guard nothing."""
    sizes: list[tuple[int, int]] = []
    monkeypatch.setattr("cloudseg_sdk.data.headers.check_pixels", lambda *size: sizes.append(size[:2]))
    data = CLAIMS[kind](picture, 40, 60)
    check_header(data, "scene")
    assert sizes == [(40, 60)]
    if kind not in (
        "png",
        "bmp of OS/2",
    ):  # which hold no pixels, or were made for the header alone
        assert images.decode_image(data, "scene").shape == (40, 60, 3)


def test_the_limit_itself_is_no_more_than_stated() -> None:
    check_header(png_claiming(1 << 13, 1 << 14), "scene")
    assert MAX_PIXELS == 1 << 27
    with pytest.raises(ImageError, match="by its header"):
        check_header(png_claiming(1 << 13, (1 << 14) + 1), "scene")


def test_a_file_of_more_bytes_than_any_image_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_MAX_BYTES", 1000)
    monkeypatch.setattr(images, "_CHUNK", 300)
    endless = io.BytesIO(bytes(10_000))
    with pytest.raises(ImageError, match=r"^scene has more than 1,000 bytes, as no image that is decoded$"):
        images.read_all(endless, "scene")
    assert endless.tell() == 1200


ALPHA = np.array([[0, 50, 255]], np.uint8)
COLOURS = np.array([[[10, 200, 90], [40, 50, 60], [7, 8, 9]]], np.uint8)
RGBA = np.dstack([COLOURS, ALPHA])


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("extra", [0, 1, 2])
@pytest.mark.parametrize("depth", [1, 257])
def test_alpha_of_a_tiff_is_dropped_whatever_it_is_called(
    order: Literal["<", ">"], big: bool, extra: int, depth: int
) -> None:
    pixels = RGBA if depth == 1 else RGBA.astype(np.uint16) * depth
    np.testing.assert_array_equal(decode_image(tiff(pixels, order=order, big=big, extra=(extra,)), "scene"), COLOURS)


@pytest.mark.parametrize(
    ("dtype", "sample_format", "words"),
    [
        (np.int8, 2, "signed values of 8 bits"),
        (np.int16, 2, "signed values of 16 bits"),
        (np.uint32, 1, "unsigned values of 32 bits"),
        (np.uint32, None, "unsigned values of 32 bits"),
        (np.float16, 3, "floating-point values of 16 bits"),
        (np.float32, 3, "floating-point values of 32 bits"),
        (np.float64, 3, "floating-point values of 64 bits"),
        (np.complex64, 6, "complex values of 64 bits"),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_tiff_without_a_range_is_refused(dtype: Any, sample_format: int | None, words: str, channels: int) -> None:
    pixels = np.ones((4, 6, channels), dtype)
    photometric = 2 if channels == 3 else 1
    with pytest.raises(ImageError) as caught:
        decode_image(tiff(pixels, photometric=photometric, sample_format=sample_format), "scene")
    assert str(caught.value) == (
        f"scene holds {words}, which have no defined range; wanted unsigned ones of up to 16. "
        "Scale them to 0 to 255 yourself, and pass a uint8 array"
    )


def test_a_tiff_of_many_bands_is_refused() -> None:
    with pytest.raises(ImageError) as caught:
        decode_image(tiff(np.ones((4, 6, 5), np.uint8), extra=(0, 0)), "scene")
    assert str(caught.value) == (
        "scene has 5 channels; wanted grey or RGB, with or without alpha. Pass those to be seen as an array (H, W, 3)"
    )


@pytest.mark.parametrize("kind", CLAIMS)
def test_a_header_that_ends_anywhere_is_damaged(picture: Image, kind: str) -> None:
    data = CLAIMS[kind](picture, 40, 60)
    for end in range(1, min(len(data), 200)):
        words = refusal(data[:end])
        assert words is None or words.startswith(f"scene is damaged or not an image ({end} bytes); wanted one of .bmp")
    assert refusal(data[:10]) is not None


@pytest.mark.parametrize("kind", ["GIF", "PPM", "AVIF", "JPEG2000"])
def test_formats_beyond_those_promised_are_refused_whatever_opencv_reads(picture: Image, kind: str) -> None:
    file = io.BytesIO()
    Pillow.fromarray(picture).save(file, kind)
    with pytest.raises(ImageError, match="is damaged or not an image"):
        decode_image(file.getvalue(), "scene")


def save(image: Pillow.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
@pytest.mark.parametrize("mode", ["1", "P", "L"])
def test_palettes_and_black_and_white_become_rgb(picture: Image, kind: str, mode: str) -> None:
    image = Pillow.fromarray(picture).convert(mode)
    np.testing.assert_array_equal(decode_image(save(image, kind), "scene"), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize(("kind", "error"), [("JPEG", 3), ("TIFF", 1)])
def test_cmyk_becomes_rgb(picture: Image, kind: str, error: int) -> None:
    smooth = cv2.GaussianBlur(picture, (0, 0), 9)  # which JPEG keeps
    image = Pillow.fromarray(np.asarray(smooth, np.uint8)).convert("CMYK")
    options = {"quality": 100} if kind == "JPEG" else {}
    found = decode_image(save(image, kind, **options), "scene").astype(int)
    assert np.abs(found - np.asarray(image.convert("RGB"))).max() <= error


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})])
def test_the_first_page_or_frame_counts(picture: Image, kind: str, options: dict[str, Any]) -> None:
    frames = [Pillow.fromarray(picture), Pillow.fromarray(picture[::-1])]
    data = save(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    np.testing.assert_array_equal(decode_image(data, "scene"), picture)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_every_format_that_can_be_turned_is_turned(picture: Image, kind: str) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6
    options = {"quality": 100} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    smooth = np.asarray(cv2.GaussianBlur(picture, (0, 0), 9), np.uint8)
    found = decode_image(save(Pillow.fromarray(smooth), kind, exif=exif, **options), "scene")
    assert found.shape == (60, 40, 3)
    assert np.abs(found.astype(int) - np.rot90(smooth, -1)).max() <= 4


def test_markers_that_stand_alone_are_passed_over(picture: Image) -> None:
    data = file_of(picture, ".jpg")
    comment = b"\xff\xfe" + (2 + 2 * 200).to_bytes(2, "big") + b"\xff\xda" * 200  # no scans: they lie in a segment
    changed = data[:2] + b"\xff\x01" + comment + data[2:]
    np.testing.assert_array_equal(decode_image(changed, "scene"), decode_image(data, "scene"))


def test_a_tiff_of_a_version_that_nobody_wrote_is_damaged(picture: Image) -> None:
    data = file_of(picture, ".tiff")
    assert refusal(put(data, 2, b"\x07\0")) == refusal(b"MM\0\x07" + data[4:]) != refusal(data)
