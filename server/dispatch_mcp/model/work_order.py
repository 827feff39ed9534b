"""A work order: everything one attempt needs, fixed before any untrusted text is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from dispatch_mcp import model
from dispatch_mcp.model import Json
from dispatch_mcp.text import fences

Isolation = Literal["shared", "merged", "own"]
"""Where an attempt works: in the workspace itself, in a copy of what the run has merged so far that it only looks at,
or in a worktree of its own whose changes are merged."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """What a dependant receives from one finished dependency."""

    task_id: str
    handoff: model.Handoff
    output: Json = None
    summary: str = ""
    unverified: bool = False


class Objection(NamedTuple):
    """What a review found in the work that a task has handed over, for the attempt that mends it."""

    review: str
    text: str


class Guide(NamedTuple):
    """Text that its worker works by, from somebody whom the user trusts: a knowledge document, or a project's rules."""

    kind: Literal["knowledge", "rules"]
    name: str
    text: str


NO_CEILING = model.NO_LIMITS


@dataclass(frozen=True, slots=True)
class WorkOrder:
    """One attempt of one task. `workspace` is an absolute path or empty; `timeout_s` is None for no deadline.

    `directory` is the attempt's own worktree, an absolute path: only there may a server's worker change files; empty
    when it has none. `tools` are what the agent may use, None for all that its place allows; `effort` is how hard its
    model thinks, empty for the model's default; `ceiling` is what this attempt may use at most.

    `isolation` and `rank` (the place in topological order) follow from the plan. `base` is the commit that a copy of
    the workspace began from, empty in the workspace itself; `notices` say what whoever works there should know of it;
    `declarations` are the files that the run's tasks name;
    `git_log` is the file in which git is to log the commands of programs that a worker starts, empty for none.

    `news` are those of the `messages` that came after the task was briefed for the first time: what a conversation has
    to be told that goes on. `gathered` is what was found for the task and fits its budget, `gathered_at` where it can
    be read instead. `guides` are instructions besides the task itself; `gap` says what could not be gathered, empty
    when nothing is missing; what is gathered for an order that `follows` is not ready yet.
    `material` is what the task is about, shown whole; `answer_form` says how the answer ends if not with a handoff.
    `schema` is the JSON schema of such an answer, None for a handoff; a worker whose provider can hold an answer to it
    has it do so and says `schema_form` instead of `answer_form`.
    `objections` are what reviews found in the result of attempt `sent_back`, the last one that was accepted.
    `stand_ins` do the task in place of its own agent, the newest last; `no_role` says why there is no role text for
    the agent, empty when there is, or when nobody is named. `is_role_instruction` is whether the role text comes with
    the product, or its user has written or approved it; any other is information.
    """

    run_id: str
    task: model.Task
    attempt: int
    worker: model.WorkerKind
    key: str = ""
    workspace: str = ""
    timeout_s: float | None = None
    agent_prompt: str = ""
    model: str | None = None
    upstream: tuple[Upstream, ...] = ()
    messages: tuple[model.Message, ...] = ()
    news: tuple[model.Message, ...] = ()
    last_error: str = ""
    last_beat: Mapping[str, Json] = field(default_factory=dict[str, Json])
    directory: str = ""
    tools: tuple[str, ...] | None = None
    effort: str = ""
    ceiling: model.TaskLimits = NO_CEILING
    isolation: Isolation = "shared"
    rank: int = 0
    base: str = ""
    notices: tuple[str, ...] = ()
    declarations: tuple[str, ...] = ()
    git_log: str = ""
    material: tuple[fences.Data, ...] = ()
    gathered: tuple[fences.Data, ...] = ()
    gathered_at: tuple[str, ...] = ()
    guides: tuple[Guide, ...] = ()
    gap: str = ""
    follows: bool = False
    answer_form: str = ""
    schema: Mapping[str, Json] | None = None
    schema_form: str = ""
    objections: tuple[Objection, ...] = ()
    sent_back: int = 0
    stand_ins: tuple[model.StandIn, ...] = ()
    no_role: str = ""
    is_role_instruction: bool = True

    @property
    def agent(self) -> str:
        """Who does the task: its own agent or who stands in, empty for nobody by name."""
        return self.stand_ins[-1].agent if self.stand_ins else self.task.agent or ""

    @property
    def subagent(self) -> str:
        """The host's subagent to call in place of the agent's own, empty for none."""
        return self.stand_ins[-1].subagent if self.stand_ins else ""

    @property
    def cwd(self) -> str:
        """Where the attempt works: its own worktree if it has one, else the workspace."""
        return self.directory or self.workspace
