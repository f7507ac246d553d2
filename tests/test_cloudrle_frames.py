"""A train.csv as a tidy table."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import cloudrle
from cloudrle import RLE, RLEError

SHAPE = (6, 8)
MASKS = [np.random.default_rng(seed).random(SHAPE) < density for seed, density in enumerate([0.5, 0, 1, 0.2])]
NAMES = ["a.jpg_Fish", "a.jpg_Sugar", "b_c.jpg_Fish", "b_c.jpg_Sugar"]
TEXTS = cloudrle.encode_many(MASKS)
FRAME = pd.DataFrame({"Image_Label": NAMES, "EncodedPixels": TEXTS})


def assert_right(table: pd.DataFrame) -> None:
    assert table.columns.tolist() == ["image", "label", "area", "bbox", "runs"]
    assert table["image"].tolist() == ["a.jpg", "a.jpg", "b_c.jpg", "b_c.jpg"]
    assert table["label"].tolist() == ["Fish", "Sugar", "Fish", "Sugar"]
    rles = [RLE.from_mask(mask) for mask in MASKS]
    assert table["area"].tolist() == [rle.area for rle in rles]
    assert table["bbox"].tolist() == [rle.bbox for rle in rles]
    assert table["runs"].tolist() == [len(rle.runs) for rle in rles]


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    FRAME.to_csv(path, index=False)
    assert_right(cloudrle.read_table(path, shape=SHAPE))
    assert_right(cloudrle.read_table(str(path), shape=SHAPE, threads=2))
    assert_right(cloudrle.read_table(pd.read_csv(path), shape=SHAPE, missing="empty"))
    with pytest.raises(RLEError, match=r"^row 1: the mask is missing"):
        cloudrle.read_table(pd.read_csv(path), shape=SHAPE)


@pytest.mark.parametrize("dtype", ["object", "str", "string[python]", "string[pyarrow]"])
def test_frames(dtype: Any) -> None:
    frame = FRAME.astype(dtype).set_index(pd.Index([5, 5, 7, 1]))
    table = cloudrle.read_table(frame, shape=SHAPE)
    assert_right(table)
    assert table.index.tolist() == [5, 5, 7, 1]
    parted = pd.DataFrame(
        {
            "image": table["image"],
            "label": table["label"],
            "runs": cloudrle.convert(TEXTS, "kaggle", "cvat", shape=SHAPE),
        }
    )
    assert_right(cloudrle.read_table(parted, shape=[SHAPE] * 4, column="runs", dialect="cvat"))


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (
            FRAME.drop(columns="Image_Label"),
            "the table must have the columns Image_Label, or image and label, and EncodedPixels; it lacks Image_Label, "
            "and has EncodedPixels",
        ),
        (
            FRAME[["Image_Label"]],
            "the table must have the columns Image_Label, or image and label, and EncodedPixels; it lacks "
            "EncodedPixels, and has Image_Label",
        ),
        (
            FRAME.replace({"Image_Label": {"a.jpg_Sugar": "a.jpg"}}),
            "row 1: Image_Label must be <image>_<label>, got 'a.jpg'",
        ),
        (
            FRAME.assign(Image_Label=["a.jpg_Fish", 5, "b_c.jpg_Fish", "b_c.jpg_Sugar"]),
            "row 1: Image_Label must be <image>_<label>, got 5",
        ),
        (FRAME.assign(Image_Label=5), "Image_Label must be a column of str, got dtype int64"),
        (
            FRAME.set_axis(["Image_Label", "Image_Label"], axis=1).assign(EncodedPixels=""),
            "the table has two columns Image_Label; drop or rename one",
        ),
        (
            FRAME.assign(EncodedPixels="1 x"),
            "row 0: 'x' at position 2 is neither a digit nor white space; wanted 'start length start length ...'",
        ),
    ],
)
def test_other_tables(frame: pd.DataFrame, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=f"^{re.escape(message)}$"):
        cloudrle.read_table(frame, shape=SHAPE)
