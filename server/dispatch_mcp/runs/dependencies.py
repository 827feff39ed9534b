"""What the states of a run's tasks mean for what depends on them: who waits, who is lost, who can live again."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from dispatch_mcp import model
from dispatch_mcp.model import TaskState, WorkerKind, transitions
from dispatch_mcp.model.transitions import TaskRow
from dispatch_mcp.planning import graph

Rows = Sequence[TaskRow]
"""The rows of a run's tasks in plan order, so that a position of the graph is an index."""


def is_satisfied(row: TaskRow) -> bool:
    """Returns whether dependants may begin as far as this task goes: it has a result, or somebody does without one."""
    if row.state is TaskState.SKIPPED:
        return row.cause in transitions.DONE_WITHOUT
    return row.state in model.TASK_DONE


def may_satisfy(row: TaskRow) -> bool:
    """Returns whether dependants may still hope for this task."""
    return row.state not in model.TASK_FINAL or is_satisfied(row)


def next_of(workers: Collection[WorkerKind], rows: Rows) -> list[int]:
    """Returns what these workers have to do next, or all that is left for them if they wait for others."""
    rest = [
        position for position, row in enumerate(rows) if row.worker in workers and row.state not in model.TASK_FINAL
    ]
    return [position for position in rest if rows[position].state is TaskState.READY] or rest


def lost_upstream(tasks: graph.Graph, rows: Rows, position: int) -> set[int]:
    """Returns the closed tasks upstream that would keep a reopened task waiting for ever."""
    dead_ends: set[int] = set()
    stack = list(tasks.deps[position])
    while stack:
        dep = stack.pop()
        if dep not in dead_ends and not may_satisfy(rows[dep]):
            dead_ends.add(dep)
            stack += tasks.deps[dep]
    return dead_ends


def blocked_downstream(tasks: graph.Graph, rows: Rows, position: int) -> Iterator[int]:
    """Yields the tasks that wait for this one, directly or through others; the caller may close each as it comes."""
    positions: set[int] = set()
    stack = list(tasks.dependents[position])
    while stack:
        follower = stack.pop()
        if follower not in positions and rows[follower].state is TaskState.BLOCKED:
            positions.add(follower)
            yield follower
            stack += tasks.dependents[follower]


def revived_with(tasks: graph.Graph, rows: Rows, seeds: set[int]) -> list[int]:
    """Returns `seeds` and every task that was closed only because of them, in plan order.

    A task that also depends on something else that is lost stays closed: reopened, it would wait for ever.
    """
    group = set(seeds)
    for position in tasks.order:
        deps = tasks.deps[position]
        if position in group or not transitions.is_closed_by_others(rows[position]) or group.isdisjoint(deps):
            continue
        if all(dep in group or may_satisfy(rows[dep]) for dep in deps):
            group.add(position)
    return sorted(group)


class TaskOutlook(NamedTuple):
    """The state of a task that has not begun, and why if it is closed."""

    state: TaskState
    cause: str = ""


def standing(tasks: graph.Graph, rows: Rows, position: int) -> TaskOutlook:
    """Returns what the dependencies of a task that has not begun make of it."""
    deps = [rows[dep] for dep in tasks.deps[position]]
    dead_end = next((dep for dep in deps if not may_satisfy(dep)), None)
    if dead_end is not None:
        return TaskOutlook(TaskState.SKIPPED, transitions.UPSTREAM + dead_end.id)
    return TaskOutlook(TaskState.READY if all(map(is_satisfied, deps)) else TaskState.BLOCKED)
