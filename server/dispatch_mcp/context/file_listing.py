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
    if git_log.belongs_to(root) and (listed := git_log.files(root)) is not None:
        wanted = [path for path in listed if safe_paths.sayable(path) and secret_paths.readable(path, tracked=True)]
        return dict(_stated(root, wanted[:MAX_FILES]))
    return dict(itertools.islice(_walk(root), MAX_FILES))


def _stated(root: Path, paths: list[str]) -> Iterator[tuple[str, State]]:
    base = f"{root}/"
    for path in paths:
        try:
            found = os.lstat(base + path)  # ten thousand Path objects cost more than the calls
        except OSError:
            continue
        if stat.S_ISREG(found.st_mode):
            yield path, State(found.st_size, found.st_mtime_ns)


def _walk(root: Path) -> Iterator[tuple[str, State]]:
    folders: list[tuple[str, gitignore.Ignored]] = [("", gitignore.Ignored())]
    while folders:
        folder, rules = folders.pop()
        base = f"{folder}/" if folder else ""
        entries = _entries(f"{root}/{folder}")
        if any(entry.name == _GITIGNORE and entry.is_file(follow_symlinks=False) for entry in entries):
            rules = rules.below(folder, _read(f"{root}/{base}{_GITIGNORE}"))
        for entry in entries:
            path = base + entry.name
            if entry.is_dir(follow_symlinks=False):
                if not secret_paths.skipped_folder(entry.name, top=not folder) and not _left_out(
                    rules, path, folder=True
                ):
                    folders.append((path, rules))
            elif not secret_paths.unwanted(entry.name) and not _left_out(rules, path, folder=False):
                yield from _one(entry, path)


def _left_out(rules: gitignore.Ignored, path: str, *, folder: bool) -> bool:
    return bool(rules.rules) and rules.holds(path, folder=folder)


def _one(entry: os.DirEntry[str], path: str) -> Iterator[tuple[str, State]]:
    try:
        found = entry.stat(follow_symlinks=False)
    except OSError:
        return
    if stat.S_ISREG(found.st_mode):
        yield path, State(found.st_size, found.st_mtime_ns)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return [entry for entry in found if safe_paths.sayable(entry.name)]
    except OSError:
        return []


def _read(path: str) -> str:
    try:
        handle = os.open(path, safe_paths.READ)
        with os.fdopen(handle, "rb") as file:
            return file.read(_GITIGNORE_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
