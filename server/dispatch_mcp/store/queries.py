"""The reads: one statement each, paged."""

from __future__ import annotations

import functools
import json
import operator
import os
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import anyio
import anyio.to_thread

from dispatch_mcp import errors, model
from dispatch_mcp.model import like_failures, ports, records, short_ids, transitions
from dispatch_mcp.next_steps import NextStep, StepKind
from dispatch_mcp.runs import state_machine
from dispatch_mcp.store import codec, messages, owner_locks, plan_shelf, samples, table_rows
from dispatch_mcp.store.looks import listed_runs
from dispatch_mcp.store.reader import Reader, Row
from dispatch_mcp.text.reading import excerpts

Named = Literal["run", "plan"]
"""What has an id that people give."""

MOST_FAILURES = 500
"""Failures of a run that are compared with each other."""

_RUN = f"SELECT {table_rows.RUN_COLUMNS}, {table_rows.COUNTS} FROM run WHERE id = ?1 AND ?2 IN (principal, '*')"  # noqa: S608
_RUNS = f"""
SELECT {table_rows.RUN_COLUMNS}, {table_rows.COUNTS} FROM run
WHERE principal = ? AND (NOT ? OR finished_at IS NULL)
  AND no < coalesce((SELECT no FROM run WHERE id = ?), 9223372036854775807)
ORDER BY no DESC LIMIT ?
"""  # noqa: S608  # constants
_FINISHED = "SELECT count(*) FROM run WHERE plan_id = ? AND principal = ? AND finished_at IS NOT NULL"
_VERSION = """
SELECT version FROM plan WHERE id = ?1 AND ?2 IN (principal, '*')
  AND version = coalesce(?3, (SELECT max(version) FROM plan WHERE id = ?1))
"""
_DOCUMENT = "SELECT document FROM plan WHERE id = ? AND version = ?"
_PLANS = """
SELECT document FROM plan AS newest
WHERE principal = ?1 AND version = (SELECT max(version) FROM plan WHERE id = newest.id)
  AND rowid < coalesce((SELECT max(rowid) FROM plan WHERE id = ?2), 9223372036854775807)
ORDER BY rowid DESC LIMIT ?3
"""
# The first is found by an index; the second, of the digits at the end, looks at all ids of a principal.
_IDS = """
SELECT DISTINCT id FROM {table} WHERE principal = ?1 AND id >= ?2 AND id < ?2 || char(1114111) LIMIT {most}
"""
_IDS_BY_NUMBER = (
    "SELECT DISTINCT id FROM {table} WHERE principal = ?1 AND substr(id, -32, length(?2)) = ?2 LIMIT {most}"
)
MOST_IDS = 6
"""Ids that a handle may begin before it is not worth naming more of them."""
_PRUNED = """
SELECT id, title, state, pruned_at FROM pruned_run
WHERE ?1 IN (principal, '*') AND id >= ?2 AND id < ?2 || char(1114111) LIMIT 2
"""
_TASKS = """
SELECT task.id, position, task.worker, task.state, attempt, failures, crashes, ready_at, result, cause, rounds,
  stand_ins, false_starts, host_losses
FROM task JOIN run ON run.no = task.run WHERE run.id = ? AND cause <> 'removed' ORDER BY position
"""
_NEWEST_ATTEMPT = """
SELECT task.id AS id, attempt.lease_until AS lease_until, attempt.beat AS beat,
  iif(attempt.beat <> '', NULL, (SELECT past.beat FROM attempt AS past WHERE past.task = task.no AND past.beat <> ''
   ORDER BY past.attempt DESC LIMIT 1)) AS last_beat,
  (SELECT past.error FROM attempt AS past
   WHERE past.task = task.no AND past.attempt < task.attempt AND past.error_kind <> 'no_agent'
   ORDER BY past.attempt DESC LIMIT 1) AS last_error,
  attempt.started_at AS started_at
FROM task JOIN attempt ON attempt.task = task.no AND attempt.attempt = task.attempt
"""
# Of tasks that wait for another attempt, or for somebody to decide what becomes of them.
_FAILURES = f"""
SELECT task.id AS id, attempt.error_kind AS error_kind, substr(attempt.error, 1, {excerpts.FAILURE.chars}) AS error
FROM task JOIN attempt ON attempt.task = task.no
WHERE task.run = run.no AND task.cause <> 'removed' AND attempt.error_kind <> ''
  AND (task.state = 'failed' OR (task.state IN ('ready', 'running', 'blocked')
    AND (task.failures > 0 OR task.crashes > 0 OR task.host_losses > 0 OR task.cause = '{transitions.RATE_LIMIT}')))
ORDER BY task.position, attempt.attempt LIMIT {MOST_FAILURES}
"""  # noqa: S608  # constants
# One statement, so that tasks and attempts are of one moment, and the version of the plan is the one they follow; that
# never changes. JSON keeps 15 digits of a number; times need 17.
_WHOLE_RUN = f"""
SELECT {table_rows.RUN_COLUMNS},
  (SELECT json_group_array(json_array(id, position, worker, state, attempt, failures, crashes,
      iif(ready_at = 0, 0, printf('%!.17g', ready_at)), result, cause, rounds, stand_ins, false_starts, host_losses))
   FROM task WHERE task.run = run.no AND cause <> 'removed'),
  (SELECT json_group_array(json_array(id, iif(lease_until IS NULL, NULL, printf('%!.17g', lease_until)), beat,
      last_beat, last_error, printf('%!.17g', started_at)))
   FROM ({_NEWEST_ATTEMPT} WHERE task.run = run.no AND task.state = 'running')),
  (SELECT json_group_array(json_array(id, error_kind, error)) FROM ({_FAILURES})),
  iif(run.finished_at IS NULL OR run.plan_version = 1, '[]',
    (SELECT json_group_array(json_extract(data, '$.{transitions.PROOF_LOSSES}')) FROM event
     WHERE event.run = run.no AND kind = '{transitions.PLAN_EDITED}' AND data LIKE '%"{transitions.PROOF_LOSSES}"%')),
  iif(run.finished_at IS NULL, 0,
    (SELECT count(*) FROM task JOIN attempt ON attempt.task = task.no
     WHERE task.run = run.no AND beat LIKE '%"{ports.LOSS}"%' AND json_extract(beat, '$.{ports.LOSS}') IS NOT NULL))
FROM run WHERE id = ?1 AND ?2 IN (principal, '*')
"""  # noqa: S608  # constants
_ONE_NEWEST_ATTEMPT = f"{_NEWEST_ATTEMPT} WHERE task.run = (SELECT no FROM run WHERE id = ?1) AND task.id = ?2"  # noqa: S608
_PLAN_TO_RUN = """
SELECT version, CASE WHEN version IS NOT ?3 THEN document END,
  (SELECT count(*) FROM run WHERE plan_id = ?1 AND principal = ?2 AND finished_at IS NOT NULL),
  (SELECT json_group_array(request_key) FROM (
    SELECT request_key FROM run WHERE plan_id = ?1 AND principal = ?2 AND finished_at IS NULL ORDER BY no DESC))
FROM plan WHERE id = ?1 AND principal = ?2 ORDER BY version DESC LIMIT 1
"""
_EVENTS = """
SELECT seq, kind, at, task, attempt, data FROM event
WHERE run = (SELECT no FROM run WHERE id = ?) AND seq > ? ORDER BY seq LIMIT ?
"""
_LAST_EVENT = "SELECT coalesce(max(seq), 0) FROM event WHERE run = (SELECT no FROM run WHERE id = ?)"
_BODIES = """
SELECT task.id, result.body, result.blob, result.head
FROM json_each(?2) AS wanted
JOIN task ON task.run = (SELECT no FROM run WHERE id = ?1) AND task.id = wanted.value
JOIN result ON result.no = coalesce(
  (SELECT own.no FROM result AS own WHERE own.task = task.no ORDER BY own.attempt DESC LIMIT 1),
  (SELECT source FROM replay WHERE replay.task = task.no))
"""
_ORIGINS = """
SELECT prints.key, json_extract(prints.value, '$[0]') FROM task
JOIN result ON result.no = coalesce(
  (SELECT own.no FROM result AS own WHERE own.task = task.no ORDER BY own.attempt DESC LIMIT 1),
  (SELECT source FROM replay WHERE replay.task = task.no))
JOIN json_each(result.body, '$.footprints') AS prints
WHERE task.run = (SELECT no FROM run WHERE id = ?) AND task.state IN ('succeeded', 'unverified')
"""
# An open run without an open task is a round of the council that nobody has settled.
_KEPT_BY = "SELECT id, revision FROM run WHERE owner = ? AND finished_at IS NULL ORDER BY no"
_BEGUN = f"""
SELECT task.id, task.attempt, task.worker,
  (SELECT json_extract(data, '$.{transitions.CEILING}') FROM event
   WHERE event.run = run.no AND kind = 'attempt_started' AND event.task = task.id AND event.attempt = task.attempt)
FROM run JOIN task ON task.run = run.no
WHERE run.id = ? AND task.state = 'running' AND task.worker NOT IN ('host', 'human')
"""  # noqa: S608  # constants
_LAST_DATA = """
SELECT data FROM event WHERE run = (SELECT no FROM run WHERE id = ?) AND kind = ? ORDER BY seq DESC LIMIT 1
"""
_LAST_BEAT = """
SELECT beat FROM run JOIN task ON task.run = run.no JOIN attempt ON attempt.task = task.no
WHERE run.id = ? AND task.id = ? AND beat <> '' ORDER BY attempt.attempt DESC LIMIT 1
"""
_FIRST_LOOK = f"""
SELECT beat FROM run JOIN task ON task.run = run.no JOIN attempt ON attempt.task = task.no
WHERE run.id = ? AND beat LIKE '%"{ports.LOOK}"%' AND json_extract(beat, '$.{ports.LOOK}') IS NOT NULL
  AND (json_extract(beat, '$.{ports.COPY}') IS NOT NULL) = ?
ORDER BY attempt.started_at, task.no LIMIT 1
"""  # noqa: S608  # constants
_RIVALS = """
SELECT run.id, run.plan_id, run.plan_version, task.id, attempt.state, attempt.ended_at, run.workspace
FROM run JOIN task ON task.run = run.no JOIN attempt ON attempt.task = task.no
WHERE run.workspace IN (SELECT value FROM json_each(?4)) AND run.id <> ?1 AND run.dry_run = 0
  AND (run.finished_at IS NULL OR run.finished_at >= ?2) AND task.worker NOT IN ('human', 'scripted') AND (
    (attempt.state = 'running' AND coalesce(attempt.lease_until, ?3) >= ?3)
    OR attempt.ended_at >= ?2)
ORDER BY attempt.ended_at IS NULL, run.no, task.no LIMIT 2000
"""
MOST_RIVALS = 200
"""Tasks of other runs of which one task of a run is told."""
_WORKSPACES = """
SELECT DISTINCT workspace, (SELECT workspace FROM run WHERE id = ?1) FROM run
WHERE id = ?1 OR (dry_run = 0 AND (finished_at IS NULL OR finished_at >= ?2))
"""
_BEGAN = """
SELECT task.id, min(attempt.started_at) FROM json_each(?2) AS wanted
JOIN task ON task.run = (SELECT no FROM run WHERE id = ?1) AND task.id = wanted.value
JOIN attempt ON attempt.task = task.no GROUP BY task.no
"""
_MAIL = """
SELECT
  (SELECT json_group_array(json_array(id, sender, recipient, kind, text, at, read))
   FROM (SELECT * FROM message WHERE run = no ORDER BY id)),
  CASE WHEN EXISTS (SELECT 1 FROM message WHERE run = no) THEN
    (SELECT json_group_array(json_array(kind, task, attempt, json(data))) FROM event
     WHERE run = no AND (kind = ?2 OR kind = ?3))
  ELSE '[]' END
FROM run WHERE id = ?1
"""
_INBOX = """
SELECT id, sender, recipient, kind, text, at, read FROM message
WHERE run = (SELECT no FROM run WHERE id = ?1) AND recipient = coalesce(?2, recipient) ORDER BY id
"""


