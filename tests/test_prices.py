"""What usage costs, beside the list prices that the command line client of the provider stores."""

from __future__ import annotations

import subprocess
import sys

import genai_prices
import pytest

from dispatch_mcp import model, prices

MILLION = 1_000_000
LISTED = {
    "fable": (8.0, 40.0, 0.2, 10.0),
    "opus": (4.0, 20.0, 0.2, 5.0),
    "sonnet": (2.0, 10.0, 0.1, 2.5),
    "claude-haiku-4-5": (1.0, 5.0, 0.1, 1.25),
}
"""Dollars of a million tokens: read, written, from the cache, to the cache (docs/rules.md#model-prices)."""


@pytest.mark.parametrize("name", LISTED)
def test_every_kind_of_token_has_the_listed_price(name: str) -> None:
    kinds = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
    found = [prices.dollars(name, model.Usage(**{kind: MILLION})) for kind in kinds]
    assert found == pytest.approx(LISTED[name])


def test_a_long_prompt_of_a_tiered_model_costs_more() -> None:
    short = prices.dollars("haiku", model.Usage(input_tokens=100_000))
    long = prices.dollars("haiku", model.Usage(input_tokens=200_000))
    assert (short, long) == (pytest.approx(0.01), pytest.approx(0.1))


@pytest.mark.parametrize("name", ["", "inherit", None, "nobody-heard-of-it", "gpt-5"])
def test_a_model_that_nobody_named_or_priced_has_no_figure(name: str | None) -> None:
    assert prices.dollars(name, model.Usage(input_tokens=MILLION)) is None


def test_the_short_name_the_full_one_and_its_variants_cost_the_same() -> None:
    usage = model.Usage(input_tokens=1234, output_tokens=567, cache_read_tokens=89_000)
    costs = {prices.dollars(name, usage) for name in ("opus", "claude-opus-5-5", "claude-opus-5-5[1m]")}
    assert len(costs) == 1


def test_a_mixed_usage_costs_what_the_price_list_says() -> None:
    usage = model.Usage(input_tokens=1000, output_tokens=2000, cache_read_tokens=30_000, cache_write_tokens=4000)
    whole = genai_prices.Usage(
        input_tokens=35_000, output_tokens=2000, cache_read_tokens=30_000, cache_write_tokens=4000
    )
    listed = genai_prices.calc_price(whole, "claude-sonnet-5-5", provider_id="anthropic")
    assert prices.dollars("sonnet", usage) == pytest.approx(float(listed.total_price))


def test_the_price_list_is_not_loaded_before_a_price_is_asked_for() -> None:
    code = "import sys; import dispatch_mcp.composition; print('genai_prices' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=120)
    assert found.stdout.strip() == "False"
