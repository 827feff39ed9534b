"""What `doctor` says about the store. Reads only: it neither makes, migrates nor mends anything."""

from __future__ import annotations

import contextlib
import os
import shlex
import sqlite3
import stat
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeVar

from dispatch_mcp import errors
from dispatch_mcp.next_steps import NextStep
from dispatch_mcp.process import lock_holders, private_files
from dispatch_mcp.store import owner_locks, sqlite, whereabouts

T = TypeVar("T")

FOLDER: Final = "state folder"
_ANOTHER_FOLDER: Final = "Set DISPATCH_MCP_HOME to a folder that can be written, or make this one writable."
_MAKE_SPACE: Final = "Make space there, or set DISPATCH_MCP_HOME to a folder on another disk."
FIXED = (3, 51, 3)
"""The first SQLite without the WAL-reset bug, which 3.7.0 brought (sqlite.org/wal.html)."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of a check-up; `hint` says what to do when `status` is not "ok"."""

    name: str
    status: Literal["ok", "warn", "bad"]
    detail: str
    hint: str | NextStep = ""


def facts(home: Path) -> list[Fact]:
    """Returns what there is to say about the store in `home`, also when it cannot be opened."""
    lines = [_folder(home), _library()]
    if not (home / sqlite.FILE).exists():
        return [*lines, Fact("store", "ok", "There is no store yet; the first use makes it.")]
    try:
        with reading(home) as conn:
            lines += [_schema(conn, home), _integrity(conn), _size(home)]
    except (sqlite3.Error, errors.StoreError) as error:
        trouble = sqlite.translate(error, home)
        lines.append(Fact("store", "bad", trouble.message, trouble.hint))
    return [*lines, *_lock(home), _owners(home)]


def open_runs(home: Path) -> frozenset[str]:
    """Returns the runs that are not over. Raises StoreError when the store cannot be read."""
    if not (home / sqlite.FILE).exists():
        return frozenset()
    try:
        with reading(home) as conn:
            return frozenset(str(row[0]) for row in conn.execute("SELECT id FROM run WHERE finished_at IS NULL"))
    except sqlite3.Error as error:
        raise sqlite.translate(error, home) from None


@contextlib.contextmanager
def reading(home: Path) -> Generator[sqlite3.Connection]:
    """Yields a connection to a store that is there, for one look that writes nothing. Raises what SQLite raises."""
    whereabouts.refuse_lost(home)
    with contextlib.closing(sqlite.open_quietly(home)) as conn:
        had_record = whereabouts.has_record(home)
        header = sqlite.read_header(conn.execute(sqlite.HEADER).fetchone(), home)
        sqlite.refuse_emptied(header, home, had_record=had_record)
        yield conn


def look(home: Path, read: Callable[[sqlite3.Connection], T]) -> T:
    """Returns what `read` makes of a store that is there, at one look. Raises StoreError."""
    try:
        with reading(home) as conn:
            return read(conn)
    except sqlite3.Error as error:
        raise sqlite.translate(error, home) from error


def _library() -> Fact:
    """Returns the version; older ones than `FIXED` are no worse, because the store's write lock avoids their bug."""
    is_fixed = sqlite3.sqlite_version_info >= FIXED
    return Fact("sqlite", "ok", f"SQLite {sqlite3.sqlite_version}{'' if is_fixed else ', used behind our write lock'}")


def _folder(home: Path) -> Fact:
    """Returns what is to be said first about the folder of the store: whether it can be used comes before its mode."""
    obstacle = private_files.obstacle(home)
    if obstacle:
        verb = "written" if home.is_dir() else "made"
        return Fact(FOLDER, "bad", f"{home} cannot be {verb}: {obstacle}", _ANOTHER_FOLDER)
    if not home.exists():
        return Fact(FOLDER, "ok", f"{home} (will be made on first use)")
    if whereabouts.is_full(home):
        return Fact(FOLDER, "bad", f"{home} cannot be written: its disk is full", _MAKE_SPACE)
    mode = stat.S_IMODE(home.stat().st_mode)
    if os.name == "posix" and mode & 0o077:
        how = f"Make it private: chmod 700 {shlex.quote(str(home))}."
        return Fact(FOLDER, "warn", f"{home} has mode {mode:o}: others may look into it", how)
    return Fact(FOLDER, "ok", str(home))


def _schema(conn: sqlite3.Connection, home: Path) -> Fact:
    newest = sqlite.newest()
    current = sqlite.check_version(conn, home, newest)
    if current < newest:
        return Fact("schema", "ok", f"Schema {current}; the next use brings it to {newest}.")
    return Fact("schema", "ok", f"Schema {current}.")


def _integrity(conn: sqlite3.Connection) -> Fact:
    try:
        lines = [str(row[0]) for row in conn.execute("PRAGMA integrity_check(5)") if row[0] != "ok"]
        lines += [f"row {row[1]} of {row[0]} refers to nothing" for row in conn.execute("PRAGMA foreign_key_check")]
    except sqlite3.DatabaseError as error:
        lines = [str(error)]
    if not lines:
        return Fact("integrity", "ok", "Every page and every reference is as it should be.")
    hint = "Keep the file, and set DISPATCH_MCP_HOME to another folder to go on."
    return Fact("integrity", "bad", "; ".join(lines[:5]), hint)


def _size(home: Path) -> Fact:
    size = (home / sqlite.FILE).stat().st_size
    return Fact("size", "ok", f"{size:,} bytes, and {sqlite.wal_size(home):,} in the log.")


def _lock(home: Path) -> list[Fact]:
    pid = lock_holders.of(home / owner_locks.LOCK)
    if not pid or not lock_holders.is_stopped(pid):
        return []
    detail = f"The write lock is kept by {lock_holders.describe(pid)}: nobody can write."
    return [Fact("write lock", "bad", detail, "Let that process go on, or end it.")]


def _owners(home: Path) -> Fact:
    stale = len(owner_locks.stale_owners(home))
    if stale:
        return Fact(
            "owners",
            "ok",
            f"{stale} process{'' if stale == 1 else 'es'} died while driving runs; the next start tidies up.",
        )
    return Fact("owners", "ok", "No process died while it drove runs.")
