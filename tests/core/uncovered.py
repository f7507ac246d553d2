"""What of src/rle the tests do not reach, and why: each line or branch has a reason here, or the report fails."""

import json
import sys
from collections import defaultdict
from itertools import zip_longest
from pathlib import Path
from typing import Any

OTHER_CPU = "a CPU that has more or less than this one"
OTHER_SYSTEM = "a system that says more or less about its memory than this one"
ENUMERATORS = "the compiler's, for a number that is no enumerator"
FIRST_CALL = "the compiler's, for two threads that call it first at the same time"
NEVER_THROWS = "the compiler's, for an exception of a function that throws none"
ARRAY_LENGTH = "the compiler's, for more elements than an address can count"

# File, a part of the line, reason.
REASONS = (
    ("simd.hpp", "__builtin_cpu_supports", OTHER_CPU),
    ("simd.hpp", "if (avx2) return", OTHER_CPU),
    ("simd.hpp", "return Level::scalar;", OTHER_CPU),
    ("text_kernels.cpp", "if (has_vbmi2", OTHER_CPU),
    ("memory.cpp", "if (pages > 0", OTHER_SYSTEM),
    ("memory.cpp", "for (const char* const path", OTHER_SYSTEM),
    ("memory.cpp", "if (file == nullptr)", OTHER_SYSTEM),
    ("memory.cpp", "if (std::fscanf", OTHER_SYSTEM),
    ("memory.cpp", "static const double bytes", FIRST_CALL),
    ("simd.hpp", "static std::atomic<Level>", FIRST_CALL),
    ("algebra.cpp", "switch (operation)", ENUMERATORS),
    ("resize.cpp", "switch (interpolation)", ENUMERATORS),
    ("text.cpp", "switch (pairs)", ENUMERATORS),
    ("axis.hpp", "std::clamp", NEVER_THROWS),
    ("buffer.hpp", "std::max", NEVER_THROWS),
    ("cvat.cpp", "new Run[", ARRAY_LENGTH),
    ("mask.cpp", "new Change[", ARRAY_LENGTH),
    ("text.cpp", "new Run[", ARRAY_LENGTH),
    ("threads.cpp", "if (known && CPU_COUNT", "a system that does not say which cores there are, or has a thousand"),
    ("threads.hpp", "const auto call", "gcov loses the counts of this lambda; test_core.cpp waits for what it calls"),
    ("threads.cpp", "return new Worker;", NEVER_THROWS),
    ("threads.cpp", "catch (const std::", "a thread that cannot start throws nothing else"),
    ("threads.cpp", "if (!state_.compare", "a race: the caller takes a task back while a thread wakes up to it"),
    ("threads.cpp", "forks_are_told", "only after a fork, of which tests/test_cloudrle_masks.py has one"),
)


def merged(path: Path) -> dict[tuple[str, int], tuple[int, list[int]]]:
    """How often each line and each of its branches was taken, over all instantiations of its template."""
    lines: dict[tuple[str, int], tuple[int, list[int]]] = defaultdict(lambda: (0, []))
    for file in json.loads(path.read_text(encoding="utf-8"))["files"]:
        for line in file["lines"]:
            key = (file["file"], line["line_number"])
            count, branches = lines[key]
            here = [branch["count"] for branch in line.get("branches", [])]
            lines[key] = count + line["count"], [a + b for a, b in zip_longest(branches, here, fillvalue=0)]
    return lines


def reason(file: str, text: str) -> str | None:
    """Find the reason for a line, if it has one."""
    return next((why for name, part, why in REASONS if file.endswith(name) and part in text), None)


def report(path: Path, root: Path) -> None:
    """Print what was not taken, with its reason; end the process where one has none."""
    unexplained = 0
    totals: Any = [0, 0, 0, 0]
    for (file, number), (count, branches) in sorted(merged(path).items()):
        totals = [a + b for a, b in zip(totals, (count > 0, 1, sum(map(bool, branches)), len(branches)), strict=True)]
        if count and all(branches):
            continue
        text = (root / file).read_text(encoding="utf-8").splitlines()[number - 1].strip()
        why = reason(file, text)
        unexplained += why is None
        missed = "line" if not count else f"{branches.count(0)} of {len(branches)} branches"
        sys.stdout.write(f"{file}:{number}: {missed} not taken ({why or 'WITHOUT A REASON'}): {text}\n")
    sys.stdout.write(
        f"lines: {totals[0]} of {totals[1]} ({totals[0] / totals[1]:.1%}); "
        f"branches: {totals[2]} of {totals[3]} ({totals[2] / totals[3]:.1%})\n"
    )
    if unexplained:
        sys.exit(f"{unexplained} lines are not covered and have no reason in {Path(__file__).name}")
