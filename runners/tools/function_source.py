"""A function of the user's as a tool, read from its source: nothing of it runs.

The arguments' types come from the annotations, written as in a signature (`str`, `list[int]`, `Literal["a", "b"]`,
`float | None`); the descriptions from the docstring, whose `Args:` section or `:param name:` lines say what each
argument is.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from promptc.runners.hook_source import locate
from promptc.runners.tools.protocol import Function
from promptc.spec.type_text import Schema, TypeTextError, parse_type

_SECTION = re.compile(r"^(Args|Arguments|Parameters|Params):\s*$")
_OTHER_SECTION = re.compile(r"^(Returns?|Raises|Yields?|Examples?|Notes?|Attributes|Warnings?|See Also):\s*$")
_ARGUMENT = re.compile(r"^\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)$")
_PARAM = re.compile(r"^:param\s+(?:[\w\[\], .|]+\s+)?(\w+)\s*:\s*(.*)$")
_FIELD = re.compile(r"^:\w+.*:")


def read_function(base: Path, reference: str, name: str) -> Function:
    """The function behind `file.py:function` under the name that models call it by. Raises ValueError, in words."""
    file, wanted = locate(base, reference)
    shown = reference.rpartition(":")[0]
    try:
        tree = ast.parse(file.read_bytes(), filename=str(file))
    except SyntaxError as error:
        raise ValueError(f"{shown}:{error.lineno}: {error.msg}") from error
    functions = {
        node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    if wanted not in functions:
        there = ", ".join(f"`{other}`" for other in functions)
        raise ValueError(f"{shown} defines no function `{wanted}`" + (f"; it has {there}" if there else ""))
    function = functions[wanted]
    said, described = _docstring(ast.get_docstring(function) or "")
    properties: dict[str, Any] = {}
    required = []
    for argument, default in _parameters(function, shown):
        schema = _schema(argument, f"{shown}:{argument.lineno}")
        if argument.arg in described:
            schema = {**schema, "description": described[argument.arg]}
        if default is None:
            required.append(argument.arg)
        else:
            schema = {**schema, **_default(default)}
        properties[argument.arg] = schema
    return Function(
        name=name,
        description=said,
        schema={
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": False,
        },
    )


def _parameters(
    function: ast.FunctionDef | ast.AsyncFunctionDef, shown: str
) -> Iterator[tuple[ast.arg, ast.expr | None]]:
    """Each parameter with its default, None where it has none."""
    arguments = function.args
    if arguments.vararg is not None or arguments.kwarg is not None:
        raise ValueError(
            f"{shown}:{function.lineno}: `{function.name}` takes *args or **kwargs; name what it takes"
        )
    plain = [*arguments.posonlyargs, *arguments.args]
    missing: list[ast.expr | None] = [None] * (len(plain) - len(arguments.defaults))
    yield from zip(plain, [*missing, *arguments.defaults], strict=True)
    yield from zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)


def _schema(argument: ast.arg, where: str) -> Schema:
    if argument.annotation is None:
        raise ValueError(
            f"{where}: the parameter `{argument.arg}` has no type: write `{argument.arg}: str`, say"
        )
    text = ast.unparse(argument.annotation)
    if isinstance(argument.annotation, ast.Constant) and isinstance(argument.annotation.value, str):
        text = argument.annotation.value
    try:
        return parse_type(re.sub(r"\b(?:typing|datetime|t)\.", "", text))
    except TypeTextError as error:
        hint = f" ({error.hint})" if error.hint else ""
        raise ValueError(
            f"{where}: the type of `{argument.arg}` is not one for a tool: {error.message}{hint}"
        ) from error


def _default(node: ast.expr) -> dict[str, Any]:
    """What a schema says of a default: its value, where it is plain data."""
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return {}
    return {"default": value} if isinstance(value, str | int | float | bool | list | dict | None) else {}


def _docstring(text: str) -> tuple[str, dict[str, str]]:
    """What the function does, and what each argument is."""
    said: list[str] = []
    described: dict[str, str] = {}
    inside, name = False, ""
    for line in text.splitlines():
        bare = line.strip()
        param = _PARAM.match(bare)
        if _SECTION.match(bare):
            inside, name = True, ""
        elif _OTHER_SECTION.match(bare) or (_FIELD.match(bare) and param is None):
            break
        elif param is not None:
            inside, name = True, param[1]
            described[name] = param[2].strip()
        elif inside:
            found = _ARGUMENT.match(bare)
            if found:
                name = found[1]
                described[name] = found[2].strip()
            elif name and bare:
                described[name] = f"{described[name]} {bare}".strip()
        else:
            said.append(bare)
    return " ".join(" ".join(said).split()), described
