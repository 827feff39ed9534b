"""Looks at files of a workspace without ever leaving it: no symbolic link is followed to a place outside."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import stat
import threading
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TypeVar

import anyio

from dispatch_mcp.process import safe_paths
from dispatch_mcp.text import file_states, path_globs

MAX_ENTRIES = 200_000
"""Names that one search looks at."""
WHOLE_BYTES = 16 << 20
"""A larger file is told apart by its size and time."""

MOST_BYTES = 16 << 20
"""Bytes of files that one look at their states reads."""
LOOK_S = 1.0
"""Seconds of such a look while others wait for it, as for a write of the store."""
PATIENT_S = 5.0
"""Seconds of such a look at what work has left, for which only its own result waits."""

FOLDER = "folder"
"""The state of a folder, where it matters that it is there."""

_NOT_PART = frozenset({".git"})
_WILD = re.compile(r"[*?\[{]")

Result = TypeVar("Result")


class Unmeasured(Exception):
    """Something was too much, too slow, outside or broken; the text says what."""


async def in_thread(work: Callable[[threading.Event], Result]) -> Result:
    """Returns what `work` returns, run beside the event loop; its event is set when nobody waits for it any more."""
    stop = threading.Event()
    try:
        return await anyio.to_thread.run_sync(functools.partial(work, stop), abandon_on_cancel=True)
    finally:
        stop.set()


def lies_inside(root: Path, path: str) -> bool:
    """Returns whether the entry `path` itself is inside, wherever it may point if it is a link."""
    return safe_paths.holds(root, str(Path(path).parent))


def leads_into_git(root: Path, path: str) -> bool:
    """Returns whether an entry lies where git keeps its own, also behind links."""
    with contextlib.suppress(OSError, RuntimeError, ValueError):
        folder, top = Path(os.path.realpath((root / path).parent)), os.path.realpath(root)
        return path_globs.is_of_git(folder.relative_to(top).as_posix())
    return False


def changed_at(root: Path, path: str) -> float:
    """Returns when an entry was changed last, in seconds since the epoch; 0 when it is not there."""
    try:
        status = (root / path).lstat()
    except (OSError, ValueError):
        return 0.0
    return max(status.st_mtime, status.st_ctime)


def digest(root: Path, path: str) -> str:
    """Returns the state of an entry (see `file_states`); an empty string for a folder, or when there is none.

    Words that no file can be called by, and entries that nobody may look at, have an empty one too.
    """
    try:
        if not lies_inside(root, path):
            return file_states.OUTSIDE
        mode = (root / path).lstat().st_mode
        if stat.S_ISLNK(mode):
            return file_states.of_link(os.fsencode((root / path).readlink()), _behind(root, path))
        if stat.S_ISREG(mode):
            return _content(root / path, path)
    except (OSError, ValueError):
        return ""
    return "" if stat.S_ISDIR(mode) else file_states.SPECIAL


def states(workspace: str, paths: Collection[str], seconds: float = LOOK_S) -> dict[str, str]:
    """Returns the states of entries of a workspace, by path relative to it; a folder has one too.

    What would be more than `MOST_BYTES` together, or comes after `seconds`, is `file_states.UNREAD`.
    """
    root, end, rest = Path(workspace), time.monotonic() + seconds, MOST_BYTES
    states: dict[str, str] = {}
    for path in paths:
        size = _size(root, path)
        if size > rest or time.monotonic() > end:
            states[path] = file_states.UNREAD
        else:
            rest -= size
            states[path] = digest(root, path) or (FOLDER if is_folder(root, path) else "")
    return states


def _size(root: Path, path: str) -> int:
    """Returns how many bytes of an entry are read for its state."""
    try:
        status = (root / path).stat()
    except (OSError, ValueError):
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) and status.st_size <= WHOLE_BYTES else 0


def is_folder(root: Path, path: str) -> bool:
    """Returns whether a folder of that name is there, links followed; False for what no folder can be called."""
    try:
        return (root / path).is_dir()
    except (OSError, ValueError):
        return False


def _behind(root: Path, path: str) -> str:
    """Returns the state of the file that a link leads to, if that lies inside; an empty string otherwise."""
    try:
        target = (root / path).resolve(strict=True)
        inside = target.relative_to(root.resolve()).as_posix()
    except (OSError, ValueError, RuntimeError):
        return ""
    return _content(target, path) if target.is_file() and safe_paths.holds(root, inside) else ""


def declared(root: Path, pattern: str, stop: threading.Event) -> Iterator[str]:
    """Yields the files that a normalised declaration (file, folder or glob) stands for; a named file, there or not.

    Raises:
        Unmeasured: there are too many names, or `stop` was set.
    """
    stem, wild = _stem(pattern)
    if not wild and not is_folder(root, stem):
        yield pattern
        return
    for path in _walk(root, stem, stop):
        if path_globs.touch(pattern, path):
            yield path


def matching(root: Path, pattern: str, stop: threading.Event) -> Iterator[str]:
    """Yields the files of the workspace that match a pattern of `planning.acceptance`.

    Raises:
        Unmeasured: there are too many names, the pattern leads outside, or `stop` was set.
    """
    seen: set[str] = set()
    for one in path_globs.alternatives(pattern):
        stem, _ = _stem(one)
        deepest = None if "**" in one else one.count("/") + 1
        for path in _walk(root, stem, stop, deepest):
            if (
                path not in seen
                and path_globs.matches(one, path)
                and safe_paths.holds(root, path)
                and not leads_into_git(root, path)
                and (root / path).is_file()
            ):
                seen.add(path)
                yield path


def _stem(pattern: str) -> tuple[str, bool]:
    """Returns the folder or file that a pattern starts in, and whether there is a wildcard behind it."""
    wild = _WILD.search(pattern)
    return (pattern[: wild.start()].rpartition("/")[0], True) if wild else (pattern, False)


def _walk(root: Path, start: str, stop: threading.Event, deepest: int | None = None) -> Iterator[str]:
    """Yields files and links at or below `start`, down to `deepest` segments."""
    if not safe_paths.holds(root, start):
        raise Unmeasured(f"{start!r} leads outside the workspace")
    if (root / start).is_file():
        yield start
        return
    folders, looked_at = [start], 0
    while folders:
        folder = folders.pop()
        for entry in _entries(root / folder):
            looked_at += 1
            if looked_at > MAX_ENTRIES or stop.is_set():
                raise Unmeasured(f"there are more than {looked_at - 1} names to look at below {start or '.'!r}")
            path = f"{folder}/{entry.name}" if folder else entry.name
            if not entry.is_dir(follow_symlinks=False):
                yield path
            elif entry.name not in _NOT_PART and (deepest is None or path.count("/") + 1 < deepest):
                folders.append(path)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return sorted((entry for entry in found if safe_paths.sayable(entry.name)), key=lambda entry: entry.name)
    except OSError:
        return []


def _content(file_path: Path, path: str) -> str:
    handle = os.open(file_path, safe_paths.READ)
    with open(handle, "rb") as file:  # noqa: PTH123 - a file that is open already
        status = os.fstat(handle)
        is_executable = bool(status.st_mode & stat.S_IXUSR)
        if not stat.S_ISREG(status.st_mode):
            return file_states.SPECIAL
        if status.st_size > WHOLE_BYTES:
            return file_states.of_large(status.st_size, status.st_mtime_ns, is_executable=is_executable)
        return file_states.of_content(file.read(WHOLE_BYTES), path, is_executable=is_executable)
