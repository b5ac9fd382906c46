"""JSON over HTTP: one address that the spec names, without redirects to another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from promptc.runners.models.request import CallFailed
from promptc.runners.models.transports.connection import Connection
from promptc.runners.models.transports.failures import Failing, failure, one_line, read_error
from promptc.runners.retrievers.protocol import Opening
from promptc.runners.retrievers.remote import filled_in

Url = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^https?://",
        description="Where it is asked; nothing else is.",
        examples=["http://localhost:8893/api/search"],
    ),
]
Headers = Annotated[
    dict[str, str],
    msgspec.Meta(
        description="Headers that are sent with every request.",
        examples=[{"Authorization": "Bearer ${env:SEARCH_KEY}"}],
    ),
]
Method = Literal["post", "get"]
MethodOption = Annotated[
    Method, msgspec.Meta(description="How it is asked: JSON in the body, or parameters.", examples=["get"])
]


class JsonService:
    """Answers JSON with JSON at one address."""

    def __init__(self, opening: Opening, url: str, headers: Mapping[str, str], method: Method) -> None:
        self._opening = opening
        self._written = headers
        self._who = Failing(
            model=f"retriever {opening.name}",
            address=url,
            key_hint="check the key and the headers of the retriever",
            setting="url",
        )
        self._connection = Connection(url, self._who, opening.environment, opening.timeout)
        self._method = method
        self._headers: dict[str, str] | None = None

    async def ask(self, payload: Mapping[str, Any]) -> Any:
        """The reply. Raises CallFailed."""
        if self._headers is None:
            self._headers = filled_in(self._written, self._opening)
        if self._method == "post":
            answer = await self._connection.post(msgspec.json.encode(payload), self._headers)
        else:
            query = {name: _as_parameter(value) for name, value in payload.items()}
            answer = await self._connection.get(query, self._headers)
        if answer.status != 200:
            raise failure(answer.status, read_error(answer.content), answer.headers, self._who)
        try:
            return msgspec.json.decode(answer.content)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            said = one_line(answer.content[:200].decode(errors="replace"))
            raise CallFailed(f"{self._who.model}: the reply is not JSON: {said}", status=200) from error

    async def close(self) -> None:
        """Close the connections."""
        await self._connection.close()


def _as_parameter(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
