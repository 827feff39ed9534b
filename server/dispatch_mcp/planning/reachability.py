"""Who comes before whom: ancestors as integer bit sets, redundant edges, and edges that order rivals.

Bits stand for places in a line, a linear extension of the graph, so that a bit set of everything before place p
is `(1 << p) - 1` and the nearest rival is the highest bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from dispatch_mcp.planning import graph


@dataclass(frozen=True, slots=True)
class Line:
    """All nodes in one order that respects every dependency, and the place of each."""

    nodes: tuple[int, ...]
    place: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Reach:
    """`before[p]` is the bit set of places that place p waits for, itself included.

    `implied[node]` are the deps that its other deps imply; `added` are edges (before, after) of nodes. They are not
    part of the graph yet, but `before` and `implied` count them.
    """

    line: Line
    before: tuple[int, ...]
    implied: Mapping[int, tuple[int, ...]]
    added: tuple[tuple[int, int], ...]

    def is_before(self, first: int, second: int) -> bool:
        """Returns whether `second` waits for `first`, directly or not."""
        places = self.line.place
        return first != second and bool(self.before[places[second]] >> places[first] & 1)


def line_up(plan: graph.Graph, tails: Sequence[float]) -> Line:
    """Returns the nodes by latest start: by falling tail, then topologically.

    Durations are never negative, so a node's tail is never longer than that of a node it waits for.
    """
    nodes = sorted(plan.order, key=tails.__getitem__, reverse=True)
    place = [0] * len(nodes)
    for position, node in enumerate(nodes):
        place[node] = position
    return Line(tuple(nodes), tuple(place))


def sweep(plan: graph.Graph, line: Line, rivals: Mapping[int, int]) -> Reach:
    """Returns the reachability of the graph once rivals are ordered along the line.

    `rivals[node]` is the bit set of places that must not run beside `node`. Edges are added only from an earlier
    place to a later one, so no cycle can arise, and only where no path exists yet.
    """
    before: list[int] = []
    implied_by_node: dict[int, tuple[int, ...]] = {}
    added: list[tuple[int, int]] = []
    nodes, place = line.nodes, line.place
    for position, node in enumerate(nodes):
        deps = plan.deps[node]
        if len(deps) == 1:
            mask, implied = before[place[deps[0]]], ()
        else:
            mask, implied = _join(before, map(place.__getitem__, deps)) if deps else (0, ())
        rival = rivals.get(node)
        if rival:
            near = _nearest(before, rival & ((1 << position) - 1) & ~mask)
            if near:
                added += [(nodes[other], node) for other in near]
                mask, implied = _join(before, [*near, *map(place.__getitem__, deps)])
        if implied:
            implied_by_node[node] = tuple([nodes[other] for other in implied])
        before.append(mask | 1 << position)
    return Reach(line, tuple(before), implied_by_node, tuple(added))


def unordered(reach: Reach, others: Mapping[int, int]) -> Iterator[tuple[int, int]]:
    """Yields each node of `others` with those of its bit set that come earlier in line and have no path to it.

    `others[node]` is the bit set of places to hold against `node`; nodes come in line order.
    """
    for position, node in enumerate(reach.line.nodes):
        other = others.get(node)
        if other:
            free = other & ((1 << position) - 1) & ~reach.before[position]
            if free:
                yield node, free


def places(mask: int) -> Iterator[int]:
    """Yields the places of a bit set, last first."""
    while mask:
        place = mask.bit_length() - 1
        yield place
        mask ^= 1 << place


def _join(before: Sequence[int], waited: Iterable[int]) -> tuple[int, Sequence[int]]:
    """Returns everything before the places `waited`, and which of them the others imply."""
    mask = 0
    implied: list[int] = []
    for place in sorted(waited, reverse=True):
        if mask >> place & 1:
            implied.append(place)
        else:
            mask |= before[place]
    return mask, implied


def _nearest(before: Sequence[int], rivals: int) -> list[int]:
    """Returns the fewest of the places `rivals` whose ancestors, with themselves, cover all of them."""
    near: list[int] = []
    while rivals:
        place = rivals.bit_length() - 1
        near.append(place)
        rivals &= ~before[place]
    return near
