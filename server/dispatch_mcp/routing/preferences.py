"""What moves scores beside the words themselves: who must not do the work, and that a user's own agents come first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dispatch_mcp.agents import catalog
from dispatch_mcp.routing import agent_index, request_reader, scoring

MISFIT: Final = 30.0
"""Log odds that an agent loses which must not do the work: more than any words can bring."""

AHEAD: Final = 0.5
"""Log odds by which a user's agent passes a shipped one for which no other words speak."""

AT_HOME: Final = 1.5
"""Log odds that a user's agent gains when a word speaks for it that few agents have: it was written for this project.

Both set by hand; a user's agents are few, and their descriptions short.
"""

FEW: Final = 3
"""Agents that have a word, at most, for it to be one that few have."""


def preferred(
    scores: scoring.Scores,
    request: request_reader.Request,
    index: agent_index.AgentIndex,
    agents: catalog.Catalog,
    misfits: frozenset[int],
) -> scoring.Scores:
    """Returns the scores after what a request must not go to, and with a user's agents before equal shipped ones."""
    own = [place for place, agent in enumerate(agents.routable) if agent.layer != "bundled" and place not in misfits]
    both_kinds = 0 < len(own) < index.size - len(misfits)
    if not misfits and not both_kinds:
        return scores
    logits = list(scores.logits)
    for place in misfits:
        logits[place] -= MISFIT
    if both_kinds:
        _put_own_first(logits, request, index, own)
    return scoring.ranked(scores.features, logits, index)


def _put_own_first(
    logits: list[float], request: request_reader.Request, index: agent_index.AgentIndex, own: Sequence[int]
) -> None:
    stems = [stem for stem, _ in request.stem_weights]
    words = {place: matching(stems, index, place) for place in own}
    for place, hits in words.items():
        if any(len(index.head.row(stem)[1]) <= FEW for stem in hits):
            logits[place] += AT_HOME
    nearest = sorted({*range(index.size)} - {*own}, key=lambda place: -logits[place])[: scoring.MAX_BEST]
    their_hits = {place: matching(stems, index, place) for place in nearest}
    for place, hits in words.items():
        equal = [logits[other] for other in nearest if their_hits[other] <= hits]
        if hits and equal:
            logits[place] = max(logits[place], max(equal) + AHEAD)


def matching(stems: Sequence[str], index: agent_index.AgentIndex, place: int) -> frozenset[str]:
    """Returns those stems that stand in an agent's name, keywords or description."""
    return frozenset(stem for stem in stems if index.head.impact(stem, place) > 0)
