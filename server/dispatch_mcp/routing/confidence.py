"""How sure a route is: a calibrated probability, the five weighted factors, and the strategy that follows.

The probability that a route is right is P(the request is for this roster at all) times P(the first is right, if it
is): two logistic models of signals that the router has anyway (fitted: scripts/fit_router.py), each with a shift and a
slope to what careful readers say. The
factors of docs/rules.md#confidence-factors are shown beside it, each with its source; what nobody knows counts as
the probability, so that it moves nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from dispatch_mcp import model
from dispatch_mcp.routing import agent_index, request_reader, scoring

Strategy = Literal["direct", "direct+async-review", "supervised", "human"]
Source = Literal["derived", "given", "unknown"]
FactorName = Literal["clarity", "past_successes", "complexity_match", "resources", "time_pressure"]

EXACT: Final = 0.97
"""The probability that a route is right whose request is an example of the agent word for word.

Set by hand: two agents may share an example, and an example may have been written for another purpose.
"""


ONE_WORD: Final = 0.69
"""The most that a single matched word is worth: it was right in 58 of 100 requests that another author wrote."""

CHANCE: Final = 0.39
"""The most that a single matched word is worth in a text that names neither work nor code, such as small talk."""

PROVEN: Final = 0.78
"""What the models have to say before a route counts as sure: without it the share that is sure and wrong doubles in the
requests of authors that they were not fitted on (.036 against .018)."""

NOBODY: Final = 0.40
"""The confidence below which nobody is named: what small talk may be worth, and where a person decides anyway."""

TIED: Final = 0.49
"""The most that the first of two equals is worth."""

EQUAL: Final = 0.2
"""Log odds within which two agents are equals; set by hand."""


class Factor(model.Value):
    """One of the weighted factors, 0 to 1, with where its value came from (docs/rules.md#confidence-factors)."""

    name: FactorName
    value: float
    weight: float
    source: Source
    why: str = ""


class Bands(model.Value):
    """The confidence from which a route runs direct, with a review afterwards, or supervised.

    Rule: docs/rules.md#confidence-bands.
    """

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
        """Returns whether the first is so unlikely that nobody is named."""
        return self.confidence < NOBODY


def is_example(scores: scoring.Scores) -> bool:
    """Returns whether the request is an example of an agent word for word."""
    return max(scores.features[scoring.FEATURES.index("example")], default=0.0) == 1.0


def bounded(sure: Certainty, matches: int, rivals: int, *, is_work: bool) -> Certainty:
    """Returns a certainty that a single matched word, or agents that are as good, leave below what they can prove.

    `is_work` is whether the request names work or code at all: one matched word of another text proves nothing.
    """
    doubtful = matches < 2 or sure.confidence < PROVEN
    most = TIED if rivals else ONE_WORD if doubtful else 1.0
    if matches < 2 and not is_work:
        most = min(most, CHANCE)
    return Certainty(sure.in_scope, min(1.0, min(_as_strangers(sure.confidence), most) / max(sure.in_scope, 1e-9)))


def _as_strangers(confidence: float) -> float:
    """Returns a confidence moved to what strangers' requests say."""
    share = min(max(confidence, 1e-6), 1 - 1e-6)
    return _as_readers(math.log(share / (1 - share)), STRANGERS)


def words_for(request: request_reader.Request, index: agent_index.AgentIndex, place: int) -> int:
    """Returns how many words of a request speak for an agent, by themselves or by what they mean."""
    terms = [term for term in request.terms if index.head.impact(term.stem, place) > 0]
    stems = {term.stem for term in terms}
    meanings_alone = {
        (start, end)
        for start, end, meanings in request.matches
        if not any(start <= term.start < end for term in terms)
        and any(index.concepts.impact(str(concept), place) > 0 for concept, _ in meanings)
    }
    return len(stems) + len(meanings_alone)


def equals(scores: scoring.Scores) -> list[int]:
    """Returns the places that are as good as the first."""
    first, *rest = scores.best
    return [place for place in rest if scores.logits[first] - scores.logits[place] < EQUAL]


Model = Mapping[str, tuple[float, float]]
"""What one unit of each signal adds to the log odds in rosters without and with role texts; "" is the constant.

Both tables are printed by `scripts/fit_router.py FOLDER` from the development data of benchmarks/routing.py (November
2026, ridge logistic regression); the script also prints how they do on rosters left out of the fit. Fit them again
whenever a feature, a weight of `scoring` or the reading of requests changes.
"""

# Printed by scripts/fit_router.py; log odds a unit of the signal, see `Model`.
SCOPE: Model = {
    "": (-0.640, -1.176),
    "log odds": (-0.051, 0.311),
    "head": (0.797, -0.435),
    "whole": (0.660, 0.930),
    "rescue": (0.645, -0.798),
    "concepts": (1.539, -1.136),
    "cover": (-0.770, 0.934),
    "known": (2.296, 2.431),
    "strength": (0.401, 0.357),
    "matches": (2.345, 2.320),
    "empty": (-0.359, 0.346),
}
# Printed by scripts/fit_router.py; log odds a unit of the signal, see `Model`.
RIGHT: Model = {
    "": (-0.698, -0.937),
    "lead": (0.541, 0.561),
    "rivals": (-0.392, -0.150),
    "concepts lead": (0.806, 0.290),
    "concepts": (0.865, 0.682),
    "head lead": (-0.167, 0.045),
    "body lead": (0.000, 0.028),
    "rescue": (0.459, 0.372),
    "cover": (0.179, 0.004),
    "known": (-0.487, -0.248),
    "matches": (1.218, 0.491),
    "empty": (-0.452, -0.116),
    "fluency": (0.557, 0.634),
}
# Ridge logistic regression as in scripts/fit_router.py, of one signal: the model's log odds. Collections accept one
# agent a request where a careful reader accepts several, so they alone make the models less sure than they should be.
SCOPE_READERS: Final = (1.586, 1.04)
RIGHT_READERS: Final = (1.09, 1.721)
"""From a model's log odds to those of careful readers: what is added, and what the model's own are worth. Fitted on the
requests of seven authors who saw neither code nor lexicon."""

STRANGERS: Final = (0.3, 1.35)
"""From the log odds of the product of both to what the requests of thirteen authors say that no list was tuned to.

The product was too modest: of 146 that it gave .80 to .89 .92 were right. Fitted on 1,450 requests, between what the
first ten authors and all of them fit best.
"""

BESIDE_GENERAL: Final = -0.5
"""What the first loses, in log odds, where somebody does what no specialist claims: there that one may be right. Half
of what fits the seven authors best, as they wrote for few such catalogues."""

NEAR: Final = 1.0
"""How much lower, in log odds, a score may be and still be that of a rival."""

MOST: Final = 4.0
"""A lead or a score beyond this many log odds says no more than this one; both are part of the signals fitted above."""


def certainty(
    request: request_reader.Request, scores: scoring.Scores, index: agent_index.AgentIndex, *, has_general: bool = False
) -> Certainty:
    """Returns how sure the first of `scores.best` is; nothing is sure when there are no agents.

    `has_general` is whether somebody does what no specialist claims.
    """
    if not scores.best:
        return Certainty(0.0, 0.0)
    if is_example(scores):
        return Certainty(1.0, EXACT)
    values = signals(request, scores, index)
    in_scope, right = (log_odds(model, values, index.body_share) for model in (SCOPE, RIGHT))
    shift, worth = RIGHT_READERS
    right_readers = (shift + BESIDE_GENERAL, worth) if has_general else RIGHT_READERS
    return Certainty(_as_readers(in_scope, SCOPE_READERS), _as_readers(right, right_readers))


def signals(request: request_reader.Request, scores: scoring.Scores, index: agent_index.AgentIndex) -> dict[str, float]:
    """Returns what the two models look at, by name; a lead is that of the first over the best of the others.

    The length of the request is left out on purpose: it tells collections of requests apart, not right from wrong. So
    is the number of agents, for the same reason.
    """
    first = scores.best[0]
    share = min(max(scores.shares[first], 1e-6), 1 - 1e-6)
    rows = dict(zip(scoring.FEATURES, scores.features, strict=True))
    own = {name: row[first] for name, row in rows.items()}
    logit = scores.logits[first]
    return {
        "": 1.0,
        "log odds": math.log(share / (1 - share)),
        "lead": min(MOST, _lead(scores.logits, first)),
        "rivals": math.log(max(1, sum(map((logit - NEAR).__lt__, scores.logits)))),
        "strength": min(MOST, logit),
        "head": own["head"],
        "head lead": _lead(rows["head"], first),
        "whole": own["whole"],
        "body lead": _lead(rows["body"], first),
        "concepts": own["concepts"],
        "concepts lead": _lead(rows["concepts"], first),
        "rescue": own["rescue"],
        "cover": request.cover,
        "known": recognition(request, index),
        "empty": float(not (own["head"] or own["whole"] or own["concepts"])),
        "fluency": index.fluency,
        "matches": min(ENOUGH, words_for(request, index, first)) / ENOUGH,
    }


def _lead(row: Sequence[float], first: int) -> float:
    rivals = (max(part) for part in (row[:first], row[first + 1 :]) if part)
    return row[first] - max(rivals, default=0.0)


def recognition(request: request_reader.Request, index: agent_index.AgentIndex) -> float:
    """Returns which share of the request's terms any agent of the index knows."""
    total = sum(weight for _, weight in request.stem_weights)
    hits = sum(weight for stem, weight in request.stem_weights if index.head.rare(stem) > 0)
    return hits / total if total else 0.0


WEIGHTS: Final[Mapping[FactorName, float]] = {
    "clarity": 0.30,
    "past_successes": 0.20,
    "complexity_match": 0.25,
    "resources": 0.15,
    "time_pressure": 0.10,
}
"""Shares of each factor, which add up to 1 (docs/rules.md#confidence-factors)."""


def factor(name: FactorName, hint: float | None, value: float | None, why: str, *, otherwise: float = 0.0) -> Factor:
    """Returns a factor: as given, else as derived, else unknown with the value that moves nothing."""
    weight = WEIGHTS[name]
    if hint is not None:
        return Factor(name=name, value=hint, weight=weight, source="given", why="from the caller's hints")
    if value is not None:
        return Factor(name=name, value=value, weight=weight, source="derived", why=why)
    why = "nobody knows; the routing probability stands in"
    return Factor(name=name, value=round(otherwise, 4), weight=weight, source="unknown", why=why)


ENOUGH: Final = 4
"""Content words and meaningful places, together, from which on a request has enough to go by; set by hand."""

LEAD_COUNTS: Final = 0.6
"""What the lead counts in `clarity`; whether there is enough to go by counts the rest. Set by hand."""


def clarity(request: request_reader.Request, scores: scoring.Scores) -> float:
    """Returns how clear a request is: how far one agent leads, and whether there is enough to go by."""
    if not scores.best:
        return 0.0
    shares = [scores.shares[place] for place in scores.best[:2]]
    lead = 1.0 if len(shares) < 2 else (shares[0] - shares[1]) / max(shares[0], 1e-9)
    enough = min(1.0, (len(request.terms) + len(request.matches)) / ENOUGH)
    return LEAD_COUNTS * lead + (1 - LEAD_COUNTS) * enough


def strategy(confidence: float, readiness: float, bands: Bands) -> Strategy:
    """Returns the strategy of docs/rules.md#confidence-bands for the lower of both figures."""
    sure = min(confidence, readiness)
    if sure >= bands.direct:
        return "direct"
    if sure >= bands.review:
        return "direct+async-review"
    return "supervised" if sure >= bands.supervise else "human"


def readiness(factors: Sequence[Factor]) -> float:
    """Returns the weighted mean of the factors."""
    return sum(factor.value * factor.weight for factor in factors)


def log_odds(model: Model, values: Mapping[str, float], body_share: float) -> float:
    """Returns what a model says of the signals, in log odds from -30 to 30."""
    blend = ((name, plain * (1 - body_share) + with_texts * body_share) for name, (plain, with_texts) in model.items())
    return max(-30.0, min(30.0, sum(values[name] * weight for name, weight in blend)))


def _as_readers(odds: float, readers: tuple[float, float]) -> float:
    shift, worth = readers
    return 1 / (1 + math.exp(-(shift + worth * odds)))
