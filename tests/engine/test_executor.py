from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from itertools import count
from pathlib import Path

import anyio
import pulse_waits
import pytest
from engine_conformance import ended, new_run, reached, script, task

from dispatch_mcp import model
from dispatch_mcp.engine import executor, run_view
from dispatch_mcp.engine.driving import run_engine
from dispatch_mcp.model import AttemptState, RunState, TaskState, WorkerKind, ports, records, work_order
from dispatch_mcp.store import sqlite_store
from dispatch_mcp.workers import scripted

pytestmark = pytest.mark.anyio

FAST = run_engine.Pace(look_s=0.01, takeover_s=0.05)


class Recording:
    """A worker that keeps the orders it gets and lets the script answer."""

    def __init__(self) -> None:
        self.orders: list[work_order.WorkOrder] = []
        self.has_order = anyio.Event()
        self._script = scripted.ScriptedWorker()

    async def carry_out(self, ctx: ports.TaskContext, work: work_order.WorkOrder) -> model.Outcome:
        self.orders.append(work)
        self.has_order.set()
        return await self._script.carry_out(ctx, work)


class Stepping:
    """A clock that every look moves on by a minute, so that back-offs are over at once."""

    def __init__(self) -> None:
        self._ticks: Iterator[int] = count(1)

    def __call__(self) -> float:
        return 60.0 * next(self._ticks)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncGenerator[sqlite_store.Store]:
    async with sqlite_store.open_store(tmp_path / "home") as opened:
        yield opened


@pytest.fixture
def worker() -> Recording:
    return Recording()


@pytest.fixture
async def engine(store: sqlite_store.Store, worker: Recording) -> AsyncGenerator[executor.EmbeddedEngine]:
    async with executor.open_engine(store, {WorkerKind.SCRIPTED: worker}, clock=Stepping(), pace=FAST) as opened:
        yield opened


async def states(store: sqlite_store.Store, run_id: str) -> dict[str, str]:
    return {row.id: row.state.value for row in await store.tasks(run_id)}


async def test_a_run_goes_through_its_graph(engine: executor.EmbeddedEngine, store: sqlite_store.Store) -> None:
    run_id = await new_run(store, task("a"), task("b", ["a"]), task("c", ["a"]), task("d", ["b", "c"]))
    await engine.start(run_id)
    assert await ended(engine, run_id) is RunState.SUCCEEDED
    assert set((await states(store, run_id)).values()) == {"succeeded"}


async def test_starting_a_run_again_changes_nothing(
    engine: executor.EmbeddedEngine, store: sqlite_store.Store, worker: Recording
) -> None:
    run_id = await new_run(store, task("a"), task("b", ["a"]))
    for _ in range(5):
        await engine.start(run_id)
    assert await ended(engine, run_id) is RunState.SUCCEEDED
    await engine.start(run_id)
    assert sorted(work.task.id for work in worker.orders) == ["a", "b"]


async def test_a_dependant_receives_the_handoff_and_output_of_what_it_builds_on(
    engine: executor.EmbeddedEngine, store: sqlite_store.Store, worker: Recording
) -> None:
    first = task("a", inputs=script(output={"port": 8080}, handoff={"decisions_made": ["use 8080"]}))
    run_id = await new_run(store, first, task("b", ["a"]))
    await engine.start(run_id)
    await ended(engine, run_id)
    [received] = worker.orders[-1].upstream
    assert received.task_id == "a"
    assert received.output == {"port": 8080}
    assert received.handoff.decisions_made == ("use 8080",)


async def test_a_transient_failure_is_tried_again_and_told_what_went_wrong(
    engine: executor.EmbeddedEngine, store: sqlite_store.Store, worker: Recording
) -> None:
    run_id = await new_run(store, task("a", inputs=script(fail=1, error="flaky network")))
    await engine.start(run_id)
    assert await ended(engine, run_id) is RunState.SUCCEEDED
    assert [work.attempt for work in worker.orders] == [1, 2]
    assert worker.orders[1].last_error == "flaky network"


