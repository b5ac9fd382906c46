"""All language models of a run, by the names that the spec gives them, each with all its layers.

From the outside in: `Cached` answers what is known and shares what is under way, `Redacted` keeps secrets
out of what comes back, `Retrying` asks again, `Limited` lets each attempt wait for its turn, and the
transport sends it. The limiter stands inside the retries so that a request that waits for its next attempt
holds no place, and so that every attempt, not only the first, counts against the user's walls.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from random import Random
from typing import Any

import msgspec

from promptc.runners.attachments import AttachmentRefused, Attachments
from promptc.runners.failures import RowFailed
from promptc.runners.models.cache import Cache
from promptc.runners.models.cached import Cached, InFlight
from promptc.runners.models.limiter import Limited, Limiter
from promptc.runners.models.prices import PriceMap, Pricing, pricing_of
from promptc.runners.models.request import EMBEDDINGS, Completion, Layer, Message, Request, Usage
from promptc.runners.models.retry import Retrying, RetryPolicy
from promptc.runners.models.secrets import Credentials, Redacted, Redactor
from promptc.runners.models.settings import calls_tools, endpoint_of, full_name, request_params, transport_of
from promptc.runners.models.statistics import ModelFigures, Statistics
from promptc.runners.models.transports.registry import Services, local_endpoint, open_transport
from promptc.runners.models.transports.replay import Replay
from promptc.spec.diagnostics import Diagnostic
from promptc.spec.errors import SpecError
from promptc.spec.model import Limits, Model

LOCAL_TRANSPORTS = frozenset({"embedded", "script", "replay"})
"""Transports that open no socket and work offline."""


EMBEDDING_TRANSPORTS = {"direct": "direct_embeddings", "litellm": "litellm_embeddings"}
"""What carries a request for vectors where these carry one for text."""


def nothing_recorded(key: bytes) -> Completion | None:
    """The record of a run that has none."""
    return None


class StackSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the models of a run are opened. None of it changes a reply.

    `concurrency` and `timeout` (seconds per attempt) are for models whose own settings say nothing. `fresh`
    and `max_age` (seconds) concern the cache. `offline` answers from cache and record only; embedded models
    and scripts run. The models named in `recorded_only` do so whatever they are. `base` is the folder of the
    spec's file, `seed` that of the retries' jitter, `attachments` has the files that rows attach.
    """

    concurrency: int = 64
    timeout: float = 120.0
    retry: RetryPolicy = RetryPolicy()
    fresh: bool = False
    max_age: float | None = None
    offline: bool = False
    recorded_only: frozenset[str] = frozenset()
    base: str = "."
    seed: int = 0
    attachments: Attachments = msgspec.field(default_factory=Attachments)


class _Opened(msgspec.Struct, frozen=True):
    """One model with all its layers."""

    model: Model
    endpoint: str
    params: dict[str, Any]
    layer: Layer
    statistics: Statistics
    pricing: Pricing | None
    calls_tools: bool = False


