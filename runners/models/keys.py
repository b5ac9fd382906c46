"""Whether a model's key is at hand, as far as that shows without asking anybody."""

from __future__ import annotations

from collections.abc import Mapping

from promptc.runners.models.settings import key_variables, provider_of, transport_of
from promptc.runners.models.transports.litellm_transport import OWN_CREDENTIALS
from promptc.spec.environment import references
from promptc.spec.model import Model

KEYLESS = frozenset(
    {"ollama", "ollama_chat", "hosted_vllm", "vllm", "sglang", "llama_cpp", "llamafile", "lm_studio"}
)
"""Providers that people run themselves, without a key."""


def missing_key(model: Model, environment: Mapping[str, str]) -> str:
    """The environment variable that a model's key should be in and is not; "" where nothing is missing.

    Providers that find their credentials in several places are taken to have them, and so is a server of the user's
    own, which may want none.
    """
    if transport_of(model) not in ("litellm", "direct") or model.api_key_command:
        return ""
    named = [
        *references(model.api_key or ""),
        *(name for text in model.headers.values() for name in references(text)),
    ]
    if model.api_key or named:
        return next((name for name in named if not environment.get(name)), "")
    provider = provider_of(model.model)
    if model.api_base or provider in OWN_CREDENTIALS | KEYLESS:
        return ""
    usual = key_variables(model.model)
    return usual[0] if usual and not any(environment.get(name) for name in usual) else ""
