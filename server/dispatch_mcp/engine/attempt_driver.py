"""The one driver of an attempt: prepare, carry out, judge.

Whoever carries attempts out goes through it. The server's own workers take all three steps here, in one go. What the
host carries out is prepared when it is handed out and judged when it is reported, often by another process: what the
judgement needs from before the work is kept in the attempt's heartbeat.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from dispatch_mcp import errors, model
from dispatch_mcp.engine import attempt_services, briefing, proof, run_view, task_kinds, task_runner
from dispatch_mcp.model import TaskState, WorkerKind, ports, records, transitions, work_order
from dispatch_mcp.runs import message_rules
from dispatch_mcp.store import sqlite_store

log = logging.getLogger(__name__)


class Prepared(NamedTuple):
    """An order that can be carried out, and the heartbeat with which its attempt begins."""

    work: work_order.WorkOrder
    beat: Mapping[str, model.Json]


@dataclass(frozen=True, slots=True)
class AttemptDriver:
    """Takes attempts from their orders to their judged outcomes."""

    store: sqlite_store.Store
    services: attempt_services.AttemptServices = attempt_services.BARE

    async def prepare(self, work: work_order.WorkOrder, *, begun: bool = False) -> Prepared:
        """Returns the order with what its worker shall read, and what must be known from before the work.

        An attempt that has `begun` is only briefed again: how the workspace was before it can no longer be seen.

        Raises:
            DispatchError: what its task is about cannot be read.
        """
        beat = dict[str, model.Json]() if begun else dict(await proof.before(self.services.verifier, work))
        full, facts, details = await _kind(work).prepare(self.store, self.services, work)
        if facts:
            beat[briefing.FACTS] = dict(facts)
        return Prepared(full, {**beat, **details})

    async def judge(self, claim: proof.Claim) -> model.Outcome:
        """Returns a claimed outcome as the server could prove it, with its artifacts kept."""
        verdict = await _kind(claim.work).judge(self.store, self.services, claim)
        archive = self.services.archive
        return verdict if archive is None else await archive.keep(claim.work.workspace, verdict)

    async def run(self, ctx: ports.TaskContext, work: work_order.WorkOrder, workers: ports.Workers) -> model.Outcome:
        """Returns how an attempt of one of the server's workers ended, in the place that its order asks for."""
        attempt = _ServerAttempt(self, workers)
        workspaces = self.services.workspaces
        if workspaces is None:
            return await attempt.judge(work, await attempt.carry_out(ctx, work))
        return await workspaces.within(ctx, work, attempt.carry_out, attempt.judge)

    async def mail(self, work: work_order.WorkOrder) -> Sequence[model.Message]:
        """Returns what has come for a task at work since it was briefed or asked last; nothing for a review."""
        if not message_rules.reads_messages(work.task):
            return ()
        try:
            unread = message_rules.unread_by(await self.store.mail(work.run_id), work.task)
            await self.deliver(work, unread, "turn")
        except errors.StoreError as trouble:
            log.warning("messages for %s/%s wait: %s", work.run_id, work.task.id, trouble)
            return ()
        return unread

    async def deliver(
        self, work: work_order.WorkOrder, messages: Sequence[model.Message], means: records.Means = "brief"
    ) -> None:
        """Records that messages have come to the attempt of an order."""
        number, reader = work.attempt, work.task.id
        deliveries = [records.Delivery(message.id, reader, means, number) for message in messages]
        await self.store.deliver(work.run_id, deliveries)

    async def leave(self, work: work_order.WorkOrder) -> None:
        """Tidies up once the outcome is known."""
        if self.services.workspaces is not None:
            await self.services.workspaces.leave(work)

    async def close_needless(self, view: run_view.RunView, now: float) -> frozenset[str]:
        """Ends those tasks out with the host that turn out to need nobody, and returns them."""
        ends: list[transitions.Finished] = []
        for row in view.tasks:
            if row.worker is WorkerKind.HOST and row.state is TaskState.RUNNING:
                kind = task_kinds.kind_of(view.spec(row.id), row.worker)
                outcome = await kind.needless(self.store, view.run.id, view)
                if outcome is not None:
                    ends.append(transitions.Finished(row.id, row.attempt, outcome))
        if ends:
            await self.store.advance(view.run.id, records.Step(now=now, finished=ends))
        return frozenset(end.task_id for end in ends)


@dataclass(slots=True)
class _ServerAttempt:
    """An attempt that this process carries out itself; `before` is how its place was when it began."""

    driver: AttemptDriver
    workers: ports.Workers
    before: Mapping[str, model.Json] = field(default_factory=dict[str, model.Json])

    async def carry_out(self, ctx: ports.TaskContext, work: work_order.WorkOrder) -> model.Outcome:
        """Returns what the worker claims; a failure when what it should work on cannot be read."""
        try:
            needless = await _kind(work).needless(self.driver.store, work.run_id)
            if needless is not None:
                return needless
            ready = await self.driver.prepare(work)
        except errors.DispatchError as trouble:
            return task_runner.failure("no_material", f"What is to be reviewed could not be read: {trouble}")
        self.before = ready.beat
        # On its way to the disk before the worker begins: who takes over from a dead process judges by it.
        ctx.beat(**ready.beat)
        await self.driver.deliver(ready.work, ready.work.messages)
        return await task_runner.run_task(ctx, ready.work, self.workers)

    async def judge(self, work: work_order.WorkOrder, outcome: model.Outcome) -> model.Outcome:
        """Returns the claim as the server could prove it."""
        return await self.driver.judge(proof.Claim(work, outcome, self.before))


def _kind(work: work_order.WorkOrder) -> task_kinds.TaskKind:
    return task_kinds.kind_of(work.task, work.worker)
