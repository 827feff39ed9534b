"""The account of a run, move by move; what it lets a whole run do is in test_budget.py."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp import model
from dispatch_mcp.model import AttemptState, WorkerKind, transitions
from dispatch_mcp.planning import forecast
from dispatch_mcp.runs import ledger

HOST, API, COMMAND, HUMAN = WorkerKind.HOST, WorkerKind.API, WorkerKind.COMMAND, WorkerKind.HUMAN
LIKELY, MOST = 1_000.0, 2_000.0
"""Tokens of any attempt here: the p50 and the p90 of its forecast. A thousand tokens cost a dollar."""


def expect(_task: model.Task) -> forecast.Expected:
    tokens = forecast.Range(LIKELY, MOST)
    return forecast.Expected(tokens=tokens, minutes=forecast.NOTHING, dollars=forecast.Range(1.0, 2.0), samples=0)


def price(_name: str | None, usage: model.Usage) -> float | None:
    return forecast.counted_tokens(usage) / 1_000


def account(limits: Mapping[str, float] | None = None, **own: Mapping[str, float]) -> ledger.Ledger:
    """An account of the tasks a to d; `own` are ceilings of tasks."""
    tasks = {name: model.Task(id=name, do=name, limits=model.TaskLimits(**own.get(name, {}))) for name in "abcd"}
    return ledger.Ledger(model.Limits(**(limits or {})), 0.0, tasks, expect, price)


def use(name: str, tokens: int | None = None, *, attempt: int = 1, worker: WorkerKind = API) -> ledger.AttemptUse:
    """An ended attempt; without tokens nobody reported it."""
    usage = None if tokens is None else model.Usage(input_tokens=tokens)
    return ledger.AttemptUse(name, attempt, worker, running=False, usage=usage)


def test_what_runs_is_set_aside_and_what_ended_is_spent() -> None:
    run = account({"tokens": 10_000})
    run.begin("a", API)
    assert (run.spent.tokens, run.reserved.tokens) == (0, MOST)
    run.end(use("a", 300))
    assert (run.spent.tokens, run.reserved.tokens, run.attempts) == (300, 0, 1)


@pytest.mark.parametrize("worker", [COMMAND, WorkerKind.SCRIPTED])
def test_programs_count_as_attempts_and_cost_nothing(worker: WorkerKind) -> None:
    run = account({"tokens": 1})
    run.begin("a", worker)
    run.end(use("a", worker=worker))
    assert (run.attempts, run.spent, run.reserved) == (1, ledger.NOTHING, ledger.NOTHING)
    assert run.refusal("b", worker, 0.0, 0) is None


def test_people_are_never_held_back_and_never_counted() -> None:
    run = account({"attempts": 1, "fan_out": 1, "minutes": 1, "tokens": 1})
    run.begin("a", HUMAN)
    assert run.attempts == 0
    assert run.refusal("b", HUMAN, 1e9, 99) is None


@pytest.mark.parametrize(
    ("limits", "now", "running", "limit"),
    [
        ({"attempts": 1}, 0.0, 0, "attempts"),
        ({"minutes": 2}, 120.0, 0, "minutes"),
        ({"fan_out": 3}, 0.0, 3, "fan_out"),
        ({"tokens": 300}, 0.0, 0, "tokens"),
        ({"dollars": 0.3}, 0.0, 0, "dollars"),
    ],
)
def test_a_refusal_names_the_ceiling_that_was_met(
    limits: Mapping[str, float], now: float, running: int, limit: str
) -> None:
    run = account(limits)
    run.begin("a", API)
    run.end(use("a", 300))
    hold = run.refusal("b", API, now, running)
    assert hold is not None
    assert (hold.limit, hold.task_id, hold.ceiling) == (limit, "b", limits[limit])
    assert account(limits).refusal("b", API, 0.0, 0) is None


def test_a_clock_that_went_back_uses_no_minutes() -> None:
    assert account({"minutes": 1}).refusal("a", API, -1e6, 0) is None


def test_alone_an_attempt_may_go_over_what_is_left_and_beside_others_it_may_not() -> None:
    run = account({"tokens": 2_500})
    assert run.refusal("a", API, 0.0, 0) is None
    run.begin("a", API)
    hold = run.refusal("b", API, 0.0, 1)
    assert hold is not None
    assert (hold.limit, hold.needed) == ("tokens", MOST)
    run.end(use("a", 2_400))
    assert run.refusal("b", API, 0.0, 0) is None


def test_the_largest_attempt_so_far_is_what_the_next_one_may_need() -> None:
    run = account({"tokens": 100_000})
    run.begin("a", API)
    run.end(use("a", 9_000))
    run.begin("b", API)
    assert run.reserved.tokens == 9_000


def test_an_estimate_never_makes_the_next_one_larger() -> None:
    run = account({"tokens": 100_000})
    run.begin("a", API)
    run.end(use("a"))
    assert (run.spent.tokens, run.largest.tokens) == (MOST, 0)


def test_a_host_that_reports_without_usage_is_booked_with_what_is_likely() -> None:
    run = account({"tokens": 100_000})
    run.begin("a", HOST)
    run.end(ledger.AttemptUse("a", 1, HOST, running=False, usage=model.Usage()))
    assert run.spent.tokens == LIKELY


def test_a_rate_limit_met_at_once_costs_nothing() -> None:
    run = account({"tokens": 100_000})
    run.begin("a", HOST)
    outcome = model.Outcome(state=AttemptState.FAILED, error_kind=transitions.RATE_LIMIT)
    run.end(ledger.ended("a", 1, HOST, outcome))
    assert run.spent == ledger.NOTHING


def test_a_late_report_takes_the_place_of_the_estimate() -> None:
    run = account({"tokens": 100_000})
    run.begin("a", API)
    run.end(use("a"))
    run.late(use("a", 700))
    assert run.spent.tokens == 700
    assert run.used_up("a", 1) == ""


def test_a_late_report_of_an_attempt_that_was_counted_is_added() -> None:
    run = account({"tokens": 100_000})
    run.begin("a", API)
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
    run.begin("a", API)
    run.end(use("a", tokens))
    assert run.used_up("a", attempts) == limit
    assert run.used_up("b", 0) == run.used_up("unknown", 0) == ""


def test_an_attempt_is_told_its_part_of_the_runs_rest_and_all_of_its_tasks() -> None:
    run = account({"tokens": 12_000}, b={"tokens": 900})
    assert run.ceiling("a", 4).tokens == 3_000
    assert run.ceiling("b", 4).tokens == 900
    run.begin("b", API)
    run.end(use("b", 300))
    assert run.ceiling("b", 4).tokens == 600
    assert account().ceiling("a", 4) == model.NO_LIMITS


def test_a_ceiling_is_never_nothing() -> None:
    run = account(a={"tokens": 100, "dollars": 0.1})
    run.begin("a", API)
    run.end(use("a", 5_000))
    ceiling = run.ceiling("a", 1)
    assert (ceiling.tokens, ceiling.dollars) == (1, 0.000_001)


def test_a_new_version_of_the_plan_is_forecast_anew_and_forgets_no_task() -> None:
    run = account({"tokens": 100_000})
    run.begin("a", API)
    run.replan({"e": model.Task(id="e", do="more", limits=model.TaskLimits(tokens=50))})
    run.begin("e", API)
    assert run.reserved.tokens == MOST + 50
    run.end(use("a", 10))
    run.end(use("e", 20))
    assert run.spent.tokens == 30


@given(st.integers(0, 10**6))
def test_an_account_taken_from_the_records_is_the_one_that_was_kept(seed: int) -> None:
    rng = random.Random(seed)
    kept, records = account({"tokens": 50_000, "dollars": 50.0}), []
    for number in range(rng.randrange(1, 12)):
        name, worker = rng.choice("abcd"), rng.choice([API, HOST, COMMAND, HUMAN])
        kept.begin(name, worker)
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
        run.begin(name, API)
        run.end(use(name, tokens))
    assert run.reserved == ledger.NOTHING
    assert run.spent.tokens == sum(tokens for _, tokens in moves)
