"""Task graphs as integers, held against what a plain search of all paths says."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thoroughness import examples

from dispatch_mcp import model
from dispatch_mcp.planning import graph, schedule

Deps = list[list[int]]


def _dags(size: int) -> st.SearchStrategy[Deps]:
    """Graphs of that many nodes in which each waits for some before it, then in a random numbering."""
    rows = st.tuples(*[st.lists(st.integers(0, node - 1), max_size=3) if node else st.just([]) for node in range(size)])
    return st.tuples(rows, st.permutations(range(size))).map(_renumbered)


def _renumbered(drawn: tuple[tuple[list[int], ...], Sequence[int]]) -> Deps:
    rows, number = drawn
    deps: Deps = [[] for _ in rows]
    for node, needs in enumerate(rows):
        deps[number[node]] = [number[dep] for dep in needs]
    return deps


DAGS = st.integers(0, 7).flatmap(_dags)
DIGRAPHS = st.integers(1, 6).flatmap(
    lambda size: st.lists(st.sets(st.integers(0, size - 1), max_size=3), min_size=size, max_size=size).map(
        lambda rows: [[dep for dep in sorted(needs) if dep != node] for node, needs in enumerate(rows)]
    )
)


def named(deps: Sequence[Sequence[int]]) -> list[tuple[str, list[str]]]:
    return [(f"t{node}", [f"t{dep}" for dep in needs]) for node, needs in enumerate(deps)]


def paths_from(node: int, followers: Sequence[Sequence[int]]) -> Iterator[tuple[int, ...]]:
    """Yields every path that begins at a node of an acyclic graph and cannot be made longer."""
    if not followers[node]:
        yield (node,)
    for follower in followers[node]:
        yield from ((node, *rest) for rest in paths_from(follower, followers))


def all_cycles(deps: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """Returns every cycle of a small graph, each node once, beginning with its first, in the order of waiting."""
    nodes = range(len(deps))
    return [
        cycle
        for size in range(2, len(deps) + 1)
        for cycle in itertools.permutations(nodes, size)
        if cycle[0] == min(cycle) and all(cycle[at - 1] in deps[node] for at, node in enumerate(cycle))
    ]


@given(DAGS)
def test_a_graph_knows_for_every_task_whom_it_waits_for_and_who_waits_for_it(deps: Deps) -> None:
    plan = graph.build(named(deps))
    assert plan.ids == tuple(f"t{node}" for node in range(len(deps)))
    assert [plan.index[task_id] for task_id in plan.ids] == list(range(len(deps)))
    assert [list(needs) for needs in plan.deps] == [list(dict.fromkeys(needs)) for needs in deps]
    for node in range(len(deps)):
        assert plan.dependents[node] == tuple(other for other, needs in enumerate(deps) if node in needs)


@given(DAGS)
def test_the_order_of_a_graph_holds_every_task_once_and_after_all_it_waits_for(deps: Deps) -> None:
    order = graph.build(named(deps)).order
    assert sorted(order) == list(range(len(deps)))
    place = {node: at for at, node in enumerate(order)}
    assert all(place[dep] < place[node] for node, needs in enumerate(deps) for dep in needs)


def test_tasks_that_are_already_in_order_keep_it() -> None:
    assert graph.build([("a", []), ("b", []), ("c", ["a"]), ("d", ["b", "c"])]).order == (0, 1, 2, 3)
    assert graph.build([("d", ["c"]), ("c", ["a"]), ("b", []), ("a", [])]).order == (2, 3, 1, 0)
    assert graph.build([]).order == ()


Edges = list[tuple[str, list[str]]]
NO_GRAPHS: list[tuple[Edges, str]] = [
    ([("a", []), ("a", [])], "repeated id"),
    ([("a", ["b"])], "unknown dependency 'b'"),
    ([("a", ["a"])], "cycle"),
    ([("a", ["b"]), ("b", ["a"])], "cycle"),
    ([("a", []), ("b", ["c"]), ("c", ["d"]), ("d", ["b"])], "cycle"),
]


@pytest.mark.parametrize(("edges", "complaint"), NO_GRAPHS)
def test_what_is_no_graph_of_tasks_is_refused(edges: Edges, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        graph.build(edges)


def test_the_graph_of_tasks_is_that_of_their_ids_and_dependencies() -> None:
    tasks = [model.Task(id="b", do="it", deps=("a", "a")), model.Task(id="a", do="it")]
    assert graph.graph_of(tasks) == graph.build([("b", ["a"]), ("a", [])])


@given(DAGS, st.lists(st.integers(0, 9), min_size=7, max_size=7))
def test_a_tail_is_the_longest_way_from_the_start_of_a_task_to_the_end(deps: Deps, minutes: list[int]) -> None:
    plan = graph.build(named(deps))
    durations = [float(length) for length in minutes[: len(deps)]]
    longest = [
        max(sum(durations[step] for step in path) for path in paths_from(node, plan.dependents))
        for node in range(len(deps))
    ]
    assert schedule.tails(plan, durations) == longest


@given(DIGRAPHS)
def test_nodes_that_no_cycle_holds_back_come_in_order_and_the_others_are_left_out(deps: Deps) -> None:
    followers = [[other for other, needs in enumerate(deps) if node in needs] for node in range(len(deps))]
    on_cycle = {node for cycle in all_cycles(deps) for node in cycle}
    held_back = set(on_cycle)
    while more := {node for node, needs in enumerate(deps) if held_back & set(needs)} - held_back:
        held_back |= more
    order = graph.topological(deps, followers)
    assert set(order) == set(range(len(deps))) - held_back
    assert all(order.index(dep) < at for at, node in enumerate(order) for dep in deps[node])


@settings(max_examples=examples(200))
@given(DIGRAPHS)
def test_each_knot_of_a_graph_is_shown_by_one_of_its_shortest_cycles(deps: Deps) -> None:
    everything = all_cycles(deps)
    shown = graph.shortest_cycles(deps)
    assert all(tuple(cycle) in everything for cycle in shown)
    knots = joined(everything)
    assert [cycle[0] in knot for cycle, knot in zip(shown, knots, strict=True)] == [True] * len(knots)
    for cycle, knot in zip(shown, knots, strict=True):
        assert len(cycle) == min(len(other) for other in everything if set(other) <= knot)


def joined(cycles: Sequence[Sequence[int]]) -> list[set[int]]:
    """Returns the strongly connected parts that cycles make together, by their first node."""
    parts: list[set[int]] = []
    for cycle in cycles:
        touching = [part for part in parts if part & set(cycle)]
        parts = [part for part in parts if part not in touching] + [set(cycle).union(*touching)]
    return sorted(parts, key=min)


def test_two_knots_are_shown_apart_and_what_hangs_on_them_is_not_shown() -> None:
    deps = [[], [2, 0], [1], [2], [5, 3], [6], [4], [6]]
    assert graph.shortest_cycles(deps) == [[1, 2], [4, 6, 5]]
    assert graph.shortest_cycles([[1, 2], [0], [3], [2]]) == [[0, 1], [2, 3]]
    assert graph.shortest_cycles([[1], [0], [3, 0], [2]]) == [[0, 1], [2, 3]]
    assert graph.shortest_cycles([[], [0], [0, 1]]) == []
    assert graph.shortest_cycles([]) == []


@pytest.mark.parametrize("size", [2, 3, 50, 3_000])
def test_a_ring_with_a_shortcut_is_shown_by_the_shortcut(size: int) -> None:
    ring = [[(node - 1) % size] for node in range(size)]
    assert graph.shortest_cycles(ring) == [list(range(size))]
    ring[0].append(size // 2)
    assert graph.shortest_cycles(ring) == [list(range(size // 2 + 1))]


def test_a_graph_too_large_to_search_whole_is_shown_by_some_cycle() -> None:
    size = 1_500
    deps = [[other for other in range(max(0, node - 40), min(size, node + 2)) if other != node] for node in range(size)]
    (cycle,) = graph.shortest_cycles(deps)
    assert all(cycle[at - 1] in deps[node] for at, node in enumerate(cycle))
    assert len(cycle) == 2
