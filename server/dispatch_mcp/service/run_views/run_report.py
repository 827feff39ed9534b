"""The results of a run as a document for people, in the form that task documents promise (docs/rules.md#run-report)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from dispatch_mcp import model
from dispatch_mcp.engine import run_view
from dispatch_mcp.model import TaskState, failures, records, short_ids
from dispatch_mcp.runs import capsules
from dispatch_mcp.service.run_views import run_figures
from dispatch_mcp.text import escape

MOST_TASKS: Final = 20
"""Tasks of a section that are shown; the others are counted."""

_MOST_CHARS: Final = 200
_MOST_FILES: Final = 3
_STATUS: Final[Mapping[str, str]] = {"succeeded": "success", "failed": "failure"}
_AGAIN: Final = "Another attempt may succeed: retry it."
_MEND: Final = "Mend what the error names, then retry it; the same attempt would fail again."


def markdown(
    view: run_view.RunView,
    attempts: Sequence[records.AttemptRecord],
    outcomes: Mapping[str, model.Outcome],
) -> str:
    """Returns the report without what comes next, which every interface says in its own words."""
    return "\n".join(
        [*_head(view, attempts), *_successes(view, attempts, outcomes), *_failures(view, attempts), *_where(view)]
    )


def shown_tasks(view: run_view.RunView) -> list[str]:
    """Returns the tasks whose results the report shows."""
    return [task.id for task in view.tasks if task.state in model.TASK_DONE][:MOST_TASKS]


def _head(view: run_view.RunView, attempts: Sequence[records.AttemptRecord]) -> Iterator[str]:
    states = [task.state for task in view.tasks]
    successes = sum(state in model.TASK_DONE for state in states)
    rest_counts = {state.value: states.count(state) for state in TaskState if state not in model.TASK_DONE}
    failure_count = rest_counts.pop(TaskState.FAILED.value)
    parts = [
        f"{successes} successful",
        f"{failure_count} failed",
        *(f"{n} {name}" for name, n in rest_counts.items() if n),
    ]
    state = view.run.state.value
    seconds = max(0.0, (view.run.finished_at or view.run.updated_at) - view.run.created_at)
    yield from ("## Parallel Execution Results", "")
    yield f"**Status**: {_STATUS.get(state, state)}"
    yield f"**Total Tasks**: {len(states)} ({', '.join(parts)})"
    yield f"**Execution Time**: {seconds * 1000:.0f}ms"
    figures = run_figures.figures(states, run_figures.spans(attempts))
    if figures.most > 1 and figures.efficiency is not None:
        yield (
            f"**Side by Side**: up to {figures.most} at once, {figures.saved_s:.1f}s less than one after the other, "
            f"{figures.efficiency:.0%} parallel efficiency"
        )
    yield ""


def _successes(
    view: run_view.RunView, attempts: Sequence[records.AttemptRecord], outcomes: Mapping[str, model.Outcome]
) -> Iterator[str]:
    yield from ("### Successful Outputs", "")
    tasks = [task for task in view.tasks if task.state in model.TASK_DONE]
    took = _seconds(attempts)
    for task in tasks[:MOST_TASKS]:
        outcome = outcomes.get(task.id)
        note = " — not proven" if task.state is TaskState.UNVERIFIED else ""
        yield f"{_title(view, task)}{note}"
        if outcome is not None:
            yield f"  - Output: {_line(capsules.capsule(outcome, _MOST_CHARS))}"
            if files := outcome.handoff.files_modified:
                more = f" and {len(files) - _MOST_FILES} more" if len(files) > _MOST_FILES else ""
                yield f"  - Location: {', '.join(map(_line, files[:_MOST_FILES]))}{more}"
        if task.id in took:
            yield f"  - Execution time: {took[task.id] * 1000:.0f}ms"
    yield from _rest(len(tasks))


def _failures(view: run_view.RunView, attempts: Sequence[records.AttemptRecord]) -> Iterator[str]:
    yield from ("### Failed Tasks", "")
    tasks = [task for task in view.tasks if task.state is TaskState.FAILED]
    newest = {attempt.task_id: attempt for attempt in attempts}
    for task in tasks[:MOST_TASKS]:
        attempt = newest.get(task.id)
        yield _title(view, task)
        yield f"  - Error: {_line((attempt.error if attempt else '') or task.cause or 'no reason was given')}"
        kind = attempt.error_kind if attempt else ""
        yield f"  - Suggestion: {_AGAIN if failures.is_retryable(kind) else _MEND}"
    yield from _rest(len(tasks))


def _where(view: run_view.RunView) -> Iterator[str]:
    run_id = short_ids.short(view.run.id)
    yield from ("### Trace Information", "")
    yield f"- **Correlation ID**: {run_id}"
    yield f"- **Trace Index**: dispatch://runs/{run_id}"
    yield f"- **Individual Traces**: dispatch://runs/{run_id}/tasks/{{task_id}}/result"
    yield ""


def _rest(count: int) -> Iterator[str]:
    if not count:
        yield "None."
    if count > MOST_TASKS:
        yield f"- … and {count - MOST_TASKS} more: see the results."
    yield ""


def _title(view: run_view.RunView, task: records.TaskRecord) -> str:
    agent = view.agent_of(task) or task.worker.value
    return f"- **{_line(task.id)}** ({_line(agent)}): {_line(view.specs[task.id].goal)}"


def _line(text: str) -> str:
    return escape.one_line(text, limit=_MOST_CHARS)


def _seconds(attempts: Sequence[records.AttemptRecord]) -> dict[str, float]:
    """Returns the time of each task's last attempt that has ended."""
    return {
        attempt.task_id: max(0.0, attempt.ended_at - attempt.started_at)
        for attempt in attempts
        if attempt.ended_at is not None
    }
