"""One name for each file, whichever way one came to it: through a link, or in another working tree of its repository.

A working tree that `git worktree add` has made holds the same files as the main one. Here a file of it has the name
that it would have there. Nothing is asked of git: two small files say where the main one is.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from dispatch_mcp.process import safe_paths

_MOST: Final = 4_096
"""Bytes of the files by which git tells where a working tree belongs."""


def common_place(root: Path, pattern: str = "") -> str:
    """Returns the absolute path of what a path or glob below `root` really names, as in the repository's main tree."""
    place = safe_paths.real_place(root, pattern)
    for folder in (Path(place), *Path(place).parents):
        link = folder / ".git"
        if safe_paths.is_file(link):
            main = _main_tree(folder, link)
            return f"{main}{place[len(folder.as_posix()) :]}" if main else place
        if os.path.lexists(link):
            break
    return place


def repository_top(root: Path) -> Path | None:
    """Returns the real folder around `root` in which a repository's working tree begins; None for none."""
    place = Path(os.path.realpath(root))
    return next((folder for folder in (place, *place.parents) if os.path.lexists(folder / ".git")), None)


def _main_tree(folder: Path, link: Path) -> str:
    """Returns where the main working tree of a linked one is, or its repository if that has none; "" for another."""
    word, _, own = _text(link).partition(":")
    if word != "gitdir" or not own.strip():
        return ""
    git_dir = folder / own.strip()
    common = _text(git_dir / "commondir").strip()
    if not common:
        return ""  # a submodule, or a tree whose repository lies elsewhere
    repository = Path(os.path.realpath(git_dir / common))
    return (repository.parent if repository.name == ".git" else repository).as_posix()


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_MOST).decode("utf-8", "replace")
    except OSError:
        return ""
