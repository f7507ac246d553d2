"""Datasets: labels come back as they were written, and every fault in them is named with its place."""

import copy
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from image_files import png_claiming
from matplotlib.figure import Figure
from numpy.typing import NDArray
from pycocotools import mask as pycoco

from cloudrle import RLE, encode
from cloudseg_sdk import CloudDataset, ConfigError, DataError
from cloudseg_sdk.synthetic import CLASSES, scene

SHAPE = (4, 6)
AB = ("A", "B")
HEADER = "Image_Label,EncodedPixels\n"


def write_image(path: Path, size: tuple[int, int] = (8, 12)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.zeros((*size, 3), np.uint8))
    return path


def random_masks(seed: int, count: int, shape: tuple[int, int] = SHAPE) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 2, (count, *shape), np.uint8)


# --- the competition's layout ---


@pytest.fixture
def kaggle(tmp_path: Path) -> Callable[..., CloudDataset]:
    """Read a ``train.csv`` of this text beside images a.jpg and b_c.jpg."""
    for name in ("a.jpg", "b_c.jpg"):
        write_image(tmp_path / "train_images" / name)

    def read(text: str | bytes, classes: tuple[str, ...] = AB, shape: Any = SHAPE) -> CloudDataset:
        (tmp_path / "train.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
        return CloudDataset.from_kaggle(tmp_path, shape, classes)

    return read


def test_from_kaggle_gives_the_masks_that_were_written(dataset_folder: Path) -> None:
    dataset = CloudDataset.from_kaggle(dataset_folder, (140, 210))
    assert dataset.classes == CLASSES
    assert [example.image for example in dataset] == sorted((dataset_folder / "train_images").iterdir())
    for seed, example in enumerate(dataset):
        masks = scene(seed, (70, 105)).masks.repeat(2, axis=0).repeat(2, axis=1)
        for channel, rle in enumerate(example.rles):
            np.testing.assert_array_equal(rle.to_mask(), masks[:, :, channel])


def test_classes_come_in_the_order_asked_for(kaggle: Callable[..., CloudDataset]) -> None:
    rows = "a.jpg_A,1 2\na.jpg_B,\n"
    assert [rle.area for rle in kaggle(HEADER + rows, ("A", "B"))[0].rles] == [2, 0]
    assert [rle.area for rle in kaggle(HEADER + rows, ("B", "A"))[0].rles] == [0, 2]


@pytest.mark.parametrize(
    "text",
    [
        HEADER + "b_c.jpg_B,\na.jpg_A,1 2\nb_c.jpg_A,3 4\na.jpg_B,\n",  # rows in any order
        "\ufeff" + HEADER + "b_c.jpg_A,3 4\nb_c.jpg_B,\na.jpg_A,1 2\na.jpg_B,\n",  # written by Excel
        (HEADER + "b_c.jpg_A,3 4\nb_c.jpg_B,\na.jpg_A,1 2\na.jpg_B,\n").replace("\n", "\r\n"),
        HEADER + '"b_c.jpg_A","3 4"\n"b_c.jpg_B",""\na.jpg_A,1 2\na.jpg_B,',
        HEADER + "\nb_c.jpg_A, 3 4 \nb_c.jpg_B,  \n\n\na.jpg_A,1 1 2 1\na.jpg_B,\n\n",  # blank lines, runs that touch
    ],
    ids=["mixed", "bom", "crlf", "quoted", "blanks"],
)
def test_every_way_to_write_the_same_table(kaggle: Callable[..., CloudDataset], text: str) -> None:
    dataset = kaggle(text)
    assert [example.image.name for example in dataset] == ["b_c.jpg", "a.jpg"]
    assert [[rle.to_kaggle() for rle in example.rles] for example in dataset] == [["3 4", ""], ["1 2", ""]]


def test_a_class_may_hold_an_underscore(kaggle: Callable[..., CloudDataset]) -> None:
    dataset = kaggle(HEADER + "a.jpg_open_cell,1 2\na.jpg_cell,3 1\n", ("open_cell", "cell"))
    assert [[rle.to_kaggle() for rle in example.rles] for example in dataset] == [["1 2", "3 1"]]


PAST = "run 1 starts at 25, past the last pixel of a 4 x 6 mask (24)"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "{csv} must have the columns Image_Label, EncodedPixels, got ''"),
        ("Image_Label\n", "{csv} must have the columns Image_Label, EncodedPixels, got 'Image_Label'"),
        (
            "EncodedPixels,Image_Label\n,a.jpg_A\n",
            "{csv} must have the columns Image_Label, EncodedPixels, got EncodedPixels, Image_Label",
        ),
        (
            ",Image_Label,EncodedPixels\n0,a.jpg_A,\n",
            "{csv} must have the columns Image_Label, EncodedPixels, got ',Image_Label,EncodedPixels'",
        ),
        (
            "Image_Label;EncodedPixels\na.jpg_A;\n",
            "{csv} must have the columns Image_Label, EncodedPixels, got 'Image_Label;EncodedPixels'",
        ),
        (HEADER, "there is not one image in these labels"),
        (
            HEADER + "a.jpg_A,\na.jpg_B,,\n",
            "{csv} line 3: wanted 2 cells, got 3",
        ),
        (HEADER + "a.jpg_A,1 2,3\n", "{csv} line 2: wanted 2 cells, got 3"),
        (
            HEADER + '"a.jpg_A,\n',
            "{csv} is not a CSV file: Error tokenizing data. C error: EOF inside string starting at row 1",
        ),
        (
            HEADER.encode() + b"\xe9.jpg_A,\n",
            "{csv} line 2: the byte 0xe9 is not UTF-8; save the file as UTF-8",
        ),
        (HEADER + ",1 2\n", "train.csv line 2 (): Image_Label must be <file>_<class>"),
        (HEADER + "A,1 2\n", "train.csv line 2 (A): Image_Label must be <file>_<class>"),
        (HEADER + "_A,1 2\n", "train.csv line 2 (_A): Image_Label must be <file>_<class>"),
        (HEADER + "a.jpg_A,\na.jpg_C,\n", "train.csv line 3 (a.jpg_C): unknown class 'C'; wanted one of A, B"),
        (HEADER + "a.jpg_a,\n", "train.csv line 2 (a.jpg_a): unknown class 'a'; wanted one of A, B"),
        (HEADER + "a.jpg_A ,\n", "train.csv line 2 (a.jpg_A ): unknown class 'A '; wanted one of A, B"),
        (HEADER + "a.jpg_,\n", "train.csv line 2 (a.jpg_): unknown class ''; wanted one of A, B"),
        (
            HEADER + "a.jpg_A,\na.jpg_B,\n\na.jpg_A,\n",
            "train.csv line 5 (a.jpg_A): a second row for this image and class; remove one",
        ),
        (
            HEADER + "a.jpg_A,\na.jpg_B,\nb_c.jpg_A,\n",
            "train.csv has no row for b_c.jpg_B; give every class a row, empty if need be",
        ),
        (
            HEADER + "a.jpg_A,\na.jpg_B,\nnone.jpg_A,\nnone.jpg_B,\n",
            "1 of 2 images are missing, the first is {images}/none.jpg",
        ),
        (
            HEADER + f"{'x' * 300}_A,\n{'x' * 300}_B,\n",
            f"1 of 1 images are missing, the first is {{images}}/{'x' * 300}",
        ),
        (HEADER + "._A,\n._B,\n", "1 of 1 images are missing, the first is {images}"),
        (HEADER + "a.jpg_A,\n\n\na.jpg_B,25 1\n", f"train.csv line 5 (a.jpg_B): {PAST}"),
        (
            HEADER + "a.jpg_A,1 2 3\n",
            "train.csv line 2 (a.jpg_A): run 2 has a start but no length; wanted pairs of numbers, got 3 numbers",
        ),
        (
            HEADER + "a.jpg_A,NaN\n",
            "train.csv line 2 (a.jpg_A): 'N' at position 0 is neither a digit nor white space; wanted 'start length "
            "start length ...'",
        ),
    ],
)
def test_a_fault_in_train_csv_is_named(
    kaggle: Callable[..., CloudDataset], tmp_path: Path, text: str | bytes, words: str
) -> None:
    with pytest.raises(DataError) as caught:
        kaggle(text)
    assert str(caught.value) == words.format(csv=tmp_path / "train.csv", images=tmp_path / "train_images")


