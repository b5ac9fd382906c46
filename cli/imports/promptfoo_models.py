"""promptfoo's providers as models. A key that is written out is never carried over."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from promptc.cli.imports.imported import Tree
from promptc.cli.imports.promptfoo_files import Left

_PREFIXES: tuple[tuple[str, str], ...] = (
    ("openai:chat:", "openai/"),
    ("openai:responses:", "openai/"),
    ("openai:", "openai/"),
    ("anthropic:messages:", "anthropic/"),
    ("anthropic:", "anthropic/"),
    ("google:", "gemini/"),
    ("vertex:", "vertex_ai/"),
    ("mistral:", "mistral/"),
    ("groq:", "groq/"),
    ("deepseek:", "deepseek/"),
    ("xai:", "xai/"),
    ("openrouter:", "openrouter/"),
    ("bedrock:", "bedrock/"),
    ("togetherai:", "together_ai/"),
    ("cerebras:", "cerebras/"),
    ("fireworks:", "fireworks_ai/"),
    ("azure:chat:", "azure/"),
    ("azureopenai:chat:", "azure/"),
    ("ollama:chat:", "ollama/"),
    ("ollama:", "ollama/"),
    ("litellm:", ""),
)
_PARAMS = (
    "temperature", "max_tokens", "max_completion_tokens", "top_p", "stop", "seed", "presence_penalty",
    "frequency_penalty", "reasoning_effort", "response_format",
)  # fmt: skip
OLLAMA = "http://localhost:11434"
_VARIABLE = re.compile(r"\{\{\s*env\.(\w+)\s*\}\}")


def models_of(written: Any, lost: list[str]) -> list[Any]:
    """Every provider that promptc can ask, as a model in a spec; the others are noted."""
    found = []
    for name, config in _entries(written):
        try:
            found.append(_model(name, config, lost))
        except Left as left:
            lost.append(f"the provider {name[:80]}: {left}")
    return found


def model_name(model: Any) -> str:
    """The name of a model in a spec, however it is written."""
    return str(model["model"] if isinstance(model, dict) else model)


def _entries(written: Any) -> list[tuple[str, Mapping[str, Any]]]:
    """Names with their configurations, in any of promptfoo's ways to write them."""
    if written is None:
        return []
    found: list[tuple[str, Mapping[str, Any]]] = []
    for entry in written if isinstance(written, list) else [written]:
        if isinstance(entry, dict) and not isinstance(entry.get("id"), str) and len(entry) == 1:
            [(name, inner)] = entry.items()
            entry = {**inner, "id": name} if isinstance(inner, dict) else {"id": name}
        if isinstance(entry, dict):
            config = entry.get("config")
            found.append((str(entry.get("id") or "?"), config if isinstance(config, dict) else {}))
        else:
            found.append((str(entry), {}))
    return found


def _model(name: str, config: Mapping[str, Any], lost: list[str]) -> Any:
    """One provider. Raises Left."""
    prefix = next(((theirs, ours) for theirs, ours in _PREFIXES if name.startswith(theirs)), None)
    own = name.removeprefix(prefix[0]) if prefix is not None else ""
    if prefix is None or not own:
        raise Left("promptc does not know how to ask it")
    tree: Tree = {"model": prefix[1] + own}
    address = config.get("apiBaseUrl") or config.get("apiHost")
    if isinstance(address, str) and address:
        tree["api_base"] = _VARIABLE.sub(r"${env:\1}", address if "://" in address else f"https://{address}")
    elif name.startswith("ollama:"):
        tree["api_base"] = OLLAMA
    tree |= _key(name, config, lost)
    passed = config.get("passthrough")
    sent = {**config, **passed} if isinstance(passed, dict) else config
    params = {
        key: sent[key] for key in _PARAMS if sent.get(key) is not None and not isinstance(sent[key], str)
    }
    if params:
        tree["params"] = params
    return tree if len(tree) > 1 else tree["model"]


def _key(name: str, config: Mapping[str, Any], lost: list[str]) -> Tree:
    """Where the key is: in the variable that the provider names, else in the usual one."""
    variable = config.get("apiKeyEnvar")
    if isinstance(variable, str) and variable.isidentifier():
        return {"api_key": f"${{env:{variable}}}"}
    key = config.get("apiKey")
    if not isinstance(key, str) or not key:
        return {}
    named = _VARIABLE.fullmatch(key)
    if named is not None:
        return {"api_key": f"${{env:{named[1]}}}"}
    lost.append(f"the key of {name[:80]}, which is written out: put it into the environment")
    return {}