async def test_a_permanent_failure_skips_what_depends_on_it_and_nothing_else(
    engine: executor.EmbeddedEngine, store: sqlite_store.Store
) -> None:
    run_id = await new_run(store, task("a", inputs=script(fail="permanent")), task("b", ["a"]), task("c"))
    await engine.start(run_id)
    assert await ended(engine, run_id) is RunState.PARTIAL
    assert await states(store, run_id) == {"a": "failed", "b": "skipped", "c": "succeeded"}


async def test_a_task_that_outlives_its_deadline_is_stopped(
    engine: executor.EmbeddedEngine, store: sqlite_store.Store
) -> None:
    run_id = await new_run(store, task("a", inputs=script(hang=True), timeout_s=0.01, max_attempts=1))
    await engine.start(run_id)
    assert await ended(engine, run_id) is RunState.FAILED
    [attempt] = await store.attempts(run_id)
    assert attempt.state is AttemptState.TIMED_OUT


async def test_a_worker_that_crashes_fails_its_own_task_only(store: sqlite_store.Store) -> None:
    class Broken:
        async def carry_out(self, ctx: ports.TaskContext, work: work_order.WorkOrder) -> model.Outcome:
            raise ZeroDivisionError("oops")

    workers = {WorkerKind.SCRIPTED: Broken()}
    async with executor.open_engine(store, workers, clock=Stepping(), pace=FAST) as engine:
        run_id = await new_run(store, task("a", max_attempts=1))
        await engine.start(run_id)
        assert await ended(engine, run_id) is RunState.FAILED
    [attempt] = await store.attempts(run_id)
    assert attempt.error_kind == "worker_crashed"
    assert "oops" in attempt.error


async def test_a_task_that_nobody_here_can_do_fails_with_that_reason(
    engine: executor.EmbeddedEngine, store: sqlite_store.Store
) -> None:
    run_id = await new_run(store, model.Task(id="a", do="x", worker=WorkerKind.API))
    await engine.start(run_id)
    assert await ended(engine, run_id) is RunState.FAILED
    [attempt] = await store.attempts(run_id)
    assert attempt.error_kind == "no_worker"


async def test_cancelling_a_run_stops_what_is_running(
    engine: executor.EmbeddedEngine, store: sqlite_store.Store
) -> None:
    run_id = await new_run(store, task("a", inputs=script(hang=True)), task("b", ["a"]))
    await engine.start(run_id)
    await reached(engine, run_id, "attempt_started")
    await engine.signal(run_id, records.Action("cancel", reason="enough"))
    assert await ended(engine, run_id) is RunState.CANCELLED
    assert await states(store, run_id) == {"a": "cancelled", "b": "cancelled"}


async def test_a_paused_run_starts_nothing_until_it_is_resumed(
    engine: executor.EmbeddedEngine, store: sqlite_store.Store, worker: Recording
) -> None:
    run_id = await new_run(store, task("a"))
    await engine.signal(run_id, records.Action("pause"))
    assert (await engine.status(run_id)).state is RunState.PAUSED
    assert worker.orders == []
    await engine.signal(run_id, records.Action("resume"))
    assert await ended(engine, run_id) is RunState.SUCCEEDED


async def test_skipping_a_hanging_task_lets_its_dependants_go_on(
    engine: executor.EmbeddedEngine, store: sqlite_store.Store
) -> None:
    run_id = await new_run(store, task("a", inputs=script(hang=True)), task("b", ["a"]))
    await engine.start(run_id)
    await reached(engine, run_id, "attempt_started")
    await engine.signal(run_id, records.Action("skip", "a", "done by hand"))
    assert await ended(engine, run_id) is RunState.SUCCEEDED
    assert await states(store, run_id) == {"a": "skipped", "b": "succeeded"}


