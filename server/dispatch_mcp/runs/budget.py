"""Ceilings: which are in force for a run or a task, what is left below them, and which of them was met."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from dispatch_mcp import errors, model
from dispatch_mcp.model import records, transitions
from dispatch_mcp.planning import forecast

_REPORTED: Final = ("dollars", "tokens")
_DUST: Final = 0.000_1
"""Tokens or dollars by which sums may differ that are the same."""
_NAMES: Final = ("dollars", "tokens", "minutes", "attempts", "tasks", "fan_out")


def limits_in_force(limits: model.Limits, ceilings: model.Limits) -> model.Limits:
    """Returns the limits in force: what was asked for, and the configuration's ceiling where nothing was.

    Raises:
        NotAllowed: more was asked for than the configuration allows.
    """
    changes: dict[str, model.Json] = {}
    for name in _NAMES:
        limit, most = getattr(limits, name), getattr(ceilings, name)
        if most is None:
            continue
        if limit is not None and limit > most:
            raise errors.NotAllowed(
                f"limits.{name} is {limit:g}; the configuration allows at most {most:g}.",
                hint=f"Ask for less; only the user can raise max_{name}.",
            )
        changes[name] = most if limit is None else limit
    return limits.model_copy(update=changes)


def with_changes(old: model.Limits, changes: model.Limits) -> model.Limits:
    """Returns the limits of a run after some of them were given anew."""
    return old.model_copy(update={name: getattr(changes, name) for name in changes.model_fields_set})


def raises(old: model.Limits, new: model.Limits) -> records.Raises:
    """Returns what new ceilings let a run use beyond the old ones; what is lowered is not in it.

    A person's word that work begins beyond its forecast counts as one: from 0 to 1.
    """
    heights = [(name, getattr(old, name), getattr(new, name)) for name in (*_NAMES, "depth")]
    words = ("beyond_forecast", float(old.beyond_forecast), float(new.beyond_forecast))
    return tuple(
        (name, before, after)
        for name, before, after in (*heights, words)
        if before is not None and (after is None or after > before)
    )


def limits_event(step: records.Step, before: model.Limits, plan_version: int) -> transitions.NewEvent:
    """Returns the event of other ceilings for a run that has these and follows this version of its plan.

    Raises:
        StaleVersion: they were decided from others, or a person has agreed to them for another version.
    """
    limits, basis = step.limits or before, step.basis
    data: dict[str, model.Json] = limits.model_dump(mode="json", exclude_none=True)
    if basis is None:
        return transitions.NewEvent("limits_changed", data=data)
    word = basis.word
    if basis.before != before or (word and basis.plan_version != plan_version):
        raise errors.StaleVersion(
            f"The run has other ceilings, or another plan than version {basis.plan_version}, by now.",
            hint="Look at them again and decide anew.",
        )
    if word is None:
        return transitions.NewEvent("limits_changed", data=data)
    heights: list[model.Json] = [list(entry) for entry in word.raises]
    agreement: dict[str, model.Json] = {"by": word.by, "plan_digest": word.plan_digest, "plan_version": plan_version}
    return transitions.NewEvent("limits_raised", data={**agreement, "raised": heights, **data})


def ceilings(limits: model.Limits) -> dict[str, float]:
    """Returns the ceilings that are set, by name."""
    return {name: getattr(limits, name) for name in _NAMES if getattr(limits, name) is not None}


def remaining(
    limits: model.Limits, spend: model.Usage, *, attempts: int, minutes: float, hold: Hold | None = None
) -> dict[str, float]:
    """Returns what is left below the ceilings that are set; dollars only if everything spent has a price.

    Of the ceiling of a `hold` nothing is left beyond what that counts, estimates of what nobody reported included.
    """
    amounts = {
        "dollars": spend.cost_usd,
        "tokens": forecast.counted_tokens(spend),
        "minutes": minutes,
        "attempts": attempts,
    }
    if hold is not None and hold.limit in _REPORTED:
        amounts[hold.limit] = max(hold.spent, amounts[hold.limit] or 0)
    sums = {name: amount for name, amount in amounts.items() if amount is not None}
    below = {name: ceiling - sums[name] for name, ceiling in ceilings(limits).items() if name in sums}
    return {name: round(max(0.0, rest), 4) for name, rest in below.items()}


def deadline_s(task: model.Task, otherwise: float | None, ceiling: model.TaskLimits = model.NO_LIMITS) -> float | None:
    """Returns the seconds that an attempt of a task may take: the least of its timeout, its own and its run's ceiling.

    `ceiling` is what the attempt was given of the run.
    """
    own = otherwise if task.timeout_s is None else task.timeout_s
    minutes = (task.limits.minutes, ceiling.minutes)
    return min([seconds for seconds in (own, *(m * 60 for m in minutes if m is not None)) if seconds], default=None)


def is_needed(limits: model.Limits, tasks: Iterable[model.Task]) -> bool:
    """Returns whether there is any ceiling to watch while a run goes on."""
    ceilings_in_force = (limits.dollars, limits.tokens, limits.minutes, limits.attempts, limits.fan_out)
    return any(ceiling is not None for ceiling in ceilings_in_force) or any(
        task.limits != model.NO_LIMITS for task in tasks
    )


def counts_dollars(limits: model.Limits, tasks: Iterable[model.Task]) -> bool:
    """Returns whether any ceiling is in dollars, so that prices are needed."""
    return limits.dollars is not None or any(task.limits.dollars is not None for task in tasks)


class Hold(NamedTuple):
    """Why an attempt may not begin: the ceiling, what is spent, and what the task needs.

    `at_end` is whether the task's last attempt stopped there and no more is left than then; `unpriced_model` is one
    whose price nobody knows, empty when that is not the reason.
    """

    limit: str
    ceiling: float
    spent: float
    needed: float = 0.0
    task_id: str = ""
    at_end: bool = False
    unpriced_model: str = ""

    def text(self, figure: float | None = None) -> str:
        """Returns the reason in words; `figure` is what of it somebody has reported, where that is known."""
        ceiling = f"limits.{self.limit} is {_figure(self.ceiling)}"
        if self.unpriced_model:
            return (
                f"{ceiling}, but nobody knows a price of {self.unpriced_model!r}, the model of {self.task_id}; name "
                "another model, or give limits.tokens alone"
            )
        need = f"; {self.task_id} needs about {_figure(self.needed)} more" if self.needed else ""
        if self.at_end:
            need = f"; {self.task_id} stopped at what was left and needs more"
        rest = 0.0 if figure is None else self.spent - figure
        estimate = f" ({_figure(rest)} of it estimated, as nobody reported it)" if rest > _DUST else ""
        return f"{ceiling}, spent are {_figure(self.spent)}{estimate}{need}"

    def unbegun(self) -> model.Outcome:
        """Returns the end of an attempt that had been handed out and may not begin: nothing was spent on it."""
        return model.Outcome(
            state=model.AttemptState.FAILED,
            error=self.text(),
            error_kind=transitions.CEILINGS[self.limit],
            retryable=True,
            usage=model.Usage(cost_usd=0.0),
        )


def counted(limit: str, spend: model.Usage) -> float | None:
    """Returns what of a run's spend counts below a ceiling, None where that is not known or is not reported."""
    return {"dollars": spend.cost_usd, "tokens": float(forecast.counted_tokens(spend))}.get(limit)


def is_silent(usage: model.Usage) -> bool:
    """Returns whether a usage says nothing about what was spent."""
    return usage.cost_usd is None and not usage.tokens


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 or value == int(value) else f"{value:.4g}"
