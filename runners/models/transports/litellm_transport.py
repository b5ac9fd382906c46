"""The litellm transport: every hosted provider. Nothing else imports litellm, and this only when asked."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import logging
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

from promptc.runners.models.request import CallFailed, Completion, Request, Usage
from promptc.runners.models.settings import provider_of
from promptc.runners.models.transports.failures import (
    ErrorBody,
    Failing,
    error_object,
    failure,
    one_line,
    read_error,
    read_quota,
)
from promptc.runners.models.transports.parameters import Parameters, seeded
from promptc.runners.models.transports.registry import Services
from promptc.runners.models.transports.reply import finish_reason, read_tool_calls, split_reasoning
from promptc.runners.models.transports.wire import wire_messages
from promptc.spec.model import Model

OWN_CREDENTIALS = frozenset({"bedrock", "sagemaker", "vertex_ai"})
"""Providers whose library finds its credentials itself: several variables, a profile, a metadata server."""

_NO_KEY = re.compile(
    r"missing credentials|api[_ ]key.*(must be set|not set|no key)|no key is set", re.IGNORECASE
)
_PREFIX = re.compile(r"^((litellm\.\w+|\w+Error): |\w+Exception - )*")


def load_litellm() -> ModuleType:
    """litellm with its local price map and without telemetry, chatter, retries and requests of its own."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    os.environ.setdefault("LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS", "True")
    with warnings.catch_warnings():
        # Its classes are completed when the first of them is made, and pydantic warns about one of them.
        warnings.filterwarnings("ignore", message="Item '.*' on TypedDict class", category=UserWarning)
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        import litellm

        litellm.ModelResponse()
    litellm.suppress_debug_info = True
    litellm.telemetry = False
    logging.getLogger("LiteLLM").setLevel(logging.CRITICAL)
    return litellm


