"""What the state machine of a run takes and gives, and the one table of legal task moves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from dispatch_mcp import model
from dispatch_mcp.model import AttemptState, TaskState, WorkerKind
from dispatch_mcp.text import json_types

HOST_WORKERS = frozenset({WorkerKind.HOST})
HUMAN_WORKERS = frozenset({WorkerKind.HUMAN})
SERVER_WORKERS = frozenset(WorkerKind) - HOST_WORKERS - HUMAN_WORKERS
MODEL_WORKERS = frozenset({WorkerKind.HOST, WorkerKind.API, WorkerKind.CLAUDE})
"""Those that are language models: they have an agent, are given context, use tokens, and teach the router. They also
read what a review found; a command does the same again, whatever anybody objects."""

# Why a task is closed or waits, where it is not an error's own word: `TaskRow.cause`.
BY_USER = "user"
BY_ASSISTANT = "assistant"
UNANSWERED = "unanswered"
"""Who did without a task: a person, or the assistant."""
REPLAYED = "replayed"
STALE = "stale:"
"""Followed by why the result of an earlier run does not stand, so that the work is done again."""
DISPUTED = "disputed:"
"""Followed by the review that has blocked a change of files which accepted work changed and nothing has reviewed, and
after a bar each by the tasks that declare these files too."""
UPSTREAM = "upstream:"
"""Followed by the id of the task that failed or was cancelled."""
REMOVED = "removed"
RATE_LIMIT = "rate_limit"
LIMIT = "limit:"
"""Followed by the name of the task's own ceiling that is used up."""
UNUSABLE = "unusable_answer"
UNPROVEN_FAIL = "unproven_fail"
"""Of a review that says FAIL and shows nothing for it that is in the change."""
UNUSABLES = frozenset({UNUSABLE, UNPROVEN_FAIL})
"""Of an answer that is asked for once more as it cannot be used."""
PLAN_EDITED = "plan_edited"
"""The event of a run that goes on with another version of its plan."""

PROOF_LOSSES = "proof_losses"
"""Its detail that names what tasks are no longer shown to be done by."""

NEEDS_CHANGES = "needs_changes"
"""Of a review: it blocks what it judged. Of work that has a result: a review objects to it."""
SENT_BACK = "sent_back"
"""Of work that a review has opened again."""
INCONCLUSIVE = "inconclusive"
"""Of a review that was asked twice and gave no verdict that can be used."""
MOVED = "change_moved"
"""Of the decision of a council: what its seats have judged is not what stands there now, so they are asked again."""
NOTHING_TO_REVIEW = "nothing_to_review"
"""Of a review all of whose work was skipped."""
DONE_WITHOUT = (BY_USER, BY_ASSISTANT, NOTHING_TO_REVIEW)
"""Why a task that was skipped holds up nobody who waits for it."""
_WHY_SKIPPED = {
    BY_USER: "skipped by a person",
    BY_ASSISTANT: "skipped by the assistant",
    NOTHING_TO_REVIEW: "skipped, as everything that it reviews was skipped",
}
TIMEOUT = "timeout"
FAULT = "internal_error"
"""Of an attempt that met an exception of ours, and of a task that met too many."""
HOST_LOST = "host_lost"
"""Of an attempt whose host fell silent, and of a task that lost too many."""
NOT_ACCEPTED = "not_accepted"
NOTHING_CHANGED = "nothing_changed"
WRONG_CLAIM = "wrong_claim"
"""Of work whose claim was shown to be false: by a criterion, by files that are as they were, by the files that it names
itself."""
REFUTATIONS = (NOT_ACCEPTED, NOTHING_CHANGED, WRONG_CLAIM)
"""All of them, the gravest first."""
LOST_EDITS = "lost_edits"
"""Of work that took from the checkout what the user had not committed, itself or by what was to prove it."""
NO_AGENT = "no_agent"
"""Of work that never began: its agent could not be started."""
BY_WORKER = "host"
"""Of work that the host itself says has failed."""
IN_WORDS: Mapping[str, str] = {BY_WORKER: "reported as failed", UNUSABLE: "an answer that cannot be used"}
"""How sentences call the kinds of error whose own names say nothing to whoever reads them."""
CEILING = "ceiling"
"""In the data of `attempt_started`: what the attempt was given."""
CEILINGS: Mapping[str, Literal["budget", "token_budget"]] = {"dollars": "budget", "tokens": "token_budget"}
"""Kinds of error of attempts that stopped at what they were given, by what that was."""

