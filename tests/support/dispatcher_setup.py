"""A dispatcher over a real store, with a clock that tests turn, commands that only count, and a host that reports."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pulse_waits

from dispatch_mcp import model
from dispatch_mcp.agents import catalog
from dispatch_mcp.engine import artifacts, attempt_services, executor, order_builder
from dispatch_mcp.engine.driving import run_engine
from dispatch_mcp.model import AttemptState, WorkerKind, assignments, ports, records, work_order
from dispatch_mcp.planning import plan_documents
from dispatch_mcp.service import answers, dispatcher, plan_proposals
from dispatch_mcp.store import sqlite_store
from dispatch_mcp.workers import host, scripted

PACE = run_engine.Pace(look_s=0.01, takeover_s=0.05)
LEASE_S = 600.0


@dataclass
class Clock:
    """Seconds since the epoch, until somebody turns it."""

    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Counting:
    """A command worker that starts nothing and keeps what it was asked to run."""

    ran: list[str] = field(default_factory=list[str])

    async def carry_out(self, ctx: ports.TaskContext, work: work_order.WorkOrder) -> model.Outcome:
        self.ran.append(work.task.id)
        receipt = model.Receipt(kind="exit_code", ok=True, detail="exit code 0")
        return model.Outcome(state=AttemptState.SUCCEEDED, summary="ran", output="fine", receipts=(receipt,))


@dataclass
class Desk:
    """The dispatcher and what surrounds it."""

    app: dispatcher.Dispatcher
    clock: Clock
    commands: Counting

    async def planned(self, *tasks: dict[str, Any], **more: Any) -> str:
        return (await self.app.plans.plan(list(tasks), **more)).plan.id

    async def raised(self, run_id: str, **limits: Any) -> answers.Progress:
        """Returns the run after a person has agreed to these ceilings."""
        offer = await self.app.offer_raise(run_id, model.Limits(**limits))
        assert offer is not None
        return await self.app.dispatch(run_id=run_id, limits=model.Limits(**limits), word=offer.word("Ann"))

    async def ended(self, run_id: str) -> answers.Trace:
        """Returns the summary of a run once it is over."""
        with anyio.fail_after(120):
            async for _ in self.app.engine.events(run_id):
                pass
        return await self.app.trace(run_id=run_id)

    async def kinds(self, run_id: str) -> list[str]:
        return [event.kind for event in await self.app.store.events(run_id)]

    async def states(self, run_id: str) -> dict[str, str]:
        return {row.id: row.state.value for row in await self.app.store.tasks(run_id)}

    async def reaches(self, run_id: str, task_id: str, state: str) -> None:
        """Returns when the task is in that state."""

        async def reached() -> bool:
            return (await self.states(run_id))[task_id] == state

        await pulse_waits.until(self.app.engine, reached)


def task(task_id: str, *deps: str, **fields: Any) -> dict[str, Any]:
    return {"id": task_id, "do": f"Do {task_id}", "deps": list(deps), **fields}


async def started(desk: Desk, *tasks: dict[str, Any], **more: Any) -> answers.Progress:
    """Plans tasks and dispatches them; `more` is what the dispatch says."""
    return await desk.app.dispatch(plan_id=await desk.planned(*tasks), **more)


async def handed(desk: Desk, *tasks: dict[str, Any], **more: Any) -> tuple[assignments.Assignment, ...]:
    """Returns what the host is handed first of a new run."""
    return (await started(desk, *tasks, **more)).assignments


def said(given: assignments.Assignment, text: str = "done", **more: Any) -> dict[str, Any]:
    """Returns the report of an assignment."""
    handoff = {"completed_work": text, "decisions_made": [f"decided {given.task_id}"]}
    return {"task_id": given.task_id, "attempt": given.attempt, "handoff": handoff, **more}


def read(tasks: list[dict[str, Any]], **more: Any) -> plan_documents.PlanDocument:
    """Returns a task document."""
    return plan_documents.PlanDocument(plan_documents.read_tasks(tasks), **more)


def _equipment(
    store: sqlite_store.Store, archive: artifacts.Redact | None, agents: Callable[[], catalog.Catalog]
) -> attempt_services.AttemptServices:
    kept = artifacts.Archive(store.blobs, archive) if archive else None
    return attempt_services.AttemptServices(archive=kept, agents=agents)


@asynccontextmanager
async def opened(
    home: Path,
    *,
    principal: str = records.LOCAL,
    archive: artifacts.Redact | None = None,
    models: ports.Workers | None = None,
    **more: Any,
) -> AsyncGenerator[Desk]:
    """Yields a desk that keeps artifacts as `archive` cleans them, with `models` as further workers of the server.

    `more` are fields of the dispatcher, and those of its rules under `rules`.
    """
    clock, commands = Clock(), Counting()
    workers: ports.Workers = {
        WorkerKind.COMMAND: commands,
        WorkerKind.SCRIPTED: scripted.ScriptedWorker(),
        **(models or {}),
    }
    agents: Callable[[], catalog.Catalog] = more.pop("catalog", lambda: catalog.EMPTY)
    rules = plan_proposals.PlanningRules(workspace=str(home.parent), lease_s=LEASE_S, **more.pop("rules", {}))
    async with (
        sqlite_store.open_store(home, clock=clock, price=rules.price) as store,
        executor.open_engine(
            store,
            workers,
            clock=clock,
            make_order=lambda work: order_builder.with_agent(work, agents()) if agents().agents else work,
            pace=PACE,
            services=_equipment(store, archive, agents),
        ) as engine,
    ):
        app = dispatcher.Dispatcher(
            store=store,
            engine=engine,
            rules=rules,
            catalog=agents,
            assign=host.assignment,
            principal=principal,
            clock=clock,
            **more,
        )
        yield Desk(app, clock, commands)
