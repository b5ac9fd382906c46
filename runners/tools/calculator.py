"""`calculator`: arithmetic, worked out here and exactly where that is possible."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from promptc.runners.phase import Lane
from promptc.runners.tools.protocol import Function, Opening, ToolFailed
from promptc.spec.model import Effects

LONGEST = 500
"""Characters of an expression."""
LARGEST_BITS = 4096
"""How large a number may become on the way: an expression must not keep the machine busy."""
DIGITS = 15
"""Significant digits of a result that is not exact."""

Number = Fraction | float

DESCRIPTION = (
    "Works out an arithmetic expression. It knows + - * / // % ** and parentheses, pi and e, and the functions "
    "abs, round, min, max, sum, sqrt, exp, log, log10, sin, cos, tan, floor, ceil, factorial."
)


class Calculator(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arithmetic: `(12.5 + 3) * 4 / 100`, `sqrt(2) ** 3`. Whole numbers and fractions are exact: 0.1 + 0.2 is 0.3."""

    effects: ClassVar[Effects] = "none"

    def offered(self, name: str, base: Path) -> tuple[Function, ...]:
        """One function with one argument, the expression."""
        expression = {"type": "string", "description": "Such as (12.5 + 3) * 4 / 100"}
        schema = {
            "type": "object",
            "properties": {"expression": expression},
            "required": ["expression"],
            "additionalProperties": False,
        }
        return (Function(name=name, description=DESCRIPTION, schema=schema, effects="none"),)

    def opened(self, opening: Opening) -> Calculating:
        """Ready to calculate."""
        return Calculating(self.offered(opening.name, opening.base))


class Calculating:
    """An open calculator. Nothing leaves the process, so nothing is recorded."""

    def __init__(self, offered: tuple[Function, ...]) -> None:
        self._offered = offered

    async def functions(self, lane: Lane) -> tuple[Function, ...]:
        """The one function."""
        return self._offered

    async def call(self, lane: Lane, function: str, arguments: dict[str, Any], mark: tuple[Any, ...]) -> Any:
        """The value of the expression."""
        return calculate(arguments["expression"])

    async def close(self) -> None:
        """Nothing is held."""


def calculate(text: str) -> int | float:
    """The value of an arithmetic expression. Raises ToolFailed with what is wrong."""
    if len(text) > LONGEST:
        raise ToolFailed(f"the expression is longer than {LONGEST} characters")
    written = text.strip().replace("^", "**").replace("×", "*").replace("÷", "/").replace("−", "-")
    try:
        tree = ast.parse(written, mode="eval")
        return _plain(_value(tree.body))
    except SyntaxError as error:
        raise ToolFailed(f"{text!r} is not an expression: {error.msg}") from error
    except ZeroDivisionError as error:
        raise ToolFailed(f"{text!r} divides by zero") from error
    except (OverflowError, ValueError, RecursionError, MemoryError) as error:
        raise ToolFailed(f"{text!r} cannot be worked out: {error}") from error


def _value(node: ast.expr) -> Number:
    if (
        isinstance(node, ast.Constant)
        and isinstance(node.value, int | float)
        and not isinstance(node.value, bool)
    ):
        # A literal is read by its digits: 0.1 is one tenth.
        return Fraction(str(node.value)) if math.isfinite(node.value) else _too_large()
    if isinstance(node, ast.UnaryOp) and type(node.op) in _SIGNS:
        return _SIGNS[type(node.op)](_value(node.operand))
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _bounded(_OPERATORS[type(node.op)](_value(node.left), _value(node.right)))
    if isinstance(node, ast.Name) and node.id in _CONSTANTS:
        return _CONSTANTS[node.id]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        return _called(node.func.id, [_value(argument) for argument in _arguments(node)])
    raise ToolFailed(f"{ast.unparse(node)!r} is no arithmetic: {DESCRIPTION}")


def _arguments(node: ast.Call) -> list[ast.expr]:
    if len(node.args) == 1 and isinstance(node.args[0], ast.List | ast.Tuple):
        return node.args[0].elts
    return node.args


def _called(name: str, arguments: list[Number]) -> Number:
    function = _FUNCTIONS.get(name)
    if function is None:
        raise ToolFailed(f"there is no function {name}: there are {', '.join(sorted(_FUNCTIONS))}")
    try:
        return _bounded(function(*arguments))
    except TypeError as error:
        raise ToolFailed(f"{name} does not take {len(arguments)} arguments") from error


def _power(base: Number, exponent: Number) -> Number:
    if isinstance(base, Fraction) and isinstance(exponent, Fraction) and exponent.denominator == 1:
        size = max(base.numerator.bit_length(), base.denominator.bit_length())
        if size * abs(exponent.numerator) > LARGEST_BITS:
            return _too_large()
        return Fraction(base**exponent.numerator)
    found = float(base) ** float(exponent)
    if isinstance(found, complex):
        raise ToolFailed(f"{float(base):g} ** {float(exponent):g} is no real number")
    return float(found)


def _factorial(number: Number) -> Number:
    if not isinstance(number, Fraction) or number.denominator != 1 or not 0 <= number <= 500:
        raise ToolFailed("factorial takes a whole number from 0 to 500")
    return Fraction(math.factorial(number.numerator))


def _rounded(number: Number, digits: Number = Fraction(0)) -> Number:
    return Fraction(round(Fraction(number), int(digits)))


def _root(number: Number) -> Number:
    if number < 0:
        raise ToolFailed("sqrt takes no negative number")
    if isinstance(number, Fraction):
        up, down = math.isqrt(number.numerator), math.isqrt(number.denominator)
        if up * up == number.numerator and down * down == number.denominator:
            return Fraction(up, down)
    return math.sqrt(number)


def _bounded(number: Number) -> Number:
    if isinstance(number, Fraction):
        size = max(number.numerator.bit_length(), number.denominator.bit_length())
        return number if size <= LARGEST_BITS else _too_large()
    return number if math.isfinite(number) else _too_large()


def _too_large() -> Number:
    raise ToolFailed("a number becomes too large")


def _plain(number: Number) -> int | float:
    """A whole number as such, everything else to 15 digits."""
    if isinstance(number, Fraction) and number.denominator == 1:
        return number.numerator
    found = float(f"{float(number):.{DIGITS}g}")
    return int(found) if found.is_integer() and abs(found) < 10**DIGITS else found


_SIGNS: Mapping[type[ast.unaryop], Callable[[Any], Number]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}
_OPERATORS: Mapping[type[ast.operator], Callable[[Any, Any], Number]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: lambda a, b: Fraction(a // b), ast.Mod: operator.mod, ast.Pow: _power,
}  # fmt: skip
_CONSTANTS: Mapping[str, Number] = {"pi": math.pi, "e": math.e}
_FUNCTIONS: Mapping[str, Callable[..., Number]] = {
    "abs": abs, "round": _rounded, "min": lambda *a: min(a), "max": lambda *a: max(a),
    "sum": lambda *a: sum(a, Fraction(0)), "sqrt": _root, "exp": math.exp, "log": math.log, "log10": math.log10,
    "sin": math.sin, "cos": math.cos, "tan": math.tan, "floor": lambda n: Fraction(math.floor(n)),
    "ceil": lambda n: Fraction(math.ceil(n)), "factorial": _factorial, "pow": _power,
}  # fmt: skip
