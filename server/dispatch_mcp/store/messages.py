"""The transactions of what attempts and agents leave for others."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence

from dispatch_mcp import model
from dispatch_mcp.model import records, transitions
from dispatch_mcp.runs import message_rules
from dispatch_mcp.store import codec, table_rows
from dispatch_mcp.store.heartbeats import wave_looks

SENT, DELIVERED = "message_sent", "message_delivered"
"""The kinds of event that say that a message was sent, and to whom messages have come."""

FOLLOWED = "followed"
"""In the data of `SENT`: that deliveries of the message are recorded. Older builds did not."""

_BEAT = """
UPDATE attempt SET beat = ?
WHERE task = (SELECT no FROM task WHERE run = ? AND id = ?) AND attempt = ? AND state = 'running'
"""
_IS_SAME = "AND coalesce(beat, '') IN (?, ?)"
_SEND = "INSERT INTO message (run, sender, recipient, kind, text, at, read) VALUES (?, ?, ?, ?, ?, ?, 0)"


def beat(
    conn: sqlite3.Connection,
    run_id: str,
    task_id: str,
    attempt: int,
    short: wave_looks.ShortBeat,
    *,
    old: Sequence[str] = (),
) -> bool:
    """Keeps the details of a running attempt; returns False if it is not running, or has others than `old`.

    `old` is empty, or the two forms that one heartbeat may have: that of this build, and that of earlier ones.
    """
    row = table_rows.run_row(conn, run_id)
    values = (short.text, row.no, codec.clean(task_id), attempt)
    is_kept = conn.execute(f"{_BEAT}{_IS_SAME}" if old else _BEAT, (*values, *old)).rowcount == 1
    if is_kept:
        wave_looks.keep(conn, row.no, [short])
    return is_kept


def beats(conn: sqlite3.Connection, run_id: str, shorts: Mapping[tuple[str, int], wave_looks.ShortBeat]) -> None:
    """Keeps the details of those attempts that run, by task and number."""
    row = table_rows.run_row(conn, run_id)
    wave_looks.keep(conn, row.no, shorts.values())
    conn.executemany(
        _BEAT, [(short.text, row.no, codec.clean(task_id), attempt) for (task_id, attempt), short in shorts.items()]
    )


def send(conn: sqlite3.Connection, message: model.Message, now: float) -> int:
    """Adds a message and its event; returns the message's id."""
    row = table_rows.run_row(conn, message.run_id)
    note = _keep(conn, row, message, now)
    table_rows.append_events(conn, message.run_id, [note], now)
    return int(note.data["id"])


def deliver(conn: sqlite3.Connection, run_id: str, deliveries: Iterable[records.Delivery], now: float) -> None:
    """Records to whom messages have come: an event for each reader and way."""
    numbers: dict[tuple[str, int, str], list[model.Json]] = {}
    for message, reader, means, attempt in deliveries:
        numbers.setdefault((reader, attempt, means), []).append(message)
    notes = [
        transitions.NewEvent(DELIVERED, codec.clean(reader), attempt, {"ids": ids, "means": means})
        for (reader, attempt, means), ids in numbers.items()
    ]
    table_rows.append_events(conn, run_id, notes, now)


def send_of_reports(
    conn: sqlite3.Connection, row: table_rows.RunRow, reports: Iterable[transitions.Finished], now: float
) -> list[transitions.NewEvent]:
    """Adds the messages that accepted handoffs send; returns what to note of them."""
    return [
        _keep(conn, row, message, now)
        for report in reports
        if report.outcome.handoff.messages
        for message in message_rules.messages_of(row.id, report.task_id, report.outcome.handoff, now)
    ]


def _keep(conn: sqlite3.Connection, row: table_rows.RunRow, message: model.Message, now: float) -> transitions.NewEvent:
    clean = codec.clean
    cells = (clean(message.sender), clean(message.recipient), message.kind, clean(message.text), message.at or now)
    number = conn.execute(_SEND, (row.no, *cells)).lastrowid or 0
    data = {"id": number, "kind": message.kind, "sender": message.sender, "recipient": message.recipient}
    return transitions.NewEvent(SENT, data={**data, FOLLOWED: True})


def mark_read(conn: sqlite3.Connection, numbers: Iterable[int]) -> None:
    """Marks messages as read."""
    conn.executemany("UPDATE message SET read = 1 WHERE id = ?", [(number,) for number in numbers])
