"""Gates and exit codes: what a build can rely on."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from workplace import Sentiment, Workplace, open_workplace

from promptc.cli import main
from promptc.runners.gates import held_against, look_up
from promptc.runners.summary import SplitSummary, VerdictLine
from promptc.runners.verdicts import PRECEDENCE, exit_code, split_verdicts
from promptc.spec.gates import parse_gate

SUMMARY = {
    "dev": {
        "score": 0.8,
        "n": 50,
        "slices": {"version": {"1.5": {"score": 0.25}, "1": {"5": {"score": 0.1}}}},
    },
    "test": {"score": 0.1 + 0.2, "n": 50, "improvement": {"ci_low": -0.01, "p": 0.2, "verdict": "no change"}},
    "calls": 120,
}
TIMING = {"seconds": 12.5, "models": {"task": {"latency": {"p95": 0.25}}}}


@pytest.mark.parametrize(
    ("text", "value", "status"),
    [
        ("dev.score >= 0.8", 0.8, "met"),
        ("dev.score > 0.8", 0.8, "failed"),
        ("dev.score < 0.81", 0.8, "met"),
        ("dev.score <= 0.79", 0.8, "failed"),
        ("dev.n == 50", 50.0, "met"),
        ("dev.n != 50", 50.0, "failed"),
        ("test.score >= 0.3", 0.30000000000000004, "met"),
        ("test.score <= 0.3", 0.30000000000000004, "failed"),
        ("test.improvement.ci_low > 0", -0.01, "failed"),
        ("calls <= 120", 120.0, "met"),
        ("seconds < 20", 12.5, "met"),
        ("models.task.latency.p95 < 0.2", 0.25, "failed"),
        ('dev.slices.version."1.5".score >= 0.2', 0.25, "met"),
        ("train.score >= 0.5", None, "not applicable"),
        ("dev.improvement.p < 0.05", None, "not applicable"),
    ],
)
def test_a_gate_is_held_against_the_unrounded_figure(text, value, status):
    [result] = held_against([parse_gate(text)], SUMMARY, TIMING)
    assert (result.text, result.value, result.status) == (text, value, status)


def test_a_figure_that_the_budget_cut_off_is_missing():
    summary = {"test": {"score": None, "n": 0, "rows": 40}}
    [result] = held_against([parse_gate("test.score >= 0.5")], summary, {})
    assert result.status == "missing"


def test_a_key_with_dots_is_found_before_its_parts():
    assert look_up(SUMMARY, "dev.slices.version.1.5.score") == 0.25


KEYS = st.sampled_from(["a", "b", "a.b", "a.a", "."])


def trees(leaf):
    return st.dictionaries(KEYS, leaf, min_size=1, max_size=3)


@given(trees(st.recursive(st.floats(0, 1), trees)))
def test_every_number_in_a_tree_is_found_by_its_path(tree):
    def leaves(node, path):
        if not isinstance(node, dict):
            yield path
            return
        for key, child in node.items():
            yield from leaves(child, [*path, key])

    for path in leaves(tree, []):
        assert isinstance(look_up(tree, ".".join(path)), float)


def test_the_gravest_verdict_decides():
    assert PRECEDENCE == (130, 143, 3, 2, 4, 5, 6, 7, 1, 8, 0)
    for size in range(4):
        for codes in itertools.permutations(PRECEDENCE, size):
            verdicts = [VerdictLine(code=code, message="") for code in codes]
            assert exit_code(verdicts) == min(codes, key=PRECEDENCE.index, default=0)


@pytest.mark.parametrize(
    ("failures", "unscored", "codes"),
    [
        ({}, 0, []),
        ({"parse": 30}, 0, []),
        ({"provider": 2}, 2, []),
        ({"provider": 2, "timeout": 1}, 3, [6]),
        ({"budget": 40}, 40, [7]),
        ({"budget": 40, "hook": 9}, 49, [6, 7]),
    ],
)
def test_what_is_wrong_with_a_split(failures, unscored, codes):
    split = SplitSummary(
        score=0.5, ci_low=0.4, ci_high=0.6, n=100 - unscored, rows=100, failures=failures, unscored=unscored
    )
    assert [verdict.code for verdict in split_verdicts("dev", split, 0.02)] == codes


# ── one command per exit code ─────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def place(shared_folder):
    with open_workplace(shared_folder("codes"), Sentiment(clumsy=0)) as opened:
        opened.write("broken.jsonl", '{"text": "plain", "label": "neutral"}\n{"text": \n')
        opened.write("empty.jsonl", "")
        opened.write("other/thing.txt", "not a run")
        opened.write_spec(optimizer="labeled_few_shot")
        yield opened


def nobody_listens(place: Workplace) -> str:
    """An address where a connection is refused."""
    with open_workplace(place.folder / "gone", Sentiment()) as gone:
        return gone.server.url


CODES = [
    (0, ["eval", "--set", "gates=[dev.score >= 0]"]),
    (1, ["eval", "--set", "gates=[dev.score >= 0, dev.score > 1]"]),
    (1, ["eval", "--fail-under", "1"]),
    (1, ["eval", "--fail-under", "exact_match=1"]),
    (2, ["eval", "--set", "modul=predict"]),
    (2, ["eval", "--no-such-option"]),
    (2, ["evaluate"]),
    (2, ["eval", "--set", "data.path=gone.jsonl"]),
    (2, ["eval", "--set", "gates=[dev.scores >= 0]"]),
    (4, ["eval", "--set", "data.path=broken.jsonl"]),
    (4, ["eval", "-o", "other"]),
    (5, ["eval", "--set", "data.path=empty.jsonl"]),
    (5, ["eval", "--rows", "nobody"]),
    (6, ["eval", "--offline", "--set", "run.seed=6"]),
    (7, ["eval", "--set", "budget.calls=5"]),
    (8, ["optimize", "--fail-if-no-improvement"]),
]


@pytest.mark.parametrize(
    ("code", "arguments"), CODES, ids=lambda value: str(value) if isinstance(value, int) else ""
)
def test_one_command_per_exit_code(place: Workplace, code, arguments):
    plain = place.run(*arguments)
    assert plain.code == code, plain
    assert (plain.err.count("error:") > 0 or "Error:" in plain.err) == (code > 0), plain
    as_json = place.run(*arguments, "--json")
    assert as_json.code == code
    assert as_json.document.get("exit_code", 0) == code


def test_a_refused_connection_is_exit_6(place: Workplace):
    (place.folder / "gone").mkdir()
    done = place.run("eval", "--set", f"models.task.api_base={nobody_listens(place)}", "--json")
    assert (done.code, done.document["exit_code"]) == (6, 6)
    assert "refused" in done.document["error"]["message"].lower()


def test_a_bug_is_exit_3_with_its_traceback(place: Workplace, monkeypatch):
    """A command whose module is not there stands for any bug in promptc."""
    monkeypatch.setitem(main.COMMANDS, "eval", ("promptc.cli.commands.gone:evaluate", ""))
    done = place.run("eval", "--json")
    assert done.code == 3
    assert "ModuleNotFoundError" in done.err
    assert "bug in promptc" in done.err
    assert done.document["exit_code"] == 3


@pytest.mark.parametrize(
    ("codes", "arguments"),
    [
        ([7, 1], ["eval", "--set", "budget.calls=5", "--set", "gates=[dev.score > 1]"]),
        ([1, 8], ["optimize", "--fail-if-no-improvement", "--set", "gates=[test.score > 1]"]),
    ],
)
def test_all_verdicts_are_listed_and_the_gravest_decides(place: Workplace, codes, arguments):
    done = place.run(*arguments, "--json")
    assert {verdict["code"] for verdict in done.document["verdicts"]} == set(codes)
    assert done.code == codes[0]
    for verdict in done.document["verdicts"]:
        assert verdict["message"] in done.err


def test_a_gate_on_another_commands_figure_is_shown_as_not_applicable(place: Workplace):
    done = place.run("eval", "--set", "gates=[test.improvement.ci_low > 0, dev.n == 18]", "--json")
    assert done.code == 0, done
    assert [gate["status"] for gate in done.document["gates"]] == ["not applicable", "met"]


@pytest.mark.parametrize(
    ("gate", "code"),
    [
        ("dev.unscored == 0", 0),
        ("dev.failures.parse == 0", 0),
        ("dev.failures.provider > 0", 1),
        ("dev.reasks == 0", 0),
        ("usd <= 0.01", 0),
        ("tokens > 0", 0),
    ],
)
def test_a_count_of_zero_is_a_figure(place: Workplace, gate, code):
    done = place.run("eval", "-o", "zero", "--set", f"gates=[{gate}]", "--json")
    assert done.code == code, done
    assert done.document["gates"][0]["status"] == ("failed" if code else "met")


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("dev.score.ci_low", "dev.ci_low"),
        ("dev.scor", 'did you mean "score"?'),
        ("secnods", 'did you mean "seconds"?'),
    ],
)
def test_a_gate_on_no_figure_says_which_may_be_meant(place: Workplace, path, hint):
    done = place.run("validate", "--set", f"gates=[{path} > 0]", "--json")
    (finding,) = [d for d in done.document["diagnostics"] if path in d["message"]]
    assert finding["hint"] == hint


def test_a_gate_may_name_a_time(place: Workplace):
    assert place.run("eval", "-o", "time", "--set", "gates=[seconds < 600, paid_calls >= 0]").code == 0
    assert place.run("eval", "-o", "time", "--set", "gates=[seconds > 600]").code == 1


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("eval -q --fail-under 1", 1),
        ("eval -q --fail-under 1 --json", 1),
        ("eval -q", 0),
        ("render", 0),
        ("schema", 0),
        ("--help", 0),
    ],
)
def test_a_reader_that_is_gone_changes_no_exit_code(place: Workplace, arguments, code):
    """As in `promptc … | head -1`, with a reader that ends before the first byte is written."""
    command = f"({sys.executable} -m promptc.cli.main {arguments}; echo $? >&2) | true"
    done = subprocess.run(
        command,
        shell=True,
        cwd=place.folder,
        env=place.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr.splitlines()[-1] == str(code), done.stderr
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_json_on_stdout_is_alone_there_for_every_command(place: Workplace):
    for arguments in (["validate"], ["plan"], ["render"], ["eval"], ["validate", "gone.yaml"]):
        done = place.process(*arguments, "--json")
        assert json.loads(done.out) is not None, done
