"""One index per workspace, shared by processes: which parts its files have, found by words (ADR 0015).

The index is a cache. It lies in the state directory, is written under a lock, and is thrown away and built anew when
it is damaged, of another version, or holds too much that is gone.
"""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import resources
from pathlib import Path
from typing import Final, NamedTuple, Protocol, Self

from dispatch_mcp import errors
from dispatch_mcp.context import (
    chunks,
    context_query,
    file_listing,
    git_log,
    import_graph,
    safe_read,
)
from dispatch_mcp.process import file_lock, safe_paths
from dispatch_mcp.text import languages, secret_paths

VERSION: Final = 1
"""Raised with every change of the schema, or of what is written into it."""
_WASTE: Final = 0.4
"""Dead parts in the word tables for one alive, from which on the index is built anew."""
_SPARE: Final = 2_000
"""Dead parts that a small index may have, whatever their share."""
_BUSY_MS = 10_000
"""Milliseconds that SQLite waits for another process; the lock beside the index makes that rare."""
_HELD = 16 << 20
"""Bytes of words that are held before they are written: few segments make building and asking cheaper."""
_HINT = "Check the space and the rights of the state directory."
_LEAF = re.compile(r"[.:#]")


class Damaged(errors.DispatchError):
    """The index of the workspace can be neither read nor built anew."""


class Refreshed(NamedTuple):
    """What a refresh did: `files` of the workspace, how many were `read`, and entries that were gone or out of date."""

    files: int
    read: int
    removals: int


_PLACE = ".place"


def place(state_dir: Path, workspace: Path) -> Path:
    """Returns the file of a workspace's index below the state directory."""
    real = os.path.realpath(workspace)
    name = re.sub(r"[^A-Za-z0-9._-]", "-", Path(real).name)[:40] or "root"
    return state_dir / "context" / f"{name}-{hashlib.sha256(os.fsencode(real)).hexdigest()[:16]}.db"


class Readable(Protocol):
    """What a search reads: an open workspace, and the tables of an index of it."""

    @property
    def root(self) -> safe_read.Root:
        """The workspace."""
        ...

    @property
    def db(self) -> sqlite3.Connection:
        """The tables. Raises Damaged."""
        ...


