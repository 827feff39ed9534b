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


@pytest.mark.slice(3)
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


@pytest.mark.slice(3)
@pytest.mark.parametrize("name", ["lnk/cart.py", "lnk", "lnk/*.py", "./app/../lnk/cart.py", "cart.link.py"])
@pytest.mark.parametrize("planned_first", [True, False], ids=["link made later", "link there"])
async def test_one_file_is_one_claim_by_whatever_link_another_run_names_it(
    tmp_path: Path, name: str, *, planned_first: bool
) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop")

    def link() -> None:
        (workspace / "lnk").symlink_to("app")
        (workspace / "cart.link.py").symlink_to("app/cart.py")

    async with reviewed_runs.opened(tmp_path / "state", workspace, reviews="none") as chat:
        if not planned_first:
            link()
        one = await begun(chat, acceptance=["diff"])
        two = await begun(chat, acceptance=["diff"], files=[name])
        if planned_first:
            link()
        (workspace / "app/cart.py").write_text(BETTER)
        for run in (one, two):
            assert line(await run.report("fix"))[0] != "succeeded"


@pytest.mark.parametrize("planned_first", [True, False], ids=["link made later", "link there"])
async def test_one_file_is_one_claim_within_a_run_too(tmp_path: Path, *, planned_first: bool) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop")
    double = {**WORK, "id": "double", "do": "Round the totals", "files": ["lnk/cart.py"], "acceptance": ["diff"]}
    async with reviewed_runs.opened(tmp_path / "state", workspace, reviews="none") as chat:
        if not planned_first:
            (workspace / "lnk").symlink_to("app")
        await chat.begin({**WORK, "acceptance": ["diff"]}, double)
        if planned_first:
            (workspace / "lnk").symlink_to("app")
        (workspace / "app/cart.py").write_text(BETTER)
        await chat.report("fix")
        await chat.report("double")
        assert list((await chat.states()).values()).count("succeeded") == 1


@pytest.mark.parametrize("how", ["through it", "in its place"])
async def test_who_changes_a_link_or_what_it_leads_to_has_changed_the_file(tmp_path: Path, how: str) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop")
    link = workspace / "rules.md"
    link.symlink_to("app/cart.py")
    async with reviewed_runs.opened(tmp_path / "state", workspace, reviews="none") as chat:
        await chat.begin({**WORK, "files": ["rules.md"], "acceptance": ["diff"]})
        if how == "in its place":
            link.unlink()
        link.write_text(BETTER)
        await chat.report("fix")
        assert await chat.states() == {"fix": "succeeded"}


async def test_a_plan_names_files_by_their_real_paths_and_says_so(tmp_path: Path) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop")
    (workspace / "lnk").symlink_to("app")
    (workspace / "out").symlink_to(tmp_path)
    files = ["lnk/cart.py", "lnk/new.py", "app/cart.py", "lnk/*.py", "out/x.py"]
    async with reviewed_runs.opened(tmp_path / "state", workspace, reviews="none") as chat:
        proposal = await chat.app.plans.plan([{**WORK, "files": files}])
    assert proposal.plan.tasks[0].files == ("app/cart.py", "app/new.py", "app/*.py", "out/x.py")
    links = [note.message for note in proposal.prepared.notices if note.code == "linked_file"]
    assert links[0] == "`lnk/cart.py` leads to `app/cart.py`, which is declared in its place."
    assert len(links) == 3


@pytest.mark.parametrize("place", ["alias", "alias/app", "shop/app"])
async def test_one_file_is_one_claim_by_whatever_name_a_workspace_has(tmp_path: Path, place: str) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop")
    (tmp_path / "alias").symlink_to(workspace)
    name = "cart.py" if place.endswith("app") else "app/cart.py"
    async with (
        reviewed_runs.opened(tmp_path / "state", workspace, reviews="none") as chat,
        reviewed_runs.opened(tmp_path / "state", tmp_path / place, reviews="none") as guest,
    ):
        one, two = await begun(chat, acceptance=["diff"]), await begun(guest, acceptance=["diff"], files=[name])
        (workspace / "app/cart.py").write_text(BETTER)
        assert line(await one.report("fix"))[0] == "unverified"
        assert line(await two.report("fix"))[0] == "unverified"