async def test_retrying_a_failed_task_reopens_a_finished_run(
    store: sqlite_store.Store, engine: executor.EmbeddedEngine, worker: Recording
) -> None:
    run_id = await new_run(store, task("a", inputs=script(fail=1), max_attempts=1), task("b", ["a"]))
    await engine.start(run_id)
    assert await ended(engine, run_id) is RunState.FAILED
    await engine.signal(run_id, records.Action("retry", "a"))
    assert await ended(engine, run_id) is RunState.SUCCEEDED


async def test_another_engine_takes_a_released_run_over_and_repeats_nothing_finished(store: sqlite_store.Store) -> None:
    first, second = Recording(), Recording()
    async with executor.open_engine(store, {WorkerKind.SCRIPTED: first}, pace=FAST) as engine:
        run_id = await new_run(store, task("a"), task("b", ["a"], inputs=script(hang=True)))
        await engine.start(run_id)
        await reached(engine, run_id, "attempt_started", 2)
    async with executor.open_engine(store, {WorkerKind.SCRIPTED: second}, pace=FAST) as engine:
        with anyio.fail_after(120):  # an attempt that is stopped before it has its order never reaches a worker
            await second.has_order.wait()
        await engine.signal(run_id, records.Action("skip", "b"))
        assert await ended(engine, run_id) is RunState.SUCCEEDED
    assert [work.task.id for work in second.orders] == ["b"]
    row = next(row for row in await store.tasks(run_id) if row.id == "b")
    assert row.crashes == 0


async def test_only_one_of_two_engines_drives_a_run(store: sqlite_store.Store) -> None:
    first, second = Recording(), Recording()
    tasks = [task(f"t{n}", inputs=script(sleep_s=0.01)) for n in range(30)]
    async with (
        executor.open_engine(store, {WorkerKind.SCRIPTED: first}, pace=FAST) as one,
        executor.open_engine(store, {WorkerKind.SCRIPTED: second}, pace=FAST) as other,
    ):
        run_id = await new_run(store, *tasks)
        await one.start(run_id)
        await other.start(run_id)
        assert await ended(other, run_id) is RunState.SUCCEEDED
    assert len(first.orders) == 30
    assert second.orders == []


async def test_no_more_than_max_parallel_run_at_once(store: sqlite_store.Store) -> None:
    running, most = 0, 0
    gate = anyio.Event()

    class Counting:
        async def carry_out(self, ctx: ports.TaskContext, work: work_order.WorkOrder) -> model.Outcome:
            nonlocal running, most
            running += 1
            most = max(most, running)
            if most == 3:
                gate.set()
            await gate.wait()
            running -= 1
            return model.Outcome(state=AttemptState.SUCCEEDED)

    async with executor.open_engine(store, {WorkerKind.SCRIPTED: Counting()}, pace=FAST) as engine:
        run_id = await new_run(store, *(task(f"t{n}") for n in range(10)), max_parallel=3)
        await engine.start(run_id)
        assert await ended(engine, run_id) is RunState.SUCCEEDED
    assert most == 3


async def test_what_a_lost_attempt_left_behind_reaches_the_next_one(store: sqlite_store.Store) -> None:
    class Beating(Recording):
        async def carry_out(self, ctx: ports.TaskContext, work: work_order.WorkOrder) -> model.Outcome:
            if work.attempt == 1:
                ctx.beat(session="s-1")
                await anyio.sleep_forever()
            return await super().carry_out(ctx, work)

    worker = Beating()
    async with executor.open_engine(store, {WorkerKind.SCRIPTED: worker}, pace=FAST) as engine:
        run_id = await new_run(store, task("a"))
        await engine.start(run_id)
        await pulse_waits.until(engine, lambda: store.last_beat(run_id, "a"))
    async with executor.open_engine(store, {WorkerKind.SCRIPTED: worker}, pace=FAST) as engine:
        assert await ended(engine, run_id) is RunState.SUCCEEDED
    assert worker.orders[-1].last_beat == {"session": "s-1"}


