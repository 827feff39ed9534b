"""Who comes before whom, and in which order those are put that must not run side by side."""

from __future__ import annotations

import itertools

import graph_samples
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thoroughness import examples

from dispatch_mcp.planning import conflicts, graph, schedule

Drawn = tuple[graph.Graph, list[float], set[tuple[int, int]]]


@st.composite
def rivalries(draw: st.DrawFn) -> Drawn:
    """A graph in any numbering, with minutes, and pairs of tasks that must not run beside each other."""
    plan, minutes = draw(graph_samples.work())
    size = len(minutes)
    pairs = (
        draw(st.sets(st.sampled_from([*itertools.combinations(range(size), 2)]), max_size=6))
        if size > 1
        else set[tuple[int, int]]()
    )
    return plan, minutes, pairs


def is_before(reach: conflicts.Reach, first: int, second: int) -> bool:
    """Returns whether the second waits for the first, directly or not."""
    place = reach.line.place
    return first != second and bool(reach.before[place[second]] >> place[first] & 1)


def lined_up(plan: graph.Graph, minutes: list[float]) -> conflicts.Line:
    return conflicts.line_up(plan, schedule.times(plan, minutes).tails)


def masks_of(pairs: set[tuple[int, int]], line: conflicts.Line) -> dict[int, int]:
    """Returns each task's rivals as a bit set of their places."""
    masks: dict[int, int] = {}
    for one, other in pairs:
        masks[one] = masks.get(one, 0) | 1 << line.place[other]
        masks[other] = masks.get(other, 0) | 1 << line.place[one]
    return masks


def ancestors(plan: graph.Graph, added: tuple[tuple[int, int], ...] = ()) -> dict[int, set[int]]:
    """Returns for each task all that it waits for, found by walking back."""
    above = {
        node: {*deps, *(before for before, after in added if after == node)} for node, deps in enumerate(plan.deps)
    }
    for _ in above:
        above = {node: deps.union(*(above[dep] for dep in deps)) for node, deps in above.items()}
    return above


@given(rivalries())
def test_the_line_holds_every_task_once_after_all_it_waits_for_and_by_latest_start(drawn: Drawn) -> None:
    plan, minutes, _ = drawn
    tails = schedule.times(plan, minutes).tails
    line = conflicts.line_up(plan, tails)
    assert [line.place[node] for node in line.nodes] == list(range(len(minutes)))
    assert all(line.place[dep] < line.place[node] for node, deps in enumerate(plan.deps) for dep in deps)
    assert [tails[node] for node in line.nodes] == sorted(tails, reverse=True)


@given(rivalries())
def test_a_task_is_before_another_exactly_if_a_way_of_dependencies_leads_there(drawn: Drawn) -> None:
    plan, minutes, _ = drawn
    reach = conflicts.sweep(plan, lined_up(plan, minutes), {})
    above = ancestors(plan)
    for first, second in itertools.product(range(len(minutes)), repeat=2):
        assert is_before(reach, first, second) is (first in above[second])
    assert reach.added == ()


@given(rivalries())
def test_a_dependency_is_implied_exactly_if_another_one_waits_for_it_too(drawn: Drawn) -> None:
    plan, _, _ = drawn
    implied = graph.implied(plan)
    above = ancestors(plan)
    for node, deps in enumerate(plan.deps):
        assert set(implied.get(node, ())) == {dep for dep in deps if any(dep in above[other] for other in deps)}


@settings(max_examples=examples(200))
@given(rivalries())
def test_rivals_come_one_after_the_other_and_no_edge_is_added_for_nothing(drawn: Drawn) -> None:
    plan, minutes, pairs = drawn
    line = lined_up(plan, minutes)
    reach = conflicts.sweep(plan, line, masks_of(pairs, line))
    above = ancestors(plan, reach.added)
    assert all(node not in above[node] for node in above)
    assert all(one in above[other] or other in above[one] for one, other in pairs)
    for first, second in itertools.product(range(len(minutes)), repeat=2):
        assert is_before(reach, first, second) is (first in above[second])
    for before, after in reach.added:
        rest = tuple(edge for edge in reach.added if edge != (before, after))
        assert (before, after) in pairs or (after, before) in pairs
        assert line.place[before] < line.place[after]
        assert before not in ancestors(plan, rest)[after]


@given(rivalries())
def test_pairs_that_nothing_orders_are_listed_once_each_from_the_later_to_the_earlier(drawn: Drawn) -> None:
    plan, minutes, pairs = drawn
    line = lined_up(plan, minutes)
    reach = conflicts.sweep(plan, line, {})
    free = [
        (line.nodes[place], later)
        for later, mask in conflicts.unordered_pairs(reach, masks_of(pairs, line))
        for place in conflicts.places(mask)
    ]
    above = ancestors(plan)
    unordered = {pair for pair in pairs if pair[0] not in above[pair[1]] and pair[1] not in above[pair[0]]}
    assert {tuple(sorted(pair)) for pair in free} == unordered
    assert len(free) == len(unordered)
    assert all(line.place[earlier] < line.place[later] for earlier, later in free)
    assert [line.place[later] for _, later in free] == sorted(line.place[later] for _, later in free)


@given(rivalries())
def test_once_rivals_are_ordered_no_pair_of_them_is_left(drawn: Drawn) -> None:
    plan, minutes, pairs = drawn
    line = lined_up(plan, minutes)
    masks = masks_of(pairs, line)
    assert list(conflicts.unordered_pairs(conflicts.sweep(plan, line, masks), masks)) == []


@pytest.mark.parametrize(
    ("mask", "places"), [(0, []), (1, [0]), (0b1010, [3, 1]), (1 << 9_999 | 1, [9_999, 0])], ids=str
)
def test_a_bit_set_gives_its_places_last_first(mask: int, places: list[int]) -> None:
    assert list(conflicts.places(mask)) == places


def test_three_who_write_one_file_stand_in_a_row_and_not_in_a_triangle() -> None:
    plan = graph.build([("a", []), ("b", []), ("c", [])])
    line = lined_up(plan, [3.0, 2.0, 1.0])
    reach = conflicts.sweep(plan, line, masks_of({(0, 1), (0, 2), (1, 2)}, line))
    assert reach.added == ((0, 1), (1, 2))
