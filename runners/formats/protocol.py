"""What every prompt format does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol, runtime_checkable

from promptc.runners.candidate import Demo
from promptc.runners.models.request import Completion, Message
from promptc.spec.fields import Signature


class ParseError(Exception):
    """A reply that does not hold the outputs. The sentence says exactly what is wrong, for the model to mend."""


class Format(Protocol):
    """How a signature becomes messages, and how a reply becomes values.

    Stable text first: `prefix` is the same for every row of a candidate, so providers' prompt caches hit, and the
    caller renders and hashes it once. `row` holds what differs.
    """

    version: ClassVar[str]

    def prefix(self, signature: Signature, demos: Sequence[Demo]) -> tuple[Message, ...]:
        """Instructions, fields and demos. A demo that lacks an output is left out, never filled with a placeholder."""
        ...

    def row(self, signature: Signature, inputs: Mapping[str, Any]) -> tuple[Message, ...]:
        """The row's own messages: its input values, last."""
        ...

    def params(self, signature: Signature) -> dict[str, Any]:
        """Request parameters that the format wants, such as a response format; empty where it wants none."""
        ...

    def parse(self, signature: Signature, completion: Completion) -> dict[str, Any]:
        """The output values by name, each valid against its field's schema, or ParseError."""
        ...

    def reask(self, signature: Signature, error: ParseError) -> str:
        """The user message that follows a reply which did not parse: the exact error and what to answer instead."""
        ...


@runtime_checkable
class TwoPart(Protocol):
    """A format whose replies another model has to read: what `parse` gives are the inputs of a second call."""

    def second(self, signature: Signature) -> tuple[Signature, Format]:
        """What that model is asked, and in which format; its outputs are those of the signature that it reads."""
        ...
