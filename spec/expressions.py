"""Expressions: CEL, the Common Expression Language, through a kept library.

Closed and typed: no attribute of a Python object is reachable, there are no loops but the list macros, and
the work of an evaluation is bounded beforehand. `first(…)`, ours, takes the first argument that is not null;
`size` of a text counts characters, as the language says, where the library counts bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from promptc.spec.expression_shape import ExpressionError, Reference, Shape, inspect
from promptc.spec.expression_work import MAX_WORK, Size, measure, work
from promptc.spec.suggest import did_you_mean

FUNCTIONS = (
    "first", "size", "has", "contains", "startsWith", "endsWith", "matches",
    "int", "uint", "double", "string", "bytes", "timestamp", "duration", "type", "dyn",
    "getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear",
    "getHours", "getMinutes", "getSeconds", "getMilliseconds",
)  # fmt: skip
_OURS = "_len"
_PARSE_ERROR = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")
_FOREIGN = (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError)

__all__ = ["FUNCTIONS", "Expression", "ExpressionError", "compile_expression", "wrong_reference"]


class Expression:
    """A compiled expression. Made by `compile_expression`; may be evaluated any number of times."""

    def __init__(self, text: str, shape: Shape, program: Any) -> None:
        self.text = text
        self._shape = shape
        self._program = program

    @property
    def roots(self) -> frozenset[str]:
        """The variables that it reads: the first names of its paths."""
        return frozenset(reference.names[0] for reference in self._shape.references)

    @property
    def references(self) -> tuple[Reference, ...]:
        """The paths that it reads, such as `args.context`, with their places."""
        return self._shape.references

    def evaluate(self, variables: Mapping[str, Any]) -> Any:
        """The value for these variables, which are plain data. ExpressionError says why there is none."""
        import cel

        used = {name: variables[name] for name in self.roots if name in variables}
        size = Size()
        for value in used.values():
            measure(value, size)
        if work(self._shape, size) > MAX_WORK:
            raise ExpressionError(
                f"too much work for one evaluation: lists of up to {size.items:,} entries and texts of up to "
                f"{size.text:,} characters"
            )
        functions: dict[str, Callable[..., Any]] = {"first": _first, _OURS: _size}
        try:
            value = self._program.execute(cel.Context(variables=used, functions=functions))
        except _FOREIGN as error:
            raise ExpressionError(_reason(error)) from error
        return _in_order(value, used) if isinstance(value, dict | list) else value


def compile_expression(text: str) -> Expression:
    """The expression in a text; ExpressionError says what is wrong and at which character."""
    import cel

    shape = inspect(text)
    for name, offset in shape.calls:
        if name not in FUNCTIONS:
            hint = did_you_mean(name, (*FUNCTIONS, "exists", "all", "map", "filter", "exists_one"))
            raise ExpressionError(f'unknown function "{name}"', offset, len(name), hint)
    try:
        cel.compile(text)
        program = cel.compile(_with_own_size(text, shape))
    except _FOREIGN as error:
        raise _syntax_error(text, str(error)) from error
    for pattern, offset in shape.patterns:
        _check_pattern(pattern, offset)
    return Expression(text, shape, program)


def wrong_reference(
    expression: Expression, scope: Mapping[str, frozenset[str] | None]
) -> ExpressionError | None:
    """The first path out of scope. `scope` maps each variable to its keys, None where any will do."""
    for reference in expression.references:
        root = reference.names[0]
        if root not in scope:
            return ExpressionError(
                f'unknown name "{root}"', reference.offset, len(root), did_you_mean(root, scope)
            )
        keys = scope[root]
        if keys is not None and len(reference.names) > 1 and reference.names[1] not in keys:
            path = f"{root}.{reference.names[1]}"
            return ExpressionError(
                f'there is no "{path}"',
                reference.offset,
                len(path),
                did_you_mean(reference.names[1], sorted(keys)),
            )
    return None


def _check_pattern(pattern: str, offset: int) -> None:
    import cel

    try:
        cel.evaluate(f"''.matches({pattern})")
    except _FOREIGN as error:
        lines = [line for line in str(error).splitlines() if line.startswith("error: ")]
        reason = lines[0].removeprefix("error: ").split(". Check")[0] if lines else "it is too large"
        raise ExpressionError(f"not a regular expression: {reason}", offset, len(pattern)) from error


def _with_own_size(text: str, shape: Shape) -> str:
    """The library counts bytes in `size`, and its own function cannot be replaced, only called by another
    name.
    """
    for offset in shape.size_offsets:
        text = text[:offset] + _OURS + text[offset + len("size") :]
    return text


def _in_order(value: Any, used: Mapping[str, Any]) -> Any:
    """The value with its keys in the order in which the variables have them: the library's order is any."""
    order: dict[str, int] = {}
    _note_keys(used, order)
    return _sorted(value, order)


def _note_keys(value: Any, order: dict[str, int]) -> None:
    if isinstance(value, Mapping):
        for key, part in value.items():
            order.setdefault(key, len(order))
            _note_keys(part, order)
    elif isinstance(value, list | tuple):
        for part in value:
            _note_keys(part, order)


def _sorted(value: Any, order: Mapping[str, int]) -> Any:
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: (order.get(key, len(order)), str(key)))
        return {key: _sorted(value[key], order) for key in keys}
    return [_sorted(part, order) for part in value] if isinstance(value, list) else value


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _size(value: Any = None) -> int | None:
    """Null for what has no size, which then fails as the operand that it is; raising here would print to
    stderr.
    """
    return len(value) if isinstance(value, str | list | dict | bytes) else None


def _syntax_error(text: str, reason: str) -> ExpressionError:
    match = _PARSE_ERROR.search(reason)
    if match is None:
        return ExpressionError(f"not an expression: {reason[:200]}")
    line, column, problem = int(match[1]), int(match[2]), match[3]
    lines = text.split("\n")
    offset = sum(len(before) + 1 for before in lines[: line - 1]) + column - 1
    problem = re.sub(r"Syntax error: | expecting \{.*\}| expecting <EOF>", "", problem)
    problem = re.sub(r"mismatched input '<EOF>'", "the expression ends too early", problem)
    problem = re.sub(r"(?:mismatched|extraneous) input ('.*')", r"\1 is out of place", problem)
    problem = re.sub(r"no viable alternative at input ('.*')", r"\1 is out of place", problem)
    return ExpressionError(f"not an expression: {problem[:160]}", min(offset, max(0, len(text) - 1)))


def _reason(error: BaseException) -> str:
    """The library's complaint as a sentence about data."""
    text = str(error)
    if isinstance(error, KeyError):
        return f"there is no key {text.strip(chr(34))}"
    if isinstance(error, IndexError):
        return text
    if isinstance(error, ZeroDivisionError):
        return "a division by zero"
    if isinstance(error, OverflowError):
        return "a number beyond 64 bits"
    if text.startswith("Undefined variable or function"):
        name = text.split("'")[1] if "'" in text else ""
        return f'there is no value for "{name}"'
    if isinstance(error, TypeError):
        return (
            "an operation on values that do not fit together: null, or a whole number with a decimal "
            "(write double(x)), or text with a number"
        )
    return text.split(". Check")[0][:200]
