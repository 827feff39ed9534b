"""What the dispatcher answers: small, without echo, defaults left out on the wire."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Annotated, Final

from pydantic import Field, PlainSerializer, SerializationInfo

from dispatch_mcp import model
from dispatch_mcp.model import short_ids
from dispatch_mcp.model.assignments import Assignment
from dispatch_mcp.next_steps import NextStep, Words

FEW: Final = 2
"""Assignments from which on the folder of their prompts is said once."""


def _in_words(step: NextStep | str, info: SerializationInfo[Words | None]) -> str:
    """Returns the words of the interface that serialises an answer; without an interface, the bare kind of step."""
    if isinstance(step, str):
        return step
    return info.context(step) if info.context else step.kind.value


Step = Annotated[NextStep, PlainSerializer(_in_words)]
"""A step in an answer: a value for who reads the answer here, words on the wire."""

Reason = Annotated[str | NextStep, PlainSerializer(_in_words)]
"""Why a task waits: a few words, or what somebody has to do first."""


class MessageLine(model.Value):
    """A message to tasks that have not read it, cut if it is long; `to` are some of the tasks, or a name of nobody.

    Looks without content leave out its text.
    """

    sender: str
    to: tuple[str, ...]
    kind: str
    text: str = ""


class Answer(model.Value):
    """An answer to a host or a shell."""

    def wire(self, words: Words) -> dict[str, model.Json]:
        """Returns the answer as JSON, steps in these words, without the fields that have their default value."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True, context=words)


class RunAnswer(Answer):
    """Where a run stands, and what to do now.

    `pass_on` are messages to tasks that are out with the assistant, `unread` those whose tasks ended without reading;
    what is cut or left out of them stands whole in `notes_at`.
    """

    run_id: short_ids.Handle
    state: model.RunState
    counts: dict[str, int] = Field(default_factory=dict[str, int])
    next: Step | None = None
    pass_on: tuple[MessageLine, ...] = ()
    unread: tuple[MessageLine, ...] = ()
    notes_at: str = ""


class Progress(RunAnswer):
    """The answer to `dispatch`: the handle, and what the host should do now; `briefs` as in `ReportAnswer`.

    `replayed` counts the results of earlier runs that were taken over; `stale` names the tasks whose results were
    not, each with the reason.
    """

    title: str = ""
    plan_id: short_ids.Handle = ""
    plan_version: int = 0
    worker: str = ""
    why_worker: str = ""
    reused: bool = False
    simulated: bool = False
    assignments: tuple[Assignment, ...] = ()
    briefs: str = ""
    replayed: int = 0
    stale: dict[str, str] = Field(default_factory=dict[str, str])
    poll_after_s: float = 0.0
    trace: str = ""


def in_one_folder(handouts: Sequence[Assignment]) -> tuple[tuple[Assignment, ...], str]:
    """Returns assignments that are read where they are kept without their files, and the folder that has all of these.

    Each is there by task and attempt. A single one keeps its file: that is as short.
    """
    folders = {PurePath(handout.prompt_file).parent for handout in handouts if handout.prompt_file}
    if len(handouts) < FEW or len(folders) != 1:
        return tuple(handouts), ""
    bare = tuple(handout.model_copy(update={"prompt_file": ""}) for handout in handouts)
    return bare, str(folders.pop())


class Accepted(model.Value):
    """What became of one reported result; `proposed_edits` are the orchestrator's to send to `plan_dag`, or not.

    `more_receipts` counts those that are left out here; the trace has all, and whole.
    """

    task_id: str
    attempt: int
    accepted: bool
    state: str = ""
    why: str = ""
    receipts: tuple[model.Receipt, ...] = ()
    more_receipts: int = 0
    proposed_edits: tuple[dict[str, model.Json], ...] = ()


class ReportAnswer(RunAnswer):
    """The answer to `report`; `decision` is what the council of the run has just decided, and why.

    `briefs` is the folder in which prompts of several assignments are files, named by task and attempt.
    """

    decision: dict[str, str] = Field(default_factory=dict[str, str])
    results: tuple[Accepted, ...] = ()
    assignments: tuple[Assignment, ...] = ()
    briefs: str = ""
    messages: tuple[model.Message, ...] = ()
    proposed_edits: tuple[dict[str, model.Json], ...] = ()


class SteeringAnswer(RunAnswer):
    """The answer to `steer_run`; `plan_version` is what the run goes on with, if that is another version now.

    `note` says why nothing was done.
    """

    note: str = ""
    changed: tuple[str, ...] = ()
    plan_version: int = 0


