"""The transaction that records a plan."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from dispatch_mcp import errors
from dispatch_mcp.store import table_rows

_NEWEST = "SELECT version, principal FROM plan WHERE id = ? ORDER BY version DESC LIMIT 1"
_INSERT = "INSERT INTO plan (id, version, principal, document, created_at) VALUES (?, ?, ?, ?, ?)"


class Entry(NamedTuple):
    """One row of `plan`."""

    id: str
    version: int
    principal: str
    document: str
    created_at: float


def save(conn: sqlite3.Connection, entry: Entry, base_version: int | None) -> None:
    """Adds the next version of a plan. Raises StaleVersion or UnknownHandle."""
    newest, principal = conn.execute(_NEWEST, (entry.id,)).fetchone() or (0, entry.principal)
    if principal != entry.principal:
        raise table_rows.unknown_plan(entry.id)
    if entry.version != newest + 1 or base_version not in (None, newest):
        based = entry.version - 1 if base_version is None else base_version
        raise errors.StaleVersion(
            f"Plan {entry.id!r} is at version {newest}; this change was made to version {based}.",
            hint=f"Read version {newest} and make the change again.",
        )
    conn.execute(_INSERT, entry)
