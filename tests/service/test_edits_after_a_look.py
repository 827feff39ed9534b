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
    "not waited for": {"op": "modify", "id": "docs", "task": {"deps": ["fix"]}},
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
@pytest.mark.parametrize("is_over", [True, False], ids=["over", "open"])
async def test_no_edit_takes_a_look_away_that_has_failed_what_it_saw(
    tmp_path: Path, edit: dict[str, Any], *, is_over: bool
) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop")
    async with reviewed_runs.opened(tmp_path / "state", workspace, reviews="none") as chat:
        await chat.begin(FIX, LOOK, AFTER, *[BESIDE] * (not is_over))
        (workspace / "app/cart.py").write_text(BETTER)
        await chat.report("fix")
        await chat.report("look", "FAIL: it does not import")
        trace = await chat.trace()
        with pytest.raises(errors.PlanRejected):
            await chat.app.plans.edit(trace.plan_id, trace.plan_version, [edit])


@pytest.mark.parametrize("is_over", [True, False], ids=["over", "open"])
async def test_work_that_mends_it_may_be_put_between_the_work_and_its_look(tmp_path: Path, *, is_over: bool) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop")
    async with reviewed_runs.opened(tmp_path / "state", workspace, reviews="none") as chat:
        await chat.begin(FIX, LOOK, AFTER, *[BESIDE] * (not is_over))
        (workspace / "app/cart.py").write_text(BETTER)
        await chat.report("fix")
        await chat.report("look", "FAIL: it does not import")
        trace = await chat.trace()
        mend = {"do": "Mend the totals", "files": ["app/cart.py"], "deps": ["fix"], "agent": "coder"}
        edits: list[dict[str, Any]] = [{"op": "add", "id": "mend", "task": mend}]
        if is_over:
            edits.append({"op": "modify", "id": "look", "task": {"deps": ["fix", "mend"]}})
        proposal = await chat.app.plans.edit(trace.plan_id, trace.plan_version, edits)
        tasks = {task.id: task for task in proposal.plan.tasks}
        assert not is_over or set(tasks["look"].deps) == {"fix", "mend"}


async def test_what_to_do_next_about_a_look_that_has_failed_its_work_offers_nobody_what_only_a_person_may_do(
    tmp_path: Path,
) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop")
    async with reviewed_runs.opened(tmp_path / "state", workspace, reviews="none") as chat:
        await chat.begin(FIX, LOOK, AFTER)
        (workspace / "app/cart.py").write_text(BETTER)
        await chat.report("fix")
        await chat.report("look", "FAIL: it does not import")
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
