"""What each tool takes: one model a tool is both the published schema and the check of every call."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dispatch_mcp import errors, model
from dispatch_mcp.model import bounds, problems, worker_choice
from dispatch_mcp.service.run_views import view_names
from dispatch_mcp.text import json_types

MAX_TEXT = 200_000
MAX_ITEMS = 500

Schema = dict[str, model.Json]


def arg(
    description: str = "",
    default: model.Json = ...,
    *,
    schema: Mapping[str, model.Json] | None = None,
    **bounds: model.Json,
) -> Any:  # noqa: ANN401  # as pydantic's Field, so that a field's annotation is what counts
    """Returns a field; its published schema is `schema` if given."""

    def trim(property_schema: dict[str, model.Json]) -> None:
        if schema is not None:
            property_schema.clear()
            property_schema.update(schema)
        if not property_schema.get("default", True):
            property_schema.pop("default")
        if description:
            property_schema["description"] = description

    return Field(default, json_schema_extra=trim, **bounds)


def schema(arguments: type[Args]) -> dict[str, model.Json]:
    """Returns the published schema of a tool: no titles, and limits on text are left to the check.

    Null for what is left out is taken and not published: it would make the schemas a tenth longer.
    """
    whole = arguments.model_json_schema()
    properties = {name: _bare(property_schema) for name, property_schema in whole["properties"].items()}
    needs = {"required": whole["required"]} if "required" in whole else {}
    return {"type": "object", "properties": properties, **needs, "additionalProperties": False}


_CHECKED_ONLY = frozenset({"title", "default", "maxLength", "minLength", "maxItems", "maximum", "minimum"})
"""What the check of a call says in words when it matters, and values that need not be sent: the schema is read far more
often than it is broken. The first word of a choice is its default.
"""


def _bare(property_schema: Mapping[str, model.Json]) -> dict[str, model.Json]:
    redundant = {"type"} if "enum" in property_schema else set[str]()
    return {key: value for key, value in property_schema.items() if key not in _CHECKED_ONLY | redundant}


class Args(BaseModel):
    """Arguments of a tool; unknown names are refused.

    An optional argument that is null or an empty text was left out (`without_left_out`); of those in `EMPTY_SAYS` an
    empty text is a value like any other. Lists in `JUDGED_SINGLY` are taken with wrong entries too: whoever reads them
    refuses those alone.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    EMPTY_SAYS: ClassVar[frozenset[str]] = frozenset()
    JUDGED_SINGLY: ClassVar[frozenset[str]] = frozenset()


_NAMES: Schema = {"type": "array", "items": {"type": "string"}}

_JSON_TYPES: Mapping[model.TaskValue, Schema] = {
    "name": {"type": "string"},
    "text": {"type": "string"},
    "names": _NAMES,
    "paths": _NAMES,
    "texts": _NAMES,
    "argv": _NAMES,
    "object": {"type": "object"},
    "ceilings": {"type": "object"},
    "seconds": {"type": "number"},
    "count": {"type": "integer"},
}


def task_schema(task_type: type[model.Task]) -> Schema:
    """Returns the schema of a task: the fields that it offers to a model, and no more than a model needs to know."""
    fields = model.task_fields(task_type)
    needs = [name for name, field in fields.items() if task_type.model_fields[field.attribute].is_required()]
    properties = {name: _task_property(field) for name, field in fields.items() if field.is_a.offered}
    return {"type": "object", "required": needs, "properties": properties}


def _task_property(field: model.DeclaredField) -> Schema:
    words = field.is_a.values or field.words
    description = {"description": field.is_a.about} if field.is_a.about else {}
    return {**({"enum": list(words)} if words else _JSON_TYPES[field.is_a.holds]), **description}


_TASK = task_schema(model.Task)

_OBJECT_OR_TEXT: Schema = {"anyOf": [{"type": "object"}, {"type": "string"}]}
"""What clients take that know one type at a time, and none without any."""

