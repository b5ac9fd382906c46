"""`--from promptfoo`: a configuration becomes a spec for each prompt, its tests rows, its assertions metrics."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from promptc.cli.imports.imported import DEFAULT_FILE, Draft, Imported, Tree, Wanted
from promptc.cli.imports.promptfoo_asserts import OUTPUT, Judging, Wish, wishes_of
from promptc.cli.imports.promptfoo_files import Folder, Left, as_text, read_config, tests_of
from promptc.cli.imports.promptfoo_models import model_name, models_of
from promptc.cli.imports.promptfoo_prompts import Prompt, prompts_of
from promptc.cli.wishes import plain_name
from promptc.runners.modules.protocol import free_name
from promptc.spec.errors import DataError

ROWS = "rows.jsonl"
MOST_ROWS = 100_000
"""Rows that lists of values may multiply to."""
KNOWN = frozenset(
    {
        "description",
        "prompts",
        "providers",
        "targets",
        "tests",
        "defaultTest",
        "assertionTemplates",
        "$schema",
    }
)
_IGNORED = frozenset(
    {"outputPath", "sharing", "tags", "metadata", "writeLatestResults", "commandLineOptions"}
)
"""Of a configuration what says nothing about prompts, rows or scores."""


class _Test(msgspec.Struct, frozen=True, kw_only=True):
    """One test: its variables and what is wished of the answer."""

    name: str
    values: dict[str, str]
    wishes: tuple[Wish, ...]


def from_promptfoo(wanted: Wanted) -> Imported:
    """Specs and rows. Raises UsageError, DataError, SpecError."""
    config = read_config(wanted.file)
    folder = Folder(wanted.file.absolute().parent)
    lost: list[str] = []
    prompts = prompts_of(config["prompts"], folder, lost)
    if not prompts:
        raise DataError(wanted.file, "no prompt can be carried over: " + "; ".join(lost))
    tests = list(_tests(config, folder, lost))
    models = models_of(config.get("providers") or config.get("targets"), lost)
    variables = list(dict.fromkeys(name for prompt in prompts for name in prompt.variables))
    judging = Judging(["id", *variables, OUTPUT])
    rows = _rows(tests, variables, judging)
    lost += [f"{key}:" for key in config if key not in KNOWN | _IGNORED]
    others = [model_name(model) for model in models[1:]]
    lost += [f"the second model {name}: try it with promptc eval --model {name}" for name in others]
    files = {ROWS: b"".join(msgspec.json.encode(row) + b"\n" for row in rows)} if rows else {}
    if not rows:
        lost.append("rows: there are no tests that could be read")
    elif not judging.metrics():
        lost.append("every metric: write what judges an answer under metrics:")
    drafts = _drafts(wanted, config, prompts, models, rows, judging)
    return Imported(
        drafts=tuple(drafts), files=files, guessed=_guessed(prompts), lost=tuple(dict.fromkeys(lost))
    )


def _guessed(prompts: list[Prompt]) -> tuple[str, ...]:
    """What a reader of the specs should check."""
    sentences = [f"the output: one text called {OUTPUT}, since promptfoo judges whole replies"]
    for prompt in prompts:
        if prompt.instructions:
            sentences.append(f"the instructions of {prompt.label}: the text in front of its first variable")
        else:
            sentences.append(
                f"no instructions in {prompt.label}, which has no text in front of its first variable: "
                "put {{ instructions }} into its template for an optimizer to write"
            )
    return tuple(sentences)


def _drafts(
    wanted: Wanted,
    config: Mapping[str, Any],
    prompts: list[Prompt],
    models: list[Any],
    rows: list[Tree],
    judging: Judging,
) -> Iterator[Draft]:
    """A spec for each prompt, on the same rows."""
    description = config.get("description")
    names: list[str] = []
    for number, prompt in enumerate(prompts):
        name = free_name(plain_name(prompt.label if number else wanted.file.absolute().parent.name), names)
        names.append(name)
        yield Draft(
            tree={
                "version": 1,
                "name": name,
                **(
                    {"description": description}
                    if isinstance(description, str) and description.strip()
                    else {}
                ),
                "models": {"task": wanted.model or (models[0] if models else "embedded/icl")},
                **({"data": {"path": ROWS}} if rows else {}),
                "fields": {
                    "inputs": {variable: _input(variable, rows) for variable in prompt.variables},
                    "outputs": {OUTPUT: {"type": "string"}},
                },
                **({"instructions": prompt.instructions} if prompt.instructions else {}),
                "format": {"template": {"text": prompt.text}},
                **({"metrics": judging.metrics()} if judging.metrics() else {}),
            },
            file=DEFAULT_FILE if number == 0 else f"{name}.yaml",
        )


def _input(name: str, rows: list[Tree]) -> Tree:
    """A variable; where a test lacks it, promptfoo writes nothing."""
    missing = any(name not in row for row in rows)
    return {"type": "string", **({"default": ""} if missing else {})}


def _rows(tests: list[_Test], variables: list[str], judging: Judging) -> list[Tree]:
    """The tests as rows; a column that a judge reads is there in every row."""
    ids: list[str] = []
    rows = []
    for number, test in enumerate(tests, start=1):
        name = free_name(test.name or f"t{number:03d}", ids)
        ids.append(name)
        values = {variable: test.values[variable] for variable in variables if variable in test.values}
        rows.append({"id": name, **values, **judging.columns(test.wishes)})
    told = judging.names()
    return [{**row, **{column: None for column in told if column not in row}} for row in rows]


def _tests(config: Mapping[str, Any], folder: Folder, lost: list[str]) -> Iterator[_Test]:
    """Every test with the default one's variables and assertions, each combination of listed values apart."""
    written = config.get("defaultTest")
    default: Mapping[str, Any] = written if isinstance(written, dict) else {}
    templates = config.get("assertionTemplates")
    if isinstance(written, str):
        lost.append(f"defaultTest: {written}")
    _note_options(default, lost)
    count = 0
    for test in tests_of(config.get("tests"), folder, lost):
        _note_options(test, lost)
        options = test.get("options") if isinstance(test.get("options"), dict) else {}
        asserted = (
            [] if options and options.get("disableDefaultAsserts") else list(default.get("assert") or ())
        )
        whole = _resolved([*(test.get("assert") or ()), *asserted], templates)
        own = test.get("vars") if isinstance(test.get("vars"), dict) else {}
        for values in _combinations({**(default.get("vars") or {}), **(own or {})}, folder, lost):
            count += 1
            if count > MOST_ROWS:
                lost.append(f"tests beyond the first {MOST_ROWS}")
                return
            yield _Test(
                name=str(test.get("description") or "")[:80],
                values=values,
                wishes=tuple(wishes_of({"assert": whole}, values, lost.append)),
            )


