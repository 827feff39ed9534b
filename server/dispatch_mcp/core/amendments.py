"""What a new version of a live run's plan may not change (facts: planning B5)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from dispatch_mcp.core import model, moves
from dispatch_mcp.core.model import TaskState, WorkerKind
from dispatch_mcp.core.problems import Problem


def refusals(
    before: Sequence[model.Task],
    after: Sequence[model.Task],
    rows: Iterable[moves.TaskRow] = (),
    *,
    added: Collection[model.AddedEdge] = (),
) -> list[Problem]:
    """Returns everything that keeps a run whose tasks are at `rows` from going on with `after`.

    Codes: task_started (it runs or has ended, so it stays as it is), needs_person (a person's decision would be
    removed, changed or gone round). `added` are the edges of `before` that planning made: nobody's decision.
    """
    fixed = {row.id: row for row in rows if moves.is_fixed(row)}
    wanted = {task.id: task for task in after}
    return [*_started(before, wanted, fixed), *_decisions(bare(before, added), wanted, fixed)]


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
    before: Sequence[model.Task], wanted: Mapping[str, model.Task], fixed: Mapping[str, moves.TaskRow]
) -> Iterable[Problem]:
    for task in before:
        row = fixed.get(task.id)
        if row is not None and wanted.get(task.id) != task:
            done = "removed" if task.id not in wanted else "changed"
            yield Problem(
                code="task_started",
                task=task.id,
                message=f"Task {task.id!r} is {row.state.value} and cannot be {done}.",
                fix="Leave it as it is; add a task, or change those that have not begun.",
            )


def _decisions(
    before: Sequence[model.Task], wanted: Mapping[str, model.Task], fixed: Mapping[str, moves.TaskRow]
) -> Iterable[Problem]:
    """Yields what would let work begin that a person has not approved, or has rejected."""
    approved = {task_id for task_id, row in fixed.items() if row.state is TaskState.SUCCEEDED}
    gates = [task for task in before if task.worker is WorkerKind.HUMAN and task.id not in approved]
    for gate in gates:
        if gate.id not in fixed and wanted.get(gate.id) != gate:
            yield _needs_person(gate.id, "is a person's decision; an edit can neither remove nor change it")
            continue
        now = behind(gate.id, wanted.values())
        for task_id in sorted(behind(gate.id, before)):
            if task_id in wanted and task_id not in now and task_id not in fixed:
                yield _needs_person(task_id, f"depends on a person's decision in {gate.id!r} and has to go on doing so")


def _needs_person(task_id: str, why: str) -> Problem:
    return Problem(
        code="needs_person",
        task=task_id,
        message=f"Task {task_id!r} {why}.",
        fix="Ask the user to decide: `dispatch-mcp approve`.",
    )


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
