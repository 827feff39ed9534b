"""Long calls as tasks, for clients that can follow one: the extension `io.modelcontextprotocol/tasks` (SEP-2663).

A client without it sees nothing of this: its call returns a handle, as ever.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal, Protocol

from mcp import MCPError
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.extension import Extension, MethodBinding
from mcp.server.mcpserver import require_client_extension
from mcp.types import HEADER_MISMATCH, INVALID_PARAMS, CallToolRequestParams, RequestParams
from pydantic import Field

from dispatch_mcp import model

TASKS: Final = "io.modelcontextprotocol/tasks"
VERSIONS: Final = frozenset({"2026-07-28"})
"""The versions of the protocol that have tasks of this kind."""

POLL_MS: Final = 1_000
"""Milliseconds that a client waits between two looks."""

KEPT_MS: Final = 7 * 24 * 3_600_000
"""Milliseconds for which a task can be looked at, at least: what a client's timer can hold."""

Status = Literal["working", "input_required", "completed", "failed", "cancelled"]
Request = ServerRequestContext[Any, Any]


@dataclass(frozen=True, slots=True)
class ProtocolTask:
    """A task as a client sees it; times are seconds since the epoch.

    `result` is what the call answers once it is completed, `error` why it failed, `questions` what is asked meanwhile,
    by a name each.
    """

    id: str
    status: Status
    created_at: float
    updated_at: float
    message: str = ""
    result: model.Json = None
    error: model.Json = None
    questions: Mapping[str, model.Json] = field(default_factory=dict[str, model.Json])

    def wire(self, *, whole: bool) -> dict[str, model.Json]:
        """Returns the task as the protocol writes it, with all that it comes to or without."""
        task: dict[str, model.Json] = {"taskId": self.id, "status": self.status}
        task |= {"createdAt": _time(self.created_at), "lastUpdatedAt": _time(self.updated_at)}
        task |= {"ttlMs": KEPT_MS, "pollIntervalMs": POLL_MS}
        if self.message:
            task["statusMessage"] = self.message
        more = {"result": self.result, "error": self.error, "inputRequests": dict(self.questions) or None}
        return {**task, **{name: value for name, value in more.items() if whole and value is not None}}


class TaskSource(Protocol):
    """What makes tasks of the calls of some tools, and knows them again."""

    @property
    def tools(self) -> Collection[str]:
        """The names of these tools."""
        ...

    async def call(
        self, params: CallToolRequestParams, ctx: Request, call_next: CallNext, *, follows: bool
    ) -> HandlerResult | ProtocolTask:
        """Returns what a call answers, or the task that it became; `follows` says whether the client can follow one."""
        ...

    async def look(self, ctx: Request, task_id: str) -> ProtocolTask | None:
        """Returns how a task is, None if it is none of ours or somebody else's."""
        ...

    async def answer(self, ctx: Request, task_id: str, answers: Mapping[str, model.Json]) -> None:
        """Takes answers to what a task asks; names that nobody asks for are left alone."""
        ...

    async def cancel(self, ctx: Request, task_id: str) -> None:
        """Ends a task; one that is over stays as it is."""
        ...


class TaskParams(RequestParams):
    """What `tasks/get` and `tasks/cancel` take."""

    task_id: str = Field(alias="taskId")


class TaskAnswers(TaskParams):
    """What `tasks/update` takes: answers by the name of the question."""

    input_responses: dict[str, Any] = Field(alias="inputResponses")


class Tasks(Extension):
    """The extension over some sources of tasks."""

    identifier = TASKS

    def __init__(self, sources: Sequence[TaskSource]) -> None:
        self._sources = sources

    def methods(self) -> Sequence[MethodBinding]:
        """Returns what clients look, answer and cancel with."""
        return [
            MethodBinding("tasks/get", TaskParams, self._get, VERSIONS),
            MethodBinding("tasks/update", TaskAnswers, self._update, VERSIONS),
            MethodBinding("tasks/cancel", TaskParams, self._cancel, VERSIONS),
        ]

    async def intercept_tool_call(
        self, params: CallToolRequestParams, ctx: Request, call_next: CallNext
    ) -> HandlerResult:
        """Answers a call with a task if its source makes one."""
        source = next((source for source in self._sources if params.name in source.tools), None)
        if source is None:
            return await call_next(ctx)
        result = await source.call(params, ctx, call_next, follows=follows(ctx))
        return {"resultType": "task", **result.wire(whole=False)} if isinstance(result, ProtocolTask) else result

    async def _get(self, ctx: Request, params: TaskParams) -> HandlerResult:
        _, state = await self._look(ctx, params)
        return state.wire(whole=True)

    async def _update(self, ctx: Request, params: TaskAnswers) -> HandlerResult:
        source, _ = await self._look(ctx, params)
        await source.answer(ctx, params.task_id, params.input_responses)
        return {}

    async def _cancel(self, ctx: Request, params: TaskParams) -> HandlerResult:
        source, _ = await self._look(ctx, params)
        await source.cancel(ctx, params.task_id)
        return {}

    async def _look(self, ctx: Request, params: TaskParams) -> tuple[TaskSource, ProtocolTask]:
        """Returns a task and its source.

        Raises:
            MCPError: the client has not declared the extension, names two tasks, or one that there is not for it.
        """
        require_client_extension(ctx, TASKS)
        name = getattr(ctx.request, "headers", {}).get("mcp-name", params.task_id)
        if name != params.task_id:
            raise MCPError(HEADER_MISMATCH, f"The header Mcp-Name says {name!r}, taskId {params.task_id!r}.")
        for source in self._sources:
            if (state := await source.look(ctx, params.task_id)) is not None:
                return source, state
        raise MCPError(INVALID_PARAMS, f"There is no task {params.task_id[:200]!r}.", {"taskId": params.task_id[:200]})


def follows(ctx: Request) -> bool:
    """Returns whether the client of a request can follow a task."""
    capabilities = ctx.session.client_capabilities
    return capabilities is not None and TASKS in (capabilities.extensions or {}) and ctx.protocol_version in VERSIONS


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
