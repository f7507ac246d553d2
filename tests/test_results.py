"""What predictions are written and drawn as."""

import dataclasses
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from pycocotools.coco import COCO

from cloudrle import RLE
from cloudseg_sdk import CloudDataset, CloudsegError, MissingExtraError, Prediction, Predictions
from cloudseg_sdk.data.colours import class_colours, draw_masks

SIZE = (35, 52)


def masks(seed: int) -> tuple[RLE, ...]:
    """Two random rectangles, and an empty mask between them."""
    planes = np.zeros((3, *SIZE), np.uint8)
    top, left = np.random.default_rng(seed).integers(0, 20, 2)
    planes[0, top : top + 9, left : left + 7] = 1
    planes[2, left : left + 3, top:] = 1
    return tuple(RLE.from_mask(plane) for plane in planes)


CLASSES = ("A", "B", "C")


@pytest.fixture
def predictions(tmp_path: Path) -> Predictions:
    """Three images on disk, the second of which could not be read."""
    items = []
    for number in range(3):
        path = tmp_path / f"scene{number}.png"
        cv2.imwrite(str(path), np.full((*SIZE, 3), 60 * number, np.uint8))
        items.append(Prediction(str(path), CLASSES, SIZE, masks(number), (0.75, 0.125, 0.5)))
    items[1] = Prediction(items[1].source, CLASSES, error="cannot read it")
    return Predictions(tuple(items))


# --- Parquet ---


def test_parquet_reads_back_as_the_table(predictions: Predictions, tmp_path: Path) -> None:
    predictions.to_parquet(tmp_path / "new" / "out.parquet")
    table = pd.read_parquet(tmp_path / "new" / "out.parquet")
    wanted = predictions.to_frame()
    assert list(table.columns) == list(wanted.columns)
    for name in wanted.columns:
        missing = wanted[name].isna()
        assert list(table[name].isna()) == list(missing)
        assert list(table[name][~missing]) == list(wanted[name][~missing])
    assert list(table["rle"][:3]) == [rle.to_kaggle() for rle in predictions[0].rles]
    assert table["rle"][1] == ""  # empty is not missing
    Predictions(()).to_parquet(tmp_path / "none.parquet")
    assert list(pd.read_parquet(tmp_path / "none.parquet").columns) == list(wanted.columns)


def test_parquet_has_the_types_of_its_columns_even_without_rows(predictions: Predictions, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    schemas = []
    for given in (predictions, predictions[1:2], Predictions(())):
        given.to_parquet(tmp_path / "out.parquet")
        schema = pq.read_schema(tmp_path / "out.parquet")
        schemas.append({field.name: str(field.type) for field in schema})
    text = dict.fromkeys(("source", "class", "rle", "error"), "string")
    wanted = {**text, "score": "double", "area": "int64", "height": "int32", "width": "int32"}
    assert schemas == [wanted] * 3


def test_a_name_that_is_no_text_makes_no_parquet(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff.png") if sys.platform == "linux" else "\udcff.png"
    item = Prediction(name, CLASSES, SIZE, masks(0), (0.0,) * 3)
    with pytest.raises(CloudsegError) as caught:
        Predictions((item,)).to_parquet(tmp_path / "out.parquet")
    words = "the name '\\udcff.png' is no UTF-8, as Parquet's text must be; rename the file, or use to_csv"
    assert str(caught.value) == words
    assert list(tmp_path.iterdir()) == []


def test_parquet_without_pyarrow_says_what_to_install(
    predictions: Predictions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError) as caught:
        predictions.to_parquet(tmp_path / "out.parquet")
    assert str(caught.value) == 'Parquet files need pyarrow; install it with: pip install "cloudseg-sdk[arrow]"'


def test_a_plot_without_matplotlib_says_what_to_install(
    predictions: Predictions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError) as caught:
        predictions.plot()
    assert str(caught.value) == 'plots need matplotlib; install it with: pip install "cloudseg-sdk[plot]"'


# --- COCO ---


def test_coco_is_what_pycocotools_reads(predictions: Predictions, tmp_path: Path) -> None:
    predictions.to_coco(tmp_path / "out.json")
    coco = COCO(str(tmp_path / "out.json"))
    assert coco.getImgIds() == [1, 3]
    assert [category["name"] for category in coco.loadCats(coco.getCatIds())] == list(CLASSES)
    for image_id in (1, 3):
        item = predictions[image_id - 1]
        (image,) = coco.loadImgs(image_id)
        assert (image["file_name"], image["height"], image["width"]) == (item.source, *SIZE)
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=[image_id]))
        assert [annotation["category_id"] for annotation in annotations] == [1, 3]  # the second mask is empty
        for annotation in annotations:
            number = annotation["category_id"] - 1
            mask = coco.annToMask(annotation)
            np.testing.assert_array_equal(mask, item.rles[number].to_mask())
            rows, columns = np.nonzero(mask)
            box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
            assert annotation["bbox"] == box
            assert annotation["area"] == mask.sum()
            assert annotation["score"] == item.scores[number]
    results = coco.loadRes(coco.dataset["annotations"])
    assert len(results.getAnnIds()) == 4
    assert coco.dataset["errors"] == [{"id": 2, "file_name": predictions[1].source, "error": "cannot read it"}]