_IDS_IN: Mapping[Named, tuple[str, str]] = {
    table: (_IDS.format(table=table, most=MOST_IDS), _IDS_BY_NUMBER.format(table=table, most=MOST_IDS))
    for table in ("run", "plan")
}


async def ids(reader: Reader, kind: Named, handle: str, principal: str) -> list[str]:
    """Returns the ids that begin with a handle, or else those whose number does; a few of many."""
    cells = (codec.clean(principal), codec.clean(handle))
    by_words, by_number = _IDS_IN[kind]
    rows = await reader.rows(by_words, cells)
    if not rows and short_ids.is_number(handle):
        rows = await reader.rows(by_number, cells)
    return [str(row[0]) for row in rows]


async def plan(
    reader: Reader, shelf: plan_shelf.Shelf, plan_id: str, version: int | None, principal: str
) -> model.Plan:
    """Returns a version of a plan. Raises UnknownHandle."""
    rows = await reader.rows(_VERSION, (codec.clean(plan_id), codec.clean(principal), version))
    if not rows:
        raise table_rows.unknown_plan(plan_id, version)
    return await _version(reader, shelf, plan_id, _number(rows[0][0]))


async def _version(reader: Reader, shelf: plan_shelf.Shelf, plan_id: str, version: int) -> model.Plan:
    """Returns a version of a plan that there is, read at most once while it is in use."""
    key = codec.clean(plan_id), version
    plan = shelf.get(key)
    if plan is None:
        plan = await reader.read(_DOCUMENT, key, lambda rows: shelf.put(key, str(rows[0][0])))
    return plan


