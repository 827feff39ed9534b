from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.model import TASK_FINAL, TaskState, WorkerKind, transitions
from dispatch_mcp.planning import graph
from dispatch_mcp.runs import dependencies

CLOSED_FOR_OTHERS = f"{transitions.UPSTREAM}a"


class Scene(NamedTuple):
    """A graph, and where each of its tasks stands."""

    tasks: graph.Graph
    rows: list[transitions.TaskRow]

    def ids(self, positions: set[int] | list[int]) -> list[str]:
        return [self.tasks.ids[position] for position in sorted(positions)]

    def ancestors(self, position: int) -> set[int]:
        above: set[int] = set()
        stack = [position]
        while stack:
            for dep in self.tasks.deps[stack.pop()]:
                if dep not in above:
                    above.add(dep)
                    stack.append(dep)
        return above


def scene(edges: str, **states: TaskState | tuple[TaskState, str]) -> Scene:
    """`edges` as "b:a c:ab" (task:dependencies); tasks without a state are blocked."""
    pairs = [(edge.partition(":")[0], tuple(edge.partition(":")[2])) for edge in edges.split()]
    rows: list[transitions.TaskRow] = []
    for name, _ in pairs:
        state = states.get(name, TaskState.BLOCKED)
        state, cause = state if isinstance(state, tuple) else (state, "")
        rows.append(transitions.TaskRow(name, WorkerKind.API, state, cause=cause))
    return Scene(graph.build(pairs), rows)


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    size = draw(st.integers(1, 9))
    edges = [
        (f"t{n}", [f"t{dep}" for dep in sorted(draw(st.sets(st.integers(0, n - 1), max_size=3)))] if n else [])
        for n in range(size)
    ]
    causes = st.sampled_from(["", transitions.BY_USER, CLOSED_FOR_OTHERS])
    rows = [
        transitions.TaskRow(name, WorkerKind.API, draw(st.sampled_from(TaskState)), cause=draw(causes))
        for name, _ in edges
    ]
    return Scene(graph.build(edges), rows)


@pytest.mark.parametrize(
    ("state", "cause", "satisfied", "hopeful"),
    [
        (TaskState.SUCCEEDED, "", True, True),
        (TaskState.UNVERIFIED, "", True, True),
        (TaskState.SKIPPED, transitions.BY_USER, True, True),
        (TaskState.SKIPPED, CLOSED_FOR_OTHERS, False, False),
        (TaskState.SKIPPED, transitions.REMOVED, False, False),
        (TaskState.FAILED, "", False, False),
        (TaskState.CANCELLED, "", False, False),
        (TaskState.RUNNING, "", False, True),
        (TaskState.READY, "", False, True),
        (TaskState.BLOCKED, "", False, True),
    ],
)
def test_what_a_state_means_for_whoever_waits(state: TaskState, cause: str, *, satisfied: bool, hopeful: bool) -> None:
    row = transitions.TaskRow("a", WorkerKind.API, state, cause=cause)
    assert (dependencies.is_satisfied(row), dependencies.may_satisfy(row)) == (satisfied, hopeful)


@given(scenes())
def test_whoever_is_satisfied_may_satisfy(a_scene: Scene) -> None:
    for row in a_scene.rows:
        assert dependencies.may_satisfy(row) or not dependencies.is_satisfied(row)


def test_a_retry_of_the_last_task_reaches_back_to_what_failed_first() -> None:
    chain = scene("a: b:a c:b d:", a=TaskState.FAILED, b=(TaskState.SKIPPED, CLOSED_FOR_OTHERS), c=TaskState.CANCELLED)
    assert chain.ids(dependencies.lost_upstream(chain.tasks, chain.rows, 2)) == ["a", "b"]


def test_what_has_a_result_is_not_reopened_nor_what_lies_behind_it() -> None:
    chain = scene("a: b:a c:b", a=TaskState.FAILED, b=TaskState.SUCCEEDED, c=TaskState.CANCELLED)
    assert dependencies.lost_upstream(chain.tasks, chain.rows, 2) == set()


