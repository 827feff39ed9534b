"""What past outcomes say about a new request.

Similar past tasks that went well speak for their agent, those that went badly against it. Similarity is the share of
content words in common, weighted by how rare they are in the history, so one common word counts for nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from dispatch_mcp.core import index

SIMILAR = 0.5
STRENGTH = 7.0
MOST = 7.0
"""The most that history adds to or takes from an agent's score."""


@dataclass(frozen=True, slots=True)
class Past:
    """One past request and the agent that did it well or badly."""

    text: str
    agent: str
    good: bool = True


@dataclass(frozen=True)
class History:
    """Outcomes of past routes, the newest last."""

    past: tuple[Past, ...] = ()

    @cached_property
    def words(self) -> tuple[frozenset[str], ...]:
        """Returns the content stems of each past request."""
        return tuple(frozenset(index.gist(past.text).split()) for past in self.past)

    @cached_property
    def holders(self) -> dict[str, list[int]]:
        """Returns the places of the past requests that hold a stem."""
        found: dict[str, list[int]] = {}
        for place, words in enumerate(self.words):
            for word in words:
                found.setdefault(word, []).append(place)
        return found

    def rarity(self, word: str) -> float:
        """Returns how much a common word says."""
        return math.log(1 + (len(self.past) + 1) / (1 + len(self.holders.get(word, ()))))

    def similar(self, gist: str) -> list[tuple[int, float]]:
        """Returns the places of past requests like this one with their likeness, `SIMILAR` to 1."""
        words = frozenset(gist.split())
        shared: Counter[int] = Counter()
        for word in words:
            for place in self.holders.get(word, ()):
                shared[place] += self.rarity(word)  # pyright: ignore[reportArgumentType] - counters hold floats too
        own = sum(map(self.rarity, words))
        found: list[tuple[int, float]] = []
        for place, common in shared.items():
            likeness = common / math.sqrt(own * sum(map(self.rarity, self.words[place])))
            if likeness >= SIMILAR:
                found.append((place, min(1.0, likeness)))
        return sorted(found)


NO_HISTORY = History()


def bonus(history: History, gist: str, agents: Sequence[str]) -> Mapping[int, float]:
    """Returns what history adds to the score of agents, by their place."""
    if not history.past or not gist:
        return {}
    places = {name: place for place, name in enumerate(agents)}
    votes: dict[int, float] = {}
    for at, likeness in history.similar(gist):
        past = history.past[at]
        if past.agent in places:
            vote = STRENGTH * likeness**2 * (1 if past.good else -1)
            votes[places[past.agent]] = votes.get(places[past.agent], 0.0) + vote
    return {place: max(-MOST, min(MOST, vote)) for place, vote in votes.items()}


def success(history: History, gist: str, agent: str) -> tuple[float | None, str]:
    """Returns the share of similar past tasks that went well with an agent, and the count in words; None if unknown."""
    if not history.past or not gist:
        return None, ""
    outcomes = [history.past[at].good for at, _ in history.similar(gist) if history.past[at].agent == agent]
    if not outcomes:
        return None, ""
    good = sum(outcomes)
    return round((good + 1) / (len(outcomes) + 2), 4), f"{good} of {len(outcomes)} similar tasks went well with {agent}"
