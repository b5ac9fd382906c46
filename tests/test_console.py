"""The console: streams, colours, text that others wrote, progress, and findings about a spec."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_cases import HOSTILE, OBEYED, SGR, Screen

from promptc.cli.console import ColorChoice, Terminal, columns, open_terminal, wants_color
from promptc.cli.diagnostics_view import print_diagnostics, read_sources
from promptc.cli.progress import SECONDS_BETWEEN_LINES, LiveProgress, PlainLines
from promptc.cli.progress_counts import Counts, finished, status, trial_line
from promptc.cli.untrusted import excerpt, one_line, path_line, plain, visible
from promptc.runners.evaluate import RowRecord
from promptc.runners.failures import Failure
from promptc.runners.progress import Progress
from promptc.spec.diagnostics import Diagnostic, Position
from promptc.spec.errors import DataError


def terminal(
    environment: dict[str, str] | None = None, *, live: bool = True, encoding: str = "utf-8", **rest: object
) -> tuple[Terminal, Screen, Screen]:
    out, err = Screen(encoding, terminal=live), Screen(encoding, terminal=live)
    known = {"TERM": "xterm-256color", "COLUMNS": "80", **(environment or {})}
    return open_terminal(out, err, known, **rest), out, err  # type: ignore[arg-type]


# Colour


@pytest.mark.parametrize(
    ("environment", "live", "choice", "expected"),
    [
        ({}, True, "auto", True),
        ({}, False, "auto", False),
        ({"NO_COLOR": "1"}, True, "auto", False),
        ({"NO_COLOR": ""}, True, "auto", True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, "auto", False),
        ({"FORCE_COLOR": "1"}, False, "auto", True),
        ({"FORCE_COLOR": "0"}, False, "auto", False),
        ({"CLICOLOR_FORCE": "1"}, False, "auto", True),
        ({"CLICOLOR_FORCE": "0"}, False, "auto", False),
        ({"FORCE_COLOR": "1", "TERM": "dumb"}, True, "auto", True),
        ({"TERM": "dumb"}, True, "auto", False),
        ({"NO_COLOR": "1"}, False, "always", True),
        ({"FORCE_COLOR": "1"}, True, "never", False),
    ],
)
def test_colour_follows_the_flag_then_the_environment_then_the_stream(
    environment: dict[str, str], live: bool, choice: ColorChoice, expected: bool
) -> None:
    assert wants_color(Screen(terminal=live), environment, choice) is expected
    opened, out, _ = terminal(environment, live=live, color=choice)
    opened.answer(plain("text", "red"))
    assert ("\x1b[31m" in out.text()) is expected


def test_each_stream_is_asked_for_itself() -> None:
    out, err = Screen(terminal=False), Screen(terminal=True)
    opened = open_terminal(out, err, {"TERM": "xterm"})
    opened.answer(plain("a", "red"))
    opened.say(plain("b", "red"))
    assert (out.text(), err.text()) == ("a\n", "\x1b[31mb\x1b[0m\n")


def test_without_colour_nothing_is_styled_at_all() -> None:
    opened, out, err = terminal({"NO_COLOR": "1"})
    opened.answer(plain("bold", "bold"))
    opened.complain("wrong", "mend it")
    assert "\x1b" not in out.text() + err.text()


@pytest.mark.parametrize(
    ("text", "expected"),
    [("120", 120), ("20", 60), ("0", None), ("", None), ("wide", None), ("-5", None), ("²", None)],
)
def test_columns_are_taken_from_the_environment(text: str, expected: int | None) -> None:
    assert columns({"COLUMNS": text}) == expected


def test_a_pipe_has_the_width_of_a_report() -> None:
    out = Screen(terminal=False)
    assert open_terminal(out, out, {}).out.width == 100
    assert open_terminal(out, out, {"COLUMNS": "140"}).out.width == 140


@pytest.mark.parametrize(
    ("environment", "live", "expected"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"CI": "true"}, True, False),
        ({"CI": "false"}, True, True),
        ({"TERM": "dumb"}, True, False),
        ({"FORCE_COLOR": "1"}, False, False),
    ],
)
def test_nothing_moves_where_nobody_watches(environment: dict[str, str], live: bool, expected: bool) -> None:
    assert terminal(environment, live=live)[0].animated is expected


# What is said


def test_stdout_is_the_answer_and_stderr_the_conversation() -> None:
    opened, out, err = terminal({"NO_COLOR": "1"}, verbosity=1)
    opened.answer("answer")
    opened.write('{"a": 1}\n')
    opened.say("said")
    opened.detail("detail")
    opened.warn("careful")
    opened.fail(DataError("rows.jsonl", "no JSON", line=3, hint="mend it"))
    assert out.text() == 'answer\n{"a": 1}\n'
    assert err.text() == "said\ndetail\nwarning: careful\nerror: rows.jsonl:3: no JSON\nhint: mend it\n"


@pytest.mark.parametrize(
    ("verbosity", "heard"),
    [
        (-1, ["error: wrong"]),
        (0, ["said", "warning: careful", "error: wrong"]),
        (1, ["said", "detail", "warning: careful", "error: wrong"]),
    ],
)
def test_quiet_keeps_the_errors_and_verbose_adds_details(verbosity: int, heard: list[str]) -> None:
    opened, _, err = terminal({"NO_COLOR": "1"}, verbosity=verbosity)
    opened.say("said")
    opened.detail("detail")
    opened.warn("careful")
    opened.complain("wrong")
    assert err.text().splitlines() == heard


@pytest.mark.parametrize("payload", HOSTILE.values(), ids=HOSTILE)
def test_an_error_of_others_is_only_text(payload: str) -> None:
    opened, _, err = terminal({"FORCE_COLOR": "1"})
    opened.complain(payload, payload)
    opened.warn(payload)
    assert not OBEYED.search(SGR.sub("", err.text()))
    assert len(err.text()) < 60_000


def test_markup_emoji_and_highlighting_are_off() -> None:
    opened, out, _ = terminal({})
    opened.answer("[red]x[/red] :smile: 12 'y' https://example.org")
    assert out.text() == "[red]x[/red] :smile: 12 'y' https://example.org\n"


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [("utf-8", "é → 漢 … ●\n"), ("latin-1", "é > ? ~ *\n"), ("ascii", "? > ? ~ *\n")],
)
def test_what_an_encoding_lacks_gets_a_likeness(encoding: str, expected: str) -> None:
    opened, out, _ = terminal({"NO_COLOR": "1"}, encoding=encoding)
    opened.answer("é → 漢 … ●")
    assert out.text() == expected


def test_a_closed_pipe_ends_in_one_place() -> None:
    program = (
        "import sys, os\n"
        "from promptc.cli.console import open_terminal\n"
        "opened = open_terminal(sys.stdout, sys.stderr, os.environ)\n"
        "try:\n"
        "    for _ in range(100_000): opened.answer('line ' * 20)\n"
        "except BrokenPipeError:\n"
        "    os._exit(23)\n"
    )
    reading, writing = os.pipe()
    process = subprocess.Popen([sys.executable, "-c", program], stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    os.close(reading)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (23, b"")


def test_rich_is_loaded_when_a_terminal_is_opened_and_not_before() -> None:
    program = (
        "import sys\n"
        "import promptc.cli.console, promptc.cli.untrusted, promptc.cli.diagnostics_view\n"
        "import promptc.cli.progress, promptc.cli.reports.diff, promptc.cli.reports.machine\n"
        "print(sorted(m for m in sys.modules if m == 'rich' or m.startswith('rich.')))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "[]\n"


# Text that others wrote


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain text, äöü, 漢字, 🙂, नमस्ते", "plain text, äöü, 漢字, 🙂, नमस्ते"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("\x9b31m", "\\x9b31m"),
        ("\x1b]8;;http://e\x07x", "\\x1b]8;;http://e\\x07x"),
        ("a\tb", "a    b"),
        ("a\r\nb\rc", "a\nb\\x0dc"),
        ("a\x00b\x7f", "a\\x00b\\x7f"),
        ("user\u202enimda", "user\\u202enimda"),
        ("\u2067x\u2069", "\\u2067x\\u2069"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("half \ud83d", "half \\ud83d"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("می\u200cخواهم 👨\u200d👩\u200d👧", "می\u200cخواهم 👨\u200d👩\u200d👧"),
        ("e\u0301", "e\u0301"),
        ("e" + "\u0301" * 50, "e" + "\u0301" * 4),
        ("[red]\\[/]", "[red]\\[/]"),
    ],
)
def test_what_would_be_obeyed_or_hidden_is_written_out(text: str, expected: str) -> None:
    assert visible(text) == expected


@given(st.text(st.characters(exclude_categories=())))
def test_visible_text_can_be_shown_and_stored(text: str) -> None:
    shown = visible(text)
    assert not OBEYED.search(shown)
    assert visible(shown) == shown
    assert shown.encode().decode() == shown


@given(st.text(st.characters(exclude_categories=())), st.integers(1, 60))
def test_a_line_is_one_line_of_the_length_asked_for(text: str, limit: int) -> None:
    line = one_line(text, limit)
    assert len(line) <= limit
    assert "\n" not in line
    assert line == line.strip()


def test_a_cut_is_seen() -> None:
    assert one_line("word " * 100, 12) == "word word w…"
    assert one_line("exactly ten", 11) == "exactly ten"
    assert one_line(" " * 10_000 + "late", 20) == "…"


def test_an_excerpt_shows_values_as_json_and_strings_as_they_are() -> None:
    assert excerpt("a\nb") == "a b"
    assert excerpt({"a": [1, "é"], "b": None}) == '{"a": [1, "é"], "b": null}'
    assert excerpt(["x"] * 100, 10) == '["x", "x",…'.replace(",…", "…")


def test_a_path_keeps_its_spaces() -> None:
    assert path_line("my  runs/a\nb\x1b") == "my  runs/a\\nb\\x1b"


# Progress


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def record(score: float | None = 1.0, failure: Failure | None = None) -> RowRecord:
    return RowRecord(id="r", index=0, outputs={}, score=score, metrics={}, failure=failure)


def plain_progress(clock: Clock, waiting: str = "") -> tuple[LiveProgress, PlainLines, Screen]:
    opened, _, err = terminal({"CI": "1", "NO_COLOR": "1"})
    shown = LiveProgress(opened, spent=lambda: (1204, 0.42), waiting_for=lambda: waiting, clock=clock)
    display = shown._display
    assert isinstance(display, PlainLines)
    return shown, display, err


def test_progress_is_what_a_run_expects() -> None:
    shown: Progress = LiveProgress(terminal(verbosity=-1)[0], spent=lambda: (0, 0.0))
    shown.phase("dev", 3)
    shown.row(record())
    shown.trial(0, "start", 0.5, 0.5)
    shown.note("hello")


def test_a_log_gets_a_line_every_five_seconds_and_one_for_each_phase() -> None:
    clock = Clock()
    shown, display, err = plain_progress(clock, waiting="rate limit, 12 s")
    shown.phase("dev", 10)
    for second in range(12):
        clock.now = 100.0 + second
        if second % 2:
            shown.row(record(float(second > 4)))
        display.tick()
    shown.row(record(None, Failure("provider", "503")))
    shown.phase("test", None)
    clock.now += 1.5
    shown.row(record(0.25))
    shown.close()
    shown.close()
    assert err.text().splitlines() == [
        "dev: 3/10 rows, score 0.333, 0.6 rows/s, 1,204 calls, $0.42, waiting: rate limit, 12 s",
        "dev: 5/10 rows, score 0.600, 0.5 rows/s, 1,204 calls, $0.42, waiting: rate limit, 12 s",
        "dev: done, 7 rows, score 0.667, 1 failed, 11 s, 1,204 calls so far, $0.42",
        "test: done, 1 row, score 0.250, 1.5 s, 1,204 calls so far, $0.42",
    ]


def test_a_log_gets_a_line_for_each_trial() -> None:
    shown, _, err = plain_progress(Clock())
    shown.phase("search", None)
    shown.trial(0, "start", 0.45, 0.45)
    shown.trial(1, "labeled", 0.7, 0.7)
    shown.trial(2, "bootstrapped", 0.6, 0.7)
    shown.trial(3, "bootstrapped", None, 0.7)
    shown.note("the provider is overloaded")
    assert shown.counts.best == (1, "labeled", 0.7)
    shown.close()
    assert err.text().splitlines()[:5] == [
        "trial 0 (start): 0.450",
        "trial 1 (labeled): 0.700, the new best by +0.250",
        "trial 2 (bootstrapped): 0.600, best 0.700",
        "trial 3 (bootstrapped): no valid score, too many rows are unscored",
        "note: the provider is overloaded",
    ]


def test_the_running_score_is_one_candidates() -> None:
    shown, _, _ = plain_progress(Clock())
    shown.phase("search", None)
    shown.row(record(0.0))
    shown.trial(0, "start", 0.0, 0.0)
    shown.row(record(1.0))
    assert shown.counts.mean == 1.0
    shown.close()


def test_a_waiting_run_speaks_by_itself() -> None:
    clock = Clock()
    shown, _, err = plain_progress(clock, waiting="rate limit, 12 s")
    shown.phase("dev", 10)
    clock.now += SECONDS_BETWEEN_LINES
    for _ in range(100):
        if err.text():
            break
        time.sleep(0.05)
    shown.close()
    assert err.text().startswith("dev: 0/10 rows, 1,204 calls, $0.42, waiting: rate limit, 12 s\n")


def test_quiet_progress_says_nothing() -> None:
    opened, out, err = terminal(verbosity=-1)
    shown = LiveProgress(opened, spent=lambda: (0, 0.0))
    shown.phase("dev", 1)
    shown.row(record())
    shown.trial(0, "start", 1.0, 1.0)
    shown.note("x")
    shown.close()
    assert out.text() + err.text() == ""


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_live_lines_are_drawn_and_taken_away(encoding: str) -> None:
    opened, out, err = terminal({}, encoding=encoding)
    shown = LiveProgress(opened, spent=lambda: (7, 0.0), waiting_for=lambda: "rate limit, 2 s")
    shown.phase("dev\x1b[2J", 4)
    shown.row(record(0.5))
    shown.trial(0, "start\x1b[2J", 0.5, 0.5)
    time.sleep(0.4)
    drawn = err.text()
    shown.note("a storm\x1b[2J")
    shown.close()
    for part in ("1/4 rows", "7 calls", "$0.00", "waiting: rate limit, 2 s", "best 0.500", "25 %"):
        assert part in drawn
    assert "\x1b[2J" not in err.text()
    assert "note: a storm\\x1b[2J" in err.text()
    assert err.text().count("\x1b[?25l") == err.text().count("\x1b[?25h") == 1
    assert out.text() == ""


def test_a_streaming_answer_keeps_its_screen_to_itself() -> None:
    opened, _, err = terminal({"NO_COLOR": "1"})
    shown = LiveProgress(opened, spent=lambda: (1, 0.0), streaming=True)
    shown.phase("run", 1)
    shown.row(record(None))
    shown.close()
    assert "\x1b" not in err.text()
    assert err.text().startswith("run: done, 1 row, ")


def test_a_row_costs_next_to_nothing() -> None:
    shown = LiveProgress(terminal(verbosity=-1)[0], spent=lambda: (0, 0.0))
    shown.phase("dev", None)
    done = record()
    began = time.perf_counter()
    for _ in range(50_000):
        shown.row(done)
    assert time.perf_counter() - began < 50_000 * 10e-6
    assert shown.counts.done == 50_000


def test_the_speed_is_that_of_the_last_seconds() -> None:
    clock = Clock()
    counts = Counts(clock)
    counts.begin("dev", 100)
    for _ in range(30):
        clock.now += 1
        counts.done += 1 if clock.now <= 115 else 3
        counts.sample()
    assert counts.rate() == pytest.approx(3.0, abs=0.3)
    assert counts.left() == pytest.approx((100 - 60) / counts.rate())
    counts.begin("search", None)
    assert counts.left() is None


def test_more_rows_than_announced_are_only_counted() -> None:
    counts = Counts(Clock())
    counts.begin("test", 2)
    counts.done = 3
    assert (counts.whole, counts.left()) == (None, None)
    assert status(counts, (3, 0.0), "").startswith("test: 3 rows, ")


def test_lines_of_progress_hold_no_others_control_characters() -> None:
    counts = Counts(Clock())
    counts.begin("dev\x1b\n", 2)
    for text in (
        status(counts, (1, 0.1), "wait\x1b\n"),
        finished(counts, (1, 0.1)),
        trial_line(1, "origin\x1b\n", 0.5, 0.5, 0.4),
    ):
        assert not OBEYED.search(text)
        assert "\n" not in text


# Findings about a spec


FINDINGS = (
    Diagnostic(
        message="`batch` does nothing here",
        position=Position("spec.yaml", 2, 3, 8),
        severity="warning",
    ),
    Diagnostic(message="--set x: unknown key", hint="did you mean `y`?"),
    Diagnostic(
        message="unknown key `modle`", position=Position("spec.yaml", 1, 1, 6), hint="did you mean `model`?"
    ),
)
SOURCE = {"spec.yaml": "modle: x\n  batch: true\n"}


def test_findings_are_shown_with_their_lines_and_counted() -> None:
    opened, out, err = terminal({"NO_COLOR": "1"})
    print_diagnostics(opened, FINDINGS, SOURCE)
    assert out.text() == ""
    assert err.text() == (
        "error: --set x: unknown key\n"
        "  hint: did you mean `y`?\n"
        "\n"
        "spec.yaml:1:1: error: unknown key `modle`\n"
        "    1 | modle: x\n"
        "      | ^~~~~\n"
        "  hint: did you mean `model`?\n"
        "\n"
        "spec.yaml:2:3: warning: `batch` does nothing here\n"
        "    2 |   batch: true\n"
        "      |   ^~~~~\n"
        "\n"
        "2 errors, 1 warning\n"
    )


def test_quiet_shows_errors_only_and_nothing_where_there_is_none() -> None:
    opened, _, err = terminal({"NO_COLOR": "1"}, verbosity=-1)
    print_diagnostics(opened, FINDINGS, SOURCE)
    assert "warning" not in err.text()
    assert err.text().endswith("2 errors\n")
    opened, _, err = terminal(verbosity=-1)
    print_diagnostics(opened, FINDINGS[:1], SOURCE)
    assert err.text() == ""


def test_findings_are_coloured_by_what_they_are() -> None:
    opened, _, err = terminal({})
    print_diagnostics(opened, FINDINGS, SOURCE)
    assert "\x1b[1;31merror: \x1b[0m" in err.text()
    assert "\x1b[1;33mwarning: \x1b[0m" in err.text()
    assert SGR.sub("", err.text()).count("\n") == 13


def test_files_are_read_where_no_text_is_given(tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_bytes("modle: ä\n".encode() + b"\xff\n")
    found = [Diagnostic(message="x", position=Position(str(spec), 1, 1, 6))]
    missing = Diagnostic(message="y", position=Position(str(tmp_path / "gone.yaml"), 1, 1, 2))
    assert read_sources([*found, missing]) == {str(spec): "modle: ä\n\ufffd\n"}
    opened, _, err = terminal({"NO_COLOR": "1"})
    print_diagnostics(opened, found)
    assert "    1 | modle: ä\n" in err.text()
