"""What the ends of a run's tasks say about the agents that did them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp import model
from dispatch_mcp.model import TaskState, WorkerKind, records, transitions
from dispatch_mcp.routing import run_lessons

PROVEN, CLAIMED, FAILED = TaskState.SUCCEEDED, TaskState.UNVERIFIED, TaskState.FAILED
BLOCKED = transitions.NEEDS_CHANGES


def row(name: str, state: TaskState, cause: str = "", **more: Any) -> records.TaskRecord:
    fields: dict[str, Any] = {"worker": WorkerKind.HOST, "position": 0, **more}
    return records.TaskRecord(id=name, state=state, cause=cause, **fields)


WORK = model.Task(id="w", do="Fix the login", agent="auth")
REVIEW = model.Task(id="r", do="Review it", agent="critic", deps=("w",), reviews=("w",))
GATE = model.Task(id="g", do="Is it right?", deps=("r",), worker=WorkerKind.HUMAN)


def taught(*rows: records.TaskRecord, taken_over: tuple[str, ...] = (), task: model.Task = WORK) -> list[str]:
    """Returns the outcomes that the work teaches, in a run with its review and its decision if they have rows."""
    tasks = [one for one in (task, REVIEW, GATE) if one.id in {row.id for row in rows}]
    ends = run_lessons.Ends("run", tasks, {row.id: row for row in rows}, taken_over)
    lessons = ends.lessons({one.id for one in tasks}, 1.0)
    assert {lesson.agent for lesson in lessons} <= {"auth"}, "reviewers and people are taught nothing"
    return [lesson.outcome for lesson in lessons]


@pytest.mark.parametrize(
    ("work", "lesson"),
    [
        (row("w", PROVEN), ["accepted"]),
        (row("w", CLAIMED), []),
        (row("w", FAILED, transitions.NOTHING_CHANGED), ["failed"]),
        (row("w", FAILED, transitions.NOT_ACCEPTED), ["failed"]),
        (row("w", FAILED, transitions.WRONG_CLAIM), ["failed"]),
        (row("w", FAILED, transitions.BY_WORKER), ["failed"]),
        (row("w", FAILED, "not_logged_in"), []),
        (row("w", FAILED, f"{transitions.LIMIT}dollars"), []),
        (row("w", FAILED, transitions.TIMEOUT), []),
        (row("w", TaskState.SKIPPED, transitions.BY_USER), []),
        (row("w", TaskState.CANCELLED), []),
        (row("w", TaskState.RUNNING), []),
        (row("w", PROVEN, transitions.REPLAYED), []),
        (row("w", PROVEN, worker=WorkerKind.COMMAND), []),
        (row("w", PROVEN, worker=WorkerKind.SCRIPTED), []),
        (row("w", PROVEN, worker=WorkerKind.API), ["accepted"]),
    ],
)
def test_only_proof_speaks_for_an_agent_and_only_its_own_failures_against_it(
    work: records.TaskRecord, lesson: list[str]
) -> None:
    assert taught(work) == lesson


@pytest.mark.parametrize("work", [PROVEN, CLAIMED])
def test_a_review_that_blocks_speaks_against_the_work_and_one_that_passes_for_nobody(work: TaskState) -> None:
    proof = ["accepted"] if work is PROVEN else []
    assert taught(row("w", work, BLOCKED), row("r", FAILED, BLOCKED)) == ["failed"]
    assert taught(row("w", work), row("r", FAILED, transitions.INCONCLUSIVE)) == proof
    assert taught(row("w", work), row("r", PROVEN)) == proof
    assert taught(row("w", work), row("r", TaskState.RUNNING)) == []


def test_work_that_was_sent_back_once_and_then_passed_speaks_both_ways() -> None:
    assert taught(row("w", PROVEN, rounds=1), row("r", PROVEN)) == ["failed", "accepted"]
    assert taught(row("w", TaskState.READY, transitions.SENT_BACK, rounds=1), row("r", TaskState.BLOCKED)) == ["failed"]


@pytest.mark.parametrize(
    ("decision", "lesson"), [(PROVEN, ["accepted"]), (FAILED, ["failed"]), (TaskState.RUNNING, [])]
)
def test_a_person_decides_about_what_came_before_and_what_its_reviews_looked_at(
    decision: TaskState, lesson: list[str]
) -> None:
    gate = row("g", decision, worker=WorkerKind.HUMAN)
    assert taught(row("w", CLAIMED), row("r", PROVEN), gate) == lesson


def test_what_a_person_has_taken_over_is_accepted_unless_a_review_blocks_it() -> None:
    assert taught(row("w", CLAIMED), taken_over=("w",)) == ["accepted"]
    assert taught(row("w", CLAIMED), row("r", FAILED, BLOCKED), taken_over=("w",)) == ["failed"]


def test_a_task_without_an_agent_or_with_a_command_teaches_nothing() -> None:
    assert taught(row("w", PROVEN), task=WORK.model_copy(update={"agent": None})) == []
    assert taught(row("w", PROVEN), task=WORK.model_copy(update={"command": ("true",)})) == []


def test_the_end_of_a_review_is_about_what_it_reviewed() -> None:
    rows = {"w": row("w", PROVEN), "r": row("r", PROVEN)}
    assert run_lessons.Ends("run", [WORK, REVIEW], rows).related({"r"}) == {"r", "w"}


@given(
    st.sampled_from(TaskState),
    st.sampled_from(TaskState),
    st.sampled_from(["", BLOCKED, transitions.INCONCLUSIVE, transitions.BY_USER, transitions.NOTHING_CHANGED]),
    st.sampled_from(["", BLOCKED, transitions.REPLAYED, transitions.NOTHING_CHANGED]),
    st.integers(0, 2),
)
def test_an_unproven_done_moves_nothing_and_nothing_blocked_is_praised(
    work: TaskState, review: TaskState, verdict: str, cause: str, rounds: int
) -> None:
    outcomes = taught(row("w", work, cause, rounds=rounds), row("r", review, verdict))
    if work is not PROVEN or BLOCKED in (cause, verdict):
        assert "accepted" not in outcomes
    if work is CLAIMED and not rounds and BLOCKED not in (cause, verdict):
        assert outcomes == []
