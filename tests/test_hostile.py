"""Hostile files: each is refused in its own words, or read, by all that read it, within bounds of memory and time."""

import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from hostile.__main__ import CORPUS

ROOM = 3 << 30  # bytes of addresses, of which libraries take a half
SECONDS = 120  # of processor time; a busy machine does not count


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str | None]:
    """What came of reading every file, in a process that may take neither much memory nor much time."""
    folder = tmp_path_factory.mktemp("hostile")

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (ROOM, ROOM))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))

    done = subprocess.run(
        [sys.executable, "-m", "hostile", str(folder)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
        preexec_fn=limit,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outcome: dict[str, str | None] = json.loads(done.stdout)
    return outcome


@pytest.mark.parametrize(
    ("name", "reader"), [(name, reader) for name, case in CORPUS.items() for reader in case.words], ids=str
)
def test_a_hostile_file_is_refused_in_its_own_words(found: dict[str, str | None], name: str, reader: str) -> None:
    wanted, words = CORPUS[name].words[reader], found[f"{name} {reader}"]
    if wanted is None or words is None:
        assert words == wanted
    else:
        pattern = ".*".join(map(re.escape, wanted.split("...")))
        assert re.fullmatch(pattern, words, re.DOTALL), words


def test_every_refusal_is_short(found: dict[str, str | None]) -> None:
    """A name of a million characters is no reason to print them."""
    assert max(len(words) for words in found.values() if words is not None) < 700
