"""`promote:` in a spec: the winner goes into the repository where the verdict allows it, and nothing else changes."""

from __future__ import annotations

import json

import pytest
from workplace import Sentiment, Workplace, open_workplace

SEARCH = {"optimizer": {"bootstrap_random_search": {"candidates": 4, "max_labeled_demos": 6}}}


@pytest.fixture(scope="module")
def better(shared_folder):
    """A workplace where demonstrations help a lot."""
    with open_workplace(shared_folder("better"), Sentiment(skill=0.1, gain=0.2), rows=120) as place:
        yield place


@pytest.fixture(scope="module")
def same(shared_folder):
    """A workplace where nothing helps."""
    with open_workplace(shared_folder("same"), Sentiment(gain=0.0)) as place:
        yield place


def optimize(place: Workplace, *more: str, **keys: object):
    place.write_spec(**SEARCH, **keys)
    return place.run("optimize", "-o", "run", *more)


def test_a_significant_winner_is_promoted_and_runs_from_there(better):
    done = optimize(better, promote="prompts/mood.json")
    assert done.code == 0, done
    assert "promoted to prompts/mood.json" in done.err
    promoted = json.loads((better.folder / "prompts/mood.json").read_text())
    artifact = json.loads((better.folder / "run/compiled/program.json").read_text())
    assert promoted == {**artifact, "base": ".."}
    scored = better.run("eval", "prompts/mood.json", "--split", "test", "--json", "-o", "again")
    assert scored.document["test"]["score"] == better.summary("run")["test"]["score"]


def test_the_same_winner_keeps_the_files_time(better):
    optimize(better, promote="prompts/mood.json")
    before = (better.folder / "prompts/mood.json").stat().st_mtime_ns
    done = optimize(better, promote="prompts/mood.json")
    assert "holds this winner already" in done.err
    assert (better.folder / "prompts/mood.json").stat().st_mtime_ns == before


def test_promoting_is_no_part_of_a_runs_identity(better):
    optimize(better)
    asked = better.server.requests
    assert "promoted to" in optimize(better, promote="prompts/late.json").err
    assert better.server.requests == asked


def test_without_an_improvement_nothing_is_promoted(same):
    done = optimize(same, promote="prompts/mood.json")
    assert done.code == 0, done
    assert "not promoted to prompts/mood.json: no significant improvement" in done.err
    assert not (same.folder / "prompts").exists()


def test_with_gates_the_exit_code_decides(same):
    wish = {"path": "prompts/gated.json", "when": "gates"}
    failed = optimize(same, promote=wish, gates=["test.score >= 0.999"])
    assert failed.code == 1, failed
    assert "not promoted to prompts/gated.json: the exit code is 1" in failed.err
    met = optimize(same, promote=wish, gates=["test.score >= 0.001"])
    assert met.code == 0, met
    assert (same.folder / "prompts/gated.json").exists()


def test_what_is_no_compiled_program_is_never_replaced(same):
    same.write("prompts/mine.json", '{"mine": true}')
    asked = same.server.requests
    done = optimize(same, promote="prompts/mine.json")
    assert done.code == 2, done
    assert "prompts/mine.json is no compiled program" in done.err
    assert same.server.requests == asked, "found out before anything is paid"
    assert json.loads((same.folder / "prompts/mine.json").read_text()) == {"mine": True}


def test_scoring_promotes_nothing(same):
    same.write_spec(promote={"path": "prompts/eval.json", "when": "gates"})
    assert same.run("eval").code == 0
    assert not (same.folder / "prompts/eval.json").exists()


@pytest.mark.parametrize(
    "path", ["/etc/x.json", "prompts/mood.yaml", "https://example.com/x.json", "../.bashrc"]
)
def test_places_that_cannot_be_meant_are_findings(workplace: Workplace, path):
    workplace.write_spec(promote=path)
    done = workplace.run("validate")
    assert done.code == 2, done
    assert "is no place for a compiled program" in done.err
