"""The text of an exported Python file: what a reader wants first, then promptc's reading of replies."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from promptc.cli.exports.gaps import Gap, Turn, turns
from promptc.cli.exports.python_bundle import Bundle, Name, import_lines
from promptc.cli.exports.python_client import Client
from promptc.cli.exports.python_literals import data_literal, docstring, text_literal
from promptc.cli.exports.python_types import Types, is_name
from promptc.cli.exports.subject import Subject, figures_line, identifier
from promptc.cli.untrusted import one_line
from promptc.runners.asking import Speaker
from promptc.runners.formats.protocol import ParseError
from promptc.runners.modules.protocol import free_name
from promptc.spec.fields import Field

_CALLS = {
    "litellm": '''\
def complete(messages: Messages, params: Mapping[str, Any]) -> tuple[str, str | None]:
    """Ask the model once: its text, and why it ended."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # or it asks the network for prices
    import litellm  # here, since it takes seconds to load

    reply = litellm.completion(
        model=MODEL,
        messages=messages,{options}
        **{{**PARAMS, **params}},
    )
    choice = reply.choices[0]
    return choice.message.content or "", choice.finish_reason''',
    "openai": '''\
@lru_cache(maxsize=1)
def client() -> Any:
    """The client, made once."""
    import openai

    return openai.OpenAI({options}
    )


def complete(messages: Messages, params: Mapping[str, Any]) -> tuple[str, str | None]:
    """Ask the model once: its text, and why it ended."""
    reply = client().chat.completions.create(model=MODEL, messages=messages, **{{**PARAMS, **params}})
    choice = reply.choices[0]
    if choice.message.refusal:
        return choice.message.refusal, "refusal"
    return choice.message.content or "", choice.finish_reason''',
}
_IMPORTS: tuple[Name, ...] = (
    ("collections.abc", "Mapping"),
    ("functools", "lru_cache"),
    ("json", ""),
    ("os", ""),
    ("sys", ""),
    ("typing", "Any"),
    ("typing", "Literal"),
    ("typing", "NotRequired"),
    ("typing", "TypedDict"),
)
"""What the written part may use."""

_DEFINED = re.compile(r"^(?:def |class )?([A-Za-z_]\w*)", re.M)

_WRITTEN = ("client", "complete", "main", "MESSAGES", "MODEL", "PARAMS", "_PROMPT", "_SIGNATURE", "_predict")
"""What the written part defines itself."""

_MAIN = '''\
def _predict(inputs: Mapping[str, Any], ask_model: Complete | None = None) -> Any:
    return answer(_PROMPT, inputs, ask_model or complete)


