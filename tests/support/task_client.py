"""A client that can follow tasks: a call that became one is answered by what the task is, to be looked at by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from mcp import Client
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim
from mcp.types import CallToolResult, Request, RequestParams, Result
from pydantic import ConfigDict, Field

from dispatch_mcp.mcp_server import task_extension


class TaskHandle(Result):
    """What a call comes to that became a task."""

    model_config = ConfigDict(extra="allow")

    result_type: Literal["task"] = Field("task", alias="resultType")
    task_id: str = Field(alias="taskId")
    status: str


class Look(Result):
    """Any answer."""

    model_config = ConfigDict(extra="allow")


class TaskParams(RequestParams):
    """What requests about tasks carry."""

    task_id: str = Field(alias="taskId")
    input_responses: dict[str, Any] | None = Field(None, alias="inputResponses")


class TaskRequest(Request[TaskParams, str]):
    """A request about a task."""

    method: str
    params: TaskParams


class Following(ClientExtension):
    """Declares the extension."""

    identifier = task_extension.TASKS

    def claims(self) -> Sequence[ResultClaim[Any]]:
        async def resolve(handle: TaskHandle, _context: ClaimContext) -> CallToolResult:
            return CallToolResult(content=[], structured_content=handle.model_dump(by_alias=True))

        return [ResultClaim(result_type="task", model=TaskHandle, resolve=resolve)]


async def send(client: Client, method: str, task_id: str, answers: dict[str, Any] | None = None) -> dict[str, Any]:
    """Returns what a request about a task is answered with. Raises MCPError."""
    params = TaskParams(taskId=task_id, inputResponses=answers)
    answer = await client.session.send_request(TaskRequest(method=method, params=params), Look)
    return answer.model_dump(by_alias=True, exclude_none=True)
