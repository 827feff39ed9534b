"""What finished tasks took, and what the attempts of a run have used: what forecasts and ceilings are made of."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from dispatch_mcp import model
from dispatch_mcp.model import ports, transitions
from dispatch_mcp.planning import forecast
from dispatch_mcp.runs import budget, ledger, state_machine
from dispatch_mcp.store import codec, table_rows
from dispatch_mcp.store.reader import Reader

Overdrafts = Mapping[tuple[str, int], str]
"""Why attempts would break a ceiling if they began now, by task and attempt; an empty text where they would not."""

NEWEST_RUNS, NEWEST = 100, 500
"""How many finished runs are looked at, and how many tasks of them, the newest first: enough for medians of every
agent that is in use, and bounded because a new run waits for this read."""

_SAMPLES = """
SELECT coalesce(json_extract(spec.value, '$.agent'), ''), coalesce(json_extract(spec.value, '$.effort'), 'M'),
  coalesce(json_extract(spec.value, '$.model'), ''), (attempt.ended_at - attempt.started_at) / 60.0,
  attempt.input_tokens + attempt.output_tokens + attempt.cache_read_tokens + attempt.cache_write_tokens,
  attempt.cost_usd
FROM (
  SELECT no, plan_id, plan_version FROM run
  WHERE principal = ?1 AND NOT dry_run AND finished_at IS NOT NULL ORDER BY no DESC LIMIT ?2) AS ended
CROSS JOIN plan ON plan.id = ended.plan_id AND plan.version = ended.plan_version
CROSS JOIN json_each(plan.document, '$.tasks') AS spec
CROSS JOIN task ON task.run = ended.no AND task.id = json_extract(spec.value, '$.id')
CROSS JOIN attempt ON attempt.task = task.no AND attempt.attempt = task.attempt
WHERE attempt.state = 'succeeded' AND attempt.worker IN ('host', 'api', 'claude')
  AND attempt.input_tokens + attempt.output_tokens + attempt.cache_read_tokens + attempt.cache_write_tokens > 0
LIMIT ?3
"""
_TRAIL = f"json_extract(nullif(attempt.beat, ''), '$.{ports.SPENT}')"
_ATTEMPTS = f"""
SELECT task.id, attempt.attempt, attempt.worker, attempt.state, attempt.error_kind,
  iif(attempt.seconds IS NULL, {_TRAIL}, NULL), {table_rows.USAGE_COLUMNS}
FROM task JOIN attempt ON attempt.task = task.no WHERE task.run = ? ORDER BY task.no, attempt.attempt
"""  # noqa: S608  # constants
_TRAILS = f"""
SELECT task.id, attempt.attempt, {_TRAIL}
FROM task JOIN attempt ON attempt.task = task.no AND attempt.attempt = task.attempt
WHERE task.run = ? AND task.state = 'running'
"""  # noqa: S608  # constants
_ALLOTMENTS = f"""
SELECT task, attempt, json_extract(data, '$.{transitions.CEILING}') FROM event
WHERE run = ? AND kind = 'attempt_started' AND data LIKE '%"{transitions.CEILING}"%'
"""  # noqa: S608  # constants


async def newest(reader: Reader, principal: str) -> list[forecast.Sample]:
    """Returns what the principal's newest finished tasks took."""
    rows = await reader.rows(_SAMPLES, (codec.clean(principal), NEWEST_RUNS, NEWEST))
    return [forecast.Sample._make(row) for row in rows]


def past(conn: sqlite3.Connection, principal: str) -> forecast.Past:
    """Returns the same, ready for look-up, inside a transaction."""
    rows = conn.execute(_SAMPLES, (principal, NEWEST_RUNS, NEWEST)).fetchall()
    return forecast.Past(map(forecast.Sample._make, rows))


def open_ledger(
    conn: sqlite3.Connection, row: table_rows.RunRow, plan: model.Plan, price: forecast.Price
) -> ledger.Ledger | None:
    """Returns the account of a run, or None if it has no ceilings to watch."""
    limits = codec.load(model.Limits, row.limits)
    if not budget.is_needed(limits, plan.tasks):
        return None
    history = past(conn, row.principal)
    # Prices take half a second to load, so nobody is asked for them unless dollars count.
    price = price if budget.counts_dollars(limits, plan.tasks) else forecast.no_price
    tasks = {task.id: task for task in plan.tasks}
    account = ledger.Ledger(limits, row.created_at, tasks, lambda task: history.expected(task, price), price)
    attempts = [_attempt(cells) for cells in conn.execute(_ATTEMPTS, (row.no,))]
    # What attempts were given matters while they run, and where they stopped.
    if any(attempt.running or attempt.stopped_by for attempt in attempts):
        allotments = {(task_id, n): allotment(text) for task_id, n, text in conn.execute(_ALLOTMENTS, (row.no,))}
        attempts = [
            attempt._replace(allotment=allotments.get((attempt.task_id, attempt.attempt), model.NO_LIMITS))
            for attempt in attempts
        ]
    account.replay(attempts)
    if plan.routing_usage is not None:
        account.spend(plan.routing_usage)
    return account


def keep_overdrafts(
    conn: sqlite3.Connection, core: state_machine.RunCore, numbers: table_rows.Numbers, before: Overdrafts
) -> Overdrafts:
    """Returns why attempts that are out with the host could not begin now, and writes what has changed of it.

    Hooks that ask no account read it there (`looks.host_begins`).
    """
    account = core.ledger
    if account is None:
        return before
    rows = [core.row(task_id) for task_id in account.recipients]
    ids = [(row.id, row.attempt) for row in rows if row.worker is model.WorkerKind.HOST]
    overdrafts: dict[tuple[str, int], str] = {}
    for task_id, attempt in ids:
        hold = account.overdrawn(task_id)
        overdrafts[task_id, attempt] = hold.text() if hold else ""
    changes = overdrafts.items() - before.items()
    table_rows.overdraw(conn, [(why, numbers[task_id], attempt) for (task_id, attempt), why in changes])
    return overdrafts


def trails(conn: sqlite3.Connection, run_no: int) -> dict[tuple[str, int], model.Usage]:
    """Returns what the running attempts of a run have left word of, by task and attempt."""
    return {
        (task_id, attempt): usage
        for task_id, attempt, text in conn.execute(_TRAILS, (run_no,)).fetchall()
        if (usage := _trail(text)) is not None
    }


def _attempt(row: tuple[model.Json, ...]) -> ledger.AttemptUse:
    task_id, attempt, worker, state, error_kind, trail, *cells = row
    return ledger.AttemptUse(
        task_id,
        attempt,
        table_rows.KINDS[worker],
        running=state == "running",
        usage=None if cells[-1] is None else table_rows.usage_of(cells),
        rate_limited=error_kind == transitions.RATE_LIMIT,
        false_start=error_kind == transitions.NO_AGENT,
        trail=_trail(trail),
        stopped_by=ledger.stopped_by(str(error_kind)),
    )


def _trail(text: model.Json) -> model.Usage | None:
    """Returns the usage of a heartbeat, None where there is none that can be read."""
    try:
        return None if text is None else codec.load(model.Usage, str(text))
    except ValueError:
        return None


def allotment(text: model.Json) -> model.TaskLimits:
    """Returns what an attempt was given, as its event says; nothing where that cannot be read."""
    try:
        return codec.load(model.TaskLimits, str(text))
    except ValueError:
        return model.NO_LIMITS
