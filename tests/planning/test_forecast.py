"""Forecasts: ranges from history or priors, and what they add up to."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp import model
from dispatch_mcp.model import Effort
from dispatch_mcp.planning import forecast, graph, plan_checks

EFFORTS = st.sampled_from(list(Effort))


def price(name: str | None, usage: model.Usage) -> float | None:
    return None if name is None else forecast.counted_tokens(usage) / 1e6


def prepared(*tasks: model.Task, workers: int = 5) -> plan_checks.ScheduledPlan:
    return plan_checks.prepare(tasks, max_parallel=workers)


def task(name: str, *deps: str, effort: Effort = Effort.M, **more: object) -> model.Task:
    values = {"id": name, "goal": f"Build {name}", "deps": deps, "effort": effort, "model": "sonnet", **more}
    return model.Task.model_validate(values)


def of(tasks: Sequence[model.Task], workers: int = 5, past: forecast.Past | None = None) -> forecast.Forecast:
    return forecast.of_plan(prepared(*tasks, workers=workers), workers, past or forecast.Past(), price)


def test_without_history_it_says_that_these_are_priors() -> None:
    made = of([task("a")])
    assert (made.basis, made.spawns) == ("priors", 1)
    assert made.minutes.p50 == pytest.approx(graph.DEFAULT_MINUTES[Effort.M], rel=0.2)
    assert made.tokens.p90 == pytest.approx(made.tokens.p50 * forecast.SPREAD, rel=0.01)


def test_five_finished_tasks_of_an_agent_replace_the_prior_and_four_do_not() -> None:
    samples = [forecast.Sample("builder", "M", "sonnet", minutes, 1000, 0.5) for minutes in (1, 2, 3, 4, 5)]
    few = of([task("a", agent="builder")], past=forecast.Past(samples[:4]))
    many = of([task("a", agent="builder")], past=forecast.Past(samples))
    assert (few.basis, many.basis) == ("priors", "history")
    assert many.tokens == (1000, 1000)
    assert many.minutes.p50 == pytest.approx(3, rel=0.35)
    assert many.dollars == pytest.approx((0.5, 0.5))


def test_history_of_another_effort_says_nothing() -> None:
    samples = [forecast.Sample("builder", "S", "sonnet", 1, 1000)] * 9
    assert of([task("a", agent="builder")], past=forecast.Past(samples)).learned == 0


def test_work_without_a_model_costs_neither_tokens_nor_dollars() -> None:
    made = of([task("a", command=("make",), model=None)])
    assert (made.tokens, made.dollars, made.spawns, made.unpriced) == ((0, 0), (0, 0), 0, 0)


def test_a_plan_without_any_price_has_no_figure_in_dollars_and_a_mixed_one_counts_what_lacks_it() -> None:
    assert of([task("a", model=None)]).dollars is None
    mixed = of([task("a", model=None), task("b")])
    assert (mixed.unpriced, mixed.dollars is not None) == (1, True)
    assert "usd" not in of([task("a", model=None)]).answer()


def test_a_sum_spreads_less_than_its_parts() -> None:
    one = forecast.total([forecast.Interval(10, 25)])
    many = forecast.total([forecast.Interval(10, 25)] * 25)
    assert one == pytest.approx((10, 25))
    assert many.p90 / many.p50 < 1.4 < one.p90 / one.p50


def test_the_range_of_a_sum_holds_what_drawn_sums_show() -> None:
    rng = random.Random(7)
    parts = [forecast.Interval(p50, p50 * 2.5) for p50 in (5, 10, 20, 40, 80)]
    sigma = 0.715  # of a log-normal whose p90 is 2.5 times its p50
    sums = sorted(sum(part.p50 * rng.lognormvariate(0, sigma) for part in parts) for _ in range(20_000))
    made = forecast.total(parts)
    assert made.p50 == pytest.approx(sums[10_000], rel=0.06)
    assert made.p90 == pytest.approx(sums[18_000], rel=0.06)


@given(st.lists(EFFORTS, min_size=1, max_size=12), st.integers(1, 8))
def test_a_plan_takes_no_less_than_its_longest_task_and_no_longer_than_all_of_them(
    efforts: list[Effort], workers: int
) -> None:
    tasks = [task(f"t{n}", effort=effort) for n, effort in enumerate(efforts)]
    made = of(tasks, workers)
    minutes = [graph.DEFAULT_MINUTES[effort] for effort in efforts]
    assert made.minutes.p50 <= made.minutes.p90
    assert max(minutes) * 0.6 <= made.minutes.p50
    assert made.minutes.p50 <= sum(minutes) * 1.8
    assert made.tokens.p50 <= made.tokens.p90


@given(st.lists(EFFORTS, min_size=1, max_size=12))
def test_the_same_plan_has_the_same_forecast(efforts: list[Effort]) -> None:
    tasks = [task(f"t{n}", effort=effort) for n, effort in enumerate(efforts)]
    assert of(tasks).answer() == of(tasks).answer()


def test_more_effort_is_expected_to_use_more() -> None:
    used = [forecast.counted_tokens(forecast.prior(effort, "implementation")) for effort in Effort]
    assert used == sorted(used)
    assert len(set(used)) == len(used)