MOVES: Mapping[TaskState, frozenset[TaskState]] = {
    TaskState.BLOCKED: frozenset(
        {
            TaskState.READY,
            TaskState.FAILED,  # a review that waits for work to be done again which nobody can do again
            TaskState.SKIPPED,
            TaskState.CANCELLED,
        }
    ),
    TaskState.READY: frozenset(
        {
            TaskState.BLOCKED,  # back: an edit of the plan gave it a dependency that has not ended
            TaskState.RUNNING,
            TaskState.SUCCEEDED,  # without an attempt: the work of an earlier run is taken over
            TaskState.UNVERIFIED,  # the same, of work that nobody proved
            TaskState.FAILED,  # without an attempt: its own ceiling is used up
            TaskState.SKIPPED,
            TaskState.CANCELLED,
        }
    ),
    TaskState.RUNNING: frozenset(
        {
            # back: a failure that may pass, a rate limit, a dead owner, a lease that ran out, or an agent that could
            # not be started and has a stand-in
            TaskState.READY,
            # back: a review that objects waits until the work is done again; so does what failed or crashed while the
            # work that it builds on had been sent back
            TaskState.BLOCKED,
            TaskState.SUCCEEDED,
            TaskState.UNVERIFIED,
            TaskState.FAILED,
            TaskState.SKIPPED,
            TaskState.CANCELLED,
        }
    ),
    # Back, when a review objects to the work and has rounds left, or when what a review passed is done again: only
    # what has not begun waits once more. Nothing else takes an accepted result back (promise R3): others build on it.
    TaskState.SUCCEEDED: frozenset({TaskState.READY, TaskState.BLOCKED}),
    TaskState.UNVERIFIED: frozenset({TaskState.READY, TaskState.BLOCKED}),
    TaskState.FAILED: frozenset(
        {
            TaskState.READY,  # back: somebody retries it; its dependencies still hold, so it has to wait for nothing
            TaskState.BLOCKED,  # back: the work that this review blocked is sent back once more
            TaskState.SKIPPED,  # the user does without it
        }
    ),
    # Back, when the reason for closing is gone: the task itself or what it was skipped for is retried, the lost task
    # is skipped by the user, or an edit took the dependency on it away or brought the task back.
    TaskState.SKIPPED: frozenset({TaskState.READY, TaskState.BLOCKED}),
    # Back, when it is retried, or something is that it had to wait for. Only a review is skipped then, and only by a
    # person, who lets go what it has blocked: any other task would count as satisfied without its work.
    TaskState.CANCELLED: frozenset({TaskState.READY, TaskState.BLOCKED, TaskState.SKIPPED}),
}
"""The one table of legal moves of a task; the moves back say why they are legal."""


@dataclass(slots=True)
class TaskRow:
    """Where one task of the run stands; the store stores exactly these fields.

    `rounds` counts, for a review, how often it blocked; for other work, how often reviews have sent it back.
    `stand_ins` do the task in place of its agent, the newest last; `false_starts` counts attempts whose agent could not
    be started, `host_losses` those whose host fell silent.
    """

    id: str
    worker: WorkerKind
    state: TaskState = TaskState.BLOCKED
    attempt: int = 0
    failures: int = 0
    crashes: int = 0
    ready_at: float = 0.0
    result: str = ""
    cause: str = ""
    rounds: int = 0
    stand_ins: tuple[model.StandIn, ...] = ()
    false_starts: int = 0
    host_losses: int = 0


class Start(NamedTuple):
    """An attempt that may begin once it is recorded; `ceiling` is what it may use at most.

    `stand_ins` are those of its task.
    """

    task_id: str
    attempt: int
    worker: WorkerKind
    key: str
    ceiling: model.TaskLimits = model.NO_LIMITS
    stand_ins: tuple[model.StandIn, ...] = ()


class Finished(NamedTuple):
    """The outcome of one attempt, as somebody reports it."""

    task_id: str
    attempt: int
    outcome: model.Outcome


class AttemptEnd(NamedTuple):
    """An attempt that is over, for the attempt's record; `error` and its kind say why if nobody reported it."""

    task_id: str
    attempt: int
    state: AttemptState
    error: str = ""
    error_kind: str = ""


class NewEvent(NamedTuple):
    """An event to append; its sequence number and time are the store's."""

    kind: str
    task_id: str = ""
    attempt: int = 0
    data: Mapping[str, model.Json] = {}


@dataclass(slots=True)
class Changes:
    """Everything that changed since the last `drain`, in order."""

    rows: dict[str, TaskRow] = field(default_factory=dict[str, TaskRow])
    starts: list[Start] = field(default_factory=list[Start])
    ends: list[AttemptEnd] = field(default_factory=list[AttemptEnd])
    notes: list[NewEvent] = field(default_factory=list[NewEvent])

    def __bool__(self) -> bool:
        return bool(self.rows or self.starts or self.ends or self.notes)


