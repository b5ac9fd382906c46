"""`retriever`: passages out of any retriever of the spec."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar

import msgspec

from promptc.runners.phase import Lane
from promptc.runners.tools.protocol import Function, Opening
from promptc.spec.model import Effects


class RetrieverTool(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A retriever that the model searches with words of its own; it gets back the passages with their ids."""

    effects: ClassVar[Effects] = "read"

    name: Annotated[
        str, msgspec.Meta(description="The retriever, a name under retrievers:.", examples=["handbook"])
    ]
    k: Annotated[
        Annotated[int, msgspec.Meta(ge=1)] | None,
        msgspec.Meta(description="How many passages; the retriever's own number without it.", examples=[3]),
    ] = None

    def offered(self, name: str, base: Path) -> tuple[Function, ...]:
        """One function with one argument, the query."""
        schema = {
            "type": "object",
            "properties": {"query": {"type": "string", "description": "What to look for"}},
            "required": ["query"],
            "additionalProperties": False,
        }
        description = f"Finds the passages of {self.name.replace('_', ' ')} that fit a query best."
        return (Function(name=name, description=description, schema=schema),)

    def opened(self, opening: Opening) -> Searching:
        """Ready to search."""
        return Searching(self, self.offered(opening.name, opening.base))


class Searching:
    """An open `retriever`; the retriever itself records what it asks of the outside."""

    def __init__(self, kind: RetrieverTool, offered: tuple[Function, ...]) -> None:
        self._kind = kind
        self._offered = offered

    async def functions(self, lane: Lane) -> tuple[Function, ...]:
        """The one function."""
        return self._offered

    async def call(self, lane: Lane, function: str, arguments: dict[str, Any], mark: tuple[Any, ...]) -> Any:
        """The passages, best first, as `{id, text}`."""
        [found] = await lane.retrieve(self._kind.name, [arguments["query"]], self._kind.k, None)
        return [{"id": hit["id"], "text": hit["text"]} for hit in found]

    async def close(self) -> None:
        """The retrievers belong to whoever opened them."""
