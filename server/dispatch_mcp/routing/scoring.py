"""How well each agent of an index fits a request: features, their weighted sum, and shares that add up to one."""

from __future__ import annotations

import heapq
import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from dispatch_mcp.routing import agent_index, request_reader

FEATURES: Final = ("head", "whole", "body", "concepts", "rescue", "example")
# Log odds a unit of each feature, set by hand on the development sets of benchmarks/routing.py; see below.
PLAIN: Final = (14.0, 9.0, 0.0, 7.6, 6.7, 14.0)
BODIED: Final = (3.2, 8.0, 8.8, 8.2, 7.9, 14.0)
"""What one unit of each feature adds to an agent's log odds, in rosters without and with role texts.

Set by hand on the development sets of benchmarks/routing.py in November 2026; no script fits them. A conditional logit
of the same features does no better on a roster that it was not fitted on: 0.671 of 1,169 requests are routed right,
with these 0.677.
"""

NO_BONUS: Final[Mapping[int, float]] = {}

BACK_OFF: Final = 3.0
"""How soon the meaning of a request falls silent the second time (`rescue`) as its words themselves are recognised."""

COVERED: Final = 1.5
"""The lexicon is heard in full when it understands one part in this many of a request's content words."""

PAIR: Final = 0.3
"""What a pair of neighbouring words counts beside one word."""

FLUENT: Final = (0.2, 0.7)
"""The lexicon is silent for rosters of which it understands less than the first share, heard in full from the second
on; all four set by hand like the weights above."""

MAX_BEST: Final = 15
"""Places that `Scores.best` has at most: five to choose from and the next ten."""

EQUAL: Final = 2e-6
"""Scores that are this close may be equal: rounding decides, then priority."""


@dataclass(frozen=True, slots=True)
class Scores:
    """The features of each agent, their sum, and its share; `best` are up to `MAX_BEST` places, the best first."""

    features: tuple[list[float], ...]
    logits: list[float]
    shares: list[float]
    best: list[int]


def score(
    request: request_reader.Request, index: agent_index.AgentIndex, bonus: Mapping[int, float] = NO_BONUS
) -> Scores:
    """Returns the scores of all agents; `bonus` is what past outcomes add to some.

    Ties go by priority and then by place (docs/rules.md#priority-on-ties).
    """
    features = measure(request, index)
    blend = index.body_share
    weights = [plain * (1 - blend) + with_texts * blend for plain, with_texts in zip(PLAIN, BODIED, strict=True)]
    logits = [0.0] * index.size
    for weight, feature in zip(weights, features, strict=True):
        if weight and any(feature):
            logits = list(map(operator.add, logits, map(weight.__mul__, feature)))
    for at, more in bonus.items():
        logits[at] += more
    return ranked(features, logits, index)


def ranked(features: tuple[list[float], ...], logits: list[float], index: agent_index.AgentIndex) -> Scores:
    """Returns the scores with these sums."""
    return Scores(features, logits, softmax(logits), _best(logits, index))


def _best(logits: Sequence[float], index: agent_index.AgentIndex) -> list[int]:
    """Returns the places of the `MAX_BEST` highest scores; those that are equal to six digits go by priority."""
    least = min(heapq.nlargest(MAX_BEST, logits), default=0.0) - EQUAL
    falling = {place: -round(logits[place], 6) for place in index.by_priority if logits[place] >= least}
    return sorted(falling, key=falling.__getitem__)[:MAX_BEST]


def measure(request: request_reader.Request, index: agent_index.AgentIndex) -> tuple[list[float], ...]:
    """Returns the features in the order of `FEATURES`, each about 0 to 1 for every agent."""
    head = _normal(index.head.scores(request.stem_weights))
    pairs = _with_pairs(request)
    whole = _normal(index.whole.scores(pairs))
    body = _normal(index.body.scores(pairs))
    concepts = _normal(index.concepts.scores([(str(concept), share) for concept, share in request.concepts.items()]))
    found_words = max(max(head, default=0.0), max(whole, default=0.0))
    hearing = _fluent(index.fluency) * min(1.0, COVERED * request.cover)
    rescue = hearing * max(0.0, 1 - BACK_OFF * found_words)
    return (
        head,
        whole,
        body,
        [hearing * score for score in concepts],
        [rescue * score for score in concepts],
        example(request, index),
    )


def _fluent(fluency: float) -> float:
    low, high = FLUENT
    return max(0.0, min(1.0, (fluency - low) / (high - low)))


def example(request: request_reader.Request, index: agent_index.AgentIndex) -> list[float]:
    """Returns 1 for agents of which the request is an example, 0.8 if only the order or small words differ."""
    scores = [0.0] * index.size
    for table, key, value in ((index.exact, request.key, 1.0), (index.near, request.gist, 0.8)):
        for place in table.get(key, ()) if key else ():
            scores[place] = max(scores[place], value)
    return scores


def softmax(logits: Sequence[float]) -> list[float]:
    """Returns shares that add up to one."""
    top = max(logits, default=0.0)
    powers = [math.exp(logit - top) for logit in logits]
    total = sum(powers) or 1.0
    return [power / total for power in powers]


def _with_pairs(request: request_reader.Request) -> list[tuple[str, float]]:
    stems = [term.stem for term in request.terms]
    return [*request.stem_weights, *((pair, PAIR) for pair in dict.fromkeys(agent_index.pairs(stems)))]


def _normal(scores_and_most: tuple[list[float], float]) -> list[float]:
    scores, most = scores_and_most
    return [score / most for score in scores] if most else scores
