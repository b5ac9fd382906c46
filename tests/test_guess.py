"""Guessing a spec: what becomes of each column, and why."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptc.runners.data_checks import check_data
from promptc.runners.dataset import column_types, load_examples
from promptc.runners.guess import Guess, guess_spec
from promptc.runners.guess_columns import column, schema
from promptc.runners.guess_words import role
from promptc.runners.judging import build_judge
from promptc.spec.errors import DataError, NothingSelected
from promptc.spec.load import load

TEXTS = [f"The parcel number {n} has not come, and nobody answers the phone." for n in range(60)]
QUEUES = ["billing", "cards", "other"]


def guessed(folder: Path, rows: list[dict[str, Any]], name: str = "rows.jsonl") -> Guess:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return guess_spec(path)


def from_csv(folder: Path, text: str) -> Guess:
    path = folder / "rows.csv"
    path.write_text(text)
    return guess_spec(path)


def rows(**columns: Any) -> list[dict[str, Any]]:
    """Sixty rows; a column is a function of the row's number."""
    return [{name: of(n) for name, of in columns.items()} for n in range(60)]


def text(n: int) -> str:
    return TEXTS[n]


def queue(n: int) -> str:
    return QUEUES[n % 3]


def test_a_classification_comes_out_whole(tmp_path: Path) -> None:
    found = guessed(
        tmp_path,
        rows(
            ticket_id=lambda n: f"t{n}",
            message=text,
            queue=queue,
            urgency=lambda n: n % 5 + 1,
            language=lambda n: ["de", "en"][n % 2],
            source=lambda n: "web",
            customer_id=lambda n: f"c{n // 2}",
        ),
        "support tickets.jsonl",
    )
    assert found.spec == {
        "version": 1,
        "name": "support-tickets",
        "models": {"task": "embedded/icl"},
        "data": {
            "path": "support tickets.jsonl",
            "id": "ticket_id",
            "split": {"stratify": "queue", "group": "customer_id"},
        },
        "fields": {
            "inputs": {"message": {"type": "string"}},
            "outputs": {
                "queue": {"enum": ["billing", "cards", "other"]},
                "urgency": {"type": "integer", "minimum": 1, "maximum": 5},
            },
        },
        "instructions": "Read the message and give the queue and urgency.",
        "module": "predict",
        "metrics": [{"exact_match": {"field": "queue"}}, {"numeric": {"field": "urgency"}}],
        "optimizer": "auto",
        "slices": ["language"],
    }
    assert found.reasons == (
        "`ticket_id`: the id, because every row has another value",
        f"`message`: an input, text of {sum(map(len, TEXTS)) / 60:.0f} characters on average",
        "`queue`: an output, 3 labels that repeat",
        "`urgency`: an output, numbers from 1 to 5",
        "`language`: not used, it looks like a remark about the row (2 labels that repeat)",
        "`source`: not used, it is the same in every row",
        "`customer_id`: not used, it refers to 30 different things",
    )


@pytest.mark.parametrize(
    ("columns", "inputs", "outputs"),
    [
        ({"text": text, "label": queue}, ["text"], ["label"]),
        ({"review": text, "stars": lambda n: n % 5}, ["review"], ["stars"]),
        ({"question": text, "answer": lambda n: f"answer {n}"}, ["question"], ["answer"]),
        (
            {"instruction": text, "input": text, "output": lambda n: f"o {n}"},
            ["instruction", "input"],
            ["output"],
        ),
        (
            {"premise": text, "hypothesis": lambda n: f"h {n}", "label": queue},
            ["premise", "hypothesis"],
            ["label"],
        ),
        ({"problem": text, "rationale": text, "result": lambda n: n * 7}, ["problem"], ["result"]),
        ({"prompt": text, "explanation": lambda n: f"because {n}"}, ["prompt"], ["explanation"]),
        ({"Column A": queue, "a": text, "b": queue}, ["a"], ["b"]),
        ({"one": text, "two": lambda n: f"two {n}"}, ["one"], ["two"]),
        ({"age": lambda n: n % 40, "income": lambda n: n * 100, "risk": queue}, ["age", "income"], ["risk"]),
        ({"email": text, "parts": lambda n: {"sum": n, "city": f"c{n}"}}, ["email"], ["parts"]),
        ({"body": text, "is_spam": lambda n: n % 2 == 0}, ["body"], ["is_spam"]),
        ({"text": text, "label": lambda n: n % 3, "label_text": queue}, ["text"], ["label_text"]),
        ({"index": lambda n: n, "text": text, "label": queue}, ["text"], ["label"]),
        (
            {"messages": lambda n: [{"role": "user", "content": TEXTS[n]}], "reply": text},
            ["messages"],
            ["reply"],
        ),
        ({"source_text": text, "target_text": lambda n: f"t {n}"}, ["source_text"], ["target_text"]),
        ({"document": text}, ["document"], ["answer"]),
    ],
)
def test_names_decide_and_shapes_where_names_say_nothing(
    tmp_path: Path, columns: dict[str, Any], inputs: list[str], outputs: list[str]
) -> None:
    fields = guessed(tmp_path, rows(**columns)).spec["fields"]
    assert (list(fields["inputs"]), list(fields["outputs"])) == (inputs, outputs)


