"""Says how likely each of the six patterns is for a request, from the beginnings of its words and its outline.

A suggestion, or none: the caller reads better than this does. A log-linear model; `scripts/fit_patterns.py` fits and
`docs/how-to/draft-a-plan.md` says what it measured.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping
from typing import Final

from dispatch_mcp import model
from dispatch_mcp.planning.drafts import pattern_weights, patterns
from dispatch_mcp.text import tokenizer
from dispatch_mcp.text.reading import excerpts

NAMES: Final = tuple(pattern.name for pattern in patterns.PATTERNS)

PREFIX: Final = 4
"""Letters of a word that count: its stem in most languages, without a stemmer for each."""

SHORT, LONG = 8, 20
"""Words up to which a request counts as short, and from which on as long."""

SURE: Final = 0.6
"""The probability from which on a pattern is suggested; below it the caller is told that nobody knows."""

FAMILIAR: Final = 0.5
"""The share of a request's words that the fit must have seen: of a text that it cannot read it says nothing."""

MAX_REASONS: Final = 3
LEAST: Final = 0.3
"""A word that puts the pattern less than this ahead of the others is no reason worth naming."""

ZERO: Final = ord("m")
STEP: Final = 0.1
"""A weight is a letter: `m` is 0, each letter on is a tenth more, down to `a` and up to `z`."""

_TOKEN = re.compile(r"\w+(?:['-]\w+)*")
_SENTENCE_END = re.compile(r"[.;!?] ")
_CODE = re.compile(r"[`_]|\w\(|\w\.\w")
_NUMBERS: Final = "two three four five six seven eight hai ba bốn năm dos tres deux trois zwei drei dois três"
_COUNT = re.compile(rf"\b(?:[2-9]|1\d|{'|'.join(_NUMBERS.split())})\b")


class PatternGuess(model.Value):
    """A pattern with the probability that it fits, the words that spoke for it, and all patterns, likeliest first.

    `familiar` is the share of the request's words that the fit had seen, 0 to 1.
    """

    pattern: str
    confidence: float
    why: tuple[str, ...] = ()
    ranked: tuple[tuple[str, float], ...] = ()
    familiar: float = 0.0

    @property
    def is_sure(self) -> bool:
        """Whether the pattern may be suggested."""
        return self.confidence >= SURE and self.familiar >= FAMILIAR


def choose(request: str) -> PatternGuess:
    """Returns the pattern that fits the request best; every text gives an answer, an unclear one little confidence."""
    marks = features(request)
    scores = list(_weights()[""])
    for mark in marks:
        scores = [score + weight for score, weight in zip(scores, _weights().get(mark, _NOTHING), strict=True)]
    shares = soft_maximum(scores)
    order = sorted(range(len(shares)), key=lambda at: (-shares[at], at))
    return PatternGuess(
        pattern=NAMES[order[0]],
        confidence=round(shares[order[0]], 3),
        why=_reasons(marks, order[0]),
        ranked=tuple((NAMES[at], round(shares[at], 3)) for at in order),
        familiar=round(_familiar(marks), 3),
    )


def features(request: str) -> Mapping[str, str]:
    """Returns what counts of a request, each with its word: word beginnings and, with `#`, its outline."""
    text = " ".join(tokenizer.normal(excerpts.request(request)).split())
    words = _TOKEN.findall(text)
    marks = {tokenizer.fold(word)[:PREFIX]: word for word in reversed(words)}
    commas = text.count(",") + text.count("、")
    outline = {
        "#short": len(words) <= SHORT,
        "#long": len(words) >= LONG,
        "#comma": commas == 1,
        "#commas": commas > 1,
        "#question": "?" in text,
        "#colon": ": " in text,
        "#sentences": bool(_SENTENCE_END.search(text)),
        "#code": bool(_CODE.search(text)),
        "#count": bool(_COUNT.search(text)),
    }
    return marks | {name: "" for name, there in outline.items() if there}


def _familiar(marks: Mapping[str, str]) -> float:
    words = [mark for mark, word in marks.items() if word]
    return sum(mark in _weights() for mark in words) / len(words) if words else 0.0


def soft_maximum(scores: list[float]) -> list[float]:
    """Returns the probabilities that scores stand for."""
    most = max(scores)
    powers = [math.exp(score - most) for score in scores]
    return [power / sum(powers) for power in powers]


@functools.cache
def _weights() -> Mapping[str, tuple[float, ...]]:
    """Returns the weight of each feature for each pattern; the empty name is the bias."""
    rows = (row.rsplit(":", 1) for row in pattern_weights.TABLE.split())
    return {name: tuple((ord(letter) - ZERO) * STEP for letter in letters) for name, letters in rows}


_EMPTY: Final = frozenset({"", *tokenizer.STOP})
_NOTHING: Final = (0.0,) * len(NAMES)


def _reasons(marks: Mapping[str, str], pattern: int) -> tuple[str, ...]:
    """Returns the words that put the chosen pattern ahead of the others, the strongest first."""
    leads: dict[str, float] = {}
    for mark, word in marks.items():
        weights = _weights().get(mark, _NOTHING)
        if word not in _EMPTY:
            leads[word] = weights[pattern] - (sum(weights) - weights[pattern]) / (len(weights) - 1)
    strongest = sorted(leads, key=lambda word: -leads[word])[:MAX_REASONS]
    return tuple(word for word in strongest if leads[word] > LEAST)
