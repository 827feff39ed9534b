"""A look at the open runs of a folder with the standard library alone, for programs that must start fast.

It reads the store as it lies there and changes nothing, not even the files that SQLite keeps beside it. A store that
is locked or broken raises sqlite3.Error, after `WAIT_S` at most.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple

FILE: Final = "state.db"
"""The store's database in its state directory."""

PRINCIPAL: Final = "local"
"""Whose runs these are: `records.LOCAL`, whom sessions on this machine are; others come over HTTP."""

WAIT_S: Final = 0.1
"""Seconds that a look waits for SQLite."""

_SELECT: Final = f"""
SELECT run.id, run.workspace, run.limits, run.paused, run.state,
  (SELECT coalesce(nullif(json_extract(document, '$.title'), ''), json_extract(document, '$.request'))
   FROM plan WHERE plan.id = run.plan_id AND version = run.plan_version),
  count(task.no),
  coalesce(sum(task.state IN ('succeeded', 'unverified', 'skipped')), 0),
  coalesce(sum(task.state = 'running'), 0),
  coalesce(sum(task.state = 'running' AND task.worker = 'human'), 0),
  (SELECT total(cost_usd) FROM attempt JOIN task AS work ON work.no = attempt.task WHERE work.run = run.no),
  run.created_at
FROM run JOIN task ON task.run = run.no
WHERE run.finished_at IS NULL AND run.principal = '{PRINCIPAL}' AND task.cause <> 'removed'
GROUP BY run.no ORDER BY run.no DESC
"""  # noqa: S608  # constants
_SELECT_PLACES: Final = f"""
SELECT workspace FROM run WHERE (finished_at IS NULL OR finished_at > ?) AND principal = '{PRINCIPAL}'
"""  # noqa: S608  # constants

# An attempt's heartbeat keeps how the host was asked to call its subagent, and which session has begun it.
_TASKS: Final = f"""
SELECT run.id, workspace, run.state, run.finished_at IS NOT NULL, task.id, task.state, task.worker, task.attempt,
  CASE WHEN json_valid(beat) THEN json_extract(beat, '$.call.subagent_type') END,
  CASE WHEN json_valid(beat) THEN json_extract(beat, '$.session.id') END,
  CASE WHEN json_valid(beat) THEN json_extract(beat, '$.session.pid') END,
  CASE WHEN json_valid(beat) THEN json_extract(beat, '$.session.call') END, run.paused
FROM run JOIN task ON task.run = run.no LEFT JOIN attempt ON attempt.task = task.no AND attempt.attempt = task.attempt
WHERE task.cause <> 'removed' AND run.principal = '{PRINCIPAL}' AND {{condition}} ORDER BY run.no DESC, position
"""  # noqa: S608  # constants
_SELECT_END: Final = """
SELECT run.state, sum(task.state = 'succeeded'), sum(task.state = 'unverified'), sum(task.state <> 'skipped')
FROM run JOIN task ON task.run = run.no WHERE run.id = ? AND task.cause <> 'removed' GROUP BY run.no
"""
_SELECT_REVIEW: Final = """
SELECT 1 FROM run JOIN plan ON plan.id = run.plan_id AND version = run.plan_version,
  json_each(document, '$.tasks') AS spec
WHERE run.id = ? AND json_extract(spec.value, '$.id') = ? AND coalesce(json_array_length(spec.value, '$.reviews'), 0)
"""
_SELECT_CEILING: Final = """
SELECT json_extract(data, '$.limit'), json_extract(data, '$.ceiling'), json_extract(data, '$.spent')
FROM event WHERE run = (SELECT no FROM run WHERE id = ?) AND kind = 'limit_reached'
  AND json_extract(data, '$.ceiling') IS NOT NULL AND json_extract(data, '$.spent') IS NOT NULL
ORDER BY seq DESC LIMIT 1
"""
_SELECT_RUNS: Final = f"""
SELECT id, workspace FROM run WHERE principal = '{PRINCIPAL}' AND {{condition}} ORDER BY no DESC LIMIT {{most}}
"""  # noqa: S608  # constants
_MOST_RUNS: Final = 100
"""Runs, the newest first, among which the latest of a folder is looked for."""

_IS_AT_WORK: Final = "run.finished_at IS NULL AND task.state = 'running'"
_RUN_BEGINS_WITH: Final = "run.id >= ?1 AND run.id < ?1 || char(1114111)"
_RUN_NUMBER_BEGINS_WITH: Final = "substr(run.id, -32, length(?1)) = ?1"


class OpenRun(NamedTuple):
    """A run that is not over: `ends` of its `tasks` are done, and as many decisions wait for `people`.

    `dollars` are spent, `limits` are its ceilings as JSON.
    """

    id: str
    workspace: str
    limits: str
    is_paused: int
    state: str
    title: str | None
    tasks: int
    ends: int
    running: int
    people: int
    dollars: float
    created_at: float


