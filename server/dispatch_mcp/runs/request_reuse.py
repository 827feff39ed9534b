"""What a repeated request asks for that the run under its key does not give: another plan, worker or ceiling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from dispatch_mcp import errors, model
from dispatch_mcp.model import WorkerKind, records
from dispatch_mcp.next_steps import NextStep, StepKind
from dispatch_mcp.text import json_types

LIMITS = "limits"
"""In the data of `run_created`: the ceilings that the first request named, whatever became of them since."""


class Repeat(NamedTuple):
    """A request whose run exists already; `worker` is None when it leaves the choice to us.

    `key` is the caller's own, empty for one made from the plan; `limits` are the ceilings that the request names.
    """

    plan_id: str
    worker: WorkerKind | None
    limits: model.Limits
    key: str = ""


def limits_named(limits: model.Limits) -> dict[str, model.Json]:
    """Returns the ceilings that a request names, as `run_created` keeps them."""
    return limits.model_dump(mode="json", exclude_unset=True)


def refuse(repeat: Repeat, run: records.RunRecord, birth: Mapping[str, model.Json]) -> None:
    """Does nothing when a repeated request asks for what the run under its key gives.

    `birth` is the data of the run's first event.

    Raises:
        InputError: it asks for something else, which it would not get; the ids of the run and of its plan are named.
    """
    differences = _differences(repeat, run, birth.get(LIMITS))
    if not differences:
        return
    whose = f"The request key {repeat.key!r} belongs to" if repeat.key else "There is already"
    raise errors.InputError(
        f"{whose} run {run.id} of plan {run.plan_id}; this call asks for {' and '.join(differences)}.",
        hint=NextStep(
            StepKind.READ_RUN,
            run.id,
            advice="Nothing was started. Use another key for another run, or go on with that one by its id.",
        ),
    )


def _differences(repeat: Repeat, run: records.RunRecord, limits: model.Json) -> list[str]:
    differences: list[str] = []
    if repeat.plan_id != run.plan_id:
        differences.append(f"plan {repeat.plan_id}")
    if repeat.worker not in (None, run.worker):
        differences.append(f"worker {repeat.worker.value!r} instead of {run.worker.value!r}")
    # A run whose first request named none, or of a build that did not keep them, is held to those in force.
    before: Mapping[str, model.Json] = limits if json_types.is_object(limits) else run.limits.model_dump(mode="json")
    for name, ceiling in limits_named(repeat.limits).items():
        if before.get(name) != ceiling:
            differences.append(f"limits.{name} {_figure(ceiling)} instead of {_figure(before.get(name))}")
    return differences


def _figure(ceiling: model.Json) -> str:
    return "none" if ceiling is None else f"{ceiling:g}"
