"""What passes through a workflow's history: ids, states, numbers and digests, never what anybody has written.

Texts (goals, prompts, results, errors) are in the store and in blobs; a paper names them. Whoever reads the history
of a Temporal server learns which tasks ran, when and where, and nothing of what they were about.
"""

from __future__ import annotations

from dataclasses import dataclass, field

RUN_WORKFLOW = "dispatch-mcp-run"
CARRY_WORKFLOW = "dispatch-mcp-carry"
LOOK_SIGNAL = "look"
REVISION_QUERY = "revision"

MOST_EVENTS = 10_000
"""Events of a history after which a run goes on in a new one, once what is out has come back. A server refuses more
than 51,200; a task takes about a dozen."""


@dataclass(frozen=True)
class RunPaper:
    """Which run a workflow drives, and after how many events it goes on in a new history."""

    run_id: str
    most_events: int = MOST_EVENTS


@dataclass(frozen=True)
class StartPaper:
    """An attempt that begins. `ceiling` is what it may use at most, by kind; `stand_ins` are names, the newest last."""

    task_id: str
    attempt: int
    worker: str
    key: str = ""
    ceiling: dict[str, float] = field(default_factory=dict[str, float])
    stand_ins: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])


@dataclass(frozen=True)
class AttemptPaper:
    """An attempt to carry out by a version of the plan of its run."""

    run_id: str
    plan_version: int
    start: StartPaper


@dataclass(frozen=True)
class EndPaper:
    """How an attempt ended: `outcome` is the digest of a blob, empty where there is nothing to record.

    One that was `given_back` had its process stopped in order: it is begun again, and that counts as no crash.
    """

    task_id: str
    attempt: int
    outcome: str = ""
    given_back: bool = False


@dataclass(frozen=True)
class StepPaper:
    """A step of a run: what has ended, and whether more may begin. `revision` is the run's after the last step."""

    run_id: str
    epoch: int
    ends: list[EndPaper] = field(default_factory=list[EndPaper])
    may_begin: bool = True
    cancel: bool = False
    revision: int = -1


@dataclass(frozen=True)
class Standing:
    """Where a run stands after a step.

    `at_work` lists the attempts that still run, by task, when somebody else has moved the run; None when nobody has.
    `wait_s` is how long nothing can happen by itself, None for ever.
    """

    state: str
    revision: int
    plan_version: int
    is_over: bool
    starts: list[StartPaper] = field(default_factory=list[StartPaper])
    at_work: dict[str, int] | None = None
    wait_s: float | None = None
    needs_verdict: bool = False


@dataclass(frozen=True)
class CarryPaper:
    """Work for a host of workers: `order` is the digest of a blob, `queue` where hosts that can do it look for it.

    `deadline_s` bounds the work itself, not the time until a host takes it; `priority` is 1 to 5, 1 first. `place` is
    the digest of what the folder of the work holds, empty where hosts see it themselves.
    """

    order: str
    queue: str
    deadline_s: float
    silence_s: float
    priority: int = 3
    place: str = ""


@dataclass(frozen=True)
class CarriedPaper:
    """What came back from a host: `outcome` and `change` are digests of blobs, empty where there is none.

    `is_lost` says that the host fell silent; `beat` is then the digest of what it had left for the next attempt.
    """

    outcome: str = ""
    change: str = ""
    beat: str = ""
    is_lost: bool = False
