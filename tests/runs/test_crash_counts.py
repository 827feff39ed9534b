"""What faults of our own come to in one run: counted as crashes, waited for, and given up after a few."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from dispatch_mcp import model
from dispatch_mcp.model import TASK_FINAL, AttemptState, RunState, TaskState, WorkerKind, transitions
from dispatch_mcp.runs import dependencies, state_machine

SCRIPTED = frozenset({WorkerKind.SCRIPTED})


def begin(*tasks: model.Task) -> state_machine.RunCore:
    return state_machine.RunCore.begin("run", model.Plan(id="plan", tasks=tasks), WorkerKind.SCRIPTED)


def task(
    task_id: str, deps: Sequence[str] = (), worker: WorkerKind = WorkerKind.SCRIPTED, tries: int = 3
) -> model.Task:
    return model.Task(id=task_id, do=f"do {task_id}", deps=tuple(deps), worker=worker, attempts=tries)


def states(core: state_machine.RunCore) -> dict[str, str]:
    return {row.id: row.state.value for row in core.rows}


def met_a_fault(
    core: state_machine.RunCore, start: transitions.Start, now: float, kind: str = transitions.FAULT
) -> bool:
    outcome = model.Outcome(state=AttemptState.FAILED, error="x", error_kind=kind, retryable=True)
    return core.finish(transitions.Finished(start.task_id, start.attempt, outcome), now)


def test_faults_of_ours_use_up_no_attempts_but_end_a_task_that_meets_too_many() -> None:
    core = begin(task("a", tries=1), task("b", ["a"]))
    now = 0.0
    for crashes in (1, 2, 3):
        [start] = core.next(now)
        assert met_a_fault(core, start, now)
        assert (core.row("a").crashes, core.row("a").failures) == (crashes, 0)
        assert core.next(now) == []  # it waits: the machine may be short of something
        now += 1000.0
    assert (core.row("a").state, core.row("a").cause) == (TaskState.FAILED, transitions.FAULT)
    assert core.row("b").state is TaskState.SKIPPED
    assert core.state is RunState.FAILED


def test_crashes_and_faults_of_a_task_are_counted_together() -> None:
    core = begin(task("a"))
    core.next(0.0)
    core.abandon("a", 0.0, crashed=True)
    for now in (0.0, 1000.0):
        [start] = core.next(now)
        met_a_fault(core, start, now)
    assert core.row("a").state is TaskState.FAILED


def test_hosts_that_are_lost_and_faults_of_ours_are_counted_apart() -> None:
    core = begin(task("a", tries=1))
    kinds = [transitions.HOST_LOST] * 5 + ["git_failed"] * 2 + [transitions.HOST_LOST] * 4
    for number, kind in enumerate(kinds):
        [start] = core.next(1e6 * number)
        met_a_fault(core, start, 1e6 * number, kind)
        assert core.row("a").state is not TaskState.FAILED
    assert (core.row("a").host_losses, core.row("a").crashes) == (9, 2)
    core.next(1e9)
    core.abandon("a", 1e9, crashed=True)
    assert (core.row("a").state, core.row("a").cause) == (TaskState.FAILED, "quarantined")


def test_a_retry_forgives_the_hosts_that_were_lost() -> None:
    core = begin(task("a"))
    for number in range(10):
        [start] = core.next(1e6 * number)
        met_a_fault(core, start, 1e6 * number, transitions.HOST_LOST)
    assert (core.row("a").state, core.row("a").cause) == (TaskState.FAILED, transitions.HOST_LOST)
    core.retry("a")
    assert (core.row("a").host_losses, core.row("a").state) == (0, TaskState.READY)


def test_a_fault_is_reported_once_and_late_ones_change_nothing() -> None:
    core = begin(task("a"))
    [start] = core.next(0.0)
    assert met_a_fault(core, start, 0.0)
    assert not met_a_fault(core, start, 0.0)
    assert core.row("a").crashes == 1


def test_giving_a_run_up_ends_what_was_to_come_next_and_leaves_the_rest_to_whoever_does_it() -> None:
    core = begin(task("a"), task("b", ["a"]), task("h", worker=WorkerKind.HOST), task("late", ["h"]))
    core.give_up(SCRIPTED)
    assert states(core) == {"a": "failed", "b": "skipped", "h": "ready", "late": "blocked"}
    assert core.row("a").cause == transitions.FAULT
    core.give_up(SCRIPTED)
    assert states(core) == {"a": "failed", "b": "skipped", "h": "ready", "late": "failed"}
    core.give_up(SCRIPTED)
    assert core.state is RunState.RUNNING


def test_what_was_given_up_can_be_retried() -> None:
    core = begin(task("a"), task("b", ["a"]))
    core.give_up(SCRIPTED)
    core.retry("a")
    assert [start.task_id for start in core.next(0.0)] == ["a"]
    assert states(core) == {"a": "running", "b": "blocked"}


@pytest.mark.parametrize("ready", [(), (1,), (0, 2)])
def test_what_comes_next_is_what_is_ready_and_else_everything_that_is_left(ready: tuple[int, ...]) -> None:
    rows = [
        transitions.TaskRow(f"t{position}", WorkerKind.SCRIPTED, TaskState.READY if position in ready else state)
        for position, state in enumerate([TaskState.BLOCKED, TaskState.RUNNING, TaskState.BLOCKED, *TASK_FINAL])
    ]
    assert dependencies.next_of(SCRIPTED, rows) == [*(ready or (0, 1, 2))]
    assert dependencies.next_of(frozenset({WorkerKind.HOST}), rows) == []
