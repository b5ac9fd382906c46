"""What a model's settings imply, and what is found wrong with them before anything is opened."""

from __future__ import annotations

import subprocess
import sys

import pytest

from promptc.runners.models.prices import PriceMap
from promptc.runners.models.settings import (
    base_url,
    diagnose,
    endpoint_of,
    full_name,
    key_variables,
    request_params,
    transport_of,
    wire_name,
)
from promptc.spec.model import Model


@pytest.mark.parametrize(
    ("settings", "transport"),
    [
        ({"model": "embedded/icl"}, "embedded"),
        ({"model": "embedded/script"}, "script"),
        ({"model": "openai/gpt-4.1"}, "litellm"),
        ({"model": "gpt-4.1"}, "litellm"),
        ({"model": "openai/gpt-4.1", "transport": "direct"}, "direct"),
        ({"model": "openai/gpt-4.1", "api_base": "http://h/v1"}, "direct"),
        ({"model": "openai/gpt-4.1", "api_base": "http://h/v1", "transport": "litellm"}, "litellm"),
        ({"model": "azure/my-deployment", "api_base": "https://h.openai.azure.com"}, "litellm"),
        ({"model": "anything", "transport": "replay"}, "replay"),
    ],
)
def test_transports_are_derived(settings, transport):
    assert transport_of(Model(**settings)) == transport


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("openai/gpt-4.1", "gpt-4.1"),
        ("hosted_vllm/Qwen/Qwen3-8B", "Qwen/Qwen3-8B"),
        ("ollama/llama3.2:1b", "llama3.2:1b"),
        ("openai/openai/gpt-4.1", "openai/gpt-4.1"),
        ("meta-llama/Llama-3.1-8B", "meta-llama/Llama-3.1-8B"),
        ("gpt-4.1", "gpt-4.1"),
    ],
)
def test_the_name_on_the_wire(model, name):
    assert wire_name(model) == name


@pytest.mark.parametrize(
    ("model", "base", "environment", "address"),
    [
        ("openai/x", "http://h:8000/v1/", {}, "http://h:8000/v1"),
        ("ollama/x", "http://localhost:11434", {}, "http://localhost:11434/v1"),
        ("ollama/x", "http://localhost:11434/v1", {}, "http://localhost:11434/v1"),
        ("openai/x", "http://h:8000", {}, "http://h:8000"),
        ("openai/x", None, {}, ""),
        ("openai/x", None, {"OPENAI_BASE_URL": "http://gate/v1"}, "http://gate/v1"),
        ("openai/x", "http://h/v1", {"OPENAI_BASE_URL": "http://gate/v1"}, "http://h/v1"),
        ("anthropic/x", None, {"OPENAI_BASE_URL": "http://gate/v1"}, ""),
    ],
)
def test_where_requests_go(model, base, environment, address):
    assert base_url(Model(model=model, api_base=base), environment) == address


@pytest.mark.parametrize(
    ("settings", "endpoint"),
    [
        ({"model": "openai/x"}, ""),
        ({"model": "openai/x", "api_base": "HTTP://Host.Example:8000/v1/"}, "http://host.example:8000/v1"),
        ({"model": "openai/x", "api_base": "https://user:word@h/v1?a=b"}, "https://h/v1"),
        ({"model": "openai/x", "api_base": "https://h/V1", "transport": "litellm"}, "https://h/V1"),
        ({"model": "embedded/icl", "api_base": "http://h/v1"}, ""),
    ],
)
def test_the_endpoint_in_a_key_is_origin_and_path(settings, endpoint):
    assert endpoint_of(Model(**settings), {}) == endpoint


@pytest.mark.parametrize(
    ("model", "first"),
    [
        ("openai/x", "OPENAI_API_KEY"),
        ("anthropic/x", "ANTHROPIC_API_KEY"),
        ("hosted_vllm/x", "HOSTED_VLLM_API_KEY"),
        ("together_ai/x", "TOGETHERAI_API_KEY"),
        ("text-completion-openai/x", "TEXT_COMPLETION_OPENAI_API_KEY"),
    ],
)
def test_the_variable_of_a_provider(model, first):
    assert key_variables(model)[0] == first


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("gpt-4.1", "openai/gpt-4.1"),
        ("claude-sonnet-4-5", "anthropic/claude-sonnet-4-5"),
        ("gemini-2.5-pro", "vertex_ai/gemini-2.5-pro"),
        ("groq/llama", "groq/llama"),
        ("nobody-knows-it", "nobody-knows-it"),
    ],
)
def test_the_provider_of_a_bare_name(model, name):
    assert full_name(model, PriceMap()) == name


def test_names_without_a_provider_have_no_variable():
    assert key_variables("gpt-4.1") == key_variables("embedded/icl") == ()


def test_a_script_is_no_parameter_of_a_request():
    assert request_params(Model(model="embedded/script", params={"script": "a.jsonl", "temperature": 1})) == {
        "temperature": 1
    }
    assert request_params(Model(model="openai/x", params={"script": "a"})) == {"script": "a"}


