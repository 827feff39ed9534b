"""The account of one run: what it has used, what its running attempts have been given, and so what may begin.

An attempt gets what is left and never more. It begins only if what its forecast calls likely (p50) fits into what
spent and given leave below every ceiling; beside others only if what the forecast calls the most (p90), its task's own
ceiling or the most that any attempt of the run has used so far does. What it is given is set aside until it ends, so
all that attempts were given together is never more than a ceiling: a worker that stops where it is told keeps the run
below it.

What a model's attempt used without anybody reporting it is what it had left word of, or else estimated: the p50 of its
forecast if the host reported the attempt without usage, all that was set aside if the host never did.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from dispatch_mcp import model
from dispatch_mcp.model import WorkerKind, bounds, model_names, transitions
from dispatch_mcp.planning import forecast
from dispatch_mcp.runs import budget

DEAREST: Final = "opus"
"""The model that work without a known price counts as under a ceiling of dollars."""

Money = Literal["dollars", "tokens"]
_MONEY: Final[tuple[Money, ...]] = ("dollars", "tokens")

_LEAST: Final[Mapping[str, float]] = {"dollars": 0.000_001, "tokens": 1, "minutes": 0.01}
"""The smallest ceilings there are: a ceiling of nothing would be refused as a value (`model.TaskLimits`)."""

_SLACK: Final = 1e-9
"""Dollars are sums of floats; what differs by less than this is the same."""

_A_TOKEN: Final = model.Usage(output_tokens=1)


class Amount(NamedTuple):
    """Tokens and dollars."""

    tokens: float = 0
    dollars: float = 0.0

    def plus(self, other: Amount, sign: int = 1) -> Amount:
        """Returns the sum, or the difference for a `sign` of -1."""
        return Amount(self.tokens + sign * other.tokens, self.dollars + sign * other.dollars)


NOTHING: Final = Amount()


class AttemptForecast(NamedTuple):
    """What an attempt of a task is likely to use (p50 of its forecast), and the most that is expected of it (p90)."""

    likely: Amount
    most: Amount


class AttemptUse(NamedTuple):
    """An attempt as the store has it; `usage` is None when nobody reported any.

    `trail` is what an attempt that nobody reported had left word of; `allotment` is what it was given, as far as that
    is known; `stopped_by` is the ceiling that it stopped at, None for none. A `false_start` had no agent.
    """

    task_id: str
    attempt: int
    worker: WorkerKind
    running: bool
    usage: model.Usage | None = None
    rate_limited: bool = False
    false_start: bool = False
    trail: model.Usage | None = None
    allotment: model.TaskLimits = model.NO_LIMITS
    stopped_by: Money | None = None


def ended(task_id: str, attempt: int, worker: WorkerKind, outcome: model.Outcome | None) -> AttemptUse:
    """Returns an attempt that has ended, with what it used if that is known."""
    if outcome is None:
        return AttemptUse(task_id, attempt, worker, running=False)
    return AttemptUse(
        task_id,
        attempt,
        worker,
        running=False,
        usage=outcome.usage,
        rate_limited=outcome.error_kind == transitions.RATE_LIMIT,
        false_start=outcome.error_kind == transitions.NO_AGENT,
        stopped_by=stopped_by(outcome.error_kind),
    )


def stopped_by(error_kind: str) -> Money | None:
    """Returns the ceiling at which an attempt with that kind of error stopped, or None."""
    for name in _MONEY:
        if transitions.CEILINGS[name] == error_kind:
            return name
    return None


Expect = Callable[[model.Task], forecast.Expected]


@dataclass(slots=True)
class Ledger:
    """The running total of one run; every method is O(1) after the first look at a task.

    `started_at` is when the run began, in seconds since the epoch; `expect` forecasts a task, `price` prices usage
    that came without a price.
    """

    limits: model.Limits
    started_at: float
    tasks: Mapping[str, model.Task]
    expect: Expect
    price: forecast.Price = forecast.no_price
    attempts: int = 0
    spent: Amount = NOTHING
    reserved: Amount = NOTHING
    largest: Amount = NOTHING
    _running: dict[str, Amount] = field(default_factory=dict[str, Amount])
    _shares: dict[str, AttemptForecast] = field(default_factory=dict[str, AttemptForecast])
    _guesses: dict[tuple[str, int], tuple[WorkerKind, Amount]] = field(
        default_factory=dict[tuple[str, int], tuple[WorkerKind, Amount]]
    )
    _own: dict[str, Amount] = field(default_factory=dict[str, Amount])
    _floors: dict[tuple[str, Money], float] = field(default_factory=dict[tuple[str, Money], float])
    _trails: dict[tuple[str, int], model.Usage] = field(default_factory=dict[tuple[str, int], model.Usage])

    def replay(self, attempts: Iterable[AttemptUse]) -> None:
        """Takes in what the store has of the run's attempts, those of a task in their order."""
        for attempt in attempts:
            self._begin(attempt.task_id, attempt.worker, attempt.allotment)
            if not attempt.running:
                self.end(attempt)

    def spend(self, usage: model.Usage) -> None:
        """Books what was used before the run began."""
        self.spent = self.spent.plus(Amount(usage.tokens, usage.cost_usd or 0.0))

    def replan(self, tasks: Mapping[str, model.Task]) -> None:
        """Goes on with another version of the plan."""
        self.tasks = {**self.tasks, **tasks}
        self._shares.clear()

    def refusal(self, task_id: str, worker: WorkerKind, now: float, running: int) -> budget.Hold | None:
        """Returns why an attempt may not begin now, or None; `running` counts the run's attempts under way."""
        if worker is WorkerKind.HUMAN:
            return None
        minutes = max(0.0, now - self.started_at) / 60
        for name, amount in (("attempts", self.attempts), ("minutes", minutes), ("fan_out", running)):
            ceiling = getattr(self.limits, name)
            if ceiling is not None and amount >= ceiling:
                return budget.Hold(name, ceiling, amount, task_id=task_id)
        if worker not in transitions.MODEL_WORKERS:
            return None
        return self._unpriced(task_id, worker) or self._short("dollars", task_id) or self._short("tokens", task_id)

    @property
    def recipients(self) -> Collection[str]:
        """The tasks whose attempts run and have something of a ceiling set aside for them; none where nothing has."""
        return self._running if any(getattr(self.limits, name) is not None for name in _MONEY) else ()

    def overdrawn(self, task_id: str) -> budget.Hold | None:
        """Returns why an attempt that was handed out and has not begun would break a ceiling by now, or None.

        Others have used more since than was set aside for them; of what is left, its own part is still its own.
        """
        own = self._running.get(task_id)
        for name in _MONEY if own is not None else ():
            rest = self._rest(name)
            need = min(getattr(own, name), getattr(self._share(task_id).likely, name))
            if rest is not None and rest + getattr(own, name) + _SLACK < need:
                return budget.Hold(name, getattr(self.limits, name), getattr(self.spent, name), need, task_id)
        return None

    def _unpriced(self, task_id: str, worker: WorkerKind) -> budget.Hold | None:
        """Returns a hold for a model whose price nobody knows: a ceiling of dollars could not be held for it."""
        ceiling = self._own_ceilings(task_id).dollars if self.limits.dollars is None else self.limits.dollars
        if ceiling is None:
            return None
        task = self.tasks.get(task_id)
        # Whom the host asks when nobody is named is the host's choice: that counts as the dearest.
        name = (task.model if task else None) or (DEAREST if worker is WorkerKind.HOST else model_names.DEFAULT)
        if self.price(name, _A_TOKEN) is not None:
            return None
        return budget.Hold("dollars", ceiling, self.spent.dollars, task_id=task_id, unpriced_model=name)

    def _short(self, name: Money, task_id: str) -> budget.Hold | None:
        ceiling, rest = getattr(self.limits, name), self._rest(name)
        if rest is None:
            return None
        need = self._need(name, task_id)
        floor = self._floors.get((task_id, name), 0.0)
        if rest > floor + _SLACK and need <= rest + _SLACK:
            return None
        at_end = rest <= floor + _SLACK and need <= rest + _SLACK
        return budget.Hold(name, ceiling, getattr(self.spent, name), need, task_id, at_end=at_end)

    def _rest(self, name: Money) -> float | None:
        """Returns what the run has left that nobody was given, None without a ceiling."""
        ceiling = getattr(self.limits, name)
        return None if ceiling is None else ceiling - getattr(self.spent, name) - getattr(self.reserved, name)

    def _own_rest(self, name: Money, task_id: str) -> float | None:
        """Returns what a task has left of its own ceiling, None without one."""
        ceiling = getattr(self._own_ceilings(task_id), name)
        return None if ceiling is None else ceiling - getattr(self._own.get(task_id, NOTHING), name)

    def _need(self, name: Money, task_id: str) -> float:
        """Returns what must be left for an attempt to begin: alone what is likely, beside others what it may take.

        Nothing certain by a person's word that forecasts do not count.
        """
        if self.limits.beyond_forecast:
            return 0.0
        if self._running:
            return self._most(name, task_id)
        likely, own = getattr(self._share(task_id).likely, name), self._own_rest(name, task_id)
        return likely if own is None else min(likely, own)

    def _most(self, name: Money, task_id: str) -> float:
        own = self._own_rest(name, task_id)
        if own is not None:
            return own
        return max(getattr(self._share(task_id).most, name), getattr(self.largest, name))

    def used_up(self, task_id: str, attempts: int) -> str:
        """Returns the name of a ceiling of the task's own that leaves no further attempt, or an empty string.

        Its attempts have used all of it, or the last one stopped because the rest pays for nothing.
        """
        own = self._own_ceilings(task_id)
        if own.attempts is not None and attempts >= own.attempts:
            return "attempts"
        for name in _MONEY:
            rest = self._own_rest(name, task_id)
            if rest is not None and rest <= self._floors.get((task_id, name), 0.0) + _SLACK:
                return name
        return ""

    def begin(self, task_id: str, worker: WorkerKind, now: float, slots: int = 1) -> model.TaskLimits:
        """Notes that an attempt begins, and returns what it may use at most.

        Of what the run has left an attempt of the server's gets an equal part for each of the `slots` that work may
        fill, or the most that is expected of it if that is more, but never more than there is; of what its task has
        left, all. One that has been stopped before gets all of both. The host's own attempts stop for nobody, so only
        the most that is expected of them is set aside. Programs are told what is left.
        """
        if worker is WorkerKind.HUMAN:
            return model.NO_LIMITS
        ceilings: dict[str, model.Json] = {}
        for name in _MONEY:
            part = self._part(name, task_id, worker, slots)
            if part is not None:
                ceilings[name] = max(part, _LEAST[name])
        if "tokens" in ceilings:
            ceilings["tokens"] = int(ceilings["tokens"])
        if self.limits.minutes is not None:
            ceilings["minutes"] = max(self.limits.minutes - max(0.0, now - self.started_at) / 60, _LEAST["minutes"])
        allotment = model.TaskLimits(**ceilings)
        self._begin(task_id, worker, allotment)
        return allotment

    def _part(self, name: Money, task_id: str, worker: WorkerKind, slots: int) -> float | None:
        rest = self._rest(name)
        if worker not in transitions.MODEL_WORKERS:
            return rest
        own = self._own_rest(name, task_id)
        if rest is None:
            return own
        if worker is WorkerKind.HOST:
            part = self._most(name, task_id)
        elif (task_id, name) in self._floors:
            part = rest
        else:
            part = max(rest / max(slots, 1), self._most(name, task_id))
        return min(part, rest) if own is None else min(part, rest, own)

    def _begin(self, task_id: str, worker: WorkerKind, allotment: model.TaskLimits) -> None:
        if worker is WorkerKind.HUMAN:
            return
        self.attempts += 1
        if worker in transitions.MODEL_WORKERS:
            # What the records do not say of an older attempt, it counts as given what it would be given.
            self._running[task_id] = Amount(
                **{
                    name: self._most(name, task_id) if part is None else part
                    for name in _MONEY
                    for part in [getattr(allotment, name)]
                }
            )
            self.reserved = self.reserved.plus(self._running[task_id])

    def remember(self, trails: Mapping[tuple[str, int], model.Usage]) -> None:
        """Notes what running attempts have left word of, by task and attempt: it counts if nobody reports them."""
        self._trails.update(trails)

    def end(self, attempt: AttemptUse) -> None:
        """Notes that the running attempt of a task has ended, and what it used."""
        if attempt.worker not in transitions.MODEL_WORKERS:
            return
        self.attempts -= attempt.false_start
        allotment = self._running.pop(attempt.task_id, NOTHING)
        # With nothing set aside the sum is nothing exactly: taking floats away leaves dust that adds up over a run.
        self.reserved = self.reserved.plus(allotment, -1) if self._running else NOTHING
        amount = self._settle(attempt, allotment)
        if attempt.stopped_by:
            # It begins again only when more is left than what it could do nothing with.
            rest = getattr(allotment, attempt.stopped_by) - getattr(amount, attempt.stopped_by)
            self._floors[attempt.task_id, attempt.stopped_by] = max(0.0, rest)

    def late(self, attempt: AttemptUse) -> None:
        """Notes what an attempt used that had ended unreported: the estimate of it is taken back first."""
        guess = self._take_back(attempt.task_id, attempt.attempt)
        self._settle(attempt, guess)

    def _take_back(self, task_id: str, attempt: int) -> Amount:
        _, guess = self._guesses.pop((task_id, attempt), (WorkerKind.HOST, NOTHING))
        self._add(task_id, NOTHING.plus(guess, -1), NOTHING)
        return guess

    def _settle(self, attempt: AttemptUse, allotment: Amount) -> Amount:
        """Books what an attempt used, or an estimate where nobody says it, and returns that.

        Only what is known widens `largest`.
        """
        usage = attempt.usage
        if usage is not None and not _left_open(attempt, usage):
            # A worker of the server reports with its own what earlier attempts of the task had used unreported.
            for number in range(1, attempt.attempt) if attempt.worker in transitions.SERVER_WORKERS else ():
                if self._guesses.get((attempt.task_id, number), (None,))[0] is attempt.worker:
                    self._take_back(attempt.task_id, number)
            amount = self._amount(usage)
            self._add(attempt.task_id, amount, amount)
            return amount
        guess = self._guess(attempt, allotment)
        self._guesses[attempt.task_id, attempt.attempt] = attempt.worker, guess
        self._add(attempt.task_id, guess, NOTHING)
        return guess

    def _guess(self, attempt: AttemptUse, allotment: Amount) -> Amount:
        if attempt.usage is not None:
            return self._share(attempt.task_id).likely
        trail = attempt.trail or self._trails.get((attempt.task_id, attempt.attempt))
        if trail is not None:
            return self._amount(trail)
        if attempt.worker is WorkerKind.HOST:
            return allotment
        # It left no word, so it asked for little; what it was given may be all that the run had.
        most = self._share(attempt.task_id).most
        return Amount(min(allotment.tokens, most.tokens), min(allotment.dollars, most.dollars))

    def _add(self, task_id: str, amount: Amount, sure: Amount) -> None:
        self.spent = self.spent.plus(amount)
        self._own[task_id] = self._own.get(task_id, NOTHING).plus(amount)
        largest = self.largest
        self.largest = Amount(max(largest.tokens, sure.tokens), max(largest.dollars, sure.dollars))

    def _amount(self, usage: model.Usage) -> Amount:
        dollars = usage.cost_usd
        if dollars is None:
            dollars = 0.0 if budget.is_silent(usage) else self.price(DEAREST, usage) or 0.0
        # Bounded, so that no figure of anybody's can take the sums out of what a float can tell apart.
        return Amount(min(forecast.counted_tokens(usage), bounds.MAX_TOKENS), min(dollars, bounds.MAX_DOLLARS))

    def _own_ceilings(self, task_id: str) -> model.TaskLimits:
        task = self.tasks.get(task_id)
        return model.NO_LIMITS if task is None else task.limits

    def _share(self, task_id: str) -> AttemptForecast:
        share = self._shares.get(task_id)
        if share is None:
            task = self.tasks.get(task_id) or model.Task(id=task_id, do="")
            estimate = self.expect(task)
            if estimate.dollars is None:
                estimate = self.expect(task.model_copy(update={"model": DEAREST}))
            tokens, dollars = estimate.tokens, estimate.dollars or forecast.NOTHING
            share = AttemptForecast(Amount(tokens.p50, dollars.p50), Amount(tokens.p90, dollars.p90))
            self._shares[task_id] = share
        return share


def _left_open(attempt: AttemptUse, usage: model.Usage) -> bool:
    """Returns whether a report says nothing of what was spent; what met a limit or never began really cost nothing."""
    is_free = attempt.rate_limited or attempt.false_start
    return budget.is_silent(usage) and attempt.worker is WorkerKind.HOST and not is_free
