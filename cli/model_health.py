"""Whether a spec's models can be used: what shows without a network, and what one tiny question shows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence

import msgspec

from promptc.cli.diagnosis import without_password
from promptc.runners.metrics.registry import ASKING
from promptc.runners.models.prices import PriceMap, Pricing, pricing_of
from promptc.runners.models.request import CallFailed, Message
from promptc.runners.models.retry import RetryPolicy
from promptc.runners.models.secrets import Redactor
from promptc.runners.models.settings import OPENAI_BASE, base_url, key_variables, provider_of, transport_of
from promptc.runners.models.stack import LOCAL_TRANSPORTS, ModelStack, StackSettings, open_models
from promptc.runners.models.transports.connection import proxy_for
from promptc.runners.models.transports.litellm_transport import OWN_CREDENTIALS, load_litellm
from promptc.runners.models.transports.script import read_script, script_path
from promptc.spec.environment import references, substitute
from promptc.spec.errors import DataError
from promptc.spec.model import Model, Price, Spec

QUESTION = "Answer with the one word: ready"

WITHOUT_KEY = frozenset(
    {
        "custom_openai", "docker_model_runner", "hosted_vllm", "lemonade", "llama_cpp", "llamafile",
        "lm_studio", "ollama", "ollama_chat", "openai_like", "sglang", "vllm",
    }
)  # fmt: skip
"""Prefixes of servers that people run themselves, mostly without a key."""


class Call(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What came of the question: a reply after so many seconds, or why there is none."""

    seconds: float
    served_model: str = ""
    reply: str = ""
    error: str = ""
    hint: str = ""


class ModelHealth(msgspec.Struct, frozen=True, kw_only=True):
    """One model of a spec: how it is reached, and what is known without asking it.

    `key` says where its key comes from, never what it is. `price` is in US dollars per million tokens; None
    where it is not known. `problem` is why it cannot be used, "" when nothing speaks against it; `hint` what
    to do then.
    """

    name: str
    model: str
    transport: str
    address: str
    key: str
    price: Price | None
    proxy: str = ""
    notes: tuple[str, ...] = ()
    problem: str = ""
    hint: str = ""
    call: Call | None = None

    @property
    def usable(self) -> bool:
        """False when it has a problem, or did not answer."""
        return not self.problem and (self.call is None or not self.call.error)


class KeyState(msgspec.Struct, frozen=True):
    """Where a model's key comes from; `problem` when it would have to be there and is not."""

    text: str
    problem: str = ""
    hint: str = ""
    notes: tuple[str, ...] = ()


def used_models(spec: Spec) -> dict[str, Model]:
    """The models of a spec by name: those under `models:`, and those that steps and judges name."""
    named = [
        *(step.model for step in spec.steps),
        *(m.model for m in spec.metrics if m.plugin.name in ASKING),
    ]
    models = {name: spec.model_named(name) for name in dict.fromkeys([*spec.models, *named])}
    known = {(model.model, model.api_base) for model in spec.models.values()}
    return {n: m for n, m in models.items() if n in spec.models or (m.model, m.api_base) not in known}


def examine(
    name: str, model: Model, environment: Mapping[str, str], prices: PriceMap, base: str
) -> ModelHealth:
    """What is known about a model without a socket and without running anything."""
    transport = transport_of(model)
    address = _address(model, environment)
    key = key_state(model, environment, prices)
    pricing = pricing_of(model, prices)
    notes = list(key.notes)
    if pricing is None:
        notes.append("price unknown, so dollars are not counted: set price: {input: …, output: …}")
    script = _script_problem(model, base) if transport == "script" else ""
    return ModelHealth(
        name=name,
        model=model.model,
        transport=transport,
        address=address,
        key=key.text,
        price=_first_price(pricing),
        proxy=without_password(proxy_for(address, environment) or "") if address.startswith("http") else "",
        notes=tuple(notes),
        problem=script or key.problem,
        hint="the path is relative to the spec's folder" if script else key.hint,
    )


def key_state(model: Model, environment: Mapping[str, str], prices: PriceMap) -> KeyState:
    """Where the key comes from, and whether it is there."""
    if transport_of(model) in LOCAL_TRANSPORTS:
        return KeyState("none needed")
    for name, value in model.headers.items():
        if missing := _unset(value, environment):
            return _missing(missing, f"the header {name} needs ")
    if model.api_key_command:
        return KeyState("from api_key_command")
    if model.api_key:
        named = references(model.api_key)
        if missing := _unset(model.api_key, environment):
            return _missing(missing)
        return KeyState(f"{' and '.join(named)} is set" if named else "as the spec has it")
    if any(header.lower() == "authorization" for header in model.headers):
        return KeyState("in the header Authorization")
    return _provider_key(model, environment, prices)


