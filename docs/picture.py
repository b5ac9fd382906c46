"""Draws the README's picture from a run directory: `python docs/picture.py RUN docs/images/optimize.svg`."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from promptc.cli.conduct import REPORT_DETAILS
from promptc.cli.reports.details import ReportDetails
from promptc.cli.reports.files import picture


def main(run: str, target: str) -> None:
    """The short report of a finished run, as rich exports it."""
    details = msgspec.json.decode((Path(run) / REPORT_DETAILS).read_bytes(), type=ReportDetails)
    Path(target).write_text(picture(details, brief=True), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
