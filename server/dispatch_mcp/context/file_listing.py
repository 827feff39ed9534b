"""Which files of a workspace are worth indexing, with size and time: asked from git, or walked."""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from dispatch_mcp.context import git_log, gitignore
from dispatch_mcp.process import safe_paths
from dispatch_mcp.text import secret_paths

MAX_FILES: Final = 100_000
"""Files of one workspace; what comes behind them is not indexed."""
_GITIGNORE = ".gitignore"
_GITIGNORE_BYTES = 1 << 18
"""Bytes of one ignore file that are read."""


class State(NamedTuple):
    """What tells one version of a file from another."""

    size: int
    mtime_ns: int


def scan(root: Path) -> Mapping[str, State]:
    """Returns the files to index by path relative to `root`; links are left out, and so is what is ignored."""
    if git_log.belongs_to(root) and (names := git_log.files(root)) is not None:
        paths = [path for path in names if safe_paths.sayable(path) and secret_paths.readable(path, in_git=True)]
        return dict(_stated(root, paths[:MAX_FILES]))
    return dict(itertools.islice(_walk(root), MAX_FILES))


def is_small(root: Path, most: int) -> bool:
    """Returns whether a workspace has at most so many entries, whatever they are, without its dull folders."""
    folders, count = [f"{root}"], 0
    while folders:
        folder = folders.pop()
        for entry in _entries(folder):
            count += 1
            if count > most:
                return False
            if entry.is_dir(follow_symlinks=False) and not secret_paths.skipped_folder(entry.name, top=False):
                folders.append(f"{folder}/{entry.name}")
    return True


def state(root: Path, path: str) -> State | None:
    """Returns the state of one file now; None if it is no regular file."""
    return next((state for _, state in _stated(root, [path])), None)


def _stated(root: Path, paths: list[str]) -> Iterator[tuple[str, State]]:
    base = f"{root}/"
    for path in paths:
        try:
            status = os.lstat(base + path)  # ten thousand Path objects cost more than the calls
        except OSError:
            continue
        if stat.S_ISREG(status.st_mode):
            yield path, State(status.st_size, status.st_mtime_ns)


def _walk(root: Path) -> Iterator[tuple[str, State]]:
    folders: list[tuple[str, gitignore.Ignored]] = [("", gitignore.Ignored())]
    while folders:
        folder, rules = folders.pop()
        base = f"{folder}/" if folder else ""
        entries = _entries(f"{root}/{folder}")
        for entry in entries:
            if entry.name == _GITIGNORE and entry.is_file(follow_symlinks=False):
                rules = rules.below(folder, _read(f"{root}/{base}{_GITIGNORE}"))
        for entry in entries:
            path = base + entry.name
            if entry.is_file(follow_symlinks=False):
                if not secret_paths.unread_file(entry.name) and not rules.holds(path, folder=False):
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except OSError:
                        continue
                    yield path, State(status.st_size, status.st_mtime_ns)
            elif (
                entry.is_dir(follow_symlinks=False)
                and not secret_paths.skipped_folder(entry.name, top=not folder)
                and not rules.holds(path, folder=True)
            ):
                folders.append((path, rules))


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if entry.name.isascii() or safe_paths.sayable(entry.name)]
    except OSError:
        return []


def _read(path: str) -> str:
    try:
        handle = os.open(path, safe_paths.READ)
        with os.fdopen(handle, "rb") as file:
            return file.read(_GITIGNORE_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
