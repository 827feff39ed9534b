"""Ceilings: what a run may use, what it has used, and what is set aside for attempts that run.

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

from dispatch_mcp import errors, model
from dispatch_mcp.model import WorkerKind, transitions
from dispatch_mcp.planning import forecast

DEAREST: Final = "opus"
"""The model that work without a known price counts as under a ceiling of dollars."""


_LEAST: Final[Mapping[str, float]] = {"dollars": 0.000_001, "tokens": 1}
"""The smallest ceilings there are."""

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
    """What an attempt of a task is likely to use, and what is set aside for it."""

    likely: Amount
    most: Amount


class Hold(NamedTuple):
    """Why an attempt may not begin: the ceiling, what is spent, what is set aside, and what the task needs."""

    limit: str
    ceiling: float
    spent: float
    needed: float = 0.0
    task_id: str = ""

    def text(self) -> str:
        """Returns the reason in words."""
        need = f"; {self.task_id} needs about {_shown(self.needed)} more" if self.needed else ""
        return f"limits.{self.limit} is {_shown(self.ceiling)}, spent are {_shown(self.spent)}{need}"


class Tried(NamedTuple):
    """An attempt as the store has it; `usage` is None when nobody reported any."""

    task_id: str
    attempt: int
    worker: WorkerKind
    running: bool
    usage: model.Usage | None = None
    limited: bool = False


def tried(task_id: str, attempt: int, worker: WorkerKind, outcome: model.Outcome | None) -> Tried:
    """Returns an attempt that has ended, with what it used if that is known."""
    if outcome is None:
        return Tried(task_id, attempt, worker, running=False)
    limited = outcome.error_kind == transitions.RATE_LIMIT
    return Tried(task_id, attempt, worker, running=False, usage=outcome.usage, limited=limited)


Expect = Callable[[model.Task], forecast.Expected]


def within(asked: model.Limits, ceilings: model.Limits) -> model.Limits:
    """Returns the limits in force: what was asked for, and the configuration's ceiling where nothing was.

    Raises:
        NotAllowed: more was asked for than the configuration allows.
    """
    changes: dict[str, model.Json] = {}
    for name in _NAMES:
        wanted, most = getattr(asked, name), getattr(ceilings, name)
        if most is None:
            continue
        if wanted is not None and wanted > most:
            raise errors.NotAllowed(
                f"limits.{name} is {wanted:g}; the configuration allows at most {most:g}.",
                hint=f"Ask for less; only the user can raise max_{name}.",
            )
        changes[name] = most if wanted is None else wanted
    return asked.model_copy(update=changes)


_NAMES: Final = ("dollars", "tokens", "minutes", "attempts", "tasks", "fan_out")


def merged(old: model.Limits, changes: model.Limits) -> model.Limits:
    """Returns the limits of a run after some of them were given anew."""
    return old.model_copy(update={name: getattr(changes, name) for name in changes.model_fields_set})


def ceilings(limits: model.Limits) -> dict[str, float]:
    """Returns the ceilings that are set, by name."""
    return {name: getattr(limits, name) for name in _NAMES if getattr(limits, name) is not None}


def left(limits: model.Limits, spend: model.Usage, *, attempts: int, minutes: float) -> dict[str, float]:
    """Returns what is left below the ceilings that are set; dollars only if everything spent has a price."""
    spent = {"dollars": spend.cost_usd, "tokens": forecast.used(spend), "minutes": minutes, "attempts": attempts}
    known = {name: amount for name, amount in spent.items() if amount is not None}
    below = {name: ceiling - known[name] for name, ceiling in ceilings(limits).items() if name in known}
    return {name: round(max(0.0, rest), 4) for name, rest in below.items()}


def deadline_s(task: model.Task, otherwise: float | None) -> float | None:
    """Returns the seconds that an attempt of a task may take: the least of its timeout and its own ceiling."""
    own = otherwise if task.timeout_s is None else task.timeout_s
    if task.limits.minutes is None:
        return own
    return min(own or task.limits.minutes * 60, task.limits.minutes * 60)


def is_needed(limits: model.Limits, tasks: Iterable[model.Task]) -> bool:
    """Returns whether there is any ceiling to watch while a run goes on."""
    watched = (limits.dollars, limits.tokens, limits.minutes, limits.attempts, limits.fan_out)
    return any(ceiling is not None for ceiling in watched) or any(task.limits != model.NO_LIMITS for task in tasks)


def counts_dollars(limits: model.Limits, tasks: Iterable[model.Task]) -> bool:
    """Returns whether any ceiling is in dollars, so that prices are needed."""
    return limits.dollars is not None or any(task.limits.dollars is not None for task in tasks)


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
    _guessed: dict[tuple[str, int], Amount] = field(default_factory=dict[tuple[str, int], Amount])
    _own: dict[str, Amount] = field(default_factory=dict[str, Amount])

    def replay(self, tried: Iterable[Tried]) -> None:
        """Takes in what the store has of the run's attempts."""
        for one in tried:
            self.begin(one.task_id, one.worker)
            if not one.running:
                self.end(one)

    def replan(self, tasks: Mapping[str, model.Task]) -> None:
        """Goes on with another version of the plan."""
        self.tasks = {**self.tasks, **tasks}
        self._shares.clear()

    # -- asking

    def refusal(self, task_id: str, worker: WorkerKind, now: float, running: int) -> Hold | None:
        """Returns why an attempt may not begin now, or None; `running` counts the run's attempts under way."""
        if worker is WorkerKind.HUMAN:
            return None
        minutes = max(0.0, now - self.started_at) / 60
        for name, spent in (("attempts", self.attempts), ("minutes", minutes), ("fan_out", running)):
            ceiling = getattr(self.limits, name)
            if ceiling is not None and spent >= ceiling:
                return Hold(name, ceiling, spent, task_id=task_id)
        if worker not in forecast.MODEL_WORKERS:
            return None
        need = self._set_aside(task_id)
        return self._short("dollars", task_id, need) or self._short("tokens", task_id, need)

    def _short(self, name: str, task_id: str, need: Amount) -> Hold | None:
        ceiling = getattr(self.limits, name)
        if ceiling is None:
            return None
        spent, own = getattr(self.spent, name), getattr(need, name)
        taken = spent + getattr(self.reserved, name)
        beside = own if self._running else 0.0
        if taken < ceiling - _SLACK and taken + beside <= ceiling + _SLACK:
            return None
        return Hold(name, ceiling, spent, own, task_id)

    def used_up(self, task_id: str, attempts: int) -> str:
        """Returns the name of a ceiling of the task's own that its attempts have reached, or an empty string."""
        task = self.tasks.get(task_id)
        if task is None or task.limits == model.NO_LIMITS:
            return ""
        own = self._own.get(task_id, NOTHING)
        for name, amount in (("attempts", attempts), ("dollars", own.dollars), ("tokens", own.tokens)):
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
        need, own, used = self._set_aside(task_id), self._own_ceilings(task_id), self._own.get(task_id, NOTHING)
        found: dict[str, model.Json] = {}
        for name in ("dollars", "tokens"):
            of_run, of_task = getattr(self.limits, name), getattr(own, name)
            rest = None if of_run is None else of_run - getattr(self.spent, name) - getattr(self.reserved, name)
            parts = [] if rest is None else [max(rest / max(slots, 1), getattr(need, name))]
            parts += [] if of_task is None else [of_task - getattr(used, name)]
            if parts:
                found[name] = max(min(parts), _LEAST[name])
        return model.TaskLimits(**{**found, **({"tokens": int(found["tokens"])} if "tokens" in found else {})})

    # -- following

    def begin(self, task_id: str, worker: WorkerKind) -> None:
        """Notes that an attempt has begun."""
        if worker is WorkerKind.HUMAN:
            return
        self.attempts += 1
        if worker in forecast.MODEL_WORKERS:
            self._running[task_id] = self._set_aside(task_id)
            self.reserved = self.reserved.plus(self._running[task_id])

    def end(self, one: Tried) -> None:
        """Notes that the running attempt of a task has ended, and what it used."""
        if one.worker not in forecast.MODEL_WORKERS:
            return
        aside = self._running.pop(one.task_id, NOTHING)
        self.reserved = self.reserved.plus(aside, -1) if self._running else NOTHING
        self._settle(one, aside)

    def late(self, one: Tried) -> None:
        """Notes what an attempt used that had ended unreported."""
        guessed = self._guessed.pop((one.task_id, one.attempt), NOTHING)
        self._add(one.task_id, NOTHING.plus(guessed, -1), NOTHING)
        self._settle(one, guessed)

    def _settle(self, one: Tried, aside: Amount) -> None:
        silent = one.usage is None or (is_silent(one.usage) and one.worker is WorkerKind.HOST and not one.limited)
        if not silent and one.usage is not None:
            amount = self._amount(one.usage)
            self._add(one.task_id, amount, amount)
            return
        guess = aside if one.usage is None else self._share(one.task_id).likely
        self._guessed[one.task_id, one.attempt] = guess
        self._add(one.task_id, guess, NOTHING)

    def _add(self, task_id: str, amount: Amount, seen: Amount) -> None:
        self.spent = self.spent.plus(amount)
        self._own[task_id] = self._own.get(task_id, NOTHING).plus(amount)
        self.largest = Amount(max(self.largest.tokens, seen.tokens), max(self.largest.dollars, seen.dollars))

    def _amount(self, usage: model.Usage) -> Amount:
        dollars = usage.cost_usd
        if dollars is None:
            dollars = 0.0 if is_silent(usage) else self.price(DEAREST, usage) or 0.0
        return Amount(forecast.used(usage), dollars)

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
            found = self.expect(task)
            if found.dollars is None:
                found = self.expect(task.model_copy(update={"model": DEAREST}))
            dollars = found.dollars or forecast.NOTHING
            share = Share(Amount(found.tokens.p50, dollars.p50), Amount(found.tokens.p90, dollars.p90))
            self._shares[task_id] = share
        return share


def is_silent(usage: model.Usage) -> bool:
    """Returns whether a usage says nothing about what was spent."""
    return usage.cost_usd is None and forecast.used(usage) + usage.cache_read_tokens == 0


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 or value == int(value) else f"{value:.4g}"
