"""What `report` says of results: true, once, and not against what it hands out beside it."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import dispatcher_setup
import pytest
import reviewed_runs
from dispatcher_setup import Desk

from dispatch_mcp import model
from dispatch_mcp.engine import review_attempt
from dispatch_mcp.mcp_server import tool_wording
from dispatch_mcp.service import answers
from dispatch_mcp.text import json_types
from dispatch_mcp.text.reading import reported_failures

pytestmark = pytest.mark.anyio


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[Desk]:
    async with dispatcher_setup.opened(tmp_path / "home") as opened:
        yield opened


async def begun(desk: Desk, *tasks: dict[str, Any]) -> str:
    plan_id = await desk.planned(*tasks, max_parallel=len(tasks))
    return (await desk.app.dispatch(plan_id=plan_id)).run_id


def entry(task_id: str, **fields: Any) -> dict[str, Any]:
    return {"task_id": task_id, "attempt": 1, "text": "Done.", **fields}


def words(answer: answers.ReportAnswer) -> str:
    assert answer.next is not None
    assert not isinstance(answer.next, str)
    return tool_wording.words(answer.next)


@pytest.mark.parametrize(
    "fields",
    [
        {"handoff": {"status": "failed", "completed_work": "Half of it"}},
        {"status": "succeeded", "handoff": {"error": "boom"}},
        {"status": None, "text": "API Error: 529 overloaded"},
        {"status": "", "text": "[Request interrupted by user]"},
        {"text": 'I tried.\n```json\n{"completed_work": "x", "status": "blocked"}\n```'},
        {"output": {"is_error": True}},
    ],
)
async def test_an_answer_that_reports_its_own_failure_is_a_failed_attempt_that_is_handed_out_again(
    desk: Desk, fields: dict[str, Any]
) -> None:
    run_id = await begun(desk, {"id": "t", "do": "Do it"})
    answer = await desk.app.report(run_id, [entry("t", **fields)])
    [line] = answer.results
    assert line.accepted
    assert line.why.startswith(reported_failures.LEAD)
    trace = await desk.app.trace(run_id=run_id)
    assert trace.state == "running"
    assert not trace.counts.get("succeeded")
    assert not trace.counts.get("unverified")


async def test_a_result_of_an_attempt_that_had_not_begun_is_not_called_kept(desk: Desk) -> None:
    run_id = await begun(desk, {"id": "a", "do": "Do it"}, {"id": "b", "do": "Build on it", "deps": ["a"]})
    early = await desk.app.report(run_id, [entry("a"), entry("b")])
    assert [line.accepted for line in early.results] == [True, False]
    assert early.results[1].why == "attempt 1 had not begun when this came, so nothing was kept; attempt 1 is out"
    assert [one.task_id for one in early.assignments] == ["b"]
    late = await desk.app.report(run_id, [entry("b"), entry("b"), entry("a")])
    assert [line.accepted for line in late.results] == [True, False, False]
    assert {line.why for line in late.results[1:]} == {"this attempt is over already; its result was kept once"}


async def test_what_failed_alike_and_is_out_again_is_not_to_be_mended_before_that(desk: Desk) -> None:
    run_id = await begun(desk, *[{"id": f"t{place}", "do": "Do it"} for place in range(3)])
    broken = '```json\n{"completed_work": "x", \n```'
    answer = await desk.app.report(run_id, [entry(f"t{place}", text=broken) for place in range(3)])
    assert len(answer.assignments) == 3
    text = words(answer)
    assert "failed alike: " in text
    assert "Each is being tried again, with that reason." in text
    assert "before anything is tried again" not in text


async def test_a_review_that_is_over_is_not_asked_to_answer_again(tmp_path: Path) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop", git=True)
    async with reviewed_runs.opened(tmp_path / "state", workspace) as chat:
        await chat.begin(reviewed_runs.FIX, reviewed_runs.DOCS)
        (workspace / "app/cart.py").write_text(reviewed_runs.BETTER)
        await chat.report("fix")
        first = await chat.report("fix.review", "looks fine to me")
        last = await chat.report("fix.review", "looks fine to me")
    assert review_attempt.ASK_AGAIN in first.results[0].why
    assert last.results[0].state == model.TaskState.FAILED
    assert last.results[0].why
    assert review_attempt.ASK_AGAIN not in last.results[0].why


@pytest.mark.parametrize("word", ["erledigt", "fehlgeschlagen", "échec", "needs_review", "running", 7])
@pytest.mark.parametrize("form", ["handoff", "text of the handoff", "end of the answer"])
async def test_a_handoff_whose_status_is_no_known_end_is_not_done_and_asked_for_again_with_the_word(
    desk: Desk, form: str, word: Any
) -> None:
    run_id = await begun(desk, {"id": "t", "do": "Do it", "attempts": 3})
    handoff = {"completed_work": "Wrote it", "status": word}
    text = json.dumps(handoff, ensure_ascii=False)
    fields = {
        "handoff": {"handoff": handoff},
        "text of the handoff": {"handoff": text},
        "end of the answer": {"text": f"Here it is.\n```json\n{text}\n```"},
    }[form]
    for attempt in (1, 2):
        answer = await desk.app.report(run_id, [{**entry("t", **fields), "attempt": attempt}])
        [line] = answer.results
        assert line.state == "running"
        assert f"its status is {json_types.quoted(word)}, which is no end" in line.why
        assert [one.attempt for one in answer.assignments] == [attempt + 1]
        assert "look, do not repeat it" in await desk.app.brief(run_id, "t")
    answer = await desk.app.report(run_id, [{**entry("t", **fields), "attempt": 3}])
    assert answer.state == "failed"
