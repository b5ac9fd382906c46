"""The string formats of JSON Schema that promptc enforces, beyond those that jsonschema checks by itself."""

from __future__ import annotations

import re
from datetime import datetime
from urllib.parse import urlsplit

from jsonschema import FormatChecker

_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)
_TIME = re.compile(r"\d\d:\d\d:\d\d(\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)
_DURATION = re.compile(r"P(?!$)(\d+W|(\d+Y)?(\d+M)?(\d+D)?(T(?!$)(\d+H)?(\d+M)?(\d+S)?)?)", re.ASCII)
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_HOSTNAME_LABEL = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)", re.ASCII)
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"{}|\\^`]+")

FORMAT_WORDS: dict[str, str] = {
    "date": "date, YYYY-MM-DD",
    "date-time": "date and time with offset, like 2031-05-04T13:45:00Z",
    "time": "time with offset, like 13:45:00Z",
    "duration": "ISO 8601 duration, like P3DT4H",
    "email": "e-mail address",
    "idn-email": "e-mail address",
    "uri": "URL with its scheme, like https://example.org/page",
    "iri": "URL with its scheme, like https://example.org/page",
    "uuid": "UUID",
    "hostname": "host name",
    "ipv4": "IPv4 address",
    "ipv6": "IPv6 address",
    "regex": "regular expression",
    "reasoning": "string",
    "image": "image",
    "audio": "audio recording",
    "file": "file",
}
"""What a model is told about a format; one that is missing here is named as it stands."""


def is_date_time(text: object) -> bool:
    """RFC 3339 `date-time`: full date, time with seconds, and an offset."""
    return not isinstance(text, str) or (_DATE_TIME.fullmatch(text) is not None and _is_moment(text))


def is_time(text: object) -> bool:
    """RFC 3339 `full-time`: seconds and an offset."""
    return not isinstance(text, str) or (
        _TIME.fullmatch(text) is not None and is_date_time(f"2000-01-01T{text}")
    )


def is_duration(text: object) -> bool:
    """ISO 8601 duration as in RFC 3339, appendix A: `P1Y2M3DT4H5M6S` or `P2W`."""
    return not isinstance(text, str) or _DURATION.fullmatch(text) is not None


def is_email(text: object) -> bool:
    """One `@` with something on both sides, and no space."""
    return not isinstance(text, str) or _EMAIL.fullmatch(text) is not None


def is_hostname(text: object) -> bool:
    """Dotted labels of letters, digits and hyphens (RFC 1123)."""
    if not isinstance(text, str):
        return True
    labels = text.removesuffix(".").split(".")
    return len(text) <= 253 and all(_HOSTNAME_LABEL.fullmatch(label) for label in labels)


def is_uri(text: object) -> bool:
    """A scheme and what follows it, without spaces; a web address also needs a host."""
    if not isinstance(text, str):
        return True
    if not _URI.fullmatch(text):
        return False
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return bool(parts.netloc) or parts.scheme.lower() not in {"http", "https", "ftp", "ws", "wss"}


def format_checker() -> FormatChecker:
    """A checker of its own, so that nothing is registered for the whole process."""
    checker = FormatChecker()
    for name, check in (
        ("date-time", is_date_time),
        ("time", is_time),
        ("duration", is_duration),
        ("email", is_email),
        ("idn-email", is_email),
        ("hostname", is_hostname),
        ("uri", is_uri),
        ("iri", is_uri),
    ):
        checker.checks(name)(check)
    return checker


def _is_moment(text: str) -> bool:
    try:
        datetime.fromisoformat(text.upper())
    except ValueError:
        return False
    return True
