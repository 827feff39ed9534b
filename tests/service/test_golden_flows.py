"""The three flows of docs/rules.md#task-document-format, run by the real engine while the test turns the time."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import dispatcher_setup
import pytest

from dispatch_mcp.agents import catalog
from dispatch_mcp.engine import executor
from dispatch_mcp.model import WorkerKind
from dispatch_mcp.service import dispatcher, plan_proposals
from dispatch_mcp.store import sqlite_store
from dispatch_mcp.workers import host, scripted

pytestmark = pytest.mark.anyio


@dataclass
class Hourglass:
    """Time that passes only when the test lets it; `now` is in seconds."""

    now: float = 0.0
    asleep: list[tuple[float, anyio.Event]] = field(default_factory=list[tuple[float, anyio.Event]])
    changed: anyio.Event = field(default_factory=anyio.Event)

    async def sleep(self, seconds: float) -> None:
        waking = anyio.Event()
        self.asleep.append((self.now + seconds, waking))
        self.changed.set()
        await waking.wait()

    async def until(self, sleepers: int) -> None:
        """Returns once that many tasks are at work at the same time."""
        with anyio.fail_after(120):
            while len(self.asleep) < sleepers:
                self.changed = anyio.Event()
                await self.changed.wait()

    def turn(self) -> None:
        """Lets the task that is done next finish."""
        self.asleep.sort(key=lambda pair: pair[0])
        self.now, waking = self.asleep.pop(0)
        waking.set()


@asynccontextmanager
async def opened(home: Path, glass: Hourglass) -> AsyncGenerator[dispatcher_setup.Desk]:
    clock = dispatcher_setup.Clock()
    workers = {WorkerKind.SCRIPTED: scripted.ScriptedWorker(sleep=glass.sleep)}
    async with (
        sqlite_store.open_store(home, clock=clock) as store,
        executor.open_engine(store, workers, clock=clock, pace=dispatcher_setup.PACE) as engine,
    ):
        app = dispatcher.Dispatcher(
            store=store,
            engine=engine,
            rules=plan_proposals.PlanningRules(workspace=str(home.parent)),
            catalog=lambda: catalog.EMPTY,
            assign=host.assignment,
            clock=clock,
        )
        yield dispatcher_setup.Desk(app, clock, dispatcher_setup.Counting())


def task(task_id: str, seconds: float, *deps: str) -> dict[str, Any]:
    script = {"sleep_s": seconds, "result": f"result of {task_id}"}
    return {
        "task_id": task_id,
        "description": task_id,
        "dependencies": list(deps),
        "worker": "scripted",
        "input_data": {"script": script},
    }


async def test_three_generations_take_as_long_as_the_longest(tmp_path: Path) -> None:
    glass = Hourglass()
    async with opened(tmp_path / "home", glass) as desk:
        names = {"gen-user-writer": 30.0, "gen-product-reader": 50.0, "gen-order-updater": 20.0}
        plan_id = await desk.planned(*(task(name, seconds) for name, seconds in names.items()))
        run = await desk.app.dispatch(plan_id=plan_id, worker="scripted")
        await glass.until(3)
        for _ in names:
            glass.turn()
        assert (await desk.ended(run.run_id)).state == "succeeded"
        assert glass.now == max(names.values())


async def test_a_repair_waits_for_the_finding_and_gets_it(tmp_path: Path) -> None:
    glass = Hourglass()
    async with opened(tmp_path / "home", glass) as desk:
        plan_id = await desk.planned(task("debug-auth-failure", 40), task("gen-fixed-auth", 25, "debug-auth-failure"))
        run = await desk.app.dispatch(plan_id=plan_id, worker="scripted")
        await glass.until(1)
        assert (await desk.states(run.run_id))["gen-fixed-auth"] == "blocked"
        glass.turn()
        await glass.until(1)
        glass.turn()
        assert (await desk.ended(run.run_id)).state == "succeeded"
        assert glass.now == 65
        assert "debug-auth-failure" in await desk.app.brief(run.run_id, "gen-fixed-auth")


async def test_debugging_and_generating_go_on_beside_each_other(tmp_path: Path) -> None:
    glass = Hourglass()
    async with opened(tmp_path / "home", glass) as desk:
        plan_id = await desk.planned(task("debug-api-performance", 15), task("gen-cache-layer", 35))
        run = await desk.app.dispatch(plan_id=plan_id, worker="scripted")
        await glass.until(2)
        glass.turn()
        glass.turn()
        assert (await desk.ended(run.run_id)).state == "succeeded"
        assert glass.now == 35


async def test_checks_wait_for_both_nodes_of_the_planning_example_only_as_far_as_they_need(tmp_path: Path) -> None:
    glass = Hourglass()
    async with opened(tmp_path / "home", glass) as desk:
        plan_id = await desk.planned(
            task("effect", 10),
            task("compute", 20),
            task("check-effect", 5, "effect"),
            task("check-compute", 5, "compute"),
        )
        run = await desk.app.dispatch(plan_id=plan_id, worker="scripted")
        await glass.until(2)
        glass.turn()
        await glass.until(2)
        for left in (2, 1, 1):
            await glass.until(left)
            glass.turn()
        assert (await desk.ended(run.run_id)).state == "succeeded"
        assert glass.now == 25