def _provider_key(model: Model, environment: Mapping[str, str], prices: PriceMap) -> KeyState:
    """The provider's own variables, where the spec says nothing about a key."""
    provider = provider_of(model.model) or _provider_by_price(model.model, prices)
    variables = key_variables(f"{provider}/") if provider else ()
    held = next((name for name in variables if environment.get(name)), "")
    if held:
        return KeyState(f"{held} is set")
    if transport_of(model) == "direct" and base_url(model, environment):
        unset = f" ({variables[0]} is not set)" if variables else ""
        return KeyState(f"none{unset}", notes=("a server that wants a key needs api_key: ${env:NAME}",))
    if provider in OWN_CREDENTIALS:
        return KeyState("found by the provider's own library: variables, a profile, or the machine's role")
    if provider in WITHOUT_KEY:
        return KeyState("none needed", notes=("set api_base to where it is served",))
    if not variables:
        return KeyState("unknown", notes=("write provider/model, so that its key can be found",))
    return _missing(variables[0])


def _missing(variable: str, who: str = "") -> KeyState:
    hint = f"set {variable}, e.g. in a file for --env-file"
    problem = f"{who}{variable}, which is not set" if who else f"{variable} is not set"
    return KeyState(f"{variable} is not set", problem=problem, hint=hint)


def _unset(text: str, environment: Mapping[str, str]) -> str:
    """The first variable that a text needs and that is not set; "" when all are."""
    try:
        filled = substitute(text, environment)
    except KeyError as error:
        return str(error.args[0])
    return next(iter(references(text)), "") if references(text) and not filled.strip() else ""


def _provider_by_price(model: str, prices: PriceMap) -> str:
    """The provider of a bare name such as `gpt-4.1`, as litellm's table has it."""
    entry = prices.entry(model) or {}
    return str(entry.get("litellm_provider", ""))


def _address(model: Model, environment: Mapping[str, str]) -> str:
    transport = transport_of(model)
    if transport in LOCAL_TRANSPORTS:
        return "recorded replies" if transport == "replay" else "inside promptc"
    if transport == "direct":
        return base_url(model, environment) or OPENAI_BASE
    if base := base_url(model, environment):
        return base
    provider = provider_of(model.model)
    return f"where litellm expects {provider}" if provider in WITHOUT_KEY else "the provider's own"


def _first_price(pricing: Pricing | None) -> Price | None:
    return pricing.price() if pricing is not None else None


def _script_problem(model: Model, base: str) -> str:
    """Why a script cannot be used."""
    try:
        read_script(script_path(model, base))
    except OSError as error:
        return f"its script {error.filename} cannot be read: {error.strerror}"
    except DataError as error:
        return error.message
    return ""


async def ask_all(
    models: Mapping[str, Model],
    healths: Sequence[ModelHealth],
    environment: Mapping[str, str],
    *,
    base: str,
    timeout: float,
) -> tuple[ModelHealth, ...]:
    """Ask each model that can be asked one tiny question, all at once. `timeout` is in seconds.

    Not asked are models with a problem, scripts and recorded replies, which know other questions, and the
    model for embeddings.
    """
    asked = [health for health in healths if not health.problem and can_be_asked(health)]
    settings = StackSettings(
        timeout=timeout, retry=RetryPolicy(retries=1, patience=timeout, timeouts=0), fresh=True, base=base
    )
    prices = PriceMap()
    stacks: dict[str, ModelStack] = {}
    try:
        for health in asked:
            model = models[health.name]
            patient = msgspec.structs.replace(model, timeout=min(model.timeout or timeout, timeout))
            stacks[health.name] = open_models(
                {health.name: patient},
                environment=environment,
                redactor=Redactor(),
                settings=settings,
                prices=prices,
            )
        if any(health.transport == "litellm" for health in asked):
            # Its import takes seconds, which are not the models' own.
            load_litellm()
        calls = await asyncio.gather(*(_ask(stack, name) for name, stack in stacks.items()))
    finally:
        # Some libraries share connections between models: none is closed while another may still be asked.
        for stack in stacks.values():
            await stack.close()
    found = dict(zip(stacks, calls, strict=True))
    return tuple(msgspec.structs.replace(health, call=found.get(health.name)) for health in healths)


def can_be_asked(health: ModelHealth) -> bool:
    """False for what knows no such question."""
    return health.transport not in ("script", "replay") and health.name != "embed"


async def _ask(stack: ModelStack, name: str) -> Call:
    request = stack.request(name, (Message("user", QUESTION),))
    began = time.perf_counter()
    try:
        completion = await stack.complete(request, name)
    except CallFailed as failure:
        return Call(seconds=time.perf_counter() - began, error=failure.message, hint=failure.hint)
    return Call(
        seconds=time.perf_counter() - began, served_model=completion.served_model, reply=completion.text[:200]
    )
