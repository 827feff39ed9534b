"""The figures of a forecast one by one: priors, history, prices, sums and how they are shown."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp import model
from dispatch_mcp.model import Effort
from dispatch_mcp.planning import forecast, graph, plan_checks
from dispatch_mcp.planning.forecast import Interval, Sample


def task(**fields: model.Json) -> model.Task:
    return model.Task.model_validate({"id": "a", "do": "Build it", **fields})


def samples(count: int, agent: str = "builder", name: str = "sonnet", dollars: float | None = None) -> list[Sample]:
    return [Sample(agent, "M", name, float(at), at * 1_000, dollars and dollars * at) for at in range(1, count + 1)]


def per_million(_name: str | None, usage: model.Usage) -> float:
    return usage.tokens / 1e6


@pytest.mark.parametrize(
    ("effort", "kind", "turns"),
    [
        (Effort.S, "implementation", 6),
        (Effort.M, "implementation", 15),
        (Effort.L, "implementation", 35),
        (Effort.XL, "implementation", 80),
        (Effort.M, "investigation", 12),
        (Effort.M, "review", 9),
        (Effort.M, "consultation", 6),
        (Effort.S, "consultation", 2),
    ],
)
def test_a_prior_is_a_session_whose_every_turn_reads_all_before_it_from_the_cache(
    effort: Effort, kind: str, turns: int
) -> None:
    read = written = answered = 0
    for turn in range(turns):
        read += 12_400 + turn * 1_900
        written += 1_900
        answered += 400
    usage = forecast.prior(effort, kind)
    assert (usage.cache_read_tokens, usage.cache_write_tokens) == (read, written + 12_400)
    assert (usage.output_tokens, usage.input_tokens) == (answered, 1_500)


def test_without_history_a_task_may_take_two_and_a_half_times_its_median() -> None:
    use = forecast.Past().expected(task(effort="L"), per_million)
    tokens = forecast.prior(Effort.L, "implementation").tokens
    assert use.tokens == (tokens, tokens * 2.5)
    assert use.minutes == (40, 100)
    assert use.dollars == pytest.approx((tokens / 1e6, tokens * 2.5 / 1e6))
    assert use.samples == 0
    assert forecast.Past().expected(task(), forecast.no_price).dollars is None


@pytest.mark.parametrize("worker", ["command", "scripted", "human"])
def test_whoever_is_no_model_uses_time_alone(worker: str) -> None:
    use = forecast.Past(samples(9)).expected(task(worker=worker, agent="builder", effort="M"), per_million)
    minutes = (0, 0) if worker == "human" else (0.5, 1.25)
    assert (use.tokens, use.dollars, use.minutes) == ((0, 0), (0, 0), minutes)
    assert not forecast.uses_model(task(worker=worker))


@pytest.mark.parametrize("worker", ["host", "api", "claude", None])
def test_models_use_tokens_unless_a_command_does_the_work(worker: str | None) -> None:
    assert forecast.uses_model(task(worker=worker))
    assert forecast.uses_model(task(worker=worker, command=["make"])) is (worker is not None)


def test_history_gives_the_median_and_nine_in_ten_of_what_was_seen() -> None:
    use = forecast.Past(samples(11)).expected(task(agent="builder"), forecast.no_price)
    assert use == forecast.Expected(Interval(6_000, 10_000), None, Interval(6, 10), 11)
    between = forecast.Past(samples(6)).expected(task(agent="builder"), forecast.no_price)
    assert between.minutes == pytest.approx((3.5, 5.5))


def test_the_agent_counts_before_the_model_and_the_model_where_the_agent_is_new() -> None:
    past = forecast.Past([*samples(5, "builder", "opus"), *samples(9, "other", "sonnet")])
    assert len(past.of(task(agent="builder", model="sonnet"))) == 5
    assert len(past.of(task(agent="new", model="sonnet"))) == 9
    assert len(past.of(task(model="opus"))) == 5
    assert past.of(task(agent="new", model="haiku")) == ()
    assert past.of(task(agent="builder", effort="XL")) == ()
    assert past.of(task()) == ()


def test_durations_come_from_agents_that_have_done_enough() -> None:
    past = forecast.Past(samples(5))
    known, new = task(agent="builder"), task(agent="new", id="b", model="sonnet")
    assert past.durations([known, new, task(id="c")]) == {"a": 3.0}
    assert forecast.Past(samples(4)).durations([known]) == {}


def test_dollars_come_from_history_where_it_has_them_else_from_its_tokens_and_the_price() -> None:
    known = task(agent="builder")
    assert forecast.Past(samples(11, dollars=0.5)).expected(known, forecast.no_price).dollars == (3.0, 5.0)
    priced = forecast.Past(samples(11)).expected(known, per_million)
    assert priced.dollars == pytest.approx((0.006, 0.01))
    assert forecast.Past(samples(11)).expected(known, forecast.no_price).dollars is None


_RANGES = st.tuples(st.floats(0.1, 1e4), st.floats(1, 6)).map(lambda pair: Interval(pair[0], pair[0] * pair[1]))


def moments(part: Interval) -> tuple[float, float]:
    """Returns mean and variance of a log-normal with that median and 90th percentile."""
    sigma2 = (math.log(part.p90 / part.p50) / statistics.NormalDist().inv_cdf(0.9)) ** 2
    mean = part.p50 * math.exp(sigma2 / 2)
    return mean, mean * mean * math.expm1(sigma2)


@given(st.lists(_RANGES, min_size=1, max_size=8))
def test_a_sum_has_the_mean_and_the_variance_of_its_parts_together(parts: list[Interval]) -> None:
    means, variances = zip(*map(moments, parts), strict=True)
    mean, variance = moments(forecast.total(parts))
    assert mean == pytest.approx(sum(means))
    assert variance == pytest.approx(sum(variances), rel=1e-6, abs=1e-6 * mean * mean)
    assert forecast.total(reversed(parts)) == pytest.approx(forecast.total(parts))


def test_what_is_certain_adds_up_exactly_and_nothing_is_nothing() -> None:
    assert forecast.total([Interval(2, 2), Interval(3, 3)]) == pytest.approx((5, 5))
    assert forecast.total([]) == forecast.total([Interval(0, 0)]) == (0, 0)
    assert forecast.total([Interval(0, 0), Interval(4, 10)]) == pytest.approx((4, 10))


@pytest.mark.parametrize("count", [3, 124, 126, 300])
def test_large_plans_are_approximated_without_a_break(count: int) -> None:
    tasks = [task(id=f"t{number}") for number in range(count)]
    plan = plan_checks.prepare(tasks, max_parallel=5)
    minutes = forecast.makespan(plan, [Interval(15, 37.5)] * count, 5)
    ideal = math.ceil(count / 5) * graph.DEFAULT_MINUTES[Effort.M]
    assert 0.8 <= minutes.p50 / ideal <= 1.9
    assert minutes.p50 < minutes.p90 < minutes.p50 * 2.6


def test_the_scenarios_of_a_single_task_are_spread_as_its_range_says() -> None:
    plan = plan_checks.prepare([task()], max_parallel=1)
    minutes = forecast.makespan(plan, [Interval(10, 25)], 1)
    assert minutes.p50 == pytest.approx(10, rel=0.25)
    assert minutes.p90 == pytest.approx(25, rel=0.25)
    assert statistics.mean(forecast.makespan(plan, [Interval(10, 10)], 1)) == pytest.approx(10)


@pytest.mark.parametrize(
    ("tokens", "shown"), [(0, 0), (7, 7), (99, 99), (100, 100), (149, 150), (12_449, 12_000), (987_654, 990_000)]
)
def test_tokens_are_shown_with_two_digits_that_mean_something(tokens: float, shown: int) -> None:
    figures = forecast.Forecast(Interval(tokens, tokens), None, Interval(1, 2), 1, 1).answer()
    assert figures["tokens"] == [shown, shown]


@pytest.mark.parametrize(
    ("learned", "tasks", "basis"),
    [(0, 3, "priors"), (3, 3, "history"), (1, 3, "history for 1 of 3, else priors"), (0, 0, "priors")],
)
def test_a_forecast_says_where_its_figures_come_from(learned: int, tasks: int, basis: str) -> None:
    made = forecast.Forecast(Interval(1, 2), Interval(0.126, 2.0), Interval(1.4, 2.6), 2, tasks, 1, learned)
    assert made.answer() == {
        "tokens": [1, 2],
        "unpriced": 1,
        "min": [1.4, 2.6],
        "spawns": 2,
        "basis": basis,
    }
