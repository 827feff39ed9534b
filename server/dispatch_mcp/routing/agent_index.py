"""What routing looks requests up in: one catalogue's agents as postings of words, letters and concepts."""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final
from weakref import WeakKeyDictionary

from dispatch_mcp.agents import catalog
from dispatch_mcp.routing import bm25
from dispatch_mcp.text import lexicon, tokenizer

VERSION = "4"
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
    fallbacks: tuple[int, ...]
    priorities: tuple[int, ...]
    bodied: float
    fluency: float

    @cached_property
    def by_priority(self) -> tuple[int, ...]:
        """Returns all places, those of higher priority first."""
        return tuple(sorted(range(self.size), key=lambda place: -self.priorities[place]))


MAX_BODY_INDEXED: Final = 12_000
"""Characters of an agent's role text that routing reads."""

_INDEXES: Final[WeakKeyDictionary[catalog.Catalog, Index]] = WeakKeyDictionary()
"""The index of each catalogue that is in use; catalogues are immutable, so an entry stays true as long as it lives."""


def of(known: catalog.Catalog) -> Index:
    """Returns what routing looks requests up in, built at first use unless `adopt` was given one."""
    index = _INDEXES.get(known)
    if index is None:
        index = _INDEXES[known] = build([_document(agent) for agent in known.routable], known.words)
    return index


def adopt(known: catalog.Catalog, index: Index) -> None:
    """Takes an index that was built from the same agents before (`fingerprint` tells)."""
    _INDEXES[known] = index


@functools.lru_cache(maxsize=32)
def fingerprint(known: catalog.Catalog) -> str:
    """Returns a digest of everything that the index of a catalogue is built from."""
    lines = [f"{agent.qualified}\0{agent.sha256}" for agent in known.routable]
    whole = "\n".join([VERSION, known.words.digest, *lines])
    return hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()


def build(documents: Sequence[Document], words: lexicon.Lexicon) -> Index:
    """Returns the index of these documents."""
    read = [_Read.of(document) for document in documents]
    size = len(documents)
    bodies = [_tally(tokenizer.content(document.body)) for document in documents]
    keys = bm25.Keys()
    nothing: list[bm25.Held] = [{} for _ in documents]
    head = bm25.weigh(
        (
            bm25.Field([_counts(each.name) for each in read], 3.0, 0.3),
            bm25.Field([_counts(each.keywords) for each in read], 1.5, 0.3),
            bm25.Field([_counts(each.description) for each in read], 1.5, 0.6),
        ),
        nothing,
        keys,
    )
    examples = [_tally(_content(" \n ".join(document.examples))) for document in documents]
    rest = (bm25.Field(examples, 0.5, 0.5), bm25.Field(bodies, 0.5, 0.6))
    meanings = [_meaning(each, words) for each in read]
    return Index(
        size=size,
        head=bm25.packed(head),
        whole=bm25.packed(bm25.weigh(rest, head, keys)),
        body=bm25.packed(bm25.weigh([bm25.Field(bodies, 1.0, 0.6)], nothing, keys)),
        letters=bm25.build([bm25.Field([_letters(each) for each in read], 1.0, 0.8)], size),
        concepts=bm25.build([bm25.Field([meant.profile for meant in meanings], 1.0, 0.6)], size),
        exact=_examples(documents, tokenizer.key),
        near=_examples(documents, gist),
        keywords=_keywords(documents),
        fallbacks=tuple(place for place, document in enumerate(documents) if document.fallback),
        priorities=tuple(document.priority for document in documents),
        bodied=sum(bool(document.body) for document in documents) / max(size, 1),
        fluency=sum(meant.cover for meant in meanings) / max(size, 1),
    )


@dataclass(frozen=True, slots=True)
class _Read:
    """The words of a document's name, keywords and description; `sources` are the texts they were read from."""

    name: list[tokenizer.Word]
    keywords: list[tokenizer.Word]
    description: list[tokenizer.Word]
    sources: tuple[str, str, str]

    @staticmethod
    def of(document: Document) -> _Read:
        sources = (_name_words(document.name), " \n ".join(document.keywords), document.description)
        name, keywords, description = map(tokenizer.words, sources)
        return _Read(name, keywords, description, sources)

    @property
    def head(self) -> list[tokenizer.Word]:
        return [*self.name, *self.keywords, *self.description]


def _letters(read: _Read) -> Counter[str]:
    """Returns how often each group of three and four letters occurs in different stems of a document's head."""
    distinct = dict.fromkeys(word.stem for word in read.head)
    return Counter(itertools.chain.from_iterable(map(groups, distinct)))


@lru_cache(maxsize=16384)
def groups(stem: str) -> tuple[str, ...]:
    """Returns the groups of three and four letters of a stem, its beginning marked by a space."""
    padded = f" {tokenizer.fold(stem)}"
    return tuple(padded[at : at + length] for length in NGRAM for at in range(len(padded) - length + 1))


def pairs(stems: Sequence[str]) -> list[str]:
    """Returns neighbouring stems as one term each."""
    return [f"{left} {right}" for left, right in itertools.pairwise(stems)]


def _counts(words: Sequence[tokenizer.Word]) -> Counter[str]:
    return _tally([word.stem for word in words if word.stem not in tokenizer.STOP])


def _content(source: str) -> list[str]:
    return [stem for stem in tokenizer.stems(source) if stem not in tokenizer.STOP]


def _tally(stems: Sequence[str]) -> Counter[str]:
    counts = Counter(stems)
    counts.update(pairs(stems))
    return counts


def _name_words(name: str) -> str:
    return name.replace("_", " ").replace("-", " ")


def gist(source: str) -> str:
    """Returns the content stems of a request in alphabetical order; empty when there are fewer than two."""
    stems = sorted(set(_content(source)))
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
            key = " ".join(tokenizer.stems(keyword))
            if key and place not in found.get(key, ()):
                found[key] = (*found.get(key, ()), place)
    return found


@dataclass(frozen=True, slots=True)
class _Meaning:
    """What the lexicon makes of a document: weights of concepts, share of words understood."""

    profile: dict[str, float]
    cover: float


_MEANINGFUL = (2.0, 0.25, 1.0)
"""What the concepts of name, keywords and description count."""


def _meaning(read: _Read, known: lexicon.Lexicon) -> _Meaning:
    profile: dict[str, float] = {}
    covers: list[tuple[float, int]] = []
    for at, found in enumerate((read.name, read.keywords, read.description)):
        matches = list(known.matches(found, read.sources[at]))
        for match in matches:
            for concept, share in match.meanings:
                profile[str(concept)] = profile.get(str(concept), 0.0) + _MEANINGFUL[at] * share
        if found is not read.keywords:
            covers.append((known.cover(found, matches), len(found)))
    total = sum(count for _, count in covers)
    cover = sum(share * count for share, count in covers) / total if total else 0.0
    return _Meaning(profile, cover)


def _document(agent: catalog.Agent) -> Document:
    return Document(
        name=agent.name,
        description=agent.description,
        keywords=(*agent.keywords, *agent.capabilities),
        examples=agent.examples,
        body=agent.body[:MAX_BODY_INDEXED],
        fallback=agent.fallback,
        priority=agent.priority,
    )
