"""`tune:`: choices about a program's structure, made inside the budget of the search."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from workplace import LABELS, WORDS, Workplace, answer, open_workplace

from promptc.optimizers.structure import race_rows
from promptc.runners.build import build_program
from promptc.runners.candidate import Candidate
from promptc.spec.load import load
from promptc.spec.tuning import with_choices

PIPELINE = [
    {"step": "look", "signature": "text -> hint", "inputs": {"text": "inputs.text"}},
    {
        "step": "decide",
        "signature": "text, hint -> label: Literal['negative', 'neutral', 'positive']",
        "inputs": {"text": "inputs.text", "hint": "first(look.hint, '')"},
    },
]
TUNE = {
    "look.when": [False, True],
    "decide.module": ["predict", "chain_of_thought"],
    "decide.temperature": [0, 1],
}


def tree(**keys):
    return {
        "version": 1, "name": "t", "models": {"task": "openai/t"}, "data": {"rows": [{"text": "x", "label": "y"}]},
        "inputs": {"text": "string"}, "pipeline": PIPELINE, "metrics": ["exact_match"], "tune": TUNE, **keys,
    }  # fmt: skip


def read(**keys):
    spec, findings = load(json.dumps(tree(**keys)), file="spec.yaml", base=Path("/nowhere"), environment={})
    assert findings == (), [finding.message for finding in findings]
    return spec


def findings_of(**keys):
    text = json.dumps({key: value for key, value in tree(**keys).items() if value is not None}, indent=1)
    _, findings = load(text, file="spec.yaml", base=Path("/nowhere"), environment={})
    return [(finding.path, finding.message) for finding in findings]


def test_choices_take_the_places_of_what_the_spec_says():
    spec = with_choices(
        read(), {"look.when": "false", "decide.module": "chain_of_thought", "decide.temperature": 1}
    )
    look, decide = spec.stages
    assert look.when == "false"
    assert (decide.action.module.name, decide.action.temperature) == ("chain_of_thought", 1)
    assert [step.module.name for step in spec.steps] == ["predict", "chain_of_thought"]


def test_a_candidate_with_choices_is_compiled_into_the_program_that_it_chose():
    program = build_program(read())
    chosen = Candidate(
        choices={"decide.module": {"majority": {"module": "predict", "n": 3}}, "decide.temperature": 1}
    )
    compiled = program.compile(chosen)
    assert compiled.program.calls() == (4, 4)
    assert compiled.speakers["decide"].params["temperature"] == 1
    assert program.calls() == (2, 2)
    assert program.compile(program.start()).program is program
    assert compiled.program.compile(program.start()).program is program
    assert program.variant(chosen.choices) is compiled.program


@pytest.mark.parametrize(
    ("tune", "path", "message"),
    [
        ({"lok.when": [True]}, 'tune."lok.when"', 'tune: there is no step "lok"'),
        ({"look.k": [2]}, 'tune."look.k"', 'tune: "k" is nothing that can be chosen'),
        ({"look.when": ["size("]}, 'tune."look.when".0', "`(` is never closed"),
        ({"look.module": ["predikt"]}, 'tune."look.module".0', 'unknown module "predikt"'),
        ({"look.temperature": [5]}, 'tune."look.temperature".0', "5 is too large: at most 2"),
        ({"look.model": ["nobody"]}, 'tune."look.model".0', 'no model is called "nobody"'),
        ({"look.module": []}, 'tune."look.module"', "the list is empty"),
    ],
)
def test_what_cannot_be_chosen_is_said_with_its_place(tune, path, message):
    assert (path, message) in findings_of(tune=tune)


def test_a_spec_of_one_step_names_no_step():
    keys = {"pipeline": None, "inputs": None, "signature": "text -> label", "tune": {"module": ["predict"]}}
    assert findings_of(**keys) == []
    assert findings_of(**{**keys, "tune": {"answer.module": ["predict"]}}) == [
        ('tune."answer.module"', 'tune: there is no step "answer"')
    ]


@pytest.mark.parametrize(
    ("values", "train", "affordable", "rows"),
    [(5, 100, 10_000, 64), (5, 20, 10_000, 20), (5, 100, 300, 15), (5, 100, 60, 0), (5, 2, 10_000, 2)],
)
def test_races_take_a_part_of_the_budget_and_do_not_choose_by_chance(values, train, affordable, rows):
    assert race_rows(values, train, affordable) == rows


def reply(body):
    """A model that needs the hint: without it, it says that every day is plain."""
    system, asked = body["messages"][0]["content"], body["messages"][-1]["content"]
    label = next(
        (name for name in LABELS if WORDS[name] in asked.split("## text ##")[-1].split("[[")[0]), "neutral"
    )
    if "`hint`" in system.split("The output fields are")[1]:
        return answer(hint=f"it is {label}")
    known = next((name for name in LABELS if f"it is {name}" in asked), "neutral")
    return answer(reasoning="so", label=known) if "reasoning" in system else answer(label=known)


@pytest.fixture(scope="module")
def place(shared_folder):
    with open_workplace(shared_folder("tune"), reply) as opened:
        yield opened


def keys(**more):
    return {
        "pipeline": [{**PIPELINE[0], "when": "false"}, PIPELINE[1]], "inputs": {"text": "string"}, "signature": None,
        "instructions": None, "optimizer": {"labeled_few_shot": {"k": 2}}, "tune": TUNE, **more,
    }  # fmt: skip


def test_optimize_learns_the_structure_and_the_artifact_keeps_it(place: Workplace):
    place.write_spec(**keys())
    done = place.run("optimize", "-o", "run", "--json")
    assert done.code == 0, done
    summary = place.summary("run")
    assert summary["test"]["start"]["score"] < 0.5 < summary["test"]["score"]
    program = json.loads((place.folder / "run/compiled/program.json").read_text())
    assert program["candidate"]["choices"]["look.when"] == "true"
    assert any(note.startswith("tune: ") and "look.when true" in note for note in summary["notes"])
    again = place.run("eval", "run", "--split", "test", "-o", "again", "--json")
    assert again.document["test"]["score"] == summary["test"]["score"]
    assert "it is" in place.run("trace", "run", "--row", program_row(place)).out


def program_row(place: Workplace) -> str:
    """A row that the winner was scored on."""
    lines = (place.folder / "run/rows.jsonl").read_text().splitlines()
    return next(row["id"] for row in map(json.loads, lines) if row["candidate"] == "winner")


def test_workers_change_nothing(place: Workplace):
    place.write_spec(**keys())
    for jobs in ("1", "8", "64"):
        assert place.run("optimize", "-o", f"jobs-{jobs}", "-j", jobs).code == 0
    assert place.result("jobs-1") == place.result("jobs-8") == place.result("jobs-64")


@pytest.mark.parametrize("calls", [240, 500])
def test_a_budget_holds_with_choices_too(place: Workplace, calls):
    place.write_spec(**keys(budget={"calls": calls}))
    place.server.reset()
    done = place.run("optimize", "-o", f"budget-{calls}", "--json")
    assert done.code == 0, done
    assert len(place.server.seen) <= calls
    assert done.document["test"]["n"] == 18


def test_a_candidate_file_may_choose_and_what_is_not_offered_is_refused(place: Workplace):
    place.write_spec(**keys())
    place.write("chosen.yaml", "candidate: 1\npredictors: {}\nchoices: {look.when: 'true'}\n")
    assert "‹" not in place.run("render", "--row", "r001", "--step", "look", "--candidate", "chosen.yaml").out
    place.write("wrong.yaml", "candidate: 1\npredictors: {}\nchoices: {look.when: 'maybe'}\n")
    done = place.run("render", "--candidate", "wrong.yaml")
    assert done.code == 4
    assert "look.when is one of" in done.err
