from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp import model
from dispatch_mcp.model import AttemptState, TaskState, WorkerKind, transitions
from dispatch_mcp.runs import task_table

API, HOST, HUMAN = WorkerKind.API, WorkerKind.HOST, WorkerKind.HUMAN


def plan_of(*edges: tuple[str, Sequence[str]], version: int = 1) -> model.Plan:
    tasks = tuple(model.Task(id=task_id, do=task_id, deps=tuple(deps)) for task_id, deps in edges)
    return model.Plan(id="plan", version=version, tasks=tasks)


def table_of(*edges: tuple[str, Sequence[str]], worker: WorkerKind = API) -> task_table.TaskTable:
    rows = [transitions.TaskRow(task_id, worker) for task_id, _ in edges]
    table = task_table.TaskTable(plan_of(*edges), rows)
    table.begin()
    return table


def states(table: task_table.TaskTable) -> dict[str, str]:
    return {row.id: row.state.value for row in table.rows}


CHAIN = (("a", ()), ("b", ("a",)), ("c", ("b",)))


def test_a_new_run_opens_what_waits_for_nothing_and_records_every_row() -> None:
    table = table_of(*CHAIN)
    assert states(table) == {"a": "ready", "b": "blocked", "c": "blocked"}
    assert set(table.drain().rows) == {"a", "b", "c"}


def test_what_was_drained_is_not_drained_again() -> None:
    table = table_of(*CHAIN)
    table.note_run("run_paused")
    table.drain()
    assert not table.drain()


def test_an_end_opens_only_those_who_waited_for_nothing_else() -> None:
    table = table_of(("a", ()), ("b", ()), ("c", ("a", "b")), ("d", ("a",)))
    for position in (0, 1):
        table.end(table.start(position), AttemptState.SUCCEEDED)
        table.close(position, TaskState.SUCCEEDED, "")
    table.release(0)
    assert (states(table)["c"], states(table)["d"]) == ("blocked", "ready")
    table.release(1)
    assert states(table)["c"] == "ready"


def test_pools_are_counted_apart() -> None:
    rows = [transitions.TaskRow("a", API), transitions.TaskRow("b", HOST), transitions.TaskRow("c", HUMAN)]
    table = task_table.TaskTable(plan_of(("a", ()), ("b", ()), ("c", ())), rows)
    table.begin()
    first = table.start(0)
    table.start(1)
    table.start(2)
    assert (table.running, table.deciding, table.busy(WorkerKind.COMMAND), table.busy(HOST)) == (3, 1, 1, 1)
    table.end(first, AttemptState.FAILED)
    assert (table.running, table.busy(API)) == (2, 0)
    assert table.drain().ends == [transitions.AttemptEnd("a", 1, AttemptState.FAILED)]


@pytest.mark.parametrize("state", [TaskState.SUCCEEDED, TaskState.UNVERIFIED])
@pytest.mark.parametrize("target", sorted(model.TASK_FINAL | {TaskState.RUNNING}))
def test_what_has_a_result_never_becomes_anything_else_but_work_that_is_sent_back(
    state: TaskState, target: TaskState
) -> None:
    table = table_of(("a", ()))
    table.close(0, state, "")
    if target is not state:
        with pytest.raises(AssertionError, match="illegal move of 'a'"):
            table.close(0, target, "")


def test_the_table_of_moves_lets_every_state_be_reached_and_names_every_state() -> None:
    assert set(transitions.MOVES) == set(TaskState)
    reachable = {TaskState.BLOCKED}
    for _ in TaskState:
        reachable |= {target for state in reachable for target in transitions.MOVES[state]}
    assert reachable == set(TaskState)


def test_every_closed_task_can_be_opened_again_and_only_what_is_ready_begins() -> None:
    back = {(state, target) for state, targets in transitions.MOVES.items() for target in targets}
    reopened = {
        (state, target) for state, target in back if state in model.TASK_FINAL and target not in model.TASK_FINAL
    }
    assert {state for state, _ in reopened} == model.TASK_FINAL
    assert not any(target is TaskState.RUNNING for state, target in back if state is not TaskState.READY)


def test_a_reopened_task_waits_again_if_it_has_to() -> None:
    table = table_of(*CHAIN)
    for position in range(3):
        table.close(position, TaskState.CANCELLED, "")
    assert table.unfinished == 0
    table.reopen(2)
    table.reopen(0)
    assert states(table) == {"a": "ready", "b": "cancelled", "c": "blocked"}
    assert table.unfinished == 2


def test_a_removed_task_keeps_its_attempts_for_the_day_it_comes_back() -> None:
    table = table_of(*CHAIN)
    table.end(table.start(0), AttemptState.FAILED)
    table.ready(0)
    table.replace(plan_of(("b", ()), version=2), API)
    assert states(table) == {"b": "ready"}
    removed = table.drain().rows["a"]
    assert (removed.state, removed.cause, removed.attempt) == (TaskState.SKIPPED, transitions.REMOVED, 1)
    table.replace(plan_of(("a", ()), ("b", ()), version=3), API)
    assert (states(table)["a"], table.start(0).attempt) == ("ready", 2)


