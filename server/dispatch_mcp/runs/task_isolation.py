"""Which tasks work in a copy of their own, and what the host is told when it works beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from dispatch_mcp import model
from dispatch_mcp.model import WorkerKind, records, run_refs, transitions, work_order
from dispatch_mcp.planning import graph

EDITING_WORKERS: Final = transitions.MODEL_WORKERS & transitions.SERVER_WORKERS
"""Language models that this server starts: nobody else sees what they change."""

_PLACED_WORKERS: Final = EDITING_WORKERS | {WorkerKind.COMMAND}


def is_own(task: model.Task, worker: WorkerKind) -> bool:
    """Returns whether a task's changes are made in a worktree of its own (promise S8).

    Any worker that this server drives and that can change files gets one for a task that declares files, or asks for
    it: nobody writes into the user's checkout. A task of an agent that declares no files only reads.
    """
    return worker in _PLACED_WORKERS and (bool(task.files) or task.isolation == "worktree")


def has_changes(tasks: Sequence[model.Task], rows: Iterable[records.TaskRecord]) -> bool:
    """Returns whether a task with a worktree of its own has succeeded."""
    workers = {row.id: row.worker for row in rows if row.worker in _PLACED_WORKERS and row.state in model.TASK_DONE}
    return bool(workers) and any(task.id in workers and is_own(task, workers[task.id]) for task in tasks)


class Placement(NamedTuple):
    """Where a task works, and its place in topological order."""

    isolation: work_order.Isolation
    rank: int


SHARED: Final = Placement("shared", 0)


def placement(tasks: Sequence[model.Task], workers: Mapping[str, WorkerKind]) -> dict[str, Placement]:
    """Returns where tasks work that do not work in the shared workspace; `workers` says who does each.

    What depends on a task with a worktree of its own, directly or not, has to see what was merged.
    """
    own = {task.id for task in tasks if is_own(task, workers[task.id])}
    if not own:
        return {}
    places: dict[str, Placement] = {}
    below: set[str] = set()
    for rank, position in enumerate(graph.graph_of(tasks).order):
        task = tasks[position]
        behind = not below.isdisjoint(task.deps)
        if behind or task.id in own:
            below.add(task.id)
        if task.id in own:
            places[task.id] = Placement("own", rank)
        elif behind and workers[task.id] in _PLACED_WORKERS:
            places[task.id] = Placement("merged", rank)
    return places


_OWN_TREE: Final = (
    "Others change the same files at the same time: work in a git worktree of your own, and merge your change into the "
    "workspace before you report."
)


def host_notices(task: model.Task, run_id: str, *, has_merged: bool) -> tuple[str, ...]:
    """Returns what the host is told, whose subagents this server does not place: what it has to see to itself.

    `has_merged` says whether tasks of the run have changed files in worktrees (`has_changes`).
    """
    notices = (_OWN_TREE,) if task.isolation == "worktree" else ()
    if not has_merged:
        return notices
    refs = run_refs.Refs(run_id)
    where = (
        f"What tasks of this run changed in worktrees is in {refs.merged}, not in the workspace: "
        f"`git diff {refs.base} {refs.merged}` shows it, `git show {refs.merged}:PATH` a file."
    )
    return (*notices, where)
