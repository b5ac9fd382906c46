"""What a provider's error means: whether asking again helps, whose doing it is, and what to tell the user."""

from __future__ import annotations

import email.utils
import re
import time
from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from promptc.runners.models.limiter import Quota
from promptc.runners.models.request import CallFailed

LONGEST_MESSAGE = 300

_CONTEXT = re.compile(
    r"context[ _]length|context window|context size|context limit|maximum context|(prompt|input) is too long|"
    r"too many (input )?tokens|maximum number of tokens|reduce the length|maximum input length",
    re.IGNORECASE,
)
_FILTERED = re.compile(
    r"content[ _]?filter|content[ _](management )?policy|safety system|moderation|flagged|prohibited content",
    re.IGNORECASE,
)
_UNSUPPORTED = re.compile(
    r"unsupported|not support|unknown|unrecogni[sz]ed|unexpected|not permitted|not allowed|only the default|"
    r"extra (inputs|fields)|extra_forbidden",
    re.IGNORECASE,
)
_QUOTA_ENDED = re.compile(
    r"insufficient_quota|billing|credit balance|exceeded your current quota", re.IGNORECASE
)
_TOO_LARGE = re.compile(r"request too large", re.IGNORECASE)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s?(ms|hours?|h|minutes?|min|m|seconds?|sec|s|)")
_TRY_AGAIN = re.compile(rf"(?:try again|retry) (?:in|after) ((?:{_DURATION.pattern})+)", re.IGNORECASE)
_SECONDS = {"ms": 0.001, "h": 3600.0, "hour": 3600.0, "m": 60.0, "min": 60.0, "minute": 60.0}

_RETRYABLE = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})


class ErrorBody(msgspec.Struct, frozen=True):
    """The parts of an error reply that mean something, whatever shape it had."""

    message: str
    code: str = ""
    param: str = ""


class Failing(msgspec.Struct, frozen=True, kw_only=True):
    """Who failed, for the sentences: the model as the spec names it, where it is, what helps with a 401.

    `setting` is the key of the spec that says where it is.
    """

    model: str
    address: str = ""
    sent_name: str = ""
    key_hint: str = ""
    setting: str = "api_base"


def one_line(text: str) -> str:
    """The text on one line, without control characters, cut to a readable length."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= LONGEST_MESSAGE else line[: LONGEST_MESSAGE - 1] + "…"


def read_error(content: bytes) -> ErrorBody:
    """What an error reply says: OpenAI's error object or one of its relatives, HTML, or plain text."""
    text = content.decode(errors="replace").strip()
    if not text:
        return ErrorBody("no explanation")
    if text.startswith("<"):
        return ErrorBody(one_line(_html_text(text)))
    try:
        parsed = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ErrorBody(one_line(text))
    return error_object(parsed)


def error_object(parsed: Any) -> ErrorBody:
    """The same for a decoded JSON value."""
    if isinstance(parsed, list) and parsed:
        parsed = parsed[0]
    error = parsed.get("error", parsed) if isinstance(parsed, dict) else parsed
    if isinstance(error, str) and isinstance(parsed, dict) and isinstance(parsed.get("message"), str):
        return ErrorBody(one_line(parsed["message"]), code=error)
    if not isinstance(error, dict):
        return ErrorBody(one_line(error if isinstance(error, str) else _compact(error)))
    message = error.get("message") or error.get("detail") or error.get("msg") or error
    code = error.get("code") or error.get("type") or ""
    return ErrorBody(
        one_line(message if isinstance(message, str) else _compact(message)),
        code=str(code),
        param=str(error.get("param") or ""),
    )


