"""Whether a dispatcher has started this process: then a program of a run asks, and no person.

A terminal is no sign against it, since a program can open one. What a program can do all the same, as it has the rights
of its user, is said in SECURITY.md.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from dispatch_mcp.process import child_environment, file_lock, lock_holders

MOST_ANCESTORS: Final = 64
"""Processes above this one that are looked at."""

DRIVES: Final = frozenset({"serve", "worker", "run", "review", "demo"})
"""Commands that start programs of tasks."""

_PROGRAMS: Final = frozenset({"dispatch-mcp", "dispatch_mcp"})
_PS: Final = ("ps", "-axo", "pid=,ppid=,args=")
_PS_S: Final = 10.0
_PROC: Final = Path("/proc")
_OF_DISPATCHERS: Final = re.compile(r"(?:state\.db[^/]{0,20}|owners/[^/]{1,200}\.lock)(?: \(deleted\))?")
"""The files in a state folder that only dispatchers keep open; a folder of links may have them all in one."""


def sign_of_dispatcher(environment: Mapping[str, str], home: Path) -> str:
    """Returns what shows that a dispatcher has started this process, an empty string if nothing does.

    That is the depth that its children inherit, or, as that can be unset, a process above this one that has the
    database of `home` or an owner's lock open, under whatever name; its other files are for a person to edit. Where the
    system does not tell which are open, its command line has to do. Where a process drives runs of `home` and cannot be
    seen at all, it may stand above this one.
    """
    depth = environment.get(child_environment.DEPTH, "").strip()
    if depth.strip("0"):
        return f"{child_environment.DEPTH} is {depth[:20]!r}"
    pid = _by_files(home) if (_PROC / "self" / "fd").is_dir() else among(_listing(), os.getppid())
    if pid:
        return f"process {pid} above it is a dispatcher"
    return "a dispatcher at work on this state cannot be seen from here" if _is_hidden(home) else ""


def _is_hidden(home: Path) -> bool:
    """Returns whether a process that cannot be seen holds an owner's lock, as from a namespace of its own."""
    if sys.platform != "linux":
        return False
    locks = [path for path in _listed(home / "owners") if _is_held(path)]
    holders = {_identity(path) for path in locks if not lock_holders.of(Path(path))} - {None}
    # A layered file system may number a file otherwise than its locks.
    files = (_identity(link) for pid in map(int, filter(str.isdecimal, _names(_PROC))) for link, _ in _open_files(pid))
    return bool(holders) and not holders.issubset(files)


def _names(folder: Path) -> list[str]:
    return [os.path.basename(path) for path in _listed(folder)]  # noqa: PTH119 - names alone


def _is_held(path: str) -> bool:
    with contextlib.suppress(OSError):
        fd = os.open(path, os.O_RDONLY)
        try:
            return not file_lock.lock(fd, wait=False, shared=True)
        finally:
            os.close(fd)
    return False


def _by_files(home: Path) -> int:
    """Returns the process above this one that has a dispatcher's file in a folder open, 0 if none has.

    A folder made of links to the files, or the same one mounted elsewhere, is told by which files they are.
    """
    folder = os.path.join(os.path.realpath(home), "")  # noqa: PTH118 - with a separator at its end
    paths = {path for place in (home, home / "owners") for path in _listed(place)}
    files = {identity for path in paths if _is_of_dispatchers(path) and (identity := _identity(path))}
    # Whoever stands in a namespace of its own may not read which files are open, and is still told who holds a lock.
    holders = {lock_holders.of(Path(path)) for path in _listed(home / "owners")}
    for pid in _ancestors():
        if pid in holders or any(
            (name.startswith(folder) and _OF_DISPATCHERS.fullmatch(name[len(folder) :])) or _identity(link) in files
            for link, name in _open_files(pid)
        ):
            return pid
    return 0


def _is_of_dispatchers(path: str) -> bool:
    """Returns whether a path has a name of the database or of a lock, in whatever folder it is linked."""
    name = os.path.basename(path)  # noqa: PTH119 - a name alone
    return bool(_OF_DISPATCHERS.fullmatch(name) or _OF_DISPATCHERS.fullmatch(f"owners/{name}"))


def _listed(folder: Path) -> list[str]:
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        return [entry.path for entry in entries]
    return []


def _identity(path: str) -> tuple[int, int] | None:
    """Returns which file a path leads to, None for anything but a file."""
    with contextlib.suppress(OSError):
        state = os.stat(path)  # noqa: PTH116 - called for each file that is open
        return (state.st_dev, state.st_ino) if stat.S_ISREG(state.st_mode) else None
    return None


def _ancestors() -> Iterator[int]:
    pid = os.getppid()
    for _ in range(MOST_ANCESTORS):
        if pid <= 1:
            return
        yield pid
        try:
            # `4711 (a name) S 12 …`: the name may hold anything.
            pid = int((_PROC / str(pid) / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            return


def _open_files(pid: int) -> Iterator[tuple[str, str]]:
    """Yields the files that a process has open: the system's link to each, and its name."""
    for link in _listed(_PROC / str(pid) / "fd"):
        with contextlib.suppress(OSError):
            yield link, os.readlink(link)  # noqa: PTH115 - as it is, also of a deleted file


def _listing() -> str:
    """Returns what processes there are; an empty string where the system has no program that lists them."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(  # noqa: S603 - a constant
            _PS, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False, timeout=_PS_S
        ).stdout
    return ""


def among(listing: str, pid: int) -> int:
    """Returns the first dispatcher among a process and those above it, 0 for none; `listing` is what `ps` prints."""
    rows = {int(row[0]): (int(row[1]), row[2]) for line in listing.splitlines() if (row := _row(line))}
    for _ in range(MOST_ANCESTORS):
        parent, words = rows.get(pid, (0, ""))
        if _drives(words.split()):
            return pid
        pid = parent
    return 0


def _row(line: str) -> list[str]:
    row = line.split(None, 2)
    return row if len(row) == 3 and row[0].isdecimal() and row[1].isdecimal() else []


def _drives(words: list[str]) -> bool:
    """Returns whether a command line is one of a dispatcher: its program, also behind an interpreter, and a command."""
    if words and os.path.basename(words[0]).lower().startswith(("python", "pypy")):  # noqa: PTH119 - a word, no path
        words = words[2:] if words[1:2] == ["-m"] and words[2:3] == ["dispatch_mcp"] else words[1:]
    program = os.path.basename(words[0]) if words else ""  # noqa: PTH119
    return program in _PROGRAMS and not DRIVES.isdisjoint(words[1:])
