"""BM25F over weighted fields as packed postings: scoring a request is one pass over the postings of its terms."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

K1 = 1.2
Counts = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Postings:
    """For each term the documents that hold it and what it adds to their score, its rarity included.

    `starts` has one more entry than there are terms; the postings of term `i` are `starts[i]:starts[i + 1]`.
    `absent` is the rarity of a term that no document holds, `rarity` that of each term.
    """

    size: int
    ids: Mapping[str, int]
    starts: array[int]
    documents: array[int]
    impacts: array[float]
    rarity: array[float]
    absent: float

    def scores(self, terms: Iterable[tuple[str, float]]) -> tuple[list[float], float]:
        """Returns each document's score for weighted terms, and the most that a document could have scored."""
        scores = [0.0] * self.size
        most = 0.0
        for term, weight in terms:
            place = self.ids.get(term)
            if place is None:
                most += weight * self.absent
                continue
            most += weight * self.rarity[place]
            start, end = self.starts[place], self.starts[place + 1]
            for document, impact in zip(self.documents[start:end], self.impacts[start:end], strict=True):
                scores[document] += weight * impact
        return scores, most * (K1 + 1)

    def impact(self, term: str, document: int) -> float:
        """Returns what a term adds to a document's score; 0 when the document lacks it."""
        place = self.ids.get(term)
        if place is None:
            return 0.0
        for at in range(self.starts[place], self.starts[place + 1]):
            if self.documents[at] == document:
                return self.impacts[at]
        return 0.0


@dataclass(frozen=True, slots=True)
class Field:
    """One field of all documents: term counts of each, its weight, and how much its length matters (0 to 1)."""

    counts: Sequence[Counts]
    weight: float
    length: float


def build(fields: Sequence[Field], size: int, most_common: float = 1.0) -> Postings:
    """Returns the postings of `size` documents; terms in more than that share of many documents are left out."""
    weighted: dict[str, dict[int, float]] = {}
    for field in fields:
        _add_field(weighted, field)
    limit = max(most_common * size, 8)
    terms = sorted(term for term, found in weighted.items() if len(found) <= limit)
    starts, documents, impacts, rarity = array("I", [0]), array("I"), array("f"), array("f")
    for term in terms:
        found = weighted[term]
        idf = _rarity(len(found), size)
        rarity.append(idf)
        for document in sorted(found):
            documents.append(document)
            impacts.append(idf * found[document] * (K1 + 1) / (found[document] + K1))
        starts.append(len(documents))
    ids = {term: place for place, term in enumerate(terms)}
    return Postings(size, ids, starts, documents, impacts, rarity, _rarity(0, size))


def _add_field(weighted: dict[str, dict[int, float]], field: Field) -> None:
    totals = [sum(counts.values()) for counts in field.counts]
    filled = [total for total in totals if total]
    average = sum(filled) / len(filled) if filled else 1.0
    for document, counts in enumerate(field.counts):
        scale = field.weight / (1 - field.length + field.length * totals[document] / average)
        for term, count in counts.items():
            row = weighted.setdefault(term, {})
            row[document] = row.get(document, 0.0) + count * scale


def _rarity(holders: int, size: int) -> float:
    return math.log(1 + (size - holders + 0.5) / (holders + 0.5))