class Index:
    """The index of one workspace for one thread. Close it, or use it as a context."""

    def __init__(self, state_dir: Path, workspace: Path) -> None:
        """Opens the index, which is empty at first.

        Raises:
            Refused: the workspace is no folder.
            Damaged: the state directory cannot be written.
        """
        self.root = safe_read.Root(workspace)
        self.path = place(state_dir, self.root.path)
        try:
            with _trouble():
                _make_private(self.path.parent)
                _remember_place(self.path, self.root.path)
        except Damaged:
            self.root.close()
            raise
        self._lock = file_lock.FileLock(self.path.with_suffix(".lock"))
        self._db: sqlite3.Connection | None = None
        self._file = (0, 0)

    def close(self) -> None:
        """Closes the files."""
        self._drop()
        self.root.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def db(self) -> sqlite3.Connection:
        """The open database; its schema is there. Raises Damaged."""
        if self._db is None:
            with _trouble(), self._lock:
                self._db = _opened(self.path)
                self._file = _identity(self.path)
        return self._db

    def refresh(self) -> Refreshed:
        """Brings the index up to date with the files and the history; builds it anew when it is damaged."""
        states = file_listing.scan(self.root.path)
        if self._db is not None and _identity(self.path) != self._file:
            self._drop()
        try:
            return self._refresh(states)
        except Damaged:
            self.discard()
            return self._refresh(states)

    @contextmanager
    def snapshot(self) -> Generator[None]:
        """Lets everything that is read in this block come from one moment, whatever others write. Raises Damaged."""
        db = self.db
        with _trouble():
            db.execute("BEGIN")
            try:
                yield
            finally:
                if db.in_transaction:
                    db.execute("COMMIT")

    def discard(self) -> None:
        """Deletes the index's file."""
        with self._lock:
            self._drop()
            for end in ("", "-wal", "-shm", "-journal"):
                with suppress(OSError):
                    Path(f"{self.path}{end}").unlink(missing_ok=True)

    def _drop(self) -> None:
        if self._db is not None:
            with suppress(sqlite3.Error):
                self._db.close()
            self._db = None

    def _refresh(self, states: Mapping[str, file_listing.State]) -> Refreshed:
        db = self.db
        with _trouble():
            stale, removals = _differences(db, states)
            if stale or removals:
                with self._lock:
                    with _writing(db):
                        stale, removals = _differences(db, states)
                        if _wasted(db, removals):
                            _empty(db)
                            stale, removals = _differences(db, states)
                        self._apply(db, states, stale, removals)
                    db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            self._history(db)
        return Refreshed(len(states), len(stale), len(removals))

    def _apply(
        self,
        db: sqlite3.Connection,
        states: Mapping[str, file_listing.State],
        stale: Sequence[str],
        removals: Sequence[int],
    ) -> None:
        _forget(db, removals)
        for path in stale:
            state, text = self._text(path, states[path])
            _store(db, path, state, text)
        _count(db, "generation", 1)

    def _text(self, path: str, before: file_listing.State) -> tuple[file_listing.State, str]:
        """Returns a file's text and the state it was read in; empty for what is not worth indexing."""
        if before.size > safe_read.MAX_BYTES:
            return before, ""
        try:
            content = self.root.read(path)
        except safe_paths.Refused:
            return before, ""
        state = file_listing.State(content.size, content.mtime_ns)
        if b"\0" in content.data:
            return state, ""
        text = content.text
        return state, "" if secret_paths.machine_made(text) else text

    def _history(self, db: sqlite3.Connection) -> None:
        if not git_log.belongs_to(self.root.path):
            return
        last_head = _meta(db, "head")
        head = git_log.head(self.root.path)
        if not head or head == last_head:
            return
        commits = git_log.commits(self.root.path, str(last_head)) if last_head else None
        fresh = commits is None or len(commits) >= git_log.MAX_COMMITS
        if fresh:
            commits = git_log.commits(self.root.path)
        with self._lock, _writing(db):
            if fresh:
                db.execute("DELETE FROM commits")
                db.execute("INSERT INTO subjects (subjects) VALUES ('delete-all')")
            remember(db, commits or ())
            _set(db, "head", head)


@contextmanager
def _trouble() -> Generator[None]:
    try:
        yield
    except (sqlite3.DatabaseError, OSError) as error:
        raise Damaged(f"The index of the workspace cannot serve: {error}.", hint=_HINT) from error


@contextmanager
def _writing(db: sqlite3.Connection) -> Generator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def _opened(path: Path) -> sqlite3.Connection:
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    os.close(handle)
    db = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_MS / 1000, check_same_thread=False)
    try:
        _prepare(db)
    except BaseException:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = OFF")
    db.execute("PRAGMA wal_autocheckpoint = 0")
    db.execute("PRAGMA cache_size = -32000")
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version not in {0, VERSION}:
        raise sqlite3.DatabaseError(f"the index is of version {version}")
    if version == 0:
        create(db)


def create(db: sqlite3.Connection) -> None:
    """Gives an empty database the tables of an index."""
    with _writing(db):
        for statement in resources.files("dispatch_mcp.context").joinpath("schema.sql").read_text("utf-8").split(";\n"):
            if statement.strip():
                db.execute(statement)
        for table in ("code", "prose"):
            db.execute(f"INSERT INTO {table} ({table}, rank) VALUES ('automerge', 0)")  # noqa: S608  # two names
            db.execute(f"INSERT INTO {table} ({table}, rank) VALUES ('crisismerge', 64)")  # noqa: S608
            db.execute(f"INSERT INTO {table} ({table}, rank) VALUES ('hashsize', {_HELD})")  # noqa: S608
        _set(db, "generation", int.from_bytes(os.urandom(5)))
        db.execute(f"PRAGMA user_version = {VERSION}")


