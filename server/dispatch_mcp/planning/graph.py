"""A task graph as plain integers: positions, edges, topological order, shortest cycles."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from dispatch_mcp import model

DEFAULT_MINUTES: Mapping[model.Effort, float] = {
    model.Effort.S: 5.0,
    model.Effort.M: 15.0,
    model.Effort.L: 40.0,
    model.Effort.XL: 90.0,
}
"""Minutes per effort of an agent's work until there is history (docs/rules.md#effort-in-minutes)."""

PROGRAM_MINUTES: Final = 0.5
"""Minutes of a command or a simulation, whatever its effort: assumed, as most builds and tests take seconds."""

WORK: Final = 2_000_000
"""Edges that one search may look at before it settles for the shortest cycle found so far."""


def minutes_of(task: model.Task) -> float:
    """Returns the minutes of a task until there is history; 0 for a person's decision, which nobody can know."""
    if task.worker is model.WorkerKind.HUMAN:
        return 0.0
    is_program = task.worker in (model.WorkerKind.COMMAND, model.WorkerKind.SCRIPTED)
    return PROGRAM_MINUTES if is_program or (task.command and task.worker is None) else DEFAULT_MINUTES[task.effort]


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
        positions = [tuple(map(index.__getitem__, needs)) for _, needs in edges]
    except KeyError as unknown:
        raise ValueError(f"unknown dependency {unknown}") from None
    deps = tuple([needs if len({*needs}) == len(needs) else tuple(dict.fromkeys(needs)) for needs in positions])
    dependents = _reversed(deps)
    in_order = all(not needs or max(needs) < node for node, needs in enumerate(deps))
    order = range(len(ids)) if in_order else topological(deps, dependents)
    if len(order) != len(ids):
        raise ValueError("cycle")
    return Graph(ids, index, deps, dependents, tuple(order))


def graph_of(tasks: Sequence[model.Task]) -> Graph:
    """Returns the graph of already checked tasks. Raises ValueError as `build`."""
    return build([(task.id, task.deps) for task in tasks])


def _reversed(deps: Sequence[Collection[int]]) -> tuple[tuple[int, ...], ...]:
    out: list[list[int]] = [[] for _ in deps]
    appends = [followers.append for followers in out]
    for node, needs in enumerate(deps):
        for dep in needs:
            appends[dep](node)
    return tuple(map(tuple, out))


def topological(deps: Sequence[Collection[int]], dependents: Sequence[Collection[int]]) -> list[int]:
    """Returns the nodes that no cycle holds back, dependencies first, stable in input order."""
    missing = [len(needs) for needs in deps]
    order = [node for node, count in enumerate(missing) if count == 0]
    for node in order:
        for follower in dependents[node]:
            missing[follower] -= 1
            if missing[follower] == 0:
                order.append(follower)
    return order


def implied(plan: Graph) -> dict[int, tuple[int, ...]]:
    """Returns by node the deps that its other deps imply: what a transitive reduction leaves out."""
    out: dict[int, tuple[int, ...]] = {}
    above = [0] * len(plan.ids)
    for node in plan.order:
        ways = 0
        for dep in plan.deps[node]:
            ways |= above[dep]
        needless = tuple([dep for dep in plan.deps[node] if ways >> dep & 1])
        if needless:
            out[node] = needless
        for dep in plan.deps[node]:
            ways |= 1 << dep
        above[node] = ways
    return out


def shortest_cycles(deps: Sequence[Collection[int]]) -> list[list[int]]:
    """Returns a shortest cycle per strongly connected part, parts by their first node.

    `deps[i]` holds the nodes that `i` waits for, itself excluded. A cycle lists each node once, starts with its
    first one, and every node waits for the one before it.
    """
    followers = _reversed(deps)
    parts = [sorted(part) for part in _components(followers, _on_cycles(deps, followers)) if len(part) > 1]
    return [_shortest(followers, part) for part in sorted(parts)]


def _on_cycles(deps: Sequence[Collection[int]], followers: Sequence[Collection[int]]) -> list[int]:
    """Returns the nodes that stay when everything before and after the cycles is peeled away."""
    rest = set(range(len(deps))).difference(topological(deps, followers))
    missing = {node: sum(other in rest for other in followers[node]) for node in rest}
    peel = [node for node, count in missing.items() if count == 0]
    for node in peel:
        rest.remove(node)
        for other in deps[node]:
            if other in rest:
                missing[other] -= 1
                if missing[other] == 0:
                    peel.append(other)
    return sorted(rest)


def _components(followers: Sequence[Sequence[int]], nodes: Sequence[int]) -> list[list[int]]:
    """Returns the strongly connected parts among `nodes` (Tarjan's algorithm without recursion)."""
    inside = set(nodes)
    number: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    on_stack: set[int] = set()
    parts: list[list[int]] = []
    for root in nodes:
        if root in number:
            continue
        path = [(root, iter(followers[root]))]
        number[root] = low[root] = len(number)
        stack.append(root)
        on_stack.add(root)
        while path:
            node, rest = path[-1]
            for other in rest:
                if other not in inside:
                    continue
                if other not in number:
                    number[other] = low[other] = len(number)
                    stack.append(other)
                    on_stack.add(other)
                    path.append((other, iter(followers[other])))
                    break
                if other in on_stack:
                    low[node] = min(low[node], number[other])
            else:
                path.pop()
                if path:
                    low[path[-1][0]] = min(low[path[-1][0]], low[node])
                if low[node] == number[node]:
                    parts.append(_unwind(stack, on_stack, node))
    return parts


def _unwind(stack: list[int], on_stack: set[int], root: int) -> list[int]:
    cut = stack.index(root)
    part = stack[cut:]
    del stack[cut:]
    on_stack.difference_update(part)
    return part


def _shortest(followers: Sequence[Sequence[int]], part: Sequence[int]) -> list[int]:
    """Returns a shortest cycle of one strongly connected part.

    Every cycle has an edge that goes back in any given order, so searching from the heads of such edges is enough;
    a head that has been searched is taken out.
    """
    inside = set(part)
    best: list[int] = []
    work = WORK
    for head in _heads(followers, inside, part):
        cycle, looks = _through(followers, inside, head, len(best) - 1 if best else len(part))
        best = cycle or best
        inside.discard(head)
        work -= looks
        if len(best) == 2 or work < 0:
            break
    first = best.index(min(best))
    return best[first:] + best[:first]


def _heads(followers: Sequence[Sequence[int]], inside: set[int], part: Sequence[int]) -> list[int]:
    """Returns the heads of the edges against the input order or against its reverse, whichever are fewer."""
    back = {head for node in part for head in followers[node] if head in inside and head < node}
    forth = {head for node in part for head in followers[node] if head in inside and head > node}
    return sorted(min(back, forth, key=len))


def _through(followers: Sequence[Sequence[int]], inside: set[int], head: int, longest: int) -> tuple[list[int], int]:
    """Returns the shortest cycle through `head` of at most `longest` nodes, or none, and the edges looked at."""
    came_from = {head: head}
    layer = [head]
    looks = 0
    for _ in range(longest):
        following: list[int] = []
        for node in layer:
            looks += len(followers[node])
            for other in followers[node]:
                if other == head:
                    return _walk_back(came_from, node, head), looks
                if other in inside and other not in came_from:
                    came_from[other] = node
                    following.append(other)
        layer = following
    return [], looks


def _walk_back(came_from: dict[int, int], node: int, head: int) -> list[int]:
    path = [node]
    while path[-1] != head:
        path.append(came_from[path[-1]])
    return path[::-1]
