from __future__ import annotations

import random
import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio
import dispatcher_setup
import pytest

from dispatch_mcp import errors, model
from dispatch_mcp.model import RunState, WorkerKind, records
from dispatch_mcp.service import answers, traces

pytestmark = pytest.mark.anyio

WRITE = {"id": "write", "do": "Write the parser", "files": ["parser.py"]}
CHECK = {"id": "check", "do": "Run the tests", "command": ["python", "-m", "pytest"]}
JUDGE = {"id": "judge", "do": "Judge the parser", "deps": ["write", "check"]}


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[dispatcher_setup.Desk]:
    async with dispatcher_setup.opened(tmp_path / "home") as opened:
        yield opened


def simulated(task_id: str, *deps: str, **script: model.Json) -> dict[str, Any]:
    inputs = {"script": script} if script else {}
    return {"id": task_id, "do": f"do {task_id}", "deps": list(deps), "worker": "scripted", "inputs": inputs}


async def finish(desk: dispatcher_setup.Desk, progress: answers.Progress) -> None:
    """Reports every assignment of a run until nothing is left for the host."""
    given = progress.assignments
    while given:
        reported = await desk.app.report(progress.run_id, [dispatcher_setup.said(one) for one in given])
        given = reported.assignments


@pytest.mark.promise("R7")
async def test_a_dispatch_without_a_key_finds_the_open_run_of_its_plan(desk: dispatcher_setup.Desk) -> None:
    plan_id = await desk.planned(WRITE)
    first = await desk.app.dispatch(plan_id=plan_id)
    again = await desk.app.dispatch(plan_id=plan_id)
    assert (again.run_id, again.reused, first.reused) == (first.run_id, True, False)
    assert [one.attempt for one in again.assignments] == [1]


@pytest.mark.promise("R7")
async def test_other_runs_of_the_plan_that_end_in_between_do_not_hide_the_open_one(desk: dispatcher_setup.Desk) -> None:
    plan_id = await desk.planned(WRITE)
    first = await desk.app.dispatch(plan_id=plan_id)
    for _ in range(2):
        rehearsal = await desk.app.dispatch(plan_id=plan_id, dry_run=True)
        await desk.ended(rehearsal.run_id)
    assert (await desk.app.dispatch(plan_id=plan_id)).run_id == first.run_id


async def test_a_finished_plan_runs_anew_with_host_results_taken_over_and_commands_run_again(
    desk: dispatcher_setup.Desk,
) -> None:
    plan_id = await desk.planned(WRITE, CHECK)
    first = await desk.app.dispatch(plan_id=plan_id)
    await finish(desk, first)
    await desk.ended(first.run_id)
    second = await desk.app.dispatch(plan_id=plan_id)
    await desk.ended(second.run_id)
    assert second.run_id != first.run_id
    assert (second.replayed, second.assignments) == (1, ())
    assert desk.commands.ran == ["check", "check"]


async def test_fresh_repeats_everything(desk: dispatcher_setup.Desk) -> None:
    plan_id = await desk.planned(WRITE, CHECK)
    first = await desk.app.dispatch(plan_id=plan_id)
    await finish(desk, first)
    await desk.ended(first.run_id)
    second = await desk.app.dispatch(plan_id=plan_id, fresh=True)
    assert (second.replayed, [one.task_id for one in second.assignments]) == (0, ["write"])


@pytest.mark.promise("R3")
async def test_an_expired_lease_gives_a_new_attempt_and_fences_the_late_one(desk: dispatcher_setup.Desk) -> None:
    first = await desk.app.dispatch(plan_id=await desk.planned(WRITE))
    desk.clock.now += dispatcher_setup.LEASE_S + 1
    second = await desk.app.dispatch(run_id=first.run_id)
    assert [one.attempt for one in second.assignments] == [2]
    late = await desk.app.report(first.run_id, [dispatcher_setup.said(first.assignments[0], "late")])
    assert not late.results[0].accepted
    assert late.results[0].why == "attempt 1 was replaced; the newest is 2"
    right = await desk.app.report(first.run_id, [dispatcher_setup.said(second.assignments[0], "in time")])
    assert right.results[0].accepted
    assert "in time" in await desk.app.result(first.run_id, "write")