async def plans(reader: Reader, principal: str, limit: int, after: str) -> list[model.Plan]:
    """Returns the newest versions of plans, latest first."""
    cells = (codec.clean(principal), codec.clean(after), limit)
    return await reader.read(_PLANS, cells, lambda rows: [codec.load(model.Plan, str(row[0])) for row in rows])


async def run(reader: Reader, run_id: str, principal: str) -> records.RunRecord:
    """Returns a run. Raises UnknownHandle."""
    rows = await reader.rows(_RUN, (codec.clean(run_id), codec.clean(principal)))
    if not rows:
        raise await _unknown_run(reader, run_id, principal)
    return table_rows.record_of_cells(rows[0])


async def begun_run(reader: Reader, principal: str, key: str) -> tuple[records.RunRecord, dict[str, model.Json]] | None:
    """Returns the run of a request key with the data of its first event and its first roster; None if there is none."""
    rows = await reader.rows(table_rows.SELECT_BEGUN, (codec.clean(principal), codec.clean(key)))
    return (table_rows.record_of_cells(rows[0][:-1]), codec.load_map(str(rows[0][-1]))) if rows else None


async def _unknown_run(reader: Reader, handle: str, principal: str) -> errors.UnknownHandle:
    """Returns the error for a run that is not there, with what became of one that was pruned."""
    key = codec.clean(handle)
    rows = await reader.rows(_PRUNED, (codec.clean(principal), key)) if key else []
    if len(rows) != 1:
        return table_rows.unknown_run(handle)
    run_id, title, state, at = rows[0]
    day = datetime.fromtimestamp(float(at or 0), UTC).date().isoformat()
    return errors.UnknownHandle(
        f"The run {short_ids.short(str(run_id))} ({title}) had ended {state} and was pruned on {day}.",
        hint=NextStep(StepKind.LIST_RUNS),
    )


