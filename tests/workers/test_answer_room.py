from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp import model
from dispatch_mcp.workers import answer_room

NOTHING = model.Usage(cost_usd=0.0)
LONG = 100_000


def tiered(_name: str | None, usage: model.Usage) -> float:
    """Two dollars per million tokens in and ten out, 2.5 into the cache; five times as much for a long prompt."""
    prompt = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
    dollars = 2 * usage.input_tokens + 10 * usage.output_tokens + 2.5 * usage.cache_write_tokens
    return (dollars + 0.2 * usage.cache_read_tokens) * (5 if prompt > LONG else 1) / 1e6


@pytest.mark.parametrize(
    ("ceiling", "usage", "prompt", "tokens", "stopper"),
    [
        ({}, NOTHING, 50_000, 32_000, ""),
        ({"tokens": 10**7}, NOTHING, 50_000, 32_000, ""),
        ({"tokens": 60_000}, NOTHING, 50_000, 10_000, "tokens"),
        ({"tokens": 60_000}, model.Usage(cache_read_tokens=4_000), 50_000, 6_000, "tokens"),
        ({"tokens": 60_000}, model.Usage(cache_write_tokens=40_000), 50_000, -30_000, "tokens"),
        ({"dollars": 0.05}, NOTHING, 10_000, 2_500, "dollars"),
        ({"dollars": 0.05}, model.Usage(cost_usd=0.01), 10_000, 1_500, "dollars"),
        ({"dollars": 1.75}, NOTHING, 120_000, 5_000, "dollars"),
        ({"dollars": 0.05, "tokens": 11_000}, NOTHING, 10_000, 1_000, "tokens"),
    ],
)
@pytest.mark.promise("S18")
def test_an_answer_gets_what_the_nearest_ceiling_leaves_beside_its_prompt(
    ceiling: dict[str, float], usage: model.Usage, prompt: int, tokens: int, stopper: str
) -> None:
    room = answer_room.room(32_000, model.TaskLimits.model_validate(ceiling), usage, ("m", prompt), tiered)
    assert room.tokens == pytest.approx(tokens, abs=1)
    assert (room.stopper, room.is_enough) == (stopper, tokens >= answer_room.LEAST_TOKENS)


@pytest.mark.promise("S18")
@given(
    st.floats(1e-6, 50.0), st.integers(1, 10**7), st.integers(0, 400_000), st.floats(0.0, 20.0), st.integers(0, 10**6)
)
def test_the_worst_answer_within_its_room_goes_over_no_ceiling(
    dollars: float, tokens: int, prompt: int, spent: float, used: int
) -> None:
    usage = model.Usage(input_tokens=used, cost_usd=spent)
    room = answer_room.room(32_000, model.TaskLimits(dollars=dollars, tokens=tokens), usage, ("m", prompt), tiered)
    if room.is_enough:
        worst = model.Usage(cache_write_tokens=prompt, output_tokens=room.tokens)
        assert spent + tiered("m", worst) <= dollars + 1e-9
        assert used + worst.tokens <= tokens
    assert math.isfinite(room.tokens)
