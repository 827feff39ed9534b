"""A plan as a to-do list for the host's own list: content, status, priority (docs/rules.md#to-do-list)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from dispatch_mcp import model
from dispatch_mcp.model import TaskState

MAX_CONTENT: Final = 300

_STATUS: Final[Mapping[TaskState, str]] = {
    TaskState.RUNNING: "in_progress",
    TaskState.SUCCEEDED: "completed",
    TaskState.UNVERIFIED: "completed",
    TaskState.SKIPPED: "completed",
}


def todos(tasks: Iterable[model.Task], states: Mapping[str, TaskState] | None = None) -> tuple[dict[str, str], ...]:
    """Returns an item for each task, in their order; without a state a task is pending."""
    known = states or {}
    return tuple(
        {
            "content": f"{task.id}: {task.goal}"[:MAX_CONTENT],
            "status": _STATUS.get(known.get(task.id, TaskState.BLOCKED), "pending"),
            "priority": task.priority.value,
        }
        for task in tasks
    )
