"""Finished work that was undone, or changed by somebody: no later run takes it over as done, and the answer says so."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import reviewed_runs
from reviewed_runs import BETTER, CART, PASS, Chat

from dispatch_mcp.service import answers

pytestmark = pytest.mark.anyio

FIX: dict[str, Any] = {
    "id": "fix",
    "do": "Make the totals right",
    "files": ["app/cart.py"],
    "acceptance": ["diff"],
    "agent": "coder",
}
DOCS: dict[str, Any] = {"id": "docs", "do": "Describe it", "files": ["docs/"], "acceptance": ["diff"], "agent": "coder"}
LOOK: dict[str, Any] = {"id": "look", "do": "Is it right?", "reviews": ["fix"]}


@asynccontextmanager
async def finished(tmp_path: Path, *tasks: dict[str, Any], git: bool = True) -> AsyncGenerator[tuple[Chat, Path]]:
    """Yields a chat whose run has done the tasks with these ids, and its workspace."""
    shop = reviewed_runs.shop(tmp_path / "shop", git=git)
    async with reviewed_runs.opened(tmp_path / "state", shop, reviews="none") as chat:
        plan = await chat.app.plans.plan(list(tasks))
        chat.run_id = (await chat.app.dispatch(plan_id=plan.plan.id, worker="host")).run_id
        for task in tasks:
            WORKS.get(task["id"], lambda _shop: None)(shop)
            await chat.report(task["id"], PASS if task.get("reviews") else "done")
        yield chat, shop


def better(shop: Path) -> None:
    (shop / "app/cart.py").write_text(BETTER)


def described(shop: Path) -> None:
    (shop / "docs/deep").mkdir(parents=True)
    (shop / "docs/deep/cart.md").write_text("# Cart\n")


def removed(shop: Path) -> None:
    (shop / "CHANGES.md").unlink()


def rounded(shop: Path) -> None:
    (shop / "app/cart.py").write_text(f"{BETTER}# rounded\n")


def noted(shop: Path) -> None:
    (shop / "notes.md").write_text("what I have seen\n")


def counted(shop: Path) -> None:
    (shop / "app/count.py").write_text("count = len\n")


WORKS: dict[str, Callable[[Path], None]] = {
    "fix": better,
    "docs": described,
    "drop": removed,
    "round": rounded,
    "note": noted,
    "claim": counted,
}


async def again(chat: Chat) -> answers.Progress:
    """Dispatches the plan anew and goes on with that run."""
    progress = await chat.app.dispatch(plan_id=(await chat.trace()).plan_id, worker="host")
    chat.run_id = progress.run_id
    return progress


def write(path: str, text: str) -> Callable[[Path], object]:
    return lambda shop: (shop / path).write_text(text)


NOTE: dict[str, Any] = {"id": "note", "do": "Note what you see", "acceptance": ["file:notes.md"]}
DROP: dict[str, Any] = {"id": "drop", "do": "Drop it", "files": ["CHANGES.md"], "acceptance": ["absent:CHANGES.md"]}
CLAIM: dict[str, Any] = {"id": "claim", "do": "Count them", "files": ["app/count.py"], "agent": "coder"}
UNDOINGS: dict[str, tuple[dict[str, Any], Callable[[Path], object], str]] = {
    "reverted": (FIX, write("app/cart.py", CART), "app/cart.py"),
    "below a folder": (DOCS, lambda shop: (shop / "docs/deep/cart.md").unlink(), "docs/deep/cart.md"),
    "put back": (DROP, write("CHANGES.md", "# Changes\n"), "CHANGES.md"),
    "named by its acceptance only": (NOTE, lambda shop: (shop / "notes.md").unlink(), "notes.md"),
    "not proven": (CLAIM, write("app/count.py", "sabotage = 1\n"), "app/count.py"),
}


@pytest.mark.parametrize("git", [True, False], ids=["git", "no git"])
async def test_work_that_was_undone_is_done_again_and_the_answer_names_the_file(tmp_path: Path, *, git: bool) -> None:
    tasks = [task for task, _, _ in UNDOINGS.values()]
    async with finished(tmp_path, *tasks, git=git) as (chat, shop):
        (shop / "app/other.py").write_text("mine = 1\n")  # which was nobody's work
        progress = await again(chat)
        assert (progress.replayed, progress.stale, progress.assignments) == (len(tasks), {}, ())
        for _, undo, _ in UNDOINGS.values():
            undo(shop)
        progress = await again(chat)
        why = "is no longer as it was left"
        assert progress.stale == {task["id"]: f"`{path}` {why}" for task, _, path in UNDOINGS.values()}
        assert {one.task_id for one in progress.assignments} == set(progress.stale)
        kinds = [event.kind for event in await chat.app.store.events(progress.run_id)]
        assert kinds.count("result_stale") == len(tasks)


async def test_what_later_work_of_the_plan_has_made_of_a_file_is_no_reason_to_do_it_again(tmp_path: Path) -> None:
    tasks = (FIX, {**FIX, "id": "round", "do": "Round them", "deps": ["fix"]})
    async with finished(tmp_path, *tasks) as (chat, shop):
        assert (await again(chat)).replayed == 2
        (shop / "app/cart.py").write_text(f"{BETTER}# rounded twice\n")
        progress = await again(chat)
        assert (progress.replayed, [one.task_id for one in progress.assignments]) == (0, ["fix"])


async def test_work_that_was_undone_after_the_first_of_several_runs_is_not_found_again_in_an_older_one(
    tmp_path: Path,
) -> None:
    async with finished(tmp_path, FIX) as (chat, shop):
        (shop / "app/cart.py").write_text(CART)
        await again(chat)
        (shop / "app/cart.py").write_text(f"{BETTER}# another way\n")
        await chat.report("fix")
        assert (await again(chat)).replayed == 1
        better(shop)  # as the first run had left it
        assert (await again(chat)).replayed == 1
        (shop / "app/cart.py").write_text(CART)
        assert (await again(chat)).replayed == 0


async def test_a_verdict_holds_only_for_the_change_that_was_judged(tmp_path: Path) -> None:
    async with finished(tmp_path, FIX, LOOK) as (chat, shop):
        assert (await again(chat)).replayed == 2
        (shop / "app/cart.py").write_text(CART)
        await again(chat)
        (shop / "app/cart.py").write_text(f"{BETTER}import os  # worse\n")
        await chat.report("fix")  # in the very words of the work that was passed
        assert await chat.states() == {"fix": "succeeded", "look": "running"}
        await chat.app.steer(chat.run_id, "cancel", "", "enough")
        progress = await again(chat)
        assert (progress.replayed, [one.task_id for one in progress.assignments]) == (1, ["look"])


@pytest.mark.parametrize("argues", [True, False], ids=["with an advocate", "without one"])
async def test_a_council_of_a_plan_judges_again_what_was_changed_after_it_had_passed(
    tmp_path: Path, *, argues: bool
) -> None:
    shop = reviewed_runs.shop(tmp_path / "shop")
    flags: dict[str, Any] = {"reviews": "end", "council_devils_advocate": argues}
    async with reviewed_runs.opened(tmp_path / "state", shop, **flags) as chat:
        plan = await chat.app.plans.plan([FIX])
        chat.run_id = (await chat.app.dispatch(plan_id=plan.plan.id, worker="host")).run_id
        better(shop)
        await chat.report("fix")
        asked: list[str] = []
        while seats := [name for name in await chat.out() if name != "fix"]:
            asked += seats
            for name in seats:
                await chat.report(name, '{"verdict": "PASS", "files": ["app/cart.py"], "findings": []}')
        assert (await chat.trace()).state == "succeeded"
        assert ("council" in asked) is argues
        count = len(await chat.states())
        assert (await again(chat)).replayed == count
        (shop / "app/cart.py").write_text(CART)
        progress = await again(chat)
        assert (progress.state.value, progress.replayed) == ("running", 0)


@pytest.mark.parametrize(("restores", "state"), [(True, "unverified"), (False, "succeeded")])
async def test_breaking_what_worked_and_restoring_it_is_no_work(tmp_path: Path, restores: bool, state: str) -> None:  # noqa: FBT001
    shop = reviewed_runs.shop(tmp_path / "shop")
    task = {"id": "fix", "do": "Fix the totals", "acceptance": ["command: sh check.sh"]}
    (shop / "check.sh").write_text("grep -q sum app/*.py\n")
    reviewed_runs.commit(shop)
    flags: dict[str, Any] = {"reviews": "none", "allow_commands": [["sh", "check.sh"]]}
    async with reviewed_runs.opened(tmp_path / "state", shop, **flags) as chat:
        await chat.begin(task)
        (shop / "app/cart.py").write_text("broken = 1\n")
        assert (await chat.report("fix")).results[0].state == "running"
        (shop / "app/cart.py").write_text(CART if restores else BETTER)
        [result] = (await chat.report("fix")).results
        assert result.state == state
        assert ("nothing in the workspace differs" in result.receipts[0].detail) is restores


async def test_a_criterion_that_was_taken_out_after_it_had_refused_an_attempt_is_told(tmp_path: Path) -> None:
    shop = reviewed_runs.shop(tmp_path / "shop")
    task = {**FIX, "acceptance": ["file:app/prices.py", "diff"], "attempts": 1}
    async with reviewed_runs.opened(tmp_path / "state", shop, reviews="none") as chat:
        progress = await chat.begin(task)
        better(shop)
        assert (await chat.report("fix")).state.value == "failed"
        softer = {"op": "modify", "id": "fix", "task": {"acceptance": ["diff"]}}
        await chat.app.plans.edit(progress.plan_id, progress.plan_version, [softer])
        await chat.app.steer(chat.run_id, "retry", "fix", "")
        [result] = (await chat.report("fix")).results
        [line] = (await chat.trace("results")).results
        words = "`file:app/prices.py` was taken out of its acceptance by an edit"
        for receipts in (result.receipts, line.receipts):
            assert [one.detail.startswith(words) for one in receipts].count(True) == 1
        assert result.state == "succeeded"


LOOKS = "open('app/cart.py').read()"
FORMAT = "path = 'app/cart.py'; text = open(path).read().rstrip('# \\n'); open(path, 'w').write(text + '\\n#\\n')"
BACK = "open('app/cart.py', 'w').write('def total(cart):\\n    return sum(cart)\\n')"


@pytest.mark.parametrize(
    ("program", "redone"),
    [(LOOKS, []), (FORMAT, []), (BACK, ["fix"])],
    ids=["what only reads it", "a formatter", "what puts it back"],
)
async def test_what_a_command_without_files_makes_of_finished_work_undoes_it_only_by_putting_it_back(
    tmp_path: Path, program: str, redone: list[str]
) -> None:
    shop = reviewed_runs.shop(tmp_path / "shop")
    command = {"id": "format", "do": "Format it", "command": ["python3", "-c", program], "deps": ["fix"]}
    flags: dict[str, Any] = {"reviews": "none", "allow_commands": [["python3", "-c", "*"]]}
    async with reviewed_runs.opened(tmp_path / "state", shop, **flags) as chat:
        plan = await chat.app.plans.plan([FIX, command])
        chat.run_id = (await chat.app.dispatch(plan_id=plan.plan.id, worker="host")).run_id
        better(shop)
        await chat.report("fix")
        for _ in range(2):
            async for _event in chat.app.engine.events(chat.run_id):
                pass
            assert (await chat.trace()).state == "succeeded"
            progress = await again(chat)
            assert [one.task_id for one in progress.assignments] == redone
            assert list(progress.stale) == redone
            assert progress.replayed == (not redone)
            if redone:
                break
