"""MCP resources: templates, agents, knowledge, patterns, plans, runs and results, all read-only."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ResourceNotFoundError
from mcp.types import Completion, CompletionArgument, PromptReference, ResourceTemplateReference

from dispatch_mcp import __version__, errors, model
from dispatch_mcp.agents import bundled_files, templates
from dispatch_mcp.mcp_server import lazy, run_app, tool_wording
from dispatch_mcp.model import short_ids
from dispatch_mcp.pages import live_pictures, run_page
from dispatch_mcp.planning.drafts import patterns
from dispatch_mcp.process import computation
from dispatch_mcp.service import answers, dispatcher
from dispatch_mcp.service.run_views import run_metadata
from dispatch_mcp.text import redaction

MARKDOWN = "text/markdown"
JSON = "application/json"
PICTURE_WAIT_S = 20.0
"""Seconds that an app waits for news of a run: hosts give calls up after thirty."""

_NUMBER = re.compile("-?[0-9]{1,15}")

MAX_COMPLETIONS = 100
"""Values in one answer: the most that MCP allows."""


TEMPLATES = frozenset(
    {
        "dispatch://agents/{name}",
        "dispatch://agents/{name}/card",
        "dispatch://plans/{plan_id}",
        "dispatch://runs/{run_id}",
        "dispatch://runs/{run_id}/trace{?cursor}",
        "dispatch://runs/{run_id}/messages",
        "dispatch://runs/{run_id}/picture{?after,revision}",
        "dispatch://runs/{run_id}/tasks/{task_id}/prompt",
        "dispatch://runs/{run_id}/tasks/{task_id}/result",
    }
)
"""The resources that take arguments."""
_PARAMETER = re.compile(r"(?<=[{?,])(\w+)(?=[},])")


class _Words(NamedTuple):
    """What a resource is called, for programs and for people, and what it is."""

    name: str
    title: str
    description: str


Current = Callable[[], lazy.Opening]
"""The dispatcher of the running lifespan, for the places where the SDK hands out no context."""


def register(server: lazy.Registry, current: Current, home: Path | None = None) -> None:
    """Adds every resource and resource template; files below `home` replace bundled ones."""
    register_files(server, home)
    _register_app(server)
    _register_catalogue(server, current)
    _register_store(server)


def register_files(server: lazy.Registry, home: Path | None) -> None:
    """Adds the templates and knowledge documents, and what is written about patterns."""
    usable, _ = bundled_files.all_templates(home)
    for file in _templates(home):
        template = usable[file.name]
        words = _Words(f"template-{file.name}", template.title, template.description)
        _add_file(server, file, f"dispatch://templates/{file.name}", words)
    for file in bundled_files.entries("knowledgebase", home):
        label = f"knowledge-{file.name.replace('/', '-')}"
        words = _Words(label, file.name, f"Knowledge document: {file.name}")
        _add_file(server, file, f"dispatch://knowledge/{file.name}", words)
    about = "Which of the six dispatch patterns, and which model, fits which situation."
    words = _Words("decision-matrix", "Which pattern fits", about)
    _at(server, "dispatch://patterns/decision-matrix", words, MARKDOWN)(patterns.decision_matrix)
    server.sizes["dispatch://patterns/decision-matrix"] = len(patterns.decision_matrix().encode())


def _templates(home: Path | None) -> list[bundled_files.Entry]:
    """Returns the templates in force: a broken one of the user's leaves the bundled one in place."""
    originals = {file.name: file for file in bundled_files.entries("prompts")}
    entries: list[bundled_files.Entry] = []
    for file in bundled_files.entries("prompts", home):
        try:
            templates.read_template(bundled_files.read(file), file.name)
            entries.append(file)
        except errors.ConfigError:
            entries.extend([originals[file.name]] if file.name in originals else [])
    return entries


def _add_file(server: lazy.Registry, file: bundled_files.Entry, uri: str, words: _Words) -> None:
    def content() -> str:
        return bundled_files.read(file)

    _at(server, uri, words, MARKDOWN)(content)
    server.sizes[uri] = len(content().encode())


def _at(
    server: MCPServer[lazy.Opening], uri: str, words: _Words, mime_type: str = JSON
) -> Callable[[Callable[..., object]], Callable[..., object]]:
    """Returns what offers the answer of a function as the resource at an address, or at all of a form."""
    return server.resource(uri, name=words.name, title=words.title, description=words.description, mime_type=mime_type)


