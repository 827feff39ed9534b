"""Edits of a plan: all or nothing, each giving a new version (facts: planning B5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dispatch_mcp.core import documents, model, problems

OPS = ("add", "modify", "skip", "remove")


def apply(
    tasks: Sequence[model.Task], edits: Sequence[Mapping[str, model.Json]]
) -> tuple[list[model.Task], list[problems.Problem]]:
    """Returns the tasks after all edits in order, and every problem met.

    `modify` replaces the fields that it names; `skip` drops a task and counts it as satisfied; `remove` drops it and
    links what came before it to what came after.
    """
    current = {task.id: task for task in tasks}
    found: list[problems.Problem] = []
    for position, edit in enumerate(edits):
        problem = _misformed(position, edit, current)
        if problem is None:
            found += _applied(position, edit, current)
        else:
            found.append(problem)
    return list(current.values()), found


def _misformed(
    position: int, edit: Mapping[str, model.Json], current: Mapping[str, model.Task]
) -> problems.Problem | None:
    op, task_id, where = edit.get("op"), edit.get("id"), f"edits[{position}]"
    if op not in OPS:
        message = f"op {problems.shown(op)} is unknown."
        return problems.Problem(code="bad_edit", message=message, fix=f"Use one of {', '.join(OPS)}.", where=where)
    if not isinstance(task_id, str) or not task_id:
        message = f"id {problems.shown(task_id)} is not a task id."
        return problems.Problem(code="bad_edit", message=message, fix="Name the task.", where=where)
    if op == "add" and task_id in current:
        message = f"Task {task_id!r} exists."
        return problems.Problem(code="duplicate_id", message=message, task=task_id, fix="Use op modify.", where=where)
    if op != "add" and task_id not in current:
        near = problems.nearest(task_id, list(current))
        message = f"Task {task_id!r} is not in the plan."
        fix = f"Did you mean {near!r}?" if near else "Read the plan's resource for its tasks."
        return problems.Problem(
            code="unknown_task", message=message, task=task_id, fix=fix, did_you_mean=near, where=where
        )
    return None


def _applied(position: int, edit: Mapping[str, model.Json], current: dict[str, model.Task]) -> list[problems.Problem]:
    op, task_id = edit["op"], str(edit["id"])
    if op in ("skip", "remove"):
        gone = current.pop(task_id)
        _relink(current, gone, keep_order=op == "remove")
        return []
    fields: dict[str, model.Json] = edit["task"] if isinstance(edit.get("task"), dict) else {}
    before = current[task_id].model_dump(mode="json", by_alias=True) if op == "modify" else {}
    reading = documents.read_tasks([{**before, **fields, "id": task_id}])
    if reading.problems:
        place = f"edits[{position}].task"
        return [problem.model_copy(update={"where": place}) for problem in reading.problems]
    current[task_id] = reading.tasks[0]
    return []


def _relink(current: dict[str, model.Task], gone: model.Task, *, keep_order: bool) -> None:
    for task in list(current.values()):
        if gone.id in task.deps:
            before = gone.deps if keep_order else ()
            deps = dict.fromkeys([*(dep for dep in task.deps if dep != gone.id), *before])
            current[task.id] = task.model_copy(update={"deps": tuple(deps)})


def difference(before: Sequence[model.Task], after: Sequence[model.Task]) -> dict[str, list[str]]:
    """Returns the ids that were added, changed and removed between two versions."""
    old = {task.id: task for task in before}
    new = {task.id: task for task in after}
    return {
        "added": [task_id for task_id in new if task_id not in old],
        "changed": [task_id for task_id in new if task_id in old and new[task_id] != old[task_id]],
        "removed": [task_id for task_id in old if task_id not in new],
    }
