from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.model import short_ids
from dispatch_mcp.text.reading import reported_failures

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-1_000, 1_000) | st.text("abc {}[]\"'\\", max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), VALUES, min_size=1, max_size=3))
def test_the_object_that_ends_an_answer_is_read_also_within_a_fence(value: dict[str, object]) -> None:
    text = json.dumps(value)
    for answer in (
        text,
        f"All is done.\n\n{text}\n",
        f"It is:\n```json\n{text}\n```\n",
        f'{{"old": 1}} and then {text}',
    ):
        assert reported_failures.last_object(answer) == value


@pytest.mark.parametrize("answer", ["", "done", '{"a": 1} was my answer', "[1, 2]", "}", '{"a": ', "```\n```"])
def test_an_answer_that_no_object_ends_has_none(answer: str) -> None:
    assert reported_failures.last_object(answer) is None


@pytest.mark.parametrize("title", ["", "!!!", "日本語", "   "])
def test_a_title_without_plain_letters_has_no_words(title: str) -> None:
    assert short_ids.slug(title) == ""


@given(st.text(max_size=200))
def test_the_words_of_any_title_are_short_plain_and_stay_what_they_are(title: str) -> None:
    words = short_ids.slug(title)
    assert len(words) <= short_ids.MOST_SLUG
    assert words.isascii()
    assert set(words) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert not words.startswith("-")
