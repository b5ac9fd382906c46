"""`promptc import --from promptfoo`: prompts, tests and assertions become specs, rows and metrics; code never runs."""

from __future__ import annotations

import json

import pytest
import yaml
from test_export_promptfoo import run_promptfoo
from workplace import Workplace, open_workplace

from promptc.cli.imports.promptfoo_files import Left, expected
from promptc.cli.imports.promptfoo_prompts import Place, filled, pieces_of, prompt_of

CONFIG = {
    "description": "Translate politely",
    "prompts": [
        "Translate to {{language}}: {{input}}",
        "file://prompts/chat.json",
        "You translate from English.\nBe short.\n\nLanguage: {{ language }}\nText: {{input}}\n",
        {
            "label": "raw",
            "raw": "Say {% raw %}{{this}}{% endraw %} {# never #}in {{ '{{' }} {{language}}\n{{input}}",
        },
        "file://prompt.py",
        "{% if language %}{{ input }}{% endif %}",
    ],
    "providers": [
        {
            "id": "openai:chat:gpt-4.1-mini",
            "config": {"temperature": 0.2, "apiKey": "sk-literal-1234567890abcdef"},
        },
        "anthropic:messages:claude-sonnet-4-5",
        "exec:python provider.py",
    ],
    "defaultTest": {
        "assert": [
            {"type": "llm-rubric", "value": "is polite in {{language}}"},
            {"type": "latency", "threshold": 500},
        ]
    },
    "extensions": ["file://hook.js:run"],
    "tests": [
        {
            "vars": {"language": "French", "input": ["Hello", "Bye"]},
            "assert": [
                {"type": "icontains", "value": "jour"},
                {"type": "not-contains", "value": "English"},
                {"type": "javascript", "value": "output.length < 10"},
            ],
        },
        {
            "description": "german",
            "vars": {"language": "German", "input": "file://text.txt"},
            "assert": [
                {"type": "equals", "value": "Hallo", "weight": 2},
                {"type": "contains-all", "value": ["a", "b"]},
                {"type": "starts-with", "value": "H.", "metric": "Opening"},
            ],
        },
        "file://more.csv",
        {"vars": {"language": "file:///etc/passwd", "input": "x"}},
    ],
}


@pytest.fixture(scope="module")
def translated(shared_folder):
    """A configuration with everything in it, imported into `out`."""
    with open_workplace(shared_folder("pf") / "translate") as place:
        place.write("promptfooconfig.yaml", yaml.safe_dump(CONFIG))
        chat = [
            {"role": "system", "content": "Translate {not a place}."},
            {"role": "user", "content": "{{language}}: {{input}}"},
        ]
        place.write("prompts/chat.json", json.dumps(chat))
        place.write("text.txt", "Good day\n")
        place.write("more.csv", 'language,input,__expected\nDutch,Dag,"contains: da"\nDutch,Hoi,Hi\n')
        place.document = imported(place)
        yield place


def imported(place: Workplace, file: str = "promptfooconfig.yaml", folder: str = "out") -> dict:
    done = place.run("import", "--from", "promptfoo", file, "-o", folder, "--json")
    assert done.code == 0, done
    return done.document


def spec(place: Workplace, name: str = "promptc.yaml") -> dict:
    return yaml.safe_load((place.folder / "out" / name).read_text())


def rows(place: Workplace) -> list[dict]:
    return [json.loads(line) for line in (place.folder / "out/rows.jsonl").read_text().splitlines()]


def test_every_spec_is_valid_with_its_rows(translated):
    specs = [path for path in translated.document["written"] if path.endswith(".yaml")]
    assert len(specs) == 4
    for path in specs:
        done = translated.run("validate", path)
        assert done.code == 0, done


def test_tests_are_rows_with_what_they_want_in_columns(translated):
    found = rows(translated)
    assert [row["id"] for row in found] == ["t001", "t002", "german", "t004", "t005"]
    assert [row["input"] for row in found] == ["Hello", "Bye", "Good day", "Dag", "Hoi"]
    assert found[0]["contains"] == "jour"
    assert found[0]["not_contains"] == "English"
    assert found[2]["contains2"] == ["a", "b"]
    assert found[3]["contains"] is None
    assert found[4]["rubric"] == "is polite in Dutch"


def test_assertions_are_metrics(translated):
    metrics = spec(translated)["metrics"]
    by_name = {own["name"]: (kind, own) for entry in metrics for kind, own in entry.items()}
    assert by_name["contains"][1]["ignore_case"] is True
    assert by_name["not_contains"][1]["negate"] is True
    assert by_name["expected"] == (
        "exact_match",
        {"field": "output", "name": "expected", "expected": "expected", "weight": 2},
    )
    kind, judge = by_name["rubric"]
    assert (kind, judge["columns"], judge["when"]) == ("llm_judge", ["rubric"], "row.rubric != null")
    assert by_name["opening"][0] == "regex"
    assert rows(translated)[2]["regex"] == "\\AH\\."


def test_what_is_lost_is_said_everywhere(translated):
    said = translated.document["lost"]
    for part in (
        "file://prompt.py, which is code",
        "{% if language %}",
        "the assertion javascript: it is code",
        "the assertion latency",
        "outside of the configuration's folder",
        "the key of openai:chat:gpt-4.1-mini, which is written out",
        "exec:python provider.py",
        "anthropic/claude-sonnet-4-5",
        "extensions:",
    ):
        assert any(part in sentence for sentence in said), part
    text = (translated.folder / "out/promptc.yaml").read_text()
    assert all(f"#   - {sentence}" in text for sentence in said)
    assert "sk-literal" not in json.dumps(translated.document) + text


