"""The competition's own rows, where the folder with real data lies beside the repository."""

import csv
from pathlib import Path

import numpy as np
import pytest
import reference

import cloudrle
from cloudrle import RLE

ROWS = Path(__file__).parents[2] / "shared/clouds/real_rle_rows.csv"
SHAPE = (1400, 2100)


@pytest.fixture(scope="module")
def texts() -> list[str]:
    if not ROWS.exists():
        pytest.skip(f"no real data here: {ROWS.name} is not beside the repository")
    with ROWS.open(newline="") as lines:
        return [row["EncodedPixels"] for row in csv.DictReader(lines)]


def test_real_rows_come_back_to_the_letter(texts: list[str]) -> None:
    masks = cloudrle.decode_many(texts, SHAPE)
    assert len(texts) == 8
    assert cloudrle.encode_many(masks) == texts
    for text, mask in zip(texts, masks, strict=True):
        rle = RLE.from_kaggle(text, SHAPE)
        assert rle.to_kaggle() == text
        assert rle == RLE.from_mask(mask) == RLE.from_coco(rle.to_coco())
        if text:
            np.testing.assert_array_equal(mask * 255, reference.notebook_rle_to_mask(text, *SHAPE))
