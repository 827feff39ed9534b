"""A run as one value that a page is drawn from: what stands, what was tried, what happened, what was found."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from pydantic import Field

from dispatch_mcp import model
from dispatch_mcp.engine import run_view
from dispatch_mcp.model import AttemptState, TaskState, records
from dispatch_mcp.planning import graph, schedule
from dispatch_mcp.review import council_decision
from dispatch_mcp.runs import capsules, receipts
from dispatch_mcp.service import answers
from dispatch_mcp.text import escape, unified_diff

ALL_TEXT_CHARS: Final = 1_500_000
"""Characters that the goals of all tasks have together, and their results: each is cut to its share."""

LEAST_CHARS, MOST_CHARS = 120, 1_200
"""Bounds of the share of one."""

EVENT_CHARS: Final = 160
EXCERPT_LINES: Final = 3
"""Lines that are shown before and after those that a finding is about."""

MOST_EXCERPT: Final = 24


class TaskPicture(model.Value):
    """One task: `wave` and `deps` are places in the run's lists, `replaces` the agent that could not be started."""

    id: str
    goal: str = ""
    state: TaskState
    worker: str = ""
    agent: str = ""
    replaces: str = ""
    model: str = ""
    wave: int = 0
    deps: tuple[int, ...] = ()
    critical: bool = False
    attempt: int = 0
    cause: str = ""
    files: tuple[str, ...] = ()
    reviews: tuple[str, ...] = ()


class AttemptPicture(NamedTuple):
    """One attempt, times in seconds since the run began; `task` is a place in the list of tasks, -1 for one removed."""

    task: int
    number: int
    state: str
    worker: str
    begins: float
    ends: float | None
    tokens: int
    cost: float | None
    kind: str
    error: str


class EventPicture(NamedTuple):
    """One event; `becomes` is the state that its task has from then on, empty where it stays."""

    seq: int
    at: float
    kind: str
    task: int
    attempt: int
    text: str
    becomes: str


class ReceiptPicture(NamedTuple):
    """What a receipt says, and the word for it: ok, not ok, unproven, seen or simulated."""

    mark: str
    text: str


class ResultPicture(model.Value):
    """What came of a task."""

    text: str = ""
    receipts: tuple[ReceiptPicture, ...] = ()


class LinePicture(NamedTuple):
    """A line of a change with its mark and number; `is_meant` is whether the finding is about it."""

    mark: str
    number: int
    text: str
    is_meant: bool


class FindingPicture(model.Value):
    """One finding in its lines; `task` is the review in a plan that found it."""

    id: str = ""
    task: str = ""
    severity: str
    standing: str = ""
    file: str = ""
    line: int = 0
    quote: str = ""
    claim: str = ""
    evidence: str = ""
    fix: str = ""
    reviewers: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    lines: tuple[LinePicture, ...] = ()


class CouncilPicture(model.Value):
    """What a council decided, or a review of a plan; no `outcome` while somebody is still asked."""

    task: str = ""
    outcome: str = ""
    why: str = ""
    verdicts: dict[str, str] = Field(default_factory=dict[str, str])


class MessagePicture(model.Value):
    """A message between agents; `readers` are those to whom it has come."""

    at: float
    sender: str
    recipient: str
    kind: str
    text: str
    readers: tuple[str, ...] = ()


class RunPicture(answers.Answer):
    """A run as a page draws it. `began`, `over_at` and `now` are seconds since the epoch, UTC.

    `events` and `results` are those after the event `after`: a page that stays open has the ones before. It is sent
    `tasks` only where all of them may be others; else `changes` has those that may have changed, by their place, and
    `attempts` are theirs. `revision` says whether anything has changed.
    """

    run: answers.Trace
    began: float
    over_at: float | None = None
    now: float = 0.0
    revision: int = 0
    after: int = 0
    worker: str = ""
    max_parallel: int = 1
    waves: int = 0
    extra_edges: tuple[tuple[int, int, str], ...] = ()
    tasks: tuple[TaskPicture, ...] = ()
    changes: dict[str, TaskPicture] = Field(default_factory=dict[str, TaskPicture])
    attempts: tuple[AttemptPicture, ...] = ()
    events: tuple[EventPicture, ...] = ()
    results: dict[str, ResultPicture] = Field(default_factory=dict[str, ResultPicture])
    councils: tuple[CouncilPicture, ...] = ()
    findings: tuple[FindingPicture, ...] = ()
    messages: tuple[MessagePicture, ...] = ()


