"""Work that a review has something against: no later run takes it over as finished, whatever became of the first."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import reviewed_runs
from reviewed_runs import BETTER, FIX, PASS, Chat, verdict

from dispatch_mcp import errors

pytestmark = pytest.mark.anyio

OTHER: dict[str, Any] = {
    "id": "other",
    "do": "Name the change",
    "files": ["CHANGES.md"],
    "acceptance": ["diff"],
    "agent": "coder",
}
WORK: dict[str, Any] = {**FIX, "files": ["app/cart.py"], "acceptance": ["diff"]}
LOOK: dict[str, Any] = {"id": "look", "do": "Is it right?", "reviews": ["fix"], "rounds": 1}
GARBAGE = "looks fine to me"
ENDINGS: dict[str, list[str]] = {
    "left as it is": [],
    "asked again and cancelled": ["retry look", "cancel"],
    "work asked again and cancelled": ["retry fix", "cancel"],
    "skipped by the assistant": ["skip look", "skip fix"],
}


@asynccontextmanager
async def answered(tmp_path: Path, *answers: str, look: dict[str, Any] = LOOK) -> AsyncGenerator[Chat]:
    """Yields a chat whose run has done two tasks, of which a review was asked about the first."""
    workspace = reviewed_runs.shop(tmp_path / "shop")
    async with reviewed_runs.opened(tmp_path / "state", workspace, reviews="none", council_rounds=1) as chat:
        plan = await chat.app.plans.plan([WORK, look, OTHER])
        chat.run_id = (await chat.app.dispatch(plan_id=plan.plan.id, worker="host")).run_id
        (workspace / "app/cart.py").write_text(BETTER)
        await chat.report("fix")
        (workspace / "CHANGES.md").write_text("# Changes\n\nTotals.\n")
        await chat.report("other")
        for answer in answers:
            await chat.report("look", answer)
        yield chat


async def steered(chat: Chat, *moves: str) -> None:
    """Does what an assistant may do with the run, and goes on when it may not."""
    for move in moves:
        kind, _, task_id = move.partition(" ")
        with contextlib.suppress(errors.DispatchError):
            await chat.app.steer(chat.run_id, kind, task_id, "because")  # type: ignore[arg-type]


async def without_review(chat: Chat) -> None:
    """Takes the review out of the plan, if the server lets it."""
    trace = await chat.trace()
    with contextlib.suppress(errors.DispatchError):
        await chat.app.plans.edit(trace.plan_id, trace.plan_version, [{"op": "remove", "id": "look"}])


async def dispatched_again(chat: Chat) -> dict[str, str]:
    """Returns the states of what the plan's next run begins with."""
    chat.run_id = (await chat.app.dispatch(plan_id=(await chat.trace()).plan_id, worker="host")).run_id
    return await chat.states()


@pytest.mark.parametrize("moves", ENDINGS.values(), ids=ENDINGS)
@pytest.mark.parametrize("edits", [True, False], ids=["review removed", "same plan"])
async def test_a_later_run_does_work_again_that_a_review_objected_to(
    tmp_path: Path, moves: list[str], *, edits: bool
) -> None:
    async with answered(tmp_path, verdict("FAIL", "high")) as chat:
        await steered(chat, *moves)
        first = chat.run_id
        if edits:
            await without_review(chat)
        states = await dispatched_again(chat)
        assert states["fix"] == "running"
        if chat.run_id != first:
            assert states["other"] == "succeeded"  # nobody had anything against it


@pytest.mark.parametrize("rounds", [1, 3])
async def test_an_objection_to_work_that_was_taken_over_holds_for_its_first_run_too(
    tmp_path: Path, rounds: int
) -> None:
    async with answered(tmp_path, PASS, look={**LOOK, "rounds": rounds}) as chat:
        trace = await chat.trace()
        assert trace.state == "succeeded"
        stricter = {"op": "modify", "id": "look", "task": {"do": "Is it right, and is it tested?"}}
        await chat.app.plans.edit(trace.plan_id, trace.plan_version, [stricter])
        assert (await dispatched_again(chat))["fix"] == "succeeded"
        await chat.report("look", verdict("FAIL", "high"))
        await steered(chat, "retry look", "cancel")
        await without_review(chat)
        assert (await dispatched_again(chat))["fix"] == "running"


@pytest.mark.parametrize("answers", [(GARBAGE, GARBAGE), (GARBAGE,), ()], ids=["no verdict", "asked again", "asked"])
async def test_work_that_a_review_was_asked_about_is_only_taken_over_where_it_is_asked_again(
    tmp_path: Path, answers: tuple[str, ...]
) -> None:
    async with answered(tmp_path, *answers) as chat:
        await steered(chat, "cancel")
        asked_again = {"fix": "succeeded", "look": "running", "other": "succeeded"}
        assert await dispatched_again(chat) == asked_again
        await steered(chat, "cancel")
        await without_review(chat)  # which is refused: only a person lets it go
        assert await dispatched_again(chat) == asked_again


async def test_a_person_who_lets_the_review_go_lets_the_work_count(tmp_path: Path) -> None:
    async with answered(tmp_path, verdict("FAIL", "high")) as chat:
        await chat.app.steer(chat.run_id, "skip", "look", "known", by_person=True)
        await without_review(chat)
        assert (await dispatched_again(chat))["fix"] == "succeeded"


async def test_a_review_that_is_asked_again_about_the_very_change_that_it_blocked_does_not_let_it_count(
    tmp_path: Path,
) -> None:
    async with answered(tmp_path, verdict("FAIL", "high")) as chat:
        await steered(chat, "retry look")
        result = (await chat.report("look", PASS)).results[0]
        assert result.why.startswith("Nothing has changed in it since it was blocked")
        assert "A high fault" in result.why
        assert (await dispatched_again(chat))["fix"] == "running"
