"""Ceilings under all the names that models give them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp import model
from dispatch_mcp.planning import limits

_NAMES = st.sampled_from([*limits.ALIASES, *sorted(model.Limits.model_fields.keys() - {"beyond_forecast"})])


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ({}, {}),
        ({"dollars": 5}, {"dollars": 5}),
        ({"max_usd": 5}, {"dollars": 5}),
        ({"budget": 5, "max_tokens": 10, "min": 3}, {"dollars": 5, "tokens": 10, "minutes": 3}),
        ({"usd": 5, "dollars": 3}, {"dollars": 3}),
        ({"dollars": 3, "usd": 5}, {"dollars": 3}),
        ({"tries": 2, "max_attempts": 4, "attempts": 3}, {"attempts": 2}),
        ({"max_parallel": 4, "fanout": 6}, {"fan_out": 4}),
        ({"max_tasks": 7, "max_depth": 1}, {"tasks": 7, "depth": 1}),
        ({"usd": None, "dollars": 3}, {"dollars": 3}),
        ({"dollars": 3, "usd": None}, {"dollars": 3}),
        ({"unheard": 1}, {"unheard": 1}),
        ({"usd": "five", "dollars": 3}, {"dollars": "five"}),
        ({"dollars": 3, "usd": "five"}, {"dollars": "five"}),
        ({"Dollars": 3}, {"Dollars": 3}),
    ],
)
def test_a_ceiling_is_known_by_each_of_its_names_and_the_lower_one_counts(
    written: dict[str, model.Json], read: dict[str, model.Json]
) -> None:
    assert limits.canonical(written) == read


def test_every_other_name_stands_for_a_ceiling_that_there_is_and_for_none_of_its_own() -> None:
    assert set(limits.ALIASES.values()) <= set(model.Limits.model_fields)
    assert not set(limits.ALIASES) & set(model.Limits.model_fields)


@given(st.dictionaries(_NAMES, st.integers(1, 9) | st.none(), max_size=6))
def test_limits_in_any_names_are_limits_and_stay_as_they_are_once_read(written: dict[str, int | None]) -> None:
    read = limits.canonical(written)
    assert limits.canonical(read) == read
    for name, value in read.items():
        same = [given for alias, given in written.items() if limits.ALIASES.get(alias, alias) == name]
        assert value == min(given for given in same if given is not None)
    if read.get("depth", 0) <= 8:
        assert model.Limits.model_validate(read).model_dump(exclude_unset=True) == read
