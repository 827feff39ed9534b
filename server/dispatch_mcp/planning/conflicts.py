"""Which declared paths touch each other, and what becomes of tasks that declare them and have no order between them.

Paths are files, folders that contain them, and globs. Who comes before whom is a bit set for each task. Its bits stand
for places in a line, a linear extension of the graph, so that a bit set of everything before place p is `(1 << p) - 1`
and the nearest rival is the highest bit.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from dispatch_mcp import model
from dispatch_mcp.model import problems
from dispatch_mcp.model.problems import Notice, Problem
from dispatch_mcp.planning import graph
from dispatch_mcp.text import path_globs

GLOB_CHECKS: Final = 20_000
"""Comparisons with globs per plan; beyond it each glob counts as the folder that it starts in."""

MAX_CONFLICTS: Final = 100
"""Write conflicts named one by one; one more problem or notice says how many are left."""

MOST_LATE_READS: Final = 20
"""Late reads of each kind that are looked at one by one."""

_MARKS = ("*", "?", "[", "{", "\\", "//", "/.", "./", "\n.", "\n/", "/\n", "\n ", " \n")
_LAST = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class Overlaps:
    """For each normalised path the other paths it touches."""

    others: Mapping[str, Sequence[str]]

    def shared(self, paths: Iterable[str], rivals: Collection[str]) -> str:
        """Returns the first path of `left` that touches one of `right`, or an empty string."""
        for path in paths:
            if path in rivals or any(other in rivals for other in self.others.get(path, ())):
                return path or "."
        return ""


@dataclass(frozen=True, slots=True)
class NodePaths:
    """The normalised paths that each node writes and reads, for nodes that have any.

    `exact` is False when there are so many globs that each counts as the folder it starts in.
    """

    writes: Mapping[int, Sequence[str]]
    reads: Mapping[int, Sequence[str]]
    touching: Overlaps
    exact: bool = True


def declared_paths(tasks: Sequence[model.Task], workspace: str = "") -> NodePaths:
    """Returns what tasks declare; tasks in a worktree of their own write nothing that others see."""
    plain = _all_plain(tasks)
    writes = {node: task.files for node, task in enumerate(tasks) if task.files and task.isolation == "shared"}
    reads = {node: task.reads for node, task in enumerate(tasks) if task.reads}
    if not plain:
        writes = {
            node: tuple([path_globs.normalise(path, workspace) for path in paths]) for node, paths in writes.items()
        }
        reads = {
            node: tuple([path_globs.normalise(path, workspace) for path in paths]) for node, paths in reads.items()
        }
    paths_by_name = _distinct(writes, reads)
    globs = [] if plain else [path for path in paths_by_name if path_globs.WILD.search(path)]
    exact = not globs or _glob_checks(sorted(paths_by_name), globs) <= GLOB_CHECKS
    if not exact:
        writes = {node: tuple(map(_stem, paths)) for node, paths in writes.items()}
        reads = {node: tuple(map(_stem, paths)) for node, paths in reads.items()}
        paths_by_name = _distinct(writes, reads)
    return NodePaths(writes, reads, overlaps(paths_by_name, globs if exact else ()), exact)


def holders(
    paths_of: Mapping[int, Sequence[str]],
    rival_paths: Mapping[int, Sequence[str]],
    overlaps: Overlaps,
    place: Sequence[int],
) -> dict[int, int]:
    """Returns for each node of `mine` the bit set of places of other nodes of `theirs` with a touching path."""
    if paths_of is rival_paths and not overlaps.others:
        paths = list(itertools.chain.from_iterable(paths_of.values()))
        if len(set(paths)) == len(paths):
            return {}
    nodes: dict[str, list[int]] = {}
    for node, paths in rival_paths.items():
        for path in paths:
            nodes.setdefault(path, []).append(node)
    masks: dict[str, int] = {}
    out: dict[int, int] = {}
    for node, paths in paths_of.items():
        mask = 0
        for path in paths:
            if path in overlaps.others or nodes.get(path, [node]) != [node]:
                if path not in masks:
                    masks[path] = _mask(nodes, [path, *overlaps.others.get(path, ())], place)
                mask |= masks[path]
        mask &= ~(1 << place[node])
        if mask:
            out[node] = mask
    return out


def overlaps(paths: Collection[str], globs: Sequence[str]) -> Overlaps:
    """Returns which of the normalised, distinct paths touch each other; `globs` are those with wildcards."""
    overlaps: dict[str, list[str]] = {}
    folders = {above for parent in {path[: path.rfind("/") + 1] for path in paths} for above in _upwards(parent)}
    if not folders.isdisjoint(paths):
        _nest(paths, overlaps)
    in_order = sorted(paths) if globs else []
    for glob in globs:
        partners = set(overlaps.get(glob, ()))
        for other in _near(in_order, globs, _stem(glob)):
            if other != glob and other not in partners and path_globs.touch(glob, other):
                partners.add(other)
                overlaps.setdefault(glob, []).append(other)
                overlaps.setdefault(other, []).append(glob)
    return Overlaps(overlaps)


def _nest(paths: Collection[str], overlaps: dict[str, list[str]]) -> None:
    """Adds every known folder and the known paths in it to each other's `others`."""
    for path in paths:
        for folder in _upwards(path[: path.rfind("/") + 1]):
            if folder in paths and path_globs.contains(folder, path):
                overlaps.setdefault(path, []).append(folder)
                overlaps.setdefault(folder, []).append(path)