@pytest.mark.parametrize(
    "text",
    [
        "0 1",
        "1 0",
        "-1 2",
        "1 -2",
        "3 1 1 1",
        "1 3 2 1",
        "24 2",
        "1 2x",
        "1,2",
        "1.0 2",
        "9" * 40 + " 1",
        "-1",
    ],
)
def test_malformed_runs_are_named_with_their_line(kaggle: Callable[..., CloudDataset], text: str) -> None:
    with pytest.raises(DataError, match=r"^train\.csv line 3 \(a\.jpg_B\): ."):
        kaggle(f'{HEADER}a.jpg_A,\na.jpg_B,"{text}"\n')


def test_a_folder_without_train_csv_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        CloudDataset.from_kaggle(tmp_path)
    assert str(caught.value) == f"cannot read {tmp_path / 'train.csv'}: No such file or directory"
    (tmp_path / "train.csv").mkdir()
    with pytest.raises(DataError) as caught:
        CloudDataset.from_kaggle(tmp_path)
    assert str(caught.value) == f"cannot read {tmp_path / 'train.csv'}: Is a directory"


@pytest.mark.parametrize("shape", [(4,), (4, 6, 1), (-4, 6), (4.0, 6), "46", None, 24])
def test_a_label_shape_that_is_none(kaggle: Callable[..., CloudDataset], shape: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="shape must "):
        kaggle(HEADER + "a.jpg_A,\na.jpg_B,\n", AB, shape)


