"""MCP resources: templates, agents, knowledge, patterns, plans, runs and results, all read-only."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ResourceNotFoundError
from mcp.types import Completion, CompletionArgument, CompletionContext, PromptReference, ResourceTemplateReference

from dispatch_mcp import errors, resources
from dispatch_mcp.core import model, patterns, templates
from dispatch_mcp.engine import dispatcher

MARKDOWN = "text/markdown"
JSON = "application/json"
MAX_COMPLETIONS = 100


@dataclass(slots=True)
class Current:
    """The dispatcher of the running lifespan, for the places where the SDK hands out no context."""

    app: dispatcher.Dispatcher | None = None

    def get(self) -> dispatcher.Dispatcher:
        """Returns the dispatcher. Raises ResourceNotFoundError before the lifespan began."""
        if self.app is None:
            raise ResourceNotFoundError("the server has not started")
        return self.app


def register(server: MCPServer[dispatcher.Dispatcher], current: Current, home: Path | None = None) -> None:
    """Adds every resource and resource template; files below `home` replace bundled ones."""
    _register_files(server, home)
    _register_catalogue(server, current)
    _register_book(server)


def _register_files(server: MCPServer[dispatcher.Dispatcher], home: Path | None) -> None:
    usable, _ = resources.all_templates(home)
    for entry in _templates(home):
        description = usable[entry.name].description
        _add_file(server, entry, f"dispatch://templates/{entry.name}", f"template-{entry.name}", description)
    for entry in resources.entries("knowledgebase", home):
        label = f"knowledge-{entry.name.replace('/', '-')}"
        _add_file(server, entry, f"dispatch://knowledge/{entry.name}", label, f"Knowledge document: {entry.name}")
    server.resource(
        "dispatch://patterns/decision-matrix",
        name="decision-matrix",
        description="Which of the six dispatch patterns, and which model, fits which situation.",
        mime_type=MARKDOWN,
    )(patterns.decision_matrix)


def _templates(home: Path | None) -> list[resources.Entry]:
    """Returns the templates in force: a broken one of the user's leaves the bundled one in place."""
    bundled = {entry.name: entry for entry in resources.entries("prompts")}
    chosen: list[resources.Entry] = []
    for entry in resources.entries("prompts", home):
        try:
            templates.read_template(resources.read(entry), entry.name)
            chosen.append(entry)
        except errors.ConfigError:
            chosen.extend([bundled[entry.name]] if entry.name in bundled else [])
    return chosen


def _add_file(
    server: MCPServer[dispatcher.Dispatcher], entry: resources.Entry, uri: str, label: str, description: str
) -> None:
    def content() -> str:
        return resources.read(entry)

    server.resource(uri, name=label, description=description, mime_type=MARKDOWN)(content)


def _register_catalogue(server: MCPServer[dispatcher.Dispatcher], current: Current) -> None:
    @server.resource(
        "dispatch://agents", name="agents", description="All agents: name, roster and purpose.", mime_type=JSON
    )
    def agents() -> str:
        known = current.get().catalog().agents
        return _json([{"name": agent.name, "roster": agent.roster, "for": agent.description} for agent in known])

    @server.resource(
        "dispatch://agents/{name}", name="agent", description="One agent's whole definition.", mime_type=JSON
    )
    async def agent(name: str, ctx: Context[dispatcher.Dispatcher]) -> str:
        known = app_of(ctx).catalog()
        with _found(f"agent {name!r}"):
            return _json(known.agent(name).public())


