"""Every test of the kernels, at every SIMD level below the one that this machine has."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import cloudrle

LEVELS = ("scalar", "avx2", "avx512")
HERE = Path(__file__).parent
CODEC = sorted(str(path) for path in HERE.glob("test_cloudrle_*.py") if path.name != Path(__file__).name)
SUITES = [*CODEC, str(HERE / "test_area.py")]


def run(code_or_tests: list[str], level: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"CLOUDRLE_SIMD": level}
    return subprocess.run(
        [sys.executable, *code_or_tests], cwd=HERE.parent, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("level", LEVELS)
def test_the_kernels_do_the_same_at_a_lower_level(level: str) -> None:
    if LEVELS.index(level) >= LEVELS.index(cloudrle.simd_level()):
        pytest.skip(f"this process runs at {cloudrle.simd_level()} already")
    done = run(["-m", "pytest", "-q", "-p", "no:cacheprovider", *SUITES], level)
    assert done.returncode == 0, done.stdout[-5000:]


def test_the_environment_lowers_the_level_and_never_raises_it() -> None:
    show = ["-c", "import cloudrle; print(cloudrle.simd_level())"]
    assert run(show, "scalar").stdout == "scalar\n"
    assert LEVELS.index(run(show, "avx512").stdout.strip()) >= LEVELS.index(cloudrle.simd_level())
    assert run(show, "").returncode == 0


def test_an_unknown_level_is_refused() -> None:
    done = run(["-c", "import cloudrle"], "sse2")
    assert "CLOUDRLE_SIMD must be scalar, avx2 or avx512, got sse2" in done.stderr
    assert done.returncode == 1