def _all_plain(tasks: Sequence[model.Task]) -> bool:
    """Returns whether no path needs a second look: a few searches in one text instead of one per path."""
    paths = [path for task in tasks for path in task.files]
    paths += [path for task in tasks for path in task.reads]
    text = "\n".join(["", *paths, ""])
    return len(text.split()) == len(paths) and not any(mark in text for mark in _MARKS)


def _distinct(*declared_by: Mapping[int, Sequence[str]]) -> dict[str, None]:
    return dict.fromkeys(path for nodes in declared_by for paths in nodes.values() for path in paths)


def _mask(nodes: Mapping[str, Sequence[int]], paths: Sequence[str], place: Sequence[int]) -> int:
    mask = 0
    for path in paths:
        for node in nodes.get(path, ()):
            mask |= 1 << place[node]
    return mask


def _glob_checks(in_order: Sequence[str], globs: Sequence[str]) -> int:
    return sum(high - low + len(globs) for low, high in (_below(in_order, _stem(glob)) for glob in globs))


def _near(in_order: Sequence[str], globs: Sequence[str], stem: str) -> Iterable[str]:
    """Returns the paths below the folder `stem`, and all globs."""
    low, high = _below(in_order, stem)
    return itertools.chain(in_order[low:high], globs)


def _below(in_order: Sequence[str], stem: str) -> tuple[int, int]:
    if not stem:
        return 0, len(in_order)
    return bisect.bisect_left(in_order, f"{stem}/"), bisect.bisect_right(in_order, f"{stem}/{_LAST}")


def _stem(path: str) -> str:
    """Returns the folder that everything a glob can match lies in; a plain path is its own."""
    wild = path_globs.WILD.search(path)
    return path[: wild.start()].rpartition("/")[0] if wild else path


def _upwards(folder: str) -> Iterable[str]:
    """Yields a folder (with or without its slash) and every folder that it lies in, up to the workspace's root."""
    folder = folder.removesuffix("/")
    while folder:
        yield folder
        folder = folder.rpartition("/")[0]
    yield ""


