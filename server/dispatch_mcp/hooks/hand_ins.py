"""Events of a session without a server that only a dispatcher can take: kept on the disk until one has taken them.

A hook must be over before its session notices it, and what judges a result takes a second to load. So the event is kept
whole, a process of its own is started that takes it, and the session goes on. Should that process die, the next server
of the workspace takes it. Only the standard library is imported.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from dispatch_mcp.hooks import hook_events
from dispatch_mcp.process import file_lock, private_files
from dispatch_mcp.text import escape, json_types

FOLDER: Final = f"{hook_events.FOLDER}/hand-ins"
"""Where they stand below the state directory, those of each workspace in a folder of its own."""

ENDING: Final = ".json"
MOST: Final = 1_000
"""Events that are kept of a workspace; with more waiting nothing takes them, and a hook loads what it needs itself."""

UNTAKEN: Final = ".failed"
"""The ending of what could not be taken; it stays for people to look at."""

MOST_UNTAKEN: Final = 100
"""Events of a workspace that could not be taken and stay, the newest."""

DENIAL: Final = "Denial"
"""The name of a kept event that is none of the host's: a call that a ceiling did not bear has been denied."""

IS_POSSIBLE: Final = hasattr(os, "fork")
"""Whether processes can be started here that go on when a hook has ended."""

Question = Mapping[str, json_types.Json]


class HandIns(NamedTuple):
    """What is kept of the events of a workspace, below the state directory `home`."""

    home: str
    workspace: str

    @property
    def folder(self) -> Path:
        """Where they stand."""
        return Path(self.home, FOLDER, _digits(self.workspace))

    def keep(self, key: str, question: Question) -> bool:
        """Keeps an event under a key, the first of that key only; returns False where too many wait.

        It is on the disk when this returns. Raises OSError.
        """
        if self.has(key):
            return True
        if len(self.waiting()) >= MOST:
            return False
        private_files.write(self._file(key), json.dumps(question))
        return True

    def has(self, key: str) -> bool:
        """Returns whether an event is kept under that key."""
        return self._file(key).exists()

    def waiting(self) -> list[Path]:
        """Returns the files of what is kept, the oldest first."""
        try:
            files = [Path(entry.path) for entry in os.scandir(self.folder) if entry.name.endswith(ENDING)]
        except FileNotFoundError:
            return []
        ages: dict[Path, int] = {}
        for file in files:
            with contextlib.suppress(FileNotFoundError):  # somebody has just taken it
                ages[file] = file.stat().st_mtime_ns
        return sorted(ages, key=lambda file: (ages[file], file.name))

    @contextlib.contextmanager
    def turn(self, *, waits: bool) -> Generator[bool]:
        """Yields whether nobody else takes what is kept here meanwhile; with `waits` once that is so.

        Raises OSError.
        """
        fd = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            yield file_lock.lock(fd, wait=waits)
        finally:
            os.close(fd)

    def _file(self, key: str) -> Path:
        return self.folder / f"{_digits(key)}{ENDING}"


def read(file: Path) -> Question:
    """Returns a kept event. Raises OSError, or ValueError for what is none."""
    question: json_types.Json = json.loads(file.read_bytes())
    if not json_types.is_object(question):
        raise ValueError(f"{file.name} holds no event")
    return question


def leftovers(home: Path, before: float) -> list[Path]:
    """Returns what is kept of any workspace since a time in Unix seconds and still waits, and what nobody could take.

    The oldest come first.
    """
    files = [path for path in (home / FOLDER).glob("*/*") if path.suffix in (ENDING, UNTAKEN)]
    ages = {file: age for file in files if (age := _age(file)) < before or file.suffix == UNTAKEN}
    return sorted(ages, key=lambda file: (ages[file], file.name))


def title(file: Path) -> str:
    """Returns which event a file keeps, in a few words."""
    try:
        question = read(file)
    except (OSError, ValueError):
        return "something unreadable"
    event = question.get("event")
    session = hook_events.text(event, "session_id") if json_types.is_object(event) else ""
    return f"{escape.one_line(str(question.get('name')), limit=30)} of session {escape.one_line(session, limit=40)!r}"


def _age(file: Path) -> float:
    """Returns when a file was written, in Unix seconds; never for one that has just gone."""
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return float("inf")


def put_aside(file: Path) -> None:
    """Keeps an event that could not be taken for people to look at, but the oldest of too many. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):  # somebody has removed it meanwhile
        file.replace(file.with_suffix(UNTAKEN))
    files = sorted(file.parent.glob(f"*{UNTAKEN}"), key=lambda path: (path.stat().st_mtime_ns, path.name))
    for old in files[:-MOST_UNTAKEN]:
        old.unlink(missing_ok=True)


def start_clerk(argv: Sequence[str], env: Mapping[str, str]) -> None:
    """Starts a program by its absolute path that goes on when this process has ended, without any of its streams.

    Not for processes with threads. A program that cannot be started is not told of: what it should have taken is left.
    Raises OSError where there can be no process.
    """
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    try:
        os.setsid()
        if os.fork() == 0:
            null = os.open(os.devnull, os.O_RDWR)
            for stream in range(3):
                os.dup2(null, stream)
            os.execve(argv[0], list(argv), dict(env))  # noqa: S606  # no shell
    finally:
        os._exit(0)


def _digits(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]
