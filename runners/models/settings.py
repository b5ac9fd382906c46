"""What a model's settings imply before anything is opened: transport, provider, address and mistakes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit

import msgspec

from promptc.runners.models.prices import PriceMap, litellm_file
from promptc.spec.model import Model, Transport

EMBEDDED_MODELS = ("embedded/icl", "embedded/script")

OPENAI_BASE = "https://api.openai.com/v1"

PROTOCOL_PREFIXES = frozenset(
    {
        "custom_openai", "docker_model_runner", "hosted_vllm", "lemonade", "litellm_proxy", "llama_cpp",
        "llamafile", "lm_studio", "ollama", "ollama_chat", "openai", "openai_like", "openrouter", "sglang",
        "vllm",
    }
)  # fmt: skip
"""Prefixes that say how a server is spoken to and are not part of the name that it knows the model by."""

OWN_PROTOCOL = frozenset(
    {"azure", "azure_ai", "azure_text", "bedrock", "sagemaker", "sagemaker_chat", "vertex_ai", "watsonx"}
)
"""Providers whose `api_base` does not speak chat completions: litellm serves them even where one is set."""

WITHOUT_ADDRESS = frozenset({"custom_openai", "hosted_vllm", "llama_cpp", "openai_like", "sglang"})
"""Prefixes of servers that everybody runs at an address of their own."""

COMMON_PROVIDERS = frozenset(
    {
        "ai21", "anthropic", "azure", "azure_ai", "bedrock", "cerebras", "cloudflare", "cohere", "databricks",
        "deepinfra", "deepseek", "fireworks_ai", "gemini", "github", "groq", "hosted_vllm", "huggingface",
        "litellm_proxy", "llamafile", "lm_studio", "mistral", "moonshot", "nvidia_nim", "ollama",
        "ollama_chat", "openai", "openrouter", "perplexity", "replicate", "sagemaker", "sambanova",
        "snowflake", "together_ai", "vertex_ai", "vllm", "voyage", "watsonx", "xai", "zai",
    }
)  # fmt: skip
"""Known without reading anything; litellm's own files name the others."""

_KEY_VARIABLES: Mapping[str, tuple[str, ...]] = {
    "azure": ("AZURE_API_KEY", "AZURE_OPENAI_API_KEY"),
    "bedrock": ("AWS_BEARER_TOKEN_BEDROCK", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    "cohere_chat": ("COHERE_API_KEY",),
    "fireworks_ai": ("FIREWORKS_API_KEY", "FIREWORKS_AI_API_KEY"),
    "gemini": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "huggingface": ("HF_TOKEN", "HUGGINGFACE_API_KEY"),
    "ollama_chat": ("OLLAMA_API_KEY",),
    "perplexity": ("PERPLEXITYAI_API_KEY", "PERPLEXITY_API_KEY"),
    "sagemaker": ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    "together_ai": ("TOGETHERAI_API_KEY", "TOGETHER_API_KEY"),
    "vertex_ai": ("GOOGLE_APPLICATION_CREDENTIALS",),
    "watsonx": ("WATSONX_API_KEY", "WATSONX_APIKEY"),
}

_RESERVED_PARAMS = {
    "model": "it is the model's own key",
    "messages": "promptc writes them",
    "stream": "replies are read whole",
    "n": "rollouts are requests of their own",
}


def provider_of(model: str) -> str:
    """The part before the first slash; "" for a bare name."""
    return model.partition("/")[0] if "/" in model else ""


def transport_of(model: Model) -> Transport:
    """What carries this model's requests: what its spec says, else what its name and api_base imply."""
    if model.transport is not None:
        return model.transport
    provider = provider_of(model.model)
    if provider == "embedded":
        return "script" if model.model == "embedded/script" else "embedded"
    return "direct" if model.api_base and provider not in OWN_PROTOCOL else "litellm"


def full_name(model: str, prices: PriceMap) -> str:
    """The name with the provider that litellm gives to a bare one; as it is where that is not clear."""
    if "/" in model:
        return model
    owner = str((prices.entry(model) or {}).get("litellm_provider", ""))
    owners = (owner, owner.partition("-")[0], owner.partition("_")[0])
    provider = next((name for name in owners if name in COMMON_PROVIDERS), "")
    return f"{provider}/{model}" if provider else model


def key_variables(model: str) -> tuple[str, ...]:
    """The environment variables that may hold the key of a model's provider, the usual one first."""
    provider = provider_of(model)
    if not provider or provider == "embedded":
        return ()
    return _KEY_VARIABLES.get(provider, (re.sub(r"\W", "_", provider).upper() + "_API_KEY",))


def wire_name(model: str) -> str:
    """The name by which a server knows the model: `Qwen/Qwen3` for `hosted_vllm/Qwen/Qwen3`."""
    provider, slash, rest = model.partition("/")
    return rest if slash and provider in PROTOCOL_PREFIXES else model


def base_url(model: Model, environment: Mapping[str, str]) -> str:
    """Where the requests go, without a slash at the end; "" when only the provider's library knows.

    An `ollama` address without a path gets the `/v1` that chat completions need there, since Ollama's users
    leave it out.
    """
    provider = provider_of(model.model)
    base = model.api_base or ""
    if not base and provider == "openai":
        base = environment.get("OPENAI_BASE_URL") or environment.get("OPENAI_API_BASE") or ""
    base = base.rstrip("/")
    if base and provider in ("ollama", "ollama_chat") and not urlsplit(base).path:
        return f"{base}/v1"
    return base


def endpoint_of(model: Model, environment: Mapping[str, str]) -> str:
    """Origin and path of where the requests go, as far as the spec or the environment moves it; else ""."""
    base = base_url(model, environment)
    if not base or transport_of(model) not in ("direct", "litellm", "replay"):
        return ""
    parts = urlsplit(base)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme.lower()}://{(parts.hostname or '').lower()}{port}{parts.path}"


