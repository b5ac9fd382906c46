"""`program_of_thought`: the model writes a program that works the answer out.

Sources: Chen et al., "Program of Thoughts Prompting", 2022, section 2; Wang et al., "Executable Code Actions Elicit
Better LLM Agents" (CodeAct), 2024, section 2, for programs that call tools and go on from what they printed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from promptc.runners.candidate import Called, Turn
from promptc.runners.code_talk import CodeTalk
from promptc.runners.conversation import Conversation
from promptc.runners.formats.json_text import dumps
from promptc.runners.formats.protocol import ParseError
from promptc.runners.formats.values import conform
from promptc.runners.models.request import ToolCall
from promptc.runners.modules.protocol import Call
from promptc.runners.sandbox import Code, Limits, Ran
from promptc.runners.tools.protocol import Function, Offered
from promptc.spec.fields import Signature

MEGABYTE = 1 << 20


class ProgramOfThought(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Let the model write Python that works the answer out; it may call tools of the spec like functions.

    The program runs in a sandbox without files and network. Its last expression is the answer, which is checked like
    any other. What it prints, and its errors, go back to the model, which may write another one; after `max_iterations`
    programs it is asked to answer with what it knows. Needs the extra `sandbox`: pip install 'promptc[sandbox]'.
    """

    max_iterations: Annotated[
        int, msgspec.Meta(ge=1, le=50, description="How many programs there are at most.", examples=[3])
    ] = 3
    tools: Annotated[
        tuple[str, ...],
        msgspec.Meta(description="Names under tools: that programs may call.", examples=[["search"]]),
    ] = ()
    seconds: Annotated[
        float, msgspec.Meta(gt=0, le=600, description="How long a program may run.", examples=[5])
    ] = 5.0
    memory: Annotated[
        int, msgspec.Meta(ge=1, description="How much memory it may use, in megabytes.", examples=[64])
    ] = 64
    output: Annotated[
        int, msgspec.Meta(ge=1, description="How many characters it may print.", examples=[4000])
    ] = 4000
    max_tool_calls: Annotated[
        int, msgspec.Meta(ge=1, description="How many tools one program may call.", examples=[20])
    ] = 20

    def predictors(self, signature: Signature) -> dict[str, Signature]:
        """One predictor, with the step's own signature."""
        return {"": signature}

    def calls(self) -> tuple[int, int]:
        """One program at least; all programs and an answer at most."""
        return 1, self.max_iterations + 1

    def tool_names(self) -> tuple[str, ...]:
        """The tools that programs may call."""
        return self.tools

    def talk(self, signature: Signature, functions: tuple[Function, ...], *, native: bool) -> CodeTalk:
        """Programs in fenced blocks, whatever the model's provider offers."""
        return CodeTalk(signature, functions, self.seconds)

    async def run(self, call: Call, signature: Signature, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The answer of a program, or the model's own. Raises RowFailed."""
        offered = await call.offered("", self.tools) if self.tools else ()
        talk = self.talk(signature, tuple(one.function for one in offered), native=False)
        conversation = call.conversation("", inputs, talk)
        for _ in range(self.max_iterations):
            reply = await conversation.reply()
            if reply.values is not None:
                return reply.values
            [wanted] = reply.calls
            ran, used = await self._run(call, offered, wanted, conversation)
            outputs, problem = _outputs(signature, ran)
            if outputs is not None:
                problem = call.objection(inputs, outputs)
            turn = Turn(text=reply.text, calls=(*used, _shown(wanted, ran, problem)))
            if outputs is not None and not problem:
                conversation.conclude(outputs, turn)
                return outputs
            conversation.add(turn)
        return await conversation.answer()

    async def _run(
        self, call: Call, offered: tuple[Offered, ...], wanted: ToolCall, conversation: Conversation
    ) -> tuple[Ran, tuple[Called, ...]]:
        """How the program ends, and the tools that it called on the way."""
        code = Code(
            text=msgspec.json.decode(wanted.arguments)["code"],
            inputs=dict(conversation.inputs),
            functions={
                one.function.name: tuple(one.function.schema.get("properties", {})) for one in offered
            },
            results=(),
            limits=Limits(
                seconds=self.seconds,
                memory=self.memory * MEGABYTE,
                output=self.output,
                calls=self.max_tool_calls,
            ),
            seed=call.seed(conversation.inputs),
        )
        used: tuple[Called, ...] = ()
        while True:
            ran = await call.run_code(code)
            if ran.call is None:
                return ran, used
            asked = ToolCall("", ran.call.function, msgspec.json.encode(ran.call.arguments).decode())
            [one] = await call.use(offered, [asked], conversation, first=len(used))
            used = (*used, one.called)
            result = {"error": one.called.result} if one.called.failed else {"result": one.value}
            code = msgspec.structs.replace(code, results=(*code.results, result))


def _outputs(signature: Signature, ran: Ran) -> tuple[dict[str, Any] | None, str]:
    """The outputs in a program's value, or what is wrong with it."""
    if ran.error:
        return None, ran.error
    value = ran.value
    names = [field.name for field in signature.outputs]
    if value is None:
        return None, "" if ran.printed else "the program has no value: end it with an expression"
    if len(names) == 1 and not (isinstance(value, dict) and value.keys() == set(names)):
        value = {names[0]: value}
    if not isinstance(value, dict):
        return None, f"the value is no dict with the keys {', '.join(names)}"
    outputs = {}
    try:
        for field in signature.outputs:
            if field.name not in value and field.required:
                return None, f"the value lacks the key {field.name}"
            outputs[field.name] = conform(field, value[field.name]) if field.name in value else field.default
    except ParseError as error:
        return None, str(error)
    return outputs, ""


def _shown(wanted: ToolCall, ran: Ran, problem: str) -> Called:
    """The program's run as a call, with what it printed, its value or what was wrong."""
    code = msgspec.json.decode(wanted.arguments)
    parts = [ran.printed.rstrip()] if ran.printed.strip() else []
    if ran.value is not None and not problem:
        parts.append(dumps(ran.value))
    return Called(
        tool=wanted.name,
        arguments=code,
        result="\n".join([*parts, problem] if problem else parts),
        failed=bool(problem),
    )
