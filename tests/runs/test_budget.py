"""What ceilings let begin, over random runs of the state machine."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from dispatch_mcp import errors, model
from dispatch_mcp.model import AttemptState, RunState, TaskState, WorkerKind, records, transitions
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


def limited(retry_after_s: float | None = None, usage: model.Usage = model.Usage()) -> model.Outcome:
    return model.Outcome(
        state=AttemptState.FAILED, error_kind=transitions.RATE_LIMIT, retry_after_s=retry_after_s, usage=usage
    )


def done(dollars: float | None = None, tokens: int = 0, **more: model.Json) -> model.Outcome:
    usage = model.Usage(input_tokens=tokens, cost_usd=dollars)
    default: dict[str, model.Json] = {"state": AttemptState.SUCCEEDED, "usage": usage}
    return model.Outcome(**{**default, **more})


@pytest.mark.parametrize("limit", ["dollars", "tokens"])
def test_a_task_that_stopped_at_its_ceiling_says_at_which(limit: str) -> None:
    core = core_of(plan_of(task("a")), model.Limits(dollars=5, tokens=500_000), WorkerKind.API)
    [begun] = core.next(0.0, transitions.SERVER_WORKERS)
    stop = model.Outcome(
        state=AttemptState.FAILED,
        error_kind=transitions.CEILINGS[limit],
        retryable=True,
        usage=model.Usage(input_tokens=10_000, cost_usd=0.1),
    )
    assert core.finish(transitions.Finished("a", begun.attempt, stop), 1.0)
    assert (core.row("a").cause, core.row("a").failures) == (transitions.CEILINGS[limit], 0)


def start(core: state_machine.RunCore, now: float = 0.0) -> list[str]:
    everyone = transitions.HOST_WORKERS | transitions.SERVER_WORKERS
    return [one.task_id for one in core.next(now, everyone)]


@dataclass
class Scene:
    """One random run: prices, ceilings, efforts and costs of all sizes, and workers of all kinds.

    An attempt wants to spend something. The API's stops before it would go over what it was given, Claude Code's and
    the host's with an answer more, of at most `answer`.
    """

    seed: int
    kinds: tuple[WorkerKind, ...]
    now: float = 0.0
    spent: float = 0.0
    stops: int = 0

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.rate = 10 ** self.dice.uniform(-7.0, -4.0)
        self.answer = self.rate * 10 ** self.dice.uniform(2.0, 5.0)
        names = [f"t{at}" for at in range(self.dice.randint(1, 14))]
        self.plan = plan_of(*[self.made(names, at) for at in range(len(names))], workers=self.dice.randint(1, 6))
        self.kind = self.dice.choice(("dollars", "tokens"))
        ceiling = self.rate * 10 ** self.dice.uniform(3.0, 7.5)
        self.ceiling = ceiling if self.kind == "dollars" else math.ceil(ceiling / self.rate)
        self.limits = model.Limits.model_validate({self.kind: self.ceiling})
        self.core = state_machine.RunCore.begin("r", self.plan, WorkerKind.HOST)
        self.core.ledger = self.account()
        self.parts: dict[str, float] = {}

    def price(self, _name: str | None, usage: model.Usage) -> float:
        return usage.tokens * self.rate

    def account(self) -> ledger.Ledger:
        tasks = {task.id: task for task in self.plan.tasks}
        return ledger.Ledger(self.limits, 0.0, tasks, lambda task: PAST.expected(task, self.price), self.price)

    def made(self, names: list[str], at: int) -> model.Task:
        deps = tuple(self.dice.sample(names[:at], min(at, self.dice.randint(0, 2))))
        most = self.rate * 10 ** self.dice.uniform(3.0, 6.5)
        own = model.TaskLimits(dollars=most, tokens=math.ceil(most / self.rate))
        more: dict[str, model.Json] = {"effort": self.dice.choice(list(model.Effort)), "deps": deps}
        more["limits"] = own if self.dice.random() < 0.3 else model.NO_LIMITS
        return task(names[at], worker=self.dice.choice(self.kinds), **more)

    def turn(self) -> None:
        self.now += self.dice.choice((0.1, 3.0, 30.0))
        everyone = transitions.HOST_WORKERS | transitions.SERVER_WORKERS
        for begun in self.core.next(self.now, everyone):
            part = getattr(begun.ceiling, self.kind)
            self.parts[begun.task_id] = part if self.kind == "dollars" else part * self.rate
        running = [row for row in self.core.rows if row.state is TaskState.RUNNING]
        for row in self.dice.sample(running, min(len(running), self.dice.randint(1, 3))):
            assert self.core.finish(transitions.Finished(row.id, row.attempt, self.outcome(row)), self.now)

    def outcome(self, row: transitions.TaskRow) -> model.Outcome:
        if row.worker is WorkerKind.COMMAND:
            return model.Outcome(state=AttemptState.SUCCEEDED)
        part, wish = self.parts[row.id], self.rate * 10 ** self.dice.uniform(2.0, 7.0)
        tokens = math.floor(min(part, wish) / self.rate)
        if wish > part and row.worker is not WorkerKind.API:
            tokens += self.dice.randint(0, math.floor(self.answer / self.rate))
            self.stops += 1
        cost = tokens * self.rate
        self.spent += cost
        usage = model.Usage(input_tokens=tokens, cost_usd=cost)
        if wish > part and row.worker is not WorkerKind.HOST:
            stop = transitions.CEILINGS[self.kind]
            return model.Outcome(state=AttemptState.FAILED, error_kind=stop, retryable=True, usage=usage)
        roll = self.dice.random()
        if roll < 0.1:
            return limited(self.dice.choice((None, 5.0)), usage)
        if roll < 0.2:
            return model.Outcome(state=AttemptState.FAILED, retryable=True, usage=usage)
        return model.Outcome(state=AttemptState.SUCCEEDED, usage=usage)

    def played(self) -> Scene:
        for _ in range(400):
            self.turn()
            if self.core.over or self.core.at_ceiling:
                break
        return self

    @property
    def over(self) -> float:
        """Dollars beyond the ceiling; less than nothing below it."""
        return self.spent - (self.ceiling if self.kind == "dollars" else self.ceiling * self.rate)


@pytest.mark.promise("S9", "S18")
@pytest.mark.parametrize(
    ("kinds", "answers"),
    [
        ((WorkerKind.API,), 0),
        ((WorkerKind.API, WorkerKind.COMMAND), 0),
        ((WorkerKind.CLAUDE,), 1),
        ((WorkerKind.HOST, WorkerKind.API, WorkerKind.CLAUDE), 1),
    ],
    ids=["api", "api and commands", "claude", "all"],
)
def test_no_run_goes_over_its_ceiling_by_more_than_one_answer_of_each_attempt_under_way(
    kinds: tuple[WorkerKind, ...], answers: int
) -> None:
    ends = Counter[str]()
    for seed in range(SCENARIOS // 2):
        scene = Scene(seed, kinds).played()
        under_way = scene.plan.max_parallel * (2 if WorkerKind.HOST in kinds else 1)
        assert scene.over <= scene.answer * answers * under_way + scene.rate, seed
        assert scene.core.over or scene.core.at_ceiling, seed
        states = {row.state for row in scene.core.rows}
        assert not states & {TaskState.RUNNING, TaskState.CANCELLED}, seed
        if scene.core.at_ceiling:
            assert (scene.core.state, TaskState.READY in states) == (RunState.PAUSED, True), seed
        ends["waits" if scene.core.at_ceiling else "over"] += 1
        ends["begun"] += scene.spent > 0
        ends["stopped"] += scene.stops > 0
    assert min(ends["waits"], ends["over"], ends["begun"]) > SCENARIOS // 20, ends
    assert (ends["stopped"] > SCENARIOS // 50) == bool(answers), ends


@pytest.mark.promise("S18")
def test_one_attempt_after_the_other_goes_over_a_ceiling_by_at_most_one_answer() -> None:
    for seed in range(SCENARIOS // 2):
        scene = Scene(seed, (WorkerKind.CLAUDE,))
        scene.plan = scene.core.plan = scene.plan.model_copy(update={"max_parallel": 1})
        assert scene.played().over <= scene.answer, seed


def test_only_one_attempt_begins_when_the_next_would_not_fit_beside_it() -> None:
    tasks = [task(name, limits=model.TaskLimits(dollars=2.0)) for name in "abc"]
    core = core_of(plan_of(*tasks), model.Limits(dollars=5.0))
    assert start(core) == ["a", "b"]
    core.finish(transitions.Finished("a", 1, done(0.5)), 1.0)
    assert start(core, 1.0) == ["c"]


def test_a_run_whose_ceiling_is_reached_waits_says_so_once_and_goes_on_when_it_is_raised() -> None:
    core = core_of(plan_of(task("a"), task("b", deps=("a",))), model.Limits(dollars=5.0))
    assert start(core) == ["a"]
    core.finish(transitions.Finished("a", 1, done(1.2)), 1.0)
    core.drain()
    assert start(core, 1.0) == start(core, 2.0) == []
    assert core.state is RunState.PAUSED
    notes = [note for note in core.drain().notes if note.kind == "limit_reached"]
    assert [(note.task_id, note.data["limit"], note.data["spent"]) for note in notes] == [("b", "dollars", 1.2)]
    assert core.ledger
    core.ledger.limits = model.Limits(dollars=6.0)
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
    core = core_of(plan_of(task("a"), task("b", deps=("a",), command=("true",))), model.Limits(dollars=5.0))
    start(core)
    core.finish(transitions.Finished("a", 1, done(9.0)), 1.0)
    assert start(core, 1.0) == ["b"]


def test_finished_work_is_taken_over_even_when_the_money_is_spent() -> None:
    core = core_of(plan_of(task("a"), task("b", deps=("a",))), model.Limits(tokens=500_000))
    assert start(core) == ["a"]
    core.finish(transitions.Finished("a", 1, done(tokens=500_000)), 1.0)
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


@pytest.mark.promise("S18")
def test_a_model_without_a_known_price_makes_a_run_with_a_ceiling_of_dollars_wait_and_says_so() -> None:
    odd = model.Task(id="a", do="implement", model="claude-of-the-future")
    core = core_of(plan_of(odd), model.Limits(dollars=100.0))
    assert start(core) == []
    assert core.state is RunState.PAUSED
    (note,) = [note for note in core.drain().notes if note.kind == "limit_reached"]
    assert budget.Hold(**note.data).text() == (
        "limits.dollars is 100, but nobody knows a price of 'claude-of-the-future', the model of a; name another "
        "model, or give limits.tokens alone"
    )
    assert start(core_of(plan_of(odd), model.Limits(tokens=10_000_000))) == ["a"]


def test_usage_whose_price_nobody_says_counts_as_the_dearest_models() -> None:
    core = core_of(plan_of(task("a")), model.Limits(dollars=100.0))
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


def test_a_call_may_ask_for_exactly_what_the_configuration_allows() -> None:
    assert budget.limits_in_force(model.Limits(tokens=1_000), model.Limits(tokens=1_000)).tokens == 1_000


def test_an_attempt_that_may_not_begin_has_cost_nothing_and_may_be_tried_again() -> None:
    outcome = budget.Hold("dollars", 1.0, 1.0, 0.5, "a").unbegun()
    assert (outcome.state, outcome.error_kind) == (AttemptState.FAILED, transitions.CEILINGS["dollars"])
    assert (outcome.retryable, outcome.usage.cost_usd, outcome.usage.tokens) == (True, 0.0, 0)


def test_limits_given_later_replace_only_what_they_name() -> None:
    old = model.Limits(dollars=1.0, attempts=9)
    assert budget.with_changes(old, model.Limits(dollars=3.0)) == model.Limits(dollars=3.0, attempts=9)


def test_limits_are_read_under_the_names_that_models_write() -> None:
    raw = {"max_cost_usd": 2, "usd": 3, "fanout": 4, "max_tokens": 5, "odd": 6}
    assert limits.canonical(raw) == {"dollars": 2, "fan_out": 4, "tokens": 5, "odd": 6}


# -- rate limits


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


@pytest.mark.promise("S9", "S18")
def test_each_attempt_is_told_its_part_of_what_is_left() -> None:
    own = model.TaskLimits(dollars=2.0)
    plan = plan_of(task("a", effort="S"), task("b", limits=own), task("c", effort="S"), workers=3)
    core = core_of(plan, model.Limits(dollars=30.0), WorkerKind.API)
    starts = {one.task_id: one.ceiling for one in core.next(0.0)}
    assert starts["b"].dollars == pytest.approx(2.0)
    assert sum(ceiling.dollars or 0.0 for ceiling in starts.values()) == pytest.approx(30.0)
    assert starts["a"].dollars == pytest.approx(14.0, abs=4.01)
    assert starts["a"].tokens is None
    core.finish(transitions.Finished("b", 1, done(1.5, state=AttemptState.FAILED, retryable=True)), 0.0)
    (again,) = core.next(1_000.0)
    assert again.ceiling.dollars == pytest.approx(0.5)


@pytest.mark.promise("S18")
def test_what_an_attempt_was_given_stands_in_the_trace() -> None:
    core = core_of(plan_of(task("a")), model.Limits(dollars=30.0, minutes=5.0), WorkerKind.API)
    core.next(60.0)
    (note,) = [note for note in core.drain().notes if note.kind == "attempt_started"]
    assert note.data == {"worker": "api", "ceiling": {"dollars": 30.0, "minutes": 4.0}}


@pytest.mark.promise("S18")
def test_an_attempt_that_stopped_at_its_ceiling_is_no_failure_and_waits_for_more() -> None:
    core = core_of(plan_of(task("a", max_attempts=1)), model.Limits(dollars=6.0), WorkerKind.API)
    core.next(0.0)
    stop = done(5.5, state=AttemptState.FAILED, error_kind=transitions.CEILINGS["dollars"], retryable=True)
    core.finish(transitions.Finished("a", 1, stop), 0.0)
    assert core.next(0.0) == []
    assert (core.state, core.row("a").state, core.row("a").failures) == (RunState.PAUSED, TaskState.READY, 0)
    assert core.ledger
    core.ledger.limits = model.Limits(dollars=12.0)
    (again,) = core.next(0.0)
    assert (again.attempt, again.ceiling.dollars) == (2, pytest.approx(6.5))


@pytest.mark.promise("S18")
def test_a_task_that_stopped_at_its_own_ceiling_fails_with_that_cause() -> None:
    bounded = task("a", limits=model.TaskLimits(dollars=1.0), max_attempts=9)
    core = core_of(plan_of(bounded), model.Limits(), WorkerKind.API)
    core.next(0.0)
    stop = done(0.7, state=AttemptState.FAILED, error_kind=transitions.CEILINGS["dollars"], retryable=True)
    core.finish(transitions.Finished("a", 1, stop), 0.0)
    assert core.next(0.0) == []
    assert (core.row("a").state, core.row("a").cause) == (TaskState.FAILED, "limit:dollars")
    [note] = [note for note in core.drain().notes if note.kind == "limit_reached"]
    assert (note.task_id, note.data) == ("a", {"limit": "dollars", "of": "task"})


def test_without_ceilings_an_attempt_has_none() -> None:
    plan = plan_of(task("a"))
    for ceilings in (model.Limits(), model.Limits(attempts=3)):
        (one,) = core_of(plan, ceilings, WorkerKind.API).next(0.0)
        assert one.ceiling == model.NO_LIMITS


@pytest.mark.promise("S18")
@pytest.mark.parametrize("worker", [WorkerKind.API, WorkerKind.CLAUDE, WorkerKind.HOST])
def test_a_cent_begins_nothing_that_is_expected_to_cost_dollars(worker: WorkerKind) -> None:
    core = core_of(plan_of(task("a", effort="XL"), workers=1), model.Limits(dollars=0.01), worker)
    assert start(core) == []
    assert core.state is RunState.PAUSED
    (note,) = [note for note in core.drain().notes if note.kind == "limit_reached"]
    assert budget.Hold(**note.data).text().startswith("limits.dollars is 0.01, spent are 0; a needs about ")


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


def test_an_attempt_ends_with_the_minutes_of_its_run() -> None:
    ceiling = model.TaskLimits(minutes=1.5)
    assert budget.deadline_s(task("a"), 300.0, ceiling) == budget.deadline_s(task("a"), None, ceiling) == 90.0
    assert budget.deadline_s(task("a", timeout_s=60.0), 300.0, ceiling) == 60.0


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
        assert budget.is_needed(model.Limits.model_validate({name: 1}), [])


def test_prices_are_needed_only_where_dollars_count() -> None:
    assert not budget.counts_dollars(model.Limits(tokens=5), [task("a", limits={"tokens": 3})])
    assert budget.counts_dollars(model.Limits(tokens=5), [task("a", limits={"dollars": 0.5}), task("b")])
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


RAISED: list[tuple[dict[str, Any], dict[str, Any], tuple[tuple[str, float | None, float | None], ...]]] = [
    ({"dollars": 5}, {"dollars": 8}, (("dollars", 5, 8),)),
    ({"dollars": 5}, {"dollars": None}, (("dollars", 5, None),)),
    ({"tokens": 10, "fan_out": 2}, {"tokens": 9, "fan_out": 3}, (("fan_out", 2, 3),)),
    ({}, {"depth": 3}, (("depth", 2, 3),)),
    ({}, {"beyond_forecast": True}, (("beyond_forecast", 0, 1),)),
    ({"dollars": 5}, {"dollars": 5, "minutes": 60}, ()),
    ({}, {"dollars": 1, "tokens": 1, "attempts": 1}, ()),
    ({"beyond_forecast": True, "minutes": 9}, {"minutes": 8}, ()),
]


@pytest.mark.parametrize(("old", "new", "raises"), RAISED)
def test_a_raise_is_what_lets_a_run_use_more(
    old: dict[str, Any], new: dict[str, Any], raises: tuple[tuple[str, float | None, float | None], ...]
) -> None:
    assert budget.raises(model.Limits(**old), model.Limits(**new)) == raises


BEFORE, AFTER = model.Limits(dollars=5), model.Limits(dollars=8)
WORD = records.PersonWord("Ann", "d1ge57", (("dollars", 5.0, 8.0),))


def changing(before: model.Limits = BEFORE, version: int = 2, *, word: bool = True) -> records.Step:
    basis = records.LimitBasis(before, version, WORD if word else None)
    return records.Step(now=0.0, limits=AFTER, basis=basis)


def test_the_event_of_a_raise_says_who_agreed_to_what_for_which_plan() -> None:
    event = budget.limits_event(changing(), BEFORE, 2)
    assert event.kind == "limits_raised"
    assert (event.data["by"], event.data["plan_digest"], event.data["plan_version"]) == ("Ann", "d1ge57", 2)
    assert (event.data["raised"], event.data["dollars"]) == ([["dollars", 5.0, 8.0]], 8.0)
    for step in (changing(word=False), records.Step(now=0.0, limits=AFTER)):
        assert budget.limits_event(step, BEFORE, 3).kind == "limits_changed"


@pytest.mark.parametrize(
    ("step", "before", "version"),
    [(changing(), BEFORE, 3), (changing(), AFTER, 2), (changing(word=False), model.Limits(), 2)],
)
def test_ceilings_that_were_decided_from_others_or_for_another_plan_are_refused(
    step: records.Step, before: model.Limits, version: int
) -> None:
    with pytest.raises(errors.StaleVersion, match="other ceilings, or another plan than version 2, by now"):
        budget.limits_event(step, before, version)
