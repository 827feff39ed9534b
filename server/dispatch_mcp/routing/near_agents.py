"""Which agents of hundreds a request is near to in meaning, whatever words it uses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, zip_longest
from typing import Final
from weakref import WeakKeyDictionary

from dispatch_mcp.agents import catalog
from dispatch_mcp.routing import word_vectors

_VECTORS: Final[WeakKeyDictionary[catalog.Catalog, Sequence[word_vectors.Vector]]] = WeakKeyDictionary()


def places(request: str, agents: catalog.Catalog) -> list[int]:
    """Returns the places of the routable agents, the nearest first; none where the request is no English."""
    meaning = word_vectors.vector(request)
    if not any(meaning):
        return []
    vectors = _vectors(agents)
    near = [word_vectors.likeness(meaning, vector) for vector in vectors]
    return sorted(range(len(vectors)), key=lambda place: (-near[place], place))


def in_turn(first: Sequence[int], second: Sequence[int]) -> list[int]:
    """Returns the places of two orders, one of each in turn, each place once."""
    return list(dict.fromkeys(place for place in chain.from_iterable(zip_longest(first, second)) if place is not None))


def _vectors(agents: catalog.Catalog) -> Sequence[word_vectors.Vector]:
    if (vectors := _VECTORS.get(agents)) is None:
        vectors = _VECTORS[agents] = tuple(map(word_vectors.vector, _texts(agents)))
    return vectors


def _texts(agents: catalog.Catalog) -> Iterator[str]:
    for agent in agents.routable:
        yield f"{agent.name.replace('-', ' ')}. {agent.description}"