def test_the_instructions_are_what_stands_before_the_first_variable(translated):
    short = spec(translated, "you-translate-from-english.yaml")
    assert short["instructions"] == "You translate from English.\nBe short."
    assert short["format"]["template"]["text"].startswith("{{ instructions }}\n\n{{ demos }}\n\nLanguage:")
    assert spec(translated, "chat.yaml")["instructions"] == "Translate {not a place}."


def test_the_prompts_are_those_that_promptfoo_sends(translated):
    """Rendered by both, for every prompt and row."""
    echoed = {**CONFIG, "providers": ["echo"], "defaultTest": {}, "extensions": []}
    echoed["prompts"] = [
        p for p in CONFIG["prompts"] if p != "file://prompt.py" and not str(p).startswith("{% if")
    ]
    echoed["tests"] = [
        {**test, "assert": []} if isinstance(test, dict) else test for test in CONFIG["tests"][:3]
    ]
    translated.write("echo.yaml", yaml.safe_dump(echoed))
    theirs = set()
    for result in run_promptfoo(translated.folder, "echo.yaml"):
        content = result["prompt"]["raw"]
        messages = json.loads(content) if content.startswith("[") else [{"role": "user", "content": content}]
        theirs.add(json.dumps([[m["role"], m["content"].strip()] for m in messages]))
    ours = set()
    for path in translated.document["written"]:
        for row in rows(translated) if path.endswith(".yaml") else []:
            [prompt] = translated.run("render", path, "--row", row["id"], "--json").document
            ours.add(json.dumps([[m["role"], m["content"].strip()] for m in prompt["messages"]]))
    assert ours == theirs


def test_an_imported_spec_is_scored(translated):
    done = translated.run(
        "eval",
        "out/promptc.yaml",
        "--split",
        "all",
        "--set",
        "models.task=embedded/icl",
        "-o",
        "run",
        "--json",
    )
    assert done.document["all"]["n"] == 5


EXPECTED = {
    "Hi": {"type": "equals", "value": "Hi"},
    "contains: da": {"type": "contains", "value": "da"},
    "not-contains: x": {"type": "not-contains", "value": "x"},
    "similar(0.8): hello": {"type": "similar", "value": "hello", "threshold": 0.8},
    "contains-any: a, b": {"type": "contains-any", "value": ["a", "b"]},
    "is-json": {"type": "is-json", "value": ""},
    "fn:output.length": {"type": "javascript", "value": "fn:output.length"},
}


@pytest.mark.parametrize("text", EXPECTED)
def test_the_short_form_of_an_assertion_is_read(text):
    assert expected(text) == EXPECTED[text]


TEMPLATES = {
    "a {{ b }} c": ("a ", Place("b"), " c"),
    "{{a}}{{b}}": (Place("a"), Place("b")),
    "{# x #}a": ("a",),
    "{% raw %}{{x}}{% endraw %}y": ("{{x}}y",),
    "{{ '{{' }}x}}": ("{{x}}",),
    "{x} { {y} }": ("{x} { {y} }",),
}


@pytest.mark.parametrize("text", TEMPLATES)
def test_a_template_is_literals_and_places(text):
    assert pieces_of(text) == TEMPLATES[text]


@pytest.mark.parametrize(
    "text", ["{{ a | upper }}", "{{ a.b }}", "{% for x in y %}x{% endfor %}", "{{ env.KEY }}"]
)
def test_logic_is_refused(text):
    with pytest.raises(Left):
        pieces_of(text)


@pytest.mark.parametrize("text", ["no variable", "{{ demos }}", "{{ inputs }}", "{{ a }}\n--- user ---\nb"])
def test_prompts_that_no_template_can_say_are_refused(text):
    with pytest.raises(Left):
        prompt_of("p", text)


def test_values_are_filled_once():
    assert filled("{{ a }} {{ b }}", {"a": "{{ b }}", "b": 2}) == "{{ b }} 2"


BAD = {
    "code": ("promptfooconfig.js", "module.exports = {}", 2, "is code"),
    "no prompts": ("c.yaml", "tests: []", 4, "has no prompts"),
    "no yaml": ("c.yaml", "a: [", 2, "c.yaml:1"),
    "nothing to carry": ("c.yaml", "prompts: ['{% if x %}{% endif %}']", 4, "no prompt can be carried over"),
    "a bomb": (
        "c.yaml",
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(
            f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=False)
        ),
        2,
        "c.yaml",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_refused_in_words(tmp_path, case):
    name, content, code, said = BAD[case]
    with open_workplace(tmp_path) as place:
        place.write(name, content)
        done = place.run("import", "--from", "promptfoo", name, "-o", "out")
        assert done.code == code, done
        assert said in done.err
        assert not (place.folder / "out").exists()


def test_lists_of_values_multiply_only_so_far(tmp_path):
    with open_workplace(tmp_path) as place:
        many = list(range(200))
        config = {"prompts": ["{{a}} {{b}} {{c}}"], "tests": [{"vars": {"a": many, "b": many, "c": many}}]}
        place.write("c.yaml", json.dumps(config))
        document = imported(place, "c.yaml")
        assert any("tests beyond the first 100000" in sentence for sentence in document["lost"])
        assert len((place.folder / "out/rows.jsonl").read_text().splitlines()) == 100_000