def failure(status: int, error: ErrorBody, headers: Mapping[str, str], who: Failing) -> CallFailed:
    """What an HTTP error status with its body means."""
    said = f"{error.code} {error.message}"
    message = f"{who.model}: HTTP {status}: {error.message}"
    if status in (400, 413, 422, 500) and (_CONTEXT.search(said) or status == 413):
        return CallFailed(message, kind="context", status=status)
    if status in (400, 403, 422) and _FILTERED.search(said):
        return CallFailed(message, kind="refused", status=status)
    if status == 429 and _QUOTA_ENDED.search(said):
        return CallFailed(
            message, fatal=True, status=status, hint="the account's quota is used up: see its billing"
        )
    if status == 429 and _TOO_LARGE.search(said):
        return CallFailed(message, kind="context", status=status)
    if status in (401, 403):
        return CallFailed(message, fatal=True, status=status, hint=who.key_hint)
    if status == 402:
        return CallFailed(message, fatal=True, status=status, hint="the account has no credit left")
    if status == 407:
        return CallFailed(
            message, fatal=True, status=status, hint="check the user and password in HTTPS_PROXY"
        )
    if status in (404, 405):
        return CallFailed(message, fatal=True, status=status, hint=_not_found_hint(who))
    if 300 <= status < 400:
        hint = f"{who.address} sends to {headers.get('location', 'elsewhere')}: correct {who.setting}"
        return CallFailed(message, fatal=True, status=status, hint=hint)
    return CallFailed(
        message,
        kind="timeout" if status == 408 else "provider",
        retryable=status in _RETRYABLE,
        status=status,
        retry_after=wait_asked_for(headers, error.message),
    )


def unsupported_param(status: int, error: ErrorBody, sent: Collection[str]) -> str:
    """Which of the sent parameters the model does not take; "" when the error is about something else."""
    if status not in (400, 422) or not _UNSUPPORTED.search(f"{error.code} {error.message}"):
        return ""
    if error.param in sent:
        return error.param
    named = [name for name in sent if re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", error.message)]
    return named[0] if named else ""


def wait_asked_for(headers: Mapping[str, str], message: str = "") -> float | None:
    """Seconds that a reply asks to wait before the next try; None when it does not say."""
    if (milliseconds := headers.get("retry-after-ms")) and (seconds := _number(milliseconds)) is not None:
        return seconds / 1000
    if after := headers.get("retry-after"):
        return _seconds_or_date(after)
    if (found := _TRY_AGAIN.search(message)) is not None:
        return duration(found.group(1))
    quota = read_quota(headers)
    return quota.reset if quota is not None and quota.share <= 0 else None


def read_quota(headers: Mapping[str, str]) -> Quota | None:
    """What is left of a quota, from the headers of OpenAI, Azure, Groq and Anthropic; None without."""
    found: Quota | None = None
    for what in ("requests", "tokens"):
        left = headers.get(f"x-ratelimit-remaining-{what}") or headers.get(
            f"anthropic-ratelimit-{what}-remaining"
        )
        most = headers.get(f"x-ratelimit-limit-{what}") or headers.get(f"anthropic-ratelimit-{what}-limit")
        remaining, limit = _number(left), _number(most)
        if remaining is None or not limit:
            continue
        reset = headers.get(f"x-ratelimit-reset-{what}") or headers.get(f"anthropic-ratelimit-{what}-reset")
        quota = Quota(remaining / limit, _seconds_or_date(reset) if reset else None)
        if found is None or quota.share < found.share:
            found = quota
    return found


def duration(text: str) -> float | None:
    """Seconds of `12`, `1.5s`, `120ms`, `6m0s`, `2 minutes`; None when it is none of these."""
    parts = _DURATION.findall(text.strip())
    return sum(float(number) * _unit(unit) for number, unit in parts) if parts else None


def _unit(name: str) -> float:
    return _SECONDS.get(name) or _SECONDS.get(name.removesuffix("s"), 1.0)


def _seconds_or_date(text: str) -> float | None:
    number = _number(text)
    if number is not None:
        return max(0.0, number)
    try:
        when = email.utils.parsedate_to_datetime(text).timestamp()
    except ValueError:
        return _seconds_until_iso(text) if "T" in text else duration(text)
    return max(0.0, when - time.time())


def _seconds_until_iso(text: str) -> float | None:
    from datetime import datetime

    try:
        return max(0.0, datetime.fromisoformat(text).timestamp() - time.time())
    except ValueError:
        return None


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _html_text(text: str) -> str:
    title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
    if title is not None and title.group(1).strip():
        return f"an HTML page, {title.group(1).strip()!r}"
    return "an HTML page: " + re.sub(r"<[^>]*>", " ", re.sub(r"(?is)<(script|style).*?</\1>", " ", text))


def _compact(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _not_found_hint(who: Failing) -> str:
    if not who.address:
        return "check the model's name"
    if not who.sent_name:
        return f"there is nothing at {who.address}: correct {who.setting}"
    return (
        f"asked {who.address} for {who.sent_name!r}: check the model's name, and whether api_base needs /v1"
    )
