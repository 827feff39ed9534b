"""Writes the schema that all migrations come to, with which a new store begins."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from dispatch_mcp.store import sqlite

HEAD = "-- All migrations in one, for a store that is made anew. scripts/newest_schema.py writes it from them.\n"


def text() -> str:
    """Returns the statements that make what the migrations, one after the other, have made."""
    with closing(sqlite3.connect(":memory:")) as conn:
        for migration in sqlite.migrations():
            conn.executescript(migration)
        query = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT GLOB 'sqlite_*' ORDER BY rowid"
        rows = conn.execute(query).fetchall()
    return HEAD + "".join(f"\n{sql};\n" for (sql,) in rows)


if __name__ == "__main__":
    sqlite.NEWEST.write_text(text(), encoding="utf-8")
