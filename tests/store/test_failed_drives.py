"""Runs whose drives fail: told, free for others, counted in the store, and ended after a few."""

from __future__ import annotations

from pathlib import Path

import pytest
import store_setup

from dispatch_mcp import errors, model, prices
from dispatch_mcp.model import records, transitions
from dispatch_mcp.store import owner_locks, sqlite_store

pytestmark = pytest.mark.anyio


@pytest.mark.promise("R21")
async def test_a_run_whose_drive_failed_is_anybodys_again_and_says_why(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.chain("a")) as (store, owner):
        await store.advance("run", store_setup.step(owner))
        await store.fail_drive("run", owner, "it broke")
        assert await store.adoptable() == ["run"]
        assert [(task.state.value, task.crashes) for task in await store.tasks("run")] == [("ready", 1)]
        [failure] = [event for event in await store.events("run") if event.kind == "drive_failed"]
        assert failure.data == {"error": "it broke", "failures": 1, "gives_up": False}
        with pytest.raises(errors.Fenced):
            await store.fail_drive("run", owner, "once more")
        assert await store.adopt("run", owner.id) == owner.epoch + 1
    assert store_setup.faults(tmp_path) == []


@pytest.mark.promise("R21")
@pytest.mark.parametrize("progress", [False, True])
async def test_drives_that_fail_in_a_row_end_what_is_left_unless_something_was_done_between(
    tmp_path: Path, *, progress: bool
) -> None:
    async with store_setup.running(tmp_path, store_setup.chain("a", "b", "c")) as (store, owner):
        heir = owner
        for _ in range(3):
            await store.fail_drive("run", heir, "it broke")
            heir = records.Owner(owner.id, await store.adopt("run", owner.id) or 0)
        if progress:
            [start] = (await store.advance("run", store_setup.step(heir))).starts
            await store.advance("run", store_setup.step(heir, store_setup.report(start), start=frozenset()))
        await store.fail_drive("run", heir, "it broke")
        run = await store.run("run", principal=records.LOCAL)
        assert run.state is (model.RunState.RUNNING if progress else model.RunState.FAILED)
        assert run.owner == ""
        if not progress:
            with pytest.raises(errors.Fenced):
                await store.fail_drive("run", owner, "too late")
            await store.fail_drive("run", heir, "it is over")
            assert (await store.events("run"))[-1].kind == "run_finished"
    assert store_setup.faults(tmp_path) == []


@pytest.mark.promise("R21")
async def test_a_run_that_its_owner_does_not_drive_is_named_to_that_owner_alone(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.chain("a")) as (store, owner):
        assert await store.adoptable(own=owner.id) == ["run"]
        assert await store.adoptable(own=owner.id, drives=["run"]) == []
        assert await store.adoptable(own="another") == []


@pytest.mark.promise("S18")
async def test_an_attempt_whose_start_was_not_heard_of_is_found_as_it_began(tmp_path: Path) -> None:
    tasks = (
        model.Task(id="a", do="do a"),
        model.Task(id="b", do="do b", deps=("a",), worker=model.WorkerKind.API),
        model.Task(id="h", do="do h", deps=("a",), worker=model.WorkerKind.HOST),
    )
    limits = model.Limits(tokens=2_000_000, dollars=50.0)
    price = prices.dollars
    async with sqlite_store.open_store(tmp_path, price=price) as store:
        await store.save_plan(model.Plan(id="plan", tasks=tasks), records.LOCAL)
        lock = owner_locks.OwnerLock(tmp_path)
        await store.create_run(store_setup.new_run(worker="api", limits=limits))
        owner = records.Owner(lock.id, await store.adopt("run", lock.id) or 0)
        assert await store.begun("run") == []
        both = frozenset(model.WorkerKind)
        first = await store.advance("run", store_setup.step(owner, start=both))
        assert await store.begun("run") == list(first.starts)
        second = await store.advance("run", store_setup.step(owner, store_setup.report(first.starts[0]), start=both))
        [start] = [start for start in second.starts if start.worker is model.WorkerKind.API]
        assert start.ceiling.tokens
        assert start.ceiling.dollars
        assert await store.begun("run") == [start]


async def test_a_lost_host_is_kept_as_one_and_not_as_a_crash(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.chain("a")) as (store, owner):
        [start] = (await store.advance("run", store_setup.step(owner))).starts
        outcome = model.Outcome(
            state=model.AttemptState.FAILED, error="silent", error_kind=transitions.HOST_LOST, retryable=True
        )
        end = transitions.Finished(start.task_id, start.attempt, outcome)
        await store.advance("run", store_setup.step(owner, end, start=frozenset()))
        [task] = await store.tasks("run")
        assert (task.state, task.host_losses, task.crashes) == (model.TaskState.READY, 1, 0)
        [row] = (await store.whole_run("run", principal=records.LOCAL)).tasks
        assert row == task
    async with sqlite_store.open_store(tmp_path) as store:
        assert await store.tasks("run") == [task]