async def test_any_contact_renews_the_leases_of_a_run(desk: dispatcher_setup.Desk) -> None:
    other = {"id": "style", "do": "Write the style guide"}
    first = await desk.app.dispatch(plan_id=await desk.planned(WRITE, other))
    given = {one.task_id: one for one in first.assignments}
    desk.clock.now += dispatcher_setup.LEASE_S * 0.8
    await desk.app.report(first.run_id, [dispatcher_setup.said(given["style"])])
    desk.clock.now += dispatcher_setup.LEASE_S * 0.8
    reported = await desk.app.report(first.run_id, [dispatcher_setup.said(given["write"])])
    assert reported.results[0].accepted
    assert reported.state is RunState.SUCCEEDED


async def test_what_was_found_upstream_reaches_the_brief_with_its_proof_or_without(desk: dispatcher_setup.Desk) -> None:
    first = await desk.app.dispatch(plan_id=await desk.planned(WRITE, CHECK, JUDGE))
    await desk.reaches(first.run_id, "check", "succeeded")
    reported = await desk.app.report(
        first.run_id, [dispatcher_setup.said(first.assignments[0], "the parser reads it all")]
    )
    [judge] = reported.assignments
    assert "the parser reads it all" in judge.call.prompt
    assert "decided write" in judge.call.prompt
    assert "claimed, not proven" in judge.call.prompt
    assert judge.call.prompt == await desk.app.brief(first.run_id, "judge")


async def test_messages_reach_briefs_and_the_answers_to_reports(desk: dispatcher_setup.Desk) -> None:
    plan_id = await desk.planned(WRITE, {"id": "judge", "do": "Judge it", "deps": ["write"]})
    first = await desk.app.dispatch(plan_id=plan_id)
    for recipient, text in (("judge", "mind the empty file"), ("orchestrator", "the schema is frozen")):
        note = model.Message(run_id=first.run_id, sender="write", recipient=recipient, kind="information", text=text)
        await desk.app.send(note)
    reported = await desk.app.report(first.run_id, [dispatcher_setup.said(first.assignments[0])])
    assert [note.text for note in reported.messages] == ["the schema is frozen"]
    assert "mind the empty file" in reported.assignments[0].call.prompt
    again = await desk.app.report(first.run_id, [dispatcher_setup.said(reported.assignments[0])])
    assert again.messages == ()


@pytest.mark.parametrize(
    ("default", "asked", "kind", "why"),
    [
        (None, {}, "host", "called from an assistant"),
        (WorkerKind.SCRIPTED, {}, "scripted", "as asked"),
        (None, {"worker": "scripted"}, "scripted", "as asked"),
        (None, {"dry_run": True}, "scripted", "dry run"),
    ],
)
async def test_the_answer_says_who_works_and_why(
    tmp_path: Path, default: WorkerKind | None, asked: dict[str, Any], kind: str, why: str
) -> None:
    async with dispatcher_setup.opened(tmp_path / "home", default_worker=default) as desk:
        progress = await desk.app.dispatch(plan_id=await desk.planned(WRITE), **asked)
        assert progress.worker == kind
        assert why in progress.why_worker
        assert progress.simulated is (kind == "scripted")


async def test_nothing_is_said_of_who_works_where_every_task_says_it_itself(desk: dispatcher_setup.Desk) -> None:
    look = {"id": "look", "do": "Look at the versions", "command": ["git", "--version"]}
    progress = await desk.app.dispatch(plan_id=await desk.planned(look))
    assert progress.why_worker == ""


async def test_a_worker_that_is_not_here_is_refused_before_anything_is_recorded(desk: dispatcher_setup.Desk) -> None:
    plan_id = await desk.planned(WRITE)
    with pytest.raises(errors.InputError, match="No worker 'claude' here"):
        await desk.app.dispatch(plan_id=plan_id, worker="claude")
    assert (await desk.app.trace(view="all")).runs == ()


@pytest.mark.parametrize(("rules", "limits"), [({"depth": 2}, {}), ({"depth": 1}, {"depth": 1})])
async def test_a_server_too_deep_inside_workers_dispatches_nothing(
    tmp_path: Path, rules: dict[str, int], limits: dict[str, Any]
) -> None:
    async with dispatcher_setup.opened(tmp_path / "home", rules=rules) as desk:
        plan_id = await desk.planned(WRITE)
        with pytest.raises(errors.NotAllowed, match="inside a worker at depth"):
            await desk.app.dispatch(plan_id=plan_id, limits=model.Limits(**limits))
        assert (await desk.app.trace(view="all")).runs == ()


