"""The attempts of a run as every engine carries them out."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import pytest
from engine_conformance import new_run, script, task

from dispatch_mcp import model
from dispatch_mcp.engine import attempt_driver, order_builder
from dispatch_mcp.engine.driving import run_attempts
from dispatch_mcp.model import AttemptState, WorkerKind, ports, records, transitions, work_order
from dispatch_mcp.store import sqlite_store
from dispatch_mcp.workers import scripted

pytestmark = pytest.mark.anyio


@pytest.fixture
async def store(tmp_path: Path) -> AsyncGenerator[sqlite_store.Store]:
    async with sqlite_store.open_store(tmp_path / "home") as opened:
        yield opened


class Spending:
    """A worker that says what it has used and never comes to an end."""

    def __init__(self) -> None:
        self.begun = anyio.Event()

    async def carry_out(self, ctx: ports.TaskContext, work: work_order.WorkOrder) -> model.Outcome:
        ctx.beat(spent={"input_tokens": 7})
        self.begun.set()
        await anyio.sleep_forever()
        raise AssertionError


def attempts(store: sqlite_store.Store, worker: ports.Worker, run_id: str) -> run_attempts.RunAttempts:
    driver = attempt_driver.AttemptDriver(store)
    means = run_attempts.AttemptMeans(store, {WorkerKind.SCRIPTED: worker}, order_builder.bare, driver)
    return run_attempts.RunAttempts(means, run_id)


async def begun(store: sqlite_store.Store, *tasks: model.Task) -> tuple[str, transitions.Start]:
    run_id = await new_run(store, *tasks)
    advance = await store.advance(run_id, records.Step(now=1.0, start=transitions.SERVER_WORKERS))
    return run_id, advance.starts[0]


async def test_an_attempt_tells_how_it_ended(store: sqlite_store.Store) -> None:
    run_id, start = await begun(store, task("a", inputs=script(output={"port": 1})))
    ends: list[transitions.Finished] = []
    await attempts(store, scripted.ScriptedWorker(), run_id).carry_out(1, start, ends.append)
    [end] = ends
    assert (end.task_id, end.attempt, end.outcome.output) == ("a", 1, {"port": 1})


async def test_an_attempt_that_is_stopped_tells_what_it_had_used(store: sqlite_store.Store) -> None:
    run_id, start = await begun(store, task("a"))
    ends: list[transitions.Finished] = []
    worker = Spending()
    with anyio.fail_after(120):
        async with anyio.create_task_group() as group:
            group.start_soon(attempts(store, worker, run_id).carry_out, 1, start, ends.append)
            await worker.begun.wait()
            group.cancel_scope.cancel()
    [end] = ends
    assert (end.outcome.state, end.outcome.usage.input_tokens) == (AttemptState.CANCELLED, 7)


async def test_a_run_that_is_not_there_is_a_fault_of_ours_and_not_the_workers(store: sqlite_store.Store) -> None:
    ends: list[transitions.Finished] = []
    nobody = attempts(store, scripted.ScriptedWorker(), "nowhere")
    await nobody.carry_out(1, transitions.Start("a", 1, WorkerKind.SCRIPTED, "k"), ends.append)
    assert ends[0].outcome.error_kind == transitions.FAULT
