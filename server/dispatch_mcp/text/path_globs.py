"""Paths and globs: one spelling of each, what a pattern matches, and which two can name one file.

The one implementation of globs in the product; what `.gitignore` files mean is `context.gitignore`. Everywhere `**` is
any number of folders, and `*`, `?` and `[...]` stay inside one name. Upper and lower case differ.
"""

from __future__ import annotations

import fnmatch
import functools
import posixpath
import re
from collections.abc import Iterable, Sequence
from typing import Final

WILD = re.compile(r"[*?\[]")
"""What makes a path a glob, unless it stands in braces."""

BRACES = re.compile(r"\{([^{},]*+,[^{}]*+)\}")
"""Innermost braces with alternatives; without a comma they are part of a name."""

MAX_ALTERNATIVES: Final = 64
"""Patterns that the braces of one pattern may stand for."""

_CLEAN = re.compile(r"[\w@+-][\w@+.-]*(?:/[\w@+-][\w@+.-]*)*")
"""Paths that `normalise` would leave as they are: nearly all, and it is called for each of them."""


# Comparing two wildcards takes time in proportion to the product of their lengths, and both come from plans that
# somebody else wrote. Beyond these sizes the answer is the cautious one: they can name one file.
_GITS_OWN = frozenset({".git", "git~1"})
"""The folder of git and its short name under Windows."""
_LONG_SEGMENT = 128
_CLASS = re.compile(rf"\[[^\]]{{1,{_LONG_SEGMENT}}}\]")
_MANY_SEGMENTS = 64


def normalise(path: str, workspace: str = "") -> str:
    """Returns one spelling of a path or glob: forward slashes, no `.`, `..`, doubled or trailing slash.

    Paths below `workspace` become relative to it; the root of the workspace is an empty string. Case is kept.
    Braces with a comma become wildcards.
    """
    if _CLEAN.fullmatch(path):
        return path
    path = BRACES.sub(_wild_braces, path.strip().replace("\\", "/"))
    path = posixpath.normpath(path) if path else "."
    path = f"/{path.lstrip('/')}" if path.startswith("/") else path
    if workspace:
        root = posixpath.normpath(workspace.replace("\\", "/"))
        path = "." if path == root else path.removeprefix(f"{root.rstrip('/')}/")
    return "" if path == "." else path


def is_of_git(path: str) -> bool:
    """Returns whether a path or glob names `.git`, in any spelling, or what lies below it, in any folder."""
    if "git" not in path.casefold():
        return False
    parts = [part for spelling in alternatives(path) for part in normalise(spelling).split("/")]
    return any(part.casefold().rstrip(". ") in _GITS_OWN for part in parts)


def touch(first: str, second: str) -> bool:
    """Returns whether two normalised paths or globs can name one file. In doubt, True."""
    if first == second or contains(first, second) or contains(second, first):
        return True
    if not (WILD.search(first) or WILD.search(second)):
        return False
    return _meet(_segments(first), _segments(second))


def contains(folder: str, path: str) -> bool:
    """Returns whether a normalised path lies below a folder; the empty folder is the workspace."""
    if not folder:
        return bool(path) and not path.startswith(("/", ".."))
    return path.startswith(folder) and path[len(folder) : len(folder) + 1] == "/"


def _wild_braces(braces: re.Match[str]) -> str:
    return "**" if "/" in braces[0] else "*"


def _segments(path: str) -> list[str]:
    """Returns the segments, with `**` behind what may be a folder."""
    parts = ["**" if "**" in part else part for part in path.split("/")]
    name = parts[-1].lstrip(".")
    return parts if "." in name or parts[-1] == "**" else [*parts, "**"]


def _meet(first: Sequence[str], second: Sequence[str]) -> bool:
    """Returns whether one path can match both; `**` stands for any number of segments."""
    # `row[j]` says whether the rest of `first` and `second[j:]` can match the same path; rows go from the end forwards.
    if max(len(first), len(second)) > _MANY_SEGMENTS:
        return True
    row = _ends(second)
    for part in reversed(first):
        row = _meet_row(part, second, row)
    return row[0]


