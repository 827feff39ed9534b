"""Notes between the agents of a run: who gets them, and what becomes of a request (docs/rules.md#messages)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from dispatch_mcp import model
from dispatch_mcp.model import TaskState, WorkerKind, records
from dispatch_mcp.review import review_tasks
from dispatch_mcp.text import escape

ORCHESTRATOR = "orchestrator"
"""The name under which the host itself sends and receives messages."""

EVERYBODY = "all"
MAX_SENT = 20
"""Messages that one handoff can send."""

MAX_TEXT = 4_000
_WAITING = (TaskState.BLOCKED, TaskState.READY)
_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9._-]+")


class Fate(StrEnum):
    """What becomes of a message to a task, in the words for whoever sends it."""

    BRIEF = "in its brief, when it begins"
    HOST = "out with the assistant: pass it on to its subagent; it comes with the next answer about the run too"
    TURN = "at work: between two of its turns"
    SESSION = "at work: only if its session goes on in another attempt; you are told if it ends first"
    ENDED = "not read, it has ended: ask for a change (kind request), or change the plan"
    COMMAND = "not read, it is a command: change the plan if it matters"
    PERSON = "not read, a person decides it: tell them yourself"
    REVIEW = "not read, reviews are blind"
    SIMULATED = "not read, it is simulated"


_CANNOT = frozenset({Fate.COMMAND, Fate.PERSON, Fate.REVIEW, Fate.SIMULATED})
_NEVER = _CANNOT | {Fate.ENDED}
_AT_WORK = {WorkerKind.HOST: Fate.HOST, WorkerKind.API: Fate.TURN, WorkerKind.CLAUDE: Fate.SESSION}
_NO_READERS = {
    WorkerKind.COMMAND: Fate.COMMAND,
    WorkerKind.HUMAN: Fate.PERSON,
    WorkerKind.SCRIPTED: Fate.SIMULATED,
}
_READ: Final = frozenset[records.Means]({"brief", "turn", "inbox"})


class UnreadMessage(NamedTuple):
    """A message that some of its readers have not read: tasks by id, or a name that nobody has."""

    message: model.Message
    readers: tuple[str, ...]


def recipients(tasks: Iterable[model.Task]) -> set[str]:
    """Returns everybody of a plan who can be written to."""
    names = {name for task in tasks for name in (task.id, task.agent) if name}
    return {*names, ORCHESTRATOR, EVERYBODY}


def is_for(message: model.Message, task: model.Task) -> bool:
    """Returns whether a task reads a message: one to it, to its agent or to everybody, but not its own."""
    return message.recipient in (task.id, task.agent, EVERYBODY) and message.sender != task.id


def reads_messages(task: model.Task) -> bool:
    """Returns whether a task is told what others write to it: reviews are blind."""
    return review_tasks.assignment_of(task) is None


def messages_for(messages: Iterable[model.Message], task: model.Task) -> tuple[model.Message, ...]:
    """Returns the messages that belong into the brief of a task."""
    return tuple(message for message in messages if is_for(message, task))


def news_for(mail: records.Mail, task: model.Task) -> tuple[model.Message, ...]:
    """Returns the messages for a task that its first brief did not hold."""
    first = {delivery.message for delivery in _read_by(mail, task.id) if delivery[2:] == ("brief", 1)}
    return tuple(message for message in messages_for(mail.messages, task) if message.id not in first)


def unread_by(mail: records.Mail, task: model.Task) -> tuple[model.Message, ...]:
    """Returns the messages for a task that it has not read."""
    numbers = {delivery.message for delivery in _read_by(mail, task.id)}
    messages = messages_for(mail.messages, task)
    return tuple(message for message in messages if not message.read and message.id not in numbers)


def _read_by(mail: records.Mail, reader: str) -> list[records.Delivery]:
    return [delivery for delivery in mail.deliveries if delivery.reader == reader and delivery.means in _READ]


def fate(task: model.Task, row: records.TaskRecord) -> Fate:
    """Returns what becomes of a message that is sent to a task now."""
    if not reads_messages(task):
        return Fate.REVIEW
    if row.worker in _NO_READERS:
        return _NO_READERS[row.worker]
    if row.state in model.TASK_FINAL:
        return Fate.ENDED
    return _AT_WORK[row.worker] if row.state is TaskState.RUNNING else Fate.BRIEF


def _readers(
    message: model.Message, tasks: Iterable[model.Task], rows: Mapping[str, records.TaskRecord]
) -> list[model.Task]:
    """Returns the tasks that a message is for; of those that it does not name, only those that can read."""
    able = [task for task in tasks if is_for(message, task) and task.id in rows]
    return [task for task in able if task.id == message.recipient or fate(task, rows[task.id]) not in _CANNOT]


def fates(
    message: model.Message, tasks: Iterable[model.Task], rows: Mapping[str, records.TaskRecord]
) -> dict[Fate, list[str]]:
    """Returns what becomes of a message that is sent now: the tasks that it is for, by their fate."""
    by_fate: dict[Fate, list[str]] = {}
    for task in _readers(message, tasks, rows):
        by_fate.setdefault(fate(task, rows[task.id]), []).append(task.id)
    return by_fate


def said_at_once(message: int, by_fate: Mapping[Fate, Iterable[str]]) -> list[records.Delivery]:
    """Returns the records of those readers of whom the sender is told at once that they will not read a message."""
    return [
        records.Delivery(message, reader, "told")
        for kind, readers in by_fate.items()
        if kind in _NEVER
        for reader in readers
    ]


def to_pass_on(
    mail: records.Mail,
    tasks: Sequence[model.Task],
    rows: Mapping[str, records.TaskRecord],
    *,
    again: bool = False,
) -> list[UnreadMessage]:
    """Returns the messages to tasks that are out with the host; with `again` also those that it was told of before."""
    settlements = _settlements(mail, _READ if again else {*_READ, "host", "told"})
    return [
        waiting
        for message in mail.messages
        if (waiting := _waiting(message, tasks, rows, settlements, {Fate.HOST})) is not None
    ]


def too_late(
    mail: records.Mail, tasks: Sequence[model.Task], rows: Mapping[str, records.TaskRecord]
) -> list[UnreadMessage]:
    """Returns the messages that came to nothing and that nobody was told of: their tasks have ended without reading.

    Whoever was only meant among others does not count if it never began.
    """
    settlements = _settlements(mail, {*_READ, "host", "told"})
    names = recipients(tasks)
    out: list[UnreadMessage] = []
    for message in mail.messages:
        if message.recipient not in names and not message.read and (message.id, message.recipient) not in settlements:
            out.append(UnreadMessage(message, (message.recipient,)))
        waiting = _waiting(message, tasks, rows, settlements, _NEVER)
        if waiting is not None:
            out.append(waiting)
    return out


def _settlements(mail: records.Mail, means: Collection[str]) -> set[tuple[int, str]]:
    return {(delivery.message, delivery.reader) for delivery in mail.deliveries if delivery.means in means}


def _waiting(
    message: model.Message,
    tasks: Sequence[model.Task],
    rows: Mapping[str, records.TaskRecord],
    settlements: Collection[tuple[int, str]],
    ends: Collection[Fate],
) -> UnreadMessage | None:
    if message.read:
        return None
    readers = [
        task.id
        for task in _readers(message, tasks, rows)
        if (message.id, task.id) not in settlements
        and fate(task, rows[task.id]) in ends
        and _counts(message, rows[task.id], ends)
    ]
    return UnreadMessage(message, tuple(readers)) if readers else None


def _counts(message: model.Message, row: records.TaskRecord, ends: Collection[Fate]) -> bool:
    """Returns whether it matters that a task did not read a message: it has ended, and was named or has worked."""
    if Fate.ENDED not in ends:
        return True
    is_named = message.recipient == row.id
    return row.state in model.TASK_FINAL and (is_named or row.state not in (TaskState.SKIPPED, TaskState.CANCELLED))


def inbox(
    mail: records.Mail, name: str, tasks: Sequence[model.Task]
) -> tuple[list[model.Message], list[records.Delivery]]:
    """Returns what is unread in the inbox of a name, and the records of its being read.

    The id of a task and the name of its agent open one inbox. A task has read what was read under its id; under the
    name of an agent of several tasks none of them has, as nobody knows which of them looked.
    """
    owners = [task for task in tasks if name in (task.id, task.agent)]
    under_name = {delivery.message for delivery in _read_by(mail, name)}
    unread = {message.id: message for task in owners for message in unread_by(mail, task)}
    messages = [message for number, message in sorted(unread.items()) if number not in under_name]
    readers = {name, *(task.id for task in owners[:1] if len(owners) == 1)}
    return messages, [
        records.Delivery(message.id, reader, "inbox") for message in messages for reader in sorted(readers)
    ]


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
