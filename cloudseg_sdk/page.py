"""An evaluation as one HTML file: pictures and curves are inside, and nothing is fetched when it is opened."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from cloudrle._files import atomic_path
from cloudseg_sdk.config import Decision
from cloudseg_sdk.data.colours import class_colours, draw_masks
from cloudseg_sdk.data.images import read_image, stretch
from cloudseg_sdk.evaluation import CURVE_PRESENCES, CURVE_THRESHOLDS, Curves, Scene
from cloudseg_sdk.metrics import METRIC_SIZE, Report, Scores

SHOWN_SCENES = 6  # worst, and as many best
_PICTURE = (280, 420)  # (height, width) of each picture of a scene
_GREY = ((190, 190, 190), (120, 190, 255), (255, 160, 120))  # of curves that belong to no class

_STYLE = """
body { background: #181818; color: #ddd; font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 960px;
       padding: 0 1em; }
h1, h2 { font-weight: 600; } h2 { margin-top: 2em; } p { max-width: 46em; }
table { border-collapse: collapse; } th, td { padding: .2em .9em; text-align: right; }
th { border-bottom: 1px solid #666; font-weight: 600; } th:first-child, td:first-child { text-align: left; }
.charts { display: flex; flex-wrap: wrap; gap: 1.5em; } svg { background: #202020; }
figure { margin: 1.2em 0; } img { max-width: 100%; } figcaption { font-size: 14px; }
.swatch { display: inline-block; width: .8em; height: .8em; margin-right: .4em; }
"""


@dataclass(frozen=True)
class Evaluation:
    """What a page shows.

    Parameters
    ----------
    report
        The numbers.
    scenes
        All images.
    curves
        See there.
    decision
        That the masks were made with.
    metrics
        What is saved with the model: a ``calibration`` and a ``history`` in it are shown.
    """

    report: Report
    scenes: Sequence[Scene]
    curves: Curves
    decision: Decision
    metrics: Mapping[str, Any]


@dataclass(frozen=True)
class _Line:
    name: str
    colour: str
    x: Sequence[float]
    y: Sequence[float]
    mark: float | None = None  # x of a point to mark


def write_page(path: Path, evaluation: Evaluation) -> None:
    """Write the page, whole or not at all.

    Raises
    ------
    ImageError
        Where an image that it shows cannot be read.
    """
    report, metrics = evaluation.report, evaluation.metrics
    order = sorted(range(len(evaluation.scenes)), key=lambda number: float(evaluation.scenes[number].dice.mean()))
    count = min(SHOWN_SCENES, (len(order) + 1) // 2)
    parts = [
        "<h1>Evaluation</h1>",
        f"<p>Mean Dice <b>{report.dice:.4f}</b> over {report.images:,} images and {len(report.by_class)} classes at "
        f"{METRIC_SIZE[0]} x {METRIC_SIZE[1]}; predicting nothing scores {report.empty_dice:.4f}. "
        f"Test-time augmentation: {evaluation.decision.tta}.</p>",
        "<h2>Classes</h2>",
        _class_table(report, evaluation.decision),
        "<h2>Thresholds</h2>",
        "<p>The score of each class if one of its thresholds were another and the rest stayed; the dot is the "
        "threshold in use.</p>",
        _threshold_charts(report, evaluation.curves, evaluation.decision),
    ]
    if metrics.get("calibration"):
        parts += ["<h2>What calibration brought</h2>", _drawn(_calibration_table, metrics["calibration"])]
    if metrics.get("history"):
        parts += ["<h2>Training</h2>", _drawn(_history_charts, metrics["history"])]
    for title, chosen in (("Worst scenes", order[:count]), ("Best scenes", order[::-1][:count])):
        parts += [f"<h2>{title}</h2>", "<p>Left the truth, right the prediction.</p>", _legend(list(report.by_class))]
        parts += [_figure(evaluation.scenes[number], list(report.by_class)) for number in chosen]
    body = "\n".join(parts)
    text = (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Evaluation: {report.dice:.4f}</title>'
        f"<style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="surrogateescape")


def _class_table(report: Report, decision: Decision) -> str:
    header = (
        *("", "Dice", "nothing predicted", "Dice where present", "presence precision", "presence recall"),
        *("presence", "threshold", "min. area"),
    )
    rows = [("all", *_numbers(report), "", "", "")]
    thresholds = zip(decision.presence, decision.threshold, decision.min_area, strict=True)
    for (name, scores), (presence, threshold, min_area) in zip(report.by_class.items(), thresholds, strict=True):
        rows.append((name, *_numbers(scores), f"{presence:.3f}", f"{threshold:.3f}", f"{min_area:.2%}"))
    return _table(header, rows)


def _numbers(scores: Scores) -> list[str]:
    values = (scores.dice, scores.empty_dice, scores.present_dice, scores.presence_precision, scores.presence_recall)
    return [_number(value) for value in values]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _drawn(draw: Callable[[Any], str], saved: Any) -> str:
    """Draw what is saved with a model, which may be anything that JSON can hold."""
    try:
        return draw(saved)
    except (ArithmeticError, AttributeError, LookupError, StopIteration, TypeError, ValueError):
        return "<p>Saved with the model in a form that this page does not know.</p>"


def _calibration_table(calibration: Mapping[str, Any]) -> str:
    rows = [(step["name"], _number(step["dice"]), _number(step["cross_fitted"])) for step in calibration["steps"]]
    header = ("chosen, one after another", "Dice on these images", "Dice cross-fitted")
    return f"<p>On {calibration['images']:,} images:</p>{_table(header, rows)}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def row(cells: Sequence[str], tag: str) -> str:
        return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"

    return f"<table>{row(header, 'th')}{''.join(row(cells, 'td') for cells in rows)}</table>"


def _threshold_charts(report: Report, curves: Curves, decision: Decision) -> str:
    colours = [_css(colour) for colour in class_colours(len(report.by_class))]

    def chart(title: str, x: Sequence[float], ys: Any, marks: Sequence[float]) -> str:
        named = zip(report.by_class, colours, ys, marks, strict=True)
        return _chart(title, [_Line(name, colour, x, y.tolist(), mark) for name, colour, y, mark in named])

    return _side_by_side(
        chart("Dice against the pixel threshold", CURVE_THRESHOLDS, curves.threshold, decision.threshold),
        chart("Dice against the presence threshold", CURVE_PRESENCES, curves.presence, decision.presence),
    )


def _history_charts(history: Mapping[str, Sequence[float]]) -> str:
    """Chart the numbers of each epoch: losses together, each other one by itself."""
    losses = [name for name in history if name.endswith("loss")]
    groups = [losses, *([name] for name in history if name not in losses)]
    charts = []
    for names in groups:
        lines = [
            _Line(name, _css(_GREY[k % len(_GREY)]), range(1, len(history[name]) + 1), history[name])
            for k, name in enumerate(names)
        ]
        if lines:
            charts.append(_chart(f"{' and '.join(names)} by epoch", lines))
    return _side_by_side(*charts)


def _side_by_side(*charts: str) -> str:
    return f'<div class="charts">{"".join(charts)}</div>'


def _chart(title: str, lines: Sequence[_Line]) -> str:
    """Draw lines over one pair of axes as SVG."""
    width, height, left, top, right, bottom = 450, 300, 48, 30, 12, 44
    xs, ys = (np.concatenate([getattr(line, axis) for line in lines]) for axis in "xy")
    (x_low, x_high), (y_low, y_high) = ((float(values.min()), float(values.max())) for values in (xs, ys))
    x_span, y_span = (x_high - x_low) or 1.0, (y_high - y_low) or 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        across = left + (x - x_low) / x_span * (width - left - right)
        return across, height - bottom - (y - y_low) / y_span * (height - top - bottom)

    drawn = [f'<text x="{left}" y="18">{escape(title)}</text>']
    for y in _ticks(y_low, y_high):
        _, down = place(x_low, y)
        drawn.append(f'<path d="M{left} {down:.1f}H{width - right}" stroke="#3a3a3a"/>')
        drawn.append(f'<text x="{left - 6}" y="{down + 4:.1f}" text-anchor="end">{y:.4g}</text>')
    for x in _ticks(x_low, x_high):
        across, _ = place(x, y_low)
        drawn.append(f'<text x="{across:.1f}" y="{height - bottom + 16}" text-anchor="middle">{x:.4g}</text>')
    for number, line in enumerate(lines):
        points = " ".join("{:.1f},{:.1f}".format(*place(x, y)) for x, y in zip(line.x, line.y, strict=True))
        drawn.append(f'<polyline points="{points}" fill="none" stroke="{line.colour}" stroke-width="2"/>')
        if line.mark is not None:
            mark = min(max(line.mark, x_low), x_high)
            across, down = place(mark, float(np.interp(mark, line.x, line.y)))
            drawn.append(f'<circle cx="{across:.1f}" cy="{down:.1f}" r="4.5" fill="{line.colour}"/>')
        across = left + number * (width - left - right) / len(lines)
        drawn.append(f'<path d="M{across:.1f} {height - 12}h16" stroke="{line.colour}" stroke-width="3"/>')
        drawn.append(f'<text x="{across + 21:.1f}" y="{height - 8}">{escape(line.name)}</text>')
    frame = f'width="{width}" height="{height}" fill="#bbb" font-size="12" font-family="system-ui, sans-serif"'
    return f'<svg {frame} role="img" aria-label="{escape(title)}">{"".join(drawn)}</svg>'


def _ticks(low: float, high: float) -> list[float]:
    """Return three to six round numbers from `low` to `high`."""
    span = (high - low) or 1.0
    magnitude = 10 ** math.floor(math.log10(span))
    step = next(step for step in (magnitude * part for part in (0.2, 0.5, 1, 2)) if span / step < 6)
    return [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _legend(classes: Sequence[str]) -> str:
    colours = class_colours(len(classes))
    swatches = (
        f'<span class="swatch" style="background:{_css(colour)}"></span>{escape(name)} &nbsp; '
        for name, colour in zip(classes, colours, strict=True)
    )
    return f"<p>{''.join(swatches)}</p>"


def _figure(scene: Scene, classes: Sequence[str]) -> str:
    image = stretch(read_image(scene.image), _PICTURE)
    colours = class_colours(len(classes))
    pictures = [
        draw_masks(image, [rle.resize(_PICTURE).to_mask() for rle in rles], colours)
        for rles in (scene.truth, scene.predicted)
    ]
    gap = np.full((_PICTURE[0], 8, 3), 24, np.uint8)
    quality = (cv2.IMWRITE_JPEG_QUALITY, 85)
    _, data = cv2.imencode(".jpg", np.hstack([pictures[0], gap, pictures[1]])[:, :, ::-1], quality)
    source = f"data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}"
    caption = f"{escape(scene.image.name)}: mean Dice {scene.dice.mean():.3f}; {escape(_explain(scene, classes))}"
    return f'<figure><img src="{source}" alt=""><figcaption>{caption}</figcaption></figure>'


def _explain(scene: Scene, classes: Sequence[str]) -> str:
    """Say of each class that is there or was predicted how that went."""
    words = []
    for name, truth, predicted, dice, score in zip(
        classes, scene.truth, scene.predicted, scene.dice, scene.scores, strict=True
    ):
        if truth.area and predicted.area:
            words.append(f"{name} {dice:.2f}")
        elif truth.area:
            words.append(f"{name} missed (presence {score:.2f})")
        elif predicted.area:
            words.append(f"{name} wrongly seen (presence {score:.2f})")
    return ", ".join(words) or "rightly nothing"


def _css(colour: tuple[int, int, int]) -> str:
    return f"rgb{colour}".replace(" ", "")
