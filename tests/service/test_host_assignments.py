"""What the host is handed: whole briefs or where to read them, the same again when it asks again."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio
import dispatcher_setup
import pytest
from dispatcher_setup import LEASE_S, Desk, handed, said, task

from dispatch_mcp import errors, model
from dispatch_mcp.agents import catalog
from dispatch_mcp.model import WorkerKind, assignments
from dispatch_mcp.next_steps import NextStep, StepKind
from dispatch_mcp.service import traces

pytestmark = pytest.mark.anyio

WRITER = catalog.Agent(name="writer", description="Writes", body="You write plainly.", model="claude-haiku-4-5")


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[Desk]:
    fields: dict[str, Any] = {"catalog": lambda: catalog.Catalog((WRITER,)), "rules": {"review_policy": "off"}}
    async with dispatcher_setup.opened(tmp_path / "home", **fields) as opened:
        yield opened


async def test_a_short_brief_is_in_the_call_itself_with_the_role_of_its_agent(desk: Desk) -> None:
    [one] = await handed(desk, task("a", agent="writer", constraints=["Be brief."]))
    assert one.prompt_ref == ""
    assert "You write plainly." in one.call.prompt
    assert "Be brief." in one.call.prompt
    assert (one.call.subagent_type, one.call.model) == ("general-purpose", "haiku")


async def test_an_agent_that_the_host_has_installed_needs_no_role(tmp_path: Path) -> None:
    fields: dict[str, Any] = {"catalog": lambda: catalog.Catalog((WRITER,)), "installed": lambda: frozenset({"writer"})}
    async with dispatcher_setup.opened(tmp_path / "home", **fields) as desk:
        [one] = await handed(desk, task("a", agent="writer"))
        assert one.call.subagent_type == "writer"
        assert "You write plainly." not in one.call.prompt


async def test_a_long_brief_is_read_from_a_resource_or_a_file_of_the_servers_own(desk: Desk) -> None:
    long = "x" * (assignments.INLINE_LIMIT + 1)
    [one] = await handed(desk, task("a", inputs={"notes": long}, agent="writer"))
    assert one.prompt_ref.endswith("/tasks/a/prompt")
    assert long not in one.call.prompt
    [path] = (desk.app.store.home / "briefs").rglob("a-1.md")
    assert str(path) in one.call.prompt
    whole = await desk.app.brief(one.run_id, "a")
    assert whole == path.read_text("utf-8")
    assert long in whole
    assert "You write plainly." in whole


async def test_who_asks_again_is_handed_the_same_and_told_since_when_it_is_out(desk: Desk) -> None:
    first = await handed(desk, task("a"), task("b"))
    desk.clock.now += 180
    again = await desk.app.dispatch(run_id=first[0].run_id)
    assert [one.call for one in again.assignments] == [one.call for one in first]
    assert {one.already_out for one in first} == {""}
    assert {one.already_out for one in again.assignments} == {"for 3 min"}
    assert again.next == NextStep(StepKind.KEEP_ASSIGNMENTS, again.run_id, repeats=2, out_s=180.0)


async def test_new_work_is_told_from_what_is_only_repeated(desk: Desk) -> None:
    first, _ = await handed(desk, task("a"), task("b"), task("c", "a"))
    await desk.app.steer(first.run_id, "skip", "a", "not needed")
    desk.clock.now += 45
    again = await desk.app.dispatch(run_id=first.run_id)
    assert {one.task_id: one.already_out for one in again.assignments} == {"b": "for 45 s", "c": ""}
    assert again.next == NextStep(StepKind.DO_ASSIGNMENTS, first.run_id, count=1, repeats=1, out_s=45.0)


async def test_a_pause_before_another_attempt_is_said_with_its_end(desk: Desk) -> None:
    [one] = await handed(desk, task("a"))
    failure = {"task_id": "a", "attempt": 1, "status": "failed", "error": "busy", "retryable": True}
    reported = await desk.app.report(one.run_id, [failure])
    again = await desk.app.dispatch(run_id=one.run_id)
    assert reported.next == again.next
    assert again.next is not None
    assert (again.next.kind, again.next.retries, again.assignments) == (StepKind.AWAIT_RETRY, ("a",), ())
    assert again.poll_after_s == pytest.approx(again.next.retry_s, abs=0.1)
    trace = await desk.app.trace(run_id=one.run_id)
    assert str(trace.blocked["a"]).startswith("attempt 2 begins in 1 s")
    desk.clock.now += again.next.retry_s
    assert [two.attempt for two in (await desk.app.dispatch(run_id=one.run_id)).assignments] == [2]


async def test_who_waits_for_a_run_is_woken_when_the_pause_is_over(desk: Desk) -> None:
    [one] = await handed(desk, task("a"))
    failure = {"task_id": "a", "attempt": 1, "status": "failed", "error": "busy", "retryable": True}
    step = (await desk.app.report(one.run_id, [failure])).next
    assert step is not None
    desk.clock.now += step.retry_s - 0.01
    async with anyio.create_task_group() as group:

        async def wait() -> None:
            trace = await desk.app.trace(run_id=one.run_id, wait_s=45)
            assert trace.next == NextStep(StepKind.FETCH_ASSIGNMENTS, one.run_id, count=1)

        with anyio.fail_after(traces.MAX_WAIT_S - 5):
            group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            desk.clock.now += 1


async def test_several_tasks_go_on_beside_each_other_and_one_alone_does_not(desk: Desk) -> None:
    [alone] = await handed(desk, task("a"))
    assert not alone.call.run_in_background
    both = await handed(desk, task("b"), task("c"))
    assert all(one.call.run_in_background for one in both)


async def test_an_assignment_says_until_when_it_is_the_hosts(desk: Desk) -> None:
    [one] = await handed(desk, task("a"))
    assert one.lease_until == desk.clock() + LEASE_S
    desk.clock.now += LEASE_S / 2
    [again] = (await desk.app.dispatch(run_id=one.run_id)).assignments
    assert again.lease_until == desk.clock() + LEASE_S


async def test_a_second_attempt_is_told_what_went_wrong_with_the_first(desk: Desk) -> None:
    [one] = await handed(desk, task("a", max_attempts=3))
    failure = {"task_id": "a", "attempt": 1, "status": "failed", "error": "the disk is full", "retryable": True}
    await desk.app.report(one.run_id, [failure])
    desk.clock.now += 3_600
    [again] = (await desk.app.dispatch(run_id=one.run_id)).assignments
    assert again.attempt == 2
    assert "the disk is full" in again.call.prompt


async def test_who_shares_files_with_others_is_told_to_work_in_a_tree_of_its_own(desk: Desk) -> None:
    [one] = await handed(desk, task("a", isolation="worktree", files=["a.py"]))
    assert "git worktree of your own" in one.call.prompt


async def test_a_caller_that_is_no_host_is_handed_nothing(tmp_path: Path) -> None:
    shell = dispatcher_setup.dispatcher.worker_choice.AvailableWorkers(chat=False, key=True)
    async with dispatcher_setup.opened(tmp_path / "home", available_workers=shell) as desk:
        progress = await desk.app.dispatch(plan_id=await desk.planned(task("a", worker="host")))
        assert progress.assignments == ()
        assert await desk.states(progress.run_id) == {"a": "ready"}


async def test_only_what_is_ready_next_comes_with_the_answer_to_a_report(desk: Desk) -> None:
    first, _second = await handed(desk, task("a"), task("b"), task("c", "a"), task("d", "b"))
    reported = await desk.app.report(first.run_id, [said(first)])
    assert [one.task_id for one in reported.assignments] == ["c"]


async def test_the_brief_of_any_task_can_be_read_whoever_does_it(desk: Desk) -> None:
    plan = (task("a", command=["true"]), {"id": "gate", "do": "Ship it?", "worker": "human"}, task("z", "a", "gate"))
    progress = await desk.app.dispatch(plan_id=await desk.planned(*plan))
    assert "Ship it?" in await desk.app.brief(progress.run_id, "gate")
    assert "Do z" in await desk.app.brief(progress.run_id, "z")
    with pytest.raises(errors.UnknownHandle, match="no task 'nobody'"):
        await desk.app.brief(progress.run_id, "nobody")


async def test_a_message_to_everybody_reaches_what_is_handed_out_after_it(desk: Desk) -> None:
    [one] = await handed(desk, task("a"), task("b", "a"))
    note = model.Message(run_id=one.run_id, sender="a", recipient="all", kind="warning", text="Mind the step")
    await desk.app.send(note)
    reported = await desk.app.report(one.run_id, [said(one)])
    assert "Mind the step" in reported.assignments[0].call.prompt


async def test_tasks_of_the_servers_own_workers_are_not_handed_out(desk: Desk) -> None:
    assigned = await handed(desk, task("a"), task("b", command=["true"]), task("c", worker="scripted"))
    assert [one.task_id for one in assigned] == ["a"]
    row = (await desk.app.store.tasks(assigned[0].run_id))[1]
    assert row.worker is WorkerKind.COMMAND
