"""Beginning an attempt that the host was handed, by a process that opens nothing else for it.

A hook whose session has no server would load for a second what moves runs. Beginning moves none: the attempt stays out,
and only who has it and until when is written, as the server writes it. Whether a ceiling bears it is not reckoned here:
whoever moves the run keeps that with the attempt (`run_transactions`). Only the standard library is imported.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from dispatch_mcp import errors
from dispatch_mcp.store import owner_locks, sqlite
from dispatch_mcp.store.looks import open_runs
from dispatch_mcp.text import json_types

HOLDER: Final = "session"
"""Under this name an attempt's heartbeat keeps which session of the host has begun it."""

CALL: Final = "call"
"""Under this name an attempt's heartbeat keeps the arguments of the host's call, for hosts that only name attempts."""

LEASE: Final = "lease_s"
"""Under this name an attempt's heartbeat keeps for how many seconds the host has it from when it begins it."""

PATIENCE_S: Final = 0.1
"""Seconds for which the store's locks are waited for; whoever writes holds them for a few thousandths."""

_SELECT: Final = f"""
SELECT task.no, beat, overdrawn,
  EXISTS (SELECT 1 FROM json_each(run.limits) WHERE value IS NOT NULL AND key IN ('dollars', 'tokens'))
FROM run JOIN task ON task.run = run.no JOIN attempt ON attempt.task = task.no AND attempt.attempt = task.attempt
WHERE run.id = ? AND run.state = 'running' AND run.principal = '{open_runs.PRINCIPAL}' AND task.id = ?
  AND task.worker = 'host' AND task.state = 'running' AND task.attempt = ? AND attempt.state = 'running'
"""  # noqa: S608  # constants
_HOLD: Final = "UPDATE attempt SET beat = ?, lease_until = ? WHERE task = ? AND attempt = ?"


class Begin(NamedTuple):
    """Which attempt begins at a time in Unix seconds, and what its heartbeat is to keep of who begins it.

    `past` is what it keeps of one that is gone.
    """

    run: str
    task: str
    attempt: int
    holder: Mapping[str, json_types.Json]
    now: float
    past: Mapping[str, json_types.Json] = {}


class HostStart(NamedTuple):
    """What came of it: the planned arguments of the host's call, or else why a ceiling does not bear the attempt."""

    call: Mapping[str, json_types.Json]
    hold: str = ""


def begin(home: Path, moment: Begin, patience_s: float = PATIENCE_S) -> HostStart | None:
    """Begins an attempt of a run unless a ceiling does not bear it.

    None if it is not out, somebody has it or its run's account has to be asked; then nothing has happened.

    Raises:
        StoreError: the store cannot be had now, or is none; then nothing has happened either.
    """
    try:
        with _transaction(home, patience_s) as conn:
            return _begin(conn, moment)
    except (sqlite3.Error, OSError) as trouble:
        raise sqlite.translate(trouble, home) from trouble


def require_free(home: Path, patience_s: float = PATIENCE_S) -> None:
    """Returns at once if the store could be written now.

    Raises:
        StoreError: somebody holds it.
    """
    try:
        with _transaction(home, patience_s):
            pass
    except (sqlite3.Error, OSError) as trouble:
        raise sqlite.translate(trouble, home) from trouble


def _begin(conn: sqlite3.Connection, moment: Begin) -> HostStart | None:
    row = conn.execute(_SELECT, (moment.run, moment.task, moment.attempt)).fetchone()
    if row is None:
        return None
    task, text, hold, has_account = row
    beat: json_types.Json = json.loads(text or "{}")
    call, lease_s = beat.get(CALL), beat.get(LEASE)
    is_free = beat.get(HOLDER) in (None, moment.holder, moment.past)
    is_open = has_account and hold is None
    if is_open or not is_free or not json_types.is_object(call) or not json_types.is_number(lease_s):
        return None
    if has_account and hold:
        return HostStart(call, hold)
    details = json.dumps({**beat, HOLDER: moment.holder}, separators=(",", ":"))
    conn.execute(_HOLD, (details, moment.now + lease_s, task, moment.attempt))
    return HostStart(call)


@contextlib.contextmanager
def _transaction(home: Path, patience_s: float) -> Generator[sqlite3.Connection]:
    """Opens the store, writes once and closes it, all under the lock that every writer holds."""
    with contextlib.closing(owner_locks.Mutex(home / owner_locks.LOCK)) as mutex:
        if not mutex.take(patience_s):
            raise errors.StoreBusy(f"Another process writes into {str(home / open_runs.FILE)!r}.")
        with mutex, contextlib.closing(sqlite.open_writer(home, busy_ms=int(patience_s * 1_000))) as conn:
            conn.execute("BEGIN IMMEDIATE")
            try:
                yield conn
                conn.execute("COMMIT")
            finally:
                if conn.in_transaction:
                    conn.execute("ROLLBACK")
