"""The nouns of dispatch-mcp as frozen values (glossary: docs/concepts.md).

Wire names are short because a model reads and writes them (`do`, `deps`). `planning.plan_documents` accepts
`task_id`, `description`, `dependencies`, `input_data` and `context_requirements` as well, and normalises them before
anything here is built (docs/rules.md#task-document-format).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from dispatch_mcp.model import bounds, short_ids
from dispatch_mcp.text import json_types

TASK_ID = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


class Value(BaseModel):
    """A frozen value that refuses unknown fields; validators are built at first use, as few starts need them all."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True, defer_build=True
    )


class Effort(StrEnum):
    """Rough size of a task; drives durations and model choice until there is history."""

    S = "S"
    M = "M"
    L = "L"
    XL = "XL"


class Priority(StrEnum):
    """Breaks ties between ready tasks of equal remaining path."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class WorkerKind(StrEnum):
    """Who carries out an attempt."""

    HOST = "host"
    API = "api"
    CLAUDE = "claude"
    COMMAND = "command"
    SCRIPTED = "scripted"
    HUMAN = "human"


class RunState(StrEnum):
    """State of a run; the last six are final.

    `needs_changes` is a run with work that a review blocks, `inconclusive` one with a review that came to no verdict.
    """

    RUNNING = "running"
    WAITING_INPUT = "waiting_input"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    NEEDS_CHANGES = "needs_changes"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INCONCLUSIVE = "inconclusive"


UnprovenEnd = Literal["succeeded", "partial"]
"""The state of a run that is over, without a failure, and holds work that nobody proved: the user's choice."""


class TaskState(StrEnum):
    """State of a task in a run; the last five are final."""

    BLOCKED = "blocked"
    READY = "ready"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    UNVERIFIED = "unverified"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