class ModelStack:
    """Answers requests to the models of a run. Made by `open_models`."""

    def __init__(self, opened: Mapping[str, _Opened], shared: _Shared) -> None:
        self._opened = opened
        self._attachments = shared.attachments
        self.redactor = shared.redactor
        self._limiters = tuple(shared.limiters.values())
        self._retrying = tuple(shared.retrying)
        self._replays = tuple(shared.replays)

    @property
    def names(self) -> tuple[str, ...]:
        """The names that requests may be made to."""
        return tuple(self._opened)

    def request(
        self,
        name: str,
        messages: tuple[Message, ...],
        params: Mapping[str, Any] | None = None,
        rollout: int = 0,
    ) -> Request:
        """A request to the model of that name, with its own parameters beneath `params`. Raises KeyError.

        What the messages attach is known by its content from here on; RowFailed where that cannot be had.
        """
        opened = self._opened[name]
        return Request(
            model=opened.model.model,
            messages=self._settled(messages),
            params={**opened.params, **params} if params else opened.params,
            rollout=rollout,
            endpoint=opened.endpoint,
        )

    def _settled(self, messages: tuple[Message, ...]) -> tuple[Message, ...]:
        if not any(message.attachments for message in messages):
            return messages
        try:
            return tuple(
                msgspec.structs.replace(
                    message, attachments=tuple(map(self._attachments.settled, message.attachments))
                )
                if message.attachments
                else message
                for message in messages
            )
        except AttachmentRefused as error:
            raise RowFailed("data", str(error)) from error

    async def complete(self, request: Request, name: str) -> Completion:
        """The reply. Raises CallFailed, and KeyError for a name that there is not."""
        return await self._opened[name].layer.complete(request)

    def pricing(self, name: str) -> Pricing | None:
        """What the model costs; None where nobody knows."""
        return self._opened[name].pricing

    def calls_tools(self, name: str) -> bool:
        """Whether the model can be shown tools in its provider's own way. Raises KeyError."""
        return self._opened[name].calls_tools

    def figures(self) -> dict[str, ModelFigures]:
        """What happened so far, by model name."""
        return {name: opened.statistics.figures() for name, opened in self._opened.items()}

    @property
    def waiting_for(self) -> str:
        """What keeps requests from starting, for a progress line; "" when nothing does."""
        limited = next((limiter.waiting_for for limiter in self._limiters if limiter.waiting_for), "")
        failed = sum(retrying.waiting for retrying in self._retrying)
        return limited or (f"{failed} to be asked again" if failed else "")

    @property
    def missing(self) -> tuple[Request, ...]:
        """The requests that an offline run did not find a reply to."""
        return tuple(request for replay in self._replays for request in replay.missing)

    def stop(self) -> None:
        """Send nothing any more: what waits for its turn, or for its next attempt, is given up. CallAbandoned."""
        for limiter in self._limiters:
            limiter.closed = True

    async def close(self) -> None:
        """Close every connection. The cache belongs to whoever opened it."""
        for opened in self._opened.values():
            await opened.layer.close()


_Account = tuple[str | None, ...]
"""What a provider's limits are tied to: the model, where it is, and whose key is used."""


class Commons(msgspec.Struct, frozen=True):
    """What models of runs beside each other share, so that a provider sees one caller: walls, keys, calls under way."""

    limiters: dict[tuple[_Account, Limits, int], Limiter] = {}
    in_flight: InFlight = {}
    credentials: dict[tuple[object, ...], Credentials] = {}


