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
    spaced = context_query.split_names(text).lower()
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
    assert context_query.read("Fix `user agent` of clients").quote_words == {"user", "agent"}


@pytest.mark.parametrize(
    ("word", "same"),
    [("orders", "order"), ("sessions", "session"), ("retries", "retry"), ("running", "runs"), ("rounded", "rounding")],
)
def test_forms_of_a_word_have_one_stem(word: str, same: str) -> None:
    assert context_query.stem(word) == context_query.stem(same)


def test_the_full_text_query_asks_for_any_word_and_for_pairs_as_phrases() -> None:
    query = context_query.read("retry budget")
    rows = {"retry": 30, "budget": 20}
    assert context_query.match(query.words, query.pairs, rows).text == '"budget" OR "retry" OR "retry budget"'


def test_the_full_text_query_leaves_out_what_nothing_holds() -> None:
    query = context_query.read("retry budget")
    assert context_query.match(query.words, query.pairs, {"retry": 1, "budget": 0}).text == '"retry"'
    assert context_query.match(query.words, query.pairs, {}).text == ""


def test_common_words_bring_no_parts_where_rare_ones_bring_enough_but_count_as_much() -> None:
    rows = {"total": 150, "basket": 250, "value": context_query.ENOUGH, "self": context_query.MOST}
    rare, common = '"total" OR "basket"', '"value" OR "self"'
    match = context_query.match(rows, (), rows)
    assert match == context_query.WordMatch(f"({rare}) AND ({rare} OR {common} OR {common})", 2)


def test_a_word_that_stands_nearly_everywhere_adds_nothing_to_what_rare_ones_bring() -> None:
    rows = {"total": 250, "value": context_query.ENOUGH, "self": context_query.MOST + 1}
    assert "self" not in context_query.match(rows, (), rows).text
    assert '"self"' in context_query.match(["self"], (), rows).text


def test_a_common_word_brings_parts_where_rare_ones_bring_few() -> None:
    rows = {"total": 3, "value": 9 * context_query.ENOUGH}
    assert context_query.match(rows, (), rows) == context_query.WordMatch('"total" OR "value"')


def test_the_rarest_words_come_first_and_no_more_than_wanted() -> None:
    query = context_query.read("alpha beta gamma")
    rarity = {context_query.stem(word): weight for word, weight in (("alpha", 1.0), ("beta", 9.0), ("gamma", 5.0))}
    assert query.rarest(rarity, 2) == ["beta", "gamma"]


@pytest.mark.parametrize(
    ("text", "path", "has"),
    [
        ("see ./app/cart.py", "app/cart.py", True),
        ("see app/cart.py", "shop/app/cart.py", True),
        ("see app/cart.py", "myapp/cart.py", False),
        ("see the cart", "app/cart.py", False),
    ],
)
def test_a_task_has_a_path_or_its_end_from_a_folder_on(text: str, path: str, *, has: bool) -> None:
    assert context_query.read(text).has_path(path) is has


_IRREGULAR = ("wrote", "people", "broken", "ran", "verified", "indices", "authorized", "writes")
_COMPOUND = ("queryBudget", "utf8", "a_total", "x2y", "IDs", "42nd")
_FORMS = st.sampled_from(
    [*_IRREGULAR, *_COMPOUND, "retries", "runner", "2", "db", "Größe", "écrit", "rest", "arrest", "½"]
)


@given(_TEXTS | st.lists(_FORMS).map(" ".join), _TEXTS | st.lists(_FORMS).map("/".join))
def test_the_terms_of_a_task_that_a_text_has_are_those_among_all_stems_of_the_text(task: str, text: str) -> None:
    query, plain = context_query.read(task), context_query.plain(text)
    assert context_query.terms_in(query, plain) == context_query.plain_stems(plain) & frozenset(query.terms)


def test_phrases_are_counted_in_plain_text() -> None:
    query = context_query.read("retry budget")
    for text, count in (
        ("def retryBudget(): ...", 1),
        ("budget of a retry", 0),
        ("retry budgets", 1),
        ("aretry budget", 0),
    ):
        plain = context_query.plain(text)
        assert context_query.phrases(query, context_query.terms_in(query, plain), plain) == count


@given(st.text("abcXYZ_-. ", max_size=60))
def test_plain_text_has_no_capitals_and_its_stems_are_those_of_the_text(text: str) -> None:
    plain = context_query.plain(text)
    assert plain == plain.lower()
    assert not set("_-.") & set(plain)
