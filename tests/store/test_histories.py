"""Random histories through the store, beside the state machine alone."""

from __future__ import annotations

import contextlib
import random
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pytest
import store_setup
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch_mcp import errors, model
from dispatch_mcp.model import TaskState, WorkerKind, records, transitions
from dispatch_mcp.runs import state_machine
from dispatch_mcp.store import owner_locks, sqlite_store

STEPS = 25


@st.composite
def plans(draw: st.DrawFn) -> model.Plan:
    size = draw(st.integers(1, 7))
    tasks = tuple(
        model.Task(
            id=f"t{n}",
            goal=f"do {n}",
            deps=tuple(f"t{dep}" for dep in sorted(draw(st.sets(st.integers(0, n - 1), max_size=2)))) if n else (),
            worker=draw(st.sampled_from([None, WorkerKind.HOST])),
            max_attempts=draw(st.integers(1, 3)),
        )
        for n in range(size)
    )
    return model.Plan(id="plan", tasks=tasks, max_parallel=draw(st.integers(1, 3)))


@dataclass
class Clock:
    """Time as the test says; seconds since the epoch."""

    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class History:
    """One run in a store, and the same run as nothing but a machine; both are moved alike."""

    store: sqlite_store.Store
    other: sqlite_store.Store
    owner: records.Owner
    core: state_machine.RunCore
    rng: random.Random
    clock: Clock
    running: list[transitions.Start] = field(default_factory=list[transitions.Start])

    def outcome(self) -> model.Outcome:
        if self.rng.random() < 0.6:
            return store_setup.done(str(self.rng.random()), unverified=self.rng.random() < 0.3)
        kind = self.rng.choice(["test", "rate_limit"])
        return model.Outcome(
            state=model.AttemptState.FAILED, error="no", error_kind=kind, retryable=self.rng.random() < 0.6
        )

    def step(self) -> records.Step:
        """Returns what happens next: a report, a late one, an action of somebody, or nothing but a look for work."""
        finished, actions = [], []
        if self.running and self.rng.random() < 0.7:
            start = self.running.pop(self.rng.randrange(len(self.running)))
            finished.append(store_setup.report(start, self.outcome()))
            if self.rng.random() < 0.2:
                finished.append(finished[0])
        elif self.rng.random() < 0.5:
            kind = self.rng.choice(["pause", "resume", "retry", "skip", "resume", "retry"])
            task_id = self.rng.choice(self.core.rows).id if kind in ("retry", "skip") else ""
            actions.append(records.Action(kind, task_id))
        start = self.rng.choice([store_setup.SERVER, store_setup.SERVER | store_setup.HOST, frozenset()])
        return records.Step(
            self.clock.now, self.owner, finished, actions, start, free=self.rng.choice([None, 1]), lease_s=1e9
        )

    def apply(self, step: records.Step) -> tuple[tuple[bool, ...], list[transitions.Start]]:
        """Does to the machine what the store does to the run. Raises InputError, having changed nothing."""
        rows = [transitions.TaskRow(**{name: getattr(row, name) for name in row.__slots__}) for row in self.core.rows]
        state = {"paused": self.core.paused, "cancelled": self.core.cancelled}
        try:
            accepted = tuple([self.core.finish(report, step.now) for report in step.finished])
            for action in step.actions:
                _act(self.core, action)
        except errors.InputError:
            self.core = state_machine.RunCore.restore("run", self.core.plan, rows, **state)
            raise
        return accepted, self.core.next(step.now, step.start, step.free) if step.start else []

    async def own(self) -> None:
        """Adopts the run again if a retry has opened it after its end, when it belonged to nobody."""
        epoch = await self.store.adopt("run", self.owner.id)
        if epoch is not None and epoch != self.owner.epoch:
            self.owner = records.Owner(self.owner.id, epoch)
            for row in self.core.rows:
                if row.state is TaskState.RUNNING and row.worker in store_setup.SERVER:
                    self.core.abandon(row.id, self.clock.now, crashed=False)
            self.running = [start for start in self.running if self.core.row(start.task_id).state is TaskState.RUNNING]

    async def turn(self) -> None:
        self.clock.now += self.rng.random() * 30
        await self.own()
        step = self.step()
        try:
            accepted, starts = self.apply(step)
        except errors.InputError:
            with pytest.raises(errors.InputError):
                await self.store.advance("run", step)
            return
        store = self.rng.choice([self.store, self.other])
        advance = await store.advance("run", step)
        assert advance.accepted == accepted
        assert [(start.task_id, start.attempt, start.key) for start in advance.starts] == [
            (start.task_id, start.attempt, start.key) for start in starts
        ]
        assert (advance.state, advance.running) == (self.core.state, self.core.running)
        self.running += [start for start in starts if start.worker is not WorkerKind.HUMAN]
        self.running = [start for start in self.running if self.core.row(start.task_id).state is TaskState.RUNNING]

    async def check(self) -> None:
        stored = [records.row_of(task) for task in await self.store.tasks("run")]
        for row, task in zip(self.core.rows, stored, strict=True):
            # What was due is put down as due in memory at once, and in the file with the task's next move.
            task.ready_at = 0.0 if row.ready_at == 0.0 else task.ready_at
        assert stored == self.core.rows


