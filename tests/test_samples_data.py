"""The samples' data: enough rows, well labelled, written one by one, and true to what their READMEs say."""

import re
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from rapidfuzz import fuzz

from promptc.runners.metrics.registry import build, split
from promptc.runners.models.transports.script import Rule, read_script

SAMPLES = Path(__file__).resolve().parent.parent / "samples"

QUEUES = ("billing", "outage", "installation", "contract", "account", "metering")

DATA = {
    "triage": ("tickets.jsonl", "message"),
    "extract": ("emails.jsonl", "email"),
    "maths": ("problems.jsonl", "problem"),
}
COUNTS = {"triage": 360, "extract": 240, "maths": 200}
COLUMNS = {
    "triage": {"id", "message", "queue", "language", "channel"},
    "extract": {"id", "email", "order"},
    "maths": {"id", "problem", "answer"},
}

sample = pytest.mark.parametrize("sample", ["triage", "extract", "maths"])


def rows(sample: str) -> list[dict[str, Any]]:
    lines = (SAMPLES / sample / DATA[sample][0]).read_bytes().splitlines()
    return [msgspec.json.decode(line) for line in lines]


def texts(sample: str) -> dict[str, str]:
    return {row["id"]: row[DATA[sample][1]] for row in rows(sample)}


def spec(sample: str) -> dict[str, Any]:
    return yaml.safe_load((SAMPLES / sample / "spec.yaml").read_text(encoding="utf-8"))


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def leaves(value: dict[str, Any], path: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, inner in value.items():
        name = f"{path}.{key}" if path else key
        found |= leaves(inner, name) if isinstance(inner, dict) else {name: inner}
    return found


@sample
def test_every_row_has_the_same_columns_and_an_id_of_its_own(sample: str) -> None:
    found = rows(sample)
    assert len(found) == COUNTS[sample]
    assert all(set(row) == COLUMNS[sample] for row in found)
    assert len({row["id"] for row in found}) == len(found)


@sample
def test_files_are_utf8_without_mark_and_end_their_last_line(sample: str) -> None:
    for path in sorted((SAMPLES / sample).iterdir()):
        content = path.read_bytes()
        assert not content.startswith(b"\xef\xbb\xbf"), path
        assert content.endswith(b"\n"), path
        assert b"\r" not in content, path
        assert "\ufffd" not in content.decode("utf-8"), path


@sample
def test_texts_are_written_one_by_one_and_not_from_a_template(sample: str) -> None:
    runs: dict[tuple[str, ...], str] = {}
    for name, text in texts(sample).items():
        spoken = words(text)
        for run in zip(*(spoken[start:] for start in range(8)), strict=False):
            assert runs.setdefault(run, name) == name, f"{name} and {runs[run]} share {' '.join(run)!r}"


@sample
def test_no_two_texts_are_nearly_the_same(sample: str) -> None:
    lowered = {name: text.lower() for name, text in texts(sample).items()}
    alike = [
        (first, second)
        for first, second in combinations(lowered, 2)
        if fuzz.token_set_ratio(lowered[first], lowered[second], score_cutoff=85) >= 85
    ]
    assert not alike


@sample
def test_texts_begin_in_their_own_way_and_differ_in_length(sample: str) -> None:
    spoken = [words(text) for text in texts(sample).values()]
    openings = Counter(tuple(one[:4]) for one in spoken)
    lengths = sorted(len(one) for one in spoken)
    assert openings.most_common(1)[0][1] <= 2
    assert len(openings) >= 0.98 * len(spoken)
    assert lengths[-1] >= 3 * lengths[0]


@sample
def test_texts_hold_no_addresses_but_those_kept_for_examples(sample: str) -> None:
    joined = "\n".join(texts(sample).values())
    assert all(domain.endswith(".example") for domain in re.findall(r"[\w.+-]+@([\w.-]+\w)", joined))
    assert not re.search(r"https?://|www\.", joined)
    assert not re.search(r"\+\d{2}|\b0\d{3,}[ /-]\d{3,}", joined)


def test_tickets_are_balanced_over_queues() -> None:
    assert Counter(row["queue"] for row in rows("triage")) == dict.fromkeys(QUEUES, 60)


def test_tickets_carry_the_labels_that_the_spec_declares() -> None:
    assert tuple(spec("triage")["fields"]["outputs"]["queue"]["enum"]) == QUEUES


def test_tickets_have_slices_worth_looking_at() -> None:
    found = rows("triage")
    languages = Counter(row["language"] for row in found)
    channels = Counter(row["channel"] for row in found)
    each = Counter((row["queue"], row["language"]) for row in found)
    assert languages == {"en": 252, "de": 36, "fr": 36, "es": 36}
    assert set(channels) == {"email", "chat", "phone note"}
    assert min(channels.values()) >= 100
    assert all(each[queue, language] == 6 for queue in QUEUES for language in ("de", "fr", "es"))


def test_orders_are_copied_from_their_emails() -> None:
    for row in rows("extract"):
        for path, value in leaves(row["order"]).items():
            assert value is None or (value and value == value.strip() and value in row["email"]), (
                row["id"],
                path,
            )


def test_orders_have_the_shape_that_the_spec_declares() -> None:
    from jsonschema import Draft202012Validator

    validator = Draft202012Validator(closed(spec("extract")["fields"]["outputs"]["order"]))
    for row in rows("extract"):
        assert not list(validator.iter_errors(row["order"])), row["id"]


def closed(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema as promptc reads it: every property required, none besides."""
    properties = {name: closed(inner) for name, inner in schema.get("properties", {}).items()}
    if not properties:
        return schema
    return {**schema, "properties": properties, "required": [*properties], "additionalProperties": False}


def test_order_numbers_have_one_of_two_shapes_and_occur_once() -> None:
    numbers = [row["order"]["number"] for row in rows("extract") if row["order"]["number"] is not None]
    assert all(re.fullmatch(r"BM-\d{5}|W7-\d{4}", number) for number in numbers)
    assert len(set(numbers)) == len(numbers)


def test_few_values_of_an_order_are_missing_and_each_is_missing_somewhere() -> None:
    missing = Counter(
        path for row in rows("extract") for path, value in leaves(row["order"]).items() if value is None
    )
    assert set(missing) == {"number", "customer", "delivery.date", "delivery.city", "total"}
    assert max(missing.values()) <= 0.1 * COUNTS["extract"]


def test_every_path_that_the_extract_metric_names_is_in_the_order() -> None:
    [entry] = spec("extract")["metrics"]
    name, parameters = split(entry)
    metric = build({name: {key: value for key, value in parameters.items() if key != "field"}})
    [order] = {tuple(leaves(row["order"])) for row in rows("extract")}
    assert set(metric.fields) == set(order)  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def rules() -> tuple[Rule, ...]:
    return read_script(SAMPLES / "maths" / "replies.jsonl")


def rule_for(problem: str, rules: tuple[Rule, ...]) -> Rule:
    [rule] = [rule for rule in rules if rule.match is not None and rule.match in problem]
    return rule


def verdict(rule: Rule, answer: float) -> str:
    """What a reply is worth: right, wrong, without a number, or right when asked again."""
    answers = [reply.get("answer") if isinstance(reply, dict) else None for reply in rule.replies]
    numbers = [value if isinstance(value, int | float) else None for value in answers]
    if numbers[0] is None:
        return "mended" if numbers[-1] == answer else "without a number"
    return "right" if numbers[0] == answer else "wrong"


def test_every_problem_has_one_rule_of_its_own(rules: tuple[Rule, ...]) -> None:
    answering = [rule_for(row["problem"], rules).match for row in rows("maths")]
    assert len(set(answering)) == len(rules) == COUNTS["maths"]


def test_replies_are_right_and_wrong_as_the_readme_says(rules: tuple[Rule, ...]) -> None:
    verdicts = Counter(verdict(rule_for(row["problem"], rules), row["answer"]) for row in rows("maths"))
    assert verdicts == {"right": 172, "wrong": 18, "without a number": 7, "mended": 3}


def test_the_equations_of_a_right_reply_hold_and_lead_to_the_answer(rules: tuple[Rule, ...]) -> None:
    for row in rows("maths"):
        rule = rule_for(row["problem"], rules)
        if verdict(rule, row["answer"]) not in ("right", "mended"):
            continue
        reply = rule.replies[-1]
        assert isinstance(reply, dict)
        reasoning = reply["reasoning"]
        for left, right in equations(reasoning):
            assert total(left) == pytest.approx(float(right)), (row["id"], left, right)
        assert float(re.findall(r"\d+(?:\.\d+)?", reasoning)[-1]) == row["answer"], row["id"]


def equations(text: str) -> list[tuple[str, str]]:
    """Every `a × b = c` of a worked answer; any number of terms on the left."""
    return re.findall(r"(?<![\d.])(?<![×÷+-] )(\d[\d.]*(?: [×÷+-] \d[\d.]*)+) = (\d+(?:\.\d+)?)", text)


def total(expression: str) -> float:
    """The value of numbers joined by one kind of operator, from left to right."""
    first, *rest = expression.split(" ")
    value = float(first)
    for operator, term in zip(rest[::2], map(float, rest[1::2]), strict=True):
        results = {"×": value * term, "÷": value / term, "+": value + term, "-": value - term}
        value = results[operator]
    return value


@sample
def test_readmes_name_the_command_and_keep_a_place_for_its_output(sample: str) -> None:
    readme = (SAMPLES / sample / "README.md").read_text(encoding="utf-8")
    verb = "optimize" if "optimizer" in spec(sample) else "eval"
    assert f"promptc {verb} samples/{sample}/spec.yaml" in readme
    assert "```text\n" in readme
    assert all(
        f"`{path.name}`" in readme for path in (SAMPLES / sample).iterdir() if path.name != "README.md"
    )
