"""The one way to a file below a folder and nowhere else (promise S4).

A path is checked as text first. Then every folder on the way is opened relative to the one before it and without
following links, so that nobody can swap a folder for a link in between. Where the system has no folder handles
(Windows), the real place of the whole path is compared with its text instead.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Final

from dispatch_mcp import errors
from dispatch_mcp.text import path_globs, secret_paths

LONGEST: Final = 4_096
"""Characters of a path; Linux takes no longer one."""
DEEPEST: Final = 64
"""Folders of a path, each of which is a handle to open."""
READ: Final = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
"""How a file is opened to be read: a link is refused, and a pipe without a writer does not block."""
FOLDER: Final = READ | getattr(os, "O_DIRECTORY", 0)
"""How a folder on the way is opened."""
BY_HANDLE: Final = os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")
"""Whether folders can be opened relative to each other."""

if sys.platform == "win32":
    assert not BY_HANDLE, "Windows has no folder handles; every path is resolved instead"


class Refused(errors.NotAllowed):
    """A path is not followed, or what it leads to is not read or written; the message says why."""


def refusal(path: str, why: str, *, hint: str = "") -> Refused:
    """Returns the error that quotes a path, cut if it is long."""
    head = path if len(path) <= 120 else f"{path[:119]}…"
    return Refused(f"{head!r} {why}.", hint=hint)


def is_file(path: Path) -> bool:
    """Returns whether there is a file; what may not be looked at is none."""
    try:
        return path.is_file()
    except OSError:
        return False


def sayable(name: str) -> bool:
    """Returns whether a name is Unicode text; what is none cannot be written into a plan, a pack or JSON."""
    return name.isascii() or not any("\ud800" <= char <= "\udfff" for char in name)


_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NO_NAMES = frozenset({"", ".", ".."})


def parts(path: str, folder: str, *, hint: str = "") -> tuple[str, ...]:
    """Returns the components of a relative path; `folder` is what the message calls where it has to stay.

    Raises:
        Refused: it is absolute, climbs, is no plain path, or is on the deny list of `text.secret_paths`.
    """
    if not path or len(path) > LONGEST or _CONTROL.search(path):
        raise refusal(path, "is no path of a file", hint=hint)
    if path.startswith(("/", "\\", "~")) or path[1:2] == ":" or "\\" in path:
        raise refusal(path, f"is not relative to the {folder}", hint=hint)
    names = tuple(path.split("/"))
    if len(names) > DEEPEST or not _NO_NAMES.isdisjoint(names):
        raise refusal(path, f"does not stay below the {folder}", hint=hint)
    if not sayable(path):
        raise refusal(path, "is no Unicode text", hint=hint)
    if secret_paths.secret(path):
        raise refusal(path, "may hold secrets", hint=hint)
    return names


def descend(root: int, folders: Sequence[str], *, make: bool = False) -> int:
    """Returns a handle of a folder below the open folder `root`, which stays open; with `make` folders are made.

    Raises:
        OSError: a folder is not there, is none, or is a link.
    """
    here = os.dup(root)
    for name in folders:
        try:
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, 0o755, dir_fd=here)
            below = os.open(name, FOLDER, dir_fd=here)
        finally:
            os.close(here)
        here = below
    return here


def holds(root: Path, path: str) -> bool:
    """Returns whether the real place of `path`, links followed, is the folder `root` or below it."""
    return Path(os.path.realpath(root / path)).is_relative_to(os.path.realpath(root))


def links_to(root: Path, names: Iterable[str], targets: Collection[str]) -> list[str]:
    """Returns those names below `root` that are links to one of the targets, which are names below it too."""
    links = [name for name in names if (root / name).is_symlink()]
    places = {real_place(root, target) for target in targets} if links else set[str]()
    return [name for name in links if real_place(root, name) in places]


def real_place(root: Path, pattern: str) -> str:
    """Returns the absolute path that a path below `root` really has, links followed; of a glob, from where it starts.

    Two paths are one file when these are the same.
    """
    wild = path_globs.WILD.search(pattern)
    stem = pattern[: wild.start()].rpartition("/")[0] if wild else pattern
    place = Path(os.path.realpath(root / stem)).as_posix()
    rest = pattern[len(stem) :].strip("/")
    return f"{place.rstrip('/')}/{rest}" if rest else place
