"""What to do next, in one sentence that an assistant can act on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dispatch_mcp import model
from dispatch_mcp.model import RunState, TaskState, WorkerKind, records
from dispatch_mcp.runs import task_isolation

APPLY = (
    " What it changed waits outside of the checkout: steer_run(action='apply') asks the user to take it over, or they "
    "run `dispatch-mcp apply {}`."
)


def next_step(
    run: records.RunRecord, tasks: Sequence[records.TaskRecord], plan: Sequence[model.Task] = (), *, assigned: int = 0
) -> str:
    """Returns the next step for whoever reads: the host or a person at a shell. `plan` has the run's tasks."""
    if run.state in model.RUN_FINAL:
        return _after_the_end(run, tasks) + (APPLY.format(run.id) if task_isolation.has_changes(plan, tasks) else "")
    if run.state in _HELD:
        return _HELD[run.state](run, tasks)
    if assigned:
        return f"Do {_count(assigned, 'assignment')} now, in parallel if you can; send all results in one `report`."
    ready = _host_tasks(tasks, TaskState.READY)
    if ready:
        return f"{_count(ready, 'task')} ready for you: call `dispatch` with this run_id to receive them."
    leased = _host_tasks(tasks, TaskState.RUNNING)
    if leased:
        return (
            f"{_count(leased, 'assignment')} out with you: finish and `report`; "
            "`dispatch` with this run_id repeats them if they were lost."
        )
    return "Working. Read `get_trace` with wait_s up to 45; do not dispatch again."


def _ask(run: records.RunRecord, tasks: Sequence[records.TaskRecord]) -> str:
    waiting = [task.id for task in tasks if task.worker is WorkerKind.HUMAN and task.state is TaskState.RUNNING]
    return (
        f"A person has to decide: {', '.join(waiting[:5])}. Call dispatch(run_id) to have the user asked here, or let "
        f"them run `dispatch-mcp approve {run.id}`. Nobody else can approve."
    )


def why_waiting(task: records.TaskRecord, states: Mapping[str, TaskState], deps: Sequence[str]) -> str:
    """Returns why a task has not run, or an empty string."""
    if task.state is TaskState.BLOCKED:
        waiting = [dep for dep in deps if states[dep] not in (TaskState.SUCCEEDED, TaskState.UNVERIFIED)]
        return "waits for " + ", ".join(f"{dep} ({states[dep].value})" for dep in waiting)
    if task.state is TaskState.SKIPPED and task.cause:
        return f"skipped: {task.cause}"
    if task.state is TaskState.READY and task.ready_at:
        return f"retries after attempt {task.attempt} ({task.cause or 'failed'})"
    if (task.worker, task.state) in _WITH:
        return _WITH[task.worker, task.state]
    if task.state is TaskState.FAILED:
        return f"failed: {task.cause or 'see results'}"
    return ""


def _after_the_end(run: records.RunRecord, tasks: Sequence[records.TaskRecord]) -> str:
    unproven = sum(task.state is TaskState.UNVERIFIED for task in tasks)
    note = f" {_count(unproven, 'result')} UNVERIFIED: claimed, not proven." if unproven else ""
    if run.state is RunState.SUCCEEDED:
        return f"Done. Read get_trace(view='results').{note}"
    failed = [task.id for task in tasks if task.state is TaskState.FAILED]
    if failed:
        return (
            f"Failed: {', '.join(failed[:5])}. Read get_trace(view='results'); then steer_run(action='retry') "
            f"or action='skip', task by task.{note}"
        )
    return f"Ended as {run.state.value}. steer_run(action='retry') reopens a task.{note}"


def _host_tasks(tasks: Sequence[records.TaskRecord], state: TaskState) -> int:
    return sum(task.state is state and task.worker is model.WorkerKind.HOST for task in tasks)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _paused(run: records.RunRecord, _tasks: Sequence[records.TaskRecord]) -> str:
    if run.paused:
        return "Paused. Resume it with steer_run(action='resume')."
    return (
        "A ceiling of the run is reached and nothing more begins; get_trace says which. "
        "If the user agrees to more, raise it by dispatch(run_id, limits)."
    )


_HELD = {RunState.PAUSED: _paused, RunState.WAITING_INPUT: _ask}

_WITH = {
    (WorkerKind.HUMAN, TaskState.RUNNING): "waits for a person: `dispatch-mcp approve`",
    (WorkerKind.HOST, TaskState.READY): "ready: `dispatch` with this run_id hands it to you",
}
