"""The report of an evaluation: its curves against evaluating again, and a page that holds all it shows."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from cloudseg_sdk import CloudDataset, Decision, Segmenter
from cloudseg_sdk.bundle import read_bundle, write_bundle
from cloudseg_sdk.data.images import read_image, stretch
from cloudseg_sdk.evaluation import CURVE_PRESENCES, CURVE_THRESHOLDS, evaluate_outputs, report_scenes
from cloudseg_sdk.inference.engines import OpenVINOEngine, Output
from cloudseg_sdk.page import SHOWN_SCENES, Evaluation, write_page

DECISION = Decision((0.5, 0.55, 0.0, 0.6), (0.5, 0.45, 0.55, 0.5), (0.0, 0.002, 0.01, 0.0))


@pytest.fixture(scope="module")
def dataset(dataset_folder: Path) -> CloudDataset:
    return CloudDataset.from_kaggle(dataset_folder, label_shape=(140, 210))


@pytest.fixture(scope="module")
def outputs(tiny_bundle: Path, dataset: CloudDataset) -> list[Output]:
    graph = read_bundle(tiny_bundle).graph
    assert graph is not None
    images = [stretch(read_image(example.image), (32, 48)) for example in dataset]
    return list(OpenVINOEngine(graph).run(np.stack(images)).images())


@pytest.fixture
def decided(tiny_bundle: Path, tmp_path: Path) -> Segmenter:
    """The tiny network with thresholds of its own and a history."""
    history = {"loss": [1.5, 1.25], "val_loss": [2.0, 1.0], "val_dice": [0.25, 0.5]}
    saved = replace(read_bundle(tiny_bundle), decision=DECISION, metrics={"history": history})
    write_bundle(tmp_path / "decided.cloudseg", saved, "float32")
    return Segmenter.load(tmp_path / "decided.cloudseg")


class Outline(HTMLParser):
    """Text, tags that are never closed, and where pictures come from."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("img", "meta"):
            self.open.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.mark.parametrize("presence_head", [False, True])
def test_curves_are_what_evaluating_with_another_threshold_finds(
    dataset: CloudDataset, outputs: list[Output], presence_head: bool
) -> None:
    if presence_head:
        heads = np.random.default_rng(0).random((len(outputs), 4), np.float32)
        outputs = [output._replace(presence=head) for output, head in zip(outputs, heads, strict=True)]
    _, curves = evaluate_outputs(dataset, outputs, DECISION, curves=True)
    assert curves is not None
    assert evaluate_outputs(dataset, outputs, DECISION, curves=False)[1] is None

    def dice_with(**changes: Any) -> list[float]:
        changed = replace(DECISION, **changes)
        report = report_scenes(evaluate_outputs(dataset, outputs, changed, curves=False)[0], dataset.classes)
        return [scores.dice for scores in report.by_class.values()]

    for point in (0, 17, 19, 20, 24, 38):
        wanted = dice_with(threshold=(CURVE_THRESHOLDS[point],) * 4)
        assert curves.threshold[:, point].tolist() == pytest.approx(wanted, abs=1e-12)
    for point in (0, 40, 50, 55, 60, 61, 100):
        wanted = dice_with(presence=(CURVE_PRESENCES[point],) * 4)
        assert curves.presence[:, point].tolist() == pytest.approx(wanted, abs=1e-12)
    assert np.ptp(curves.threshold) > 0.1
    assert np.ptp(curves.presence) > 0.1


