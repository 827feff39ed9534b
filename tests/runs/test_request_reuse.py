from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from dispatch_mcp import errors, model
from dispatch_mcp.model import RunState, WorkerKind, records
from dispatch_mcp.next_steps import NextStep, StepKind
from dispatch_mcp.runs import request_reuse

CREATED = {"limits": {"dollars": 5.0}, "roster": "growth"}  # the first event, and the roster of the plan


def run(**more: Any) -> records.RunRecord:
    """A run of plan p-1 by the host that was asked for with five dollars and has been raised to nine since."""
    fields: dict[str, Any] = {
        "id": "r-1",
        "plan_id": "p-1",
        "plan_version": 1,
        "state": RunState.RUNNING,
        "worker": WorkerKind.HOST,
        "limits": model.Limits(dollars=9.0),
        **more,
    }
    return records.RunRecord(**fields)


def repeat(
    plan_id: str = "p-1", worker: WorkerKind | None = None, limits: Mapping[str, float] | None = None, **more: Any
) -> records.NewRun:
    """A request that names these, under the key of the run; the run that it would make has another id."""
    fields: dict[str, Any] = {"named_key": "mine", **more}
    return records.NewRun(
        id="r-2",
        plan_id=plan_id,
        plan_version=1,
        worker=worker or WorkerKind.API,
        named_worker=worker,
        named_limits=dict(limits or {}),
        **fields,
    )


@pytest.mark.promise("R7")
@pytest.mark.parametrize(
    "again",
    [
        repeat(),
        repeat(worker=WorkerKind.HOST),
        repeat(limits={"dollars": 5}),
        repeat(named_roster="growth"),
        repeat(limits={"dollars": 5.0}, worker=WorkerKind.HOST, named_key=""),
        repeat(named_roster="engineering", named_key=""),
    ],
)
def test_the_same_request_again_is_harmless_whatever_became_of_the_run(again: records.NewRun) -> None:
    request_reuse.refuse(again, run(), CREATED)


@pytest.mark.promise("R7")
@pytest.mark.parametrize(
    ("other", "words"),
    [
        (repeat("p-2"), "plan p-2"),
        (repeat(worker=WorkerKind.API), "worker 'api' instead of 'host'"),
        (repeat(limits={"dollars": 9}), "limits.dollars 9 instead of 5"),
        (repeat(limits={"dollars": 5, "tokens": 100}), "limits.tokens 100 instead of none"),
        (repeat(fresh=True), "fresh work"),
        (repeat(dry_run=True), "a dry run"),
        (repeat(named_roster="engineering"), "roster 'engineering' instead of 'growth'"),
        (repeat("p-2", WorkerKind.API), "plan p-2 and worker 'api' instead of 'host'"),
    ],
)
def test_another_request_under_the_same_key_is_refused_with_the_run_and_its_plan(
    other: records.NewRun, words: str
) -> None:
    with pytest.raises(errors.InputError) as refused:
        request_reuse.refuse(other, run(), CREATED)
    assert (
        refused.value.message == f"The request key 'mine' belongs to run r-1 of plan p-1; this call asks for {words}."
    )
    assert isinstance(refused.value.hint, NextStep)
    assert (refused.value.hint.kind, refused.value.hint.run) == (StepKind.READ_RUN, "r-1")


def test_a_ceiling_that_an_open_run_does_not_have_is_refused_without_a_key_too() -> None:
    with pytest.raises(errors.InputError, match=r"already run r-1 of plan p-1; .* limits\.minutes 3 instead of none"):
        request_reuse.refuse(repeat(limits={"minutes": 3}, named_key=""), run(), CREATED)


def test_a_run_that_kept_no_request_is_held_to_the_ceilings_in_force() -> None:
    request_reuse.refuse(repeat(limits={"dollars": 9}), run(), {})
    with pytest.raises(errors.InputError):
        request_reuse.refuse(repeat(limits={"dollars": 5}), run(), {})


def test_a_simulation_and_work_done_anew_are_not_taken_for_a_real_run_and_work_found() -> None:
    with pytest.raises(errors.InputError, match="asks for a run that is not dry and work that is not fresh"):
        request_reuse.refuse(repeat(), run(dry_run=True, fresh=True), CREATED)


def test_a_run_of_no_roster_is_not_taken_for_one_of_a_roster() -> None:
    with pytest.raises(errors.InputError, match="roster 'growth' instead of none"):
        request_reuse.refuse(repeat(named_roster="growth"), run(), {"roster": None})


def test_an_open_run_whose_finished_work_may_be_used_again_is_not_taken_for_fresh_work() -> None:
    request_reuse.refuse(repeat(named_key=""), run(fresh=True), CREATED)
    with pytest.raises(errors.InputError, match="There is already run r-1 of plan p-1; this call asks for fresh work"):
        request_reuse.refuse(repeat(fresh=True, named_key=""), run(), CREATED)
