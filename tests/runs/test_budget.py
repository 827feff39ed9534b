"""What ceilings let begin, over random runs of the state machine."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from dispatch_mcp import errors, model
from dispatch_mcp.model import AttemptState, RunState, TaskState, WorkerKind, transitions
from dispatch_mcp.planning import forecast, limits
from dispatch_mcp.runs import budget, ledger, state_machine

SCENARIOS = 1_000
PAST = forecast.Past()


def price(name: str | None, usage: model.Usage) -> float | None:
    """Ten dollars per million tokens of whatever is called cheap or opus."""
    return forecast.counted_tokens(usage) / 100_000 if name in ("cheap", "opus") else None


def account_of(plan: model.Plan, limits: model.Limits) -> ledger.Ledger:
    tasks = {task.id: task for task in plan.tasks}
    return ledger.Ledger(limits, 0.0, tasks, lambda task: PAST.expected(task, price), price)


def plan_of(*tasks: model.Task, workers: int = 5) -> model.Plan:
    return model.Plan(id="p", tasks=tasks, max_parallel=workers)


def task(name: str, **more: model.Json) -> model.Task:
    return model.Task(id=name, do=f"implement {name}", model="cheap", **more)


def core_of(plan: model.Plan, limits: model.Limits, worker: WorkerKind = WorkerKind.HOST) -> state_machine.RunCore:
    core = state_machine.RunCore.begin("r", plan, worker)
    core.ledger = account_of(plan, limits)
    return core


def done(dollars: float | None = None, tokens: int = 0, **more: model.Json) -> model.Outcome:
    usage = model.Usage(input_tokens=tokens, cost_usd=dollars)
    default: dict[str, model.Json] = {"state": AttemptState.SUCCEEDED, "usage": usage}
    return model.Outcome(**{**default, **more})


def start(core: state_machine.RunCore, now: float = 0.0) -> list[str]:
    everyone = transitions.HOST_WORKERS | transitions.SERVER_WORKERS
    return [one.task_id for one in core.next(now, everyone)]


@dataclass
class Scene:
    """One random run: tasks with ceilings of their own, workers of both kinds, and costs up to those ceilings."""

    seed: int
    now: float = 0.0
    spent: float = 0.0
    biggest: float = 0.0

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        names = [f"t{at}" for at in range(self.dice.randint(1, 14))]
        self.plan = plan_of(*[self.made(names, at) for at in range(len(names))], workers=self.dice.randint(1, 6))
        self.kind = self.dice.choice(("dollars", "tokens"))
        ceiling = self.dice.uniform(0.5, 12.0)
        self.ceiling = ceiling if self.kind == "dollars" else round(ceiling * 100_000)
        self.core = core_of(self.plan, model.Limits.model_validate({self.kind: self.ceiling}))

    def made(self, names: list[str], at: int) -> model.Task:
        deps = tuple(self.dice.sample(names[:at], min(at, self.dice.randint(0, 2))))
        most = round(self.dice.uniform(0.1, 3.0), 2)
        own = model.TaskLimits(dollars=most, tokens=round(most * 100_000))
        worker = self.dice.choice((WorkerKind.HOST, WorkerKind.API, WorkerKind.CLAUDE))
        return task(names[at], deps=deps, worker=worker, limits=own if self.dice.random() < 0.7 else model.NO_LIMITS)

    def costs(self, row: transitions.TaskRow) -> float:
        """Returns dollars up to the task's own ceiling, or else up to its p90."""
        spec = next(one for one in self.plan.tasks if one.id == row.id)
        most = spec.limits.dollars or PAST.expected(spec, price).tokens.p90 / 100_000
        return self.dice.uniform(0.0, most)

    def outcome(self, cost: float) -> model.Outcome:
        usage = model.Usage(input_tokens=round(cost * 100_000), cost_usd=cost)
        roll = self.dice.random()
        if roll < 0.1:
            return model.Outcome(
                state=AttemptState.FAILED,
                error_kind=transitions.RATE_LIMIT,
                usage=usage,
                retry_after_s=self.dice.choice((None, 5.0)),
            )
        if roll < 0.2:
            return model.Outcome(state=AttemptState.FAILED, retryable=True, usage=usage)
        return model.Outcome(state=AttemptState.SUCCEEDED, usage=usage)

    def turn(self) -> None:
        self.now += self.dice.choice((0.1, 3.0, 30.0))
        start(self.core, self.now)
        self.core = self.reloaded() if self.dice.random() < 0.1 else self.core
        running = [row for row in self.core.rows if row.state is TaskState.RUNNING]
        for row in self.dice.sample(running, min(len(running), self.dice.randint(1, 3))):
            cost = self.costs(row)
            self.spent += cost
            self.biggest = max(self.biggest, cost)
            assert self.core.finish(transitions.Finished(row.id, row.attempt, self.outcome(cost)), self.now)

    def reloaded(self) -> state_machine.RunCore:
        """Returns the run as another process would find it; its account goes with it."""
        core = state_machine.RunCore.restore("r", self.plan, self.core.rows, at_ceiling=self.core.at_ceiling)
        core.ledger = self.core.ledger
        return core

    def over(self) -> float:
        used = self.spent if self.kind == "dollars" else self.spent * 100_000
        return used - float(self.ceiling)


