"""`promptc export`: what is written, what is refused, and that nothing is lost on the way."""

from __future__ import annotations

import json

import pytest
import yaml
from workplace import Sentiment, Workplace, open_workplace

from promptc.cli.exports.gaps import Gap, turns
from promptc.cli.exports.registry import TARGETS
from promptc.cli.loading import load
from promptc.runners.build import build_program
from promptc.spec.load import load as load_text

HOSTILE = 'say {{text}} or [[ ## label ## ]] and {% raw %} "quoted" \\ back `tick` </script>'


@pytest.fixture(scope="module")
def compiled(shared_folder):
    """A workplace with a finished search in `run`."""
    with open_workplace(shared_folder("export"), Sentiment()) as place:
        place.write_spec(
            optimizer={"bootstrap_random_search": {"candidates": 3, "max_labeled_demos": 4}},
            description="Tells moods apart.",
        )
        done = place.run("optimize", "-o", "run", "--json")
        assert done.code == 0, done
        yield place


def exported(place: Workplace, to: str, *more: str) -> str:
    done = place.run("export", "run", "--to", to, *more)
    assert done.code == 0, done
    return done.out


def test_messages_are_chat_messages_with_placeholders(compiled):
    messages = json.loads(exported(compiled, "messages"))
    assert [message["role"] for message in messages[:2]] == ["system", "user"]
    assert messages[-1]["content"].startswith("[[ ## text ## ]]\n{{text}}\n\n")
    rendered = json.loads(compiled.run("render", "run", "--row", "r003", "--json").out)[0]["messages"]
    filled = [{**m, "content": m["content"].replace("{{text}}", "lovely day 3")} for m in messages]
    row = next(json.loads(line) for line in (compiled.folder / "rows.jsonl").read_text().splitlines()[3:])
    filled[-1]["content"] = messages[-1]["content"].replace("{{text}}", row["text"])
    assert filled == rendered


def test_markdown_shows_figures_fields_and_prompt(compiled):
    page = exported(compiled, "markdown")
    assert page.startswith("# mood\n\nTells moods apart.\n")
    assert "| `text` | string |" in page
    assert "one of negative, neutral, positive" in page
    assert "test score 0." in page
    assert "[[ ## text ## ]]\n{{text}}" in page


def test_the_exported_spec_scores_the_same(compiled):
    done = compiled.run("export", "run", "--to", "spec", "-o", "exported.yaml")
    assert done.code == 0, done
    assert compiled.run("validate", "exported.yaml").code == 0
    artifact = compiled.run("eval", "run", "--split", "test", "--json", "-o", "of-artifact")
    asked = {json.dumps(body, sort_keys=True) for body in compiled.server.seen}
    spec = compiled.run("eval", "exported.yaml", "--split", "test", "--json", "-o", "of-spec")
    assert {json.dumps(body, sort_keys=True) for body in compiled.server.seen} == asked
    assert spec.document["test"] == artifact.document["test"]


def test_the_exported_spec_finds_its_data_from_another_folder(compiled):
    done = compiled.run("export", "run", "--to", "spec", "-o", "deep/below/exported.yaml")
    assert done.code == 0, done
    written = yaml.safe_load((compiled.folder / "deep/below/exported.yaml").read_text())
    assert written["data"]["path"] == "../../rows.jsonl"
    assert compiled.run("validate", "deep/below/exported.yaml").code == 0


def test_an_export_that_says_the_same_keeps_its_time(compiled):
    compiled.run("export", "run", "--to", "markdown", "-o", "page.md")
    before = (compiled.folder / "page.md").stat().st_mtime_ns
    compiled.run("export", "run", "--to", "markdown", "-o", "page.md")
    assert (compiled.folder / "page.md").stat().st_mtime_ns == before


@pytest.mark.parametrize("to", [name for name in TARGETS if name != "promptfoo"])
def test_each_target_writes_to_stdout(compiled, to):
    done = compiled.run("export", "run", "--to", to)
    assert done.code == 0, done
    assert done.out


def test_json_names_the_files_that_were_written(compiled):
    done = compiled.run("export", "run", "--to", "dspy", "-o", "state.json", "--json")
    assert done.document["written"] == ["state.json", "state_signature.py"]
    assert done.document["notes"]


@pytest.mark.parametrize("to", ["messages", "markdown", "spec", "python", "dspy"])
def test_no_file_is_the_spec_that_it_is_made_from(compiled, to):
    before = (compiled.folder / "spec.yaml").read_bytes()
    done = compiled.run("export", "spec.yaml", "--to", to, "-o", "spec.yaml")
    assert done.code == 2, done
    assert "is what is exported" in done.err
    assert (compiled.folder / "spec.yaml").read_bytes() == before