class TaskLook(NamedTuple):
    """A task of a run, with who has begun its newest attempt, and by which call.

    `agent` is whom the host was asked to call for it; `is_paused` is whether somebody has paused the run.
    """

    run: str
    workspace: str
    run_state: str
    is_over: int
    id: str
    state: str
    worker: str
    attempt: int
    agent: str | None
    session: str | None
    pid: int | None
    call: str | None
    is_paused: int

    @property
    def is_out(self) -> bool:
        """Whether the task is out with the host."""
        return self.worker == "host" and self.state == "running"


def places(*paths: str | None) -> frozenset[str]:
    """Returns the folders that these paths name, each as it is written and as it is on the disk."""
    names = [path for path in paths if path and "\0" not in path]
    return frozenset(form(name) for name in names for form in (os.path.normpath, os.path.realpath))


def is_within(workspace: str, folders: Collection[str]) -> bool:
    """Returns whether one of these folders is a run's workspace, or lies in it."""
    return any(folder == workspace or folder.startswith(workspace.rstrip(os.sep) + os.sep) for folder in folders)


def is_there(home: str) -> bool:
    """Returns whether a state directory has a store."""
    return os.path.isfile(os.path.join(home, FILE))


def has_any(home: str, folders: Collection[str], ended_since: float = float("inf")) -> bool:
    """Returns whether any run of these folders is open, or has ended after a time in Unix seconds."""
    return any(is_within(workspace, folders) for (workspace,) in _rows(home, _SELECT_PLACES, (ended_since,)))


def of(home: str, folders: Collection[str]) -> list[OpenRun]:
    """Returns the open runs of these folders, the newest first."""
    return [run for row in _rows(home, _SELECT) if is_within((run := OpenRun(*row)).workspace, folders)]


def at_work(home: str, folders: Collection[str]) -> list[TaskLook]:
    """Returns what is out with the host or waits for a person in the open runs of these folders, the newest first."""
    return [
        look
        for row in _rows(home, _TASKS.format(condition=_IS_AT_WORK))
        if is_within((look := TaskLook(*row)).workspace, folders)
    ]


def task(home: str, run: str, task_id: str) -> list[TaskLook]:
    """Returns the tasks with that id of the runs that a handle begins, in any folder: several where it is too short."""
    for condition in (_RUN_BEGINS_WITH, _RUN_NUMBER_BEGINS_WITH):
        if rows := _rows(home, _TASKS.format(condition=f"{condition} AND task.id = ?2"), (run, task_id)):
            return [TaskLook(*row) for row in rows]
    return []


def named(home: str, handle: str) -> list[str]:
    """Returns the ids of the runs that a handle begins, in any folder; at most two."""
    for condition in (_RUN_BEGINS_WITH, _RUN_NUMBER_BEGINS_WITH):
        if rows := _rows(home, _SELECT_RUNS.format(condition=condition, most=2), (handle,)):
            return [run for run, _ in rows]
    return []


def latest(home: str, folders: Collection[str]) -> str:
    """Returns the id of the newest run of these folders, empty if there is none."""
    rows = _rows(home, _SELECT_RUNS.format(condition="1", most=_MOST_RUNS))
    return next((run for run, workspace in rows if workspace in folders), "")


class Ceiling(NamedTuple):
    """A ceiling that a run waits at, by its name, and how much of it there is by now."""

    limit: str
    amount: float
    use: float


def ceiling_of(home: str, run: str) -> Ceiling | None:
    """Returns the ceiling that a run met last, None if it has met none of its own."""
    return next((Ceiling(*row) for row in _rows(home, _SELECT_CEILING, (run,))), None)


class RunEnd(NamedTuple):
    """How a run is: its state, and how many of its tasks, but for skipped ones, are proven or only claimed."""

    state: str
    proven: int
    unproven: int
    total: int


def end_of(home: str, run: str) -> RunEnd | None:
    """Returns how a run is, None if there is no run of that id."""
    return next((RunEnd(*row) for row in _rows(home, _SELECT_END, (run,))), None)


def is_review(home: str, run: str, task_id: str) -> bool:
    """Returns whether a task of a run reviews others, so that its answer is a verdict and no handoff."""
    return bool(_rows(home, _SELECT_REVIEW, (run, task_id)))


def _rows(home: str, statement: str, cells: tuple[str | float, ...] = ()) -> Sequence[tuple[Any, ...]]:
    if not is_there(home):
        return ()
    import sqlite3

    file = os.path.join(home, FILE)

    # Without a log beside it nobody has the file open, and all of it is in the one file: SQLite then needs no others.
    mode = "mode=ro" if os.path.exists(f"{file}-wal") else "immutable=1"
    with contextlib.closing(sqlite3.connect(f"file:{_quoted(file)}?{mode}", uri=True, timeout=WAIT_S)) as conn:
        return conn.execute(statement, cells).fetchall()


def _quoted(path: str) -> str:
    """Returns a path as SQLite reads it in a URI."""
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
