"""Which parts of a request count less, because they say what is not meant, and which count more.

A malfunction is no such part: "the app won't start" and "nobody can log in" are about starting and logging in, and
so is "the tests do not pass": only what a writer asks not to do is ruled out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

NEGATED = 0.0
WITHOUT = 0.3
FINE = 0.4
PURPOSE = 0.6
AROUND = 0.75
STRESSED = 1.3

Ranges = Sequence[tuple[int, int, float]]
"""Half-open ranges of characters with what a word inside counts; words outside all of them count 1."""

_STOPS = r",;:.!?\n\u2014\u2013\u3002\uff0c\uff1b\uff1a\uff01\uff1f\u3001"
_VERBS = (
    "add|answer|build|bring|change|check|create|define|deploy|design|do|draw|explain|extend|fix|focus|give|implement|"
    "improve|let|list|look|make|move|optimi[sz]e|plan|prepare|put|remove|rename|reply|repair|review|roll|run|send|set|"
    "show|speed|tell|tighten|tune|turn|update|use|version|write|normali[sz]e"
)
_TURNS = (
    "but|only|just|instead|simply|merely|and then|sondern|nur|mais|pero|sino|mas|apenas|nhưng|chỉ|solo|sólo|seulement|"
    rf"and (?:please )?(?:{_VERBS})"
)
_CUT = rf"(?=[{_STOPS}]|\b(?:{_TURNS})\b|$)"
_REST = rf"\b.{{0,80}}?{_CUT}"
_START = r"(?:^|[.,;:!?(\u2014]\s*|\b(?:but|and|so|please|just|i|we|you)\s+)"
_NOT = r"n['\u2019]?t"
_RULED_OUT = (
    rf"{_START}(?:do not|do{_NOT}|never)",
    rf"\b(?:is not|is{_NOT}|are not|are{_NOT}|i'm not|not)\s+(?:really\s+)?(?:an?|about|the|our|for|any|asking)",
    r"\b(?:we|i)(?: are|['\u2019]re| am|['\u2019]m) not",
    r"(?:^|[.,;:!?(]\s*)(?:not|no)\b(?! one\b| longer\b| matter\b)",
    r"\b(?:no|without|zero)\s+(?:need|change|changes|touching|changing|altering|modifying|looking)",
    r"\b(?:nothing to do with|never mind|forget(?: about)?|neither)",
)
_LEFT_OUT = (
    r"without|except(?: for)?|apart from|other than|instead of|rather than|excluding",
    r"ignor(?:e|ing)|leav(?:e|ing)|skip(?:ping)?",
    r"ohne|(?:an)?statt|außer|nicht|kein(?:e|en|er|em)?",
    r"sin|en (?:lugar|vez) de|excepto|salvo|no (?:toques?|cambies?|modifiques?|hace falta|se trata de)",
    r"sans|sauf|au lieu d[eu]|plutôt que|pas (?:de|besoin)|n[e'] ?(?:touche|change|modifie)[sz]? pas",
    r"sem|em vez de|ao invés de|exceto|não (?:mexa|toque|altere|mude|modifique|precisa)",
    r"đừng|thay vì|ngoại trừ|không (?:phải|cần|được|động|sửa|chạm|đổi|thay|viết|thêm)",
)
_KEPT = r"\b(?:leave|keep)\b.{0,60}?\b(?:alone|as (?:it|they|is|are)|untouched|unchanged)\b"
_SETTING = r"\b(?:when|whenever|while|after|until|because|who|whose|which|about)\b[^,;:.!?\n]{0,80}"
_RUN = "\u3001\u3002\uff0c\uff1b\uff01\uff1f"
_PATTERNS = (
    (
        frozenset(
            [
                "t",
                "not",
                "don",
                "dont",
                "isn",
                "isnt",
                "aren",
                "arent",
                "never",
                "no",
                "without",
                "zero",
                "nothing",
                "forget",
                "neither",
            ]
        ),
        re.compile(rf"(?:{'|'.join(_RULED_OUT)}){_REST}", re.IGNORECASE),
        NEGATED,
    ),
    (
        frozenset(re.findall(r"\w+", " ".join(_LEFT_OUT)))
        | frozenset(
            [
                "ignore",
                "ignoring",
                "leave",
                "leaving",
                "skip",
                "skipping",
                "anstatt",
                "keine",
                "keinen",
                "keiner",
                "keinem",
                "toque",
                "cambie",
                "modifique",
                "au",
                "touche",
                "touches",
                "touchez",
                "changes",
                "changez",
                "modifies",
                "modifiez",
            ]
        ),
        re.compile(rf"\b(?:{'|'.join(_LEFT_OUT)}){_REST}", re.IGNORECASE),
        WITHOUT,
    ),
    (frozenset(("leave", "keep")), re.compile(_KEPT, re.IGNORECASE), NEGATED),
    (
        frozenset(["when", "whenever", "while", "after", "until", "because", "who", "whose", "which", "about"]),
        re.compile(_SETTING, re.IGNORECASE),
        AROUND,
    ),
)
"""Words without which a pattern cannot match, the pattern, and what it makes of a word."""
_FOREIGN = (
    (re.compile(rf"(?:不要|不用|不需要|无需|不是|而不是|除了|别)[^{_RUN}]{{0,20}}"), WITHOUT),
    (re.compile(rf"[^{_RUN}]{{0,16}}(?:ではなく|じゃなく|ずに|しないで|以外|の代わりに)"), WITHOUT),
)
_STATES = re.compile(
    rf"\b(?:is|are)(?: not|{_NOT}) (?P<off>wanted|needed|required|affected|involved|the (?:issue|problem|point))\b"
    r"|\b(?:is|are|works?|looks?) (?:\w+ )?(?:fine|ok|okay|good|correct|done|ready|\w+ed already)\b",
    re.IGNORECASE,
)
_STATING = frozenset(["is", "are", "isn", "isnt", "aren", "arent", "work", "works", "look", "looks"])
_STRESSING = frozenset(("only", "just", "solely", "rather"))
_WORD = re.compile(r"\w+")
_CLAUSE = re.compile(rf"[{_STOPS}]")
_PURPOSE = re.compile(r"\bfor\b[^,;:.!?\n\u2014]{0,100}", re.IGNORECASE)
_OBJECT = re.compile(
    r"\b(?:errors?|problems?|issues?|bugs?|(?:scan|search|look|check|review|inspect|audit|test|ask|wait|watch|need|request|"
    r"support|responsible)(?:s|e?d|ing)?)\b[^,;:.!?\n]{0,40}$",
    re.IGNORECASE,
)
"""After these "for" names the place of a fault or what is looked for, not the purpose of a thing."""
_STRESS = re.compile(r"\b(?:only|just|solely|but rather)\b(.{0,80}?)(?=[,;:.!?\n]|$)", re.IGNORECASE)


def ranges(source: str) -> Ranges:
    """Returns the parts of a request that count less or more.

    What something is for says less than what it is ("a table for user sessions" is a table); what follows "only" says
    more.
    """
    cues = frozenset(_WORD.findall(source.lower()))
    patterns = [(pattern, weight) for words, pattern, weight in _PATTERNS if not words.isdisjoint(cues)]
    if not source.isascii():
        patterns.extend(_FOREIGN)
    found = [(*match.span(), weight) for pattern, weight in patterns for match in pattern.finditer(source)]
    if "for" in cues:
        found.extend(_purposes(source))
    if not _STATING.isdisjoint(cues):
        found.extend(_states(source))
    if not _STRESSING.isdisjoint(cues):
        found.extend((*match.span(1), STRESSED) for match in _STRESS.finditer(source))
    return found


def _purposes(source: str) -> Iterator[tuple[int, int, float]]:
    for match in _PURPOSE.finditer(source):
        if not _OBJECT.search(source, max(0, match.start() - 60), match.start()):
            yield (*match.span(), PURPOSE)


def _states(source: str) -> Iterator[tuple[int, int, float]]:
    """Yields clauses that say of something that it is not wanted, or that it is fine as it is."""
    for match in _STATES.finditer(source):
        begin = max((stop.end() for stop in _CLAUSE.finditer(source, 0, match.start())), default=0)
        yield (begin, match.end(), NEGATED if match["off"] else FINE)


def at(parts: Ranges, place: int) -> float:
    """Returns how much a word at this place counts."""
    inside = [weight for start, end, weight in parts if start <= place < end]
    return min(inside) if inside and min(inside) < 1 else max(inside, default=1.0)
