"""What stays as it is for users, as CONTRIBUTING.md promises it: the public API, and how a name leaves it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import public_api
import pytest

import cloudrle

ROOT = Path(__file__).parents[1]
WORDS = re.compile(r".+ is deprecated since (\d+)\.(\d+) and goes in (\d+)\.(\d+); .+")
TERM = 2  # minor releases


def test_the_public_api_is_the_listed_one() -> None:
    listed = (ROOT / "docs" / "api.txt").read_text(encoding="utf-8").splitlines()
    assert public_api.listing() == listed, "if that is meant: python tests/public_api.py > docs/api.txt"


def deprecations(source: str) -> Iterator[str]:
    """The texts of all warnings of that kind; what is filled in when they are given is {}."""
    for call in ast.walk(ast.parse(source)):
        if isinstance(call, ast.Call):
            given = [*call.args, *(keyword.value for keyword in call.keywords)]
            if any(isinstance(value, ast.Name) and value.id == "DeprecationWarning" for value in given):
                parts = given[0].values if isinstance(given[0], ast.JoinedStr) else given[:1]
                yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in parts)


def fault_of(message: str, version: str) -> str | None:
    found = WORDS.fullmatch(message)
    if found is None:
        return "it does not say since when, until when, and what to use"
    since, until = (int(found[1]), int(found[2])), (int(found[3]), int(found[4]))
    if until < (since[0], since[1] + TERM) and until[0] == since[0]:
        return f"it must stay for {TERM} minor releases"
    return "its time is over" if until <= tuple(map(int, version.split(".")[:2])) else None


@pytest.mark.parametrize(
    ("source", "version", "fault"),
    [
        ('warn("f is deprecated since 0.2 and goes in 0.4; use g", DeprecationWarning, stacklevel=2)', "0.3.5", None),
        ('warn("f is deprecated since 0.9 and goes in 1.0; use g", category=DeprecationWarning)', "0.9.0", None),
        ('warn(f"{f} is deprecated since 0.2 and goes in 0.4; use {g}", DeprecationWarning)', "0.3.0", None),
        (
            'warn("f is deprecated since 0.2 and goes in 0.4; use g", DeprecationWarning)',
            "0.4.0",
            "its time is over",
        ),
        (
            'warn("f is deprecated since 0.2 and goes in 0.3; use g", DeprecationWarning)',
            "0.2.0",
            "it must stay for 2 minor releases",
        ),
        (
            'warn("f is old", DeprecationWarning)',
            "0.2.0",
            "it does not say since when, until when, and what to use",
        ),
    ],
)
def test_a_deprecation_keeps_the_policy(source: str, version: str, fault: str | None) -> None:
    assert [fault_of(message, version) for message in deprecations(source)] == [fault]


def test_every_deprecation_of_the_packages_keeps_it() -> None:
    for package in ("cloudrle", "cloudseg_sdk"):
        for path in (ROOT / package).rglob("*.py"):
            for message in deprecations(path.read_text(encoding="utf-8")):
                assert fault_of(message, cloudrle.__version__) is None, f"{path}: {message}"
