"""--help is what people read first: its text is kept, and every command leads with examples."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from promptc.cli.main import COMMANDS, promptc

GOLDEN = Path(__file__).parent / "golden" / "help"
UPDATE = os.environ.get("UPDATE_GOLDEN") == "1"


def help_of(*command: str) -> str:
    result = CliRunner().invoke(promptc, [*command, "--help"], prog_name="promptc", terminal_width=100)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_says_what_it_said(command):
    text = help_of(*([command] if command else []))
    path = GOLDEN / f"{command or 'promptc'}.txt"
    if UPDATE:
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), (
        "run UPDATE_GOLDEN=1 pytest tests/test_help.py and read the change"
    )


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "cache"])
def test_each_command_shows_examples(command):
    text = help_of(command)
    assert "Examples:" in text
    assert f"promptc {command}" in text


def test_the_exit_codes_stand_in_the_help():
    text = help_of()
    assert "Exit codes:" in text
    for code in ("0 ", "1 ", "2 ", "3 ", "4 ", "5 ", "6 ", "7 ", "8 ", "130, 143"):
        assert code in text
