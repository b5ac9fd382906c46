"""How much work an expression can become, before it is evaluated.

The CEL library evaluates in native code that nothing can interrupt, its `map` and `filter` take quadratic
time, and chained macros double data. So an upper bound of the work is computed from the text and from the
size of the variables, and an expression that could run for long is refused before it starts.
"""

from __future__ import annotations

from typing import Any

import msgspec

from promptc.spec.expression_shape import ExpressionError, Shape

MAX_WORK = 5_000_000
"""Units of about 0.2 µs each, so about a second."""

_QUADRATIC = ("map", "filter")


class Size(msgspec.Struct):
    """How large the variables of one evaluation are.

    `items` is the length of the longest list or map and `entry` the most values in one entry of one; `nodes`
    counts all values, `text` is the length of the longest text and `volume` the number of values and
    characters.
    """

    items: int = 1
    entry: int = 1
    nodes: int = 1
    text: int = 1
    volume: int = 1


def work(shape: Shape, size: Size) -> int:
    """An upper bound of the work of one evaluation, in units of MAX_WORK.

    The constants are measured: 0.25 µs a step, 50 ns to copy a value, about 1 ns a character. `map` and
    `filter` copy all that they have so far with every entry.
    """
    maps = sum(macro.name == "map" for macro in shape.macros)
    growth: int = (shape.growth + 1) ** (maps + 1) * (shape.local_growth + 1)
    items = max(size.items * growth, shape.longest_literal)
    text = size.text * growth
    total = 1 + text * shape.repeats // 20 + size.nodes * growth // 4
    for macro in shape.macros:
        entry = (size.nodes if macro.whole else size.entry) * growth
        outer: int = items**macro.depth
        total += outer * items * (1 + text * shape.repeats // 1000 + entry // 4)
        if macro.name in _QUADRATIC:
            total += outer * items * items * entry * items**macro.maps // 6
    if maps:
        total += size.volume * items**maps // 50
    return total


def measure(value: Any, size: Size) -> None:
    """Add a variable's size. ExpressionError for what is no plain data: nothing else reaches the language."""
    size.nodes += _measure(value, size, 0)


def _measure(value: Any, size: Size, depth: int) -> int:
    """The number of values in a value."""
    if isinstance(value, dict | list | tuple):
        if depth > 100:
            raise ExpressionError("the data is nested more than 100 levels deep")
        parts = value.values() if isinstance(value, dict) else value
        counts = [_measure(part, size, depth + 1) for part in parts]
        size.items = max(size.items, len(counts))
        size.entry = max([size.entry, *counts])
        size.volume += len(counts)
        return 1 + sum(counts)
    size.volume += 1
    if isinstance(value, str):
        size.text = max(size.text, len(value))
        size.volume += len(value)
    elif isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        raise ExpressionError("a number in the data is beyond 64 bits")
    elif value is not None and not isinstance(value, bool | int | float):
        raise ExpressionError(f"an expression reads plain data, not a {type(value).__name__}")
    return 1
