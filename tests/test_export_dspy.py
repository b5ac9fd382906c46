"""What `promptc export --to dspy` writes, loaded by the real package and asked against the loopback server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from workplace import open_workplace

ASK = """\
import json, os, sys
import dspy
from state_signature import load

dspy.configure(lm=dspy.LM("openai/scripted", api_base=sys.argv[1], api_key="none", cache=False), track_usage=False)
program = load()
predictor = getattr(program, "predict", program)
prediction = program(**json.loads(sys.argv[2])).toDict()
signature = predictor.signature
print(json.dumps({
    "prediction": {n: v.model_dump() if hasattr(v, "model_dump") else v for n, v in prediction.items()},
    "instructions": signature.instructions,
    "inputs": list(signature.input_fields),
    "outputs": list(signature.output_fields),
    "descriptions": {n: f.json_schema_extra["desc"] for n, f in signature.fields.items()},
    "demos": [dict(demo) for demo in predictor.demos],
}))
"""

CASES: dict[str, dict[str, Any]] = {
    "label": {
        "spec": {
            "fields": {
                "inputs": {"text": {"type": "string", "description": "What was said"}},
                "outputs": {"label": {"enum": {"good": "praise", "bad": "blame"}}},
            },
            "demos": [{"text": "lovely", "label": "good"}, {"text": "dreadful", "label": "bad"}],
        },
        "reply": "[[ ## label ## ]]\ngood\n\n[[ ## completed ## ]]",
        "describes": {"text": "What was said", "label": "- good: praise\n- bad: blame"},
    },
    "reasoning": {
        "spec": {
            "signature": "question -> answer: int",
            "module": {"chain_of_thought": {"field": "thoughts"}},
            "demos": [{"question": "1+1?", "thoughts": "One and one.", "answer": 2}],
        },
        "reply": "[[ ## reasoning ## ]]\nTwo and two.\n\n[[ ## answer ## ]]\n4\n\n[[ ## completed ## ]]",
        "ours": "[[ ## thoughts ## ]]\nTwo and two.\n\n[[ ## answer ## ]]\n4\n\n[[ ## completed ## ]]",
        "describes": {"reasoning": "Think step by step before you answer."},
    },
    "object": {
        "spec": {
            "fields": {
                "inputs": {"text": {"type": "string"}},
                "outputs": {
                    "person": {
                        "type": "object",
                        "properties": {"name": "string", "age": "integer", "tags": "list[str]"},
                    },
                    "level": {"type": "integer", "minimum": 1, "maximum": 5},
                },
            },
            "demos": [{"text": "Bo, 3", "person": {"name": "Bo", "age": 3, "tags": []}, "level": 2}],
        },
        "reply": '[[ ## person ## ]]\n{"name": "Ann", "age": 30, "tags": ["x"]}\n\n'
        "[[ ## level ## ]]\n4\n\n[[ ## completed ## ]]",
        "describes": {"level": "(integer from 1 to 5)"},
    },
}


@pytest.fixture(scope="module", params=CASES)
def both(request, shared_folder):
    """A case with what promptc and DSPy make of the same answer."""
    case = CASES[request.param]
    with open_workplace(shared_folder(request.param), lambda body: place.answer) as place:
        place.answer = case.get("ours", case["reply"])
        instructions = 'Read "it".\nThen answer \\ as {told}.'
        place.write_spec(**{"signature": None, "instructions": instructions, "metrics": None, **case["spec"]})
        name = "question" if "signature" in case["spec"] else "text"
        row = {name: "two and two?"}
        place.write("row.jsonl", [row])
        [predicted] = place.run("run", "spec.yaml", "row.jsonl").lines
        done = place.run("export", "spec.yaml", "--to", "dspy", "-o", "state.json")
        assert done.code == 0, done
        place.answer = case["reply"]
        found = ask_dspy(place.folder, place.server.url, row)
    return case, predicted["outputs"], found, instructions


def ask_dspy(folder: Path, url: str, row: dict[str, Any]) -> Any:
    (folder / "ask.py").write_text(ASK)
    done = subprocess.run(
        [sys.executable, "ask.py", url, json.dumps(row)],
        cwd=folder,
        env={
            **os.environ,
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "DSPY_CACHEDIR": str(folder / "dspy-cache"),
        },
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_same_answer_is_the_same_prediction(both):
    _, outputs, found, _ = both
    assert {name: found["prediction"][name] for name in outputs} == outputs


def test_instructions_fields_and_descriptions_are_the_same(both):
    case, outputs, found, instructions = both
    assert found["instructions"] == instructions
    assert [name for name in found["outputs"] if name != "reasoning"] == list(outputs)
    assert found["descriptions"].items() >= case["describes"].items()


def test_the_demos_are_the_same(both):
    case, _, found, _ = both
    renamed = [
        {"reasoning" if n == "thoughts" else n: v for n, v in demo.items()} for demo in case["spec"]["demos"]
    ]
    assert found["demos"] == renamed


def test_without_a_file_the_state_alone_is_written_and_said_so(tmp_path):
    with open_workplace(tmp_path, "") as place:
        done = place.run("export", "spec.yaml", "--to", "dspy")
        assert done.code == 0, done
        assert json.loads(done.out)["signature"]["instructions"] == "Say what mood the text is in."
        assert "-o FILE.json" in done.err
