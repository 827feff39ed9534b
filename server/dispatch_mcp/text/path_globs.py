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

BRACES = re.compile(r"\{([^{}]*,[^{}]*)\}")
"""Innermost braces with alternatives; without a comma they are part of a name."""

MAX_ALTERNATIVES: Final = 64
"""Patterns that the braces of one pattern may stand for."""

_CLEAN = re.compile(r"[\w@+-][\w@+.-]*(?:/[\w@+-][\w@+.-]*)*")
"""Paths that `normalise` would leave as they are: nearly all, and it is called for each of them."""

_CLASS = re.compile(r"\[[^\]]+\]")

# Comparing two wildcards takes time in proportion to the product of their lengths, and both come from plans that
# somebody else wrote. Beyond these sizes the answer is the cautious one: they can name one file.
_LONG_SEGMENT = 128
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


def touch(left: str, right: str) -> bool:
    """Returns whether two normalised paths or globs can name one file. In doubt, True."""
    if left == right or contains(left, right) or contains(right, left):
        return True
    if not (WILD.search(left) or WILD.search(right)):
        return False
    return _meet(_segments(left), _segments(right))


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


def _meet(left: Sequence[str], right: Sequence[str]) -> bool:
    """Returns whether one path can match both; `**` stands for any number of segments."""
    # `row[j]` says whether the rest of `left` and `right[j:]` can match the same path; rows go from the end forwards.
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
    wild_left, wild_right = WILD.search(left), WILD.search(right)
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


def _match(pattern: Sequence[str], path: Sequence[str]) -> bool:
    """Matches segment by segment; `row[j]` says whether the first segments of the path are matched so far."""
    row = [True] + [False] * len(path)
    for part in pattern:
        if part == "**":
            first = row.index(True) if True in row else len(row)
            row = [at >= first for at in range(len(row))]
        else:
            row = [False] + [row[at] and fnmatch.fnmatchcase(name, part) for at, name in enumerate(path)]
    return row[-1]
