"""Small plans and the moves that tests make with them."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from dispatch_mcp import model
from dispatch_mcp.model import records, transitions
from dispatch_mcp.store import owner_locks, sqlite, sqlite_store

SERVER = transitions.SERVER_WORKERS
HOST = transitions.HOST_WORKERS


def everything_below(folder: Path) -> bytes:
    """Returns the contents of all files, one after the other."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def chain(*ids: str, plan_id: str = "plan", version: int = 1, **fields: Any) -> model.Plan:
    """A plan of tasks one after the other."""
    tasks = [
        model.Task(id=task_id, do=f"do {task_id}", deps=ids[place - 1 : place], **fields)
        for place, task_id in enumerate(ids)
    ]
    return model.Plan(id=plan_id, version=version, tasks=tuple(tasks))


def fan(*ids: str, plan_id: str = "plan", parallel: int = 5) -> model.Plan:
    """A plan of independent tasks."""
    tasks = tuple(model.Task(id=task_id, do=f"do {task_id}") for task_id in ids)
    return model.Plan(id=plan_id, tasks=tasks, max_parallel=parallel)


def new_run(run_id: str = "run", worker: str = "scripted", **fields: Any) -> records.NewRun:
    asked: dict[str, Any] = {"plan_id": "plan", "plan_version": 1, **fields}
    return records.NewRun(id=run_id, worker=model.WorkerKind(worker), **asked)


def done(summary: str = "done", **fields: Any) -> model.Outcome:
    return model.Outcome(state=model.AttemptState.SUCCEEDED, summary=summary, **fields)


def failed(*, retryable: bool = False, **fields: Any) -> model.Outcome:
    return model.Outcome(state=model.AttemptState.FAILED, error="no", error_kind="test", retryable=retryable, **fields)


def report(
    start: transitions.Start | records.AttemptRecord, outcome: model.Outcome | None = None
) -> transitions.Finished:
    return transitions.Finished(start.task_id, start.attempt, outcome or done())


def step(
    owner: records.Owner | None = None,
    *finished: transitions.Finished,
    now: float | None = None,
    start: frozenset[model.WorkerKind] = SERVER,
    **fields: Any,
) -> records.Step:
    return records.Step(now=time.time() if now is None else now, owner=owner, finished=finished, start=start, **fields)


@asynccontextmanager
async def running(
    home: Path, plan: model.Plan, worker: str = "scripted", **fields: Any
) -> AsyncGenerator[tuple[sqlite_store.Store, records.Owner]]:
    """A store with one run, `run`, that a live owner drives."""
    async with sqlite_store.open_store(home) as store:
        await store.save_plan(plan, records.LOCAL)
        await store.create_run(new_run(worker=worker, **fields))
        with owner_locks.OwnerLock(home) as lock:
            epoch = await store.adopt("run", lock.id)
            assert epoch is not None
            yield store, records.Owner(lock.id, epoch)


async def drive(store: sqlite_store.Store, run_id: str, owner: records.Owner) -> records.Advance:
    """Carries a run to its end; every task succeeds."""
    advance = await store.advance(run_id, step(owner))
    while advance.starts:
        advance = await store.advance(run_id, step(owner, *map(report, advance.starts)))
    return advance


async def kinds(store: sqlite_store.Store, run_id: str = "run") -> list[str]:
    return [event.kind for event in await store.events(run_id)]


def raw(home: Path, statement: str, values: Sequence[model.Json] = ()) -> list[tuple[model.Json, ...]]:
    """Runs a statement on the file behind the store's back."""
    with closing(sqlite3.connect(home / sqlite.FILE, isolation_level=None, timeout=120)) as conn:
        return conn.execute(statement, values).fetchall()


def faults(home: Path) -> list[str]:
    """Everything in the file that contradicts something else in it."""
    wrong = {
        "an event is missing": "SELECT id FROM run WHERE events <> (SELECT count(*) FROM event WHERE run = run.no)",
        "a running task has no running attempt": """
            SELECT id FROM task WHERE state = 'running' AND NOT EXISTS (SELECT 1 FROM attempt
            WHERE attempt.task = task.no AND attempt.attempt = task.attempt AND attempt.state = 'running')""",
        "an attempt runs without its task": """
            SELECT id FROM attempt JOIN task ON task.no = attempt.task
            WHERE attempt.state = 'running' AND (task.state <> 'running' OR task.attempt <> attempt.attempt)""",
        "a finished task has no result": """
            SELECT id FROM task WHERE state IN ('succeeded', 'unverified')
            AND no NOT IN (SELECT task FROM result) AND no NOT IN (SELECT task FROM replay)""",
        "a result belongs to no finished task": """
            SELECT id FROM result JOIN task ON task.no = result.task
            WHERE task.state NOT IN ('succeeded', 'unverified') OR task.result <> result.digest""",
        "a result comes from an attempt that did not succeed": """
            SELECT task FROM result WHERE NOT EXISTS (SELECT 1 FROM attempt
            WHERE attempt.task = result.task AND attempt.attempt = result.attempt AND attempt.state = 'succeeded')""",
        "a task succeeded twice": """
            SELECT task FROM attempt WHERE state = 'succeeded' GROUP BY task HAVING count(*) > 1""",
        "a reference leads nowhere": "PRAGMA foreign_key_check",
    }
    found = [f"{what}: {rows}" for what, query in wrong.items() if (rows := raw(home, query))]
    [(health,)] = raw(home, "PRAGMA integrity_check(1)")
    return found if health == "ok" else [*found, str(health)]
