"""Which words of a request speak for an agent, quoted from the request, with where the agent says so."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple

from dispatch_mcp import model
from dispatch_mcp.agents import catalog
from dispatch_mcp.routing import agent_index, request_reader
from dispatch_mcp.text import tokenizer

Where = Literal["name", "keywords", "description", "examples", "body", "meaning", "history"]


class QuoteEvidence(model.Value):
    """A quote from the request, the agent's field it was found in, and what it was found as.

    `weight` is its share of everything that speaks for the agent, 0 to 1.
    """

    quote: str
    field: Where
    matched: str
    weight: float = 0.0

    @property
    def words(self) -> str:
        """The quote for people, with what it was found as where that is another word and not only its stem."""
        return f"“{self.quote}” ({self.matched})" if self.field in ("meaning", "history") else f"“{self.quote}”"


class _Piece(NamedTuple):
    """A word or concept that speaks for an agent; `concept` is -1 for a word."""

    weight: float
    stem: str
    concept: int = -1


def evidence_for(
    request: request_reader.Request, agents: catalog.Catalog, place: int, most: int
) -> tuple[QuoteEvidence, ...]:
    """Returns at most `most` pieces of evidence for the routable agent at this place, the heaviest first."""
    agent, pieces = agents.routable[place], _pieces(request, agent_index.index_of(agents), place)
    total = sum(piece.weight for piece in pieces.values())
    heaviest = sorted(pieces.items(), key=lambda item: (-item[1].weight, item[0]))[:most]
    return tuple(
        QuoteEvidence(
            quote=quote,
            field="meaning" if piece.concept >= 0 else _field(agent, piece.stem),
            matched=agents.words.names[piece.concept] if piece.concept >= 0 else piece.stem,
            weight=round(piece.weight / total, 3),
        )
        for quote, piece in heaviest
    )


def _pieces(request: request_reader.Request, index: agent_index.AgentIndex, place: int) -> dict[str, _Piece]:
    """Returns what speaks for an agent by its quote; of two with the same quote the heavier."""
    pieces: dict[str, _Piece] = {}
    impacts = {
        stem: max(index.whole.impact(stem, place), index.head.impact(stem, place)) for stem, _ in request.stem_weights
    }
    for term in request.terms:
        weight = term.weight * impacts[term.stem]
        if weight > 0:
            _keep(pieces, request.source[term.start : term.end], _Piece(weight, term.stem))
    concepts = {concept: 0.0 for _, _, meanings in request.matches for concept, _ in meanings}
    for concept in concepts:
        concepts[concept] = index.concepts.impact(str(concept), place)
    for start, end, meanings in request.matches:
        weight, concept = max([(share * concepts[concept], concept) for concept, share in meanings])
        if weight > 0:
            _keep(pieces, request.source[start:end], _Piece(weight / 2, "", concept))
    return pieces


def _keep(pieces: dict[str, _Piece], quote: str, piece: _Piece) -> None:
    other = pieces.get(quote)
    if other is None or other.weight < piece.weight:
        pieces[quote] = piece


def _field(agent: catalog.Agent, stem: str) -> Where:
    if stem in _stems(agent.name.replace("-", " ").replace("_", " ")):
        return "name"
    if stem in _stems(" \n ".join(agent.keywords)):
        return "keywords"
    if stem in _stems(agent.description):
        return "description"
    return "examples" if stem in _stems(" \n ".join(agent.examples)) else "body"


@lru_cache(maxsize=2048)
def _stems(source: str) -> frozenset[str]:
    return frozenset(tokenizer.stems(source))