GOOD = [
    {"model": "embedded/icl"},
    {"model": "embedded/script", "params": {"script": "replies.jsonl"}},
    {"model": "openai/gpt-4.1"},
    {"model": "anthropic/claude-sonnet-4-5", "params": {"temperature": 0.2}},
    {"model": "gpt-4.1"},
    {"model": "dashscope/qwen-max"},
    {"model": "bedrock/us.anthropic.claude-haiku-4-5-20251001-v1:0"},
    {"model": "openrouter/meta-llama/llama-3.1-8b"},
    {"model": "ollama/llama3"},
    {"model": "my-own-model", "api_base": "http://localhost:8000/v1"},
    {"model": "Qwen/Qwen3-8B", "api_base": "http://localhost:8000/v1", "api_key": "EMPTY"},
    {"model": "openai/gpt-4.1", "transport": "direct", "api_key": "${env:A_VERY_LONG_VARIABLE_NAME}"},
    {"model": "openai/x", "api_base": "${env:GATEWAY}"},
]


@pytest.mark.parametrize("settings", GOOD, ids=lambda s: s["model"])
def test_nothing_is_wrong_with(settings):
    assert diagnose(Model(**settings)) == []


@pytest.mark.parametrize(
    ("settings", "finding"),
    [
        ({"model": ""}, "the model has no name"),
        ({"model": "opnai/gpt-4.1"}, "unknown provider 'opnai', did you mean 'openai'?"),
        ({"model": "embeded/icl"}, "unknown provider 'embeded', did you mean 'embedded'?"),
        ({"model": "qqqqqqqq/x"}, "unknown provider 'qqqqqqqq'"),
        (
            {"model": "gpt-4.1-minni"},
            "'gpt-4.1-minni' does not say its provider: write provider/model, did you mean 'gpt-4.1-mini'?",
        ),
        ({"model": "embedded/icll"}, "unknown embedded model 'embedded/icll', did you mean 'embedded/icl'?"),
        (
            {"model": "embedded/icl", "transport": "litellm"},
            "embedded/icl runs inside promptc: leave transport out",
        ),
        (
            {"model": "embedded/script"},
            "embedded/script needs a file of replies: set params.script to its path",
        ),
        ({"model": "openai/x", "transport": "drect"}, "unknown transport 'drect', did you mean 'direct'?"),
        (
            {"model": "groq/x", "transport": "direct"},
            "transport: direct does not know where 'groq/x' is served: set api_base too",
        ),
        *(
            (
                {"model": f"{server}/x"},
                f"nothing says where '{server}/x' is served: set api_base to where it is served",
            )
            for server in ("hosted_vllm", "openai_like", "custom_openai", "sglang", "llama_cpp")
        ),
        (
            {"model": "x", "api_base": "localhost:8000"},
            "api_base 'localhost:8000' is not an http or https address",
        ),
        (
            {"model": "x", "api_base": "http://h:999999/"},
            "api_base 'http://h:999999/' is not an http or https address",
        ),
        ({"model": "x", "api_base": "http://[h/"}, "api_base 'http://[h/' is not an http or https address"),
        (
            {"model": "x", "api_base": "http://u:p@h/"},
            "api_base holds a user name or password: use api_key or headers with ${env:NAME}",
        ),
        (
            {"model": "x", "api_base": "http://h/?k=1"},
            "api_base 'http://h/?k=1' has a query or fragment: keep origin and path only",
        ),
        (
            {"model": "openai/x", "params": {"stream": True}},
            "params.stream cannot be set: replies are read whole",
        ),
        (
            {"model": "openai/x", "params": {"n": 3}},
            "params.n cannot be set: rollouts are requests of their own",
        ),
    ],
)
def test_what_is_wrong_with(settings, finding):
    assert diagnose(Model(**settings)) == [finding]


HEAVY = """
import sys, {}
print([name for name in ("litellm", "aiohttp", "polars", "openai", "rapidfuzz") if name in sys.modules])
"""


@pytest.mark.parametrize(
    "module",
    [
        "promptc.runners.models.settings",
        "promptc.runners.models.stack",
        "promptc.runners.models.transports.direct",
        "promptc.runners.models.transports.litellm_transport",
        "promptc.runners.models.transports.script",
    ],
)
def test_nothing_heavy_is_imported_before_a_request(module):
    done = subprocess.run(
        [sys.executable, "-c", HEAVY.format(module)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_diagnosing_and_opening_import_nothing_heavy():
    code = (
        "import sys\n"
        "from promptc.runners.models.stack import open_models\n"
        "from promptc.runners.models.settings import diagnose\n"
        "from promptc.runners.models.secrets import Redactor\n"
        "from promptc.spec.model import Model\n"
        "models = [Model(model='openai/x'), Model(model='y', api_base='http://h'), Model(model='opn/x')]\n"
        "for model in models: diagnose(model)\n"
        "open_models({m.model: m for m in models}, environment={}, redactor=Redactor())\n"
        "print([name for name in ('litellm', 'aiohttp', 'polars', 'openai') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
