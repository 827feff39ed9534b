"""Draws a plan as a Mermaid flowchart, or lists it for the host's own to-do list (docs/rules.md#to-do-list)."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from dispatch_mcp import model
from dispatch_mcp.model import TaskState
from dispatch_mcp.planning import plan_checks
from dispatch_mcp.text import escape

MAX_NODES: Final = 60
GOAL_CHARS: Final = 48

_CLASSES: Final[Mapping[TaskState, str]] = {
    TaskState.RUNNING: "fill:#cfe8ff,stroke:#1f6feb",
    TaskState.SUCCEEDED: "fill:#d5f5dc,stroke:#1a7f37",
    TaskState.UNVERIFIED: "fill:#fff3c4,stroke:#9a6700",
    TaskState.FAILED: "fill:#ffd7d5,stroke:#cf222e",
    TaskState.SKIPPED: "fill:#eeeeee,stroke:#8c959f,stroke-dasharray:4",
    TaskState.CANCELLED: "fill:#eeeeee,stroke:#8c959f",
}


def mermaid(
    plan: model.Plan, schedule: plan_checks.ScheduledPlan, states: Mapping[str, TaskState] | None = None
) -> str:
    """Returns a `flowchart LR` with one subgraph a wave, the critical path thick and added edges dotted.

    Edges that others imply are left out. Above `MAX_NODES` tasks it shows the critical path and then the first
    waves, and says how many tasks are left out. `states` colours the tasks.
    """
    task_ids = _chosen(schedule)
    names = {task_id: f"t{schedule.graph.index[task_id]}" for task_id in task_ids}
    lines = ["flowchart LR", *_waves(schedule, names)]
    left_out = len(schedule.tasks) - len(task_ids)
    if left_out:
        lines.append(f'  more["{left_out} more tasks not shown"]')
    lines += _edges(plan, schedule, names)
    lines += _styles(names, states or {})
    return "\n".join(lines) + "\n"


def _chosen(schedule: plan_checks.ScheduledPlan) -> list[str]:
    if len(schedule.tasks) <= MAX_NODES:
        return list(schedule.graph.ids)
    in_order = itertools.chain(schedule.critical_path, *schedule.waves)
    return list(itertools.islice(dict.fromkeys(in_order), MAX_NODES))


def _waves(schedule: plan_checks.ScheduledPlan, names: Mapping[str, str]) -> Iterator[str]:
    for number, wave in enumerate(schedule.waves, start=1):
        inside = [task_id for task_id in wave if task_id in names]
        if inside:
            yield f'  subgraph w{number}["Wave {number}"]'
            yield from (f'    {names[task_id]}["{_label(schedule, task_id)}"]' for task_id in inside)
            yield "  end"


def _label(schedule: plan_checks.ScheduledPlan, task_id: str) -> str:
    goal = escape.mermaid_label(schedule.tasks[schedule.graph.index[task_id]].goal, limit=GOAL_CHARS)
    name = escape.mermaid_label(task_id, limit=64)
    return f"{name}<br/>{goal}" if goal else name


def _edges(plan: model.Plan, schedule: plan_checks.ScheduledPlan, names: Mapping[str, str]) -> Iterator[str]:
    critical = set(itertools.pairwise(schedule.critical_path))
    redundant = set(schedule.redundant)
    by_planning = {(edge.before, edge.after) for edge in (*plan.added_edges, *schedule.added_edges)}
    for task in schedule.tasks:
        for dep in dict.fromkeys(task.deps):
            edge = (dep, task.id)
            if dep in names and task.id in names and edge not in redundant:
                arrow = "==>" if edge in critical else "-.->" if edge in by_planning else "-->"
                yield f"  {names[dep]} {arrow} {names[task.id]}"


def _styles(names: Mapping[str, str], states: Mapping[str, TaskState]) -> Iterator[str]:
    for state, style in _CLASSES.items():
        members: Sequence[str] = [name for task_id, name in names.items() if states.get(task_id) is state]
        if members:
            yield f"  classDef {state.value} {style}"
            yield f"  class {','.join(members)} {state.value}"


MAX_CONTENT: Final = 300

_STATUS: Final[Mapping[TaskState, str]] = {
    TaskState.RUNNING: "in_progress",
    TaskState.SUCCEEDED: "completed",
    TaskState.UNVERIFIED: "completed",
    TaskState.SKIPPED: "completed",
}


def todos(
    tasks: Iterable[model.Task], states: Mapping[str, TaskState] | None = None, follow_ups: Iterable[str] = ()
) -> tuple[dict[str, str], ...]:
    """Returns an item for each task, in their order, and for what reviews leave; without a state it is pending."""
    state_of = states or {}
    items = [
        {
            "content": f"{task.id}: {task.goal}"[:MAX_CONTENT],
            "status": _STATUS.get(state_of.get(task.id, TaskState.BLOCKED), "pending"),
            "priority": task.priority.value,
        }
        for task in tasks
    ]
    rest = [{"content": text[:MAX_CONTENT], "status": "pending", "priority": "medium"} for text in follow_ups]
    return (*items, *rest)
