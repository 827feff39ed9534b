"""One index per workspace, shared by processes: which parts its files have, found by words (ADR 0015).

The index is a cache. It lies in the state directory, is written under a lock, and is thrown away and built anew when
it is damaged, of another version, or holds too much that is gone.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import sqlite3
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, Protocol, Self

from dispatch_mcp import errors
from dispatch_mcp.context import (
    file_listing,
    git_log,
    safe_read,
)
from dispatch_mcp.context.indexing import index_files, index_tables, reading_order
from dispatch_mcp.process import file_lock, private_files, safe_paths
from dispatch_mcp.text import secret_paths

_BUSY_MS = 10_000
"""Milliseconds that SQLite waits for another process; the lock beside the index makes that rare."""
_TURN_S = 0.1
"""Seconds between looks at how far another process is that reads the same workspace."""
_HINT = "Check the space and the rights of the state folder."


class Damaged(errors.DispatchError):
    """The index of the workspace can be neither read nor built anew."""


class Refreshed(NamedTuple):
    """What a refresh did: `files` of the workspace, how many were `read`, and entries that were gone or out of date.

    `rest` are files that are still to be read, as a bound was met.
    """

    files: int
    read: int
    removals: int
    rest: int = 0


Choice = Callable[[sqlite3.Connection, Mapping[str, file_listing.State]], Sequence[str]]
"""Chooses some of the files of a workspace, by what is known of it already."""

Tell = Callable[[index_tables.IndexProgress], None]
"""Is told after each portion how far the index is."""


def _nobody(_progress: index_tables.IndexProgress) -> None:
    """Tells nobody."""


def place(state_dir: Path, workspace: Path) -> Path:
    """Returns the file of a workspace's index below the state directory."""
    real = os.path.realpath(workspace)
    name = re.sub(r"[^A-Za-z0-9._-]", "-", Path(real).name)[:40] or "root"
    return state_dir / index_files.FOLDER / f"{name}-{hashlib.sha256(os.fsencode(real)).hexdigest()[:16]}.db"


class IndexStatus(NamedTuple):
    """How far an index is, and its size in bytes with what belongs to it."""

    progress: index_tables.IndexProgress
    size: int


def standing(state_dir: Path, workspace: Path) -> IndexStatus | None:
    """Returns how the index of a workspace stands; None if none can be read. Makes and changes nothing."""
    path = place(state_dir, workspace)
    if not path.is_file():
        return None
    with suppress(sqlite3.Error, OSError):
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
            progress = index_tables.progress(db)
        return IndexStatus(progress, sum(part.stat().st_size for part in path.parent.glob(f"{path.name}*")))
    return None


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


