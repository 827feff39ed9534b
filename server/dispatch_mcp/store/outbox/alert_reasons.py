"""Alerts as they are written: in the transaction of what they tell, so that none is lost and none is invented."""

from __future__ import annotations

import json
import math
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import Final, Literal

from dispatch_mcp import model
from dispatch_mcp.model import transitions
from dispatch_mcp.runs import ledger, state_machine
from dispatch_mcp.store import codec, table_rows
from dispatch_mcp.text import escape

Kind = Literal["finished", "failed", "waiting", "near_ceiling"]
"""Why somebody is told: a run is over, it has failed, it waits for a person, or it comes near a ceiling."""

KINDS: Final[tuple[Kind, ...]] = ("finished", "failed", "waiting", "near_ceiling")

NEAR: Final = "limit_near"
"""The event of a run that comes near one of its ceilings."""

NEVER: Final = math.inf
"""The share of a ceiling that nothing comes to."""

KEPT_S: Final = 30 * 86_400.0
"""Seconds after which an alert is of no use to anybody; it goes with the next one that is written."""

MOST_FOLDER: Final = 100
_PERSON: Final = model.WorkerKind.HUMAN.value
_DUST: Final = 1e-9
"""Dollars are sums of floats."""

_NOTED = f"SELECT data FROM event WHERE run = ? AND kind = '{NEAR}'"  # noqa: S608  # a constant
_INSERT = "INSERT INTO alert (run, kind, at, body) VALUES (?, ?, ?, ?)"
_FORGET = "DELETE FROM alert WHERE at < ?"

Ceilings = set[tuple[str, float]]
"""Ceilings of a run, each by its name and its height: one that is raised is met anew."""


def near_ceilings(account: ledger.Ledger | None, share: float, now: float) -> list[tuple[str, float, float]]:
    """Returns the ceilings of a run of which more than a share is used: name, height, and how much is."""
    if account is None:
        return []
    amounts = {
        "dollars": account.spent.dollars,
        "tokens": account.spent.tokens,
        "minutes": max(0.0, now - account.started_at) / 60,
        "attempts": float(account.attempts),
    }
    return [
        (name, float(ceiling), amount)
        for name, amount in amounts.items()
        if (ceiling := getattr(account.limits, name)) is not None and amount + _DUST >= share * ceiling
    ]


def past_mentions(conn: sqlite3.Connection, run_no: int) -> Ceilings:
    """Returns the ceilings of a run that were said to be near."""
    data = [codec.load_map(text) for (text,) in conn.execute(_NOTED, (run_no,))]
    return {(str(entry.get("limit")), float(entry.get("ceiling") or 0)) for entry in data}


def near_notes(
    near: Iterable[tuple[str, float, float]], mentions: Ceilings, share: float
) -> list[transitions.NewEvent]:
    """Returns an event for each ceiling that is near and was not said to be, and adds it to those that were."""
    notes: list[transitions.NewEvent] = []
    for name, ceiling, amount in near:
        if (name, ceiling) not in mentions:
            mentions.add((name, ceiling))
            data: dict[str, model.Json] = {"limit": name, "ceiling": ceiling, "used": amount, "share": share}
            notes.append(transitions.NewEvent(NEAR, data=data))
    return notes


def write(
    conn: sqlite3.Connection,
    before: str,
    row: table_rows.RunRow,
    core: state_machine.RunCore,
    notes: Sequence[transitions.NewEvent],
) -> None:
    """Keeps what a person is to be told of a step that led a run from a state to its row; nothing of a dry run."""
    now = row.updated_at
    if row.dry_run:
        return
    reasons: list[tuple[Kind, dict[str, model.Json]]] = [
        ("near_ceiling", {"ceiling": note.data}) for note in notes if note.kind == NEAR
    ]
    if any(note.kind == "attempt_started" and note.data.get("worker") == _PERSON for note in notes):
        reasons.append(("waiting", {"waits_for": "decision"}))
    if row.state != before and (end := _news_of_state(row, core)) is not None:
        reasons.append(end)
    for kind, data in reasons:
        conn.execute(_FORGET, (now - KEPT_S,))
        conn.execute(_INSERT, (row.id, kind, now, json.dumps({**_common(row, core), **data})))


def _news_of_state(row: table_rows.RunRow, core: state_machine.RunCore) -> tuple[Kind, dict[str, model.Json]] | None:
    """Returns what is told of the state that a run has come to; nothing of one that a person or nobody has caused."""
    if row.state == model.RunState.FAILED:
        return "failed", {}
    if row.finished_at is not None:
        return "finished", {}
    if core.at_ceiling and not core.paused:
        return "waiting", {"waits_for": "ceiling"}
    return None


def _common(row: table_rows.RunRow, core: state_machine.RunCore) -> dict[str, model.Json]:
    """Returns what every alert says: no words of a request, no path of the machine."""
    counts = Counter(task.state.value for task in core.rows)
    return {
        "state": row.state,
        "tasks": dict(sorted(counts.items())),
        "project": escape.one_line(PurePath(row.workspace).name)[:MOST_FOLDER],
    }
