"""What edits of a plan take out of what shows that its tasks are done, so that a run's end can tell of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from dispatch_mcp import model
from dispatch_mcp.model import transitions
from dispatch_mcp.planning import acceptance

Loosening = Mapping[str, Sequence[str]]
"""Criteria by the task that was to be shown to be done by them."""

FILES = "a change of its files"
"""What stands for declared files, of which one has to be changed."""


def losses(
    before: Iterable[model.Task], after: Iterable[model.Task], rows: Iterable[transitions.TaskRow]
) -> dict[str, tuple[str, ...]]:
    """Returns what one version of a plan asks of tasks and the next one does no more; `rows` are those of the run.

    A task that is taken out counts if it was tried and is not done: whatever comes in its place is asked anew.
    """
    now = {task.id: task for task in after}
    failed_ids = {row.id for row in rows if row.attempt and row.state not in model.TASK_DONE}
    own = [task for task in before if task.id in now or task.id in failed_ids]
    texts = {task.id: _missing(_proof(task), now.get(task.id)) for task in own}
    return {task_id: criteria for task_id, criteria in texts.items() if criteria}


def details(edit: Loosening) -> dict[str, model.Json]:
    """Returns what an edit takes out as details of its event; nothing where it takes nothing out."""
    return {transitions.PROOF_LOSSES: {task_id: list(texts) for task_id, texts in edit.items()}} if edit else {}


def still_missing(edits: Iterable[Loosening], plan: Iterable[model.Task]) -> dict[str, tuple[str, ...]]:
    """Returns what edits took out and the plan as it is now does not ask for again."""
    now = {task.id: task for task in plan}
    texts: dict[str, dict[str, None]] = {}
    for edit in edits:
        for task_id, criteria in edit.items():
            texts.setdefault(task_id, {}).update(dict.fromkeys(criteria))
    gaps = {task_id: _missing(criteria, now.get(task_id)) for task_id, criteria in texts.items()}
    return {task_id: criteria for task_id, criteria in gaps.items() if criteria}


def _proof(task: model.Task) -> tuple[str, ...]:
    return (*task.acceptance, *((FILES,) if task.files else ()))


def _missing(criteria: Iterable[str], task: model.Task | None) -> tuple[str, ...]:
    """Returns which of these criteria a task does not ask for, neither in these words nor by asking for more."""
    if task is None:
        return tuple(criteria)
    texts, own = _proof(task), acceptance.criteria_of(task)
    return tuple(text for text in criteria if text not in texts and not _is_covered(text, own))


def _is_covered(text: str, own: Sequence[acceptance.Criterion]) -> bool:
    criterion = acceptance.read(text)
    return isinstance(criterion, acceptance.Criterion) and any(
        (other.kind, other.subject, other.argv) == (criterion.kind, criterion.subject, criterion.argv)
        and other.least >= criterion.least
        for other in own
        if other.kind != "words"
    )