@given(scenes(), st.data())
def test_everything_lost_upstream_is_closed_upstream_and_nothing_is_forgotten(
    a_scene: Scene, data: st.DataObject
) -> None:
    position = data.draw(st.integers(0, len(a_scene.rows) - 1))
    lost = dependencies.lost_upstream(a_scene.tasks, a_scene.rows, position)
    assert lost <= a_scene.ancestors(position)
    assert not any(dependencies.may_satisfy(a_scene.rows[dep]) for dep in lost)
    for dependant in {position, *lost}:
        hopeless = {dep for dep in a_scene.tasks.deps[dependant] if not dependencies.may_satisfy(a_scene.rows[dep])}
        assert hopeless <= lost


def test_only_blocked_tasks_are_below_a_lost_one() -> None:
    tree = scene("a: b:a c:b d:a e:d", a=TaskState.FAILED, d=TaskState.SUCCEEDED)
    assert tree.ids(list(dependencies.blocked_downstream(tree.tasks, tree.rows, 0))) == ["b", "c"]


def test_a_task_that_two_others_lead_to_comes_once() -> None:
    diamond = scene("a: b:a c:a d:bc e:d", a=TaskState.FAILED)
    assert sorted(dependencies.blocked_downstream(diamond.tasks, diamond.rows, 0)) == [1, 2, 3, 4]


@given(a_scene=scenes(), close=st.booleans())
def test_each_task_below_comes_once_whether_or_not_it_is_closed_meanwhile(a_scene: Scene, *, close: bool) -> None:
    positions: list[int] = []
    for position in dependencies.blocked_downstream(a_scene.tasks, a_scene.rows, 0):
        positions.append(position)
        if close:
            a_scene.rows[position].state = TaskState.SKIPPED
    assert len(positions) == len(set(positions))
    assert all(0 in a_scene.ancestors(position) for position in positions)


def test_a_join_stays_closed_while_another_dependency_is_lost() -> None:
    skipped = (TaskState.SKIPPED, CLOSED_FOR_OTHERS)
    join = scene("a: b: c:a d:ab e:c", a=TaskState.FAILED, b=TaskState.FAILED, c=skipped, d=skipped, e=skipped)
    assert join.ids(dependencies.revived_with(join.tasks, join.rows, {0})) == ["a", "c", "e"]
    assert join.ids(dependencies.revived_with(join.tasks, join.rows, {0, 1})) == ["a", "b", "c", "d", "e"]


@given(scenes(), st.data())
def test_whoever_is_revived_can_come_to_an_end_and_was_closed_for_others_only(
    a_scene: Scene, data: st.DataObject
) -> None:
    seeds = data.draw(st.sets(st.integers(0, len(a_scene.rows) - 1)))
    revived = set(dependencies.revived_with(a_scene.tasks, a_scene.rows, seeds))
    assert seeds <= revived
    for position in revived - seeds:
        assert transitions.is_closed_by_others(a_scene.rows[position])
        deps = a_scene.tasks.deps[position]
        assert all(dep in revived or dependencies.may_satisfy(a_scene.rows[dep]) for dep in deps)
        assert seeds & a_scene.ancestors(position)


def test_a_task_that_has_not_begun_stands_where_its_dependencies_put_it() -> None:
    plan = scene("a: b: c:ab d:a e:", a=TaskState.SUCCEEDED, b=TaskState.FAILED)
    standings = [dependencies.standing(plan.tasks, plan.rows, position) for position in (2, 3, 4)]
    assert standings == [(TaskState.SKIPPED, "upstream:b"), (TaskState.READY, ""), (TaskState.READY, "")]
    waiting = scene("a: b:a", a=TaskState.RUNNING)
    assert dependencies.standing(waiting.tasks, waiting.rows, 1) == (TaskState.BLOCKED, "")


@given(scenes())
def test_a_standing_is_closed_exactly_when_a_dependency_is_lost(a_scene: Scene) -> None:
    for position, deps in enumerate(a_scene.tasks.deps):
        state, cause = dependencies.standing(a_scene.tasks, a_scene.rows, position)
        lost = any(not dependencies.may_satisfy(a_scene.rows[dep]) for dep in deps)
        assert (state in TASK_FINAL) == lost == bool(cause)
