"""What patterns see of a text is bounded whatever the text is, and all of a text of common size."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.text.reading import excerpts

ALL = {name: bound for name, bound in vars(excerpts).items() if isinstance(bound, excerpts.Excerpt)}
SMALL = st.builds(excerpts.Excerpt, st.integers(1, 30), st.booleans(), st.integers(0, 8))


@given(SMALL, st.text("ab\n", max_size=60))
def test_neither_a_text_nor_a_line_of_it_is_longer_than_its_bound(bound: excerpts.Excerpt, text: str) -> None:
    seen = bound.of(text)
    assert len(seen) <= bound.chars
    assert not bound.line or all(len(line) <= bound.line for line in seen.split("\n"))


@given(SMALL, st.text("ab\n", max_size=60))
def test_what_is_within_the_bounds_is_seen_whole_and_an_excerpt_of_an_excerpt_is_itself(
    bound: excerpts.Excerpt, text: str
) -> None:
    seen = bound.of(text)
    is_within = len(text) <= bound.chars and (not bound.line or max(map(len, text.split("\n"))) <= bound.line)
    assert (seen == text) == is_within
    assert bound.of(seen) == seen


@given(st.integers(1, 30), st.text("ab\n", max_size=60))
def test_the_end_is_seen_where_the_end_counts_and_else_the_beginning(most: int, text: str) -> None:
    assert text.startswith(excerpts.Excerpt(most).of(text))
    assert text.endswith(excerpts.Excerpt(most, from_end=True).of(text))


@given(st.lists(st.text("ab", max_size=12), max_size=5))
def test_of_every_line_its_beginning_is_seen_and_no_line_is_lost(lines: list[str]) -> None:
    seen = excerpts.Excerpt(1_000, line=5).of("\n".join(lines)).split("\n")
    assert seen == [line[:5] for line in (lines or [""])]


@pytest.mark.parametrize("name", ALL)
def test_a_text_of_common_size_is_seen_whole_and_ten_megabytes_in_one_line_never(name: str) -> None:
    bound = ALL[name]
    assert bound.of("x" * 200) == "x" * 200
    assert len(bound.of("x" * 10_000_000)) == (bound.line or bound.chars)


def test_of_a_long_request_its_head_and_its_tail_are_read() -> None:
    text = " ".join(f"word{number}" for number in range(1_000))
    head, tail = excerpts.request(text).split("\n")
    assert text.startswith(f"{head} ")
    assert text.endswith(f" {tail}")
    assert excerpts.HEAD_OF_REQUEST - 40 <= len(head) <= excerpts.HEAD_OF_REQUEST
    assert excerpts.TAIL_OF_REQUEST - 40 <= len(tail) <= excerpts.TAIL_OF_REQUEST


@given(st.integers(0, 2 * excerpts.WHOLE_REQUEST), st.sampled_from(["x", "word ", "日"]))
def test_a_request_is_read_whole_up_to_the_limit_and_never_more_than_that(size: int, unit: str) -> None:
    text = (unit * size)[:size]
    excerpt = excerpts.request(text)
    assert (excerpt == text) == (size <= excerpts.WHOLE_REQUEST)
    assert len(excerpt) <= min(size, excerpts.WHOLE_REQUEST)


@given(st.text(alphabet="ab é日\n", min_size=excerpts.WHOLE_REQUEST + 1, max_size=2 * excerpts.WHOLE_REQUEST))
def test_what_is_read_of_a_long_request_is_its_own_beginning_and_end(text: str) -> None:
    excerpt = excerpts.request(text)
    parts = [(excerpt[:at], excerpt[at + 1 :]) for at, sign in enumerate(excerpt) if sign == "\n"]
    assert any(head and tail and text.startswith(head) and text.endswith(tail) for head, tail in parts)


def test_where_the_end_counts_a_verdict_behind_a_flood_of_words_is_seen() -> None:
    answer = "I looked at everything. " * 40_000 + "\nVERDICT: FAIL"
    assert excerpts.REVIEW.of(answer).endswith("\nVERDICT: FAIL")
    assert "VERDICT" not in excerpts.Excerpt(excerpts.REVIEW.chars).of(answer)