@pytest.mark.parametrize(
    ("output", "field", "metric"),
    [
        (queue, {"enum": QUEUES}, {"exact_match": {"field": "result"}}),
        (lambda n: n % 2 == 0, {"type": "boolean"}, {"exact_match": {"field": "result"}}),
        (lambda n: n % 3, {"type": "integer", "minimum": 0, "maximum": 2}, {"numeric": {"field": "result"}}),
        (lambda n: n, {"type": "integer"}, {"numeric": {"field": "result"}}),
        (lambda n: n / 7, {"type": "number"}, {"numeric": {"field": "result"}}),
        (lambda n: str(n * 1000), {"type": "integer"}, {"numeric": {"field": "result"}}),
        (lambda n: f"short {n}", {"type": "string"}, {"f1": {"field": "result"}}),
        (lambda n: f"long {n} " * 30, {"type": "string"}, {"rouge": {"field": "result"}}),
        (
            lambda n: [queue(n), queue(n + 1)],
            {"type": "array", "items": {"enum": QUEUES}},
            {"exact_match": {"field": "result", "ignore_order": True}},
        ),
        (
            lambda n: {
                "city": f"c{n}",
                "sum": None if n % 2 else n / 2,
                **({"note": f"n{n}"} if n > 30 else {}),
            },
            {
                "type": "object",
                "properties": {
                    "city": {"type": "string"},
                    "sum": {"type": "number", "nullable": True},
                    "note": {"type": "string", "optional": True},
                },
            },
            {"json_fields": {"field": "result"}},
        ),
        (
            lambda n: [{"sku": f"s{n}", "count": n}],
            {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"sku": {"type": "string"}, "count": {"type": "integer"}},
                },
            },
            {"json_fields": {"field": "result"}},
        ),
        (
            lambda n: {f"key{n}.{i}": i for i in range(5)},
            {"type": "object"},
            {"json_fields": {"field": "result"}},
        ),
    ],
)
def test_an_output_has_the_type_of_its_values_and_a_metric_for_it(
    tmp_path: Path, output: Any, field: dict[str, Any], metric: dict[str, Any]
) -> None:
    spec = guessed(tmp_path, rows(text=text, result=output)).spec
    assert spec["fields"]["outputs"] == {"result": field}
    assert spec["metrics"] == [metric]


@pytest.mark.parametrize(
    "columns",
    [
        {"ticket_id": lambda n: f"t{n}", "message": text, "queue": queue, "urgency": lambda n: n % 5},
        {"email": text, "order": lambda n: {"city": None if n % 2 else f"c{n}", "items": [{"sku": f"{n}"}]}},
        {"question": text, "context": lambda n: f"c {n}" if n % 2 else None, "answers": lambda n: [f"a {n}"]},
        {"question": text, "answer": lambda n: str(n * 1000)},
        {"prompt": text},
        {"text": text, "Right Label": queue, "tags": lambda n: [queue(n)]},
    ],
)
def test_a_guess_is_a_valid_spec_that_fits_its_rows(tmp_path: Path, columns: dict[str, Any]) -> None:
    found = guessed(tmp_path, rows(**columns))
    spec, diagnostics = load(json.dumps(found.spec), file="spec.yaml", base=tmp_path)
    assert [d.message for d in diagnostics] == []
    assert spec is not None
    judge = build_judge(spec)
    dataset = load_examples(spec.data, seed=0, gold=judge.gold_columns(), types=column_types(spec))
    assert check_data(spec, dataset, judge.metrics, spec.positions) == []


def test_a_list_of_answers_is_one_answer_with_several_right_values(tmp_path: Path) -> None:
    found = guessed(tmp_path, rows(question=text, answers=lambda n: [f"a {n}", f"b {n}"]))
    assert found.spec["fields"]["outputs"] == {"answer": {"type": "string"}}
    assert found.spec["metrics"] == [{"f1": {"field": "answer", "expected": "answers"}}]
    assert found.reasons[-1] == "`answer` may be any of the row's `answers`"


def test_an_output_whose_name_is_no_field_name_keeps_its_column(tmp_path: Path) -> None:
    found = guessed(tmp_path, rows(**{"text": text, "Right Label": queue}))
    assert list(found.spec["fields"]["outputs"]) == ["right_label"]
    assert found.spec["metrics"] == [{"exact_match": {"field": "right_label", "expected": "Right Label"}}]
    assert found.spec["data"]["split"] == {"stratify": "Right Label"}


