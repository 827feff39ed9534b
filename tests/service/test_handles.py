"""What people and models may call a run or a plan: the beginning of its id or of its number, or `latest`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from dispatch_mcp import errors, model
from dispatch_mcp.model import WorkerKind, records, short_ids
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


async def test_what_begins_no_id_means_itself(store: sqlite_store.Store) -> None:
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


FIRST, SECOND = "3f2a" + "0" * 28, "3f2b" + "0" * 28


@pytest.mark.parametrize(
    "handle",
    ["shop-payments-3f2a", "shop-p", f"shop-payments-{FIRST}", FIRST, "3f2a", "3f2a0000", "shop-payments-3f2a00"],
)
async def test_any_unique_beginning_of_an_id_or_of_its_number_is_a_handle(
    store: sqlite_store.Store, handle: str
) -> None:
    whole = await begun(store, f"shop-payments-{FIRST}")
    await begun(store, f"fix-login-{SECOND}")
    assert await own(store).run_id(handle) == whole


async def test_an_id_of_an_earlier_version_is_found_by_its_first_digits(store: sqlite_store.Store) -> None:
    await begun(store, FIRST)
    await begun(store, SECOND)
    assert await own(store).run_id("3f2a") == FIRST
    assert await own(store).run_id(SECOND) == SECOND


async def test_plans_have_the_same_handles(store: sqlite_store.Store) -> None:
    plan = model.Plan(id=f"shop-{FIRST}", tasks=(model.Task(id="part", do="Do it"),), workspace=HERE)
    await store.save_plan(plan, "ann")
    await store.save_plan(plan.model_copy(update={"version": 2}), "ann")
    for handle in ("shop", "shop-3f2a", "3f2", FIRST, "latest"):
        assert await own(store).plan_id(handle) == plan.id


async def test_a_beginning_of_several_names_them(store: sqlite_store.Store) -> None:
    await begun(store, f"shop-payments-{FIRST}")
    await begun(store, f"shop-login-{SECOND}")
    with pytest.raises(errors.UnknownHandle, match="beginning of several runs: shop-login-3f2b, shop-payments-3f2a"):
        await own(store).run_id("shop")


async def test_a_whole_id_is_meant_even_if_others_begin_with_it(store: sqlite_store.Store) -> None:
    await begun(store, "shop")
    await begun(store, "shop-2")
    assert await own(store).run_id("shop") == "shop"


async def test_nobody_finds_what_somebody_else_has_begun(store: sqlite_store.Store) -> None:
    await begun(store, f"shop-payments-{FIRST}", principal="bob")
    for handle in ("shop", "3f2a"):
        assert await own(store).run_id(handle) == handle


async def test_a_new_id_is_never_shown_like_another_one(store: sqlite_store.Store) -> None:
    names = [await begun(store, f"shop-{number}") for number in (FIRST, "3f2a" + "1" * 28, "3f2a" + "2" * 28)]
    assert [short_ids.short(name) for name in names] == ["shop-3f2a", "shop-2-3f2a", "shop-3-3f2a"]
    assert await begun(store, f"shop-{FIRST[::-1]}") == f"shop-{FIRST[::-1]}"
    for number in (FIRST, "3f2a" + "1" * 28):
        plan_id = await own(store).new_plan_id("Shop", number)
        await store.save_plan(model.Plan(id=plan_id, tasks=()), "ann")
    assert sorted(await store.ids("plan", "shop", "ann")) == ["shop-2-3f2a" + "1" * 28, f"shop-{FIRST}"]


async def test_what_has_no_plain_words_is_called_after_its_workspace(store: sqlite_store.Store) -> None:
    assert await own(store, workspace="/srv/harbour").new_plan_id("支払い", FIRST) == f"harbour-{FIRST}"
