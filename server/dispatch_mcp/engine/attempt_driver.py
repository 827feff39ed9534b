"""One attempt from its order to its judged outcome: a place to work in, the worker, the receipts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dispatch_mcp import errors, model
from dispatch_mcp.engine import artifacts, briefing, proof, review_attempt, task_runner
from dispatch_mcp.model import ports, work_order
from dispatch_mcp.store import sqlite_store


@dataclass(frozen=True, slots=True)
class AttemptServices:
    """What attempts have beside their workers; what is not there is done without.

    `witness` collects receipts of what is claimed, `grounds` gives attempts worktrees and merges what they change,
    `archive` keeps artifacts, `briefing` gathers what tasks should read.
    """

    verifier: ports.Witness | None = None
    workspaces: ports.WorkspaceProvider | None = None
    archive: artifacts.Archive | None = None
    briefing: briefing.Briefing | None = None


BARE = AttemptServices()


@dataclass(slots=True)
class Attempt:
    """What an attempt needs of its engine; `before` is how its place was when it began."""

    store: sqlite_store.Store
    workers: ports.Workers
    services: AttemptServices = BARE
    before: Mapping[str, model.Json] = field(default_factory=dict[str, model.Json])

    async def run(self, ctx: ports.TaskContext, work: work_order.WorkOrder) -> model.Outcome:
        """Returns how the attempt ended, in the place that its order asks for."""
        workspaces = self.services.workspaces
        if workspaces is None:
            return await self._judge(work, await self._carry_out(ctx, work))
        return await workspaces.within(ctx, work, self._carry_out, self._judge)

    async def leave(self, work: work_order.WorkOrder) -> None:
        """Tidies up once the outcome is known."""
        if self.services.workspaces is not None:
            await self.services.workspaces.leave(work)

    async def _carry_out(self, ctx: ports.TaskContext, work: work_order.WorkOrder) -> model.Outcome:
        try:
            settled = await review_attempt.moot(self.store, work.run_id, work.task)
            work = await review_attempt.prepared(self.store, work)
        except errors.DispatchError as trouble:
            return task_runner.failure("no_material", f"What is to be reviewed could not be read: {trouble}")
        if settled is not None:
            return settled
        self.before = await proof.before(self.services.verifier, work)
        facts: Mapping[str, model.Json] = {}
        if self.services.briefing is not None and not work.material:
            work, facts = await self.services.briefing.briefed(work)
        ctx.beat(**self.before, **({briefing.FACTS: dict(facts)} if facts else {}))
        return await task_runner.run_task(ctx, work, self.workers)

    async def _judge(self, work: work_order.WorkOrder, outcome: model.Outcome) -> model.Outcome:
        judged = await proof.judged(self.services.verifier, self.store, work, self.before, outcome)
        judged = await review_attempt.judged(self.store, work.task, judged)
        archive = self.services.archive
        return judged if archive is None else await archive.kept(work.workspace, judged)
