"""A look at work that has failed it is edited away neither during its run nor afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import reviewed_runs
from reviewed_runs import BETTER, DOCS, FIX

from dispatch_mcp import errors

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
