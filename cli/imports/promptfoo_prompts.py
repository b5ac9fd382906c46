"""promptfoo's prompts as promptc's templates: literal text, `{{ name }}` for a variable, and instructions in front."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from promptc.cli.imports.promptfoo_files import TEXT_SUFFIXES, Folder, Left
from promptc.runners.formats.template_text import role_blocks
from promptc.spec.signature import name_problem

BUILT_IN = ("instructions", "demos")
ROLES = ("system", "user", "assistant")
_TOKEN = re.compile(
    r"\{#.*?#\}"
    r"|\{%-?\s*raw\s*-?%\}(?P<raw>.*?)\{%-?\s*endraw\s*-?%\}"
    r"|\{%(?P<tag>.*?)%\}"
    r"|\{\{-?(?P<place>.*?)-?\}\}",
    re.S,
)
_NAME = re.compile(r"\s*([A-Za-z_]\w*)\s*")
_QUOTED = re.compile(r"""\s*(?P<quote>["'])(?P<text>[^"'\\]*)(?P=quote)\s*""")


class Place(msgspec.Struct, frozen=True):
    """Where a variable goes."""

    name: str


Pieces = tuple[str | Place, ...]


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt as a spec says it: the template's text, the instructions in it, and the variables that it reads."""

    label: str
    text: str
    instructions: str
    variables: tuple[str, ...]


def prompts_of(written: Any, folder: Folder, lost: list[str]) -> list[Prompt]:
    """Every prompt that can be carried over; the others are noted."""
    if isinstance(written, dict) and not {"raw", "id"} & written.keys():
        written = [{"id": file, "label": label} for file, label in written.items()]
    found = []
    for entry in written if isinstance(written, list) else [written]:
        try:
            for label, content in _contents(entry, folder):
                try:
                    found.append(prompt_of(label, content))
                except Left as left:
                    lost.append(f"the prompt {label}: {left}")
        except Left as left:
            lost.append(f"a prompt: {left}")
    return found


def prompt_of(label: str, content: Any) -> Prompt:
    """A text or a list of chat messages as a template. Raises Left."""
    messages = [(role, pieces_of(text)) for role, text in _messages(content)]
    variables = tuple(dict.fromkeys(p.name for _, pieces in messages for p in pieces if isinstance(p, Place)))
    if not variables:
        raise Left("it reads no variable")
    for name in variables:
        if name in BUILT_IN or name_problem(name):
            raise Left(
                name_problem(name) or f'its variable "{name}" has a name that templates use themselves'
            )
    instructions, messages = _instructed(messages)
    blocks = [_written(pieces) for _, pieces in messages]
    if any(role_blocks(block) != [("user", block.strip())] for block in blocks if block.strip()):
        raise Left("it has a line that a template takes for the beginning of a message")
    if len(messages) == 1 and messages[0][0] == "user":
        text = blocks[0]
    else:
        text = "\n\n".join(
            f"--- {role} ---\n{block}" for (role, _), block in zip(messages, blocks, strict=True)
        )
    return Prompt(label=label, text=text, instructions=instructions, variables=variables)


def pieces_of(text: str) -> Pieces:
    """A Nunjucks template as literal text and places. Raises Left for what is more than that."""
    pieces: list[str | Place] = []
    end = 0
    for match in _TOKEN.finditer(text):
        pieces.append(text[end : match.start()])
        end = match.end()
        if match["raw"] is not None:
            pieces.append(match["raw"])
        elif match["tag"] is not None:
            raise Left(f"{{%{match['tag'][:40]}%}}: a template of promptc's has places, and no logic")
        elif match["place"] is not None:
            pieces.append(_place(match["place"]))
    pieces.append(text[end:])
    return _merged(pieces)


def _merged(pieces: Iterable[str | Place]) -> Pieces:
    """The pieces with neighbouring texts made one."""
    merged: list[str | Place] = []
    for piece in pieces:
        if isinstance(piece, str) and merged and isinstance(merged[-1], str):
            merged[-1] += piece
        elif piece != "":
            merged.append(piece)
    return tuple(merged)


def filled(text: str, values: Mapping[str, Any]) -> str:
    """A template with its places filled. Raises Left."""
    from promptc.cli.imports.promptfoo_files import as_text

    return "".join(
        as_text(values.get(piece.name, "")) if isinstance(piece, Place) else piece
        for piece in pieces_of(text)
    )


def _place(inside: str) -> str | Place:
    name = _NAME.fullmatch(inside)
    if name is not None:
        return Place(name[1])
    quoted = _QUOTED.fullmatch(inside)
    if quoted is not None:
        return quoted["text"]
    raise Left(f"{{{{{inside[:40]}}}}}: only the name of a variable can stand there")


def _contents(entry: Any, folder: Folder) -> Iterator[tuple[str, Any]]:
    """Label and content of the prompts that an entry names. Raises Left."""
    label = ""
    if isinstance(entry, dict):
        label = str(entry.get("label") or "")
        entry = entry.get("raw") or entry.get("id")
    if not isinstance(entry, str):
        raise Left("its entry names neither a text nor a file")
    is_file = entry.startswith("file://") or (
        "\n" not in entry and "{{" not in entry and entry.endswith(TEXT_SUFFIXES)
    )
    if not is_file:
        if entry.startswith("exec:"):
            raise Left(f"{entry[:80]}, which is code")
        yield label or _short(entry), _chat(entry)
        return
    for path in folder.find(entry):
        contents = list(_in_file(path.suffix, folder.text(path)))
        for number, content in enumerate(contents, start=1):
            own = label or path.stem
            yield (f"{own}-{number}" if len(contents) > 1 else own), content


def _in_file(suffix: str, text: str) -> Iterator[Any]:
    """The prompts of a file: `---` lines part those of a text."""
    if suffix == ".jsonl":
        yield from (_chat(line) for line in text.splitlines() if line.strip())
    elif suffix in (".yaml", ".yml"):
        from promptc.spec.nodes import plain
        from promptc.spec.tree import parse

        document, _ = parse(text, "prompt")
        yield plain(document.root) if document is not None else text
    elif suffix == ".txt":
        yield from (part for part in re.split(r"^---\s*$", text, flags=re.M) if part.strip())
    else:
        yield _chat(text)


def _chat(text: str) -> Any:
    """A list of messages where the text is one in JSON, else the text."""
    if not text.lstrip().startswith("["):
        return text
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return found if isinstance(found, list) else text


def _messages(content: Any) -> list[tuple[str, str]]:
    """Pairs of role and text. Raises Left."""
    if isinstance(content, str):
        return [("user", content)]
    messages = []
    for message in content if isinstance(content, list) else ():
        role, text = (
            (message.get("role"), message.get("content")) if isinstance(message, dict) else (None, None)
        )
        if role not in ROLES or not isinstance(text, str):
            raise Left("a message whose content is no text, or whose role is not system, user or assistant")
        messages.append((role, text))
    if not messages:
        raise Left("it is neither a text nor a list of messages")
    return messages


def _instructed(messages: list[tuple[str, Pieces]]) -> tuple[str, list[tuple[str, Pieces]]]:
    """The text in front of the first variable's line, and the messages with a place in its stead.

    Demonstrations go behind it; in a chat they are turns of their own.
    """
    role, pieces = messages[0]
    literal = pieces[0] if pieces and isinstance(pieces[0], str) else ""
    whole = len(pieces) == 1
    head = literal if whole and len(messages) > 1 else literal[: literal.rfind("\n") + 1]
    instructions = head.strip()
    if not instructions:
        return "", messages
    lead = head[: len(head) - len(head.lstrip())]
    gap = head[len(head.rstrip()) :]
    if len(messages) > 1:
        behind: Pieces = (gap,)
    else:
        behind = (gap, Place("demos"), "\n\n")
    rest = literal[len(head) :]
    replaced = _merged((lead, Place("instructions"), *behind, rest, *pieces[1:]))
    return instructions, [(role, replaced), *messages[1:]]


def _written(pieces: Pieces) -> str:
    """The pieces in promptc's own notation."""
    return "".join(
        f"{{{{ {piece.name} }}}}" if isinstance(piece, Place) else piece.replace("{{", "\\{{")
        for piece in pieces
    )


def _short(text: str) -> str:
    words = " ".join(re.findall(r"\w+", text)[:4])
    return words or "prompt"
