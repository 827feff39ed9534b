"""A task graph as plain integers: positions, edges, topological order, remaining path lengths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dispatch_mcp import model

DEFAULT_MINUTES: Mapping[model.Effort, float] = {
    model.Effort.S: 5.0,
    model.Effort.M: 15.0,
    model.Effort.L: 40.0,
    model.Effort.XL: 90.0,
}
"""Minutes per effort until there is history (docs/rules.md#effort-in-minutes)."""


@dataclass(frozen=True, slots=True)
class Graph:
    """An acyclic graph; `deps[i]` and `dependents[i]` hold positions, `order` is topological."""

    ids: tuple[str, ...]
    index: Mapping[str, int]
    deps: tuple[tuple[int, ...], ...]
    dependents: tuple[tuple[int, ...], ...]
    order: tuple[int, ...]


def build(edges: Sequence[tuple[str, Sequence[str]]]) -> Graph:
    """Returns the graph of (id, dependency ids) pairs.

    Raises:
        ValueError: an id is unknown or repeated, or there is a cycle; `planning.check` names it properly.
    """
    ids = tuple([node for node, _ in edges])
    index = dict(zip(ids, range(len(ids)), strict=True))
    if len(index) != len(ids):
        raise ValueError("repeated id")
    try:
        found = [tuple(map(index.__getitem__, wanted)) for _, wanted in edges]
    except KeyError as unknown:
        raise ValueError(f"unknown dependency {unknown}") from None
    deps = tuple([wanted if len(wanted) < 2 else tuple(dict.fromkeys(wanted)) for wanted in found])
    dependents = _reversed(deps)
    in_order = all(not wanted or max(wanted) < node for node, wanted in enumerate(deps))
    order = range(len(ids)) if in_order else topological(deps, dependents)
    if len(order) != len(ids):
        raise ValueError("cycle")
    return Graph(ids, index, deps, dependents, tuple(order))


def of(tasks: Sequence[model.Task]) -> Graph:
    """Returns the graph of already checked tasks. Raises ValueError as `build`."""
    return build([(task.id, task.deps) for task in tasks])


def _reversed(deps: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    out: list[list[int]] = [[] for _ in deps]
    for node, wanted in enumerate(deps):
        for dep in wanted:
            out[dep].append(node)
    return tuple(map(tuple, out))


def topological(deps: Sequence[Sequence[int]], dependents: Sequence[Sequence[int]]) -> list[int]:
    """Returns the nodes that no cycle holds back, dependencies first, stable in input order."""
    missing = [len(wanted) for wanted in deps]
    order = [node for node, count in enumerate(missing) if count == 0]
    for node in order:
        for follower in dependents[node]:
            missing[follower] -= 1
            if missing[follower] == 0:
                order.append(follower)
    return order


def tails(graph: Graph, durations: Sequence[float]) -> list[float]:
    """Returns for each node the longest path from its start to the end of the graph."""
    out = list(durations)
    for node in reversed(graph.order):
        followers = graph.dependents[node]
        if followers:
            out[node] += max([out[follower] for follower in followers])
    return out
