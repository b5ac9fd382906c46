"""Secrets: found where they should be, and replaced wherever they should not be."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptc.runners.models.request import CallFailed, Completion, Request
from promptc.runners.models.secrets import Credentials, Redacted, Redactor
from promptc.spec.model import Model

CANARY = "sk-cänary/+\"key'=4711"

FORMS = {
    "as it is": lambda s: s,
    "URL-encoded": lambda s: quote(s, safe=""),
    "in a path": quote,
    "form-encoded": quote_plus,
    "in JSON": json.dumps,
    "in JSON without escapes": lambda s: json.dumps(s, ensure_ascii=False),
    "base64": lambda s: base64.b64encode(s.encode()).decode(),
    "as basic authentication": lambda s: base64.b64encode(f"user:{s}".encode()).decode(),
    "inside URL-safe base64": lambda s: base64.urlsafe_b64encode(f"xy{s}zzz".encode()).decode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_is_found(form):
    text = f"the server said {FORMS[form](CANARY)}!"
    cleaned = Redactor({"MY_KEY": CANARY}).clean(text)
    assert "[redacted:MY_KEY]" in cleaned
    assert FORMS[form](CANARY).strip('"') not in cleaned
    assert cleaned.startswith("the server said ")
    assert cleaned.endswith("!")


@given(st.text(min_size=6), st.text(), st.text(), st.sampled_from(sorted(FORMS)))
def test_no_secret_survives_in_any_form(secret, before, after, form):
    redactor = Redactor({"K": secret})
    if len(secret.strip()) < 6:
        return
    hidden = FORMS[form](secret.strip())
    assert hidden not in redactor.clean(before + hidden + after).replace("[redacted:K]", "")


@given(st.text(alphabet="abc ", max_size=50))
def test_text_without_secrets_stays_the_same_object(text):
    redactor = Redactor({"A": "secret-0123", "B": "another-0123"})
    assert redactor.clean(text) is text


def test_short_values_are_left_alone():
    assert Redactor({"K": "none", "E": ""}).clean("none of it") == "none of it"


def test_a_longer_secret_wins_over_its_part():
    redactor = Redactor({"SHORT": "abcdef", "LONG": "abcdefghij"})
    assert redactor.clean("abcdefghij abcdef") == "[redacted:LONG] [redacted:SHORT]"


def test_completions_and_failures_are_cleaned_in_every_text():
    redactor = Redactor({"K": "topsecret"})
    dirty = Completion(
        text="topsecret", reasoning="topsecret", served_model="topsecret", fingerprint="topsecret"
    )
    assert b"topsecret" not in repr(redactor.completion(dirty)).encode()
    failed = CallFailed("topsecret", kind="context", status=400, hint="topsecret", retry_after=2.0)
    clean = redactor.failure(failed)
    assert (clean.message, clean.hint) == ("[redacted:K]", "[redacted:K]")
    assert (clean.kind, clean.status, clean.retry_after) == ("context", 400, 2.0)


class Echo:
    """A provider that repeats what it should not."""

    async def complete(self, request: Request) -> Completion:
        if request.rollout:
            raise CallFailed("bad key topsecret")
        return Completion(text="your key is topsecret")

    async def close(self) -> None:
        return


def test_the_layer_cleans_replies_and_errors():
    layer = Redacted(Echo(), Redactor({"K": "topsecret"}))
    reply = asyncio.run(layer.complete(Request(model="m", messages=())))
    assert reply.text == "your key is [redacted:K]"
    with pytest.raises(CallFailed) as failed:
        asyncio.run(layer.complete(Request(model="m", messages=(), rollout=1)))
    assert failed.value.message == "bad key [redacted:K]"
    assert failed.value.__suppress_context__


def credentials(model: Model, environment: dict[str, str] | None = None, timeout: float = 10) -> Credentials:
    return Credentials(model, environment or {}, Redactor(), command_timeout=timeout)


@pytest.mark.parametrize(
    ("model", "environment", "key"),
    [
        pytest.param(
            Model(model="openai/x"), {"OPENAI_API_KEY": " sk-1\n"}, "sk-1", id="the provider's variable"
        ),
        pytest.param(Model(model="gemini/x"), {"GOOGLE_API_KEY": "g"}, "g", id="its second name"),
        pytest.param(Model(model="xai/x"), {"XAI_API_KEY": "x"}, "x", id="a provider without an entry"),
        pytest.param(
            Model(model="openai/x", api_key="${env:MINE}"),
            {"MINE": "m", "OPENAI_API_KEY": "o"},
            "m",
            id="api_key wins",
        ),
        pytest.param(Model(model="openai/x", api_key="EMPTY"), {}, "EMPTY", id="a dummy in the spec"),
        pytest.param(
            Model(model="bare", api_base="http://h"), {"OPENAI_API_KEY": "o"}, "", id="no provider, no key"
        ),
        pytest.param(Model(model="openai/x"), {}, "", id="nothing set"),
        pytest.param(
            Model(model="openai/x", api_key_command="printf 'first\\nsecond\\n'"),
            {"PATH": "/usr/bin:/bin"},
            "first",
            id="a command's first line",
        ),
        pytest.param(
            Model(model="openai/x", api_key_command="echo ${env:VAULT}-key"),
            {"PATH": "/usr/bin:/bin", "VAULT": "team"},
            "team-key",
            id="a command with a variable",
        ),
    ],
)
def test_where_a_key_comes_from(model, environment, key):
    assert asyncio.run(credentials(model, environment).key()) == key


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            Model(model="openai/x", api_key="${env:MINE}"),
            "api_key needs the environment variable MINE, which is not set",
        ),
        (
            Model(model="openai/x", api_key_command="echo oops >&2; exit 3"),
            "api_key_command ended with 3: oops",
        ),
        (Model(model="openai/x", api_key_command="true"), "api_key_command printed nothing"),
        (
            Model(model="openai/x", api_key_command="sleep 30 | cat"),
            "api_key_command did not end within 0.2 s",
        ),
    ],
)
def test_a_key_that_cannot_be_found_ends_the_run(model, message):
    start = time.monotonic()
    with pytest.raises(CallFailed, match=message.replace(".", r"\.")) as failed:
        asyncio.run(credentials(model, {"PATH": "/usr/bin:/bin"}, 0.2 if "sleep" in str(model) else 10).key())
    assert failed.value.fatal
    assert failed.value.hint
    assert time.monotonic() - start < 5


def test_the_command_runs_once_for_many_and_again_after_a_refusal(tmp_path):
    count = tmp_path / "count"
    model = Model(
        model="openai/x", api_key_command=f"echo x >> {count}; wc -l < {count} | sed 's/^ */key-number-/'"
    )
    redactor = Redactor()

    async def work() -> list[object]:
        found = Credentials(model, {"PATH": "/usr/bin:/bin"}, redactor)
        first = await asyncio.gather(*(found.key() for _ in range(20)))
        renewed = await asyncio.gather(*(found.renewed(first[0]) for _ in range(20)))
        return [set(first), set(renewed), await found.key()]

    assert asyncio.run(work()) == [{"key-number-1"}, {True}, "key-number-2"]
    assert redactor.clean("key-number-1 key-number-2").count("[redacted:api_key_command]") == 2


def test_what_the_environment_holds_is_known_before_the_first_request():
    redactor = Redactor()
    model = Model(
        model="anthropic/x",
        api_key="${env:MINE}",
        headers={
            "X-Team": "${env:TEAM_TOKEN}",
            "Authorization": "Bearer literal-token",
            "X-Plain": "plain-value",
        },
    )
    environment = {"MINE": "my-own-key", "TEAM_TOKEN": "team-token-1", "ANTHROPIC_API_KEY": "anthropic-key"}
    found = Credentials(model, environment, redactor)
    text = "my-own-key team-token-1 anthropic-key literal-token plain-value"
    names = ("MINE", "TEAM_TOKEN", "ANTHROPIC_API_KEY", "Authorization")
    assert redactor.clean(text).split() == [*(f"[redacted:{name}]" for name in names), "plain-value"]
    assert found.headers()["X-Team"] == "team-token-1"


def test_a_key_in_the_spec_is_not_a_secret_worth_hiding():
    redactor = Redactor()
    Credentials(Model(model="openai/x", api_key="positive"), {}, redactor)
    assert redactor.clean("positive") == "positive"
