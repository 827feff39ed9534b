"""Which words of a request speak for an agent, quoted from the request, with where the agent says so."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from dispatch_mcp.core import catalog, index, lexicon, model, reading, text

Where = Literal["name", "keywords", "description", "examples", "body", "meaning", "history"]


class Evidence(model.Value):
    """A quote from the request, the agent's field it was found in, and what it was found as.

    `weight` is its share of everything that speaks for the agent, 0 to 1.
    """

    quote: str
    field: Where
    matched: str
    weight: float = 0.0


def of(request: reading.Request, known: catalog.Catalog, place: int, most: int) -> tuple[Evidence, ...]:
    """Returns at most `most` pieces of evidence for the routable agent at this place, the heaviest first."""
    found, agent = known.index, known.routable[place]
    pieces: dict[str, Evidence] = {}
    for term in request.terms:
        weight = term.weight * max(found.whole.impact(term.stem, place), found.head.impact(term.stem, place))
        if weight > 0:
            quote = request.source[term.start : term.end]
            _keep(pieces, Evidence(quote=quote, field=_field(agent, term.stem), matched=term.stem, weight=weight))
    for start, end, meanings in request.matches:
        concept, weight = _meaning(meanings, found, place)
        if weight > 0:
            quote = request.source[start:end]
            matched = known.words.names[concept]
            _keep(pieces, Evidence(quote=quote, field="meaning", matched=matched, weight=weight / 2))
    total = sum(piece.weight for piece in pieces.values())
    heaviest = sorted(pieces.values(), key=lambda piece: (-piece.weight, piece.quote))[:most]
    return tuple(piece.model_copy(update={"weight": round(piece.weight / total, 3)}) for piece in heaviest)


def _keep(pieces: dict[str, Evidence], piece: Evidence) -> None:
    other = pieces.get(piece.quote)
    if other is None or other.weight < piece.weight:
        pieces[piece.quote] = piece


def _meaning(meanings: lexicon.Meanings, found: index.Index, place: int) -> tuple[int, float]:
    weighed = [(share * found.concepts.impact(str(concept), place), concept) for concept, share in meanings]
    weight, concept = max(weighed)
    return concept, weight


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
    return frozenset(text.stems(source))
