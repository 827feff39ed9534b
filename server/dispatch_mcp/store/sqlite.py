"""Opening the store's file: safe settings, numbered migrations, and SQLite's errors in our words."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import re
import shlex
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from dispatch_mcp import errors
from dispatch_mcp.next_steps import NextStep, StepKind
from dispatch_mcp.process import private_files
from dispatch_mcp.store import failpoints, whereabouts

APPLICATION_ID = 0x64_6D_63_70
"""The bytes "dmcp" in the file's header."""

FILE = whereabouts.FILE
BUSY_MS = 5_000
"""Milliseconds that SQLite waits for a lock of a foreign program; ours are kept apart by the mutex."""

LOOKING = (f"busy_timeout = {BUSY_MS}", "query_only = ON", "trusted_schema = OFF")
"""Settings of a connection that only reads."""

OLDEST_SQLITE = (3, 37, 0)
"""The first SQLite with STRICT tables."""

NETWORK = frozenset(
    {
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "fuse.gcsfuse",
        "fuse.glusterfs",
        "fuse.rclone",
        "fuse.s3fs",
        "fuse.sshfs",
        "glusterfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "smb3",
        "smbfs",
    }
)
"""File systems whose locks and shared memory SQLite's write-ahead log cannot rely on."""

_FREE_SPACE = "Free some space there and call again; nothing was half-written."
_MAKE_WRITABLE = "Make that folder writable, or set DISPATCH_MCP_HOME to one that is."
_UNAVAILABLE = {
    sqlite3.SQLITE_FULL: _FREE_SPACE,
    sqlite3.SQLITE_IOERR: "Check that disk, then call again; nothing was half-written.",
    sqlite3.SQLITE_READONLY: _MAKE_WRITABLE,
    sqlite3.SQLITE_CANTOPEN: _MAKE_WRITABLE,
    sqlite3.SQLITE_PERM: _MAKE_WRITABLE,
    sqlite3.SQLITE_NOLFS: "Set DISPATCH_MCP_HOME to a folder on a local disk.",
    sqlite3.SQLITE_PROTOCOL: "Set DISPATCH_MCP_HOME to a folder on a local disk.",
    sqlite3.SQLITE_NOMEM: "Close other programs and call again.",
}
_OF_THE_SYSTEM = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), _FREE_SPACE),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR), _MAKE_WRITABLE),
}
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT}
_KEEP_IT = NextStep(
    StepKind.CHECK_INSTALLATION,
    advice="Keep the file as it is, and set DISPATCH_MCP_HOME to another folder to go on.",
)


def translate(error: Exception, home: Path) -> errors.StoreError:
    """Returns the store's error for one of SQLite or of the operating system; `error` becomes its cause."""
    trouble = _translate(error, home)
    trouble.__cause__ = error
    return trouble


def _translate(error: Exception, home: Path) -> errors.StoreError:
    if isinstance(error, errors.StoreError):
        return error
    path = str(home / FILE)
    if isinstance(error, OSError):
        hint = "Check that the disk has space and that the folder is writable, or set DISPATCH_MCP_HOME to another."
        hint = _OF_THE_SYSTEM.get(error.errno or 0, hint)
        why = private_files.obstacle(home) or private_files.refusal(error)
        return errors.StoreUnavailable(f"The store in {str(home)!r} cannot be used: {why}.", hint=hint)
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the primary code; the rest says more than we act on
    if code in _BUSY:
        return kept_by_a_foreign_program(home)
    if code in _DAMAGED:
        return errors.StoreDamaged(f"{path!r} is not a readable store: {error}.", hint=_KEEP_IT)
    if code in _UNAVAILABLE:
        # SQLite calls it an I/O error where the index of its log cannot grow.
        full = ", its disk is full" if whereabouts.is_full(home) else ""
        hint = _FREE_SPACE if full else _UNAVAILABLE[code]
        return errors.StoreUnavailable(f"The store {path!r} cannot be used{full}: {error}.", hint=hint)
    return errors.StoreError(f"The store {path!r} refused this: {error}.", hint=NextStep(StepKind.CHECK_INSTALLATION))


def is_of_space(trouble: errors.StoreError) -> bool:
    """Returns whether what the store lacks is space on its disk, or in the user's share of that."""
    return trouble.hint == _FREE_SPACE


def kept_by_a_foreign_program(home: Path) -> errors.StoreBusy:
    """Returns the error for a lock of SQLite's that none of our processes has, since the write mutex is ours."""
    path = str(home / FILE)
    look = f"`lsof {shlex.quote(path)}` lists what has it open. " if os.name == "posix" else ""
    return errors.StoreBusy(
        f"Another program, none of dispatch-mcp, holds {path!r}.",
        hint=f"Nothing was written. {look}Let that program finish or close the file, then call again.",
    )


def network_filesystem(path: Path, mountinfo: str) -> str:
    """Returns the type of the network file system that holds `path`, or an empty text.

    `mountinfo` is the text of /proc/self/mountinfo (proc(5)).
    """
    best, kind = "", ""
    for line in mountinfo.splitlines():
        mount, _, source = line.partition(" - ")
        fields = mount.split()
        if len(fields) < 5 or not source:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4])
        if path.is_relative_to(point) and len(point) >= len(best):
            best, kind = point, source.split()[0]
    return kind if kind in NETWORK else ""


