"""What a repeated request asks for that the run under its key has not: another plan, worker, roster or ceiling."""

from __future__ import annotations

from collections.abc import Mapping

from dispatch_mcp import errors, model
from dispatch_mcp.model import records, short_ids
from dispatch_mcp.next_steps import NextStep, StepKind
from dispatch_mcp.text import json_types

LIMITS = "limits"
"""In the data of `run_created`: the ceilings that the first request named, whatever became of them since."""

ROSTER = "roster"
"""Beside the data of `run_created`: the roster of the version of the plan that the run began with."""


def refuse(again: records.NewRun, run: records.RunRecord, birth: Mapping[str, model.Json]) -> None:
    """Does nothing when a repeated request names nothing but what the run under its key has.

    `birth` is the data of the run's first event, and the roster that it began with.

    Raises:
        InputError: it names something else, which it would not get; the ids of the run and of its plan are told.
    """
    differences = [
        *_other_work(again, run, birth.get(ROSTER)),
        *_other_ceilings(again, run, birth.get(LIMITS)),
    ]
    if not differences:
        return
    whose = f"The request key {again.named_key!r} belongs to" if again.named_key else "There is already"
    name = f"run {short_ids.short(run.id)} of plan {short_ids.short(run.plan_id)}"
    raise errors.InputError(
        f"{whose} {name}; this call asks for {' and '.join(differences)}.",
        hint=NextStep(
            StepKind.READ_RUN,
            run.id,
            advice="Nothing was started. Use another key for another run, or go on with that one by its id.",
        ),
    )


def _other_work(again: records.NewRun, run: records.RunRecord, roster: model.Json) -> list[str]:
    differences: list[str] = []
    if again.plan_id != run.plan_id:
        differences.append(f"plan {short_ids.short(again.plan_id)}")
    if again.named_worker not in (None, run.worker):
        differences.append(f"worker {again.named_worker.value!r} instead of {run.worker.value!r}")
    if not again.named_key:
        # The open run of a plan: it is of the same kind, and a roster that is named has become the plan's.
        return [*differences, "fresh work"] if again.fresh and not run.fresh else differences
    if again.dry_run != run.dry_run:
        differences.append("a dry run" if again.dry_run else "a run that is not dry")
    if again.fresh != run.fresh:
        differences.append("fresh work" if again.fresh else "work that is not fresh")
    if again.named_roster and again.named_roster != roster:
        differences.append(f"roster {again.named_roster!r} instead of {repr(roster) if roster else 'none'}")
    return differences


def _other_ceilings(again: records.NewRun, run: records.RunRecord, limits: model.Json) -> list[str]:
    # A run whose first request named none, or of a build that did not keep them, is held to those in force.
    before: Mapping[str, model.Json] = limits if json_types.is_object(limits) else run.limits.model_dump(mode="json")
    return [
        f"limits.{name} {_figure(ceiling)} instead of {_figure(before.get(name))}"
        for name, ceiling in again.named_limits.items()
        if before.get(name) != ceiling
    ]


def _figure(ceiling: model.Json) -> str:
    return "none" if ceiling is None else f"{ceiling:g}"
