"""A look at work that has failed it is edited away neither during its run nor afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import reviewed_runs
from reviewed_runs import BETTER, DOCS, FIX

from dispatch_mcp import errors
from dispatch_mcp.cli import shell_wording
from dispatch_mcp.mcp_server import tool_wording
from dispatch_mcp.next_steps import NextStep

pytestmark = pytest.mark.anyio

LOOK: dict[str, Any] = {
    "id": "look",
    "do": "Verify the work of fix",
    "deps": ["fix"],
    "agent": "general-purpose",
    "attempts": 1,
}
AFTER: dict[str, Any] = {**DOCS, "deps": ["look"]}
BESIDE: dict[str, Any] = {"id": "beside", "do": "Investigate who uses it", "agent": "general-purpose"}
EDITS: dict[str, dict[str, Any]] = {
    "removed": {"op": "remove", "id": "look"},
    "skipped": {"op": "skip", "id": "look"},
    "another goal": {"op": "modify", "id": "look", "task": {"do": "Think about nothing"}},
    "a command": {"op": "modify", "id": "look", "task": {"command": ["git", "log", "-1"], "worker": "command"}},
    "more attempts, other words": {"op": "modify", "id": "look", "task": {"do": "Verify nothing", "attempts": 3}},
    "after nothing": {"op": "modify", "id": "look", "task": {"deps": []}},
    "not waited for": {"op": "modify", "id": "docs", "task": {"deps": ["fix"]}},
}


async def begin_and_fail(chat: reviewed_runs.Chat, workspace: Path, *tasks: dict[str, Any]) -> None:
    """Begins a run in which the work is done, and fails by the look at it."""
    await chat.begin(*tasks)
    (workspace / "app/cart.py").write_text(BETTER)
    await chat.report("fix")
    await chat.report("look", "FAIL: it does not import")


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
@pytest.mark.parametrize("is_over", [True, False], ids=["over", "open"])
@pytest.mark.slice(2)
async def test_no_edit_takes_a_look_away_that_has_failed_what_it_saw(
    tmp_path: Path, edit: dict[str, Any], *, is_over: bool
) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop")
    async with reviewed_runs.opened(tmp_path / "state", workspace, reviews="none") as chat:
        await begin_and_fail(chat, workspace, FIX, LOOK, AFTER, *[BESIDE] * (not is_over))
        trace = await chat.trace()
        with pytest.raises(errors.PlanRejected):
            await chat.app.plans.edit(trace.plan_id, trace.plan_version, [edit])


WAYS_ON: dict[str, dict[str, Any]] = {
    "after the work and what mends it": {"deps": ["fix", "mend"]},
    "after what mends it": {"deps": ["mend"]},
    "more attempts": {"deps": ["mend"], "attempts": 3},
    "another agent": {"deps": ["mend"], "agent": "coder"},
}
MEND: dict[str, Any] = {"do": "Mend the totals", "files": ["app/cart.py"], "deps": ["fix"], "agent": "coder"}


@pytest.mark.parametrize("change", WAYS_ON.values(), ids=WAYS_ON)
async def test_work_that_mends_it_is_put_between_the_work_and_its_look_which_is_asked_afterwards(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop")
    async with reviewed_runs.opened(tmp_path / "state", workspace, reviews="none") as chat:
        await begin_and_fail(chat, workspace, FIX, LOOK, AFTER)
        trace = await chat.trace()
        edits = [{"op": "add", "id": "mend", "task": MEND}, {"op": "modify", "id": "look", "task": change}]
        proposal = await chat.app.plans.edit(trace.plan_id, trace.plan_version, edits)
        answer = await chat.app.dispatch(plan_id=proposal.plan.id)
        assert [assignment.task_id for assignment in answer.assignments] == ["mend"]


async def test_work_that_mends_what_a_look_has_failed_can_be_added_while_the_run_goes_on(tmp_path: Path) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop")
    async with reviewed_runs.opened(tmp_path / "state", workspace, reviews="none") as chat:
        await begin_and_fail(chat, workspace, FIX, LOOK, AFTER, BESIDE)
        trace = await chat.trace()
        edits = [
            {"op": "add", "id": "mend", "task": MEND},
            {"op": "modify", "id": "look", "task": {"deps": ["mend"], "attempts": 3}},
        ]
        await chat.app.plans.edit(trace.plan_id, trace.plan_version, edits)
        assert set(await chat.out()) == {"beside", "mend"}
        await chat.app.steer(chat.run_id, "retry", "look", "it is mended")
        assert (await chat.states())["look"] == "blocked"
        (workspace / "app/cart.py").write_text(BETTER + "\n")
        await chat.report("mend")
        assert set(await chat.out()) == {"beside", "look"}


async def test_what_to_do_next_about_a_look_that_has_failed_its_work_offers_nobody_what_only_a_person_may_do(
    tmp_path: Path,
) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop")
    async with reviewed_runs.opened(tmp_path / "state", workspace, reviews="none") as chat:
        await begin_and_fail(chat, workspace, FIX, LOOK, AFTER)
        step = (await chat.trace()).next
        assert isinstance(step, NextStep)
        words = tool_wording.words(step)
        assert "action='skip'" not in words
        assert f"`dispatch-mcp steer skip {chat.run_id[:9]}" in words
        assert words.endswith(" look`.")
        assert " look`, task by task." in shell_wording.words(step)
        with pytest.raises(errors.NotAllowed):
            await chat.app.steer(chat.run_id, "skip", "look", "no matter")
        await chat.app.steer(chat.run_id, "skip", "look", "I have looked myself", by_person=True)


async def test_other_work_that_has_failed_may_be_skipped_by_whoever_reads_that(tmp_path: Path) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop")
    async with reviewed_runs.opened(tmp_path / "state", workspace, reviews="none") as chat:
        await chat.begin({**BESIDE, "attempts": 1})
        await chat.report("beside", "I gave up.", status="failed")
        step = (await chat.trace()).next
        assert isinstance(step, NextStep)
        assert tool_wording.words(step).endswith("steer_run(action='retry') or action='skip', task by task.")
        await chat.app.steer(chat.run_id, "skip", "beside", "no matter")


@pytest.mark.parametrize("text", ["It works.", "FAIL: it does not import"])
async def test_work_that_mends_what_a_look_has_failed_can_be_added(tmp_path: Path, text: str) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop")
    async with reviewed_runs.opened(tmp_path / "state", workspace, reviews="none") as chat:
        await chat.begin(FIX, LOOK)
        (workspace / "app/cart.py").write_text(BETTER)
        await chat.report("fix")
        await chat.report("look", text)
        trace = await chat.trace()
        task = {"do": "Name it in the notes", "files": ["notes.md"], "agent": "coder"}
        proposal = await chat.app.plans.edit(
            trace.plan_id, trace.plan_version, [{"op": "add", "id": "mend", "task": task}]
        )
        assert "mend" in {task.id for task in proposal.plan.tasks}