class LitellmTransport:
    """Asks one model through litellm."""

    def __init__(self, model: Model, services: Services) -> None:
        self._model = model
        self._services = services
        self._parameters = Parameters(model, services.statistics)
        self._who = Failing(
            model=model.model,
            address=model.api_base or "",
            sent_name=model.model,
            key_hint=services.credentials.hint,
        )
        self._litellm: ModuleType | None = None
        self._options: dict[str, Any] | None = None
        self._key = ""
        self._reached = False

    async def complete(self, request: Request) -> Completion:
        """Ask once; again only where the request itself was at fault and can be put right."""
        litellm = self._litellm or self._open()
        from openai import OpenAIError

        params = seeded(request.params, request.rollout)
        asked = await self._asked(request)
        while True:
            options = self._options or await self._authorized()
            sent = self._parameters.adapted(params)
            try:
                async with asyncio.timeout(self._services.timeout):
                    reply = await self._sent(litellm, {**asked, **sent, **options})
            except TimeoutError:
                raise self._timed_out() from None
            except OpenAIError as error:
                if not await self._mended(error, sent):
                    raise self._translated(error, sent) from None
                continue
            self._reached = True
            return self._read(reply)

    async def close(self) -> None:
        """Close litellm's HTTP clients, which it keeps for the whole process."""
        if self._litellm is not None:
            await self._litellm.close_litellm_async_clients()
            self._litellm.in_memory_llm_clients_cache.flush_cache()

    async def _asked(self, request: Request) -> dict[str, Any]:
        """What a call says besides the model's name and parameters."""
        wired = await wire_messages(request.messages, self._services.attachments)
        return {
            "messages": [m if isinstance(m, dict) else {"role": m.role, "content": m.content} for m in wired]
        }

    async def _sent(self, litellm: ModuleType, options: dict[str, Any]) -> Any:
        """litellm's reply to one call."""
        return await litellm.acompletion(**options)

    def _open(self) -> ModuleType:
        self._litellm = load_litellm()
        supported = self._litellm.get_supported_openai_params(model=self._model.model)
        if supported is not None and "seed" not in supported:
            self._parameters.drop("seed")
        return self._litellm

    async def _authorized(self) -> dict[str, Any]:
        """What every call says besides messages and parameters."""
        credentials = self._services.credentials
        options: dict[str, Any] = {
            "model": self._model.model,
            "timeout": self._services.timeout,
            "num_retries": 0,
            "max_retries": 0,
            "drop_params": self._model.on_unsupported == "drop",
        }
        if self._model.api_base:
            options["api_base"] = self._model.api_base
        if headers := credentials.headers():
            options["extra_headers"] = headers
        if provider_of(self._model.model) not in OWN_CREDENTIALS:
            self._key = await credentials.key()
            if self._key:
                options["api_key"] = self._key
        self._options = options
        return options

    async def _mended(self, error: Exception, sent: dict[str, Any]) -> bool:
        """Whether the request was at fault and has been put right."""
        status = _status(error)
        if status == 401 and await self._services.credentials.renewed(self._key):
            self._options = None
            return True
        return self._parameters.learn(status, _error_body(error), sent)

    def _read(self, reply: Any) -> Completion:
        hidden: dict[str, Any] = reply._hidden_params
        quota = read_quota(_plain_headers(hidden.get("additional_headers") or {}))
        if quota is not None:
            self._services.quota(quota)
        if not reply.choices:
            raise CallFailed(f"{self._who.model}: the reply has no message", retryable=True, status=200)
        choice = reply.choices[0]
        text, thoughts = split_reasoning(choice.message.content or "")
        finish = finish_reason(choice.finish_reason)
        refusal = (getattr(choice.message, "provider_specific_fields", None) or {}).get("refusal")
        if refusal and not text:
            text, finish = refusal, "refused"
        usage = _usage(getattr(reply, "usage", None))
        return Completion(
            text=text,
            finish_reason=finish,
            usage=usage,
            cost=self._cost(usage, hidden.get("response_cost")),
            reasoning=getattr(choice.message, "reasoning_content", None) or thoughts,
            served_model=reply.model or "",
            fingerprint=getattr(reply, "system_fingerprint", None) or "",
            tool_calls=read_tool_calls(getattr(choice.message, "tool_calls", None)),
        )

    def _cost(self, usage: Usage, counted: float | None) -> float | None:
        """The spec's price if it has one; else what litellm counted, cache writes included."""
        if self._model.price is None and isinstance(counted, float):
            return counted
        return self._services.cost(usage)

    def _timed_out(self) -> CallFailed:
        return CallFailed(
            f"{self._who.model}: no reply within {self._services.timeout:g} s",
            kind="timeout",
            retryable=True,
            hint="a slow model needs a longer timeout",
        )

    def _translated(self, error: Exception, sent: dict[str, Any]) -> CallFailed:
        """What litellm's exception means."""
        assert self._litellm is not None
        raised = self._litellm.exceptions
        said, status, model = _error_body(error), _status(error), self._who.model
        if isinstance(error, raised.Timeout):
            return self._timed_out()
        if isinstance(error, raised.ContextWindowExceededError):
            return CallFailed(f"{model}: {said.message}", kind="context", status=status)
        if isinstance(error, raised.ContentPolicyViolationError | raised.RejectedRequestError):
            return CallFailed(f"{model}: {said.message}", kind="refused", status=status)
        if isinstance(error, raised.AuthenticationError) or _NO_KEY.search(said.message):
            # Without a key the provider's library speaks of its own arguments, which no user of a spec has.
            text = "there is no key" if self._who.key_hint.startswith("set ") else said.message
            return CallFailed(f"{model}: {text}", fatal=True, status=401, hint=self._who.key_hint)
        if (unreachable := self._unreachable(error)) is not None:
            return unreachable
        if isinstance(error, raised.BadRequestError) and "LLM Provider NOT provided" in said.message:
            return CallFailed(f"{model}: litellm does not know this provider", fatal=True, status=status)
        refused = self._parameters.refused(status, said, sent)
        return refused or failure(
            status, said, getattr(error, "litellm_response_headers", None) or {}, self._who
        )

    def _unreachable(self, error: Exception) -> CallFailed | None:
        """A failure of the network, which litellm reports as an error 500 of the server."""
        import httpx

        causes = list(_causes(error))
        if not any(isinstance(cause, httpx.TransportError) for cause in causes):
            return None
        if any(isinstance(cause, httpx.TimeoutException) for cause in causes):
            return self._timed_out()
        found = next((c for c in causes if isinstance(c, OSError) and c.errno), None)
        why = (
            os.strerror(found.errno).lower() if found and found.errno and found.errno > 0 else "no such host"
        )
        where = self._who.address or provider_of(self._who.model)
        if any("connect" in type(cause).__name__.lower() for cause in causes) and found is not None:
            return CallFailed(
                f"{self._who.model}: cannot reach {where}: {why}",
                retryable=self._reached,
                fatal=True,
                hint="check the network, HTTPS_PROXY and api_base",
            )
        why = one_line(str(causes[-1]) or type(causes[-1]).__name__)
        return CallFailed(f"{self._who.model}: the connection broke ({why})", retryable=True)


def _causes(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__


def _status(error: Exception) -> int:
    status = getattr(error, "status_code", None)
    return status if isinstance(status, int) else 500


def _error_body(error: Exception) -> ErrorBody:
    """The provider's own error object where litellm kept it, else what it said without litellm's prefixes."""
    body = getattr(error, "body", None)
    if isinstance(body, Mapping):
        return error_object(dict(body))
    said = _PREFIX.sub("", str(error), count=1).strip()
    if re.fullmatch(r"b(['\"]).*\1", said):
        # Some providers' bodies come as the text of a bytes literal.
        with contextlib.suppress(ValueError, SyntaxError):
            return read_error(ast.literal_eval(said))
    return read_error(said.encode())


def _plain_headers(headers: Mapping[str, Any]) -> dict[str, str]:
    return {name.removeprefix("llm_provider-"): str(value) for name, value in headers.items()}


def _usage(usage: Any) -> Usage:
    if usage is None:
        return Usage()
    details = getattr(usage, "prompt_tokens_details", None)
    cached = getattr(details, "cached_tokens", None) or 0
    read = usage.prompt_tokens or 0
    return Usage(read, usage.completion_tokens or 0, min(cached, read))
