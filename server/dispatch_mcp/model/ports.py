"""What a worker is: it carries out one attempt and returns its outcome."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from dispatch_mcp import model
from dispatch_mcp.model import declared_paths, merge_offer, work_order


class Blobs(Protocol):
    """Bulk by reference."""

    def put(self, data: bytes) -> str:
        """Stores `data` and returns its SHA-256 hex digest."""
        ...

    def get(self, digest: str) -> bytes:
        """Returns the bytes of a digest. Raises UnknownHandle."""
        ...


class TaskContext(Protocol):
    """All that a worker may see of an engine."""

    @property
    def run_id(self) -> str: ...

    @property
    def task_id(self) -> str: ...

    @property
    def attempt(self) -> int: ...

    @property
    def last_beat(self) -> Mapping[str, model.Json]:
        """The details that the previous attempt left with its last `beat`."""
        ...

    @property
    def blobs(self) -> Blobs: ...

    def beat(self, **details: model.Json) -> None:
        """Says that the attempt is alive; `details` reach the next attempt if this one is lost."""
        ...

    async def mail(self) -> Sequence[model.Message]:
        """Returns the messages that have come for the task since it was briefed or asked last; they count as read."""
        ...


LOOK = "before"
"""The detail of a beat that says how the workspace was before the attempt; its form is the verifier's own."""

COMMON_PARTS = ("common", "judges")
"""Parts of `LOOK` that many attempts have alike: mappings, of which the store keeps each once for a run."""

HELD = "held"
"""The detail of a beat that says what held before the task's first attempt; its form is the verifier's own."""

BLOCKED = "blocked"
"""The detail of a beat that has the states of blocked files from before the task's first attempt."""

REWORKED = "reworked"
"""The detail of a command's beat that has the states of files of earlier work from before its task's first attempt."""

FIRST = frozenset({LOOK, HELD, BLOCKED, REWORKED})
"""The details that a task's later attempts are judged by too, whatever else they begin anew."""

COPY = "worktree"
"""The detail of a beat that says which copy of the workspace the attempt works in."""

SPENT = "spent"
"""The detail of a beat that says what the attempt has used so far: a `Usage`, which counts if nobody reports it."""

LOSS = "loss"
"""The detail of a beat that says which of the user's uncommitted work is gone, and how to have it back."""

WRITTEN_OVER = "written_over"
"""The detail of a beat that says of which files there is a copy, as they were written over meanwhile, by whomever."""

ANSWER = "answer"
"""The detail of a beat that names what a model has answered: it is not paid for again, whatever fails after it."""

SESSION = "session_id"
"""The detail of a beat by which a worker says that its next attempt goes on where this one was."""


@dataclass(slots=True)
class Relay:
    """A task context that passes everything on; what wraps one overrides what it changes."""

    inner: TaskContext

    @property
    def run_id(self) -> str:
        """The run of the attempt."""
        return self.inner.run_id

    @property
    def task_id(self) -> str:
        """The task of the attempt."""
        return self.inner.task_id

    @property
    def attempt(self) -> int:
        """The number of the attempt."""
        return self.inner.attempt

    @property
    def last_beat(self) -> Mapping[str, model.Json]:
        """What the previous attempt left."""
        return self.inner.last_beat

    @property
    def blobs(self) -> Blobs:
        """Where bulk goes."""
        return self.inner.blobs

    def beat(self, **details: model.Json) -> None:
        """Passes the beat on."""
        self.inner.beat(**details)

    async def mail(self) -> Sequence[model.Message]:
        """Returns the messages that have come."""
        return await self.inner.mail()


class Worker(Protocol):
    """Carries out attempts. Must be cancellable and must clean up after itself when cancelled."""

    async def carry_out(self, ctx: TaskContext, work: work_order.WorkOrder) -> model.Outcome:
        """Returns how the attempt ended; never raises for a failure of the work itself."""
        ...


class KeepsDeadline:
    """A worker that holds attempts to their deadlines itself: only it knows when somebody begins with them."""


Workers = Mapping[model.WorkerKind, Worker]


async def _no_look() -> Mapping[str, model.Json]:
    return {}