def _register_app(server: MCPServer[lazy.Opening]) -> None:
    @server.resource(
        run_app.ADDRESS,
        name="run-app",
        title="A run to look at",
        description="A run as an app, for hosts that show one.",
        mime_type=run_app.MIME_TYPE,
        meta=run_app.RESOURCE_META,
    )
    async def app_page() -> str:
        return await computation.apart(run_page.html, None, "app")

    @_at(
        server,
        "dispatch://runs/{run_id}/picture{?after,revision}",
        _Words(
            "run-picture",
            "What the app of a run shows",
            "A run as its app draws it; waits a moment for news behind an event and a revision.",
        ),
    )
    async def picture(run_id: str, ctx: Context[lazy.Opening], after: str = "0", revision: str = "-1") -> str:
        with _Lookup(f"run {run_id!r}"):
            position = _number("after", after), _number("revision", revision)
            # What is secret in it is taken out with every other answer.
            pictures = live_pictures.LivePictures(lambda: app_of(ctx), tool_wording.words, redaction.Redactor())
            return _json(await pictures.run(run_id, *position, wait_s=PICTURE_WAIT_S))


def _register_catalogue(server: MCPServer[lazy.Opening], current: Current) -> None:
    @_at(server, "dispatch://agents", _Words("agents", "All agents", "All agents: name, roster and purpose."))
    async def agents() -> str:
        with _Lookup("agents"):
            everybody = (await current().get()).catalog().agents
        return _json([{"name": agent.name, "roster": agent.roster, "for": agent.description} for agent in everybody])

    @_at(server, "dispatch://agents/{name}", _Words("agent", "One agent", "One agent's whole definition."))
    async def agent(name: str, ctx: Context[lazy.Opening]) -> str:
        with _Lookup(f"agent {name!r}"):
            return _json((await app_of(ctx)).catalog().agent(name).public())

    @_at(
        server,
        "dispatch://agents/{name}/card",
        _Words("agent-card", "A2A card of an agent", "One agent's A2A card: skills, and what it does now."),
    )
    async def agent_card(name: str, ctx: Context[lazy.Opening]) -> str:
        with _Lookup(f"agent {name!r}"):
            return _json(await (await app_of(ctx)).card(name, __version__))


def _register_store(server: MCPServer[lazy.Opening]) -> None:
    @_at(server, "dispatch://plans/{plan_id}", _Words("plan", "One plan", "A plan, newest version."))
    async def plan(plan_id: str, ctx: Context[lazy.Opening]) -> str:
        with _Lookup(f"plan {plan_id!r}"):
            app = await app_of(ctx)
            stored_plan = await app.store.plan(await app.handles.plan_id(plan_id), None, principal=app.principal)
            return stored_plan.model_dump_json(by_alias=True, exclude_defaults=True)

    @_at(server, "dispatch://runs/{run_id}", _Words("run", "Where a run stands", "Where a run stands."))
    async def run(run_id: str, ctx: Context[lazy.Opening]) -> str:
        with _Lookup(f"run {run_id!r}"):
            return _look(await (await app_of(ctx)).trace(run_id=run_id))

    @_at(
        server, "dispatch://runs/{run_id}/trace{?cursor}", _Words("trace", "Events of a run", "Events of a run, paged.")
    )
    async def trace(run_id: str, ctx: Context[lazy.Opening], cursor: str = "") -> str:
        with _Lookup(f"run {run_id!r}"):
            return _look(await (await app_of(ctx)).trace(run_id=run_id, view="timeline", cursor=cursor))

    @_at(
        server,
        "dispatch://runs/{run_id}/messages",
        _Words("messages", "Messages of a run", "All notes of a run, whole."),
    )
    async def messages(run_id: str, ctx: Context[lazy.Opening]) -> str:
        with _Lookup(f"run {run_id!r}"):
            notes = await (await app_of(ctx)).messages(run_id)
        return _json(
            [{"sender": note.sender, "to": note.recipient, "kind": note.kind, "text": note.text} for note in notes]
        )

    @_at(
        server,
        "dispatch://runs/{run_id}/tasks/{task_id}/prompt",
        _Words("task-prompt", "Brief of a task", "The whole brief of a task that is out with the host."),
        MARKDOWN,
    )
    async def task_prompt(run_id: str, task_id: str, ctx: Context[lazy.Opening]) -> str:
        with _Lookup(f"task {task_id!r} of run {run_id!r}"):
            return await (await app_of(ctx)).brief(run_id, task_id)

    @_at(
        server,
        "dispatch://runs/{run_id}/tasks/{task_id}/result",
        _Words("task-result", "Result of a task", "The whole accepted result of a task."),
    )
    async def task_result(run_id: str, task_id: str, ctx: Context[lazy.Opening]) -> str:
        with _Lookup(f"task {task_id!r} of run {run_id!r}"):
            return await (await app_of(ctx)).result(run_id, task_id)


class _Lookup:
    """Turns our unknown handles into the SDK's, so that clients see -32602."""

    def __init__(self, label: str) -> None:
        self._label = label

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _where: object) -> None:
        if isinstance(error, errors.DispatchError):
            reason = error.full_text(tool_wording.words)
            raise ResourceNotFoundError(f"{self._label}: {reason}") from error


