"""The direct transport: a thin client of the chat-completions protocol."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from promptc.runners.models.request import CallFailed, Completion, Request
from promptc.runners.models.settings import OPENAI_BASE, base_url, wire_name
from promptc.runners.models.transports.connection import Answer, Connection
from promptc.runners.models.transports.failures import (
    Failing,
    error_object,
    failure,
    one_line,
    read_error,
    read_quota,
)
from promptc.runners.models.transports.parameters import Parameters, seeded
from promptc.runners.models.transports.registry import Services
from promptc.runners.models.transports.reply import ChatReply, completion_of
from promptc.runners.models.transports.wire import wire_messages
from promptc.spec.model import Model


class Direct:
    """Asks one model at one address, over kept-alive connections."""

    path: ClassVar[str] = "chat/completions"
    """Where requests go below the address; what is asked for at another path, a subclass reads."""
    speaks: ClassVar[str] = "chat completions"

    def __init__(self, model: Model, services: Services) -> None:
        base = base_url(model, services.environment) or OPENAI_BASE
        address = base.removesuffix(f"/{self.path}")
        self._services = services
        self._name = wire_name(model.model)
        self._who = Failing(
            model=model.model, address=address, sent_name=self._name, key_hint=services.credentials.hint
        )
        self._connection = Connection(
            f"{address}/{self.path}", self._who, services.environment, services.timeout
        )
        self._parameters = Parameters(model, services.statistics)
        self._headers: dict[str, str] | None = None
        self._key = ""
        self._decoder = msgspec.json.Decoder(ChatReply)

    async def complete(self, request: Request) -> Completion:
        """Ask once; again only where the request itself was at fault and can be put right."""
        params = seeded(request.params, request.rollout)
        asked = await self._asked(request)
        while True:
            headers = self._headers or await self._authorized()
            sent = self._parameters.adapted(params)
            body = {"model": self._name, **asked, **sent}
            answer = await self._connection.post(msgspec.json.encode(body), headers)
            if answer.status == 200:
                return self._read(answer)
            error = read_error(answer.content)
            if answer.status == 401 and await self._services.credentials.renewed(self._key):
                self._headers = None
            elif not self._parameters.learn(answer.status, error, sent):
                refused = self._parameters.refused(answer.status, error, sent)
                raise refused or failure(answer.status, error, answer.headers, self._who)

    async def close(self) -> None:
        """Close the connections."""
        await self._connection.close()

    async def _asked(self, request: Request) -> dict[str, Any]:
        """What the body says besides the model's name and parameters."""
        return {"messages": await wire_messages(request.messages, self._services.attachments)}

    def _completion(self, answer: Answer) -> Completion | None:
        """The completion in a reply; None where it has none. Raises CallFailed, msgspec.DecodeError."""
        reply = self._decoder.decode(answer.content)
        if reply.error:
            said = error_object({"error": reply.error})
            raise failure(int(said.code) if said.code.isdigit() else 502, said, answer.headers, self._who)
        return completion_of(reply, self._services.cost)

    async def _authorized(self) -> dict[str, str]:
        """The headers of every request. An Authorization that the spec sets stands in place of the key."""
        headers = self._services.credentials.headers()
        if not any(name.lower() == "authorization" for name in headers):
            self._key = await self._services.credentials.key()
            if self._key:
                headers["Authorization"] = f"Bearer {self._key}"
        self._headers = headers
        return headers

    def _read(self, answer: Answer) -> Completion:
        quota = read_quota(answer.headers)
        if quota is not None:
            self._services.quota(quota)
        try:
            completion = self._completion(answer)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._unreadable(answer, error) from None
        if completion is None:
            raise CallFailed(f"{self._who.model}: the reply has no message", retryable=True, status=200)
        return completion

    def _unreadable(self, answer: Answer, error: Exception) -> CallFailed:
        """A reply with status 200 that is none: cut off (worth a retry), or not an API at all."""
        model = self._who.model
        if not answer.content:
            return CallFailed(f"{model}: the reply is empty", retryable=True, status=200)
        if answer.content.lstrip().startswith(b"<"):
            said = read_error(answer.content).message
            hint = f"is {self._who.address} the address of the API? correct api_base"
            return CallFailed(f"{model}: the reply is {said}", fatal=True, status=200, hint=hint)
        if isinstance(error, msgspec.ValidationError):
            hint = f"does {self._who.address} speak {self.speaks}? if not, set transport: litellm"
            message = f"{model}: the reply is none of {self.speaks}: {one_line(str(error))}"
            return CallFailed(message, status=200, hint=hint)
        return CallFailed(f"{model}: the reply is cut off or not JSON", retryable=True, status=200)