class Rival(NamedTuple):
    """A task of another run that declares files of the same folders, and was at work while this one was.

    `ended_at` is when its attempt ended, however, in seconds since the epoch; None while it is still out. `workspace`
    is that of its run, which may be called otherwise than this one's, or lie in it or around it.
    """

    name: str
    files: tuple[str, ...]
    ended_at: float | None = None
    workspace: str = ""


async def _no_rivals() -> Sequence[Rival]:
    return ()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a witness is told besides the order: what its worker claims, and what the rest of the run is about.

    `claims` are the files that the worker says it changed. `active` are paths that begun tasks declare: what changes
    there is theirs; `declarations` are those of all tasks, both by the id of the task. `first_look` returns what
    `before` had returned at the beginning of the run, for work in the same kind of place; empty when nobody looked.
    `rivals` returns those of other runs: what they declare too may be their change.
    """

    claims: tuple[str, ...] = ()
    active: declared_paths.DeclaredPaths = declared_paths.NOBODY
    declarations: declared_paths.DeclaredPaths = declared_paths.NOBODY
    first_look: Callable[[], Awaitable[Mapping[str, model.Json]]] = _no_look
    rivals: Callable[[], Awaitable[Sequence[Rival]]] = _no_rivals


class Evidence(NamedTuple):
    """What a witness has seen: its receipts, and the files by which the work is recognised later."""

    receipts: tuple[model.Receipt, ...] = ()
    footprints: Mapping[str, model.Footprint] = {}


class Verifier(Protocol):
    """Looks at the workspace before and after an attempt, so that nobody has to be believed."""

    async def before(self, work: work_order.WorkOrder) -> Mapping[str, model.Json]:
        """Returns what must be known of the workspace from before the attempt, as JSON; empty when nothing must."""
        ...

    async def receipts(
        self, work: work_order.WorkOrder, before: Mapping[str, model.Json], around: Surroundings
    ) -> Evidence:
        """Returns what can be said for and against a claim that the attempt succeeded; bounded in time.

        `before` is what `before` returned.
        """
        ...


StatesOf = Callable[[str, Collection[str]], Mapping[str, str]]
"""Returns the states of files of a workspace, by path relative to it, as `text.file_states` has them."""


def no_states(_workspace: str, _paths: Collection[str], /) -> Mapping[str, str]:
    """Returns nothing: where nobody looks, nobody knows how files are."""
    return {}


CarryOut = Callable[[TaskContext, work_order.WorkOrder], Awaitable[model.Outcome]]
"""Carries out an order in the place that it names and returns what its worker claims."""

Judge = Callable[[work_order.WorkOrder, model.Outcome], Awaitable[model.Outcome]]
"""Returns a claim as its receipts judge it, collected in the place that the order names."""


InnerFolders = Callable[[str, Collection[str]], Awaitable[Collection[str]]]
"""Returns the submodules of a workspace, and other repositories in it that hold some of the paths, relative to it."""


class Checkouts(Protocol):
    """Brings what a run has merged into the user's checkout; only interfaces that have asked a person apply."""

    async def look(self, workspace: str, run_id: str) -> merge_offer.Offer:
        """Returns what there is to apply. Raises InputError when there is nothing."""
        ...

    async def apply(self, workspace: str, run_id: str, expect: str) -> merge_offer.Offer:
        """Applies it, if it is still at the revision `expect`. Raises InputError or NotAllowed."""
        ...


class WorkspaceProvider(Protocol):
    """Gives attempts a place to work in, and brings together what they changed there."""

    async def within(
        self, ctx: TaskContext, work: work_order.WorkOrder, carry_out: CarryOut, judge: Judge
    ) -> model.Outcome:
        """Returns how the attempt ended in the place that `work.isolation` asks for.

        A success is judged there, then kept and merged; one that does not merge is returned as a failure. Work that
        an earlier attempt had finished before its server died is returned without being carried out again.
        """
        ...

    async def leave(self, work: work_order.WorkOrder) -> None:
        """Tidies up behind an attempt whose outcome is known; never raises."""
        ...