def prepare_home(home: Path) -> None:
    """Creates the store's folder so that nobody else can ever look into it.

    Raises:
        StoreUnavailable: the folder cannot be made, or is on a network file system.
    """
    try:
        private_files.make_folder(home)
    except OSError as error:
        raise translate(error, home) from error
    refuse_network(home)


def refuse_network(home: Path) -> None:
    """Raises StoreUnavailable if the folder is on a network file system."""
    with contextlib.suppress(FileNotFoundError):
        table = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape")
        kind = network_filesystem(home.resolve(), table)
        if kind:
            raise errors.StoreUnavailable(
                f"{str(home)!r} is on a network file system ({kind}), where the store's locks do not hold.",
                hint="Set DISPATCH_MCP_HOME to a folder on a local disk.",
            )


def open_writer(home: Path, *, busy_ms: int = BUSY_MS) -> sqlite3.Connection:
    """Returns a connection to an up-to-date store; call it with the write mutex held.

    It waits `busy_ms` milliseconds for locks of foreign programs.

    Raises:
        sqlite3.Error: for `translate`.
        StoreError: the file is not a store, or a newer one, or SQLite is too old.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise errors.StoreUnavailable(
            f"SQLite {sqlite3.sqlite_version} is too old for the store.", hint="Use a Python with SQLite 3.37 or newer."
        )
    whereabouts.refuse_lost(home)
    is_new = not whereabouts.has_record(home)
    # Never open an existing file: closing it would drop SQLite's own POSIX locks on it.
    with contextlib.suppress(FileExistsError):
        os.close(os.open(home / FILE, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        is_new = True
    # Its own thread opens, uses and closes it; the check only gets in the way of a close at interpreter exit.
    conn = sqlite3.connect(home / FILE, isolation_level=None, cached_statements=256, check_same_thread=False)
    try:
        _configure(conn, busy_ms)
        _migrate(conn, home, is_new=is_new)
        # Only now: beside this folder an empty file is no store that is about to be born, but one that was lost.
        (home / whereabouts.RECORD).mkdir(mode=0o700, exist_ok=True)
    except BaseException:
        conn.close()
        raise
    return conn


def _configure(conn: sqlite3.Connection, busy_ms: int) -> None:
    conn.execute(f"PRAGMA busy_timeout = {busy_ms}")
    conn.execute("PRAGMA journal_mode = WAL").fetchone()
    for setting in (
        "synchronous = FULL",  # NORMAL may lose the last commits when the power fails, and those are paid work
        "foreign_keys = ON",
        "recursive_triggers = ON",  # REPLACE would otherwise delete past the triggers
        "wal_autocheckpoint = 0",  # `Writer` moves the log itself, under the mutex
        "temp_store = MEMORY",
        "trusted_schema = OFF",  # a file that somebody has prepared must not run functions by its views or triggers
    ):
        conn.execute(f"PRAGMA {setting}")


def migrations() -> list[str]:
    """Returns the texts of the numbered migrations; number n takes the schema from version n-1 to n."""
    return [file.read_text("utf-8") for file in _migration_files()]


def newest() -> int:
    """Returns the version of the schema that we know."""
    return len(_migration_files())


def _migration_files() -> list[Path]:
    return sorted(Path(__file__).with_name("schema").glob("*.sql"))


def version(conn: sqlite3.Connection) -> int:
    """Returns the version of the file's schema."""
    return int(conn.execute("PRAGMA user_version").fetchone()[0])


HEADER = """SELECT application_id, (SELECT count(*) FROM sqlite_schema), user_version
    FROM pragma_application_id, pragma_user_version"""
"""What says whose database a file is, and of which schema; for `read_header`."""


class Header(NamedTuple):
    """Whose database a file is: our mark, the number of its tables, and the version of its schema."""

    mark: int
    tables: int
    version: int

    @property
    def is_ours(self) -> bool:
        """Whether the file is a store, and not still empty."""
        return self.mark == APPLICATION_ID


def read_header(row: Sequence[float | str | bytes | None], home: Path) -> Header:
    """Returns what a row of `HEADER` says. Raises StoreDamaged for somebody else's database."""
    mark, tables, schema = (int(cell or 0) for cell in row)
    if mark != APPLICATION_ID and (mark or tables):
        raise errors.StoreDamaged(
            f"{str(home / FILE)!r} is another program's database.",
            hint="Set DISPATCH_MCP_HOME to another folder.",
        )
    return Header(mark, tables, schema)


def refuse_emptied(header: Header, home: Path, *, had_record: bool) -> None:
    """Raises StoreDamaged if a database has no tables although there was a store.

    `had_record` is whether the folder showed one before the header was read: a store may be born in between.
    """
    if not header.is_ours and had_record:
        raise whereabouts.lost(home)