@pytest.mark.promise("S9")
def test_no_ceiling_is_overshot_by_more_than_one_attempt_in_a_thousand_random_runs() -> None:
    overshot = waits = 0
    for seed in range(SCENARIOS):
        scene = Scene(seed)
        for _ in range(400):
            scene.turn()
            if scene.core.over or scene.core.at_ceiling:
                break
        scale = 1 if scene.kind == "dollars" else 100_000
        assert scene.over() <= scene.biggest * scale + 1e-6 * scale * 20, seed
        overshot += scene.over() > 0
        assert scene.core.over or scene.core.at_ceiling, seed
        waits += scene.core.at_ceiling
        states = {row.state for row in scene.core.rows}
        if scene.core.at_ceiling:
            assert scene.core.state is RunState.PAUSED
            assert (
                states - {TaskState.READY, TaskState.BLOCKED, TaskState.SUCCEEDED, TaskState.FAILED, TaskState.SKIPPED}
                == set()
            )
            assert TaskState.READY in states
        assert TaskState.CANCELLED not in states
    assert waits > 100
    assert overshot > 50


def test_only_one_attempt_begins_when_the_next_would_not_fit_beside_it() -> None:
    tasks = [task(name, limits=model.TaskLimits(dollars=2.0)) for name in "abc"]
    core = core_of(plan_of(*tasks), model.Limits(dollars=5.0))
    assert start(core) == ["a", "b"]
    core.finish(transitions.Finished("a", 1, done(0.5)), 1.0)
    assert start(core, 1.0) == ["c"]


def test_a_run_whose_ceiling_is_reached_waits_says_so_once_and_goes_on_when_it_is_raised() -> None:
    core = core_of(plan_of(task("a"), task("b", deps=("a",))), model.Limits(dollars=1.0))
    assert start(core) == ["a"]
    core.finish(transitions.Finished("a", 1, done(1.2)), 1.0)
    core.drain()
    assert start(core, 1.0) == start(core, 2.0) == []
    assert core.state is RunState.PAUSED
    notes = [note for note in core.drain().notes if note.kind == "limit_reached"]
    assert [(note.task_id, note.data["limit"], note.data["spent"]) for note in notes] == [("b", "dollars", 1.2)]
    assert core.ledger
    core.ledger.limits = model.Limits(dollars=3.0)
    assert start(core, 3.0) == ["b"]
    assert core.state is RunState.RUNNING


@pytest.mark.parametrize(
    ("limits", "spare"),
    [({"attempts": 2}, 2), ({"fan_out": 3}, 3), ({"minutes": 1.0}, 5)],
)
def test_counts_and_time_bound_what_begins_whoever_works(limits: Mapping[str, float], spare: int) -> None:
    core = core_of(
        plan_of(*[task(f"t{at}", command=("true",)) for at in range(5)]), model.Limits.model_validate(limits)
    )
    assert len(start(core)) == spare
    assert start(core, 61.0) == []