class AttemptState(StrEnum):
    """State of one try of a task."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    ABANDONED = "abandoned"
    SUPERSEDED = "superseded"


RUN_FINAL = frozenset(
    {
        RunState.SUCCEEDED,
        RunState.PARTIAL,
        RunState.NEEDS_CHANGES,
        RunState.FAILED,
        RunState.CANCELLED,
        RunState.INCONCLUSIVE,
    }
)
TASK_DONE = frozenset({TaskState.SUCCEEDED, TaskState.UNVERIFIED})
"""States of a task whose result was accepted."""

TASK_FINAL = TASK_DONE | {TaskState.FAILED, TaskState.SKIPPED, TaskState.CANCELLED}

Conflict = Literal["serialize", "worktree", "error"]
Names = tuple[Annotated[str, StringConstraints(min_length=1)], ...]


class TaskLimits(Value):
    """Ceilings of all attempts of a task together, None for none; `minutes` is for each attempt."""

    dollars: bounds.DollarCeiling | None = None
    tokens: bounds.TokenCeiling | None = None
    minutes: bounds.MinuteCeiling | None = None
    attempts: bounds.AttemptCeiling | None = None


NO_LIMITS = TaskLimits()


TaskValue = Literal[
    "name", "text", "names", "paths", "texts", "argv", "choice", "object", "seconds", "count", "ceilings"
]
"""What a field of a task holds, as models write it: how its JSON is read and how its schema is published."""


@dataclass(frozen=True, slots=True)
class TaskField:
    """What a field of `Task` is to everything that handles tasks; nothing else lists the fields.

    `holds` decides how its JSON is read, whatever `aliases` it comes under. It is published in the schema of
    `plan_dag` if `offered`, with `about` as description and `values` instead of all values it may have.

    `spec` says whether it counts in the digest that recognises finished work: `always`, `never`, or, for every field
    that is younger than the first state files, `when_set`: work of plans that do not use it keeps its digest.
    """

    holds: TaskValue
    spec: Literal["always", "when_set", "never"]
    offered: bool = False
    about: str = ""
    values: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()


class Task(Value):
    """One unit of work for one agent.

    `reviews` makes it a review: the ids of the tasks whose work it judges, on which it depends. `rounds` is how often
    it may judge; every time but the last, what it blocks goes back to be mended. `joins` makes a review the decision of
    a council: the ids of the reviews, its seats, whose verdicts it makes into one.
    """

    id: Annotated[str, TaskField("name", "never", offered=True, aliases=("task_id",))]
    goal: Annotated[
        str,
        TaskField("text", "always", offered=True, about="One measurable goal.", aliases=("goal", "description")),
    ] = Field(alias="do")
    deps: Annotated[Names, TaskField("names", "never", offered=True, aliases=("dependencies", "depends_on"))] = ()
    agent: Annotated[
        str | None,
        TaskField("name", "always", offered=True, aliases=("specialist", "subagent_type")),
    ] = None
    model: Annotated[
        str | None, TaskField("name", "always", offered=True, values=("haiku", "sonnet", "opus", "fable"))
    ] = None
    worker: Annotated[
        WorkerKind | None,
        TaskField("choice", "always", offered=True, values=("host", "api", "claude", "command", "human")),
    ] = None
    effort: Annotated[Effort, TaskField("choice", "never", offered=True)] = Effort.M
    priority: Annotated[Priority, TaskField("choice", "never", offered=True)] = Priority.MEDIUM
    files: Annotated[Names, TaskField("paths", "always", offered=True, about="Paths written")] = ()
    reads: Annotated[Names, TaskField("paths", "always", offered=True)] = ()
    context: Annotated[
        Names,
        TaskField(
            "paths",
            "always",
            offered=True,
            about="file:p symbol:n rag:q pattern:n",
            aliases=("context_requirements",),
        ),
    ] = ()
    constraints: Annotated[Names, TaskField("texts", "always", offered=True)] = ()
    output: Annotated[Names, TaskField("texts", "always", offered=True)] = ()
    acceptance: Annotated[
        Names, TaskField("texts", "always", offered=True, about="command: pytest -q; file:p; diff")
    ] = ()
    inputs: Annotated[
        dict[str, json_types.Json], TaskField("object", "always", offered=True, aliases=("input_data",))
    ] = Field(default_factory=dict)
    command: Annotated[Names, TaskField("argv", "always", offered=True, about="argv")] = ()
    timeout_s: Annotated[float | None, TaskField("seconds", "never", offered=True)] = Field(
        default=None, gt=0, allow_inf_nan=False
    )
    max_attempts: Annotated[int, TaskField("count", "never", offered=True, aliases=("max_attempts",))] = Field(
        default=3, ge=1, le=20, alias="attempts"
    )
    isolation: Annotated[Literal["shared", "worktree"], TaskField("choice", "always")] = "shared"
    reviews: Annotated[Names, TaskField("names", "when_set")] = ()
    joins: Annotated[Names, TaskField("names", "when_set")] = ()
    rounds: Annotated[int, TaskField("count", "never")] = Field(default=3, ge=1, le=20)
    limits: Annotated[TaskLimits, TaskField("ceilings", "never")] = NO_LIMITS


class DeclaredField(NamedTuple):
    """A field of a task type: its attribute, what it says of itself, and the words its type allows, if only some."""

    attribute: str
    is_a: TaskField
    words: tuple[str, ...]


def task_fields(task_type: type[Task] = Task) -> Mapping[str, DeclaredField]:
    """Returns the fields of a task under the names that are sent and stored, in their order.

    Raises:
        TypeError: a field does not say what it is.
    """
    fields: dict[str, DeclaredField] = {}
    for name, info in task_type.model_fields.items():
        own_mark = next((mark for mark in info.metadata if isinstance(mark, TaskField)), None)
        if own_mark is None:
            raise TypeError(f"{task_type.__name__}.{name} declares no TaskField.")
        fields[info.alias or name] = DeclaredField(name, own_mark, _words(info.annotation))
    return fields


def _words(annotation: object) -> tuple[str, ...]:
    """Returns the members of an enumeration or the texts of a literal type, also where None is allowed beside them."""
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return tuple(member.value for member in annotation)
    parts = get_args(annotation)
    if parts and all(isinstance(part, str) for part in parts):
        return parts
    return tuple(word for part in parts for word in _words(part)) if type(None) in parts else ()


class AddedEdge(Value):
    """A dependency that planning added, with the reason that is shown to the user."""

    before: str
    after: str
    reason: str


class Plan(Value):
    """One immutable version of a task graph; `forecast` is what it was expected to use when it was made.

    `title` is what people call it. `additions` are the tasks that nobody sent, with the reason for each. `roster` is
    the one that its tasks are routed in, empty for all that take part. `routing_usage` is what a model used that chose
    agents for it.
    """

    id: str
    version: int = 1
    title: str = ""
    tasks: tuple[Task, ...]
    request: str = ""
    pattern: str = ""
    roster: str = ""
    routing_usage: Usage | None = None
    workspace: str = ""
    max_parallel: int = Field(default=5, ge=1, le=bounds.MAX_PARALLEL)
    on_conflict: Conflict = "serialize"
    added_edges: tuple[AddedEdge, ...] = ()
    timeout_s: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    additions: dict[str, str] = Field(default_factory=dict)
    forecast: dict[str, json_types.Json] = Field(default_factory=dict)

    @property
    def heading(self) -> str:
        """What the plan is called: its title, or the first words of its request or of its first task."""
        return self.title or short_ids.first_words(self.request or next((task.goal for task in self.tasks), ""))


class Artifact(Value):
    """Something a task produced, by reference."""

    name: str
    digest: str = ""
    path: str = ""
    size: int = 0
    mime_type: str = "text/plain"


MessageKind = Literal["information", "request", "warning", "confirmation", "handoff"]


class Note(Value):
    """A message that a worker leaves for others: `to` is a task, an agent, `orchestrator` or `all`."""

    to: str = Field(min_length=1, max_length=200)
    kind: MessageKind = "information"
    text: str


class Handoff(Value):
    """What a finished task tells its dependants (docs/rules.md#handoff-fields).

    `proposed_edits` are changes of the plan that the worker thinks are needed (docs/rules.md#unexpected-complexity);
    the orchestrator decides about them. `messages` are sent to other agents of the run when the handoff is accepted.
    """

    completed_work: str = ""
    files_modified: tuple[str, ...] = ()
    decisions_made: tuple[str, ...] = ()
    open_questions: tuple[str, ...] = ()
    mistakes_learned: tuple[str, ...] = ()
    artifacts: tuple[Artifact, ...] = ()
    proposed_edits: tuple[dict[str, json_types.Json], ...] = ()
    messages: tuple[Note, ...] = ()


class Usage(Value):
    """What an attempt or a run used; `cost_usd` is None when no price is known."""

    input_tokens: bounds.Tokens = 0
    output_tokens: bounds.Tokens = 0
    cache_read_tokens: bounds.Tokens = 0
    cache_write_tokens: bounds.Tokens = 0
    cost_usd: bounds.Dollars | None = None
    seconds: bounds.Seconds = 0.0

    @classmethod
    def within_bounds(cls, figures: Mapping[str, float | None]) -> Usage:
        """Returns the usage of these figures; one beyond its bound counts as the bound, one of None as left out.

        For sums, and for what cannot be refused any more; NaN counts as nothing.
        """
        most = bounds.USAGE
        amounts = {name: min(max(0, figure), most[name]) for name, figure in figures.items() if figure is not None}
        return cls.model_validate(amounts)

    @property
    def tokens(self) -> int:
        """All tokens, also those that were read from a cache or written to one."""
        return self.input_tokens + self.output_tokens + self.cache_read_tokens + self.cache_write_tokens


ReceiptKind = Literal[
    "exit_code", "file", "diff", "touched", "claim", "words", "approval", "simulated", "merge", "usage", "loss"
]


class Receipt(Value):
    """Evidence that the server itself collected about an attempt, or that there is none.

    `criterion` is the entry of the task's `acceptance` that it speaks for; `checked` is False when nobody could tell.
    `earlier` says that it was so before the task's first attempt already, or may have been, which proves no work.
    `suspects` are files that were changed although they decide what the criterion checks: reviewers are shown them.
    """

    kind: ReceiptKind
    ok: bool
    detail: str
    criterion: str = ""
    checked: bool = True
    earlier: bool = False
    suspects: tuple[str, ...] = ()


class Footprint(NamedTuple):
    """What work has left of one file: its state before the first attempt, None where nobody knows it, and now.

    States are as `text.file_states` has them: empty for no file.
    """

    before: str | None
    after: str


class StandIn(NamedTuple):
    """Who does a task in place of its own agent, which could not be started.

    `subagent` is the host's subagent to call, whatever it has installed; empty for the agent's own.
    """

    agent: str = ""
    subagent: str = ""


class Outcome(Value):
    """How one attempt ended.

    `retryable` says whether another attempt could end differently; `unverified` that the work is claimed
    but not proven; `sends_back` names the tasks whose work a review objects to; `stand_in` is who does the task next
    if its agent could not be started. `footprints` are the files by which the work is recognised later, those that it
    changed or judged, by path relative to the workspace. `disputes` names the review that has blocked a change of files
    that the work changed and nothing in its run reviews, and behind it the tasks that declare all of these files too.
    `asks_again` names the reviews of the run that have passed what was changed since, while the work was under way.
    """

    state: AttemptState
    summary: str = ""
    handoff: Handoff = Handoff()
    output: json_types.Json = None
    error: str = ""
    error_kind: str = ""
    retryable: bool = False
    retry_after_s: bounds.Seconds | None = None
    unverified: bool = False
    usage: Usage = Usage()
    receipts: tuple[Receipt, ...] = ()
    sends_back: tuple[str, ...] = ()
    stand_in: StandIn | None = None
    footprints: dict[str, Footprint] = Field(default_factory=dict[str, Footprint])
    disputes: tuple[str, ...] = ()
    asks_again: tuple[str, ...] = ()


class Limits(TaskLimits):
    """Ceilings of a run; None means no ceiling of its own.

    `minutes` is wall time since the run began, `attempts` and `tasks` are counts, `fan_out` is how many attempts may
    run at once, `depth` how deep dispatchers may call each other. `beyond_forecast` is a person's word that an attempt
    begins with what is left although its forecast does not fit; no tool takes it.
    """

    tasks: bounds.TaskCeiling | None = None
    fan_out: bounds.FanOutCeiling | None = None
    depth: bounds.DepthCeiling = 2
    beyond_forecast: bool = False


class Message(Value):
    """A note between agents of one run (docs/rules.md#messages)."""

    id: int = 0
    run_id: short_ids.Handle
    sender: str
    recipient: str
    kind: MessageKind
    text: str
    at: float = 0.0
    read: bool = False


class Event(Value):
    """One line of a run's append-only trace. `at` is seconds since the epoch, UTC."""

    seq: int
    run_id: str
    kind: str
    at: float
    task_id: str = ""
    attempt: int = 0
    data: dict[str, json_types.Json] = Field(default_factory=dict)
