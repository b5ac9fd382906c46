"""Which transport carries a model's requests, and what a transport is given."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Protocol

import msgspec

from promptc.runners.attachments import Attachments
from promptc.runners.models.limiter import Quota
from promptc.runners.models.request import Completion, Layer, Usage
from promptc.runners.models.secrets import Credentials
from promptc.runners.models.statistics import Statistics
from promptc.spec.model import Model

TRANSPORTS: Mapping[str, str] = {
    "litellm": "promptc.runners.models.transports.litellm_transport:LitellmTransport",
    "direct": "promptc.runners.models.transports.direct:Direct",
    "direct_embeddings": "promptc.runners.models.transports.embeddings:DirectEmbeddings",
    "litellm_embeddings": "promptc.runners.models.transports.embeddings:LitellmEmbeddings",
    "embedded": "promptc.runners.models.transports.registry:embedded",
    "script": "promptc.runners.models.transports.script:Script",
    "replay": "promptc.runners.models.transports.replay:Replay",
}


class Services(msgspec.Struct, frozen=True, kw_only=True):
    """What a transport may use. `timeout` is seconds for one attempt; `base` the folder of the spec's file.

    `cost` prices a usage (None: unknown), `quota` hears what a provider's headers say is left, `recorded`
    finds the reply to a request's key, `attachments` has what goes with messages.
    """

    environment: Mapping[str, str]
    credentials: Credentials
    cost: Callable[[Usage], float | None]
    quota: Callable[[Quota], None]
    recorded: Callable[[bytes], Completion | None]
    statistics: Statistics
    timeout: float
    base: str
    attachments: Attachments = msgspec.field(default_factory=Attachments)


class OpenTransport(Protocol):
    """How every transport is made."""

    def __call__(self, model: Model, services: Services) -> Layer:
        """A transport for this model; opens nothing yet."""
        ...


def open_transport(name: str, model: Model, services: Services) -> Layer:
    """The transport of that name. KeyError when there is none: `settings.diagnose` says so before."""
    module, _, attribute = TRANSPORTS[name].partition(":")
    factory: OpenTransport = getattr(import_module(module), attribute)
    return factory(model, services)


def local_endpoint(model: Model, base: str) -> str:
    """What stands for a model's own content in a request's key: the script, or promptc's in-context learner.

    "" for models elsewhere. Raises OSError when a script cannot be read.
    """
    if model.model == "embedded/script":
        from promptc.runners.models.transports.script import script_digest, script_path

        return f"script:{script_digest(script_path(model, base))}"
    return f"embedded:{_learner_digest()}" if model.model.startswith("embedded/") else ""


def _learner_digest() -> str:
    """Digest of the learner's source: another learner gives other replies to the same request."""
    runners = Path(__file__).parents[2]
    sources = [*sorted((runners / "icl").glob("*.py")), runners / "models" / "transports" / "embedded.py"]
    return hashlib.blake2b(b"\0".join(path.read_bytes() for path in sources), digest_size=8).hexdigest()


def embedded(model: Model, services: Services) -> Layer:
    """The in-context learner that is part of promptc."""
    from promptc.runners.models.transports.embedded import EmbeddedIcl

    return EmbeddedIcl()
