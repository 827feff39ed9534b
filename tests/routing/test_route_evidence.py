"""What is shown for an agent: quotes of the request, where the agent says so, and what each is worth."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.agents import catalog, loader
from dispatch_mcp.routing import agent_index, request_reader, route_evidence

AGENTS = catalog.merge(
    [
        catalog.Agent(
            name="sql-expert",
            description="Designs relations and their constraints.",
            keywords=("sharding",),
            examples=("Merge duplicate vouchers",),
            body="Knows ostriches.",
            sha256="1",
        ),
        catalog.Agent(name="web", description="Pages and forms.", sha256="2"),
    ],
    words=loader.words(),
)


def evidence(text: str, place: int = 0, most: int = 8) -> tuple[route_evidence.QuoteEvidence, ...]:
    request = request_reader.read(text, agent_index.index_of(AGENTS), AGENTS.words)
    return route_evidence.evidence_for(request, AGENTS, place, most)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("our Expert", "name"),
        ("Sharding!", "keywords"),
        ("the constraints", "description"),
        ("some Vouchers", "examples"),
        ("an ostrich", "body"),
    ],
)
def test_evidence_says_in_which_field_the_word_was_found(text: str, field: str) -> None:
    [piece] = evidence(text)
    assert piece.field == field
    assert piece.quote in text
    assert piece.weight == 1.0


def test_a_word_of_the_same_meaning_is_evidence_by_its_concept() -> None:
    pieces = evidence("Die Datenbank")
    assert [(piece.quote, piece.field) for piece in pieces] == [("Datenbank", "meaning")]
    assert pieces[0].matched in AGENTS.words.names


@given(st.text(max_size=150), st.integers(0, 1), st.integers(1, 4))
def test_evidence_is_quoted_bounded_and_sorted(text: str, place: int, most: int) -> None:
    pieces = evidence(text, place, most)
    weights = [piece.weight for piece in pieces]
    assert len(pieces) <= most
    assert all(piece.quote in text for piece in pieces)
    assert weights == sorted(weights, reverse=True)
    assert sum(weights) <= 1.01


def test_all_evidence_together_weighs_one() -> None:
    assert sum(piece.weight for piece in evidence("vouchers, constraints and sharding")) == pytest.approx(1, abs=0.01)


def test_a_word_that_stands_twice_is_shown_once() -> None:
    assert [piece.quote for piece in evidence("sharding or sharding")] == ["sharding"]


def test_nothing_speaks_for_an_agent_that_knows_none_of_the_words() -> None:
    assert evidence("sharding", place=1) == ()
    assert evidence("", place=0) == ()
