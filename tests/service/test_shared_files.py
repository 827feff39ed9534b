"""Files that tasks of several open runs declare: the work of one proves nothing of another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import reviewed_runs
from reviewed_runs import BETTER, Chat

from dispatch_mcp.service import answers

pytestmark = pytest.mark.anyio

WORK: dict[str, Any] = {"id": "fix", "do": "Make the totals right", "files": ["app/cart.py"], "agent": "coder"}
FORMS: dict[str, list[str]] = {
    "a diff": ["diff"],
    "a command": ["command: git status --short"],
    "a file": ["file:app/cart.py"],
}


async def begun(chat: Chat, **fields: Any) -> Chat:
    """Returns a chat of another run in the same workspace."""
    other = Chat(chat.app)
    await other.begin({**WORK, **fields})
    return other


def line(answer: answers.ReportAnswer) -> tuple[str, str]:
    [result] = answer.results
    return result.state, " ".join(receipt.detail for receipt in result.receipts)


@pytest.mark.parametrize("acceptance", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("first", ["idle", "busy"])
@pytest.mark.parametrize("git", [True, False], ids=["git", "plain"])
async def test_an_edit_proves_none_of_two_open_runs_that_declare_the_file(
    tmp_path: Path, acceptance: list[str], first: str, *, git: bool
) -> None:
    if not git and acceptance[0].startswith("command"):
        pytest.skip("the command is about git")
    workspace = reviewed_runs.shop(tmp_path / "shop", git=git)
    async with reviewed_runs.opened(tmp_path / "state", workspace, reviews="none") as chat:
        runs = {"busy": await begun(chat, acceptance=acceptance), "idle": await begun(chat, acceptance=acceptance)}
        (workspace / "app/cart.py").write_text(BETTER)
        state, why = line(await runs.pop(first).report("fix"))
        assert state == "unverified"
        assert "is at work on `app/cart.py` too, so nobody can tell whose change it is" in why
        [other] = runs.values()
        state, why = line(await other.report("fix"))
        assert (state, "has left it" in why) == ("unverified", True)


async def test_work_that_is_done_after_the_other_has_ended_proves_itself(tmp_path: Path) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop")
    async with reviewed_runs.opened(tmp_path / "state", workspace, reviews="none") as chat:
        one, two = await begun(chat, acceptance=["diff"]), await begun(chat, acceptance=["diff"])
        (workspace / "app/cart.py").write_text(BETTER)
        await one.report("fix")
        (workspace / "app/cart.py").write_text(BETTER.replace("line.price", "float(line.price)"))
        assert line(await two.report("fix"))[0] == "succeeded"
        three = await begun(chat, acceptance=["diff"])
        (workspace / "app/cart.py").write_text(BETTER.replace("line.price", "int(line.price)"))
        assert line(await three.report("fix"))[0] == "succeeded"


@pytest.mark.parametrize("end", [{"status": "failed", "error": "gave up"}, {"status": "cancelled"}, None])
async def test_what_an_attempt_of_another_run_left_behind_that_failed_proves_nothing(
    tmp_path: Path, end: dict[str, str] | None
) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop")
    async with reviewed_runs.opened(tmp_path / "state", workspace, reviews="none") as chat:
        busy, idle = await begun(chat, attempts=1), await begun(chat, acceptance=["diff"])
        (workspace / "app/cart.py").write_text(BETTER)
        if end is None:
            await chat.app.steer(busy.run_id, "cancel", "", "")
        else:
            await busy.report("fix", **end)
        state, why = line(await idle.report("fix"))
        assert (state, "has left it" in why) == ("unverified", True)


@pytest.mark.parametrize(
    "other", [{"files": ["CHANGES.md"]}, {"isolation": "worktree"}, {"worker": "human", "files": []}]
)
async def test_runs_that_work_elsewhere_are_no_rivals(tmp_path: Path, other: dict[str, Any]) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop")
    async with reviewed_runs.opened(tmp_path / "state", workspace, reviews="none") as chat:
        await begun(chat, **other)
        own = await begun(chat, acceptance=["diff"])
        (workspace / "app/cart.py").write_text(BETTER)
        assert line(await own.report("fix"))[0] == "succeeded"
