"""Which indexes there are, of which workspaces, and which go: an index is a cache, made anew when it is needed.

Beside each index stands a note with the workspace that it is of, as new as its last use.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from dispatch_mcp.process import file_lock

FOLDER: Final = "context"
NOTE: Final = ".place"
LOCK: Final = ".lock"
TURN: Final = ".turn"
FIRST: Final = ".first"
"""Ends of the names of locks: of who writes, of who reads the whole workspace, and of who takes a first look."""
ENDS: Final = (".db", ".db-wal", ".db-shm", ".db-journal", NOTE, LOCK, TURN, FIRST)

MOST_BYTES: Final = 2 << 30
"""Of all indexes together; above it those go that were not used for longest."""
MOST_DAYS: Final = 60
"""Days without any use after which an index goes by itself."""
IN_USE_S: Final = 86_400
"""Seconds after its last use in which an index is nobody's to remove."""


class IndexFile(NamedTuple):
    """An index: the path of its database, its workspace, its bytes, and when it was last used."""

    path: Path
    workspace: Path
    size: int
    used_at: float

    @property
    def is_orphan(self) -> bool:
        """Whether its workspace is gone."""
        return not self.workspace.is_dir()


def index_files(state_dir: Path) -> list[IndexFile]:
    """Returns all indexes, those first that were not used for longest."""
    return sorted(_read(state_dir / FOLDER), key=lambda index: (index.used_at, index.path))


def _read(folder: Path) -> Iterator[IndexFile]:
    for note in folder.glob(f"*{NOTE}"):
        with contextlib.suppress(OSError):
            workspace, used_at = Path(os.fsdecode(note.read_bytes())), note.stat().st_mtime
            yield IndexFile(note.with_suffix(".db"), workspace, _size(note), used_at)


def _size(note: Path) -> int:
    total = 0
    for end in ENDS:
        with contextlib.suppress(OSError):
            total += note.with_suffix(end).stat().st_size
    return total


def remember(path: Path, workspace: Path) -> None:
    """Notes beside an index which workspace it is of, and that it is used now; a new one keeps the others in bounds."""
    note = path.with_suffix(NOTE)
    with contextlib.suppress(OSError):
        if note.exists():
            os.utime(note)
            return
        remove(beyond_bounds(index_files(path.parent.parent), time.time()))
        handle = os.open(note, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(os.fsencode(workspace))


def beyond_bounds(indexes: Iterable[IndexFile], now: float, most_bytes: int = MOST_BYTES) -> list[IndexFile]:
    """Returns those that go by themselves: of workspaces that are gone, out of use for long, or too much together."""
    indexes = list(indexes)
    leaving = [index for index in indexes if index.is_orphan or index.used_at < now - MOST_DAYS * 86_400]
    rest = [index for index in indexes if index not in leaving]
    excess = sum(index.size for index in rest) - most_bytes
    for index in sorted(rest, key=lambda index: index.used_at):
        if excess > 0 and index.used_at < now - IN_USE_S:
            leaving.append(index)
            excess -= index.size
    return leaving


def unused(indexes: Iterable[IndexFile], before: float) -> list[IndexFile]:
    """Returns those not used since a time, in seconds since the epoch, and those of workspaces that are gone."""
    return [index for index in indexes if index.is_orphan or index.used_at < before]


def remove(indexes: Iterable[IndexFile]) -> list[IndexFile]:
    """Removes indexes that nobody is writing just now, and returns them; who reads one keeps it until it closes."""
    return [index for index in indexes if _remove(index.path)]


def _remove(path: Path) -> bool:
    with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
        if not all(_is_free(path.with_suffix(end), stack) for end in (TURN, FIRST, LOCK)):
            return False
        for end in ENDS:
            path.with_suffix(end).unlink(missing_ok=True)
        return True
    return False


def _is_free(lock: Path, stack: contextlib.ExitStack) -> bool:
    """Returns whether nobody else has a lock, which this process has from then on until the stack is left."""
    fd = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    stack.callback(os.close, fd)
    return file_lock.lock(fd, wait=False)
