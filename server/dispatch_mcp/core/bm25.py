"""BM25F over weighted fields as packed postings: scoring a request is one pass over the postings of its terms."""

from __future__ import annotations

import bisect
import math
import zlib
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

K1 = 1.2
Counts = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Postings:
    """For each term the documents that hold it and what it adds to their score, its rarity included.

    Terms are known by the CRC-32 of their text, in rising order in `keys`: no table of strings has to be built when
    an index is read, and the few terms that share a number share their postings. The postings of the term at place
    `i` are `starts[i]:starts[i + 1]`. `absent` is the rarity of a term that no document holds.
    """

    size: int
    keys: array[int]
    starts: array[int]
    documents: array[int]
    impacts: array[float]
    rarity: array[float]
    absent: float

    def place(self, term: str) -> int:
        """Returns where a term's postings are; -1 when no document holds it."""
        key = zlib.crc32(term.encode("utf-8", "surrogatepass"))
        at = bisect.bisect_left(self.keys, key)
        return at if at < len(self.keys) and self.keys[at] == key else -1

    def rare(self, term: str) -> float:
        """Returns the rarity of a term; one that no document holds tells nothing apart and has 0."""
        place = self.place(term)
        return 0.0 if place < 0 else self.rarity[place]

    def scores(self, terms: Iterable[tuple[str, float]]) -> tuple[list[float], float]:
        """Returns each document's score for weighted terms, and the most that a document could have scored."""
        scores = [0.0] * self.size
        most = 0.0
        for term, weight in terms:
            place = self.place(term)
            if place < 0:
                most += weight * self.absent
                continue
            most += weight * self.rarity[place]
            start, end = self.starts[place], self.starts[place + 1]
            for document, impact in zip(self.documents[start:end], self.impacts[start:end], strict=True):
                scores[document] += weight * impact
        return scores, most * (K1 + 1)

    def impact(self, term: str, document: int) -> float:
        """Returns what a term adds to a document's score; 0 when the document lacks it."""
        place = self.place(term)
        if place < 0:
            return 0.0
        start, end = self.starts[place], self.starts[place + 1]
        for holder, impact in zip(self.documents[start:end], self.impacts[start:end], strict=True):
            if holder == document:
                return impact
        return 0.0


@dataclass(frozen=True, slots=True)
class Field:
    """One field of all documents: term counts of each, its weight, and how much its length matters (0 to 1)."""

    counts: Sequence[Counts]
    weight: float
    length: float


def build(fields: Sequence[Field], size: int) -> Postings:
    """Returns the postings of `size` documents."""
    weighted: dict[str, dict[int, float]] = {}
    for field in fields:
        _add_field(weighted, field)
    return _packed(_keyed(weighted), size)


def _keyed(found: Mapping[str, dict[int, float]]) -> dict[int, dict[int, float]]:
    keyed: dict[int, dict[int, float]] = {}
    for term, held in found.items():
        key = zlib.crc32(term.encode("utf-8", "surrogatepass"))
        if key in keyed:
            for document, count in held.items():
                keyed[key][document] = keyed[key].get(document, 0.0) + count
        else:
            keyed[key] = held
    return keyed


def _packed(keyed: Mapping[int, Mapping[int, float]], size: int) -> Postings:
    rarities = [_rarity(holders, size) for holders in range(size + 1)]
    keys = sorted(keyed)
    starts, documents, impacts, rarity = [0], list[int](), list[float](), list[float]()
    for key in keys:
        held = keyed[key]
        idf = rarities[len(held)]
        gain = idf * (K1 + 1)
        rarity.append(idf)
        for document, count in held.items():
            documents.append(document)
            impacts.append(gain * count / (count + K1))
        starts.append(len(documents))
    return Postings(
        size=size,
        keys=array("I", keys),
        starts=array("I", starts),
        documents=array("H", documents),
        impacts=array("f", impacts),
        rarity=array("f", rarity),
        absent=rarities[0],
    )


def _add_field(weighted: dict[str, dict[int, float]], field: Field) -> None:
    totals = [sum(counts.values()) for counts in field.counts]
    filled = [total for total in totals if total]
    average = sum(filled) / len(filled) if filled else 1.0
    for document, counts in enumerate(field.counts):
        scale = field.weight / (1 - field.length + field.length * totals[document] / average)
        for term, count in counts.items():
            row = weighted.get(term)
            if row is None:
                weighted[term] = {document: count * scale}
            else:
                row[document] = row.get(document, 0.0) + count * scale


def _rarity(holders: int, size: int) -> float:
    return math.log(1 + (size - holders + 0.5) / (holders + 0.5))
