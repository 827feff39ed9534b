from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.model import model_names


def test_every_short_name_stands_for_a_full_one_and_says_how_that_is_known() -> None:
    for name, alias in model_names.TABLE.items():
        assert model_names.resolve(name) == alias.model
        assert alias.model.startswith(f"claude-{name}-")
        assert alias.provenance


def test_a_full_name_stands_for_itself_and_none_for_nothing() -> None:
    assert model_names.resolve("claude-opus-5-5") == "claude-opus-5-5"
    assert model_names.resolve("of-another-provider") == "of-another-provider"
    assert model_names.resolve(None) == model_names.resolve("") == model_names.resolve(model_names.INHERIT) == ""


@pytest.mark.parametrize(
    ("name", "bare"),
    [
        ("claude-sonnet-5-5@20261101", "claude-sonnet-5-5"),
        ("claude-sonnet-5-5[1m]", "claude-sonnet-5-5"),
        ("claude-sonnet-5-5@20261101[1m]", "claude-sonnet-5-5"),
        ("claude-sonnet-5-5@today", "claude-sonnet-5-5@today"),
        ("sonnet", "claude-sonnet-5-5"),
        (None, ""),
    ],
)
def test_price_lists_have_names_without_date_and_context(name: str | None, bare: str) -> None:
    assert model_names.bare(name) == bare


def test_the_models_that_are_used_unasked_are_in_the_table() -> None:
    assert {model_names.DEFAULT, model_names.REVIEW_MODEL} <= model_names.TABLE.keys()


def test_an_effort_is_one_of_the_words_of_a_request_or_none() -> None:
    assert [model_names.effort(f" {word.upper()} ") for word in model_names.EFFORTS] == list(model_names.EFFORTS)
    assert model_names.effort("extreme") == model_names.effort("") == ""


_NAMES = st.sampled_from([*model_names.TABLE, model_names.INHERIT, "claude-x-1", ""]) | st.text("ab-1m", max_size=12)
_SUFFIXES = st.sampled_from(["", "@20261101", "[1m]", "@20261101[1m]"])


@given(_NAMES, _SUFFIXES)
def test_a_name_is_full_after_once_and_bare_after_once(name: str, suffix: str) -> None:
    full = model_names.resolve(name)
    assert model_names.resolve(full) == full
    assert model_names.resolve(name + suffix) in {name + suffix, full}
    assert model_names.bare(full + suffix) == model_names.bare(full) == full


@pytest.mark.parametrize("name", ["Opus", "OPUS", " opus", "opus ", "opus5", "claude-opus", "opus[1m]"])
def test_only_the_short_names_themselves_are_short_for_anything(name: str) -> None:
    assert model_names.resolve(name) == name
