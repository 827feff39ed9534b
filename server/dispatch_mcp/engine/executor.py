"""The embedded engine: this process drives runs that the store holds.

A run is owned by one process at a time (docs/rules.md#run-ownership). Ownership is a held file lock, so a dead owner's
runs are taken over at once and a sleeping laptop loses nothing; the epoch fences an owner that was replaced.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import math
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import anyio.abc

from dispatch_mcp import errors, model
from dispatch_mcp.engine import (
    attempt_services,
    council_rounds,
    order_builder,
    store_waits,
)
from dispatch_mcp.engine.driving import run_attempts, run_engine
from dispatch_mcp.model import ports, records, transitions
from dispatch_mcp.store import owner_locks, sqlite, sqlite_store, whereabouts
from dispatch_mcp.text import escape

log = logging.getLogger(__name__)

LEAST_BATCH, BATCH_PER_S = 16, 8000
"""Results recorded in one step, at least and per second that the last step took: all at once would let every task
of a wave wait for the slowest, and on a slow disk small batches would queue for it. benchmarks/engine.py measures what
they cost."""


LONGEST_PAUSE_S = 60.0
"""Seconds that this process leaves a run alone at most whose drives fail."""

MOST_DOUBLINGS = 10
"""As many make any pause the longest one."""


class EmbeddedEngine(run_engine.RunEngine):
    """Drives every run that it owns; one task group holds them all."""

    def __init__(
        self,
        store: sqlite_store.Store,
        workers: ports.Workers,
        *,
        tasks: anyio.abc.TaskGroup,
        owner: owner_locks.Ownership,
        clock: Callable[[], float] = time.time,
        make_order: order_builder.MakeOrder = order_builder.bare,
        pace: run_engine.Pace = run_engine.Pace(),
        services: attempt_services.AttemptServices = attempt_services.BARE,
        drives: bool = True,
    ) -> None:
        super().__init__(store, workers, tasks=tasks, clock=clock, make_order=make_order, pace=pace, services=services)
        self._owner = owner
        self._may_drive = drives
        self._drives: dict[str, Drive] = {}
        self._pauses: dict[str, tuple[int, float]] = {}
        self._epochs: dict[str, int] = {}

    async def start(self, run_id: str) -> None:
        """Drives the run if nobody alive does; calling it again changes nothing."""
        if not self._may_drive:
            return
        if run_id in self._drives:
            self._drives[run_id].poke()
            return
        epoch = await self.store.adopt(run_id, self._owner.id)
        if epoch is None or run_id in self._drives:  # another call of `start` was faster while this one waited
            return
        drive = Drive(self, run_id, records.Owner(self._owner.id, epoch))
        drive.answer_lost = self._epochs.get(run_id) == epoch  # an earlier drive of ours did not let go
        self._drives[run_id], self._epochs[run_id] = drive, epoch
        self.find_room()
        self._tasks.start_soon(self._keep, drive)
        self.beat_pulse()  # who tells what this process drives would miss a run that is over before their next look

    def poke(self, run_id: str) -> None:
        """Makes the drive of a run, if it is here, look at the store again."""
        if run_id in self._drives:
            self._drives[run_id].poke()
        self.beat_pulse()

    def look_again(self) -> None:
        """Makes every drive of this process look at the store."""
        for drive in list(self._drives.values()):
            drive.poke()

    async def take_over(self) -> None:
        """Drives runs that nobody drives, but none that needs a worker which may be elsewhere, with its key.

        Nobody drives either what this process has adopted and does not drive: whoever asked for it was cancelled.
        """
        if not self._may_drive:
            return
        own = self._owner.id if self._owner.is_held else ""
        for run_id in await self.store.adoptable(limit=20, own=own, drives=self.driven_runs, kinds=self.workers.keys()):
            if self._pauses.get(run_id, (0, 0.0))[1] <= time.monotonic():
                await self.start(run_id)

    @property
    def driven_runs(self) -> frozenset[str]:
        """The runs that this process drives now."""
        return frozenset(self._drives)

    def keep_room(self) -> None:
        """Makes room on a full disk for the ends of what runs, and lets nothing more begin on one with little room."""
        if self._drives:
            if whereabouts.is_full(self.store.home):
                self._owner.make_room(owner_locks.LAST_BYTES)
            self._tell_of_room(has_room=self._owner.has_room())

    def make_room(self) -> bool:
        """Returns whether room could be made for what has to be recorded now; nothing more begins here meanwhile."""
        is_made = self._owner.make_room()
        self._tell_of_room(has_room=self._owner.has_room())
        return is_made

    def find_room(self) -> bool:
        """Returns whether there is room for more work again."""
        self._tell_of_room(has_room=self._owner.find_room())
        return not self.is_short

    def _tell_of_room(self, *, has_room: bool) -> None:
        if has_room == self.is_short:
            self.is_short = not has_room
            log.warning("%s", "Work begins again." if has_room else whereabouts.shortage(self.store.home))
            self.beat_pulse()

    async def _keep(self, drive: Drive) -> None:
        """Drives one run to its end; whatever happens to it stays with it, and is told of."""
        try:
            await drive.run()
            del self._epochs[drive.run_id]
            self._pauses.pop(drive.run_id, None)
            await self.tell_end(drive.run_id)
        except errors.Fenced:
            log.info("run %s was taken over by another process", drive.run_id)
        except errors.StoreMoved as moved:
            log.warning("run %s is not driven any more: %s", drive.run_id, moved)
        except Exception as fault:
            log.exception("a drive of run %s failed", drive.run_id)
            await self._let_go(drive, fault)
        finally:
            self._drives.pop(drive.run_id, None)
            self.beat_pulse()

    async def _let_go(self, drive: Drive, fault: Exception) -> None:
        """Leaves a run whose drive has failed to whoever tries next, here or elsewhere, with a pause that doubles.

        The store counts how often that has happened, and ends what cannot be driven.
        """
        tries = self._pauses.get(drive.run_id, (0, 0.0))[0] + 1
        pause_s = min(self.pace.drive_again_s * 2 ** min(tries, MOST_DOUBLINGS), LONGEST_PAUSE_S)
        self._pauses[drive.run_id] = tries, time.monotonic() + pause_s
        why = escape.one_line(repr(fault), limit=600)
        let_go = functools.partial(self.store.fail_drive, drive.run_id, drive.owner, why)
        waiter = f"letting run {drive.run_id} go"
        try:
            await store_waits.served(let_go, waiter, pause_s=self.pace.retry_store_s, patience_s=math.inf)
        except errors.Fenced:
            pass
        except errors.StoreTooNew:
            self._stand_down()
        except Exception:
            log.exception("run %s could not be let go", drive.run_id)

    def _stand_down(self) -> None:
        """Drives nothing any more and shows that: a newer program has the store, and can take its runs over."""
        log.warning("this process drives no runs any more: a newer dispatch-mcp has the store")
        self._may_drive = False
        self._owner.close()


@dataclass(slots=True)
class Drive:
    """The loop around one owned run: record what finished, start what may start, wait.

    `answer_lost` is whether attempts may run in the store that nobody here carries out.
    """

    engine: EmbeddedEngine
    run_id: str
    owner: records.Owner
    answer_lost: bool = False
    _finished: list[transitions.Finished] = field(default_factory=list[transitions.Finished])
    _running: dict[str, tuple[int, anyio.CancelScope]] = field(default_factory=dict[str, tuple[int, anyio.CancelScope]])
    _executions: dict[asyncio.Task[None], anyio.CancelScope] = field(
        default_factory=dict[asyncio.Task[None], anyio.CancelScope]
    )
    _fault: Exception | None = None
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _revision: int = -1
    _room: int = LEAST_BATCH
    _attempts: run_attempts.RunAttempts = field(init=False)

    def __post_init__(self) -> None:
        self._attempts = run_attempts.RunAttempts(self.engine.means, self.run_id)

    def poke(self) -> None:
        """Makes the loop look again."""
        self._wake.set()

    async def run(self) -> None:
        """Returns when the run is over.

        Raises:
            Fenced: another process took it.
            Exception: a fault of ours, to which no single attempt could be held.
        """
        async with anyio.create_task_group() as group:
            group.start_soon(self._attempts.write_beats)
            try:
                await self._loop()
            except Exception as trouble:
                self._fault = trouble  # raised as it is, and not within a group
            finally:
                await self._stop()
                group.cancel_scope.cancel()
        if self._fault is not None:
            raise self._fault

    async def _stop(self) -> None:
        """Cancels what still runs, and returns once all of it has ended."""
        for scope in self._executions.values():
            scope.cancel()
        with anyio.CancelScope(shield=True):
            while self._executions:
                await asyncio.wait(self._executions)

    async def _loop(self) -> None:
        while self._fault is None:
            # Cleared before the store is read: whatever changes after that read wakes the wait below.
            self._wake.clear()
            advance = await self._advance()
            for start in advance.starts:
                self._begin(advance.plan_version, start)
            # Whoever cancels, skips or edits moves the run by a step that is not ours: look what it closed.
            await self._drop_revoked(advance)
            if advance.state in model.RUN_FINAL and not self._running and not self._finished:
                return
            if advance.needs_verdict and not self._running and not self._finished:
                await self._settle()
            elif not self._finished:
                await self._wait(advance.waiting_until)

    async def _advance(self) -> records.Advance:
        """Records one batch and returns what may start; a store that cannot write keeps the batch for later."""
        batch = self._finished[: self._room]
        step = records.Step(now=self.engine.clock(), owner=self.owner, finished=batch, start=transitions.SERVER_WORKERS)
        began = time.perf_counter()
        pause_s = self.engine.pace.retry_store_s
        write = functools.partial(self._record, step)
        advance = await store_waits.served(write, f"run {self.run_id}", pause_s=pause_s, patience_s=math.inf)
        self._room = max(LEAST_BATCH, round((time.perf_counter() - began) * BATCH_PER_S))
        del self._finished[: len(batch)]
        for end, is_accepted in zip(batch, advance.accepted, strict=True):
            if is_accepted and end.outcome.state is model.AttemptState.SUCCEEDED:
                self._attempts.results[end.task_id] = order_builder.upstream_of(end.task_id, end.outcome)
        if self.answer_lost:
            read = functools.partial(self._unanswered, advance.starts)
            advance = advance._replace(starts=await store_waits.served(read, f"run {self.run_id}"))
            self.answer_lost = False
        return advance

    async def _record(self, step: records.Step) -> records.Advance:
        """Records one batch, and begins what may begin; what fails may have been recorded all the same."""
        try:
            return await self._write(step)
        except (errors.StoreBusy, errors.StoreUnavailable) as trouble:
            self.answer_lost = True
            if not (sqlite.is_of_space(trouble) and self.engine.make_room()):
                raise
        return await self._write(step)  # at once, before what fills the disk has that room too

    async def _write(self, step: records.Step) -> records.Advance:
        if self.engine.is_short:
            step = step._replace(start=frozenset())
        return await self.engine.store.advance(self.run_id, step)

    async def _settle(self) -> None:
        """Records what a council decides whose last reviewer has answered; a store that cannot write is asked later."""
        try:
            await council_rounds.load(self.engine.store, self.run_id, records.ANYBODY)
        except (errors.StoreBusy, errors.StoreUnavailable) as trouble:
            log.warning("round %s waits for the store: %s", self.run_id, trouble.message)
            await anyio.sleep(self.engine.pace.retry_store_s)

    async def _unanswered(self, starts: Sequence[transitions.Start]) -> tuple[transitions.Start, ...]:
        """Returns `starts` and the attempts that a commit began whose answer was lost with an error, as they began.

        So also what a drive that failed has left behind in this process.
        """
        busy_ids = {start.task_id for start in starts} | self._running.keys() | {end.task_id for end in self._finished}
        running_attempts = await self.engine.store.begun(self.run_id)
        return (*starts, *(start for start in running_attempts if start.task_id not in busy_ids))

    async def _drop_revoked(self, advance: records.Advance) -> None:
        """Cancels executions that somebody else's change has closed."""
        last, self._revision = self._revision, advance.revision
        is_first = last < 0  # what runs here was begun by this very step
        if not self._running or is_first or advance.revision_before == last:
            return
        read = functools.partial(self.engine.store.tasks, self.run_id)
        rows = {row.id: row for row in await store_waits.served(read, f"run {self.run_id}")}
        for task_id, (attempt, scope) in list(self._running.items()):
            row = rows.get(task_id)
            if row is None or row.state is not model.TaskState.RUNNING or row.attempt != attempt:
                scope.cancel()

    async def _wait(self, until: float | None) -> None:
        if self.engine.is_short:  # whatever wakes the drive now begins nothing, but may have to be recorded
            while not self.engine.find_room() and not self._wake.is_set():
                with anyio.move_on_after(self.engine.pace.retry_store_s):
                    await self._wake.wait()
            return
        if until is None:
            await self._wake.wait()
            return
        with anyio.move_on_after(max(0.0, until - self.engine.clock())):
            await self._wake.wait()

    def _begin(self, plan_version: int, start: transitions.Start) -> None:
        """Has an attempt carried out.

        In a task that only its own scope cancels: what a task group adds is 7 % of what a short attempt costs here.
        """
        scope = anyio.CancelScope()
        execution = asyncio.create_task(self._execute(plan_version, start, scope))
        self._running[start.task_id] = (start.attempt, scope)
        self._executions[execution] = scope
        execution.add_done_callback(self._executions.pop)

    async def _execute(self, plan_version: int, start: transitions.Start, scope: anyio.CancelScope) -> None:
        """Carries an attempt out, and has what it came to recorded."""
        with scope:
            try:
                await self._attempts.carry_out(plan_version, start, self._note_end)
            except Exception as trouble:
                self._fault = trouble
            finally:
                if start.task_id in self._running and self._running[start.task_id][0] == start.attempt:
                    del self._running[start.task_id]
                self._wake.set()

    def _note_end(self, end: transitions.Finished) -> None:
        self._finished.append(end)
        self._wake.set()


