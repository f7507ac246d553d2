"""``python -m cloudseg_sdk``: the same as the command ``cloudseg``."""

from cloudseg_sdk.cli import main

main()
