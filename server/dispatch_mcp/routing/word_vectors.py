"""How near texts are in meaning, by vectors of word pieces: a request and an agent may share no word at all.

The vectors (`text/data/word_vectors.bin`) imitate the sentences of a small language model:
`scripts/fit_word_vectors.py` says which, and docs/adr/0028-word-vectors.md why. They know English; of other languages
they know the words that English borrowed.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Final
from weakref import WeakKeyDictionary

from dispatch_mcp.agents import catalog
from dispatch_mcp.text.reading import excerpts

INNER: Final = "##"
"""What a piece begins with that continues a word."""

MAX_PIECE: Final = 18
"""Characters of a piece, at most."""

ZERO: Final = 128
"""What is added to each number, so that none is negative and sums of lanes do not borrow from their neighbours."""

MAX_PIECES: Final = 500
"""Pieces of a text that are added, at most: 16 bits hold the sum of so many."""

MOST_BROKEN: Final = 1.5
"""Pieces a word, on average, from which on a text counts as another language.

Of 906 English requests 95 % have at most 1.48; of 214 German, French, Spanish and Vietnamese ones 95 % have more.
"""

Vector = tuple[int, ...]
"""The sum of the vectors of a text's pieces; its length says nothing."""

_VECTORS: Final[WeakKeyDictionary[catalog.Catalog, Sequence[tuple[Vector, float]]]] = WeakKeyDictionary()
_WORD = re.compile(r"[a-z0-9+#]+")


@dataclass(frozen=True)
class Table:
    """The vectors of all pieces: `places` leads from a piece to its row in `rows`, which are `width` bytes each."""

    places: Mapping[str, int]
    rows: bytes
    width: int

    def vector(self, text: str) -> Vector:
        """Returns what a text means; all zeros where it is no English."""
        words = _words(text)
        pieces = list(_pieces(words, self.places))
        is_english = len(pieces) <= MOST_BROKEN * len(words)
        places = list(dict.fromkeys(pieces))[:MAX_PIECES] if is_english else []
        lanes = array("H")
        lanes.frombytes(sum(map(self._lanes, places)).to_bytes(2 * self.width, "little"))
        return tuple(lane - ZERO * len(places) for lane in lanes)

    def _lanes(self, place: int) -> int:
        """Returns a row as one number of 16 bits a lane: adding such numbers adds all lanes at once."""
        lanes = bytearray(2 * self.width)
        lanes[::2] = self.rows[place * self.width : (place + 1) * self.width]
        return int.from_bytes(lanes, "little")


@lru_cache(maxsize=2)
def table(data: bytes) -> Table:
    """Returns the vectors that a file holds: a line with the width, a line of pieces, then the rows."""
    width, names, rows = data.split(b"\n", 2)
    return Table({name: place for place, name in enumerate(names.decode().split(" "))}, rows, int(width))


def places_in(text: str, places: Mapping[str, int]) -> Iterator[int]:
    """Yields the rows of the pieces of a text, in its order."""
    return _pieces(_words(text), places)


def likeness(first: Vector, second: Vector) -> float:
    """Returns the cosine of two vectors, -1 to 1; 0 where either says nothing."""
    lengths = _dot(first, first) * _dot(second, second)
    return _dot(first, second) / lengths**0.5 if lengths else 0.0


def nearest(request: str, agents: catalog.Catalog) -> list[int]:
    """Returns the places of the routable agents, the nearest first; none where the request is no English."""
    meaning = table(agents.words.vectors).vector(request) if agents.words.vectors else ()
    if not any(meaning):
        return []
    near = [_dot(meaning, vector) / length if length else 0.0 for vector, length in _vectors(agents)]
    return sorted(range(len(near)), key=lambda place: (-near[place], place))


def _dot(first: Vector, second: Vector) -> int:
    return sum(a * b for a, b in zip(first, second, strict=True))


def _pieces(words: Sequence[str], places: Mapping[str, int]) -> Iterator[int]:
    return chain.from_iterable(_places(word, places) for word in words)


def _words(text: str) -> Sequence[str]:
    plain = unicodedata.normalize("NFKD", excerpts.MEANING.of(text).lower())
    return _WORD.findall("".join(letter for letter in plain if not unicodedata.combining(letter)))


def _places(word: str, places: Mapping[str, int]) -> Iterator[int]:
    """Yields the rows of the longest pieces that a word consists of; a letter that begins none is left out."""
    start, prefix = 0, ""
    while start < len(word):
        for end in range(min(len(word), start + MAX_PIECE), start, -1):
            if (place := places.get(prefix + word[start:end])) is not None:
                yield place
                start, prefix = end, INNER
                break
        else:
            start += 1


def _vectors(agents: catalog.Catalog) -> Sequence[tuple[Vector, float]]:
    """Returns the vectors of the routable agents, each with its length."""
    if (vectors := _VECTORS.get(agents)) is None:
        own = map(table(agents.words.vectors).vector, _texts(agents))
        vectors = _VECTORS[agents] = tuple((vector, _dot(vector, vector) ** 0.5) for vector in own)
    return vectors


def _texts(agents: catalog.Catalog) -> Iterator[str]:
    for agent in agents.routable:
        yield f"{agent.name.replace('-', ' ')}. {agent.description}"
