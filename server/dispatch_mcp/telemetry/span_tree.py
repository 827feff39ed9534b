"""A run that is over as a tree of spans: the run, its tasks, their attempts, and what models were asked in them.

From what the store has, so it is one trace whoever did the work and wherever. Names, states and numbers only: no
goal, no prompt, no result, no error text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dispatch_mcp import model
from dispatch_mcp.model import AttemptState, records, transitions

Attributes = Mapping[str, str | int | float | bool]

_FAILED_ATTEMPTS = frozenset({AttemptState.FAILED, AttemptState.TIMED_OUT, AttemptState.ABANDONED})
_FAILED_RUNS = frozenset({model.RunState.FAILED, model.RunState.PARTIAL, model.RunState.NEEDS_CHANGES})
_OPERATIONS = {model.WorkerKind.API: "chat", model.WorkerKind.CLAUDE: "invoke_agent"}
"""What the GenAI conventions call what these workers ask."""


@dataclass(frozen=True, slots=True)
class SpanLine:
    """A span with those below it. Times are seconds since the epoch; `error` is a kind of failure, empty for none."""

    name: str
    start: float
    end: float
    attributes: Attributes
    error: str = ""
    children: tuple[SpanLine, ...] = field(default=())


def tree(run: records.RunRecord, tasks: Sequence[model.Task], attempts: Sequence[records.AttemptRecord]) -> SpanLine:
    """Returns the tree of a run, from its record, the tasks of its plan and all its attempts."""
    end = run.finished_at or run.updated_at
    by_task = {task.id: [attempt for attempt in attempts if attempt.task_id == task.id] for task in tasks}
    children = [_task_span(task, by_task[task.id], end) for task in tasks if by_task[task.id]]
    attributes: dict[str, str | int | float | bool] = {
        "dispatch.run.id": run.id,
        "dispatch.run.state": run.state.value,
        "dispatch.plan.id": run.plan_id,
        "dispatch.run.tasks": len(tasks),
        "dispatch.run.attempts": len(attempts),
    }
    error = run.state.value if run.state in _FAILED_RUNS else ""
    return SpanLine("dispatch.run", run.created_at, end, attributes, error, tuple(children))


def _task_span(task: model.Task, attempts: Sequence[records.AttemptRecord], run_end: float) -> SpanLine:
    spans = [_attempt_span(task, attempt, run_end) for attempt in attempts]
    attributes: dict[str, str | int | float | bool] = {
        "dispatch.task.id": task.id,
        "dispatch.task.attempts": len(attempts),
    }
    if task.agent:
        attributes["gen_ai.agent.name"] = task.agent
    ends = [span.end for span in spans]
    return SpanLine("dispatch.task", spans[0].start, max(ends), attributes, spans[-1].error, tuple(spans))


def _attempt_span(task: model.Task, attempt: records.AttemptRecord, run_end: float) -> SpanLine:
    end = attempt.ended_at or run_end
    attributes: dict[str, str | int | float | bool] = {
        "dispatch.attempt.number": attempt.attempt,
        "dispatch.attempt.state": attempt.state.value,
        "dispatch.worker": attempt.worker.value,
    }
    error = (attempt.error_kind or attempt.state.value) if attempt.state in _FAILED_ATTEMPTS else ""
    calls = (_model_span(task, attempt, end),) if attempt.worker in transitions.MODEL_WORKERS else ()
    return SpanLine("dispatch.attempt", attempt.started_at, end, attributes, error, calls)


def _model_span(task: model.Task, attempt: records.AttemptRecord, end: float) -> SpanLine:
    """Returns what models were asked in an attempt as one span, by the semantic conventions for generative AI."""
    usage, operation = attempt.usage, _OPERATIONS.get(attempt.worker, "invoke_agent")
    attributes: dict[str, str | int | float | bool] = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": "anthropic",
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
    }
    if task.model:
        attributes["gen_ai.request.model"] = task.model
    if task.agent:
        attributes["gen_ai.agent.name"] = task.agent
    if usage.cost_usd is not None:
        attributes["dispatch.usage.cost_usd"] = usage.cost_usd
    name = f"{operation} {task.model}" if task.model else operation
    return SpanLine(name, attempt.started_at, end, attributes)