class FileIndex:
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
                private_files.make_folder(self.path.parent)
                index_files.remember(self.path, self.root.path)
        except Damaged:
            self.root.close()
            raise
        self._lock = file_lock.FileLock(self.path.with_suffix(index_files.LOCK))
        self._turn = file_lock.FileLock(self.path.with_suffix(index_files.TURN))
        self._first = file_lock.FileLock(self.path.with_suffix(index_files.FIRST))
        self._db: sqlite3.Connection | None = None
        self._file = (0, 0)
        self._listed: tuple[float, Mapping[str, file_listing.State]] = (-math.inf, {})
        self._complete: tuple[int, Mapping[str, file_listing.State]] = (-1, {})

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
            with _trouble():
                if not self.path.exists():
                    with self._lock:  # of several processes one makes the tables
                        _opened(self.path).close()
                self._db = _opened(self.path)
                self._file = _identity(self.path)
        return self._db

    def refresh(self, bounds: reading_order.Bounds = reading_order.Bounds(), tell: Tell = _nobody) -> Refreshed:
        """Brings the index up to date with the files and the history; builds it anew when it is damaged.

        Files are read in portions, the likeliest first, and each portion is kept: whoever goes on after an end by force
        begins there. Of several processes one reads; the others wait and find little left.
        """
        states = reading_order.bounded(file_listing.scan(self.root.path), bounds)
        self._drop_if_replaced()
        try:
            return self._refresh(states, bounds, tell)
        except Damaged:
            self.discard()
            return self._refresh(states, bounds, tell)

    def progress(self) -> index_tables.IndexProgress:
        """Returns how far the index is. Raises Damaged."""
        with _trouble():
            return index_tables.progress(self.db)

    def update(self, paths: Iterable[str]) -> bool:
        """Reads those of these files again that have changed since they were read; returns whether any has."""
        db, changes = self.db, dict[str, file_listing.State | None]()
        with _trouble():
            for path in paths:
                row = db.execute("SELECT size, mtime_ns FROM files WHERE path = ?", (path,)).fetchone()
                state = file_listing.state(self.root.path, path)
                if row is not None and state != row:
                    changes[path] = state
            if not changes or not self._lock.take():  # who holds it reads the workspace just now
                return False
            try:
                with index_tables.writing(db):
                    index_tables.forget(db, [file for path in changes if (file := index_tables.id_of(db, path))])
                    self._store_all(db, {path: state for path, state in changes.items() if state})
            finally:
                self._lock.give_back()
        return True

    def read_first(self, choose: Choice, since: float = math.inf) -> None:
        """Reads what is chosen of the files while another process reads all of them, which then finds it done.

        A list of the files that was begun here after `since` (monotonic seconds) serves again.

        Raises:
            Damaged: the index cannot be written.
        """
        if self._listed[0] < since:
            self._listed = time.monotonic(), file_listing.scan(self.root.path)
        db, states = self.db, self._listed[1]
        with _trouble():
            paths = [path for path in choose(db, states) if not index_tables.id_of(db, path)]
            if paths:
                with self._first, self._lock, index_tables.writing(db):
                    self._store_all(db, {path: states[path] for path in paths})
                    index_tables.put(db, "files", len(states))
                    index_tables.put(db, "rest", max(0, len(states) - index_tables.kept(db)))

    @contextmanager
    def snapshot(self) -> Generator[None]:
        """Lets everything that is read in this block come from one moment, whatever others write. Raises Damaged."""
        self._drop_if_replaced()
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

    def _drop_if_replaced(self) -> None:
        """Closes the database if another process has put a new one in its place."""
        if self._db is not None and _identity(self.path) != self._file:
            self._drop()

    def _drop(self) -> None:
        if self._db is not None:
            with suppress(sqlite3.Error):
                self._db.close()
            self._db = None

    def _refresh(self, states: Mapping[str, file_listing.State], bounds: reading_order.Bounds, tell: Tell) -> Refreshed:
        db = self.db
        with _trouble():
            if not self._differs(db, states):
                self._history(db)
                return Refreshed(len(states), 0, 0)
            with self._turn_of(db, tell) as has_waited:
                if has_waited:
                    states = reading_order.bounded(file_listing.scan(self.root.path), bounds)
                return self._read_all(db, states, bounds, tell)

    def _differs(self, db: sqlite3.Connection, states: Mapping[str, file_listing.State]) -> bool:
        """Returns whether the index lacks anything of these files; of what was complete it reads no rows again."""
        complete = (index_tables.generation(db), states)
        if complete == self._complete:
            return False
        differs = bool(index_tables.differences(db, states))
        if not differs:
            self._complete = complete
        return differs

    @contextmanager
    def _turn_of(self, db: sqlite3.Connection, tell: Tell) -> Generator[bool]:
        """Waits until no other process reads the workspace; yields whether one did."""
        has_waited = False
        while not self._turn.take():
            has_waited = True
            tell(index_tables.progress(db))
            time.sleep(_TURN_S)
        try:
            yield has_waited
        finally:
            self._turn.give_back()

    def _read_all(
        self, db: sqlite3.Connection, states: Mapping[str, file_listing.State], bounds: reading_order.Bounds, tell: Tell
    ) -> Refreshed:
        """Reads what differs, in portions, until all is read or the time is up."""
        until = time.monotonic() + bounds.seconds
        changes = self._begun(db, states)
        if len(changes.stale) > reading_order.PORTION:  # what past commits touched says what is read first
            self._history(db)
        order = self._order(db, changes.stale, states)
        total, rest = len(order), len(order)
        portions = reading_order.portions(order, states)
        portion = next(portions, list[str]())
        while portion:
            with self._first:  # who takes a first look waits for one file, and not for a portion
                pass
            with self._lock, index_tables.writing(db):
                index_tables.forget(db, [changes.older[path] for path in portion if path in changes.older])
                count = self._store_all(db, {path: states[path] for path in portion}, self._is_first_look)
                rest -= count
                index_tables.put(db, "files", len(states))
                index_tables.put(db, "rest", rest)
            db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            tell(index_tables.IndexProgress(len(states), rest))
            if time.monotonic() > until:
                break
            portion = portion[count:] or next(portions, list[str]())
        self._history(db)
        return Refreshed(len(states), total - rest, len(changes.older) + len(changes.removals), rest)

    def _begun(self, db: sqlite3.Connection, states: Mapping[str, file_listing.State]) -> index_tables.Differences:
        """Returns what is to be read, once what is gone is forgotten; of an index that holds too much of that, all."""
        with self._lock, index_tables.writing(db):
            changes = index_tables.differences(db, states)
            removals = [*changes.removals, *changes.older.values()]
            has_waste = index_tables.wasted(db, removals)
            if has_waste:
                index_tables.empty(db)
                changes = index_tables.differences(db, states)
            index_tables.forget(db, changes.removals)
            index_tables.put(db, "files", len(states))
            index_tables.put(db, "rest", len(changes.stale))
            if has_waste or changes.removals:
                index_tables.count(db, "generation", 1)
        return changes

    def _order(
        self, db: sqlite3.Connection, stale: Sequence[str], states: Mapping[str, file_listing.State]
    ) -> Sequence[str]:
        """Returns paths in the order in which they are read: a few as they are, many with the likeliest first."""
        if len(stale) <= reading_order.PORTION:
            return stale
        dirty = git_log.changes(self.root.path) if git_log.belongs_to(self.root.path) else ()
        rows = db.execute("SELECT files FROM commits ORDER BY time DESC LIMIT ?", (reading_order.COMMITS,)).fetchall()
        return reading_order.likeliest_first(stale, states, dirty, [str(row[0]).split("\n") for row in rows])

    def _is_first_look(self) -> bool:
        """Returns whether another process waits to read what a task probably needs."""
        if self._first.take():
            self._first.give_back()
            return False
        return True

    def _store_all(
        self,
        db: sqlite3.Connection,
        states: Mapping[str, file_listing.State],
        ends: Callable[[], bool] = lambda: False,
    ) -> int:
        """Reads files into the index until it `ends`, but for those that it has, as somebody may have read them first.

        Returns how many of them the index has then.
        """
        count = 0
        for path, before in states.items():
            if not index_tables.id_of(db, path):
                state, text = self._text(path, before)
                index_tables.store(db, path, state, text)
            count += 1
            if ends():
                break
        index_tables.count(db, "generation", 1)
        return count

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
        last_head = index_tables.meta(db, "head")
        head = git_log.head(self.root.path)
        if not head or head == last_head:
            return
        commits = git_log.commits(self.root.path, str(last_head)) if last_head else None
        fresh = commits is None or len(commits) >= git_log.MAX_COMMITS
        if fresh:
            commits = git_log.commits(self.root.path)
        with self._lock, index_tables.writing(db):
            if fresh:
                db.execute("DELETE FROM commits")
                db.execute("INSERT INTO subjects (subjects) VALUES ('delete-all')")
            index_tables.remember(db, commits or ())
            index_tables.put(db, "head", head)


@contextmanager
def _trouble() -> Generator[None]:
    try:
        yield
    except (sqlite3.DatabaseError, OSError) as error:
        why = private_files.refusal(error) if isinstance(error, OSError) else error
        raise Damaged(f"The index of the workspace cannot serve: {why}.", hint=_HINT) from error


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
    if version not in {0, index_tables.VERSION}:
        raise sqlite3.DatabaseError(f"the index is of version {version}")
    if version == 0:
        index_tables.create(db)


def _identity(path: Path) -> tuple[int, int]:
    """Returns what tells a file from one that has taken its place."""
    try:
        status = path.stat()
    except OSError:
        return (0, 0)
    return (status.st_dev, status.st_ino)