class EarlierResult(NamedTuple):
    """Accepted work of an earlier run: the digest of its result, and whether nobody proved it.

    `open_reviews` were asked about it and have not passed it: only a plan that asks them again may take it over.
    `gap` is a file that is no longer as the work left it, so that nobody may; empty while all of them are.
    """

    digest: str
    unverified: bool = False
    open_reviews: tuple[str, ...] = ()
    gap: str = ""


FindResult = Callable[[str], EarlierResult | None]
"""Returns the accepted work with this key, or None."""


def no_result(_key: str) -> EarlierResult | None:
    """Returns None: nothing was finished before."""
    return None


def worker_of(task: model.Task, default: WorkerKind) -> WorkerKind:
    """Returns who carries out a task: its own choice, `command` if it has an argv, else `default`."""
    if task.worker is not None:
        return task.worker
    return WorkerKind.COMMAND if task.command else default


def pool(kind: WorkerKind) -> frozenset[WorkerKind]:
    """Returns the workers that share the run's `max_parallel` with `kind`."""
    if kind is WorkerKind.HOST:
        return HOST_WORKERS
    return HUMAN_WORKERS if kind is WorkerKind.HUMAN else SERVER_WORKERS


def is_objecting(row: TaskRow) -> bool:
    """Returns whether a review has blocked what it judged and waits until that is done again."""
    return row.state is TaskState.BLOCKED and row.cause == NEEDS_CHANGES


def council_decision(outcome: model.Outcome) -> dict[str, str]:
    """Returns what a council decided, and why, as the outcome of its decision says it; nothing for any other."""
    answer = outcome.output
    if not json_types.is_object(answer) or "outcome" not in answer:
        return {}
    return {name: str(answer.get(name, "")) for name in ("outcome", "why")}


def stands_against(row: TaskRow) -> bool:
    """Returns whether a review has said no, or could say nothing, and has not passed its subject since."""
    if row.state is TaskState.FAILED:
        return True
    return row.rounds > 0 and not _has_let_go(row)


def is_verdict(row: TaskRow) -> bool:
    """Returns whether a task has failed because its answer was a verdict that blocks, review or not."""
    return row.state is TaskState.FAILED and row.cause == NEEDS_CHANGES


def is_asked(row: TaskRow) -> bool:
    """Returns whether a review was asked before, and has neither passed its subject nor been let go by anybody.

    Unlike its rounds, the number of its attempt stays when it is retried, cancelled or skipped for its work's sake.
    """
    return row.state is not TaskState.RUNNING and is_awaited(row)


def is_awaited(row: TaskRow) -> bool:
    """Returns whether a review was asked, or is now, and has neither passed its subject nor been let go by anybody."""
    return row.attempt > 0 and not _has_let_go(row)


def why_skipped(cause: str) -> str:
    """Returns for people why a task was skipped."""
    if cause.startswith(UPSTREAM):
        return f"skipped, as {cause.removeprefix(UPSTREAM)!r} was not done"
    return _WHY_SKIPPED.get(cause, f"skipped: {cause}" if cause else "skipped")


def _has_let_go(row: TaskRow) -> bool:
    is_skipped = row.state is TaskState.SKIPPED and not row.cause.startswith(UPSTREAM)
    return is_skipped or row.state in model.TASK_DONE


def is_fixed(row: TaskRow) -> bool:
    """Returns whether the plan of a live run may no longer change this task: it runs, has ended, or objects.

    A task that was skipped only because another one failed has not ended: other dependencies can revive it.
    """
    if is_objecting(row):
        return True
    if row.state is TaskState.SKIPPED:
        return not row.cause.startswith(UPSTREAM) and row.cause != REMOVED
    return row.state is TaskState.RUNNING or row.state in model.TASK_FINAL


def is_closed_by_others(row: TaskRow) -> bool:
    """Returns whether a task was closed only because of another one or of the whole run."""
    return row.state is TaskState.CANCELLED or (row.state is TaskState.SKIPPED and row.cause.startswith(UPSTREAM))


def row_in_version(row: TaskRow | None, task: model.Task, default: WorkerKind) -> TaskRow:
    """Returns the row of a task in a new version of the plan; who carries it out may have changed."""
    if row is None:
        return TaskRow(task.id, worker_of(task, default))
    if not is_fixed(row) or row.state in (TaskState.FAILED, TaskState.CANCELLED):
        row.worker = worker_of(task, default)
    if row.state is TaskState.CANCELLED and row.cause == REMOVED:
        row.cause = ""  # it is back in the plan; whether it is done is for whoever retries it to say
    return row
