"""The MCP server: eight tools, prompts and resources over one dispatcher."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import io
import json
import logging
import sys
import urllib.parse
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
from mcp import MCPError
from mcp.server import CacheHint, stdio
from mcp.server.context import CallNext, HandlerResult, ServerMiddleware, ServerRequestContext
from mcp.server.extension import Extension
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError, UnexpectedToolError
from mcp.server.mcpserver.tools import Tool
from mcp.shared.message import SessionMessage
from mcp.types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    Completion,
    CompletionArgument,
    CompletionContext,
    Icon,
    InputRequiredResult,
    ListRootsResult,
    PromptReference,
    ResourceTemplateReference,
    SetLevelRequestParams,
    SubscribeRequestParams,
    TextContent,
    ToolAnnotations,
    UnsubscribeRequestParams,
)

import dispatch_mcp
from dispatch_mcp import errors, model
from dispatch_mcp.mcp_server import (
    change_news,
    client_logs,
    client_roots,
    descriptions,
    elicitation,
    lazy,
    run_app,
    run_tasks,
    stdio_messages,
    task_extension,
    tool_arguments,
    tool_wording,
    user_documents,
)
from dispatch_mcp.mcp_server.handshake import answer_keeper, early_answers
from dispatch_mcp.model import problems, records
from dispatch_mcp.process import computation
from dispatch_mcp.text import json_types, redaction

log = logging.getLogger(__name__)

LISTS_TTL_MS = 300_000
"""Milliseconds for which clients may keep our lists; they change only with the installation or the user's files."""
MAX_PROBLEMS = 50
"""Problems of a plan in one answer: more than a model mends at a time."""
ANSWER, APPLYING, RAISE, RAISING, ROOTS = "asked", "offered", "raise_offer", "raise_answer", "roots"
"""The parameters that carry what the user and the client answered; they are not part of the published schema."""
HAS_WORKSPACE = frozenset({"plan_dag", "dispatch", "review_council"})
"""Tools whose work has a workspace; a client is asked for its roots if there is none."""

LAST_ANSWERS_S = 2.0
"""Seconds that a client has to read the last answers once it has closed stdin; then the process ends itself."""

PROGRESS_S = 1.0
"""Seconds between two pieces of news about how far something is."""

WEBSITE = "https://github.com/dispatch-mcp/dispatch-mcp"
_PICTURE = (
    "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'><g fill='none' stroke='#2a7' stroke-width='2'>"
    "<path d='M2 8h4l4-5h4M6 8h8M6 8l4 5h4'/></g></svg>"
)
_OF_ADDRESSES = "/:='"
"""What may stand in an address as it is, and need not grow in every answer."""
ICON = Icon(
    src=f"data:image/svg+xml,{urllib.parse.quote(_PICTURE, safe=_OF_ADDRESSES)}",
    mime_type="image/svg+xml",
    sizes=["any"],
)
"""One way that becomes three."""

Companion = Callable[[lazy.Opening], Coroutine[Any, Any, None]]
"""What goes on beside the server for as long as it serves."""

READ_ONLY = frozenset({"route_task", "get_trace"})
DESTRUCTIVE = frozenset({"steer_run"})
"""It cancels runs, skips tasks, and applies changes once the user has agreed."""
OPEN_WORLD = frozenset({"dispatch", "report", "review_council", "steer_run"})
"""What may have models and commands start, which reach beyond this machine."""


