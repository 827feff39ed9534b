"""The host as a worker: it is handed ready tasks as assignments, and keeps its leases while it stays in contact."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from dispatch_mcp import model
from dispatch_mcp.agents import catalog
from dispatch_mcp.engine import attempt_driver, order_builder, run_view, task_kinds
from dispatch_mcp.model import assignments, records, transitions, work_order
from dispatch_mcp.runs import task_isolation
from dispatch_mcp.service import host_reports

Assign = Callable[..., assignments.Assignment]
"""`workers.host.assignment`, handed in."""


@dataclass(frozen=True, slots=True)
class HostAssignments:
    """Prepares attempts for the host; `installed` are the subagents that it has by name."""

    driver: attempt_driver.AttemptDriver
    agents: catalog.Catalog
    installed: Collection[str]
    assign: Assign

    async def of(
        self, view: run_view.RunView, task_ids: Collection[str], messages: Sequence[model.Message] | None = None
    ) -> list[assignments.Assignment]:
        """Returns the assignments of these running host tasks, in plan order; `messages` are all of the run."""
        rows = [row for row in view.tasks if row.id in task_ids]
        if not rows:
            return []
        orders = await self._orders(view, messages)
        await orders.read_results(dep for row in rows for dep in view.spec(row.id).deps)
        out: list[assignments.Assignment] = []
        for row in rows:
            newest = view.attempts.get(row.id) or records.NewestAttempt(row.id)
            work = await self._prepared(await _order(orders, view, row, newest), newest)
            out.append(await self._assignment(work, lease_until=newest.lease_until, background=len(rows) > 1))
        return out

    async def prompt(self, view: run_view.RunView, row: records.TaskRecord) -> str:
        """Returns the whole prompt of a task's newest attempt, with what is gathered for it now."""
        orders = await self._orders(view, None)
        newest = view.attempts.get(row.id) or await orders.store.newest_attempt(view.run.id, row.id)
        prepared = await self.driver.prepare(await _order(orders, view, row, newest), begun=True)
        return task_kinds.brief(prepared.work).text

    async def _orders(
        self, view: run_view.RunView, messages: Sequence[model.Message] | None
    ) -> order_builder.OrderBuilder:
        store = self.driver.store
        fill = functools.partial(order_builder.with_agent, agents=self.agents)
        inbox = await store.inbox(view.run.id) if messages is None else messages
        return order_builder.OrderBuilder(store, view.run, view.plan, fill, messages=inbox)

    async def _prepared(self, work: work_order.WorkOrder, newest: records.NewestAttempt) -> work_order.WorkOrder:
        """Returns the order as its worker reads it; keeps how the workspace is where any process finds it."""
        begun = bool(newest.beat)
        prepared = await self.driver.prepare(work, begun=begun)
        if prepared.beat and not begun:
            await self.driver.store.beat(work.run_id, work.task.id, work.attempt, dict(prepared.beat))
        return prepared.work

    async def _assignment(
        self, work: work_order.WorkOrder, *, lease_until: float | None, background: bool
    ) -> assignments.Assignment:
        """Returns the assignment of an order; what was gathered goes by reference if it is long.

        A brief that the host should not hold is a file of our own too, for subagents that cannot read resources.
        """
        kind = task_kinds.kind_of(work.task, work.worker)
        reference = f"dispatch://runs/{work.run_id}/tasks/{work.task.id}/prompt"
        whole = kind.brief(work)
        subagents = kind.subagents(self.installed)
        file = ""
        if len(whole.text) > assignments.INLINE_LIMIT:
            agent = kind.agent(work.task, self.agents)
            full = whole.with_role(agent.body) if agent and agent.name not in subagents else whole
            path = await self.driver.store.keep_brief(work.run_id, work.task.id, work.attempt, full.text)
            file = str(path or "")
        places = tuple(place for place in (reference, file) if place)
        short = replace(work, gathered=(), gathered_at=places) if file and work.gathered else work
        return self.assign(
            short,
            kind.brief(short),
            known_subagents=subagents,
            prompt_ref=reference,
            prompt_file=file,
            lease_until=lease_until,
            background=background,
        )


async def _order(
    orders: order_builder.OrderBuilder,
    view: run_view.RunView,
    row: records.TaskRecord,
    newest: records.NewestAttempt,
) -> work_order.WorkOrder:
    """Returns the order of a task's newest attempt, whoever carries it out."""
    notices = task_isolation.host_notices(view.spec(row.id), view.plan.tasks, view.tasks, view.run.id)
    return await orders.order(transitions.Start(row.id, row.attempt, row.worker, ""), newest, notices)


@dataclass(frozen=True, slots=True)
class HostContact:
    """What happens whenever the host calls: leases are renewed, ready tasks are handed out, needless ones closed.

    `lease_s` is how long the host has for an attempt, in seconds, counted from its last call.
    """

    host: HostAssignments
    principal: str
    clock: Callable[[], float]
    lease_s: float

    def step(self, finished: Sequence[transitions.Finished] = ()) -> records.Step:
        """Returns the step of a run that a call of the host makes."""
        return records.Step(
            now=self.clock(), finished=finished, start=transitions.HOST_WORKERS, lease_s=self.lease_s, renew=True
        )

    async def hand_out(self, run_id: str) -> tuple[run_view.RunView, list[assignments.Assignment]]:
        """Returns the run as it is, and the assignments of all tasks out with the host: new ones and repeated ones."""
        await self.host.driver.store.advance(run_id, self.step())
        view, _ = await self.settled(run_id)
        out = {row.id for row in view.tasks if host_reports.is_out(row)}
        return view, await self.host.of(view, out)

    async def settled(self, run_id: str) -> tuple[run_view.RunView, frozenset[str]]:
        """Returns a run as it is, after closing what is out with the host and turned out to need nobody."""
        driver = self.host.driver
        view = await run_view.load(driver.store, run_id, self.principal)
        closed = await driver.close_needless(view, self.clock())
        return (await run_view.load(driver.store, run_id, self.principal) if closed else view), closed
