"""What there is to do next about a run, from its rows alone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp import model
from dispatch_mcp.model import RunState, TaskState, WorkerKind, records, transitions
from dispatch_mcp.next_steps import NextStep, StepKind
from dispatch_mcp.runs import step_choice


def run(state: RunState, *, paused: bool = False) -> records.RunRecord:
    return records.RunRecord(id="r", plan_id="p", plan_version=1, state=state, worker=WorkerKind.HOST, paused=paused)


def task(name: str, state: TaskState, worker: WorkerKind = WorkerKind.HOST, **more: Any) -> records.TaskRecord:
    return records.TaskRecord(name, 0, worker, state, attempt=1)._replace(**more)


def newest(name: str, started_at: float, lease_until: float | None = None) -> records.NewestAttempt:
    return records.NewestAttempt(name, lease_until, started_at=started_at)


def moment(now: float, *attempts: records.NewestAttempt, max_parallel: int = 5) -> step_choice.RunMoment:
    return step_choice.RunMoment(now, {attempt.task_id: attempt for attempt in attempts}, max_parallel)


@pytest.mark.parametrize(
    ("state", "work", "lines"),
    [
        (RunState.RUNNING, {}, ()),
        (RunState.RUNNING, {(WorkerKind.HOST, TaskState.RUNNING): 2}, ("the assistant: 2 assignments out",)),
        (RunState.RUNNING, {(WorkerKind.HOST, TaskState.READY): 1}, ("the assistant: 1 task to fetch",)),
        (
            RunState.WAITING_INPUT,
            {(WorkerKind.API, TaskState.READY): 1, (WorkerKind.HUMAN, TaskState.RUNNING): 1},
            ("a person: 1 decision", "the server: 1 task"),
        ),
        (
            RunState.RUNNING,
            {(WorkerKind.API, TaskState.READY): 1, (WorkerKind.COMMAND, TaskState.RUNNING): 2},
            ("the server: 3 tasks",),
        ),
        (RunState.PAUSED, {}, ("a person: it is paused",)),
        (RunState.FAILED, {(WorkerKind.HOST, TaskState.READY): 1}, ()),
    ],
)
def test_a_list_says_what_waits_for_whom(state: RunState, work: records.OpenWork, lines: tuple[str, ...]) -> None:
    assert step_choice.waits(state, work) == lines


def test_assignments_in_the_same_answer_come_before_everything_else() -> None:
    rows = [task("a", TaskState.READY), task("b", TaskState.RUNNING)]
    step = step_choice.next_step(run(RunState.RUNNING), rows, handouts=step_choice.Handouts(2))
    assert step == NextStep(StepKind.DO_ASSIGNMENTS, "r", count=2)


def test_only_new_assignments_count_as_work_and_the_others_as_out_since_the_first_of_them() -> None:
    rows = [task(name, TaskState.RUNNING) for name in "abc"]
    now = moment(700.0, newest("a", 400.0), newest("b", 100.0), newest("c", 700.0))
    step = step_choice.next_step(run(RunState.RUNNING), rows, moment=now, handouts=step_choice.Handouts(1, 2))
    assert step == NextStep(StepKind.DO_ASSIGNMENTS, "r", count=1, repeats=2, out_s=600.0)
    step = step_choice.next_step(run(RunState.RUNNING), rows, moment=now, handouts=step_choice.Handouts(0, 3))
    assert step == NextStep(StepKind.KEEP_ASSIGNMENTS, "r", repeats=3, out_s=600.0)


def ownerless(*rows: records.TaskRecord) -> NextStep:
    now = step_choice.RunMoment(10.0, is_driven=False)
    return step_choice.next_step(run(RunState.RUNNING), rows, moment=now)


@pytest.mark.parametrize("state", [TaskState.RUNNING, TaskState.READY])
@pytest.mark.parametrize("ready_at", [0.0, 90.0])
def test_work_of_the_server_that_no_living_process_carries_on_is_never_called_working(
    state: TaskState, ready_at: float
) -> None:
    rows = [
        task("build", state, WorkerKind.COMMAND, ready_at=ready_at),
        task("write", TaskState.BLOCKED, WorkerKind.API),
        task("done", TaskState.SUCCEEDED, WorkerKind.CLAUDE),
    ]
    assert ownerless(*rows) == NextStep(StepKind.CARRY_ON, "r", ownerless=("build",), needs=("api",))


def test_what_the_assistant_has_to_do_goes_on_beside_what_nobody_carries_on() -> None:
    step = ownerless(task("mine", TaskState.READY), task("build", TaskState.RUNNING, WorkerKind.COMMAND))
    assert step == NextStep(StepKind.FETCH_ASSIGNMENTS, "r", count=1, ownerless=("build",))


@pytest.mark.parametrize("worker", [WorkerKind.HOST, WorkerKind.HUMAN])
def test_a_run_in_which_the_server_does_nothing_needs_nobody_to_carry_it_on(worker: WorkerKind) -> None:
    assert ownerless(task("a", TaskState.RUNNING, worker), task("b", TaskState.BLOCKED, WorkerKind.API)).ownerless == ()


@pytest.mark.parametrize("worker", [WorkerKind.HOST, WorkerKind.API])
def test_a_pause_before_the_next_attempt_says_when_it_is_over(worker: WorkerKind) -> None:
    rows = [
        task("late", TaskState.READY, worker, ready_at=90.0),
        task("soon", TaskState.READY, worker, ready_at=40.0),
        task("after", TaskState.BLOCKED, worker),
    ]
    step = step_choice.next_step(run(RunState.RUNNING), rows, moment=moment(10.0))
    assert step == NextStep(StepKind.AWAIT_RETRY, "r", retries=("soon", "late"), retry_s=30.0)
    rows[2] = task("after", TaskState.RUNNING, WorkerKind.API)
    step = step_choice.next_step(run(RunState.RUNNING), rows, moment=moment(10.0))
    assert step == NextStep(StepKind.WATCH, "r", retries=("soon", "late"), retry_s=30.0)


def test_a_pause_that_is_over_is_work_to_fetch() -> None:
    rows = [task("a", TaskState.READY, ready_at=40.0)]
    step = step_choice.next_step(run(RunState.RUNNING), rows, moment=moment(40.0))
    assert step == NextStep(StepKind.FETCH_ASSIGNMENTS, "r", count=1)


def test_what_is_ready_beyond_the_room_of_the_run_is_not_offered() -> None:
    rows = [
        *(task(f"out{n}", TaskState.RUNNING) for n in range(2)),
        *(task(f"t{n}", TaskState.READY) for n in range(4)),
    ]
    full, room = (
        step_choice.next_step(run(RunState.RUNNING), rows, moment=moment(0.0, max_parallel=n)) for n in (2, 5)
    )
    assert full == NextStep(StepKind.FINISH_ASSIGNMENTS, "r", count=2)
    assert room == NextStep(StepKind.FETCH_ASSIGNMENTS, "r", count=3)


def test_an_assignment_whose_lease_is_over_takes_nobodys_place() -> None:
    rows = [task("a", TaskState.RUNNING), task("b", TaskState.READY)]
    lapsed = moment(600.0, newest("a", 0.0, 600.0), max_parallel=1)
    step = step_choice.next_step(run(RunState.RUNNING), rows, moment=lapsed)
    assert step == NextStep(StepKind.FETCH_ASSIGNMENTS, "r", count=1)
    assert lapsed.out(rows) == []


def test_an_assignment_whose_lease_is_over_can_be_fetched_anew() -> None:
    rows = [task("a", TaskState.RUNNING), task("b", TaskState.RUNNING)]
    attempts = (newest("a", 0.0, 600.0), newest("b", 0.0, 601.0))
    step = step_choice.next_step(run(RunState.RUNNING), rows, moment=moment(600.0, *attempts))
    assert step == NextStep(StepKind.FETCH_ASSIGNMENTS, "r", count=1)


@pytest.mark.parametrize(
    ("rows", "step"),
    [
        (
            [task("a", TaskState.READY), task("b", TaskState.RUNNING)],
            NextStep(StepKind.FETCH_ASSIGNMENTS, "r", count=1),
        ),
        (
            [task("a", TaskState.RUNNING), task("b", TaskState.BLOCKED)],
            NextStep(StepKind.FINISH_ASSIGNMENTS, "r", count=1),
        ),
        ([task("a", TaskState.READY, WorkerKind.API)], NextStep(StepKind.WATCH, "r")),
        ([], NextStep(StepKind.WATCH, "r")),
    ],
    ids=["ready", "out", "served", "empty"],
)
def test_a_run_that_goes_on_asks_the_host_for_what_only_the_host_can_do(
    rows: list[records.TaskRecord], step: NextStep
) -> None:
    assert step_choice.next_step(run(RunState.RUNNING), rows) == step


def test_a_run_that_somebody_paused_is_resumed_and_one_at_a_ceiling_needs_a_higher_one() -> None:
    assert step_choice.next_step(run(RunState.PAUSED, paused=True), []).kind is StepKind.RESUME
    assert step_choice.next_step(run(RunState.PAUSED), []).kind is StepKind.RAISE_LIMIT


def test_a_run_that_waits_for_a_person_names_the_decisions_that_are_open() -> None:
    rows = [
        task("gate", TaskState.RUNNING, WorkerKind.HUMAN),
        task("later", TaskState.BLOCKED, WorkerKind.HUMAN),
        task("work", TaskState.RUNNING),
    ]
    assert step_choice.next_step(run(RunState.WAITING_INPUT), rows) == NextStep(StepKind.DECIDE, "r", ("gate",))


CLAIMED = [task("a", TaskState.SUCCEEDED), task("b", TaskState.UNVERIFIED), task("c", TaskState.SUCCEEDED)]


@pytest.mark.parametrize("state", [RunState.SUCCEEDED, RunState.PARTIAL])
def test_the_end_says_how_much_is_proven_whatever_the_user_calls_such_a_run(state: RunState) -> None:
    step = step_choice.next_step(run(state), CLAIMED)
    assert step == NextStep(StepKind.READ_RESULTS, "r", proven=2, unproven=1, total=3)
    assert step_choice.next_step(run(RunState.SUCCEEDED), CLAIMED[:1]).advice == "Done."


def test_what_was_not_done_counts_as_unproven_unless_a_person_does_without_it() -> None:
    rest = [task("d", TaskState.FAILED), task("e", TaskState.SKIPPED, cause="upstream:d")]
    step = step_choice.next_step(run(RunState.PARTIAL), [*CLAIMED, *rest])
    assert (step.kind, step.proven, step.unproven, step.total) == (StepKind.SETTLE_FAILURES, 2, 1, 5)
    skipped = task("f", TaskState.SKIPPED, cause=transitions.BY_USER)
    assert step_choice.next_step(run(RunState.SUCCEEDED), [*CLAIMED, skipped]).total == 3


def test_failures_come_before_whatever_else_a_run_ended_as() -> None:
    rows = [task(f"t{number}", TaskState.FAILED) for number in range(7)]
    step = step_choice.next_step(run(RunState.FAILED), rows)
    assert step.kind is StepKind.SETTLE_FAILURES
    assert step.tasks == tuple(f"t{number}" for number in range(7))
    assert step.advice == "Failed: t0, t1, t2, t3, t4."
    without = step_choice.next_step(run(RunState.CANCELLED), [task("a", TaskState.CANCELLED)])
    assert without == NextStep(StepKind.REOPEN, "r", advice="Ended as cancelled.")


@pytest.mark.parametrize("state", [RunState.NEEDS_CHANGES, RunState.INCONCLUSIVE])
def test_what_follows_from_a_round_of_the_council_is_in_its_decision_whoever_failed(state: RunState) -> None:
    seat = model.Task(id="a", do="Review", inputs={"review": {"manifest": "m", "diff": "d", "reviewer": "a"}})
    rows = [task("a", TaskState.FAILED)]
    assert step_choice.next_step(run(state), rows, [seat]).kind is StepKind.READ_DECISION
    work = model.Task(id="a", do="Work")
    assert step_choice.next_step(run(state), rows, [work]).kind is StepKind.SETTLE_REVIEWS


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (task("a", TaskState.BLOCKED), "waits for b (running)"),
        (task("a", TaskState.SKIPPED, cause="upstream:b"), "skipped, as 'b' was not done"),
        (task("a", TaskState.SKIPPED, cause="user"), "skipped by a person"),
        (task("a", TaskState.SKIPPED, cause="nothing_to_review"), "skipped, as everything that it reviews was skipped"),
        (task("a", TaskState.SKIPPED, cause="else"), "skipped: else"),
        (
            task("a", TaskState.READY, ready_at=209.0, cause="timeout"),
            "attempt 2 begins in 4 min, after attempt 1 (timeout)",
        ),
        (task("a", TaskState.READY, ready_at=9.0), "attempt 2 begins in 9 s, after attempt 1 (failed)"),
        (
            task("a", TaskState.READY, ready_at=9.0, cause=transitions.BY_WORKER),
            "attempt 2 begins in 9 s, after attempt 1 (reported as failed)",
        ),
        (task("a", TaskState.FAILED), "failed: see results"),
        (task("a", TaskState.FAILED, cause="bad_call"), "failed: bad_call"),
        (task("a", TaskState.SUCCEEDED), ""),
        (task("a", TaskState.RUNNING), ""),
        (task("a", TaskState.READY, WorkerKind.API), ""),
        (task("a", TaskState.READY), NextStep(StepKind.WAITS_FOR_ASSISTANT, "r", ("a",))),
        (task("a", TaskState.RUNNING, WorkerKind.HUMAN), NextStep(StepKind.WAITS_FOR_PERSON, "r", ("a",))),
    ],
)
def test_a_task_says_why_it_waits(row: records.TaskRecord, reason: str | NextStep) -> None:
    states = {"b": TaskState.RUNNING, "c": TaskState.UNVERIFIED, "d": TaskState.SUCCEEDED}
    assert step_choice.why_waiting("r", row, states, ["b", "c", "d"]) == reason


@given(
    st.sampled_from(RunState),
    st.booleans(),
    st.lists(st.tuples(st.sampled_from(TaskState), st.sampled_from(WorkerKind)), max_size=6),
    st.integers(0, 3),
)
def test_every_state_of_a_run_has_a_step_that_is_about_it(
    state: RunState, paused: Any, rows: list[tuple[TaskState, WorkerKind]], assigned: int
) -> None:
    tasks = [task(f"t{place}", of_task, worker) for place, (of_task, worker) in enumerate(rows)]
    handouts = step_choice.Handouts(assigned // 2, assigned - assigned // 2)
    step = step_choice.next_step(run(state, paused=paused), tasks, handouts=handouts)
    assert step.run == "r"
    assert set(step.tasks) <= {row.id for row in tasks}
    ends = (StepKind.READ_RESULTS, StepKind.SETTLE_FAILURES, StepKind.REOPEN)
    over = step.kind in (*ends, StepKind.SETTLE_REVIEWS, StepKind.READ_DECISION)
    assert over == (state in model.RUN_FINAL)


@pytest.mark.parametrize(
    ("state", "rows", "kind", "advice"),
    [
        (RunState.NEEDS_CHANGES, ["r"], StepKind.SETTLE_REVIEWS, "Blocked by review: r."),
        (RunState.NEEDS_CHANGES, [], StepKind.READ_DECISION, "Blocked by review."),
        (
            RunState.INCONCLUSIVE,
            ["r", "s"],
            StepKind.SETTLE_REVIEWS,
            "Reviewed without a verdict, which does not count as passed: r, s.",
        ),
    ],
)
def test_a_run_that_a_review_ended_says_so_and_what_settles_it(
    state: RunState, rows: list[str], kind: StepKind, advice: str
) -> None:
    step = step_choice.next_step(run(state), [task(name, TaskState.FAILED) for name in rows])
    assert (step.kind, step.advice, step.tasks) == (kind, advice, tuple(rows))


@pytest.mark.parametrize(
    ("dep", "why"),
    [
        (TaskState.READY, "blocks what it reviewed; waits for a (ready)"),
        (TaskState.SUCCEEDED, "blocks what it reviewed; waits for other reviews"),
    ],
)
def test_a_review_that_objects_says_what_it_waits_for(dep: TaskState, why: str) -> None:
    row = task("r", TaskState.BLOCKED, cause="needs_changes")
    assert step_choice.why_waiting("run", row, {"a": dep}, ("a",)) == why
