"""Tokens counted from above."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.text import token_count

_TEXTS = st.text("aZé日1 \n\t.-_x", max_size=12)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("   ", 0),
        ("word", 1),
        ("Word", 1),
        ("a list of words", 4),
        ("eightlet", 1),
        ("ninelette", 2),
        ("HTTP", 1),
        ("HTTPS", 2),
        ("parseHTTP", 2),
        ("2024", 4),
        ("x == y", 3),
        ("x!==y", 4),
        ("snake_case", 3),
        ("a\tb", 3),
        ("\t\t", 2),
        ("a\n        b", 3),
        ("a\n\nb", 4),
        ("é", 2),
        ("日本", 5),
        ("🙂", 4),
    ],
)
def test_words_signs_digits_and_line_breaks_count_as_they_are_said_to(text: str, tokens: int) -> None:
    assert token_count.count(text) == tokens


@given(_TEXTS, _TEXTS)
def test_two_texts_together_have_at_most_the_tokens_of_both_and_at_least_those_of_either(first: str, last: str) -> None:
    whole = token_count.count(first + last)
    assert max(token_count.count(first), token_count.count(last)) <= whole
    assert whole <= token_count.count(first) + token_count.count(last)


@given(st.text(st.characters(min_codepoint=0x80), max_size=30).filter(lambda text: not text.isspace()))
def test_a_character_outside_ascii_is_never_cheaper_than_its_bytes_suggest(text: str) -> None:
    assert token_count.count(text) >= len(text.encode("utf-8", "surrogatepass")) - len(text)


def test_half_a_pair_of_surrogates_is_counted_and_does_not_fail() -> None:
    assert token_count.count("\ud800") == 3


@given(st.integers(0, 10_000_000))
def test_an_estimate_is_the_least_whole_number_that_holds_a_token_for_three_and_a_half_characters(size: int) -> None:
    tokens = token_count.estimate(size)
    assert (tokens - 1) * 7 < size * 2 <= tokens * 7


@given(st.lists(st.integers(0, 1_000), max_size=12), st.integers(0, 5_000))
def test_a_fair_share_is_the_largest_to_which_all_can_be_cut(sizes: list[int], limit: int) -> None:
    share = token_count.fair_share(sizes, limit)
    assert sum(min(size, share) for size in sizes) <= limit
    if any(size > share for size in sizes):
        assert sum(min(size, share + 1) for size in sizes) > limit
