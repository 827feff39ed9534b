"""The weighing of words: checked against the formula written out plainly."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.routing import bm25

WORDS = st.sampled_from(["table", "query", "page", "form", "mail"])
DOCUMENTS = st.lists(st.lists(WORDS, max_size=8), min_size=1, max_size=6)


def one_field(documents: Sequence[Sequence[str]], *, length: float = 0.5) -> bm25.Postings:
    return bm25.Postings.of(len(documents), bm25.Field(bm25.FieldTerms(documents), 2.0, length))


def plain_count(words: Sequence[str], term: str) -> int:
    if " " in term:
        return sum(f"{left} {right}" == term for left, right in itertools.pairwise(words))
    return list(words).count(term)


def plain_impact(documents: Sequence[Sequence[str]], term: str, place: int, weight: float, length: float) -> float:
    """Returns BM25 of one field as textbooks have it, for comparison."""
    totals = [len(words) + max(0, len(words) - 1) for words in documents]
    filled = [total for total in totals if total]
    average = sum(filled) / len(filled) if filled else 1.0
    holders = sum(plain_count(words, term) > 0 for words in documents)
    rarity = math.log(1 + (len(documents) - holders + 0.5) / (holders + 0.5))
    count = plain_count(documents[place], term) * weight / (1 - length + length * totals[place] / average)
    return rarity * (bm25.K1 + 1) * count / (count + bm25.K1)


@given(DOCUMENTS, WORDS, WORDS)
def test_words_and_pairs_add_what_the_formula_says(documents: list[list[str]], left: str, right: str) -> None:
    postings = one_field(documents)
    for term in (left, f"{left} {right}"):
        for place in range(len(documents)):
            assert postings.impact(term, place) == pytest.approx(plain_impact(documents, term, place, 2.0, 0.5))


@given(DOCUMENTS, WORDS, WORDS)
def test_a_pair_is_counted_within_a_document_only(documents: list[list[str]], left: str, right: str) -> None:
    counts = bm25.FieldTerms(documents).counts(f"{left} {right}")
    plain = {place: plain_count(words, f"{left} {right}") for place, words in enumerate(documents)}
    assert dict(counts) == {place: count for place, count in plain.items() if count}


def test_a_pair_does_not_reach_from_the_last_document_round_to_the_first() -> None:
    assert not bm25.FieldTerms([["b"], ["a"]]).counts("a b")
    assert not bm25.FieldTerms([["b", "c"], ["a"]]).counts("a b")


def test_weights_of_a_term_are_kept_as_given() -> None:
    field = bm25.Weights([{"login": 0.5, "token": 0.25}, {"token": 1.0}])
    assert field.counts("token") == {0: 0.25, 1: 1.0}
    assert field.counts("mail") == {}
    assert field.totals == [0.75, 1.0]


def test_the_fields_of_a_document_add_up() -> None:
    names, texts = bm25.FieldTerms([["table"], []]), bm25.FieldTerms([["query"], ["table", "table"]])
    both = bm25.Postings.of(2, bm25.Field(names, 3.0, 0.0), bm25.Field(texts, 1.0, 0.0))
    assert both.impact("table", 0) > both.impact("table", 1) > 0
    assert both.impact("query", 0) > 0
    assert both.impact("query", 1) == 0


def test_a_longer_field_counts_less_as_far_as_length_matters() -> None:
    documents = [["table"], ["table", *("page",) * 20]]
    assert one_field(documents, length=0.9).impact("table", 0) > one_field(documents, length=0.9).impact("table", 1)
    ignored = one_field(documents, length=0.0)
    assert ignored.impact("table", 0) == pytest.approx(ignored.impact("table", 1))


def test_rare_terms_weigh_more_and_absent_ones_nothing() -> None:
    postings = one_field([["table", "page"], ["table"], ["table"]])
    assert postings.rare("page") > postings.rare("table") > 0
    assert postings.rare("mail") == 0
    assert postings.row("mail") == (0.0, {})


@given(DOCUMENTS, st.lists(st.tuples(WORDS, st.floats(0, 1)), max_size=6))
def test_scores_are_the_sums_of_impacts_and_never_more_than_the_most(
    documents: list[list[str]], terms: list[tuple[str, float]]
) -> None:
    postings = one_field(documents)
    scores, most = postings.scores(terms)
    for place, score in enumerate(scores):
        assert score == pytest.approx(sum(weight * postings.impact(term, place) for term, weight in terms))
        assert score <= most + 1e-9


def test_a_term_that_nobody_has_makes_everybody_look_worse() -> None:
    postings = one_field([["table"], ["page"]])
    alone, with_stranger = postings.scores([("table", 1.0)]), postings.scores([("table", 1.0), ("zzz", 1.0)])
    assert alone[0] == with_stranger[0]
    assert with_stranger[1] > alone[1]


def test_what_is_kept_of_terms_does_not_grow_without_end() -> None:
    postings = one_field([["table"]])
    before = postings.row("table")
    for number in range(bm25.MAX_ROWS + 5):
        postings.row(f"stranger-{number}")
    assert len(postings.rows) <= bm25.MAX_ROWS
    assert postings.row("table") == before


def test_no_documents_give_no_scores() -> None:
    assert one_field([]).scores([("table", 1.0)])[0] == []


def test_documents_without_words_score_nothing() -> None:
    scores, most = one_field([[], []]).scores([("table", 1.0)])
    assert scores == [0.0, 0.0]
    assert most > 0
