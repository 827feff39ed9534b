"""Rows of the tables as values, and the statements that write them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dispatch_mcp import errors, model
from dispatch_mcp.model import bounds, records, short_ids, transitions
from dispatch_mcp.next_steps import NextStep, StepKind
from dispatch_mcp.runs import state_machine
from dispatch_mcp.store import codec
from dispatch_mcp.store.looks import listed_runs

STATES = {state.value: state for state in model.TaskState}
ATTEMPT_STATES = {state.value: state for state in model.AttemptState}
KINDS = {kind.value: kind for kind in model.WorkerKind}

_NO_FIGURES = (0, 0, 0, 0, None, 0.0)
_NOTHING_USED = model.Usage()

Numbers = Mapping[str, int]
"""The numbers of a run's tasks by id."""

USAGE_COLUMNS = ", ".join(bounds.USAGE)


class PlanRow(NamedTuple):
    """One row of `plan`."""

    id: str
    version: int
    principal: str
    document: str
    created_at: float


class RunRow(NamedTuple):
    """One row of `run`, in the order of `RUN_COLUMNS`."""

    no: int
    id: str
    plan_id: str
    plan_version: int
    principal: str
    request_key: str
    state: str
    worker: str
    workspace: str
    dry_run: int
    fresh: int
    limits: str
    owner: str | None
    epoch: int
    revision: int
    paused: int
    cancelled: int
    events: int
    created_at: float
    updated_at: float
    finished_at: float | None
    verdict: str
    title: str


RUN_COLUMNS = ", ".join(RunRow._fields)
SELECT_RUN = f"SELECT {RUN_COLUMNS} FROM run WHERE id = ?"  # noqa: S608  # a constant
COUNTS = listed_runs.COUNTS
SELECT_TASKS = (
    "SELECT no, id, worker, state, attempt, failures, crashes, ready_at, result, cause, rounds, "
    "stand_ins, false_starts, host_losses FROM task WHERE run = ? ORDER BY position"
)

