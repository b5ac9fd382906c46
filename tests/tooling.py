"""Rows through a step that calls tools: the world of the tests of tools, `react` and `program_of_thought`."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from scripted import ScriptedModels, text

from promptc.runners.build import build_program
from promptc.runners.candidate import Candidate
from promptc.runners.effects import Effects
from promptc.runners.evaluate import Arm, Evaluator, RowRecord
from promptc.runners.hook_source import hook_digest
from promptc.runners.hooks import HookPool
from promptc.runners.journal import Journal
from promptc.runners.ledger import Ledger
from promptc.runners.models.request import CallFailed, Completion, Request, ToolCall
from promptc.runners.models.secrets import Redactor
from promptc.runners.rows import inline_rows
from promptc.runners.sandbox import Sandbox
from promptc.runners.tools.opening import open_tools
from promptc.runners.trust import code_of
from promptc.spec.errors import SpecError
from promptc.spec.load import load
from promptc.spec.model import Budget, Spec

Said = str | Mapping[str, Any] | Completion | CallFailed
MARKER = "[[ ## {} ## ]]"


def spec_with_tools(module: Any, tools: Mapping[str, Any], base: Path = Path("."), **keys: Any) -> Spec:
    """A spec with one step; the signature is `text -> answer` unless said otherwise."""
    tree = {
        "version": 1,
        "name": "t",
        "models": {"task": "openai/t"},
        "data": {"rows": [{"text": "x"}]},
        "tools": dict(tools),
        "module": module,
        "metrics": ["exact_match"],
        **({} if "fields" in keys else {"signature": "text -> answer"}),
        **keys,
    }
    spec, findings = load(json.dumps(tree), file="spec.yaml", base=base, environment={})
    if spec is None:
        raise SpecError(tuple(findings))
    return spec


def laid_out(outputs: Mapping[str, Any], format_: str = "chat") -> str:
    """An answer in a format's layout."""
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in outputs.items()}
    if format_ == "json":
        return json.dumps(outputs)
    if format_ == "xml":
        return "\n".join(f"<{name}>\n{value}\n</{name}>" for name, value in texts.items())
    parts = [f"{MARKER.format(name)}\n{value}" for name, value in texts.items()]
    return "\n\n".join([*parts, MARKER.format("completed")])


def calling(*calls: tuple[str, Mapping[str, Any]], said: str = "") -> str:
    """A reply that calls tools in writing."""
    lines = [json.dumps({"tool": name, "arguments": arguments}) for name, arguments in calls]
    return "\n".join([said, "```tools", *lines, "```"]).strip()


def native(*calls: tuple[str, Any], said: str = "") -> Completion:
    """A reply that calls tools natively; arguments that are text are sent as they are."""
    made = tuple(
        ToolCall(f"id{n}", name, arguments if isinstance(arguments, str) else json.dumps(arguments))
        for n, (name, arguments) in enumerate(calls)
    )
    return Completion(text=said, tool_calls=made, finish_reason="tool_calls")


def in_turn(*replies: Said) -> Callable[[Request], Said]:
    """The n-th reply to the n-th turn of a conversation: as many as the row's messages have answers since."""

    def reply(request: Request) -> Said:
        roles = [m.role for m in request.messages]
        return replies[min(roles.count("assistant"), len(replies) - 1)]

    return reply


class World:
    """Rows through one step with tools. `reply(request)` gives outputs, a text, a completion or a failure."""

    def __init__(
        self,
        module: Any,
        tools: Mapping[str, Any],
        reply: Callable[[Request], Said],
        *,
        rows: int = 1,
        base: Path = Path("."),
        path: Path | None = None,
        workers: int = 8,
        shuffle: int = 0,
        budget: Budget | None = None,
        native: bool = False,
        acting: bool = False,
        offline: bool = False,
        environment: Mapping[str, str] | None = None,
        candidate: Callable[[Candidate], Candidate] = lambda start: start,
        die_after: int | None = None,
        texts: tuple[str, ...] = (),
        **keys: Any,
    ) -> None:
        self.spec = spec_with_tools(module, tools, base, **keys)
        self.program = build_program(self.spec)
        format_ = keys.get("format", "chat")

        def told(request: Request) -> Completion | CallFailed:
            said = reply(request)
            if isinstance(said, Completion | CallFailed):
                return said
            return text(said if isinstance(said, str) else laid_out(said, format_))

        self.models = ScriptedModels(told, shuffle=shuffle, workers=workers)
        self.models.native = native
        self.models.die_after = die_after
        given = texts or tuple(f"row {n}" for n in range(rows))
        examples = tuple(
            inline_rows([{"text": t, "id": f"r{n}"} for n, t in enumerate(given)], id_field="id")
        )
        code = [use.reference for use in code_of(self.spec) if use.kind == "function"]
        digests = {reference: hook_digest(self.spec.base, reference) for reference in code}

        async def work() -> tuple[RowRecord, ...]:
            async with contextlib.AsyncExitStack() as stack:
                hooks = HookPool(base, environment=environment or {}) if digests else None
                opened = open_tools(
                    self.program,
                    environment=environment or {},
                    redactor=Redactor(),
                    digests=digests,
                    acting=acting,
                    offline=offline,
                )
                sandbox = Sandbox()
                stack.push_async_callback(sandbox.close)
                effects = Effects(
                    Journal(path, identity="t", version="1"),
                    Ledger(budget or Budget()),
                    self.models,
                    await stack.enter_async_context(hooks) if hooks is not None else None,
                    tools=await stack.enter_async_context(opened),
                    sandbox=sandbox,
                    concurrency=workers,
                    hook_digests=digests,
                )
                arm = Arm(compiled=self.program.compile(candidate(self.program.start())))
                try:
                    return await Evaluator(effects=effects, judge=None).evaluate(arm, examples)
                finally:
                    await effects.drain()
                    self.spent = effects.ledger.spent
                    effects.journal.close()

        self.records = asyncio.run(work())

    @property
    def record(self) -> RowRecord:
        return self.records[0]

    @property
    def outputs(self) -> dict[str, Any] | None:
        return self.record.outputs

    @property
    def asked(self) -> list[Request]:
        return self.models.asked

    @property
    def calls(self) -> list[tuple[str, Any, str, bool]]:
        """What the first row called: tool, arguments, result, whether it failed."""
        turns = (turn for step in self.record.trace for turn in step.turns)
        return [(c.tool, c.arguments, c.result, c.failed) for turn in turns for c in turn.calls]
