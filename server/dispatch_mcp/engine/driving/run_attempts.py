"""The attempts of one run in this process: their orders, what they leave behind, and their way through the driver.

The same under every engine. Who decides what begins, and who records how it ended, is not its business.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import anyio

from dispatch_mcp import errors, model
from dispatch_mcp.engine import attempt_driver, order_builder, paid_answers, store_waits, task_runner
from dispatch_mcp.model import ports, records, transitions, work_order
from dispatch_mcp.runs import budget, task_isolation
from dispatch_mcp.store import sqlite_store

log = logging.getLogger(__name__)


@dataclass(slots=True)
class AttemptMeans:
    """What carries attempts out: where runs are kept, who works, who fills orders in, and the one driver."""

    store: sqlite_store.Store
    workers: ports.Workers
    make_order: order_builder.MakeOrder
    driver: attempt_driver.AttemptDriver


@dataclass(slots=True)
class RunAttempts:
    """Carries attempts of one run out. `results` are what its tasks have handed over, as far as anybody has read it."""

    means: AttemptMeans
    run_id: str
    results: dict[str, work_order.Upstream] = field(default_factory=dict[str, work_order.Upstream])
    _beats: dict[tuple[str, int], dict[str, model.Json]] = field(
        default_factory=dict[tuple[str, int], dict[str, model.Json]]
    )
    _beat: anyio.Event = field(default_factory=anyio.Event)
    _beating: anyio.Lock = field(default_factory=anyio.Lock)
    _ordering: anyio.Lock = field(default_factory=anyio.Lock)
    _orders: order_builder.OrderBuilder | None = None

    async def carry_out(
        self, plan_version: int, start: transitions.Start, tell_end: Callable[[transitions.Finished], None]
    ) -> None:
        """Carries an attempt out and tells `tell_end` how that ended, whatever happens to it.

        One that is stopped in the middle comes to what it has used: that was paid, whatever becomes of the task.

        Raises:
            Fenced: somebody else has taken the run over; then there is nothing to tell.
        """
        driver, work, context = self.means.driver, None, None
        try:
            work = await store_waits.served(lambda: self._order(plan_version, start), f"run {self.run_id}")
            context = self._context(work)
            outcome = await driver.run(context, work, self.means.workers)
        except errors.Fenced:
            raise
        except anyio.get_cancelled_exc_class():
            if context is not None and not budget.is_silent(context.spent):
                stop = model.Outcome(state=model.AttemptState.CANCELLED, usage=context.spent)
                tell_end(transitions.Finished(start.task_id, start.attempt, stop))
            raise
        except Exception as crash:
            log.exception("no order for %s/%s", self.run_id, start.task_id)
            outcome = task_runner.fault(crash, model.Usage())
        tell_end(transitions.Finished(start.task_id, start.attempt, outcome))
        if work is not None:
            await driver.leave(work)

    async def _order(self, plan_version: int, start: transitions.Start) -> work_order.WorkOrder:
        orders = self._orders
        if orders is None or orders.plan.version < plan_version:
            async with self._ordering:  # of those that begin together one reads
                orders = await self._orders_of(plan_version)
        return await orders.order(start)

    async def _orders_of(self, plan_version: int) -> order_builder.OrderBuilder:
        """Returns what builds orders by a version of the plan; read when something begins, as many runs need none."""
        orders = self._orders
        if orders is None or orders.plan.version < plan_version:
            run = await self.means.store.run(self.run_id, principal=records.ANYBODY)
            plan = await self.means.store.plan(run.plan_id, run.plan_version, principal=records.ANYBODY)
            placement: Mapping[str, task_isolation.Placement] = {}
            if self.means.driver.services.workspaces is not None and not run.dry_run:
                workers = {task.id: transitions.worker_of(task, run.worker) for task in plan.tasks}
                placement = task_isolation.placement(plan.tasks, workers)
            orders = self._orders = order_builder.OrderBuilder(
                self.means.store, run, plan, self.means.make_order, results=self.results, placement=placement
            )
        return orders

    def _context(self, work: work_order.WorkOrder) -> task_runner.LocalContext:
        store, driver = self.means.store, self.means.driver
        return task_runner.LocalContext(
            *(work.run_id, work.task.id, work.attempt, work.last_beat, store.blobs, self._keep_beat),
            functools.partial(driver.mail, work),
            self.settle_beat,
            paid_answers.legacy(work),
        )

    def _keep_beat(self, task_id: str, attempt: int, details: Mapping[str, model.Json]) -> None:
        self._beats[task_id, attempt] = dict(details)
        self._beat.set()

    async def settle_beat(self, task_id: str, attempt: int) -> None:
        """Returns once what an attempt has left is on the disk."""
        await self._write_beat((task_id, attempt), store_waits.PATIENCE_S)

    async def write_beats(self) -> None:
        """Writes what attempts leave for their successors, so that a crash does not lose it; until cancelled."""
        while True:
            await self._beat.wait()
            self._beat = anyio.Event()
            for key in list(self._beats):
                await self._write_beat(key, 0.0)

    async def _write_beat(self, key: tuple[str, int], patience_s: float) -> None:
        """Writes the newest that an attempt has left, if nobody has; what the store does not take is told of."""
        async with self._beating:  # one after the other, or an older one could be written over a newer one
            details = self._beats.pop(key, None)
            if details is None:
                return
            write = functools.partial(self.means.store.beat, self.run_id, *key, details)
            try:
                await store_waits.served(write, f"run {self.run_id}", patience_s=patience_s)
            except errors.StoreError as trouble:
                log.warning("run %s: a heartbeat was not kept: %s", self.run_id, trouble)
            except Exception:
                log.exception("run %s: a heartbeat of %s was not kept", self.run_id, key[0])