def test_without_a_right_answer_a_model_judges(tmp_path: Path) -> None:
    found = guessed(tmp_path, rows(prompt=text))
    assert list(found.spec["metrics"][0]) == ["llm_judge"]
    assert found.reasons[-1].startswith("no column looks like a right answer")


def test_numbers_out_of_text_are_worked_out(tmp_path: Path) -> None:
    assert guessed(tmp_path, rows(question=text, answer=lambda n: n)).spec["module"] == "chain_of_thought"


def test_missing_inputs_get_a_default(tmp_path: Path) -> None:
    found = guessed(
        tmp_path, rows(question=text, context=lambda n: None if n % 2 else f"c {n}", answer=queue)
    )
    assert found.spec["fields"]["inputs"]["context"] == {"type": "string", "default": ""}


def test_labels_that_are_rare_are_not_stratified(tmp_path: Path) -> None:
    found = guessed(tmp_path, rows(text=text, label=lambda n: "rare" if n == 7 else queue(n)))
    assert found.spec["data"] == {"path": "rows.jsonl"}


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["a", "b"] * 10, "labels"),
        ([f"v{n}" for n in range(20)], "text"),
        ([f"v{n // 2}" for n in range(60)], "text"),
        (["a\nb", "c"] * 10, "text"),
        (["x" * 100, "y"] * 10, "text"),
        (["only"] * 10, "text"),
        (["1", "2"] * 10, "integer"),
        (["1.5", "2"], "number"),
        (["007", "008"] * 5, "labels"),
        ([1, 2.5], "number"),
        ([1, "a"], "mixed"),
        ([True, 1], "mixed"),
        ([True, None, False], "boolean"),
        ([None, None], "empty"),
        ([{"a": 1}], "object"),
        ([[1]], "list"),
    ],
)
def test_the_kind_of_a_column(cells: list[Any], kind: str) -> None:
    found = column("c", cells)
    assert found.kind == kind
    assert found.missing == cells.count(None)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([], {}),
        ([None], {}),
        ([1, None], {"type": "integer", "nullable": True}),
        ([1, "a"], {"type": ["integer", "string"]}),
        ([[]], {"type": "array"}),
        ([["a"], []], {"type": "array", "items": {"type": "string"}}),
        ([{}], {"type": "object", "properties": {}}),
        ([{"a": None}], {"type": "object", "properties": {"a": {"type": "string", "nullable": True}}}),
    ],
)
def test_the_type_of_nested_values(values: list[Any], found: dict[str, Any]) -> None:
    assert schema(values) == found


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("label", "output"),
        ("ticketPriority", "output"),
        ("answer_text", "output"),
        ("message_language", "about"),
        ("customer-message", "input"),
        ("Text", "input"),
        ("source_text", "input"),
        ("urgency_level", "output"),
        ("chain_of_thought", "working"),
        ("xyz", None),
        ("", None),
    ],
)
def test_the_last_telling_word_of_a_name_decides(name: str, expected: str | None) -> None:
    assert role(name) == expected


def test_csv_cells_are_read_as_what_they_spell(tmp_path: Path) -> None:
    lines = [f'"text {n}",{n % 5},{n / 4:.2f},{n:03d}' for n in range(40)]
    fields = from_csv(tmp_path, "text,score,weight,code\n" + "\n".join(lines)).spec["fields"]
    assert fields["outputs"] == {"score": {"type": "integer", "minimum": 0, "maximum": 4}}
    assert list(fields["inputs"]) == ["text", "code"]


@pytest.mark.parametrize("content", ["", "\n"])
def test_a_file_without_rows_selects_nothing(tmp_path: Path, content: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(content)
    with pytest.raises(NothingSelected):
        guess_spec(path)


def test_rows_without_an_input_are_an_error_that_lists_the_columns(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no column looks like an input; there are: id, label"):
        guessed(tmp_path, rows(id=lambda n: n, label=queue))


cells = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
)
nested = st.recursive(
    cells,
    lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=3), v, max_size=3),
    max_leaves=5,
)
names = st.sampled_from(["id", "text", "label", "answers", "x y", "ü", "meta", "index", ""])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.dictionaries(names, nested, max_size=5), min_size=1, max_size=12))
def test_any_rows_give_the_same_guess_twice_or_a_data_error(
    tmp_path_factory: pytest.TempPathFactory, found: list[dict[str, Any]]
) -> None:
    folder = tmp_path_factory.mktemp("guess")
    try:
        first = guessed(folder, found)
    except DataError:
        return
    assert guessed(folder, found) == first
    assert json.loads(json.dumps(first.spec)) == first.spec


def test_the_table_library_is_loaded_only_to_guess(tmp_path: Path) -> None:
    code = "import sys; import promptc.runners.guess; print('polars' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
