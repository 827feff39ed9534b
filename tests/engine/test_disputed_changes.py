"""Work that changes files on which a council has blocked a change, whatever it declares: its run does not end well."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
import reviewed_runs
import store_setup
from reviewed_runs import BETTER, PASS, Chat, verdict

from dispatch_mcp import composition, configuration, model
from dispatch_mcp.cli import shell_wording
from dispatch_mcp.engine.earlier_runs import blocked_work, disputed_changes
from dispatch_mcp.mcp_server import tool_wording
from dispatch_mcp.model import RunState, WorkerKind, ports, records, work_order
from dispatch_mcp.next_steps import StepKind
from dispatch_mcp.process import safe_paths
from dispatch_mcp.service import reviews
from dispatch_mcp.store import blobs, sqlite_store

pytestmark = [pytest.mark.anyio, pytest.mark.slice(2, table="disputed changes")]

WORK: dict[str, Any] = {
    "id": "fix",
    "do": "Make the totals right",
    "files": ["app/cart.py"],
    "agent": "coder",
    "acceptance": ["diff"],
}
LOOK: dict[str, Any] = {"id": "look", "do": "Look at the totals", "agent": "coder"}
NOTES: dict[str, Any] = {"id": "notes", "do": "Write the notes", "files": ["CHANGES.md"], "agent": "coder"}
WRITES = "open('app/cart.py', 'w').write('def total(cart):\\n    return 0\\n')"
COMMAND: dict[str, Any] = {"id": "tidy", "do": "Tidy up", "command": ["python3", "-c", WRITES]}
WITHOUT: list[dict[str, Any]] = [{"op": "remove", "id": "council"}]


async def answer_all(chat: Chat, text: str) -> None:
    """Answers everything that reviewers of the run are asked."""
    for _ in range(4):
        out = {name: one for name, one in (await chat.out()).items() if name not in ("fix", "look", "notes", "tidy")}
        if not out:
            return
        entries = [{"task_id": name, "attempt": one.attempt, "text": text} for name, one in out.items()]
        await chat.app.report(chat.run_id, entries)


@asynccontextmanager
async def blocked(
    tmp_path: Path, *, files: dict[str, str] | None = None, git: bool = True, **own: Any
) -> AsyncGenerator[Chat]:
    """Yields a chat of a workspace in which a council has blocked a change, of a run that was cancelled then."""
    workspace = reviewed_runs.shop(tmp_path / "shop", git=git)
    flags = {"reviews": "end", "allow_commands": (("python3", "-c", "*"),), **own}
    async with reviewed_runs.opened(tmp_path / "state", workspace, **flags) as chat:
        changes = files or {"app/cart.py": BETTER}
        await chat.begin({**WORK, "files": [*changes]})
        for path, text in changes.items():
            (workspace / path).write_text(text)
        await chat.report("fix")
        first = next(iter(changes))
        quote = changes[first].splitlines()[-1].strip()
        await answer_all(chat, verdict("FAIL", "critical", quote=quote, file=first))
        await chat.app.steer(chat.run_id, "cancel", "", "no", by_person=True)
        yield chat


def shop_of(chat: Chat) -> Path:
    return Path(chat.app.rules.workspace)


def worse(shop: Path) -> None:
    (shop / "app/cart.py").write_text(BETTER.replace("line.price", "line.price * 2"))


def unrelated(shop: Path) -> None:
    (shop / "app/other.py").write_text("other = 1\n")


async def began(chat: Chat, *tasks: dict[str, Any]) -> None:
    """Begins a run of tasks without the council that planning adds."""
    proposal = await chat.app.plans.plan(list(tasks))
    has_council = any(task.id == "council" for task in proposal.plan.tasks)
    if has_council:
        await chat.app.plans.edit(proposal.plan.id, 1, WITHOUT)
    progress = await chat.app.dispatch(plan_id=proposal.plan.id, worker="host", fresh=True)
    chat.run_id = progress.run_id


@pytest.mark.parametrize(
    ("task", "work", "end"),
    [
        (LOOK, worse, "needs_changes"),
        (LOOK, unrelated, "succeeded"),
        (NOTES, worse, "needs_changes"),
        (NOTES, unrelated, "succeeded"),
    ],
    ids=["declares nothing", "declares nothing, changes others", "declares another", "changes others"],
)
async def test_a_run_that_changed_blocked_files_ends_blocked_whatever_it_declares(
    tmp_path: Path, task: dict[str, Any], work: Callable[[Path], None], end: str
) -> None:
    async with blocked(tmp_path) as chat:
        await began(chat, task)
        work(shop_of(chat))
        (shop_of(chat) / "CHANGES.md").write_text("# Changes\n\n- totals\n")
        ended = await chat.report(task["id"])
        assert ended.state.value == end
        doubts = [one for one in ended.results[0].receipts if one.kind == "touched" and "has blocked" in one.detail]
        assert [(one.ok, one.checked) for one in doubts] == [(False, False)] * (end == "needs_changes")
        assert all(one.detail.startswith("changed `app/cart.py`, of which") for one in doubts)
        step = ended.next
        assert step is not None
        assert (step.kind is StepKind.HAVE_REVIEWED) == (end == "needs_changes")
        for words in (tool_wording.words(step), shell_wording.words(step)):
            assert ("`council` of run make-" in words) == (end == "needs_changes")


async def test_a_command_that_writes_blocked_files_and_declares_none_ends_its_run_blocked(tmp_path: Path) -> None:
    async with blocked(tmp_path) as chat:
        plan = await chat.app.plans.plan([COMMAND])
        progress = await chat.app.dispatch(plan_id=plan.plan.id)
        async for _ in chat.app.engine.events(progress.run_id):
            pass
        run = await chat.app.store.run(progress.run_id, principal="local")
        assert run.state is RunState.NEEDS_CHANGES


async def test_a_command_that_declares_others_and_writes_blocked_files_in_the_workspace_ends_its_run_blocked(
    tmp_path: Path,
) -> None:
    async with blocked(tmp_path, git=False) as chat:
        command = ["python3", "-c", f"{WRITES}; open('CHANGES.md', 'a').write('totals')"]
        await began(chat, {**COMMAND, "command": command, "files": ["CHANGES.md"]})
        async for _ in chat.app.engine.events(chat.run_id):
            pass
        assert (await chat.trace()).state == "needs_changes"


async def test_a_command_that_declares_blocked_files_has_its_council_that_no_edit_takes_out(tmp_path: Path) -> None:
    async with blocked(tmp_path) as chat:
        proposal = await chat.app.plans.plan([{**COMMAND, "files": ["app/cart.py"]}])
        assert [task.id for task in proposal.plan.tasks if task.joins] == ["council"]
        assert [note.code for note in proposal.prepared.notices if note.code == "blocked_before"]


async def test_work_that_the_council_of_its_own_run_passes_is_not_blocked(tmp_path: Path) -> None:
    async with blocked(tmp_path) as chat:
        await chat.begin({**WORK, "do": "Make the totals right at last"})
        worse(shop_of(chat))
        await chat.report("fix")
        await answer_all(chat, PASS)
        assert (await chat.trace()).state == "succeeded"


async def test_what_was_changed_for_a_task_that_declares_it_is_not_held_against_another(tmp_path: Path) -> None:
    async with blocked(tmp_path) as chat:
        await chat.begin({**WORK, "do": "Make the totals right at last"}, LOOK)
        worse(shop_of(chat))
        await chat.report("look")
        await chat.report("fix")
        await answer_all(chat, PASS)
        assert (await chat.trace()).state == "succeeded"


async def test_skipping_the_task_that_declares_the_files_frees_nothing(tmp_path: Path) -> None:
    async with blocked(tmp_path) as chat:
        await chat.begin({**WORK, "do": "Make the totals right at last"}, LOOK)
        worse(shop_of(chat))
        await chat.report("look")
        await chat.app.steer(chat.run_id, "skip", "fix", "not needed")
        assert (await chat.trace()).state == "needs_changes"


async def test_another_run_that_declares_the_files_is_no_excuse_for_work_that_declares_none(tmp_path: Path) -> None:
    async with blocked(tmp_path) as chat:
        await chat.begin({**WORK, "do": "Make the totals right at last"})
        for task, end in ((LOOK, "needs_changes"), (NOTES, "succeeded")):
            await began(chat, task)
            (shop_of(chat) / "app/cart.py").write_text(f"{BETTER}# {task['id']}\n")
            (shop_of(chat) / "CHANGES.md").write_text(f"# Changes\n\n- totals of {task['id']}\n")
            assert (await chat.report(task["id"])).state.value == end


async def test_disputed_work_is_not_taken_over_by_a_later_run(tmp_path: Path) -> None:
    async with blocked(tmp_path) as chat:
        await began(chat, LOOK)
        worse(shop_of(chat))
        await chat.report("look")
        progress = await chat.app.dispatch(plan_id=(await chat.trace()).plan_id, worker="host")
        assert (progress.replayed, [one.task_id for one in progress.assignments]) == (0, ["look"])


async def test_an_attempt_that_failed_after_its_change_hides_it_from_nobody(tmp_path: Path) -> None:
    async with blocked(tmp_path) as chat:
        await began(chat, {**LOOK, "acceptance": ["file:done.txt"]})
        worse(shop_of(chat))
        assert (await chat.report("look")).state.value == "running"
        (shop_of(chat) / "done.txt").write_text("done\n")
        assert (await chat.report("look")).state.value == "needs_changes"


async def test_of_several_blocks_of_a_file_the_newest_is_named(tmp_path: Path) -> None:
    async with blocked(tmp_path) as chat:
        first, shop = chat.run_id, shop_of(chat)
        await chat.begin({**WORK, "do": "Make the totals right at last"})
        worse(shop)
        await chat.report("fix")
        await answer_all(chat, verdict("FAIL", "critical", quote="line.price * 2"))
        await chat.app.steer(chat.run_id, "cancel", "", "no", by_person=True)
        assert chat.run_id != first
        task = model.Task(id="next", do="Go on", files=("app/cart.py",))
        blocks = await blocked_work.touched(chat.app.store, records.LOCAL, str(shop), [task])
    assert {name: block.run_id for name, block in blocks.items()} == {"next": chat.run_id}


async def reviewed(chat: Chat, text: str, **request: Any) -> str:
    """Has a change reviewed by a round of the council, and returns how it ended."""
    round_of = await chat.app.council.review(reviews.ReviewRequest(worker="host", **request))
    chat.run_id = round_of.run_id
    await answer_all(chat, text)
    return (await chat.trace()).state


async def is_blocked(chat: Chat, *files: str) -> bool:
    proposal = await chat.app.plans.plan([{**WORK, "do": "Make the totals round", "files": list(files)}])
    return any(note.code == "blocked_before" for note in proposal.prepared.notices)


def diff_of(shop: Path) -> str:
    return subprocess.run(["git", "diff"], cwd=shop, check=True, capture_output=True, text=True).stdout


HARMLESS = (
    "--- a/app/cart.py\n+++ b/app/cart.py\n@@ -1,2 +1,3 @@\n+# totals\n def total(cart):\n     return sum(cart)\n"
)


@pytest.mark.parametrize("how", ["tree", "the blocked diff", "another diff", "failed"])
async def test_a_round_that_passes_the_very_change_lifts_the_block(tmp_path: Path, how: str) -> None:
    async with blocked(tmp_path) as chat:
        assert await is_blocked(chat, "app/cart.py")
        request = {"the blocked diff": {"diff": diff_of(shop_of(chat))}, "another diff": {"diff": HARMLESS}}.get(
            how, {}
        )
        text = verdict("FAIL", "high", quote="line.price for line in cart") if how == "failed" else PASS
        state = await reviewed(chat, text, **request)
        assert state == ("needs_changes" if how == "failed" else "succeeded")
        assert await is_blocked(chat, "app/cart.py") == (how in ("another diff", "failed"))


async def test_a_round_over_a_run_in_a_workspace_without_git_lifts_the_block_of_what_stands_there_now(
    tmp_path: Path,
) -> None:
    async with blocked(tmp_path, git=False) as chat:
        first = chat.run_id
        worse(shop_of(chat))
        assert await is_blocked(chat, "app/cart.py")
        assert await reviewed(chat, PASS, run_id=first) == "succeeded"
        assert not await is_blocked(chat, "app/cart.py")


async def test_a_round_over_other_content_does_not_free_what_was_blocked_when_that_is_put_back(tmp_path: Path) -> None:
    async with blocked(tmp_path) as chat:
        worse(shop_of(chat))
        round_of = await chat.app.council.review(reviews.ReviewRequest(worker="host"))
        chat.run_id = round_of.run_id
        (shop_of(chat) / "app/cart.py").write_text(BETTER)
        await answer_all(chat, PASS)
        assert (await chat.trace()).state == "succeeded"
        assert await is_blocked(chat, "app/cart.py")
        worse(shop_of(chat))
        assert not await is_blocked(chat, "app/cart.py")


async def test_passes_of_parts_of_what_is_blocked_add_up(tmp_path: Path) -> None:
    files = {"app/cart.py": BETTER, "app/tax.py": "def tax(total):\n    return total * 2\n"}
    async with blocked(tmp_path, files=files) as chat:
        for number, path in enumerate(files):
            assert await is_blocked(chat, path)
            await chat.begin({**WORK, "do": f"Mend part {number}", "files": [path]})
            (shop_of(chat) / path).write_text(files[path] + f"# mended {number}\n")
            await chat.report("fix")
            await answer_all(chat, PASS.replace("app/cart.py", path))
            assert (await chat.trace()).state == "succeeded"
            assert not await is_blocked(chat, path)
            assert await is_blocked(chat, "app/") == (number == 0)


async def test_a_review_of_the_run_that_ended_blocked_frees_the_files(tmp_path: Path) -> None:
    async with blocked(tmp_path) as chat:
        await began(chat, LOOK)
        worse(shop_of(chat))
        run_id = (await chat.report("look")).run_id
        assert await reviewed(chat, PASS, run_id=run_id) == "succeeded"
        assert not await is_blocked(chat, "app/cart.py")


@pytest.mark.parametrize("setting", [{"reviews": "none"}, {"review_policy": "off"}], ids=["none", "off"])
async def test_whoever_has_reviews_switched_off_is_not_held_up(tmp_path: Path, setting: dict[str, str]) -> None:
    async with blocked(tmp_path) as chat:
        workspace = shop_of(chat)
    fields = {"home": tmp_path / "state", "workspace": workspace, **setting}
    settings = configuration.load({}, flags=fields, cwd=workspace).settings
    async with composition.open_dispatcher(settings) as app:
        chat = Chat(app)
        await chat.begin(LOOK)
        worse(workspace)
        assert (await chat.report("look")).state.value == "succeeded"


async def test_what_reviewers_were_shown_may_be_lost_and_what_the_work_declared_stays_blocked(tmp_path: Path) -> None:
    async with blocked(tmp_path) as chat:
        shutil.rmtree(tmp_path / "state" / blobs.FOLDER)
        proposal = await chat.app.plans.plan([WORK, NOTES])
        notes = [note.message for note in proposal.prepared.notices if note.code == "blocked_before"]
        assert len(notes) == 1
        await began(chat, NOTES)
        assert sorted(await chat.out()) == ["notes"]


async def test_what_is_blocked_for_a_run_may_be_forgotten_while_one_of_its_attempts_begins(tmp_path: Path) -> None:
    beat: dict[str, Any] = {}
    async with sqlite_store.open_store(tmp_path / "home") as store:
        await store.save_plan(store_setup.chain("a"), records.LOCAL)
        await store.create_run(store_setup.new_run(workspace=str(tmp_path)))
        block = blocked_work.Block("earlier", "council", (safe_paths.real_place(tmp_path, "cart.py"),))
        looks = disputed_changes.DisputedChanges(store, lambda _, paths: dict.fromkeys(paths, "as it is"))
        looks.blocks["run"] = [block]
        task = store_setup.chain("a").tasks[0]

        async def begin() -> None:
            order = work_order.WorkOrder("run", task, 1, WorkerKind.HOST, workspace=str(tmp_path))
            beat.update(await looks.before(order))

        async def forget() -> None:
            looks.blocks.clear()

        async with anyio.create_task_group() as group:
            group.start_soon(begin)
            group.start_soon(forget)
    assert beat == {ports.BLOCKED: {"cart.py": "as it is"}}


@pytest.mark.parametrize("end", ["at once", "when it goes on"])
async def test_a_run_that_ended_blocked_ends_well_once_a_review_has_passed_the_files(tmp_path: Path, end: str) -> None:
    async with blocked(tmp_path) as chat:
        await began(chat, LOOK)
        worse(shop_of(chat))
        run_id = (await chat.report("look")).run_id
        assert (await chat.trace()).state == "needs_changes"
        if end == "at once":
            assert await reviewed(chat, PASS, run_id=run_id) == "succeeded"
        else:
            await chat.begin({**WORK, "do": "Make the totals right at last"})
            (shop_of(chat) / "app/cart.py").write_text(BETTER.replace("line.price", "line.price * 3"))
            await chat.report("fix")
            await answer_all(chat, PASS)
            assert (await chat.app.dispatch(run_id=run_id)).state == "succeeded"
        chat.run_id = run_id
        assert (await chat.trace()).state == "succeeded"


async def test_a_run_that_ended_blocked_stays_so_while_a_round_blocks_the_files(tmp_path: Path) -> None:
    async with blocked(tmp_path) as chat:
        await began(chat, LOOK)
        worse(shop_of(chat))
        run_id = (await chat.report("look")).run_id
        text = verdict("FAIL", "high", quote="line.price * 2 for line in cart")
        assert await reviewed(chat, text, run_id=run_id) == "needs_changes"
        assert (await chat.app.dispatch(run_id=run_id)).state == "needs_changes"
