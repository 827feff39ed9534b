"""Ceilings and forecasts through the real store: what they hold back, what they show, and how people go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import dispatcher_setup
import pulse_waits
import pytest

from dispatch_mcp import errors, model
from dispatch_mcp.next_steps import NextStep, StepKind
from dispatch_mcp.service import answers, plan_answers

pytestmark = pytest.mark.anyio

PRICED = 1e-6


def price(name: str | None, usage: model.Usage) -> float | None:
    return None if name == "haiku" else (usage.input_tokens + usage.output_tokens) * PRICED


def task(name: str, *deps: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "do": f"Do {name}", "deps": list(deps), "effort": "S", "model": "sonnet", **more}


async def report_all(
    desk: dispatcher_setup.Desk, given: answers.Progress | answers.ReportAnswer, **usage: float
) -> answers.ReportAnswer:
    results = [dispatcher_setup.said(one, usage=usage) for one in given.assignments]
    return await desk.app.report(given.run_id, results)


@pytest.mark.promise("S9")
async def test_a_run_whose_money_is_spent_hands_out_nothing_more_until_its_ceiling_is_raised(tmp_path: Path) -> None:
    async with dispatcher_setup.opened(tmp_path / "home", rules={"price": price}) as desk:
        plan_id = await desk.planned(task("a"), task("b", "a"))
        given = await desk.app.dispatch(plan_id=plan_id, limits=model.Limits(dollars=0.5))
        reported = await report_all(desk, given, input_tokens=600_000, output_tokens=0)
        assert reported.assignments == ()
        trace = await desk.app.trace(run_id=given.run_id)
        assert (trace.state, trace.limits, trace.left) == ("paused", {"dollars": 0.5}, {"dollars": 0.0})
        assert trace.held.startswith("limits.dollars is 0.5, spent are 0.6")
        assert trace.next == NextStep(StepKind.RAISE_LIMIT, given.run_id)
        again = await desk.app.dispatch(run_id=given.run_id)
        assert again.assignments == ()
        raised = await desk.raised(given.run_id, dollars=5)
        assert [one.task_id for one in raised.assignments] == ["b"]
        assert (await desk.app.trace(run_id=given.run_id)).state == "running"


async def test_a_hold_outlives_the_process_that_met_it(tmp_path: Path) -> None:
    limits = model.Limits(tokens=200_000)
    async with dispatcher_setup.opened(tmp_path / "home") as desk:
        given = await desk.app.dispatch(plan_id=await desk.planned(task("a"), task("b", "a")), limits=limits)
        assert [one.task_id for one in given.assignments] == ["a"]
        await report_all(desk, given, cache_read_tokens=150_000, input_tokens=40_000)
    async with dispatcher_setup.opened(tmp_path / "home") as desk:
        assert (await desk.app.dispatch(run_id=given.run_id)).assignments == ()
        assert (await desk.app.trace(run_id=given.run_id)).held


@pytest.mark.promise("S18")
async def test_a_run_whose_ceiling_is_below_its_first_forecast_begins_nothing_and_says_what_it_needs(
    tmp_path: Path,
) -> None:
    async with dispatcher_setup.opened(tmp_path / "home", rules={"price": price}) as desk:
        plan_id = await desk.planned(task("a", effort="XL"), task("b", command=["true"]))
        begun = await desk.app.dispatch(plan_id=plan_id, limits=model.Limits(dollars=0.01))
        assert begun.assignments == ()

        async def held() -> answers.Trace | None:
            trace = await desk.app.trace(run_id=begun.run_id)
            return trace if trace.held else None

        trace = await pulse_waits.until(desk.app.engine, held)
        assert trace is not None
        assert (trace.state, trace.next) == ("paused", NextStep(StepKind.RAISE_LIMIT, begun.run_id))
        assert trace.held.startswith("limits.dollars is 0.01, spent are 0; a needs about 0.0")
        assert trace.spend == model.Usage()
        raised = await desk.raised(begun.run_id, dollars=1.0)
        assert [one.task_id for one in raised.assignments] == ["a"]


@pytest.mark.promise("S9")
async def test_by_a_persons_word_an_attempt_begins_with_what_is_left_although_its_forecast_does_not_fit(
    tmp_path: Path,
) -> None:
    async with dispatcher_setup.opened(tmp_path / "home", rules={"price": price}) as desk:
        plan_id = await desk.planned(task("a", effort="XL"), task("b", "a"))
        begun = await desk.app.dispatch(plan_id=plan_id, limits=model.Limits(dollars=0.01))
        assert begun.assignments == ()
        begun = await desk.raised(begun.run_id, beyond_forecast=True)
        assert [one.task_id for one in begun.assignments] == ["a"]
        reported = await report_all(desk, begun, input_tokens=11_000, output_tokens=0)
        assert reported.assignments == (), "what is spent is spent: nothing is left to begin with"
        assert (await desk.app.trace(run_id=begun.run_id)).limits == {"dollars": 0.01}


@pytest.mark.parametrize("name", ["beyond_forecast", "beyondForecast", "euros"])
def test_no_tool_takes_what_only_a_person_may_say(name: str) -> None:
    with pytest.raises(errors.InputError, match=f"limits.{name} is True; there is no such limit"):
        plan_answers.read_limits({"dollars": 1, name: True})


@pytest.mark.promise("S18")
async def test_a_raise_that_is_too_small_is_answered_with_the_new_figures(tmp_path: Path) -> None:
    async with dispatcher_setup.opened(tmp_path / "home", rules={"price": price}) as desk:
        begun = await desk.app.dispatch(plan_id=await desk.planned(task("a")), limits=model.Limits(dollars=0.001))
        await desk.raised(begun.run_id, dollars=0.002)
        assert (await desk.app.trace(run_id=begun.run_id)).held.startswith("limits.dollars is 0.002, spent are 0;")


@pytest.mark.promise("S18")
async def test_a_model_whose_price_nobody_knows_begins_under_a_ceiling_of_tokens_alone(tmp_path: Path) -> None:
    async with dispatcher_setup.opened(tmp_path / "home", rules={"price": price}) as desk:
        plan_id = await desk.planned(task("a", model="haiku"))
        begun = await desk.app.dispatch(plan_id=plan_id, limits=model.Limits(dollars=50.0), request_key="dollars")
        assert begun.assignments == ()
        assert "nobody knows a price of 'haiku'" in (await desk.app.trace(run_id=begun.run_id)).held
        tokens = await desk.app.dispatch(plan_id=plan_id, limits=model.Limits(tokens=900_000), request_key="tokens")
        assert [one.task_id for one in tokens.assignments] == ["a"]


@pytest.mark.promise("S18")
async def test_nobody_gets_more_than_the_configuration_allows(tmp_path: Path) -> None:
    async with dispatcher_setup.opened(tmp_path / "home", rules={"ceilings": model.Limits(dollars=2, tasks=2)}) as desk:
        plan_id = await desk.planned(task("a"), task("b"))
        with pytest.raises(errors.NotAllowed, match=r"limits\.dollars is 3; the configuration allows at most 2"):
            await desk.app.dispatch(plan_id=plan_id, limits=model.Limits(dollars=3))
        given = await desk.app.dispatch(plan_id=plan_id)
        assert (await desk.app.trace(run_id=given.run_id)).limits == {"dollars": 2.0, "tasks": 2}
        with pytest.raises(errors.NotAllowed, match="at most 2"):
            await desk.app.dispatch(run_id=given.run_id, limits=model.Limits(dollars=9))


@pytest.mark.promise("S18")
async def test_an_edit_cannot_give_a_run_more_tasks_than_it_may_have(tmp_path: Path) -> None:
    async with dispatcher_setup.opened(tmp_path / "home") as desk:
        plan_id = await desk.planned(task("a"))
        await desk.app.dispatch(plan_id=plan_id, limits=model.Limits(tasks=100))
        edits = [{"op": "add", "id": f"t{n}", "task": {"do": f"Do {n}"}} for n in range(9_000)]
        with pytest.raises(errors.NotAllowed, match="has 9001 tasks; the limit of this dispatch is 100"):
            await desk.app.plans.edit(plan_id, 1, edits)


async def test_tokens_that_a_host_reports_are_priced_and_unknown_prices_give_no_figure(tmp_path: Path) -> None:
    async with dispatcher_setup.opened(tmp_path / "home", rules={"price": price}) as desk:
        given = await desk.app.dispatch(plan_id=await desk.planned(task("a"), task("b", "a")))
        reported = await report_all(desk, given, input_tokens=2_000_000)
        spend = (await desk.app.trace(run_id=given.run_id)).spend
        assert spend is not None
        assert spend.cost_usd == pytest.approx(2.0)
        await report_all(desk, reported, input_tokens=10, cost_usd=0.5)
        spend = (await desk.app.trace(run_id=given.run_id)).spend
        assert spend is not None
        assert spend.cost_usd == pytest.approx(2.5)


@pytest.mark.promise("S9")
@pytest.mark.parametrize(
    "usage",
    [
        {"input_tokens": 600_000, "cost_usd": 0},
        {"input_tokens": 600_000, "cost_usd": 0.0001},
        {"modelUsage": {"sonnet": {"inputTokens": 600_000, "costUSD": 0}}},
        {"total_tokens": 600_000, "total_cost_usd": 0},
    ],
)
async def test_a_ceiling_of_dollars_holds_whatever_little_the_host_says_that_its_tokens_cost(
    tmp_path: Path, usage: dict[str, Any]
) -> None:
    def by_token(_name: str | None, usage: model.Usage) -> float:
        return usage.tokens * PRICED

    async with dispatcher_setup.opened(tmp_path / "home", rules={"price": by_token}) as desk:
        plan_id = await desk.planned(task("a"), task("b", "a"))
        given = await desk.app.dispatch(plan_id=plan_id, limits=model.Limits(dollars=0.5))
        assert [one.task_id for one in given.assignments] == ["a"]
        reported = await report_all(desk, given, **usage)
        assert reported.assignments == ()
        trace = await desk.app.trace(run_id=given.run_id)
        assert (trace.state, trace.held[:22]) == ("paused", "limits.dollars is 0.5,")
        [receipt] = [receipt for receipt in reported.results[0].receipts if receipt.kind == "usage"]
        assert receipt.detail.startswith("it says $0.00")


async def test_a_plan_says_what_it_is_expected_to_use_and_learns_from_what_was_used(tmp_path: Path) -> None:
    async with dispatcher_setup.opened(tmp_path / "home", rules={"price": price}) as desk:
        tasks = [task(f"t{n}", agent="builder") for n in range(6)]
        first = (await desk.app.plans.plan([{**one, "agent": None} for one in tasks])).plan.forecast
        assert (first["basis"], first["spawns"]) == ("priors", 6)
        assert first["tokens"][0] < first["tokens"][1]
        assert first["usd"][0] < first["usd"][1]
        given = await desk.app.dispatch(plan_id=await desk.planned(*[{**one, "agent": None} for one in tasks]))
        while given.assignments:
            desk.clock.now += 60
            given = await report_all(desk, given, input_tokens=1000)
        learned = (await desk.app.plans.plan([{**one, "agent": None} for one in tasks])).plan.forecast
        assert learned["basis"] == "history"
        assert learned["tokens"] == [6000, 6000]


async def test_a_task_holds_to_its_own_ceiling_of_attempts(tmp_path: Path) -> None:
    async with dispatcher_setup.opened(tmp_path / "home") as desk:
        plan_id = await desk.planned(task("a", limits={"max_attempts": 1}, max_attempts=5))
        given = await desk.app.dispatch(plan_id=plan_id)
        failed = {"status": "failed", "error": "no luck", "retryable": True}
        await desk.app.report(given.run_id, [{**dispatcher_setup.said(given.assignments[0]), **failed}])
        desk.clock.now += 3600
        with anyio.fail_after(120):
            after = await desk.app.dispatch(run_id=given.run_id)
        assert after.assignments == ()
        assert (await desk.states(given.run_id)) == {"a": "failed"}


async def test_what_is_spent_what_is_left_and_why_it_waits_agree_where_much_is_estimated(tmp_path: Path) -> None:
    async with dispatcher_setup.opened(tmp_path / "home") as desk:
        plan_id = await desk.planned(*[task(f"t{n}") for n in range(3)], task("last", "t0", "t1", "t2"))
        given = await desk.app.dispatch(plan_id=plan_id, limits=model.Limits(tokens=700_000))
        entries = [dispatcher_setup.said(one, usage={"input_tokens": 550_000}) for one in given.assignments[:1]]
        entries += [dispatcher_setup.said(one) for one in given.assignments[1:]]
        await desk.app.report(given.run_id, entries)
        trace = await desk.app.trace(run_id=given.run_id)
        assert trace.state == "paused"
        assert trace.spend is not None
        spent = int(trace.held.partition("spent are ")[2].partition(" ")[0].replace(",", ""))
        estimate = int(trace.held.partition("(")[2].partition(" of it estimated")[0].replace(",", ""))
        assert spent == trace.spend.tokens + estimate
        assert trace.left["tokens"] == max(0, 700_000 - spent)