def test_real_rows_read_back(clouds: Path, tmp_path: Path) -> None:
    shutil.copy(clouds / "real_rle_rows.csv", tmp_path / "train.csv")
    (tmp_path / "train_images").symlink_to(clouds / "train_images")
    dataset = CloudDataset.from_kaggle(tmp_path)
    lines = (clouds / "real_rle_rows.csv").read_text().splitlines()[1:]
    texts = [rle.to_kaggle() for example in dataset for rle in example.rles]
    assert texts == [line.split(",")[1] for line in lines]


# --- dense masks ---


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return write_image(tmp_path / "a.png")


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32, np.uint16])
def test_from_masks_takes_a_channel_for_each_class(image: Path, dtype: type) -> None:
    masks = random_masks(0, 3)
    for array in (masks.transpose(1, 2, 0), np.asfortranarray(masks.transpose(1, 2, 0)) * 7):
        dataset = CloudDataset.from_masks([image], [array.astype(dtype)], ("x", "y", "z"))
        np.testing.assert_array_equal([rle.to_mask() for rle in dataset[0].rles], masks)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int64, np.uint64])
def test_from_masks_takes_numbers_of_classes(image: Path, dtype: type) -> None:
    labels: NDArray[Any] = np.random.default_rng(1).integers(0, 4, SHAPE).astype(dtype)
    dataset = CloudDataset.from_masks([str(image)], [labels], ["x", "y", "z"])
    assert dataset.classes == ("x", "y", "z")
    for number, rle in enumerate(dataset[0].rles, start=1):
        np.testing.assert_array_equal(rle.to_mask(), labels == number)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_from_masks_reads_files(image: Path, tmp_path: Path, dtype: type) -> None:
    labels: NDArray[Any] = np.random.default_rng(2).integers(0, 3, SHAPE).astype(dtype)
    other = write_image(tmp_path / "b.png")
    cv2.imwrite(str(tmp_path / "labels.png"), labels)
    dataset = CloudDataset.from_masks([image, other], [tmp_path / "labels.png", str(tmp_path / "labels.png")], AB)
    assert [example.image for example in dataset] == [image, other]
    for example in dataset:
        np.testing.assert_array_equal([rle.to_mask() for rle in example.rles], [labels == 1, labels == 2])


def test_real_masks_read_back(clouds: Path) -> None:
    paths = sorted((clouds / "real_masks").glob("*.png"))
    masks = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in paths]
    images = [clouds / "full_resolution" / f"{path.stem}.jpg" for path in paths]
    dataset = CloudDataset.from_masks(images, [np.asarray(mask) for mask in masks], CLASSES)
    for example, mask in zip(dataset, masks, strict=True):
        np.testing.assert_array_equal(np.stack([rle.to_mask() for rle in example.rles], axis=-1), np.asarray(mask) > 0)


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (np.zeros((4, 6, 2), np.uint8), "got 2 channels for 3 classes"),
        (np.zeros((3, 4, 6), np.uint8), "got 6 channels for 3 classes"),
        (np.full(SHAPE, 4), "value 4 stands for no class; wanted 0 to 3"),
        (np.full(SHAPE, 255, np.uint8), "value 255 stands for no class; wanted 0 to 3"),
        (np.full(SHAPE, -1), "value -1 stands for no class; wanted 0 to 3"),
        (np.full(SHAPE, 2**63, np.uint64), "value 9223372036854775808 stands for no class; wanted 0 to 3"),
        (np.zeros(SHAPE), "wanted (H, W) whole numbers or (H, W, 3), got float64 of shape (4, 6)"),
        (np.zeros(SHAPE, bool), "wanted (H, W) whole numbers or (H, W, 3), got bool of shape (4, 6)"),
        (np.zeros(4, int), "wanted (H, W) whole numbers or (H, W, 3), got int64 of shape (4,)"),
        (np.zeros((1, 4, 6, 3)), "wanted (H, W) whole numbers or (H, W, 3), got float64 of shape (1, 4, 6, 3)"),
        (np.zeros((4, 6, 3), object), "wanted numbers and at least one pixel, got object of shape (4, 6, 3)"),
        (np.full((4, 6, 3), "1"), "wanted numbers and at least one pixel, got <U1 of shape (4, 6, 3)"),
        (np.zeros((4, 6, 3), complex), "wanted numbers and at least one pixel, got complex128 of shape (4, 6, 3)"),
        (np.zeros((0, 6), int), "wanted numbers and at least one pixel, got int64 of shape (0, 6)"),
        (np.zeros((4, 0, 3)), "wanted numbers and at least one pixel, got float64 of shape (4, 0, 3)"),
    ],
)
def test_a_mask_that_does_not_fit_is_named(image: Path, mask: NDArray[Any], words: str) -> None:
    with pytest.raises(DataError) as caught:
        CloudDataset.from_masks([image], [mask], ("x", "y", "z"))
    assert str(caught.value) == f"mask of {image}: {words}"


