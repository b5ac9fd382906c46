"""Python that a model wrote, run where it can do no harm: in `pydantic-monty`, an interpreter without files or network.

Nothing else imports pydantic_monty. A program runs in a process of its own, within limits of time, memory and output,
with a random seed and a clock that stands still. Where it calls a function of ours it stops; to go on, it is run once
more with the results so far. So each stretch between two calls is a function of code, inputs and results, and can be
recorded and replayed without the sandbox.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import msgspec

from promptc.spec.errors import UsageError

if TYPE_CHECKING:
    from pydantic_monty import AsyncMonty, AsyncSnapshot, CollectString, MontyRuntimeError, MontySyntaxError

INSTALL = "pip install 'promptc[sandbox]'"
DEEPEST = 300
"""How deep a program's functions may call each other."""
STILL = datetime(2000, 1, 1, tzinfo=UTC)
"""What a program takes for now."""
_LONGEST_ERROR = 1500
_GRACE = 5.0
_PRINTED = 4
"""UTF-8's longest character."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a program may use: seconds of its own, bytes of memory, characters of output, calls of our functions."""

    seconds: float
    memory: int
    output: int
    calls: int


class Code(msgspec.Struct, frozen=True, kw_only=True):
    """A program with all that decides what it does. `functions` maps names to those of their parameters, in order.

    `results` are those of the calls so far: `{"result": value}` or `{"error": sentence}` each.
    """

    text: str
    inputs: dict[str, Any]
    functions: dict[str, tuple[str, ...]]
    results: tuple[dict[str, Any], ...]
    limits: Limits
    seed: str


class Wanted(msgspec.Struct, frozen=True):
    """A call of one of our functions."""

    function: str
    arguments: dict[str, Any]