def _number(name: str, text: str) -> int:
    """Returns a number that stands in an address. Raises InputError."""
    if not _NUMBER.fullmatch(text):
        raise errors.InputError(
            f"`{name}` is {text[:40]!r}, which is no number.", hint="Take it from the answer before, or leave it out."
        )
    return int(text)


async def app_of(ctx: Context[lazy.Opening]) -> dispatcher.Dispatcher:
    """Returns the dispatcher of this connection."""
    return await ctx.request_context.lifespan_context.get()


def stamp(home: Path | None) -> Hashable:
    """Returns what tells two states of the user's own files apart."""
    return () if home is None else bundled_files.stamp(home)


async def mark(opening: lazy.Opening, uri: str, home: Path | None = None) -> str:
    """Returns what tells two states of a resource apart, for whose request it is; empty for one that never changes.

    Raises:
        DispatchError: it is not there for them.
    """
    kind, *rest = uri.removeprefix("dispatch://").partition("?")[0].split("/")
    if kind in ("templates", "knowledge"):
        folder: bundled_files.Kind = "prompts" if kind == "templates" else "knowledgebase"
        return _digest(bundled_files.text(folder, "/".join(rest), home))
    return await _mark(await opening.get(), kind, rest) if kind in ("runs", "plans", "agents") else ""


async def _mark(app: dispatcher.Dispatcher, kind: str, rest: Sequence[str]) -> str:
    match kind, rest:
        case "runs", [handle, *_]:
            record = await app.store.run(await app.handles.run_id(handle), principal=app.principal)
            # Some events, as those of messages, leave the revision as it is.
            return f"{record.id} {record.revision} {await app.store.last_event(record.id)}"
        case "plans", [handle]:
            plan = await app.store.plan(await app.handles.plan_id(handle), None, principal=app.principal)
            return f"{plan.id} {plan.version}"
        case "agents", []:
            return _digest([[agent.name, agent.roster, agent.description] for agent in app.catalog().agents])
        case "agents", [name]:
            return _digest(app.catalog().agent(name).public())
        case "agents", [name, "card"]:
            return _digest(await app.card(name, __version__))
        case _:
            return ""


def _digest(value: model.Json) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _look(trace: answers.Trace) -> str:
    return _json(run_metadata.without_content(trace).wire(tool_wording.words))


def _json(value: model.Json) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


async def complete(
    opening: lazy.Opening,
    ref: PromptReference | ResourceTemplateReference,
    argument: CompletionArgument,
    context: Mapping[str, str],
    home: Path | None = None,
) -> Completion | None:
    """Completes names of agents, plans, runs, tasks, patterns, templates and rosters; `context` has earlier ones.

    Returns:
        None for an argument that the prompt or the resource does not have, or that can be any text.
    """
    if argument.name not in _arguments_of(ref, home):
        return None
    app = await opening.get()
    if argument.name == "task_id":
        values = await _tasks(app, context.get("run_id", ""))
    else:
        values = await _known(app, argument.name, home)
    return None if values is None else matching(values, argument.value)


def _arguments_of(ref: PromptReference | ResourceTemplateReference, home: Path | None) -> set[str]:
    """Returns the arguments of a prompt or of a resource; none of one that there is not."""
    if isinstance(ref, ResourceTemplateReference):
        return set(_PARAMETER.findall(ref.uri)) if ref.uri in TEMPLATES else set()
    template = bundled_files.all_templates(home)[0].get(ref.name)
    return {parameter.name for parameter in template.arguments} if template else set()


async def _tasks(app: dispatcher.Dispatcher, run: str) -> Sequence[str] | None:
    """Returns the tasks of a run that was named already, or None."""
    try:
        return [task.id for task in (await app.handles.look(run)).tasks] if run else None
    except errors.UnknownHandle:
        return None


async def _known(app: dispatcher.Dispatcher, name: str, home: Path | None) -> Sequence[str] | None:
    """Returns the values that an argument of that name can have, or None."""
    agents = app.catalog().agents
    match name:
        case "run_id":
            values = [short_ids.short(run.id) for run in await app.store.runs(app.principal, limit=MAX_COMPLETIONS)]
        case "plan_id":
            values = [short_ids.short(plan.id) for plan in await app.store.plans(app.principal, limit=MAX_COMPLETIONS)]
        case "agent" | "name" | "specialist":
            values = [agent.name for agent in agents]
        case "roster":
            values = sorted({agent.roster for agent in agents})
        case "pattern":
            values = [pattern.name for pattern in patterns.PATTERNS]
        case "template":
            values = bundled_files.names("prompts", home)
        case _:
            return None
    return values


def matching(candidates: Sequence[str], start: str) -> Completion:
    """Returns the known values that start with what was typed, then those that contain it."""
    starts = [value for value in candidates if value.startswith(start)]
    matches = [*starts, *(value for value in candidates if start in value and value not in starts)]
    return Completion(values=matches[:MAX_COMPLETIONS], total=len(matches), has_more=len(matches) > MAX_COMPLETIONS)