def test_a_mask_file_that_is_none_is_named(image: Path, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "empty.png").touch()
    cv2.imwrite(str(tmp_path / "colour.png"), np.ones((4, 6, 3), np.uint8))
    (tmp_path / "start.png").write_bytes(png_claiming(40, 60))
    cases = {
        "missing.png": "cannot read {path}: No such file or directory",
        ".": "cannot read {path}: Is a directory",
        "a\0.png": "cannot read {path}: embedded null byte",
        "text.png": "{path} is damaged or not an image (8 bytes); "
        "wanted one of .bmp, .jpeg, .jpg, .png, .tif, .tiff, .webp",
        "start.png": "{path} is damaged or not an image (69 bytes); "
        "wanted one of .bmp, .jpeg, .jpg, .png, .tif, .tiff, .webp",
        "colour.png": "{path} has 3 channels; a mask file holds one, the number of each pixel's class (a palette is "
        "read as colours). Pass several channels as an array (H, W, classes)",
    }
    for name, words in cases.items():
        with pytest.raises(DataError) as caught:
            CloudDataset.from_masks([image], [tmp_path / name], ("x", "y", "z"))
        assert str(caught.value) == words.format(path=tmp_path / name)
    with pytest.raises(DataError, match=r"empty\.png"):
        CloudDataset.from_masks([image], [tmp_path / "empty.png"], AB)


def test_lists_that_do_not_fit_are_refused(image: Path, tmp_path: Path) -> None:
    mask = np.zeros(SHAPE, np.uint8)
    cases: list[tuple[list[Path], list[NDArray[Any]], str]] = [
        ([image], [], "got 1 images and 0 masks; wanted as many of each"),
        ([], [mask], "got 0 images and 1 masks; wanted as many of each"),
        ([], [], "there is not one image in these labels"),
        ([image, image], [mask, mask], f"one image is given twice: {image}"),
        ([image, tmp_path / "." / "a.png"], [mask, mask], f"one image is given twice: {image}"),
        ([image, tmp_path / "b.png"], [mask, mask], f"1 of 2 images are missing, the first is {tmp_path / 'b.png'}"),
        ([tmp_path], [mask], f"1 of 1 images are missing, the first is {tmp_path}"),
    ]
    for images, masks, words in cases:
        with pytest.raises(DataError) as caught:
            CloudDataset.from_masks(images, masks, AB)
        assert str(caught.value) == words


@pytest.mark.parametrize("classes", [("x", "x"), ("x", ""), "xy", 3, ()])
def test_classes_must_be_different_names(image: Path, classes: Any) -> None:
    reads: tuple[Callable[[], CloudDataset], ...] = (
        lambda: CloudDataset.from_masks([image], [np.zeros(SHAPE, int)], classes),
        lambda: CloudDataset.from_kaggle(image.parent, SHAPE, classes),
    )
    for read in reads:
        with pytest.raises(ConfigError) as caught:
            read()
        assert str(caught.value) == f"classes must be a tuple of different names, got {classes!r}"


@pytest.mark.parametrize("mask", [[[0, 1], [1, 0]], None, 1, b"a.png"], ids=repr)
def test_a_mask_that_is_neither_array_nor_path_is_named(image: Path, mask: Any) -> None:
    with pytest.raises(TypeError) as caught:
        CloudDataset.from_masks([image], [mask], AB)
    assert str(caught.value) == (
        f"mask of {image}: wanted an array or the path of an image file, got a {type(mask).__name__}; numpy.array "
        "makes an array of nested lists"
    )


# --- COCO ---

DOCUMENT: dict[str, Any] = {
    "images": [{"id": 1, "file_name": "a.png", "height": 4, "width": 6}],
    "categories": [{"id": 1, "name": "x"}],
    "annotations": [{"id": 7, "image_id": 1, "category_id": 1, "segmentation": [[0, 0, 3, 0, 3, 3, 0, 3]]}],
}


@pytest.fixture
def coco(tmp_path: Path) -> Callable[[Any], CloudDataset]:
    """Read COCO JSON (text, or what it stands for) beside images a.png and b.png."""
    for name in ("a.png", "b.png"):
        write_image(tmp_path / "images" / name)

    def read(document: Any) -> CloudDataset:
        text = document if isinstance(document, str) else json.dumps(document)
        (tmp_path / "coco.json").write_text(text, encoding="utf-8", errors="surrogatepass")
        return CloudDataset.from_coco(tmp_path / "coco.json", tmp_path / "images")

    return read


def changed(path: tuple[str | int, ...], value: Any) -> Any:
    """DOCUMENT with another value at one place; KeyError takes the place away."""
    document = copy.deepcopy(DOCUMENT)
    parent: Any = document
    for step in path[:-1]:
        parent = parent[step]
    if value is KeyError:
        del parent[path[-1]]
    else:
        parent[path[-1]] = value
    return document


