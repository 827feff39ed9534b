"""The MCP face: eight tools, prompts and resources over one dispatcher."""

from __future__ import annotations

import inspect
import json
import logging
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from mcp import MCPError
from mcp.server import CacheHint
from mcp.server.context import CallNext, HandlerResult, ServerMiddleware, ServerRequestContext
from mcp.server.extension import Extension
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.tools import Tool
from mcp.types import INVALID_PARAMS, CallToolRequestParams, CallToolResult, TextContent, ToolAnnotations

import dispatch_mcp
from dispatch_mcp import errors
from dispatch_mcp.core import model, problems, redaction, routing
from dispatch_mcp.engine import dispatcher
from dispatch_mcp.faces import arguments, mcp_prompts, mcp_resources, plans, words

log = logging.getLogger(__name__)

OpenDispatcher = Callable[[], AbstractAsyncContextManager[dispatcher.Dispatcher]]
Handler = Callable[[dispatcher.Dispatcher, Any], Awaitable[dict[str, model.Json]]]

LISTS_TTL_MS = 300_000
READ_ONLY = frozenset({"route_task", "get_trace"})
UNTIL_THE_COUNCIL = (
    "review_council is not part of this version: nothing was reviewed and nothing has passed. "
    "Review with the `review` prompt and your own subagents until it arrives."
)


async def route_task(app: dispatcher.Dispatcher, args: arguments.RouteTask) -> dict[str, model.Json]:
    """Answers who should do a task."""
    hints = routing.Hints(urgency=args.urgency, files=tuple(args.files))
    return plans.route_answer(app.route(args.task, roster=args.roster, hints=hints))


async def plan_dag(app: dispatcher.Dispatcher, args: arguments.PlanDag) -> dict[str, model.Json]:
    """Answers with a checked plan, or with everything that is wrong with it."""
    if args.edits or args.plan_id:
        planned = await app.replan(args.plan_id, args.base_version, args.edits)
    elif args.tasks:
        planned = await app.plan(
            args.tasks, request=args.request, max_parallel=args.max_parallel, on_conflict=args.on_conflict
        )
    else:
        return plans.undivided(args.request, app.route(args.request) if args.request.strip() else None)
    return plans.plan_answer(planned, diagram=args.diagram)


async def dispatch(app: dispatcher.Dispatcher, args: arguments.Dispatch) -> dict[str, model.Json]:
    """Starts or continues a run."""
    progress = await app.dispatch(
        plan_id=args.plan_id,
        run_id=args.run_id,
        worker=args.worker,
        request_key=args.request_key,
        dry_run=args.dry_run,
        fresh=args.fresh,
        limits=plans.read_limits(args.limits),
    )
    return progress.wire()


async def report(app: dispatcher.Dispatcher, args: arguments.Report) -> dict[str, model.Json]:
    """Accepts results of the host."""
    return (await app.report(args.run_id, args.results)).wire()


async def review_council(_app: dispatcher.Dispatcher, _args: arguments.ReviewCouncil) -> dict[str, model.Json]:
    """Says plainly that nothing was reviewed."""
    raise errors.NotAllowed(UNTIL_THE_COUNCIL)


async def get_trace(app: dispatcher.Dispatcher, args: arguments.GetTrace) -> dict[str, model.Json]:
    """Answers with a view of a run."""
    trace = await app.trace(
        run_id=args.run_id, task_id=args.task_id, view=args.view, cursor=args.cursor, wait_s=args.wait_s
    )
    return trace.wire()


async def steer_run(app: dispatcher.Dispatcher, args: arguments.SteerRun) -> dict[str, model.Json]:
    """Steers a run."""
    return (await app.steer(args.run_id, args.action, args.task_id, args.reason)).wire()


async def message_agents(app: dispatcher.Dispatcher, args: arguments.MessageAgents) -> dict[str, model.Json]:
    """Sends a message or reads an inbox."""
    if args.action == "inbox":
        return (await app.inbox(args.run_id, args.recipient)).wire()
    if not args.text.strip():
        raise errors.InputError("The message has no text.", hint="Say in a sentence what the recipient should know.")
    message = model.Message(
        run_id=args.run_id, sender=args.sender, recipient=args.recipient, kind=args.kind, text=args.text
    )
    return (await app.send(message)).wire()


HANDLERS: dict[str, Handler] = {
    "route_task": route_task,
    "plan_dag": plan_dag,
    "dispatch": dispatch,
    "report": report,
    "review_council": review_council,
    "get_trace": get_trace,
    "steer_run": steer_run,
    "message_agents": message_agents,
}


