"""What the store keeps and hands back, and the one step that moves a run forward, as values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from pydantic import Field

from dispatch_mcp import model
from dispatch_mcp.model import like_failures, transitions

LOCAL = "local"
"""The principal of everything that happens over stdio and on the command line."""

ANYBODY = "*"
"""Reads on behalf of the server itself, which drives everybody's runs; no caller can be of that name."""


class RunRecord(model.Value):
    """One run as the store has it. Times are seconds since the epoch, UTC; `counts` is tasks per state."""

    id: str
    title: str = ""
    plan_id: str
    plan_version: int
    principal: str = LOCAL
    request_key: str = ""
    state: model.RunState
    worker: model.WorkerKind
    workspace: str = ""
    dry_run: bool = False
    fresh: bool = False
    limits: model.Limits = model.Limits()
    owner: str = ""
    epoch: int = 0
    revision: int = 0
    paused: bool = False
    cancelled: bool = False
    created_at: float = 0.0
    updated_at: float = 0.0
    finished_at: float | None = None
    counts: dict[str, int] = Field(default_factory=dict[str, int])


class NewRun(model.Value):
    """What `Store.create_run` records; `request_key` makes a re-issued call return the first run.

    `named_key`, `named_worker`, `named_roster` and `named_limits` are what the request itself names, as far as it does;
    `request_key`, `worker` and `limits` are what holds.
    """

    id: str
    plan_id: str
    plan_version: int
    worker: model.WorkerKind
    title: str = ""
    principal: str = LOCAL
    request_key: str = ""
    workspace: str = ""
    dry_run: bool = False
    fresh: bool = False
    limits: model.Limits = model.Limits()
    named_key: str = ""
    named_worker: model.WorkerKind | None = None
    named_roster: str = ""
    named_limits: dict[str, model.Json] = Field(default_factory=dict[str, model.Json])


class TaskRecord(NamedTuple):
    """One task of a run; the fields of `transitions.TaskRow` plus its place in the plan.

    A plain tuple, because a run has thousands of them and nearly every answer reads them all.
    """

    id: str
    position: int
    worker: model.WorkerKind
    state: model.TaskState
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


def row_of(task: TaskRecord) -> transitions.TaskRow:
    """Returns the state machine's form of a task."""
    return transitions.TaskRow(
        task.id,
        task.worker,
        task.state,
        task.attempt,
        task.failures,
        task.crashes,
        task.ready_at,
        task.result,
        task.cause,
        task.rounds,
        task.stand_ins,
        task.false_starts,
        task.host_losses,
    )


def start_of(task: TaskRecord) -> transitions.Start:
    """Returns the attempt of a task that runs, as it began."""
    return transitions.Start(task.id, task.attempt, task.worker, "", stand_ins=task.stand_ins)


class AttemptRecord(NamedTuple):
    """One try of a task. `lease_until` is set for host assignments only.

    `beyond` names the figures of its usage that the store has from before there were bounds, and nobody can have used.
    A plain tuple like `TaskRecord`, for the same reason.
    """

    run_id: str
    task_id: str
    attempt: int
    state: model.AttemptState
    worker: model.WorkerKind
    started_at: float
    ended_at: float | None = None
    lease_until: float | None = None
    usage: model.Usage = model.Usage()
    beyond: tuple[str, ...] = ()
    error: str = ""
    error_kind: str = ""
    beat: Mapping[str, model.Json] = {}


class NewestAttempt(NamedTuple):
    """The running attempt of a task, with what earlier ones have left it.

    `beat` is what this attempt has left so far, `last_beat` the newest that any attempt of the task has left.
    """

    task_id: str
    lease_until: float | None = None
    beat: Mapping[str, model.Json] = {}
    last_beat: Mapping[str, model.Json] = {}
    last_error: str = ""
    started_at: float = 0.0


Means = Literal["brief", "turn", "inbox", "host", "told"]
"""How a message came to a reader: in the brief of an attempt, between two turns of its worker, or by looking into the
inbox. `host` is the assistant, who was asked to pass it on; `told`: its sender or the orchestrator knows that nobody
read it."""


class Delivery(NamedTuple):
    """A message that came to a reader: a task by its id, or whoever looked into an inbox by the name on it."""

    message: int
    reader: str
    means: Means
    attempt: int = 0