def _ends(second: Sequence[str]) -> list[bool]:
    """Returns for each suffix of `second` whether it matches no segment at all."""
    row = [True] * (len(second) + 1)
    for j in range(len(second) - 1, -1, -1):
        row[j] = second[j] == "**" and row[j + 1]
    return row


def _meet_row(part: str, second: Sequence[str], below: Sequence[bool]) -> list[bool]:
    row = [part == "**" and below[-1]] * (len(second) + 1)
    for j in range(len(second) - 1, -1, -1):
        other = second[j]
        if part == "**":
            row[j] = below[j] or row[j + 1]
        elif other == "**":
            row[j] = row[j + 1] or below[j]
        else:
            row[j] = below[j + 1] and _same_segment(part, other)
    return row


def _same_segment(first: str, second: str) -> bool:
    """Returns whether one name can match both segments; two wildcards are compared with classes as `?`."""
    if first == second:
        return True
    wild_first, wild_second = WILD.search(first), WILD.search(second)
    if not wild_first and not wild_second:
        return False
    if max(len(first), len(second)) > _LONG_SEGMENT:
        return True
    if not wild_second:
        return fnmatch.fnmatchcase(second, first)
    if not wild_first:
        return fnmatch.fnmatchcase(first, second)
    return _same_pattern(_CLASS.sub("?", first), _CLASS.sub("?", second))


def _same_pattern(first: str, second: str) -> bool:
    row = [True] * (len(second) + 1)
    for j in range(len(second) - 1, -1, -1):
        row[j] = second[j] == "*" and row[j + 1]
    for char in reversed(first):
        below, row = row, [char == "*" and row[-1]] * (len(second) + 1)
        for j in range(len(second) - 1, -1, -1):
            if char == "*" or second[j] == "*":
                row[j] = below[j] or row[j + 1] or (char == "*" == second[j] and below[j + 1])
                continue
            row[j] = below[j + 1] and (char == second[j] or "?" in (char, second[j]))
    return row[0]


def matches(pattern: str, path: str) -> bool:
    """Returns whether a relative path matches a pattern, braces included."""
    segments = path.split("/")
    return any(_match(alternative.split("/"), segments) for alternative in alternatives(pattern))


def selects(glob: str, path: str) -> bool:
    """Returns whether a glob as people write it in searches selects a path.

    Without a slash it is about names, in whatever folder: `*.py`. With one it is about the whole path: `src/*.py`.
    """
    return matches(glob, path if "/" in glob else path.rpartition("/")[2])


@functools.lru_cache(maxsize=256)
def alternatives(pattern: str) -> tuple[str, ...]:
    """Returns the patterns that the braces of one stand for, at most `MAX_ALTERNATIVES`."""
    out = [pattern]
    while any(map(BRACES.search, out)) and len(out) <= MAX_ALTERNATIVES:
        out = [alternative for pattern in out for alternative in _without_first_braces(pattern)]
    return tuple(dict.fromkeys(out[:MAX_ALTERNATIVES]))


def _without_first_braces(pattern: str) -> Iterable[str]:
    braces = BRACES.search(pattern)
    if not braces:
        return (pattern,)
    head, tail = pattern[: braces.start()], pattern[braces.end() :]
    return (f"{head}{choice}{tail}" for choice in braces[1].split(",")[: MAX_ALTERNATIVES + 1])


def _closed(part: str) -> str:
    """Returns a segment with every `[` that begins no class as a class of its own, which means the same.

    `fnmatch` looks for the end of each of them anew, so thousands would take it seconds.
    """
    at = part.find("[")
    while at >= 0:
        first = at + 1 + part.startswith("!", at + 1)
        end = part.find("]", first + part.startswith("]", first))
        if end < 0:
            return part[:at] + part[at:].replace("[", "[[]")
        at = part.find("[", end)
    return part


def _match(pattern: Sequence[str], path: Sequence[str]) -> bool:
    """Matches segment by segment; `row[j]` says whether the first segments of the path are matched so far."""
    row = [True] + [False] * len(path)
    for part in map(_closed, pattern):
        if part == "**":
            first = row.index(True) if True in row else len(row)
            row = [at >= first for at in range(len(row))]
        else:
            row = [False] + [row[at] and fnmatch.fnmatchcase(name, part) for at, name in enumerate(path)]
    return row[-1]