def request_params(model: Model) -> dict[str, Any]:
    """The parameters that every request of this model carries; a script's path is not one of them."""
    return {name: value for name, value in model.params.items() if not _is_script_path(model, name)}


def calls_tools(model: Model, prices: PriceMap, base: str) -> bool:
    """Whether a model takes tools as such: litellm's table says so, or a script has replies that call some.

    Of a server of one's own nobody knows, so that its model is told of tools in writing.
    """
    if transport_of(model) == "script":
        path = Path(base) / str(model.params.get("script", ""))
        return path.is_file() and b'"tool_calls"' in path.read_bytes()
    names = (model.model, wire_name(model.model))
    entry = next((found for name in names if (found := prices.entry(name)) is not None), None)
    return bool(entry and entry.get("supports_function_calling"))


def diagnose(model: Model, prices: PriceMap | None = None) -> list[str]:
    """What is wrong with a model's settings, as far as it shows without a network, in sentences."""
    findings = [*_name_findings(model, prices or PriceMap()), *_address_findings(model)]
    for name in model.params:
        if name in _RESERVED_PARAMS:
            findings.append(f"params.{name} cannot be set: {_RESERVED_PARAMS[name]}")
    return findings


def suggestion(name: str, known: frozenset[str] | tuple[str, ...]) -> str:
    """`, did you mean 'x'?`, or "" when nothing is near."""
    from promptc.spec.suggest import closest

    near = closest(name, sorted(known))
    return f", did you mean {near!r}?" if near else ""


def known_providers(prices: PriceMap) -> frozenset[str]:
    """Every provider that litellm knows, as far as its data files say."""
    known = COMMON_PROVIDERS | prices.providers()
    for file, path in (("provider_endpoints_support_backup.json", ("providers",)), (_JSON_PROVIDERS, ())):
        found = litellm_file(file)
        if found is not None:
            table: dict[str, Any] = msgspec.json.decode(found.read_bytes())
            for key in path:
                table = table[key]
            known |= table.keys()
    return known


_JSON_PROVIDERS = "llms/openai_like/providers.json"


def _is_script_path(model: Model, param: str) -> bool:
    return param == "script" and transport_of(model) == "script"


def _name_findings(model: Model, prices: PriceMap) -> list[str]:
    name, transport = model.model, transport_of(model)
    if not name:
        return ["the model has no name"]
    if transport not in get_args(Transport):
        return [f"unknown transport {transport!r}{suggestion(transport, get_args(Transport))}"]
    if provider_of(name) == "embedded" or transport in ("embedded", "script"):
        return _embedded_findings(model, transport)
    if transport == "direct":
        return _direct_findings(model)
    if transport == "litellm":
        return _provider_findings(model, prices)
    return []


def _embedded_findings(model: Model, transport: Transport) -> list[str]:
    if model.model not in EMBEDDED_MODELS:
        return [f"unknown embedded model {model.model!r}{suggestion(model.model, EMBEDDED_MODELS)}"]
    if transport not in ("embedded", "script", "replay"):
        return [f"{model.model} runs inside promptc: leave transport out"]
    if model.model == "embedded/script" and not isinstance(model.params.get("script"), str):
        return ["embedded/script needs a file of replies: set params.script to its path"]
    return []


def _direct_findings(model: Model) -> list[str]:
    if model.api_base or provider_of(model.model) == "openai":
        return []
    return [f"transport: direct does not know where {model.model!r} is served: set api_base too"]


def _provider_findings(model: Model, prices: PriceMap) -> list[str]:
    provider = provider_of(model.model)
    if provider in WITHOUT_ADDRESS and not model.api_base:
        return [f"nothing says where {model.model!r} is served: set api_base to where it is served"]
    if provider in COMMON_PROVIDERS:
        return []
    if not provider:
        if model.model in prices.names():
            return []
        named = suggestion(model.model, prices.names())
        return [f"{model.model!r} does not say its provider: write provider/model{named}"]
    known = known_providers(prices)
    if provider in known or model.model in prices.names():
        return []
    return [f"unknown provider {provider!r}{suggestion(provider, known | {'embedded'})}"]


def _address_findings(model: Model) -> list[str]:
    if not model.api_base or "${env:" in model.api_base:
        return []
    try:
        parts = urlsplit(model.api_base)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        valid = False
    if not valid:
        return [f"api_base {model.api_base!r} is not an http or https address"]
    if parts.username or parts.password:
        return ["api_base holds a user name or password: use api_key or headers with ${env:NAME}"]
    if parts.query or parts.fragment:
        return [f"api_base {model.api_base!r} has a query or fragment: keep origin and path only"]
    return []
