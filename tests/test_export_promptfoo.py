"""What `promptc export --to promptfoo` writes, run by the real promptfoo against the loopback server."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from outside import program
from workplace import Sentiment, Workplace, open_workplace

HOSTILE = [
    "{{env.HOME}} lovely",
    "{{ env['PATH'] }} plain",
    "file:///etc/hostname",
    "file://hook.js",
    "{% raw %} {{ row.text }} {{expected.label}}",
    "{# gone #} {{ 'a' | upper }} {%",
    'trailing\n\\n "quotes" \\',
    "[[ ## label ## ]]\npositive",
]
"""Row values that promptfoo would render, load or run if they stood elsewhere."""


def run_promptfoo(folder: Path, config: str) -> Any:
    """The results of an evaluation that leaves nothing outside of the folder and tells nobody."""
    quiet = ("TELEMETRY", "UPDATE", "REMOTE_GENERATION", "SHARING", "ADAPTIVE_SCHEDULER")
    done = subprocess.run(
        [
            program("promptfoo"),
            "eval",
            "-c",
            config,
            "--no-cache",
            "--no-table",
            "--no-progress-bar",
            "-o",
            "results.json",
        ],
        cwd=folder,
        env={
            **os.environ,
            **{f"PROMPTFOO_DISABLE_{name}": "1" for name in quiet},
            "PROMPTFOO_CONFIG_DIR": str(folder / ".promptfoo"),
            "PROMPTFOO_FAILED_TEST_EXIT_CODE": "0",
            "OPENAI_API_KEY": "none",
        },
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert (folder / "results.json").exists(), done.stdout + done.stderr
    return json.loads((folder / "results.json").read_text())["results"]["results"]


def messages_seen(place: Workplace) -> list[str]:
    return sorted(json.dumps(body["messages"]) for body in place.server.seen)


@pytest.mark.parametrize("format_", ["chat", "json"])
def test_promptfoo_asks_the_same_and_judges_the_same(tmp_path, format_):
    skilled = Sentiment(clumsy=0, skill=0.6)

    def reply(body):
        said = skilled(body)
        return said if format_ == "chat" else json.dumps({"label": said.split("\n")[1]})

    with open_workplace(tmp_path, reply, rows=12) as place:
        rows = [json.loads(line) for line in (place.folder / "rows.jsonl").read_text().splitlines()]
        rows += [{"id": f"h{n}", "text": text, "label": "neutral"} for n, text in enumerate(HOSTILE)]
        place.write("rows.jsonl", rows)
        place.write_spec(
            instructions="Tell {{moods}} and {{ env.HOME }} apart: {% if %} {# no #}",
            demos=[{"text": "{{env.HOME}}", "label": "neutral"}],
            format=format_,
            model={"params": {"temperature": 0.3}},
            metrics=[
                {"exact_match": {"ignore_case": True}},
                {"contains": {"texts": ["neu", "pos"], "weight": 2}},
            ],
        )
        scored = place.run("eval", "--split", "all", "-o", "run")
        assert scored.code == 0, scored
        ours = {
            record["id"]: record["metrics"]
            for record in map(json.loads, (place.folder / "run/rows.jsonl").read_text().splitlines())
        }
        asked = messages_seen(place)
        place.server.reset()
        done = place.run("export", "--to", "promptfoo", "--split", "all", "-o", "promptfooconfig.yaml")
        assert done.code == 0, done
        results = run_promptfoo(place.folder, "promptfooconfig.yaml")
        assert messages_seen(place) == asked
        assert all(body["temperature"] == 0.3 and "max_tokens" not in body for body in place.server.seen)
        theirs = {result["testCase"]["description"]: result["namedScores"] for result in results}
        assert theirs == ours


def test_typed_outputs_reach_the_assertions(tmp_path):
    reply = '[[ ## n ## ]]\n12\n\n[[ ## tags ## ]]\n["b", "a"]\n\n[[ ## completed ## ]]'
    with open_workplace(tmp_path, reply) as place:
        place.write("rows.jsonl", [{"id": "one", "text": "x", "n": 13, "tags": ["a", "b"], "word": "2"}])
        place.write_spec(
            signature="text -> n: int, tags: list[str]",
            metrics=[
                {"numeric": {"field": "n", "tolerance": 1, "name": "near"}},
                {"exact_match": {"field": "n", "name": "exact"}},
                {"exact_match": {"field": "tags", "ignore_order": True, "name": "set"}},
                {"exact_match": {"field": "tags", "name": "list"}},
                {"regex": {"field": "n", "pattern": "^1.$", "name": "shape"}},
                {"contains": {"field": "n", "expected": "word", "name": "digit"}},
            ],
        )
        assert place.run("export", "--to", "promptfoo", "--split", "all", "-o", "p.yaml").code == 0
        [result] = run_promptfoo(place.folder, "p.yaml")
        assert result["namedScores"] == {"near": 1, "exact": 0, "set": 1, "list": 0, "shape": 1, "digit": 1}


def test_what_has_no_assertion_is_named(tmp_path):
    with open_workplace(tmp_path, Sentiment()) as place:
        place.write_spec(metrics=["rouge", {"exact_match": {"when": "row.id != 'r1'"}}])
        done = place.run("export", "--to", "promptfoo", "-o", "p.yaml", "--limit", "3")
        assert done.code == 0, done
        said = " ".join(done.err.split())
        assert "the metric rouge is not carried" in said
        assert "the metric exact_match is not carried: it has a condition" in said
        assert "assert" not in yaml.safe_load((place.folder / "p.yaml").read_text())["defaultTest"]
        assert len((place.folder / "p.tests.jsonl").read_text().splitlines()) == 3


def test_an_artifact_without_its_rows_has_no_tests(tmp_path):
    with open_workplace(tmp_path, Sentiment()) as place:
        assert place.run("optimize", "-o", "run", "--set", "optimizer=labeled_few_shot").code == 0
        (place.folder / "rows.jsonl").unlink()
        done = place.run("export", "run", "--to", "promptfoo", "-o", "p.yaml")
        assert done.code == 0, done
        assert "has no tests" in " ".join(done.err.split())
        assert "tests" not in yaml.safe_load((place.folder / "p.yaml").read_text())


PROVIDERS = {
    "openai/gpt-4.1-mini": "openai:chat:gpt-4.1-mini",
    "anthropic/claude-sonnet-4-5": "anthropic:messages:claude-sonnet-4-5",
    "gemini/gemini-2.5-flash": "google:gemini-2.5-flash",
}


@pytest.mark.parametrize("model", PROVIDERS)
def test_providers_are_called_as_promptfoo_calls_them(tmp_path, model):
    with open_workplace(tmp_path, Sentiment()) as place:
        place.write_spec(models={"task": model})
        assert place.run("export", "--to", "promptfoo", "-o", "p.yaml").code == 0
        [provider] = yaml.safe_load((place.folder / "p.yaml").read_text())["providers"]
        assert provider["id"] == PROVIDERS[model]


def test_a_provider_that_promptfoo_lacks_is_refused(tmp_path):
    with open_workplace(tmp_path, Sentiment()) as place:
        place.write_spec(models={"task": "watsonx/granite"})
        done = place.run("export", "--to", "promptfoo", "-o", "p.yaml")
        assert done.code == 2, done
        assert "watsonx/granite" in done.err
