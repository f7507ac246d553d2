"""What the project promises of its own code: style, types, versions, and who imports whom."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import cloudrle
import cloudseg_sdk

ROOT = Path(__file__).parents[1]
SDK = ROOT / "cloudseg_sdk"
HEAVY = {"jax", "keras", "matplotlib", "openvino", "ray", "tensorflow", "torch"}

# Each part of the SDK, and the parts it may import. A module at the top level is a part of its own.
BASE = {"config", "errors"}
SHARED = {"cloudrle._files"}  # what both packages need and neither publishes
ARROWS = {
    "config": {"errors"},
    "errors": set(),
    "metrics": set(),
    "data": BASE,
    "graph": {"errors"},
    "models": BASE | {"graph"},
    "bundle": BASE | {"graph"},
    "inference": BASE | {"data", "graph", "metrics"},
    "training": BASE | {"data", "metrics", "models", "inference"},
    "evaluation": BASE | {"data", "inference", "metrics"},
    "page": BASE | {"data", "evaluation", "metrics"},
    "synthetic": BASE,
    "doctor": BASE | {"inference"},
    "parity": BASE | {"inference"},
    "network": BASE | {"bundle", "graph", "inference", "models", "parity"},
    "exporting": BASE | {"bundle", "graph", "inference", "models", "network", "parity"},
    "segmenter": BASE
    | {"bundle", "data", "evaluation", "exporting", "inference", "metrics", "models", "network", "page", "training"},
    "distributed": BASE | {"data", "inference", "network", "segmenter"},
    "cli": BASE
    | {"__init__", "data", "doctor", "exporting", "inference", "metrics", "segmenter", "synthetic", "training"},
    "__main__": {"cli"},
    "__init__": BASE | {"data", "inference", "segmenter", "training"},
}


def run(*command: str) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def imports(path: Path) -> set[str]:
    """Every module that a file imports anywhere, in full; relative imports are banned by ruff."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def sdk_part(module: str) -> str:
    """The part of the SDK that a module ``cloudseg_sdk...`` belongs to."""
    names = module.split(".")
    return names[1] if len(names) > 1 else "__init__"


def test_ruff_finds_nothing() -> None:
    run("ruff", "check", ".")
    run("ruff", "format", "--check", ".")


def test_types_are_strict_and_complete() -> None:
    run("mypy")


def test_cpp_is_formatted() -> None:
    binary = shutil.which("clang-format", path=str(Path(sys.executable).parent))
    assert binary, "clang-format comes with the extra test"
    folders = (ROOT / "src", ROOT / "tests" / "core", ROOT / "benchmarks")
    sources = [str(path) for root in folders for path in root.rglob("*") if path.suffix in (".cpp", ".hpp", ".inl")]
    assert sources
    done = subprocess.run([binary, "--dry-run", "-Werror", *sources], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_there_is_one_version() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert cloudrle.__version__ == cloudseg_sdk.__version__ == declared
    assert f"## {declared}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", sorted(SDK.rglob("*.py")), ids=lambda path: str(path.relative_to(SDK)))
def test_the_sdk_imports_one_way(path: Path) -> None:
    here = path.relative_to(SDK).parts[0].removesuffix(".py")
    modules = imports(path)
    targets = {sdk_part(module) for module in modules if module.split(".")[0] == "cloudseg_sdk"}
    assert targets <= ARROWS[here] | {here}
    inside = {module for module in modules if module.startswith("cloudrle.")}
    assert inside <= SHARED, "else only the public names of cloudrle"


def test_the_codec_imports_numpy_alone() -> None:
    for path in (ROOT / "cloudrle").glob("*.py"):
        third_party = {name.split(".")[0] for name in imports(path)} - sys.stdlib_module_names
        allowed = {"pandas"} if path.name == "frames.py" else set()  # imported when its function is called
        assert third_party <= {"cloudrle", "numpy"} | allowed, path


def test_the_core_knows_no_python() -> None:
    for path in [*(ROOT / "src" / "rle").iterdir(), *(ROOT / "src" / "images").iterdir()]:
        includes = re.findall(r"#include\s+[<\"]([^>\"]+)", path.read_text(encoding="utf-8"))
        assert not [name for name in includes if "Python" in name or "pybind11" in name], path
        own = (f"{path.parent.name}/", "rle/")
        assert all(
            name.startswith(own) or re.fullmatch(r"[a-z_]+|(immintrin|pthread|sched|unistd)\.h", name)
            for name in includes
        ), includes


def test_importing_the_sdk_loads_no_framework() -> None:
    code = "from cloudseg_sdk import CloudDataset, ModelConfig, Segmenter; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {name.split(".")[0] for name in done.stdout.split()} & {*HEAVY, "pandas", "rich"}


def test_what_is_imported_when_it_is_asked_for_is_listed() -> None:
    assert dir(cloudseg_sdk) == sorted(cloudseg_sdk.__all__)
