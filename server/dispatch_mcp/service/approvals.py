"""Decisions of people: what waits for one, and what a person answered. No tool of a model comes here."""

from __future__ import annotations

from typing import NamedTuple

from dispatch_mcp import errors, model
from dispatch_mcp.engine import run_view
from dispatch_mcp.model import AttemptState, TaskState, WorkerKind, records, short_ids, transitions
from dispatch_mcp.next_steps import NextStep, StepKind
from dispatch_mcp.store import sqlite_store


class OpenDecision(NamedTuple):
    """A task that waits for a person; `attempt` fences an answer to an earlier question."""

    run_id: str
    task_id: str
    attempt: int
    question: str


class PersonVerdict(NamedTuple):
    """What a person said; `by` is how it reached us."""

    approved: bool
    by: str
    reason: str = ""


def waiting(view: run_view.RunView) -> list[OpenDecision]:
    """Returns the decisions that a run waits for, in plan order."""
    goals = {task.id: task.goal for task in view.plan.tasks}
    return [
        OpenDecision(view.run.id, task.id, task.attempt, goals[task.id])
        for task in view.tasks
        if task.worker is WorkerKind.HUMAN and task.state is TaskState.RUNNING
    ]


def choose(view: run_view.RunView, task_id: str) -> OpenDecision:
    """Returns the decision that a person means, the only one if no task is named.

    Raises:
        InputError: nothing of that name waits, or more than one does.
    """
    open_ones = waiting(view)
    candidates = [decision for decision in open_ones if task_id in ("", decision.task_id)]
    if len(candidates) == 1:
        return candidates[0]
    if not open_ones and not task_id:
        run_id = view.run.id
        raise errors.InputError(
            f"No decision waits in run {short_ids.short(run_id)}.", hint=NextStep(StepKind.READ_RUN, run_id)
        )
    names = ", ".join(decision.task_id for decision in open_ones) or "none"
    problem = f"Task {task_id!r} does not wait for a decision" if task_id else f"{len(candidates)} decisions wait"
    raise errors.InputError(f"{problem} in run {short_ids.short(view.run.id)}.", hint=f"Waiting: {names}.")


async def record(
    store: sqlite_store.Store, decision: OpenDecision, verdict: PersonVerdict, now: float
) -> records.Advance:
    """Records what a person said and returns where the run stands.

    Raises:
        InputError: the question is no longer open.
    """
    end = transitions.Finished(decision.task_id, decision.attempt, outcome(verdict))
    advance = await store.advance(decision.run_id, records.Step(now=now, finished=[end]))
    if not advance.accepted[0]:
        raise errors.InputError(
            f"Task {decision.task_id!r} no longer waits for this decision.",
            hint=NextStep(StepKind.READ_RUN, decision.run_id),
        )
    return advance


def outcome(verdict: PersonVerdict) -> model.Outcome:
    """Returns the outcome of a decision; a rejection is final, and what depends on it is skipped."""
    word = "approved" if verdict.approved else "rejected"
    text = f"{word} by {verdict.by}" + (f": {verdict.reason}" if verdict.reason else "")
    return model.Outcome(
        state=AttemptState.SUCCEEDED if verdict.approved else AttemptState.FAILED,
        summary=text,
        handoff=model.Handoff(completed_work=text) if verdict.approved else model.Handoff(),
        error="" if verdict.approved else text,
        error_kind="" if verdict.approved else "rejected",
        receipts=(model.Receipt(kind="approval", ok=verdict.approved, detail=text),),
    )