_NEWEST_PLAN = "SELECT version, principal FROM plan WHERE id = ? ORDER BY version DESC LIMIT 1"
_INSERT_PLAN = "INSERT INTO plan (id, version, principal, document, created_at) VALUES (?, ?, ?, ?, ?)"
# The first event of a run with the roster of the version of its plan that it began with.
_BIRTH = """
(SELECT json_set(data, '$.roster', (SELECT json_extract(document, '$.roster') FROM plan
   WHERE plan.id = run.plan_id AND plan.version = json_extract(event.data, '$.version')))
 FROM event WHERE event.run = run.no AND seq = 1)
"""
SELECT_BEGUN = f"SELECT {RUN_COLUMNS}, {COUNTS}, {_BIRTH} FROM run WHERE principal = ? AND request_key = ?"  # noqa: S608
SELECT_REQUEST = f"""
SELECT run.id, {_BIRTH},
  (SELECT document FROM plan WHERE id = ?3 AND version = ?4 AND principal = ?1),
  (SELECT 1 FROM run WHERE principal = ?1 AND id >= ?5 AND id < ?5 || char(1114111) LIMIT 1)
FROM (SELECT 1) LEFT JOIN run ON principal = ?1 AND request_key = ?2 AND request_key <> ''
"""  # noqa: S608  # constants
_SAME_NAME = "SELECT 1 FROM run WHERE principal = ?1 AND id >= ?2 AND id < ?2 || char(1114111) LIMIT 1"
_INSERT_RUN = """
INSERT INTO run (id, plan_id, plan_version, principal, request_key, state, worker, workspace, dry_run, fresh, limits,
  server_driven, created_at, updated_at, title)
VALUES (?, ?, ?, ?, ?, 'running', ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_RETURN_RUN = f"RETURNING {RUN_COLUMNS}, (SELECT coalesce(max(no), 0) + 1 FROM task)"  # noqa: S608  # constants
_UPDATE_RUN = """
UPDATE run SET state = ?, owner = ?, epoch = ?, revision = ?, paused = ?, cancelled = ?, events = ?, updated_at = ?
WHERE no = ?
"""
_END_RUN = "UPDATE run SET finished_at = ?, verdict = ? WHERE no = ?"
_INSERT_TASK = """
INSERT INTO task (state, attempt, failures, crashes, ready_at, result, cause, rounds, stand_ins, false_starts,
  host_losses, no, run, id, position, worker)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_UPDATE_TASK = """
UPDATE task SET state = ?, attempt = ?, failures = ?, crashes = ?, ready_at = ?, result = ?, cause = ?, rounds = ?,
  stand_ins = ?, false_starts = ?, host_losses = ?
WHERE no = ?
"""
_PLACE_TASK = "UPDATE task SET position = ?, worker = ? WHERE no = ?"
_BEGIN_ATTEMPT = """
INSERT INTO attempt (task, attempt, state, worker, started_at, lease_until) VALUES (?, ?, 'running', ?, ?, ?)
"""
_OVERDRAW = "UPDATE attempt SET overdrawn = ? WHERE task = ? AND attempt = ?"
_COUNT_EVENTS = "UPDATE run SET events = events + ? WHERE id = ? RETURNING no, events"
_RESTART = """
UPDATE attempt SET lease_until = ?
WHERE state = 'running' AND task = (SELECT no FROM task WHERE run = ? AND id = ?) AND attempt = ?
"""
_END_ATTEMPT = "UPDATE attempt SET state = ?, ended_at = ?, error = ?, error_kind = ? WHERE task = ? AND attempt = ?"
_REPORT_ATTEMPT = """
UPDATE attempt SET state = ?, ended_at = ?, input_tokens = ?, output_tokens = ?, cache_read_tokens = ?,
  cache_write_tokens = ?, cost_usd = ?, seconds = ?, error = ?, error_kind = ?
WHERE task = ? AND attempt = ?
"""
_LATE_USAGE = """
UPDATE attempt SET input_tokens = ?, output_tokens = ?, cache_read_tokens = ?, cache_write_tokens = ?, cost_usd = ?,
  seconds = max(coalesce(seconds, 0.0), ?)
WHERE task = ? AND attempt = ? AND coalesce(cost_usd, 0.0) = 0.0
  AND coalesce(input_tokens + output_tokens + cache_read_tokens + cache_write_tokens, 0) = 0
"""
_INSERT_RESULT = """
INSERT INTO result (task, attempt, key, digest, unverified, body, blob, head) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
_INSERT_REPLAY = "INSERT INTO replay (task, source) VALUES (?, ?)"
_INSERT_EVENT = "INSERT INTO event (run, seq, kind, at, task, attempt, data) VALUES (?, ?, ?, ?, ?, ?, ?)"


@dataclass(frozen=True, slots=True)
class Body:
    """The text of an outcome as `result` keeps it: inline, or by the digest of a blob and without its output."""

    inline: str | None
    blob: str | None
    head: str | None = None


def run_row(conn: sqlite3.Connection, run_id: str) -> RunRow:
    """Returns a run's row. Raises UnknownHandle."""
    cells = conn.execute(SELECT_RUN, (codec.clean(run_id),)).fetchone()
    if cells is None:
        raise unknown_run(run_id)
    return RunRow._make(cells)


def unknown_run(run_id: str) -> errors.UnknownHandle:
    """Returns the answer for a run that does not exist or belongs to somebody else: the same for both."""
    return errors.UnknownHandle(f"There is no run {run_id!r}.", hint=NextStep(StepKind.LIST_RUNS))


def unknown_plan(plan_id: str, version: int | None = None) -> errors.UnknownHandle:
    """Returns the answer for a plan that does not exist or belongs to somebody else: the same for both."""
    plan_name = f"plan {plan_id!r}" if version is None else f"version {version} of plan {plan_id!r}"
    return errors.UnknownHandle(f"There is no {plan_name}.", hint=NextStep(StepKind.MAKE_PLAN))


