"""What the server loads once it answers: every session pays for the start, and few need the rest at once.

Whoever starts the server hands the loaders in; what they load is typed by what the server asks of it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread
from anyio.abc import TaskGroup
from mcp.server.mcpserver import MCPServer
from mcp.types import Completion, CompletionArgument, PromptReference, Resource, ResourceTemplateReference
from pydantic import BaseModel

from dispatch_mcp import errors, model
from dispatch_mcp.mcp_server import tool_arguments
from dispatch_mcp.model import records

if TYPE_CHECKING:
    from dispatch_mcp.model import merge_offer
    from dispatch_mcp.review import council_decision
    from dispatch_mcp.service import approvals, dispatcher

OpenDispatcher = Callable[[str], "AbstractAsyncContextManager[dispatcher.Dispatcher]"]
"""Opens the dispatcher of a principal."""

principal: ContextVar[str] = ContextVar("principal", default=records.LOCAL)
"""Whose request is being answered. The SDK hands the request to tools and resources and not to completions."""

T = TypeVar("T")

QUESTION_S = 600.0
"""So long the SDK takes an answer to a question."""

HEAD_START_S = 0.5
"""So long the first requests of a host, which read lists, have the processor for themselves."""


class ToolCalls(Protocol):
    """What carries out tool calls, and answers what has to be known before a user is asked."""

    async def call(
        self,
        name: str,
        app: dispatcher.Dispatcher,
        args: tool_arguments.Args,
        decision: BaseModel | None,
        word: records.PersonWord | None = None,
    ) -> dict[str, model.Json]:
        """Carries out a call; `decision` is what the user has decided, `word` what they agreed to, if anybody has."""
        ...

    async def decide(self, app: dispatcher.Dispatcher, run_id: str, task_id: str, decision: BaseModel) -> None:
        """Records what the user said to a decision that a run waits for."""
        ...

    async def waivable(
        self, app: dispatcher.Dispatcher, run_id: str, finding_id: str
    ) -> council_decision.MergedFinding | None:
        """Returns the finding of a review that a person could waive, or None."""
        ...

    async def raisable(
        self, app: dispatcher.Dispatcher, run_id: str, limits: Mapping[str, model.Json]
    ) -> approvals.RaiseOffer | None:
        """Returns what a person would have to agree to for a run to have these ceilings, or None."""
        ...

    async def applicable(self, app: dispatcher.Dispatcher, run_id: str, revision: str) -> merge_offer.Offer | None:
        """Returns what a run has merged, if that is the revision and could be applied, or None."""
        ...


class Documents(Protocol):
    """What offers resources and completes their names."""

    def register(self, server: Registry, current: Callable[[], Opening], home: Path | None) -> None:
        """Adds every resource."""
        ...

    def register_files(self, server: Registry, home: Path | None) -> None:
        """Adds the resources that are files."""
        ...

    def stamp(self, home: Path | None) -> Hashable:
        """Returns what tells two states of the user's own files apart."""
        ...

    async def mark(self, opening: Opening, uri: str, home: Path | None) -> str:
        """Returns what tells two states of a resource apart. Raises DispatchError for one that is not there."""
        ...

    async def complete(
        self,
        opening: Opening,
        ref: PromptReference | ResourceTemplateReference,
        argument: CompletionArgument,
        context: Mapping[str, str],
        home: Path | None,
    ) -> Completion | None:
        """Returns the values that an argument of a prompt or resource can have, None if nothing of it is known here."""
        ...


class Prompts(Protocol):
    """What offers prompts."""

    def register(self, server: MCPServer[Opening], home: Path | None) -> None:
        """Adds every prompt."""
        ...


class WorkspacePlace(Protocol):
    """Which workspace a session works in, if it was not started in one."""

    @property
    def is_missing(self) -> bool:
        """Whether what the settings name is no workspace."""
        ...

    def choose(self, roots: Sequence[str]) -> bool:
        """Takes the first of these URIs that is a workspace, and returns whether there is one."""
        ...


@dataclass(frozen=True, slots=True)
class Loaders:
    """What the server needs only once somebody asks: each is loaded when it is called for the first time."""

    dispatcher: OpenDispatcher
    tools: Callable[[], ToolCalls]
    documents: Callable[[], Documents]
    prompts: Callable[[], Prompts]
    place: WorkspacePlace | None = None


