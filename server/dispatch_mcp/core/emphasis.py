"""Which parts of a request count less, because they say what is not meant, and which count more.

A malfunction is no such part: "the app won't start" and "nobody can log in" are about starting and logging in.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

NEGATED = 0.0
WITHOUT = 0.3
PURPOSE = 0.6
STRESSED = 1.3

Ranges = Sequence[tuple[int, int, float]]
"""Half-open ranges of characters with what a word inside counts; words outside all of them count 1."""

_STOPS = r",;:.!?\n\u2014\u2013\u3002\uff0c\uff1b\uff1a\uff01\uff1f\u3001"
_TURNS = (
    "but|only|just|instead|simply|merely|and then|sondern|nur|mais|pero|sino|mas|apenas|nhưng|chỉ|solo|sólo|seulement"
)
_CUT = rf"(?=[{_STOPS}]|\b(?:{_TURNS})\b|$)"
_NOT = r"n['\u2019]?t"
_KEPT = (
    rf"\b(?:do not|do{_NOT}|never)\b.{{0,80}}?{_CUT}",
    rf"\b(?:is not|is{_NOT}|are{_NOT}|not)\s+(?:really\s+)?(?:an?|about|the|our|for|any)\b.{{0,80}}?{_CUT}",
    rf"(?:^|[.,;:!?(]\s*)(?:not|no)\b(?! one\b).{{0,80}}?{_CUT}",
    rf"\b(?:no|without|zero)\s+(?:need|change|changes|touching|changing|altering|modifying)\b.{{0,80}}?{_CUT}",
    r"\bleave\b.{0,60}?\b(?:alone|as (?:it|they|is|are)|untouched|unchanged)\b",
)
_LEFT_OUT = (
    r"without|except(?: for)?|apart from|other than|instead of|rather than|excluding",
    r"ignor(?:e|ing)|leav(?:e|ing)|skip(?:ping)?",
    r"ohne|sin|sans|sem|đừng|nicht|kein(?:e|en|er)?|pas de|ne touche[sz]? pas|no toques|não (?:mexa|toque)",
    r"không (?:phải|cần|được|động|sửa|chạm)",
)
_RUN = "\u3001\u3002\uff0c\uff1b\uff01\uff1f"
_FAULTS = ("error", "errors", "problem", "problems", "issue", "issues", "bug", "bugs")
_PLACE = "".join(rf"(?<!\b{word}\sfor)" for word in _FAULTS)
"""After these words "for" names the place of a fault, not the purpose of a thing."""
_PATTERNS = (
    *((re.compile(pattern, re.IGNORECASE), NEGATED) for pattern in _KEPT),
    *((re.compile(rf"\b(?:{words})\b.{{0,60}}?{_CUT}", re.IGNORECASE), WITHOUT) for words in _LEFT_OUT),
    (re.compile(rf"\bfor\b{_PLACE}.{{0,100}}?(?=[,;:.!?\n\u2014]|$)", re.IGNORECASE), PURPOSE),
)
_FOREIGN = (
    (re.compile(rf"(?:不要|不用|无需|不是|别)[^{_RUN}]{{0,20}}"), WITHOUT),
    (re.compile(rf"[^{_RUN}]{{0,16}}(?:ではなく|じゃなく|せずに|しないで)"), WITHOUT),
)
_STRESS = re.compile(r"\b(?:only|just|solely|but rather)\b(.{0,80}?)(?=[,;:.!?\n]|$)", re.IGNORECASE)


def ranges(source: str) -> Ranges:
    """Returns the parts of a request that count less or more.

    What something is for says less than what it is ("a table for user sessions" is a table); what follows "only" says
    more.
    """
    patterns = _PATTERNS if source.isascii() else (*_PATTERNS, *_FOREIGN)
    found = [(*match.span(), weight) for pattern, weight in patterns for match in pattern.finditer(source)]
    return [*found, *((match.start(1), match.end(1), STRESSED) for match in _STRESS.finditer(source))]


def at(parts: Ranges, place: int) -> float:
    """Returns how much a word at this place counts."""
    inside = [weight for start, end, weight in parts if start <= place < end]
    return min(inside) if inside and min(inside) < 1 else max(inside, default=1.0)
