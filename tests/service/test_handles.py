"""What people and models may call a run or a plan: its id, or `latest`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from dispatch_mcp import errors, model
from dispatch_mcp.model import WorkerKind, records
from dispatch_mcp.service import handles
from dispatch_mcp.store import sqlite_store

pytestmark = pytest.mark.anyio

HERE, ELSEWHERE = "/shop", "/elsewhere"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncGenerator[sqlite_store.Store]:
    async with sqlite_store.open_store(tmp_path / "state") as opened:
        yield opened


async def begun(store: sqlite_store.Store, name: str, workspace: str = HERE, principal: str = "ann") -> str:
    """Plans and begins a run of that name and returns the run's id."""
    plan = model.Plan(id=f"plan-{name}", tasks=(model.Task(id="part", do="Do it"),), workspace=workspace)
    await store.save_plan(plan, principal)
    new = records.NewRun(
        id=name, plan_id=plan.id, plan_version=1, worker=WorkerKind.HOST, principal=principal, workspace=workspace
    )
    return (await store.create_run(new))[0].id


def own(store: sqlite_store.Store, principal: str = "ann", workspace: str = HERE) -> handles.Handles:
    return handles.Handles(store, principal, workspace)


async def test_an_id_means_itself_and_is_not_looked_up(store: sqlite_store.Store) -> None:
    assert await own(store).run_id("anything") == "anything"
    assert await own(store).plan_id("anything") == "anything"


async def test_latest_is_the_newest_of_this_workspace(store: sqlite_store.Store) -> None:
    await begun(store, "first")
    newest = await begun(store, "second")
    await begun(store, "third", workspace=ELSEWHERE)
    assert await own(store).run_id("latest") == newest
    assert await own(store).plan_id("latest") == "plan-second"
    assert await own(store, workspace=ELSEWHERE).run_id("latest") == "third"


async def test_latest_is_never_somebody_elses(store: sqlite_store.Store) -> None:
    mine = await begun(store, "mine")
    await begun(store, "theirs", principal="bob")
    assert await own(store).run_id("latest") == mine


async def test_where_nothing_has_begun_nothing_is_the_latest(store: sqlite_store.Store) -> None:
    await begun(store, "first", workspace=ELSEWHERE)
    for what, look in (("run", own(store).run_id), ("plan", own(store).plan_id)):
        with pytest.raises(errors.UnknownHandle, match=f"no {what} of '{HERE}' yet") as refused:
            await look("latest")
        assert refused.value.hint


async def test_a_handle_gives_the_run_itself_with_plan_and_tasks(store: sqlite_store.Store) -> None:
    run_id = await begun(store, "first")
    for handle in (run_id, "latest"):
        view = await own(store).run(handle)
        assert (view.run.id, view.plan.id, list(view.states)) == (run_id, "plan-first", ["part"])


async def test_a_run_of_somebody_else_is_not_there(store: sqlite_store.Store) -> None:
    run_id = await begun(store, "theirs", principal="bob")
    with pytest.raises(errors.UnknownHandle, match=f"There is no run '{run_id}'"):
        await own(store).run(run_id)
