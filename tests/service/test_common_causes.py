"""Runs whose tasks fail alike: every answer says the common cause once and what to do about it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import dispatcher_setup
import pytest
from dispatcher_setup import Desk, said

from dispatch_mcp import model
from dispatch_mcp.cli import shell_wording
from dispatch_mcp.mcp_server import tool_wording
from dispatch_mcp.model import AttemptState, WorkerKind, ports, transitions, work_order, worker_choice
from dispatch_mcp.runs import report_reader
from dispatch_mcp.service import answers, host_reports

pytestmark = pytest.mark.anyio

FULL = "No space left on device while writing /srv/parts/part-{}/out.bin"


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[Desk]:
    async with dispatcher_setup.opened(tmp_path / "home") as opened:
        yield opened


def tasks(count: int, **fields: Any) -> list[dict[str, Any]]:
    return [{"id": f"t{place}", "do": f"Do part {place}", **fields} for place in range(count)]


async def fail_all(desk: Desk, count: int, text: str = FULL, **fields: Any) -> answers.ReportAnswer:
    given = await desk.app.dispatch(plan_id=await desk.planned(*tasks(count, **fields), max_parallel=count))
    results = [
        {"task_id": one.task_id, "attempt": one.attempt, "status": "failed", "error": text.format(one.task_id)}
        for one in given.assignments
    ]
    return await desk.app.report(given.run_id, results)


def words(answer: answers.ReportAnswer | answers.Trace) -> str:
    assert answer.next is not None
    assert not isinstance(answer.next, str)
    return tool_wording.words(answer.next)


@pytest.mark.parametrize("count", [3, 8])
async def test_report_and_trace_say_the_common_cause_once_and_name_a_few_tasks(desk: Desk, count: int) -> None:
    answer = await fail_all(desk, count)
    trace = await desk.app.trace(run_id=answer.run_id)
    for text in (words(answer), words(trace)):
        assert text.startswith(f"{count} tasks ('t0', 't1'")
        assert text.count("No space left on device") == 1
        assert "Look for the common cause before anything is tried again." in text
        assert "When that is mended, steer_run(action='retry')" in text
        assert "Failed:" not in text
        assert len(text) < 500
    assert trace.blocked == {}
    results = (await desk.app.trace(run_id=answer.run_id, view="results")).results
    assert [line.capsule for line in results] == [FULL.format("t0"), *["the same as 't0'"] * (count - 1)]
    assert trace.next is not None
    assert not isinstance(trace.next, str)
    assert "When that is mended, `dispatch-mcp steer retry" in shell_wording.words(trace.next)


async def test_two_failures_are_told_as_before(desk: Desk) -> None:
    answer = await fail_all(desk, 2)
    assert words(answer).startswith("Failed: t0, t1.")
    trace = await desk.app.trace(run_id=answer.run_id)
    assert trace.blocked == {"t0": "failed: host", "t1": "failed: host"}


async def test_what_failed_otherwise_is_named_besides(desk: Desk) -> None:
    given = await desk.app.dispatch(plan_id=await desk.planned(*tasks(4)))
    errors = {one.task_id: FULL.format(one.task_id) for one in given.assignments} | {"t3": "the login test fails"}
    results = [{"task_id": one.task_id, "attempt": 1, "error": errors[one.task_id]} for one in given.assignments]
    text = words(await desk.app.report(given.run_id, results))
    assert "Failed otherwise: t3. 3 tasks ('t0', 't1' and 't2') failed alike" in text
    assert "Read get_trace(view='results')" in text


async def test_failures_that_are_tried_again_tell_their_cause_while_the_run_goes_on(desk: Desk) -> None:
    given = await desk.app.dispatch(plan_id=await desk.planned(*tasks(3)))
    results = [
        {"task_id": one.task_id, "attempt": 1, "error": FULL.format(one.task_id), "retryable": True}
        for one in given.assignments
    ]
    answer = await desk.app.report(given.run_id, results)
    assert answer.state is model.RunState.RUNNING
    assert words(answer).startswith("3 tasks ('t0', 't1' and 't2') failed alike: No space left on device")
    desk.clock.now += 100
    again = await desk.app.dispatch(run_id=given.run_id)
    done = await desk.app.report(given.run_id, [said(one) for one in again.assignments])
    assert "alike" not in words(done)


async def test_the_attempts_of_one_task_are_a_common_cause_too(desk: Desk) -> None:
    given = await desk.app.dispatch(plan_id=await desk.planned(*tasks(1, attempts=3)))
    run_id, answer = given.run_id, None
    for attempt in range(1, 4):
        answer = await desk.app.report(
            run_id, [{"task_id": "t0", "attempt": attempt, "error": f"stuck at step {attempt}", "retryable": True}]
        )
        desk.clock.now += 100
        await desk.app.dispatch(run_id=run_id)
    assert answer is not None
    assert words(answer).startswith("3 attempts of 't0' failed alike: stuck at step 1. ")


def test_reasons_that_are_the_same_are_told_once_in_the_answer_to_a_report() -> None:
    names = ("a", "b", "c")
    reports = [report_reader.HostReport(task_id=name, attempt=1) for name in names]
    outcomes = [
        model.Outcome(
            state=AttemptState.FAILED,
            error=f"The handoff cannot be used: it breaks off at character {place}000",
            error_kind=transitions.UNUSABLE,
        )
        for place in range(3)
    ]
    lines = host_reports.report_results(reports, [""] * 3, outcomes, [True] * 3, {})
    assert [line.why for line in lines] == [outcomes[0].error, "the same as 'a'", "the same as 'a'"]
    few = host_reports.report_results(reports[:2], [""] * 2, outcomes[:2], [True] * 2, {})
    assert [line.why for line in few] == [outcomes[0].error, outcomes[1].error]


class Outage:
    """A provider that refuses everybody."""

    async def carry_out(self, ctx: ports.TaskContext, work: work_order.WorkOrder) -> model.Outcome:
        error = f"The provider (503): upstream reset (request_id: req_0{work.attempt}Xb29Lq0)"
        return model.Outcome(state=AttemptState.FAILED, error=error, error_kind="server_error")


async def test_an_outage_of_the_provider_is_one_sentence_for_the_whole_run(tmp_path: Path) -> None:
    key = worker_choice.AvailableWorkers(key=True)
    models: ports.Workers = {WorkerKind.API: Outage()}
    async with dispatcher_setup.opened(tmp_path / "home", models=models, available_workers=key) as desk:
        given = await desk.app.dispatch(plan_id=await desk.planned(*tasks(6)), worker="api")
        trace = await desk.ended(given.run_id)
        assert words(trace).startswith(
            "6 tasks ('t0', 't1', 't2', 't3', 't4' and 1 more) failed alike: The provider (503)"
        )
        assert "name another model or worker" in words(trace)