def _differences(db: sqlite3.Connection, states: Mapping[str, file_listing.State]) -> tuple[list[str], list[int]]:
    """Returns the paths to read, in order, and the ids of files that are gone or to be read again."""
    rows = db.execute("SELECT path, size, mtime_ns, id FROM files").fetchall()
    old_states = {path: (size, mtime) for path, size, mtime, _ in rows}
    if old_states == states:
        return [], []
    stale = sorted(path for path, state in states.items() if old_states.get(path) != state)
    again = set(stale)
    return stale, [file for path, _, _, file in rows if path in again or path not in states]


def _forget(db: sqlite3.Connection, files: Sequence[int]) -> None:
    """Deletes files with their chunks; their words stay until the index is built anew, and are found no more."""
    rows = [(file,) for file in files]
    dead = sum(db.execute("SELECT count(*) FROM chunks WHERE file = ?", row).fetchone()[0] for row in rows)
    db.executemany("DELETE FROM chunks WHERE file = ?", rows)
    db.executemany("DELETE FROM files WHERE id = ?", rows)
    _count(db, "dead", dead)


def _store(db: sqlite3.Connection, path: str, state: file_listing.State, text: str) -> None:
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
    first = max(first, int(_meta(db, "next") or 1))
    rows = [
        (at, file, part.kind, part.name, leaf(part.name), part.first, part.last, part.start, part.end)
        for at, part in enumerate(parts, first)
    ]
    db.executemany("INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
    _set(db, "next", first + len(parts))
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


def _meta(db: sqlite3.Connection, key: str) -> str | int:
    row = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return row[0] if row else 0


def _set(db: sqlite3.Connection, key: str, value: str | int) -> None:
    db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))


def _count(db: sqlite3.Connection, key: str, more: int) -> None:
    _set(db, key, int(_meta(db, key)) + more)


def generation(db: sqlite3.Connection) -> int:
    """Returns a number that rises with every change of the files."""
    return int(_meta(db, "generation"))


def _wasted(db: sqlite3.Connection, removals: Sequence[int]) -> bool:
    """Returns whether too many words of the index would belong to parts that are no more."""
    alive = db.execute("SELECT count(*) FROM chunks").fetchone()[0]
    if not alive:
        return False
    files = db.execute("SELECT count(*) FROM files").fetchone()[0]
    dead = int(_meta(db, "dead")) + alive * len(removals) // max(1, files)
    return dead > max(_SPARE, _WASTE * alive)


def _empty(db: sqlite3.Connection) -> None:
    for table in ("chunks", "files"):
        db.execute(f"DELETE FROM {table}")  # noqa: S608  # two names
    for table in ("code", "prose"):
        db.execute(f"INSERT INTO {table} ({table}) VALUES ('delete-all')")  # noqa: S608  # two names
    _set(db, "dead", 0)


def _identity(path: Path) -> tuple[int, int]:
    """Returns what tells a file from one that has taken its place."""
    try:
        status = path.stat()
    except OSError:
        return (0, 0)
    return (status.st_dev, status.st_ino)


def _make_private(folder: Path) -> None:
    """Creates a folder and what is missing above it, for nobody but the user: `parents=True` would not."""
    for parent in reversed([folder, *folder.parents]):
        if not parent.exists():
            parent.mkdir(mode=0o700, exist_ok=True)


def _remember_place(path: Path, workspace: Path) -> None:
    """Writes beside an index which workspace it is of; a new one takes the place of those whose workspace is gone.

    Attempts that change files work in worktrees, which come and go.
    """
    note = path.with_suffix(_PLACE)
    if note.exists():
        return
    with suppress(OSError):
        for old in path.parent.glob(f"*{_PLACE}"):
            if not Path(os.fsdecode(old.read_bytes())).is_dir():
                for end in (".db", ".db-wal", ".db-shm", ".db-journal", ".lock", _PLACE):
                    old.with_suffix(end).unlink(missing_ok=True)
        handle = os.open(note, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(os.fsencode(workspace))
