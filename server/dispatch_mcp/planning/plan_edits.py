"""Edits of a plan: all or nothing, each giving a new version (docs/rules.md#edits-of-a-plan)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from dispatch_mcp import model
from dispatch_mcp.model import problems, transitions
from dispatch_mcp.planning import gated_work, plan_checks, plan_documents, proof_proposals
from dispatch_mcp.text import json_types, path_globs

OPS = ("add", "modify", "skip", "remove", "prove")
FIELDS = ("op", "id", "task", "reason", "cascade")
"""What an edit may hold."""


Propose = Callable[[model.Task], tuple[str, ...]]
"""Returns the acceptance that a task could be given, nothing for one that needs none."""


def no_proposal(_task: model.Task) -> tuple[str, ...]:
    """Returns nothing: nobody has looked what could prove the task."""
    return ()


def apply(
    tasks: Sequence[model.Task], edits: Sequence[Mapping[str, model.Json]], propose: Propose = no_proposal
) -> tuple[list[model.Task], list[problems.Problem]]:
    """Returns the tasks after all edits in order, and every problem met.

    `modify` replaces the fields that it names; `skip` drops a task and counts it as satisfied, or drops with
    `cascade` all that depends on it too; `remove` drops it and links what came before it to what came after. `prove`
    gives a task, or all that ask for no proof, the acceptance that `propose` has for it. A council is taken out whole,
    by its decision, and nothing else of it can be edited: it judges whoever edits.
    """
    current = {task.id: task for task in tasks}
    councils = {seat_id: task.id for task in tasks for seat_id in (*task.joins, *([task.id] if task.joins else ()))}
    goners = {str(edit.get("id")) for edit in edits if edit.get("op") in ("remove", "skip")}
    faults: list[problems.Problem] = []
    for position, edit in enumerate(map(_without_left_out, edits)):
        task_id = str(edit.get("id"))
        council = councils.get(task_id, "")
        if council and council != task_id and council in goners and edit.get("op") in ("remove", "skip"):
            continue  # it goes with its council
        problem = _misformed(position, edit, current) or _against_council(position, edit, council)
        if problem is None:
            faults += _applied(position, edit, current, propose)
        else:
            faults.append(problem)
    return list(current.values()), faults


def _without_left_out(edit: Mapping[str, model.Json]) -> dict[str, model.Json]:
    """Returns what an edit says: a field without a value is one that it does not name, also in its task."""
    fields = json_types.without_left_out(edit)
    task = fields.get("task")
    return {**fields, "task": json_types.without_left_out(task)} if json_types.is_object(task) else fields


def _misformed(
    position: int, edit: Mapping[str, model.Json], current: Mapping[str, model.Task]
) -> problems.Problem | None:
    op, task_id, where = edit.get("op"), edit.get("id"), f"edits[{position}]"
    if op not in OPS:
        nearest = problems.nearest(op, OPS) if isinstance(op, str) else ""
        fix = f"Use `{nearest}`." if nearest else f"Use one of {', '.join(OPS)}."
        return _bad_edit(task_id, f"{where}.op", f"op {json_types.quoted(op)} is unknown.", fix, nearest)
    if not isinstance(task_id, str) or not task_id:
        return _bad_edit("", f"{where}.id", f"id {json_types.quoted(task_id)} is not a task id.", "Name the task.")
    wrong = _misplaced(where, task_id, edit)
    if wrong is not None:
        return wrong
    if op == "add" and task_id in current:
        message = f"Task {task_id!r} exists."
        return problems.Problem(code="duplicate_id", message=message, task=task_id, fix="Use op modify.", where=where)
    if op != "add" and task_id not in current and (op, task_id) != ("prove", proof_proposals.EVERY_TASK):
        near = problems.nearest(task_id, list(current))
        message = f"Task {task_id!r} is not in the plan."
        fix = f"Did you mean {near!r}?" if near else "Read the plan's resource for its tasks."
        return problems.Problem(
            code="unknown_task", message=message, task=task_id, fix=fix, did_you_mean=near, where=where
        )
    return None


def _misplaced(where: str, task_id: str, edit: Mapping[str, model.Json]) -> problems.Problem | None:
    """Returns a problem if the fields of a task are not in `task`, or mean another one."""
    strange = next((key for key in edit if key not in FIELDS), None)
    if strange is not None:
        nearest = problems.nearest(strange, FIELDS)
        fix = f"Use `{nearest}`." if nearest else "Fields of the task belong into `task`."
        return _bad_edit(
            task_id, f"{where}.{strange[:80]}", f"There is no {json_types.quoted(strange)} here.", fix, nearest
        )
    cascade = edit.get("cascade", False)
    if not isinstance(cascade, bool):
        message = f"cascade is {json_types.quoted(cascade)}."
        return _bad_edit(
            task_id, f"{where}.cascade", message, "Send true to drop all that depends on it too, or false."
        )
    if edit["op"] not in ("add", "modify"):
        return None
    fields = edit.get("task")
    if not isinstance(fields, dict) or not fields:
        message = f"op {edit['op']} needs `task`, not {json_types.quoted(fields)}."
        return _bad_edit(task_id, f"{where}.task", message, "Send the fields of the task as an object.")
    own_id: model.Json = edit["task"].get("id", task_id)
    if str(own_id).strip() != task_id:
        message = f"The edit is of {task_id!r}, its task has the id {json_types.quoted(own_id)}."
        return _bad_edit(task_id, f"{where}.task.id", message, "Leave the id out of `task`; to rename, remove and add.")
    return None


def _against_council(position: int, edit: Mapping[str, model.Json], council: str) -> problems.Problem | None:
    """Returns the problem of an edit of a council that does not take it out whole."""
    if not council or (edit["id"] == council and edit["op"] in ("remove", "skip")):
        return None
    return problems.Problem(
        code="needs_person",
        message=f"Task {edit['id']!r} belongs to the council {council!r}, which nobody whom it judges can change.",
        task=str(edit["id"]),
        fix=f"Remove {council!r} to do without all of it, before it has begun; the user decides who reviews.",
        where=f"edits[{position}]",
    )


def _bad_edit(task_id: model.Json, where: str, message: str, fix: str, nearest: str = "") -> problems.Problem:
    task = task_id if isinstance(task_id, str) else ""
    return problems.Problem(code="bad_edit", message=message, task=task, fix=fix, did_you_mean=nearest, where=where)


def _applied(
    position: int, edit: Mapping[str, model.Json], current: dict[str, model.Task], propose: Propose
) -> list[problems.Problem]:
    op, task_id = edit["op"], str(edit["id"])
    if op == "prove":
        return _prove(position, task_id, current, propose)
    if op in ("skip", "remove"):
        for follower_id in gated_work.behind(task_id, current.values()) if op == "skip" and edit.get("cascade") else ():
            del current[follower_id]
        victim = current.pop(task_id)
        _relink(current, victim, keep_order=op == "remove")
        for seat_id in victim.joins:
            _relink(current, current.pop(seat_id), keep_order=op == "remove")
        return []
    fields: dict[str, model.Json] = edit["task"]
    before = current[task_id].model_dump(mode="json", by_alias=True, exclude_defaults=True) if op == "modify" else {}
    for name in fields:
        before.pop(plan_documents.ALIASES.get(name, name), None)
    reading = plan_documents.read_tasks([{**before, **fields, "id": task_id}])
    if reading.problems:
        place = f"edits[{position}].task"
        return [
            problem.model_copy(update={"where": problem.where.replace("tasks[0]", place, 1)})
            for problem in reading.problems
        ]
    current[task_id] = reading.tasks[0]
    return []


def _prove(position: int, task_id: str, current: dict[str, model.Task], propose: Propose) -> list[problems.Problem]:
    tasks = list(current.values()) if task_id == proof_proposals.EVERY_TASK else [current[task_id]]
    proposals = {task.id: propose(task) for task in tasks}
    for task in tasks:
        if proposals[task.id]:
            current[task.id] = task.model_copy(update={"acceptance": proposals[task.id]})
    if any(proposals.values()):
        return []
    fix = "A task that declares no `files`, has begun or asks for proof already gets none: modify its `acceptance`."
    message = f"There is no proof to propose for {json_types.quoted(task_id)}."
    return [_bad_edit(task_id, f"edits[{position}].id", message, fix)]


def _relink(current: dict[str, model.Task], victim: model.Task, *, keep_order: bool) -> None:
    for task_id in list(current):
        task = current.get(task_id)
        if task is None or victim.id not in task.deps:
            continue
        before = victim.deps if keep_order else ()
        deps = dict.fromkeys([*(dep for dep in task.deps if dep != victim.id), *before])
        reviews = tuple(name for name in task.reviews if name != victim.id)
        current[task_id] = task.model_copy(update={"deps": tuple(deps), "reviews": reviews})
        if task.reviews and not reviews:  # a review of nothing that is left goes with it
            _relink(current, current.pop(task_id), keep_order=True)


@dataclass(frozen=True, slots=True)
class TaskProgress:
    """Where the tasks of a plan stand in its open runs: `ended` in all of them; `running` are the others that began."""

    ended: frozenset[str] = frozenset()
    running: frozenset[str] = frozenset()

    @property
    def fixed(self) -> frozenset[str]:
        """The tasks that may no longer change."""
        return self.ended | self.running


NOTHING_BEGUN = TaskProgress()


def standing(runs: Sequence[Sequence[transitions.TaskRow]]) -> TaskProgress:
    """Returns where tasks stand in these runs together."""
    final_ids = [{row.id for row in rows if transitions.is_fixed(row)} for rows in runs]
    ended = [{row.id for row in rows if transitions.is_fixed(row) and row.state in model.TASK_FINAL} for rows in runs]
    everywhere = frozenset[str]().union(*ended).intersection(*ended)
    return TaskProgress(everywhere, frozenset[str]().union(*final_ids) - everywhere)


@dataclass(frozen=True, slots=True)
class Rest:
    """What is left to schedule: the tasks that have not ended, without what has; `edges` keep running ones first.

    `running` stay as they are, however they were ordered among each other for the schedule.
    """

    tasks: Sequence[model.Task]
    edges: Sequence[model.AddedEdge]
    running: frozenset[str] = frozenset()

    def merged(self, whole: Sequence[model.Task], schedule: Sequence[model.Task]) -> tuple[model.Task, ...]:
        """Returns all tasks as scheduled, each with its dependencies on what has ended put back."""
        by_id = {task.id: task for task in schedule if task.id not in self.running}
        return tuple(_with_deps(by_id[task.id], task.deps) if task.id in by_id else task for task in whole)


def rest(tasks: Sequence[model.Task], standing: TaskProgress, workspace: str = "") -> Rest:
    """Returns what is left to schedule; whoever writes what a running task writes waits for that task.

    Running tasks that write the same count as ordered: nobody can keep them apart any more.
    """
    remainder = [_without(task, standing.ended) for task in tasks if task.id not in standing.ended]
    running = [task for task in remainder if task.id in standing.running and task.files]
    edges: list[model.AddedEdge] = []
    for busy in running:
        waiting = gated_work.behind(busy.id, remainder)
        for place, task in enumerate(remainder):
            path = "" if task.id in waiting or task.id == busy.id else _shared(busy, task, workspace)
            if path and busy.id not in gated_work.behind(task.id, remainder):
                remainder[place] = _with_deps(task, (busy.id,))
                if task.id not in standing.running:
                    edges.append(model.AddedEdge(before=busy.id, after=task.id, reason=f"both write `{path}`"))
    return Rest(remainder, edges, standing.running)


def _shared(first: model.Task, second: model.Task, workspace: str) -> str:
    first_paths = [path_globs.normalise(path, workspace) for path in first.files]
    second_paths = [path_globs.normalise(path, workspace) for path in second.files]
    return next((right for right in second_paths if any(path_globs.touch(path, right) for path in first_paths)), "")


def _without(task: model.Task, final_ids: Collection[str]) -> model.Task:
    deps = tuple(dep for dep in task.deps if dep not in final_ids)
    return task if deps == task.deps else task.model_copy(update={"deps": deps})


def _with_deps(task: model.Task, more: Sequence[str]) -> model.Task:
    deps = tuple(dict.fromkeys((*task.deps, *more)))
    return task if deps == task.deps else task.model_copy(update={"deps": deps})


def difference(before: Sequence[model.Task], after: Sequence[model.Task]) -> dict[str, list[str]]:
    """Returns the ids that were added, changed and removed between two versions."""
    old = {task.id: task for task in before}
    new = {task.id: task for task in after}
    return {
        "added": [task_id for task_id in new if task_id not in old],
        "changed": [task_id for task_id in new if task_id in old and new[task_id] != old[task_id]],
        "removed": [task_id for task_id in old if task_id not in new],
    }


def changes(
    before: model.Plan,
    after: model.Plan,
    edits: Sequence[Mapping[str, model.Json]],
    *,
    schedule: plan_checks.ScheduledPlan,
    ready: Collection[str],
    stand: TaskProgress,
) -> dict[str, model.Json]:
    """Returns what an edit did: added, changed, skipped, removed, newly_ready, and critical minutes [before, after].

    `ready` are the tasks that were ready or running before; only what is not empty is there.
    """
    versions = difference(before.tasks, after.tasks)
    skips = {str(edit.get("id")) for edit in edits if edit.get("op") == "skip"}
    remainder = rest(before.tasks, stand).tasks
    was = plan_checks.prepare(remainder, max_parallel=before.max_parallel, on_conflict="worktree").estimate.critical
    summary: dict[str, model.Json] = {
        "added": versions["added"],
        "changed": versions["changed"],
        "skipped": [task_id for task_id in versions["removed"] if task_id in skips],
        "removed": [task_id for task_id in versions["removed"] if task_id not in skips],
        "newly_ready": [task_id for task_id in schedule.next if task_id not in ready],
        "critical_min": [round(was), round(schedule.estimate.critical)],
    }
    return {key: value for key, value in summary.items() if value}
