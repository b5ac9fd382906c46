"""Types as they are written in one line: `str`, `list[str]`, `Literal['a', 'b']`, `float | None`."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from promptc.spec.media import CODE, REASONING, TURNS
from promptc.spec.suggest import closest, did_you_mean

Schema = dict[str, Any]

MAX_TEXT = 4000
_MAX_DEPTH = 12

_SIMPLE: dict[str, Schema] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "list": {"type": "array"},
    "dict": {"type": "object"},
    "date": {"type": "string", "format": "date"},
    "datetime": {"type": "string", "format": "date-time"},
    "None": {"type": "null"},
    "Any": {},
    "image": {"type": "string", "format": "image"},
    "audio": {"type": "string", "format": "audio"},
    "file": {"type": "string", "format": "file"},
    "history": TURNS,
    "code": {"type": "string", "format": CODE},
    "reasoning": {"type": "string", "format": REASONING},
}
_OTHER_NAMES = {
    "string": "str",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "array": "list",
    "object": "dict",
    "null": "None",
    "any": "Any",
    "List": "list",
    "Dict": "dict",
}
_WITH_ARGUMENTS = ("list", "dict", "Literal", "Optional", "Union", "code")
_NOT_HERE = {
    "tuple": "write list[…]",
    "set": "write list[…]",
    "frozenset": "write list[…]",
    "Enum": "write Literal['a', 'b'], or the field under fields: with enum:",
    "bytes": "write str",
    "decimal": "write float, or str to keep every digit",
}
_TOKEN = re.compile(
    r"\s*(?:(?P<name>[^\W\d]\w*)|(?P<arrow>->)|(?P<number>-?\d+(?:\.\d+)?)"
    r"|(?P<string>'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\")|(?P<sign>[\[\],:|]))"
)


class TypeTextError(Exception):
    """What is wrong in a type or signature, and at which of its characters (counted from 0)."""

    def __init__(self, message: str, offset: int, length: int = 1, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset
        self.length = max(1, length)
        self.hint = hint


class Token(msgspec.Struct, frozen=True):
    """A word or sign of a type or signature. `kind` is name, arrow, number, string, sign or end."""

    kind: str
    text: str
    offset: int


def tokens(text: str) -> tuple[Token, ...]:
    """The words and signs of a type or signature, with an `end` behind them."""
    if len(text) > MAX_TEXT:
        raise TypeTextError(f"longer than {MAX_TEXT} characters", 0, hint="write the fields under fields:")
    found: list[Token] = []
    at = 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            start = at + len(text[at:]) - len(text[at:].lstrip())
            raise _stray(text, start)
        found.append(Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
        at = match.end()
    return (*found, Token("end", "", len(text)))


def parse_type(text: str) -> Schema:
    """The JSON Schema of a type; TypeTextError says what is wrong and where."""
    reader = TypeReader(tokens(text))
    schema = reader.type()
    reader.expect_end()
    return schema


class TypeReader:
    """Reads types off a row of tokens."""

    def __init__(self, found: Sequence[Token]) -> None:
        self._tokens = found
        self._at = 0
        self._depth = 0

    @property
    def current(self) -> Token:
        """The token that comes next."""
        return self._tokens[self._at]

    def take(self) -> Token:
        """The next token, which is thereby read."""
        token = self.current
        if token.kind != "end":
            self._at += 1
        return token

    def accept(self, text: str) -> bool:
        """Read the next token if it is this sign."""
        if self.current.text == text and self.current.kind in ("sign", "arrow"):
            self._at += 1
            return True
        return False

    def expect(self, text: str, where: str) -> None:
        """Read this sign, or complain."""
        if not self.accept(text):
            raise self.unexpected(f"`{text}` {where}")

    def expect_end(self) -> None:
        """Complain unless everything is read."""
        if self.current.kind != "end":
            raise self.unexpected("the end of the type")

    def unexpected(self, wanted: str) -> TypeTextError:
        """The complaint about the next token."""
        token = self.current
        found = "the end" if token.kind == "end" else f"`{token.text}`"
        return TypeTextError(f"expected {wanted}, found {found}", token.offset, len(token.text))

    def type(self) -> Schema:
        """A type with its alternatives."""
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise TypeTextError(f"nested more than {_MAX_DEPTH} levels deep", self.current.offset)
        alternatives = [self._single()]
        while self.accept("|"):
            alternatives.append(self._single())
        self._depth -= 1
        return union(alternatives)

    def _single(self) -> Schema:
        token = self.current
        if token.kind != "name":
            raise self.unexpected("a type")
        self.take()
        name = _OTHER_NAMES.get(token.text, token.text)
        if name in _WITH_ARGUMENTS and self.accept("["):
            return self._arguments(name, token)
        if name in _SIMPLE:
            if self.current.text == "[":
                raise TypeTextError(f"{token.text} takes nothing in brackets", self.current.offset)
            return dict(_SIMPLE[name])
        raise _unknown(token)

    def _arguments(self, name: str, token: Token) -> Schema:
        if name == "Literal":
            return self._literal()
        if name == "code":
            return self._code()
        found = [self.type()]
        while self.accept(","):
            found.append(self.type())
        self.expect("]", f"behind the types in {name}[…]")
        if name in ("Optional", "Union"):
            if name == "Optional" and len(found) > 1:
                raise TypeTextError("Optional takes one type", token.offset, len(token.text))
            return nullable(union(found)) if name == "Optional" else union(found)
        if name == "list":
            if len(found) > 1:
                raise TypeTextError("list takes one type", token.offset, len(token.text))
            return {"type": "array", "items": found[0]}
        if len(found) != 2 or found[0] != {"type": "string"}:
            raise TypeTextError("dict takes two types, the first is str", token.offset, len(token.text))
        return {"type": "object", "additionalProperties": found[1]}

    def _code(self) -> Schema:
        token = self.take()
        if token.kind not in ("name", "string"):
            raise TypeTextError(
                "code takes the name of a language", token.offset, len(token.text), "such as code[python]"
            )
        self.expect("]", "behind the language in code[…]")
        return {**_SIMPLE["code"], "language": token.text if token.kind == "name" else _unquoted(token)}

    def _literal(self) -> Schema:
        values = [self._literal_value()]
        while self.accept(","):
            values.append(self._literal_value())
        self.expect("]", "behind the values in Literal[…]")
        return enumeration(values)

    def _literal_value(self) -> Any:
        token = self.take()
        if token.kind == "string":
            return _unquoted(token)
        if token.kind == "number":
            return float(token.text) if "." in token.text else _whole(token)
        if token.kind == "name" and token.text in ("True", "False", "None", "true", "false", "null"):
            return {"true": True, "false": False}.get(token.text.lower())
        raise TypeTextError(
            "Literal holds quoted texts, numbers, True, False or None",
            token.offset,
            len(token.text),
            hint=f"quote it: '{token.text}'" if token.kind == "name" else "",
        )


def union(alternatives: Sequence[Schema]) -> Schema:
    """The schema of a value that is of one of these types."""
    different: list[Schema] = []
    for schema in alternatives:
        if schema not in different:
            different.append(schema)
    if len(different) == 1:
        return different[0]
    if {} in different:
        return {}
    null = {"type": "null"}
    if null in different:
        different.remove(null)
        return nullable(union(different))
    if all(schema.keys() == {"type"} for schema in different):
        return {"type": [name for schema in different for name in _names(schema["type"])]}
    return {"anyOf": different}


def nullable(schema: Schema) -> Schema:
    """The same, or null."""
    if not schema or schema.get("type") == "null":
        return schema
    if "anyOf" in schema and "type" not in schema:
        if {"type": "null"} in schema["anyOf"]:
            return schema
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    if "type" not in schema and "enum" not in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    wider = dict(schema)
    if "type" in schema:
        names = _names(schema["type"])
        wider["type"] = names if "null" in names else [*names, "null"]
    if "enum" in schema and None not in schema["enum"]:
        wider["enum"] = [*schema["enum"], None]
    return wider


def enumeration(values: Sequence[Any]) -> Schema:
    """The schema of a value out of a list, with its type where all are of one."""
    kinds = {_kind(value) for value in values if value is not None}
    schema: Schema = {"enum": list(values)}
    if len(kinds) == 1:
        kind = kinds.pop()
        schema = {"type": [kind, "null"] if None in values else kind, **schema}
    return schema


def _kind(value: Any) -> str:
    for kind, name in ((bool, "boolean"), (str, "string"), (int, "integer"), (float, "number")):
        if isinstance(value, kind):
            return name
    return "other"


def _names(kinds: str | list[str]) -> list[str]:
    return [kinds] if isinstance(kinds, str) else list(kinds)


def _unquoted(token: Token) -> str:
    try:
        return str(ast.literal_eval(token.text))
    except (ValueError, SyntaxError) as error:
        raise TypeTextError("an escape that means nothing", token.offset, len(token.text)) from error


def _whole(token: Token) -> int:
    if len(token.text) > 18:
        raise TypeTextError("a number that is too large", token.offset, len(token.text))
    return int(token.text)


def _stray(text: str, at: int) -> TypeTextError:
    if text[at] in "'\"":
        return TypeTextError("a quote is opened here and never closed", at)
    hints = {
        "?": "write `| None` for a value that may be missing",
        "=": "write the field under fields: with default:",
        "(": "write Literal['a', 'b'] or list[str] with brackets",
        "-": "the arrow is `->`",
        ">": "the arrow is `->`",
        "→": "the arrow is `->`",
    }
    return TypeTextError(f"`{text[at]}` has no meaning here", at, 1, hints.get(text[at], ""))


def _unknown(token: Token) -> TypeTextError:
    known = (
        "str", "int", "float", "bool", "list", "dict", "Literal", "Optional", "date", "datetime", "Any",
        "image", "audio", "file", "history", "code",
    )  # fmt: skip
    hint = _NOT_HERE.get(token.text, "")
    if not hint:
        near = closest(token.text, (*known, *_OTHER_NAMES))
        hint = f'did you mean "{near}"?' if near else did_you_mean(token.text, known)
    if token.text in _WITH_ARGUMENTS:
        return TypeTextError(f"{token.text} needs brackets: {token.text}[…]", token.offset, len(token.text))
    return TypeTextError(f'unknown type "{token.text}"', token.offset, len(token.text), hint)
