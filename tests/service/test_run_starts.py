"""How runs begin: who works, under which key a repeated call finds its run, and within which ceilings."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import dispatcher_setup
import pytest
from dispatcher_setup import Desk

from dispatch_mcp import errors, model
from dispatch_mcp.model import RunState, WorkerKind, short_ids, worker_choice
from dispatch_mcp.service import run_starts

pytestmark = pytest.mark.anyio

PART: dict[str, Any] = {"id": "part", "do": "Do the part"}
MORE: dict[str, Any] = {"id": "more", "do": "Do more"}


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[Desk]:
    async with dispatcher_setup.opened(tmp_path / "home") as opened:
        yield opened


async def ended(desk: Desk, run_id: str) -> None:
    await desk.app.steer(run_id, "cancel", "", "enough")


async def test_a_plan_whose_run_is_over_begins_anew(desk: Desk) -> None:
    plan_id = await desk.planned(PART)
    first = await desk.app.dispatch(plan_id=plan_id)
    await ended(desk, first.run_id)
    second = await desk.app.dispatch(plan_id=plan_id)
    assert second.run_id != first.run_id
    assert not second.reused


async def test_a_dry_run_and_a_real_one_are_not_the_same(desk: Desk) -> None:
    plan_id = await desk.planned(PART)
    real, dry = await desk.app.dispatch(plan_id=plan_id), await desk.app.dispatch(plan_id=plan_id, dry_run=True)
    assert real.run_id != dry.run_id
    assert (real.simulated, dry.simulated) == (False, True)
    assert "simulated" in dry.why_worker


async def test_a_key_of_the_callers_own_stands_for_one_run_for_ever(desk: Desk) -> None:
    plan_id = await desk.planned(PART)
    first = await desk.app.dispatch(plan_id=plan_id, request_key="mine")
    await ended(desk, first.run_id)
    again = await desk.app.dispatch(plan_id=plan_id, request_key="mine")
    assert (again.run_id, again.reused, again.state) == (first.run_id, True, RunState.CANCELLED)
    assert again.assignments == ()


@pytest.mark.promise("R7")
@pytest.mark.parametrize("limits", [{}, {"attempts": 3}])
async def test_the_same_request_under_its_key_finds_its_run_also_after_its_ceilings_were_raised(
    desk: Desk, limits: dict[str, Any]
) -> None:
    plan_id = await desk.planned(PART)
    request: dict[str, Any] = {"plan_id": plan_id, "request_key": "mine", "limits": model.Limits(**limits)}
    first = await desk.app.dispatch(**request)
    offer = await desk.app.offer_raise(first.run_id, model.Limits(attempts=9))
    await desk.app.limit(first.run_id, model.Limits(attempts=9), offer.word("Ann") if offer else None)
    assert (await desk.app.dispatch(**request)).run_id == first.run_id
    named: dict[str, Any] = {**request, "worker": "host"}
    assert (await desk.app.dispatch(**named)).run_id == first.run_id


@pytest.mark.promise("R7")
async def test_a_key_used_for_something_else_is_refused_with_both_ids_and_starts_nothing(desk: Desk) -> None:
    plan_id, other_plan = await desk.planned(PART), await desk.planned(MORE)
    first = await desk.app.dispatch(plan_id=plan_id, request_key="mine")
    names = f"run {short_ids.short(first.run_id)} of plan {short_ids.short(plan_id)}"
    others: list[dict[str, Any]] = [
        {"plan_id": other_plan},
        {"plan_id": plan_id, "worker": "scripted"},
        {"plan_id": plan_id, "dry_run": True},
        {"plan_id": plan_id, "fresh": True},
        {"plan_id": plan_id, "limits": model.Limits(attempts=1)},
    ]
    for other in others:
        with pytest.raises(errors.InputError, match=f"belongs to {names}"):
            await desk.app.dispatch(**other, request_key="mine")
    assert len(await desk.app.store.runs(desk.app.principal)) == 1


async def test_an_open_run_is_not_taken_for_one_with_other_ceilings(desk: Desk) -> None:
    plan_id = await desk.planned(PART)
    await desk.app.dispatch(plan_id=plan_id)
    with pytest.raises(errors.InputError, match=r"limits\.attempts 2 instead of none"):
        await desk.app.dispatch(plan_id=plan_id, limits=model.Limits(attempts=2))


async def test_two_keys_are_two_runs_of_one_plan(desk: Desk) -> None:
    plan_id = await desk.planned(PART)
    runs = {(await desk.app.dispatch(plan_id=plan_id, request_key=key)).run_id for key in ("one", "two", "one")}
    assert len(runs) == 2


async def test_a_new_version_of_a_plan_goes_on_in_its_open_run(desk: Desk) -> None:
    plan_id = await desk.planned(PART)
    first = await desk.app.dispatch(plan_id=plan_id)
    await desk.app.plans.edit(plan_id, 1, [{"op": "add", "id": "more", "task": {"do": "Do more"}}])
    state = await desk.app.dispatch(run_id=first.run_id)
    assert (state.plan_version, len(state.assignments)) == (2, 2)


async def test_latest_means_the_newest_plan_of_the_workspace(desk: Desk) -> None:
    await desk.planned(PART)
    newest = await desk.planned(MORE)
    progress = await desk.app.dispatch(plan_id="latest")
    assert progress.plan_id == newest
    assert (await desk.app.dispatch(run_id="latest")).run_id == progress.run_id


async def test_what_does_not_exist_cannot_begin(desk: Desk) -> None:
    with pytest.raises(errors.UnknownHandle, match="There is no plan 'nothing'"):
        await desk.app.dispatch(plan_id="nothing")
    with pytest.raises(errors.UnknownHandle, match="There is no run 'nothing'"):
        await desk.app.dispatch(run_id="nothing")


async def test_a_plan_above_its_ceiling_of_tasks_does_not_begin(desk: Desk) -> None:
    plan_id = await desk.planned(PART, MORE)
    with pytest.raises(errors.NotAllowed, match="has 2 tasks; the limit of this dispatch is 1"):
        await desk.app.dispatch(plan_id=plan_id, limits=model.Limits(tasks=1))
    assert await desk.app.store.runs(desk.app.principal) == []


async def test_ceilings_of_an_open_run_can_be_changed_and_of_one_that_is_over_not(desk: Desk) -> None:
    progress = await desk.app.dispatch(plan_id=await desk.planned(PART), limits=model.Limits(attempts=3))
    await desk.raised(progress.run_id, attempts=9)
    store, principal = desk.app.store, desk.app.principal
    assert (await store.run(progress.run_id, principal=principal)).limits.attempts == 9
    await ended(desk, progress.run_id)
    await desk.app.dispatch(run_id=progress.run_id, limits=model.Limits(attempts=20))
    assert (await store.run(progress.run_id, principal=principal)).limits.attempts == 9


async def test_changing_no_ceiling_changes_nothing(desk: Desk) -> None:
    progress = await desk.app.dispatch(plan_id=await desk.planned(PART), limits=model.Limits(attempts=3))
    assert await desk.app.limit(progress.run_id, model.Limits()) == progress.run_id
    assert "limits_changed" not in await desk.kinds(progress.run_id)


def workers(default: WorkerKind | None = None, **available: Any) -> run_starts.Workers:
    return run_starts.Workers(worker_choice.AvailableWorkers(**available), default)


def test_whoever_the_caller_has_chosen_outranks_who_would_be_picked() -> None:
    assert workers(WorkerKind.SCRIPTED, chat=True).kind("auto") is WorkerKind.SCRIPTED
    assert workers(chat=True).kind("auto") is WorkerKind.HOST


def test_a_named_worker_has_to_be_here() -> None:
    assert workers(key=True).kind("api") is WorkerKind.API
    for name in ("claude", "somebody"):
        with pytest.raises(errors.InputError, match=f"No worker '{name}' here") as refused:
            workers(key=True).kind(name)
        assert "auto or one of:" in str(refused.value.hint)


def test_a_dry_run_is_simulated_whoever_is_named() -> None:
    assert workers().kind("somebody", dry_run=True) is WorkerKind.SCRIPTED


def test_why_a_worker_was_chosen_is_said_only_when_nobody_asked_for_it() -> None:
    tasks = [model.Task(id="a", do="Look")]
    assert workers(key=True).why("api", tasks, dry_run=False) == "as asked"
    assert workers(WorkerKind.HOST).why("auto", tasks, dry_run=False) == "as asked"
    assert workers(chat=True).why("auto", tasks, dry_run=False) == worker_choice.AvailableWorkers(chat=True).pick().why