def test_ids_do_not_depend_on_what_was_found(predictions: Predictions, tmp_path: Path) -> None:
    full = RLE.from_mask(np.ones(SIZE, bool))
    every = Predictions(tuple(dataclasses.replace(predictions[0], rles=(full,) * 3) for _ in range(3)))
    ids = []
    for given in (predictions, every):
        given.to_coco(tmp_path / "out.json")
        annotations = json.loads((tmp_path / "out.json").read_text())["annotations"]
        ids.append({entry["id"]: (entry["image_id"], entry["category_id"]) for entry in annotations})
    assert ids[1] == {3 * image + number: (image + 1, number) for image in range(3) for number in (1, 2, 3)}
    assert ids[0].items() <= ids[1].items()


def test_coco_reads_back_as_a_dataset(predictions: Predictions, tmp_path: Path) -> None:
    predictions.to_coco(tmp_path / "out.json")
    dataset = CloudDataset.from_coco(tmp_path / "out.json", tmp_path)
    assert dataset.classes == CLASSES
    assert [example.rles for example in dataset] == [predictions[0].rles, predictions[2].rles]


def test_coco_of_nothing_and_of_two_models(predictions: Predictions, tmp_path: Path) -> None:
    Predictions(()).to_coco(tmp_path / "out.json")
    assert COCO(str(tmp_path / "out.json")).getImgIds() == []
    other = dataclasses.replace(predictions[0], source="b.png", classes=("A", "B", "D"))
    with pytest.raises(CloudsegError) as caught:
        Predictions((predictions[0], other)).to_coco(tmp_path / "out.json")
    assert str(caught.value) == (
        "b.png has the classes ('A', 'B', 'D'), the first has ('A', 'B', 'C'); write one file for each model"
    )


# --- pictures ---


def test_an_overlay_is_saved_with_a_legend_and_no_larger_than_a_screen(
    predictions: Predictions, tmp_path: Path
) -> None:
    item = predictions[2]
    item.save_overlay(tmp_path / "pictures" / "overlay.png")
    picture = cv2.imread(str(tmp_path / "pictures" / "overlay.png"), cv2.IMREAD_COLOR_RGB)
    assert picture is not None
    np.testing.assert_array_equal(picture[: SIZE[0]], item.overlay())
    assert picture.shape[0] > SIZE[0]
    item.save_overlay(tmp_path / "large.png", np.zeros((3000, 2000, 3), np.uint8))
    large = cv2.imread(str(tmp_path / "large.png"))
    assert large is not None
    assert large.shape[1] == 467  # 700 / 3000 of the width


def test_an_overlay_takes_what_was_predicted(predictions: Predictions) -> None:
    item = dataclasses.replace(predictions[0], source="bytes 0")
    image = np.full((*SIZE, 3), 90, np.uint8)
    file = cv2.imencode(".png", image)[1].tobytes()
    wanted = draw_masks(image, [rle.to_mask() for rle in item.rles], class_colours(3))
    for given in (image, file, io.BytesIO(file)):
        np.testing.assert_array_equal(item.overlay(given), wanted)
    with pytest.raises(CloudsegError) as caught:
        item.overlay()
    assert str(caught.value) == ("cannot read bytes 0: No such file or directory; give the image that was predicted")


@pytest.mark.parametrize("name", ["overlay.txt", "overlay"])
def test_an_overlay_of_an_unknown_kind_is_refused(predictions: Predictions, tmp_path: Path, name: str) -> None:
    before = sorted(tmp_path.iterdir())
    with pytest.raises(CloudsegError) as caught:
        predictions[0].save_overlay(tmp_path / name)
    assert str(caught.value) == f"cannot write a picture as {tmp_path / name}; use a name that ends in .png or .jpg"
    assert sorted(tmp_path.iterdir()) == before


def test_a_plot_shows_every_prediction_and_every_error(predictions: Predictions) -> None:
    figure = predictions.plot()
    shown = [axis for axis in figure.axes if axis.get_title()]
    assert [axis.get_title() for axis in shown] == ["scene0.png", "scene1.png", "scene2.png"]
    assert [text.get_text() for text in shown[1].texts] == ["cannot read it"]
    for axis, item in ((shown[0], predictions[0]), (shown[2], predictions[2])):
        np.testing.assert_array_equal(axis.images[0].get_array(), item.overlay())
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(CLASSES)
    file = io.BytesIO()
    figure.savefig(file, format="png")  # needs no display
    assert file.getvalue().startswith(b"\x89PNG")


def test_a_plot_takes_what_was_predicted_and_a_count(predictions: Predictions) -> None:
    items = tuple(dataclasses.replace(predictions[0], source=f"array {number}") for number in range(5))
    stack = np.stack([np.full((*SIZE, 3), 40 * number, np.uint8) for number in range(5)])
    shown = [axis for axis in Predictions(items).plot(stack, count=3).axes if axis.images]
    assert [axis.get_title() for axis in shown] == ["array 0", "array 1", "array 2"]
    for axis, item, image in zip(shown, items, stack, strict=False):
        np.testing.assert_array_equal(axis.images[0].get_array(), item.overlay(image))
    cases: dict[str, Callable[[], object]] = {
        "got 2 images for 5 predictions; give those that were predicted": lambda: Predictions(items).plot(stack[:2]),
        "a plot needs a count of at least 1 and predictions, got 0 and 5": lambda: Predictions(items).plot(count=0),
        "a plot needs a count of at least 1 and predictions, got 16 and 0": lambda: Predictions(()).plot(),
        "cannot read array 0: No such file or directory; give the image that was predicted": Predictions(items).plot,
    }
    for words, use in cases.items():
        with pytest.raises(CloudsegError) as caught:
            use()
        assert str(caught.value) == words
