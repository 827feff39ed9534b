"""Steers runs: cancels, pauses, resumes, retries, skips, and records what people decide."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from dispatch_mcp import errors, model
from dispatch_mcp.engine import council_rounds, run_view
from dispatch_mcp.engine.driving import run_engine
from dispatch_mcp.model import records
from dispatch_mcp.next_steps import NextStep, StepKind
from dispatch_mcp.service import answers, approvals, handles, traces
from dispatch_mcp.store import sqlite_store

Kind = Literal["cancel", "pause", "resume", "retry", "skip"]


@dataclass(frozen=True, slots=True)
class Steering:
    """Steers the runs of one principal."""

    store: sqlite_store.Store
    engine: run_engine.RunEngine
    handles: handles.Handles
    clock: Callable[[], float]

    async def steer(
        self, handle: str, kind: Kind, task_id: str, reason: str, *, by_person: bool = False
    ) -> answers.SteeringAnswer:
        """Cancels, pauses or resumes a run; retries or skips a task. Never approves anything.

        Only interfaces that a person uses directly say `by_person`, who may let a review go that has not passed.
        """
        if kind in ("retry", "skip") and not task_id:
            raise errors.InputError(f"{kind!r} needs the id of a task.", hint=NextStep(StepKind.LIST_TASKS, handle))
        before = await self.handles.run(handle)
        await self.engine.signal(before.run.id, records.Action(kind, task_id, reason, by_person))
        return await self._steered(before, note=_needless(before.run, kind))

    async def decisions(self, handle: str) -> list[approvals.OpenDecision]:
        """Returns the decisions of people that a run waits for."""
        return approvals.waiting(await self.handles.run(handle))

    async def decide(self, handle: str, task_id: str, verdict: approvals.PersonVerdict) -> answers.SteeringAnswer:
        """Records what a person decided; only interfaces that have asked a person call this.

        Raises:
            InputError: no such decision is open, or no task is named and several are.
        """
        before = await self.handles.run(handle)
        decision = approvals.choose(before, task_id)
        advance = await approvals.record(self.store, decision, verdict, self.clock())
        self.engine.poke(before.run.id)
        if advance.state not in model.RUN_FINAL:
            await self.engine.start(before.run.id)
        return await self._steered(before)

    async def _steered(self, before: run_view.RunView, note: str = "") -> answers.SteeringAnswer:
        after = await council_rounds.load(self.store, before.run.id, self.handles.principal)
        changes = tuple(task.id for task in after.tasks if before.states.get(task.id) is not task.state)
        return answers.SteeringAnswer(
            run_id=after.run.id,
            state=after.run.state,
            counts=after.run.counts,
            note=note,
            changed=changes[: traces.PAGE],
            plan_version=after.plan.version if after.plan.version != before.plan.version else 0,
            next=after.next_step(),
        )


def _needless(run: records.RunRecord, kind: Kind) -> str:
    """Returns why an action on a whole run did nothing, empty where it did something."""
    if kind in ("retry", "skip"):
        return ""
    if run.state in model.RUN_FINAL:
        return f"There was nothing to {kind}: the run was over."
    idle = {"pause": run.paused, "resume": not run.paused, "cancel": False}[kind]
    return f"There was nothing to {kind}: the run was {'' if kind == 'pause' else 'not '}paused." if idle else ""
