"""Faults of our own around an attempt: told, tried again within a limit, and nobody is asked twice for an answer."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any, Literal

import anyio
import pulse_waits
import pytest
from engine_conformance import ended, reached

from dispatch_mcp import errors, model
from dispatch_mcp.engine import artifacts, attempt_services, executor
from dispatch_mcp.engine.driving import run_engine
from dispatch_mcp.model import AttemptState, RunState, TaskState, WorkerKind, ports, records, work_order
from dispatch_mcp.store import sqlite_store

pytestmark = [pytest.mark.anyio, pytest.mark.promise("R21")]

RUN = "a" * 32
FAST = run_engine.Pace(look_s=0.01, takeover_s=0.02, retry_store_s=0.01, drive_again_s=0.0)
USAGE = model.Usage(input_tokens=100, output_tokens=10, cost_usd=0.25)
FOR_EVER = 1_000

Port = Literal["order", "place", "judgement", "merge", "leaving", "end", "clock"]
AFTER_THE_ANSWER: tuple[Port, ...] = ("judgement", "merge")
BEFORE_IT: tuple[Port, ...] = ("order", "place")
HARMLESS: tuple[Port, ...] = ("leaving", "end")


class Boom(Exception):
    """A fault that nobody has thought of."""


@dataclass
class Faults:
    """Raises at one port, so many times, and counts who came by."""

    port: Port | None = None
    times: int = 0
    kind: Callable[[str], Exception] = Boom
    seen: Counter[str] = field(default_factory=Counter[str])

    def at(self, port: Port) -> None:
        self.seen[port] += 1
        if port == self.port and self.times > 0:
            self.times -= 1
            raise self.kind(f"{port} is broken")


@dataclass
class Model:
    """A model that answers each request with what it costs, and names a file."""

    requests: int = 0

    async def carry_out(self, ctx: ports.TaskContext, work: work_order.WorkOrder) -> model.Outcome:
        self.requests += 1
        handoff = model.Handoff(completed_work="done", artifacts=(model.Artifact(name="notes", path="notes.md"),))
        return model.Outcome(state=AttemptState.SUCCEEDED, summary="done", handoff=handoff, usage=USAGE)


@dataclass
class Places:
    """A workspace provider that works in the workspace itself."""

    faults: Faults
    gate: anyio.Event | None = None
    answered: anyio.Event = field(default_factory=anyio.Event)

    async def within(
        self, ctx: ports.TaskContext, work: work_order.WorkOrder, carry_out: ports.CarryOut, judge: ports.Judge
    ) -> model.Outcome:
        self.faults.at("place")
        outcome = await carry_out(ctx, work)
        self.answered.set()
        if self.gate is not None:
            await self.gate.wait()
        outcome = await judge(work, outcome)
        self.faults.at("merge")
        return outcome

    async def leave(self, work: work_order.WorkOrder) -> None:
        self.faults.at("leaving")


@dataclass
class Moody:
    """A store of which a test decides what becomes of a step: `after` sees what it did, `before` that it comes."""

    inner: sqlite_store.Store
    before: Callable[[], None] = lambda: None
    after: Callable[[records.Advance], None] = lambda _advance: None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def advance(self, run_id: str, step: records.Step) -> records.Advance:
        self.before()
        advance = await self.inner.advance(run_id, step)
        self.after(advance)
        return advance

    async def fail_drive(self, run_id: str, owner: records.Owner, why: str) -> None:
        self.before()
        await self.inner.fail_drive(run_id, owner, why)


@dataclass
class Stage:
    """Engines one after the other over one store, with faults at their ports."""

    store: Any
    workspace: Path
    faults: Faults = field(default_factory=Faults)
    model: Model = field(default_factory=Model)
    ticks: Any = field(default_factory=lambda: count(1))
    ends: list[str] = field(default_factory=list[str])
    pace: run_engine.Pace = FAST

    def clock(self) -> float:
        self.faults.at("clock")
        return 60.0 * next(self.ticks)

    def order(self, work: work_order.WorkOrder) -> work_order.WorkOrder:
        self.faults.at("order")
        return work

    def redact(self, text: str) -> str:
        self.faults.at("judgement")
        return text

    async def at_end(self, run_id: str) -> None:
        self.ends.append(run_id)
        self.faults.at("end")

    def engine(self, places: Places | None = None) -> Any:
        services = attempt_services.AttemptServices(
            workspaces=places or Places(self.faults), archive=artifacts.Archive(self.store.blobs, self.redact)
        )
        workers: Mapping[WorkerKind, ports.Worker] = {WorkerKind.API: self.model}
        return executor.open_engine(
            self.store, workers, clock=self.clock, pace=self.pace, services=services, make_order=self.order
        )

    async def begin(self, *tasks: model.Task, worker: WorkerKind = WorkerKind.API) -> None:
        plan = model.Plan(id="plan", tasks=tasks or (model.Task(id="a", do="Do it"),), workspace=str(self.workspace))
        await self.store.save_plan(plan, records.LOCAL)
        new = records.NewRun(id=RUN, plan_id="plan", plan_version=1, worker=worker, workspace=str(self.workspace))
        await self.store.create_run(new)

    async def run(self, *tasks: model.Task) -> RunState:
        await self.begin(*tasks)
        async with self.engine() as engine:
            engine.at_end = self.at_end
            await engine.start(RUN)
            return await ended(engine, RUN)

    @asynccontextmanager
    async def answered(self) -> AsyncGenerator[tuple[Any, anyio.Event]]:
        """Yields an engine that works at an attempt whose answer is there, and what lets that answer go on."""
        await self.begin()
        gate = anyio.Event()
        places = Places(self.faults, gate=gate)
        async with self.engine(places) as engine:
            await engine.start(RUN)
            with anyio.fail_after(120):
                await places.answered.wait()
            yield engine, gate

    async def rows(self) -> dict[str, records.TaskRecord]:
        return {row.id: row for row in await self.store.tasks(RUN)}

    async def events(self, kind: str) -> list[model.Event]:
        return [event for event in await self.store.events(RUN) if event.kind == kind]


@pytest.fixture
async def stage(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> AsyncGenerator[Stage]:
    caplog.set_level(logging.CRITICAL)
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (workspace / "notes.md").write_text("All is well.\n", "utf-8")
    async with sqlite_store.open_store(tmp_path / "home") as store:
        yield Stage(store, workspace)


@pytest.mark.parametrize("kind", [Boom, OSError, errors.StoreDamaged, errors.UnknownHandle, errors.WorkerError])
@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("port", [*BEFORE_IT, *AFTER_THE_ANSWER])
async def test_a_fault_that_passes_costs_no_second_request(
    stage: Stage, port: Port, times: int, kind: Callable[[str], Exception]
) -> None:
    stage.faults = Faults(port, times, kind)
    assert await stage.run() is RunState.SUCCEEDED
    attempts = await stage.store.attempts(RUN)
    assert stage.model.requests == 1
    assert [past.error_kind for past in attempts] == ["internal_error"] * times + [""]
    assert all(f"{port} is broken" in past.error for past in attempts[:times])
    assert (await stage.rows())["a"].failures == 0
    assert await stage.store.spend(RUN) == USAGE.model_copy(update={"seconds": 0.0})


@pytest.mark.parametrize("port", [*BEFORE_IT, *AFTER_THE_ANSWER])
async def test_a_fault_that_stays_ends_the_task_with_its_reason_after_a_few_tries(stage: Stage, port: Port) -> None:
    stage.faults = Faults(port, FOR_EVER)
    assert await stage.run(model.Task(id="a", do="Do it"), model.Task(id="b", do="Go on", deps=("a",))) is (
        RunState.FAILED
    )
    rows = await stage.rows()
    assert (rows["a"].state, rows["a"].cause, rows["a"].crashes) == (TaskState.FAILED, "internal_error", 3)
    assert rows["b"].state is TaskState.SKIPPED
    assert stage.model.requests == (1 if port in AFTER_THE_ANSWER else 0)
    ends = await stage.events("attempt_finished")
    assert [event.data["error_kind"] for event in ends] == ["internal_error"] * 3
    last = (await stage.store.attempts(RUN))[-1]
    assert last.error == f"dispatch-mcp itself failed: Boom('{port} is broken')"
    assert (await stage.store.run(RUN, principal=records.LOCAL)).owner == ""


@pytest.mark.parametrize("port", AFTER_THE_ANSWER)
async def test_who_retries_what_a_fault_has_ended_goes_on_from_the_paid_answer(stage: Stage, port: Port) -> None:
    stage.faults = Faults(port, 3)
    assert await stage.run() is RunState.FAILED
    async with stage.engine() as engine:
        await engine.signal(RUN, records.Action("retry", "a"))
        assert await ended(engine, RUN) is RunState.SUCCEEDED
    assert stage.model.requests == 1


@pytest.mark.parametrize("port", HARMLESS)
async def test_what_fails_once_the_outcome_is_known_changes_nothing_of_it(stage: Stage, port: Port) -> None:
    stage.faults = Faults(port, FOR_EVER)
    assert await stage.run(model.Task(id="a", do="Do it"), model.Task(id="b", do="Go on", deps=("a",))) is (
        RunState.SUCCEEDED
    )
    assert (stage.model.requests, stage.ends) == (2, [RUN])
    assert len(await stage.store.attempts(RUN)) == 2
    assert (stage.faults.seen["leaving"], stage.faults.seen["end"]) == (2, 1)


async def test_a_fault_of_one_attempt_leaves_those_beside_it_alone(stage: Stage) -> None:
    stage.faults = Faults("merge", 1)
    tasks = [model.Task(id=f"t{number}", do="Do it") for number in range(5)]
    assert await stage.run(*tasks) is RunState.SUCCEEDED
    assert stage.model.requests == 5
    assert len(await stage.store.attempts(RUN)) == 6


async def test_an_answer_is_not_asked_for_again_by_whoever_takes_over(stage: Stage) -> None:
    async with stage.answered():
        pass
    async with stage.engine() as engine:
        assert await ended(engine, RUN) is RunState.SUCCEEDED
    assert stage.model.requests == 1
    first, second = await stage.store.attempts(RUN)
    assert (first.state, second.state) == (AttemptState.ABANDONED, AttemptState.SUCCEEDED)
    assert (await stage.store.spend(RUN)).cost_usd == USAGE.cost_usd


async def test_whoever_goes_on_from_an_answer_leaves_word_of_what_its_asker_was_shown(stage: Stage) -> None:
    class Shown(Model):
        async def carry_out(self, ctx: ports.TaskContext, work: work_order.WorkOrder) -> model.Outcome:
            ctx.beat(shown="the change")
            return await super().carry_out(ctx, work)

    stage.model, stage.faults = Shown(), Faults("merge", 1)
    assert await stage.run() is RunState.SUCCEEDED
    assert [past.beat.get("shown") for past in await stage.store.attempts(RUN)] == ["the change"] * 2


@dataclass
class Jammed:
    """Blobs that take nothing so many times."""

    inner: ports.Blobs
    times: int

    def put(self, data: bytes) -> str:
        self.times -= 1
        if self.times >= 0:
            raise errors.StoreDamaged("no room", hint="Make some.")
        return self.inner.put(data)

    def get(self, digest: str) -> bytes:
        return self.inner.get(digest)


async def test_an_answer_that_the_disk_does_not_take_is_not_paid_for_again_either(stage: Stage) -> None:
    stage.store = Moody(stage.store)
    stage.store.blobs = Jammed(stage.store.inner.blobs, times=2)  # the answer, and the file that it names
    assert await stage.run() is RunState.SUCCEEDED
    assert [past.error_kind for past in await stage.store.attempts(RUN)] == ["internal_error", ""]
    assert stage.model.requests == 1


async def test_an_answer_that_was_judged_and_found_wanting_is_asked_for_anew(stage: Stage) -> None:
    class Picky(Places):
        async def within(
            self, ctx: ports.TaskContext, work: work_order.WorkOrder, carry_out: ports.CarryOut, judge: ports.Judge
        ) -> model.Outcome:
            outcome = await super().within(ctx, work, carry_out, judge)
            refused = {"state": AttemptState.FAILED, "error_kind": "merge_conflict", "retryable": True}
            return outcome if work.attempt > 1 else outcome.model_copy(update=refused)

    await stage.begin()
    async with stage.engine(Picky(stage.faults)) as engine:
        await engine.start(RUN)
        assert await ended(engine, RUN) is RunState.SUCCEEDED
    assert stage.model.requests == 2
    assert await stage.store.spend(RUN) == model.Usage(input_tokens=200, output_tokens=20, cost_usd=0.5)


@pytest.mark.parametrize("times", [1, 3])
async def test_a_drive_that_fails_is_told_of_and_taken_up_again(stage: Stage, times: int) -> None:
    stage.faults = Faults("clock", times)
    assert await stage.run() is RunState.SUCCEEDED
    failures = await stage.events("drive_failed")
    assert [event.data["failures"] for event in failures] == list(range(1, times + 1))
    assert [event.data["gives_up"] for event in failures] == [False] * times
    assert all(event.data["error"] == "Boom('clock is broken')" for event in failures)
    assert stage.model.requests == 1


async def test_a_run_that_cannot_be_driven_ends_with_the_reason_and_belongs_to_nobody(stage: Stage) -> None:
    stage.faults = Faults("clock", FOR_EVER)
    assert await stage.run(model.Task(id="a", do="Do it"), model.Task(id="b", do="Go on", deps=("a",))) is (
        RunState.FAILED
    )
    failures = await stage.events("drive_failed")
    assert [event.data["gives_up"] for event in failures] == [False, False, False, True]
    rows = await stage.rows()
    assert (rows["a"].state, rows["a"].cause) == (TaskState.FAILED, "internal_error")
    assert rows["b"].state is TaskState.SKIPPED
    assert (await stage.store.run(RUN, principal=records.LOCAL)).owner == ""
    assert stage.model.requests == 0


async def test_failures_of_drives_are_counted_in_the_store_and_not_by_a_process(stage: Stage) -> None:
    await stage.begin()
    stage.faults = Faults("clock", FOR_EVER)
    for failures in (1, 2, 3, 4):
        async with stage.engine() as engine:
            await reached(engine, RUN, "drive_failed", failures)
    assert (await stage.store.run(RUN, principal=records.LOCAL)).state is RunState.FAILED


async def test_a_drive_that_fails_while_work_runs_ends_after_as_many_crashes_as_any(stage: Stage) -> None:
    class Endless(Model):
        async def carry_out(self, ctx: ports.TaskContext, work: work_order.WorkOrder) -> model.Outcome:
            self.requests += 1
            stage.faults = Faults("clock", 1)
            poke()
            await anyio.sleep_forever()
            raise AssertionError

    stage.model = Endless()
    await stage.begin()
    async with stage.engine() as engine:
        poke = lambda: engine.poke(RUN)  # noqa: E731
        await engine.start(RUN)
        assert await ended(engine, RUN) is RunState.FAILED
    assert stage.model.requests == 3
    assert (await stage.rows())["a"].cause == "quarantined"


async def test_a_run_that_a_cancelled_call_has_adopted_is_driven_all_the_same(stage: Stage) -> None:
    async with stage.answered() as (engine, gate):
        owner = (await engine.status(RUN)).owner
        new = records.NewRun(id="b" * 32, plan_id="plan", plan_version=1, worker=WorkerKind.API, fresh=True)
        await stage.store.create_run(new)
        await stage.store.adopt(new.id, owner)  # the call that asked for it goes no further
        gate.set()
        assert await ended(engine, new.id) is RunState.SUCCEEDED


async def test_an_attempt_whose_start_nobody_heard_of_runs_with_the_ceiling_that_it_was_given(stage: Stage) -> None:
    losses = iter([True])

    def lose(advance: records.Advance) -> None:
        if advance.starts and next(losses, False):
            raise errors.StoreUnavailable("the disk is full")

    orders: list[work_order.WorkOrder] = []

    class Watching(Model):
        async def carry_out(self, ctx: ports.TaskContext, work: work_order.WorkOrder) -> model.Outcome:
            orders.append(work)
            return await super().carry_out(ctx, work)

    stage.store, stage.model = Moody(stage.store, after=lose), Watching()
    task = model.Task(id="a", do="Do it", limits=model.TaskLimits(tokens=300_000))
    assert await stage.run(task) is RunState.SUCCEEDED
    [start] = await stage.events("attempt_started")
    [order] = orders
    assert (order.attempt, order.ceiling.tokens) == (1, 300_000)
    assert start.data["ceiling"] == {"tokens": 300_000}
    assert order.key


async def test_a_store_that_is_busy_for_a_while_costs_no_attempt(stage: Stage) -> None:
    refusals = iter(range(5))

    def refuse() -> None:
        if next(refusals, None) is not None:
            raise errors.StoreBusy("another process writes")

    stage.store = Moody(stage.store, before=refuse)
    assert await stage.run() is RunState.SUCCEEDED
    assert len(await stage.store.attempts(RUN)) == 1
    assert await stage.events("drive_failed") == []


async def test_what_a_newer_program_has_taken_over_is_left_to_it(stage: Stage) -> None:
    def outdated() -> None:
        raise errors.StoreTooNew("a newer program has migrated it")

    await stage.begin()
    real, stage.store = stage.store, Moody(stage.store, before=outdated)
    async with stage.engine() as engine:
        await engine.start(RUN)
        await pulse_waits.until(engine, real.adoptable)
        assert engine.driven_runs == frozenset()
    assert stage.model.requests == 0


async def test_who_fails_to_drive_a_run_leaves_others_the_time_to_take_it(stage: Stage) -> None:
    await stage.begin()
    broken = Stage(stage.store, stage.workspace, Faults("clock", FOR_EVER), pace=replace(FAST, drive_again_s=1_000.0))
    async with broken.engine() as first:
        await first.start(RUN)
        await reached(first, RUN, "drive_failed")
        async with stage.engine() as second:
            assert await ended(second, RUN) is RunState.SUCCEEDED
    assert (broken.model.requests, stage.model.requests) == (0, 1)
    assert len(await stage.events("drive_failed")) == 1


async def test_what_a_drive_left_behind_that_could_not_even_let_go_is_taken_up_as_it_began(stage: Stage) -> None:
    class Stubborn(Moody):
        async def fail_drive(self, run_id: str, owner: records.Owner, why: str) -> None:
            raise Boom(f"nothing is recorded of {run_id}")

    class SlowOnce(Model):
        async def carry_out(self, ctx: ports.TaskContext, work: work_order.WorkOrder) -> model.Outcome:
            if self.requests == 0:
                self.requests += 1
                stage.faults = Faults("clock", 1)
                engine.poke(RUN)
                await anyio.sleep_forever()
            return await super().carry_out(ctx, work)

    stage.store, stage.model = Stubborn(stage.store), SlowOnce()
    await stage.begin()
    async with stage.engine() as engine:
        await engine.start(RUN)
        assert await ended(engine, RUN) is RunState.SUCCEEDED
    assert [past.attempt for past in await stage.store.attempts(RUN)] == [1]
    assert stage.model.requests == 2
