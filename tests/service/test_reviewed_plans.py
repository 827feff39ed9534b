"""Reviews of a plan from the plan to the end of the run, with a host that answers whatever a test says."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import reviewed_runs
from reviewed_runs import BETTER, DOCS, FIX, PASS, Chat, verdict

from dispatch_mcp import errors
from dispatch_mcp.mcp_server import tool_wording
from dispatch_mcp.next_steps import StepKind
from dispatch_mcp.service import reviews

pytestmark = [pytest.mark.anyio, pytest.mark.slice(2, table="reviewed plans")]

GARBAGE = "looks fine to me"


@asynccontextmanager
async def reviewed(tmp_path: Path, *, git: bool = True, **flags: Any) -> AsyncGenerator[Chat]:
    """Yields a chat whose run is where the work is done and its review is out; the workspace is the folder `shop`."""
    workspace = reviewed_runs.shop(tmp_path / "shop", git=git)
    async with reviewed_runs.opened(tmp_path / "state", workspace, **flags) as chat:
        await chat.begin(FIX, DOCS)
        (workspace / "app/cart.py").write_text(BETTER)
        await chat.report("fix")
        yield chat


@pytest.mark.slice(3)
@pytest.mark.parametrize(
    ("status", "text", "passes"),
    [
        ("succeeded", PASS, True),
        ("succeeded", verdict("PASS", "medium", "low"), True),
        ("failed", PASS, True),
        ("cancelled", PASS, True),
        ("succeeded", verdict("FAIL", "critical"), False),
        ("succeeded", verdict("FAIL", "low"), False),
        ("succeeded", verdict("FAIL"), False),
        ("succeeded", verdict("PASS", "high"), False),
        ("succeeded", verdict("PASS", "critical", quote="nowhere in the change"), False),
        ("failed", verdict("FAIL", "critical"), False),
        ("succeeded", "VERDICT: FAIL", False),
        ("succeeded", GARBAGE, False),
        ("succeeded", PASS.replace("{", '{"approved": false, ', 1), False),
        ("succeeded", f"## Critical\n- it loses money\n\n{PASS}", False),
        ("succeeded", "", False),
        ("failed", "", False),
        ("failed", GARBAGE, False),
        ("cancelled", GARBAGE, False),
        ("succeeded", '{"completed_work": "reviewed, all is well"}', False),
        ("succeeded", '```json\n{"verdict": "PASS", "findings": [{"severity"', False),
    ],
)
async def test_what_builds_on_work_begins_only_when_its_review_answers_a_usable_pass(
    tmp_path: Path, status: str, text: str, *, passes: bool
) -> None:
    async with reviewed(tmp_path) as chat:
        answer = await chat.report("fix.review", text, status=status)
        assert ("docs" in {one.task_id for one in answer.assignments}) is passes
        assert ((await chat.states())["docs"] == "running") is passes


async def test_a_review_is_shown_the_goal_and_the_change_and_the_next_attempt_what_it_found(tmp_path: Path) -> None:
    async with reviewed(tmp_path) as chat:
        shown = await chat.prompt("fix.review")
        for text in ("Make the totals right", "-    return sum(cart)", "+    return sum(line.price for line in cart)"):
            assert text in shown
        assert '"verdict": "PASS or FAIL"' in shown
        answer = await chat.report("fix.review", verdict("FAIL", "critical"))
        assert await chat.states() == {
            "fix": "running",
            "fix.review": "blocked",
            "docs": "blocked",
            "review": "blocked",
        }
        assert answer.results[0].why == "The review blocks: 1 finding, at worst critical."
        again = await chat.prompt("fix")
        assert "critical: app/cart.py:2: A critical fault" in again
        assert "a review blocked it" in again
        assert "this ended the last attempt" not in again


async def test_the_next_round_is_shown_what_it_said_and_the_change_as_it_is_then(tmp_path: Path) -> None:
    async with reviewed(tmp_path) as chat:
        await chat.report("fix.review", verdict("FAIL", "critical"))
        (tmp_path / "shop/app/cart.py").write_text(BETTER.replace("line.price", "float(line.price)"))
        await chat.report("fix", "mended")
        shown = await chat.prompt("fix.review")
        assert "earlier findings" in shown
        assert "A critical fault" in shown
        assert "float(line.price)" in shown
        await chat.report("fix.review", PASS)
        (tmp_path / "shop/CHANGES.md").write_text("# Changes\n\nTotals are right.\n")
        await chat.report("docs", "described")
        last = await chat.report("review", PASS)
        assert last.state.value == "succeeded"


async def test_a_reviewer_whose_answer_cannot_be_used_is_told_why_and_shown_the_same_change_again(
    tmp_path: Path,
) -> None:
    async with reviewed(tmp_path) as chat:
        first = (await chat.out())["fix.review"]
        repeated = (await chat.out())["fix.review"]
        assert repeated.call == first.call
        answer = await chat.report("fix.review", GARBAGE)
        assert answer.results[0].why.startswith("The review cannot be used: it has no verdict.")
        shown = await chat.prompt("fix.review")
        assert "The review cannot be used" in shown
        assert "line.price" in shown


async def test_an_inconclusive_review_blocks_and_says_so_everywhere(tmp_path: Path) -> None:
    async with reviewed(tmp_path) as chat:
        await chat.report("fix.review", GARBAGE)
        last = await chat.report("fix.review", GARBAGE)
        assert last.state.value == "inconclusive"
        assert await chat.states() == {
            "fix": "unverified",
            "fix.review": "failed",
            "docs": "skipped",
            "review": "skipped",
        }
        trace = await chat.trace()
        assert (trace.state, trace.blocked["fix.review"]) == ("inconclusive", "failed: inconclusive")
        assert trace.next is not None
        assert trace.next.kind is StepKind.SETTLE_REVIEWS


async def test_edits_from_before_the_work_are_no_part_of_it(tmp_path: Path) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop")
    (workspace / "app/tax.py").write_text("RATE = 7\n")
    reviewed_runs.commit(workspace)
    (workspace / "app/tax.py").write_text("RATE = 19  # mine, in the middle of something\n")
    (workspace / "app/notes.py").write_text("# mine too\n")
    (workspace / "CHANGES.md").write_text("# Changes\n\nmine\n")
    async with reviewed_runs.opened(tmp_path / "state", workspace) as chat:
        await chat.begin({**FIX, "files": ["app/*.py", "CHANGES.md"]})
        (workspace / "app/cart.py").write_text(BETTER)
        (workspace / "CHANGES.md").write_text("# Changes\n\nmine\nand the work's\n")
        await chat.report("fix")
        shown = await chat.prompt("review")
        again = await chat.app.council.review(reviews.ReviewRequest(run_id=chat.run_id, dry_run=True))
    assert "line.price" in shown
    assert "and the work's" in shown
    assert "in the middle of something" not in shown
    assert "mine too" not in shown
    assert [line.partition(" ")[0] for line in again.files] == ["CHANGES.md", "app/cart.py"]


@pytest.mark.parametrize(
    ("answer", "state"), [(reviewed_runs.PASS, "inconclusive"), (verdict("FAIL", "high"), "needs_changes")]
)
async def test_what_is_too_long_for_one_review_is_not_passed_by_it(tmp_path: Path, answer: str, state: str) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop")
    async with reviewed_runs.opened(tmp_path / "state", workspace, council_rounds=1) as chat:
        await chat.begin(FIX)
        lines = "".join(f"price_{number} = lookup({number})\n" for number in range(12_000))
        (workspace / "app/cart.py").write_text(lines)
        assert {handout.task_id for handout in (await chat.report("fix")).assignments} == {"review"}
        assert "price_3 = lookup(3)" in await chat.prompt("review")
        assert "price_11999 = lookup(11999)" not in await chat.prompt("review")
        last = await chat.report("review", answer)
        assert last.state.value == state
        [line] = last.results
        assert ("nobody has seen app/cart.py:" in line.why) is (state == "inconclusive")
        rows = {row.id: row for row in await chat.app.store.tasks(chat.run_id)}
        assert rows["review"].attempt == 1, "asking again brings no verdict"


async def test_rounds_are_bounded_by_the_setting_and_then_the_run_needs_changes(tmp_path: Path) -> None:
    async with reviewed(tmp_path, council_rounds=2) as chat:
        await chat.report("fix.review", verdict("FAIL", "high"))
        await chat.report("fix", "again")
        last = await chat.report("fix.review", verdict("FAIL", "high"))
        assert last.state.value == "needs_changes"
        assert last.next is not None
        words = tool_wording.words(last.next)
        assert "Blocked by review: fix.review." in words
        assert "steer_run(action='retry')" in words
        rows = {row.id: row for row in await chat.app.store.tasks(chat.run_id)}
        assert (rows["fix"].cause, rows["fix"].rounds) == ("needs_changes", 1)
        assert (rows["fix.review"].cause, rows["fix.review"].rounds) == ("needs_changes", 2)
        results = {line.task_id: line for line in (await chat.trace("results")).results}
        assert "A high fault" in results["fix.review"].capsule


async def test_a_review_that_nobody_waits_for_still_decides_how_the_run_ends(tmp_path: Path) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop")
    async with reviewed_runs.opened(tmp_path / "state", workspace, council_rounds=1) as chat:
        await chat.begin(FIX)
        (workspace / "app/cart.py").write_text(BETTER)
        assert {one.task_id for one in (await chat.report("fix")).assignments} == {"review"}
        last = await chat.report("review", verdict("FAIL", "high"))
        assert last.state.value == "needs_changes"


async def test_what_a_passing_review_found_besides_is_left_to_do_on_the_run(tmp_path: Path) -> None:
    async with reviewed(tmp_path) as chat:
        assert (await chat.trace()).follow_ups == ()
        await chat.report("fix.review", verdict("PASS", "medium", "low"))
        line = "fix.review: medium: app/cart.py:2: A medium fault"
        assert (await chat.trace()).follow_ups == (line,)
        todo = (await chat.trace("todo")).todo
        assert todo[-1] == {"content": line, "status": "pending", "priority": "medium"}
        assert len(todo) == len(await chat.states()) + 1
        assert "A medium fault" in await chat.prompt("docs")


async def test_without_a_repository_the_files_are_shown_as_they_are(tmp_path: Path) -> None:
    async with reviewed(tmp_path, git=False) as chat:
        shown = await chat.prompt("fix.review")
        assert "+    return sum(line.price for line in cart)" in shown
        assert "the files as they are" in shown
        assert "# Changes" not in shown  # declared, and as it was


async def test_a_file_that_was_declared_and_left_alone_is_not_shown_as_a_change(tmp_path: Path) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop")
    docs = {"id": "look", "do": "Find out which totals are wrong", "files": ["CHANGES.md"], "isolation": "worktree"}
    async with reviewed_runs.opened(tmp_path / "state", workspace) as chat:
        await chat.begin({**FIX, "files": ["app/cart.py"]}, {**docs, "agent": "coder", "deps": ["fix"]})
        (workspace / "app/cart.py").write_text(BETTER)
        await chat.report("fix")
        shown = await chat.prompt("fix.review")
        await chat.report("fix.review", PASS)
        await chat.report("look", "found none")
        idle = await chat.prompt("review")
    assert "line.price" in shown
    assert "# Changes" not in shown
    assert "+# Changes" not in idle


@pytest.mark.parametrize("scope", ["each", "end"])
async def test_reviewers_are_told_of_tests_that_were_weakened_and_shown_them_declared_or_not(
    tmp_path: Path, scope: Any
) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop")
    (workspace / "tests").mkdir()
    (workspace / "tests/test_cart.py").write_text("def test_total():\n    assert total([]) == 0\n")
    reviewed_runs.commit(workspace)
    work = {**FIX, "files": ["app/cart.py"], "acceptance": ["command: git status --short"]}
    async with reviewed_runs.opened(tmp_path / "state", workspace, reviews=scope) as chat:
        await chat.begin(work)
        (workspace / "app/cart.py").write_text(BETTER)
        (workspace / "tests/test_cart.py").write_text("def test_total():\n    pass\n")
        answer = await chat.report("fix")
        assert [line.state for line in answer.results] == ["unverified"]
        assert answer.assignments
        for assignment in answer.assignments:
            shown = await chat.prompt(assignment.task_id)
            assert "Not proven of fix: `command: git status --short`" in shown
            assert "fewer checks in `tests/test_cart.py` than before the work" in shown
            assert "-    assert total([]) == 0" in shown


async def test_work_that_was_committed_on_the_way_is_shown_all_the_same(tmp_path: Path) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop")
    async with reviewed_runs.opened(tmp_path / "state", workspace) as chat:
        await chat.begin(FIX, DOCS)
        (workspace / "app/cart.py").write_text(BETTER)
        reviewed_runs.commit(workspace)
        await chat.report("fix")
        assert "+    return sum(line.price for line in cart)" in await chat.prompt("fix.review")


async def test_secrets_in_the_change_reach_no_reviewer_and_no_file_of_ours(tmp_path: Path) -> None:
    secret = "ghp_" + "a1B2" * 9
    workspace = reviewed_runs.shop(tmp_path / "shop")
    async with reviewed_runs.opened(tmp_path / "state", workspace) as chat:
        await chat.begin(FIX, DOCS)
        (workspace / "app/cart.py").write_text(f"TOKEN = '{secret}'\n")
        await chat.report("fix")
        assert secret not in await chat.prompt("fix.review")
    assert not [
        path for path in (tmp_path / "state").rglob("*") if path.is_file() and secret.encode() in path.read_bytes()
    ]


@pytest.mark.parametrize(
    "review",
    [
        {"id": "look", "do": "Is it right?", "reviews": ["fix"]},
        {"id": "look", "do": "Is it right?", "deps": ["fix"], "agent": "security-sentinel"},
    ],
    ids=["declared", "given to a reviewer"],
)
async def test_a_review_of_a_users_own_plan_is_a_review(tmp_path: Path, review: dict[str, Any]) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop")
    async with reviewed_runs.opened(tmp_path / "state", workspace, reviews="none") as chat:
        ship = {"id": "ship", "do": "Ship it", "deps": ["look"], "agent": "coder"}
        await chat.begin(FIX, review, ship)
        (workspace / "app/cart.py").write_text(BETTER)
        await chat.report("fix")
        assert "line.price" in await chat.prompt("look")
        await chat.report("look", verdict("FAIL", "high"))
        assert await chat.states() == {"fix": "running", "look": "blocked", "ship": "blocked"}


async def test_only_a_person_lets_a_review_go_that_has_not_passed(tmp_path: Path) -> None:
    async with reviewed(tmp_path, council_rounds=1) as chat:
        await chat.report("fix.review", verdict("FAIL", "high"))
        with pytest.raises(errors.NotAllowed, match="only a person"):
            await chat.app.steer(chat.run_id, "skip", "fix.review", "never mind")
        steered = await chat.app.steer(chat.run_id, "skip", "fix.review", "known", by_person=True)
        assert steered.state.value == "running"
        assert (await chat.states())["docs"] == "ready"


async def test_no_edit_takes_a_failed_review_out_of_the_plan_of_a_run_that_is_over(tmp_path: Path) -> None:
    async with reviewed(tmp_path, council_rounds=1) as chat:
        await chat.report("fix.review", verdict("FAIL", "high"))
        trace = await chat.app.trace(run_id=chat.run_id)
        assert trace.state == "needs_changes"
        with pytest.raises(errors.PlanRejected) as refused:
            await chat.app.plans.edit(trace.plan_id, trace.plan_version, [{"op": "remove", "id": "fix.review"}])
        assert [problem.code for problem in refused.value.problems] == ["needs_person"]  # type: ignore[attr-defined]
        await chat.app.steer(chat.run_id, "skip", "fix.review", "known", by_person=True)
        await chat.app.plans.edit(
            trace.plan_id, trace.plan_version, [{"op": "modify", "id": "docs", "task": {"effort": "S"}}]
        )


async def test_a_dry_run_goes_through_its_reviews_and_says_that_it_is_simulated(tmp_path: Path) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop")
    async with reviewed_runs.opened(tmp_path / "state", workspace) as chat:
        plan = await chat.app.plans.plan([FIX, DOCS])
        progress = await chat.app.dispatch(plan_id=plan.plan.id, dry_run=True)
        async for _ in chat.app.engine.events(progress.run_id):
            pass
        trace = await chat.app.trace(run_id=progress.run_id)
        assert (trace.state, trace.simulated) == ("succeeded", True)


@pytest.mark.parametrize("inputs", [{}, {"script": {"result": PASS}}], ids=["silent", "scripted"])
async def test_a_simulated_review_of_real_work_passes_nothing(tmp_path: Path, inputs: dict[str, Any]) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop")
    async with reviewed_runs.opened(tmp_path / "state", workspace, reviews="none") as chat:
        look = {"id": "look", "do": "Review it", "reviews": ["fix"], "worker": "scripted", "inputs": inputs}
        await chat.begin(FIX, look, {"id": "ship", "do": "Ship", "deps": ["look"], "agent": "coder"})
        (workspace / "app/cart.py").write_text(BETTER)
        await chat.report("fix")
        async for event in chat.app.engine.events(chat.run_id):
            if event.kind == "run_finished":
                break
        assert await chat.states() == {"fix": "unverified", "look": "failed", "ship": "skipped"}


LOOK: dict[str, Any] = {"id": "look", "deps": ["fix"], "agent": "general-purpose"}
AFTER: dict[str, Any] = {**DOCS, "deps": ["look"]}


@pytest.mark.slice(3)
@pytest.mark.parametrize(
    ("do", "text", "passes"),
    [
        ("Review the totals", verdict("FAIL", "high"), False),
        ("Review the totals", verdict("FAIL"), False),
        ("Code review of the totals; answer PASS or FAIL", verdict("PASS", "critical"), False),
        ("Review the totals", GARBAGE, False),
        ("Review the totals", PASS, True),
        ("Check that the totals are right", verdict("FAIL", "high"), False),
        ("Verify the work of fix", "I looked.\n\n" + verdict("FAIL"), False),
        ("Verify the work of fix", verdict("PASS", "critical"), False),
        ("Verify the work of fix", "Verdict: FAIL", False),
        ("Verify the work of fix", PASS, True),
        ("Verify the work of fix", "The totals are right; I could not make them fail.", True),
        ("Investigate who uses the totals", '{"completed_work": "Three places use them"}', True),
        ("Investigate why the build is slow", "FAIL: job 7 waits for a lock", True),
        ("Investigate the totals", "FAIL: they are wrong", False),
    ],
)
async def test_who_looks_at_work_and_does_not_pass_it_holds_back_what_waits(
    tmp_path: Path, do: str, text: str, *, passes: bool
) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop")
    async with reviewed_runs.opened(tmp_path / "state", workspace, reviews="none") as chat:
        await chat.begin(FIX, {**LOOK, "do": do}, AFTER)
        (workspace / "app/cart.py").write_text(BETTER)
        await chat.report("fix")
        await chat.report("look", text.replace("return sum(cart)", "sum(line.price for line in cart)"))
        assert ("docs" in await chat.out()) is passes


@pytest.mark.slice(3)
@pytest.mark.parametrize("deps", [["fix"], []], ids=["after work", "after nothing"])
@pytest.mark.parametrize(
    ("do", "text", "passes"),
    [
        ("Check that app/cart.py is right", "Verdict: FAIL. It is wrong.", False),
        ("Check that app/cart.py is right", "FAIL", False),
        ("Give a verdict on the totals", "FAIL - they are wrong", False),
        ("Security check of the totals", "CRITICAL: sql injection in app/cart.py", False),
        ("Check that app/cart.py is right", "High-level overview: it is right. No critical findings.", True),
        ("Test the totals by hand and report", "PASS. The FAIL branch of the test is covered too.", True),
    ],
)
async def test_a_look_that_says_in_plain_words_that_work_is_wrong_has_failed_whatever_came_before(
    tmp_path: Path, do: str, text: str, deps: list[str], *, passes: bool
) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop")
    async with reviewed_runs.opened(tmp_path / "state", workspace, reviews="none") as chat:
        await chat.begin(FIX, {**LOOK, "do": do, "deps": deps}, AFTER)
        (workspace / "app/cart.py").write_text(BETTER)
        await chat.report("fix")
        answer = await chat.report("look", text)
        assert ("docs" in await chat.out()) is passes
        assert (answer.results[0].state == "failed") is not passes
        assert passes or text.partition("\n")[0] in answer.results[0].why


@pytest.mark.parametrize(
    ("do", "text"),
    [
        ("Find what is wrong with the totals", "Critical: the totals are counts"),
        ("Review how totals are made", "Verdict: FAIL\n\nHigh: they are counts"),
        ("List what has to be done, by priority", "High: mend the totals first\nLow: rename them"),
        ("Prioritise the work", "Critical: mend the totals first"),
    ],
)
async def test_what_a_search_finds_and_an_account_names_is_what_was_asked_for(
    tmp_path: Path, do: str, text: str
) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop")
    async with reviewed_runs.opened(tmp_path / "state", workspace, reviews="none") as chat:
        await chat.begin({"id": "look", "do": do, "agent": "general-purpose"}, {**FIX, "deps": ["look"]})
        await chat.report("look", text)
        assert "fix" in await chat.out()


async def test_only_a_person_goes_on_after_a_verdict_that_blocks(tmp_path: Path) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop")
    async with reviewed_runs.opened(tmp_path / "state", workspace, reviews="none") as chat:
        await chat.begin(FIX, {**LOOK, "do": "Verify the work of fix"}, AFTER)
        (workspace / "app/cart.py").write_text(BETTER)
        await chat.report("fix")
        answer = await chat.report("look", verdict("FAIL", "high"))
        assert answer.results[0].state == "failed"
        assert "A high fault" in answer.results[0].why
        assert (await chat.trace()).state in {"failed", "partial", "needs_changes"}
        with pytest.raises(errors.NotAllowed, match="only a person can let it go"):
            await chat.app.steer(chat.run_id, "skip", "look", "no matter")


async def test_what_somebody_finds_where_no_work_came_before_is_their_result(tmp_path: Path) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop")
    async with reviewed_runs.opened(tmp_path / "state", workspace, reviews="none") as chat:
        await chat.begin({"id": "audit", "do": "Review how totals are made", "agent": "general-purpose"}, FIX)
        await chat.report("audit", verdict("FAIL", "high"))
        assert (await chat.states())["audit"] == "unverified"


async def test_a_review_by_its_words_leaves_the_council_of_the_run_where_it_is(tmp_path: Path) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop")
    async with reviewed_runs.opened(tmp_path / "state", workspace, reviews="end") as chat:
        plan = await chat.app.plans.plan([FIX, {**LOOK, "do": "Review the totals"}])
        judges = {task.id: task.reviews for task in plan.plan.tasks if task.reviews}
        assert judges["look"] == judges["council"] == ("fix",)


@pytest.mark.parametrize("reviews", ["each", "end"])
async def test_no_second_look_passes_what_is_as_it_was_when_it_was_blocked(tmp_path: Path, reviews: str) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop")
    file = workspace / "app/cart.py"
    async with reviewed_runs.opened(tmp_path / "state", workspace, reviews=reviews, council_rounds=5) as chat:
        await chat.begin({**FIX, "files": ["app/cart.py"]})

        async def judged(text: str) -> str:
            for _ in range(3):
                judges = [name for name in await chat.out() if name != "fix"]
                for name in judges:
                    await chat.report(name, text)
            return (await chat.states())["fix"]

        wrong, other = BETTER, BETTER.replace("price", "cost")
        block = verdict("FAIL", "critical", quote="line.")
        answer = PASS.replace(', "CHANGES.md"', "")
        file.write_text(wrong)
        await chat.report("fix")
        assert await judged(block) == "running"
        await chat.report("fix", "Nothing to mend: the finding is wrong")
        assert await judged(answer) == "running"
        file.write_text(other)
        await chat.report("fix")
        assert await judged(block) == "running"
        file.write_text(wrong)  # back to what was blocked first
        await chat.report("fix")
        assert await judged(answer) == "running"
        file.write_text(wrong.replace("line", "item"))
        await chat.report("fix")
        assert await judged(answer) in {"succeeded", "unverified"}
        assert (await chat.trace()).state == "succeeded"


@pytest.mark.parametrize(("first", "state"), [(verdict("FAIL"), "inconclusive"), (GARBAGE, "succeeded")])
async def test_a_seat_that_is_asked_again_and_passes_what_it_has_failed_passes_nothing(
    tmp_path: Path, first: str, state: str
) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop")
    async with reviewed_runs.opened(tmp_path / "state", workspace, reviews="end", council_rounds=1) as chat:
        await chat.begin({**FIX, "files": ["app/cart.py"], "acceptance": ["diff"]})
        (workspace / "app/cart.py").write_text(BETTER)
        await chat.report("fix")
        seats = [task_id for task_id in await chat.out() if task_id.startswith("council")]
        assert len(seats) > 1
        await chat.report(seats[0], first.replace("return sum(cart)", "nowhere(cart)"))
        for seat in seats:
            await chat.report(seat, PASS)
        if "council" in await chat.out():  # an advocate is asked where everybody passes the change
            await chat.report("council", PASS)
        assert (await chat.trace()).state == state