def run_record(row: RunRow, counts: Mapping[str, int]) -> records.RunRecord:
    """Returns the public form of a run's row."""
    fields = row._asdict()
    del fields["no"], fields["events"], fields["verdict"]
    fields["owner"] = row.owner or ""
    fields["limits"] = codec.load(model.Limits, row.limits)
    return records.RunRecord(**fields, counts=dict(counts))


def record_of_cells(cells: tuple[object, ...]) -> records.RunRecord:
    """Returns the public form of a row that was selected with `COUNTS` behind its columns."""
    counts: dict[str, int] = json.loads(str(cells[-1]))
    return run_record(RunRow._make(cells[:-1]), counts)


TaskCells = tuple[int, str, str, str, int, int, int, float, str, str, int, str, int, int]


def task_row(cells: TaskCells) -> transitions.TaskRow:
    """Returns RunCore's form of a row of `SELECT_TASKS`."""
    _, task_id, worker, state, attempt, failures, crashes, ready_at, result, cause, rounds, stand_ins, *counts = cells
    kinds = KINDS[worker], STATES[state]
    more = codec.load_stand_ins(stand_ins), *counts
    return transitions.TaskRow(task_id, *kinds, attempt, failures, crashes, ready_at, result, cause, rounds, *more)


def usage_values(usage: model.Usage) -> tuple[object, ...]:
    """Returns a usage in the order of `USAGE_COLUMNS`, nothing of it beyond its bound."""
    if not usage.model_fields_set:
        return _NO_FIGURES
    amounts = [(getattr(usage, name), most) for name, most in bounds.USAGE.items()]
    return tuple([None if amount is None else min(max(0, amount), most) for amount, most in amounts])


def usage_of(cells: Sequence[model.Json]) -> model.Usage:
    """Returns the usage in cells in the order of `USAGE_COLUMNS`.

    What is beyond all bounds counts as the bound: files from before there were any may hold it, and sums of it.
    """
    if tuple(cells) == _NO_FIGURES:
        return _NOTHING_USED
    return model.Usage.within_bounds(dict(zip(bounds.USAGE, cells, strict=True)))


def figures_beyond(cells: Sequence[model.Json]) -> tuple[str, ...]:
    """Returns the names of the figures that no attempt can have used, in cells in the order of `USAGE_COLUMNS`."""
    if tuple(cells) == _NO_FIGURES:
        return ()
    names = zip(bounds.USAGE.items(), cells, strict=True)
    return tuple(name for (name, most), cell in names if cell is not None and not 0 <= cell <= most)


def free_id(conn: sqlite3.Connection, new: records.NewRun) -> str:
    """Returns the id of a new run, or one beside it if the principal has another run of the same short form."""
    for variant in short_ids.variants(new.id):
        name = codec.clean(short_ids.short(variant))
        if conn.execute(_SAME_NAME, (codec.clean(new.principal), name)).fetchone() is None:
            return variant
    return new.id


def insert_run(
    conn: sqlite3.Connection, new: records.NewRun, worker: str, *, server_driven: bool, now: float
) -> tuple[RunRow, int]:
    """Adds a run that has no tasks yet; returns its row, and the number that its first task gets."""
    text = codec.clean
    values = (text(new.id), text(new.plan_id), new.plan_version, text(new.principal), text(new.request_key), worker)
    flags = (text(new.workspace), new.dry_run, new.fresh, codec.dump(new.limits), server_driven, now, now)
    (row,) = conn.execute(_INSERT_RUN + _RETURN_RUN, (*values, *flags, text(new.title))).fetchall()
    return RunRow._make(row[:-1]), row[-1]


def update_run(conn: sqlite3.Connection, before: RunRow, row: RunRow) -> None:
    """Writes everything of a run that can change.

    Its end only where that has changed: a statement that names it writes the index of open runs each time.
    """
    changing = (row.state, row.owner, row.epoch, row.revision, row.paused, row.cancelled, row.events, row.updated_at)
    conn.execute(_UPDATE_RUN, (*changing, row.no))
    if (row.finished_at, row.verdict) != (before.finished_at, before.verdict):
        conn.execute(_END_RUN, (row.finished_at, row.verdict, row.no))


