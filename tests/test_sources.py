"""What images may be given as: each kind is read right, and its name says which image it was."""

import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image as Pillow

from cloudseg_sdk import ImageError
from cloudseg_sdk.data.images import Image, read_image
from cloudseg_sdk.data.sources import Images, name_sources, read_source

PICTURE: Image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
GREY = PICTURE[:, :, 0]
STACK = np.stack([PICTURE, PICTURE[::-1]])
FILE = cv2.imencode(".png", PICTURE[:, :, ::-1])[1].tobytes()


class DLPack:
    """What speaks DLPack and nothing else, like a CuPy array."""

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self._array = array
        self.shape = array.shape

    def __dlpack__(self, **options: Any) -> Any:
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self._array.__dlpack_device__()

    def __iter__(self) -> "Iterator[DLPack]":
        return map(DLPack, self._array)


class Arrayed:
    """What has ``__array__`` and no shape."""

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self._array = array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return self._array


def found(images: Any) -> list[tuple[str, str]]:
    """The name of each image, and "right", or what is wrong with it."""
    results = []
    for name, content in name_sources(images):
        try:
            image = read_image(content, name)
        except ImageError as error:
            results.append((name, str(error)))
        else:
            results.append((name, "right" if np.array_equal(image, PICTURE) else "wrong"))
    return results


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``scenes/`` with two images, a text, and a third image deeper; ``scenes.zip`` of the same."""
    monkeypatch.chdir(tmp_path)
    files = {"a.png": FILE, "b.PNG": FILE, "notes.txt": b"no image", "deep/c.png": FILE, ".hidden.png": FILE}
    with zipfile.ZipFile("scenes.zip", "w") as archive:
        for name, data in files.items():
            path = tmp_path / "scenes" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            archive.writestr(f"scenes/{name}", data)
    return tmp_path


def in_memory(at: str = "") -> zipfile.Path:
    return zipfile.Path(io.BytesIO(Path("scenes.zip").read_bytes()), at)


@pytest.mark.parametrize(
    ("images", "names"),
    [
        ("scenes/a.png", ["scenes/a.png"]),
        (Path("scenes/a.png"), ["scenes/a.png"]),
        ("./scenes/../scenes/a.png", ["./scenes/../scenes/a.png"]),
        ("scenes", ["scenes/a.png", "scenes/b.PNG"]),
        (Path("scenes/deep"), ["scenes/deep/c.png"]),
        ("scenes/*.png", ["scenes/a.png"]),
        ("scenes/*.[pP][nN][gG]", ["scenes/a.png", "scenes/b.PNG"]),
        (Path("scenes/?.png"), ["scenes/a.png"]),
        ("**/*.png", ["scenes/a.png", "scenes/deep/c.png"]),
        (["scenes/b.PNG", Path("scenes/a.png")], ["scenes/b.PNG", "scenes/a.png"]),
        (pd.Series(["scenes/b.PNG", "scenes/a.png"], index=[7, 3]), ["scenes/b.PNG", "scenes/a.png"]),
        (pd.DataFrame({"path": ["scenes/a.png"]})["path"].astype("category"), ["scenes/a.png"]),
        (pd.Index(["scenes/a.png"]), ["scenes/a.png"]),
        (np.array(["scenes/a.png", "scenes/b.PNG"]), ["scenes/a.png", "scenes/b.PNG"]),
        (lambda: zipfile.Path("scenes.zip", "scenes/"), ["scenes.zip/scenes/a.png", "scenes.zip/scenes/b.PNG"]),
        (lambda: zipfile.Path("scenes.zip") / "scenes" / "a.png", ["scenes.zip/scenes/a.png"]),
        (lambda: [zipfile.Path("scenes.zip", "scenes/deep/c.png")], ["scenes.zip/scenes/deep/c.png"]),
        (lambda: in_memory("scenes/"), ["zip 0/scenes/a.png", "zip 1/scenes/b.PNG"]),
        (
            lambda: [FILE, in_memory("scenes/a.png"), in_memory() / "scenes/b.PNG"],
            ["bytes 0", "zip 1/scenes/a.png", "zip 2/scenes/b.PNG"],
        ),
        (lambda: Path("scenes/a.png").open("rb"), ["scenes/a.png"]),  # noqa: SIM115
        (lambda: [zipfile.ZipFile("scenes.zip").open("scenes/a.png")], ["scenes/a.png"]),  # noqa: SIM115
        (lambda: Pillow.open("scenes/a.png"), ["scenes/a.png"]),
        (FILE, ["bytes 0"]),
        (bytearray(FILE), ["bytes 0"]),
        (memoryview(FILE), ["bytes 0"]),
        (pd.Series([FILE, FILE]), ["bytes 0", "bytes 1"]),
        (lambda: io.BytesIO(FILE), ["file 0"]),
        (lambda: [FILE, io.BytesIO(FILE)], ["bytes 0", "file 1"]),
        (lambda: Pillow.fromarray(PICTURE), ["image 0"]),
        (lambda: (Pillow.open(io.BytesIO(FILE)) for _ in range(2)), ["image 0", "image 1"]),
        (PICTURE, ["array 0"]),
        (PICTURE[None], ["array 0"]),
        (Arrayed(PICTURE), ["array 0"]),
        (Arrayed(PICTURE[None]), ["array 0"]),
        (DLPack(PICTURE), ["array 0"]),
        (DLPack(PICTURE[None]), ["array 0"]),
        ([Arrayed(PICTURE), DLPack(PICTURE)], ["array 0", "array 1"]),
        ((image for image in STACK[[0, 0]]), ["array 0", "array 1"]),
    ],
)
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_each_kind_is_read_and_named(folder: Path, images: Any, names: list[str]) -> None:
    given = images() if callable(images) else images
    assert found(given) == [(name, "right") for name in names]


def test_tensors_of_tensorflow_are_read() -> None:
    import tensorflow as tf

    assert found(tf.constant(PICTURE)) == [("array 0", "right")]
    assert found(tf.constant(STACK)) == [("array 0", "right"), ("array 1", "wrong")]
    assert found([tf.constant(PICTURE), FILE]) == [("array 0", "right"), ("bytes 1", "right")]


@pytest.mark.parametrize("framework", ["torch", "jax.numpy"])
def test_tensors_of_other_frameworks_are_read(framework: str) -> None:
    tensor = pytest.importorskip(framework).asarray(PICTURE)
    assert found(tensor) == [("array 0", "right")]
    assert found(tensor[None]) == [("array 0", "right")]


def test_columns_of_arrow_are_read(folder: Path) -> None:
    import pyarrow as pa

    assert found(pa.chunked_array([["scenes/a.png"], ["scenes/b.PNG"]])) == [
        ("scenes/a.png", "right"),
        ("scenes/b.PNG", "right"),
    ]
    assert found(pa.array([FILE])) == [("bytes 0", "right")]


@pytest.mark.parametrize("name", ["scene[1].png", "a*.png", "what?.png"])
def test_a_file_of_that_very_name_wins_over_the_pattern(folder: Path, name: str) -> None:
    for other in ("scene1.png", "ab.png", "whats.png"):
        Path(other).write_bytes(b"not this one")
    Path(name).write_bytes(FILE)
    assert found(name) == [(name, "right")]
    Path("[f]").mkdir()
    Path("[f]/x.png").write_bytes(FILE)
    assert found("[f]") == [("[f]/x.png", "right")]


def test_an_item_of_a_list_is_one_image(folder: Path) -> None:
    assert found(["scenes", "scenes/*.png", STACK]) == [
        ("scenes", "cannot read scenes: Is a directory"),
        ("scenes/*.png", "cannot read scenes/*.png: No such file or directory"),
        ("array 2", "an image array must be grey (H, W) or RGB (H, W, 3) and not empty, got shape (2, 40, 60, 3)"),
    ]


KINDS = "a path, the bytes of an image file, a binary file object, a PIL image or a uint8 array (H, W) or (H, W, 3)"
NO_RANGE = (
    "whose values have no defined range or colour; wanted one of 1, CMYK, L, LA, P, PA, RGB, RGBA, RGBX, YCbCr, I;16"
)


def moved(file: io.BytesIO) -> io.BytesIO:
    file.seek(0, io.SEEK_END)
    return file


def closed(file: io.BytesIO) -> io.BytesIO:
    file.close()
    return file


@pytest.mark.parametrize(
    ("make", "name", "words"),
    [
        (lambda: None, "item 1", f"images[1] must be {KINDS}, got NoneType"),
        (lambda: float("nan"), "item 1", f"images[1] must be {KINDS}, got float"),
        (lambda: [FILE], "item 1", f"images[1] must be {KINDS}, got list"),
        (
            lambda: moved(io.BytesIO(FILE)),
            "file 1",
            "file 1 has nothing left to read (0 bytes); after writing or reading it, .seek(0)",
        ),
        (lambda: closed(io.BytesIO(FILE)), "file 1", "cannot read file 1: I/O operation on closed file."),
        (lambda: io.StringIO("text"), "file 1", 'file 1 gives str, wanted bytes; open it with the mode "rb"'),
        (lambda: Pillow.new("F", (6, 4)), "image 1", f"image 1 is a PIL image of mode F, {NO_RANGE}"),
        (lambda: Pillow.new("I", (6, 4)), "image 1", f"image 1 is a PIL image of mode I, {NO_RANGE}"),
        (lambda: Pillow.new("LAB", (6, 4)), "image 1", f"image 1 is a PIL image of mode LAB, {NO_RANGE}"),
        (lambda: Pillow.open(io.BytesIO(FILE[:2000])), "image 1", "cannot read image 1: image file is truncated"),
        (
            lambda: np.frombuffer(FILE, np.uint8),
            "array 1",
            f"an image array must be grey (H, W) or RGB (H, W, 3) and not empty, "
            f"got shape ({len(FILE)},)"
            "; for the bytes of a file: .tobytes()",
        ),
        (
            lambda: DLPack(np.array(["x"])),
            "array 1",
            "cannot read array 1: DLPack only supports signed/unsigned integers, float and complex dtypes.",
        ),
        (
            lambda: zipfile.Path("scenes.zip", "scenes/none.png"),
            "scenes.zip/scenes/none.png",
            "cannot read scenes.zip/scenes/none.png: No such file or directory",
        ),
        (
            lambda: zipfile.Path("scenes.zip", "scenes/"),
            "scenes.zip/scenes/",
            "cannot read scenes.zip/scenes/: Is a directory",
        ),
        (
            lambda: in_memory("scenes/none.png"),
            "zip 1/scenes/none.png",
            "cannot read zip 1/scenes/none.png: No such file or directory",
        ),
        (lambda: in_memory(), "zip 1/", "cannot read zip 1/: Is a directory"),
        (
            lambda: in_memory("scenes/notes.txt"),
            "zip 1/scenes/notes.txt",
            "zip 1/scenes/notes.txt is damaged or not an image (8 bytes); wanted one of .bmp, .jpeg, .jpg, .png, .tif, "
            ".tiff, .webp",
        ),
        (lambda: "", "item 1", "images[1] is an empty path, ''; wanted an image file"),
    ],
)
def test_a_bad_item_is_named_and_the_next_is_read(folder: Path, make: Callable[[], Any], name: str, words: str) -> None:
    assert found([FILE, make(), FILE]) == [("bytes 0", "right"), (name, words), ("bytes 2", "right")]


def test_a_damaged_member_of_an_archive_is_named(folder: Path) -> None:
    data = Path("scenes.zip").read_bytes()
    at = data.index(FILE) + 100
    Path("scenes.zip").write_bytes(data[:at] + b"damage" + data[at + 6 :])
    member = zipfile.Path("scenes.zip", "scenes/a.png")
    words = "cannot read scenes.zip/scenes/a.png: Bad CRC-32 for file 'scenes/a.png'"
    assert found([member]) == [("scenes.zip/scenes/a.png", words)]


@pytest.mark.parametrize(
    ("images", "error", "words"),
    [
        ("scenes/*.jpg", ImageError, "no file matches scenes/*.jpg"),
        ("scenes/dee[p]", ImageError, "no file matches scenes/dee[p]"),
        (lambda: zipfile.Path("scenes.zip"), ImageError, "no images in scenes.zip/; wanted files ending in "),
        (lambda: in_memory(), ImageError, "no images in zip 0/; wanted files ending in "),
        (
            "",
            ImageError,
            "images is an empty path, ''; wanted an image file, a folder ('.' is the current one) or a pattern",
        ),
        (None, TypeError, f"images must be {KINDS}, or many of them, got NoneType"),
        ({"a": FILE}, TypeError, f"images must be {KINDS}, or many of them, got dict"),
        (
            pd.DataFrame({"a": ["x"]}),
            TypeError,
            "images is a DataFrame, wanted one of its columns, such as table['path']",
        ),
    ],
)
def test_what_gives_no_images_at_all_raises(folder: Path, images: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error) as caught:
        found(images() if callable(images) else images)
    assert str(caught.value).startswith(words)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"])
def test_a_pil_image_is_read_as_its_file_would_be(mode: str) -> None:
    if mode == "I;16":
        image = Pillow.fromarray(GREY.astype(np.uint16) * 257)
    else:
        image = (
            Pillow.fromarray(PICTURE).convert("RGBA" if mode == "PA" else "RGB").convert("P" if mode == "PA" else mode)
        )
        image = image.convert(mode)
    kind = "TIFF" if mode in ("CMYK", "YCbCr", "PA") else "PNG"
    saved = image.convert("P") if mode == "PA" else image
    file = io.BytesIO()
    saved.save(file, kind)
    difference = read_source(image).astype(int) - read_source(file.getvalue())
    assert np.abs(difference).max() <= (3 if mode == "YCbCr" else 1 if mode == "CMYK" else 0)


def test_a_pil_image_is_turned_by_its_exif_and_not_touched() -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Pillow.fromarray(PICTURE).save(file, "PNG", exif=exif)
    image = Pillow.open(file)
    np.testing.assert_array_equal(read_source(image), np.rot90(PICTURE, -1))
    assert (image.size, image.mode) == ((60, 40), "RGB")


def test_a_pil_image_of_a_palette_with_transparency_does_not_warn() -> None:
    file = io.BytesIO()
    Pillow.fromarray(PICTURE).quantize(8).save(file, "PNG", transparency=bytes(range(8)))
    np.testing.assert_array_equal(read_source(Pillow.open(file)), read_source(file.getvalue()))


def test_a_pil_image_of_too_many_pixels_is_refused_undecoded() -> None:
    header = Pillow.new("L", (1, 1))
    header._size = (1 << 14, (1 << 13) + 1)
    with pytest.raises(ImageError, match=r"^image 0 has 8,193 x 16,384 pixels by its header"):
        read_source(header)


def test_images_are_taken_one_at_a_time() -> None:
    taken = []

    def endless() -> Iterator[Image]:
        while True:
            taken.append(1)
            yield PICTURE

    named = name_sources(endless())
    assert taken == []
    for number in range(3):
        assert next(named)[0] == f"array {number}"
        assert len(taken) == number + 1


def test_one_buffer_may_hold_every_image() -> None:
    buffer = np.zeros_like(PICTURE)

    def camera() -> Iterator[Image]:
        for value in (1, 2):
            buffer[:] = value
            yield buffer

    values = [int(np.asarray(content).max()) for _, content in list(name_sources(camera()))]
    assert values == [1, 2]


def test_a_name_that_is_too_long_is_read_and_named() -> None:
    name = "x" * 300
    assert found(name) == [(name, f"cannot read {name}: File name too long")]
    images: Images = f"{name}*"
    assert found(images)[0][0].startswith("xxx")