def test_a_command_costs_nothing_and_runs_when_the_money_is_spent() -> None:
    core = core_of(plan_of(task("a"), task("b", deps=("a",), command=("true",))), model.Limits(dollars=1.0))
    start(core)
    core.finish(transitions.Finished("a", 1, done(9.0)), 1.0)
    assert start(core, 1.0) == ["b"]


def test_finished_work_is_taken_over_even_when_the_money_is_spent() -> None:
    core = core_of(plan_of(task("a"), task("b", deps=("a",))), model.Limits(tokens=10))
    start(core)
    core.finish(transitions.Finished("a", 1, done(tokens=50)), 1.0)
    assert core.next(1.0, transitions.HOST_WORKERS, find_result=lambda _key: transitions.EarlierResult("digest")) == []
    assert core.row("b").state is TaskState.SUCCEEDED


def test_a_task_whose_own_ceiling_is_spent_is_not_tried_again_and_fails_with_that_cause() -> None:
    bounded = task("a", limits=model.TaskLimits(dollars=1.0), max_attempts=9)
    core = core_of(plan_of(bounded, task("b"), task("c", deps=("a",))), model.Limits())
    start(core)
    core.finish(transitions.Finished("a", 1, done(1.5, state=AttemptState.FAILED, retryable=True)), 1.0)
    assert start(core, 100.0) == []
    assert (core.row("a").state, core.row("a").cause) == (TaskState.FAILED, "limit:dollars")
    assert core.row("c").state is TaskState.SKIPPED


def test_what_a_host_does_not_say_is_estimated_and_corrected_by_a_late_report() -> None:
    plan = plan_of(task("a"), task("b"))
    core = core_of(plan, model.Limits(tokens=10_000_000))
    start(core)
    likely = forecast.counted_tokens(forecast.prior(model.Effort.M, "implementation"))
    core.finish(transitions.Finished("a", 1, done()), 1.0)
    core.abandon("b", 2.0, crashed=False)
    assert core.ledger
    assert core.ledger.spent.tokens == pytest.approx(likely * (1 + forecast.SPREAD))
    usage = model.Usage(input_tokens=700)
    core.ledger.late(ledger.AttemptUse("b", 1, WorkerKind.HOST, running=False, usage=usage))
    assert core.ledger.spent.tokens == pytest.approx(likely + 700)


def test_work_without_a_known_price_counts_as_the_dearest_under_a_ceiling_of_dollars() -> None:
    odd = model.Task(id="a", do="implement", model="claude-of-the-future")
    core = core_of(plan_of(odd), model.Limits(dollars=100.0))
    start(core)
    core.finish(transitions.Finished("a", 1, done(tokens=300_000)), 1.0)
    assert core.ledger
    assert core.ledger.spent.dollars == pytest.approx(3.0)


def test_an_account_taken_anew_from_the_records_is_the_same() -> None:
    plan = plan_of(*[task(name) for name in "abcd"])
    core = core_of(plan, model.Limits(dollars=50.0))
    start(core)
    core.finish(transitions.Finished("a", 1, done(0.25, tokens=10)), 1.0)
    core.finish(transitions.Finished("b", 1, done()), 1.0)
    core.abandon("c", 1.0, crashed=True)
    again = account_of(plan, model.Limits(dollars=50.0))
    host, usage = WorkerKind.HOST, model.Usage(input_tokens=10, cost_usd=0.25)
    again.replay(
        [
            ledger.AttemptUse("a", 1, host, running=False, usage=usage),
            ledger.AttemptUse("b", 1, host, running=False, usage=model.Usage()),
            ledger.AttemptUse("c", 1, host, running=False),
            ledger.AttemptUse("d", 1, host, running=True),
        ]
    )
    assert core.ledger
    assert again.spent == pytest.approx(core.ledger.spent)
    assert again.reserved == pytest.approx(core.ledger.reserved)
    assert again.attempts == core.ledger.attempts == 4