async def whole_run(reader: Reader, shelf: plan_shelf.Shelf, run_id: str, principal: str) -> records.WholeRun:
    """Returns a run with its plan, tasks and running attempts, all of one moment. Raises UnknownHandle."""
    cells = (codec.clean(run_id), codec.clean(principal))
    parts = await reader.read(_WHOLE_RUN, cells, _parts_of_run)
    if parts is None:
        raise await _unknown_run(reader, run_id, principal)
    return parts._replace(plan=await _version(reader, shelf, parts.run.plan_id, parts.run.plan_version))


_POSITION, _STATE = operator.itemgetter(1), 3


def _parts_of_run(rows: Sequence[Row]) -> records.WholeRun | None:
    """Returns a row of `_WHOLE_RUN` as values, still with an empty plan; None if there is none."""
    if not rows:
        return None
    *cells, tasks_json, attempts_json, failures_json, edits_json, losses = rows[0]
    tasks, counts = _tasks_of(str(tasks_json))
    run = table_rows.run_record(table_rows.RunRow._make(cells), counts)
    return records.WholeRun(
        run,
        model.Plan(id=run.plan_id, tasks=()),
        list(tasks),
        [_newest_attempt(row) for row in json.loads(str(attempts_json))],
        [like_failures.Failure(*row) for row in json.loads(str(failures_json))],
        loosenings=json.loads(str(edits_json)),
        losses=int(str(losses)),
    )


@functools.lru_cache(2)
def _tasks_of(text: str) -> tuple[Sequence[records.TaskRecord], Mapping[str, int]]:
    """Returns the tasks of a run in plan order, and how many are in each state; the last ones stay read.

    A run is looked at again and again, and mostly nothing has changed.
    """
    rows: list[list[model.Json]] = sorted(json.loads(text), key=_POSITION)  # SQLite sorts less quickly
    counts = Counter([row[_STATE] for row in rows])
    return [_task(row) for row in rows], dict(sorted(counts.items()))