_RESULT: Schema = {
    "type": "object",
    "required": ["task_id", "attempt"],
    "properties": {
        "task_id": {"type": "string"},
        "attempt": {"type": "integer"},
        "status": {"enum": ["succeeded", "failed", "cancelled"]},
        "text": {"type": "string", "description": "The subagent's answer, whole."},
        "handoff": {
            "type": "object",
            "description": "completed_work, files_modified, decisions_made, open_questions, mistakes_learned",
        },
        "output": _OBJECT_OR_TEXT,
        "error": {"type": "string"},
        "retryable": {"type": "boolean"},
        "usage": {
            **_OBJECT_OR_TEXT,
            "description": "As your subagent tool gave it: total_tokens, input_tokens, cost_usd …",
        },
    },
}


class RouteTask(Args):
    """What `route_task` takes."""

    task: str = arg("What is to be done, one or two sentences.", min_length=1, max_length=1_000_000)
    files: list[str] = arg("Paths it concerns.", [], max_length=MAX_ITEMS)
    roster: str = arg("One roster or group only, e.g. business.", "", max_length=200)
    view: Literal["short", "full"] = arg("", "short")
    urgency: Literal["normal", "low", "high"] = arg("", "normal")


class PlanDag(Args):
    """What `plan_dag` takes: a request, its parts, tasks, or edits of a plan."""

    request: str = arg("", "", max_length=MAX_TEXT)
    title: str = arg("", "", max_length=200)
    pattern: str = arg("", "", max_length=200)
    parts: list[str] = arg("", [], schema=_NAMES, max_length=bounds.MAX_TASKS)
    roster: str = arg("", "", max_length=200)
    tasks: list[dict[str, Any]] = arg("", [], schema={"type": "array", "items": _TASK}, max_length=bounds.MAX_TASKS)
    plan_id: str = arg("", "", max_length=200)
    base_version: bounds.Count = arg("", 0, ge=0, le=1_000_000)
    edits: list[dict[str, Any]] = arg(
        "",
        [],
        schema={
            "type": "array",
            "items": {
                "type": "object",
                "required": ["op", "id"],
                "properties": {
                    "op": {"enum": ["add", "modify", "skip", "remove", "prove"]},
                    "id": {"type": "string"},
                    "task": {"type": "object"},
                },
            },
        },
        max_length=MAX_ITEMS,
    )
    max_parallel: bounds.Count = arg("", 5, ge=1, le=bounds.MAX_PARALLEL)
    on_conflict: Literal["serialize", "worktree", "error"] = arg("", "serialize")
    diagram: bool = arg("", False)


class Dispatch(Args):
    """What `dispatch` takes: a plan to start or a run to go on with."""

    plan_id: str = arg("Start this plan; or latest.", "", max_length=200)
    run_id: str = arg("Or go on with this run (or latest); lost assignments are repeated.", "", max_length=200)
    worker: worker_choice.WorkerName = arg("", "auto")
    request_key: str = arg("Same key, same run.", "", max_length=200)
    dry_run: bool = arg("Simulate every task; labelled.", False)
    fresh: bool = arg("Do finished work again.", False)
    roster: str = arg("For a plan: who does tasks without an agent.", "", max_length=200)
    limits: dict[str, Any] = arg(
        "",
        {},
        schema={"type": "object", "description": "Ceilings: dollars, tokens, minutes, attempts, tasks, fan_out, depth"},
    )


class Report(Args):
    """What `report` takes: results of assignments."""

    JUDGED_SINGLY = frozenset({"results"})

    run_id: str = arg("", min_length=1, max_length=200)
    results: list[Any] = arg("", schema={"type": "array", "items": _RESULT}, min_length=1, max_length=MAX_ITEMS)


class ReviewCouncil(Args):
    """What `review_council` takes. An empty diff is a change with nothing in it."""

    EMPTY_SAYS = frozenset({"diff"})

    diff: str | None = arg("Unified diff.", None, schema={"type": "string"}, max_length=9_000_000)
    range: str | None = arg("Git range.", None, schema={"type": "string"}, max_length=500)
    run_id: str | None = arg(
        "A run's change; or a review: its decision.", None, schema={"type": "string"}, max_length=200
    )
    after: str = arg("Review whose findings to check again.", "", max_length=200)
    reviewers: list[str] = arg("Beside those chosen.", [], max_length=8)
    dry_run: bool = arg("Only say who would review what.", False)


