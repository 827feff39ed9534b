"""Agents of a run that write to each other, through the real store."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import dispatcher_setup
import pytest
from dispatcher_setup import task

from dispatch_mcp import errors, model

pytestmark = pytest.mark.anyio


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[dispatcher_setup.Desk]:
    async with dispatcher_setup.opened(tmp_path / "home") as opened:
        yield opened


def writing(*notes: tuple[str, str, str]) -> dict[str, Any]:
    messages = [{"to": to, "kind": kind, "text": text} for to, kind, text in notes]
    return {"handoff": {"completed_work": "done", "messages": messages}}


async def test_what_a_handoff_says_to_a_waiting_task_is_in_its_brief(desk: dispatcher_setup.Desk) -> None:
    given = await desk.app.dispatch(plan_id=await desk.planned(task("api"), task("page", "api")))
    told = writing(("page", "information", "All paths begin with /api/v2"))
    reported = await desk.app.report(given.run_id, [{**dispatcher_setup.said(given.assignments[0]), **told}])
    assert "All paths begin with /api/v2" in reported.assignments[0].call.prompt
    assert "message_sent" in await desk.kinds(given.run_id)


async def test_a_request_to_finished_work_comes_back_as_an_edit_that_can_be_sent_as_it_is(
    desk: dispatcher_setup.Desk,
) -> None:
    plan_id = await desk.planned(task("api"), task("page", "api"), task("tests", "page"))
    given = await desk.app.dispatch(plan_id=plan_id)
    reported = await desk.app.report(given.run_id, [dispatcher_setup.said(given.assignments[0])])
    asking = writing(("api", "request", "Support ?page=1&limit=20"), ("orchestrator", "warning", "It is slow"))
    reported = await desk.app.report(given.run_id, [{**dispatcher_setup.said(reported.assignments[0]), **asking}])
    assert [message.text for message in reported.messages] == ["It is slow"]
    assert len(reported.proposed_edits) == 1
    planned = await desk.app.plans.edit(plan_id, 1, list(reported.proposed_edits))
    assert planned.changes["added"] == ["api-change"]


async def test_a_turned_away_report_sends_nothing(desk: dispatcher_setup.Desk) -> None:
    given = await desk.app.dispatch(plan_id=await desk.planned(task("api"), task("page", "api")))
    late = {**dispatcher_setup.said(given.assignments[0]), "attempt": 7, **writing(("page", "warning", "Late"))}
    await desk.app.report(given.run_id, [late])
    assert await desk.app.store.inbox(given.run_id) == []


async def test_a_message_to_nobody_says_who_was_probably_meant(desk: dispatcher_setup.Desk) -> None:
    given = await desk.app.dispatch(plan_id=await desk.planned(task("checkout")))
    wrong = model.Message(run_id=given.run_id, sender="x", recipient="chekout", kind="warning", text="hm")
    with pytest.raises(errors.InputError, match="chekout") as refused:
        await desk.app.send(wrong)
    assert "'checkout'" in refused.value.hint


BROKEN = 'Done.\n```json\n{"completed_work": "x", "files_modified": [}\n```'


async def test_a_handoff_that_cannot_be_read_is_asked_for_once_more_with_what_is_wrong(
    desk: dispatcher_setup.Desk,
) -> None:
    given = await desk.app.dispatch(plan_id=await desk.planned(task("a"), task("b", "a")))
    broken = {"task_id": "a", "attempt": 1, "text": BROKEN}
    reported = await desk.app.report(given.run_id, [broken])
    assert [(one.task_id, one.attempt) for one in reported.assignments] == [("a", 2)]
    brief = reported.assignments[0].call.prompt
    assert "could not be read" in brief
    assert '"completed_work": "x"' in brief
    reported = await desk.app.report(given.run_id, [{**broken, "attempt": 2}])
    assert (await desk.states(given.run_id))["a"] == "unverified"
    assert [one.task_id for one in reported.assignments] == ["b"]
    (result,) = (await desk.app.trace(run_id=given.run_id, view="results")).results
    assert "could not be read" in result.capsule


async def test_an_answer_without_any_handoff_is_kept_and_marked(desk: dispatcher_setup.Desk) -> None:
    given = await desk.app.dispatch(plan_id=await desk.planned(task("a")))
    await desk.app.report(given.run_id, [{"task_id": "a", "attempt": 1, "text": "I fixed it."}])
    (result,) = (await desk.app.trace(run_id=given.run_id, view="results")).results
    assert (result.state, "I fixed it." in result.capsule) == ("unverified", True)
    assert "no JSON block" in result.capsule