def test_from_coco_gives_the_masks_that_were_written(coco: Callable[[Any], CloudDataset]) -> None:
    masks = random_masks(3, 5)
    rles = [RLE.from_mask(mask) for mask in masks]
    compressed, uncompressed = rles[0].to_coco(), rles[1].to_coco(compressed=False)
    parts = [rle.to_coco() for rle in rles[2:]]
    # Ids neither in order nor alike; images and categories without annotations; several annotations of one kind.
    dataset = coco(
        {
            "info": {"year": 2026},
            "images": [
                {"id": 30, "file_name": "b.png", "height": 4, "width": 6, "license": 1},
                {"id": 4, "file_name": "a.png", "height": 4, "width": 6},
            ],
            "categories": [{"id": 10, "name": "ten"}, {"id": 9, "name": "nine"}, {"id": 2, "name": "two"}],
            "annotations": [
                {"id": 1, "image_id": 4, "category_id": 10, "segmentation": compressed, "iscrowd": 1},
                *(
                    {"id": number, "image_id": 30, "category_id": 9, "segmentation": part}
                    for number, part in enumerate(parts, start=5)
                ),
                {"id": 2, "image_id": 4, "category_id": 2, "segmentation": uncompressed},
            ],
        }
    )
    assert dataset.classes == ("two", "nine", "ten")
    assert [example.image.name for example in dataset] == ["b.png", "a.png"]
    empty = np.zeros(SHAPE, np.uint8)
    expected = [[empty, np.maximum.reduce(masks[2:]), empty], [masks[1], empty, masks[0]]]
    for example, wanted in zip(dataset, expected, strict=True):
        np.testing.assert_array_equal([rle.to_mask() for rle in example.rles], wanted)


def test_ids_may_be_text(coco: Callable[[Any], CloudDataset]) -> None:
    document = changed(("images", 0, "id"), "scene")
    document["categories"] = [{"id": "b", "name": "y"}, {"id": 5, "name": "x"}, {"id": "a", "name": "z"}]
    document["annotations"][0] |= {"image_id": "scene", "category_id": "a"}
    dataset = coco(document)
    assert dataset.classes == ("x", "z", "y")
    assert [rle.area for rle in dataset[0].rles] == [0, 9, 0]


def polygon_mask(coco: Callable[[Any], CloudDataset], polygons: list[list[float]], shape: tuple[int, int]) -> Any:
    document = changed(("annotations", 0, "segmentation"), polygons)
    document["images"][0] |= {"height": shape[0], "width": shape[1]}
    return coco(document)[0].rles[0].to_mask()


def test_rectangles_cover_what_their_corners_say(coco: Callable[[Any], CloudDataset]) -> None:
    rng = np.random.default_rng(4)
    for _ in range(30):
        height, width = (int(side) for side in rng.integers(2, 30, 2))
        y0, y1 = sorted(rng.choice(height + 1, 2, replace=False).tolist())
        x0, x1 = sorted(rng.choice(width + 1, 2, replace=False).tolist())
        corners = [x0, y0, x1, y0, x1, y1, x0, y1]
        expected = np.zeros((height, width), np.uint8)
        expected[y0:y1, x0:x1] = 1
        np.testing.assert_array_equal(polygon_mask(coco, [corners], (height, width)), expected)
        np.testing.assert_array_equal(polygon_mask(coco, [corners[2:] + corners[:2]], (height, width)), expected)


def test_polygons_are_filled_as_pycocotools_does(coco: Callable[[Any], CloudDataset]) -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        height, width = (int(side) for side in rng.integers(40, 90, 2))
        angles = np.sort(rng.uniform(0, 2 * np.pi, 12))
        radius = rng.uniform(0.2, 0.6, 12) * min(height, width)  # some points lie outside the image
        points = np.stack([width / 2 + radius * np.cos(angles), height / 2 + radius * np.sin(angles)], axis=1)
        polygons = [points.ravel().tolist(), (points[:3] / 2).ravel().tolist()]
        peer = pycoco.decode(pycoco.merge(pycoco.frPyObjects(polygons, height, width)))
        np.testing.assert_array_equal(polygon_mask(coco, polygons, (height, width)), peer)


def test_polygons_of_one_annotation_are_united(coco: Callable[[Any], CloudDataset]) -> None:
    mask = polygon_mask(coco, [[0, 0, 3, 0, 3, 3, 0, 3], [2, 2, 5, 2, 5, 4, 2, 4]], SHAPE)
    expected = np.zeros(SHAPE, np.uint8)
    expected[:3, :3] = expected[2:4, 2:5] = 1
    np.testing.assert_array_equal(mask, expected)


def test_a_polygon_is_clipped_at_the_image(coco: Callable[[Any], CloudDataset]) -> None:
    assert polygon_mask(coco, [[-1e8, -1e8, 1e8, -1e8, 1e8, 1e8, -1e8, 1e8]], SHAPE).all()
    assert not polygon_mask(coco, [[10, 10, 20, 10, 20, 20]], SHAPE).any()