@asynccontextmanager
async def open_engine(
    store: sqlite_store.Store,
    workers: ports.Workers,
    *,
    clock: Callable[[], float] = time.time,
    make_order: order_builder.MakeOrder = order_builder.bare,
    pace: run_engine.Pace = run_engine.Pace(),
    services: attempt_services.AttemptServices = attempt_services.BARE,
    drives: bool = True,
) -> AsyncGenerator[EmbeddedEngine]:
    """Yields an engine that drives runs until the block ends; then its runs are free for others.

    Without a verifier in its `services` claims stay as they are; without workspaces all work in the workspace itself.
    One that does not drive carries nothing out: it is for those who only look or steer for a moment.
    """
    owner = owner_locks.Ownership(store.home)
    try:
        async with anyio.create_task_group() as group:
            engine = EmbeddedEngine(
                store,
                workers,
                tasks=group,
                owner=owner,
                clock=clock,
                make_order=make_order,
                pace=pace,
                services=services,
                drives=drives,
            )
            group.start_soon(engine.watch)
            try:
                yield engine
            finally:
                group.cancel_scope.cancel()
    finally:
        if owner.is_held:
            with anyio.CancelScope(shield=True), anyio.move_on_after(5):
                await _release(store, owner.id)
        owner.close()


async def _release(store: sqlite_store.Store, owner_id: str) -> None:
    """Leaves the runs of an owner to others; where the store cannot write, its end says the same a little later."""
    try:
        await store.release(owner_id)
    except errors.StoreError as trouble:
        log.warning("runs were not released: %s", trouble)
