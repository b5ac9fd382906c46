"""`react`: the model calls tools, sees what they bring, and goes on until it answers.

Source: Yao et al., "ReAct: Synergizing Reasoning and Acting in Language Models", 2023, section 2, with several calls in
a turn, and with the provider's own tool calls where there are some.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from promptc.runners.candidate import Called, Turn
from promptc.runners.modules.protocol import Call
from promptc.runners.talk import NativeCalls, Talk, WrittenCalls
from promptc.runners.tools.protocol import Function
from promptc.spec.fields import Signature


class React(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Let the model call tools of the spec, several at once if it likes, and see their results, until it answers.

    A tool that fails is told to the model like a result. After `max_turns` turns with calls it is asked to answer with
    what it knows. Where the conversation becomes too long for the model, the results of the oldest calls are left out,
    and the trace says so. Demos keep all turns. Calls go the provider's own way where its model is known to take tools,
    else the model writes them down.
    """

    tools: Annotated[
        tuple[str, ...] | None,
        msgspec.Meta(
            description="Names under tools:; all of them without it.", examples=[["search", "calculate"]]
        ),
    ] = None
    max_turns: Annotated[
        int,
        msgspec.Meta(ge=1, le=100, description="How many turns with calls there are at most.", examples=[8]),
    ] = 8
    tool_calls: Annotated[
        Literal["auto", "native", "written"],
        msgspec.Meta(
            description="How tools are called: the provider's way, in writing, or what the model is known to take.",
            examples=["written"],
        ),
    ] = "auto"
    max_result: Annotated[
        int,
        msgspec.Meta(ge=100, description="Characters of a result that the model is shown.", examples=[4000]),
    ] = 8000

    def predictors(self, signature: Signature) -> dict[str, Signature]:
        """One predictor, with the step's own signature."""
        return {"": signature}

    def calls(self) -> tuple[int, int]:
        """An answer at once at least; all turns and an answer at most."""
        return 1, self.max_turns + 1

    def tool_names(self) -> tuple[str, ...] | None:
        """The tools of the spec that it uses; None for all of them."""
        return self.tools

    def talk(self, signature: Signature, functions: tuple[Function, ...], *, native: bool) -> Talk:
        """Native calls or written ones, as the model takes them unless the spec says it."""
        natively = native if self.tool_calls == "auto" else self.tool_calls == "native"
        return NativeCalls(functions) if natively else WrittenCalls(functions)

    async def run(self, call: Call, signature: Signature, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The answer, after as many turns as it takes. Raises RowFailed."""
        offered = await call.offered("", self.tools)
        functions = tuple(one.function for one in offered)
        talk = self.talk(signature, functions, native=call.calls_natively(""))
        conversation = call.conversation("", inputs, talk)
        for _ in range(self.max_turns if functions else 0):
            reply = await conversation.reply()
            if reply.values is not None:
                return reply.values
            used = await call.use(offered, reply.calls, conversation)
            conversation.add(Turn(text=reply.text, calls=tuple(self._cut(one.called) for one in used)))
        return await conversation.answer()

    def _cut(self, called: Called) -> Called:
        more = len(called.result) - self.max_result
        if more <= 0:
            return called
        cut = f"{called.result[: self.max_result]}… ({more:,} more characters)"
        return msgspec.structs.replace(called, result=cut)
