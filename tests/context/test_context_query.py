"""How a task's text is read before the index is asked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.context import context_query

_TEXTS = st.text(max_size=300) | st.lists(
    st.sampled_from(["fix", "the", "user_agent", "AsyncClient", "src/app.py", "`x`", "HTTPError", "it's", ".", "\n"])
).map(" ".join)


@given(_TEXTS)
def test_reading_a_text_is_the_same_every_time_and_within_its_limits(text: str) -> None:
    query = context_query.read(text)
    assert query == context_query.read(text)
    assert len(query.words) == len(set(query.words)) <= context_query.MAX_TERMS
    assert len(query.pairs) <= context_query.MAX_PAIRS
    assert len(query.names) <= 30
    assert len(query.paths) <= 20


@given(_TEXTS)
def test_words_are_in_lower_case_and_in_the_text(text: str) -> None:
    spaced = context_query.spaced(text).lower()
    assert all(word in spaced for word in context_query.read(text).words)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Let Cart.total round", ("Cart.total",)),
        ("std::move is not used", ("std::move",)),
        ("fix list_orders and listOrders", ("list_orders", "listOrders")),
        ("HTTPError is raised", ("HTTPError",)),
        ("`retry()` and ``limit``", ("retry", "limit")),
        ('Rename "total" to "sum"', ("total", "sum")),
        ("`two words` are no name", ()),
        ("don't do what we don't want", ()),
    ],
)
def test_names_are_what_looks_like_code_or_is_quoted(text: str, names: tuple[str, ...]) -> None:
    assert set(context_query.read(text).names) == set(names)


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("see src/app.py.", ("src/app.py",)),
        ("in ./lib/a/b.ts and conftest.py", ("./lib/a/b.ts", "conftest.py")),
        ("version 1.2.3 of and/or", ("and/or",)),
        ("nothing here", ()),
    ],
)
def test_paths_are_what_has_a_slash_or_an_ending_of_code(text: str, paths: tuple[str, ...]) -> None:
    assert context_query.read(text).paths == paths


def test_the_title_is_the_first_sentence() -> None:
    assert context_query.read("Round amounts. Then store them.").title == {"round", "amounts"}
    assert context_query.read("Round amounts\nThen store them.").title == {"round", "amounts"}


def test_a_pair_is_broken_by_a_sign_and_by_words_that_say_nothing() -> None:
    query = context_query.read("retry budget, limit of attempts")
    assert query.pairs == (("retry", "budget"),)
    assert context_query.read("retry-budget").pairs == (("retry", "budget"),)


def test_quoted_words_are_known_as_such() -> None:
    assert context_query.read("Fix `user agent` of clients").quoted == {"user", "agent"}


@pytest.mark.parametrize(
    ("word", "same"),
    [("orders", "order"), ("sessions", "session"), ("retries", "retry"), ("running", "runs"), ("rounded", "rounding")],
)
def test_forms_of_a_word_have_one_stem(word: str, same: str) -> None:
    assert context_query.stem(word) == context_query.stem(same)


def test_the_full_text_query_asks_for_any_word_and_for_pairs_as_phrases() -> None:
    assert context_query.read("retry budget").match({}) == '"retry" OR "budget" OR "retry budget"'
    assert context_query.read("").match({}) == ""


def test_common_words_are_left_out_if_enough_rare_ones_remain() -> None:
    query = context_query.read("alpha beta gamma delta value")
    stems = {context_query.stem(word): 5.0 for word in query.words}
    rarity = {**stems, context_query.stem("value"): 0.3}
    assert '"value" OR' not in query.match(rarity)
    few = context_query.read("alpha value")
    assert '"value"' in few.match(rarity)


def test_the_rarest_words_are_asked_for_first_and_no_more_than_wanted() -> None:
    query = context_query.read("alpha beta gamma")
    rarity = {context_query.stem(word): weight for word, weight in (("alpha", 1.0), ("beta", 9.0), ("gamma", 5.0))}
    assert query.match_rarest(rarity, 2) == '"beta" OR "gamma"'


def test_phrases_are_counted_in_plain_text() -> None:
    query = context_query.read("retry budget")
    assert context_query.phrases(query, context_query.plain("def retryBudget(): ...")) == 1
    assert context_query.phrases(query, context_query.plain("budget of a retry")) == 0


@given(st.text("abcXYZ_-. ", max_size=60))
def test_plain_text_has_no_capitals_and_its_stems_are_those_of_the_text(text: str) -> None:
    plain = context_query.plain(text)
    assert plain == plain.lower()
    assert not set("_-.") & set(plain)
