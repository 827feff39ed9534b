"""The account of a run, move by move; what it lets a whole run do is in test_budget.py."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp import model
from dispatch_mcp.model import AttemptState, WorkerKind, bounds, transitions
from dispatch_mcp.planning import forecast
from dispatch_mcp.runs import ledger

HOST, API, COMMAND, HUMAN = WorkerKind.HOST, WorkerKind.API, WorkerKind.COMMAND, WorkerKind.HUMAN
LIKELY, MOST = 1_000.0, 2_000.0
"""Tokens of any attempt here: the p50 and the p90 of its forecast. A thousand tokens cost a dollar."""


def expect(_task: model.Task) -> forecast.Expected:
    tokens = forecast.Interval(LIKELY, MOST)
    return forecast.Expected(tokens=tokens, minutes=forecast.NOTHING, dollars=forecast.Interval(1.0, 2.0), samples=0)


def price(_name: str | None, usage: model.Usage) -> float | None:
    return forecast.counted_tokens(usage) / 1_000


def account(limits: Mapping[str, float] | None = None, **own: Mapping[str, float]) -> ledger.Ledger:
    """An account of the tasks a to d; `own` are ceilings of tasks."""
    tasks = {
        name: model.Task(id=name, do=name, limits=model.TaskLimits.model_validate(own.get(name, {}))) for name in "abcd"
    }
    return ledger.Ledger(model.Limits.model_validate(limits or {}), 0.0, tasks, expect, price)


def use(name: str, tokens: int | None = None, *, attempt: int = 1, worker: WorkerKind = API) -> ledger.AttemptUse:
    """An ended attempt; without tokens nobody reported it."""
    usage = None if tokens is None else model.Usage(input_tokens=tokens)
    return ledger.AttemptUse(name, attempt, worker, running=False, usage=usage)


def test_what_runs_is_set_aside_and_what_ended_is_spent() -> None:
    run = account({"tokens": 10_000})
    run.begin("a", API, 0.0, slots=9)
    assert (run.spent.tokens, run.reserved.tokens) == (0, MOST)
    run.end(use("a", 300))
    assert (run.spent.tokens, run.reserved.tokens, run.attempts) == (300, 0, 1)


@pytest.mark.parametrize("worker", [COMMAND, WorkerKind.SCRIPTED])
def test_programs_count_as_attempts_and_cost_nothing(worker: WorkerKind) -> None:
    run = account({"tokens": 1})
    run.begin("a", worker, 0.0)
    run.end(use("a", worker=worker))
    run.end(use("a", 300, worker=worker))
    assert (run.attempts, run.spent, run.reserved) == (1, ledger.NOTHING, ledger.NOTHING)
    assert run.refusal("b", worker, 0.0, 0) is None


def test_people_are_never_held_back_and_never_counted() -> None:
    run = account({"attempts": 1, "fan_out": 1, "minutes": 1, "tokens": 1})
    run.begin("a", HUMAN, 0.0)
    assert run.attempts == 0
    assert run.refusal("b", HUMAN, 1e9, 99) is None


@pytest.mark.parametrize(
    ("limits", "now", "running", "limit"),
    [
        ({"attempts": 1}, 0.0, 0, "attempts"),
        ({"minutes": 2}, 120.0, 0, "minutes"),
        ({"fan_out": 3}, 0.0, 3, "fan_out"),
        ({"tokens": 1_200}, 0.0, 0, "tokens"),
        ({"dollars": 1.2}, 0.0, 0, "dollars"),
    ],
)
def test_a_refusal_names_the_ceiling_that_was_met(
    limits: Mapping[str, float], now: float, running: int, limit: str
) -> None:
    run = account(limits)
    run.begin("a", API, 0.0)
    run.end(use("a", 300))
    hold = run.refusal("b", API, now, running)
    assert hold is not None
    assert (hold.limit, hold.task_id, hold.ceiling) == (limit, "b", limits[limit])
    assert account(limits).refusal("b", API, 0.0, 0) is None


@pytest.mark.parametrize(("now", "left"), [(600.0, 1.0), (630.0, 0.5), (599.0, 1.0), (900.0, 0.01)])
def test_an_attempt_gets_the_minutes_that_are_left_since_the_run_began(now: float, left: float) -> None:
    run = account({"minutes": 1})
    run.started_at = 600.0
    assert run.begin("a", API, now).minutes == left


def test_a_clock_that_went_back_uses_no_minutes() -> None:
    assert account({"minutes": 1}).refusal("a", API, -1e6, 0) is None


@pytest.mark.promise("S18")
@pytest.mark.parametrize("worker", [API, HOST, WorkerKind.CLAUDE])
@pytest.mark.parametrize(
    ("limits", "limit", "needed"),
    [
        ({"tokens": 999}, "tokens", LIKELY),
        ({"dollars": 0.01}, "dollars", 1.0),
        ({"dollars": 0.01, "tokens": 9_999}, "dollars", 1.0),
    ],
)
def test_the_first_attempt_too_does_not_begin_where_its_forecast_does_not_fit(
    worker: WorkerKind, limits: Mapping[str, float], limit: str, needed: float
) -> None:
    hold = account(limits).refusal("a", worker, 0.0, 0)
    assert hold is not None
    assert (hold.limit, hold.needed, hold.spent) == (limit, needed, 0)


@pytest.mark.promise("S9")
@pytest.mark.parametrize("worker", [API, HOST, WorkerKind.CLAUDE])
def test_where_a_person_lets_forecasts_not_count_all_that_is_left_may_be_given_and_nothing_more(
    worker: WorkerKind,
) -> None:
    run = account({"tokens": 300, "beyond_forecast": True})
    assert run.refusal("a", worker, 0.0, 0) is None
    assert run.begin("a", worker, 0.0).tokens == 300
    assert run.refusal("b", worker, 0.0, 1) is not None, "all of it is given away"
    run.end(use("a", 120, worker=worker))
    assert run.begin("b", worker, 0.0).tokens == 180
    run.end(use("b", 180, worker=worker))
    assert run.refusal("c", worker, 0.0, 0) is not None


@pytest.mark.promise("S18")
def test_alone_what_is_likely_must_fit_and_beside_others_the_most_that_is_expected() -> None:
    run = account({"tokens": 3_500})
    assert run.refusal("a", HOST, 0.0, 0) is None
    run.begin("a", HOST, 0.0)
    hold = run.refusal("b", API, 0.0, 1)
    assert hold is not None
    assert (hold.limit, hold.needed) == ("tokens", MOST)
    run.end(use("a", 2_400, worker=HOST))
    assert run.refusal("b", API, 0.0, 0) is None
    assert run.begin("b", API, 0.0).tokens == 1_100


@pytest.mark.promise("S18")
@pytest.mark.parametrize(
    ("worker", "name", "asks"),
    [
        (API, "claude-of-the-future", "claude-of-the-future"),
        (WorkerKind.CLAUDE, None, "sonnet"),
        (HOST, None, ledger.DEAREST),
    ],
)
def test_dollars_that_nobody_can_count_let_nothing_begin_and_tokens_alone_do(
    worker: WorkerKind, name: str | None, asks: str
) -> None:
    task = model.Task(id="a", do="a", model=name)
    own = task.model_copy(update={"limits": model.TaskLimits(dollars=3.0)})
    for limits, spec in ((model.Limits(dollars=9.0, tokens=9_000), task), (model.Limits(tokens=9_000), own)):
        hold = ledger.Ledger(limits, 0.0, {"a": spec}, expect).refusal("a", worker, 0.0, 0)
        assert hold is not None
        assert (hold.limit, hold.unpriced_model) == ("dollars", asks)
    assert ledger.Ledger(model.Limits(tokens=9_000), 0.0, {"a": task}, expect).refusal("a", worker, 0.0, 0) is None


def test_the_largest_attempt_so_far_is_what_the_next_one_may_need() -> None:
    run = account({"tokens": 100_000})
    run.begin("a", API, 0.0)
    run.end(use("a", 9_000))
    run.begin("b", API, 0.0, slots=99)
    assert run.reserved.tokens == 9_000


def test_an_estimate_never_makes_the_next_one_larger() -> None:
    run = account({"tokens": 100_000})
    run.begin("a", HOST, 0.0)
    run.end(use("a", worker=HOST))
    assert (run.spent.tokens, run.largest.tokens) == (MOST, 0)


def test_a_host_that_reports_without_usage_is_booked_with_what_is_likely() -> None:
    run = account({"tokens": 100_000})
    run.begin("a", HOST, 0.0)
    run.end(ledger.AttemptUse("a", 1, HOST, running=False, usage=model.Usage()))
    assert run.spent.tokens == LIKELY


def test_a_rate_limit_met_at_once_costs_nothing() -> None:
    run = account({"tokens": 100_000})
    run.begin("a", HOST, 0.0)
    outcome = model.Outcome(state=AttemptState.FAILED, error_kind=transitions.RATE_LIMIT)
    run.end(ledger.ended("a", 1, HOST, outcome))
    assert run.spent == ledger.NOTHING


def test_a_late_report_takes_the_place_of_the_estimate() -> None:
    run = account({"tokens": 100_000})
    run.begin("a", API, 0.0)
    run.end(use("a"))
    run.late(use("a", 700))
    assert run.spent.tokens == 700
    assert run.used_up("a", 1) == ""


def test_a_late_report_of_an_attempt_that_was_counted_is_added() -> None:
    run = account({"tokens": 100_000})
    run.begin("a", API, 0.0)
    run.end(use("a", 500))
    run.late(use("a", 200, attempt=2))
    assert run.spent.tokens == 700


@pytest.mark.parametrize(
    ("own", "tokens", "attempts", "limit"),
    [
        ({}, 9_000, 9, ""),
        ({"attempts": 2}, 10, 2, "attempts"),
        ({"attempts": 3}, 10, 2, ""),
        ({"tokens": 500}, 500, 1, "tokens"),
        ({"tokens": 500}, 499, 1, ""),
        ({"dollars": 0.5}, 500, 1, "dollars"),
    ],
)
def test_a_tasks_own_ceiling_is_used_up_by_its_own_attempts(
    own: Mapping[str, float], tokens: int, attempts: int, limit: str
) -> None:
    run = account(a=own)
    run.begin("a", API, 0.0)
    run.end(use("a", tokens))
    assert run.used_up("a", attempts) == limit
    assert run.used_up("b", 0) == run.used_up("unknown", 0) == ""


@pytest.mark.promise("S18")
def test_an_attempt_gets_its_part_of_the_runs_rest_and_all_of_its_tasks() -> None:
    run = account({"tokens": 12_000}, b={"tokens": 900})
    assert run.begin("b", API, 0.0, slots=4).tokens == 900
    run.end(use("b", 300))
    assert run.begin("a", API, 0.0, slots=3).tokens == 3_900
    assert run.begin("b", API, 0.0, slots=2).tokens == 600
    assert account().begin("a", API, 0.0, slots=4) == model.NO_LIMITS


@pytest.mark.promise("S18")
def test_what_attempts_under_way_were_given_is_never_more_than_there_is() -> None:
    run = account({"tokens": 5_000, "dollars": 5.0})
    tokens = [run.begin(name, API, 0.0, slots=3).tokens for name in "ab"]
    assert tokens == [MOST, MOST]
    assert run.begin("c", API, 0.0, slots=1).tokens == 1_000
    assert run.reserved == (5_000, 5.0)


def test_an_attempt_of_the_hosts_has_set_aside_what_is_expected_of_it_and_no_part_of_the_rest() -> None:
    run = account({"tokens": 50_000})
    assert run.begin("a", HOST, 0.0, slots=2).tokens == MOST


def test_the_minutes_that_are_left_of_a_run_are_all_that_any_attempt_has() -> None:
    run = account({"minutes": 10.0})
    for worker in (API, HOST, COMMAND):
        assert run.begin("a", worker, 540.0).minutes == 1.0
    assert run.begin("a", HUMAN, 540.0) == model.NO_LIMITS


def stopped(
    name: str, tokens: int, *, attempt: int = 1, given: int = 0, by: ledger.Money = "tokens"
) -> ledger.AttemptUse:
    """An attempt that stopped at what it was given."""
    allotment = model.TaskLimits(tokens=given or None)
    return use(name, tokens, attempt=attempt)._replace(stopped_by=by, allotment=allotment)


@pytest.mark.promise("S18")
def test_a_task_that_stopped_goes_on_only_when_more_is_left_and_then_gets_all_of_it() -> None:
    run = account({"tokens": 4_000})
    run.begin("a", API, 0.0)
    run.end(stopped("a", 2_500))
    hold = run.refusal("a", API, 0.0, 0)
    assert hold is not None
    assert (hold.at_end, hold.spent) == (True, 2_500)
    assert run.refusal("b", API, 0.0, 0) is None
    run.limits = model.Limits(tokens=4_500)
    assert run.refusal("a", API, 0.0, 0) is None
    assert run.begin("a", API, 0.0, slots=9).tokens == 2_000


@pytest.mark.promise("S18")
def test_a_task_that_stopped_at_its_part_of_a_run_goes_on_with_the_rest() -> None:
    run = account({"tokens": 20_000})
    run.begin("a", API, 0.0, slots=4)
    run.end(stopped("a", 4_900))
    assert run.refusal("a", API, 0.0, 0) is None
    assert run.begin("a", API, 0.0, slots=4).tokens == 15_100


@pytest.mark.promise("S18")
def test_a_task_that_stopped_at_its_own_ceiling_has_used_it_up() -> None:
    run = account({"tokens": 20_000}, a={"tokens": 500})
    run.begin("a", API, 0.0, slots=4)
    run.end(stopped("a", 0))
    assert (run.used_up("a", 1), run.used_up("b", 1)) == ("tokens", "")


@pytest.mark.parametrize("limits", [{"tokens": 4_000}, {"tokens": 4_500}])
def test_where_a_task_stopped_is_known_again_from_the_records_also_after_a_raise(limits: Mapping[str, float]) -> None:
    run = account(limits)
    run.replay([stopped("a", 2_500, given=4_000)])
    assert (run.refusal("a", API, 0.0, 0) is None) == (limits["tokens"] > 4_000)


def test_a_running_attempt_keeps_what_it_was_given_when_the_account_is_opened_again() -> None:
    run = account({"tokens": 20_000})
    given = model.TaskLimits(tokens=7_500)
    run.replay([ledger.AttemptUse("a", 1, API, running=True, allotment=given)])
    assert run.reserved.tokens == 7_500
    run.end(use("a", 10))
    assert run.reserved == ledger.NOTHING


@pytest.mark.promise("S18")
def test_an_attempt_that_nobody_reported_counts_as_what_it_had_left_word_of() -> None:
    run = account({"tokens": 20_000})
    run.begin("a", API, 0.0)
    run.remember({("a", 1): model.Usage(input_tokens=6_000)})
    run.end(use("a"))
    assert run.spent.tokens == 6_000
    run.begin("b", API, 0.0)
    run.end(use("b"))
    assert run.spent.tokens == 6_000 + MOST


def test_what_an_attempt_left_unreported_is_counted_once_when_the_next_one_reports_it_too() -> None:
    run = account({"tokens": 20_000})
    run.replay([use("a")._replace(trail=model.Usage(input_tokens=600)), use("a", 1_000, attempt=2)])
    assert run.spent.tokens == 1_000
    other = account({"tokens": 20_000})
    other.replay([use("a", worker=HOST), use("a", 1_000, attempt=2)])
    assert other.spent.tokens == 1_000 + MOST


@pytest.mark.promise("R25")
def test_absurd_figures_leave_sums_that_can_be_counted_with() -> None:
    run = account({"dollars": 5.0, "tokens": 10})
    for name in "ab":
        run.begin(name, HOST, 0.0)
        figures = {"input_tokens": 2**62, "output_tokens": 2**62, "cost_usd": 1.7e308}
        usage = model.Usage().model_copy(update=figures)
        run.end(ledger.AttemptUse(name, 1, HOST, running=False, usage=usage))
    assert run.spent == (2 * bounds.MAX_TOKENS, 2 * bounds.MAX_DOLLARS)
    run.late(use("a", 5))
    assert all(math.isfinite(figure) for figure in (*run.spent, *run.reserved))


def test_a_ceiling_is_never_nothing() -> None:
    run = account(a={"tokens": 100, "dollars": 0.1})
    run.begin("a", API, 0.0)
    run.end(use("a", 5_000))
    ceiling = run.begin("a", API, 0.0)
    assert (ceiling.tokens, ceiling.dollars) == (1, 0.000_001)


def test_a_new_version_of_the_plan_is_forecast_anew_and_forgets_no_task() -> None:
    run = account({"tokens": 100_000})
    run.begin("a", HOST, 0.0)
    run.replan({"e": model.Task(id="e", do="more", limits=model.TaskLimits(tokens=50))})
    run.begin("e", API, 0.0)
    assert run.reserved.tokens == MOST + 50
    run.end(use("a", 10, worker=HOST))
    run.end(use("e", 20))
    assert run.spent.tokens == 30


@given(st.integers(0, 10**6))
def test_an_account_taken_from_the_records_is_the_one_that_was_kept(seed: int) -> None:
    rng = random.Random(seed)
    kept, records = account({"tokens": 50_000, "dollars": 50.0}), list[ledger.AttemptUse]()
    for number in range(rng.randrange(1, 12)):
        name, worker = rng.choice("abcd"), rng.choice([API, HOST, COMMAND, HUMAN])
        kept.begin(name, worker, 0.0)
        ended = use(name, rng.choice([None, 0, rng.randrange(5_000)]), attempt=number, worker=worker)
        kept.end(ended)
        records.append(ended)
    again = account({"tokens": 50_000, "dollars": 50.0})
    again.replay(records)
    assert again.spent == pytest.approx(kept.spent)
    assert again.reserved == kept.reserved == ledger.NOTHING
    assert again.attempts == kept.attempts
    assert again.largest == pytest.approx(kept.largest)


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 5_000)), max_size=30))
def test_nothing_is_left_set_aside_when_nothing_runs(moves: list[tuple[str, int]]) -> None:
    run = account({"dollars": 1_000.0})
    for name, tokens in moves:
        run.begin(name, API, 0.0)
        run.end(use(name, tokens))
    assert run.reserved == ledger.NOTHING
    assert run.spent.tokens == sum(tokens for _, tokens in moves)


def test_an_attempt_that_was_handed_out_does_not_begin_once_others_have_used_what_it_needs() -> None:
    books = account({"tokens": 4_000})
    for name in ("a", "b"):
        books.begin(name, WorkerKind.HOST, 0.0)
    assert books.overdrawn("a") is None
    assert books.overdrawn("b") is None
    books.end(use("a", 3_990, worker=WorkerKind.HOST))
    hold = books.overdrawn("b")
    assert hold is not None
    assert (hold.limit, hold.ceiling, hold.spent, hold.task_id) == ("tokens", 4_000, 3_990, "b")
    assert hold.unbegun().error == hold.text()
    assert not hold.unbegun().usage.tokens
    assert books.overdrawn("nobody") is None


def test_without_a_ceiling_whatever_was_handed_out_begins() -> None:
    books = account()
    books.begin("a", WorkerKind.HOST, 0.0)
    assert books.overdrawn("a") is None
