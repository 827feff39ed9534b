"""What work will use: p50 and p90 of tokens, dollars and minutes, of a task and of a whole plan.

From history where at least `LEAST` tasks of the same agent and effort, or else of the same effort and model, have
ended well; otherwise from priors. The priors follow from a model of a session in turns, not from measurements of
anybody's work: a prompt of 12,400 tokens (measured: the first request of Claude Code), and each turn adding 1,500
tokens of tool results and 400 of answer, with everything before it read from the cache. How many turns an effort
takes, and that a p90 is 2.5 times its p50, are assumptions; they are called priors wherever they are shown. A command
is taken for half a minute, and a person's decision for nothing: it is counted, as nobody knows how long it takes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final, NamedTuple

from dispatch_mcp import model
from dispatch_mcp.model import Effort, transitions
from dispatch_mcp.planning import graph, plan_checks, schedule
from dispatch_mcp.routing import model_choice

LEAST: Final = 5
"""Finished tasks that make a history (docs/rules.md#effort-in-minutes)."""

SPREAD: Final = 2.5
"""p90 over p50 of a prior."""

TURNS: Final[Mapping[Effort, int]] = {Effort.S: 6, Effort.M: 15, Effort.L: 35, Effort.XL: 80}
SHARE: Final[Mapping[str, float]] = {
    "implementation": 1.0,
    "investigation": 0.8,
    "review": 0.6,
    "consultation": 0.4,
}
"""Turns of each kind of work, as a share of an implementation's."""

PROMPT, RESULTS, ANSWER = 12_400, 1_500, 400

ROUNDS, NODES = 64, 2_000
"""Most scenarios of a plan's makespan, and most tasks simulated over all of them; larger plans are approximated."""

LEAST_ROUNDS: Final = 16

_NORMAL: Final = NormalDist()
_P90: Final = _NORMAL.inv_cdf(0.9)

Price = Callable[[str | None, model.Usage], float | None]
"""Returns the dollars of a usage on a model, None when nobody knows."""


def no_price(_name: str | None, _usage: model.Usage) -> None:
    """Returns None: no price is known."""
    return


class Interval(NamedTuple):
    """The median of something and what it stays below nine times in ten."""

    p50: float
    p90: float


NOTHING: Final = Interval(0.0, 0.0)


class Sample(NamedTuple):
    """What one task that ended well took."""

    agent: str
    effort: str
    model: str
    minutes: float
    tokens: int
    dollars: float | None = None


@dataclass(frozen=True, slots=True)
class Expected:
    """What one task is expected to use; `dollars` is None without a price, `samples` 0 for priors."""

    tokens: Interval
    dollars: Interval | None
    minutes: Interval
    samples: int = 0


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a plan is expected to use.

    `dollars` covers the tasks with a price and is None when there is none; `unpriced` counts the others. `learned`
    counts the tasks that history speaks for, `tasks` all of them; `spawns` is how many a model carries out. `waits` are
    people's decisions: nobody knows how long they take, so they are in no figure.
    """

    tokens: Interval
    dollars: Interval | None
    minutes: Interval
    spawns: int
    tasks: int
    unpriced: int = 0
    learned: int = 0
    waits: int = 0

    @property
    def basis(self) -> str:
        """Where the figures come from."""
        if not self.learned:
            return "priors"
        return "history" if self.learned == self.tasks else f"history for {self.learned} of {self.tasks}, else priors"

    def answer(self) -> dict[str, model.Json]:
        """Returns the forecast as a plan's answer shows it: each figure with its range, and none that is not known.

        Without a price for all of it there is no sum in dollars, and no tokens where no model works.
        """
        out: dict[str, model.Json] = {}
        if self.spawns:
            out["tokens"] = [_rounded(tokens) for tokens in self.tokens]
        if self.unpriced:
            out["unpriced"] = self.unpriced
        elif self.dollars is not None and self.spawns:
            out["usd"] = [round(dollars, 2) for dollars in self.dollars]
        out["min"] = [round(m) if m >= 10 else round(m, 1) for m in self.minutes]
        if self.waits:
            out["waits"] = self.waits
        return {**out, "spawns": self.spawns, "basis": self.basis}


def counted_tokens(usage: model.Usage) -> int:
    """Returns the tokens of a usage that forecasts and ceilings count: all, also those read again from a cache."""
    return usage.tokens


def uses_model(task: model.Task) -> bool:
    """Returns whether a task is a model's work, as far as the plan says."""
    return task.worker in transitions.MODEL_WORKERS if task.worker is not None else not task.command


class Past:
    """What finished tasks have taken, grouped for look-up."""

    def __init__(self, samples: Iterable[Sample] = ()) -> None:
        self._groups: dict[tuple[str, str, str], list[Sample]] = {}
        for sample in samples:
            for key in {_by_agent(sample.agent, sample.effort), _by_model(sample.model, sample.effort)}:
                if key[1]:
                    self._groups.setdefault(key, []).append(sample)

    def of(self, task: model.Task) -> Sequence[Sample]:
        """Returns what speaks for a task: at least `LEAST` samples, or none."""
        for key in (_by_agent(task.agent or "", task.effort), _by_model(task.model or "", task.effort)):
            samples = self._groups.get(key, [])
            if len(samples) >= LEAST:
                return samples
        return ()

    def durations(self, tasks: Iterable[model.Task]) -> dict[str, float]:
        """Returns median minutes by task id, for tasks whose agent has done enough of that effort."""
        out: dict[str, float] = {}
        for task in tasks:
            samples = self._groups.get(_by_agent(task.agent or "", task.effort), [])
            if task.agent and len(samples) >= LEAST:
                out[task.id] = _range([sample.minutes for sample in samples]).p50
        return out

    def expected(self, task: model.Task, price: Price) -> Expected:
        """Returns what a task is expected to use."""
        minutes = graph.minutes_of(task)
        if not uses_model(task):
            return Expected(NOTHING, NOTHING, Interval(minutes, minutes * SPREAD))
        usage = prior(task.effort, model_choice.kind(task.goal))
        samples = self.of(task)
        if not samples:
            tokens = counted_tokens(usage)
            dollars = _priced(price(task.model, usage), SPREAD)
            return Expected(Interval(tokens, tokens * SPREAD), dollars, Interval(minutes, minutes * SPREAD))
        tokens = _range([sample.tokens for sample in samples])
        costs = [sample.dollars for sample in samples if sample.dollars is not None]
        if len(costs) >= LEAST:
            dollars = _range(costs)
        else:
            whole = price(task.model, usage)
            share = 0.0 if whole is None else whole / counted_tokens(usage)
            dollars = None if whole is None else Interval(tokens.p50 * share, tokens.p90 * share)
        return Expected(tokens, dollars, _range([sample.minutes for sample in samples]), len(samples))


def prior(effort: Effort, kind: str) -> model.Usage:
    """Returns the median usage that a task of that effort and kind of work is assumed to have."""
    turns = max(1, round(TURNS[effort] * SHARE[kind]))
    step = RESULTS + ANSWER
    return model.Usage(
        input_tokens=RESULTS,
        output_tokens=turns * ANSWER,
        cache_write_tokens=PROMPT + turns * step,
        cache_read_tokens=turns * PROMPT + step * turns * (turns - 1) // 2,
    )


def of_plan(schedule: plan_checks.ScheduledPlan, workers: int, past: Past, price: Price) -> Forecast:
    """Returns what a plan on `workers` at a time is expected to use."""
    by_kind: dict[tuple[object, ...], Expected] = {}
    uses: list[Expected] = []
    for task in schedule.tasks:
        key = (task.agent, task.effort, task.model, task.worker, bool(task.command), model_choice.kind(task.goal))
        if key not in by_kind:
            by_kind[key] = past.expected(task, price)
        uses.append(by_kind[key])
    by_model = [use for task, use in zip(schedule.tasks, uses, strict=True) if uses_model(task)]
    costs = [use.dollars for use in by_model if use.dollars is not None]
    return Forecast(
        tokens=total([use.tokens for use in by_model]),
        dollars=total(costs) if costs or not by_model else None,
        minutes=makespan(schedule, [use.minutes for use in uses], workers),
        spawns=len(by_model),
        tasks=len(by_model),
        unpriced=len(by_model) - len(costs),
        learned=sum(use.samples > 0 for use in by_model),
        waits=sum(task.worker is model.WorkerKind.HUMAN for task in schedule.tasks),
    )


def total(parts: Iterable[Interval]) -> Interval:
    """Returns the range of a sum of independent amounts.

    Each is taken as log-normal and their sum too, with the same mean and variance (Fenton and Wilkinson): the p90 of
    a sum lies well below the sum of the p90s.
    """
    mean = variance = 0.0
    for p50, p90 in parts:
        sigma2 = _sigma(p50, p90) ** 2
        middle = p50 * math.exp(sigma2 / 2)
        mean += middle
        variance += middle * middle * math.expm1(sigma2)
    if mean <= 0:
        return NOTHING
    sigma2 = math.log1p(variance / (mean * mean))
    p50 = mean * math.exp(-sigma2 / 2)
    return Interval(p50, p50 * math.exp(_P90 * math.sqrt(sigma2)))


def makespan(plan: plan_checks.ScheduledPlan, minutes: Sequence[Interval], workers: int) -> Interval:
    """Returns the range of a plan's minutes on `workers`.

    Small plans are played through in scenarios whose durations are log-normal and drawn by a fixed rule, the same
    each time; large ones get the range of their critical path, stretched by what waiting for workers adds.
    """
    count = len(minutes)
    rounds = min(ROUNDS, NODES // max(1, count))
    if rounds < LEAST_ROUNDS:
        path = total([minutes[plan.graph.index[task_id]] for task_id in plan.critical_path])
        stretch = plan.estimate.parallel / (plan.estimate.critical or 1.0)
        return Interval(path.p50 * stretch, path.p90 * stretch)
    sigmas = [_sigma(*task_minutes) for task_minutes in minutes]
    spans = sorted(
        schedule.makespan(
            plan.graph,
            [task_minutes.p50 * math.exp(sigmas[at] * _draw(turn, at)) for at, task_minutes in enumerate(minutes)],
            plan.urgent,
            workers,
        )
        for turn in range(rounds)
    )
    return _range(spans)


def _draw(turn: int, at: int) -> float:
    """Returns a standard normal deviate that depends on nothing but its place (splitmix64)."""
    bits = (turn * 0x9E3779B97F4A7C15 + at * 0xD1B54A32D192ED03 + 0x632BE59BD9B4E019) & 0xFFFFFFFFFFFFFFFF
    bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return _NORMAL.inv_cdf(((bits ^ (bits >> 31)) + 0.5) / 2**64)


def _sigma(p50: float, p90: float) -> float:
    return math.log(p90 / p50) / _P90 if p50 > 0 and p90 > p50 else 0.0


def _range(values: Sequence[float]) -> Interval:
    in_order = sorted(values)
    return Interval(_quantile(in_order, 0.5), _quantile(in_order, 0.9))


def _quantile(in_order: Sequence[float], share: float) -> float:
    place = (len(in_order) - 1) * share
    low = math.floor(place)
    high = min(low + 1, len(in_order) - 1)
    return in_order[low] + (in_order[high] - in_order[low]) * (place - low)


def _priced(dollars: float | None, spread: float) -> Interval | None:
    return None if dollars is None else Interval(dollars, dollars * spread)


def _by_agent(agent: str, effort: str) -> tuple[str, str, str]:
    return ("agent", agent, str(effort))


def _by_model(name: str, effort: str) -> tuple[str, str, str]:
    return ("model", name, str(effort))


def _rounded(tokens: float) -> int:
    """Returns a whole number of tokens with two digits that mean something."""
    if tokens < 100:
        return round(tokens)
    scale = 10 ** (math.floor(math.log10(tokens)) - 1)
    return round(tokens / scale) * scale
