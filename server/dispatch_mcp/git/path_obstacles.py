"""What lies in a checkout where a change would write: files that git ignores too, folders, links, other repositories.

Git replaces ignored files without a word, empties folders of them, and writes through a submodule's folder into the
files of another repository. So nothing here asks git, nor whether it ignores a path: whatever the change does not
itself take away, and the commit of the checkout does not hold, is the user's.
"""

from __future__ import annotations

import itertools
import stat
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from dispatch_mcp.git import merge_rules

MAX_NAMED = 50
"""Paths in the way that are named of one folder."""


def in_the_way(top: Path, changes: Sequence[merge_rules.PathChange], *, ignore_case: bool) -> list[str]:
    """Returns what a change of the checkout's commit would write over, as paths below `top`; a folder ends with `/`.

    Changed contents of a tracked file are not looked at: that is what `git status` is for.
    """
    leaving = {change.path for change in changes if change.status == "D"}
    coming = [change for change in changes if change.status in ("A", "T")]
    names = [change.path for change in coming]
    own_names = leaving | {_key(path) for path in leaving} if ignore_case else leaving
    obstacles = [path for change in coming for path in _before(top, change, own_names, ignore_case=ignore_case)]
    return list(dict.fromkeys([*obstacles, *(collisions(names) if ignore_case else ())]))


def collisions(paths: Iterable[str]) -> list[str]:
    """Returns those paths that are one and the same where capitals do not count."""
    by_key: dict[str, list[str]] = {}
    for path in paths:
        by_key.setdefault(_key(path), []).append(path)
    return [path for twins in by_key.values() if len(twins) > 1 for path in twins]


def _key(path: str) -> str:
    return unicodedata.normalize("NFC", path).casefold()


def _before(top: Path, change: merge_rules.PathChange, leaving: Collection[str], *, ignore_case: bool) -> Iterator[str]:
    """Yields what is in the way of one path that a change brings."""
    if wall := _wall(top, change.path, leaving):
        yield wall
        return
    kind = _kind(top / change.path)
    if kind == stat.S_IFDIR:
        yield from itertools.islice(_contents(top, change.path, leaving), MAX_NAMED)
    elif kind and change.status == "A" and not (ignore_case and _key(change.path) in leaving):
        yield change.path


def _wall(top: Path, path: str, leaving: Collection[str]) -> str:
    """Returns the first folder of a path that is none, or another repository; empty when the way is free."""
    folders = path.split("/")[:-1]
    for depth in range(1, len(folders) + 1):
        folder = "/".join(folders[:depth])
        kind = _kind(top / folder)
        if not kind:
            return ""
        if kind != stat.S_IFDIR:
            return "" if folder in leaving else folder
        if _kind(top / folder / ".git"):
            return f"{folder}/"
    return ""


def _contents(top: Path, folder: str, leaving: Collection[str]) -> Iterator[str]:
    """Yields what a folder holds that a change does not take away itself; a repository is named as a whole."""
    if _kind(top / folder / ".git"):
        yield f"{folder}/"
        return
    try:
        names = sorted(entry.name for entry in (top / folder).iterdir())
    except OSError:
        yield f"{folder}/"
        return
    for name in names:
        path = f"{folder}/{name}"
        if _kind(top / path) == stat.S_IFDIR:
            yield from _contents(top, path, leaving)
        elif path not in leaving:
            yield path


def _kind(path: Path) -> int:
    """Returns what is there, links not followed, as `stat` calls it: 0 for nothing."""
    try:
        return stat.S_IFMT(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return 0
    except OSError:
        return stat.S_IFREG
