"""Secrets: how a model's key is found, and how a known value is kept out of every text."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
from collections.abc import Iterable, Mapping
from urllib.parse import quote, quote_plus, urlsplit

import msgspec

from promptc.runners.models.request import CallFailed, Completion, Layer, Request
from promptc.runners.models.settings import key_variables
from promptc.spec.environment import references, substitute
from promptc.spec.model import Model

SHORTEST_SECRET = 6
"""Shorter values are not replaced: they would be found in ordinary words."""

_SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "api-key", "x-api-key", "cookie"})


def _base64_forms(value: bytes) -> Iterable[str]:
    """What stays the same of the value within any base64 text, at each of the three alignments."""
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + value).decode().rstrip("=")
        whole = encoded[(0, 2, 3)[shift] :]
        core = whole if (shift + len(value)) % 3 == 0 else whole[:-1]
        yield core
        yield core.replace("+", "-").replace("/", "_")


def _forms(value: str) -> list[str]:
    raw = value.encode()
    forms = {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
    forms |= {quote(value, safe=""), quote(value), quote_plus(value)}
    forms |= {form for form in _base64_forms(raw) if len(form) >= SHORTEST_SECRET}
    return sorted(forms, key=len, reverse=True)


class Redactor:
    """Replaces known secret values in texts by `[redacted:NAME]`.

    `values` maps the name of a secret to its value. A value is also found URL-encoded, JSON-escaped and
    within base64. Values become known during a run (a key command's output), hence `add`.
    """

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        self._forms: list[tuple[str, str]] = []
        self._known: set[str] = set()
        for name, value in (values or {}).items():
            self.add(name, value)

    def add(self, name: str, value: str) -> None:
        """Keep this value out of every text from now on; too short ones are ignored."""
        value = value.strip()
        if len(value) < SHORTEST_SECRET or value in self._known:
            return
        self._known.add(value)
        pairs = [*self._forms, *((form, f"[redacted:{name}]") for form in _forms(value))]
        self._forms = sorted(pairs, key=lambda pair: len(pair[0]), reverse=True)

    def clean(self, text: str) -> str:
        """The text without any known secret; the same object when it holds none."""
        for form, replacement in self._forms:
            if form in text:
                text = text.replace(form, replacement)
        return text

    def completion(self, completion: Completion) -> Completion:
        """The completion without any known secret; the same object when it holds none."""
        texts = (completion.text, completion.reasoning, completion.served_model, completion.fingerprint)
        cleaned = tuple(self.clean(text) if text else text for text in texts)
        calls = tuple(
            msgspec.structs.replace(call, name=self.clean(call.name), arguments=self.clean(call.arguments))
            for call in completion.tool_calls
        )
        if cleaned == texts and calls == completion.tool_calls:
            return completion
        text, reasoning, served_model, fingerprint = cleaned
        return msgspec.structs.replace(
            completion,
            text=text,
            reasoning=reasoning,
            served_model=served_model,
            fingerprint=fingerprint,
            tool_calls=calls,
        )

    def failure(self, failure: CallFailed) -> CallFailed:
        """The failure with clean sentences; the same object when they hold no secret."""
        message, hint = self.clean(failure.message), self.clean(failure.hint)
        if message == failure.message and hint == failure.hint:
            return failure
        return CallFailed(
            message,
            kind=failure.kind,
            retryable=failure.retryable,
            fatal=failure.fatal,
            status=failure.status,
            retry_after=failure.retry_after,
            hint=hint,
        )


class Redacted:
    """A layer that keeps known secrets out of what the inner layer answers, before anything else reads it."""

    def __init__(self, inner: Layer, redactor: Redactor) -> None:
        self._inner = inner
        self._redactor = redactor

    async def complete(self, request: Request) -> Completion:
        """Answer the request; neither the reply nor the error holds a known secret."""
        try:
            completion = await self._inner.complete(request)
        except CallFailed as failure:
            raise self._redactor.failure(failure) from None
        return self._redactor.completion(completion)

    async def close(self) -> None:
        """Close the inner layer."""
        await self._inner.close()


def _password(url: str) -> str:
    try:
        return urlsplit(url).password or ""
    except ValueError:
        return ""


class Credentials:
    """The key and the extra headers of one model, found when a request first needs them.

    A key is what `api_key` says, what `api_key_command` prints, or the value of the provider's own variable.
    What is found is told to the redactor at once. Raises CallFailed (fatal, with a hint) when it is missing.
    """

    def __init__(
        self,
        model: Model,
        environment: Mapping[str, str],
        redactor: Redactor,
        *,
        command_timeout: float = 30.0,
    ) -> None:
        self._model = model
        self._environment = environment
        self._redactor = redactor
        self._command_timeout = command_timeout
        self._key: str | None = None
        self._turn = asyncio.Lock()
        self._tell_redactor()

    async def key(self) -> str:
        """The key; "" where the model needs none that promptc knows of."""
        if self._key is None:
            async with self._turn:
                if self._key is None:
                    self._key = await self._find()
        return self._key

    async def renewed(self, stale: str) -> bool:
        """Run the key command again after the key was refused; True when it printed another one."""
        if not self._model.api_key_command:
            return False
        async with self._turn:
            if self._key == stale:
                self._key = await self._find()
        return self._key != stale

    def headers(self) -> dict[str, str]:
        """The model's extra headers, with their variables filled in."""
        return {name: self._resolved(value, f"headers.{name}") for name, value in self._model.headers.items()}

    @property
    def hint(self) -> str:
        """What to do when the key was refused."""
        model = self._model
        if model.api_key_command:
            return "check what api_key_command prints"
        named = references(model.api_key or "") or key_variables(model.model)
        if model.api_key and not references(model.api_key):
            return "the key stands in the spec: write api_key: ${env:NAME} and set that variable"
        if not named:
            return "set api_key: ${env:NAME} for this model, and the variable NAME to its key"
        held = any(self._environment.get(name) for name in named)
        return f"check the key in {named[0]}" if held else f"set {named[0]}, e.g. in a file for --env-file"

    async def _find(self) -> str:
        if self._model.api_key_command:
            key = await self._run(self._resolved(self._model.api_key_command, "api_key_command"))
            self._redactor.add("api_key_command", key)
            return key
        if self._model.api_key:
            return self._resolved(self._model.api_key, "api_key")
        names = key_variables(self._model.model)
        return next((self._environment[name] for name in names if self._environment.get(name)), "").strip()

    def _resolved(self, text: str, where: str) -> str:
        try:
            return substitute(text, self._environment)
        except KeyError as missing:
            name = missing.args[0]
            raise CallFailed(
                f"{self._model.model}: {where} needs the environment variable {name}, which is not set",
                fatal=True,
                hint=f"set {name}, e.g. in a file for --env-file",
            ) from None

    def _tell_redactor(self) -> None:
        """Make known every secret that the environment already holds for this model."""
        model = self._model
        named = [*key_variables(model.model), *references(model.api_key or "")]
        named += references(model.api_key_command or "")
        for header, value in model.headers.items():
            named += references(value)
            if header.lower() in _SECRET_HEADERS and not references(value):
                self._redactor.add(header, value.removeprefix("Bearer "))
        for name in named:
            self._redactor.add(name, self._environment.get(name, ""))
        for name, value in self._environment.items():
            if name.lower().endswith("_proxy") and (password := _password(value)):
                self._redactor.add(name, password)

    async def _run(self, command: str) -> str:
        """The first line that the command prints."""
        process = await asyncio.create_subprocess_shell(
            command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=dict(self._environment),
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(self._command_timeout):
                output, errors = await process.communicate()
        except TimeoutError:
            # The shell may have started others: the whole group has to end, or their pipes stay open.
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            raise self._command_failed(f"did not end within {self._command_timeout:g} s") from None
        if process.returncode:
            last = (errors.decode(errors="replace").strip().splitlines() or ["no message"])[-1]
            raise self._command_failed(f"ended with {process.returncode}: {last[:200]}")
        key = next(iter(output.decode(errors="replace").splitlines()), "").strip()
        if not key:
            raise self._command_failed("printed nothing")
        return key

    def _command_failed(self, how: str) -> CallFailed:
        return CallFailed(
            f"{self._model.model}: api_key_command {how}",
            fatal=True,
            hint="run the command by hand: its first line of output has to be the key",
        )
