from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.model import WorkerKind, transitions
from dispatch_mcp.runs import retry_policy

POLICY = retry_policy.RetryPolicy()
COUNTS = st.integers(0, 10_000)


def row(task_id: str = "a", *, attempt: int = 1, failures: int = 1, crashes: int = 0) -> transitions.TaskRow:
    return transitions.TaskRow(task_id, WorkerKind.API, attempt=attempt, failures=failures, crashes=crashes)


@given(st.text(), st.text(), st.integers(1, 10_000), COUNTS)
def test_a_backoff_is_half_to_all_of_a_doubled_delay_below_the_cap(
    run_id: str, task_id: str, failures: int, attempt: int
) -> None:
    full = min(POLICY.backoff_cap_s, POLICY.backoff_base_s * 2 ** min(failures - 1, 100))
    delay = POLICY.backoff_s(run_id, row(task_id, attempt=attempt, failures=failures))
    assert full / 2 <= delay <= full


@given(st.text(), st.text(), COUNTS, st.none() | st.floats(0, 1e9))
def test_the_same_attempt_always_waits_the_same(
    run_id: str, task_id: str, attempt: int, requested_s: float | None
) -> None:
    first, second = (row(task_id, attempt=attempt) for _ in range(2))
    assert POLICY.backoff_s(run_id, first) == POLICY.backoff_s(run_id, second)
    assert POLICY.hold_s(run_id, first, requested_s) == POLICY.hold_s(run_id, second, requested_s)


def test_tasks_that_failed_together_do_not_come_back_together() -> None:
    delays = {POLICY.backoff_s("run", row(f"t{n}")) for n in range(100)}
    assert len(delays) > 50
    assert max(delays) - min(delays) > 0.4


def test_the_attempts_of_one_task_are_spread_as_well() -> None:
    assert len({POLICY.backoff_s("run", row(attempt=attempt)) for attempt in range(1, 30)}) > 15


@given(st.floats(0, 1e12))
def test_a_rate_limit_is_obeyed_within_bounds_and_never_cut_short(requested_s: float) -> None:
    hold = POLICY.hold_s("run", row(), requested_s)
    bounded = min(max(requested_s, POLICY.backoff_base_s), POLICY.longest_hold_s)
    assert bounded <= hold <= bounded * 1.1


@given(st.integers(1, 5_000), st.integers(0, 10), st.integers(0, 10))
def test_limits_that_name_no_time_hold_longer_each_time_that_one_is_met(
    limits_met: int, failures: int, crashes: int
) -> None:
    met = row(attempt=limits_met + failures + crashes, failures=failures, crashes=crashes)
    base = min(POLICY.hold_cap_s, POLICY.hold_base_s * 2 ** min(limits_met - 1, 100))
    assert base <= POLICY.hold_s("run", met, None) <= base * 1.1


def test_failures_and_crashes_are_not_taken_for_limits() -> None:
    patient = row(attempt=9, failures=5, crashes=3)
    assert POLICY.hold_s("run", patient, None) <= POLICY.hold_base_s * 1.1


@pytest.mark.parametrize(
    "others", [{"rounds": 4}, {"false_starts": 4}, {"host_losses": 4}, {"rounds": 3, "false_starts": 1}]
)
def test_rounds_of_a_review_missing_agents_and_lost_hosts_are_not_taken_for_limits(others: dict[str, int]) -> None:
    judged = dataclasses.replace(row(attempt=6, failures=1), **others)
    assert POLICY.hold_s("run", judged, None) <= POLICY.hold_base_s * 1.1
    assert POLICY.hold_s("run", dataclasses.replace(judged, attempt=7), None) >= POLICY.hold_base_s * 2


def test_holds_are_spread_over_a_tenth_and_backoffs_over_half_from_the_very_least_on() -> None:
    rows = [row(f"t{number}") for number in range(2_000)]
    holds = [POLICY.hold_s("run", each, 100.0) for each in rows]
    assert min(holds) == 100.0
    assert 109.9 < max(holds) < 110.0
    backoffs = [POLICY.backoff_s("run", each) for each in rows]
    assert min(backoffs) == 0.5
    assert 0.99 < max(backoffs) < 1.0


def test_the_times_are_those_that_the_comment_gives_reasons_for() -> None:
    assert (POLICY.backoff_base_s, POLICY.backoff_cap_s, POLICY.fault_base_s) == (1.0, 60.0, 2.0)
    assert (POLICY.hold_base_s, POLICY.hold_cap_s, POLICY.longest_hold_s) == (15.0, 900.0, 21_600.0)
    assert (POLICY.max_crashes, POLICY.max_host_losses) == (3, 10)


@pytest.mark.parametrize(("failures", "most"), [(1, 2.0), (2, 4.0), (3, 5.0), (9, 5.0)])
def test_another_policy_is_another_wait(failures: int, most: float) -> None:
    policy = retry_policy.RetryPolicy(backoff_base_s=2.0, backoff_cap_s=5.0)
    assert most / 2 <= policy.backoff_s("run", row(failures=failures)) <= most


@pytest.mark.parametrize("crashes", range(1, 6))
def test_a_fault_waits_twice_as_long_as_a_failure_whatever_has_failed_before(crashes: int) -> None:
    hurt = row(failures=0, crashes=crashes)
    assert POLICY.fault_s("run", hurt, transitions.FAULT) == 2 * POLICY.backoff_s("run", row(failures=crashes))
    lost = dataclasses.replace(row(crashes=9), host_losses=crashes)
    assert POLICY.fault_s("run", lost, transitions.HOST_LOST) == POLICY.fault_s("run", hurt, transitions.FAULT)