def _resolved(entries: list[Any], templates: Any) -> list[Any]:
    """The assertions with `$ref: "#/assertionTemplates/NAME"` replaced."""
    known = templates if isinstance(templates, dict) else {}

    def one(entry: Any) -> Any:
        if isinstance(entry, dict) and isinstance(entry.get("$ref"), str):
            return known.get(entry["$ref"].rpartition("/")[2], {"type": entry["$ref"]})
        return entry

    return [one(entry) for entry in entries]


def _note_options(test: Mapping[str, Any], lost: list[str]) -> None:
    """What a test says that no row can say."""
    options = test.get("options")
    for key in options if isinstance(options, dict) else ():
        if key not in ("disableVarExpansion", "disableDefaultAsserts"):
            lost.append(f"options.{key} of a test{': it is code' if 'ransform' in key else ''}")
    for key in ("threshold", "assertScoringFunction", "provider", "providers", "prompts"):
        if test.get(key) is not None:
            lost.append(f"{key} of a test")


def _combinations(written: Mapping[str, Any], folder: Folder, lost: list[str]) -> Iterator[dict[str, str]]:
    """The variables as texts; listed values give a row each."""
    choices: dict[str, list[str]] = {}
    for name, value in written.items():
        try:
            choices[str(name)] = [
                _value(each, folder) for each in (value if isinstance(value, list) else [value])
            ]
        except Left as left:
            lost.append(f"the variable {name}: {left}")
            return
    for combination in itertools.product(*choices.values()):
        yield dict(zip(choices, combination, strict=True))


def _value(value: Any, folder: Folder) -> str:
    """A variable's text. Raises Left."""
    if not isinstance(value, str) or not value.startswith("file://"):
        return as_text(value)
    [path] = folder.find(value)[:1]
    return folder.text(path).strip()
