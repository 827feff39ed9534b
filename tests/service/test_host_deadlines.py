"""Deadlines of work that is out with the host: they end the lease, and what comes later is told so."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import dispatcher_setup
import pytest
from dispatcher_setup import LEASE_S, Desk, handed, said, task
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch_mcp import model
from dispatch_mcp.model import AttemptState, assignments, records
from dispatch_mcp.next_steps import NextStep, StepKind
from dispatch_mcp.service import answers

pytestmark = pytest.mark.anyio

SHORT_S = LEASE_S / 2


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[Desk]:
    async with dispatcher_setup.opened(tmp_path / "home") as opened:
        yield opened


async def attempts(desk: Desk, run_id: str) -> list[tuple[int, str, str]]:
    return [(one.attempt, one.state.value, one.error) for one in await desk.app.store.attempts(run_id)]


async def late(desk: Desk, one: assignments.Assignment, after_s: float) -> answers.ReportAnswer:
    desk.clock.now += after_s
    return await desk.app.report(one.run_id, [said(one, usage={"input_tokens": 500})])


@pytest.mark.parametrize("fields", [{"timeout_s": SHORT_S}, {"limits": {"minutes": SHORT_S / 60}}])
async def test_an_assignment_says_its_deadline_and_its_lease_ends_with_it(desk: Desk, fields: dict[str, Any]) -> None:
    [one] = await handed(desk, task("a", **fields))
    assert (one.timeout_s, one.lease_until) == (SHORT_S, desk.clock() + SHORT_S)
    assert "Finish within 5 minutes" in one.call.prompt


async def test_a_deadline_is_not_renewed_by_contact_and_other_leases_are(desk: Desk) -> None:
    [timed, free] = await handed(desk, task("a", timeout_s=SHORT_S), task("b"))
    desk.clock.now += SHORT_S - 1
    again = {one.task_id: one for one in (await desk.app.dispatch(run_id=timed.run_id)).assignments}
    assert again["a"].lease_until == timed.lease_until
    assert again["b"].lease_until == (free.lease_until or 0) + SHORT_S - 1


async def test_a_result_in_time_is_taken(desk: Desk) -> None:
    [one] = await handed(desk, task("a", timeout_s=SHORT_S))
    assert (await late(desk, one, SHORT_S - 1)).results[0].accepted


async def test_a_late_result_is_fenced_with_the_reason_and_the_next_attempt_is_handed_out(desk: Desk) -> None:
    [one] = await handed(desk, task("a", timeout_s=600))
    reported = await late(desk, one, 600)
    [line] = reported.results
    assert (line.accepted, line.why) == (False, "timed out after 600 s; attempt 2 is out")
    [second] = reported.assignments
    assert (second.attempt, second.lease_until) == (2, desk.clock() + 600)
    assert "No result after 600 s." in second.call.prompt
    assert await attempts(desk, one.run_id) == [(1, "timed_out", "No result after 600 s."), (2, "running", "")]
    assert (await desk.app.report(one.run_id, [said(second)])).results[0].accepted


async def test_a_missed_deadline_counts_as_a_failure_and_the_last_one_fails_the_task(desk: Desk) -> None:
    [one] = await handed(desk, task("a", timeout_s=60, max_attempts=2), task("b", "a"))
    for number in (1, 2):
        desk.clock.now += 60
        out = (await desk.app.dispatch(run_id=one.run_id)).assignments
        assert [again.attempt for again in out] == ([2] if number == 1 else [])
    assert await desk.states(one.run_id) == {"a": "failed", "b": "skipped"}
    row = (await desk.app.store.tasks(one.run_id))[0]
    assert (row.failures, row.cause) == (2, "timeout")
    reported = await desk.app.report(one.run_id, [said(one)])
    assert reported.results[0].why == "timed out after 60 s; the task is failed after attempt 2"


async def test_what_a_late_attempt_used_is_counted(desk: Desk) -> None:
    [one] = await handed(desk, task("a", timeout_s=60))
    await late(desk, one, 61)
    assert (await desk.app.store.spend(one.run_id)).input_tokens == 500


async def test_a_missed_deadline_is_in_the_trace_and_what_comes_next_is_to_ask_for_the_next_attempt(
    desk: Desk,
) -> None:
    [one] = await handed(desk, task("a", timeout_s=60))
    desk.clock.now += 60
    trace = await desk.app.trace(run_id=one.run_id, wait_s=40)
    assert trace.next == NextStep(StepKind.FETCH_ASSIGNMENTS, one.run_id, count=1)
    await desk.app.dispatch(run_id=one.run_id)
    events = await desk.app.store.events(one.run_id)
    [end] = [event for event in events if event.kind == "attempt_finished"]
    assert (end.attempt, end.data) == (1, {"state": "timed_out", "error_kind": "timeout"})


async def test_a_lease_without_a_deadline_that_lapsed_is_no_failure(desk: Desk) -> None:
    [one] = await handed(desk, task("a", max_attempts=1))
    desk.clock.now += LEASE_S
    [again] = (await desk.app.dispatch(run_id=one.run_id)).assignments
    assert again.attempt == 2
    assert await attempts(desk, one.run_id) == [(1, "abandoned", ""), (2, "running", "")]


async def test_what_was_reported_in_time_is_taken_however_long_it_is_checked(desk: Desk) -> None:
    [one] = await handed(desk, task("a", timeout_s=60))

    def slow(outcome: model.Outcome) -> model.Outcome:
        desk.clock.now += 3_600
        return outcome

    desk.app.redact = slow
    desk.clock.now += 59
    assert (await desk.app.report(one.run_id, [said(one)])).results[0].accepted


async def test_the_deadline_of_a_plan_holds_for_tasks_without_their_own(desk: Desk) -> None:
    document = dispatcher_setup.read([task("a"), task("b", timeout_s=30)], timeout_s=90)
    plan = (await desk.app.plans.plan_document(document)).plan
    out = (await desk.app.dispatch(plan_id=plan.id)).assignments
    assert {one.task_id: one.timeout_s for one in out} == {"a": 90, "b": 30}


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([None, 60.0, 300.0]),
    st.lists(st.tuples(st.sampled_from(["dispatch", "report"]), st.floats(1, 400)), max_size=5),
)
async def test_an_attempt_is_accepted_if_and_only_if_it_came_before_its_deadline(
    tmp_path_factory: pytest.TempPathFactory, timeout_s: float | None, contacts: list[tuple[str, float]]
) -> None:
    async with dispatcher_setup.opened(tmp_path_factory.mktemp("run") / "home") as desk:
        out = {one.attempt: one for one in await handed(desk, task("a", timeout_s=timeout_s, max_attempts=20))}
        began = {1: desk.clock()}
        for kind, pause in contacts:
            desk.clock.now += pause
            newest = max(out)
            timely = timeout_s is None or desk.clock() < began[newest] + timeout_s
            if kind == "report":
                answer = await desk.app.report(out[newest].run_id, [said(out[newest])])
                assert answer.results[0].accepted == timely
            else:
                answer = await desk.app.dispatch(run_id=out[newest].run_id)
            if kind == "report" and timely:
                break
            for one in answer.assignments:
                began.setdefault(one.attempt, desk.clock())
                out[one.attempt] = one
        rows: list[records.AttemptRecord] = await desk.app.store.attempts(out[1].run_id)
        ends = [row.state for row in rows[:-1]]
        assert set(ends) <= {AttemptState.TIMED_OUT}
