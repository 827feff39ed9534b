"""Runs as tasks of the protocol: calls that start one which only the server carries on.

A task is the run itself, so that it outlives this process and any other can answer for it. Nothing is kept of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from mcp import MCPError
from mcp.server.context import CallNext, HandlerResult
from mcp.types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
)
from pydantic import ValidationError

from dispatch_mcp import errors, model
from dispatch_mcp.mcp_server import elicitation, lazy, task_extension, tool_arguments, tool_wording
from dispatch_mcp.model import WorkerKind
from dispatch_mcp.text import json_types

Respond = Callable[[str, lazy.Opening, tool_arguments.Args], Awaitable[CallToolResult]]
"""Returns what a tool answers."""

TOOLS: Final = frozenset({"dispatch", "review_council"})
_BETWEEN: Final = ":"


class RunTasks:
    """The runs of whose request it is, as tasks."""

    tools = TOOLS

    def __init__(self, respond: Respond) -> None:
        self._respond = respond
        self._declined: set[tuple[str, str]] = set()

    async def call(
        self,
        params: CallToolRequestParams,
        ctx: task_extension.Request,
        call_next: CallNext,
        *,
        follows: bool,
    ) -> HandlerResult | task_extension.ProtocolTask:
        """Returns what the call answers; a task instead where nobody but the server has anything to do.

        What the host has to do stands in the answer, and a run that is over or waits for a person has nothing to
        follow.
        """
        result = await call_next(ctx)
        answer = _answer(result)
        if not follows or not answer.get("run_id") or answer.get("assignments"):
            return result
        try:
            app = await _opening(ctx).get()
            view = await app.handles.look(str(answer["run_id"]))
        except errors.DispatchError:
            return result
        is_open = [task for task in view.tasks if task.state not in model.TASK_FINAL]
        if view.run.paused or any(task.worker is WorkerKind.HOST for task in is_open):
            return result
        state = await self.look(ctx, f"{params.name}{_BETWEEN}{view.run.id}")
        return result if state is None or state.status != "working" or await app.decisions(view.run.id) else state

    async def look(self, ctx: task_extension.Request, task_id: str) -> task_extension.ProtocolTask | None:
        """Returns how the run of a task is; None for what is no task or another principal's.

        Raises:
            MCPError: nothing can be read now.
        """
        tool, _, run_id = task_id.partition(_BETWEEN)
        if tool not in TOOLS:
            return None
        try:
            app = await _opening(ctx).get()
            record = await app.store.run(run_id, principal=app.principal)
            view = await app.handles.look(record.id)
            decisions = await app.decisions(record.id) if record.state not in model.RUN_FINAL else []
        except errors.UnknownHandle:
            return None
        except errors.DispatchError as trouble:
            raise _in_words(trouble) from trouble
        over = sum(task.state in model.TASK_FINAL for task in view.tasks)
        waits = [f"Waits for a person: {decision.task_id}." for decision in decisions[:1]]
        state = task_extension.ProtocolTask(
            id=task_id,
            status="working",
            created_at=view.run.created_at,
            updated_at=view.run.finished_at or max(view.run.updated_at, view.run.created_at),
            message=" ".join([f"{over} of {len(view.tasks)} tasks are over.", *waits]),
        )
        if view.run.state is model.RunState.CANCELLED:
            return dataclasses.replace(state, status="cancelled")
        if view.run.state in model.RUN_FINAL:
            return dataclasses.replace(state, status="completed", result=await self._result(ctx, tool, record.id))
        questions = {f"{decision.task_id}.{decision.attempt}": _question(decision.question) for decision in decisions}
        open_questions = {name: asks for name, asks in questions.items() if (record.id, name) not in self._declined}
        if open_questions and _can_ask(ctx):
            return dataclasses.replace(state, status="input_required", questions=open_questions)
        return state

    async def answer(self, ctx: task_extension.Request, task_id: str, answers: Mapping[str, model.Json]) -> None:
        """Records what a person said to decisions of the run; who declines, or says later, is not asked again here.

        Raises:
            MCPError: an answer is none, or cannot be recorded now.
        """
        opening, run_id = _opening(ctx), task_id.partition(_BETWEEN)[2]
        try:
            app = await opening.get()
            for decision in await app.decisions(run_id):
                name = f"{decision.task_id}.{decision.attempt}"
                if name not in answers:
                    continue
                verdict = _verdict(name, answers[name])
                if verdict is None or verdict.decision == "later":
                    self._declined.add((run_id, name))
                else:
                    await opening.loaders.tools().decide(app, run_id, decision.task_id, verdict)
        except errors.DispatchError as trouble:
            raise _in_words(trouble) from trouble

    async def cancel(self, ctx: task_extension.Request, task_id: str) -> None:
        """Cancels the run, unless it is over. Raises MCPError if it cannot be cancelled now."""
        run_id = task_id.partition(_BETWEEN)[2]
        try:
            app = await _opening(ctx).get()
            if (await app.store.run(run_id, principal=app.principal)).state not in model.RUN_FINAL:
                await app.steer(run_id, "cancel", "", "The client has cancelled its task.")
        except errors.DispatchError as trouble:
            raise _in_words(trouble) from trouble

    async def _result(self, ctx: task_extension.Request, tool: str, run_id: str) -> model.Json:
        """Returns what the call would answer now that the run is over: where it stands, or what the council decided."""
        is_review = tool == "review_council"
        args = tool_arguments.ReviewCouncil(run_id=run_id) if is_review else tool_arguments.GetTrace(run_id=run_id)
        answer = await self._respond(tool if is_review else "get_trace", _opening(ctx), args)
        return answer.model_dump(mode="json", by_alias=True, exclude_none=True)


def _in_words(trouble: errors.DispatchError) -> MCPError:
    return MCPError(INTERNAL_ERROR, trouble.full_text(tool_wording.words))


def _answer(result: HandlerResult) -> Mapping[str, model.Json]:
    """Returns the structured answer of a call that succeeded, else nothing."""
    if isinstance(result, CallToolResult) and not result.is_error and json_types.is_object(result.structured_content):
        return result.structured_content
    return {}


def _verdict(name: str, answer: model.Json) -> elicitation.ApprovalAnswer | None:
    """Returns what a person answered, None if they did not. Raises MCPError when that is no answer."""
    try:
        response = ElicitResult.model_validate(answer)
        return elicitation.ApprovalAnswer.model_validate(response.content) if response.action == "accept" else None
    except ValidationError as wrong:
        reason = wrong.errors()[0]["msg"]
        raise MCPError(INVALID_PARAMS, f"{name!r} is answered by {answer!r}: {reason}") from wrong


def _question(text: str) -> model.Json:
    schema = elicitation.ApprovalAnswer.model_json_schema()
    request = ElicitRequest(params=ElicitRequestFormParams(message=text, requested_schema=schema))
    return request.model_dump(mode="json", by_alias=True, exclude_none=True)


def _can_ask(ctx: task_extension.Request) -> bool:
    capabilities = ctx.session.client_capabilities
    return capabilities is not None and capabilities.elicitation is not None


def _opening(ctx: task_extension.Request) -> lazy.Opening:
    opening: lazy.Opening = ctx.lifespan_context
    return opening
