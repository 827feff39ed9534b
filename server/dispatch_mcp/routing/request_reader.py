"""A request as stem_weights terms: its content words, what they mean, and what each of them counts.

A request is taken at its word: what it rules out counts like everything else, and a mistyped word is one that nobody
knows (docs/routing.md#what-the-router-does-not-do).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from dispatch_mcp.routing import agent_index, mentions
from dispatch_mcp.text import lexicon, tokenizer
from dispatch_mcp.text.reading import excerpts

MAX_TERMS: Final = 40
"""Different words of a request that are looked up."""

MAX_MATCHES: Final = 60
"""Places of a request whose meaning is looked up."""

MAX_EXAMPLE: Final = 400
"""Characters of the longest request that is compared with the agents' examples."""

COMMON: Final = ((600, 0.6), (2000, 0.8))
"""The 600 commonest English words count 0.6, the next up to 2000 count 0.8.

Set by hand on the development sets of benchmarks/routing.py in November 2026.
"""

PART: Final = 0.5
"""What a part of a compound name counts beside the name itself; set like `COMMON`."""

MENTION: Final = 0.3
"""What a word in quotation marks counts: it names something that the request is not about. Set by hand."""

REPEATED: Final = 0.2
"""What the weaker one of two places that mean the same concept adds to the stronger one; set like `COMMON`."""

LAYOUT: Final = frozenset(
    (
        *("app", "apps", "src", "lib", "libs", "main", "core", "common", "shared", "base", "index", "init", "mod"),
        *("pkg", "packages", "cmd", "bin", "internal", "include", "public", "home", "root", "source", "sources"),
    )
)
"""Names that folders and files have in projects of every kind: in a path they say nothing of what the work is about."""

_BEFORE_NAME = re.compile(r"[/\\]")
_AFTER_NAME = re.compile(r"[/\\]|\.\w")

_RARE: Final = 1 << 20
"""A rank among English words that stands for all words without one."""


@dataclass(frozen=True, slots=True)
class Term:
    """One content word of a request with its weight, 0 to 1, and the half-open range it was written at."""

    stem: str
    weight: float
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Request:
    """What is read of a request.

    `source` is the excerpt that `words` and `terms` were read from; `stem_weights` has each different stem with its
    weight. `concepts` are weights by the concept's number, `matches` the ranges of
    `source` that mean something. `cover` is the share of its content words that the lexicon understands, 0 to 1.
    `key` and `gist` compare requests as a whole; both are empty for one too long to be an example.
    """

    source: str
    words: tuple[tokenizer.Word, ...]
    terms: tuple[Term, ...]
    stem_weights: tuple[tuple[str, float], ...]
    concepts: Mapping[int, float]
    matches: tuple[tuple[int, int, lexicon.Meanings], ...]
    cover: float
    key: str
    gist: str


def read(request: str, index: agent_index.AgentIndex, vocabulary: lexicon.Lexicon) -> Request:
    """Returns the reading of a request against what this index and lexicon know."""
    source = excerpts.request(request)
    words = tuple(word for word in tokenizer.words(source) if not _is_layout(word, source))
    quoted_ranges = mentions.ranges(source)
    terms = _heaviest(_terms(words, vocabulary, quoted_ranges), index)
    whole = [word for word in words if not word.part]
    meanings = list(itertools.islice(vocabulary.matches(whole, source), MAX_MATCHES))
    matches = tuple(_less_if_mention(_range_of(match, whole), quoted_ranges) for match in meanings)
    return Request(
        source=source,
        words=words,
        terms=terms,
        stem_weights=_stem_weights(terms),
        concepts=_concepts(matches),
        matches=matches,
        cover=vocabulary.cover(whole, meanings),
        key=tokenizer.key(source) if len(source) < MAX_EXAMPLE else "",
        gist=agent_index.gist(source) if len(source) < MAX_EXAMPLE else "",
    )


def _is_layout(word: tokenizer.Word, source: str) -> bool:
    """Returns whether a word is a folder or file of a path by a name that every project has: `app` of `app/cart.py`."""
    if word.form not in LAYOUT:
        return False
    return bool(_AFTER_NAME.match(source, word.end) or _BEFORE_NAME.match(source, word.start - 1))


Ranges = Sequence[tuple[int, int]]
Place = tuple[int, int, lexicon.Meanings]


def _terms(words: Sequence[tokenizer.Word], vocabulary: lexicon.Lexicon, ranges: Ranges) -> tuple[Term, ...]:
    def weight(word: tokenizer.Word) -> float:
        whole = everyday(word.form, vocabulary) * (PART if word.part else 1.0)
        return whole * (MENTION if _is_within(word.start, ranges) else 1.0)

    return tuple(
        Term(word.stem, weight(word), word.start, word.end)
        for word in words
        if word.stem not in tokenizer.STOP and not (len(word.stem) == 1 and word.stem.isdigit())
    )


def _is_within(at: int, ranges: Ranges) -> bool:
    return any(start <= at < end for start, end in ranges)


def _less_if_mention(place: Place, ranges: Ranges) -> Place:
    """Returns a place that means something, with less meaning if it stands in quotation marks."""
    start, end, meanings = place
    if not _is_within(start, ranges):
        return place
    return (start, end, tuple((concept, share * MENTION) for concept, share in meanings))


def _heaviest(terms: tuple[Term, ...], index: agent_index.AgentIndex) -> tuple[Term, ...]:
    """Returns the terms that say most, in their order: a long request costs no more than a middling one."""
    if len(terms) <= MAX_TERMS:
        return terms
    by_stem: dict[str, float] = {}
    for term in terms:
        weight = term.weight * index.whole.rare(term.stem)
        by_stem[term.stem] = max(by_stem.get(term.stem, 0.0), weight)
    heaviest = set(sorted(by_stem, key=lambda stem: (-by_stem[stem], stem))[:MAX_TERMS])
    return tuple(term for term in terms if term.stem in heaviest)[: 2 * MAX_TERMS]


def everyday(form: str, vocabulary: lexicon.Lexicon) -> float:
    """Returns how much a word counts, 0 to 1: the commonest words of English tell agents apart least."""
    rank = vocabulary.common.get(form, _RARE)
    return next((weight for limit, weight in COMMON if rank < limit), 1.0)


def _stem_weights(terms: Sequence[Term]) -> tuple[tuple[str, float], ...]:
    weights: dict[str, float] = {}
    for term in terms:
        weights[term.stem] = max(weights.get(term.stem, 0.0), term.weight)
    return tuple(weights.items())


def _range_of(match: lexicon.Match, whole: Sequence[tokenizer.Word]) -> Place:
    if match.start >= 0:
        return (match.start, match.end, match.meanings)
    return (whole[match.first].start, whole[match.last - 1].end, match.meanings)


def _concepts(matches: Sequence[Place]) -> dict[int, float]:
    shares: dict[int, float] = {}
    for _, _, meanings in matches:
        for concept, share in meanings:
            before = shares.get(concept, 0.0)
            shares[concept] = max(before, share) + REPEATED * min(before, share)
    return shares
