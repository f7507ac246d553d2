"""``python -m cloudrle.cli``: what the command ``cloudrle`` does."""

from cloudrle.cli import main

main()