def _act(core: state_machine.RunCore, action: records.Action) -> None:
    match action.kind:
        case "pause":
            core.pause()
        case "resume":
            core.resume()
        case "retry":
            core.retry(action.task_id)
        case _:
            core.skip(action.task_id)


async def live(home: Path, plan: model.Plan, seed: int) -> None:
    clock = Clock()
    async with (
        sqlite_store.open_store(home, clock=clock) as store,
        sqlite_store.open_store(home, clock=clock) as other,
    ):
        await store.save_plan(plan, records.LOCAL)
        await store.create_run(store_setup.new_run())
        with owner_locks.OwnerLock(home) as lock:
            owner = records.Owner(lock.id, await store.adopt("run", lock.id) or 0)
            core = state_machine.RunCore.begin("run", plan, WorkerKind.SCRIPTED)
            history = History(store, other, owner, core, random.Random(seed), clock)
            for _ in range(STEPS):
                await history.turn()
                await history.check()
    assert store_setup.faults(home) == []


@pytest.mark.promise("R4")
@settings(max_examples=25)
@given(plans(), st.integers(0, 2**32))
def test_two_processes_move_a_run_exactly_as_its_state_machine_says(plan: model.Plan, seed: int) -> None:
    with tempfile.TemporaryDirectory() as home:
        anyio.run(live, Path(home), plan, seed)


async def handed_on(home: Path, plan: model.Plan, seed: int) -> None:
    rng = random.Random(seed)
    async with sqlite_store.open_store(home) as store:
        await store.save_plan(plan, records.LOCAL)
        await store.create_run(store_setup.new_run())
        for _ in range(60):
            lock = owner_locks.OwnerLock(home)
            epoch = await store.adopt("run", lock.id)
            if epoch is None:
                lock.close()
                break
            await _drive_a_little(store, records.Owner(lock.id, epoch), rng)
            if rng.random() < 0.5:
                await store.release(lock.id)
            lock.close()
        record = await store.run("run", principal=records.LOCAL)
        assert record.finished_at is not None
        attempts = await store.attempts("run")
        assert len({(attempt.task_id, attempt.attempt) for attempt in attempts}) == len(attempts)
    assert store_setup.faults(home) == []


async def _drive_a_little(store: sqlite_store.Store, owner: records.Owner, rng: random.Random) -> None:
    """Reports some of what was begun, and leaves the rest to whoever comes next."""
    everybody = store_setup.SERVER | store_setup.HOST
    reports: list[transitions.Finished] = []
    with contextlib.suppress(errors.Fenced):
        for _ in range(rng.randrange(1, 4)):
            advance = await store.advance("run", store_setup.step(owner, *reports, start=everybody))
            reports = [
                store_setup.report(start)
                for start in advance.starts
                if start.worker is WorkerKind.HOST or rng.random() < 0.7
            ]
        await store.advance("run", store_setup.step(owner, *reports, start=frozenset()))


@pytest.mark.promise("R2")
@settings(max_examples=25)
@given(plans(), st.integers(0, 2**32))
def test_a_run_comes_to_its_end_however_often_it_changes_hands(plan: model.Plan, seed: int) -> None:
    with tempfile.TemporaryDirectory() as home:
        anyio.run(handed_on, Path(home), plan, seed)