WHOLE, TEXT, LIST = "a whole number", "text", "a list"
ID = "a whole number or text"
POLYGON = "annotation 7: a polygon must be a flat list of x and y of at least 3 points, got "
FAR = "annotation 7: a polygon has a point that is not finite or far outside any image"
PIXELS = "image 1: height and width must be 1 to 1,073,741,824 pixels in all, got "
COUNTS = "annotation 7: counts must be a list of integers, got "
RUNS: tuple[str | int, ...] = ("annotations", 0, "segmentation")


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        *(
            ((name,), value, f"{{json}}: {name!r} must be a list, got {got}")
            for name in ("images", "categories", "annotations")
            for value, got in ((None, "None"), (5, "5"), ("x", "'x'"), ({}, "{{}}"), (True, "True"), (KeyError, "None"))
        ),
        *(
            ((name, 0), value, f"{name}[0] must be an object, got {value!r}")
            for name in ("images", "categories", "annotations")
            for value in (None, 5, "x", [1])
        ),
        *(
            (path, value, f"{place}: {path[-1]!r} must be {kind}, got {got}")
            for path, place, kind in (
                (("images", 0, "id"), "images[0]", ID),
                (("categories", 0, "id"), "categories[0]", ID),
                (("annotations", 0, "image_id"), "annotation 7", ID),
                (("annotations", 0, "category_id"), "annotation 7", ID),
                (("images", 0, "height"), "image 1", WHOLE),
                (("images", 0, "width"), "image 1", WHOLE),
                (("images", 0, "file_name"), "image 1", TEXT),
                (("categories", 0, "name"), "category 1", TEXT),
            )
            for value, got in (
                (None, "None"),
                (True, "True"),
                ([], "[]"),
                ({}, "{{}}"),
                (1.5, "1.5"),
                (KeyError, "None"),
            )
        ),
        (("images", 0, "height"), "480", "image 1: 'height' must be a whole number, got '480'"),
        (("images", 0, "height"), 4.0, "image 1: 'height' must be a whole number, got 4.0"),
        (("images", 0, "width"), float("inf"), "image 1: 'width' must be a whole number, got inf"),
        (("images", 0, "width"), float("nan"), "image 1: 'width' must be a whole number, got nan"),
        (("images", 0, "height"), -4, f"{PIXELS}-4 x 6"),
        (("images", 0, "width"), 0, f"{PIXELS}4 x 0"),
        (("images", 0, "height"), 10**9, f"{PIXELS}1000000000 x 6"),
        (("images", 0, "width"), 10**30, f"{PIXELS}4 x {10**30}"),
        (("images", 0, "file_name"), 5, "image 1: 'file_name' must be text, got 5"),
        (("images", 0, "file_name"), "c.png", "1 of 1 images are missing, the first is {images}/c.png"),
        (("images", 0, "file_name"), "", "1 of 1 images are missing, the first is {images}"),
        (("images", 0, "file_name"), "x" * 300, f"1 of 1 images are missing, the first is {{images}}/{'x' * 300}"),
        (("images", 0, "file_name"), "a\0.png", "1 of 1 images are missing, the first is {images}/a\0.png"),
        (("images",), [], "there is not one image in these labels"),
        (("images",), DOCUMENT["images"] * 2, "images[1]: the id 1 is used twice"),
        (
            ("images",),
            [DOCUMENT["images"][0], {**DOCUMENT["images"][0], "id": 2}],
            "{json}: two images are named {images}/a.png",
        ),
        (("categories",), [], "{json}: wanted categories with names, got []"),
        (("categories", 0, "name"), "", "{json}: wanted categories with names, got ['']"),
        (("categories",), DOCUMENT["categories"] * 2, "categories[1]: the id 1 is used twice"),
        (("categories",), [{"id": 1, "name": "x"}, {"id": 2, "name": "x"}], "{json}: two categories are named x"),
        (("annotations", 0, "image_id"), 2, "annotation 7: unknown image_id 2 or category_id 1"),
        (("annotations", 0, "image_id"), "1", "annotation 7: unknown image_id '1' or category_id 1"),
        (("annotations", 0, "category_id"), 0, "annotation 7: unknown image_id 1 or category_id 0"),
        *(
            (RUNS, value, f"annotation 7: 'segmentation' must be polygons or runs, got {got}")
            for value, got in ((None, "None"), ([], "[]"), (5, "5"), ("013", "'013'"), (KeyError, "None"))
        ),
        *(
            (RUNS, [value], f"{POLYGON}{got}")
            for value, got in (
                ([0, 0, 1, 1], "[0, 0, 1, 1]"),
                ([0, 0, 1, 1, 2, 2, 3], "[0, 0, 1, 1, 2, 2, ...]"),
                ([], "[]"),
                ({}, "{{}}"),
                (None, "None"),
                (5, "5"),
                ("000000", "'000000'"),
                (["0"] * 6, "['0', '0', '0', '0', '0', '0']"),
                ([True] * 6, "[True, True, True, True, True, True]"),
                ([None] * 6, "[None, None, None, None, None, None]"),
                ([[0, 0], [1, 1], [2, 0]], "[[0, 0], [1, 1], [2, 0]]"),
                ([[0, 0], [1]], "[[0, 0], [1]]"),
                ([0, 0, 1, {}, 2, 2], "[0, 0, 1, {{}}, 2, 2]"),
                ([0, 0, 1, 10**30, 2, 2], f"[0, 0, 1, {10**30}, 2, 2]"),
            )
        ),
        *(
            (RUNS, [[0, 0, 3, value, 3, 3]], FAR)
            for value in (float("nan"), float("inf"), -float("inf"), 1e300, 1e9, -(2**62))
        ),
        (
            RUNS,
            {"counts": [24]},
            "annotation 7: coco must be a mapping with 'size' and 'counts', got the keys ['counts']",
        ),
        (RUNS, {}, "annotation 7: coco must be a mapping with 'size' and 'counts', got the keys []"),
        (
            RUNS,
            {"size": [6, 4], "counts": [24]},
            "annotation 7: runs for (6, 4) in an image of (4, 6) (height, width)",
        ),
        (
            RUNS,
            {"size": [10**9, 10**9], "counts": [10**18]},
            "annotation 7: runs for (1000000000, 1000000000) in an image of (4, 6) (height, width)",
        ),
        *(
            (
                RUNS,
                {"size": size, "counts": [24]},
                f"annotation 7: size must be a pair of ints (height, width), got {size}",
            )
            for size in (["4", "6"], None, [4, 6, 1], [4.0, 6], 24, [])
        ),
        (
            RUNS,
            {"size": [4, 6], "counts": [23]},
            "annotation 7: the counts add up to 23, but a 4 x 6 mask has 24 pixels; is the size [height, width]?",
        ),
        (RUNS, {"size": [4, 6], "counts": [1.5]}, f"{COUNTS}dtype float64"),
        (RUNS, {"size": [4, 6], "counts": None}, f"{COUNTS}dtype object"),
        (RUNS, {"size": [4, 6], "counts": {}}, f"{COUNTS}dtype object"),
        (RUNS, {"size": [4, 6], "counts": ["24"]}, f"{COUNTS}dtype <U2"),
        (RUNS, {"size": [4, 6], "counts": [[24]]}, f"{COUNTS}an array of shape (1, 1)"),
        (
            RUNS,
            {"size": [4, 6], "counts": "x"},
            "annotation 7: 'x' at position 0 is no character of a COCO string ('0' to 'o')",
        ),
    ],
)
def test_a_fault_in_coco_json_is_named(
    coco: Callable[[Any], CloudDataset], tmp_path: Path, path: tuple[str | int, ...], value: Any, words: str
) -> None:
    with pytest.raises(DataError) as caught:
        coco(changed(path, value))
    assert str(caught.value) == words.format(json=tmp_path / "coco.json", images=tmp_path / "images")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", " is not JSON: Expecting value: line 1 column 1 (char 0)"),
        ("{", " is not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("\ud800", " line 1: the byte 0xed is not UTF-8; save the file as UTF-8"),
        ("[]", " must be an object, got []"),
        ("null", " must be an object, got None"),
        ("5", " must be an object, got 5"),
        ('"images"', " must be an object, got 'images'"),
        ("NaN", " must be an object, got nan"),
        ("{}", ": 'images' must be a list, got None"),
    ],
)
def test_a_file_that_is_no_coco_json_is_named(
    coco: Callable[[Any], CloudDataset], tmp_path: Path, text: str, words: str
) -> None:
    with pytest.raises(DataError) as caught:
        coco(text)
    assert str(caught.value) == f"{tmp_path / 'coco.json'}{words}"


