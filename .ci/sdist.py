"""Checks that an sdist holds what a build needs, and nothing else: ``python .ci/sdist.py dist/*.tar.gz``."""

import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
NEEDED = ("cloudrle", "cloudseg_sdk", "src", "pyproject.toml", "setup.py", "MANIFEST.in")
TOLD = ("CHANGELOG.md", "LICENSE", "README.md", "SECURITY.md")
MADE = ("PKG-INFO", "cloudseg_sdk.egg-info/", "setup.cfg")  # by setuptools

tracked = subprocess.run(["git", "ls-files", *NEEDED, *TOLD], cwd=ROOT, capture_output=True, text=True, check=True)
with tarfile.open(sys.argv[1]) as archive:
    names = [member.name.partition("/")[2] for member in archive if member.isfile()]
differences = {name for name in names if not name.startswith(MADE)} ^ set(tracked.stdout.split())
if differences:
    sys.exit(f"{sys.argv[1]} lacks or should lack {sorted(differences)}; see MANIFEST.in")
