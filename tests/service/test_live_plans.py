"""Plans that change while they run, and runs that wait for a person, through the real store."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import dispatcher_setup
import pytest
from dispatcher_setup import task

from dispatch_mcp import errors
from dispatch_mcp.agents import catalog
from dispatch_mcp.next_steps import NextStep, StepKind
from dispatch_mcp.service import approvals

pytestmark = pytest.mark.anyio

KNOWN = catalog.merge(
    catalog.Agent(name=name, description=description, roster="r", sha256=name)
    for name, description in (("db", "Database tables and SQL queries"), ("web", "Pages, forms and CSS of the website"))
)
GATE: dict[str, Any] = {"id": "gate", "do": "May we go on?", "worker": "human"}
YES = approvals.PersonVerdict(approved=True, by="a test", reason="looks good")


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[dispatcher_setup.Desk]:
    async with dispatcher_setup.opened(tmp_path / "home") as opened:
        yield opened


async def test_an_open_run_goes_on_with_what_was_added(desk: dispatcher_setup.Desk) -> None:
    plan_id = await desk.planned(task("a"), task("b", "a"))
    given = await desk.app.dispatch(plan_id=plan_id)
    edits = [
        {"op": "add", "id": "c", "task": {"do": "Do c"}},
        {"op": "modify", "id": "b", "task": {"deps": ["a", "c"]}},
    ]
    planned = await desk.app.plans.edit(plan_id, 1, edits)
    assert planned.changes == {"added": ["c"], "changed": ["b"], "newly_ready": ["c"], "critical_min": [30, 30]}
    assert (await desk.app.trace(run_id=given.run_id)).plan_version == 2
    reported = await desk.app.report(given.run_id, [dispatcher_setup.said(given.assignments[0])])
    assert [one.task_id for one in reported.assignments] == ["c"]
    reported = await desk.app.report(given.run_id, [dispatcher_setup.said(reported.assignments[0])])
    assert [one.task_id for one in reported.assignments] == ["b"]
    await desk.app.report(given.run_id, [dispatcher_setup.said(reported.assignments[0])])
    assert (await desk.app.trace(run_id=given.run_id)).state == "succeeded"


async def test_the_engine_carries_out_what_was_added_to_a_run_it_drives(desk: dispatcher_setup.Desk) -> None:
    plan_id = await desk.planned(task("hold"), task("first", command=["one"]))
    given = await desk.app.dispatch(plan_id=plan_id)
    await desk.app.plans.edit(plan_id, 1, [{"op": "add", "id": "second", "task": {"do": "x", "command": ["two"]}}])
    await desk.app.dispatch(run_id=given.run_id)
    await desk.reaches(given.run_id, "second", "succeeded")
    assert desk.commands.ran == ["first", "second"]


async def test_a_refused_edit_changes_nothing(desk: dispatcher_setup.Desk) -> None:
    plan_id = await desk.planned(task("a"), task("b", "a"))
    given = await desk.app.dispatch(plan_id=plan_id)
    edits = [{"op": "add", "id": "c", "task": {"do": "Do c"}}, {"op": "remove", "id": "a"}]
    with pytest.raises(errors.PlanRejected) as refused:
        await desk.app.plans.edit(plan_id, 1, edits)
    assert [problem.code for problem in refused.value.problems] == ["task_started"]  # type: ignore[attr-defined]
    assert await desk.states(given.run_id) == {"a": "running", "b": "blocked"}
    assert (await desk.app.store.plan(plan_id, principal="local")).version == 1


async def test_a_stale_edit_is_told_what_has_changed(desk: dispatcher_setup.Desk) -> None:
    plan_id = await desk.planned(task("a"), task("b", "a"))
    await desk.app.plans.edit(plan_id, 1, [{"op": "add", "id": "c", "task": {"do": "Do c"}}])
    with pytest.raises(errors.StaleVersion, match="added: c") as stale:
        await desk.app.plans.edit(plan_id, 1, [{"op": "remove", "id": "b"}])
    assert (stale.value.version, stale.value.changes["added"]) == (2, ["c"])


async def test_whoever_writes_what_a_running_task_writes_waits_for_it(desk: dispatcher_setup.Desk) -> None:
    plan_id = await desk.planned(task("a", files=["app.py"]), task("z", "a"))
    await desk.app.dispatch(plan_id=plan_id)
    more = {"do": "Do n", "files": ["app.py"], "effort": "XL"}
    planned = await desk.app.plans.edit(plan_id, 1, [{"op": "add", "id": "n", "task": more}])
    assert [(edge.before, edge.after) for edge in planned.plan.added_edges] == [("a", "n")]


async def test_a_skip_with_cascade_drops_what_depends_on_it(desk: dispatcher_setup.Desk) -> None:
    plan_id = await desk.planned(task("a"), task("b", "a"), task("c", "b"), task("d", "a"))
    planned = await desk.app.plans.edit(plan_id, 1, [{"op": "skip", "id": "b", "cascade": True}])
    assert [one.id for one in planned.plan.tasks] == ["a", "d"]


async def test_a_worker_proposes_edits_and_the_orchestrator_applies_them(desk: dispatcher_setup.Desk) -> None:
    plan_id = await desk.planned(task("a"), task("b", "a"))
    given = await desk.app.dispatch(plan_id=plan_id)
    wanted = [{"op": "add", "id": "cache", "task": {"do": "Add the caching layer"}, "reason": "there is none"}]
    handoff = {"completed_work": "looked", "proposed_edits": wanted}
    report = {"task_id": "a", "attempt": 1, "handoff": handoff}
    reported = await desk.app.report(given.run_id, [report])
    assert list(reported.results[0].proposed_edits) == wanted
    assert "edits_proposed" in await desk.kinds(given.run_id)
    assert set(await desk.states(given.run_id)) == {"a", "b"}
    await desk.app.plans.edit(plan_id, 1, reported.results[0].proposed_edits)
    assert set(await desk.states(given.run_id)) == {"a", "b", "cache"}


# -- decisions


async def test_a_run_waits_for_a_person_and_goes_on_when_told(desk: dispatcher_setup.Desk) -> None:
    given = await desk.app.dispatch(plan_id=await desk.planned(GATE, task("a", "gate")))
    assert not given.assignments
    trace = await desk.app.trace(run_id=given.run_id, wait_s=30)
    assert trace.state == "waiting_input"
    assert trace.next == NextStep(StepKind.DECIDE, given.run_id, ("gate",))
    assert trace.blocked["gate"] == NextStep(StepKind.WAITS_FOR_PERSON, given.run_id, ("gate",))
    steered = await desk.app.decide(given.run_id, "", YES)
    assert "gate" in steered.changed
    again = await desk.app.dispatch(run_id=given.run_id)
    assert [one.task_id for one in again.assignments] == ["a"]
    result = await desk.app.trace(run_id=given.run_id, task_id="gate")
    assert (result.results[0].receipts[0].kind, result.results[0].capsule) != ("", "")
    assert "approved by a test: looks good" in result.results[0].capsule


async def test_no_command_is_added_in_front_of_a_decision_unless_it_only_reads(desk: dispatcher_setup.Desk) -> None:
    plan_id = await desk.planned(GATE, task("a", "gate", files=["deploy.sh"]))
    await desk.app.dispatch(plan_id=plan_id)
    script = {"op": "add", "id": "list", "task": {"do": "List", "command": ["sh", "t.sh"]}}
    with pytest.raises(errors.PlanRejected):
        await desk.app.plans.edit(plan_id, 1, [script])
    assert desk.commands.ran == []
    look = {"op": "add", "id": "look", "task": {"do": "List", "command": ["git", "status"]}}
    proposal = await desk.app.plans.edit(plan_id, 1, [look])
    assert [one.id for one in proposal.plan.tasks] == ["gate", "a", "look"]


async def test_a_rejection_skips_what_depends_on_it(desk: dispatcher_setup.Desk) -> None:
    given = await desk.app.dispatch(plan_id=await desk.planned(GATE, task("a", "gate"), task("b")))
    await desk.app.report(given.run_id, [dispatcher_setup.said(given.assignments[0])])
    await desk.app.decide(given.run_id, "gate", approvals.PersonVerdict(approved=False, by="a test"))
    assert await desk.states(given.run_id) == {"gate": "failed", "a": "skipped", "b": "unverified"}


async def test_no_call_of_a_model_approves(desk: dispatcher_setup.Desk) -> None:
    plan_id = await desk.planned(GATE, task("a", "gate"))
    given = await desk.app.dispatch(plan_id=plan_id)
    reported = await desk.app.report(given.run_id, [{"task_id": "gate", "attempt": 1, "text": "approved"}])
    assert not reported.results[0].accepted
    with pytest.raises(errors.NotAllowed):
        await desk.app.steer(given.run_id, "skip", "gate", "")
    edits: list[dict[str, Any]] = [
        {"op": "remove", "id": "gate"},
        {"op": "skip", "id": "gate"},
        {"op": "modify", "id": "gate", "task": {"worker": "host"}},
        {"op": "modify", "id": "a", "task": {"deps": []}},
    ]
    for edit in edits:
        with pytest.raises(errors.PlanRejected):
            await desk.app.plans.edit(plan_id, 1, [edit])
    assert await desk.states(given.run_id) == {"gate": "running", "a": "blocked"}


async def test_a_decision_outlives_the_process_that_asked(tmp_path: Path) -> None:
    async with dispatcher_setup.opened(tmp_path / "home") as first:
        given = await first.app.dispatch(plan_id=await first.planned(GATE, task("a", "gate", command=["go"])))
    async with dispatcher_setup.opened(tmp_path / "home") as second:
        assert [one.task_id for one in await second.app.decisions(given.run_id)] == ["gate"]
        await second.app.decide(given.run_id, "gate", YES)
        assert (await second.ended(given.run_id)).state == "succeeded"
        assert second.commands.ran == ["a"]


async def test_a_decision_that_was_made_cannot_be_made_again(desk: dispatcher_setup.Desk) -> None:
    given = await desk.app.dispatch(plan_id=await desk.planned(GATE, task("a", "gate")))
    await desk.app.decide(given.run_id, "gate", YES)
    with pytest.raises(errors.InputError, match="does not wait"):
        await desk.app.decide(given.run_id, "gate", YES)


# -- strategies


async def test_the_strategy_of_each_route_becomes_a_part_of_the_plan(tmp_path: Path) -> None:
    async with dispatcher_setup.opened(tmp_path / "home", rules={"review_policy": "strict"}) as desk:
        desk.app.catalog = lambda: KNOWN
        planned = await desk.app.plans.plan(
            [task("x", do="Zzz qqq"), task("q", do="Speed up the SQL query of the orders table")]
        )
        ids = [one.id for one in planned.plan.tasks]
        assert "decision" in ids
        assert "decision" in planned.plan.tasks[ids.index("x")].deps
        assert "needs_decision" in {notice.code for notice in planned.prepared.notices}


async def test_a_task_whose_agent_was_named_needs_no_review(desk: dispatcher_setup.Desk) -> None:
    desk.app.catalog = lambda: KNOWN
    planned = await desk.app.plans.plan([task("q", agent="db")])
    assert [one.id for one in planned.plan.tasks] == ["q"]


async def test_work_behind_a_decision_does_not_begin_under_another_name(desk: dispatcher_setup.Desk) -> None:
    plan_id = await desk.planned(GATE, task("a", "gate", files=["shop/cart.py"]), task("free", files=["notes.md"]))
    given = await desk.app.dispatch(plan_id=plan_id)
    anew = {"op": "add", "id": "anew", "task": {"do": "Change the cart", "files": ["./shop/cart.py"]}}
    with pytest.raises(errors.PlanRejected) as refusal:
        await desk.app.plans.edit(plan_id, 1, [anew, {"op": "remove", "id": "a"}])
    assert {problem.task for problem in refusal.value.problems} == {"a", "anew"}  # type: ignore[attr-defined]
    anew["task"] = {"do": "Change the cart", "files": ["shop/cart.py"], "deps": ["gate"]}
    split = await desk.app.plans.edit(plan_id, 1, [anew, {"op": "remove", "id": "a"}])
    assert split.changes["added"] == ["anew"]
    assert await desk.states(given.run_id) == {"gate": "running", "anew": "blocked", "free": "running"}
    await desk.app.decide(given.run_id, "gate", YES)
    assert (await desk.states(given.run_id))["anew"] == "ready"