class Server(lazy.Registry):
    """The SDK's server, with a stdin on which every line is answered (`stdio_messages`)."""

    redactor = redaction.Redactor()
    """What reads the answers to lines that are no messages, and the SDK's own refusals."""

    def serve_earlier_versions(self, news: change_news.ChangeNews, logs: client_logs.ClientLogs) -> None:
        """Serves what the newest version of the protocol has no more: subscriptions and log levels of a connection."""
        # The SDK's server has no parameters for them.
        add = self._lowlevel_server.add_request_handler
        add("resources/subscribe", SubscribeRequestParams, news.subscribe)
        add("resources/unsubscribe", UnsubscribeRequestParams, news.unsubscribe)
        add("logging/setLevel", SetLevelRequestParams, logs.set_level)

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[lazy.Opening, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        """Calls a tool; of what a client answers to a question in a wrong form, the SDK's words name our functions.

        A client that refuses to put a question to its user gets what one gets that cannot ask.
        """
        try:
            return await super().call_tool(name, arguments, context)
        except UnexpectedToolError:
            raise
        except MCPError as refusal:  # our tools raise none; clients of the newer protocol are asked in an answer
            if name not in tool_arguments.TOOLS or context is None or not elicitation.asks_meanwhile(context):
                raise
            log.info("The client does not put a question to its user: %s", refusal.error.message[:200])
            with elicitation.unasked():
                return await super().call_tool(name, arguments, context)
        except ToolError as wrong:  # our tools raise none, and their arguments are checked before
            if name not in tool_arguments.TOOLS:
                raise
            raise ToolError(elicitation.unreadable(name)) from wrong

    async def run_stdio_async(self, beginning: early_answers.Beginning | None = None) -> None:
        """Serves on stdin and stdout until the client closes one of them, and not much longer.

        `beginning` is the session, if it has begun already.
        """
        try:
            await self._serve_stdio(beginning or early_answers.Beginning())
        except* BrokenPipeError:
            log.info("The client has closed the pipe that it read from.")

    async def _serve_stdio(self, beginning: early_answers.Beginning) -> None:
        send, inbox = anyio.create_memory_object_stream[SessionMessage | Exception]()
        empty = anyio.wrap_file(io.StringIO())
        with beginning.lines() as lines:
            async with (
                stdio.stdio_server(stdin=empty) as (no_messages, outbox),
                no_messages,
                outbox.clone() as answers,
                anyio.create_task_group() as group,
            ):
                keeper = answer_keeper.AnswerKeeper(beginning, outbox, self.redactor)
                group.start_soon(stdio_messages.relay, lines, send, answers.send, keeper.hear, self.redactor.redact)
                try:
                    options = self._lowlevel_server.create_initialization_options()
                    await self._lowlevel_server.run(inbox, keeper, options)
                finally:
                    stdio_messages.exit_within(LAST_ANSWERS_S)


class StrictArguments(Extension):
    """Refuses a call whose arguments are not what the tool takes, with the value and a hint."""

    identifier = "io.github.dispatch-mcp/strict-arguments"

    async def intercept_tool_call(
        self, params: CallToolRequestParams, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        """Checks before the tool is called; unknown tools are the SDK's to name."""
        if params.name in tool_arguments.TOOLS:
            try:
                await computation.of_json(functools.partial(tool_arguments.check, params.name), params.arguments or {})
            except errors.DispatchError as refusal:
                return refused(refusal)
        return await call_next(ctx)


def make_server(
    loaders: lazy.Loaders,
    *,
    home: Path | None = None,
    redactor: redaction.Redactor = redaction.Redactor(),
    companions: Sequence[Companion] = (),
    tasks: Sequence[task_extension.TaskSource] = (),
) -> Server:
    """Returns the server; its dispatcher is opened in each lifespan, at the first call or soon after the start.

    `home` holds the user's own templates and documents, which replace bundled ones; `redactor` reads every answer.
    `companions` go on beside the server for as long as it serves; `tasks` are sources of tasks beside its runs.
    """
    current: list[lazy.Opening] = []

    @asynccontextmanager
    async def lifespan(_server: MCPServer[lazy.Opening]) -> AsyncGenerator[lazy.Opening]:
        async with anyio.create_task_group() as group:
            opening = lazy.Opening(loaders, group=group)
            current[:] = [opening]
            group.start_soon(opening.keep)
            try:
                async with anyio.create_task_group() as beside:
                    for companion in (news.watch, logs.send, *companions):
                        beside.start_soon(companion, opening)
                    yield opening
                    beside.cancel_scope.cancel()
            finally:
                opening.end()

    async def mark(opening: lazy.Opening, uri: str) -> str:
        return await loaders.documents().mark(opening, uri, home)

    async def complete(
        ref: PromptReference | ResourceTemplateReference,
        argument: CompletionArgument,
        context: CompletionContext | None,
    ) -> Completion | None:
        earlier = (context.arguments if context else None) or {}
        return await loaders.documents().complete(current[-1], ref, argument, earlier, home)

    documents = user_documents.UserDocuments(loaders, lambda: current[-1], home, lambda: server)
    news = change_news.ChangeNews(mark, documents.renew)
    logs = client_logs.ClientLogs(redactor)
    hint = CacheHint(ttl_ms=LISTS_TTL_MS, scope="public")
    lists = ("tools/list", "prompts/list", "resources/list", "resources/templates/list", "server/discover")
    with without_rich():
        server = Server(
            "dispatch",
            title="dispatch-mcp",
            description=descriptions.ABOUT,
            website_url=WEBSITE,
            icons=[ICON],
            version=dispatch_mcp.__version__,
            instructions=descriptions.INSTRUCTIONS,
            tools=[tool(name) for name in tool_arguments.TOOLS],
            lifespan=lifespan,
            log_level="WARNING",
            extensions=[
                StrictArguments(),
                task_extension.Tasks([*tasks, run_tasks.RunTasks(respond)]),
                run_app.RunApp(),
            ],
            middleware=[
                for_whose_request,
                logs.attend,
                news.attend,
                documents.attend,
                answers_without_secrets(redactor),
                prompt_errors,
                drop_left_out,
            ],
            cache_hints=dict.fromkeys(lists, hint),
            subscriptions=news.streams,
        )
    server.redactor = redactor
    server.completion()(complete)
    server.serve_earlier_versions(news, logs)
    return server


@contextmanager
def without_rich() -> Generator[None]:
    """Hides rich, if it is not loaded yet: the SDK would load it at every start for tracebacks on stderr."""
    if "rich" in sys.modules:
        yield
        return
    sys.modules["rich"] = None  # type: ignore[assignment]  # the import system reads None as "not there"
    try:
        yield
    finally:
        del sys.modules["rich"]


PRINCIPAL = "principal"
"""Under which name the scope of an HTTP request says whose it is."""


async def for_whose_request(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """Answers a request for the principal whose it is: over HTTP that of its token, else the user."""
    request: Any = ctx.request
    scope: Mapping[str, Any] = getattr(request, "scope", {})
    token = lazy.principal.set(scope.get(PRINCIPAL, records.LOCAL))
    try:
        return await call_next(ctx)
    finally:
        lazy.principal.reset(token)


async def prompt_errors(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """An unknown prompt or a missing argument is the caller's error (-32602), not an internal one."""
    try:
        return await call_next(ctx)
    except ValueError as wrong:
        if ctx.method == "prompts/get":
            raise MCPError(INVALID_PARAMS, str(wrong)) from wrong
        raise


async def drop_left_out(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """Takes out of a tool call the arguments that were left out: some clients send null or "" for each of them."""
    params = ctx.params or {}
    tool_name, raw = str(params.get("name")), params.get("arguments")
    if ctx.method == "tools/call" and tool_name in tool_arguments.TOOLS and json_types.is_object(raw):
        arguments = tool_arguments.without_left_out(tool_name, raw)
        ctx = dataclasses.replace(ctx, params={**params, "arguments": arguments})
    return await call_next(ctx)


def answers_without_secrets(redactor: redaction.Redactor) -> ServerMiddleware[Any]:
    """Returns the middleware that takes secrets out of what tools, resources and prompts answer (S10).

    An error may repeat anything of its request, so those of all methods are read.
    """

    async def redact(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        try:
            result = await call_next(ctx)
        except MCPError as wrong:
            clean = await computation.of_json(redactor.redact_json, [wrong.error.message, wrong.error.data])
            raise MCPError(wrong.error.code, *clean) from wrong
        if ctx.method not in ("tools/call", "resources/read", "prompts/get", "tasks/get") or result is None:
            return result
        answer = (
            result if isinstance(result, dict) else result.model_dump(mode="json", by_alias=True, exclude_none=True)
        )
        clean = await computation.of_json(redactor.redact_json, answer)
        return result if clean == answer else clean

    return redact


@functools.cache
def tool(name: str) -> Tool:
    """Returns the tool, the same for all servers; its schema is its arguments' model without what only costs tokens."""
    arguments_type = tool_arguments.TOOLS[name]

    async def call(*, ctx: Context[lazy.Opening], **arguments: model.Json) -> CallToolResult:
        answer, apply_answer = arguments.pop(ANSWER, None), arguments.pop(APPLYING, None)
        offer, raising = arguments.pop(RAISE, None), arguments.pop(RAISING, None)
        roots: model.Json = arguments.pop(ROOTS, None)
        args = arguments_type.model_validate(arguments)
        opening: lazy.Opening = ctx.request_context.lifespan_context
        if isinstance(roots, ListRootsResult) and opening.wants_roots:
            await opening.use_roots([str(root.uri) for root in roots.roots])
        if offer is not None:
            opening.answered(offer.subject)
        word = elicitation.word(offer, raising)
        response = respond(name, opening, args, apply_answer if _applies(args) else answer, word)
        return await _with_progress(ctx, opening, response, _wait_s(args))

    _sign(call, arguments_type)
    definition = Tool.from_function(
        call,
        name=name,
        title=descriptions.TITLES[name],
        description=descriptions.DESCRIPTIONS[name],
        annotations=ToolAnnotations(
            read_only_hint=name in READ_ONLY,
            destructive_hint=name in DESTRUCTIVE,
            idempotent_hint=name in READ_ONLY or name in ("dispatch", "report"),
            open_world_hint=name in OPEN_WORLD,
        ),
        meta={
            "anthropic/searchHint": descriptions.SEARCH_HINTS[name],
            **(run_app.TOOL_META if name in run_app.TOOLS else {}),
        },
        structured_output=False,
    )
    return definition.model_copy(update={"parameters": tool_arguments.schema(arguments_type)})


async def _with_progress(
    ctx: Context[lazy.Opening], opening: lazy.Opening, answer: Coroutine[Any, Any, CallToolResult], wait_s: float
) -> CallToolResult:
    """Returns the answer; tells a client that asks for progress what it waits for, for at most `wait_s` or unknown."""
    faults, results = list[Exception](), list[CallToolResult]()
    async with anyio.create_task_group() as group:
        if wait_s:
            group.start_soon(_tell_waiting, ctx, opening, wait_s)
        else:
            group.start_soon(_tell_progress, ctx, opening)
        try:
            results.append(await answer)
        except Exception as fault:  # raised below, as it is: the group would wrap it
            faults.append(fault)
        group.cancel_scope.cancel()
    if faults:
        raise faults[0]
    return results[0]


async def _tell_waiting(ctx: Context[lazy.Opening], opening: lazy.Opening, wait_s: float) -> None:
    """Tells a client that a call which waits for news is still waiting, and for how long it may.

    How far the search is stands in the words: the protocol wants one figure that only rises.
    """
    began = anyio.current_time()
    while True:
        await anyio.sleep(PROGRESS_S)
        try:
            share = (await opening.get()).search_progress()
            words = f"Reading the workspace: {share[0]} of {share[1]} files" if share else "Waiting for news of the run"
            await ctx.report_progress(min(wait_s, anyio.current_time() - began), wait_s, words)
        except Exception:
            log.debug("nobody can be told that a call waits", exc_info=True)
            return


async def _tell_progress(ctx: Context[lazy.Opening], opening: lazy.Opening) -> None:
    last = -1
    while True:
        await anyio.sleep(PROGRESS_S)
        try:
            share = (await opening.get()).search_progress()
            if share is not None and share[0] > last:
                last = share[0]
                await ctx.report_progress(*share, "Reading the workspace")
        except Exception:
            log.debug("nobody can be told how far the search is", exc_info=True)
            return


def _sign(call: Callable[..., Awaitable[CallToolResult]], arguments_type: type[tool_arguments.Args]) -> None:
    """Gives `call` the signature of the arguments: the SDK reads names, types and defaults off it."""
    context = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=Context[lazy.Opening])
    fields = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=field.annotation,
            default=inspect.Parameter.empty if field.is_required() else field.get_default(),
        )
        for name, field in arguments_type.model_fields.items()
    ]
    if issubclass(arguments_type, tool_arguments.Dispatch):
        fields.append(inspect.Parameter(ANSWER, inspect.Parameter.KEYWORD_ONLY, annotation=elicitation.APPROVAL))
        fields.append(inspect.Parameter(RAISE, inspect.Parameter.KEYWORD_ONLY, annotation=elicitation.RAISE))
        fields.append(inspect.Parameter(RAISING, inspect.Parameter.KEYWORD_ONLY, annotation=elicitation.RAISING))
    if issubclass(arguments_type, tool_arguments.SteerRun):
        fields.append(inspect.Parameter(ANSWER, inspect.Parameter.KEYWORD_ONLY, annotation=elicitation.WAIVER))
        fields.append(inspect.Parameter(APPLYING, inspect.Parameter.KEYWORD_ONLY, annotation=elicitation.APPLYING))
    if any(arguments_type is tool_arguments.TOOLS[name] for name in HAS_WORKSPACE):
        fields.append(inspect.Parameter(ROOTS, inspect.Parameter.KEYWORD_ONLY, annotation=client_roots.ROOTS))
    signature = inspect.Signature([*fields, context], return_annotation=CallToolResult)
    setattr(call, "__signature__", signature)  # noqa: B010  # functions declare no such attribute
    call.__annotations__ = {name: parameter.annotation for name, parameter in signature.parameters.items()}


def _wait_s(args: tool_arguments.Args) -> float:
    """Returns how long a call may wait for news, in seconds."""
    return args.wait_s or 0.0 if isinstance(args, tool_arguments.GetTrace) else 0.0


def _applies(args: tool_arguments.Args) -> bool:
    return isinstance(args, tool_arguments.SteerRun) and args.action == "apply"


async def respond(
    name: str,
    opening: lazy.Opening,
    args: tool_arguments.Args,
    answer: elicitation.UserAnswer = None,
    word: records.PersonWord | None = None,
) -> CallToolResult:
    """Returns the tool's answer, or its refusal as a tool error that a model can act on.

    `answer` is the user's, and `word` is theirs on a raise of a run's ceilings.
    """
    try:
        app = await opening.get()
        app.expect_work()
        return tool_result(await opening.loaders.tools().call(name, app, args, elicitation.decision(answer), word))
    except errors.StoreMoved as moved:
        opening.leave()
        return refused(moved)
    except errors.DispatchError as refusal:
        return refused(refusal)


def tool_result(answer: dict[str, model.Json], *, is_error: bool = False) -> CallToolResult:
    """Returns an answer in both forms: structured, and as text for clients that read only text."""
    text = json.dumps(answer, ensure_ascii=False, separators=(",", ":"))
    return CallToolResult(content=[TextContent(type="text", text=text)], structured_content=answer, is_error=is_error)


def refused(refusal: errors.DispatchError) -> CallToolResult:
    """Returns a tool error: a sentence with the value and a hint; for a plan all its problems."""
    text = refusal.full_text(tool_wording.words)
    if isinstance(refusal, errors.StaleVersion) and refusal.version:
        answer: dict[str, model.Json] = {"ok": False, "code": "base_version_stale", "version": refusal.version}
        return tool_result({**answer, "changes": dict(refusal.changes), "next": text}, is_error=True)
    if not isinstance(refusal, errors.PlanRejected):
        return CallToolResult(content=[TextContent(type="text", text=text)], is_error=True)
    rows = [
        problem.model_dump(mode="json", exclude_defaults=True)
        for problem in refusal.problems
        if isinstance(problem, problems.Problem)
    ]
    return tool_result({"ok": False, "errors": rows[:MAX_PROBLEMS], "next": text}, is_error=True)
