"""Which decisions and reviews stand between a task and its beginning."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp import model
from dispatch_mcp.model import TaskState, WorkerKind, transitions
from dispatch_mcp.planning import edit_rules, gated_work


def task(task_id: str, *deps: str, **fields: model.Json) -> model.Task:
    return model.Task.model_validate({"id": task_id, "do": "it", "deps": deps, **fields})


PLAN = (
    task("ask", worker="human"),
    task("a", "ask"),
    task("check", "a", reviews=["a"]),
    task("b", "check"),
    task("c", "b"),
    task("aside"),
)


def rows(**states: TaskState) -> list[transitions.TaskRow]:
    return [
        transitions.TaskRow(one.id, one.worker or WorkerKind.HOST, states.get(one.id, TaskState.BLOCKED))
        for one in PLAN
    ]


@pytest.mark.parametrize(
    ("state", "waiting"),
    [
        (TaskState.READY, {"ask", "a", "check", "b", "c"}),
        (TaskState.FAILED, {"ask", "a", "check", "b", "c"}),
        (TaskState.SKIPPED, {"ask", "a", "check", "b", "c"}),
        (TaskState.SUCCEEDED, set[str]()),
    ],
)
def test_a_decision_keeps_back_all_behind_it_until_a_person_has_approved(state: TaskState, waiting: set[str]) -> None:
    for one in PLAN:
        gate = edit_rules.undecided(one.id, PLAN, rows(ask=state))
        assert gate == ("ask" if one.id in waiting else "")


@pytest.mark.parametrize(
    ("state", "rounds", "waiting"),
    [
        (TaskState.FAILED, 0, {"check", "b", "c"}),
        (TaskState.BLOCKED, 1, {"check", "b", "c"}),
        (TaskState.READY, 1, {"check", "b", "c"}),
        (TaskState.BLOCKED, 0, set[str]()),
        (TaskState.SUCCEEDED, 1, set[str]()),
        (TaskState.SKIPPED, 2, set[str]()),
    ],
)
def test_a_review_keeps_back_all_behind_it_from_its_no_until_it_passes(
    state: TaskState, rounds: int, waiting: set[str]
) -> None:
    standing = rows(check=state)
    for row in standing:
        row.rounds = rounds if row.id == "check" else 0
    for one in PLAN:
        review = edit_rules.blocking_review(one.id, PLAN, standing)
        assert review == ("check" if one.id in waiting else "")


def test_work_that_failed_is_no_review() -> None:
    assert edit_rules.blocking_review("c", PLAN, rows(b=TaskState.FAILED)) == ""


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12))
def test_behind_a_task_is_what_a_way_of_dependencies_leads_to(pairs: Sequence[tuple[int, int]]) -> None:
    deps: dict[int, set[int]] = {
        node: {dep for after, dep in pairs if after == node and dep < node} for node in range(7)
    }
    plan = [task(f"t{node}", *(f"t{dep}" for dep in sorted(before))) for node, before in deps.items()]
    reached = {(dep, node) for node, before in deps.items() for dep in before}
    while more := {(one, last) for (one, two), (other, last) in itertools.product(reached, repeat=2) if two == other}:
        if more <= reached:
            break
        reached |= more
    for node in range(7):
        assert gated_work.behind(f"t{node}", plan) == {f"t{after}" for first, after in reached if first == node}


def test_edges_of_planning_go_but_for_those_into_what_stays() -> None:
    plan = [task("a"), task("b", "a", "x"), task("c", "a", "b")]
    added = [
        model.AddedEdge(before="a", after="b", reason="r"),
        model.AddedEdge(before="b", after="c", reason="r"),
        model.AddedEdge(before="z", after="a", reason="r"),
    ]
    assert [one.deps for one in edit_rules.bare(plan, added)] == [(), ("x",), ("a",)]
    assert [one.deps for one in edit_rules.bare(plan, added, keep={"c"})] == [(), ("x",), ("a", "b")]
    assert edit_rules.bare(plan, []) == plan
