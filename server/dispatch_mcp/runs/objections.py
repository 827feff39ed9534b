"""What reviews that object mean for a run: which work is done again, and how the run ends.

A review objects to work that has a result. The work goes back once every review of it that is asked has answered, so
that one attempt mends what all of them found.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from dispatch_mcp import model
from dispatch_mcp.model import RunState, TaskState, WorkerKind, transitions
from dispatch_mcp.model.transitions import TaskRow
from dispatch_mcp.planning import graph, review_rules
from dispatch_mcp.runs import dependencies

_ASKED: Final = frozenset({TaskState.READY, TaskState.RUNNING})
_PROGRAMS: Final = frozenset({WorkerKind.COMMAND, WorkerKind.SCRIPTED})
_LOST: Final = frozenset({TaskState.FAILED, TaskState.CANCELLED})


def can_be_mended(row: TaskRow) -> bool:
    """Returns whether somebody can do work again with a review's findings before them, or does so already."""
    return row.worker in transitions.MODEL_WORKERS and (row.state in model.TASK_DONE or row.rounds > 0)


def to_send_back(
    rows: Sequence[TaskRow], subjects: Iterable[int], reviews_of: Mapping[int, Sequence[int]]
) -> list[int]:
    """Returns which subjects of reviews that object are to be done again now, in plan order.

    One of those reviews objects to it, somebody can mend it, and none of its reviews is still asked.
    """
    return [
        subject
        for subject in sorted({*subjects})
        if rows[subject].cause == transitions.NEEDS_CHANGES
        and rows[subject].state in model.TASK_DONE
        and can_be_mended(rows[subject])
        and not any(rows[review].state in _ASKED for review in reviews_of[subject])
    ]


def unaskable(tasks: graph.Graph, rows: Sequence[TaskRow], objecting: Collection[int]) -> list[int]:
    """Returns the reviews that object to work and wait for something else that is lost."""
    return [
        review for review in sorted(objecting) if dependencies.standing(tasks, rows, review)[0] is TaskState.SKIPPED
    ]


def final_reviews(subject: int, rows: Sequence[TaskRow], reviews_of: Mapping[int, Sequence[int]]) -> tuple[int, ...]:
    """Returns the reviews that have blocked a task for good; none while another one is asked or waits for it."""
    reviews = reviews_of.get(subject, ())
    is_judged = all(rows[review].state in model.TASK_FINAL for review in reviews)
    if rows[subject].state not in model.TASK_DONE or not is_judged:
        return ()
    return tuple(
        review
        for review in reviews
        if rows[review].state is TaskState.FAILED and rows[review].cause == transitions.NEEDS_CHANGES
    )


def ending(rows: Sequence[TaskRow], reviews: Iterable[int], plan: Sequence[model.Task] = ()) -> RunState:
    """Returns how a run ends whose tasks are all final; `reviews` are the positions of those that judge others.

    A review that blocks outweighs every failure, and a failure one that came to no verdict. Without a failure a run of
    which nothing was done is partial, whoever skipped it; `plan` says which tasks are to change something.
    """
    reviews = tuple(reviews)
    verdicts = {position: rows[position] for position in reviews if rows[position].state in _LOST}
    is_blocked = any(row.cause == transitions.NEEDS_CHANGES for row in verdicts.values())
    if is_blocked or disputes(rows, plan) or _is_left_unjudged(rows, reviews, plan):
        return RunState.NEEDS_CHANGES
    bad = sum(not dependencies.is_satisfied(row) for row in rows)
    if bad == 0:
        return RunState.PARTIAL if _is_undone(rows, plan) else RunState.SUCCEEDED
    failures = [position for position, row in enumerate(rows) if row.state in _LOST]
    if verdicts and all(position in verdicts for position in failures):
        return RunState.INCONCLUSIVE
    return RunState.FAILED if bad == len(rows) else RunState.PARTIAL


def disputes(rows: Iterable[TaskRow], plan: Sequence[model.Task]) -> dict[str, str]:
    """Returns accepted work that changed blocked files, with the review that has blocked them.

    What a review of the plan has passed meanwhile, or a person has let go, is none; nor is it if that review is of the
    tasks that declare the same files.
    """
    ends = [row for row in rows if row.state in model.TASK_DONE or row.cause == transitions.BY_USER]
    cases = [row for row in ends if row.cause.startswith(transitions.DISPUTED)]
    if not cases:
        return {}
    passes = {row.id for row in ends} - {seat for task in plan for seat in task.joins}
    settled_ids = {subject for review in plan if review.id in passes for subject in review.reviews}
    out: dict[str, str] = {}
    for row in cases:
        review, *owners = row.cause.removeprefix(transitions.DISPUTED).split("|")
        is_settled = row.id in settled_ids or (bool(owners) and settled_ids.issuperset(owners))
        if not is_settled:
            out[row.id] = review
    return out


def _is_left_unjudged(rows: Sequence[TaskRow], reviews: Iterable[int], plan: Sequence[model.Task]) -> bool:
    """Returns whether work is done that a review objected to which was lost before it could judge what came of that."""
    done_ids = {row.id for row in rows if row.state in model.TASK_DONE}
    return any(
        rows[position].state is TaskState.SKIPPED
        and transitions.stands_against(rows[position])
        and not done_ids.isdisjoint(plan[position].reviews)
        for position in reviews
    )


def _is_undone(rows: Sequence[TaskRow], plan: Sequence[model.Task]) -> bool:
    """Returns whether all that was to change something was skipped, or all work of a plan that changes nothing."""
    if not any(row.state is TaskState.SKIPPED for row in rows):
        return False
    own = [(task, row) for task, row in zip(plan, rows, strict=True) if is_work(task)]
    writing = [row for task, row in own if review_rules.writes(task) or task.worker in _PROGRAMS or task.command]
    return bool(own) and all(row.state is TaskState.SKIPPED for row in writing or [row for _, row in own])


def is_work(task: model.Task) -> bool:
    """Returns whether a task is neither a review nor a person's decision."""
    return not task.reviews and task.worker is not WorkerKind.HUMAN
