"""What a reply costs in US dollars."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import msgspec

from promptc.runners.models.request import Usage
from promptc.spec.model import Model, Price

_MILLION = 1_000_000
_TIER = re.compile(r"input_cost_per_token_above_(\d+)k_tokens$")


class Pricing(msgspec.Struct, frozen=True):
    """The prices of one model: (input tokens above which it holds, price), ascending, the first from 0."""

    tiers: tuple[tuple[int, Price], ...]

    def price(self, input_tokens: int = 0) -> Price:
        """The price of a request with so many input tokens."""
        return next(price for above, price in reversed(self.tiers) if input_tokens > above or above == 0)

    def cost(self, usage: Usage) -> float:
        """US dollars for one reply. Cached input costs its own price where the model has one."""
        price = self.price(usage.input_tokens)
        cached = price.input if price.cached_input is None else price.cached_input
        fresh = usage.input_tokens - usage.cached_tokens
        dollars = fresh * price.input + usage.cached_tokens * cached + usage.output_tokens * price.output
        return dollars / _MILLION


FREE = Pricing(((0, Price(input=0.0, output=0.0)),))
"""What embedded, script and replay cost."""


def litellm_file(name: str) -> Path | None:
    """A data file of the installed litellm package, found without importing it; None when missing."""
    found = importlib.util.find_spec("litellm")
    for folder in (found.submodule_search_locations if found else None) or ():
        if (path := Path(folder) / name).is_file():
            return path
    return None


class PriceMap:
    """litellm's own table of models and prices, read as a file and only when first needed.

    Without the file every price is unknown. A test names another file with `path`.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._entries: dict[str, msgspec.Raw] | None = None

    def entry(self, model: str) -> dict[str, Any] | None:
        """What the table says about a model named as litellm names it (`openai/gpt-4.1`, `gpt-4.1`)."""
        entries = self._read()
        provider, slash, rest = model.partition("/")
        if model in entries:
            return self._decode(entries[model])
        if slash and rest in entries:
            entry = self._decode(entries[rest])
            owner = str(entry.get("litellm_provider", ""))
            return entry if owner == provider or owner.startswith((f"{provider}_", f"{provider}-")) else None
        return None

    def pricing(self, model: str) -> Pricing | None:
        """The prices of a model; None where the table has none in tokens."""
        entry = self.entry(model)
        first = _price(entry, "") if entry is not None else None
        if entry is None or first is None:
            return None
        tiers = [(0, first)]
        for above in sorted(int(match.group(1)) for key in entry if (match := _TIER.match(key))):
            price = _price(entry, f"_above_{above}k_tokens", otherwise=first)
            tiers += [(above * 1000, price)] if price is not None else []
        return Pricing(tuple(tiers))

    def names(self) -> frozenset[str]:
        """Every model name in the table."""
        return frozenset(self._read())

    def providers(self) -> frozenset[str]:
        """Every provider that the table mentions."""
        raws = self._read().values()
        return frozenset(msgspec.json.decode(raw, type=_Owner).litellm_provider for raw in raws) - {""}

    def _read(self) -> dict[str, msgspec.Raw]:
        if self._entries is None:
            path = self._path or litellm_file("model_prices_and_context_window_backup.json")
            content = path.read_bytes() if path is not None else b"{}"
            self._entries = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
            self._entries.pop("sample_spec", None)
        return self._entries

    @staticmethod
    def _decode(raw: msgspec.Raw) -> dict[str, Any]:
        return msgspec.json.decode(raw, type=dict[str, Any])


class _Owner(msgspec.Struct):
    litellm_provider: str = ""


def _price(entry: dict[str, Any], suffix: str, otherwise: Price | None = None) -> Price | None:
    """The price under one tier's keys; what the tier leaves out is as in `otherwise`."""

    def figure(key: str, default: float | None) -> float | None:
        value = entry.get(key + suffix)
        return round(value * _MILLION, 9) if isinstance(value, int | float) else default

    into = figure("input_cost_per_token", otherwise.input if otherwise else None)
    out = figure("output_cost_per_token", otherwise.output if otherwise else None)
    cached = figure("cache_read_input_token_cost", otherwise.cached_input if otherwise else None)
    return None if into is None or out is None else Price(input=into, output=out, cached_input=cached)


def pricing_of(model: Model, prices: PriceMap) -> Pricing | None:
    """A model's prices: as its spec says, nothing for what runs here, else the table's. None: unknown."""
    if model.price is not None:
        return Pricing(((0, model.price),))
    if model.transport in ("embedded", "script", "replay") or model.model.startswith("embedded/"):
        return FREE
    return prices.pricing(model.model)
