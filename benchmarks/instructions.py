"""How many instructions the core's kernels take for each byte, beside those written down when they were last looked at.

    python -m benchmarks.instructions          # fails where a kernel takes 3% more than is written down
    python -m benchmarks.instructions --write  # writes the numbers down: instructions.json

Valgrind counts them, so that they are the same on a busy machine and on an idle one. It knows no AVX-512: the levels
are "scalar" and "avx2". Another compiler makes other instructions; then the ratios are shown, but none is too high.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
WRITTEN = HERE / "instructions.json"
PROGRAM = ROOT / "build" / "instructions"
LEVELS = ("scalar", "avx2")
TOLERANCE = 0.03
CXX = os.environ.get("CXX", "g++")
FLAGS = ("-std=c++17", "-O3", "-ffp-contract=off", "-fno-trapping-math", "-pthread", f"-I{ROOT / 'src'}")  # setup.py's


def build() -> str:
    """Build the program, and return the compiler's name and version."""
    PROGRAM.parent.mkdir(exist_ok=True)
    sources = [HERE / "instructions.cpp", *sorted((ROOT / "src" / "rle").glob("*.cpp"))]
    subprocess.run([CXX, *FLAGS, *sources, "-o", PROGRAM], check=True)
    version = subprocess.run([CXX, "--version"], capture_output=True, text=True, check=True)
    return version.stdout.splitlines()[0]


def count(*arguments: str) -> int:
    """Count the instructions of a run of the program."""
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", str(PROGRAM), *arguments]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    found = re.search(r"Collected : (\d+)", told)
    if found is None:
        raise ValueError(f"Valgrind did not say how many instructions it collected: {told[-500:]}")
    return int(found[1])


def measure() -> dict[str, dict[str, float]]:
    """Count instructions for each byte, by level and kernel: those of two runs more, without all that comes before."""
    listed = subprocess.run([PROGRAM], capture_output=True, text=True, check=True).stdout
    kernels = {name: int(size) for name, size in (line.split("\t") for line in listed.splitlines())}

    def one(case: tuple[str, str]) -> float:
        level, name = case
        return round((count(name, level, "3") - count(name, level, "1")) / 2 / kernels[name], 3)

    cases = [(level, name) for level in LEVELS for name in kernels]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = dict(zip(cases, pool.map(one, cases), strict=True))
    return {level: {name: found[level, name] for name in kernels} for level in LEVELS}


def main() -> None:
    """Measure, and write down or compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the numbers down")
    arguments = parser.parse_args()
    if shutil.which("valgrind") is None:
        sys.exit("valgrind is not installed; wanted: apt install valgrind")
    compiler = build()
    counts = measure()
    if arguments.write:
        WRITTEN.write_text(json.dumps({"compiler": compiler, "instructions per byte": counts}, indent=2) + "\n")
    written = json.loads(WRITTEN.read_text(encoding="utf-8"))
    sys.stdout.write(f"{compiler}; written down with {written['compiler']}\n")
    more = []
    for level, kernels in counts.items():
        for name, found in kernels.items():
            before = written["instructions per byte"].get(level, {}).get(name)
            ratio = found / before if before else 1.0
            sys.stdout.write(f"{level:7}{name:26}{found:9.3f} per byte {ratio:6.3f} of what is written down\n")
            if ratio > 1 + TOLERANCE and compiler == written["compiler"]:
                more.append(f"{name} ({level})")
    if more:
        sys.exit(f"over {TOLERANCE:.0%} more instructions than is written down: {', '.join(more)}")


if __name__ == "__main__":
    main()
