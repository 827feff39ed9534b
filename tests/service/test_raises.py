"""Raises: an assistant may lower what a run may use; more needs a person, for the plan that they saw."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import dispatcher_setup
import pytest
from dispatcher_setup import Desk, task

from dispatch_mcp import errors, model
from dispatch_mcp.model import digests
from dispatch_mcp.next_steps import NextStep, StepKind
from dispatch_mcp.service import approvals

pytestmark = [pytest.mark.anyio, pytest.mark.promise("S18")]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[Desk]:
    async with dispatcher_setup.opened(tmp_path / "home", rules={"ceilings": model.Limits(dollars=20)}) as opened:
        yield opened


async def begun(desk: Desk, **limits: Any) -> str:
    plan_id = await desk.planned(task("a"), task("b", "a"))
    return (await desk.app.dispatch(plan_id=plan_id, limits=model.Limits(**limits))).run_id


async def offered(desk: Desk, run_id: str, **limits: Any) -> approvals.RaiseOffer:
    offer = await desk.app.offer_raise(run_id, model.Limits(**limits))
    assert offer is not None
    return offer


async def heights(desk: Desk, run_id: str) -> dict[str, float]:
    return (await desk.app.trace(run_id=run_id)).limits


@pytest.mark.parametrize(
    "more", [{"dollars": 6}, {"tokens": 2_000_000}, {"attempts": 4}, {"depth": 3}, {"dollars": 1, "attempts": 4}]
)
async def test_nobody_raises_a_ceiling_without_a_persons_word(desk: Desk, more: dict[str, Any]) -> None:
    run_id = await begun(desk, dollars=5, tokens=1_000_000, attempts=3)
    before = await heights(desk, run_id)
    with pytest.raises(errors.NotAllowed, match="Only a person can agree to this") as refusal:
        await desk.app.dispatch(run_id=run_id, limits=model.Limits(**more))
    with pytest.raises(errors.NotAllowed, match="Only a person"):
        await desk.app.limit(run_id, model.Limits(**more))
    assert await heights(desk, run_id) == before
    hint = refusal.value.hint
    assert isinstance(hint, NextStep)
    assert hint.kind is StepKind.AGREE_TO_RAISE
    assert hint.limits == tuple(f"{name}={value}" for name, value in more.items())
    assert len(hint.digest) == approvals.SHOWN_DIGITS


async def test_lowering_asks_nobody_and_the_same_again_is_no_raise(desk: Desk) -> None:
    run_id = await begun(desk, dollars=5)
    lower: list[dict[str, Any]] = [{"dollars": 4}, {"dollars": 4}, {"tokens": 9_000_000}, {"minutes": 60}]
    for limits in lower:
        await desk.app.dispatch(run_id=run_id, limits=model.Limits(**limits))
        assert await desk.app.offer_raise(run_id, model.Limits(**limits)) is None
    assert await heights(desk, run_id) == {"dollars": 4, "tokens": 9_000_000, "minutes": 60}
    assert "limits_raised" not in await desk.kinds(run_id)


async def test_what_the_configuration_allows_holds_for_limits_of_a_start_and_never_for_a_raise(desk: Desk) -> None:
    assert await heights(desk, await begun(desk, dollars=19)) == {"dollars": 19}
    run_id = await begun(desk, dollars=5, attempts=2)
    with pytest.raises(errors.NotAllowed, match="Only a person"):
        await desk.app.limit(run_id, model.Limits(dollars=6))
    with pytest.raises(errors.NotAllowed, match="the configuration allows at most 20"):
        await offered(desk, run_id, dollars=30)


async def test_a_person_is_shown_run_spend_ceilings_and_plan_and_their_act_is_an_event(desk: Desk) -> None:
    run_id = await begun(desk, dollars=5)
    offer = await offered(desk, run_id, dollars=8)
    plan = (await desk.app.store.whole_run(run_id, principal=desk.app.principal)).plan
    assert offer.plan_digest == digests.plan_digest(plan)
    assert offer.question == (
        f"Raise what run {offer.run_id[:-28]} (Do a) may use? dollars from 5 to 8. Spent so far: nothing that anybody "
        f"has reported. Its plan: version 1, 2 tasks, digest {offer.plan_digest[:12]}."
    )
    await desk.app.limit(run_id, model.Limits(dollars=8), offer.word("Ann at a shell"))
    timeline = (await desk.app.trace(run_id=run_id, view="timeline")).timeline
    [act] = [line.data for line in timeline if line.kind == "limits_raised"]
    assert act["by"] == "Ann at a shell"
    assert (act["plan_digest"], act["plan_version"]) == (offer.plan_digest, 1)
    assert (act["raised"], act["dollars"]) == ([["dollars", 5.0, 8.0]], 8.0)


async def test_what_is_spent_is_said(tmp_path: Path) -> None:
    async with dispatcher_setup.opened(tmp_path / "other") as desk:
        given = await dispatcher_setup.started(desk, task("a"), task("b", "a"), limits=model.Limits(attempts=10))
        usage = {"input_tokens": 1_000, "output_tokens": 200, "cost_usd": 1.5}
        await desk.app.report(given.run_id, [dispatcher_setup.said(given.assignments[0], usage=usage)])
        offer = await offered(desk, given.run_id, attempts=1_000)
    assert "Spent so far: $1.50, 1200 tokens." in offer.question
    assert "attempts from 10 to 1,000." in offer.question


async def test_a_word_for_another_plan_raises_nothing(desk: Desk) -> None:
    run_id = await begun(desk, dollars=5)
    word = (await offered(desk, run_id, dollars=8)).word("Ann")
    plan_id = (await desk.app.trace(run_id=run_id)).plan_id
    await desk.app.plans.edit(plan_id, 1, [{"op": "add", "id": "more", "task": {"do": "Write the footer"}}])
    with pytest.raises(errors.StaleVersion, match=r"has another plan by now.*version 2, 3 tasks"):
        await desk.app.limit(run_id, model.Limits(dollars=8), word)
    assert await heights(desk, run_id) == {"dollars": 5}


async def test_a_word_for_another_raise_raises_nothing(desk: Desk) -> None:
    run_id = await begun(desk, dollars=5, attempts=3)
    word = (await offered(desk, run_id, dollars=8)).word("Ann")
    others: list[dict[str, Any]] = [{"dollars": 9}, {"dollars": 8, "attempts": 4}]
    for other in others:
        with pytest.raises(errors.StaleVersion, match="other ceilings by now than those that were agreed to"):
            await desk.app.limit(run_id, model.Limits(**other), word)
    await desk.app.limit(run_id, model.Limits(dollars=4))
    with pytest.raises(errors.StaleVersion, match="other ceilings"):
        await desk.app.limit(run_id, model.Limits(dollars=8), word)
    assert await heights(desk, run_id) == {"dollars": 4, "attempts": 3}


async def test_of_a_run_that_is_over_nothing_is_raised_and_nobody_is_asked(desk: Desk) -> None:
    run_id = await begun(desk, dollars=5)
    await desk.app.steer(run_id, "cancel", "", "enough")
    assert await desk.app.offer_raise(run_id, model.Limits(dollars=8)) is None
    await desk.app.dispatch(run_id=run_id, limits=model.Limits(dollars=8))
    assert await heights(desk, run_id) == {"dollars": 5}