@dataclass(frozen=True, slots=True)
class Line:
    """All nodes in one order that respects every dependency, and the place of each."""

    nodes: tuple[int, ...]
    place: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Reach:
    """`before[p]` is the bit set of places that place p waits for, itself included.

    `added` are edges (before, after) of nodes. They are not part of the graph yet, but `before` counts them.
    """

    line: Line
    before: tuple[int, ...]
    added: tuple[tuple[int, int], ...]


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
    edges: list[tuple[int, int]] = []
    nodes, place = line.nodes, line.place
    for position, node in enumerate(nodes):
        mask = 0
        for dep in plan.deps[node]:
            mask |= before[place[dep]]
        rival = rivals.get(node)
        if rival:
            for other in _nearest(before, rival & ((1 << position) - 1) & ~mask):
                edges.append((nodes[other], node))
                mask |= before[other]
        before.append(mask | 1 << position)
    return Reach(line, tuple(before), tuple(edges))


def unordered_pairs(reach: Reach, masks: Mapping[int, int]) -> Iterator[tuple[int, int]]:
    """Yields each node of `others` with those of its bit set that come earlier in line and have no path to it.

    `others[node]` is the bit set of places to hold against `node`; nodes come in line order.
    """
    for position, node in enumerate(reach.line.nodes):
        other = masks.get(node)
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