class GetTrace(Args):
    """What `get_trace` takes."""

    run_id: str = arg("None: my open runs. Or latest.", "", max_length=200)
    task_id: str = arg("One task's whole result.", "", max_length=200)
    view: view_names.View = arg("", "summary")
    cursor: str = arg("", "", max_length=40)
    wait_s: bounds.Number = arg("Wait for news, at most 45.", 0, ge=0, le=45)


class SteerRun(Args):
    """What `steer_run` takes."""

    run_id: str = arg("", min_length=1, max_length=200)
    action: Literal["cancel", "pause", "resume", "retry", "skip", "waive", "apply"] = arg()
    task_id: str = arg("For retry and skip; for waive the finding, for apply the revision.", "", max_length=200)
    reason: str = arg("", "", max_length=2_000)


class MessageAgents(Args):
    """What `message_agents` takes."""

    run_id: str = arg("", min_length=1, max_length=200)
    action: Literal["inbox", "send"] = arg("", "inbox")
    sender: str = arg("", "orchestrator", max_length=200)
    recipient: str = arg("Task id, agent or orchestrator.", "orchestrator", max_length=200)
    kind: Literal["information", "request", "warning", "confirmation", "handoff"] = arg("", "information")
    text: str = arg("", "", max_length=20_000)


TOOLS: Mapping[str, type[Args]] = {
    "route_task": RouteTask,
    "plan_dag": PlanDag,
    "dispatch": Dispatch,
    "report": Report,
    "review_council": ReviewCouncil,
    "get_trace": GetTrace,
    "steer_run": SteerRun,
    "message_agents": MessageAgents,
}


def without_left_out(tool: str, raw: Mapping[str, model.Json]) -> dict[str, model.Json]:
    """Returns the arguments of a call that say something; null and empty texts stand for what was left out."""
    args_type = TOOLS[tool]
    return {name: value for name, value in raw.items() if not _is_left_out(args_type, name, value)}


def _is_left_out(args_type: type[Args], name: str, value: model.Json) -> bool:
    field = args_type.model_fields.get(name)
    if field is None:
        return False
    if value == "":
        return not field.is_required() and name not in args_type.EMPTY_SAYS
    return _unpacked(args_type, name, value) is None


def check(tool: str, raw: Mapping[str, model.Json]) -> None:
    """Checks a call's raw arguments.

    Raises:
        InputError: naming the argument, its value and what would be right.
    """
    args_type = TOOLS[tool]
    arguments = {name: _unpacked(args_type, name, value) for name, value in raw.items()}
    for name, value in arguments.items():
        fault = None if name in args_type.JUDGED_SINGLY else json_types.fault_in(value, name)
        if fault:
            raise errors.InputError(fault.message, hint=fault.fix)
    try:
        args_type.model_validate(arguments)
    except ValidationError as wrong:
        raise errors.InputError(_explain(tool, args_type, wrong), hint=_signature(tool, args_type)) from None


def _unpacked(args_type: type[Args], name: str, value: model.Json) -> model.Json:
    """Some clients send lists and objects as JSON text; the SDK unpacks them likewise."""
    field = args_type.model_fields.get(name)
    if field is None or not isinstance(value, str) or field.annotation is str:
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _explain(tool: str, args_type: type[Args], wrong: ValidationError) -> str:
    lines: list[str] = []
    for fault in wrong.errors()[:5]:
        place = ".".join(str(part) for part in fault["loc"]) or tool
        if fault["type"] == "extra_forbidden":
            near = problems.nearest(place, list(args_type.model_fields))
            lines.append(f"{tool} takes no {place[:80]!r}" + (f"; did you mean {near!r}?" if near else "."))
        elif fault["type"] == "missing":
            lines.append(f"{place!r} is missing.")
        else:
            lines.append(f"{place}: {fault['msg']} (got {json_types.quoted(fault['input'])}).")
    return " ".join(lines)


def _signature(tool: str, args_type: type[Args]) -> str:
    names = [name if field.is_required() else f"{name}?" for name, field in args_type.model_fields.items()]
    return f"Call {tool}({', '.join(names)})."
