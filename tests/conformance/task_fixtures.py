"""Tasks that the protocol's own conformance suite asks for by name: calls that go on in the server's memory."""

# No postponed annotations: the SDK reads signatures of functions that are made inside `register`.

import secrets
import time
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

import anyio
import anyio.abc
from mcp import MCPError
from mcp.server.context import CallNext
from mcp.server.mcpserver import Context, MCPServer, require_client_extension
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import (
    INTERNAL_ERROR,
    CallToolRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    InputRequiredResult,
    TextContent,
)
from pydantic import BaseModel

from dispatch_mcp.mcp_server import task_extension

current: ContextVar["Job"] = ContextVar("job")
"""The job as which a tool is being called."""

GRACE_S = 0.15
"""A call that is over sooner is answered at once."""


@dataclass(eq=False)
class Job:
    """A call that goes on."""

    state: task_extension.ProtocolTask
    questions: dict[str, Any] = field(default_factory=dict[str, Any])
    answers: dict[str, Any] = field(default_factory=dict[str, Any])
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    news: anyio.Event = field(default_factory=anyio.Event)
    settled: anyio.Event = field(default_factory=anyio.Event)
    outcome: Any = None

    def change(self, **changes: Any) -> None:
        self.state = replace(self.state, updated_at=time.time(), **changes)

    async def ask(self, *messages: str) -> list[Any]:
        """Returns the answers to some questions that are asked at once."""
        names = [f"q{len(self.answers) + number}" for number, _ in enumerate(messages)]
        self.questions |= {name: form(message) for name, message in zip(names, messages, strict=True)}
        self.change(status="input_required")
        self.settled.set()
        while self.questions:
            await self.news.wait()
            self.news = anyio.Event()
        self.change(status="working")
        return [self.answers[name] for name in names]


def form(message: str) -> Any:
    schema = {"type": "object", "properties": {"confirm": {"type": "boolean"}, "name": {"type": "string"}}}
    request = ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))
    return request.model_dump(by_alias=True, mode="json", exclude_none=True)


class JobTasks:
    """The jobs of this process."""

    tools = frozenset(
        {"slow_compute", "failing_job", "protocol_error_job", "confirm_delete", "multi_input", "test_tool_with_task"}
    )
    REQUIRED = frozenset({"failing_job"})

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.group: anyio.abc.TaskGroup | None = None

    async def call(self, params: CallToolRequestParams, ctx: Any, call_next: CallNext, *, follows: bool) -> Any:
        if not follows:
            if params.name in self.REQUIRED:
                require_client_extension(ctx, task_extension.TASKS)
            return await call_next(ctx)
        now = time.time()
        job = Job(task_extension.ProtocolTask(secrets.token_urlsafe(18), "working", now, now))
        assert self.group is not None
        self.group.start_soon(self._work, job, ctx, call_next)
        with anyio.move_on_after(GRACE_S):
            await job.settled.wait()
        if job.state.status in ("working", "input_required"):
            self.jobs[job.state.id] = job
            return job.state
        if isinstance(job.outcome, Exception):
            raise job.outcome
        return job.outcome

    async def _work(self, job: Job, ctx: Any, call_next: CallNext) -> None:
        end: dict[str, Any] = {"status": "cancelled"}
        try:
            with job.scope:
                current.set(job)
                job.outcome = await call_next(ctx)
                result = job.outcome
                plain = isinstance(result, BaseModel)
                whole: Any = result.model_dump(by_alias=True, mode="json", exclude_none=True) if plain else result
                end = {"status": "completed", "result": whole}
        except MCPError as wrong:
            job.outcome, end = wrong, {"status": "failed", "error": wrong.error.model_dump(exclude_none=True)}
        except Exception as fault:
            job.outcome = fault
            end = {"status": "failed", "error": {"code": INTERNAL_ERROR, "message": "Internal error"}}
        finally:
            job.change(**end)
            job.questions.clear()
            job.settled.set()

    async def look(self, ctx: Any, task_id: str) -> task_extension.ProtocolTask | None:
        job = self.jobs.get(task_id)
        return job and replace(job.state, questions=dict(job.questions))

    async def answer(self, ctx: Any, task_id: str, answers: Mapping[str, Any]) -> None:
        job = self.jobs[task_id]
        for name in job.questions.keys() & answers.keys():
            job.answers[name] = answers[name]
            del job.questions[name]
        job.news.set()

    async def cancel(self, ctx: Any, task_id: str) -> None:
        self.jobs[task_id].scope.cancel()

    async def keep(self, _opening: Any) -> None:
        """Lets jobs go on for as long as the server serves (a companion)."""
        async with anyio.create_task_group() as self.group:
            await anyio.sleep_forever()


def words(text: str) -> Any:
    return [TextContent(type="text", text=text)]


def register(server: MCPServer[Any]) -> None:
    """Adds the tools whose calls become tasks, and one whose calls do not."""

    @server.tool(description="Greets.", structured_output=False)
    def greet(name: str) -> Any:
        return words(f"Hello, {name}!")

    @server.tool(description="Takes its time.", structured_output=False)
    async def slow_compute(seconds: float = 1, label: str = "") -> Any:
        await anyio.sleep(seconds)
        return words(f"Computed {label} in {seconds} s.")

    @server.tool(description="Fails.", structured_output=False)
    async def failing_job() -> Any:
        await anyio.sleep(1)
        raise ToolError("This job fails.")

    @server.tool(description="Breaks.", structured_output=False)
    async def protocol_error_job() -> Any:
        await anyio.sleep(1)
        raise MCPError(INTERNAL_ERROR, "This job breaks.")

    @server.tool(description="Asks, then goes on.", structured_output=False)
    async def confirm_delete(filename: str = "") -> Any:
        [answer] = await current.get().ask(f"Delete {filename}?")
        return words(f"{filename}: {answer}")

    @server.tool(description="Asks for two things at once.", structured_output=False)
    async def multi_input() -> Any:
        return words(f"{await current.get().ask('Which name?', 'Which colour?')}")

    @server.tool(description="Asks before it becomes a task.", structured_output=False)
    async def test_tool_with_task(ctx: Context[Any]) -> Any:
        answer: Any = (ctx.input_responses or {}).get("user_name")
        if answer is None:
            schema = {"type": "object", "properties": {"name": {"type": "string"}}}
            params = ElicitRequestFormParams(message="What is your name?", requested_schema=schema)
            return InputRequiredResult(input_requests={"user_name": ElicitRequest(params=params)})
        await anyio.sleep(1)
        return words(f"Hello, {answer.content['name']}!")
