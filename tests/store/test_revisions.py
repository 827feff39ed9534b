"""What becomes of open runs when their plan gets another version."""

from __future__ import annotations

from pathlib import Path

import pytest
import store_setup

from dispatch_mcp import errors, model
from dispatch_mcp.model import TaskState, records
from dispatch_mcp.store import sqlite_store

pytestmark = pytest.mark.anyio


async def states(store: sqlite_store.Store, run_id: str = "run") -> dict[str, str]:
    return {task.id: task.state.value for task in await store.tasks(run_id)}


async def test_an_open_run_goes_on_with_the_new_version_and_says_so(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.chain("a", "b")) as (store, owner):
        [start] = (await store.advance("run", store_setup.step(owner))).starts
        await store.revise(store_setup.chain("a", "c", "b", version=2), records.LOCAL, base_version=1)
        assert await states(store) == {"a": "running", "c": "blocked", "b": "blocked"}
        assert (await store.run("run", principal=records.LOCAL)).plan_version == 2
        advance = await store.advance("run", store_setup.step(owner, store_setup.report(start)))
        assert [start.task_id for start in advance.starts] == ["c"]
        assert advance.plan_version == 2
        assert "plan_edited" in await store_setup.kinds(store)
    assert store_setup.faults(tmp_path) == []


async def test_a_run_that_is_opened_again_goes_on_with_the_newest_version(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.chain("a", "b")) as (store, owner):
        [start] = (await store.advance("run", store_setup.step(owner))).starts
        over = await store.advance("run", store_setup.step(owner, store_setup.report(start, store_setup.failed())))
        assert over.state is model.RunState.FAILED
        await store.revise(store_setup.chain("a", "c", "b", version=2), records.LOCAL, base_version=1)
        retry = store_setup.step(None, actions=[records.Action("retry", "a")], start=frozenset())
        assert (await store.advance("run", retry)).state is model.RunState.RUNNING
        assert (await store.run("run", principal=records.LOCAL)).plan_version == 2
        assert await states(store) == {"a": "ready", "c": "blocked", "b": "blocked"}
    assert store_setup.faults(tmp_path) == []


async def test_a_removed_task_is_not_listed_and_not_counted_and_its_number_stays(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.fan("a", "b")) as (store, owner):
        starts = (await store.advance("run", store_setup.step(owner, free=1))).starts
        assert [start.task_id for start in starts] == ["a"]
        await store.revise(store_setup.chain("a", version=2), records.LOCAL, base_version=1)
        assert await states(store) == {"a": "running"}
        assert (await store.run("run", principal=records.LOCAL)).counts == {"running": 1}
        await store.revise(store_setup.fan("a", "b").model_copy(update={"version": 3}), records.LOCAL, base_version=2)
        assert await states(store) == {"a": "running", "b": "ready"}
        assert store_setup.raw(tmp_path, "SELECT count(*) FROM task") == [(2,)]
    assert store_setup.faults(tmp_path) == []


@pytest.mark.promise("R2")
async def test_a_change_of_what_has_begun_is_refused_and_leaves_nothing_behind(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.chain("a", "b")) as (store, owner):
        await store.create_run(store_setup.new_run("waits"))
        await store.advance("run", store_setup.step(owner))
        before = [await store_setup.kinds(store, run_id) for run_id in ("run", "waits")]
        with pytest.raises(errors.PlanRejected) as caught:
            await store.revise(store_setup.chain("b", version=2), records.LOCAL, base_version=1)
        assert [getattr(problem, "code", "") for problem in caught.value.problems] == ["task_started"]
        assert (await store.plan("plan", principal=records.LOCAL)).version == 1
        assert [await store_setup.kinds(store, run_id) for run_id in ("run", "waits")] == before
        assert await states(store, "waits") == {"a": "ready", "b": "blocked"}
        await store.advance("run", store_setup.step(owner))
    assert store_setup.faults(tmp_path) == []


async def test_a_run_that_is_over_keeps_the_version_it_ended_with(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.chain("a")) as (store, owner):
        await store_setup.drive(store, "run", owner)
        await store.revise(store_setup.chain("x", "y", version=2), records.LOCAL, base_version=1)
        assert (await store.run("run", principal=records.LOCAL)).plan_version == 1
        assert await states(store) == {"a": "succeeded"}
        record, _ = await store.create_run(store_setup.new_run("next", plan_version=2))
        assert record.counts == {"blocked": 1, "ready": 1}


async def test_only_the_newest_version_can_be_changed_and_only_by_who_made_it(tmp_path: Path) -> None:
    async with sqlite_store.open_store(tmp_path) as store:
        await store.save_plan(store_setup.chain("a"), "ann")
        await store.revise(store_setup.chain("b", version=2), "ann", base_version=1)
        with pytest.raises(errors.StaleVersion, match="made to version 1") as caught:
            await store.revise(store_setup.chain("c", version=3), "ann", base_version=1)
        assert "version 2" in str(caught.value.hint)
        with pytest.raises(errors.UnknownHandle):
            await store.revise(store_setup.chain("c", version=3), "bob", base_version=2)
        assert [task.id for task in (await store.plan("plan", principal="ann")).tasks] == ["b"]


async def test_another_process_goes_on_with_the_version_that_it_did_not_make(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.chain("a")) as (store, owner):
        async with sqlite_store.open_store(tmp_path) as other:
            await other.revise(store_setup.chain("a", "b", version=2), records.LOCAL, base_version=1)
        last = await store_setup.drive(store, "run", owner)
        assert last.state is model.RunState.SUCCEEDED
        assert [task.id for task in await store.tasks("run")] == ["a", "b"]
    assert store_setup.faults(tmp_path) == []


async def test_a_task_that_failed_for_good_does_not_hold_up_what_no_longer_waits_for_it(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.chain("a", "b")) as (store, owner):
        [start] = (await store.advance("run", store_setup.step(owner))).starts
        await store.revise(
            store_setup.fan("a", "b", "c").model_copy(update={"version": 2}), records.LOCAL, base_version=1
        )
        lost = store_setup.report(start, store_setup.failed())
        advance = await store.advance("run", store_setup.step(owner, lost))
        assert sorted(start.task_id for start in advance.starts) == ["b", "c"]
        assert (await store.tasks("run"))[0].state is TaskState.FAILED
    assert store_setup.faults(tmp_path) == []


async def test_a_plan_that_gets_its_first_work_for_the_server_waits_for_an_owner(tmp_path: Path) -> None:
    async with sqlite_store.open_store(tmp_path) as store:
        await store.save_plan(store_setup.chain("a"), records.LOCAL)
        await store.create_run(store_setup.new_run(worker="host"))
        assert await store.adoptable() == []
        plan = store_setup.chain("a").model_copy(
            update={
                "version": 2,
                "tasks": (
                    *store_setup.chain("a").tasks,
                    model.Task(id="b", do="run it", command=("true",)),
                ),
            }
        )
        await store.revise(plan, records.LOCAL, base_version=1)
        assert await store.adoptable() == ["run"]
