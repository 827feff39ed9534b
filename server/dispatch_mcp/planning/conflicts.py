"""Which declared paths touch each other: files, folders that contain them, and globs."""

from __future__ import annotations

import bisect
import fnmatch
import itertools
import posixpath
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from dispatch_mcp import model

GLOB_CHECKS: Final = 20_000
"""Comparisons with globs per plan; beyond it each glob counts as the folder that it starts in."""

_CLEAN = re.compile(r"[\w@+-][\w@+.-]*(?:/[\w@+-][\w@+.-]*)*")
_MARKS = ("*", "?", "[", "{", "\\", "//", "/.", "./", "\n.", "\n/", "/\n")
_WILD = re.compile(r"[*?\[]")
_BRACES = re.compile(r"\{[^{}]*,[^{}]*\}")
_CLASS = re.compile(r"\[[^\]]+\]")
_LAST = "\U0010ffff"
_LONG_SEGMENT = 128
_MANY_SEGMENTS = 64


def normalise(path: str, workspace: str = "") -> str:
    """Returns one spelling of a path or glob: forward slashes, no `.`, `..`, doubled or trailing slash.

    Paths below `workspace` become relative to it; the root of the workspace is an empty string. Case is kept.
    Braces with a comma become wildcards.
    """
    if _CLEAN.fullmatch(path):
        return path
    path = _BRACES.sub(_wild_braces, path.strip().replace("\\", "/"))
    path = posixpath.normpath(path) if path else "."
    path = f"/{path.lstrip('/')}" if path.startswith("/") else path
    if workspace:
        root = posixpath.normpath(workspace.replace("\\", "/"))
        path = "." if path == root else path.removeprefix(f"{root.rstrip('/')}/")
    return "" if path == "." else path


def touch(left: str, right: str) -> bool:
    """Returns whether two normalised paths or globs can name one file. In doubt, True."""
    if left == right or _contains(left, right) or _contains(right, left):
        return True
    if not (_WILD.search(left) or _WILD.search(right)):
        return False
    return _meet(_segments(left), _segments(right))


@dataclass(frozen=True, slots=True)
class Touching:
    """For each normalised path the other paths it touches; `paths` is how many distinct ones there are."""

    others: Mapping[str, Sequence[str]]
    paths: int = 0

    def shared(self, left: Iterable[str], right: Collection[str]) -> str:
        """Returns the first path of `left` that touches one of `right`, or an empty string."""
        for path in left:
            if path in right or any(other in right for other in self.others.get(path, ())):
                return path or "."
        return ""


@dataclass(frozen=True, slots=True)
class Declared:
    """The normalised paths that each node writes and reads, for nodes that have any.

    `exact` is False when there are so many globs that each counts as the folder it starts in.
    """

    writes: Mapping[int, Sequence[str]]
    reads: Mapping[int, Sequence[str]]
    touching: Touching
    exact: bool = True


def declared(tasks: Sequence[model.Task], workspace: str = "") -> Declared:
    """Returns what tasks declare; tasks in a worktree of their own write nothing that others see."""
    plain = _all_plain(tasks)
    writes = {node: task.files for node, task in enumerate(tasks) if task.files and task.isolation == "shared"}
    reads = {node: task.reads for node, task in enumerate(tasks) if task.reads}
    if not plain:
        writes = {node: tuple([normalise(path, workspace) for path in paths]) for node, paths in writes.items()}
        reads = {node: tuple([normalise(path, workspace) for path in paths]) for node, paths in reads.items()}
    known = _distinct(writes, reads)
    globs = [] if plain else [path for path in known if _WILD.search(path)]
    exact = not globs or _glob_checks(sorted(known), globs) <= GLOB_CHECKS
    if not exact:
        writes = {node: tuple(map(_stem, paths)) for node, paths in writes.items()}
        reads = {node: tuple(map(_stem, paths)) for node, paths in reads.items()}
        known = _distinct(writes, reads)
    return Declared(writes, reads, touching(known, globs if exact else ()), exact)


def holders(
    mine: Mapping[int, Sequence[str]], theirs: Mapping[int, Sequence[str]], found: Touching, place: Sequence[int]
) -> dict[int, int]:
    """Returns for each node of `mine` the bit set of places of other nodes of `theirs` with a touching path."""
    if mine is theirs and not found.others and sum(map(len, mine.values())) == found.paths:
        return {}
    nodes: dict[str, list[int]] = {}
    for node, paths in theirs.items():
        for path in paths:
            nodes.setdefault(path, []).append(node)
    masks: dict[str, int] = {}
    out: dict[int, int] = {}
    for node, paths in mine.items():
        mask = 0
        for path in paths:
            if path in found.others or nodes.get(path, [node]) != [node]:
                if path not in masks:
                    masks[path] = _mask(nodes, [path, *found.others.get(path, ())], place)
                mask |= masks[path]
        mask &= ~(1 << place[node])
        if mask:
            out[node] = mask
    return out


