"""The rows as a table and a plot."""

import os
import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import cpuinfo
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

import cloudrle
from benchmarks.peers import MISSING, OWN_RULE
from benchmarks.racing import OURS, Row
from benchmarks.reasons import AHEAD, Lag, lags

_DISTRIBUTIONS = (
    "numpy",
    "opencv-python-headless",
    "pandas",
    "pycocotools",
    "rlemasklib",
    "hotcoco",
    "faster-coco-eval",
    "numba",
)


def _version(distribution: str) -> str:
    try:
        return f"{distribution} {version(distribution)}"
    except PackageNotFoundError:
        return f"{distribution} -"


@cache
def facts() -> list[str]:
    """Name the machine, the versions and who is absent."""
    return [
        f"{cpuinfo.get_cpu_info().get('brand_raw', platform.machine())}, {os.cpu_count()} cores, {platform.system()}; "
        f"Python {platform.python_version()}; cloudrle {cloudrle.__version__} with its {cloudrle.simd_level()} kernels",
        ", ".join(map(_version, _DISTRIBUTIONS)),
        f"Not installed and left out: {', '.join(MISSING) or 'nobody'}",
    ]


def grouped(rows: list[Row]) -> dict[str, list[Row]]:
    """Gather the rows of each operation."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.operation, []).append(row)
    return groups


def _names(rows: list[Row], kind: str) -> list[str]:
    """List contenders or baselines of any of the rows, in order."""
    return [name for name in dict.fromkeys(name for row in rows for name in getattr(row, kind)) if name != OURS]


def _cells(row: Row, baselines: list[str], others: list[str]) -> list[str]:
    ours = row.contenders[OURS]
    peers = {name: time for name, time in row.contenders.items() if not name.startswith(OURS)}
    fastest = min(peers, key=peers.__getitem__, default="")
    return [
        row.case,
        f"{1e6 * ours:,.1f}",
        *(f"{ours / row.baselines[name]:.2f}" if name in row.baselines else "" for name in baselines),
        *(f"{row.contenders[name] / ours:.2f}" if name in row.contenders else "" for name in others),
        fastest,
    ]


def tables(rows: list[Row]) -> str:
    """Make one Markdown table for each operation."""
    parts = []
    for operation, group in grouped(rows).items():
        baselines, others = _names(group, "baselines"), _names(group, "contenders")
        head = ["case", "cloudrle, us", *(f"/ {name}" for name in baselines), *others, "fastest peer"]
        lines = [head, [":--", *["--:"] * (len(head) - 2), ":--"], *(_cells(row, baselines, others) for row in group)]
        parts.append("\n".join([f"### {operation}", "", *(f"| {' | '.join(line)} |" for line in lines)]))
    return "\n\n".join(parts)


def where_peers_are_ahead(found: list[Lag]) -> str:
    """Make the table of the rows in which a peer takes less time, and why."""
    title = "### Where a peer is ahead, and why"
    if not found:
        return f"{title}\n\nNowhere: no peer takes less than {AHEAD} of cloudrle's time."
    lines = [["operation", "case", "peer", "its time / cloudrle's", "reason"], [":--", ":--", ":--", "--:", ":--"]]
    for lag in found:
        why = lag.reason or "**None is known.**"
        lines.append([lag.row.operation, lag.row.case, lag.peer, f"{lag.ratio:.2f}", why])
    return "\n".join([title, "", *(f"| {' | '.join(line)} |" for line in lines)])


def markdown(rows: list[Row]) -> str:
    """Make the whole of RESULTS.md."""
    return "\n".join(
        [
            "# cloudrle beside memory and its peers",
            "",
            "Written by `python -m pytest benchmarks`. Medians of calls timed in turn, on one thread unless the column",
            "says otherwise; every answer was compared. A column `/ memcpy`, `/ memset` or `/ read` is cloudrle's time",
            "over the time to copy, fill or read as many bytes as the mask has (less is better); a peer's column is",
            f"its time over cloudrle's (more is better). `{OWN_RULE}` marks a peer that resizes by a rule of its own:",
            "its answer was not compared.",
            "",
            *(f"- {fact}" for fact in facts()),
            "",
            "![Times over memcpy](RESULTS.png)",
            "",
            where_peers_are_ahead(lags(rows)),
            "",
            tables(rows),
            "",
        ]
    )


def plot(rows: list[Row]) -> Figure:
    """Show every contender's time over memcpy's on the large masks, one panel for each operation."""
    shown = [row for row in rows if row.case.endswith("1400 x 2100")] or rows
    groups = grouped([row for row in shown if "memcpy" in row.baselines])
    figure = Figure(figsize=(14, 3.2 * -(-len(groups) // 2)), layout="constrained")
    panels = list(figure.subplots(-(-len(groups) // 2), 2, squeeze=False).flat)
    colours = {name: f"C{i}" for i, name in enumerate([OURS, *_names(shown, "contenders")])}
    for panel, (operation, group) in zip(panels, groups.items(), strict=False):
        for name in [OURS, *_names(group, "contenders")]:
            raced = [row for row in group if name in row.contenders]
            ratios = [row.contenders[name] / row.baselines["memcpy"] for row in raced]
            size = 12 if name == OURS else 6
            panel.plot(ratios, [row.case for row in raced], "o", color=colours[name], markersize=size)
        panel.axvline(1, color="grey", linestyle="--")
        panel.set(xscale="log", title=operation, xlabel="time / memcpy")
        panel.invert_yaxis()
    for panel in panels[len(groups) :]:
        panel.set_axis_off()
    dots = [Line2D([], [], color=colour, marker="o", linestyle="") for colour in colours.values()]
    figure.legend(dots, list(colours), loc="outside lower center", ncols=5)
    return figure


def write(rows: list[Row], folder: Path) -> None:
    """Write RESULTS.md and RESULTS.png."""
    (folder / "RESULTS.md").write_text(markdown(rows), encoding="utf-8")
    plot(rows).savefig(folder / "RESULTS.png", dpi=110)
