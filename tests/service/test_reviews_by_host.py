"""A round of the council whose reviewers are the host's subagents: handed out blind, judged when they report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import council_setup
import pytest
from council_setup import PASS, Chamber, fails

from dispatch_mcp import errors
from dispatch_mcp.mcp_server import tool_wording
from dispatch_mcp.model import RunState, assignments
from dispatch_mcp.service import answers, review_answers, reviews

pytestmark = pytest.mark.anyio

LINE = 'password = "hunter2 is not a secret"'
DIFF = f"diff --git a/app.py b/app.py\n--- a/app.py\n+++ b/app.py\n@@ -1,2 +1,2 @@\n import os\n-x = 1\n+{LINE}\n"


async def started(room: Chamber, **fields: Any) -> review_answers.ReviewAnswer:
    return await room.council.review(reviews.ReviewRequest(diff=DIFF, worker="host", **fields))


async def report(room: Chamber, run_id: str, *answered: tuple[assignments.Assignment, str]) -> answers.ReportAnswer:
    results = [{"task_id": one.task_id, "attempt": one.attempt, "text": text} for one, text in answered]
    return await room.app.report(run_id, results)


async def test_every_reviewer_is_handed_out_at_once_and_nobody_sees_the_others(tmp_path: Path) -> None:
    async with council_setup.opened(tmp_path / "state") as room:
        found = await started(room)
        names = {one.task_id for one in found.assignments}
        assert len(names) >= 2
        for one in found.assignments:
            assert LINE in await room.app.brief(found.run_id, one.task_id)
            assert not [name for name in names - {one.task_id} if name in one.call.prompt]


async def test_a_reviewer_comes_with_our_role_even_where_the_host_has_one_of_that_name(tmp_path: Path) -> None:
    async with council_setup.opened(tmp_path / "state") as room:
        room.app.installed = lambda: frozenset(agent.name for agent in council_setup.shipped().agents)
        for one in (await started(room)).assignments:
            assert one.call.subagent_type == "general-purpose"


async def test_asking_again_hands_out_the_same_reviews(tmp_path: Path) -> None:
    async with council_setup.opened(tmp_path / "state") as room:
        first = await started(room)
        again = await started(room)
        by_run = await room.council.review(reviews.ReviewRequest(run_id=first.run_id))
        assert first.run_id == again.run_id == by_run.run_id
        calls = [
            [(one.task_id, one.attempt, one.call) for one in found.assignments] for found in (first, again, by_run)
        ]
        assert calls[0] == calls[1] == calls[2] != []


async def test_looking_hands_out_nothing(tmp_path: Path) -> None:
    async with council_setup.opened(tmp_path / "state") as room:
        found = await started(room)
        looked = await room.council.look(found.run_id)
        assert looked is not None
        assert (looked.assignments, looked.outcome) == ((), "")
        assert await room.council.decision(found.run_id) is None


async def test_when_all_pass_the_advocate_is_asked_and_then_the_round_has_passed(tmp_path: Path) -> None:
    async with council_setup.opened(tmp_path / "state") as room:
        found = await started(room)
        reported = await report(room, found.run_id, *((one, PASS) for one in found.assignments))
        [advocate] = reported.assignments
        assert advocate.task_id == "devils-advocate"
        last = await report(room, found.run_id, (advocate, PASS))
        assert last.state is RunState.SUCCEEDED
        looked = await room.council.look(found.run_id)
        assert looked is not None
        assert (looked.outcome, looked.blocks) == ("PASS", False)


async def test_the_advocate_is_not_asked_about_what_is_blocked_already(tmp_path: Path) -> None:
    async with council_setup.opened(tmp_path / "state") as room:
        found = await started(room)
        answered = [(one, fails(LINE) if position == 0 else PASS) for position, one in enumerate(found.assignments)]
        reported = await report(room, found.run_id, *answered)
        assert (reported.assignments, reported.state) == ((), RunState.NEEDS_CHANGES)
        looked = await room.council.look(found.run_id)
        assert looked is not None
        assert looked.outcome == "BLOCK"
        assert [line.place for line in looked.findings] == ["app.py:2"]


async def test_a_quote_that_is_not_in_the_change_is_asked_for_once_more(tmp_path: Path) -> None:
    async with council_setup.opened(tmp_path / "state") as room:
        found = await started(room)
        first = found.assignments[0]
        reported = await report(room, found.run_id, (first, fails("nothing like it")))
        assert reported.results[0].accepted
        assert reported.results[0].state in ("ready", "running")
        again = {one.task_id: one for one in (await room.app.dispatch(run_id=found.run_id)).assignments}
        states = {row.id: row.attempt for row in await room.app.store.tasks(found.run_id)}
        assert states[first.task_id] == again.get(first.task_id, first).attempt


async def test_a_trace_says_what_a_round_decided_and_nothing_of_other_runs(tmp_path: Path) -> None:
    async with council_setup.opened(tmp_path / "state", {}) as room:
        found = await room.reviewed(DIFF)
        shown = await room.council.trace_summary(found.run_id, tool_wording.words)
        assert shown["council"]["outcome"] == "PASS"
        assert isinstance(shown["council"]["calibration"], list)
        assert len(json.dumps(shown)) < 10_000
        plan = await room.app.plans.plan([{"id": "part", "do": "Do it", "worker": "host"}])
        other = await room.app.dispatch(plan_id=plan.plan.id)
        assert await room.council.trace_summary(other.run_id, tool_wording.words) == {}
        assert await room.council.look(other.run_id) is None
        assert await room.council.waivable(other.run_id) == []
        with pytest.raises(errors.InputError, match="is no review"):
            await room.council.waive(other.run_id, "f", "because", "Ada")


async def test_a_round_that_is_not_over_has_no_next_one_and_nothing_to_waive(tmp_path: Path) -> None:
    async with council_setup.opened(tmp_path / "state") as room:
        found = await started(room)
        with pytest.raises(errors.InputError, match="is not over"):
            await room.council.review(reviews.ReviewRequest(diff=DIFF, after=found.run_id))
        with pytest.raises(errors.InputError, match="is not over"):
            await room.council.waive(found.run_id, "f", "because", "Ada")
        assert await room.council.waivable(found.run_id) == []


@pytest.mark.parametrize("fields", [{"range": "a..b"}, {"run_id": "x"}])
async def test_one_thing_is_reviewed_at_a_time(tmp_path: Path, fields: dict[str, Any]) -> None:
    async with council_setup.opened(tmp_path / "state") as room:
        with pytest.raises(errors.InputError, match="Give one of diff, range and run_id"):
            await room.council.review(reviews.ReviewRequest(diff=DIFF, **fields))