def _nearest(before: Sequence[int], rivals: int) -> list[int]:
    """Returns the fewest of the places `rivals` whose ancestors, with themselves, cover all of them."""
    near: list[int] = []
    while rivals:
        place = rivals.bit_length() - 1
        near.append(place)
        rivals &= ~before[place]
    return near


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of the write conflicts of tasks.

    `tasks` carry the added edges and the isolation; `in_worktrees` are their nodes. `late_reads` are pairs (reader,
    writer) of nodes without a path either way, the first few of `late_read_count`.
    """

    tasks: Sequence[model.Task]
    paths: NodePaths
    reach: Reach
    edges: Sequence[model.AddedEdge]
    in_worktrees: Sequence[int]
    problems: Sequence[Problem]
    notices: Sequence[Notice]
    late_reads: Sequence[tuple[int, int]]
    late_read_count: int


def settle(
    tasks: Sequence[model.Task],
    plan: graph.Graph,
    tails: Sequence[float],
    *,
    on_conflict: model.Conflict = "serialize",
    workspace: str = "",
) -> Settlement:
    """Returns tasks that never write the same at the same time, or the problems of those that would.

    `tails` are the minutes from each node's start to the end of the plan.
    """
    paths = declared_paths(tasks, workspace)
    line = line_up(plan, tails)
    rivals = holders(paths.writes, paths.writes, paths.touching, line.place)
    reach = sweep(plan, line, rivals if on_conflict == "serialize" else {})
    decision = _SETTLERS[on_conflict](_Clash(tasks, paths, reach, rivals))
    late_reads, count = _late_reads(paths, reach)
    return Settlement(
        _resolved(tasks, plan, decision),
        paths,
        reach,
        decision.edges,
        decision.in_worktrees,
        decision.problems,
        decision.notices,
        late_reads,
        count,
    )


def _late_reads(paths: NodePaths, reach: Reach) -> tuple[list[tuple[int, int]], int]:
    """Returns the first pairs (reader, writer) of nodes that no path orders, and how many there are."""
    if not (paths.reads and paths.writes):
        return [], 0
    place = reach.line.place
    late_readers = holders(paths.reads, paths.writes, paths.touching, place)
    late_writers = holders(paths.writes, paths.reads, paths.touching, place)
    pairs = [(reader, writer) for writer, reader in _few(reach, late_readers)]
    pairs += _few(reach, late_writers)
    return pairs, _count(reach, late_readers) + _count(reach, late_writers)


def _few(reach: Reach, rivals: Mapping[int, int]) -> Iterator[tuple[int, int]]:
    """Yields the first (earlier, later) pairs of nodes without a path either way."""
    pairs = (
        (reach.line.nodes[place], later) for later, free in unordered_pairs(reach, rivals) for place in places(free)
    )
    return itertools.islice(pairs, MOST_LATE_READS)


def _count(reach: Reach, rivals: Mapping[int, int]) -> int:
    """Returns how many such pairs there are."""
    return sum(free.bit_count() for _, free in unordered_pairs(reach, rivals))


@dataclass(frozen=True, slots=True)
class _Decision:
    """Who is to wait for whom, who gets a worktree, and what is to be said of it."""

    edges: Sequence[model.AddedEdge] = ()
    in_worktrees: Sequence[int] = ()
    problems: Sequence[Problem] = ()
    notices: Sequence[Notice] = ()


@dataclass(frozen=True, slots=True)
class _Clash:
    """Tasks, what they declare, who comes before whom, and the bit sets of those who write the same."""

    tasks: Sequence[model.Task]
    paths: NodePaths
    reach: Reach
    rivals: Mapping[int, int]

    def path(self, first: int, second: int) -> str:
        writes = self.paths.writes
        return self.paths.touching.shared(writes[second], writes[first])


def _serialize(clash: _Clash) -> _Decision:
    tasks = clash.tasks
    return _Decision(
        edges=[
            model.AddedEdge(
                before=tasks[first].id, after=tasks[second].id, reason=f"both write `{clash.path(first, second)}`"
            )
            for first, second in clash.reach.added
        ]
    )


def _isolate(clash: _Clash) -> _Decision:
    members = 0
    for node, rivals in unordered_pairs(clash.reach, clash.rivals):
        members |= rivals | 1 << clash.reach.line.place[node]
    if not members:
        return _Decision()
    nodes = [clash.reach.line.nodes[place] for place in places(members)][::-1]
    order = [clash.tasks[node].id for node in nodes]
    message = f"Each works in a worktree of its own; they are merged in this order: {problems.in_backticks(order)}."
    return _Decision(in_worktrees=nodes, notices=[Notice(code="merged_in_order", tasks=tuple(order), message=message)])


def _refuse(clash: _Clash) -> _Decision:
    total = 0
    clashes: list[Problem] = []
    for second, rivals in unordered_pairs(clash.reach, clash.rivals):
        total += rivals.bit_count()
        for place in places(rivals):
            if len(clashes) == MAX_CONFLICTS:
                break
            clashes.append(_write_conflict(clash, clash.reach.line.nodes[place], second))
    if total > len(clashes):
        clashes.append(
            Problem(
                code="write_conflict",
                message=f"{total - len(clashes)} more pairs of tasks write the same files.",
                fix="Order them, or set on_conflict to `serialize` or `worktree`.",
            )
        )
    return _Decision(problems=clashes)


def _write_conflict(clash: _Clash, first: int, second: int) -> Problem:
    before, after = clash.tasks[first].id, clash.tasks[second].id
    return Problem(
        code="write_conflict",
        task=after,
        where=f"tasks[{second}].files",
        message=f"`{before}` and `{after}` both write `{clash.path(first, second)}` and neither waits for the other.",
        fix=f"Add `{before}` to the deps of `{after}`, or set on_conflict to `serialize` or `worktree`.",
    )


_SETTLERS: Final[Mapping[model.Conflict, Callable[[_Clash], _Decision]]] = {
    "serialize": _serialize,
    "worktree": _isolate,
    "error": _refuse,
}


def _resolved(tasks: Sequence[model.Task], plan: graph.Graph, decision: _Decision) -> list[model.Task]:
    """Returns the tasks without repeated deps, with the added ones and the isolation decided."""
    changes: dict[int, dict[str, model.Json]] = {}
    for node, task in enumerate(tasks):
        if len(task.deps) != len(plan.deps[node]):
            changes[node] = {"deps": tuple(dict.fromkeys(task.deps))}
    for edge in decision.edges:
        node = plan.index[edge.after]
        change = changes.setdefault(node, {"deps": tasks[node].deps})
        change["deps"] = (*change["deps"], edge.before)
    for node in decision.in_worktrees:
        changes.setdefault(node, {})["isolation"] = "worktree"
    out = list(tasks)
    for node, change in changes.items():
        out[node] = tasks[node].model_copy(update=change)
    return out
