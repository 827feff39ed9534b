"""The read side: one `query_only` connection that no write ever waits for, and that needs no lock of ours.

Where it cannot be opened, because the disk is full, the folder read-only or the store not yet there, each read opens
what there is for itself, and looks first whether that has changed. So nothing that may be out of date stays open.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

import aiosqlite
import anyio
import anyio.to_thread

from dispatch_mcp import errors
from dispatch_mcp.store import sqlite, whereabouts

Cell = int | float | str | bytes | None
Row = tuple[Cell, ...]

T = TypeVar("T")

AT_ONCE_ROWS: Final = 50
AT_ONCE_CHARS: Final = 20_000
"""Rows and characters that are decoded on the spot, in some hundred microseconds; what is more goes into a thread."""

MOST_COPIED = 256 * 1024 * 1024
"""Bytes of a store of an older schema up to which a copy is brought up to date in memory to read it."""


class Reader:
    """Runs one statement at a time and fetches all of it, so that no read ever stays open."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._conn: aiosqlite.Connection | None = None
        self._files = whereabouts.StoreFiles(None, None)
        self._is_open = False
        self._connecting = anyio.Lock()
        self._decoding = anyio.CapacityLimiter(1)  # they all need the same interpreter

    async def open(self) -> bool:
        """Connects, and returns whether there is a store of our schema whose changes will be seen at once.

        Without one, `rows` reads what there is all the same.

        Raises:
            StoreError: it is damaged, newer, or somebody else's.
        """
        self._is_open = True
        whereabouts.refuse_lost(self._home)
        try:
            async with self._connecting:  # of several reads that find no connection, one makes it
                return self._conn is not None or await self._connect()
        except (errors.StoreUnavailable, errors.StoreBusy):
            return False

    async def _connect(self) -> bool:
        """Keeps a connection if there is a store of our schema. Raises StoreError."""
        if not (self._home / sqlite.FILE).exists():
            return False
        uri = f"{(self._home / sqlite.FILE).absolute().as_uri()}?mode=rw"
        try:
            conn = await aiosqlite.connect(uri, uri=True, isolation_level=None, cached_statements=256)
        except sqlite3.Error as error:
            raise sqlite.translate(error, self._home) from error
        is_current = False
        try:
            for setting in sqlite.LOOKING:
                await conn.execute_fetchall(f"PRAGMA {setting}")
            had_record = whereabouts.has_record(self._home)
            rows = await conn.execute_fetchall(sqlite.HEADER)  # only reading a page shows what is wrong with it
            is_current = _is_current(next(tuple(row) for row in rows), self._home, had_record=had_record)
            if is_current:
                self._conn, self._files = conn, whereabouts.files(self._home)
        except sqlite3.Error as error:
            raise sqlite.translate(error, self._home) from error
        finally:
            if not is_current:
                await conn.close()
        return is_current

    async def rows(self, statement: str, values: tuple[Cell, ...] = ()) -> list[Row]:
        """Returns all rows of a statement, which should have a LIMIT. Raises StoreError."""
        if not self._is_open:
            raise errors.StoreUnavailable("The store is closed.", hint="Open it again.")
        if self._conn is None:
            await self.open()
        if self._conn is None:
            return await anyio.to_thread.run_sync(self._still, statement, values)
        whereabouts.refuse_moved(self._home, self._files)
        try:
            return [tuple(row) for row in await self._conn.execute_fetchall(statement, values)]
        except sqlite3.Error as error:
            raise sqlite.translate(error, self._home) from error

    async def read(self, statement: str, values: tuple[Cell, ...], decode: Callable[[Sequence[Row]], T]) -> T:
        """Returns what `decode` makes of all rows of a statement; many of them in a thread. Raises StoreError."""
        rows = await self.rows(statement, values)
        chars = sum([len(cell) for row in rows[:AT_ONCE_ROWS] for cell in row if isinstance(cell, str)])
        if len(rows) <= AT_ONCE_ROWS and chars <= AT_ONCE_CHARS:
            return decode(rows)
        return await anyio.to_thread.run_sync(decode, rows, abandon_on_cancel=True, limiter=self._decoding)

    def _still(self, statement: str, values: tuple[Cell, ...]) -> list[Row]:
        """Returns the rows of a store that nobody can write now."""
        try:
            with contextlib.closing(_quiet_copy(self._home)) as conn:
                return [tuple(row) for row in conn.execute(statement, values)]
        except sqlite3.Error as error:
            raise sqlite.translate(error, self._home) from error

    async def close(self) -> None:
        """Disconnects."""
        self._is_open = False
        conn, self._conn = self._conn, None
        if conn is not None:
            await conn.close()


def _quiet_copy(home: Path) -> sqlite3.Connection:
    """Returns a connection to a store of our schema that changes no file: to an empty one if there is none."""
    file = home / sqlite.FILE
    if not file.exists() or not file.stat().st_size:
        return sqlite.in_memory()
    had_record = whereabouts.has_record(home)
    conn = sqlite.open_quietly(home)
    if _is_current(conn.execute(sqlite.HEADER).fetchone(), home, had_record=had_record):
        return conn
    with contextlib.closing(conn):
        if file.stat().st_size <= MOST_COPIED:
            return sqlite.in_memory(conn)
    raise errors.StoreUnavailable(
        f"The store {str(file)!r} is of an older schema and cannot be brought up to date now.",
        hint="See that it can be written: that its folder is writable, its disk has space, and no other process "
        "keeps its write lock.",
    )


def _is_current(row: Sequence[Cell], home: Path, *, had_record: bool) -> bool:
    """Returns whether a row of `sqlite.HEADER` is of a store of our schema, no older one. Raises StoreError."""
    header, newest = sqlite.read_header(row, home), sqlite.newest()
    sqlite.refuse_emptied(header, home, had_record=had_record)
    sqlite.refuse_newer(header.version, home, newest)
    return header.is_ours and header.version == newest