def test_the_page_is_whole_and_needs_nothing_else(decided: Segmenter, dataset: CloudDataset, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    report = decided.evaluate(dataset, report=path)
    assert report == decided.evaluate(dataset)
    text = path.read_text(encoding="utf-8")
    page = Outline(text)
    assert page.open == []
    assert "http" not in re.sub(r"base64,[^\"]*", "", text)
    assert len(page.sources) == len(dataset)  # eight scenes: the worse and the better half
    for source in page.sources:
        head, _, data = source.partition(",")
        assert head == "data:image/jpeg;base64"
        picture = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        assert np.ptp(picture) > 50

    words = " ".join(page.words)
    for number in (report.dice, report.empty_dice, report.by_class["Flower"].dice):
        assert f"{number:.4f}" in words
    for example in dataset:
        assert words.count(example.image.name) == 1
    charts = [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", text)]
    assert [chart.get("aria-label") for chart in charts] == [
        "Dice against the pixel threshold",
        "Dice against the presence threshold",
        "loss and val_loss by epoch",
        "val_dice by epoch",
    ]
    assert [len(chart.findall("polyline")) for chart in charts] == [4, 4, 2, 1]
    for chart in charts:
        width, height = (float(chart.attrib[name]) for name in ("width", "height"))
        for line in chart.findall("polyline"):
            points = np.array([[float(n) for n in point.split(",")] for point in line.attrib["points"].split()])
            assert (points >= 0).all()
            assert (points <= (width, height)).all()


def test_the_worst_scenes_come_first_and_many_are_not_all_shown(
    decided: Segmenter, dataset: CloudDataset, outputs: list[Output], tmp_path: Path
) -> None:
    scenes, curves = evaluate_outputs(dataset, outputs, DECISION, curves=True)
    assert curves is not None
    report = report_scenes(scenes, dataset.classes)
    path = tmp_path / "report.html"
    write_page(path, Evaluation(report, scenes * 3, curves, DECISION, {}))
    captions = re.findall(r"<figcaption>.*?mean Dice ([0-9.]+)", path.read_text(encoding="utf-8"))
    dice = [float(caption) for caption in captions]
    assert len(dice) == 2 * SHOWN_SCENES
    assert dice[:SHOWN_SCENES] == sorted(dice[:SHOWN_SCENES])
    assert dice[SHOWN_SCENES:] == sorted(dice[SHOWN_SCENES:], reverse=True)
    assert dice[SHOWN_SCENES - 1] < dice[-1]
    assert "Training" not in path.read_text(encoding="utf-8")


def test_a_calibration_is_shown_and_names_are_no_markup(
    decided: Segmenter, dataset: CloudDataset, tmp_path: Path
) -> None:
    calibration = decided.calibrate(dataset)
    report = decided.evaluate(dataset, report=tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    for step in calibration.steps:
        assert f"<td>{step.name}</td><td>{step.dice:.4f}</td><td>{step.cross_fitted:.4f}</td>" in text

    scenes, curves = evaluate_outputs(dataset, decided_outputs(dataset), DECISION, curves=True)
    assert curves is not None
    hostile = dict(zip(("<b>", "a&b", "'", "Sugar"), report.by_class.values(), strict=True))
    write_page(tmp_path / "hostile.html", Evaluation(replace(report, by_class=hostile), scenes, curves, DECISION, {}))
    page = Outline((tmp_path / "hostile.html").read_text(encoding="utf-8"))
    assert page.open == []
    assert "<b>" in page.words
    assert "a&b" in page.words


@pytest.mark.parametrize(
    "saved", ["good", 5, [1], {"steps": [{}], "images": "<b>"}, {"loss": ["x"]}, {"loss": [1e999, 1.0]}, {"loss": 5}]
)
def test_what_is_saved_with_a_model_may_be_anything(dataset: CloudDataset, tmp_path: Path, saved: Any) -> None:
    scenes, curves = evaluate_outputs(dataset, decided_outputs(dataset), DECISION, curves=True)
    assert curves is not None
    metrics = {"calibration": saved, "history": saved}
    page = Evaluation(report_scenes(scenes, dataset.classes), scenes, curves, DECISION, metrics)
    write_page(tmp_path / "report.html", page)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert text.count("<p>Saved with the model in a form that this page does not know.</p>") == 2
    assert '<b>"' not in text


def decided_outputs(dataset: CloudDataset) -> list[Output]:
    return [Output(np.full((4, 6, 4), 0.6, np.float32)) for _ in dataset]


def test_a_page_that_cannot_be_made_leaves_the_old_one(
    dataset: CloudDataset, outputs: list[Output], tmp_path: Path
) -> None:
    scenes, curves = evaluate_outputs(dataset, outputs, DECISION, curves=True)
    assert curves is not None
    report = report_scenes(scenes, dataset.classes)
    (tmp_path / "report.html").write_text("old")
    gone = [replace(scene, image=tmp_path / "gone.jpg") for scene in scenes]
    with pytest.raises(ValueError, match=r"cannot read .*gone\.jpg"):
        write_page(tmp_path / "report.html", Evaluation(report, gone, curves, DECISION, {}))
    assert (tmp_path / "report.html").read_text() == "old"
