"""The tables of an index: what they hold of files and past commits, and how that is written.

A file's words stay in the tables of words when it goes, and are found no more; an index that holds too many of those is
emptied.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from importlib import resources
from typing import Final, NamedTuple

from dispatch_mcp.context import chunks, context_query, file_listing, git_log, import_graph
from dispatch_mcp.text import languages

VERSION: Final = 2
"""Raised with every change of the schema, or of what is written into it."""
_WASTE: Final = 0.4
"""Dead parts in the word tables for one alive, from which on the index is built anew."""
_SPARE: Final = 2_000
"""Dead parts that a small index may have, whatever their share."""
_HELD = 16 << 20
"""Bytes of words that are held before they are written: few segments make building and asking cheaper."""
_LEAF = re.compile(r"[.:#]")


class IndexProgress(NamedTuple):
    """How far an index is: of so many `files` of the workspace so many are `rest` to read."""

    files: int
    rest: int


class Differences(NamedTuple):
    """What an index lacks: paths to read, the ids of older versions of them, and those of files that are no more."""

    stale: list[str]
    older: dict[str, int]
    removals: list[int]

    def __bool__(self) -> bool:
        return bool(self.stale or self.removals)


@contextmanager
def writing(db: sqlite3.Connection) -> Generator[None]:
    """Carries the block out as one transaction."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def create(db: sqlite3.Connection) -> None:
    """Gives an empty database the tables of an index."""
    with writing(db):
        for statement in resources.files("dispatch_mcp.context").joinpath("schema.sql").read_text("utf-8").split(";\n"):
            if statement.strip():
                db.execute(statement)
        for table in ("code", "prose"):
            db.execute(f"INSERT INTO {table} ({table}, rank) VALUES ('automerge', 0)")  # noqa: S608  # two names
            db.execute(f"INSERT INTO {table} ({table}, rank) VALUES ('crisismerge', 64)")  # noqa: S608
            db.execute(f"INSERT INTO {table} ({table}, rank) VALUES ('hashsize', {_HELD})")  # noqa: S608
        put(db, "generation", int.from_bytes(os.urandom(5)))
        db.execute(f"PRAGMA user_version = {VERSION}")


def differences(db: sqlite3.Connection, states: Mapping[str, file_listing.State]) -> Differences:
    """Returns what an index lacks of these files; the paths to read in order."""
    rows = db.execute("SELECT path, size, mtime_ns, id FROM files").fetchall()
    old_states = {path: (size, mtime) for path, size, mtime, _ in rows}
    if old_states == states:
        return Differences([], {}, [])
    stale = sorted(path for path, state in states.items() if old_states.get(path) != state)
    again = set(stale)
    older = {path: file for path, _, _, file in rows if path in again}
    return Differences(stale, older, [file for path, _, _, file in rows if path not in states])


def progress(db: sqlite3.Connection) -> IndexProgress:
    """Returns how far the index is."""
    return IndexProgress(int(meta(db, "files")), int(meta(db, "rest")))


def kept(db: sqlite3.Connection) -> int:
    """Returns how many files the index has."""
    return int(db.execute("SELECT count(*) FROM files").fetchone()[0])


def id_of(db: sqlite3.Connection, path: str) -> int:
    """Returns the number under which a file is kept, 0 if it is not."""
    row = db.execute("SELECT id FROM files WHERE path = ?", (path,)).fetchone()
    return int(row[0]) if row else 0


def forget(db: sqlite3.Connection, files: Sequence[int]) -> None:
    """Deletes files with their chunks; their words stay until the index is built anew, and are found no more."""
    rows = [(file,) for file in files]
    dead = sum(db.execute("SELECT count(*) FROM chunks WHERE file = ?", row).fetchone()[0] for row in rows)
    db.executemany("DELETE FROM chunks WHERE file = ?", rows)
    db.executemany("DELETE FROM files WHERE id = ?", rows)
    count(db, "dead", dead)


def store(db: sqlite3.Connection, path: str, state: file_listing.State, text: str) -> None:
    """Keeps a file with its parts and their words."""
    role = languages.role(path)
    names = "\n".join(import_graph.of(text, path)) if text else ""
    cursor = db.execute(
        "INSERT INTO files (path, size, mtime_ns, role, imports) VALUES (?, ?, ?, ?, ?)", (path, *state, role, names)
    )
    file = cursor.lastrowid or 0
    parts = chunks.divide(text, path)
    if not parts:
        return
    first = (db.execute("SELECT max(id) FROM chunks").fetchone()[0] or 0) + 1
    first = max(first, int(meta(db, "next") or 1))
    rows = [
        (at, file, part.kind, part.name, leaf(part.name), part.first, part.last, part.start, part.end)
        for at, part in enumerate(parts, first)
    ]
    db.executemany("INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
    put(db, "next", first + len(parts))
    path_words = context_query.split_names(path)
    for table, is_source in (("code", True), ("prose", False)):
        words = [
            (
                at,
                path_words,
                context_query.split_names(part.name),
                context_query.split_names(text[part.start : part.end]),
            )
            for at, part in enumerate(parts, first)
            if (role == "source" and part.kind != "test") == is_source
        ]
        db.executemany(f"INSERT INTO {table} (rowid, path, name, body) VALUES (?, ?, ?, ?)", words)  # noqa: S608


def leaf(name: str) -> str:
    """Returns the last part of a qualified name in lower case."""
    return _LEAF.split(name)[-1].lower() if name else ""


def remember(db: sqlite3.Connection, commits: Iterable[git_log.Commit]) -> None:
    """Adds commits to the history."""
    for commit in commits:
        cursor = db.execute(
            "INSERT OR IGNORE INTO commits (sha, time, files) VALUES (?, ?, ?)",
            (commit.sha, commit.time, "\n".join(commit.files)),
        )
        if cursor.rowcount:
            words = context_query.split_names(commit.subject)
            db.execute("INSERT INTO subjects (rowid, subject) VALUES (?, ?)", (cursor.lastrowid, words))


def meta(db: sqlite3.Connection, key: str) -> str | int:
    """Returns what is kept under a key, 0 if nothing is."""
    row = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return row[0] if row else 0


def put(db: sqlite3.Connection, key: str, value: str | int) -> None:
    """Keeps a value under a key."""
    db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))


def count(db: sqlite3.Connection, key: str, more: int) -> None:
    """Adds to the number that is kept under a key."""
    put(db, key, int(meta(db, key)) + more)


def generation(db: sqlite3.Connection) -> int:
    """Returns a number that rises with every change of the files."""
    return int(meta(db, "generation"))


def wasted(db: sqlite3.Connection, removals: Sequence[int]) -> bool:
    """Returns whether too many words of the index would belong to parts that are no more."""
    alive = db.execute("SELECT count(*) FROM chunks").fetchone()[0]
    if not alive:
        return False
    files = db.execute("SELECT count(*) FROM files").fetchone()[0]
    dead = int(meta(db, "dead")) + alive * len(removals) // max(1, files)
    return dead > max(_SPARE, _WASTE * alive)


def empty(db: sqlite3.Connection) -> None:
    """Forgets all files."""
    for table in ("chunks", "files"):
        db.execute(f"DELETE FROM {table}")  # noqa: S608  # two names
    for table in ("code", "prose"):
        db.execute(f"INSERT INTO {table} ({table}) VALUES ('delete-all')")  # noqa: S608  # two names
    put(db, "dead", 0)
