"""A run as everybody reads it: run, plan, tasks and running attempts, all of one moment."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import hypothesis
import hypothesis.strategies as st
import pytest

from dispatch_mcp import errors, model, next_steps
from dispatch_mcp.engine import run_view
from dispatch_mcp.model import AttemptState, TaskState, WorkerKind, ports, records, transitions
from dispatch_mcp.store import sqlite_store

pytestmark = pytest.mark.anyio

RUN = "a" * 32
TASKS = (
    model.Task(id="first", do="Do the first"),
    model.Task(id="second", do="Do the second"),
    model.Task(id="last", do="Do the last", deps=("first",)),
)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncGenerator[sqlite_store.Store]:
    async with sqlite_store.open_store(tmp_path / "state", clock=lambda: 1_000.25) as opened:
        yield opened


async def begun(store: sqlite_store.Store, now: float = 1_000.25, lease_s: float = 60.0) -> None:
    await store.save_plan(model.Plan(id="plan", tasks=TASKS), "ann")
    await store.create_run(
        records.NewRun(id=RUN, plan_id="plan", plan_version=1, worker=WorkerKind.HOST, principal="ann")
    )
    await store.advance(RUN, records.Step(now=now, start=transitions.HOST_WORKERS, lease_s=lease_s))


async def test_a_view_agrees_with_everything_that_is_read_piece_by_piece(store: sqlite_store.Store) -> None:
    await begun(store)
    failure = model.Outcome(state=AttemptState.FAILED, error="no", error_kind="host", retryable=True)
    await store.advance(RUN, records.Step(now=1_001.5, finished=[transitions.Finished("second", 1, failure)]))
    view = await run_view.load(store, RUN, "ann")
    assert view.run == await store.run(RUN, principal="ann")
    assert view.plan == await store.plan("plan", 1, principal="ann")
    assert view.tasks == await store.tasks(RUN)
    assert list(view.states) == list(view.rows) == ["first", "second", "last"]


async def test_only_running_attempts_are_in_a_view(store: sqlite_store.Store) -> None:
    await begun(store)
    await store.beat(RUN, "second", 1, {"note": "here"})
    done = model.Outcome(state=AttemptState.SUCCEEDED, summary="done")
    await store.advance(RUN, records.Step(now=1_001.0, finished=[transitions.Finished("first", 1, done)]))
    view = await run_view.load(store, RUN, "ann")
    assert set(view.attempts) == {"second"}
    assert view.attempts["second"].lease_until == 1_060.25
    assert view.attempts["second"].beat == view.attempts["second"].last_beat == {"note": "here"}


async def test_a_view_follows_the_plan_that_the_run_is_at(store: sqlite_store.Store) -> None:
    await begun(store)
    more = (*TASKS, model.Task(id="extra", do="Do one more"))
    await store.revise(model.Plan(id="plan", version=2, tasks=more), "ann", base_version=1)
    view = await run_view.load(store, RUN, "ann")
    assert (view.plan.version, view.run.plan_version) == (2, 2)
    assert view.spec("extra").goal == "Do one more"
    assert view.states["extra"] is TaskState.READY


@pytest.mark.parametrize(("run_id", "principal"), [(RUN, "bob"), ("b" * 32, "ann"), ("latest", "ann")])
async def test_what_is_somebody_elses_is_as_unknown_as_what_does_not_exist(
    store: sqlite_store.Store, run_id: str, principal: str
) -> None:
    await begun(store)
    with pytest.raises(errors.UnknownHandle, match="There is no run"):
        await run_view.load(store, run_id, principal)


async def test_the_server_itself_reads_everybodys_runs(store: sqlite_store.Store) -> None:
    await begun(store)
    assert (await run_view.load(store, RUN, records.ANYBODY)).run.principal == "ann"


async def test_a_task_that_a_run_does_not_have_is_unknown(store: sqlite_store.Store) -> None:
    await begun(store)
    view = await run_view.load(store, RUN, "ann")
    assert view.task("last").state is TaskState.BLOCKED
    with pytest.raises(errors.UnknownHandle, match="has no task 'nobody'"):
        view.task("nobody")


@hypothesis.settings(max_examples=15, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@hypothesis.given(now=st.floats(1e9, 2e9), lease_s=st.floats(1e-3, 1e5))
def test_times_are_read_to_the_last_digit(tmp_path: Path, now: float, lease_s: float) -> None:
    async def lease() -> float | None:
        home = tmp_path / f"{now!r}-{lease_s!r}"
        async with sqlite_store.open_store(home, clock=lambda: now) as store:
            await begun(store, now, lease_s)
            return (await run_view.load(store, RUN, "ann")).attempts["first"].lease_until

    assert anyio.run(lease) == now + lease_s


async def test_the_paths_of_tasks_are_declared_and_those_of_tasks_that_have_begun_are_active(
    store: sqlite_store.Store,
) -> None:
    tasks = tuple(task.model_copy(update={"files": (f"{task.id}.py",)}) for task in TASKS)
    await store.save_plan(model.Plan(id="plan", tasks=tasks), "ann")
    new = records.NewRun(id=RUN, plan_id="plan", plan_version=1, worker=WorkerKind.HOST, principal="ann")
    await store.create_run(new)
    await store.advance(RUN, records.Step(now=1_000.25, start=transitions.HOST_WORKERS))
    view = await run_view.load(store, RUN, "ann")
    assert list(view.declarations.names()) == ["first.py", "second.py", "last.py"]
    assert list(view.active.names()) == ["first.py", "second.py"]


async def test_who_asks_for_a_task_that_is_not_there_is_shown_those_of_that_run(store: sqlite_store.Store) -> None:
    await begun(store)
    view = await run_view.load(store, RUN, "ann")
    with pytest.raises(errors.UnknownHandle) as refusal:
        view.task("nobody")
    assert refusal.value.hint == next_steps.NextStep(next_steps.StepKind.LIST_TASKS, RUN)


async def test_each_loss_of_the_users_work_is_told_once(store: sqlite_store.Store) -> None:
    await begun(store)
    await store.beats(RUN, {("first", 1): {ports.LOSS: "a.py is gone"}, ("second", 1): {ports.LOSS: "a.py is gone"}})
    assert run_view.losses(await store.attempts(RUN)) == ("a.py is gone",)
    assert run_view.losses([]) == ()


async def test_a_view_without_a_clock_says_that_no_time_has_passed_and_somebody_is_at_work(
    store: sqlite_store.Store,
) -> None:
    await begun(store)
    whole = await store.whole_run(RUN, principal="ann")
    view = run_view.RunView(whole.run, whole.plan, whole.tasks)
    assert (view.now, view.is_driven, dict(view.attempts)) == (0.0, True, {})
