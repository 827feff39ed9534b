"""What routing looks requests up in: one catalogue's agents as postings of words and concepts.

Building it takes 50 ms for the shipped rosters and 0.4 s for 390 long files (benchmarks/routing.py), so it is built
when the first request asks for it, and no copy is kept on the disk.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final
from weakref import WeakKeyDictionary

from dispatch_mcp.agents import catalog
from dispatch_mcp.routing import bm25
from dispatch_mcp.text import lexicon, tokenizer
from dispatch_mcp.text.reading import excerpts

NAME: Final = (3.0, 0.3)
KEYWORDS: Final = (1.5, 0.3)
DESCRIPTION: Final = (1.5, 0.6)
EXAMPLES: Final = (0.5, 0.5)
BODY: Final = (0.5, 0.6)
BODY_ALONE: Final = (1.0, 0.6)
CONCEPTS: Final = (1.0, 0.6)
"""Of each field what one occurrence counts, and how much its length matters (0 to 1).

Set by hand on the development sets of benchmarks/routing.py in November 2026; no script fits them.
"""

CONCEPTS_OF: Final = (2.0, 0.25, 1.0)
"""What a concept counts that is found in the name, the keywords and the description; set like the weights above."""


@dataclass(frozen=True, slots=True)
class AgentText:
    """What routing reads of an agent."""

    name: str
    description: str = ""
    keywords: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    body: str = ""
    fallback: bool = False
    priority: int = 0


Places = Mapping[str, tuple[int, ...]]
"""Which agents, by their place in the catalogue, something leads to."""


@dataclass(frozen=True)
class AgentIndex:
    """The agents of one catalogue, in its order.

    `head` covers name, keywords and description, `whole` also examples and body, `body` the role text alone,
    `concepts` the lexicon's concepts by number. `exact` leads from a request in the form of `tokenizer.key` to the
    agents whose example it is, `near` does so from the sorted content stems. `body_share` is the share of agents with
    a role text, `fluency` the share of their words that the lexicon understands, both 0 to 1.
    """

    size: int
    head: bm25.Postings
    whole: bm25.Postings
    body: bm25.Postings
    concepts: bm25.Postings
    exact: Places
    near: Places
    fallbacks: tuple[int, ...]
    priorities: tuple[int, ...]
    body_share: float
    fluency: float

    @cached_property
    def by_priority(self) -> tuple[int, ...]:
        """Returns all places, those of higher priority first."""
        return tuple(sorted(range(self.size), key=lambda place: -self.priorities[place]))


_INDEXES: Final[WeakKeyDictionary[catalog.Catalog, AgentIndex]] = WeakKeyDictionary()
"""The index of each catalogue that is in use; catalogues are immutable, so an entry stays true as long as it lives."""


def index_of(agents: catalog.Catalog) -> AgentIndex:
    """Returns what routing looks requests up in, built at first use."""
    index = _INDEXES.get(agents)
    if index is None:
        index = _INDEXES[agents] = build([_document(agent) for agent in agents.routable], agents.words)
    return index


@functools.lru_cache(maxsize=32)
def fingerprint(agents: catalog.Catalog) -> str:
    """Returns a digest of everything that the index of a catalogue is built from."""
    lines = [f"{agent.qualified}\0{agent.sha256}" for agent in agents.routable]
    return hashlib.sha256("\n".join([agents.words.digest, *lines]).encode("utf-8", "surrogatepass")).hexdigest()


def build(documents: Sequence[AgentText], vocabulary: lexicon.Lexicon) -> AgentIndex:
    """Returns the index of these documents."""
    size = len(documents)
    heads = [_Head.of(document) for document in documents]
    fields = (
        bm25.Field(bm25.FieldTerms(_content(head.name) for head in heads), *NAME),
        bm25.Field(bm25.FieldTerms(_content(head.keywords) for head in heads), *KEYWORDS),
        bm25.Field(bm25.FieldTerms(_content(head.description) for head in heads), *DESCRIPTION),
    )
    examples = bm25.FieldTerms([_content(tokenizer.words(" \n ".join(document.examples))) for document in documents])
    bodies = bm25.FieldTerms(tokenizer.content(document.body) for document in documents)
    meanings = [_meaning(head, vocabulary) for head in heads]
    return AgentIndex(
        size=size,
        head=bm25.Postings.of(size, *fields),
        whole=bm25.Postings.of(size, *fields, bm25.Field(examples, *EXAMPLES), bm25.Field(bodies, *BODY)),
        body=bm25.Postings.of(size, bm25.Field(bodies, *BODY_ALONE)),
        concepts=bm25.Postings.of(size, bm25.Field(bm25.Weights([each.profile for each in meanings]), *CONCEPTS)),
        exact=_places(documents, lambda document: map(tokenizer.key, document.examples)),
        near=_places(documents, lambda document: map(gist, document.examples)),
        fallbacks=tuple(place for place, document in enumerate(documents) if document.fallback),
        priorities=tuple(document.priority for document in documents),
        body_share=sum(bool(document.body) for document in documents) / max(size, 1),
        fluency=sum(each.cover for each in meanings) / max(size, 1),
    )


@dataclass(frozen=True, slots=True)
class _Head:
    """The words of a document's name, keywords and description; `sources` are the texts they were read from."""

    name: list[tokenizer.Word]
    keywords: list[tokenizer.Word]
    description: list[tokenizer.Word]
    sources: tuple[str, str, str]

    @staticmethod
    def of(document: AgentText) -> _Head:
        sources = (
            document.name.replace("_", " ").replace("-", " "),
            " \n ".join(document.keywords),
            document.description,
        )
        name, keywords, description = map(tokenizer.words, sources)
        return _Head(name, keywords, description, sources)