def test_no_file_of_the_user_is_replaced_by_what_comes_beside_an_export(compiled):
    compiled.write("mine_signature.py", "# mine\n")
    done = compiled.run("export", "run", "--to", "dspy", "-o", "mine.json")
    assert done.code == 2, done
    assert "mine_signature.py" in done.err
    assert (compiled.folder / "mine_signature.py").read_text() == "# mine\n"


REFUSED = {
    "module": (
        {"module": {"majority": {"module": "predict", "n": 3}}},
        ("python", "dspy", "promptfoo"),
        "the module majority",
    ),
    "format": (
        {"format": {"template": {"text": "{{ instructions }}\n\n{{ demos }}\n\n{{ text }}"}}},
        ("dspy",),
        "the format template",
    ),
    "assertions": ({"assert": ["self.label != ''"]}, ("python",), "assert:"),
    "model": (
        {"models": {"task": "embedded/icl"}},
        ("python", "promptfoo"),
        "embedded/icl runs inside promptc",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_target_cannot_carry_is_refused_by_name(tmp_path, case):
    keys, targets, said = REFUSED[case]
    with open_workplace(tmp_path, Sentiment()) as place:
        place.write_spec(**keys)
        for to in targets:
            done = place.run("export", "spec.yaml", "--to", to, "-o", "export.out")
            assert done.code == 2, done
            assert said in done.err
            assert not (place.folder / "export.out").exists()


def test_texts_that_a_spec_cannot_say_are_refused(tmp_path):
    """Two predictors of one step with texts of their own."""
    with open_workplace(tmp_path, Sentiment()) as place:
        place.write_spec(module={"multi_chain_comparison": {"n": 2}})
        place.write(
            "candidate.yaml",
            {
                "predictors": {
                    "main": {"instructions": "Try.", "demos": []},
                    "main.compare": {"instructions": "Compare.", "demos": []},
                }
            },
        )
        done = place.run("export", "spec.yaml", "--candidate", "candidate.yaml", "--to", "spec")
        assert done.code == 2, done
        assert "the texts of main cannot be said in a spec" in done.err


def test_files_that_the_spec_names_have_to_stay_in_its_folder(tmp_path):
    with open_workplace(tmp_path, Sentiment()) as place:
        place.write("hooks.py", "def score(row, prediction, trace):\n    return 1.0\n")
        place.write_spec(metrics=[{"python": {"function": "hooks.py:score"}}])
        done = place.run("export", "spec.yaml", "--to", "spec", "-o", "elsewhere/spec.yaml")
        assert done.code == 2, done
        assert "have to lie in its folder" in done.err
        assert place.run("export", "spec.yaml", "--to", "spec", "-o", "beside.yaml").code == 0


def test_hostile_texts_come_through(tmp_path):
    """Texts that look like placeholders, templates and markers stand in every export as they are."""
    with open_workplace(tmp_path, Sentiment()) as place:
        demos = [{"text": HOSTILE, "label": "neutral"}]
        place.write_spec(instructions=HOSTILE, demos=demos)
        messages = place.run("export", "--to", "messages")
        assert "itself says {{text}}" in messages.err
        assert json.loads(messages.out)[0]["content"].startswith(HOSTILE)
        place.run("export", "--to", "spec", "-o", "again.yaml")
        again = yaml.safe_load((place.folder / "again.yaml").read_text())
        assert again["instructions"] == HOSTILE
        assert again["demos"] == demos
        assert "\n# " not in place.run("export", "--to", "markdown").out.split("```")[0][2:]


def test_gaps_stand_where_the_values_go(tmp_path):
    with open_workplace(tmp_path, Sentiment()) as place:
        text = "{{ instructions }}\n\nFirst {{ text }}, then {{ tone }}, {{ text }} again."
        place.write_spec(
            signature="text, tone: list[str] -> label", format={"template": {"text": text}}, metrics=["f1"]
        )
        spec = load(place.folder / "spec.yaml", environment={}).spec
        program = build_program(spec)
        [turn] = turns(program.compile(program.start()), "main")
        names = [piece.name for piece in turn.pieces if isinstance(piece, Gap)]
        assert names == ["text", "tone", "text"]


def test_demos_of_a_spec_may_hold_the_reasoning_of_the_module():
    """So a spec can say what a compiled chain_of_thought says."""
    text = yaml.safe_dump(
        {
            "version": 1,
            "models": {"task": "embedded/icl"},
            "signature": "question -> answer",
            "module": "chain_of_thought",
            "demos": [{"question": "2+2?", "reasoning": "Two and two.", "answer": "4"}],
            "metrics": ["exact_match"],
        }
    )
    from pathlib import Path

    spec, findings = load_text(text, file="spec.yaml", base=Path.cwd())
    assert spec is not None, findings
    [demo] = build_program(spec).start().predictors["main"].demos
    assert demo.outputs == {"reasoning": "Two and two.", "answer": "4"}


PIPELINE = {
    "signature": None,
    "instructions": None,
    "metrics": [{"exact_match": {"field": "label"}}],
    "inputs": {"text": "string"},
    "pipeline": [
        {
            "step": "short",
            "signature": "text -> gist",
            "instructions": "Shorten.",
            "inputs": {"text": "inputs.text"},
        },
        {
            "step": "again",
            "loop": {
                "max": 2,
                "steps": [
                    {"step": "polish", "signature": "gist -> better", "inputs": {"gist": "short.gist"}},
                ],
            },
        },
        {"step": "mood", "program": "inner.yaml", "inputs": {"better": "polish.better"}},
    ],
    "outputs": {"label": "mood.label"},
}
INNER = 'version: 1\nmodels: {task: openai/x}\nsignature: "better -> label"\nmodule: chain_of_thought\n'


@pytest.fixture
def pipeline(tmp_path):
    """A pipeline with a loop and a program as steps, and a candidate that says something else everywhere."""
    with open_workplace(tmp_path, Sentiment()) as place:
        place.write("inner.yaml", INNER)
        place.write_spec(**PIPELINE)
        demo = {"inputs": {"better": "x"}, "outputs": {"reasoning": "so", "label": "neutral"}}
        texts = {
            "short": {"instructions": "Be brief.", "descriptions": {"gist": "In five words"}, "demos": []},
            "polish": {"instructions": "Shine.", "demos": []},
            "mood": {"instructions": "Feel it.", "demos": [demo]},
        }
        place.write("candidate.yaml", {"predictors": texts})
        yield place


def test_a_pipeline_is_exported_as_a_spec_with_all_its_texts(pipeline):
    done = pipeline.run("export", "--candidate", "candidate.yaml", "--to", "spec", "-o", "whole.yaml")
    assert done.code == 0, done
    rendered = [
        pipeline.run("render", *arguments, "--json").document
        for arguments in (("spec.yaml", "--candidate", "candidate.yaml"), ("whole.yaml",))
    ]
    assert rendered[0] == rendered[1]
    assert "In five words" in json.dumps(rendered[1])
    assert "Feel it." in json.dumps(rendered[1])


def test_a_pipeline_has_messages_by_predictor(pipeline):
    done = pipeline.run("export", "--to", "messages")
    assert list(done.document) == ["short", "polish", "mood"]
    assert done.document["mood"][-1]["content"].startswith("[[ ## better ## ]]\n{{better}}")


@pytest.mark.parametrize("to", ["python", "dspy", "promptfoo"])
def test_a_pipeline_is_refused_where_there_is_one_prompt(pipeline, to):
    done = pipeline.run("export", "--to", to, "-o", "export.out")
    assert done.code == 2, done
    assert "the pipeline (short, again, mood)" in done.err


def test_the_choices_of_the_winner_are_made_in_the_exported_spec(tmp_path):
    with open_workplace(tmp_path, Sentiment()) as place:
        place.write_spec(tune={"module": ["predict", "chain_of_thought"], "format": ["chat", "xml"]})
        chosen = {"module": "chain_of_thought", "format": "xml"}
        texts = {"main": {"instructions": "Feel it.", "demos": []}}
        place.write("candidate.yaml", {"predictors": texts, "choices": chosen})
        done = place.run("export", "--candidate", "candidate.yaml", "--to", "spec", "-o", "chosen.yaml")
        assert done.code == 0, done
        tree = yaml.safe_load((place.folder / "chosen.yaml").read_text())
        assert {key: tree[key] for key in chosen} == chosen
        assert "tune" not in tree
        rendered = [
            place.run("render", *arguments, "--json").document
            for arguments in (("spec.yaml", "--candidate", "candidate.yaml"), ("chosen.yaml",))
        ]
        assert rendered[0] == rendered[1]
        python = place.run("export", "--candidate", "candidate.yaml", "--to", "python")
        assert "<reasoning>" in python.out


RICH = {
    "fields": {
        "inputs": {
            "photo": {"type": "image"},
            "before": {"type": "history"},
            "text": {"type": "string"},
        },
        "outputs": {"label": {"type": "string"}},
    },
    "signature": None,
}


def test_inputs_that_are_more_than_text_are_named(tmp_path):
    with open_workplace(tmp_path, Sentiment()) as place:
        place.write_spec(**RICH)
        done = place.run("export", "--to", "messages")
        assert done.code == 0, done
        said = " ".join(done.err.split())
        assert "the input photo, which is attached (image)" in said
        assert "the input before, which holds the turns of a conversation" in said
        assert "{{text}}" in done.document[-1]["content"]
        for to in ("python", "dspy", "promptfoo"):
            refused = place.run("export", "--to", to, "-o", "export.out")
            assert refused.code == 2, refused
            assert "the input photo" in refused.err
