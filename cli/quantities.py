"""Ages and sizes as people type and read them: `7d`, `1GB`, `2 days ago`."""

from __future__ import annotations

import re
import time
from datetime import datetime

import click

_AGES = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_SIZES = {
    "": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip
_QUANTITY = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")


def read_age(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """An option's `90s`, `12h`, `7d`, `2w` in seconds. click.BadParameter says what is allowed."""
    if value is None:
        return None
    found = _QUANTITY.fullmatch(value)
    if found is None or found[2].lower() not in _AGES:
        raise click.BadParameter(
            f"{value!r} is no age: a number with s, m, h, d or w, such as 7d", ctx, param
        )
    return float(found[1]) * _AGES[found[2].lower()]


def read_moment(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """An option's age (`7d`: so long ago) or date (`2026-01-31`, local time) in seconds since the epoch."""
    if value is None:
        return None
    try:
        return datetime.fromisoformat(value.strip()).timestamp()
    except ValueError:
        if not _QUANTITY.fullmatch(value):
            raise click.BadParameter(
                f"{value!r} is no moment: an age such as 7d, or a date such as 2026-01-31", ctx, param
            ) from None
    age = read_age(ctx, param, value)
    return None if age is None else time.time() - age


def read_size(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """An option's `1000`, `500kB`, `1.5GB`, `1GiB` in bytes. click.BadParameter says what is allowed."""
    if value is None:
        return None
    found = _QUANTITY.fullmatch(value)
    if found is None or found[2].lower() not in _SIZES:
        raise click.BadParameter(
            f"{value!r} is no size: a number with kB, MB, GB or GiB, such as 1GB", ctx, param
        )
    return int(float(found[1]) * _SIZES[found[2].lower()])


def size_text(count: int) -> str:
    """Bytes with three digits at most: `0 B`, `17 kB`, `1.2 MB`."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 999.5:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 9.95 else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def age_text(seconds: float) -> str:
    """How long ago: `just now`, `5 minutes ago`, `3 days ago`."""
    for unit, length in (("day", 86400.0), ("hour", 3600.0), ("minute", 60.0)):
        if seconds >= length:
            whole = int(seconds // length)
            return f"{whole} {unit}{'' if whole == 1 else 's'} ago"
    return "just now"


def time_text(moment: float, now: float) -> str:
    """A moment in local time, and how long ago that is. Both in seconds since the epoch."""
    return f"{datetime.fromtimestamp(moment).isoformat(' ', 'minutes')} ({age_text(now - moment)})"
