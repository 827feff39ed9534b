"""What routing looks requests up in: one catalogue's agents as postings of words, letters and concepts."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from dispatch_mcp.core import bm25, lexicon, text

VERSION = "3"
NGRAM = (3, 4)


@dataclass(frozen=True, slots=True)
class Document:
    """What routing reads of an agent."""

    name: str
    description: str = ""
    keywords: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    body: str = ""
    fallback: bool = False
    priority: int = 0


@dataclass(frozen=True)
class Index:
    """The agents of one catalogue, in its order.

    `head` covers name, keywords and description, `whole` also examples and body, `body` the role text
    alone, `letters` groups of letters of name
    and description, `concepts` the lexicon's concepts by number. `exact` leads from a request in the form of
    `text.key` to the agents whose example it is, `near` does so
    from the sorted content stems, `keywords` from stems to the agents that list the keyword.
    """

    size: int
    head: bm25.Postings
    whole: bm25.Postings
    body: bm25.Postings
    letters: bm25.Postings
    concepts: bm25.Postings
    exact: Mapping[str, tuple[int, ...]]
    near: Mapping[str, tuple[int, ...]]
    keywords: Mapping[str, tuple[int, ...]]
    forms: frozenset[str]
    fallbacks: tuple[int, ...]
    priorities: tuple[int, ...]
    bodied: float
    fluency: float

    @cached_property
    def by_priority(self) -> tuple[int, ...]:
        """Returns all places, those of higher priority first."""
        return tuple(sorted(range(self.size), key=lambda place: -self.priorities[place]))


def build(documents: Sequence[Document], words: lexicon.Lexicon) -> Index:
    """Returns the index of these documents."""
    names = [_counts(_name_words(document.name)) for document in documents]
    keywords = [_counts(" \n ".join(document.keywords)) for document in documents]
    descriptions = [_counts(document.description) for document in documents]
    examples = [_counts(" \n ".join(document.examples)) for document in documents]
    bodies = [_tally(text.content(document.body)) for document in documents]
    head = (
        bm25.Field(names, 3.0, 0.3),
        bm25.Field(keywords, 1.5, 0.3),
        bm25.Field(descriptions, 1.5, 0.6),
    )
    size = len(documents)
    meanings = [_meaning(document, words) for document in documents]
    return Index(
        size=size,
        head=bm25.build(head, size),
        whole=bm25.build((*head, bm25.Field(examples, 0.5, 0.5), bm25.Field(bodies, 0.5, 0.6)), size),
        body=bm25.build([bm25.Field(bodies, 1.0, 0.6)], size),
        letters=bm25.build([bm25.Field([letters(_head_text(doc)) for doc in documents], 1.0, 0.8)], size),
        concepts=bm25.build([bm25.Field([meant.profile for meant in meanings], 1.0, 0.6)], size),
        exact=_examples(documents, text.key),
        near=_examples(documents, gist),
        keywords=_keywords(documents),
        forms=frozenset(word.form for doc in documents for word in text.words(_head_text(doc)) if word.form.isascii()),
        fallbacks=tuple(place for place, document in enumerate(documents) if document.fallback),
        priorities=tuple(document.priority for document in documents),
        bodied=sum(bool(document.body) for document in documents) / max(size, 1),
        fluency=sum(meant.cover for meant in meanings) / max(size, 1),
    )


def letters(source: str) -> Counter[str]:
    """Returns how often each group of three and four letters occurs in the words of a text."""
    found: Counter[str] = Counter()
    for stem in dict.fromkeys(text.stems(source)):
        found.update(groups(stem))
    return found


@lru_cache(maxsize=16384)
def groups(stem: str) -> tuple[str, ...]:
    """Returns the groups of three and four letters of a stem, its beginning marked by a space."""
    padded = f" {text.fold(stem)}"
    return tuple(padded[at : at + length] for length in NGRAM for at in range(len(padded) - length + 1))


def pairs(stems: Sequence[str]) -> list[str]:
    """Returns neighbouring stems as one term each."""
    return [f"{left} {right}" for left, right in itertools.pairwise(stems)]


def _counts(source: str) -> Counter[str]:
    if not source:
        return Counter()
    return _tally([stem for stem in text.stems(source) if stem not in text.STOP])


def _tally(stems: Sequence[str]) -> Counter[str]:
    counts = Counter(stems)
    counts.update(pairs(stems))
    return counts


def _name_words(name: str) -> str:
    return name.replace("_", " ").replace("-", " ")


def _head_text(document: Document) -> str:
    return " \n ".join((_name_words(document.name), *document.keywords, document.description))


def gist(source: str) -> str:
    """Returns the content stems of a request in alphabetical order; empty when there are fewer than two."""
    stems = sorted({stem for stem in text.stems(source) if stem not in text.STOP})
    return " ".join(stems) if len(stems) > 1 else ""


def _examples(documents: Sequence[Document], form: Callable[[str], str]) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    for place, document in enumerate(documents):
        for example in document.examples:
            key = form(example)
            if key and place not in found.get(key, ()):
                found[key] = (*found.get(key, ()), place)
    return found


def _keywords(documents: Sequence[Document]) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    for place, document in enumerate(documents):
        for keyword in document.keywords:
            key = " ".join(text.stems(keyword))
            if key and place not in found.get(key, ()):
                found[key] = (*found.get(key, ()), place)
    return found


@dataclass(frozen=True, slots=True)
class _Meaning:
    """What the lexicon makes of a document: weights of concepts, share of words understood, plain word forms."""

    profile: dict[str, float]
    cover: float
    forms: frozenset[str]


_MEANINGFUL = (("name", 2.0), ("keywords", 0.25), ("description", 1.0))


def _meaning(document: Document, known: lexicon.Lexicon) -> _Meaning:
    profile: dict[str, float] = {}
    forms: set[str] = set()
    covers: list[tuple[float, int]] = []
    for name, weight in _MEANINGFUL:
        source = _field_text(document, name)
        found = text.words(source)
        matches = list(known.matches(found, source))
        for match in matches:
            for concept, share in match.meanings:
                profile[str(concept)] = profile.get(str(concept), 0.0) + weight * share
        forms.update(word.form for word in found if word.form.isascii())
        if name in ("name", "description"):
            covers.append((known.cover(found, matches), len(found)))
    total = sum(count for _, count in covers)
    cover = sum(share * count for share, count in covers) / total if total else 0.0
    return _Meaning(profile, cover, frozenset(forms))


def _field_text(document: Document, name: str) -> str:
    value = _name_words(document.name) if name == "name" else getattr(document, name)
    return value if isinstance(value, str) else " \n ".join(value)
