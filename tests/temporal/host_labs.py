"""Processes of the product around a Temporal server: the one that drives, and hosts of workers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import engine_labs

from dispatch_mcp import composition, configuration, model
from dispatch_mcp.engine.driving import run_engine
from dispatch_mcp.model import RunState, WorkerKind, records
from dispatch_mcp.service import dispatcher
from dispatch_mcp.store import sqlite_store

PYTHON = ("python", "-S", "-c")
ALLOW = json.dumps([[*PYTHON, "**"]])


def environment(server: engine_labs.Server, home: Path, **more: str) -> dict[str, str]:
    return {
        **os.environ,
        "DISPATCH_MCP_HOME": str(home),
        "DISPATCH_MCP_ENGINE": "temporal",
        "DISPATCH_MCP_ALLOW_COMMANDS": ALLOW,
        "TEMPORAL_ADDRESS": server.address,
        **more,
    }


@contextmanager
def process(
    env: Mapping[str, str], *arguments: str, cwd: Path, log: Path | None = None
) -> Generator[subprocess.Popen[bytes]]:
    """Yields a `dispatch-mcp`, which is killed at the end; `log` is where its words go."""
    command = [sys.executable, "-m", "dispatch_mcp", *arguments]
    with (log or Path(os.devnull)).open("ab") as out:
        child = subprocess.Popen(command, env=env, cwd=cwd, stdout=out, stderr=out)
        try:
            yield child
        finally:
            child.kill()
            child.wait()


@asynccontextmanager
async def control(home: Path, workspace: Path, **values: Any) -> AsyncGenerator[dispatcher.Dispatcher]:
    """Yields a dispatcher whose runs Temporal drives, and that does no work itself."""
    env = {"DISPATCH_MCP_ALLOW_COMMANDS": ALLOW}
    loaded = configuration.load(env, flags={"home": home, "workspace": workspace}, cwd=workspace).settings
    chosen = loaded.model_copy(update={"engine": "temporal", "temporal_slots": 0, **values})
    async with composition.open_dispatcher(chosen, chat=False) as app:
        yield app


async def new_commands(
    store: sqlite_store.Store, workspace: Path, *tasks: model.Task, run_id: str = "c" * 32, max_parallel: int = 10
) -> str:
    plan = model.Plan(id=f"plan-{run_id}", tasks=tasks, max_parallel=max_parallel, workspace=str(workspace))
    await store.save_plan(plan, records.LOCAL)
    new = records.NewRun(
        id=run_id, plan_id=plan.id, plan_version=1, worker=WorkerKind.COMMAND, workspace=str(workspace), fresh=True
    )
    await store.create_run(new)
    return run_id


async def over(engine: run_engine.RunEngine, run_id: str, *, patience_s: float = 300) -> RunState:
    with anyio.fail_after(patience_s):
        async for _ in engine.events(run_id):
            pass
    return (await engine.status(run_id)).state


async def eventually(look: Callable[[], bool]) -> None:
    """Returns once a look at something outside of the process shows what is waited for."""
    with anyio.fail_after(120):
        while True:
            if await anyio.to_thread.run_sync(look):
                return
            await anyio.sleep(0.05)


def command(task_id: str, *argv: str, **more: Any) -> model.Task:
    return model.Task(id=task_id, do=f"do {task_id}", worker=WorkerKind.COMMAND, command=(*PYTHON, *argv), **more)
