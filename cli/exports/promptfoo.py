"""`promptfoo`: a configuration with the prompt, the model, the rows as tests and the metrics as assertions.

promptfoo renders templates in whatever stands in a configuration, environment variables included, and loads values
that begin with `file://`. So the prompt and the rows stand in files of their own, literal text is escaped, and a row's
values are members of one variable, which promptfoo takes as they are.
"""

from __future__ import annotations

import json
import re
from typing import Any

from promptc.cli.exports.gaps import Turn, turns
from promptc.cli.exports.promptfoo_asserts import assertions, literal
from promptc.cli.exports.subject import Exported, Subject, Uncarried, figures_line, only_step, rich_inputs
from promptc.runners.asking import Speaker
from promptc.runners.formats.inputs import input_value
from promptc.runners.formats.markers import MARKERS
from promptc.runners.formats.template import Template
from promptc.runners.models.settings import (
    base_url,
    key_variables,
    provider_of,
    request_params,
    transport_of,
    wire_name,
)
from promptc.runners.rows import Example
from promptc.runners.splits import is_labelled
from promptc.spec.dump import dump_tree
from promptc.spec.environment import references
from promptc.spec.errors import UsageError
from promptc.spec.model import Model, Step

MODULES = ("predict", "chain_of_thought")
FORMATS = ("chat", "json", "template")
PROVIDERS = {
    "openai": "openai:chat:",
    "anthropic": "anthropic:messages:",
    "gemini": "google:",
    "mistral": "mistral:",
    "groq": "groq:",
    "deepseek": "deepseek:",
    "xai": "xai:",
    "openrouter": "openrouter:",
    "bedrock": "bedrock:",
    "vertex_ai": "vertex:",
    "together_ai": "togetherai:",
    "cerebras": "cerebras:",
    "fireworks_ai": "fireworks:",
}
"""litellm's providers as promptfoo calls them."""
SCHEMA_LINE = "# yaml-language-server: $schema=https://promptfoo.dev/config-schema.json"

_READ_SECTIONS = """\
const names = {names};
const found = {};
const parts = String(output).split(/\\[\\[\\s*##\\s*(\\w+)\\s*##\\s*\\]\\]/);
for (let i = 1; i + 1 < parts.length; i += 2) {
  const text = parts[i + 1].trim().replace(/(\\[\\[[ \\t]*)\\\\(\\\\*#)/g, '$1$2');
  if (names.includes(parts[i]) && text) found[parts[i]] = text;
}
"""
_READ_JSON = """\
const names = {names};
const text = typeof output === 'string' ? output.replace(/^\\s*```\\w*\\n|\\n```\\s*$/g, '') : '';
const found = typeof output === 'string' ? JSON.parse(text) : output;
"""
_READ_VALUE = """\
const names = {names};
const found = { [names[0]]: String(output).trim() };
"""
_TYPED = """\
const typed = {types};
for (const name of names) {
  if (typed.includes(name) && typeof found[name] === 'string') {
    try { found[name] = JSON.parse(found[name]); } catch { /* the assertions see the text */ }
  }
}
return Object.fromEntries(names.map((name) => [name, found[name] ?? null]));
"""


def promptfoo(subject: Subject) -> Exported:
    """Configuration, prompt and tests in three files. Raises Uncarried."""
    step = only_step(subject, "promptfoo")
    reasons = _uncarried(step)
    if reasons:
        raise Uncarried("promptfoo", reasons)
    if subject.output is None:
        raise UsageError("--to promptfoo writes three files", "name the first: -o promptfooconfig.yaml")
    [speaker] = subject.compiled.speakers.values()
    prompt, tests = f"{subject.output.stem}.prompt.json", f"{subject.output.stem}.tests.jsonl"
    asserted, lost = assertions(subject.spec)
    examples, missing = _examples(subject)
    tree: dict[str, Any] = {
        "description": literal(f"{subject.spec.name}, compiled by promptc {subject.version}"),
        "prompts": [{"id": f"file://{prompt}", "label": subject.spec.name}],
        "providers": [_provider(subject.spec.model_named(speaker.predictor.model), speaker)],
        "defaultTest": {
            "options": {"disableVarExpansion": True, "transform": _transform(step, speaker)},
            **({"assert": asserted} if asserted else {}),
        },
    }
    beside = {prompt: _prompt(turns(subject.compiled, speaker.predictor.name))}
    if examples:
        tree["tests"] = f"file://{tests}"
        beside[tests] = "".join(_test(subject, speaker, example) for example in examples)
    figures = figures_line(subject.summary)
    heading = f"{SCHEMA_LINE}\n" + (f"# promptc measured: {figures}.\n" if figures else "")
    notes = (
        "promptfoo reads replies by their markers or as JSON: promptc's tolerance and its re-asking are not carried",
        *(["assert: of the step is not carried: promptfoo does not ask again"] if step.checks else []),
        *lost,
        *missing,
    )
    return Exported(text=heading + dump_tree(tree), beside=beside, notes=notes)