async def newest_attempt(reader: Reader, run_id: str, task_id: str) -> records.NewestAttempt:
    """Returns the newest attempt of a task; one without anything when none has begun."""
    rows = await reader.rows(_ONE_NEWEST_ATTEMPT, (codec.clean(run_id), codec.clean(task_id)))
    return _newest_attempt(rows[0]) if rows else records.NewestAttempt(task_id)


def _newest_attempt(row: Row) -> records.NewestAttempt:
    task_id, lease_until, beat, last_beat, last_error, started_at = row
    own_details = codec.load_map(str(beat or ""))
    return records.NewestAttempt(
        str(task_id),
        None if lease_until is None else float(lease_until),
        own_details,
        own_details or codec.load_map(str(last_beat or "")),  # an attempt's own is the newest, and may be long
        str(last_error or ""),
        float(started_at or 0.0),
    )


async def plan_to_run(reader: Reader, shelf: plan_shelf.Shelf, plan_id: str, principal: str) -> records.PlanToRun:
    """Returns the newest version of a plan with what a new run of it meets. Raises UnknownHandle."""
    plan_key = codec.clean(plan_id)
    copy = shelf.newest(plan_key)
    cells = plan_key, codec.clean(principal), copy and copy.version
    plan = await reader.read(_PLAN_TO_RUN, cells, lambda rows: _plan_to_run(rows, shelf, plan_key, copy))
    if plan is None:
        raise table_rows.unknown_plan(plan_id)
    return plan


def _plan_to_run(
    rows: Sequence[Row], shelf: plan_shelf.Shelf, plan_id: str, copy: model.Plan | None
) -> records.PlanToRun | None:
    """Returns a row of `_PLAN_TO_RUN`, which has no document if `copy` is the newest version; None if there is none."""
    if not rows:
        return None
    version, document, finished_count, keys = rows[0]
    newest = shelf.put((plan_id, _number(version)), str(document)) if copy is None or document is not None else copy
    return records.PlanToRun(newest, _number(finished_count), tuple(json.loads(str(keys))))


async def open_work(reader: Reader, run_ids: Iterable[str]) -> dict[str, records.OpenWork]:
    """Returns how many tasks of each run are ready or at work, by who does them."""
    work: dict[str, dict[tuple[model.WorkerKind, model.TaskState], int]] = {}
    for run_id, worker, state, count in await reader.rows(
        listed_runs.OPEN_WORK, (json.dumps([*map(codec.clean, run_ids)]),)
    ):
        key = table_rows.KINDS[str(worker)], table_rows.STATES[str(state)]
        work.setdefault(str(run_id), {})[key] = _number(count)
    return dict(work)


async def finished_runs(reader: Reader, plan_id: str, principal: str) -> int:
    """Returns how many runs of a plan are over."""
    rows = await reader.rows(_FINISHED, (codec.clean(plan_id), codec.clean(principal)))
    return _number(rows[0][0])


async def runs(reader: Reader, principal: str, *, open_only: bool, limit: int, after: str) -> list[records.RunRecord]:
    """Returns runs, latest first."""
    rows = await reader.rows(_RUNS, (codec.clean(principal), open_only, codec.clean(after), limit))
    return [table_rows.record_of_cells(row) for row in rows]


async def tasks(reader: Reader, run_id: str) -> list[records.TaskRecord]:
    """Returns the tasks of a run in plan order."""
    return await reader.read(_TASKS, (codec.clean(run_id),), lambda rows: [_task(row) for row in rows])


def _task(row: Sequence[model.Json]) -> records.TaskRecord:
    """Returns a row of tasks, of which there are thousands, so that no list is made of any part of it."""
    task_id, position, worker, state, attempt, failures, crashes, at, result, cause, rounds, names, starts, losses = row
    return records.TaskRecord(
        task_id,
        position,
        table_rows.KINDS[worker],
        table_rows.STATES[state],
        attempt,
        failures,
        crashes,
        float(at),
        result,
        cause,
        rounds,
        codec.load_stand_ins(names),
        starts,
        losses,
    )


