"""BM25F over weighted fields: what each term adds to the score of each document that holds it.

What a term adds is worked out when it is first asked for and then kept, so building an index costs little more than
splitting its texts into words, and scoring a request is one pass over the documents that hold its terms.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

K1: Final = 1.2
"""How soon further occurrences of a term stop adding; the usual value of BM25."""

MAX_ROWS: Final = 2048
"""Terms for which `Postings` keeps what they add."""

Counts = Mapping[int, float]
"""How often, or how strongly, each document holds a term; documents without it are left out."""

_NOWHERE: Final[Counts] = {}


class FieldTerms:
    """The terms of one field, in order: each document's words, and neighbouring ones as well.

    A pair is asked for as `left right`. It is not stored: the places of its rarer word are looked through.
    """

    __slots__ = ("_documents", "_places", "_words", "totals")

    def __init__(self, documents: Iterable[Sequence[str]]) -> None:
        self._words: list[str] = []
        self._documents: array[int] = array("I")
        self._places: dict[str, array[int]] = {}
        self.totals: list[float] = []
        for document, words in enumerate(documents):
            self._add(document, words)

    def _add(self, document: int, words: Sequence[str]) -> None:
        first, places = len(self._words), self._places
        for place, word in enumerate(words, first):
            if word in places:
                places[word].append(place)
            else:
                places[word] = array("I", (place,))
        self._words.extend((*words, ""))  # the empty word ends a document: no pair reaches over it
        self._documents.extend([document] * (len(words) + 1))
        self.totals.append(len(words) + max(0, len(words) - 1))

    def counts(self, term: str) -> Counts:
        """Returns how often each document holds a word or a pair of words."""
        places = self._pair(term) if " " in term else self._places.get(term, ())
        return Counter(map(self._documents.__getitem__, places))

    def _pair(self, term: str) -> Sequence[int]:
        """Returns the places of a pair; the rarer one of its words is looked through."""
        left, _, right = term.partition(" ")
        words, before, after = self._words, self._places.get(left, ()), self._places.get(right, ())
        if len(before) <= len(after):
            return [place for place in before if words[place + 1] == right]
        return [place for place in after if place and words[place - 1] == left]


class Weights:
    """The terms of one field, each document's with a weight of its own."""

    __slots__ = ("_by_term", "totals")

    def __init__(self, documents: Sequence[Mapping[str, float]]) -> None:
        self._by_term: dict[str, dict[int, float]] = {}
        self.totals: list[float] = [sum(weights.values()) for weights in documents]
        for document, weights in enumerate(documents):
            for term, weight in weights.items():
                self._by_term.setdefault(term, {})[document] = weight

    def counts(self, term: str) -> Counts:
        """Returns how strongly each document holds a term."""
        return self._by_term.get(term, _NOWHERE)


@dataclass(frozen=True, slots=True)
class Field:
    """One field of all documents: its terms, its weight, and how much its length matters (0 to 1)."""

    terms: FieldTerms | Weights
    weight: float
    length: float

    def scales(self) -> list[float]:
        """Returns what one occurrence counts in each document: less in a field that is longer than the average."""
        lengths = [total for total in self.terms.totals if total]
        average = sum(lengths) / len(lengths) if lengths else 1.0
        return [self.weight / (1 - self.length + self.length * total / average) for total in self.terms.totals]


Row = tuple[float, Mapping[int, float]]
"""A term's rarity, and what it adds to each document that holds it, its rarity included."""


@dataclass(frozen=True, slots=True)
class Postings:
    """For each term the documents that hold it and what it adds to their score.

    `size` is the number of documents. `absent` is the rarity of a term that no document holds.
    """

    size: int
    fields: tuple[Field, ...]
    scales: tuple[list[float], ...]
    absent: float
    rows: dict[str, Row] = field(default_factory=dict[str, Row], init=False, compare=False, repr=False)

    @staticmethod
    def of(size: int, *fields: Field) -> Postings:
        """Returns the postings of `size` documents with these fields."""
        return Postings(size, fields, tuple(each.scales() for each in fields), _rarity(0, size))

    def row(self, term: str) -> Row:
        """Returns a term's row; the last ones asked for are kept."""
        row = self.rows.get(term)
        if row is None:
            if len(self.rows) >= MAX_ROWS:
                self.rows.clear()
            row = self.rows[term] = self._row(term)
        return row

    def _row(self, term: str) -> Row:
        counts: dict[int, float] = {}
        for each, scales in zip(self.fields, self.scales, strict=True):
            for document, count in each.terms.counts(term).items():
                counts[document] = counts.get(document, 0.0) + count * scales[document]
        if not counts:
            return 0.0, _NOWHERE
        rarity = _rarity(len(counts), self.size)
        gain = rarity * (K1 + 1)
        return rarity, {document: gain * count / (count + K1) for document, count in counts.items()}

    def rare(self, term: str) -> float:
        """Returns the rarity of a term; one that no document holds tells nothing apart and has 0."""
        return self.row(term)[0]

    def scores(self, terms: Iterable[tuple[str, float]]) -> tuple[list[float], float]:
        """Returns each document's score for weighted terms, and the most that a document could have scored."""
        scores = [0.0] * self.size
        most = 0.0
        for term, weight in terms:
            rarity, impacts = self.rows.get(term) or self.row(term)
            most += weight * (rarity or self.absent)
            for document, impact in impacts.items():
                scores[document] += weight * impact
        return scores, most * (K1 + 1)

    def impact(self, term: str, document: int) -> float:
        """Returns what a term adds to a document's score; 0 when the document lacks it."""
        return self.row(term)[1].get(document, 0.0)


def _rarity(holders: int, size: int) -> float:
    return math.log(1 + (size - holders + 0.5) / (holders + 0.5))
