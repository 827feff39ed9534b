"""What every engine must do, whatever drives its runs. A test module for an engine provides `drive` and `store`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anyio

from dispatch_mcp import model
from dispatch_mcp.engine.driving import run_engine
from dispatch_mcp.model import RunState, WorkerKind, records
from dispatch_mcp.store import sqlite_store

LONG = 120.0


def script(**steps: model.Json) -> dict[str, model.Json]:
    return {"script": steps}


def task(task_id: str, deps: Sequence[str] = (), **fields: Any) -> model.Task:
    return model.Task(id=task_id, do=f"do {task_id}", deps=tuple(deps), worker=WorkerKind.SCRIPTED, **fields)


async def new_run(store: sqlite_store.Store, *tasks: model.Task, run_id: str = "a" * 32, max_parallel: int = 5) -> str:
    plan = model.Plan(id=f"plan-{run_id}", tasks=tasks, max_parallel=max_parallel)
    await store.save_plan(plan, records.LOCAL)
    new = records.NewRun(id=run_id, plan_id=plan.id, plan_version=1, worker=WorkerKind.SCRIPTED)
    await store.create_run(new)
    return run_id


async def ended(engine: run_engine.RunEngine, run_id: str) -> RunState:
    with anyio.fail_after(LONG):
        async for _ in engine.events(run_id):
            pass
    return (await engine.status(run_id)).state


async def reached(engine: run_engine.RunEngine, run_id: str, kind: str, count: int = 1) -> None:
    """Returns when so many events of a kind have happened."""
    seen = 0
    with anyio.fail_after(LONG):
        async for event in engine.events(run_id):
            seen += event.kind == kind
            if seen >= count:
                return