async def test_a_rejected_plan_lists_every_problem_and_stores_nothing(desk: dispatcher_setup.Desk) -> None:
    wrong = [{"id": "a", "do": "", "deps": ["b"]}, {"id": "c", "do": "x", "deps": ["c"], "colour": "red"}]
    with pytest.raises(errors.PlanRejected) as refused:
        await desk.app.plans.plan(wrong)
    assert {getattr(problem, "code", "") for problem in refused.value.problems} >= {
        "empty_goal",
        "unknown_dependency",
        "self_dependency",
        "unknown_field",
    }
    assert await desk.app.store.plans(records.LOCAL) == []


async def test_neither_or_both_handles_are_refused(desk: dispatcher_setup.Desk) -> None:
    both: dict[str, Any] = {"plan_id": "a", "run_id": "b"}
    for handles in ({}, both):
        with pytest.raises(errors.InputError, match="either plan_id or run_id"):
            await desk.app.dispatch(**handles)


async def test_the_list_of_runs_comes_in_pages(desk: dispatcher_setup.Desk) -> None:
    plan_id = await desk.planned(WRITE)
    made = [
        (await desk.app.dispatch(plan_id=plan_id, request_key=f"key {number}")).run_id
        for number in range(traces.PAGE + 3)
    ]
    first = await desk.app.trace()
    second = await desk.app.trace(cursor=first.cursor)
    assert [len(first.runs), len(second.runs), second.cursor] == [traces.PAGE, 3, ""]
    assert {line.run_id for line in (*first.runs, *second.runs)} == set(made)


async def test_waiting_ends_when_there_is_news(desk: dispatcher_setup.Desk) -> None:
    progress = await desk.app.dispatch(plan_id=await desk.planned(simulated("a", hang=True)))
    await desk.reaches(progress.run_id, "a", "running")
    seen = (await desk.app.trace(run_id=progress.run_id, view="timeline")).cursor
    news: list[answers.Trace] = []

    async def wait() -> None:
        news.append(await desk.app.trace(run_id=progress.run_id, view="timeline", cursor=seen, wait_s=45))

    with anyio.fail_after(traces.MAX_WAIT_S - 5):
        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await anyio.lowlevel.checkpoint()
            assert news == []
            await desk.app.steer(progress.run_id, "pause", "", "")
    assert news[0].timeline[0].kind == "run_paused"


async def test_waiting_for_a_run_ends_with_it(desk: dispatcher_setup.Desk) -> None:
    progress = await desk.app.dispatch(plan_id=await desk.planned(simulated("a"), simulated("b", "a")))
    with anyio.fail_after(traces.MAX_WAIT_S - 5):
        assert (await desk.app.trace(run_id=progress.run_id, wait_s=45)).state == "succeeded"


async def test_a_failed_task_is_skipped_or_tried_again(desk: dispatcher_setup.Desk) -> None:
    plan_id = await desk.planned(simulated("a", fail="permanent"), simulated("b", "a"))
    progress = await desk.app.dispatch(plan_id=plan_id)
    ended = await desk.ended(progress.run_id)
    assert (ended.state, ended.blocked["b"]) == ("failed", "skipped, as 'a' was not done")
    retried = await desk.app.steer(progress.run_id, "retry", "a", "")
    assert set(retried.changed) <= {"a", "b"}
    assert (await desk.ended(progress.run_id)).state == "failed"
    assert [a.attempt for a in await desk.app.store.attempts(progress.run_id, "a")] == [1, 2]
    await desk.app.steer(progress.run_id, "skip", "a", "not needed")
    assert (await desk.ended(progress.run_id)).state == "succeeded"
    assert await desk.states(progress.run_id) == {"a": "skipped", "b": "succeeded"}


@pytest.mark.parametrize("kind", ["retry", "skip"])
async def test_steering_a_task_needs_one_that_is_there(desk: dispatcher_setup.Desk, kind: Any) -> None:
    progress = await desk.app.dispatch(plan_id=await desk.planned(WRITE))
    with pytest.raises(errors.InputError, match="needs the id of a task"):
        await desk.app.steer(progress.run_id, kind, "", "")
    with pytest.raises(errors.UnknownHandle, match="no task 'nobody'"):
        await desk.app.steer(progress.run_id, kind, "nobody", "")
    assert await desk.states(progress.run_id) == {"write": "running"}


