"""When tasks can run: earliest starts, slack, waves, critical path, and the makespan on k workers."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dispatch_mcp import model
from dispatch_mcp.planning import graph

_RANK = {model.Priority.HIGH: 0, model.Priority.MEDIUM: 1, model.Priority.LOW: 2}


@dataclass(frozen=True, slots=True)
class Times:
    """Minutes per node with unlimited workers; `critical` is the length of the longest path."""

    minutes: tuple[float, ...]
    starts: tuple[float, ...]
    tails: tuple[float, ...]
    critical: float

    def slack(self, node: int) -> float:
        """Returns how many minutes a node can be late without making the plan longer."""
        return max(0.0, self.critical - self.tails[node] - self.starts[node])


@dataclass(frozen=True, slots=True)
class Outlook:
    """How tasks would run: their graph, when each could, who goes first, and the minutes that all workers need."""

    plan: graph.Graph
    at: Times
    urgent: tuple[int, ...]
    makespan: float


def outlook(tasks: Sequence[model.Task], durations: Mapping[str, float], workers: int) -> Outlook:
    """Returns how checked tasks would run; `durations` are minutes by task id, the effort says those of the others.

    Raises:
        ValueError: an id is unknown or repeated, or there is a cycle.
    """
    minutes = [durations.get(task.id, graph.minutes_of(task)) for task in tasks]
    plan = graph.graph_of(tasks)
    at = times(plan, minutes)
    urgent = urgency(at, [_RANK[task.priority] for task in tasks])
    return Outlook(plan, at, urgent, makespan(plan, minutes, urgent, workers))


def times(plan: graph.Graph, minutes: Sequence[float]) -> Times:
    """Returns the earliest starts and the longest remaining paths of an acyclic graph."""
    starts = [0.0] * len(minutes)
    ends = list(minutes)
    for node in plan.order:
        deps = plan.deps[node]
        if deps:
            start = ends[deps[0]] if len(deps) == 1 else max([ends[dep] for dep in deps])
            starts[node] = start
            ends[node] += start
    rest = tails(plan, minutes)
    return Times(tuple(minutes), tuple(starts), tuple(rest), max(rest, default=0.0))


def tails(plan: graph.Graph, durations: Sequence[float]) -> list[float]:
    """Returns for each node the longest path from its start to the end of the graph."""
    out = list(durations)
    for node in reversed(plan.order):
        followers = plan.dependents[node]
        if followers:
            out[node] += max([out[follower] for follower in followers])
    return out


def waves(plan: graph.Graph) -> tuple[tuple[int, ...], ...]:
    """Returns the nodes by depth, each wave in input order."""
    depth = [0] * len(plan.ids)
    for node in plan.order:
        deps = plan.deps[node]
        if deps:
            depth[node] = 1 + (depth[deps[0]] if len(deps) == 1 else max([depth[dep] for dep in deps]))
    out: list[list[int]] = [[] for _ in range(max(depth, default=-1) + 1)]
    for node, level in enumerate(depth):
        out[level].append(node)
    return tuple(map(tuple, out))


def critical_path(plan: graph.Graph, at: Times) -> tuple[int, ...]:
    """Returns one longest path, first in input order where several are equally long."""
    path: list[int] = []
    choices: Sequence[int] = [node for node, deps in enumerate(plan.deps) if not deps]
    while choices:
        path.append(max(choices, key=lambda node: (at.tails[node], -node)))
        choices = plan.dependents[path[-1]]
    return tuple(path)


def urgency(at: Times, ranks: Sequence[int]) -> tuple[int, ...]:
    """Returns all nodes, longest remaining path first, then lowest rank, then input order."""
    nodes = sorted(range(len(ranks)), key=ranks.__getitem__)
    nodes.sort(key=at.tails.__getitem__, reverse=True)
    return tuple(nodes)


def makespan(plan: graph.Graph, minutes: Sequence[float], urgent: Sequence[int], workers: int) -> float:
    """Returns the minutes that `workers` need when each takes the most urgent ready node as soon as it is free."""
    place = [0] * len(urgent)
    for position, node in enumerate(urgent):
        place[node] = position
    missing = [len(deps) for deps in plan.deps]
    ready = [place[node] for node, count in enumerate(missing) if count == 0]
    heapq.heapify(ready)
    running: list[tuple[float, int]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < workers:
            node = urgent[heapq.heappop(ready)]
            heapq.heappush(running, (now + minutes[node], node))
        now = running[0][0]
        while running and running[0][0] <= now:
            for follower in plan.dependents[heapq.heappop(running)[1]]:
                missing[follower] -= 1
                if missing[follower] == 0:
                    heapq.heappush(ready, place[follower])
    return now


def peak(at: Times) -> int:
    """Returns how many nodes run at once when every one starts as early as it can."""
    ends = sorted([start + length for start, length in zip(at.starts, at.minutes, strict=True)])
    over = most = 0
    for starts, start in enumerate(sorted(at.starts), start=1):
        while ends[over] <= start and over < starts - 1:
            over += 1
        most = max(most, starts - over)
    return most
