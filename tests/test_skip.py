"""`--skip-if-no-key`: without a key nothing is asked, the exit code is 0, and every report says why."""

from __future__ import annotations

import json

import pytest
from workplace import Sentiment, Workplace, open_workplace

from promptc.runners.models.keys import missing_key
from promptc.spec.model import Model

HOSTED = {"task": "openai/gpt-4.1-mini", "judge": "anthropic/claude-sonnet-4-5"}


@pytest.mark.parametrize("command", ["eval", "optimize"])
def test_without_a_key_the_run_is_skipped(tmp_path, command):
    with open_workplace(tmp_path, Sentiment()) as place:
        place.write_spec(models=HOSTED, gates=["test.score >= 0.99"])
        done = place.run(command, "--skip-if-no-key", "-o", "run", "--json")
        assert done.code == 0, done
        assert done.document["skipped"] == "OPENAI_API_KEY and ANTHROPIC_API_KEY are not set"
        assert place.summary("run")["skipped"] == done.document["skipped"]
        for name in ("report.txt", "report.md"):
            assert "Skipped" in (place.folder / "run" / name).read_text()
        assert not (place.folder / "run/manifest.json").exists(), (
            "a skipped run is no target that is up to date"
        )


def test_with_a_key_the_same_command_runs(tmp_path):
    with open_workplace(tmp_path, Sentiment()) as place:
        place.write_spec(model={"api_key": "${env:MOOD_KEY}"})
        skipped = place.run("eval", "--skip-if-no-key", "-o", "run")
        assert skipped.code == 0, skipped
        assert "MOOD_KEY is not set" in skipped.out
        assert place.server.requests == 0
        done = place.run("eval", "--skip-if-no-key", "-o", "run", "--json", MOOD_KEY="a-key-for-this-test")
        assert done.code == 0, done
        assert done.document["skipped"] == ""
        assert done.document["dev"]["n"] > 0
        again = place.run("eval", "--skip-if-no-key", "-o", "run", "--json")
        assert again.document["dev"] == done.document["dev"], "a finished run needs no key"


def test_without_the_flag_a_missing_key_is_an_error(workplace: Workplace):
    workplace.write_spec(model={"api_key": "${env:MOOD_KEY}"})
    assert workplace.run("eval", "-o", "run").code == 6


def test_github_is_told(tmp_path):
    with open_workplace(tmp_path, Sentiment()) as place:
        place.write_spec(models=HOSTED)
        page = tmp_path / "page.md"
        place.run(
            "eval", "--skip-if-no-key", "-o", "run", GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=str(page)
        )
        assert "Skipped" in page.read_text()


KEYS = {
    "a provider's variable": (Model(model="openai/x"), {}, "OPENAI_API_KEY"),
    "it is set": (Model(model="openai/x"), {"OPENAI_API_KEY": "k"}, ""),
    "one of several": (Model(model="gemini/x"), {"GOOGLE_API_KEY": "k"}, ""),
    "empty is not set": (Model(model="openai/x"), {"OPENAI_API_KEY": ""}, "OPENAI_API_KEY"),
    "the spec names it": (Model(model="openai/x", api_key="${env:MINE}"), {"OPENAI_API_KEY": "k"}, "MINE"),
    "a header names it": (
        Model(model="openai/x", api_base="http://h", headers={"A": "${env:MINE}"}),
        {},
        "MINE",
    ),
    "a command gives it": (Model(model="openai/x", api_key_command="echo k"), {}, ""),
    "a server of one's own": (Model(model="openai/x", api_base="http://localhost:1"), {}, ""),
    "a local provider": (Model(model="ollama/x"), {}, ""),
    "credentials of several parts": (Model(model="bedrock/x"), {}, ""),
    "embedded": (Model(model="embedded/icl"), {}, ""),
}


@pytest.mark.parametrize("case", KEYS)
def test_which_key_is_missing(case):
    model, environment, missing = KEYS[case]
    assert missing_key(model, environment) == missing


def test_the_schema_of_a_summary_has_it(workplace: Workplace):
    schema = workplace.run("schema", "summary").document
    assert "skipped" in json.dumps(schema)
