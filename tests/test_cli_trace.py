"""`promptc trace` and `render --from`: what happened to a row, from what its run recorded."""

from __future__ import annotations

import json

import pytest
from workplace import Workplace, answer, open_workplace

PIPELINE = [
    {"step": "guess", "signature": "text -> zeal: int, label: str", "inputs": {"text": "inputs.text"}},
    {
        "step": "praise",
        "signature": "label -> word",
        "inputs": {"label": "guess.label"},
        "when": "guess.zeal > 3",
    },
    {
        "step": "final",
        "signature": "note, guess: str -> label",
        "inputs": {"note": "first(praise.word, 'nothing')", "guess": "guess.label"},
        "assert": [{"check": "self.label != 'bad'", "message": "Not that word."}],
    },
]


def reply(body):
    """A model that says `bad` first and is zealous about lovely days."""
    messages = body["messages"]
    system, asked = messages[0]["content"], messages[-1]["content"]
    if "`zeal`" in system:
        return answer(zeal="5" if "lovely" in asked else "1", label="fine")
    if "`word`" in system:
        return answer(word="bravo")
    return answer(label="positive" if "Not that word" in asked else "bad")


@pytest.fixture(scope="module")
def place(shared_folder):
    with open_workplace(shared_folder("trace"), reply) as opened:
        keys = {"pipeline": PIPELINE, "inputs": {"text": "string"}, "signature": None, "instructions": None}
        opened.write_spec(**keys)
        done = opened.run("eval", "-o", "run", "--split", "all")
        assert done.code == 0, done
        opened.server.reset()
        yield opened


def steps(done):
    return [(step["predictor"], step.get("kind", "predict")) for step in done.document["steps"]]


def test_a_row_s_way_is_shown_without_a_call(place: Workplace):
    done = place.run("trace", "run", "--row", "r002", "--json")
    assert done.code == 0, done
    assert steps(done) == [("guess", "predict"), ("praise", "predict"), ("final", "predict")]
    first, second = done.document["steps"][2]["exchanges"]
    assert (first["problem"], second["problem"]) == ("Not that word.", "")
    assert [message["role"] for message in second["messages"]] == ["system", "user", "assistant", "user"]
    assert second["reply"] == answer(label="positive")
    assert not place.server.seen


def test_a_skipped_step_is_in_the_tree(place: Workplace):
    done = place.run("trace", "run", "--row", "r000", "--json")
    assert steps(done) == [("guess", "predict"), ("praise", "skipped"), ("final", "predict")]


def test_the_tree_names_steps_messages_replies_and_what_was_wrong(place: Workplace):
    done = place.run("trace", "run", "--row", "r002", COLUMNS="100")
    assert done.code == 0, done
    for part in (
        "row r002",
        "guess",
        "asked again 1×",
        "sent 1 of 2",
        "wrong  Not that word.",
        "out  label: positive",
    ):
        assert part in done.out
    assert "The output fields are" not in done.out
    assert "The output fields are" in place.run("trace", "run", "--row", "r002", "-v").out


def test_one_step_is_shown_alone(place: Workplace):
    done = place.run("trace", "run", "--row", "r002", "--step", "praise")
    assert "bravo" in done.out
    assert "guess  " not in done.out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["run", "--row", "r99"], 5, "run has no row r99"),
        (["run", "--row", "r002", "--step", "prase"], 2, "there are: guess, praise, final"),
        (["nowhere", "--row", "r002"], 2, "nowhere is not a run"),
        (["run", "--row", "r002", "--candidate", "start"], 5, "run has no row r002 of the start"),
    ],
)
def test_what_is_not_there_is_said(place: Workplace, arguments, code, said):
    done = place.run("trace", *arguments)
    assert (done.code, said in done.err) == (code, True), done


def test_render_shows_gaps_or_what_a_run_gave(place: Workplace):
    gaps = place.run("render", "--row", "r002", "--step", "final", "--json").document[0]["messages"]
    assert "‹note›" in gaps[-1]["content"]
    real = place.run("render", "--row", "r002", "--step", "final", "--from", "run", "--json").document[0][
        "messages"
    ]
    assert "bravo" in real[-1]["content"]
    first = place.run("render", "--row", "r002", "--step", "guess", "--json").document[0]["messages"]
    assert "lovely day 2" in first[-1]["content"]
    assert place.run("render", "--from", "run").code == 2


def test_a_compiled_program_asks_in_the_order_of_the_spec_s_fields(place: Workplace):
    """An artifact keeps the order of fields: the same prompts, and the same replies from the cache."""
    program = json.loads((place.folder / "run/compiled/program.json").read_text())
    assert list(program["spec"]["pipeline"][0]["fields"]["outputs"]) == ["zeal", "label"]
    ours = place.run("render", "spec.yaml", "--row", "r002").out
    assert place.run("render", "run", "--row", "r002").out == ours
    assert ours.index("[[ ## zeal ## ]]") < ours.index("[[ ## label ## ]]")
