"""What every engine must do, held to each of them: the embedded one and Temporal's on both of its small servers."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterator, Sequence
from itertools import count
from typing import Any

import anyio
import engine_labs
import pulse_waits
import pytest
from engine_conformance import ended, new_run, reached, script, task

from dispatch_mcp import model
from dispatch_mcp.engine.driving import run_engine
from dispatch_mcp.model import AttemptState, RunState, TaskState, WorkerKind, ports, records, transitions, work_order
from dispatch_mcp.store import sqlite_store
from dispatch_mcp.workers import scripted

pytestmark = pytest.mark.anyio


class Recording:
    """A worker that keeps the orders it gets and lets the script answer."""

    def __init__(self) -> None:
        self.orders: list[work_order.WorkOrder] = []
        self.stopped = anyio.Event()
        self.begun: defaultdict[str, anyio.Event] = defaultdict(anyio.Event)
        self._script = scripted.ScriptedWorker()

    async def carry_out(self, ctx: ports.TaskContext, work: work_order.WorkOrder) -> model.Outcome:
        self.orders.append(work)
        self.begun[work.task.id].set()
        try:
            return await self._script.carry_out(ctx, work)
        except anyio.get_cancelled_exc_class():
            self.stopped.set()
            raise


class Stepping:
    """A clock that every look moves on by a minute, so that back-offs are over at once."""

    def __init__(self) -> None:
        self._ticks: Iterator[int] = count(1)

    def __call__(self) -> float:
        return 60.0 * next(self._ticks)


@pytest.fixture
def worker() -> Recording:
    return Recording()


@pytest.fixture
async def engine(
    lab: engine_labs.Lab, store: sqlite_store.Store, worker: Recording
) -> AsyncGenerator[run_engine.RunEngine]:
    async with lab.open(store, {WorkerKind.SCRIPTED: worker}, clock=Stepping()) as opened:
        yield opened


async def states(store: sqlite_store.Store, run_id: str) -> dict[str, str]:
    return {row.id: row.state.value for row in await store.tasks(run_id)}


async def kinds(store: sqlite_store.Store, run_id: str) -> list[str]:
    return [event.kind for event in await store.events(run_id, limit=5_000)]


async def test_a_run_goes_through_its_graph(engine: run_engine.RunEngine, store: sqlite_store.Store) -> None:
    run_id = await new_run(store, task("a"), task("b", ["a"]), task("c", ["a"]), task("d", ["b", "c"]))
    await engine.start(run_id)
    assert await ended(engine, run_id) is RunState.SUCCEEDED
    assert set((await states(store, run_id)).values()) == {"succeeded"}
    assert (await kinds(store, run_id)).count("attempt_finished") == 4


async def test_starting_a_run_again_and_asking_again_under_its_key_changes_nothing(
    engine: run_engine.RunEngine, store: sqlite_store.Store, worker: Recording
) -> None:
    plan = model.Plan(id="plan", tasks=(task("a"), task("b", ["a"])))
    await store.save_plan(plan, records.LOCAL)
    births = [
        await store.create_run(
            records.NewRun(id=letter * 32, plan_id="plan", plan_version=1, worker=WorkerKind.SCRIPTED, request_key="k")
        )
        for letter in "abc"
    ]
    assert [is_new for _, is_new in births] == [True, False, False]
    for run, _ in births:
        await engine.start(run.id)
    assert await ended(engine, births[0][0].id) is RunState.SUCCEEDED
    await engine.start(births[0][0].id)
    assert sorted(work.task.id for work in worker.orders) == ["a", "b"]


async def test_a_transient_failure_is_tried_again_and_told_what_went_wrong(
    engine: run_engine.RunEngine, store: sqlite_store.Store, worker: Recording
) -> None:
    run_id = await new_run(store, task("a", inputs=script(fail=1, error="flaky network")))
    await engine.start(run_id)
    assert await ended(engine, run_id) is RunState.SUCCEEDED
    assert [work.attempt for work in worker.orders] == [1, 2]
    assert worker.orders[1].last_error == "flaky network"


async def test_a_permanent_failure_skips_what_depends_on_it_and_nothing_else(
    engine: run_engine.RunEngine, store: sqlite_store.Store
) -> None:
    run_id = await new_run(store, task("a", inputs=script(fail="permanent")), task("b", ["a"]), task("c"))
    await engine.start(run_id)
    assert await ended(engine, run_id) is RunState.PARTIAL
    assert await states(store, run_id) == {"a": "failed", "b": "skipped", "c": "succeeded"}


async def test_cancelling_a_run_reaches_what_is_at_work(
    engine: run_engine.RunEngine, store: sqlite_store.Store, worker: Recording
) -> None:
    run_id = await new_run(store, task("a", inputs=script(hang=True)), task("b", ["a"]))
    await engine.start(run_id)
    await reached(engine, run_id, "attempt_started")
    await engine.signal(run_id, records.Action("cancel", reason="enough"))
    assert await ended(engine, run_id) is RunState.CANCELLED
    assert await states(store, run_id) == {"a": "cancelled", "b": "cancelled"}
    if worker.orders:  # it may have been cancelled before it began
        with anyio.fail_after(120):
            await worker.stopped.wait()


async def test_a_paused_run_starts_nothing_until_it_is_resumed(
    engine: run_engine.RunEngine, store: sqlite_store.Store, worker: Recording
) -> None:
    run_id = await new_run(store, task("a"), task("b", ["a"]))
    await engine.signal(run_id, records.Action("pause"))
    await engine.start(run_id)
    assert (await engine.status(run_id)).state is RunState.PAUSED
    assert worker.orders == []
    await engine.signal(run_id, records.Action("resume"))
    assert await ended(engine, run_id) is RunState.SUCCEEDED


async def test_a_run_waits_at_its_ceiling_and_goes_on_when_that_is_raised(
    engine: run_engine.RunEngine, store: sqlite_store.Store, worker: Recording
) -> None:
    tasks = [task("a"), task("b", ["a"]), task("c", ["b"])]
    await store.save_plan(model.Plan(id="plan", tasks=tuple(tasks)), records.LOCAL)
    await store.create_run(
        records.NewRun(
            id="c" * 32,
            plan_id="plan",
            plan_version=1,
            worker=WorkerKind.SCRIPTED,
            limits=model.Limits(attempts=2),
        )
    )
    await engine.start("c" * 32)
    await reached(engine, "c" * 32, "limit_reached")
    assert [work.task.id for work in worker.orders] == ["a", "b"]
    await store.advance("c" * 32, records.Step(now=engine.clock(), limits=model.Limits(attempts=5)))
    engine.poke("c" * 32)
    assert await ended(engine, "c" * 32) is RunState.SUCCEEDED


async def test_a_run_goes_on_with_an_edited_plan(
    engine: run_engine.RunEngine, store: sqlite_store.Store, worker: Recording
) -> None:
    run_id = await new_run(store, task("a", inputs=script(hang=True)), task("b", ["a"]))
    await engine.start(run_id)
    await reached(engine, run_id, "attempt_started")
    edited = (task("a", inputs=script(hang=True)), task("b", ["a"]), task("c"))
    plan = model.Plan(id=f"plan-{run_id}", version=2, tasks=edited, max_parallel=5)
    await store.revise(plan, records.LOCAL, base_version=1)
    engine.poke(run_id)
    await reached(engine, run_id, "attempt_finished")
    assert (await states(store, run_id))["c"] == "succeeded"
    await engine.signal(run_id, records.Action("skip", "a", "done by hand"))
    assert await ended(engine, run_id) is RunState.SUCCEEDED


async def test_a_change_by_a_process_that_tells_nobody_is_noticed(
    engine: run_engine.RunEngine, store: sqlite_store.Store
) -> None:
    run_id = await new_run(store, task("a", inputs=script(hang=True)), task("b", ["a"]))
    await engine.start(run_id)
    await reached(engine, run_id, "attempt_started")
    async with sqlite_store.open_store(store.home) as foreign:
        skip = records.Action("skip", "a", "done by hand")
        await foreign.advance(run_id, records.Step(now=1.0, actions=[skip]))
    assert await ended(engine, run_id) is RunState.SUCCEEDED


async def test_retrying_a_failed_task_reopens_a_finished_run(
    engine: run_engine.RunEngine, store: sqlite_store.Store
) -> None:
    run_id = await new_run(store, task("a", inputs=script(fail=1), max_attempts=1), task("b", ["a"]))
    await engine.start(run_id)
    assert await ended(engine, run_id) is RunState.FAILED
    await engine.signal(run_id, records.Action("retry", "a"))
    assert await ended(engine, run_id) is RunState.SUCCEEDED


async def test_people_decide_before_a_run_goes_on(engine: run_engine.RunEngine, store: sqlite_store.Store) -> None:
    gate = model.Task(id="gate", do="Approve it", deps=("a",), worker=WorkerKind.HUMAN)
    run_id = await new_run(store, task("a"), gate, task("b", ["gate"]))
    await engine.start(run_id)

    async def asks() -> bool:
        return (await states(store, run_id))["gate"] == "running"

    await pulse_waits.until(engine, asks)
    assert (await engine.status(run_id)).state is RunState.WAITING_INPUT
    yes = model.Outcome(state=AttemptState.SUCCEEDED, summary="approved")
    row = next(row for row in await store.tasks(run_id) if row.id == "gate")
    report = transitions.Finished("gate", row.attempt, yes)
    await store.advance(run_id, records.Step(now=engine.clock(), finished=[report]))
    engine.poke(run_id)
    assert await ended(engine, run_id) is RunState.SUCCEEDED


async def test_an_engine_that_is_opened_again_goes_on_and_repeats_nothing_finished(
    lab: engine_labs.Lab, store: sqlite_store.Store
) -> None:
    first, second = Recording(), Recording()
    async with lab.open(store, {WorkerKind.SCRIPTED: first}) as engine:
        run_id = await new_run(store, task("a"), task("b", ["a"], inputs=script(hang=True)))
        await engine.start(run_id)
        with anyio.fail_after(120):
            await first.begun["b"].wait()
    async with lab.open(store, {WorkerKind.SCRIPTED: second}) as engine:
        await reached(engine, run_id, "attempt_started", 3)
        await engine.signal(run_id, records.Action("skip", "b"))
        assert await ended(engine, run_id) is RunState.SUCCEEDED
    assert {work.task.id for work in second.orders} <= {"b"}
    row = next(row for row in await store.tasks(run_id) if row.id == "b")
    assert row.state is TaskState.SKIPPED


async def test_what_a_lost_attempt_left_behind_reaches_the_next_one(
    lab: engine_labs.Lab, store: sqlite_store.Store
) -> None:
    class Beating(Recording):
        async def carry_out(self, ctx: ports.TaskContext, work: work_order.WorkOrder) -> model.Outcome:
            if work.attempt == 1:
                ctx.beat(session_id="s-1")
                await anyio.sleep_forever()
            return await super().carry_out(ctx, work)

    worker = Beating()
    async with lab.open(store, {WorkerKind.SCRIPTED: worker}) as engine:
        run_id = await new_run(store, task("a"))
        await engine.start(run_id)
        await pulse_waits.until(engine, lambda: store.last_beat(run_id, "a"))
    async with lab.open(store, {WorkerKind.SCRIPTED: worker}) as engine:
        assert await ended(engine, run_id) is RunState.SUCCEEDED
    assert worker.orders[-1].last_beat == {"session_id": "s-1"}


async def test_only_one_of_two_engines_begins_each_attempt(lab: engine_labs.Lab, store: sqlite_store.Store) -> None:
    first, second = Recording(), Recording()
    tasks = [task(f"t{n}", inputs=script(sleep_s=0.01)) for n in range(30)]
    async with (
        lab.open(store, {WorkerKind.SCRIPTED: first}) as one,
        lab.open(store, {WorkerKind.SCRIPTED: second}) as other,
    ):
        run_id = await new_run(store, *tasks)
        await one.start(run_id)
        await other.start(run_id)
        assert await ended(other, run_id) is RunState.SUCCEEDED
    names = [work.task.id for work in (*first.orders, *second.orders)]
    assert sorted(names) == sorted(one.id for one in tasks)


def _random_task(rng: random.Random, number: int) -> model.Task:
    deps = sorted(rng.sample(range(number), rng.randint(0, min(number, 3))))
    fate: Any = rng.choice([{}, {}, {}, {"fail": 1}, {"fail": 2}, {"fail": "permanent"}, {"fail": "transient"}])
    return task(f"t{number}", [f"t{dep}" for dep in deps], inputs=script(**fate), max_attempts=rng.randint(1, 3))


def random_plans(seed: int, number: int) -> list[Sequence[model.Task]]:
    """Returns plans of one to eight tasks, of which some fail, once or for good."""
    rng = random.Random(seed)
    return [[_random_task(rng, place) for place in range(rng.randint(1, 8))] for _ in range(number)]


def fate(row: records.TaskRecord) -> tuple[str, int, str]:
    """Returns the state of a task, how often it was tried, and why it is closed.

    Of two that fail at the same time, the first one to be recorded is named as what others are skipped for. And a
    machine without time for anybody loses an attempt now and then, which is begun again and counted apart.
    """
    return row.state.value, row.attempt - row.crashes - row.host_losses, row.cause.partition(":")[0]


async def outcomes(
    lab: engine_labs.Lab, store: sqlite_store.Store, plans: Sequence[Sequence[model.Task]]
) -> list[tuple[RunState, dict[str, tuple[str, int, str]]]]:
    """Returns how each plan ends: its state, and state, attempts and cause of each task."""
    ends: list[tuple[RunState, dict[str, tuple[str, int, str]]]] = []
    async with lab.open(store, {WorkerKind.SCRIPTED: scripted.ScriptedWorker()}, clock=Stepping()) as engine:
        run_ids = [await new_run(store, *tasks, run_id=f"{number:032x}") for number, tasks in enumerate(plans)]
        for run_id in run_ids:
            await engine.start(run_id)
        for run_id in run_ids:
            with anyio.fail_after(300):
                async for _ in engine.events(run_id):
                    pass
            rows = await store.tasks(run_id)
            state = (await engine.status(run_id)).state
            ends.append((state, {row.id: fate(row) for row in rows}))
    return ends


@pytest.mark.timeout(600)
async def test_two_hundred_random_plans_end_alike_under_every_engine(
    lab: engine_labs.Lab, store: sqlite_store.Store, tmp_path: Any
) -> None:
    plans = random_plans(21, 200)
    async with sqlite_store.open_store(tmp_path / "expected") as other:
        expected = await outcomes(engine_labs.Lab(engine_labs.EMBEDDED), other, plans)
    assert await outcomes(lab, store, plans) == expected
    assert {state for state, _ in expected} >= {RunState.SUCCEEDED, RunState.FAILED, RunState.PARTIAL}


@pytest.mark.timeout(1800)
async def test_three_thousand_tasks_go_through_several_histories_and_each_is_done_once(
    lab: engine_labs.Lab, store: sqlite_store.Store, request: pytest.FixtureRequest
) -> None:
    if not request.config.getoption("scale", default=False) and lab.address:
        pytest.skip("takes minutes; `make test-scale` runs it")
    tasks = [task(f"t{number}", [f"t{number - 100}"] if number >= 100 else []) for number in range(3_000)]
    async with lab.open(store, {WorkerKind.SCRIPTED: scripted.ScriptedWorker()}, most_events=4_000) as engine:
        run_id = await new_run(store, *tasks, max_parallel=50)
        await engine.start(run_id)
        with anyio.fail_after(1_500):
            async for _ in engine.events(run_id):
                pass
        assert (await engine.status(run_id)).state is RunState.SUCCEEDED
    rows = await store.tasks(run_id)
    assert {(row.state, row.attempt) for row in rows} == {(TaskState.SUCCEEDED, 1)}
