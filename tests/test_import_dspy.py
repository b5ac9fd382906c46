"""`promptc import --from dspy`: states that the real package saved, and source that is parsed and never run."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from workplace import Workplace, open_workplace

SOURCE = '''\
from enum import Enum
from typing import Literal, Optional
import dspy
from pydantic import BaseModel, Field


class Level(Enum):
    LOW = "low"
    HIGH = "high"


class Person(BaseModel):
    name: str = Field(description="Full name")
    age: Optional[int] = None
    friends: "list[Person]" = []


class Triage(dspy.Signature):
    """Sort the mail.

    Be quick."""

    mail: str = dspy.InputField(desc="What came")
    notes: list[str] = dspy.InputField()
    queue: Literal["a", "b"] = dspy.OutputField(desc="Where to")
    level: Level = dspy.OutputField()
    person: Person = dspy.OutputField()


class Office(dspy.Module):
    def __init__(self):
        self.answer = dspy.ChainOfThought("question, context: list[str] -> answer: int")
        self.triage = dspy.Predict(Triage)


open("it-ran", "w").write("it ran")
'''

SAVE = """\
import dspy, office
program = office.Office()
program.answer.predict.demos = [
    dspy.Example(question="1+1", context=["x"], reasoning="sum", answer=2, augmented=True),
    dspy.Example(question="1+2", answer=3),
]
program.triage.lm = dspy.LM("openai/gpt-4.1-mini", temperature=0.3, max_tokens=50, api_key="sk-never-to-be-seen")
program.save("office.json")
one = dspy.ChainOfThought("question -> answer")
one.predict.demos = [dspy.Example(question="1+1", reasoning="sum", answer="2")]
one.save("one.json")
dspy.Predict("question, hint -> answer").save("two.json")
"""


@pytest.fixture(scope="module")
def office(shared_folder):
    """A folder with DSPy source, and the states that its programs saved."""
    with open_workplace(shared_folder("office")) as place:
        place.write("office.py", SOURCE)
        place.write("save.py", SAVE)
        done = subprocess.run(
            [sys.executable, "save.py"],
            cwd=place.folder,
            env={
                **os.environ,
                "LITELLM_LOCAL_MODEL_COST_MAP": "True",
                "DSPY_CACHEDIR": str(place.folder / "c"),
            },
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        (place.folder / "it-ran").unlink()
        yield place


def imported(place: Workplace, folder: str, *arguments: str) -> dict:
    done = place.run("import", "--from", "dspy", *arguments, "-o", folder, "--json")
    assert done.code == 0, done
    assert not (place.folder / "it-ran").exists()
    return done.document


def spec(place: Workplace, path: str) -> dict:
    validated = place.run("validate", "--no-data", path)
    assert validated.code == 0, validated
    return yaml.safe_load((place.folder / path).read_text())


def test_a_state_with_its_source_becomes_a_spec_for_each_predictor(office):
    document = imported(office, "whole", "office.json", "--signature", "office.py")
    assert document["written"] == ["whole/answer.yaml", "whole/triage.yaml"]
    answer, triage = spec(office, "whole/answer.yaml"), spec(office, "whole/triage.yaml")
    assert answer["module"] == "chain_of_thought"
    assert answer["fields"]["outputs"] == {"answer": {"type": "integer"}}
    assert answer["demos"] == [{"question": "1+1", "context": ["x"], "reasoning": "sum", "answer": 2}]
    assert triage["instructions"] == "Sort the mail.\n\nBe quick."
    assert triage["models"]["task"] == {
        "model": "openai/gpt-4.1-mini",
        "params": {"temperature": 0.3, "max_tokens": 50},
    }
    assert triage["fields"]["inputs"]["mail"] == {"type": "string", "description": "What came"}
    assert triage["fields"]["outputs"]["queue"] == {"enum": ["a", "b"], "description": "Where to"}
    assert triage["fields"]["outputs"]["level"] == {"enum": ["low", "high"]}
    person = triage["fields"]["outputs"]["person"]["properties"]
    assert person["name"] == {"type": "string", "description": "Full name"}
    assert person["age"] == {"type": "integer", "nullable": True, "optional": True}
    said = " ".join(document["lost"])
    assert "1 of 2 demos, which lack a field" in said
    assert "how the 2 predictors are wired" in said
    assert "person.friends" in said
    assert "sk-never-to-be-seen" not in json.dumps([document, answer, triage])


def test_without_source_names_are_found_and_types_guessed(office):
    document = imported(office, "one", "one.json")
    tree = spec(office, "one/promptc.yaml")
    assert tree["name"] == "one"
    assert list(tree["fields"]["inputs"]) == ["question"]
    assert list(tree["fields"]["outputs"]) == ["answer"]
    assert tree["demos"] == [{"question": "1+1", "reasoning": "sum", "answer": "2"}]
    assert any(sentence.startswith("types, from the values") for sentence in document["guessed"])


def test_what_comes_out_can_be_said(office):
    guessed = imported(office, "two", "two.json")["guessed"]
    assert any("only answer comes out" in sentence for sentence in guessed)
    imported(office, "three", "two.json", "--output-field", "hint", "--output-field", "answer")
    assert list(spec(office, "three/promptc.yaml")["fields"]["outputs"]) == ["hint", "answer"]


def test_source_alone_becomes_specs(office):
    assert imported(office, "named", "office.py:Triage")["written"] == ["named/promptc.yaml"]
    assert imported(office, "all", "office.py")["written"] == ["all/triage.yaml", "all/answer.yaml"]
    assert spec(office, "all/answer.yaml")["module"] == "chain_of_thought"


def test_the_data_and_the_model_can_be_named(office):
    office.write("mine.jsonl", [{"id": str(n), "question": f"{n}+1", "answer": str(n + 1)} for n in range(3)])
    imported(office, "deep/er", "one.json", "--data", "mine.jsonl", "--model", "openai/gpt-4.1")
    tree = spec(office, "deep/er/promptc.yaml")
    assert tree["data"] == {"path": "../../mine.jsonl"}
    assert tree["models"] == {"task": "openai/gpt-4.1"}
    assert office.run("validate", "deep/er/promptc.yaml").code == 0


def test_what_promptc_exports_comes_back_with_the_same_prompts(tmp_path):
    with open_workplace(tmp_path) as place:
        place.write_spec(
            models={"task": "embedded/icl"},
            module="chain_of_thought",
            demos=[{"text": "lovely", "reasoning": "a kind word", "label": "positive"}],
        )
        assert place.run("export", "--to", "dspy", "-o", "state.json").code == 0
        imported(place, "back", "state.json", "--signature", "state_signature.py")
        ours = place.run("render", "spec.yaml", "--json").document
        assert place.run("render", "back/promptc.yaml", "--json").document == ours


def test_nothing_is_replaced_without_force(office):
    imported(office, "kept", "one.json")
    (office.folder / "kept/promptc.yaml").write_text("mine")
    done = office.run("import", "--from", "dspy", "one.json", "-o", "kept")
    assert done.code == 2, done
    assert (office.folder / "kept/promptc.yaml").read_text() == "mine"
    assert office.run("import", "--from", "dspy", "one.json", "-o", "kept", "--force").code == 0


class Trap:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return (Path.touch, (Path("it-ran"),))


BAD = {
    "a pickle": ("state.pkl", pickle.dumps(Trap()), 2, "is a pickle"),
    "no json": ("state.json", b"{", 4, "not JSON"),
    "deep json": ("state.json", b"[" * 100_000, 4, "not JSON"),
    "no state": ("state.json", b'{"a": 1}', 4, "no predictor"),
    "no python": ("state.py", b"def (", 4, "not Python"),
    "no signature": ("state.py", b"x = 1", 2, "has no signature"),
    "deep python": ("state.py", b"x = " + b"(" * 5000 + b")" * 5000, 4, "not Python"),
    "one-sided": ("state.py", b"class A(Signature):\n    a: str = InputField()\n", 4, "no field goes in"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_refused_in_words(tmp_path, case):
    name, content, code, said = BAD[case]
    with open_workplace(tmp_path) as place:
        place.write(name, content)
        done = place.run("import", "--from", "dspy", name, "-o", "out")
        assert done.code == code, done
        assert said in " ".join(done.err.split())
        assert "Traceback" not in done.err
        assert not (place.folder / "out").exists()
        assert not (place.folder / "it-ran").exists()


def test_types_that_multiply_are_bounded(tmp_path):
    """Twenty classes, each with two fields of the next one: a million types when written out."""
    classes = "\n".join(f"class C{n}(BaseModel):\n    a: C{n + 1}\n    b: C{n + 1}" for n in range(20))
    with open_workplace(tmp_path) as place:
        place.write(
            "s.py", f"{classes}\nclass S(Signature):\n    a: str = InputField()\n    b: C0 = OutputField()\n"
        )
        done = place.run("import", "--from", "dspy", "s.py", "-o", "out")
        assert done.code == 0, done
        assert (place.folder / "out/promptc.yaml").stat().st_size < 5_000_000