def _register_book(server: MCPServer[dispatcher.Dispatcher]) -> None:
    @server.resource("dispatch://plans/{plan_id}", name="plan", description="A plan, newest version.", mime_type=JSON)
    async def plan(plan_id: str, ctx: Context[dispatcher.Dispatcher]) -> str:
        app = app_of(ctx)
        with _found(f"plan {plan_id!r}"):
            found = await app.book.plan(plan_id, None, principal=app.principal)
            return found.model_dump_json(by_alias=True, exclude_defaults=True)

    @server.resource("dispatch://runs/{run_id}", name="run", description="Where a run stands.", mime_type=JSON)
    async def run(run_id: str, ctx: Context[dispatcher.Dispatcher]) -> str:
        with _found(f"run {run_id!r}"):
            return _json((await app_of(ctx).trace(run_id=run_id)).wire())

    @server.resource(
        "dispatch://runs/{run_id}/trace{?cursor}", name="trace", description="Events of a run, paged.", mime_type=JSON
    )
    async def trace(run_id: str, ctx: Context[dispatcher.Dispatcher], cursor: str = "") -> str:
        with _found(f"run {run_id!r}"):
            return _json((await app_of(ctx).trace(run_id=run_id, view="timeline", cursor=cursor)).wire())

    @server.resource(
        "dispatch://runs/{run_id}/tasks/{task_id}/prompt",
        name="task-prompt",
        description="The whole brief of a task that is out with the host.",
        mime_type=MARKDOWN,
    )
    async def task_prompt(run_id: str, task_id: str, ctx: Context[dispatcher.Dispatcher]) -> str:
        with _found(f"task {task_id!r} of run {run_id!r}"):
            return await app_of(ctx).brief(run_id, task_id)

    @server.resource(
        "dispatch://runs/{run_id}/tasks/{task_id}/result",
        name="task-result",
        description="The whole accepted result of a task.",
        mime_type=JSON,
    )
    async def task_result(run_id: str, task_id: str, ctx: Context[dispatcher.Dispatcher]) -> str:
        with _found(f"task {task_id!r} of run {run_id!r}"):
            return await app_of(ctx).result(run_id, task_id)


class _found:  # noqa: N801  # reads as a word at the call site
    """Turns our unknown handles into the SDK's, so that clients see -32602."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, raised: BaseException | None, _where: object) -> None:
        if isinstance(raised, errors.DispatchError):
            raise ResourceNotFoundError(f"{self._what}: {raised}") from raised


def app_of(ctx: Context[dispatcher.Dispatcher]) -> dispatcher.Dispatcher:
    """Returns the dispatcher of this connection."""
    return ctx.request_context.lifespan_context


def _json(value: model.Json) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def completer(
    current: Current, home: Path | None = None
) -> Callable[[PromptReference | ResourceTemplateReference, CompletionArgument, CompletionContext | None], object]:
    """Returns the completion handler: names of agents, plans, runs, patterns and rosters."""

    async def complete(
        _ref: PromptReference | ResourceTemplateReference,
        argument: CompletionArgument,
        _context: CompletionContext | None,
    ) -> Completion | None:
        known = await _known(current.get(), argument.name, home)
        return None if known is None else matching(known, argument.value)

    return complete


async def _known(app: dispatcher.Dispatcher, name: str, home: Path | None) -> Sequence[str] | None:
    """Returns the values that an argument of that name can have, or None."""
    agents = app.catalog().agents
    match name:
        case "run_id":
            found = [run.id for run in await app.book.runs(app.principal, limit=MAX_COMPLETIONS)]
        case "plan_id":
            found = [plan.id for plan in await app.book.plans(app.principal, limit=MAX_COMPLETIONS)]
        case "agent" | "name" | "specialist":
            found = [agent.name for agent in agents]
        case "roster":
            found = sorted({agent.roster for agent in agents})
        case "pattern":
            found = [pattern.name for pattern in patterns.PATTERNS]
        case "template":
            found = resources.names("prompts", home)
        case _:
            return None
    return found


def matching(known: Sequence[str], typed: str) -> Completion:
    """Returns the known values that start with what was typed, then those that contain it."""
    starts = [value for value in known if value.startswith(typed)]
    found = [*starts, *(value for value in known if typed in value and value not in starts)]
    return Completion(values=found[:MAX_COMPLETIONS], total=len(found), has_more=len(found) > MAX_COMPLETIONS)