def moved_row(row: RunRow, core: state_machine.RunCore, state: model.RunState, *, now: float, events: int) -> RunRow:
    """Returns the row of a run after a change to a state; a run that is over belongs to nobody."""
    over = state in model.RUN_FINAL
    return row._replace(
        state=state.value,
        owner=None if over else row.owner,
        revision=row.revision + 1,
        paused=core.paused,
        cancelled=core.cancelled,
        events=events,
        updated_at=now,
        finished_at=(row.finished_at or now) if over else None,
        verdict=core.verdict.value if over and core.verdict else "",
    )


def insert_plan(conn: sqlite3.Connection, row: PlanRow, base_version: int | None) -> None:
    """Adds the next version of a plan; `base_version` is the one that it was made from, None for the newest.

    Raises:
        StaleVersion: it is not the next, or was not made from the newest.
        UnknownHandle: the plan is somebody else's.
    """
    newest, principal = conn.execute(_NEWEST_PLAN, (row.id,)).fetchone() or (0, row.principal)
    if principal != row.principal:
        raise unknown_plan(row.id)
    if row.version != newest + 1 or base_version not in (None, newest):
        base = row.version - 1 if base_version is None else base_version
        raise errors.StaleVersion(
            f"Plan {short_ids.short(row.id)!r} is at version {newest}; this change was made to version {base}.",
            hint=f"Read version {newest} and make the change again.",
        )
    conn.execute(_INSERT_PLAN, row)


def _task_values(row: transitions.TaskRow, number: int) -> tuple[object, ...]:
    cause = codec.clean(row.cause) if row.cause else ""
    counts = (row.attempt, row.failures, row.crashes)
    more = (row.rounds, codec.dump_stand_ins(row.stand_ins), row.false_starts, row.host_losses)
    return (str(row.state), *counts, row.ready_at, row.result, cause, *more, number)


def insert_tasks(conn: sqlite3.Connection, run_no: int, rows: Sequence[transitions.TaskRow], first: int) -> Numbers:
    """Adds the tasks of a run in plan order, numbered from `first`, and returns their numbers."""
    places = list(enumerate(rows))
    conn.executemany(
        _INSERT_TASK,
        [(*_task_values(row, first + place), run_no, row.id, place, str(row.worker)) for place, row in places],
    )
    return {row.id: first + place for place, row in places}


def update_tasks(conn: sqlite3.Connection, numbers: Numbers, rows: Iterable[transitions.TaskRow]) -> None:
    """Writes everything of some tasks that can change."""
    conn.executemany(_UPDATE_TASK, [_task_values(row, numbers[row.id]) for row in rows])


def place_tasks(
    conn: sqlite3.Connection, run_no: int, rows: Sequence[transitions.TaskRow], numbers: Numbers
) -> Numbers:
    """Puts the tasks of an edited plan in its order, adds those that are new, and returns the numbers of all."""
    first = conn.execute("SELECT coalesce(max(no), 0) + 1 FROM task").fetchone()[0]
    new_numbers = {row.id: first + place for place, row in enumerate([row for row in rows if row.id not in numbers])}
    moves = [(place, str(row.worker), numbers[row.id]) for place, row in enumerate(rows) if row.id in numbers]
    conn.executemany(_PLACE_TASK, moves)
    conn.executemany(
        _INSERT_TASK,
        [
            (*_task_values(row, new_numbers[row.id]), run_no, row.id, place, str(row.worker))
            for place, row in enumerate(rows)
            if row.id in new_numbers
        ],
    )
    return {**numbers, **new_numbers}


def restart_lease(conn: sqlite3.Connection, run_no: int, task_id: str, attempt: int, until: float) -> None:
    """Lets the lease of a running attempt end at another time, in seconds since the epoch."""
    conn.execute(_RESTART, (until, run_no, codec.clean(task_id), attempt))