class Ran(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a program came: to a `call`, to an `error`, or to its end with a `value`, None where it has none."""

    printed: str = ""
    value: Any = None
    call: Wanted | None = None
    error: str = ""


class Sandbox:
    """Runs programs. Its processes start with the first one, and end with `close`."""

    def __init__(self, processes: int = 2) -> None:
        self._processes = processes
        self._turn = asyncio.Lock()
        self._pool: AsyncMonty | None = None

    async def run(self, code: Code) -> Ran:
        """Run a program from its beginning to its end, or to the first call that has no result yet."""
        pool = self._pool or await self._opened()
        from pydantic_monty import (
            CollectString,
            MontyCrashedError,
            MontyError,
            MontyRuntimeError,
            MontySyntaxError,
        )

        printed = CollectString(max_bytes=_PRINTED * code.limits.output)
        limits = {
            "max_feed_duration_secs": code.limits.seconds,
            "max_memory": code.limits.memory,
            "max_recursion_depth": DEEPEST,
            "max_suspensions": 20 * (code.limits.calls + 1),
        }
        policy = {"random_start": {"seed": code.seed}, "datetime": STILL, "timezone": "utc", "sleep": "zero"}
        try:
            async with pool.checkout(limits=limits, os_policy=policy) as session:  # type: ignore[arg-type]
                lookup = dict.fromkeys(code.functions, _never)
                snapshot = await session.feed_start(
                    code.text, inputs=code.inputs, print_callback=printed, external_lookup=lookup
                )
                return await _driven(snapshot, code, printed)
        except (MontySyntaxError, MontyRuntimeError) as error:
            return Ran(printed=_cut(printed.output, code), error=_said(error, code.limits))
        except MontyCrashedError as error:
            return Ran(printed=_cut(printed.output, code), error=f"the program broke its sandbox: {error}")
        except MontyError as error:
            return Ran(error=str(error)[-_LONGEST_ERROR:])

    async def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            await self._pool.__aexit__(None, None, None)
            self._pool = None

    async def _opened(self) -> AsyncMonty:
        async with self._turn:
            if self._pool is None:
                try:
                    from pydantic_monty import AsyncMonty
                except ImportError as error:
                    raise UsageError("program_of_thought needs the extra sandbox", INSTALL) from error
                pool = AsyncMonty(
                    min_processes=1,
                    max_processes=self._processes,
                    max_checkouts_per_worker=500,
                    feed_duration_limit_grace=_GRACE,
                )
                await pool.__aenter__()
                self._pool = pool
            return self._pool


async def _driven(snapshot: AsyncSnapshot, code: Code, printed: CollectString) -> Ran:
    """Answer what the program asks, until it ends or wants what is not known yet."""
    from pydantic_monty import AsyncFunctionSnapshot, AsyncNameLookupSnapshot, MontyComplete

    answered = 0
    while not isinstance(snapshot, MontyComplete):
        if isinstance(snapshot, AsyncFunctionSnapshot) and not snapshot.is_os_function:
            name = str(snapshot.function_name)
            if name not in code.functions:
                answer: dict[str, Any] = {"exc_type": "NameError", "message": f"name '{name}' is not defined"}
            elif answered < len(code.results):
                answer = _answer(code.results[answered])
                answered += 1
            elif answered >= code.limits.calls:
                answer = {"exc_type": "RuntimeError", "message": f"more than {code.limits.calls} calls"}
            else:
                arguments = _arguments(code.functions[name], snapshot.args, snapshot.kwargs)
                if isinstance(arguments, dict):
                    return Ran(printed=_cut(printed.output, code), call=Wanted(name, arguments))
                answer = {"exc_type": "TypeError", "message": f"{name}() {arguments}"}
            snapshot = await snapshot.resume(answer)  # type: ignore[arg-type]
        elif isinstance(snapshot, AsyncFunctionSnapshot):
            snapshot = await snapshot.resume_not_handled()
        elif isinstance(snapshot, AsyncNameLookupSnapshot):
            snapshot = await snapshot.resume_auto()
        else:
            return Ran(
                printed=_cut(printed.output, code), error="TypeError: these functions cannot be awaited"
            )
    try:
        return Ran(printed=_cut(printed.output, code), value=_plain(snapshot.output))
    except ValueError as error:
        return Ran(printed=_cut(printed.output, code), error=f"TypeError: the program's value {error}")


def _said(error: MontyRuntimeError | MontySyntaxError, limits: Limits) -> str:
    """What went wrong, in the same words whenever it does."""
    said = error.display("traceback")
    if "TimeoutError: feed time limit exceeded" in said:
        return f"TimeoutError: it ran for more than {limits.seconds:g} s"
    if f"> {_PRINTED * limits.output} bytes" in said:
        return f"MemoryError: it printed more than {limits.output:,} characters"
    return said[-_LONGEST_ERROR:]


def _answer(result: Mapping[str, Any]) -> dict[str, Any]:
    if "error" in result:
        return {"exc_type": "RuntimeError", "message": result["error"]}
    return {"return_value": result["result"]}


def _arguments(
    names: Sequence[str], positional: Sequence[Any], named: Mapping[str, Any]
) -> dict[str, Any] | str:
    """The arguments by name, or what is wrong with them."""
    if len(positional) > len(names):
        return f"takes at most {len(names)} arguments ({len(positional)} given)"
    given = dict(zip(names, positional, strict=False))
    twice = next((name for name in named if name in given), None)
    if twice is not None:
        return f"got multiple values for argument '{twice}'"
    try:
        return {name: _plain(value) for name, value in {**given, **named}.items()}
    except ValueError as error:
        return f"takes plain data: a value {error}"


def _plain(value: Any) -> Any:
    """JSON data. Raises ValueError for what has no such form."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise ValueError("is not a finite number")
        return value
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, set | frozenset):
        return sorted((_plain(part) for part in value), key=repr)
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [_plain(part) for part in value]
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    if isinstance(value, Decimal | Fraction):
        return float(value)
    raise ValueError(f"is a {type(value).__name__}, not plain data")


def _cut(text: str, code: Code) -> str:
    most = code.limits.output
    return text if len(text) <= most else f"{text[:most]}… ({len(text) - most:,} more characters)"


def _never(*_: Any, **__: Any) -> None:
    """Stands for one of our functions: calls of it are answered one by one."""