def touching(known: Collection[str], globs: Sequence[str]) -> Touching:
    """Returns which of the normalised, distinct paths touch each other; `globs` are those with wildcards."""
    others: dict[str, list[str]] = {}
    folders = {above for parent in {path[: path.rfind("/") + 1] for path in known} for above in _upwards(parent)}
    if not folders.isdisjoint(known):
        _nest(known, others)
    ordered = sorted(known) if globs else []
    for glob in globs:
        linked = set(others.get(glob, ()))
        for other in _near(ordered, globs, _stem(glob)):
            if other != glob and other not in linked and touch(glob, other):
                linked.add(other)
                others.setdefault(glob, []).append(other)
                others.setdefault(other, []).append(glob)
    return Touching(others, len(known))


def _nest(known: Collection[str], others: dict[str, list[str]]) -> None:
    """Adds every known folder and the known paths in it to each other's `others`."""
    for path in known:
        for folder in _upwards(path[: path.rfind("/") + 1]):
            if folder in known and _contains(folder, path):
                others.setdefault(path, []).append(folder)
                others.setdefault(folder, []).append(path)


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


def _glob_checks(ordered: Sequence[str], globs: Sequence[str]) -> int:
    return sum(high - low + len(globs) for low, high in (_below(ordered, _stem(glob)) for glob in globs))


def _near(ordered: Sequence[str], globs: Sequence[str], stem: str) -> Iterable[str]:
    """Returns the paths below the folder `stem`, and all globs."""
    low, high = _below(ordered, stem)
    return itertools.chain(ordered[low:high], globs)


def _below(ordered: Sequence[str], stem: str) -> tuple[int, int]:
    if not stem:
        return 0, len(ordered)
    return bisect.bisect_left(ordered, f"{stem}/"), bisect.bisect_right(ordered, f"{stem}/{_LAST}")


def _stem(path: str) -> str:
    """Returns the folder that everything a glob can match lies in; a plain path is its own."""
    wild = _WILD.search(path)
    return path[: wild.start()].rpartition("/")[0] if wild else path


def _upwards(folder: str) -> Iterable[str]:
    """Yields a folder (with or without its slash) and every folder that it lies in, up to the workspace's root."""
    folder = folder.removesuffix("/")
    while folder:
        yield folder
        folder = folder.rpartition("/")[0]
    yield ""


def _contains(folder: str, path: str) -> bool:
    if not folder:
        return bool(path) and not path.startswith(("/", ".."))
    return path.startswith(folder) and path[len(folder) : len(folder) + 1] == "/"


def _wild_braces(found: re.Match[str]) -> str:
    return "**" if "/" in found[0] else "*"


def _segments(path: str) -> list[str]:
    """Returns the segments, with `**` behind what may be a folder."""
    parts = ["**" if "**" in part else part for part in path.split("/")]
    name = parts[-1].lstrip(".")
    return parts if "." in name or parts[-1] == "**" else [*parts, "**"]


def _meet(left: Sequence[str], right: Sequence[str]) -> bool:
    """Returns whether one path can match both; `**` stands for any number of segments."""
    if max(len(left), len(right)) > _MANY_SEGMENTS:
        return True
    row = _ends(right)
    for part in reversed(left):
        row = _meet_row(part, right, row)
    return row[0]


def _ends(right: Sequence[str]) -> list[bool]:
    """Returns for each suffix of `right` whether it matches no segment at all."""
    row = [True] * (len(right) + 1)
    for j in range(len(right) - 1, -1, -1):
        row[j] = right[j] == "**" and row[j + 1]
    return row


def _meet_row(part: str, right: Sequence[str], below: Sequence[bool]) -> list[bool]:
    row = [part == "**" and below[-1]] * (len(right) + 1)
    for j in range(len(right) - 1, -1, -1):
        other = right[j]
        if part == "**":
            row[j] = below[j] or row[j + 1]
        elif other == "**":
            row[j] = row[j + 1] or below[j]
        else:
            row[j] = below[j + 1] and _same_segment(part, other)
    return row


def _same_segment(left: str, right: str) -> bool:
    """Returns whether one name can match both segments; two wildcards are compared with classes as `?`."""
    if left == right:
        return True
    wild_left, wild_right = _WILD.search(left), _WILD.search(right)
    if not wild_left and not wild_right:
        return False
    if max(len(left), len(right)) > _LONG_SEGMENT:
        return True
    if not wild_right:
        return fnmatch.fnmatchcase(right, left)
    if not wild_left:
        return fnmatch.fnmatchcase(left, right)
    return _same_pattern(_CLASS.sub("?", left), _CLASS.sub("?", right))


def _same_pattern(left: str, right: str) -> bool:
    row = [True] * (len(right) + 1)
    for j in range(len(right) - 1, -1, -1):
        row[j] = right[j] == "*" and row[j + 1]
    for char in reversed(left):
        below, row = row, [char == "*" and row[-1]] * (len(right) + 1)
        for j in range(len(right) - 1, -1, -1):
            if char == "*" or right[j] == "*":
                row[j] = below[j] or row[j + 1] or (char == "*" == right[j] and below[j + 1])
                continue
            row[j] = below[j + 1] and (char == right[j] or "?" in (char, right[j]))
    return row[0]
