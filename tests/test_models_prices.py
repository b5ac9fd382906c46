"""Prices: the spec's, else the table of the installed litellm, else unknown."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptc.runners.models.prices import FREE, PriceMap, Pricing, pricing_of
from promptc.runners.models.request import Usage
from promptc.spec.model import Model, Price

TABLE = {
    "sample_spec": {"litellm_provider": "one of many", "input_cost_per_token": 0},
    "gpt-x": {
        "litellm_provider": "openai",
        "input_cost_per_token": 2e-06,
        "output_cost_per_token": 8e-06,
        "cache_read_input_token_cost": 5e-07,
    },
    "azure/gpt-x": {
        "litellm_provider": "azure",
        "input_cost_per_token": 3e-06,
        "output_cost_per_token": 9e-06,
    },
    "gem": {
        "litellm_provider": "vertex_ai-language-models",
        "input_cost_per_token": 1e-06,
        "output_cost_per_token": 4e-06,
        "input_cost_per_token_above_200k_tokens": 2e-06,
        "output_cost_per_token_above_200k_tokens": 6e-06,
    },
    "picture": {"litellm_provider": "openai", "output_cost_per_image": 0.1},
}


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "prices.json"
    path.write_text(json.dumps(TABLE))
    return PriceMap(path)


@pytest.mark.parametrize(
    ("model", "price"),
    [
        ("openai/gpt-x", Price(input=2.0, cached_input=0.5, output=8.0)),
        ("gpt-x", Price(input=2.0, cached_input=0.5, output=8.0)),
        ("azure/gpt-x", Price(input=3.0, output=9.0)),
        ("vertex_ai/gem", Price(input=1.0, output=4.0)),
        ("groq/gpt-x", None),
        ("openai/nothing", None),
        ("openai/picture", None),
        ("sample_spec", None),
    ],
)
def test_a_model_is_found_by_its_name_and_its_provider(table, model, price):
    pricing = pricing_of(Model(model=model), table)
    assert (pricing.price() if pricing else None) == price


def test_the_spec_has_the_last_word(table):
    price = Price(input=1.0, output=1.0)
    assert pricing_of(Model(model="openai/gpt-x", price=price), table) == Pricing(((0, price),))


@pytest.mark.parametrize("model", ["embedded/icl", "embedded/script"])
def test_what_runs_here_is_free(table, model):
    assert pricing_of(Model(model=model), table) == FREE
    assert FREE.cost(Usage(1000, 1000)) == 0


def test_cached_input_has_its_own_price_where_there_is_one(table):
    cheaper, plain = table.pricing("gpt-x"), table.pricing("azure/gpt-x")
    assert cheaper.cost(Usage(1_000_000, 0, 400_000)) == pytest.approx(0.6 * 2.0 + 0.4 * 0.5)
    assert plain.cost(Usage(1_000_000, 1_000_000, 400_000)) == pytest.approx(3.0 + 9.0)


@pytest.mark.parametrize(("tokens", "price"), [(1, 1.0), (200_000, 1.0), (200_001, 2.0)])
def test_long_prompts_cost_their_own_price(table, tokens, price):
    assert table.pricing("vertex_ai/gem").cost(Usage(tokens, 0)) == pytest.approx(tokens * price / 1e6)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.floats(0, 1))
def test_more_tokens_never_cost_less(into, out, share):
    pricing = Pricing(((0, Price(input=2.0, cached_input=0.5, output=8.0)),))
    usage = Usage(into, out, int(into * share))
    assert pricing.cost(usage) <= pricing.cost(Usage(into + 1, out, usage.cached_tokens))
    assert pricing.cost(usage) <= pricing.cost(Usage(into, out + 1, usage.cached_tokens))
    assert 0 <= pricing.cost(usage) <= (into * 2.0 + out * 8.0) / 1e6 + 1e-12


def test_the_installed_table_knows_common_models():
    prices = PriceMap()
    for model in ("openai/gpt-4.1-mini", "anthropic/claude-sonnet-4-5", "gemini/gemini-2.5-pro"):
        pricing = prices.pricing(model)
        assert pricing is not None
        assert 0 < pricing.price().input < pricing.price().output
    assert {"openai", "anthropic", "bedrock"} <= prices.providers()


def test_without_a_table_nothing_is_known(tmp_path):
    (tmp_path / "empty.json").write_text("{}")
    empty = PriceMap(tmp_path / "empty.json")
    assert empty.pricing("openai/gpt-4.1") is None
    assert empty.providers() == frozenset()
