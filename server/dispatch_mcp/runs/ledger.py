"""The account of one run: what it has used, what is set aside for attempts that run, and so what may begin.

An attempt may begin only while spent + set aside stays below every ceiling, and beside others only if its own share
fits too. So at most one attempt, which then runs alone, can take the spend over a ceiling, as long as no attempt uses
more than was set aside for it: its task's own ceiling, or else the p90 of its forecast or the most that any attempt of
the run has used so far, whichever is more. What a model's attempt used without anybody saying so is estimated: the p50
of its forecast if the host reported the attempt without usage, all that was set aside if nobody reported it at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from dispatch_mcp import model
from dispatch_mcp.model import WorkerKind, transitions
from dispatch_mcp.planning import forecast
from dispatch_mcp.runs import budget

DEAREST: Final = "opus"
"""The model that work without a known price counts as under a ceiling of dollars."""

_LEAST: Final[Mapping[str, float]] = {"dollars": 0.000_001, "tokens": 1}
"""The smallest ceilings there are: a ceiling of nothing would be refused as a value (`model.TaskLimits`)."""

_SLACK: Final = 1e-9
"""Dollars are sums of floats; what differs by less than this is the same."""


class Amount(NamedTuple):
    """Tokens and dollars."""

    tokens: float = 0
    dollars: float = 0.0

    def plus(self, other: Amount, sign: int = 1) -> Amount:
        """Returns the sum, or the difference for a `sign` of -1."""
        return Amount(self.tokens + sign * other.tokens, self.dollars + sign * other.dollars)


NOTHING: Final = Amount()


class Share(NamedTuple):
    """What an attempt of a task is likely to use (p50 of its forecast), and what is set aside for it (p90)."""

    likely: Amount
    most: Amount


class AttemptUse(NamedTuple):
    """An attempt as the store has it; `usage` is None when nobody reported any."""

    task_id: str
    attempt: int
    worker: WorkerKind
    running: bool
    usage: model.Usage | None = None
    rate_limited: bool = False


def ended(task_id: str, attempt: int, worker: WorkerKind, outcome: model.Outcome | None) -> AttemptUse:
    """Returns an attempt that has ended, with what it used if that is known."""
    if outcome is None:
        return AttemptUse(task_id, attempt, worker, running=False)
    rate_limited = outcome.error_kind == transitions.RATE_LIMIT
    return AttemptUse(task_id, attempt, worker, running=False, usage=outcome.usage, rate_limited=rate_limited)


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
    _shares: dict[str, Share] = field(default_factory=dict[str, Share])
    _guesses: dict[tuple[str, int], Amount] = field(default_factory=dict[tuple[str, int], Amount])
    _own: dict[str, Amount] = field(default_factory=dict[str, Amount])

    def replay(self, attempts: Iterable[AttemptUse]) -> None:
        """Takes in what the store has of the run's attempts."""
        for attempt in attempts:
            self.begin(attempt.task_id, attempt.worker)
            if not attempt.running:
                self.end(attempt)

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
        need = self._set_aside(task_id)
        return self._short("dollars", task_id, need) or self._short("tokens", task_id, need)

    def _short(self, name: str, task_id: str, need: Amount) -> budget.Hold | None:
        ceiling = getattr(self.limits, name)
        if ceiling is None:
            return None
        spend, own = getattr(self.spent, name), getattr(need, name)
        total = spend + getattr(self.reserved, name)
        # Alone, an attempt may begin while anything is left, or a ceiling below the forecast would let nothing begin.
        beside = own if self._running else 0.0
        if total < ceiling - _SLACK and total + beside <= ceiling + _SLACK:
            return None
        return budget.Hold(name, ceiling, spend, own, task_id)

    def used_up(self, task_id: str, attempts: int) -> str:
        """Returns the name of a ceiling of the task's own that its attempts have reached, or an empty string."""
        task = self.tasks.get(task_id)
        if task is None or task.limits == model.NO_LIMITS:
            return ""
        use = self._own.get(task_id, NOTHING)
        for name, amount in (("attempts", attempts), ("dollars", use.dollars), ("tokens", use.tokens)):
            ceiling = getattr(task.limits, name)
            if ceiling is not None and amount >= ceiling - _SLACK:
                return name
        return ""

    def ceiling(self, task_id: str, slots: int) -> model.TaskLimits:
        """Returns what the next attempt of a task may use at most.

        Of what the run has left an attempt gets an equal part for each of the `slots` that work may fill, or what is
        set aside for it if that is more (the last attempt below a ceiling may go over it by that); of what its task
        has left, all.
        """
        need, own, use = self._set_aside(task_id), self._own_ceilings(task_id), self._own.get(task_id, NOTHING)
        ceilings: dict[str, model.Json] = {}
        for name in ("dollars", "tokens"):
            of_run, of_task = getattr(self.limits, name), getattr(own, name)
            rest = None if of_run is None else of_run - getattr(self.spent, name) - getattr(self.reserved, name)
            parts = [] if rest is None else [max(rest / max(slots, 1), getattr(need, name))]
            parts += [] if of_task is None else [of_task - getattr(use, name)]
            if parts:
                ceilings[name] = max(min(parts), _LEAST[name])
        if "tokens" in ceilings:
            ceilings["tokens"] = int(ceilings["tokens"])
        return model.TaskLimits(**ceilings)

    def begin(self, task_id: str, worker: WorkerKind) -> None:
        """Notes that an attempt has begun."""
        if worker is WorkerKind.HUMAN:
            return
        self.attempts += 1
        if worker in transitions.MODEL_WORKERS:
            self._running[task_id] = self._set_aside(task_id)
            self.reserved = self.reserved.plus(self._running[task_id])

    def end(self, attempt: AttemptUse) -> None:
        """Notes that the running attempt of a task has ended, and what it used."""
        if attempt.worker not in transitions.MODEL_WORKERS:
            return
        aside = self._running.pop(attempt.task_id, NOTHING)
        # With nothing set aside the sum is nothing exactly: taking floats away leaves dust that adds up over a run.
        self.reserved = self.reserved.plus(aside, -1) if self._running else NOTHING
        self._settle(attempt, aside)

    def late(self, attempt: AttemptUse) -> None:
        """Notes what an attempt used that had ended unreported: the estimate of it is taken back first."""
        guess = self._guesses.pop((attempt.task_id, attempt.attempt), NOTHING)
        self._add(attempt.task_id, NOTHING.plus(guess, -1), NOTHING)
        self._settle(attempt, guess)

    def _settle(self, attempt: AttemptUse, aside: Amount) -> None:
        """Books what an attempt used, or an estimate where nobody says it; only what is known widens `largest`."""
        usage = attempt.usage
        if usage is not None and not _left_open(attempt, usage):
            amount = self._amount(usage)
            self._add(attempt.task_id, amount, amount)
            return
        guess = aside if usage is None else self._share(attempt.task_id).likely
        self._guesses[attempt.task_id, attempt.attempt] = guess
        self._add(attempt.task_id, guess, NOTHING)

    def _add(self, task_id: str, amount: Amount, sure: Amount) -> None:
        self.spent = self.spent.plus(amount)
        self._own[task_id] = self._own.get(task_id, NOTHING).plus(amount)
        largest = self.largest
        self.largest = Amount(max(largest.tokens, sure.tokens), max(largest.dollars, sure.dollars))

    def _amount(self, usage: model.Usage) -> Amount:
        dollars = usage.cost_usd
        if dollars is None:
            dollars = 0.0 if budget.is_silent(usage) else self.price(DEAREST, usage) or 0.0
        return Amount(forecast.counted_tokens(usage), dollars)

    def _set_aside(self, task_id: str) -> Amount:
        most, own = self._share(task_id).most, self._own_ceilings(task_id)
        return Amount(
            max(most.tokens, self.largest.tokens) if own.tokens is None else own.tokens,
            max(most.dollars, self.largest.dollars) if own.dollars is None else own.dollars,
        )

    def _own_ceilings(self, task_id: str) -> model.TaskLimits:
        task = self.tasks.get(task_id)
        return model.NO_LIMITS if task is None else task.limits

    def _share(self, task_id: str) -> Share:
        share = self._shares.get(task_id)
        if share is None:
            task = self.tasks.get(task_id) or model.Task(id=task_id, do="")
            estimate = self.expect(task)
            if estimate.dollars is None:
                estimate = self.expect(task.model_copy(update={"model": DEAREST}))
            tokens, dollars = estimate.tokens, estimate.dollars or forecast.NOTHING
            share = Share(Amount(tokens.p50, dollars.p50), Amount(tokens.p90, dollars.p90))
            self._shares[task_id] = share
        return share


def _left_open(attempt: AttemptUse, usage: model.Usage) -> bool:
    """Returns whether a report says nothing of what was spent; a rate limit met at once really costs nothing."""
    return budget.is_silent(usage) and attempt.worker is WorkerKind.HOST and not attempt.rate_limited
