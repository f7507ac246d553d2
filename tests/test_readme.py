"""The README's and the docstrings' examples, run as they stand."""

import doctest
import importlib
import re
from pathlib import Path

import pytest

from cloudrle import decode
from cloudseg_sdk import Segmenter
from cloudseg_sdk.synthetic import write_dataset

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_sdk_example_writes_a_submission_and_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_dataset(tmp_path / "data", 5, size=(140, 210))
    (tmp_path / "scenes").symlink_to(tmp_path / "data" / "train_images")
    monkeypatch.chdir(tmp_path)
    exec(EXAMPLES[0], {})
    assert len(Path("submission.csv").read_text().splitlines()) == 1 + 5 * 4
    assert Segmenter.load("model.cloudseg").config.input_size == (128, 192)


def test_the_codec_example_round_trips() -> None:
    names: dict[str, object] = {}
    exec(EXAMPLES[1], names)
    text = names["text"]
    assert isinstance(text, str)
    assert decode(text, (1400, 2100)).sum() == 100 * 100


@pytest.mark.parametrize(
    "name",
    [
        "cloudseg_sdk.config",
        "cloudseg_sdk.data.augment",
        "cloudseg_sdk.data.dataset",
        "cloudseg_sdk.distributed",
        "cloudseg_sdk.metrics",
        "cloudseg_sdk.segmenter",
        "cloudseg_sdk.synthetic",
        "cloudseg_sdk.training.batches",
    ],
)
def test_examples_in_docstrings_are_true(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.attempted > 0
    assert result.failed == 0
