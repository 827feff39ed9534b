"""Where tasks work. The worked examples of placement are in tests/git/test_merge_rules.py."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp import model
from dispatch_mcp.model import TaskState, WorkerKind, records
from dispatch_mcp.planning import graph
from dispatch_mcp.runs import task_isolation

API, CLAUDE, COMMAND, HOST = WorkerKind.API, WorkerKind.CLAUDE, WorkerKind.COMMAND, WorkerKind.HOST
workers = st.sampled_from(WorkerKind)


def task(name: str = "a", **fields: object) -> model.Task:
    return model.Task.model_validate({"id": name, "do": name, **fields})


def row(name: str, worker: WorkerKind, state: TaskState) -> records.TaskRecord:
    return records.TaskRecord(id=name, position=0, worker=worker, state=state)


@st.composite
def plans(draw: st.DrawFn) -> tuple[list[model.Task], dict[str, WorkerKind]]:
    size = draw(st.integers(1, 8))
    tasks = [
        task(
            f"t{n}",
            deps=[f"t{dep}" for dep in draw(st.sets(st.integers(0, n - 1), max_size=2))] if n else [],
            files=draw(st.sampled_from([[], ["a.py"]])),
            isolation=draw(st.sampled_from(["shared", "worktree"])),
        )
        for n in range(size)
    ]
    return tasks, {one.id: draw(workers) for one in tasks}


@pytest.mark.parametrize(
    ("fields", "worker", "own"),
    [
        ({}, API, False),
        ({"files": ["a.py"]}, API, True),
        ({"files": ["a.py"]}, CLAUDE, True),
        ({"files": ["a.py"]}, COMMAND, True),
        ({}, COMMAND, False),
        ({"files": ["a.py"]}, HOST, False),
        ({"isolation": "worktree"}, COMMAND, True),
        ({"isolation": "worktree"}, HOST, False),
        ({"isolation": "worktree", "files": ["a.py"]}, WorkerKind.HUMAN, False),
    ],
)
def test_who_changes_files_does_so_in_a_place_of_its_own(
    fields: dict[str, Any], worker: WorkerKind, *, own: bool
) -> None:
    assert task_isolation.is_own(task(**fields), worker) == own


@given(plans())
def test_whoever_has_a_worktree_is_placed_and_whoever_comes_behind_sees_what_was_merged(
    plan: tuple[list[model.Task], dict[str, WorkerKind]],
) -> None:
    tasks, kinds = plan
    places = task_isolation.placement(tasks, kinds)
    own = {one.id for one in tasks if task_isolation.is_own(one, kinds[one.id])}
    assert {name for name, place in places.items() if place.isolation == "own"} == own
    behind: set[str] = set()
    for one in tasks:
        if any(dep in own | behind for dep in one.deps):
            behind.add(one.id)
    merged = {name for name, place in places.items() if place.isolation == "merged"}
    assert merged == {name for name in behind - own if kinds[name] in (API, CLAUDE, COMMAND)}


def test_whoever_comes_later_behind_a_worktree_sees_what_was_merged_too() -> None:
    chain = [task("a", files=["a.py"]), task("b", deps=["a"]), task("c", deps=["b"]), task("d")]
    places = task_isolation.placement(chain, dict.fromkeys("abcd", COMMAND))
    assert {name: place.isolation for name, place in places.items()} == {"a": "own", "b": "merged", "c": "merged"}
    assert task_isolation.SHARED.isolation == "shared"


@given(plans())
def test_ranks_are_places_in_topological_order(plan: tuple[list[model.Task], dict[str, WorkerKind]]) -> None:
    tasks, kinds = plan
    places = task_isolation.placement(tasks, kinds)
    order = [tasks[position].id for position in graph.graph_of(tasks).order]
    assert all(order[place.rank] == name for name, place in places.items())


@pytest.mark.parametrize("state", TaskState)
def test_only_a_success_in_a_worktree_leaves_changes_to_take_over(state: TaskState) -> None:
    tasks = [task("a", files=["a.py"]), task("b")]
    changed = task_isolation.has_changes(tasks, [row("a", API, state), row("b", API, TaskState.SUCCEEDED)])
    assert changed == (state in (TaskState.SUCCEEDED, TaskState.UNVERIFIED))
    assert not task_isolation.has_changes(tasks, [row("a", HOST, state)])


def test_the_host_hears_of_nothing_when_there_is_nothing_to_see_to() -> None:
    assert task_isolation.host_notices(task(), "r" * 32, has_merged=False) == ()


def test_the_host_hears_where_changes_are_and_that_it_has_to_keep_apart() -> None:
    plan = [task("a", files=["a.py"]), task("b", isolation="worktree")]
    rows = [row("a", API, TaskState.SUCCEEDED), row("b", HOST, TaskState.READY)]
    apart, where = task_isolation.host_notices(plan[1], "5f" * 16, has_merged=task_isolation.has_changes(plan, rows))
    assert "git worktree of your own" in apart
    assert f"refs/dispatch/{'5f' * 16}" in where
