"""What the work changed where git does not look: shown to reviewers, or named so that no PASS covers it silently."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import reviewed_runs
from reviewed_runs import BETTER, FIX

from dispatch_mcp.service import reviews

pytestmark = pytest.mark.anyio


def hide(workspace: Path, way: str) -> str:
    """Returns the path of a file that a repository is made to show no change of."""
    inner = workspace / "fresh"
    if way == "own repository":
        inner.mkdir()
        subprocess.run(["git", "init", "-q"], cwd=inner, check=True)
        return "fresh/limit.py"
    path = "app/limit.py"
    if way == "ignored":
        (workspace / ".gitignore").write_text("limit.py\n")
    elif way == "excluded":
        (workspace / ".git/info/exclude").write_text("limit.py\n")
    else:
        (workspace / path).write_text("LIMIT = 3\n")
    if way != "excluded":
        reviewed_runs.commit(workspace)
    if way.startswith("--"):
        subprocess.run(["git", "update-index", way, path], cwd=workspace, check=True)
    return path


@pytest.mark.parametrize(
    "way", ["ignored", "excluded", "--assume-unchanged", "--skip-worktree", "own repository", "ignored, by folder"]
)
async def test_what_git_does_not_show_of_declared_files_is_shown_to_reviewers(tmp_path: Path, way: str) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop")
    name, _, by_folder = way.partition(",")
    path = hide(workspace, name)
    async with reviewed_runs.opened(tmp_path / "state", workspace, reviews="end") as chat:
        await chat.begin({**FIX, "files": ["app"] if by_folder else ["app/cart.py", path], "acceptance": ["diff"]})
        (workspace / "app/cart.py").write_text(BETTER)
        (workspace / path).write_text("LIMIT = eval(input())\n")
        answer = await chat.report("fix")
        assert answer.assignments
        for assignment in answer.assignments:
            shown = await chat.prompt(assignment.task_id)
            assert "+LIMIT = eval(input())" in shown
            assert "line.price" in shown
            assert "changes in the workspace since the work began at commit" in shown
            assert "nobody can pass it here" not in shown


async def test_a_change_in_a_workspace_below_its_repository_is_shown_once(tmp_path: Path) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop") / "app"
    async with reviewed_runs.opened(tmp_path / "state", workspace) as chat:
        await chat.begin({**FIX, "files": ["cart.py"]})
        (workspace / "cart.py").write_text(BETTER)
        await chat.report("fix")
        shown = await chat.prompt("review")
    assert shown.count("diff --git") == 1
    assert "+++ b/app/cart.py" in shown


async def test_hidden_files_are_shown_in_the_order_of_their_names(tmp_path: Path) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop")
    (workspace / ".gitignore").write_text("*.gen.py\n")
    reviewed_runs.commit(workspace)
    names = [f"app/part{number}.gen.py" for number in range(8)]
    async with reviewed_runs.opened(tmp_path / "state", workspace) as chat:
        await chat.begin({**FIX, "files": ["app/cart.py", *reversed(names)]})
        (workspace / "app/cart.py").write_text(BETTER)
        for name in names:
            (workspace / name).write_text("LIMIT = 3\n")
        await chat.report("fix")
        shown = await chat.prompt("review")
    places = [shown.index(f"+++ b/{name}") for name in names]
    assert places == sorted(places)


async def test_a_hidden_file_of_an_odd_kind_is_shown_where_it_is_declared_by_its_name(tmp_path: Path) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop")
    (workspace / ".gitignore").write_text("*.log\n")
    reviewed_runs.commit(workspace)
    async with reviewed_runs.opened(tmp_path / "state", workspace) as chat:
        await chat.begin({**FIX, "files": ["app/cart.py", "app/debug.log"]})
        (workspace / "app/cart.py").write_text(BETTER)
        (workspace / "app/debug.log").write_text("a cart\n")
        await chat.report("fix")
        shown = await chat.prompt("review")
    assert "+a cart" in shown
    assert "shown to nobody" not in shown


async def test_a_file_that_git_ignores_and_nobody_changed_is_shown_to_nobody(tmp_path: Path) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop")
    path = hide(workspace, "ignored")
    (workspace / path).write_text("LIMIT = 3  # mine\n")
    async with reviewed_runs.opened(tmp_path / "state", workspace) as chat:
        await chat.begin({**FIX, "files": ["app/cart.py", path]})
        (workspace / "app/cart.py").write_text(BETTER)
        await chat.report("fix")
        assert "# mine" not in await chat.prompt("review")


async def test_no_review_passes_a_hidden_change_that_nobody_can_read(tmp_path: Path) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop")
    path = hide(workspace, "ignored")
    async with reviewed_runs.opened(tmp_path / "state", workspace, council_rounds=1) as chat:
        await chat.begin({**FIX, "files": ["app/cart.py", path]})
        (workspace / "app/cart.py").write_text(BETTER)
        (workspace / path).write_text("LIMIT = 3\n" * 200_000)
        await chat.report("fix")
        assert f"nobody can pass it here: `{path}`" in await chat.prompt("review")
        again = await chat.app.council.review(reviews.ReviewRequest(run_id=chat.run_id, dry_run=True))
        assert path in str(again)
        last = await chat.report("review", reviewed_runs.PASS)
        assert last.state.value == "inconclusive"
        assert path in last.results[0].why


@pytest.mark.parametrize("folder", ["app/", "app", "."])
async def test_of_a_declared_folder_reviewers_see_what_changed_and_not_its_files_whole(
    tmp_path: Path, folder: str
) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop")
    (workspace / "CHANGES.md").write_text("mine\n")
    async with reviewed_runs.opened(tmp_path / "state", workspace) as chat:
        await chat.begin({**FIX, "files": [folder]})
        (workspace / "app/cart.py").write_text(BETTER)
        await chat.report("fix")
        shown = await chat.prompt("review")
        assert "-    return sum(cart)\n+    return sum(line.price for line in cart)" in shown
        assert "new file" not in shown
        assert "+mine" not in shown


@pytest.mark.parametrize("names", [[], ["fresh/limit.py"]], ids=["by folder", "and one of its files by name"])
async def test_no_review_passes_a_declared_folder_that_became_a_repository_of_its_own(
    tmp_path: Path, names: list[str]
) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop")
    async with reviewed_runs.opened(tmp_path / "state", workspace, council_rounds=1) as chat:
        await chat.begin({**FIX, "files": ["app/cart.py", "fresh/**", *names]})
        path = hide(workspace, "own repository")
        (workspace / "app/cart.py").write_text(BETTER)
        (workspace / path).write_text("LIMIT = eval(input())\n")
        (workspace / "fresh/other.py").write_text("OTHER = 1\n")
        await chat.report("fix")
        assert "nobody can pass it here: `fresh/`" in await chat.prompt("review")
        assert (await chat.report("review", reviewed_runs.PASS)).state.value == "inconclusive"


async def test_a_folder_that_is_declared_where_there_is_no_git_blocks_nobody(tmp_path: Path) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop", git=False)
    async with reviewed_runs.opened(tmp_path / "state", workspace, council_rounds=1) as chat:
        await chat.begin({**FIX, "files": ["app/cart.py", "app"]})
        (workspace / "app/cart.py").write_text(BETTER)
        await chat.report("fix")
        assert "nobody can pass it" not in await chat.prompt("review")


@pytest.mark.parametrize("scope", ["each", "end"])
async def test_a_hidden_file_that_may_hold_secrets_is_named_and_left_to_the_user(tmp_path: Path, scope: Any) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop")
    (workspace / ".gitignore").write_text(".env\n*.log\n")
    reviewed_runs.commit(workspace)
    async with reviewed_runs.opened(tmp_path / "state", workspace, reviews=scope) as chat:
        await chat.begin({**FIX, "files": ["app", ".env"], "acceptance": ["diff"]})
        (workspace / "app/cart.py").write_text(BETTER)
        (workspace / ".env").write_text("PASSWORD=swordfish\n")
        (workspace / "app/debug.log").write_text("a cart\n")
        answer = await chat.report("fix")
        while answer.assignments:
            for assignment in answer.assignments:
                shown = await chat.prompt(assignment.task_id)
                assert "swordfish" not in shown
                assert "shown to nobody, so the user is asked to look: `.env`, `app/debug.log`." in shown
                answer = await chat.report(assignment.task_id, reviewed_runs.PASS)
        trace = await chat.trace()
        assert trace.state == "succeeded"
        assert "Look at `.env`, `app/debug.log` yourself" in str(trace.follow_ups)
