"""Runs that were over and go on: with the newest version of their plan, as far as their results allow."""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import dispatcher_setup
import pytest
from dispatcher_setup import Desk, said, started, task
from hypothesis import given, settings
from hypothesis import strategies as st
from thoroughness import examples

from dispatch_mcp import errors, model
from dispatch_mcp.model import RunState, problems
from dispatch_mcp.next_steps import NextStep, StepKind
from dispatch_mcp.service import answers, approvals

pytestmark = pytest.mark.anyio


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[Desk]:
    async with dispatcher_setup.opened(tmp_path / "home", rules={"review_policy": "off"}) as opened:
        yield opened


async def failed_run(desk: Desk, *tasks: dict[str, Any]) -> answers.Progress:
    """Returns a run whose first tasks were all handed out, of which the last has failed and the others are done."""
    progress = await started(desk, *tasks)
    *done, last = progress.assignments
    failure = {"task_id": last.task_id, "attempt": 1, "status": "failed", "error": "no such table"}
    ended = await desk.app.report(progress.run_id, [*(said(one) for one in done), failure])
    assert ended.state in (RunState.FAILED, RunState.PARTIAL)
    return progress


async def modified(desk: Desk, plan_id: str, name: str, version: int = 1, **fields: Any) -> None:
    await desk.app.plans.edit(plan_id, version, [{"op": "modify", "id": name, "task": fields}])


async def test_a_retry_carries_out_the_task_as_the_newest_version_has_it(desk: Desk) -> None:
    progress = await failed_run(desk, task("a"), task("b"), task("c", "b"))
    await modified(desk, progress.plan_id, "b", do="Create the table first", timeout_s=60)
    steered = await desk.app.steer(progress.run_id, "retry", "b", "")
    assert (steered.state, steered.changed, steered.plan_version) == (RunState.RUNNING, ("b", "c"), 2)
    again = await desk.app.dispatch(run_id=progress.run_id)
    [assignment] = again.assignments
    assert (again.plan_version, assignment.attempt, assignment.timeout_s) == (2, 2, 60)
    assert "Create the table first" in assignment.call.prompt
    assert (await desk.states(progress.run_id))["a"] == "unverified"
    assert "plan_edited" in await desk.kinds(progress.run_id)


async def test_versions_in_between_are_passed_over_and_what_was_added_or_removed_counts(desk: Desk) -> None:
    progress = await failed_run(desk, task("a"), task("b"), task("c", "b"))
    await desk.app.plans.edit(progress.plan_id, 1, [{"op": "add", "id": "d", "task": {"do": "Do d"}}])
    await desk.app.plans.edit(progress.plan_id, 2, [{"op": "remove", "id": "c"}])
    await desk.app.steer(progress.run_id, "retry", "b", "")
    assert await desk.states(progress.run_id) == {"a": "unverified", "b": "ready", "d": "ready"}


async def test_who_carries_a_task_out_may_change_too(desk: Desk) -> None:
    progress = await failed_run(desk, task("b"))
    await modified(desk, progress.plan_id, "b", command=["make"])
    await desk.app.steer(progress.run_id, "retry", "b", "")
    assert (await desk.ended(progress.run_id)).state == "succeeded"
    assert desk.commands.ran == ["b"]


async def test_a_version_that_changes_what_the_run_has_done_is_refused_with_the_way_to_begin_anew(desk: Desk) -> None:
    progress = await failed_run(desk, task("a"), task("b"))
    await modified(desk, progress.plan_id, "a", do="Do a otherwise")
    with pytest.raises(errors.PlanRejected, match="version 2") as refused:
        await desk.app.steer(progress.run_id, "retry", "b", "")
    assert [fault.task for fault in refused.value.problems if isinstance(fault, problems.Problem)] == ["a"]
    assert refused.value.hint == NextStep(StepKind.BEGIN_ANEW, progress.run_id, plan=progress.plan_id)
    assert (await desk.app.trace(run_id=progress.run_id)).plan_version == 1
    anew = await desk.app.dispatch(plan_id=progress.plan_id)
    assert (anew.plan_version, anew.run_id != progress.run_id) == (2, True)


async def test_a_plan_that_failed_and_was_edited_starts_a_run_of_its_newest_version(desk: Desk) -> None:
    progress = await failed_run(desk, task("a"), task("b"))
    await modified(desk, progress.plan_id, "b", do="Create the table first")
    anew = await desk.app.dispatch(plan_id=progress.plan_id)
    assert (anew.plan_version, anew.replayed, anew.reused) == (2, 1, False)
    [assignment] = anew.assignments
    assert "Create the table first" in assignment.call.prompt


async def test_a_plan_that_was_edited_while_it_runs_is_dispatched_into_its_open_run(desk: Desk) -> None:
    progress = await desk.app.dispatch(plan_id=await desk.planned(task("a"), task("b", "a")))
    await modified(desk, progress.plan_id, "b", do="Do b otherwise")
    again = await desk.app.dispatch(plan_id=progress.plan_id)
    assert (again.run_id, again.reused, again.plan_version) == (progress.run_id, True, 2)


async def test_a_skip_that_opens_a_run_again_follows_the_plan_too(desk: Desk) -> None:
    progress = await failed_run(desk, task("b"), task("c", "b"))
    await modified(desk, progress.plan_id, "c", do="Do c without b", deps=["b"])
    await desk.app.steer(progress.run_id, "skip", "b", "not needed")
    [assignment] = (await desk.app.dispatch(run_id=progress.run_id)).assignments
    assert "Do c without b" in assignment.call.prompt