async def test_a_cancelled_run_takes_no_report_any_more(desk: dispatcher_setup.Desk) -> None:
    progress = await desk.app.dispatch(plan_id=await desk.planned(WRITE))
    steered = await desk.app.steer(progress.run_id, "cancel", "", "changed my mind")
    assert (steered.state, steered.changed) == (RunState.CANCELLED, ("write",))
    reported = await desk.app.report(progress.run_id, [dispatcher_setup.said(progress.assignments[0])])
    assert not reported.results[0].accepted


async def test_a_claim_of_the_host_is_called_unverified_everywhere(desk: dispatcher_setup.Desk) -> None:
    progress = await desk.app.dispatch(plan_id=await desk.planned(WRITE))
    reported = await desk.app.report(progress.run_id, [dispatcher_setup.said(progress.assignments[0])])
    assert (reported.results[0].state, reported.counts) == ("unverified", {"unverified": 1})
    assert reported.next
    assert reported.next.unproven == 1
    summary = await desk.app.trace(run_id=progress.run_id)
    assert summary.tasks[0].state == "unverified"
    assert summary.next
    assert summary.next.unproven == 1
    [line] = (await desk.app.trace(run_id=progress.run_id, view="results")).results
    assert (line.state, [receipt.kind for receipt in line.receipts]) == ("unverified", ["claim"])
    finished = [event for event in await desk.app.store.events(progress.run_id) if event.kind == "attempt_finished"]
    assert finished[0].data["unverified"] is True
    assert '"unverified":true' in await desk.app.result(progress.run_id, "write")


@pytest.mark.promise("S3")
async def test_every_handle_ends_in_128_bits_that_no_seed_foretells(tmp_path: Path) -> None:
    numbers: list[str] = []
    for home in ("one", "two"):
        random.seed(7)
        async with dispatcher_setup.opened(tmp_path / home) as desk:
            for _ in range(20):
                plan_id = await desk.planned(WRITE)
                run_id = (await desk.app.dispatch(plan_id=plan_id)).run_id
                numbers += [plan_id.rpartition("-")[2], run_id.rpartition("-")[2]]
    assert all(re.fullmatch("[0-9a-f]{32}", number) for number in numbers)
    assert len({number[:16] for number in numbers} | {number[16:] for number in numbers}) == 2 * len(numbers)


@pytest.mark.promise("S3")
async def test_other_peoples_handles_are_not_found(tmp_path: Path) -> None:
    async with dispatcher_setup.opened(tmp_path / "home") as mine:
        plan_id = await mine.planned(WRITE)
        run_id = (await mine.app.dispatch(plan_id=plan_id)).run_id
        async with dispatcher_setup.opened(tmp_path / "home", principal="somebody else") as theirs:
            note = model.Message(run_id=run_id, sender="a", recipient="b", kind="request", text="hello")
            for call in (
                theirs.app.dispatch(plan_id=plan_id),
                theirs.app.dispatch(run_id=run_id),
                theirs.app.report(run_id, []),
                theirs.app.trace(run_id=run_id),
                theirs.app.steer(run_id, "cancel", "", ""),
                theirs.app.send(note),
                theirs.app.inbox(run_id, "b"),
                theirs.app.brief(run_id, "write"),
                theirs.app.result(run_id, "write"),
                theirs.app.plans.edit(plan_id, 1, []),
            ):
                with pytest.raises(errors.UnknownHandle):
                    await call
            assert (await theirs.app.trace(view="all")).runs == ()


async def test_the_plans_deadline_holds_for_tasks_without_their_own(desk: dispatcher_setup.Desk) -> None:
    patient = {**simulated("patient", hang=True), "timeout_s": 0.02, "max_attempts": 1}
    hasty = {**simulated("hasty", hang=True), "max_attempts": 1}
    document = dispatcher_setup.read([patient, hasty], timeout_s=0.01)
    planned = await desk.app.plans.plan_document(document)
    progress = await desk.app.dispatch(plan_id=planned.plan.id)
    await desk.ended(progress.run_id)
    errors_of = {attempt.task_id: attempt.error for attempt in await desk.app.store.attempts(progress.run_id)}
    assert errors_of == {"patient": "No result after 0.02 s.", "hasty": "No result after 0.01 s."}
