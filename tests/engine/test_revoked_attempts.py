"""Attempts that somebody else has closed stop, and those beside them go on."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pulse_waits
import pytest
from engine_conformance import ended, new_run, reached, script, task

from dispatch_mcp import errors, model
from dispatch_mcp.engine import executor
from dispatch_mcp.engine.driving import run_engine
from dispatch_mcp.model import AttemptState, RunState, WorkerKind, ports, records, work_order
from dispatch_mcp.store import sqlite_store

pytestmark = pytest.mark.anyio

FAST = run_engine.Pace(look_s=0.01, takeover_s=0.05)


@dataclass
class Patient:
    """A worker that works until it is let go, and says which tasks it works on and which were stopped."""

    at_work: set[str] = field(default_factory=set[str])
    stopped: set[str] = field(default_factory=set[str])
    change: anyio.Event = field(default_factory=anyio.Event)
    gate: anyio.Event = field(default_factory=anyio.Event)

    async def carry_out(self, ctx: ports.TaskContext, work: work_order.WorkOrder) -> model.Outcome:
        self.at_work.add(work.task.id)
        ctx.beat(spent={"input_tokens": 7, "cost_usd": 0.5})
        self._tell()
        try:
            await self.gate.wait()
        except anyio.get_cancelled_exc_class():
            self.stopped.add(work.task.id)
            self._tell()
            raise
        return model.Outcome(state=AttemptState.SUCCEEDED)

    def _tell(self) -> None:
        self.change.set()
        self.change = anyio.Event()

    async def until(self, *, at_work: int = 0, stopped: int = 0) -> None:
        with anyio.fail_after(120):
            while len(self.at_work) < at_work or len(self.stopped) < stopped:
                await self.change.wait()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncGenerator[sqlite_store.Store]:
    async with sqlite_store.open_store(tmp_path / "home") as opened:
        yield opened


@asynccontextmanager
async def at_work(store: sqlite_store.Store, worker: Patient, *names: str) -> AsyncGenerator[tuple[Any, str]]:
    """Yields an engine and its run, once the worker works on every task."""
    async with executor.open_engine(store, {WorkerKind.SCRIPTED: worker}, pace=FAST) as engine:
        run_id = await new_run(store, *(task(name) for name in names))
        await engine.start(run_id)
        await worker.until(at_work=len(names))
        yield engine, run_id


async def test_a_cancelled_run_stops_its_workers(store: sqlite_store.Store) -> None:
    worker = Patient()
    async with at_work(store, worker, "a", "b") as (engine, run_id):
        await engine.signal(run_id, records.Action("cancel"))
        await worker.until(stopped=2)
        assert await ended(engine, run_id) is RunState.CANCELLED


async def test_a_task_that_is_skipped_stops_alone(store: sqlite_store.Store) -> None:
    worker = Patient()
    async with at_work(store, worker, "a", "b") as (engine, run_id):
        await engine.signal(run_id, records.Action("skip", "a"))
        await worker.until(stopped=1)
        worker.gate.set()
        assert await ended(engine, run_id) is RunState.SUCCEEDED
    assert worker.stopped == {"a"}


@pytest.mark.parametrize("action", ["cancel", "skip"])
async def test_what_a_stopped_worker_had_used_is_counted(store: sqlite_store.Store, action: Any) -> None:
    worker = Patient()
    async with at_work(store, worker, "a") as (engine, run_id):
        await engine.signal(run_id, records.Action(action, "a"))

        async def tokens() -> int:
            return (await store.spend(run_id)).tokens

        await pulse_waits.until(engine, tokens)
        assert await store.spend(run_id) == model.Usage(input_tokens=7, cost_usd=0.5)


async def test_a_cancel_of_another_process_stops_workers_too(tmp_path: Path, store: sqlite_store.Store) -> None:
    worker = Patient()
    async with (
        executor.open_engine(store, {WorkerKind.SCRIPTED: worker}, pace=FAST) as engine,
        sqlite_store.open_store(tmp_path / "home") as other,
    ):
        run_id = await new_run(store, task("a"), task("b", inputs=script(sleep_s=0.0)))
        await engine.start(run_id)
        await reached(engine, run_id, "attempt_started")
        await worker.until(at_work=2)
        await other.advance(run_id, records.Step(now=1.0, actions=[records.Action("cancel")]))
        await worker.until(stopped=2)


class Tidy(Patient):
    """One that puts its things away before it stops, which nobody interrupts."""

    async def carry_out(self, ctx: ports.TaskContext, work: work_order.WorkOrder) -> model.Outcome:
        try:
            return await super().carry_out(ctx, work)
        finally:
            with anyio.CancelScope(shield=True):
                for _ in range(3_000):
                    await anyio.lowlevel.checkpoint()
                self.at_work.discard(work.task.id)


async def test_an_engine_that_ends_stops_its_workers_and_waits_until_they_have_tidied_up(
    store: sqlite_store.Store,
) -> None:
    worker = Tidy()
    async with at_work(store, worker, "a", "b"):
        pass
    assert (worker.stopped, worker.at_work) == ({"a", "b"}, set())


async def test_a_drive_whose_attempt_is_fenced_off_ends_without_counting_as_failed(store: sqlite_store.Store) -> None:
    worker, refusals = Patient(), [errors.Fenced("Somebody else drives it.", hint="Stop.")]
    worker.gate.set()

    def turned_away_once(work: work_order.WorkOrder) -> work_order.WorkOrder:
        if refusals:
            raise refusals.pop()
        return work

    workers = {WorkerKind.SCRIPTED: worker}
    async with executor.open_engine(store, workers, make_order=turned_away_once, pace=FAST) as engine:
        run_id = await new_run(store, task("a"))
        await engine.start(run_id)
        assert await ended(engine, run_id) is RunState.SUCCEEDED
    assert "drive_failed" not in {event.kind for event in await store.events(run_id)}