def _uncarried(step: Step) -> list[str]:
    reasons = []
    if step.module.name not in MODULES:
        reasons.append(f"the module {step.module.name} (only {' and '.join(MODULES)})")
    if step.format.name not in FORMATS:
        reasons.append(f"the format {step.format.name} (only {', '.join(FORMATS)})")
    return [*reasons, *rich_inputs(step)]


def _examples(subject: Subject) -> tuple[tuple[Example, ...], tuple[str, ...]]:
    """The rows of the split that have gold, and what is to be said about them."""
    from promptc.cli.opening import checked_data
    from promptc.runners.judging import build_judge

    if subject.split == "none":
        return (), ()
    dataset, _ = checked_data(subject.spec)
    if dataset is None:
        return (), ("the rows that the spec names are not there: the configuration has no tests",)
    gold = build_judge(subject.spec).gold_columns()
    rows = dataset.part(subject.split)  # type: ignore[arg-type]
    labelled = tuple(row for row in rows if not gold or is_labelled(row.row, gold))
    skipped = len(rows) - len(labelled)
    notes = (f"{skipped} rows without gold are left out",) if skipped else ()
    return labelled[: subject.limit], notes


def _prompt(prompt: tuple[Turn, ...]) -> str:
    messages = [
        {"role": turn.role, "content": turn.filled(lambda name: f"{{{{ row.{name} }}}}", literal)}
        for turn in prompt
    ]
    return json.dumps(messages, indent=2, ensure_ascii=False) + "\n"


def _test(subject: Subject, speaker: Speaker, example: Example) -> str:
    row = {
        field.name: MARKERS.as_text(input_value(field, example.row))
        for field in speaker.signature.inputs
        if not field.required or field.name in example.row
    }
    columns = {use.expected or use.field for use in subject.spec.metrics}
    outputs = {field.name for field in subject.spec.outputs}
    names = sorted(name for name in columns | outputs if name is not None and name in example.row)
    expected = {name: example.row[name] for name in names}
    document = {"description": example.id, "vars": {"row": row, "expected": expected}}
    return json.dumps(document, ensure_ascii=False) + "\n"


def _transform(step: Step, speaker: Speaker) -> str:
    """JavaScript that turns a reply into an object of the outputs."""
    fields = [
        field for field in speaker.signature.outputs if field in step.signature.outputs or field.required
    ]
    names = json.dumps([field.name for field in fields])
    types = json.dumps([field.name for field in fields if field.schema.get("type") != "string"])
    format_ = speaker.predictor.format
    style = format_.style(speaker.signature) if isinstance(format_, Template) else step.format.name
    reading = {"json": _READ_JSON, "value": _READ_VALUE}.get(style, _READ_SECTIONS)
    if style == "lines":
        raise Uncarried("promptfoo", ["a template that asks for `name: value` lines"])
    return reading.replace("{names}", names) + _TYPED.replace("{types}", types)


def _provider(model: Model, speaker: Speaker) -> dict[str, Any]:
    """The model with exactly the parameters that promptc sends."""
    transport, owner = transport_of(model), provider_of(model.model)
    if transport not in ("litellm", "direct"):
        raise UsageError(
            f"--to promptfoo: the model {model.model} runs inside promptc", "name another one with --model"
        )
    if transport == "litellm" and owner not in PROVIDERS:
        raise UsageError(
            f"--to promptfoo: promptfoo has no provider for {model.model} that is known here",
            f"known are {', '.join(PROVIDERS)}, and any model with an api_base",
        )
    if transport == "direct" or owner == "openai":
        name = f"openai:chat:{wire_name(model.model)}"
    else:
        name = PROVIDERS[owner] + model.model.partition("/")[2]
    params = {**request_params(model), **speaker.params}
    config: dict[str, Any] = {"omitDefaults": True}
    if address := base_url(model, {}):
        config["apiBaseUrl"] = address
    config |= _credentials(model)
    if params:
        config |= {"passthrough": params} if name.startswith("openai:") else params
    return {"id": name, "config": config}


def _credentials(model: Model) -> dict[str, Any]:
    """Which variable holds the key, and the headers; a value of the environment is named, never written."""
    found: dict[str, Any] = {}
    named = references(model.api_key or "")
    if named:
        found["apiKeyEnvar"] = named[0]
    elif model.api_key:
        found["apiKey"] = model.api_key
    elif model.api_base and key_variables(model.model):
        found["apiKeyEnvar"] = key_variables(model.model)[0]
    if model.headers:
        reference = re.compile(r"\$\{env:(\w+)(?::-[^}]*)?\}")
        found["headers"] = {
            name: reference.sub(r"{{ env.\1 }}", value) for name, value in model.headers.items()
        }
    return found
