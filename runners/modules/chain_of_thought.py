"""`chain_of_thought`: the model reasons in a field of its own before it answers.

Source: Wei et al., "Chain-of-Thought Prompting Elicits Reasoning in Large Language Models", 2022, section 2, in the
zero-shot form that asks for the reasoning instead of showing it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from promptc.runners.modules.protocol import Call, free_name
from promptc.spec.fields import Field, Signature
from promptc.spec.media import REASONING


class ChainOfThought(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Reason step by step in a field before the outputs, then answer; the reasoning is kept in the trace.

    Where a reply leaves the field empty and the provider hands out the model's own reasoning, that is taken. A step
    that has a field of this name already gets one with a number behind it.
    """

    field: Annotated[
        str,
        msgspec.Meta(
            pattern="^[A-Za-z_][A-Za-z0-9_]*$",
            description="Name of the field that holds the reasoning.",
            examples=["reasoning", "analysis"],
        ),
    ] = "reasoning"
    description: Annotated[
        str,
        msgspec.Meta(
            description="What the reasoning field should hold; an optimizer may change it.",
            examples=["Think step by step."],
        ),
    ] = "Think step by step before you answer."

    def predictors(self, signature: Signature) -> dict[str, Signature]:
        """The step's signature with the reasoning as its first output.

        It has a default: labelled demos, which come without reasoning, are rendered without it.
        """
        taken = (field.name for field in (*signature.inputs, *signature.outputs))
        reasoning = Field(
            name=free_name(self.field, taken),
            schema={"type": "string", "format": REASONING},
            description=self.description,
            default="",
        )
        return {"": msgspec.structs.replace(signature, outputs=(reasoning, *signature.outputs))}

    def calls(self) -> tuple[int, int]:
        """Exactly one."""
        return (1, 1)

    async def run(self, call: Call, signature: Signature, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The outputs without the reasoning, which stays in the trace."""
        outputs = await call.predict("", inputs)
        return {field.name: outputs[field.name] for field in signature.outputs}
