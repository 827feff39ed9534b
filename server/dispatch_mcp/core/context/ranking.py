"""Which files a task will probably change, and which of their parts are worth their tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dispatch_mcp.core.context import evidence, features, queries, weights


@dataclass(frozen=True, slots=True)
class Ranking:
    """Source files with their probabilities, best first; their parts with their scores, best first."""

    files: Mapping[str, float]
    parts: Sequence[tuple[evidence.Part, float]]


def rank(query: queries.Query, found: evidence.Evidence) -> Ranking:
    """Returns the files and parts of `found` in the order of what speaks for them."""
    return parts(query, found, files(query, found))


def files(query: queries.Query, found: evidence.Evidence) -> dict[str, float]:
    """Returns the probability of each source file, best first; they add up to 1."""
    return file_chances(features.files(query, found))


def parts(query: queries.Query, found: evidence.Evidence, chances: Mapping[str, float]) -> Ranking:
    """Returns the parts of `found` in the order of what speaks for them, given the probabilities of the files."""
    scored = [(part, linear(of, weights.PART)) for part, of in features.parts(query, found, chances)]
    scored.sort(key=lambda one: (-one[1], one[0].path, one[0].first))
    return Ranking(chances, scored)


def file_chances(of: Mapping[str, features.Features]) -> dict[str, float]:
    """Returns the probability of each file, best first; they add up to 1."""
    scores = {path: linear(one, weights.FILE) for path, one in of.items()}
    most = max(scores.values(), default=0.0)
    raised = {path: math.exp(score - most) for path, score in scores.items()}
    total = sum(raised.values()) or 1.0
    return {path: raised[path] / total for path in sorted(raised, key=lambda path: (-raised[path], path))}


def linear(of: features.Features, by: Mapping[str, float]) -> float:
    """Returns the weighted sum of features."""
    return sum([weight * of[name] for name, weight in by.items()])
