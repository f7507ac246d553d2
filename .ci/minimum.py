"""Prints the oldest versions that pyproject.toml allows users, as constraints for pip."""

import re
import sys
import tomllib
from pathlib import Path

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = [lines for name, lines in PROJECT["optional-dependencies"].items() if name not in ("bench", "test")]

oldest = set()
for line in [*PROJECT["dependencies"], *(line for lines in EXTRAS for line in lines)]:
    found = re.fullmatch(r"([\w-]+)(?:\[[\w-]+\])?>=([\d.]+)(?:,<\d+)?", line)
    if found is None:
        sys.exit(f"pyproject.toml gives no lower bound for {line!r}, or one that this does not read")
    oldest.add("{}=={}\n".format(*found.groups()))
sys.stdout.writelines(sorted(oldest))
