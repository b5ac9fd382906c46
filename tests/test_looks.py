"""A warning where the test rows were scored before: on stderr and in timing.json, never among the figures."""

from __future__ import annotations

import json
import os

import pytest

from promptc.runners.looks import looks_at_test

SAID = "the test rows were scored"


def timing(place, run):
    return json.loads((place.folder / run / "timing.json").read_text())


def test_a_second_look_at_test_is_named(workplace):
    first = workplace.run("eval", "--split", "test", "-o", "runs/one")
    assert SAID not in first.err
    second = workplace.run("eval", "--split", "test", "-o", "runs/two", "--set", "instructions=Guess.")
    assert "the test rows were scored once before, last in one" in " ".join(second.err.split())
    assert timing(workplace, "runs/two")["warnings"][0].startswith("the test rows were scored once before")
    third = workplace.run("eval", "--split", "all", "-o", "runs/three")
    assert "scored 2 times before, last in two" in " ".join(third.err.split())


def test_no_figure_tells_of_it(workplace):
    workplace.run("eval", "--split", "test", "-o", "elsewhere/alone")
    workplace.run("eval", "--split", "test", "-o", "runs/one", "--set", "instructions=Guess.")
    workplace.run("eval", "--split", "test", "-o", "runs/two")
    assert workplace.result("elsewhere/alone") == workplace.result("runs/two")


def test_the_same_run_again_is_no_further_look(workplace):
    workplace.run("eval", "--split", "test", "-o", "runs/one")
    for arguments in ([], ["--fresh"]):
        assert SAID not in workplace.run("eval", "--split", "test", "-o", "runs/one", *arguments).err
    assert SAID not in workplace.run("eval", "--split", "test", "-o", "runs/same").err


def test_dev_may_be_scored_as_often_as_one_likes(workplace):
    workplace.run("eval", "--split", "test", "-o", "runs/one")
    for name in ("two", "three"):
        assert SAID not in workplace.run("eval", "-o", f"runs/{name}", "--set", f"name={name}").err


def test_a_search_looks_at_test_too(workplace):
    workplace.write_spec(optimizer="labeled_few_shot")
    assert SAID not in workplace.run("optimize", "-o", "runs/found").err
    done = workplace.run("optimize", "-o", "runs/more", "--set", "run.seed=0", "--set", "instructions=Guess.")
    assert "scored once before, last in found" in " ".join(done.err.split())


def test_other_test_rows_are_another_matter(workplace):
    workplace.run("eval", "--split", "test", "-o", "runs/one")
    done = workplace.run("eval", "--split", "test", "-o", "runs/two", "--set", "data.split.seed=9")
    assert SAID not in done.err


@pytest.mark.parametrize("content", ["", "[]", '{"scored": 3}', '{"packages": {}}'])
def test_a_manifest_of_another_program_has_looked_at_nothing(tmp_path, content):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "manifest.json").write_text(content)
    assert looks_at_test([tmp_path, tmp_path / "missing"], "digest", besides="") == []


def test_runs_are_told_oldest_first(tmp_path):
    for place, name in enumerate(["b", "a"]):
        run = tmp_path / name
        run.mkdir()
        manifest = {"identity": name, "scored": ["test"], "digests": {"test": "d"}}
        (run / "manifest.json").write_text(json.dumps(manifest))
        os.utime(run / "manifest.json", (place, place))
    assert [run.name for run in looks_at_test([tmp_path, tmp_path], "d", besides="")] == ["b", "a"]
    assert [run.name for run in looks_at_test([tmp_path], "d", besides="a")] == ["b"]
