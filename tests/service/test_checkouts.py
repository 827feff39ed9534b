"""What runs leave for the user's checkout, asked without taking over any run."""

from __future__ import annotations

from pathlib import Path

import pytest

from dispatch_mcp import configuration, errors, model
from dispatch_mcp.model import WorkerKind, records
from dispatch_mcp.service import checkouts
from dispatch_mcp.service.housekeeping import run_offers
from dispatch_mcp.store import sqlite_store

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings(tmp_path: Path) -> configuration.Settings:
    (tmp_path / "shop").mkdir()
    folders = {"home": tmp_path / "state", "workspace": tmp_path / "shop"}
    return configuration.load({}, flags=folders, cwd=tmp_path / "shop").settings


async def begun(settings: configuration.Settings) -> str:
    async with sqlite_store.open_store(settings.home) as store:
        workspace = str(settings.workspace)
        task = model.Task(id="part", do="Do it")
        await store.save_plan(model.Plan(id="plan", tasks=(task,), workspace=workspace), records.LOCAL)
        new = records.NewRun(id="a" * 32, plan_id="plan", plan_version=1, worker=WorkerKind.HOST, workspace=workspace)
        return (await store.create_run(new))[0].id


async def test_the_version_of_git_is_two_numbers(settings: configuration.Settings) -> None:
    assert await checkouts.git_version(settings) >= (2, 0)


async def test_where_nothing_ran_nothing_is_left(settings: configuration.Settings) -> None:
    await begun(settings)
    assert checkouts.trees_left(settings) == []
    for prune in (False, True):
        found = await checkouts.left_over(settings, prune=prune)
        assert (list(found.trees), list(found.works)) == ([], [])


async def test_a_run_that_changed_nothing_in_worktrees_has_nothing_to_offer(settings: configuration.Settings) -> None:
    run_id = await begun(settings)
    for handle in (run_id, "latest"):
        with pytest.raises(errors.DispatchError):
            await run_offers.offer(settings, handle)


async def test_asking_changes_nothing_in_the_run(settings: configuration.Settings) -> None:
    run_id = await begun(settings)
    async with sqlite_store.open_store(settings.home) as store:
        before = await store.events(run_id)
    with pytest.raises(errors.DispatchError):
        await run_offers.offer(settings, run_id, "0" * 40)
    async with sqlite_store.open_store(settings.home) as store:
        assert await store.events(run_id) == before
        assert (await store.run(run_id, principal=records.LOCAL)).owner == ""


async def test_a_run_that_does_not_exist_has_no_offer(settings: configuration.Settings) -> None:
    with pytest.raises(errors.UnknownHandle):
        await run_offers.offer(settings, "b" * 32)
