"""Work that a council has blocked: it stays so in its workspace, in every later plan, until it is passed or let go."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import reviewed_runs
import store_setup
from reviewed_runs import BETTER, CART, PASS, Chat, verdict

from dispatch_mcp import configuration, errors
from dispatch_mcp.engine.earlier_runs import blocked_work
from dispatch_mcp.model import problems
from dispatch_mcp.next_steps import StepKind
from dispatch_mcp.service import plan_answers, plan_proposals, reviews
from dispatch_mcp.service.housekeeping import old_work

pytestmark = [pytest.mark.anyio, pytest.mark.slice(2, table="blocked work")]

WORK: dict[str, Any] = {
    "id": "fix",
    "do": "Make the totals right",
    "files": ["app/cart.py"],
    "agent": "coder",
    "acceptance": ["diff"],
}
LATER: dict[str, Any] = {**WORK, "id": "later", "do": "Make the totals right at last"}
UNRELATED: dict[str, Any] = {**WORK, "id": "notes", "do": "Write the notes", "files": ["CHANGES.md"]}
WITHOUT: list[dict[str, Any]] = [{"op": "remove", "id": "council"}]


async def seats(chat: Chat, text: str) -> None:
    """Answers everything that a council of the run asks."""
    for _ in range(3):
        out = {name: one for name, one in (await chat.out()).items() if name.startswith("council")}
        if not out:
            return
        entries = [{"task_id": name, "attempt": one.attempt, "text": text} for name, one in out.items()]
        await chat.app.report(chat.run_id, entries)


@asynccontextmanager
async def blocked(tmp_path: Path, *moves: str, better: str = BETTER) -> AsyncGenerator[Chat]:
    """Yields a chat of a workspace in which a council has blocked a change, and what became of that run."""
    workspace = reviewed_runs.shop(tmp_path / "shop")
    async with reviewed_runs.opened(tmp_path / "state", workspace, reviews="end") as chat:
        await chat.begin(WORK)
        (workspace / "app/cart.py").write_text(better)
        await chat.report("fix")
        await seats(chat, verdict("FAIL", "critical", quote="line.price for line in cart"))
        for move in moves:
            kind, _, task_id = move.partition(" ")
            await chat.app.steer(chat.run_id, kind, task_id, "no", by_person=True)  # type: ignore[arg-type]
        yield chat


async def planned(chat: Chat, *tasks: dict[str, Any]) -> plan_proposals.PlanProposal:
    return await chat.app.plans.plan(list(tasks))


def notices(proposal: plan_proposals.PlanProposal) -> list[str]:
    return [note.message for note in proposal.prepared.notices if note.code == "blocked_before"]


def judges(proposal: plan_proposals.PlanProposal) -> Sequence[str]:
    return [task.id for task in proposal.plan.tasks if "later" in task.reviews and task.joins]


async def refusal(chat: Chat, proposal: plan_proposals.PlanProposal, edits: list[dict[str, Any]]) -> str:
    with pytest.raises(errors.PlanRejected) as caught:
        await chat.app.plans.edit(proposal.plan.id, proposal.plan.version, edits)
    [problem] = caught.value.problems
    assert isinstance(problem, problems.Problem)
    assert problem.code == "needs_person"
    return problem.message


FOLDER: list[dict[str, Any]] = [{"op": "modify", "id": "later", "task": {"files": ["app/"]}}, *WITHOUT]


@pytest.mark.parametrize("moves", [(), ("cancel",)], ids=["open", "cancelled"])
async def test_no_edit_takes_the_council_from_a_new_plan_over_a_change_that_was_blocked(
    tmp_path: Path, moves: tuple[str, ...]
) -> None:
    async with blocked(tmp_path, *moves) as chat:
        proposal = await planned(chat, LATER, UNRELATED)
        assert judges(proposal) == ["council"]
        [notice] = notices(proposal)
        assert notice.startswith("`council` of run make-")
        step = plan_answers.refusal_step(proposal)
        assert (step.kind, step.tasks) == (StepKind.LET_REVIEW_GO, ("council",))
        for edits in (WITHOUT, FOLDER):
            message = await refusal(chat, proposal, edits)
            assert "has blocked a change of its files" in message


async def test_work_that_goes_round_the_edit_gets_its_council_again(tmp_path: Path) -> None:
    async with blocked(tmp_path, "cancel") as chat:
        proposal = await planned(chat, {**LATER, "files": ["README.md"]})
        without = await chat.app.plans.edit(proposal.plan.id, 1, WITHOUT)
        assert judges(without) == []
        back = [{"op": "modify", "id": "later", "task": {"files": ["app/cart.py"]}}]
        assert judges(await chat.app.plans.edit(proposal.plan.id, 2, back)) == ["council"]


async def test_a_plan_that_had_no_council_before_the_block_has_one_when_it_begins(tmp_path: Path) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop")
    async with reviewed_runs.opened(tmp_path / "state", workspace, reviews="end") as chat:
        proposal = await planned(chat, LATER)
        await chat.app.plans.edit(proposal.plan.id, 1, WITHOUT)
        await chat.begin(WORK)
        (workspace / "app/cart.py").write_text(BETTER)
        await chat.report("fix")
        await seats(chat, verdict("FAIL", "critical", quote="line.price for line in cart"))
        await chat.app.steer(chat.run_id, "cancel", "", "")
        chat.run_id = (await chat.app.dispatch(plan_id=proposal.plan.id, worker="host")).run_id
        assert "council" in await chat.states()
        again = await chat.app.dispatch(plan_id=proposal.plan.id, worker="host")
        assert again.reused


async def test_where_nobody_can_review_blocked_work_the_plan_says_so_and_keeps_its_version(tmp_path: Path) -> None:
    async with blocked(tmp_path, "cancel") as chat:
        everybody = chat.app.plans.catalog()
        agents = tuple(agent for agent in everybody.agents if agent.roster != "reviewers")
        few = dataclasses.replace(everybody, agents=agents)
        planner = dataclasses.replace(chat.app.plans, catalog=lambda: few)
        proposal = await planner.plan([LATER])
        assert judges(proposal) == []
        [notice] = notices(proposal)
        assert "nothing in this plan reviews them" in notice
        assert not await planner.review_blocked(proposal.plan)
        assert (await chat.app.store.plan(proposal.plan.id, principal="local")).version == 1
        assert await chat.app.plans.review_blocked(proposal.plan)
        assert (await chat.app.store.plan(proposal.plan.id, principal="local")).version == 2


async def test_work_on_other_files_is_not_concerned(tmp_path: Path) -> None:
    async with blocked(tmp_path, "cancel") as chat:
        proposal = await planned(chat, UNRELATED)
        assert not notices(proposal)
        without = await chat.app.plans.edit(proposal.plan.id, 1, WITHOUT)
        assert [task.id for task in without.plan.tasks] == ["notes"]
        mixed = await planned(chat, LATER, UNRELATED)
        rest = await chat.app.plans.edit(mixed.plan.id, 1, [{"op": "remove", "id": "later"}, *WITHOUT])
        assert [task.id for task in rest.plan.tasks] == ["notes"]


@pytest.mark.parametrize(("cause", "is_blocked"), [("inconclusive", True), ("timeout", False)])
async def test_a_review_that_nobody_carried_out_blocks_nothing_and_one_without_a_verdict_does(
    tmp_path: Path, cause: str, *, is_blocked: bool
) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop")
    reviews = [
        {"id": f"{name}-look", "do": f"Review {name}", "agent": "review-security", "reviews": [name], "attempts": 1}
        for name in ("fix", "notes")
    ]
    async with reviewed_runs.opened(tmp_path / "state", workspace) as chat:
        await chat.begin(WORK, UNRELATED, *reviews)
        (workspace / "app/cart.py").write_text(BETTER)
        (workspace / "CHANGES.md").write_text("Better.\n")
        for name in ("fix", "notes"):
            await chat.report(name)
            await chat.report(f"{name}-look", "", status="failed", error="no luck", retryable=False)
        store_setup.raw(tmp_path / "state", f"UPDATE task SET cause = '{cause}' WHERE id = 'fix-look'")
        assert notices(await planned(chat, {**UNRELATED, "do": "Write them anew"}))
        assert bool(notices(await planned(chat, LATER))) is is_blocked


async def test_a_person_who_lets_the_review_go_ends_the_block(tmp_path: Path) -> None:
    async with blocked(tmp_path, "skip council") as chat:
        proposal = await planned(chat, LATER)
        assert not notices(proposal)
        assert judges(await chat.app.plans.edit(proposal.plan.id, 1, WITHOUT)) == []


@pytest.mark.parametrize("end", ["passed", "let go"])
async def test_a_later_review_of_the_files_that_passes_or_is_let_go_ends_the_block(tmp_path: Path, end: str) -> None:
    async with blocked(tmp_path, "cancel") as chat:
        await chat.begin(LATER)
        workspace = Path(chat.app.rules.workspace)
        (workspace / "app/cart.py").write_text(BETTER.replace("line.price", "float(line.price)"))
        await chat.report("later")
        if end == "passed":
            await seats(chat, PASS)
        else:
            await chat.app.steer(chat.run_id, "skip", "council", "known", by_person=True)
        assert (await chat.states())["council"] in ("succeeded", "skipped")
        proposal = await planned(chat, {**LATER, "do": "Make the totals round"})
        assert not notices(proposal)


async def test_a_pass_frees_what_its_reviewers_were_shown_and_nothing_else_that_its_work_declares(
    tmp_path: Path,
) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop")
    quote = "line.price for line in cart"
    async with reviewed_runs.opened(tmp_path / "state", workspace, reviews="end") as chat:
        await chat.begin({**WORK, "files": ["app/"]})
        (workspace / "app/cart.py").write_text(BETTER)
        await chat.report("fix")
        await seats(chat, verdict("FAIL", "critical", quote=quote))
        await chat.app.steer(chat.run_id, "cancel", "", "no", by_person=True)
        for declares, changes, is_blocked in (
            ("app/tax.py", "app/tax.py", True),
            ("app/", "app/tax.py", True),
            ("app/", "app/cart.py", False),
        ):
            await chat.begin({**LATER, "do": f"Mend {changes} of {declares}", "files": [declares]})
            (workspace / changes).write_text(f"FILES = {declares!r}\n")
            await chat.report("later")
            await seats(chat, PASS.replace("app/cart.py", changes))
            assert (await chat.states())["council"] == "succeeded"
            assert bool(notices(await planned(chat, LATER))) == is_blocked


async def test_unrelated_work_that_failed_in_the_same_run_does_not_end_a_block(tmp_path: Path) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop")
    async with reviewed_runs.opened(tmp_path / "state", workspace, reviews="end") as chat:
        await chat.begin(WORK, {"id": "look", "do": "Look up the tax", "attempts": 1})
        (workspace / "app/cart.py").write_text(BETTER)
        await chat.report("fix")
        await chat.report("look", "there is none", status="failed")
        await seats(chat, "I cannot say.")
        assert (await chat.app.store.run(chat.run_id, principal="local")).state.value == "partial"
        assert notices(await planned(chat, LATER))


async def test_many_blocked_runs_in_other_workspaces_do_not_push_a_block_out_of_sight(tmp_path: Path) -> None:
    async with blocked(tmp_path, "cancel") as chat:
        store, run = chat.app.store, await chat.app.store.run(chat.run_id, principal="local")
        proposal = await planned(chat, LATER)
        for place, is_there in (("", True), ("/app", True), ("/..", True), ("2", False), ("/../other", False)):
            blocks = await blocked_work.open_blocks(store, run.principal, f"{run.workspace}{place}")
            assert [block.run_id for block in blocks] == [run.id] * is_there
        assert await store.objected_runs(run.principal, [f"{run.workspace}2"]) == []
        assert notices(proposal)


def _link(workspace: Path, at: Path) -> Path:
    at.symlink_to(workspace)
    return at


def _tree(workspace: Path, at: Path) -> Path:
    reviewed_runs.commit(workspace)
    subprocess.run(["git", "worktree", "add", "-q", str(at), "-b", "other"], cwd=workspace, check=True)
    return at


def _folder_of_tree(workspace: Path, at: Path) -> Path:
    return _tree(workspace, at) / "app"


@pytest.mark.parametrize("way", [_link, _tree, _folder_of_tree])
async def test_a_block_holds_whichever_way_the_workspace_is_opened(
    tmp_path: Path, way: Callable[[Path, Path], Path]
) -> None:
    async with blocked(tmp_path, "cancel") as chat:
        workspace = Path(chat.app.rules.workspace)
    other = way(workspace, tmp_path / "other")
    file = "cart.py" if way is _folder_of_tree else "app/cart.py"
    async with reviewed_runs.opened(tmp_path / "state", other, reviews="end") as chat:
        proposal = await planned(chat, {**LATER, "files": [file]})
        assert notices(proposal)
        assert "has blocked a change of its files" in await refusal(chat, proposal, WITHOUT)
        stray = {**UNRELATED, "id": "stray", "files": ["notes.md"]}
        plan = await planned(chat, stray)
        await chat.app.plans.edit(plan.plan.id, plan.plan.version, WITHOUT)
        chat.run_id = (await chat.app.dispatch(plan_id=plan.plan.id, worker="host")).run_id
        (other / "notes.md").write_text("a note")
        (other / file).write_text(BETTER + "# more\n")
        await chat.report("stray")
        assert (await chat.trace()).state == "needs_changes"


def _renamed_folder(shop: Path) -> Path:
    return shop.rename(shop.with_name("new-name"))


def _clone(shop: Path) -> Path:
    reviewed_runs.commit(shop)
    subprocess.run(["git", "clone", "-q", "--no-local", str(shop), str(shop.with_name("copy"))], check=True)
    return shop.with_name("copy")


def _renamed_file(shop: Path) -> Path:
    subprocess.run(["git", "mv", "app/cart.py", "app/core.py"], cwd=shop, check=True)
    return shop


def _renamed_file_of_clone(shop: Path) -> Path:
    reviewed_runs.commit(_renamed_file(_clone(shop)))
    (shop.with_name("copy") / "app/cart.py").write_text("")
    return shop.with_name("copy")


@pytest.mark.parametrize("way", [_renamed_folder, _clone, _renamed_file, _renamed_file_of_clone])
@pytest.mark.slice(2)
async def test_a_block_holds_in_the_same_repository_elsewhere_and_for_a_file_that_was_renamed(
    tmp_path: Path, way: Callable[[Path], Path]
) -> None:
    async with blocked(tmp_path, "cancel") as chat:
        workspace = way(Path(chat.app.rules.workspace))
    file = "app/core.py" if (workspace / "app/core.py").exists() else "app/cart.py"
    async with reviewed_runs.opened(tmp_path / "state", workspace, reviews="end") as chat:
        proposal = await planned(chat, {**LATER, "files": [file]})
        assert notices(proposal)
        assert "has blocked a change of its files" in await refusal(chat, proposal, WITHOUT)
        assert not notices(await planned(chat, {**LATER, "files": ["app/price.py"]}))
        await chat.begin({**LATER, "files": [file]})
        (workspace / file).write_text(CART + "# as it was, with a word\n")
        await chat.report("later")
        await seats(chat, PASS.replace("app/cart.py", file).replace(', "CHANGES.md"', ""))
        assert (await chat.states())["council"] == "succeeded"
        assert not notices(await planned(chat, {**LATER, "files": [file]}))


async def test_a_block_holds_for_a_folder_of_a_repository_that_was_renamed(tmp_path: Path) -> None:
    shop = reviewed_runs.shop(tmp_path / "shop")
    async with reviewed_runs.opened(tmp_path / "state", shop / "app", reviews="end") as chat:
        await chat.begin({**WORK, "files": ["cart.py"]})
        (shop / "app/cart.py").write_text(BETTER)
        await chat.report("fix")
        await seats(chat, verdict("FAIL", "critical", quote="line.price for line in cart", file="cart.py"))
        await chat.app.steer(chat.run_id, "cancel", "", "")
    workspace = _renamed_folder(shop)
    async with reviewed_runs.opened(tmp_path / "state", workspace, reviews="end") as chat:
        assert notices(await planned(chat, LATER))
        assert not notices(await planned(chat, {**LATER, "files": ["cart.py"]}))


def _stranger(at: Path) -> Path:
    reviewed_runs.shop(at, git=False)
    (at / "NOTES.md").write_text("ours\n")
    subprocess.run(["git", "init", "-q", "-b", "main"], cwd=at, check=True)
    reviewed_runs.commit(at)
    return at


async def test_a_file_of_the_same_path_in_a_repository_of_somebody_else_is_free(tmp_path: Path) -> None:
    async with blocked(tmp_path, "cancel"):
        pass
    stranger = _stranger(tmp_path / "elsewhere")
    (stranger / "app/cart.py").write_text(BETTER)
    async with reviewed_runs.opened(tmp_path / "state", stranger, reviews="end") as chat:
        proposal = await planned(chat, LATER)
        assert not notices(proposal)
        await chat.app.plans.edit(proposal.plan.id, proposal.plan.version, WITHOUT)


async def test_what_passes_in_another_working_tree_frees_the_file_there(tmp_path: Path) -> None:
    async with blocked(tmp_path, "cancel") as chat:
        workspace = Path(chat.app.rules.workspace)
    other = _tree(workspace, tmp_path / "other")
    async with reviewed_runs.opened(tmp_path / "state", other, reviews="end") as chat:
        await chat.begin(LATER)
        (other / "app/cart.py").write_text(CART + "# as it was, with a word\n")
        await chat.report("later")
        await seats(chat, PASS.replace(', "CHANGES.md"', ""))
        assert (await chat.states())["council"] == "succeeded"
        assert not notices(await planned(chat, {**LATER, "id": "again"}))


async def test_whoever_has_reviews_switched_off_is_not_asked_for_one_but_told_of_the_block(tmp_path: Path) -> None:
    async with blocked(tmp_path, "cancel") as chat:
        workspace = Path(chat.app.rules.workspace)
    async with reviewed_runs.opened(tmp_path / "state", workspace, reviews="none") as chat:
        proposal = await planned(chat, LATER)
        [message] = notices(proposal)
        assert "`council` of run" in message
        assert "reviews switched off" in message
        assert [task.id for task in proposal.plan.tasks] == ["later"]


def without_word(shop: Path) -> None:
    (shop / "app/cart.py").write_text("# the totals\n" + (shop / "app/cart.py").read_text())


async def passed(chat: Chat, seat: str) -> str:
    """Has later work on the file done and passed by everybody, and returns what a seat was shown."""
    await chat.begin(LATER)
    without_word(Path(chat.app.rules.workspace))
    await chat.report("later")
    shown = await chat.prompt(f"council.{seat}")
    await seats(chat, PASS)
    assert (await chat.trace()).state == "succeeded"
    return shown


async def test_what_was_blocked_and_committed_since_is_shown_to_the_reviewers_of_later_work(tmp_path: Path) -> None:
    async with blocked(tmp_path) as chat:
        reviewed_runs.commit(tmp_path / "shop")
        shown = await passed(chat, "architecture-strategist")
        assert "+    return sum(line.price for line in cart)" in shown
        assert "+# the totals" in shown
        assert "since the work began that a review has blocked there" in shown
        assert not notices(await planned(chat, LATER))


@pytest.mark.parametrize(
    ("better", "lead", "span", "is_free"),
    [
        (BETTER, "", None, False),
        (BETTER, "", "HEAD~1..HEAD", True),
        (f"{CART}\n\n{BETTER.replace('total', 'prices')}", "# long\n" * 700_000, None, False),
    ],
    ids=["line", "range", "long file"],
)
async def test_a_round_over_a_later_line_frees_nothing_of_what_was_committed_before(
    tmp_path: Path, better: str, lead: str, span: str | None, *, is_free: bool
) -> None:
    async with blocked(tmp_path, better=better) as chat:
        cart = tmp_path / "shop/app/cart.py"
        cart.write_text(lead + cart.read_text())
        reviewed_runs.commit(tmp_path / "shop")
        without_word(tmp_path / "shop")
        chat.run_id = (await chat.app.council.review(reviews.ReviewRequest(worker="host", range=span))).run_id
        while out := await chat.out():
            entries = [{"task_id": name, "attempt": one.attempt, "text": PASS} for name, one in out.items()]
            await chat.app.report(chat.run_id, entries)
        assert (await chat.trace()).state == "succeeded"
        assert bool(notices(await planned(chat, LATER))) != is_free


async def test_what_a_simulated_reviewer_passes_stays_blocked(tmp_path: Path) -> None:
    async with blocked(tmp_path) as chat:
        proposal = await planned(chat, LATER)
        progress = await chat.app.dispatch(plan_id=proposal.plan.id, worker="scripted", fresh=True)
        assert progress.simulated
        chat.run_id = progress.run_id
        while (await chat.trace()).state == "running":
            await chat.app.trace(run_id=chat.run_id, wait_s=5)
        end = (await chat.trace()).next
        assert end is not None
        assert end.simulations == 5
        assert notices(await planned(chat, LATER))


async def test_housekeeping_leaves_runs_whose_reviews_block_files(tmp_path: Path) -> None:
    async with blocked(tmp_path, "cancel") as chat:
        block = chat.run_id
        await chat.begin({"id": "look", "do": "Look at the totals", "agent": "coder"})
        await chat.report("look")
        settings = configuration.load({}, flags={"home": tmp_path / "state"}, cwd=tmp_path).settings
        pruned = await old_work.prune(settings, -60.0)
        assert pruned.runs == ()
        assert "blocks files" in {run.run: run.why for run in pruned.stays}[block]
        assert notices(await planned(chat, LATER))
        await passed(chat, "architecture-strategist")
        assert block in [run.run for run in (await old_work.prune(settings, -60.0)).runs]


async def test_a_person_lets_a_council_go_also_after_its_run_was_cancelled(tmp_path: Path) -> None:
    async with blocked(tmp_path, "cancel") as chat:
        assert (await chat.states())["council"] == "cancelled"
        for name in ("council", "fix"):
            with pytest.raises(errors.InputError, match="cannot be skipped"):
                await chat.app.steer(chat.run_id, "skip", name, "no matter")
        with pytest.raises(errors.InputError, match="cannot be skipped"):
            await chat.app.steer(chat.run_id, "skip", "fix", "no matter", by_person=True)
        assert notices(await planned(chat, LATER))
        await chat.app.steer(chat.run_id, "skip", "council", "I have looked myself", by_person=True)
        assert (await chat.states())["council"] == "skipped"
        assert (await chat.app.store.run(chat.run_id, principal="local")).state.value == "cancelled"
        assert not notices(await planned(chat, {**LATER, "id": "again"}))