def open_models(
    models: Mapping[str, Model],
    *,
    environment: Mapping[str, str],
    redactor: Redactor,
    cache: Cache | None = None,
    settings: StackSettings | None = None,
    prices: PriceMap | None = None,
    commons: Commons | None = None,
    recorded: Callable[[bytes], Completion | None] = nothing_recorded,
    embedding: Collection[str] = (),
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> ModelStack:
    """Every model, ready to be asked; no socket is opened and no key is looked for before the first request.

    Names for the same model at the same address with the same key share a limiter. `recorded` finds replies
    by key for the replay transport; `embedding` are the names that are asked for vectors. Stacks that share
    `commons` are used in one event loop, with one redactor. Raises SpecError or DataError for a script that is
    missing or wrong.
    """
    settings = settings or StackSettings()
    commons = commons or Commons()
    shared = _Shared(
        environment=environment,
        redactor=redactor,
        cache=cache,
        settings=settings,
        prices=prices or PriceMap(),
        recorded=recorded,
        embedding=frozenset(embedding),
        random=Random(settings.seed),
        attachments=settings.attachments,
        limiters=_limiters(models, settings.concurrency, commons, clock, sleep),
        clock=clock,
        sleep=sleep,
        in_flight=commons.in_flight,
        credentials=commons.credentials,
    )
    opened = {name: _open(name, model, shared) for name, model in models.items()}
    return ModelStack(opened, shared)


class _Shared(msgspec.Struct, frozen=True, kw_only=True):
    """What the models of one stack share."""

    environment: Mapping[str, str]
    redactor: Redactor
    cache: Cache | None
    settings: StackSettings
    prices: PriceMap
    recorded: Callable[[bytes], Completion | None]
    embedding: frozenset[str]
    random: Random
    attachments: Attachments
    limiters: dict[_Account, Limiter]
    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    in_flight: InFlight
    credentials: dict[tuple[object, ...], Credentials]
    retrying: list[Retrying] = []
    replays: list[Replay] = []


def _account(model: Model) -> _Account:
    return (model.model, model.api_base, model.api_key, model.api_key_command)


def _limiters(
    models: Mapping[str, Model],
    concurrency: int,
    commons: Commons,
    clock: Callable[[], float],
    sleep: Callable[[float], Awaitable[None]],
) -> dict[_Account, Limiter]:
    """A limiter per account, with the tightest of the limits that the spec sets for it."""
    tightest: dict[_Account, Limits] = {}
    for model in models.values():
        known = tightest.get(_account(model), Limits())
        tightest[_account(model)] = Limits(
            rpm=_least(known.rpm, model.limits.rpm),
            tpm=_least(known.tpm, model.limits.tpm),
            concurrency=_least(known.concurrency, model.limits.concurrency),
        )
    found = {}
    for account, limits in tightest.items():
        place = (account, limits, concurrency)
        if place not in commons.limiters:
            commons.limiters[place] = Limiter(concurrency, limits, clock=clock, sleep=sleep)
        found[account] = commons.limiters[place]
    return found


def _least(one: int | None, other: int | None) -> int | None:
    return min((limit for limit in (one, other) if limit is not None), default=None)


def _open(name: str, model: Model, shared: _Shared) -> _Opened:
    """One model with all its layers."""
    settings = shared.settings
    kind: str = transport_of(model)
    if name in settings.recorded_only or (settings.offline and kind not in LOCAL_TRANSPORTS):
        kind = "replay"
    statistics = Statistics()
    pricing = pricing_of(model, shared.prices)
    named = model
    if kind == "litellm":
        # The provider of a bare name decides which key is used, and so which secret must not leak.
        named = msgspec.structs.replace(model, model=full_name(model.model, shared.prices))
    limiter = shared.limiters[_account(model)]
    services = Services(
        environment=shared.environment,
        credentials=_credentials(named, shared),
        cost=pricing.cost if pricing is not None else _unknown_cost,
        quota=limiter.quota,
        recorded=shared.recorded,
        statistics=statistics,
        timeout=model.timeout or settings.timeout,
        base=settings.base,
        attachments=shared.attachments,
    )
    try:
        endpoint = local_endpoint(model, settings.base) or endpoint_of(model, shared.environment)
        if name in shared.embedding:
            kind, endpoint = EMBEDDING_TRANSPORTS.get(kind, kind), f"{EMBEDDINGS}{endpoint}"
        layer = open_transport(kind, named, services)
    except OSError as error:
        raise _unreadable_script(name, model, error) from None
    if isinstance(layer, Replay):
        shared.replays.append(layer)
    else:
        limited = Limited(layer, limiter, statistics, clock=shared.clock)
        layer = Retrying(limited, settings.retry, statistics, random=shared.random, sleep=shared.sleep)
        shared.retrying.append(layer)
    layer = Cached(
        Redacted(layer, shared.redactor),
        shared.cache,
        statistics,
        in_flight=shared.in_flight,
        fresh=settings.fresh,
        max_age=settings.max_age,
    )
    natively = calls_tools(model, shared.prices, settings.base)
    return _Opened(model, endpoint, request_params(model), layer, statistics, pricing, natively)


def _credentials(model: Model, shared: _Shared) -> Credentials:
    """One per key, so that a key command runs once whatever the number of names."""
    identity = (model.model, model.api_key, model.api_key_command, tuple(sorted(model.headers.items())))
    if identity not in shared.credentials:
        shared.credentials[identity] = Credentials(model, shared.environment, shared.redactor)
    return shared.credentials[identity]


def _unknown_cost(usage: Usage) -> float | None:
    return None


def _unreadable_script(name: str, model: Model, error: OSError) -> SpecError:
    return SpecError(
        (
            Diagnostic(
                message=f"models.{name}.params.script: cannot read {error.filename}: {error.strerror}",
                position=model.position,
                path=f"models.{name}.params.script",
                hint="the path is relative to the spec's folder",
            ),
        )
    )
