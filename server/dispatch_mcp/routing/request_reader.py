"""A request as weighted terms: what it is about, what it says it is not about, and what was mistyped."""

from __future__ import annotations

import itertools
import string
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from dispatch_mcp.routing import agent_index, emphasis
from dispatch_mcp.text import lexicon, tokenizer

MAX_REPAIRS = 8
MAX_TERMS = 40
MAX_MATCHES = 60
MAX_EXAMPLE = 400
RARE = 1 << 20
COMMON = ((600, 0.6), (2000, 0.8))
"""The 600 commonest English words count 0.6, the next up to 2000 count 0.8."""
_LEAST_REPAIRED = 4


@dataclass(frozen=True, slots=True)
class Term:
    """One content word of a request with its weight; `repaired` is what was written when it was mistyped."""

    stem: str
    weight: float
    start: int
    end: int
    repaired: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """What is read of a request: the excerpt, its words, content terms, concept matches and letter groups."""

    source: str
    words: tuple[tokenizer.Word, ...]
    terms: tuple[Term, ...]
    weighted: tuple[tuple[str, float], ...]
    concepts: Mapping[int, float]
    matches: tuple[tuple[int, int, lexicon.Meanings], ...]
    letters: tuple[tuple[str, float], ...]
    cover: float
    key: str
    gist: str


def read(request: str, found: agent_index.Index, known: lexicon.Lexicon) -> Request:
    """Returns the reading of a request against what this index and lexicon know."""
    source = tokenizer.excerpt(request)
    words = tuple(_repaired(tokenizer.words(source), found, known))
    scale = emphasis.ranges(source)
    terms = tuple(_terms(words, scale, known))
    if scale and not terms:
        scale = ()
        terms = tuple(_terms(words, scale, known))
    terms = _heaviest(terms, found)
    whole = [word for word, _ in words if not word.part]
    meant = list(itertools.islice(known.matches(whole, source), MAX_MATCHES))
    matches = tuple(_placed(match, whole) for match in meant)
    return Request(
        source=source,
        words=tuple(word for word, _ in words),
        terms=terms,
        weighted=_weighted(terms),
        concepts=_concepts(matches, scale),
        matches=matches,
        letters=_letters(terms),
        cover=known.cover(whole, meant),
        key=tokenizer.key(source) if len(source) < MAX_EXAMPLE else "",
        gist=agent_index.gist(source) if len(source) < MAX_EXAMPLE else "",
    )


def _terms(words: Sequence[tuple[tokenizer.Word, str]], scale: emphasis.Ranges, known: lexicon.Lexicon) -> list[Term]:
    terms: list[Term] = []
    for word, written in words:
        if word.stem in tokenizer.STOP:
            continue
        weight = emphasis.at(scale, word.start) * everyday(word.form, known) * (0.5 if word.part else 1.0)
        if weight > 0:
            terms.append(Term(word.stem, weight, word.start, word.end, written))
    return terms


def _heaviest(terms: tuple[Term, ...], found: agent_index.Index) -> tuple[Term, ...]:
    """Returns the terms that say most, in their order: a long request costs no more than a middling one."""
    if len(terms) <= MAX_TERMS:
        return terms
    by_weight: dict[str, float] = {}
    for term in terms:
        weight = term.weight * found.whole.rare(term.stem)
        by_weight[term.stem] = max(by_weight.get(term.stem, 0.0), weight)
    kept = set(sorted(by_weight, key=lambda stem: (-by_weight[stem], stem))[:MAX_TERMS])
    return tuple(term for term in terms if term.stem in kept)[: 2 * MAX_TERMS]


def everyday(form: str, known: lexicon.Lexicon) -> float:
    """Returns how much a word counts: the commonest words of English tell agents apart least."""
    rank = known.common.get(form, RARE)
    return next((weight for limit, weight in COMMON if rank < limit), 1.0)


def _weighted(terms: Sequence[Term]) -> tuple[tuple[str, float], ...]:
    found: dict[str, float] = {}
    for term in terms:
        found[term.stem] = max(found.get(term.stem, 0.0), term.weight)
    return tuple(found.items())


def _placed(match: lexicon.Match, whole: Sequence[tokenizer.Word]) -> tuple[int, int, lexicon.Meanings]:
    if match.start >= 0:
        return (match.start, match.end, match.meanings)
    return (whole[match.first].start, whole[match.last - 1].end, match.meanings)


def _concepts(matches: Sequence[tuple[int, int, lexicon.Meanings]], scale: emphasis.Ranges) -> dict[int, float]:
    meant: dict[int, float] = {}
    for start, _, meanings in matches:
        weight = emphasis.at(scale, start)
        for concept, share in meanings:
            meant[concept] = max(meant.get(concept, 0.0), weight * share) + 0.2 * min(
                meant.get(concept, 0.0), weight * share
            )
    return {concept: share for concept, share in meant.items() if share > 0}


def _letters(terms: Sequence[Term]) -> tuple[tuple[str, float], ...]:
    found: dict[str, float] = {}
    for term in terms:
        for group in agent_index.groups(term.stem):
            found[group] = term.weight
    return tuple(found.items())


def _repaired(
    words: Sequence[tokenizer.Word], found: agent_index.Index, known: lexicon.Lexicon
) -> list[tuple[tokenizer.Word, str]]:
    """Returns the words with one-letter mistakes mended, each with what was written if it was changed."""
    left = MAX_REPAIRS
    mended: list[tuple[tokenizer.Word, str]] = []
    for word in words:
        better = ""
        if left and _unknown(word, found, known):
            left -= 1
            wide = len(word.form) > _LEAST_REPAIRED
            better = repair(word.form, (found.forms, known.words, known.common) if wide else (found.forms,))
        if better:
            mended.append((tokenizer.Word(tokenizer.stem(better), better, word.start, word.end), word.form))
        else:
            mended.append((word, ""))
    return mended


def _unknown(word: tokenizer.Word, found: agent_index.Index, known: lexicon.Lexicon) -> bool:
    form = word.form
    if word.part or len(form) < _LEAST_REPAIRED or not (form.isascii() and form.isalpha()):
        return False
    return not (
        form in known.common
        or form in known.words
        or found.whole.rare(word.stem) > 0
        or word.stem in known.longest
        or (known.prefixes and any(form[:length] in known.prefixes for length in range(4, len(form) + 1)))
    )


def repair(form: str, known: Sequence[Collection[str]]) -> str:
    """Returns the known word that is one letter added, dropped, changed or swapped away, or an empty string.

    The first of the collections that knows one decides; among several the one that keeps the first letter and most
    of the length wins. The first letter is hardly ever the wrong one ("gallon" is no "fallon").
    """
    splits = [(form[:at], form[at:]) for at in range(len(form) + 1)]
    swapped = [left + right[1] + right[0] + right[2:] for left, right in splits if len(right) > 1]
    added = [left + char + right for left, right in splits for char in string.ascii_lowercase]
    dropped = [left + right[1:] for left, right in splits if right]
    changed = [left + char + right[1:] for left, right in splits[1:] if right for char in string.ascii_lowercase]
    for words in known:
        for candidates in (swapped, added, dropped, changed):
            fitting = sorted(word for word in filter(words.__contains__, candidates) if len(word) >= _LEAST_REPAIRED)
            if fitting:
                return next((word for word in fitting if word[0] == form[0]), fitting[0])
    return ""
