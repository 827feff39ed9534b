"""One table of what figures can be, and that everything which holds figures obeys it."""

from __future__ import annotations

import math
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from dispatch_mcp import model
from dispatch_mcp.model import bounds, usage_reader

ANY_NUMBER = (
    st.integers() | st.floats() | st.sampled_from([2**62, 2**63, 2**64, 10**400, 1.7e308, -1, math.nan, math.inf])
)
LARGEST_RUN = bounds.MAX_TASKS * 20
"""Attempts of a run in which every task is tried as often as it may be."""


@pytest.mark.parametrize("name", bounds.CEILINGS)
@given(ANY_NUMBER | st.booleans())
def test_a_ceiling_is_taken_exactly_where_its_bound_holds(name: str, value: float) -> None:
    bound = bounds.CEILINGS[name]
    try:
        limits = model.Limits.model_validate({name: value})
    except ValidationError:
        assert not bound.holds(value)
    else:
        assert bound.holds(value) or 0 < value < bound.least
        assert abs(getattr(limits, name)) <= bound.most


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("tokens", "a whole number from 1 to 1,000,000,000,000"),
        ("dollars", "a number from 1e-06 to 1,000,000,000"),
        ("depth", "a whole number from 0 to 8"),
    ],
)
def test_a_bound_says_in_words_what_is_possible(name: str, words: str) -> None:
    assert str(bounds.CEILINGS[name]) == words


@given(st.dictionaries(st.sampled_from([*bounds.USAGE]), ANY_NUMBER | st.none()))
def test_a_usage_within_bounds_can_be_made_of_any_figures(figures: dict[str, float | None]) -> None:
    whole = {
        name: figure if "tokens" not in name or figure is None else _whole(figure) for name, figure in figures.items()
    }
    usage = model.Usage.within_bounds(whole)
    for name, most in bounds.USAGE.items():
        assert 0 <= (getattr(usage, name) or 0) <= most


def _whole(figure: float) -> float:
    return int(figure) if isinstance(figure, int) or math.isfinite(figure) else figure


@pytest.mark.parametrize("name", bounds.USAGE)
@pytest.mark.parametrize("beyond", [2**62, 1.7e308, math.inf, math.nan, -1])
def test_a_usage_beyond_its_bounds_cannot_be_made(name: str, beyond: float) -> None:
    with pytest.raises(ValidationError):
        model.Usage.model_validate({name: beyond})


def test_the_sums_of_the_largest_run_fit_into_the_integers_of_the_store() -> None:
    assert LARGEST_RUN * bounds.MAX_TOKENS * 4 < bounds.MAX_INTEGER


@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={"input_tokens": ANY_NUMBER, "prompt": ANY_NUMBER, "cache_read": ANY_NUMBER, "cost": ANY_NUMBER},
        ),
        max_size=4,
    ),
    st.floats(0, 1e6) | st.none(),
)
def test_usage_of_any_numbers_is_refused_or_within_bounds(entries: list[dict[str, float]], price: float | None) -> None:
    with suppress(usage_reader.UnreadableUsage):
        usage = usage_reader.read(entries).priced("m", lambda _name, _usage: price)
        assert usage.tokens <= 4 * bounds.MAX_TOKENS
        assert (usage.cost_usd or 0) <= bounds.MAX_DOLLARS