def overdraw(conn: sqlite3.Connection, cells: Iterable[tuple[str, int, int]]) -> None:
    """Writes why attempts would break a ceiling if they began now: (reason or nothing, task number, attempt)."""
    conn.executemany(_OVERDRAW, cells)


def begin_attempts(
    conn: sqlite3.Connection,
    numbers: Numbers,
    starts: Iterable[transitions.Start],
    *,
    now: float,
    leases: Mapping[str, float],
) -> None:
    """Adds running attempts, each with the end of its task's lease if it has one."""
    conn.executemany(
        _BEGIN_ATTEMPT,
        [
            (numbers[start.task_id], start.attempt, str(start.worker), now, leases.get(start.task_id))
            for start in starts
        ],
    )


def end_attempts(
    conn: sqlite3.Connection, numbers: Numbers, ends: Iterable[transitions.AttemptEnd], now: float
) -> None:
    """Closes attempts that nobody reported."""
    conn.executemany(
        _END_ATTEMPT,
        [(str(end.state), now, end.error, end.error_kind, numbers[end.task_id], end.attempt) for end in ends],
    )


def report_attempts(
    conn: sqlite3.Connection, numbers: Numbers, reports: Iterable[transitions.Finished], now: float
) -> None:
    """Closes attempts with what was reported about them."""
    conn.executemany(_REPORT_ATTEMPT, [_report_values(report, numbers[report.task_id], now) for report in reports])


def _report_values(report: transitions.Finished, number: int, now: float) -> tuple[object, ...]:
    outcome = report.outcome
    texts = (codec.clean(outcome.error), codec.clean(outcome.error_kind))
    return (str(outcome.state), now, *usage_values(outcome.usage), *texts, number, report.attempt)


def add_late_usage(conn: sqlite3.Connection, numbers: Numbers, report: transitions.Finished) -> bool:
    """Keeps what a fenced-off attempt used, and returns whether it had not been counted yet: it was paid for."""
    usage = usage_values(report.outcome.usage)
    return conn.execute(_LATE_USAGE, (*usage, numbers[report.task_id], report.attempt)).rowcount == 1


def insert_results(conn: sqlite3.Connection, rows: Iterable[tuple[object, ...]]) -> None:
    """Adds accepted results: (task number, attempt, key, digest, unverified, inline body, blob digest, head).

    The newest of a task is the one that stands; those before it were sent back.
    """
    conn.executemany(_INSERT_RESULT, rows)


def insert_replays(conn: sqlite3.Connection, rows: Iterable[tuple[int, int]]) -> None:
    """Adds which results were replayed: (task number, number of the result)."""
    conn.executemany(_INSERT_REPLAY, rows)


def append_events(conn: sqlite3.Connection, run_id: str, notes: Sequence[transitions.NewEvent], now: float) -> None:
    """Appends events to a run whose tasks do not move: its revision stays, and machines in memory stay true.

    Raises:
        UnknownHandle: there is no such run.
    """
    key = codec.clean(run_id)
    cells = conn.execute(_COUNT_EVENTS, (len(notes), key)).fetchone()
    if cells is None:
        raise unknown_run(run_id)
    run_no, count = cells
    _insert_events(conn, run_no, count - len(notes), notes, now)


def insert_events(conn: sqlite3.Connection, row: RunRow, notes: Iterable[transitions.NewEvent], now: float) -> None:
    """Appends events behind the `row.events` that the run has."""
    _insert_events(conn, row.no, row.events, notes, now)


def _insert_events(
    conn: sqlite3.Connection, run_no: int, count: int, notes: Iterable[transitions.NewEvent], now: float
) -> None:
    conn.executemany(
        _INSERT_EVENT,
        [
            (run_no, seq, note.kind, now, note.task_id, note.attempt, codec.dump_map(note.data))
            for seq, note in enumerate(notes, count + 1)
        ],
    )