def pairs(stems: Sequence[str]) -> list[str]:
    """Returns neighbouring stems as one term each."""
    return [f"{before} {right}" for before, right in itertools.pairwise(stems)]


def gist(source: str) -> str:
    """Returns the content stems of a request in alphabetical order; empty when there are fewer than two."""
    stems = sorted({stem for stem in tokenizer.stems(source) if stem not in tokenizer.STOP})
    return " ".join(stems) if len(stems) > 1 else ""


def _content(words: Sequence[tokenizer.Word]) -> list[str]:
    return [word.stem for word in words if word.stem not in tokenizer.STOP]


def _places(documents: Sequence[AgentText], keys: Callable[[AgentText], Iterable[str]]) -> Places:
    places: dict[str, tuple[int, ...]] = {}
    for place, document in enumerate(documents):
        for key in filter(None, dict.fromkeys(keys(document))):
            places[key] = (*places.get(key, ()), place)
    return places


@dataclass(frozen=True, slots=True)
class _Meaning:
    """What the lexicon makes of a document: weights of concepts by their number, share of words understood."""

    profile: dict[str, float]
    cover: float


def _meaning(head: _Head, vocabulary: lexicon.Lexicon) -> _Meaning:
    profile: dict[str, float] = {}
    covers: list[tuple[float, int]] = []
    for at, words in enumerate((head.name, head.keywords, head.description)):
        matches = list(vocabulary.matches(words, head.sources[at]))
        for match in matches:
            for concept, share in match.meanings:
                profile[str(concept)] = profile.get(str(concept), 0.0) + CONCEPTS_OF[at] * share
        if words is not head.keywords:
            covers.append((vocabulary.cover(words, matches), len(words)))
    total = sum(count for _, count in covers)
    cover = sum(share * count for share, count in covers) / total if total else 0.0
    return _Meaning(profile, cover)


def _document(agent: catalog.Agent) -> AgentText:
    return AgentText(
        name=agent.name,
        description=agent.description,
        keywords=(*agent.keywords, *agent.capabilities),
        examples=agent.examples,
        body=excerpts.ROLE.of(agent.body),
        fallback=agent.fallback,
        priority=agent.priority,
    )