@pytest.mark.parametrize("text", ["[" * 100_000, '{"images":' * 100_000])
def test_json_that_is_nested_without_end(coco: Callable[[Any], CloudDataset], text: str) -> None:
    with pytest.raises(DataError, match=r"coco\.json is not JSON: maximum recursion depth exceeded"):
        coco(text)


def test_a_byte_order_mark_is_no_fault(coco: Callable[[Any], CloudDataset]) -> None:
    assert coco("\ufeff" + json.dumps(DOCUMENT)) == coco(DOCUMENT)


def test_coco_json_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "none.json", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(DataError) as caught:
            CloudDataset.from_coco(path, tmp_path)
        assert str(caught.value) == f"cannot read {path}: {reason}"


HOSTILE: list[Any] = [
    None,
    True,
    -1,
    0,
    1,
    2**70,
    1.5,
    float("nan"),
    "",
    "x",
    "a.png",
    [],
    [None],
    [[]],
    {},
    {"id": 1},
    [1, 2],
]


@pytest.mark.parametrize(
    "path",
    [
        *((name,) for name in DOCUMENT),
        *((name, 0) for name in DOCUMENT),
        *((name, 0, key) for name in DOCUMENT for key in DOCUMENT[name][0]),
        (*RUNS, 0),
        (*RUNS, 0, 0),
    ],
    ids=lambda path: ".".join(map(str, path)),
)
def test_hostile_json_is_read_or_refused(coco: Callable[[Any], CloudDataset], path: tuple[str | int, ...]) -> None:
    # Nothing but DataError, and no warning either (pytest makes errors of them).
    refused = 0
    for value in (*HOSTILE, KeyError):
        try:
            dataset = coco(changed(path, value))
        except DataError as error:
            refused += 1
            assert "\n" not in str(error)  # noqa: PT017
        else:
            assert [len(example.rles) for example in dataset] == [1]
    assert refused > 0 or path == ("annotations", 0, "id")


