"""Orders, starts and outcomes as texts, and back: what blobs hold and papers name."""

from __future__ import annotations

import json
import typing
from collections.abc import Mapping
from dataclasses import replace

import pydantic

from dispatch_mcp import model
from dispatch_mcp.model import transitions, work_order
from dispatch_mcp.temporal import papers

_DEFAULT = work_order.WorkOrder("", model.Task(id="a", do="a"), 0, model.WorkerKind.SCRIPTED)
_HINTS = typing.get_type_hints(work_order.WorkOrder, dict(vars(work_order)), {})
"""By the names of the module: the order has a field of the name of one."""

_FIELDS: Mapping[str, pydantic.TypeAdapter[typing.Any]] = {
    name: pydantic.TypeAdapter(hint) for name, hint in _HINTS.items()
}
_ALWAYS = frozenset({"run_id", "task", "attempt", "worker"})


def order_bytes(work: work_order.WorkOrder) -> bytes:
    """Returns an order as JSON, without what is as in any."""
    values = {name: getattr(work, name) for name in _FIELDS}
    return json.dumps(
        {
            name: _FIELDS[name].dump_python(value, mode="json")
            for name, value in values.items()
            if value != getattr(_DEFAULT, name) or name in _ALWAYS
        }
    ).encode()


def order_of(data: bytes) -> work_order.WorkOrder:
    """Returns the order that `order_bytes` wrote. Raises ValueError, also for what another version has written."""
    values = json.loads(data)
    unknown, missing = sorted(values.keys() - _FIELDS.keys()), sorted(_ALWAYS - values.keys())
    if unknown or missing:
        raise ValueError(f"an order of another version: {unknown!r} are not known here, {missing!r} are missing")
    return work_order.WorkOrder(**{name: _FIELDS[name].validate_python(value) for name, value in values.items()})


def start_paper(start: transitions.Start) -> papers.StartPaper:
    """Returns what a workflow is told of an attempt that begins."""
    ceiling = {name: float(value) for name, value in start.ceiling.model_dump(exclude_none=True).items()}
    stand_ins = [(stand_in.agent, stand_in.subagent) for stand_in in start.stand_ins]
    return papers.StartPaper(start.task_id, start.attempt, start.worker.value, start.key, ceiling, stand_ins)


def start_of(paper: papers.StartPaper) -> transitions.Start:
    """Returns the attempt that a paper tells of."""
    stand_ins = tuple(model.StandIn(agent=agent, subagent=subagent) for agent, subagent in paper.stand_ins)
    ceiling = model.TaskLimits.model_validate(paper.ceiling)
    worker = model.WorkerKind(paper.worker)
    return transitions.Start(paper.task_id, paper.attempt, worker, paper.key, ceiling, stand_ins)


def elsewhere(work: work_order.WorkOrder, workspace: str, directory: str) -> work_order.WorkOrder:
    """Returns an order for another place, where git logs no commands for whoever ordered it."""
    return replace(work, workspace=workspace, directory=directory, git_log="")
