"""What holds of the table of legal moves whatever its rows are, and who carries a task out."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch_mcp import model
from dispatch_mcp.model import TaskState, WorkerKind, transitions

ACCEPTED = {TaskState.SUCCEEDED, TaskState.UNVERIFIED}
STATES = st.sampled_from(list(TaskState))
CAUSES = ["", transitions.BY_USER, transitions.REPLAYED, f"{transitions.UPSTREAM}a", transitions.REMOVED]
OTHER_CAUSES = [transitions.RATE_LIMIT, f"{transitions.LIMIT}dollars", transitions.UNUSABLE, "worker_died"]


def reachable(start: TaskState) -> set[TaskState]:
    """Returns every state to which moves lead from one, itself left out unless they lead back."""
    reached: set[TaskState] = set()
    waiting = [start]
    while waiting:
        new = transitions.MOVES[waiting.pop()] - reached
        reached |= new
        waiting.extend(new)
    return reached


def row(state: TaskState, cause: str = "", worker: WorkerKind = WorkerKind.HOST) -> transitions.TaskRow:
    return transitions.TaskRow("t", worker, state, cause=cause)


def test_every_state_of_a_task_has_a_row_and_moves_only_to_states_of_tasks() -> None:
    assert set(transitions.MOVES) == set(TaskState)
    assert {type(target) for targets in transitions.MOVES.values() for target in targets} == {TaskState}


@given(STATES)
def test_no_state_is_a_move_to_itself(state: TaskState) -> None:
    assert state not in transitions.MOVES[state]


@pytest.mark.promise("R3")
@pytest.mark.parametrize("state", sorted(ACCEPTED))
def test_what_was_accepted_is_done_again_or_stays_and_is_never_called_something_else(state: TaskState) -> None:
    assert transitions.MOVES[state] <= {TaskState.READY, TaskState.BLOCKED}


@pytest.mark.parametrize("state", [TaskState.BLOCKED, TaskState.READY])
def test_a_task_that_has_not_begun_can_come_to_every_state(state: TaskState) -> None:
    assert reachable(state) | {state} == set(TaskState)


@given(STATES)
def test_no_state_is_a_dead_end_for_work_that_may_still_be_done(state: TaskState) -> None:
    assert reachable(state) | {state} >= ACCEPTED


@given(STATES)
def test_a_task_runs_only_after_it_was_ready(state: TaskState) -> None:
    assert (TaskState.RUNNING in transitions.MOVES[state]) is (state is TaskState.READY)


@given(STATES)
def test_what_is_not_over_can_be_cancelled_and_what_is_over_cannot(state: TaskState) -> None:
    assert (TaskState.CANCELLED in transitions.MOVES[state]) is (state not in model.TASK_FINAL)


@given(STATES)
def test_a_task_is_skipped_only_before_it_has_succeeded(state: TaskState) -> None:
    may = TaskState.SKIPPED in transitions.MOVES[state]
    assert may is (state not in {*ACCEPTED, TaskState.SKIPPED})


@given(STATES.filter(lambda state: state in model.TASK_FINAL))
def test_what_is_opened_again_begins_anew_before_it_runs(state: TaskState) -> None:
    reopened = transitions.MOVES[state] - model.TASK_FINAL
    assert reopened <= {TaskState.READY, TaskState.BLOCKED}


@settings(max_examples=60)
@given(st.lists(st.integers(0, 20), max_size=25))
def test_on_any_way_through_the_table_whatever_ends_has_run_or_never_began(turns: list[int]) -> None:
    way = [TaskState.BLOCKED]
    for turn in turns:
        targets = sorted(transitions.MOVES[way[-1]])
        if not targets:
            break
        way.append(targets[turn % len(targets)])
    for before, after in itertools.pairwise(way):
        assert after not in ACCEPTED or before in {TaskState.RUNNING, TaskState.READY}
        assert after is not TaskState.RUNNING or before is TaskState.READY
        assert not {before, after} <= model.TASK_FINAL or after is TaskState.SKIPPED


@pytest.mark.parametrize(
    ("state", "cause", "fixed"),
    [
        (TaskState.BLOCKED, "", False),
        (TaskState.BLOCKED, transitions.NEEDS_CHANGES, True),
        (TaskState.READY, "", False),
        (TaskState.READY, transitions.RATE_LIMIT, False),
        (TaskState.RUNNING, "", True),
        (TaskState.SUCCEEDED, "", True),
        (TaskState.SUCCEEDED, transitions.REPLAYED, True),
        (TaskState.UNVERIFIED, "", True),
        (TaskState.FAILED, "worker_died", True),
        (TaskState.FAILED, f"{transitions.LIMIT}tokens", True),
        (TaskState.CANCELLED, "", True),
        (TaskState.SKIPPED, transitions.BY_USER, True),
        (TaskState.SKIPPED, "", True),
        (TaskState.SKIPPED, f"{transitions.UPSTREAM}a", False),
        (TaskState.SKIPPED, transitions.REMOVED, False),
    ],
)
def test_an_edit_may_change_only_what_neither_runs_nor_has_ended(state: TaskState, cause: str, *, fixed: bool) -> None:
    assert transitions.is_fixed(row(state, cause)) is fixed


@pytest.mark.parametrize("state", list(TaskState))
@pytest.mark.parametrize("cause", [*CAUSES, *OTHER_CAUSES])
def test_others_close_a_task_by_cancelling_it_or_by_failing_before_it(state: TaskState, cause: str) -> None:
    lost = state is TaskState.SKIPPED and cause.startswith(transitions.UPSTREAM)
    assert transitions.is_closed_by_others(row(state, cause)) is (state is TaskState.CANCELLED or lost)


@pytest.mark.parametrize("state", list(TaskState))
@pytest.mark.parametrize("rounds", [0, 1, 3])
def test_a_review_stands_against_its_subject_from_its_no_until_it_passes_or_is_waived(
    state: TaskState, rounds: int
) -> None:
    review = row(state, transitions.NEEDS_CHANGES)
    review.rounds = rounds
    over = state in {*ACCEPTED, TaskState.SKIPPED}
    assert transitions.stands_against(review) is (state is TaskState.FAILED or (rounds > 0 and not over))
    assert transitions.is_objecting(review) is (state is TaskState.BLOCKED)
    assert not transitions.is_objecting(row(state, transitions.SENT_BACK))


def test_the_words_for_causes_can_be_told_apart() -> None:
    words = [transitions.BY_USER, transitions.REPLAYED, transitions.UPSTREAM, transitions.REMOVED]
    words += [transitions.RATE_LIMIT, transitions.LIMIT, transitions.UNUSABLE, transitions.NEEDS_CHANGES]
    words += [transitions.SENT_BACK, transitions.INCONCLUSIVE, transitions.TIMEOUT]
    assert not [pair for pair in itertools.permutations(words, 2) if pair[0].startswith(pair[1])]


@pytest.mark.parametrize("default", list(WorkerKind))
@pytest.mark.parametrize(
    ("fields", "own"),
    [
        ({}, None),
        ({"command": ["make"]}, WorkerKind.COMMAND),
        ({"worker": "host", "command": ["make"]}, WorkerKind.HOST),
        ({"worker": "api"}, WorkerKind.API),
        ({"worker": "human"}, WorkerKind.HUMAN),
    ],
)
def test_a_task_is_done_by_whom_it_names_else_as_a_command_else_by_the_runs_own_worker(
    fields: dict[str, model.Json], own: WorkerKind | None, default: WorkerKind
) -> None:
    task = model.Task.model_validate({"id": "t", "do": "it", **fields})
    assert transitions.worker_of(task, default) is (own or default)


def test_every_worker_belongs_to_one_pool_and_people_and_assistants_to_their_own() -> None:
    pools = {transitions.pool(kind) for kind in WorkerKind}
    assert sorted(kind for members in pools for kind in members) == sorted(WorkerKind)
    assert all(kind in transitions.pool(kind) for kind in WorkerKind)
    assert {WorkerKind.HOST} in pools
    assert {WorkerKind.HUMAN} in pools
    assert len(pools) == 3


@pytest.mark.parametrize("state", list(TaskState))
@pytest.mark.parametrize("cause", ["", f"{transitions.UPSTREAM}a", transitions.NEEDS_CHANGES])
def test_a_new_version_of_the_plan_gives_a_task_another_worker_only_while_it_may_change(
    state: TaskState, cause: str
) -> None:
    task = model.Task.model_validate({"id": "t", "do": "it", "worker": "api"})
    before = row(state, cause)
    fixed = transitions.is_fixed(before) and state not in (TaskState.FAILED, TaskState.CANCELLED)
    after = transitions.row_in_version(before, task, WorkerKind.CLAUDE)
    assert after is before
    assert after.worker is (WorkerKind.HOST if fixed else WorkerKind.API)
    assert (after.state, after.cause) == (state, cause)


def test_a_task_that_is_new_in_a_version_waits_with_nothing_behind_it() -> None:
    task = model.Task.model_validate({"id": "t", "do": "it", "command": ["make"]})
    new = transitions.row_in_version(None, task, WorkerKind.HOST)
    assert new == transitions.TaskRow("t", WorkerKind.COMMAND, TaskState.BLOCKED)
    assert (new.attempt, new.failures, new.crashes, new.rounds) == (0, 0, 0, 0)
    assert transitions.NewEvent("run.created").attempt == 0


def test_nothing_has_changed_until_something_is_recorded() -> None:
    assert not transitions.Changes()
    assert transitions.Changes(rows={"t": row(TaskState.READY)})
    assert transitions.Changes(starts=[transitions.Start("t", 1, WorkerKind.HOST, "key")])
    assert transitions.Changes(ends=[transitions.AttemptEnd("t", 1, model.AttemptState.FAILED)])
    assert transitions.Changes(notes=[transitions.NewEvent("task.ready", "t")])
    first, second = transitions.Changes(), transitions.Changes()
    first.notes.append(transitions.NewEvent("task.ready"))
    assert not second


def test_without_earlier_runs_no_work_is_taken_over() -> None:
    assert transitions.no_result("any key") is None
    assert not transitions.EarlierResult("digest").unverified


@pytest.mark.parametrize(
    ("state", "cause", "is_verdict"),
    [
        (TaskState.FAILED, transitions.NEEDS_CHANGES, True),
        (TaskState.FAILED, transitions.INCONCLUSIVE, False),
        (TaskState.FAILED, transitions.UNPROVEN_FAIL, False),
        (TaskState.SKIPPED, transitions.NEEDS_CHANGES, False),
        (TaskState.SUCCEEDED, transitions.NEEDS_CHANGES, False),
        (TaskState.READY, transitions.NEEDS_CHANGES, False),
    ],
)
def test_only_a_task_that_failed_by_what_it_says_has_given_a_verdict(
    state: TaskState, cause: str, *, is_verdict: bool
) -> None:
    row = transitions.TaskRow("look", WorkerKind.HOST, state)
    row.cause = cause
    assert transitions.is_verdict(row) is is_verdict