class Mail(NamedTuple):
    """The messages of a run in the order in which they were sent, and to whom they have come."""

    messages: Sequence[model.Message] = ()
    deliveries: Sequence[Delivery] = ()


class WholeRun(NamedTuple):
    """A run with the version of the plan that it follows, its tasks in plan order, and the attempts that run.

    `failures` are the attempts that failed of tasks that are not done; `is_driven` is whether a living process owns it.
    `loosenings` are, of a run that is over, what each edit of its plan took out of what shows that tasks are done, and
    `losses` how many attempts something of the user's was gone after.
    """

    run: RunRecord
    plan: model.Plan
    tasks: list[TaskRecord]
    attempts: list[NewestAttempt]
    failures: list[like_failures.Failure]
    is_driven: bool = False
    loosenings: Sequence[Mapping[str, Sequence[str]]] = ()
    losses: int = 0


OpenWork = Mapping[tuple[model.WorkerKind, model.TaskState], int]
"""How many tasks of a run are ready or at work, by who does them."""


class PlanToRun(NamedTuple):
    """The newest version of a plan and what a new run of it meets: runs that are over, keys of those that are not."""

    plan: model.Plan
    finished_runs: int
    open_keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that drives a run, with the epoch that fences its predecessors (ADR 0003)."""

    id: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Action:
    """A steering move on a run or one of its tasks; `by_person` is whether a person asks for it themselves.

    The host begins an `attempt` that it was handed, or gives it back untouched or lost; both count only for the one
    that runs. Work is made `free` of a review that objects to files which it has changed, once a review passes them.
    """

    kind: Literal["cancel", "pause", "resume", "retry", "skip", "begin", "give_back", "free"]
    task_id: str = ""
    reason: str = ""
    by_person: bool = False
    attempt: int = 0


class RoundVerdict(NamedTuple):
    """What a council's round that is over comes to, decided from the run as it was at `revision`."""

    state: model.RunState
    revision: int


Raises = tuple[tuple[str, float | None, float | None], ...]
"""Ceilings that are raised: name, height before and after; None where there is none."""


class PersonWord(NamedTuple):
    """What a person has agreed to: these raises, of a run of the plan with this digest. `by` is who it was, and how."""

    by: str
    plan_digest: str
    raises: Raises


class LimitBasis(NamedTuple):
    """What other ceilings for a run were decided from: those before, the plan's version, and whoever agreed to a raise.

    When the run has other ceilings by now, or with somebody's word another plan, they are refused.
    """

    before: model.Limits
    plan_version: int
    word: PersonWord | None = None


class Step(NamedTuple):
    """One transaction's worth of progress of a run.

    `owner` is None for a contact of the host, which anybody may make. `start` says whose ready tasks may begin;
    host attempts begin under a lease of `lease_s` seconds, or until their deadline if their task has one. `renew`
    extends the leases of running host attempts, but no deadline. `received_at` is when a host reported what is
    `finished`, if that was before `now`: deadlines are held to it.
    `limits` are the run's ceilings from now on, decided from `basis`; `notes` are events of others to record, also of
    a run that is over.
    `verdict` settles a round of the council, with a note that says so; it is dropped when the run has moved on since.
    """

    now: float
    owner: Owner | None = None
    finished: Sequence[transitions.Finished] = ()
    actions: Sequence[Action] = ()
    start: frozenset[model.WorkerKind] = frozenset()
    free: int | None = None
    lease_s: float = 1800.0  # half an hour: longer than a subagent works without a word, short enough to wait out
    renew: bool = False
    received_at: float | None = None
    limits: model.Limits | None = None
    basis: LimitBasis | None = None
    notes: Sequence[transitions.NewEvent] = ()
    verdict: RoundVerdict | None = None


class Advance(NamedTuple):
    """What a step did. `accepted` answers `Step.finished` one to one; False means fenced off.

    `revision_before` is the run's revision before it: another one than that of the last step means that somebody else
    has moved the run in between.
    `needs_verdict` says that everybody of a council's round has answered and its verdict has yet to be recorded.
    """

    state: model.RunState
    revision: int
    accepted: tuple[bool, ...]
    starts: tuple[transitions.Start, ...]
    waiting_until: float | None
    running: int
    plan_version: int = 0
    revision_before: int = 0
    needs_verdict: bool = False
