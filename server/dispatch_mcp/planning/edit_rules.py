"""What a new version of a live run's plan may not change (docs/rules.md#edits-of-a-plan)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from dispatch_mcp import model
from dispatch_mcp.model import TaskState, WorkerKind, transitions
from dispatch_mcp.model.problems import Problem


def refusals(
    before: Sequence[model.Task],
    after: Sequence[model.Task],
    rows: Iterable[transitions.TaskRow] = (),
    *,
    added: Collection[model.AddedEdge] = (),
) -> list[Problem]:
    """Returns everything that keeps a run whose tasks are at `rows` from going on with `after`.

    Codes: task_started (it runs or has ended, so it stays as it is), needs_person (a person's decision would be
    removed, changed or gone round). `added` are the edges of `before` that planning made: nobody's decision.
    """
    fixed = {row.id: row for row in rows if transitions.is_fixed(row)}
    wanted = {task.id: task for task in after}
    gates = _undecided(before, fixed.values())
    begun = {task_id: row for task_id, row in fixed.items() if task_id not in gates}
    return [*_started(before, wanted, begun), *_decisions(bare(before, added, fixed), wanted, fixed, gates)]


def bare(tasks: Sequence[model.Task], added: Iterable[model.AddedEdge], keep: Collection[str] = ()) -> list[model.Task]:
    """Returns the tasks without the edges that planning added, but for those into the tasks `keep`."""
    dropped: dict[str, set[str]] = {}
    for edge in added:
        if edge.after not in keep:
            dropped.setdefault(edge.after, set()).add(edge.before)
    return [
        task.model_copy(update={"deps": tuple(dep for dep in task.deps if dep not in dropped[task.id])})
        if task.id in dropped
        else task
        for task in tasks
    ]


def _started(
    before: Sequence[model.Task], wanted: Mapping[str, model.Task], fixed: Mapping[str, transitions.TaskRow]
) -> Iterable[Problem]:
    for task in before:
        row = fixed.get(task.id)
        if row is not None and wanted.get(task.id) != task and not _only_relinked(task, wanted, fixed):
            done = "removed" if task.id not in wanted else "changed"
            yield Problem(
                code="task_started",
                task=task.id,
                message=f"Task {task.id!r} is {row.state.value} and cannot be {done}.",
                fix="Leave it as it is; add a task, or change those that have not begun.",
            )


def _only_relinked(task: model.Task, wanted: Mapping[str, model.Task], fixed: Collection[str]) -> bool:
    """Returns whether a task has changed only because one that it waited for was removed, which is refused itself."""
    now = wanted.get(task.id)
    gone = any(dep in fixed and dep not in wanted for dep in task.deps)
    return now is not None and gone and now.model_copy(update={"deps": task.deps}) == task


def _decisions(
    before: Sequence[model.Task],
    wanted: Mapping[str, model.Task],
    fixed: Collection[str],
    gates: Sequence[str],
) -> list[Problem]:
    """Returns what would let work begin that a person has not approved, or has rejected; not what follows from it."""
    changed = [task for task in before if task.id in gates and wanted.get(task.id) != task]
    touched = [task.id for task in changed if not _only_relinked(task, wanted, fixed)]
    if touched:
        return [
            _needs_person(one, "is a person's decision; an edit can neither remove nor change it") for one in touched
        ]
    freed: dict[str, str] = {}
    for gate in gates:
        now = behind(gate, wanted.values())
        for task_id in sorted(behind(gate, before)):
            if task_id in wanted and task_id not in now and task_id not in fixed:
                freed.setdefault(task_id, gate)
    return [
        _needs_person(task_id, f"depends on a person's decision in {gate!r} and has to go on doing so")
        for task_id, gate in freed.items()
        if freed.keys().isdisjoint(wanted[task_id].deps)
    ]


def _needs_person(task_id: str, why: str) -> Problem:
    return Problem(
        code="needs_person",
        task=task_id,
        message=f"Task {task_id!r} {why}.",
        fix="Ask the user to decide; nobody else can approve.",
    )


def _undecided(tasks: Sequence[model.Task], rows: Iterable[transitions.TaskRow]) -> list[str]:
    """Returns the decisions that no person has approved."""
    approved = {row.id for row in rows if row.state is TaskState.SUCCEEDED}
    return [task.id for task in tasks if task.worker is WorkerKind.HUMAN and task.id not in approved]


def undecided(task_id: str, tasks: Sequence[model.Task], rows: Iterable[transitions.TaskRow]) -> str:
    """Returns a decision that a person has not approved and that a task is or waits for, or an empty string."""
    gates = _undecided(tasks, rows)
    return next((gate for gate in gates if gate == task_id or task_id in behind(gate, tasks)), "")


def behind(first: str, tasks: Iterable[model.Task]) -> set[str]:
    """Returns the tasks that depend on `first`, directly or through others."""
    followers: dict[str, list[str]] = {}
    for task in tasks:
        for dep in task.deps:
            followers.setdefault(dep, []).append(task.id)
    found: set[str] = set()
    stack = [first]
    while stack:
        for follower in followers.get(stack.pop(), ()):
            if follower not in found:
                found.add(follower)
                stack.append(follower)
    return found