def main() -> int:
    """One JSON object a line in, the outputs as JSON out, in the same order; 1 when a row got no answer."""
    failed = False
    for line in sys.stdin:
        if line.strip():
            try:
                outputs = _predict(json.loads(line))
            except NoAnswer as error:
                outputs, failed = {"error": str(error)}, True
            print(json.dumps(outputs, ensure_ascii=False), flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())'''


def python_text(
    subject: Subject, speaker: Speaker, client: Client, code: Bundle, reading: Mapping[str, str]
) -> str:
    """The whole file. `reading` is code that says how values are escaped and replies are read."""
    function, classes = _function(subject, speaker, code)
    asking = _asking(client)
    head = [
        *classes,
        function,
        f"MODEL = {text_literal(client.model)}\nPARAMS: dict[str, Any] = {data_literal(client.params)}",
        asking,
        _messages(turns(subject.compiled, speaker.predictor.name)),
    ]
    tail = [
        _heading("promptc's reading of replies, as it stands in promptc"),
        *(text for _, text in code.sections),
        _heading("This program's fields"),
        _prompt(subject, speaker, reading),
        _MAIN,
    ]
    body = "\n\n\n".join([*head, *tail])
    imports = sorted({*code.imports, *(name for name in _IMPORTS if _uses(body, name))})
    lines = ["from __future__ import annotations", "", *import_lines(imports)]
    return f"{_opening(subject, client, function)}\n\n" + "\n".join(lines) + f"\n\n\n{body}\n"


def _opening(subject: Subject, client: Client, function: str) -> str:
    """The docstring of the file."""
    spec = subject.spec
    name = function.partition("(")[0].removeprefix("def ")
    figures = figures_line(subject.summary)
    module = subject.output.stem if subject.output is not None and is_name(subject.output.stem) else name
    inputs = ", ".join(f"{_parameter(field.name)}=…" for field in spec.inputs)
    measured = f" ({figures})" if figures else ""
    lines = [
        one_line(f"{spec.name}: {spec.description}" if spec.description else spec.name, 300),
        "",
        one_line(f"Compiled by promptc {subject.version} from {subject.source}{measured}.", 300),
        f"It needs `pip install {client.library}`, and mends JSON with slips where json-repair is installed.",
        "",
        f"    from {module} import {name}",
        f"    {name}({inputs})",
        "",
        f"or, with a JSON object a line: python {module}.py < rows.jsonl",
    ]
    text = "\n".join(lines).replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    return f'"""{text}\n"""'


def _function(subject: Subject, speaker: Speaker, code: Bundle) -> tuple[str, list[str]]:
    """The typed function, and the classes of its types."""
    program, inputs = identifier(subject.spec.name), speaker.signature.inputs
    taken = _taken(code)
    name = free_name(program, taken)
    types = Types("TypedDict", [*taken, name])
    result = types.record(program, subject.compiled.program.outputs, "What comes out.")
    asked = free_name("ask_model", [field.name for field in inputs])
    given = ", ".join(f"{data_literal(field.name)}: {_parameter(field.name)}" for field in inputs)
    first = speaker.signature.instructions.strip().partition("\n")[0] or "Fill in the outputs."
    lines = [
        f"def {name}(",
        "    *,",
        *(f"    {_parameter_text(field, types, name)}," for field in inputs),
        f"    {asked}: Complete | None = None,",
        f") -> {result}:",
        f"    {docstring(first)}",
        f"    _outputs: {result} = _predict({{{given}}}, {asked})",
        "    return _outputs",
    ]
    return "\n".join(lines), types.classes


def _parameter_text(field: Field, types: Types, program: str) -> str:
    annotation = types.of(field.schema, f"{program}_{field.name}")
    default = "" if field.required else f" = {data_literal(field.default)}"
    return f"{_parameter(field.name)}: {annotation}{default}"


def _parameter(name: str) -> str:
    return name if is_name(name) and name != "_predict" else f"{name}_"


def _taken(code: Bundle) -> list[str]:
    """Names that mean something else in the file."""
    imported = [name or module.partition(".")[0] for module, name in (*code.imports, *_IMPORTS)]
    defined = [name for _, text in code.sections for name in _DEFINED.findall(text)]
    return [*imported, *defined, *_WRITTEN]


def _asking(client: Client) -> str:
    options = "".join(f"\n        {name}={code}," for name, code in client.options.items())
    return _CALLS[client.library].format(options=options)


def _messages(prompt: Sequence[Turn]) -> str:
    """The prompt as data: pairs of role and text, with {"input": name} where a value goes."""
    entries = []
    for turn in prompt:
        if any(isinstance(piece, Gap) for piece in turn.pieces):
            pieces = "".join(f"            {_piece(piece)},\n" for piece in turn.pieces)
            entries.append(f'    (\n        "{turn.role}",\n        [\n{pieces}        ],\n    ),')
        else:
            entries.append(f'    ("{turn.role}", {text_literal("".join(map(str, turn.pieces)))}),')
    shape = "list[tuple[str, str | list[str | dict[str, str]]]]"
    return "\n".join([f"MESSAGES: {shape} = [", *entries, "]"])


def _piece(piece: str | Gap) -> str:
    return f'{{"input": {data_literal(piece.name)}}}' if isinstance(piece, Gap) else text_literal(piece)


def _prompt(subject: Subject, speaker: Speaker, reading: Mapping[str, str]) -> str:
    """Signature and prompt, in terms of what is copied from promptc."""
    signature, format_ = speaker.signature, speaker.predictor.format
    correction = format_.reask(signature, ParseError("{}"))
    returned = tuple(field.name for field in subject.compiled.program.outputs)
    lines = [
        "_SIGNATURE = Signature(",
        *_fields("inputs", signature.inputs),
        *_fields("outputs", signature.outputs),
        ")",
        "_PROMPT = Prompt(",
        "    messages=MESSAGES,",
        "    signature=_SIGNATURE,",
        f"    returned={data_literal(returned)},",
        *(f"    {name}={code}," for name, code in reading.items()),
        f"    correction={text_literal(correction)},",
        f"    retries={subject.spec.run.format_retries},",
        f"    params={data_literal(speaker.params)},",
        ")",
    ]
    return "\n".join(lines)


def _fields(side: str, fields: Sequence[Field]) -> list[str]:
    lines = [f"    {side}=("]
    for field in fields:
        default = "" if field.required else f", default={data_literal(field.default)}"
        lines.append(
            f"        Field(name={data_literal(field.name)}, schema={data_literal(field.schema, 8)}{default}),"
        )
    return [*lines, "    ),"]


def _uses(body: str, name: Name) -> bool:
    word = name[1] or name[0]
    return re.search(rf"(?<![\w.]){word}\b", body) is not None


def _heading(text: str) -> str:
    return f"# {'-' * 100}\n# {text}.\n# {'-' * 100}"