def share(tasks: int) -> int:
    """Returns how many characters one task's goal or result may have, where there are so many tasks."""
    return max(LEAST_CHARS, min(MOST_CHARS, ALL_TEXT_CHARS // max(1, tasks)))


def tasks(view: run_view.RunView) -> tuple[TaskPicture, ...]:
    """Returns the tasks of a run in plan order, with their waves and who is on the critical path."""
    plan = graph.graph_of(view.plan.tasks)
    at = schedule.times(plan, [graph.minutes_of(task) for task in view.plan.tasks])
    waves = {node: number for number, wave in enumerate(schedule.waves(plan)) for node in wave}
    critical = frozenset(schedule.critical_path(plan, at))
    chars = share(len(view.plan.tasks))
    return tuple(
        TaskPicture(
            id=spec.id,
            goal=escape.one_line(spec.goal, limit=chars),
            state=row.state,
            worker=row.worker.value,
            agent=view.agent_of(row),
            replaces=(spec.agent or "") if row.stand_ins else "",
            model=spec.model or "",
            wave=waves[node],
            deps=tuple(plan.deps[node]),
            critical=node in critical,
            attempt=row.attempt,
            cause=row.cause,
            files=spec.files[:20],
            reviews=spec.reviews,
        )
        for node, spec in enumerate(view.plan.tasks)
        if (row := view.rows.get(spec.id)) is not None
    )


def extra_edges(view: run_view.RunView, place: Mapping[str, int]) -> tuple[tuple[int, int, str], ...]:
    """Returns the dependencies that planning added: from, to and why; `place` is where each task stands."""
    edges = view.plan.added_edges
    return tuple((place[e.before], place[e.after], e.reason) for e in edges if {e.before, e.after} <= place.keys())


def attempts(
    rows: Sequence[records.AttemptRecord], place: Mapping[str, int], began: float
) -> tuple[AttemptPicture, ...]:
    """Returns the attempts of a run in the order in which they began."""
    chars = share(len(rows))
    return tuple(
        AttemptPicture(
            place.get(row.task_id, -1),
            row.attempt,
            row.state.value,
            row.worker.value,
            round(row.started_at - began, 3),
            None if row.ended_at is None else round(row.ended_at - began, 3),
            row.usage.tokens,
            row.usage.cost_usd,
            row.error_kind,
            row.error[:chars],
        )
        for row in rows
    )


def events(log: Sequence[model.Event], view: run_view.RunView, place: Mapping[str, int]) -> tuple[EventPicture, ...]:
    """Returns events with what each makes of its task."""
    began = view.run.created_at
    return tuple(
        EventPicture(
            event.seq,
            round(event.at - began, 3),
            event.kind,
            place.get(event.task_id, -1),
            event.attempt,
            escape.one_line(" ".join(_fields(event.data)), limit=EVENT_CHARS),
            _becomes(event, view.rows.get(event.task_id)),
        )
        for event in log
    )


def since(picture: RunPicture, task_ids: Collection[str]) -> RunPicture:
    """Returns a picture for a page that has it as it was: with these tasks, and those at work."""
    changes = {
        str(place): task
        for place, task in enumerate(picture.tasks)
        if task.id in task_ids or task.state in (TaskState.READY, TaskState.RUNNING)
    }
    rows = tuple(attempt for attempt in picture.attempts if str(attempt.task) in changes)
    return picture.model_copy(update={"tasks": (), "changes": changes, "attempts": rows, "extra_edges": ()})


def _fields(data: Mapping[str, model.Json]) -> Iterator[str]:
    for name, value in data.items():
        if value not in ("", None):
            yield f"{name}={str(value)[:EVENT_CHARS]}"


_AFTER: Final[Mapping[str, TaskState]] = {
    "attempt_started": TaskState.RUNNING,
    "task_skipped": TaskState.SKIPPED,
    "task_retried": TaskState.READY,
    "task_sent_back": TaskState.READY,
    "review_reopened": TaskState.READY,
    "review_blocked": TaskState.BLOCKED,
}
_ENDS: Final = ("attempt_finished", "attempt_abandoned", "task_replayed")


def _becomes(event: model.Event, row: records.TaskRecord | None) -> str:
    """Returns the state in which an event leaves its task.

    What failed is tried again, unless nothing came after it: then it is as the task is now.
    """
    if event.kind in _AFTER:
        return _AFTER[event.kind].value
    if event.kind not in _ENDS or row is None:
        return ""
    if event.data.get("state") == AttemptState.SUCCEEDED.value:
        return (TaskState.UNVERIFIED if event.data.get("unverified") else TaskState.SUCCEEDED).value
    is_last = event.attempt == row.attempt and row.state is not TaskState.RUNNING
    return (row.state if is_last else TaskState.READY).value


def result(outcome: model.Outcome, chars: int) -> ResultPicture:
    """Returns what came of a task in at most so many characters."""
    lines = tuple(ReceiptPicture(receipts.mark(receipt), receipts.describe(receipt)) for receipt in outcome.receipts)
    return ResultPicture(text=capsules.capsule(outcome, chars), receipts=lines)


def messages(mail: records.Mail, began: float) -> tuple[MessagePicture, ...]:
    """Returns the messages of a run, with those to whom they have come."""
    readers: dict[int, list[str]] = {}
    for delivery in mail.deliveries:
        if delivery.means != "told":
            readers.setdefault(delivery.message, []).append(delivery.reader)
    return tuple(
        MessagePicture(
            at=round(note.at - began, 3),
            sender=note.sender,
            recipient=note.recipient,
            kind=note.kind,
            text=note.text[:MOST_CHARS],
            readers=tuple(dict.fromkeys(readers.get(note.id, ()))),
        )
        for note in mail.messages
    )


def finding(item: council_decision.MergedFinding, change: unified_diff.Diff, task_id: str = "") -> FindingPicture:
    """Returns a finding of a council in the lines of the change that it is about."""
    first = item.claims[0]
    notes = (*item.marks, *([f"waived: {item.waived}"] if item.waived else []))
    counter = [f"refuted by {', '.join(item.refuted_by)}"] if item.refuted_by else []
    also = [f"{claim.reviewer}: {claim.claim}" for claim in item.claims[1:] if claim.claim]
    return FindingPicture(
        id=item.id,
        task=task_id,
        severity=item.severity,
        standing=item.standing,
        file=item.file,
        line=item.line,
        quote=item.quote[:MOST_CHARS],
        claim=first.claim,
        evidence=first.evidence,
        fix=first.fix,
        reviewers=item.reviewers,
        notes=(*notes, *counter, *also),
        lines=excerpt(change, item),
    )


def excerpt(change: unified_diff.Diff, item: council_decision.MergedFinding) -> tuple[LinePicture, ...]:
    """Returns the lines of a change around those that a finding is about; none where it names none of them."""
    first, last = item.line, max(item.line, item.last)
    if not first:
        return ()
    for file in change.files:
        for hunk in file.hunks if file.path == item.file else ():
            lines = [
                LinePicture(*line, is_meant=_is_meant(line, item)) for line in unified_diff.lines_with_numbers(hunk)
            ]
            places = [place for place, line in enumerate(lines) if line.is_meant]
            if places and first <= last:
                start = max(0, places[0] - EXCERPT_LINES)
                return tuple(lines[start : places[-1] + EXCERPT_LINES + 1][:MOST_EXCERPT])
    return ()


def _is_meant(line: unified_diff.Numbered, item: council_decision.MergedFinding) -> bool:
    is_on_side = (line.mark == "-") == item.removed
    return is_on_side and item.line <= line.number <= max(item.line, item.last)
