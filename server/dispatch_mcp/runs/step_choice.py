"""What to do next about a run, as a value that the interfaces put into words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dispatch_mcp import model
from dispatch_mcp.model import RunState, TaskState, WorkerKind, records
from dispatch_mcp.next_steps import NextStep, StepKind
from dispatch_mcp.runs import task_isolation

MOST_TASKS = 5
"""Tasks that a step names; a trace lists the others."""


def next_step(
    run: records.RunRecord,
    tasks: Sequence[records.TaskRecord],
    plan: Sequence[model.Task] = (),
    *,
    assignments: int = 0,
) -> NextStep:
    """Returns the next step for whoever reads: the host or a person at a shell.

    Args:
        run: The run as it stands.
        tasks: Its tasks as they stand.
        plan: The same tasks as planned; without them nothing is said of merged changes.
        assignments: How many assignments the same answer hands out.
    """
    if run.state in model.RUN_FINAL:
        return _after_the_end(run, tasks, plan)
    if run.state is RunState.PAUSED:
        return NextStep(StepKind.RESUME if run.paused else StepKind.RAISE_LIMIT, run.id)
    if run.state is RunState.WAITING_INPUT:
        return NextStep(StepKind.DECIDE, run.id, _decisions(tasks))
    return _while_it_runs(run, tasks, assignments)


def _while_it_runs(run: records.RunRecord, tasks: Sequence[records.TaskRecord], assignments: int) -> NextStep:
    if assignments:
        return NextStep(StepKind.DO_ASSIGNMENTS, run.id, count=assignments)
    ready = _host_tasks(tasks, TaskState.READY)
    if ready:
        return NextStep(StepKind.FETCH_ASSIGNMENTS, run.id, count=ready)
    out = _host_tasks(tasks, TaskState.RUNNING)
    if out:
        return NextStep(StepKind.FINISH_ASSIGNMENTS, run.id, count=out)
    return NextStep(StepKind.WATCH, run.id)


def _after_the_end(run: records.RunRecord, tasks: Sequence[records.TaskRecord], plan: Sequence[model.Task]) -> NextStep:
    failures = tuple(task.id for task in tasks if task.state is TaskState.FAILED)
    if run.state is RunState.SUCCEEDED:
        kind, advice = StepKind.READ_RESULTS, "Done."
    elif failures:
        kind, advice = StepKind.SETTLE_FAILURES, f"Failed: {', '.join(failures[:MOST_TASKS])}."
    else:
        kind, advice = StepKind.REOPEN, f"Ended as {run.state.value}."
    return NextStep(
        kind,
        run.id,
        failures,
        advice=advice,
        unproven=sum(task.state is TaskState.UNVERIFIED for task in tasks),
        has_changes=task_isolation.has_changes(plan, tasks),
    )


def why_waiting(
    run_id: str, task: records.TaskRecord, states: Mapping[str, TaskState], deps: Sequence[str]
) -> str | NextStep:
    """Returns why a task has not run, or an empty string; a step where somebody has to do something."""
    if task.state is TaskState.BLOCKED:
        waiting = [dep for dep in deps if states[dep] not in (TaskState.SUCCEEDED, TaskState.UNVERIFIED)]
        return "waits for " + ", ".join(f"{dep} ({states[dep].value})" for dep in waiting)
    if task.state is TaskState.SKIPPED and task.cause:
        return f"skipped: {task.cause}"
    if task.state is TaskState.READY and task.ready_at:
        return f"retries after attempt {task.attempt} ({task.cause or 'failed'})"
    if (task.worker, task.state) in _WAITS_FOR:
        return NextStep(_WAITS_FOR[task.worker, task.state], run_id, (task.id,))
    if task.state is TaskState.FAILED:
        return f"failed: {task.cause or 'see results'}"
    return ""


def _decisions(tasks: Sequence[records.TaskRecord]) -> tuple[str, ...]:
    return tuple(task.id for task in tasks if task.worker is WorkerKind.HUMAN and task.state is TaskState.RUNNING)


def _host_tasks(tasks: Sequence[records.TaskRecord], state: TaskState) -> int:
    return sum(task.state is state and task.worker is model.WorkerKind.HOST for task in tasks)


_WAITS_FOR = {
    (WorkerKind.HUMAN, TaskState.RUNNING): StepKind.WAITS_FOR_PERSON,
    (WorkerKind.HOST, TaskState.READY): StepKind.WAITS_FOR_ASSISTANT,
}
