"""How an exported file asks its model: with openai where that speaks to the server, else with litellm."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from promptc.cli.exports.python_literals import data_literal
from promptc.cli.exports.subject import Subject
from promptc.runners.asking import Speaker
from promptc.runners.models.settings import (
    PROTOCOL_PREFIXES,
    base_url,
    key_variables,
    provider_of,
    request_params,
    transport_of,
    wire_name,
)
from promptc.spec.errors import UsageError
from promptc.spec.media import CODE, REASONING
from promptc.spec.model import Model

_REFERENCE = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
UNCHECKED = (REASONING, CODE)
"""Formats of texts that say what a text is for, and nothing about its form."""
_PLAIN_KEYS = frozenset({"type", "enum", "title", "description", "examples"})


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """The library, the name of the model in its words, and arguments as code.

    `plain` says that no field needs more checking than its type or labels. litellm brings jsonschema along, openai does
    not, so a program whose fields have ranges, patterns or shapes takes litellm.
    """

    library: str
    model: str
    params: Mapping[str, Any]
    options: Mapping[str, str]
    plain: bool
    notes: tuple[str, ...] = ()


def client_of(subject: Subject, speaker: Speaker) -> Client:
    """The client for a predictor's model. Raises UsageError for a model that runs inside promptc."""
    model = subject.spec.model_named(speaker.predictor.model)
    transport = transport_of(model)
    if transport not in ("litellm", "direct"):
        raise UsageError(
            f"--to python: the model {model.model} runs inside promptc", "name another one with --model"
        )
    plain = all(_is_plain(field.schema) for field in speaker.signature.outputs)
    speaks_openai = transport == "direct" or provider_of(model.model) == "openai"
    address = base_url(model, {})
    key, notes = _key(model)
    settings = subject.spec.run
    if plain and speaks_openai:
        options = {
            "base_url": data_literal(address) if address else "",
            "api_key": key,
            "timeout": data_literal(settings.timeout),
        }
        options |= {"max_retries": data_literal(settings.retries), "default_headers": _headers(model)}
        name = wire_name(model.model)
    else:
        options = {
            "api_base": data_literal(address) if address else "",
            "api_key": key,
            "timeout": data_literal(settings.timeout),
        }
        options |= {"num_retries": data_literal(settings.retries), "extra_headers": _headers(model)}
        options |= {"drop_params": "True" if model.on_unsupported == "drop" else ""}
        name = f"openai/{wire_name(model.model)}" if transport == "direct" else model.model
    return Client(
        library="openai" if plain and speaks_openai else "litellm",
        model=name,
        params=request_params(model),
        options={name: code for name, code in options.items() if code},
        plain=plain and speaks_openai,
        notes=notes,
    )


def _is_plain(schema: Mapping[str, Any]) -> bool:
    """Whether a type or a list of labels is all that the schema says."""
    if schema.get("format", REASONING) not in UNCHECKED or schema.keys() - _PLAIN_KEYS - {"format"}:
        return False
    return isinstance(schema.get("type", ""), str)


def _key(model: Model) -> tuple[str, tuple[str, ...]]:
    """The key as code, and what the user should know about it. Libraries find the usual variable themselves."""
    if model.api_key:
        return _from_environment(model.api_key), ()
    usual = key_variables(model.model)
    if model.api_key_command:
        named = usual[0] if usual else "MODEL_API_KEY"
        return f"os.environ[{data_literal(named)}]", (
            f"api_key_command is not carried: the file reads {named}",
        )
    if model.api_base and provider_of(model.model) in PROTOCOL_PREFIXES:
        name = usual[0] if usual else "OPENAI_API_KEY"
        return f'os.environ.get({data_literal(name)}, "none")', ()
    return "", ()


def _headers(model: Model) -> str:
    pairs = [f"{data_literal(name)}: {_from_environment(value)}" for name, value in model.headers.items()]
    return f"{{{', '.join(pairs)}}}" if pairs else ""


def _from_environment(text: str) -> str:
    """A text with `${env:NAME}` in it as code that reads the environment."""
    parts = []
    end = 0
    for match in _REFERENCE.finditer(text):
        name, default = data_literal(match[1]), match[2]
        parts.append(data_literal(text[end : match.start()]))
        if default is None:
            parts.append(f"os.environ[{name}]")
        else:
            parts.append(f"(os.environ.get({name}) or {data_literal(default)})")
        end = match.end()
    parts.append(data_literal(text[end:]))
    return " + ".join(part for part in parts if part != '""') or '""'
