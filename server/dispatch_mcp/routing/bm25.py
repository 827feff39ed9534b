"""BM25F over weighted fields as packed postings: scoring a request is one pass over the postings of its terms."""

from __future__ import annotations

import bisect
import itertools
import math
import zlib
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

K1 = 1.2
MAX_ROWS = 2048
Counts = Mapping[str, float]
Row = tuple[float, Sequence[int], Sequence[float]]
_NOBODY: Row = (0.0, array("H"), array("f"))


@dataclass(frozen=True, slots=True)
class Postings:
    """For each term the documents that hold it and what it adds to their score, its rarity included.

    Terms are known by the CRC-32 of their text, in rising order in `keys`: no table of strings has to be built when
    an index is read, and the few terms that share a number share their postings. The postings of the term at place
    `i` are `starts[i]:starts[i + 1]`, by rising document. `absent` is the rarity of a term that no document holds.
    """

    size: int
    keys: array[int]
    starts: array[int]
    documents: array[int]
    impacts: array[float]
    rarity: array[float]
    absent: float

    rows: dict[str, Row] = field(default_factory=dict[str, Row], init=False, compare=False, repr=False)

    def place(self, term: str) -> int:
        """Returns where a term's postings are; -1 when no document holds it."""
        key = zlib.crc32(term.encode("utf-8", "surrogatepass"))
        at = bisect.bisect_left(self.keys, key)
        return at if at < len(self.keys) and self.keys[at] == key else -1

    def row(self, term: str) -> Row:
        """Returns a term's rarity, the documents that hold it and its impacts; the last ones asked for are kept."""
        row = self.rows.get(term)
        if row is None:
            if len(self.rows) >= MAX_ROWS:
                self.rows.clear()
            row = self.rows[term] = self._row(self.place(term))
        return row

    def _row(self, place: int) -> Row:
        if place < 0:
            return _NOBODY
        start, end = self.starts[place], self.starts[place + 1]
        return self.rarity[place], self.documents[start:end], self.impacts[start:end]

    def rare(self, term: str) -> float:
        """Returns the rarity of a term; one that no document holds tells nothing apart and has 0."""
        return self.row(term)[0]

    def scores(self, terms: Iterable[tuple[str, float]]) -> tuple[list[float], float]:
        """Returns each document's score for weighted terms, and the most that a document could have scored."""
        scores = [0.0] * self.size
        most = 0.0
        for term, weight in terms:
            rarity, documents, impacts = self.rows.get(term) or self.row(term)
            most += weight * (rarity or self.absent)
            added = impacts if weight == 1.0 else map(float(weight).__mul__, impacts)
            for document, more in zip(documents, added):  # noqa: B905 - a row has as many of both
                scores[document] += more
        return scores, most * (K1 + 1)

    def impact(self, term: str, document: int) -> float:
        """Returns what a term adds to a document's score; 0 when the document lacks it."""
        _, documents, impacts = self.row(term)
        at = bisect.bisect_left(documents, document)
        return impacts[at] if at < len(documents) and documents[at] == document else 0.0


@dataclass(frozen=True, slots=True)
class Field:
    """One field of all documents: term counts of each, its weight, and how much its length matters (0 to 1)."""

    counts: Sequence[Counts]
    weight: float
    length: float


Held = dict[int, float]
"""What a document holds: weighted counts by the number of the term."""


class Keys(dict[str, int]):
    """The numbers of terms, each worked out once."""

    def __missing__(self, term: str) -> int:
        key = self[term] = zlib.crc32(term.encode("utf-8", "surrogatepass"))
        return key


def build(fields: Sequence[Field], size: int) -> Postings:
    """Returns the postings of `size` documents."""
    return packed(weigh(fields, [{} for _ in range(size)], Keys()))


def weigh(fields: Sequence[Field], before: Sequence[Held], keys: Keys) -> list[Held]:
    """Returns what each document holds, that of these fields added to what was there before."""
    found = [dict(held) for held in before]
    for each in fields:
        totals = [sum(counts.values()) for counts in each.counts]
        filled = [total for total in totals if total]
        average = sum(filled) / len(filled) if filled else 1.0
        for document, counts in enumerate(each.counts):
            scale = each.weight / (1 - each.length + each.length * totals[document] / average)
            found[document] = _with(found[document], counts, scale, keys)
    return found


def _with(held: Held, counts: Counts, scale: float, keys: Keys) -> Held:
    if not held:
        held = {keys[term]: count * scale for term, count in counts.items()}
        if len(held) == len(counts):
            return held
        held = {}
    for term, count in counts.items():
        key = keys[term]
        held[key] = held.get(key, 0.0) + count * scale
    return held


def packed(found: Sequence[Held]) -> Postings:
    """Returns the postings of documents that hold these weighted counts."""
    size = len(found)
    rarities = [_rarity(holders, size) for holders in range(size + 1)]
    holders = Counter(itertools.chain.from_iterable(found))
    keys = sorted(holders)
    counts = [holders[key] for key in keys]
    starts = [0, *itertools.accumulate(counts)]
    following = dict(zip(keys, starts, strict=False))
    documents, impacts = array("H", bytes(2 * starts[-1])), array("f", bytes(4 * starts[-1]))
    gains = {count: rarities[count] * (K1 + 1) for count in set(counts)}
    for document, held in enumerate(found):
        for key, count in held.items():
            at = following[key]
            following[key] = at + 1
            documents[at] = document
            impacts[at] = gains[holders[key]] * count / (count + K1)
    return Postings(
        size=size,
        keys=array("I", keys),
        starts=array("I", starts),
        documents=documents,
        impacts=impacts,
        rarity=array("f", [rarities[count] for count in counts]),
        absent=rarities[0],
    )


def _rarity(holders: int, size: int) -> float:
    return math.log(1 + (size - holders + 0.5) / (holders + 0.5))