class MessagesAnswer(Answer):
    """The answer to `message_agents`; `reaches` says what becomes of a message, with the tasks of which it is true."""

    run_id: short_ids.Handle
    sent: int = 0
    reaches: dict[str, tuple[str, ...]] = Field(default_factory=dict[str, tuple[str, ...]])
    messages: tuple[model.Message, ...] = ()
    proposed_edits: tuple[dict[str, model.Json], ...] = ()


class RunLine(model.Value):
    """One run in a list: `age` is since it began, `progress` the tasks that are over, `waits` what waits for whom.

    `ownerless` is whether it has work for the server and no living process carries it on.
    """

    run_id: short_ids.Handle
    title: str = ""
    state: model.RunState
    workspace: str = ""
    age: str = ""
    progress: str = ""
    waits: tuple[str, ...] = ()
    plan_id: short_ids.Handle
    counts: dict[str, int] = Field(default_factory=dict[str, int])
    updated: str = ""
    ownerless: bool = False


class TaskLine(model.Value):
    """One task of a trace: metadata only. `in_place_of` is its own agent, if that could not be started."""

    id: str
    state: str
    worker: str = ""
    agent: str = ""
    in_place_of: str = ""
    attempts: int = 0
    seconds: float = 0.0
    replayed: bool = False
    waits_for: tuple[str, ...] = ()
    error: str = ""


class ResultLine(model.Value):
    """One result, cut to what a reader needs; `truncated` says that there is more."""

    task_id: str
    state: str
    capsule: str = ""
    receipts: tuple[model.Receipt, ...] = ()
    proposed_edits: tuple[dict[str, model.Json], ...] = ()
    output: model.Json = None
    truncated: bool = False
    ref: str = ""


class ArtifactLine(model.Value):
    """One artifact; `text` is what a page holds of it, a file without a digest could not be read."""

    task_id: str
    name: str
    path: str = ""
    digest: str = ""
    size: int = 0
    mime_type: str = ""
    text: str = ""


class CostLine(model.Value):
    """What the attempts of one task have used; dollars are left out where no price is known."""

    task_id: str
    agent: str = ""
    attempts: int = 0
    tokens: int = 0
    dollars: float | None = None
    seconds: float = 0.0


class EventLine(model.Value):
    """One event; `t` is seconds since the run began."""

    seq: int
    t: float
    kind: str
    task: str = ""
    attempt: int = 0
    data: dict[str, model.Json] = Field(default_factory=dict[str, model.Json])


class Trace(Answer):
    """The answer to `get_trace`; which fields are filled depends on the view.

    `whole_in_view` names the views in which stands what this one tells of without its words.
    `search` says how much of a large workspace is searched while that is not all of it. `is_review` says whether there
    is more to tell of the run, as it is a round of the council.
    """

    is_review: bool = Field(default=False, exclude=True)
    run_id: short_ids.Handle = ""
    title: str = ""
    workspace: str = ""
    age: str = ""
    state: str = ""
    plan_id: short_ids.Handle = ""
    plan_version: int = 0
    simulated: bool = False
    counts: dict[str, int] = Field(default_factory=dict[str, int])
    seconds: float = 0.0
    spend: model.Usage | None = None
    context: dict[str, float] = Field(default_factory=dict[str, float])
    limits: dict[str, float] = Field(default_factory=dict[str, float])
    left: dict[str, float] = Field(default_factory=dict[str, float])
    held: str = ""
    search: str = ""
    doubts: tuple[str, ...] = ()
    follow_ups: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()
    runs: tuple[RunLine, ...] = ()
    tasks: tuple[TaskLine, ...] = ()
    blocked: dict[str, Reason] = Field(default_factory=dict[str, str | NextStep])
    timeline: tuple[EventLine, ...] = ()
    results: tuple[ResultLine, ...] = ()
    artifacts: tuple[ArtifactLine, ...] = ()
    costs: tuple[CostLine, ...] = ()
    figures: dict[str, float] = Field(default_factory=dict[str, float])
    messages: tuple[model.Message, ...] = ()
    todo: tuple[dict[str, str], ...] = ()
    pass_on: tuple[MessageLine, ...] = ()
    unread: tuple[MessageLine, ...] = ()
    notes_at: str = ""
    whole_in_view: tuple[str, ...] = ()
    text: str = ""
    cursor: str = ""
    next: Step | None = None
    poll_after_s: float = 0.0
