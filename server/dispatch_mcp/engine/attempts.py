"""One attempt from its order to its judged outcome: a place to work in, the worker, the receipts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dispatch_mcp.core import model, order
from dispatch_mcp.engine import artifacts, proving, run_task
from dispatch_mcp.store import book as books
from dispatch_mcp.workers import contract


@dataclass(slots=True)
class Attempt:
    """What an attempt needs of its engine; `before` is how its place was when it began."""

    book: books.Book
    workers: contract.Workers
    witness: contract.Witness | None = None
    grounds: contract.Grounds | None = None
    archive: artifacts.Archive | None = None
    before: Mapping[str, model.Json] = field(default_factory=dict[str, model.Json])

    async def run(self, ctx: contract.TaskContext, work: order.WorkOrder) -> model.Outcome:
        """Returns how the attempt ended, in the place that its order asks for."""
        if self.grounds is None:
            return await self._judge(work, await self._carry_out(ctx, work))
        return await self.grounds.within(ctx, work, self._carry_out, self._judge)

    async def leave(self, work: order.WorkOrder) -> None:
        """Tidies up once the outcome is known."""
        if self.grounds is not None:
            await self.grounds.leave(work)

    async def _carry_out(self, ctx: contract.TaskContext, work: order.WorkOrder) -> model.Outcome:
        self.before = await proving.before(self.witness, work)
        ctx.beat(**self.before)
        return await run_task.run_task(ctx, work, self.workers)

    async def _judge(self, work: order.WorkOrder, outcome: model.Outcome) -> model.Outcome:
        judged = await proving.judged(self.witness, self.book, work, self.before, outcome)
        return judged if self.archive is None else await self.archive.kept(work.workspace, judged)
