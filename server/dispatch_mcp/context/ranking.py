"""Which files a task will probably change, and which of their parts are worth their tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dispatch_mcp.context import context_query, pack_evidence, ranking_features, ranking_weights


@dataclass(frozen=True, slots=True)
class Ranking:
    """Source files with their probabilities, best first; their parts with their scores, best first."""

    files: Mapping[str, float]
    parts: Sequence[tuple[pack_evidence.Part, float]]


def rank(query: context_query.Query, found: pack_evidence.Evidence) -> Ranking:
    """Returns the files and parts of `found` in the order of what speaks for them."""
    return parts(query, found, files(query, found))


def files(query: context_query.Query, found: pack_evidence.Evidence) -> dict[str, float]:
    """Returns the probability of each source file, best first; they add up to 1."""
    return file_chances(ranking_features.files(query, found))


def parts(query: context_query.Query, found: pack_evidence.Evidence, chances: Mapping[str, float]) -> Ranking:
    """Returns the parts of `found` in the order of what speaks for them, given the probabilities of the files."""
    scored = [(part, linear(of, ranking_weights.PART)) for part, of in ranking_features.parts(query, found, chances)]
    scored.sort(key=lambda one: (-one[1], one[0].path, one[0].first))
    return Ranking(chances, scored)


def file_chances(of: Mapping[str, ranking_features.Features]) -> dict[str, float]:
    """Returns the probability of each file, best first; they add up to 1."""
    scores = {path: linear(one, ranking_weights.FILE) for path, one in of.items()}
    most = max(scores.values(), default=0.0)
    raised = {path: math.exp(score - most) for path, score in scores.items()}
    total = sum(raised.values()) or 1.0
    return {path: raised[path] / total for path in sorted(raised, key=lambda path: (-raised[path], path))}


def linear(of: ranking_features.Features, by: Mapping[str, float]) -> float:
    """Returns the weighted sum of features."""
    return sum([weight * of[name] for name, weight in by.items()])