class StrictArguments(Extension):
    """Refuses a call whose arguments are not what the tool takes, with the value and a hint."""

    identifier = "io.github.dispatch-mcp/strict-arguments"

    async def intercept_tool_call(
        self, params: CallToolRequestParams, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        """Checks before the tool is called; unknown tools are the SDK's to name."""
        if params.name in arguments.TOOLS:
            try:
                arguments.check(params.name, params.arguments or {})
            except errors.DispatchError as refusal:
                return refused(refusal)
        return await call_next(ctx)


def make_server(
    open_dispatcher: OpenDispatcher,
    *,
    home: Path | None = None,
    redactor: redaction.Redactor = redaction.Redactor(),
) -> MCPServer[dispatcher.Dispatcher]:
    """Returns the server; `open_dispatcher` is entered once for each lifespan.

    `home` holds the user's own templates and documents, which replace bundled ones; `redactor` reads every answer.
    """
    current = mcp_resources.Current()

    @asynccontextmanager
    async def lifespan(_server: MCPServer[dispatcher.Dispatcher]) -> AsyncGenerator[dispatcher.Dispatcher]:
        async with open_dispatcher() as app:
            current.app = app
            yield app

    def register() -> None:
        mcp_resources.register(server, current, home)
        mcp_prompts.register(server, home)

    hint = CacheHint(ttl_ms=LISTS_TTL_MS, scope="public")
    lists = ("tools/list", "prompts/list", "resources/list", "resources/templates/list", "server/discover")
    with without_rich():
        server: MCPServer[dispatcher.Dispatcher] = MCPServer(
            "dispatch",
            title="dispatch-mcp",
            version=dispatch_mcp.__version__,
            instructions=words.INSTRUCTIONS,
            tools=[tool(name, handler) for name, handler in HANDLERS.items()],
            lifespan=lifespan,
            log_level="WARNING",
            extensions=[StrictArguments()],
            middleware=[once_asked_for(register), prompt_errors, answers_without_secrets(redactor)],
            cache_hints=dict.fromkeys(lists, hint),
        )
    server.completion()(mcp_resources.completer(current, home))
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


def once_asked_for(register: Callable[[], None]) -> ServerMiddleware[Any]:
    """Returns a middleware that registers prompts and resources when the first of them is asked for.

    Reading some fifty files takes as long as the rest of our start, and many sessions never ask.
    """
    registered = False

    async def before(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        nonlocal registered
        if not registered and ctx.method.startswith(("prompts/", "resources/")):
            registered = True
            register()
        return await call_next(ctx)

    return before


async def prompt_errors(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """An unknown prompt or a missing argument is the caller's error (-32602), not an internal one."""
    try:
        return await call_next(ctx)
    except ValueError as wrong:
        if ctx.method == "prompts/get":
            raise MCPError(INVALID_PARAMS, str(wrong)) from wrong
        raise


def answers_without_secrets(redactor: redaction.Redactor) -> ServerMiddleware[Any]:
    """Returns the middleware that takes secrets out of what tools, resources and prompts answer (S10)."""

    async def redact(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        result = await call_next(ctx)
        if ctx.method not in ("tools/call", "resources/read", "prompts/get") or result is None:
            return result
        given = result if isinstance(result, dict) else result.model_dump(mode="json", by_alias=True, exclude_none=True)
        clean = redactor.redact_json(given)
        return result if clean == given else clean

    return redact


def tool(name: str, handler: Handler) -> Tool:
    """Returns the tool; its schema is that of its arguments' model without what only costs tokens."""
    expected = arguments.TOOLS[name]

    async def call(*, ctx: Context[dispatcher.Dispatcher], **given: model.Json) -> CallToolResult:
        app = ctx.request_context.lifespan_context
        return await answered(handler, app, expected.model_validate(given))

    _sign(call, expected)
    made = Tool.from_function(
        call,
        name=name,
        title=words.TITLES[name],
        description=words.DESCRIPTIONS[name],
        annotations=ToolAnnotations(
            read_only_hint=name in READ_ONLY,
            destructive_hint=False,
            idempotent_hint=name in READ_ONLY or name in ("dispatch", "report"),
            open_world_hint=False,
        ),
        meta=_meta(name),
        structured_output=False,
    )
    return made.model_copy(update={"parameters": arguments.schema(expected)})


def _meta(name: str) -> dict[str, Any]:
    if name == "route_task":
        return {"anthropic/alwaysLoad": True}
    return {"anthropic/searchHint": words.SEARCH_HINTS[name]}


def _sign(call: Callable[..., Awaitable[CallToolResult]], expected: type[arguments.Args]) -> None:
    """Gives `call` the signature of the arguments: the SDK reads names, types and defaults off it."""
    context = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=Context[dispatcher.Dispatcher])
    fields = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=field.annotation,
            default=inspect.Parameter.empty if field.is_required() else field.get_default(),
        )
        for name, field in expected.model_fields.items()
    ]
    signature = inspect.Signature([*fields, context], return_annotation=CallToolResult)
    setattr(call, "__signature__", signature)  # noqa: B010  # functions declare no such attribute
    call.__annotations__ = {name: parameter.annotation for name, parameter in signature.parameters.items()}


async def answered(handler: Handler, app: dispatcher.Dispatcher, args: arguments.Args) -> CallToolResult:
    """Returns the handler's answer, or its refusal as a tool error that a model can act on."""
    try:
        return told(await handler(app, args))
    except errors.DispatchError as refusal:
        return refused(refusal)


def told(answer: dict[str, model.Json], *, is_error: bool = False) -> CallToolResult:
    """Returns an answer in both forms: structured, and as text for clients that read only text."""
    text = json.dumps(answer, ensure_ascii=False, separators=(",", ":"))
    return CallToolResult(content=[TextContent(type="text", text=text)], structured_content=answer, is_error=is_error)


def refused(refusal: errors.DispatchError) -> CallToolResult:
    """Returns a tool error: a sentence with the value and a hint; for a plan all its problems."""
    if not isinstance(refusal, errors.PlanRejected):
        return CallToolResult(content=[TextContent(type="text", text=str(refusal))], is_error=True)
    found = [
        problem.model_dump(mode="json", exclude_defaults=True)
        for problem in refusal.problems
        if isinstance(problem, problems.Problem)
    ]
    return told({"ok": False, "errors": found[: plans.MAX_PROBLEMS], "next": str(refusal)}, is_error=True)
