"""The process that runs the user's functions, one call after the other. It is a script and knows nothing of
promptc.

Started by `promptc.runners.hooks` as `python hook_worker.py SOCKET FOLDER`. Frames on the socket are 4 bytes
of length and JSON. A request is `{reference, timeout, payload?}`: without a payload the function is only
loaded. A reply is `{value}` or `{error}`, the error being one sentence with the user's file and line.
Standard output and error belong to the user's code."""

from __future__ import annotations

import faulthandler
import importlib.util
import inspect
import json
import os
import random
import struct
import sys
import traceback
from collections.abc import Callable, Mapping
from types import CodeType
from typing import Any, NamedTuple

LENGTH = struct.Struct(">I")
_LONGEST_SENTENCE = 600


class CannotBind(Exception):
    """A function whose parameters do not fit what it is called with."""


class Parameters(NamedTuple):
    """What a function can be given.

    `required` are its parameters without default, `optional` those with one, `keywords` the keyword-only ones
    without default; `variadic` and `rest` say whether it has `*args` and `**kwargs`.
    """

    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    variadic: bool = False
    rest: bool = False

    def bind(self, given: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """The arguments by position and by name; CannotBind where the function does not fit.

        Where every required name is one of those given, names decide; else the first values are given in
        order, and a name that stands in another's place is an error. A parameter with a default is filled
        only by its name.
        """
        names = list(given)
        if self.variadic and not self.required:
            return list(given.values()), {}
        if len(self.required) > len(names) or not set(self.keywords) <= set(names):
            wanted = ", ".join([*self.required, *self.keywords])
            raise CannotBind(f"it wants ({wanted}), but is given ({', '.join(names)})")
        taken = self.required
        if not set(taken) <= set(names):
            misplaced = [name for place, name in enumerate(taken) if name in given and names[place] != name]
            if misplaced:
                raise CannotBind(f"`{misplaced[0]}` is out of place: it is given ({', '.join(names)})")
            taken = tuple(names[: len(taken)])
        others = names if self.rest else (*self.optional, *self.keywords)
        named = {name: given[name] for name in others if name in given and name not in taken}
        return [given[name] for name in taken], named


class Hook:
    """One loaded function of the user's."""

    def __init__(self, function: Callable[..., Any], place: str) -> None:
        self.function = function
        self.place = place
        self.parameters = _parameters(function)

    def call(self, payload: Any) -> Any:
        """What the function gives for a payload: a mapping of arguments, or a single one."""
        if isinstance(payload, dict):
            positional, named = self.parameters.bind(payload)
            result = self.function(*positional, **named)
        else:
            result = self.function(payload)
        if inspect.iscoroutine(result):
            import asyncio

            return asyncio.run(result)
        return result


def _parameters(function: Callable[..., Any]) -> Parameters:
    parameters = list(inspect.signature(function).parameters.values())
    kinds = {p.kind for p in parameters}
    plain = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    return Parameters(
        required=tuple(p.name for p in plain if p.default is p.empty),
        optional=tuple(p.name for p in named if p.default is not p.empty),
        keywords=tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty),
        variadic=inspect.Parameter.VAR_POSITIONAL in kinds,
        rest=inspect.Parameter.VAR_KEYWORD in kinds,
    )


