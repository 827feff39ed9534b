"""What routing looks requests up in: one catalogue's agents as postings of words, letters and concepts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dispatch_mcp.core import bm25, lexicon, text

VERSION = "1"
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


@dataclass(frozen=True, slots=True)
class Index:
    """The agents of one catalogue, in its order.

    `head` covers name, keywords and description, `whole` also examples and body, `letters` groups of letters of name
    and description, `concepts` the lexicon's concepts by number. `exact` leads from a request in the form of
    `text.key` to the agents whose example it is, `near` does so
    from the sorted content stems, `keywords` from stems to the agents that list the keyword.
    """

    size: int
    head: bm25.Postings
    whole: bm25.Postings
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


def build(documents: Sequence[Document], words: lexicon.Lexicon) -> Index:
    """Returns the index of these documents."""
    names = [_counts(_name_words(document.name)) for document in documents]
    keywords = [_counts(" \n ".join(document.keywords)) for document in documents]
    descriptions = [_counts(document.description) for document in documents]
    examples = [_counts(" \n ".join(document.examples)) for document in documents]
    bodies = [_counts(document.body) for document in documents]
    head = (
        bm25.Field(names, 3.0, 0.3),
        bm25.Field(keywords, 1.5, 0.3),
        bm25.Field(descriptions, 1.5, 0.6),
    )
    size = len(documents)
    return Index(
        size=size,
        head=bm25.build(head, size),
        whole=bm25.build((*head, bm25.Field(examples, 0.5, 0.5), bm25.Field(bodies, 0.5, 0.6)), size, 0.6),
        letters=bm25.build([bm25.Field([letters(_head_text(doc)) for doc in documents], 1.0, 0.8)], size, 0.5),
        concepts=_concepts(documents, words),
        exact=_examples(documents, text.key),
        near=_examples(documents, gist),
        keywords=_keywords(documents),
        forms=frozenset(word.form for doc in documents for word in text.words(_head_text(doc)) if word.form.isascii()),
        fallbacks=tuple(place for place, document in enumerate(documents) if document.fallback),
        priorities=tuple(document.priority for document in documents),
        bodied=sum(bool(document.body) for document in documents) / max(size, 1),
        fluency=_fluency(documents, words),
    )


def letters(source: str) -> Counter[str]:
    """Returns how often each group of three and four letters occurs in the words of a text."""
    found: Counter[str] = Counter()
    for word in set(text.words(source)):
        padded = f" {text.fold(word.form)} "
        for length in NGRAM:
            found.update(padded[at : at + length] for at in range(len(padded) - length + 1))
    return found


def pairs(stems: Sequence[str]) -> list[str]:
    """Returns neighbouring stems as one term each."""
    return [f"{left} {right}" for left, right in zip(stems, stems[1:], strict=False)]


def _counts(source: str) -> Counter[str]:
    if not source:
        return Counter()
    stems = [stem for stem in text.stems(source) if stem not in text.STOP]
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


def _fluency(documents: Sequence[Document], words: lexicon.Lexicon) -> float:
    shares: list[float] = []
    for document in documents:
        source = f"{_name_words(document.name)} \n {document.description}"
        found = text.words(source)
        shares.append(words.cover(found, words.matches(found, source)))
    return sum(shares) / max(len(shares), 1)


_CONCEPT_FIELDS = ((2.0, "name"), (1.5, "keywords"), (1.0, "description"), (0.7, "examples"))


def _concepts(documents: Sequence[Document], words: lexicon.Lexicon) -> bm25.Postings:
    counts = [_profile(document, words) for document in documents]
    return bm25.build([bm25.Field(counts, 1.0, 0.6)], len(documents))


def _profile(document: Document, words: lexicon.Lexicon) -> dict[str, float]:
    profile: dict[str, float] = {}
    for weight, name in _CONCEPT_FIELDS:
        source = _field_text(document, name)
        for match in words.matches(text.words(source), source):
            for concept, share in match.meanings:
                profile[str(concept)] = profile.get(str(concept), 0.0) + weight * share
    return profile


def _field_text(document: Document, name: str) -> str:
    value = _name_words(document.name) if name == "name" else getattr(document, name)
    return value if isinstance(value, str) else " \n ".join(value)