def test_a_call_may_ask_for_less_than_the_configuration_allows_but_never_for_more() -> None:
    ceilings = model.Limits(dollars=10.0, tokens=1_000)
    assert budget.limits_in_force(model.Limits(dollars=2.0), ceilings) == model.Limits(dollars=2.0, tokens=1_000)
    with pytest.raises(errors.NotAllowed, match=r"limits\.dollars is 12; the configuration allows at most 10"):
        budget.limits_in_force(model.Limits(dollars=12.0), ceilings)


def test_limits_given_later_replace_only_what_they_name() -> None:
    old = model.Limits(dollars=1.0, attempts=9)
    assert budget.with_changes(old, model.Limits(dollars=3.0)) == model.Limits(dollars=3.0, attempts=9)


def test_limits_are_read_under_the_names_that_models_write() -> None:
    raw = {"max_cost_usd": 2, "usd": 3, "fanout": 4, "max_tokens": 5, "odd": 6}
    assert limits.canonical(raw) == {"dollars": 2, "fan_out": 4, "tokens": 5, "odd": 6}


# -- rate limits


def limited(after: float | None = None) -> model.Outcome:
    return model.Outcome(
        state=AttemptState.FAILED, error="429", error_kind=transitions.RATE_LIMIT, retryable=False, retry_after_s=after
    )


def test_a_rate_limit_holds_everybody_of_its_worker_and_counts_no_failure() -> None:
    plan = plan_of(task("a"), task("b"), task("c", worker=WorkerKind.API), workers=1)
    core = core_of(plan, model.Limits())
    assert start(core) == ["a", "c"]
    core.finish(transitions.Finished("a", 1, limited(30.0)), 0.0)
    assert start(core, 20.0) == []
    assert (core.row("a").failures, core.row("a").state) == (0, TaskState.READY)
    until = core.waiting_until()
    assert until is not None
    assert 30.0 <= until <= 33.0
    again = state_machine.RunCore.restore("r", plan, core.rows)
    assert start(again, 29.0) == []
    assert start(again, 34.0) == ["a"]


def test_no_storm_of_rate_limits_drops_a_task_and_the_waits_grow_within_bounds() -> None:
    core = core_of(plan_of(task("a")), model.Limits())
    now, waits = 0.0, list[float]()
    for attempt in range(1, 200):
        assert start(core, now) == ["a"]
        core.finish(transitions.Finished("a", attempt, limited()), now)
        until = core.waiting_until()
        assert until is not None
        waits.append(until - now)
        now = until
    assert waits[0] < waits[2] < waits[4]
    assert max(waits) <= core.policy.hold_cap_s * 1.1
    assert start(core, now) == ["a"]
    core.finish(transitions.Finished("a", 200, done()), now)
    assert core.state is RunState.SUCCEEDED


def test_a_rate_limit_that_asks_for_days_or_for_nothing_is_bounded() -> None:
    for asked, least, most in ((1e9, 6 * 3600.0, 6.6 * 3600.0), (0.0, 1.0, 1.1)):
        core = core_of(plan_of(task("a")), model.Limits())
        start(core)
        core.finish(transitions.Finished("a", 1, limited(asked)), 0.0)
        assert least <= (core.waiting_until() or 0.0) <= most


@pytest.mark.promise("S9")
def test_each_attempt_is_told_its_part_of_what_is_left() -> None:
    own = model.TaskLimits(dollars=2.0)
    plan = plan_of(task("a"), task("b", limits=own), task("c"), workers=3)
    core = core_of(plan, model.Limits(dollars=60.0), WorkerKind.API)
    starts = {one.task_id: one.ceiling for one in core.next(0.0)}
    assert starts["a"].dollars == pytest.approx(20.0)
    assert starts["b"].dollars == pytest.approx(2.0)
    assert starts["c"].dollars is not None
    assert starts["c"].dollars < 20.0
    assert starts["a"].tokens is None
    core.finish(transitions.Finished("b", 1, done(1.5, state=AttemptState.FAILED, retryable=True)), 0.0)
    (again,) = core.next(1_000.0)
    assert again.ceiling.dollars == pytest.approx(0.5)