async def test_a_cancelled_run_follows_the_plan_when_a_task_is_retried(desk: Desk) -> None:
    progress = await desk.app.dispatch(plan_id=await desk.planned(task("a"), task("b"), task("c", "a")))
    await desk.app.steer(progress.run_id, "cancel", "", "enough")
    await desk.app.plans.edit(progress.plan_id, 1, [{"op": "remove", "id": "b"}])
    await modified(desk, progress.plan_id, "a", 2, do="Do a otherwise")
    await desk.app.steer(progress.run_id, "retry", "a", "")
    assert await desk.states(progress.run_id) == {"a": "ready", "c": "blocked"}
    await desk.app.steer(progress.run_id, "cancel", "", "enough")
    await desk.app.plans.edit(progress.plan_id, 3, [{"op": "add", "id": "b", "task": {"do": "Do b after all"}}])
    await desk.app.steer(progress.run_id, "retry", "b", "")
    assert (await desk.states(progress.run_id))["b"] == "ready"
    [assignment] = (await desk.app.dispatch(run_id=progress.run_id)).assignments
    assert (assignment.task_id, assignment.attempt) == ("b", 2)


async def test_no_version_leads_round_a_decision_that_a_person_has_refused(desk: Desk) -> None:
    gate = {"id": "gate", "do": "Ship it?", "worker": "human"}
    progress = await desk.app.dispatch(plan_id=await desk.planned(gate, task("ship", "gate")))
    await desk.app.decide(progress.run_id, "gate", approvals.PersonVerdict(approved=False, by="ann"))
    with pytest.raises(errors.PlanRejected):
        await modified(desk, progress.plan_id, "ship", deps=[])
    assert await desk.states(progress.run_id) == {"gate": "failed", "ship": "skipped"}


async def test_a_task_that_the_newest_version_lacks_cannot_be_retried(desk: Desk) -> None:
    progress = await failed_run(desk, task("a"), task("b"))
    await desk.app.plans.edit(progress.plan_id, 1, [{"op": "remove", "id": "b"}])
    with pytest.raises(errors.UnknownHandle, match="no task 'b'"):
        await desk.app.steer(progress.run_id, "retry", "b", "")
    assert (await desk.app.trace(run_id=progress.run_id)).plan_version == 1


async def test_an_order_that_planning_adds_in_front_of_work_that_is_done_changes_nothing(desk: Desk) -> None:
    progress = await failed_run(desk, task("a", files=["app.py"]), task("b"))
    await modified(desk, progress.plan_id, "b", files=["app.py"], priority="high")
    await modified(desk, progress.plan_id, "a", 2, deps=["b"])
    await desk.app.steer(progress.run_id, "retry", "b", "")
    assert await desk.states(progress.run_id) == {"a": "unverified", "b": "ready"}


def an_edit(rng: random.Random, names: list[str]) -> dict[str, Any]:
    op = rng.choice(["add", "modify", "modify", "remove", "skip"])
    name = f"n{rng.randrange(99)}" if op == "add" else rng.choice(names)
    others = [other for other in names if other != name]
    fields = {"do": f"Do {rng.randrange(9)}", "deps": rng.sample(others, min(len(others), rng.randint(0, 2)))}
    return {"op": op, "id": name, **({"task": fields} if op in ("add", "modify") else {})}


@settings(max_examples=examples(60, least=20), deadline=None)
@given(st.integers(0, 2**32))
async def test_whatever_was_edited_a_reopened_run_keeps_its_results_and_follows_the_newest_version(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    rng = random.Random(seed)
    rules = {"review_policy": "off"}
    async with dispatcher_setup.opened(tmp_path_factory.mktemp("run") / "home", rules=rules) as desk:
        names = [f"t{number}" for number in range(rng.randint(2, 5))]
        tasks = [task(name, *(dep for dep in names[:place] if rng.random() < 0.3)) for place, name in enumerate(names)]
        progress: Any = await desk.app.dispatch(plan_id=await desk.planned(*tasks))
        plan_id, run_id = progress.plan_id, progress.run_id
        for _ in range(12):
            if progress.state not in model.RUN_FINAL:
                out = (await desk.app.dispatch(run_id=run_id)).assignments
                how = {"status": "failed"} if rng.random() < 0.5 else {}
                results = [{"task_id": one.task_id, "attempt": one.attempt, "text": "x", **how} for one in out[:1]]
                cancels = rng.random() < 0.1 or not results
                progress = (
                    await desk.app.steer(run_id, "cancel", "", "")
                    if cancels
                    else await desk.app.report(run_id, results)
                )
                continue
            before = {row.id: row for row in await desk.app.store.tasks(run_id)}
            plan = await desk.app.store.plan(plan_id, principal=desk.app.principal)
            with contextlib.suppress(errors.PlanRejected):
                ids = [one.id for one in plan.tasks]
                await desk.app.plans.edit(plan_id, plan.version, [an_edit(rng, ids) for _ in range(rng.randint(1, 2))])
            newest = await desk.app.store.plan(plan_id, principal=desk.app.principal)
            open_again = rng.choice([*before, *(one.id for one in newest.tasks)])
            try:
                progress = await desk.app.steer(run_id, rng.choice(["retry", "retry", "skip"]), open_again, "")
            except errors.DispatchError:
                assert {row.id: row for row in await desk.app.store.tasks(run_id)} == before
                continue
            after = {row.id: row for row in await desk.app.store.tasks(run_id)}
            assert [row.id for row in after.values()] == [one.id for one in newest.tasks]
            assert (await desk.app.store.run(run_id, principal=desk.app.principal)).plan_version == newest.version
            kept = {name: row.result for name, row in before.items() if row.result}
            assert {name: after[name].result for name in kept} == kept