async def test_events_can_be_read_from_any_place(engine: executor.EmbeddedEngine, store: sqlite_store.Store) -> None:
    run_id = await new_run(store, task("a"), task("b", ["a"]))
    await engine.start(run_id)
    await ended(engine, run_id)
    every = [event async for event in engine.events(run_id)]
    later = [event async for event in engine.events(run_id, after=every[2].seq)]
    assert later == every[3:]
    assert TaskState.SUCCEEDED.value in {event.data.get("state") for event in every}


async def test_a_run_whose_worker_is_not_here_is_left_to_whoever_has_it(store: sqlite_store.Store) -> None:
    await store.save_plan(model.Plan(id="plan", tasks=(model.Task(id="a", do="Ask a model"),)), records.LOCAL)
    elsewhere = records.NewRun(id="b" * 32, plan_id="plan", plan_version=1, worker=WorkerKind.API)
    await store.create_run(elsewhere)
    async with executor.open_engine(store, {WorkerKind.SCRIPTED: Recording()}, pace=FAST) as engine:
        here = await new_run(store, task("a"))  # younger, so that it is looked at after the other one
        assert await ended(engine, here) is RunState.SUCCEEDED
        assert (await engine.status(elsewhere.id)).owner == ""
    assert [event.kind for event in await store.events(elsewhere.id)] == ["run_created"]


@pytest.mark.parametrize(
    ("other", "state"), [(WorkerKind.SCRIPTED, RunState.SUCCEEDED), (WorkerKind.API, RunState.RUNNING)]
)
async def test_a_run_is_taken_over_by_who_has_the_workers_of_its_open_tasks(
    store: sqlite_store.Store, other: WorkerKind, state: RunState
) -> None:
    tasks = (task("a"), model.Task(id="b", do="Work", deps=("a",), worker=other))
    await store.save_plan(model.Plan(id="plan", tasks=tasks), records.LOCAL)
    await store.create_run(records.NewRun(id="b" * 32, plan_id="plan", plan_version=1, worker=WorkerKind.API))
    assert not (await run_view.load(store, "b" * 32, records.LOCAL)).is_driven
    async with executor.open_engine(store, {WorkerKind.SCRIPTED: Recording()}, pace=FAST) as engine:
        sentinel = await new_run(store, task("a"))  # younger, so that it is looked at after the other one
        assert await ended(engine, sentinel) is RunState.SUCCEEDED
        if state in model.RUN_FINAL:
            await ended(engine, "b" * 32)
        assert (await engine.status("b" * 32)).state == state


async def test_an_engine_that_only_looks_drives_nothing_whatever_it_is_asked(store: sqlite_store.Store) -> None:
    worker = Recording()
    run_id = await new_run(store, task("a"))
    async with executor.open_engine(store, {WorkerKind.SCRIPTED: worker}, pace=FAST, drives=False) as engine:
        await engine.start(run_id)
        await engine.signal(run_id, records.Action("pause"))
        await engine.signal(run_id, records.Action("resume"))
        assert (await engine.status(run_id)).owner == ""
        assert engine.driven_runs == frozenset()
    async with executor.open_engine(store, {WorkerKind.SCRIPTED: worker}, pace=FAST) as engine:
        assert await ended(engine, run_id) is RunState.SUCCEEDED
    assert len(worker.orders) == 1


async def test_a_dependant_builds_on_the_attempt_that_succeeded_and_not_on_one_that_failed_before(
    engine: executor.EmbeddedEngine, store: sqlite_store.Store, worker: Recording
) -> None:
    first = task("a", inputs=script(fail=1, error="flaky", output={"port": 8080}))
    run_id = await new_run(store, first, task("b", ["a"]))
    await engine.start(run_id)
    assert await ended(engine, run_id) is RunState.SUCCEEDED
    [received] = worker.orders[-1].upstream
    assert received.output == {"port": 8080}
    assert "flaky" not in received.summary
