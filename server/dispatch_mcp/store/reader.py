"""The read side: one `query_only` connection that no write ever waits for."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import aiosqlite

from dispatch_mcp import errors
from dispatch_mcp.store import sqlite

Cell = int | float | str | bytes | None
Row = tuple[Cell, ...]


class Reader:
    """Runs one statement at a time and fetches all of it, so that no read ever stays open."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._conn: aiosqlite.Connection | None = None

    async def open(self, *, read_only: bool = False) -> None:
        """Connects; `read_only` neither needs nor leaves anything beside the file. Raises StoreError."""
        mode = sqlite.reading_mode(self._home) if read_only else "mode=rw"
        uri = f"{(self._home / sqlite.FILE).absolute().as_uri()}?{mode}"
        try:
            conn = await aiosqlite.connect(uri, uri=True, isolation_level=None, cached_statements=256)
        except sqlite3.Error as error:
            raise sqlite.translate(error, self._home) from error
        try:
            for setting in (f"busy_timeout = {sqlite.BUSY_MS}", "query_only = ON", "trusted_schema = OFF"):
                await conn.execute_fetchall(f"PRAGMA {setting}")
            await conn.execute_fetchall("SELECT 1 FROM run LIMIT 1")  # only reading a page shows what is wrong with it
        except BaseException as error:
            await conn.close()
            if isinstance(error, sqlite3.Error):
                raise sqlite.translate(error, self._home) from error
            raise
        self._conn = conn

    async def rows(self, statement: str, values: tuple[Cell, ...] = ()) -> list[Row]:
        """Returns all rows of a statement, which should have a LIMIT. Raises StoreError."""
        if self._conn is None:
            raise errors.StoreUnavailable("The store is closed.", hint="Open it again.")
        try:
            return [tuple(row) for row in await self._conn.execute_fetchall(statement, values)]
        except sqlite3.Error as error:
            raise sqlite.translate(error, self._home) from error

    async def close(self) -> None:
        """Disconnects."""
        conn, self._conn = self._conn, None
        if conn is not None:
            await conn.close()
