"""Gives the space of removed rows back to the disk."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Final

from dispatch_mcp.store import owner_locks, sqlite

WORTH_IT: Final = 0.2
"""Share of empty pages from which on a store is written anew; below, new rows fill them."""

SMALL_ENOUGH: Final = 512 << 20
"""Bytes of rows up to which writing it anew keeps everybody else waiting for a few seconds only."""


def compact(home: Path) -> int:
    """Writes a store anew without its empty pages, if that is worth it, and returns how many bytes that gave back.

    Others wait for the write lock meanwhile. A disk without room for it leaves the store as it is.
    """
    mutex = owner_locks.Mutex(home / owner_locks.LOCK)
    try:
        with mutex, contextlib.closing(sqlite3.connect(home / sqlite.FILE, isolation_level=None)) as conn:
            conn.execute(f"PRAGMA busy_timeout = {sqlite.BUSY_MS}")
            conn.execute("PRAGMA wal_autocheckpoint = 0")
            return _compact(conn)
    except sqlite3.OperationalError:
        return 0
    finally:
        mutex.close()


def _compact(conn: sqlite3.Connection) -> int:
    pages, empty, size = (_number(conn, name) for name in ("page_count", "freelist_count", "page_size"))
    if empty < pages * WORTH_IT or (pages - empty) * size > SMALL_ENOUGH:
        return 0
    conn.execute("VACUUM")
    sqlite.truncate(conn)
    return (pages - _number(conn, "page_count")) * size


def _number(conn: sqlite3.Connection, name: str) -> int:
    return int(conn.execute(f"PRAGMA {name}").fetchone()[0])
