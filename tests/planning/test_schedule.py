"""When tasks can run, held against a simulation that knows nothing of heaps and tails."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import graph_samples
import pytest
from graph_samples import Work
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch_mcp.planning import graph, schedule


def minute_by_minute(plan: graph.Graph, minutes: Sequence[float], urgent: Sequence[int], workers: int) -> float:
    """Returns how long the plan takes when somebody looks every minute who is free and what is ready."""
    left = dict(enumerate(minutes))
    busy: list[int] = []
    done: set[int] = set()
    for now in itertools.count():
        changed = True
        while changed:
            finished = {node for node in busy if left[node] <= 0}
            done |= finished
            busy = [node for node in busy if node not in finished]
            ready = [node for node in urgent if node not in done and node not in busy and done >= set(plan.deps[node])]
            begun = ready[: workers - len(busy)]
            busy += begun
            changed = bool(finished or any(left[node] <= 0 for node in begun))
        if len(done) == len(minutes):
            return float(now)
        for node in busy:
            left[node] -= 1
    raise AssertionError


@given(graph_samples.work())
def test_a_task_can_start_when_the_last_of_those_it_waits_for_has_ended(drawn: Work) -> None:
    plan, minutes = drawn
    at = schedule.times(plan, minutes)
    assert at.minutes == tuple(minutes)
    for node, deps in enumerate(plan.deps):
        assert at.starts[node] == max((at.starts[dep] + minutes[dep] for dep in deps), default=0.0)


@given(graph_samples.work())
def test_the_critical_path_is_a_way_through_the_graph_that_takes_as_long_as_the_plan_must(drawn: Work) -> None:
    plan, minutes = drawn
    at = schedule.times(plan, minutes)
    path = schedule.critical_path(plan, at)
    assert not plan.deps[path[0]]
    assert not plan.dependents[path[-1]]
    assert all(before in plan.deps[after] for before, after in itertools.pairwise(path))
    assert sum(minutes[node] for node in path) == at.critical
    assert at.critical == max(start + length for start, length in zip(at.starts, minutes, strict=True))


@given(graph_samples.work())
def test_a_task_that_is_late_by_its_slack_makes_the_plan_no_longer_and_by_a_minute_more_it_does(drawn: Work) -> None:
    plan, minutes = drawn
    at = schedule.times(plan, minutes)
    for node, length in enumerate(minutes):
        for late, longer in ((at.slack(node), False), (at.slack(node) + 1, True)):
            delayed = [*minutes[:node], length + late, *minutes[node + 1 :]]
            assert (schedule.times(plan, delayed).critical > at.critical) is longer


@given(graph_samples.work())
def test_tasks_of_the_critical_path_have_no_slack(drawn: Work) -> None:
    plan, minutes = drawn
    at = schedule.times(plan, minutes)
    assert {at.slack(node) for node in schedule.critical_path(plan, at)} == {0.0}
    assert all(at.slack(node) >= 0 for node in range(len(minutes)))


@given(graph_samples.work())
def test_a_wave_holds_what_waits_only_for_earlier_waves_and_for_the_one_before(drawn: Work) -> None:
    plan, _ = drawn
    waves = schedule.waves(plan)
    depth = {node: level for level, wave in enumerate(waves) for node in wave}
    assert sorted(depth) == list(range(len(plan.ids)))
    assert all(list(wave) == sorted(wave) for wave in waves)
    for node, deps in enumerate(plan.deps):
        assert depth[node] == max((depth[dep] + 1 for dep in deps), default=0)


@given(graph_samples.work(), st.lists(st.integers(0, 2), min_size=7, max_size=7))
def test_the_most_urgent_task_has_the_longest_way_to_go_then_the_highest_priority(
    drawn: Work, ranks: list[int]
) -> None:
    plan, minutes = drawn
    at = schedule.times(plan, minutes)
    ranks = ranks[: len(minutes)]
    expected = sorted(range(len(minutes)), key=lambda node: (-at.tails[node], ranks[node], node))
    assert list(schedule.urgency(at, ranks)) == expected


@settings(max_examples=60)
@given(graph_samples.work(), st.integers(1, 4))
def test_a_plan_takes_as_long_as_somebody_with_a_watch_says(drawn: Work, workers: int) -> None:
    plan, minutes = drawn
    urgent = schedule.urgency(schedule.times(plan, minutes), [0] * len(minutes))
    assert schedule.makespan(plan, minutes, urgent, workers) == minute_by_minute(plan, minutes, urgent, workers)


@given(graph_samples.work(), st.integers(1, 8))
def test_no_number_of_workers_beats_the_critical_path_and_one_takes_the_sum(drawn: Work, workers: int) -> None:
    plan, minutes = drawn
    at = schedule.times(plan, minutes)
    urgent = schedule.urgency(at, [0] * len(minutes))
    span = schedule.makespan(plan, minutes, urgent, workers)
    assert max(at.critical, sum(minutes) / workers) <= span <= sum(minutes)
    assert schedule.makespan(plan, minutes, urgent, 1) == sum(minutes)
    assert schedule.makespan(plan, minutes, urgent, len(minutes)) == at.critical


@given(graph_samples.work())
def test_the_peak_is_the_most_tasks_that_overlap_at_any_time(drawn: Work) -> None:
    plan, minutes = drawn
    longer = [length + 1 for length in minutes]
    at = schedule.times(plan, longer)
    spans = list(zip(at.starts, longer, strict=True))
    moments = {start for start, _ in spans}
    assert schedule.peak(at) == max(
        sum(start <= moment < start + length for start, length in spans) for moment in moments
    )


def test_of_paths_that_are_equally_long_the_first_one_in_the_plan_is_called_critical() -> None:
    plan = graph.build([("a", []), ("b", []), ("c", ["b"]), ("d", ["a"]), ("e", ["a"])])
    assert schedule.critical_path(plan, schedule.times(plan, [1.0] * 5)) == (0, 3)
    assert schedule.critical_path(plan, schedule.times(plan, [1.0, 1.0, 2.0, 1.0, 1.0])) == (1, 2)


@pytest.mark.parametrize("workers", [1, 3])
def test_an_empty_plan_takes_no_time(workers: int) -> None:
    plan = graph.build([])
    at = schedule.times(plan, [])
    assert (at.critical, schedule.peak(at), schedule.waves(plan), schedule.critical_path(plan, at)) == (0.0, 0, (), ())
    assert schedule.makespan(plan, [], (), workers) == 0.0