async def events(reader: Reader, run_id: str, after: int, limit: int) -> list[model.Event]:
    """Returns a page of events."""
    cells = (codec.clean(run_id), after, limit)
    return await reader.read(_EVENTS, cells, lambda rows: [_event(run_id, row) for row in rows])


async def last_event(reader: Reader, run_id: str) -> int:
    """Returns the number of a run's newest event, 0 without one."""
    return _number((await reader.rows(_LAST_EVENT, (codec.clean(run_id),)))[0][0])


def _event(run_id: str, row: Row) -> model.Event:
    fields: dict[str, model.Json] = dict(zip(("seq", "kind", "at", "task_id", "attempt"), row[:5], strict=True))
    return model.Event(run_id=run_id, data=codec.load_map(str(row[5])), **fields)


async def bodies(reader: Reader, run_id: str, task_ids: Iterable[str]) -> dict[str, table_rows.Body]:
    """Returns the texts of accepted outcomes by task."""
    ids = json.dumps([codec.clean(task_id) for task_id in task_ids])
    rows = await reader.rows(_BODIES, (codec.clean(run_id), ids))
    return {str(row[0]): table_rows.Body(*map(_text, row[1:])) for row in rows}


def _number(cell: model.Json) -> int:
    return int(cell)


def _text(cell: model.Json) -> str | None:
    return None if cell is None else str(cell)


async def context_tokens(reader: Reader, principal: str) -> tuple[int, int]:
    """Returns the tokens of a principal's packs whose tasks named files, and of those files, each whole."""
    ((tokens_sent, whole),) = await reader.rows(listed_runs.CONTEXT, (codec.clean(principal),))
    return _number(tokens_sent), _number(whole)


async def last_data(reader: Reader, run_id: str, kind: str) -> dict[str, model.Json]:
    """Returns the data of a run's newest event of a kind, or nothing."""
    rows = await reader.rows(_LAST_DATA, (codec.clean(run_id), kind))
    return codec.load_map(str(rows[0][0])) if rows else {}


async def data_version(reader: Reader) -> int:
    """Returns SQLite's counter of commits by other connections (pragma data_version)."""
    return _number((await reader.rows("PRAGMA data_version"))[0][0])


async def adoptable(
    reader: Reader, home: Path, own: str, drives: Collection[str], kinds: Collection[model.WorkerKind]
) -> list[str]:
    """Returns runs that wait for an owner with such workers, or that `own` has and does not drive, oldest first."""
    entries = await reader.rows(listed_runs.ADOPTABLE, (json.dumps(sorted(kinds)),))
    rows = [(str(run_id), owner) for run_id, owner in entries if str(run_id) not in drives]
    owners = {str(owner) for _, owner in rows if owner is not None} - {own}
    alive = {owner for owner in owners if owner_locks.is_alive(home, owner)}
    return [run_id for run_id, owner in rows if owner not in alive]


async def kept_by(reader: Reader, owner: str) -> dict[str, int]:
    """Returns the open runs of an owner with their revisions, oldest first."""
    rows = await reader.rows(_KEPT_BY, (codec.clean(owner),))
    return {str(run_id): _number(revision) for run_id, revision in rows}


async def begun(reader: Reader, shelf: plan_shelf.Shelf, run_id: str) -> list[transitions.Start]:
    """Returns the attempts of the server's workers that run, as they began."""
    rows = await reader.rows(_BEGUN, (codec.clean(run_id),))
    if not rows:
        return []
    run, plan, tasks, *_ = await whole_run(reader, shelf, run_id, records.ANYBODY)
    core = state_machine.RunCore.restore(run.id, plan, map(records.row_of, tasks))
    return [
        transitions.Start(
            str(task_id),
            _number(attempt),
            table_rows.KINDS[str(worker)],
            core.key(str(task_id)),
            samples.allotment(ceiling) if ceiling else model.NO_LIMITS,
            core.row(str(task_id)).stand_ins,
        )
        for task_id, attempt, worker, ceiling in rows
    ]


async def last_beat(reader: Reader, run_id: str, task_id: str) -> dict[str, model.Json]:
    """Returns what the latest attempt with a beat left."""
    rows = await reader.rows(_LAST_BEAT, (codec.clean(run_id), codec.clean(task_id)))
    return codec.load_map(str(rows[0][0])) if rows else {}


