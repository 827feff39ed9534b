"""What lies where below the state directory, and how much of it there is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dispatch_mcp import configuration, model
from dispatch_mcp.context.indexing import index_files
from dispatch_mcp.git import worktree
from dispatch_mcp.store import blobs, whereabouts
from dispatch_mcp.store.pruning import old_files

_FOLDERS = (
    ("blobs", blobs.FOLDER, "long results and diffs"),
    ("briefs", "briefs", "what assignments were given to read"),
    ("attempts", "runs", "output of attempts, traces"),
    ("indexes", index_files.FOLDER, "indexes of workspaces; a cache"),
    ("worktrees", worktree.FOLDER, "copies of repositories that runs work in"),
    ("backups", "backups", "files of clients as they were before"),
)


class StatePlace(model.Value):
    """A file or folder: its name, where it is, what it is for, and its bytes, None if it is not there."""

    name: str
    path: str
    purpose: str
    size: int | None = None


def places(home: Path) -> list[StatePlace]:
    """Returns the parts of a state directory; reads only."""
    return [*_places(home)]


def total(home: Path) -> int:
    """Returns the bytes in a state directory."""
    return old_files.size_of(home) if home.is_dir() else 0


def _places(home: Path) -> Iterator[StatePlace]:
    yield _place("settings", home / configuration.FILE_NAME, "yours to edit")
    file = home / whereabouts.FILE
    size = sum(old_files.size_of(path) for path in home.glob(f"{whereabouts.FILE}*"))
    yield _place("store", file, "plans, runs, results, events").model_copy(
        update={"size": size if file.exists() else None}
    )
    for name, folder, purpose in _FOLDERS:
        yield _place(name, home / folder, purpose)


def _place(name: str, path: Path, purpose: str) -> StatePlace:
    size = old_files.size_of(path) if path.exists() else None
    return StatePlace(name=name, path=str(path), purpose=purpose, size=size)