def test_without_ceilings_an_attempt_has_none() -> None:
    plan = plan_of(task("a"))
    for ceilings in (model.Limits(), model.Limits(attempts=3)):
        (one,) = core_of(plan, ceilings, WorkerKind.API).next(0.0)
        assert one.ceiling == model.NO_LIMITS


@pytest.mark.promise("S9")
def test_the_last_attempt_below_a_ceiling_may_go_over_it_by_what_is_set_aside() -> None:
    plan = plan_of(task("a"), task("b"), workers=1)
    core = core_of(plan, model.Limits(tokens=1_000), WorkerKind.API)
    (first,) = core.next(0.0)
    assert first.ceiling.tokens is not None
    assert first.ceiling.tokens > 1_000
    core.finish(transitions.Finished("a", 1, done(0.1, 5_000)), 0.0)
    assert core.next(0.0) == []
    assert core.state is RunState.PAUSED


@pytest.mark.parametrize(
    ("timeout_s", "minutes", "otherwise", "deadline"),
    [
        (None, None, None, None),
        (None, None, 300.0, 300.0),
        (60.0, None, 300.0, 60.0),
        (None, 2.0, 300.0, 120.0),
        (60.0, 2.0, 300.0, 60.0),
        (None, 2.0, None, 120.0),
    ],
)
def test_an_attempt_ends_at_the_nearest_of_its_deadlines(
    timeout_s: float | None, minutes: float | None, otherwise: float | None, deadline: float | None
) -> None:
    limited = task("a", timeout_s=timeout_s, limits={"minutes": minutes})
    assert budget.deadline_s(limited, otherwise) == deadline


def test_what_is_left_is_never_less_than_nothing_and_dollars_need_a_price() -> None:
    ceilings = model.Limits(dollars=5.0, tokens=1_000, attempts=3)
    spend = model.Usage(input_tokens=1_200, cost_usd=1.5)
    assert budget.remaining(ceilings, spend, attempts=1, minutes=9.0) == {"dollars": 3.5, "tokens": 0.0, "attempts": 2}
    unpriced = budget.remaining(ceilings, model.Usage(input_tokens=10), attempts=1, minutes=9.0)
    assert unpriced == {"tokens": 990, "attempts": 2}


def test_only_ceilings_that_bind_while_a_run_goes_on_are_watched() -> None:
    assert not budget.is_needed(model.Limits(tasks=5), [task("a")])
    assert budget.is_needed(model.Limits(), [task("a"), task("b", limits={"attempts": 2})])
    for name in ("dollars", "tokens", "minutes", "attempts", "fan_out"):
        assert budget.is_needed(model.Limits(**{name: 1}), [])


def test_prices_are_needed_only_where_dollars_count() -> None:
    assert not budget.counts_dollars(model.Limits(tokens=5), [task("a", limits={"tokens": 3})])
    assert budget.counts_dollars(model.Limits(tokens=5), [task("a", limits={"dollars": 0.5})])
    assert budget.counts_dollars(model.Limits(dollars=5), [])


@pytest.mark.parametrize(
    ("hold", "text"),
    [
        (budget.Hold("attempts", 3, 3, task_id="a"), "limits.attempts is 3, spent are 3"),
        (
            budget.Hold("dollars", 1.5, 1.23456, 0.4, "a"),
            "limits.dollars is 1.5, spent are 1.235; a needs about 0.4 more",
        ),
        (
            budget.Hold("tokens", 2_000_000, 1_999_999.0, 12_345.6, "a"),
            "limits.tokens is 2,000,000, spent are 1,999,999; a needs about 12,346 more",
        ),
    ],
)
def test_a_hold_says_what_was_met_in_figures_that_can_be_read(hold: budget.Hold, text: str) -> None:
    assert hold.text() == text


@pytest.mark.parametrize(
    ("usage", "silent"),
    [
        (model.Usage(), True),
        (model.Usage(seconds=9.0), True),
        (model.Usage(cost_usd=0.0), False),
        (model.Usage(cache_read_tokens=1), False),
        (model.Usage(output_tokens=1), False),
    ],
)
def test_a_usage_without_figures_says_nothing(usage: model.Usage, *, silent: bool) -> None:
    assert budget.is_silent(usage) == silent