async def first_look(reader: Reader, run_id: str, *, in_copy: bool) -> dict[str, model.Json]:
    """Returns what the first attempt left that was looked at in such a place: a copy, or the workspace itself."""
    rows = await reader.rows(_FIRST_LOOK, (codec.clean(run_id), int(in_copy)))
    return codec.load_map(str(rows[0][0])) if rows else {}


async def origins(reader: Reader, run_id: str) -> dict[str, set[str]]:
    """Returns the files that finished work of a run has left, with their states from before it, as far as known."""
    states: dict[str, set[str]] = {}
    for path, before in await reader.rows(_ORIGINS, (codec.clean(run_id),)):
        states.setdefault(str(path), set()).update([] if before is None else [str(before)])
    return states


async def rivals(
    reader: Reader, shelf: plan_shelf.Shelf, run_id: str, task_ids: Iterable[str], now: float
) -> dict[str, list[ports.Rival]]:
    """Returns by task of a run the tasks of other runs in the same folders that were at work since it began.

    Work in copies of its own is not among them, nor what the host was given and has not been heard of in time.
    """
    run_id, ids = codec.clean(run_id), json.dumps([codec.clean(task_id) for task_id in task_ids])
    began_at = {str(task_id): float(at or 0.0) for task_id, at in await reader.rows(_BEGAN, (run_id, ids))}
    since = min(began_at.values(), default=now)
    names = [(str(name), str(own)) for name, own in await reader.rows(_WORKSPACES, (run_id, since))]
    workspaces = await anyio.to_thread.run_sync(_shared_folders, names)
    rivals: list[ports.Rival] = []
    for other_id, plan_id, version, name, state, ended_at, workspace in await reader.rows(
        _RIVALS, (run_id, since, now, json.dumps(workspaces))
    ):
        plan = await _version(reader, shelf, str(plan_id), _number(version))
        spec = next((task for task in plan.tasks if task.id == name), None)
        if spec is not None and spec.files and spec.isolation != "worktree":
            is_out = state == model.AttemptState.RUNNING.value
            title = f"{name} of run {short_ids.short(str(other_id))}"
            rivals.append(ports.Rival(title, spec.files, None if is_out else float(ended_at or 0.0), str(workspace)))
    return {task_id: _rivals_since(rivals, at) for task_id, at in began_at.items()} if rivals else {}


def _rivals_since(rivals: Iterable[ports.Rival], began_at: float) -> list[ports.Rival]:
    return [rival for rival in rivals if rival.ended_at is None or rival.ended_at >= began_at][:MOST_RIVALS]


def _shared_folders(names: Sequence[tuple[str, str]]) -> list[str]:
    """Returns those of some workspaces that are really the one beside them, or lie in it or around it."""
    return [name for name, own in names if _overlap(os.path.realpath(name), os.path.realpath(own))]


def _overlap(first: str, second: str) -> bool:
    return Path(first).is_relative_to(second) or Path(second).is_relative_to(first)


async def mail(reader: Reader, run_id: str) -> records.Mail:
    """Returns the messages of a run and to whom they have come; one look, cheap where nobody writes.

    A message from before deliveries were recorded counts as read.
    """
    rows = await reader.rows(_MAIL, (codec.clean(run_id), messages.DELIVERED, messages.SENT))
    if not rows:
        return records.Mail()
    rows_of_messages, events = (json.loads(str(cell)) for cell in rows[0])
    traceable = {data["id"] for kind, _, _, data in events if kind == messages.SENT and data.get(messages.FOLLOWED)}
    mail = [_message(run_id, row) for row in rows_of_messages]
    return records.Mail(
        tuple(note if note.id in traceable else note.model_copy(update={"read": True}) for note in mail),
        tuple(
            records.Delivery(int(number), task_id, data["means"], attempt)
            for kind, task_id, attempt, data in events
            if kind == messages.DELIVERED
            for number in data["ids"]
        ),
    )


def _message(run_id: str, cells: Sequence[model.Json]) -> model.Message:
    names = ("id", "sender", "recipient", "kind", "text", "at", "read")
    return model.Message(run_id=run_id, **dict[str, model.Json](zip(names, cells, strict=True)))


async def inbox(reader: Reader, run_id: str, recipient: str | None) -> list[model.Message]:
    """Returns messages in the order they were sent."""
    name = None if recipient is None else codec.clean(recipient)
    return [_message(run_id, row) for row in await reader.rows(_INBOX, (codec.clean(run_id), name))]
