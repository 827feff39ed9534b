"""How sure a route is: a calibrated probability, seed 004's five factors, and the strategy that follows.

The probability that a route is right is P(the request is for this roster at all) times P(the first is right, if it
is): two logistic models of signals that the router has anyway (fitted: scripts/fit_routing.py). The seed's weighted
factors are shown beside it, each with its source; what nobody knows counts as the probability, so that it moves
nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from dispatch_mcp.core import index, model, reading, scoring

Strategy = Literal["direct", "direct+async-review", "supervised", "human"]
Source = Literal["derived", "given", "unknown"]
FactorName = Literal["clarity", "past_successes", "complexity_match", "resources", "time_pressure"]

EXACT = 0.97
"""A request that an agent's own examples contain word for word."""


class Factor(model.Value):
    """One of seed 004's weighted factors, 0 to 1, with where its value came from."""

    name: FactorName
    value: float
    weight: float
    source: Source
    why: str = ""


class Bands(model.Value):
    """The confidence from which a route runs direct, with a review afterwards, or supervised (seed 004)."""

    direct: float = 0.95
    review: float = 0.70
    supervise: float = 0.40


@dataclass(frozen=True, slots=True)
class Certainty:
    """P(in scope) and P(right, if in scope); their product is the confidence."""

    in_scope: float
    right: float

    @property
    def confidence(self) -> float:
        """Returns P(the first is right)."""
        return self.in_scope * self.right

    @property
    def abstains(self) -> bool:
        """Returns whether nobody is a likelier answer than the first."""
        return 1 - self.in_scope > self.confidence


SIGNALS = ("log odds", "margin", "head", "whole", "letters", "rescue", "cover", "known", "strength", "empty")
SCOPE = (-0.213, 0.177, 0.046, 0.282, 1.411, 0.189, 1.758, 0.309, 1.997, 0.147, -1.014)
RIGHT = (0.563, 0.374, 1.148, -0.459, -0.691, -0.235, 6.152, -0.059, 0.186, -0.229, -1.818)
"""The constant, then one weight for each of `SIGNALS`."""


def certainty(request: reading.Request, scores: scoring.Scores, found: index.Index) -> Certainty:
    """Returns how sure the first of `scores.best` is; nothing is sure when there are no agents."""
    if not scores.best:
        return Certainty(0.0, 0.0)
    if max(scores.features[scoring.FEATURES.index("example")]) == 1.0:
        return Certainty(1.0, EXACT)
    given = signals(request, scores, found)
    return Certainty(_logistic(SCOPE, given), _logistic(RIGHT, given))


def signals(request: reading.Request, scores: scoring.Scores, found: index.Index) -> tuple[float, ...]:
    """Returns what the two models look at, in the order of `SIGNALS`.

    The length of the request is left out on purpose: it tells collections of requests apart, not right from wrong.
    """
    first = scores.best[0]
    share = min(max(scores.shares[first], 1e-6), 1 - 1e-6)
    second = scores.shares[scores.best[1]] if len(scores.best) > 1 else 0.0
    features = dict(zip(scoring.FEATURES, (feature[first] for feature in scores.features), strict=True))
    return (
        math.log(share / (1 - share)),
        share - second,
        features["head"],
        features["whole"],
        features["letters"],
        features["rescue"],
        request.cover,
        known(request, found),
        min(4.0, scores.logits[first]),
        float(not any(features[name] for name in ("head", "whole", "concepts"))),
    )


def known(request: reading.Request, found: index.Index) -> float:
    """Returns which share of the request's terms any agent of the index knows."""
    total = sum(weight for _, weight in request.weighted)
    heard = sum(weight for stem, weight in request.weighted if found.head.rare(stem) > 0)
    return heard / total if total else 0.0


WEIGHTS = {"clarity": 0.30, "past_successes": 0.20, "complexity_match": 0.25, "resources": 0.15, "time_pressure": 0.10}
"""Seed 004, "Confidence factors"."""


def factor(name: FactorName, given: float | None, derived: float | None, why: str, *, otherwise: float = 0.0) -> Factor:
    """Returns a factor: as given, else as derived, else unknown with the value that moves nothing."""
    weight = WEIGHTS[name]
    if given is not None:
        return Factor(name=name, value=given, weight=weight, source="given", why="from the caller's hints")
    if derived is not None:
        return Factor(name=name, value=derived, weight=weight, source="derived", why=why)
    why = "nobody knows; the routing probability stands in"
    return Factor(name=name, value=round(otherwise, 4), weight=weight, source="unknown", why=why)


def clarity(request: reading.Request, scores: scoring.Scores) -> float:
    """Returns how clear a request is: how far one agent leads, and whether there is enough to go by."""
    if not scores.best:
        return 0.0
    shares = [scores.shares[place] for place in scores.best[:2]]
    lead = 1.0 if len(shares) < 2 else (shares[0] - shares[1]) / max(shares[0], 1e-9)
    enough = min(1.0, (len(request.terms) + len(request.matches)) / 4)
    return 0.6 * lead + 0.4 * enough


def strategy(confidence: float, readiness: float, bands: Bands) -> Strategy:
    """Returns the strategy of seed 004's table for the lower of both figures."""
    sure = min(confidence, readiness)
    if sure >= bands.direct:
        return "direct"
    if sure >= bands.review:
        return "direct+async-review"
    return "supervised" if sure >= bands.supervise else "human"


def readiness(factors: Sequence[Factor]) -> float:
    """Returns the weighted mean of the factors."""
    return sum(factor.value * factor.weight for factor in factors)


def _logistic(weights: Sequence[float], given: Sequence[float]) -> float:
    total = weights[0] + sum(weight * value for weight, value in zip(weights[1:], given, strict=True))
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, total))))
