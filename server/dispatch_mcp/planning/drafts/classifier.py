"""Chooses one of the six patterns for a request: signs add up to a probability for each pattern.

A log-linear model: the score of a pattern is the sum over the signs of strength times weight, the confidence its share
after the soft maximum. The weights (`leanings.py`) were fitted to labelled requests around hand-set ones; docs/planning
says how and what it measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from dispatch_mcp import model
from dispatch_mcp.planning.drafts import classifier_weights, cue_features

MAX_REASONS: Final = 2
LEAST: Final = 0.15
"""A sign that adds less than this to the chosen pattern's lead is no reason worth naming."""

NEEDS_HUMAN: Final = 0.40
"""Below this confidence a person decides (docs/rules.md#confidence-bands)."""


class Choice(model.Value):
    """A pattern with the probability that it fits, its reasons, and all patterns with theirs, the likeliest first."""

    pattern: str
    confidence: float
    why: tuple[str, ...] = ()
    ranked: tuple[tuple[str, float], ...] = ()

    @property
    def needs_human(self) -> bool:
        """Returns whether a person should decide."""
        return self.confidence < NEEDS_HUMAN


def choose(request: str, more: Sequence[cue_features.Sign] = ()) -> Choice:
    """Returns the pattern that fits the request best; every text gives an answer, an unclear one little confidence.

    `more` are signs that the words alone do not give.
    """
    signs = (*cue_features.read(request), *more)
    shares = _shares(signs)
    order = sorted(range(len(shares)), key=lambda at: (-shares[at], at))
    return Choice(
        pattern=classifier_weights.PATTERNS[order[0]],
        confidence=round(shares[order[0]], 3),
        why=_reasons(signs, order[0]),
        ranked=tuple((classifier_weights.PATTERNS[at], round(shares[at], 3)) for at in order),
    )


def _shares(signs: Sequence[cue_features.Sign]) -> list[float]:
    scores = list(classifier_weights.BIAS)
    for sign in signs:
        for at, weight in enumerate(classifier_weights.WEIGHTS[sign.cue]):
            scores[at] += sign.strength * weight
    most = max(scores)
    powers = [math.exp((score - most) / classifier_weights.TEMPERATURE) for score in scores]
    return [power / sum(powers) for power in powers]


def _reasons(signs: Sequence[cue_features.Sign], chosen: int) -> tuple[str, ...]:
    """Returns the signs that put the chosen pattern ahead of the others, the strongest first."""
    leads = [(_lead(sign, chosen), sign) for sign in signs]
    leads.sort(key=lambda pair: -pair[0])
    return tuple(_reason(sign) for lead, sign in leads[:MAX_REASONS] if lead > LEAST)


def _lead(sign: cue_features.Sign, chosen: int) -> float:
    weights = classifier_weights.WEIGHTS[sign.cue]
    others = (sum(weights) - weights[chosen]) / (len(weights) - 1)
    return sign.strength * (weights[chosen] - others)


def _reason(sign: cue_features.Sign) -> str:
    said = cue_features.CUES[sign.cue].says
    return f"{said} (“{sign.quote}”)" if sign.quote else said
