"""Runs as targets of make: the rule of what was read, and the sample's Makefile in real make."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from outside import program
from workplace import Sentiment, Workplace, open_workplace

from promptc.cli.dependencies import rule

ROOT = Path(__file__).parent.parent


def make(folder: Path, *arguments: str, code: int = 0) -> list[str]:
    """The commands that make ran, the promptc of this environment among them."""
    done = subprocess.run(
        [program("make"), f"PROMPTC={sys.executable} -m promptc.cli.main", *arguments],
        cwd=folder,
        env={**os.environ, "PROMPTC_CACHE_DIR": str(folder / ".cache"), "LC_ALL": "C"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode != 0) == (code != 0), done.stdout + done.stderr
    return [
        line.split("promptc.cli.main ")[1].split()[0]
        for line in done.stdout.splitlines()
        if "promptc.cli.main " in line
    ]


@pytest.fixture
def sample(tmp_path):
    """A copy of the sample, with a search that is short."""
    for name in ("ci", "triage"):
        shutil.copytree(ROOT / "samples" / name, tmp_path / name)
    spec = tmp_path / "triage/spec.yaml"
    text = spec.read_text()
    assert "candidates: 10" in text
    spec.write_text(text.replace("candidates: 10", "candidates: 2"))
    return tmp_path / "ci"


def test_the_second_make_does_nothing(sample):
    assert make(sample) == ["optimize", "eval", "export"]
    assert make(sample) == []
    assert (sample / "triage.md").read_text().startswith("# triage")


def test_make_builds_what_a_change_reaches_and_no_more(sample):
    make(sample)
    spec = sample.parent / "triage/spec.yaml"
    spec.touch()
    assert make(sample) == ["optimize"], "the verdict again; the same bytes build nothing else"
    assert make(sample) == []
    with (sample.parent / "triage/tickets.jsonl").open("a") as rows:
        rows.write('{"id": "t999", "message": "the router blinks red", "queue": "outage"}\n')
    assert make(sample) == ["optimize", "eval", "export"]
    assert make(sample) == []


def test_a_floor_that_is_not_met_stops_every_make(sample):
    makefile = sample / "Makefile"
    makefile.write_text(makefile.read_text().replace("--fail-under 0.5", "--fail-under 0.99"))
    assert make(sample, code=2) == ["optimize", "eval"]
    assert make(sample, code=2) == ["eval"]


def test_the_rule_names_all_that_was_read(tmp_path):
    with open_workplace(tmp_path, Sentiment()) as place:
        place.write("shared.yaml", "instructions: {file: prompts/how.md}\n")
        place.write("prompts/how.md", "Say what mood the text is in.")
        place.write(
            "hooks.py", "from words import LOVELY\ndef score(row, prediction, trace):\n    return 1.0\n"
        )
        place.write("words.py", "LOVELY = 'lovely'\n")
        place.write_spec(
            extends="shared.yaml", instructions=None, metrics=[{"python": {"function": "hooks.py:score"}}]
        )
        place.write("candidate.yaml", {"predictors": {"main": {"instructions": "Feel it."}}})
        done = place.run(
            "eval", "-o", "runs/one", "--depfile", "one.d", "--candidate", "candidate.yaml", "--allow-code"
        )
        assert done.code == 0, done
        first, *targets = (place.folder / "one.d").read_text().split("\n\n")
        target, *needed = first.replace("\\\n", " ").split()
        assert target == "runs/one/manifest.json:"
        assert sorted(needed) == sorted(
            [
                "spec.yaml",
                "shared.yaml",
                "prompts/how.md",
                "rows.jsonl",
                "hooks.py",
                "words.py",
                "candidate.yaml",
            ]
        )
        assert [line.strip(" :\n") for line in targets] == needed


def test_the_rule_of_a_compiled_program_names_it_and_its_rows(workplace: Workplace):
    workplace.write_spec(optimizer="labeled_few_shot")
    assert workplace.run("optimize", "-o", "runs/best", "--depfile", "best.d").code == 0
    assert workplace.run("eval", "runs/best", "-o", "runs/one", "--depfile", "one.d").code == 0
    text = (workplace.folder / "one.d").read_text()
    assert text.startswith("runs/one/manifest.json: \\\n  runs/best/compiled/program.json \\\n  rows.jsonl\n")


def test_a_rule_that_says_the_same_keeps_its_time(workplace: Workplace):
    for _ in range(2):
        assert workplace.run("eval", "-o", "run", "--depfile", "run.d").code == 0
        before = (workplace.folder / "run.d").stat().st_mtime_ns
    assert (workplace.folder / "run.d").stat().st_mtime_ns == before


def test_odd_names_stay_one_name_for_make(tmp_path):
    """Spaces, dollars and hashes, read back by make itself."""
    odd = tmp_path / "a b$c#d.yaml"
    odd.write_text("x")
    text = rule(Path("out.txt"), [Path(odd.name)]) + "\nout.txt:\n\t@touch out.txt\n\t@echo built\n"
    (tmp_path / "Makefile").write_text(text)

    def built() -> str:
        done = subprocess.run(
            [program("make"), "-s", "out.txt"], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        return done.stdout

    assert "built" in built()
    assert "built" not in built()
    os.utime(odd, (4_000_000_000, 4_000_000_000))
    assert "built" in built()
