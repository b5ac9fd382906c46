"""What the cache stores, as data: how a request is taken apart, put together again and compared."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from promptc.runners.models.request import Completion, Message, Request

KNOWN_PREFIXES = 1024


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One cached reply with its request. `created` is in seconds since the epoch, `key` in hex digits."""

    key: str
    created: float
    request: Request
    completion: Completion


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """What the cache knows about a request: the reply, else the most similar request and how it differs."""

    found: Entry | None = None
    nearest: Entry | None = None
    differs: tuple[str, ...] = ()


class CacheStats(msgspec.Struct, frozen=True, kw_only=True):
    """Size and content of a cache file. Times are in seconds since the epoch, None for an empty cache."""

    path: str
    bytes: int
    replies: int
    models: dict[str, int]
    oldest: float | None
    newest: float | None


class Rest(msgspec.Struct, frozen=True, array_like=True):
    """The part of a request that is stored with each reply."""

    messages: tuple[Message, ...]
    params: dict[str, Any]
    rollout: int
    endpoint: str


MOST_REASKS = 4
"""How far a re-ask's stable part is looked for. Further back it would be the prompt of another candidate, which begins
alike and has fewer demos."""


class Prefixes:
    """Finds the stable part of a conversation: what a candidate sends with every row.

    That is all but the last message; for a re-ask it is what stood before the row, which is known from the
    first ask. Each prefix is stored once, by its digest.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[Message, ...], bytes] = {}

    def split(self, messages: tuple[Message, ...]) -> tuple[int, bytes, bytes | None]:
        """Length and digest of the prefix, and its content when it has not been stored by this process."""
        longest = len(messages) - 1
        for length in range(longest, max(0, longest - 2 * MOST_REASKS), -2):
            digest = self._known.get(messages[:length])
            if digest is not None:
                return length, digest, None
        prefix = messages[:-1]
        content = msgspec.json.encode(prefix)
        digest = hashlib.blake2b(content, digest_size=16).digest()
        if len(self._known) >= KNOWN_PREFIXES:
            del self._known[next(iter(self._known))]
        self._known[prefix] = digest
        return len(prefix), digest, content

    def forget(self) -> None:
        """The file was replaced: nothing is stored any more."""
        self._known.clear()


_rest_decoder = msgspec.json.Decoder(Rest)
_messages_decoder = msgspec.json.Decoder(tuple[Message, ...])


def entry_of(
    key: bytes, model: str, created: float, prefix: bytes | None, rest: bytes, completion: Completion
) -> Entry:
    """An entry from its stored parts; without its prefix's content where that is gone."""
    parts = _rest_decoder.decode(rest)
    request = Request(
        model=model,
        messages=(_messages_decoder.decode(prefix) if prefix else ()) + parts.messages,
        params=parts.params,
        rollout=parts.rollout,
        endpoint=parts.endpoint,
    )
    return Entry(key=key.hex(), created=created, request=request, completion=completion)


def differences(asked: Request, stored: Request) -> tuple[str, ...]:
    """Where a stored request differs from the one that is asked, one phrase each."""
    found = [
        f"{name}: {getattr(stored, name)!r} is stored, {getattr(asked, name)!r} is asked"
        for name in ("model", "endpoint", "rollout")
        if getattr(asked, name) != getattr(stored, name)
    ]
    for name in sorted(asked.params.keys() | stored.params.keys()):
        old, new = stored.params.get(name, "nothing"), asked.params.get(name, "nothing")
        if old != new:
            found.append(f"params.{name}: {old!r} is stored, {new!r} is asked")
    if len(asked.messages) != len(stored.messages):
        found.append(f"messages: {len(stored.messages)} are stored, {len(asked.messages)} are asked")
    for index, (new_message, old_message) in enumerate(zip(asked.messages, stored.messages, strict=False)):
        if new_message != old_message:
            found.append(
                f"messages[{index}] ({new_message.role}): {_first_difference(old_message, new_message)}"
            )
    return tuple(found)


def _first_difference(old: Message, new: Message) -> str:
    if old.role != new.role:
        return f"role {old.role} is stored"
    pairs = zip(old.content, new.content, strict=False)
    at = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(old.content), len(new.content)))
    around = slice(max(0, at - 10), at + 30)
    return f"from character {at + 1}: {old.content[around]!r} is stored, {new.content[around]!r} is asked"