@dataclass(slots=True)
class Opening:
    """A dispatcher that is opened by the first call that needs it, or a moment after the start.

    It is that of `owner`; those of other principals are opened beside it in `group`, when their first request comes.
    `_wanted` is set by callers and by `end`; `_outcome` by `keep`, once there is a dispatcher or a reason why not.
    Both are replaced by new events before those who wait are woken, so that a caller who comes later waits for
    the next try and never for one that is over.
    """

    loaders: Loaders
    owner: str = records.LOCAL
    group: TaskGroup | None = None
    _others: dict[str, Opening] = field(default_factory=dict[str, "Opening"])
    _app: dispatcher.Dispatcher | None = None
    _failure: errors.DispatchError = field(default_factory=errors.StoreError)
    _wanted: anyio.Event = field(default_factory=anyio.Event)
    _outcome: anyio.Event = field(default_factory=anyio.Event)
    _over: bool = False
    _has_roots: bool = False
    _questions: dict[Hashable, tuple[float, object]] = field(default_factory=dict[Hashable, "tuple[float, object]"])

    @property
    def wants_roots(self) -> bool:
        """Whether it is worth asking the client for its roots: there is no workspace, and nobody has asked yet."""
        place = self.loaders.place
        return place is not None and not self._has_roots and place.is_missing

    async def use_roots(self, roots: Sequence[str]) -> None:
        """Goes on in the first of these folders that is a workspace, if there is one."""
        self._has_roots = True
        if self.loaders.place is None or not self.loaders.place.choose(roots):
            return
        with suppress(errors.DispatchError):
            app = await self.get()  # one that is being opened does not know yet
            self.leave()
            while self._app is app:
                await anyio.lowlevel.checkpoint()

    async def get(self) -> dispatcher.Dispatcher:
        """Returns the dispatcher of whose request this is.

        Raises:
            DispatchError: it cannot be opened; the next call tries again.
        """
        if self.group is not None and principal.get() != self.owner:
            return await self._of(principal.get(), self.group).get()
        if self._app is None:
            outcome = self._outcome
            self._wanted.set()
            await outcome.wait()
        if self._app is None:
            raise self._failure
        return self._app

    def first_asked(self, subject: Hashable, question: T) -> T:
        """Returns the question that was asked first about a subject, of those that may still be answered."""
        now = anyio.current_time()
        for key in [key for key, (at, _) in self._questions.items() if now - at > QUESTION_S]:
            del self._questions[key]
        first: Any = self._questions.setdefault(subject, (now, question))[1]
        return first

    def answered(self, subject: Hashable) -> None:
        """Forgets what was asked about a subject: it has been answered."""
        self._questions.pop(subject, None)

    def _of(self, name: str, group: TaskGroup) -> Opening:
        if name not in self._others:
            self._others[name] = Opening(self.loaders, name)
            group.start_soon(self._others[name].keep)
        return self._others[name]

    async def keep(self) -> None:
        """Opens the dispatcher and keeps it open until `end`."""
        with anyio.move_on_after(HEAD_START_S):
            await self._wanted.wait()
        while not self._over:
            try:
                await anyio.to_thread.run_sync(self.loaders.tools)
                await self._hold()
            except errors.DispatchError as trouble:
                self._fail(trouble)
            except OSError as trouble:  # of a disk that is full, read-only or gone: no reason to end
                hint = "Check the state folder: its rights, and the space on its disk."
                self._fail(errors.StoreUnavailable(f"Nothing can be done here: {trouble}.", hint=hint))
            if not self._over:
                await self._wanted.wait()

    def _fail(self, trouble: errors.DispatchError) -> None:
        self._failure = trouble
        self._settle()

    async def _hold(self) -> None:
        async with self.loaders.dispatcher(self.owner) as app:
            self._app = app
            self._settle()
            try:
                if not self._over:
                    await self._wanted.wait()
            finally:
                self._app = None
                if not self._over:
                    self._wanted = anyio.Event()

    def leave(self) -> None:
        """Lets `keep` close the dispatcher, whose store is no longer the one that is there; the next call opens it."""
        if self._app is not None:
            self._wanted.set()
        for other in self._others.values():
            other.leave()

    def _settle(self) -> None:
        """Answers those who wait; from now on `_wanted` says that there is something new to do."""
        outcome, self._outcome, self._wanted = self._outcome, anyio.Event(), anyio.Event()
        outcome.set()

    def end(self) -> None:
        """Lets `keep` close the dispatcher and return."""
        self._over = True
        self._wanted.set()
        for other in self._others.values():
            other.end()


class Registry(MCPServer[Opening]):
    """A server out of which resources can be taken, too, and that says how large they are: the SDK's does neither."""

    @cached_property
    def sizes(self) -> dict[str, int]:
        """The bytes of those resources of which they are known."""
        return {}

    async def list_resources(self) -> list[Resource]:
        """Returns all resources, with their sizes where these are known."""
        return [
            resource.model_copy(update={"size": self.sizes.get(str(resource.uri))})
            for resource in await super().list_resources()
        ]

    def remove_resources(self, uris: Iterable[str]) -> None:
        """Takes out resources; those that are not there are left out."""
        resources = self._resource_manager._resources  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        for uri in uris:
            resources.pop(uri, None)
            self.sizes.pop(uri, None)