def test_an_added_dependency_makes_a_ready_task_wait_and_a_removed_one_lets_it_go() -> None:
    table = table_of(("a", ()), ("b", ()))
    table.replace(plan_of(("a", ()), ("b", ("a",)), version=2), API)
    assert states(table) == {"a": "ready", "b": "blocked"}
    table.replace(plan_of(("a", ()), ("b", ()), version=3), API)
    assert states(table) == {"a": "ready", "b": "ready"}


def test_new_tasks_get_the_runs_worker_and_those_that_begun_keep_theirs() -> None:
    table = table_of(("a", ()), ("b", ()), worker=HOST)
    table.start(0)
    table.replace(plan_of(("a", ()), ("b", ()), ("c", ()), version=2), API)
    assert [row.worker for row in table.rows] == [HOST, API, API]


@given(st.lists(st.sampled_from(["start", "succeed", "fail", "cancel", "reopen"]), max_size=40), st.randoms())
def test_what_is_counted_is_what_counting_the_rows_would_give(moves: list[str], rng: random.Random) -> None:
    table = table_of(("a", ()), ("b", ()), ("c", ("a",)), ("d", ("a", "b")), ("e", ("c", "d")))
    for move in moves:
        position = rng.randrange(5)
        row = table.rows[position]
        if move == "start" and row.state is TaskState.READY:
            table.start(position)
        elif move in ("succeed", "fail") and row.state is TaskState.RUNNING:
            table.end(row, AttemptState.SUCCEEDED if move == "succeed" else AttemptState.FAILED)
            table.close(position, TaskState.SUCCEEDED if move == "succeed" else TaskState.FAILED, "")
            if move == "succeed":
                table.release(position)
        elif move == "cancel" and row.state in (TaskState.BLOCKED, TaskState.READY):
            table.close(position, TaskState.CANCELLED, "")
        elif move == "reopen" and row.state in (TaskState.FAILED, TaskState.CANCELLED):
            table.reopen(position)
    counted = (table.running, table.unfinished, states(table))
    copies = [transitions.TaskRow(row.id, row.worker, row.state) for row in table.rows]
    again = task_table.TaskTable(plan_of(*((row.id, table_deps(table, row.id)) for row in copies)), copies)
    assert (again.running, again.unfinished, states(again)) == counted


def reviewed_table() -> task_table.TaskTable:
    """Returns work with a result, a review that passed it, and three that built on it: waiting, ready and running."""
    tasks = [model.Task(id="a", do="x"), model.Task(id="r", do="x", deps=("a",), reviews=("a",))]
    tasks += [model.Task(id=name, do="x", deps=("r",)) for name in ("waits", "runs")]
    tasks += [model.Task(id="last", do="x", deps=("waits",)), model.Task(id="beside", do="x", deps=("a",))]
    rows = [transitions.TaskRow(task.id, HOST) for task in tasks]
    table = task_table.TaskTable(model.Plan(id="p", tasks=tuple(tasks)), rows)
    table.begin()
    for position in (0, 1):
        table.start(position)
        table.end(table.rows[position], AttemptState.SUCCEEDED)
        table.close(position, TaskState.SUCCEEDED, "")
        table.rows[position].result = "digest"
        table.release(position)
    table.start(3)
    return table


def test_work_that_is_sent_back_makes_wait_what_has_not_begun_and_lets_go_on_what_has() -> None:
    table = reviewed_table()
    assert table.unfinished == 4
    table.send_back(0)
    assert states(table) == {
        "a": "ready",
        "r": "blocked",
        "waits": "blocked",
        "runs": "running",
        "last": "blocked",
        "beside": "blocked",
    }
    assert table.unfinished == 6
    assert [(row.result, row.rounds, row.cause) for row in table.rows[:2]] == [("", 1, "sent_back"), ("", 0, "")]


def test_a_review_that_objects_is_told_from_one_that_waits_by_the_rows_alone() -> None:
    table = reviewed_table()
    table.send_back(0)
    assert table.objecting == set()
    table.start(0)
    table.end(table.rows[0], AttemptState.SUCCEEDED)
    table.close(0, TaskState.SUCCEEDED, "")
    table.release(0)
    table.start(1)
    table.end(table.rows[1], AttemptState.FAILED)
    table.await_mending(1)
    again = task_table.TaskTable(
        model.Plan(id="p", tasks=(model.Task(id="a", do="x"), model.Task(id="r", do="x", deps=("a",), reviews=("a",)))),
        table.rows[:2],
    )
    assert table.objecting == again.objecting == {1}


def table_deps(table: task_table.TaskTable, task_id: str) -> list[str]:
    return [table.graph.ids[dep] for dep in table.graph.deps[table.graph.index[task_id]]]
