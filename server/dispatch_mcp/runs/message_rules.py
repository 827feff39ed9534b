"""Notes between the agents of a run: who gets them, and what becomes of a request (docs/rules.md#messages)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from dispatch_mcp import model
from dispatch_mcp.model import TaskState
from dispatch_mcp.text import escape

ORCHESTRATOR = "orchestrator"
"""The name under which the host itself sends and receives messages."""

EVERYBODY = "all"
MAX_SENT = 20
"""Messages that one handoff can send."""

MAX_TEXT = 4_000
_WAITING = (TaskState.BLOCKED, TaskState.READY)
_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9._-]+")


def recipients(tasks: Iterable[model.Task]) -> set[str]:
    """Returns everybody of a plan who can be written to."""
    names = {name for task in tasks for name in (task.id, task.agent) if name}
    return {*names, ORCHESTRATOR, EVERYBODY}


def messages_for(messages: Iterable[model.Message], task: model.Task) -> tuple[model.Message, ...]:
    """Returns the messages that belong into the brief of a task: to it, to its agent or to everybody, not its own."""
    names = {task.id, EVERYBODY, *([task.agent] if task.agent else [])}
    return tuple(message for message in messages if message.recipient in names and message.sender != task.id)


def messages_of(run_id: str, task_id: str, handoff: model.Handoff, at: float) -> list[model.Message]:
    """Returns the messages that the handoff of a task sends."""
    return [
        model.Message(
            run_id=run_id, sender=task_id, recipient=note.to, kind=note.kind, text=note.text[:MAX_TEXT], at=at
        )
        for note in handoff.messages[:MAX_SENT]
    ]


def proposal(
    message: model.Message, tasks: Sequence[model.Task], states: Mapping[str, TaskState]
) -> dict[str, model.Json] | None:
    """Returns the edit of the plan that a request for change asks for, or None when a brief will carry it.

    A task that has not begun reads the request itself. For work that has begun or ended a task is proposed that makes
    the change after it, by the same agent; whether that happens is the orchestrator's to decide.
    """
    if message.kind != "request" or message.recipient in (ORCHESTRATOR, EVERYBODY):
        return None
    addressees = [task for task in tasks if message.recipient in (task.id, task.agent)]
    if not addressees or any(states.get(task.id) in _WAITING for task in addressees):
        return None
    last = addressees[-1]
    change: dict[str, model.Json] = {
        "do": f"Make the change that {message.sender} asks for: {escape.one_line(message.text, limit=400)}",
        "deps": [last.id],
        "effort": model.Effort.S.value,
        **({"agent": last.agent} if last.agent else {}),
        **({"files": list(last.files)} if last.files else {}),
    }
    why = f"{message.sender} asks {message.recipient} for a change"
    return {"op": "add", "id": _free(last.id, {task.id for task in tasks}), "task": change, "reason": why}


def proposals(
    messages: Iterable[model.Message], tasks: Sequence[model.Task], states: Mapping[str, TaskState]
) -> tuple[dict[str, model.Json], ...]:
    """Returns the edits that these messages ask for, each under an id of its own."""
    out: list[dict[str, model.Json]] = []
    plan = list(tasks)
    for message in messages:
        edit = proposal(message, plan, states)
        if edit is not None:
            out.append(edit)
            plan.append(model.Task(id=str(edit["id"]), do="taken"))
    return tuple(out)


def _free(task_id: str, ids: Collection[str]) -> str:
    base = _NOT_IN_IDS.sub("-", task_id)[:50] + "-change"
    number = 1
    while (name := base if number == 1 else f"{base}-{number}") in ids:
        number += 1
    return name
