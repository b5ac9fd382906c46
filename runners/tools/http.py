"""`http`: a service that speaks JSON, at the one host that the spec names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import quote, urlsplit

import msgspec

from promptc.runners.failures import RowFailed
from promptc.runners.models.transports.connection import CONNECT_SECONDS, proxy_for, trusted_certificates
from promptc.runners.phase import Lane
from promptc.runners.tools.protocol import Function, Opening, ToolFailed
from promptc.runners.tools.recorded import recorded
from promptc.runners.tools.secrets import filled, told
from promptc.spec.errors import Untrusted
from promptc.spec.model import Effects

if TYPE_CHECKING:
    import aiohttp

MOST_BYTES = 1 << 20
"""How long a reply may be."""
_PLACE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


class HttpTool(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A service asked over HTTP. The host is the one in the URL; arguments fill in its path, and redirects are refused.

    Arguments that the URL has no place for are sent as a query with GET, as a JSON object otherwise. The reply is
    JSON, or text. What the service answers with an error is told to the model.
    """

    url: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^https?://[^/{}?#]+",
            description="Where it is asked, with {argument} in the path or query.",
            examples=["https://api.example.org/orders/{number}"],
        ),
    ]
    method: Annotated[
        Literal["get", "post", "put", "patch", "delete"],
        msgspec.Meta(
            description="How it is asked. Everything but get counts as effects: write, unless effects: says otherwise.",
            examples=["get"],
        ),
    ] = "get"
    arguments: Annotated[
        dict[str, dict[str, Any]],
        msgspec.Meta(
            description="What the model gives, as fields with types.",
            examples=[{"number": {"type": "string", "description": "The order's number"}}],
        ),
    ] = {}
    headers: Annotated[
        dict[str, str],
        msgspec.Meta(
            description="Headers that are sent with every request.",
            examples=[{"Authorization": "Bearer ${env:ORDERS_KEY}"}],
        ),
    ] = {}
    result: Annotated[
        Annotated[str, msgspec.Meta(pattern=".")] | None,
        msgspec.Meta(description="The part of the reply that counts, with dots.", examples=["data.status"]),
    ] = None

    @property
    def effects(self) -> Effects:
        """Getting looks something up; everything else may change something."""
        return "read" if self.method == "get" else "write"

    def offered(self, name: str, base: Path) -> tuple[Function, ...]:
        """One function with the declared arguments. Raises ValueError for a place in the URL without an argument."""
        unknown = [place for place in _PLACE.findall(self.url) if place not in self.arguments]
        if unknown:
            raise ValueError(f"the URL has a place {{{unknown[0]}}}, and no argument is called so")
        properties = {
            key: {part: value for part, value in field.items() if part != "default"} | _default(field)
            for key, field in self.arguments.items()
        }
        schema = {
            "type": "object",
            "properties": properties,
            "required": [key for key, field in self.arguments.items() if "default" not in field],
            "additionalProperties": False,
        }
        said = f"Asks {urlsplit(self.url).hostname}."
        return (Function(name=name, description=said, schema=schema, effects=self.effects),)

    def opened(self, opening: Opening) -> AskedService:
        """Ready to ask."""
        return AskedService(self, opening)


class AskedService:
    """An open `http`."""

    def __init__(self, kind: HttpTool, opening: Opening) -> None:
        self._kind = kind
        self._opening = opening
        self._offered = kind.offered(opening.name, opening.base)
        self._session: aiohttp.ClientSession | None = None
        told(kind.headers, opening)

    async def functions(self, lane: Lane) -> tuple[Function, ...]:
        """The one function."""
        return self._offered

    async def call(self, lane: Lane, function: str, arguments: dict[str, Any], mark: tuple[Any, ...]) -> Any:
        """What the service answers."""

        async def work() -> Any:
            return await self._asked(arguments)

        kind = self._kind
        return await recorded(lane, ["http", kind.method, kind.url, kind.result, arguments, *mark], work)

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def _asked(self, arguments: Mapping[str, Any]) -> Any:
        import aiohttp

        if self._opening.offline:
            raise Untrusted(
                f"the tool {self._opening.name}: this call is not recorded", "run once without --offline"
            )
        url, rest = self._filled(arguments)
        sent: dict[str, Any] = {
            "headers": {"User-Agent": "promptc", **filled(self._kind.headers, self._opening)}
        }
        if self._kind.method == "get":
            sent["params"] = {name: _as_parameter(value) for name, value in rest.items()}
        elif rest:
            sent["json"] = rest
        session = self._session or self._open()
        proxy = proxy_for(url, self._opening.environment)
        try:
            async with session.request(
                self._kind.method.upper(), url, proxy=proxy, allow_redirects=False, **sent
            ) as response:
                content = await response.content.read(MOST_BYTES)
                status, moved = response.status, response.headers.get("Location")
        except TimeoutError as error:
            raise ToolFailed(f"it did not answer within {self._opening.timeout:g} s") from error
        except aiohttp.ClientError as error:
            said = self._opening.redactor.clean(str(error) or type(error).__name__)
            raise RowFailed("tool", f"{self._opening.name}: {said}") from error
        return self._read(status, self._opening.redactor.clean(content.decode("utf-8", "replace")), moved)

    def _filled(self, arguments: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """The URL with its places filled in, and the arguments that it has no place for."""
        places = set(_PLACE.findall(self._kind.url))
        url = _PLACE.sub(
            lambda match: quote(_as_parameter(arguments.get(match[1], "")), safe=""), self._kind.url
        )
        return url, {
            name: value for name, value in arguments.items() if name not in places and value is not None
        }

    def _read(self, status: int, text: str, moved: str | None) -> Any:
        name = self._opening.name
        if status in (401, 403):
            hint = "check the tool's headers: and its key"
            raise RowFailed("tool", f"{name}: the service answers {status}: {_short(text)} ({hint})")
        if 300 <= status < 400:
            raise RowFailed("tool", f"{name}: the service moved to {moved}, and redirects are refused")
        if status >= 400:
            raise ToolFailed(f"the service answers {status}: {_short(text)}")
        try:
            value = msgspec.json.decode(text)
        except msgspec.DecodeError:
            value = text
        for part in self._kind.result.split(".") if self._kind.result else ():
            if isinstance(value, dict) and part in value:
                value = value[part]
            elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
                value = value[int(part)]
            else:
                raise ToolFailed(f"the reply has nothing at {self._kind.result}: {_short(text)}")
        return value

    def _open(self) -> aiohttp.ClientSession:
        import aiohttp

        secure = (
            trusted_certificates(self._opening.environment) if self._kind.url.startswith("https:") else True
        )
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=secure),
            timeout=aiohttp.ClientTimeout(
                total=self._opening.timeout, sock_connect=min(CONNECT_SECONDS, self._opening.timeout)
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self._session


def _default(field: Mapping[str, Any]) -> dict[str, Any]:
    return {"default": field["default"]} if field.get("default") is not None else {}


def _as_parameter(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 300 else f"{line[:299]}…"
