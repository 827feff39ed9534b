"""Which declared paths touch each other, and which of the tasks that declare them have no order between them.

Paths are files, folders that contain them, and globs. Who comes before whom is a bit set for each task. Its bits stand
for places in a line, a linear extension of the graph, so that a bit set of everything before place p is `(1 << p) - 1`
and the nearest rival is the highest bit.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from dispatch_mcp import model
from dispatch_mcp.planning import graph
from dispatch_mcp.text import path_globs

GLOB_CHECKS: Final = 20_000
"""Comparisons with globs per plan; beyond it each glob counts as the folder that it starts in."""

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
class DeclaredPaths:
    """The normalised paths that each node writes and reads, for nodes that have any.

    `exact` is False when there are so many globs that each counts as the folder it starts in.
    """

    writes: Mapping[int, Sequence[str]]
    reads: Mapping[int, Sequence[str]]
    touching: Overlaps
    exact: bool = True


def declared_paths(tasks: Sequence[model.Task], workspace: str = "") -> DeclaredPaths:
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
    return DeclaredPaths(writes, reads, overlaps(paths_by_name, globs if exact else ()), exact)


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
    edges: list[tuple[int, int]] = []
    nodes, place = line.nodes, line.place
    for position, node in enumerate(nodes):
        deps = plan.deps[node]
        if len(deps) == 1:
            mask, redundant = before[place[deps[0]]], ()
        else:
            mask, redundant = _join(before, map(place.__getitem__, deps)) if deps else (0, ())
        rival = rivals.get(node)
        if rival:
            near = _nearest(before, rival & ((1 << position) - 1) & ~mask)
            if near:
                edges += [(nodes[other], node) for other in near]
                mask, redundant = _join(before, [*near, *map(place.__getitem__, deps)])
        if redundant:
            implied_by_node[node] = tuple([nodes[other] for other in redundant])
        before.append(mask | 1 << position)
    return Reach(line, tuple(before), implied_by_node, tuple(edges))


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


def _join(before: Sequence[int], waits: Iterable[int]) -> tuple[int, Sequence[int]]:
    """Returns everything before the places `waited`, and which of them the others imply."""
    mask = 0
    redundant: list[int] = []
    for place in sorted(waits, reverse=True):
        if mask >> place & 1:
            redundant.append(place)
        else:
            mask |= before[place]
    return mask, redundant


def _nearest(before: Sequence[int], rivals: int) -> list[int]:
    """Returns the fewest of the places `rivals` whose ancestors, with themselves, cover all of them."""
    near: list[int] = []
    while rivals:
        place = rivals.bit_length() - 1
        near.append(place)
        rivals &= ~before[place]
    return near
