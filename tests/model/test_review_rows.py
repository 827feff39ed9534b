"""What the row of a task says of a review: whether it objects, is asked, stands against its work, or was let go."""

from __future__ import annotations

import itertools

import pytest

from dispatch_mcp import model
from dispatch_mcp.model import AttemptState, TaskState, WorkerKind, failures, transitions
from dispatch_mcp.model.transitions import TaskRow

CAUSES = ("", transitions.NEEDS_CHANGES, transitions.BY_USER, transitions.REMOVED, f"{transitions.UPSTREAM}work")
ROWS = [
    TaskRow("review", WorkerKind.API, state, attempt, cause=cause, rounds=rounds)
    for state, attempt, cause, rounds in itertools.product(TaskState, (0, 1, 4), CAUSES, (0, 2))
]
PASSED = (TaskState.SUCCEEDED, TaskState.UNVERIFIED)


def was_let_go(row: TaskRow) -> bool:
    """Says it again in other words: it passed, or somebody did without it for its own sake."""
    return row.state in PASSED or (row.state is TaskState.SKIPPED and "upstream" not in row.cause)


def test_a_review_is_awaited_from_its_first_attempt_until_it_passes_or_somebody_does_without_it() -> None:
    for row in ROWS:
        assert transitions.is_awaited(row) == (row.attempt > 0 and not was_let_go(row)), row


def test_a_review_that_is_at_work_is_awaited_and_not_yet_asked_before() -> None:
    for row in ROWS:
        is_running = row.state is TaskState.RUNNING
        assert transitions.is_asked(row) == (transitions.is_awaited(row) and not is_running), row


def test_a_review_that_failed_stands_against_its_work_and_so_does_one_that_blocked_until_it_is_let_go() -> None:
    for row in ROWS:
        is_against = row.state is TaskState.FAILED or (row.rounds > 0 and not was_let_go(row))
        assert transitions.stands_against(row) == is_against, row


def test_only_a_review_that_waits_for_its_work_to_be_mended_objects() -> None:
    objecting = {(row.state, row.cause) for row in ROWS if transitions.is_objecting(row)}
    assert objecting == {(TaskState.BLOCKED, transitions.NEEDS_CHANGES)}


def test_what_objects_runs_or_is_over_for_its_own_sake_is_fixed() -> None:
    for row in ROWS:
        is_skipped_for_others = row.state is TaskState.SKIPPED and row.cause in CAUSES[3:]
        is_open = row.state in (TaskState.BLOCKED, TaskState.READY) and not transitions.is_objecting(row)
        assert transitions.is_fixed(row) == (not is_open and not is_skipped_for_others), row


def test_nothing_is_both_closed_by_others_and_let_go_but_what_was_cancelled_never_ends_well() -> None:
    for row in ROWS:
        if transitions.is_closed_by_others(row):
            assert row.state in (TaskState.CANCELLED, TaskState.SKIPPED), row
            assert not was_let_go(row), row


@pytest.mark.parametrize(
    ("output", "decision"),
    [
        ({"outcome": "FAIL", "why": "two objections"}, {"outcome": "FAIL", "why": "two objections"}),
        ({"outcome": "PASS"}, {"outcome": "PASS", "why": ""}),
        ({"outcome": None, "why": 3, "findings": []}, {"outcome": "None", "why": "3"}),
        ({"why": "no outcome"}, {}),
        ({}, {}),
        (["outcome"], {}),
        ("outcome", {}),
        (None, {}),
    ],
)
def test_the_decision_of_a_council_is_read_from_the_output_that_has_one(
    output: model.Json, decision: dict[str, str]
) -> None:
    outcome = model.Outcome(state=AttemptState.SUCCEEDED, output=output)
    assert transitions.council_decision(outcome) == decision


def test_a_task_that_was_taken_out_and_comes_back_has_no_longer_been_removed() -> None:
    task = model.Task(id="t", do="do")
    for cause in CAUSES:
        row = TaskRow("t", WorkerKind.HOST, TaskState.CANCELLED, cause=cause)
        back = transitions.row_in_version(row, task, WorkerKind.API)
        assert back.worker is WorkerKind.API
        assert back.cause == ("" if cause == transitions.REMOVED else cause)


@pytest.mark.parametrize(
    ("kind", "is_ours", "keeps_answer"),
    [
        ("internal_error", True, True),
        ("not_kept", True, True),
        ("git_failed", True, True),
        ("broken_filter", False, True),
        ("no_worktree", False, True),
        ("no_workspace", False, False),
        ("timeout", False, False),
        ("", False, False),
        ("made up", False, False),
    ],
)
def test_an_answer_outlives_what_is_no_fault_of_its_worker(kind: str, *, is_ours: bool, keeps_answer: bool) -> None:
    assert (failures.is_ours(kind), failures.keeps_answer(kind)) == (is_ours, keeps_answer)