# --- datasets ---


@pytest.fixture(scope="module")
def dataset(dataset_folder: Path) -> CloudDataset:
    return CloudDataset.from_kaggle(dataset_folder, (140, 210))


@pytest.mark.parametrize(
    ("validation", "sizes"),
    [(0.2, (6, 2)), (0.5, (4, 4)), (0.25, (6, 2)), (0.001, (7, 1)), (0.999, (1, 7)), (1e-300, (7, 1))],
)
def test_a_split_is_complete_without_overlap(dataset: CloudDataset, validation: float, sizes: tuple[int, int]) -> None:
    for seed in range(5):
        parts = dataset.split(validation, seed)
        names = [[example.image for example in part] for part in parts]
        assert tuple(map(len, parts)) == sizes
        assert sorted(names[0] + names[1]) == [example.image for example in dataset]
        assert all(part == sorted(part) for part in names)  # in the dataset's order
        assert all(part.classes == dataset.classes for part in parts)


def test_the_seed_decides_the_split(dataset: CloudDataset) -> None:
    assert dataset.split(0.25, 3) == dataset.split(0.25, 3)
    assert len({dataset.split(0.25, seed)[1] for seed in range(20)}) > 5
    assert dataset.split() == dataset.split(validation=0.2, seed=0)


@pytest.mark.parametrize("validation", [0, 1, -0.1, 1.1, float("nan"), float("inf")])
def test_a_fraction_that_leaves_a_part_empty_is_refused(dataset: CloudDataset, validation: float) -> None:
    with pytest.raises(DataError) as caught:
        dataset.split(validation)
    assert str(caught.value) == (
        f"a split needs a fraction between 0 and 1 and at least 2 images, got {validation!r} of 8"
    )


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_images_cannot_be_split(dataset: CloudDataset, count: int) -> None:
    with pytest.raises(DataError, match=f"at least 2 images, got 0.5 of {count}$"):
        dataset[:count].split(0.5)
    assert tuple(map(len, dataset[:2].split(0.5))) == (1, 1)


def test_a_dataset_is_a_sequence(dataset: CloudDataset) -> None:
    assert len(dataset) == 8
    assert dataset[-1] == list(dataset)[7]
    assert list(dataset[2:4]) == [dataset[2], dataset[3]]
    assert isinstance(dataset[2:4], CloudDataset)
    assert next(reversed(dataset)) == dataset[7]
    assert dataset[3] in dataset
    with pytest.raises(IndexError):
        dataset[8]


@pytest.mark.parametrize(("count", "rows"), [(1, 1), (3, 3), (100, 8)])
def test_a_plot_has_a_row_for_each_image(dataset: CloudDataset, count: int, rows: int) -> None:
    figure = dataset.plot(count)
    assert isinstance(figure, Figure)
    assert len(figure.axes) == rows * (1 + 4)
    assert all(len(axis.images) == 1 for axis in figure.axes)
    titles = [axis.get_title() for axis in figure.axes]
    assert titles[0] in {example.image.name for example in dataset}
    shares = [re.fullmatch(r"(\w+): \d+%", title) for title in titles[1:5]]
    assert [share and share[1] for share in shares] == list(CLASSES)


def test_a_plot_can_be_drawn_without_a_display(
    dataset: CloudDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    dataset.plot(1).savefig(tmp_path / "plot.png")
    drawn = cv2.imread(str(tmp_path / "plot.png"))
    assert drawn is not None
    assert drawn.std() > 10


def test_the_seed_decides_the_plot(dataset: CloudDataset) -> None:
    def names(seed: int) -> list[str]:
        return [axis.get_title() for axis in dataset.plot(2, seed).axes[::5]]

    assert names(1) == names(1)
    assert len({tuple(names(seed)) for seed in range(5)}) > 1


@pytest.mark.parametrize("count", [0, -1])
def test_a_plot_of_nothing_is_refused(dataset: CloudDataset, count: int) -> None:
    with pytest.raises(DataError) as caught:
        dataset.plot(count)
    assert str(caught.value) == f"count must be at least 1, got {count}"


@pytest.mark.skipif(os.name == "nt", reason="names of files are bytes on POSIX only")
def test_an_image_may_have_any_name(tmp_path: Path) -> None:
    names = ["ünï cödé.jpg", "a,b.jpg", 'quo"te.jpg', "back\\slash.jpg", "new\nline.jpg", "a.jpg_A.jpg"]
    rows = []
    for name in names:
        write_image(tmp_path / "train_images" / name)
        rows += ['"' + f"{name}_{label}".replace('"', '""') + f'",{encode(np.ones(SHAPE))}' for label in AB]
    (tmp_path / "train.csv").write_text(HEADER + "\n".join(rows), encoding="utf-8")
    dataset = CloudDataset.from_kaggle(tmp_path, SHAPE, AB)
    assert [example.image.name for example in dataset] == names