def refuse_newer(current: int, home: Path, newest: int) -> None:
    """Raises StoreTooNew if a schema is above `newest`, the one that we know."""
    if current > newest:
        raise errors.StoreTooNew(
            f"The store {str(home / FILE)!r} has schema {current}; this dispatch-mcp knows schemas up to {newest}.",
            hint="Upgrade dispatch-mcp, or set DISPATCH_MCP_HOME to another folder.",
        )


def check_version(conn: sqlite3.Connection, home: Path, newest: int) -> int:
    """Returns the version of the file's schema. Raises StoreTooNew if it is above `newest`, the one we know."""
    current = version(conn)
    refuse_newer(current, home, newest)
    return current


def _migrate(conn: sqlite3.Connection, home: Path, *, is_new: bool) -> None:
    conn.execute("PRAGMA foreign_keys = OFF")  # a table that others refer to can only be made anew without them
    conn.execute("BEGIN IMMEDIATE")
    try:
        # All of it in one transaction: a process that dies in between leaves the file at the version it had, and
        # whoever opens it next does the same steps.
        header = read_header(conn.execute(HEADER).fetchone(), home)
        if not is_new:
            refuse_emptied(header, home, had_record=whereabouts.has_record(home))
        refuse_newer(header.version, home, newest())
        if header.version < newest():
            _run_steps(conn, header.version)
        failpoints.hit("before_migrate")
        conn.execute("COMMIT")
        failpoints.hit("after_migrate")
    except BaseException:
        if conn.in_transaction:
            conn.execute("ROLLBACK")
        raise
    finally:
        conn.execute("PRAGMA foreign_keys = ON")


def in_memory(source: sqlite3.Connection | None = None) -> sqlite3.Connection:
    """Returns a store in memory: an empty one, or `source`, which is an older one, brought up to date."""
    conn = sqlite3.connect(":memory:", isolation_level=None)
    if source is not None:
        source.backup(conn)
    conn.execute("BEGIN")
    _run_steps(conn, version(conn))
    conn.execute("COMMIT")
    return conn


def _run_steps(conn: sqlite3.Connection, current: int) -> None:
    conn.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    for statement in _steps(current):
        conn.execute(statement)
    if conn.execute("PRAGMA foreign_key_check").fetchone() is not None:
        raise sqlite3.IntegrityError("the migration would leave rows that refer to nothing")
    conn.execute(f"PRAGMA user_version = {newest()}")


def _steps(current: int) -> Iterable[str]:
    """Returns the statements that bring a schema of that version up to date; version 0 is an empty file."""
    if not current:
        return _whole_schema()
    return (statement for text in migrations()[current:] for statement in statements(text))


@functools.cache
def _whole_schema() -> Sequence[str]:
    """Returns the statements that make at once what the migrations, one after the other, come to.

    They make some tables several times, so that a second new store of a process takes half as long with these.
    """
    with contextlib.closing(sqlite3.connect(":memory:")) as conn:
        for text in migrations():
            conn.executescript(text)
        rows = conn.execute(
            "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT GLOB 'sqlite_*' ORDER BY rowid"
        )
        return [sql for (sql,) in rows]


def statements(text: str) -> Iterator[str]:
    """Yields the statements of a script; `executescript` would commit the open transaction."""
    pending = ""
    for line in text.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""


def wal_size(home: Path) -> int:
    """Returns the size of the write-ahead log in bytes."""
    with contextlib.suppress(OSError):
        return (home / f"{FILE}-wal").stat().st_size
    return 0


def checkpoint(conn: sqlite3.Connection) -> None:
    """Moves the log into the file, so that the next write begins the log anew; call it with the write mutex held.

    Readers are never waited for. The log keeps its size, because writing over it is twice as fast as growing it.
    """
    failpoints.hit("before_checkpoint")
    conn.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    failpoints.hit("after_checkpoint")


def open_quietly(home: Path) -> sqlite3.Connection:
    """Returns a connection that writes nothing, not even beside the file (sqlite.org/wal.html, "Read-Only Databases").

    For one look: where the log has no index and none can be made, what others write meanwhile may be missed.

    Raises:
        sqlite3.Error: for `translate`.
    """
    try:
        return _looking(home, "mode=ro")
    except sqlite3.OperationalError:
        if wal_size(home):
            raise
        return _looking(home, "mode=ro&immutable=1")  # without a log the file is all there is


def _looking(home: Path, mode: str) -> sqlite3.Connection:
    uri = f"{(home / FILE).absolute().as_uri()}?{mode}"
    conn = sqlite3.connect(uri, uri=True, isolation_level=None)
    try:
        for setting in LOOKING:
            conn.execute(f"PRAGMA {setting}")
        conn.execute(HEADER).fetchone()  # only reading a page shows what is wrong with it
    except BaseException:
        conn.close()
        raise
    return conn


def truncate(conn: sqlite3.Connection) -> None:
    """Moves the log into the file and empties it, if no reader is in the way; call it with the write mutex held."""
    failpoints.hit("before_checkpoint")
    conn.execute("PRAGMA busy_timeout = 100")  # a reader in the way is not worth waiting for: the next turn tries again
    try:
        conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        conn.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
    failpoints.hit("after_checkpoint")
