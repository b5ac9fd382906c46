"""Draws the README's picture from a run directory: `python docs/picture.py RUN docs/images/optimize.svg`."""

from __future__ import annotations

import sys
from pathlib import Path

from promptc.cli.reports.files import picture
from promptc.cli.reports.stored import stored_run


def main(run: str, target: str) -> None:
    """The short report of a finished run, as rich exports it."""
    Path(target).write_text(picture(stored_run(Path(run)).details, brief=True), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