class Worker:
    """Serves requests until the socket ends."""

    def __init__(self, channel: int, folder: str) -> None:
        self._channel = channel
        self._folder = folder
        self._hooks: dict[str, Hook | str] = {}
        self._pid = os.getpid()

    def serve(self) -> None:
        """Answer one request after the other. A process that a hook forked ends instead of answering."""
        while (frame := self._read()) is not None:
            request = json.loads(frame)
            # The same row gives the same "random" score, whichever worker it meets.
            random.seed(json.dumps(request.get("payload")))
            faulthandler.dump_traceback_later(request["timeout"], exit=True, file=2)
            reply = self._answer(request)
            if os.getpid() != self._pid:
                os._exit(0)
            faulthandler.cancel_dump_traceback_later()
            self._write(reply)

    def _answer(self, request: dict[str, Any]) -> bytes:
        reference = request["reference"]
        hook: Hook | str | None = None
        try:
            hook = self._hook(reference)
            if isinstance(hook, str):
                return _failed(hook)
            if "payload" not in request:
                return _encoded(True)
            return _result(hook.call(request["payload"]), hook.place)
        except BaseException as error:  # noqa: BLE001  the user's code may raise anything, and the row must say what
            sentence = self._sentence(error, hook.place if isinstance(hook, Hook) else reference)
            if not isinstance(hook, Hook):
                self._hooks[reference] = sentence
            return _failed(sentence)

    def _hook(self, reference: str) -> Hook | str:
        """The loaded function, or the sentence that says why it does not load."""
        if reference not in self._hooks:
            path, _, name = reference.rpartition(":")
            module = _module(os.path.join(self._folder, path))
            function = getattr(module, name, None)
            if not callable(function):
                self._hooks[reference] = f"{path} has no function `{name}`"
            else:
                self._hooks[reference] = Hook(function, self._place_of(function, reference))
        return self._hooks[reference]

    def _place_of(self, function: Callable[..., Any], reference: str) -> str:
        code = getattr(inspect.unwrap(function), "__code__", None)
        if not isinstance(code, CodeType):
            return reference
        return f"{self._relative(code.co_filename)}:{code.co_firstlineno}"

    def _sentence(self, error: BaseException, place: str) -> str:
        """The innermost place in the user's own files, and what was raised there."""
        if isinstance(error, CannotBind):
            return f"{place}: {error}"
        if isinstance(error, SystemExit):
            what = f"it called sys.exit({error.code!r})"
        else:
            what = traceback.format_exception_only(error)[-1].strip()
        if isinstance(error, SyntaxError) and error.filename:
            return f"{self._relative(error.filename)}:{error.lineno}: {what}"
        for frame, line in traceback.walk_tb(error.__traceback__):
            if self._is_own(frame.f_code.co_filename):
                place = f"{self._relative(frame.f_code.co_filename)}:{line}, in {frame.f_code.co_name}"
        return f"{place}: {what}"

    def _is_own(self, path: str) -> bool:
        """A file of the user's rather than of a library, which may be installed below the same folder."""
        return path.startswith(self._folder + os.sep) and f"{os.sep}site-packages{os.sep}" not in path

    def _relative(self, path: str) -> str:
        return os.path.relpath(path, self._folder) if self._is_own(path) else path

    def _read(self) -> bytes | None:
        head = self._read_exactly(LENGTH.size)
        return None if head is None else self._read_exactly(LENGTH.unpack(head)[0])

    def _read_exactly(self, size: int) -> bytes | None:
        parts, missing = [], size
        while missing:
            part = os.read(self._channel, min(missing, 2**20))
            if not part:
                return None
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def _write(self, reply: bytes) -> None:
        rest = memoryview(LENGTH.pack(len(reply)) + reply)
        while rest:
            rest = rest[os.write(self._channel, rest) :]


def _module(path: str) -> Any:
    """The user's file as a module. Modules beside it and in the spec's folder can be imported from it."""
    name = f"promptc_hook_{path}"
    if name in sys.modules:
        return sys.modules[name]
    folder = os.path.dirname(path)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _result(value: Any, place: str) -> bytes:
    if value is None:
        return _failed(f"{place}: it returned None; does every path end in a return?")
    try:
        return _encoded(value)
    except ValueError:
        return _failed(f"{place}: it returned {value!r:.100}; JSON has no NaN, no infinity and no cycle")
    except (TypeError, RecursionError) as error:
        return _failed(f"{place}: it returned a {type(value).__name__}, which is not plain data: {error}")


def _encoded(value: Any) -> bytes:
    return json.dumps({"value": value}, allow_nan=False, default=_scalar).encode()


def _scalar(value: Any) -> Any:
    """The plain number in a numpy or torch scalar."""
    item = getattr(value, "item", None)
    if not callable(item):
        raise TypeError(f"{type(value).__name__} is not JSON")
    try:
        return item()
    except ValueError as error:
        raise TypeError(str(error)) from error


def _failed(sentence: str) -> bytes:
    return json.dumps({"error": sentence[:_LONGEST_SENTENCE]}).encode()


def main() -> None:
    """Serve on the socket whose number is the first argument, for the folder that is the second."""
    channel, folder = int(sys.argv[1]), sys.argv[2]
    os.set_inheritable(channel, False)
    os.register_at_fork(after_in_child=lambda: os.close(channel))
    faulthandler.enable(file=2)
    sys.path.insert(0, folder)
    Worker(channel, folder).serve()
    os._exit(0)


if __name__ == "__main__":
    main()
