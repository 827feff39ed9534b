from __future__ import annotations

import contextlib
import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thoroughness import examples

from dispatch_mcp import errors, model
from dispatch_mcp.model import AttemptState, RunState, TaskState, WorkerKind, transitions
from dispatch_mcp.runs import state_machine

SCRIPTED = frozenset({WorkerKind.SCRIPTED})
ALL = frozenset(WorkerKind)


def plan(*edges: tuple[str, Sequence[str]], max_parallel: int = 5, **fields: Any) -> model.Plan:
    tasks = tuple(model.Task(id=task_id, do=f"do {task_id}", deps=tuple(deps), **fields) for task_id, deps in edges)
    return model.Plan(id="plan", tasks=tasks, max_parallel=max_parallel)


def begin(a_plan: model.Plan, worker: WorkerKind = WorkerKind.SCRIPTED) -> state_machine.RunCore:
    return state_machine.RunCore.begin("run", a_plan, worker)


def succeed(core: state_machine.RunCore, start: transitions.Start, output: model.Json = None) -> bool:
    outcome = model.Outcome(state=AttemptState.SUCCEEDED, output=output)
    return core.finish(transitions.Finished(start.task_id, start.attempt, outcome), 0.0)


def fail(core: state_machine.RunCore, start: transitions.Start, now: float = 0.0, *, retryable: bool = False) -> bool:
    outcome = model.Outcome(state=AttemptState.FAILED, error="no", error_kind="test", retryable=retryable)
    return core.finish(transitions.Finished(start.task_id, start.attempt, outcome), now)


def ids(starts: Sequence[transitions.Start]) -> list[str]:
    return [start.task_id for start in starts]


def states(core: state_machine.RunCore) -> dict[str, str]:
    return {row.id: row.state.value for row in core.rows}


DIAMOND = (("a", ()), ("b", ("a",)), ("c", ("a",)), ("d", ("b", "c")))


def test_a_task_starts_only_after_all_its_dependencies_have_a_result() -> None:
    core = begin(plan(*DIAMOND))
    [a] = core.next(0.0)
    assert core.next(0.0) == []
    succeed(core, a)
    b, c = core.next(0.0)
    succeed(core, b)
    assert core.next(0.0) == []
    succeed(core, c)
    [d] = core.next(0.0)
    succeed(core, d)
    assert core.state is RunState.SUCCEEDED


def test_the_longest_remaining_path_starts_first() -> None:
    core = begin(plan(("short", ()), ("long", ()), ("tail", ("long",)), max_parallel=1))
    assert ids(core.next(0.0)) == ["long"]


def test_priority_breaks_ties_between_equal_paths() -> None:
    tasks = (
        model.Task(id="low", do="x", priority=model.Priority.LOW),
        model.Task(id="high", do="x", priority=model.Priority.HIGH),
    )
    core = begin(model.Plan(id="p", tasks=tasks, max_parallel=1))
    assert ids(core.next(0.0)) == ["high"]


def test_never_more_than_max_parallel_run_at_once() -> None:
    core = begin(plan(*((f"t{n}", ()) for n in range(9)), max_parallel=3))
    first = core.next(0.0)
    assert len(first) == 3
    assert core.next(0.0) == []
    succeed(core, first[0])
    assert len(core.next(0.0)) == 1


def test_host_assignments_do_not_take_the_servers_places() -> None:
    tasks = (
        model.Task(id="host", do="x", worker=WorkerKind.HOST),
        model.Task(id="server", do="x", worker=WorkerKind.SCRIPTED),
    )
    core = begin(model.Plan(id="p", tasks=tasks, max_parallel=1))
    assert ids(core.next(0.0, transitions.HOST_WORKERS)) == ["host"]
    assert ids(core.next(0.0, transitions.SERVER_WORKERS)) == ["server"]


def test_a_late_outcome_of_an_older_attempt_changes_nothing() -> None:
    core = begin(plan(("a", ())))
    [first] = core.next(0.0)
    core.abandon("a", 0.0, crashed=False)
    [second] = core.next(0.0)
    core.drain()
    assert succeed(core, first) is False
    assert not core.drain()
    assert succeed(core, second) is True


@pytest.mark.promise("S15")
def test_every_end_of_an_attempt_is_an_event_with_its_state_and_reason() -> None:
    core = begin(plan(("a", ()), ("b", ())))
    a, b = core.next(0.0)
    core.drain()
    succeed(core, a)
    fail(core, b)
    ends = [note for note in core.drain().notes if note.kind == "attempt_finished"]
    assert [(note.task_id, note.data) for note in ends] == [
        ("a", {"state": "succeeded"}),
        ("b", {"state": "failed", "error_kind": "test"}),
    ]


def test_a_version_that_touches_what_runs_is_refused_with_the_count_of_its_problems() -> None:
    core = begin(plan(("a", ()), ("b", ()), ("c", ("a", "b"))))
    core.next(0.0)
    for edges, count in (([("b", ()), ("c", ("b",))], "1 problem;"), ([("c", ())], "2 problems;")):
        with pytest.raises(errors.PlanRejected, match=count):
            core.edit(plan(*edges).model_copy(update={"version": 2}), WorkerKind.SCRIPTED)


def test_a_second_report_of_the_same_attempt_changes_nothing() -> None:
    core = begin(plan(("a", ())))
    [start] = core.next(0.0)
    assert succeed(core, start, 1) is True
    digest = core.row("a").result
    assert succeed(core, start, 2) is False
    assert core.row("a").result == digest


def test_a_retryable_failure_waits_for_its_backoff_and_runs_again() -> None:
    core = begin(plan(("a", ())))
    [start] = core.next(100.0)
    fail(core, start, 100.0, retryable=True)
    wake = core.waiting_until()
    assert wake is not None
    assert 100.5 <= wake <= 101.0
    assert core.next(wake - 0.01) == []
    assert ids(core.next(wake)) == ["a"]


def test_a_failure_that_says_when_to_come_back_waits_at_least_until_then() -> None:
    core = begin(plan(("a", ())))
    [start] = core.next(0.0)
    outcome = model.Outcome(
        state=AttemptState.FAILED, error="no", error_kind="test", retryable=True, retry_after_s=500.0
    )
    core.finish(transitions.Finished("a", start.attempt, outcome), 100.0)
    assert core.next(599.0) == []
    assert ids(core.next(600.0)) == ["a"]


def test_an_attempt_that_is_late_ends_with_the_seconds_that_it_had() -> None:
    core = begin(plan(("a", ()), timeout_s=60.0), WorkerKind.HOST)
    core.next(0.0, ALL)
    core.drain()
    assert core.deadline_s("a") == 60.0
    core.time_out("a", 61.0)
    [end] = core.drain().ends
    assert (end.state, end.error, end.error_kind) == (
        AttemptState.TIMED_OUT,
        "No result after 60 s.",
        transitions.TIMEOUT,
    )


@pytest.mark.parametrize("kind", sorted({*transitions.CEILINGS.values()}))
def test_without_ceilings_nothing_stops_at_one(kind: str) -> None:
    core = begin(plan(("a", ())))
    [start] = core.next(0.0)
    outcome = model.Outcome(state=AttemptState.FAILED, error="no", error_kind=kind)
    core.finish(transitions.Finished("a", start.attempt, outcome), 0.0)
    assert states(core) == {"a": "failed"}


def test_backoff_doubles_and_has_an_upper_bound() -> None:
    core = begin(plan(("a", ()), max_attempts=20))
    now, waits = 0.0, list[float]()
    for _ in range(10):
        [start] = core.next(now)
        fail(core, start, now, retryable=True)
        wake = core.waiting_until()
        assert wake is not None
        waits.append(wake - now)
        now = wake
    assert waits[1] > waits[0]
    assert max(waits) <= core.policy.backoff_cap_s


def test_a_final_failure_skips_everything_downstream_and_names_the_cause() -> None:
    core = begin(plan(*DIAMOND, ("e", ())))
    starts = {start.task_id: start for start in core.next(0.0)}
    fail(core, starts["a"])
    assert states(core) == {"a": "failed", "b": "skipped", "c": "skipped", "d": "skipped", "e": "running"}
    assert core.row("b").cause == "upstream:a"
    succeed(core, starts["e"])
    assert core.state is RunState.PARTIAL


def test_attempts_are_bounded() -> None:
    core = begin(plan(("a", ()), max_attempts=2))
    now = 0.0
    for _ in range(2):
        [start] = core.next(now)
        fail(core, start, now, retryable=True)
        now += 1000.0
    assert core.row("a").state is TaskState.FAILED
    assert core.state is RunState.FAILED


def test_a_task_that_dies_with_its_owner_three_times_is_quarantined() -> None:
    core = begin(plan(("a", ()), ("b", ("a",))))
    for _ in range(3):
        core.next(0.0)
        core.abandon("a", 0.0, crashed=True)
    assert core.row("a").state is TaskState.FAILED
    assert core.row("a").cause == "quarantined"
    assert core.row("b").state is TaskState.SKIPPED


@pytest.mark.parametrize(("cause", "starts"), [(transitions.HOST_LOST, 10), (transitions.FAULT, 3)])
def test_work_whose_hosts_are_lost_is_begun_again_oftener_than_work_that_may_be_what_crashes(
    cause: str, starts: int
) -> None:
    core = begin(plan(("a", ()), max_attempts=1))
    outcome = model.Outcome(state=AttemptState.FAILED, error_kind=cause, retryable=True)
    for number in range(starts):
        assert core.row("a").state is not TaskState.FAILED
        [start] = core.next(1e6 * number)
        core.finish(transitions.Finished("a", start.attempt, outcome), 1e6 * number)
    assert (core.row("a").state, core.row("a").cause) == (TaskState.FAILED, cause)


def test_crashes_do_not_use_up_attempts() -> None:
    core = begin(plan(("a", ()), max_attempts=1))
    core.next(0.0)
    core.abandon("a", 0.0, crashed=True)
    [start] = core.next(0.0)
    succeed(core, start)
    assert core.state is RunState.SUCCEEDED


def test_pause_starts_nothing_and_resume_goes_on() -> None:
    core = begin(plan(("a", ()), ("b", ())))
    core.pause()
    assert core.next(0.0) == []
    assert core.state is RunState.PAUSED
    core.resume()
    assert ids(core.next(0.0)) == ["a", "b"]


def test_a_pause_and_its_end_are_told_once_each() -> None:
    core = begin(plan(("a", ())))
    core.drain()
    for act in (core.pause, core.pause, core.resume, core.resume):
        act()
    assert [note.kind for note in core.drain().notes] == ["run_paused", "run_resumed"]


def test_an_attempt_ends_as_cancelled_with_its_run() -> None:
    core = begin(plan(("a", ())))
    core.next(0.0)
    core.drain()
    core.cancel("enough")
    assert core.drain().ends == [transitions.AttemptEnd("a", 1, AttemptState.CANCELLED)]


def test_work_that_calls_itself_moved_has_failed_like_any_other() -> None:
    core = begin(plan(("a", ())))
    [start] = core.next(0.0)
    outcome = model.Outcome(state=AttemptState.FAILED, error="no", error_kind=transitions.MOVED)
    assert core.finish(transitions.Finished("a", start.attempt, outcome), 0.0)
    assert states(core) == {"a": "failed"}


def test_cancel_closes_every_open_task_and_fences_what_runs() -> None:
    core = begin(plan(*DIAMOND))
    [a] = core.next(0.0)
    core.cancel("enough")
    assert set(states(core).values()) == {"cancelled"}
    assert core.state is RunState.CANCELLED
    assert succeed(core, a) is False


def test_retry_reopens_the_failed_task_and_what_waited_for_it() -> None:
    core = begin(plan(*DIAMOND))
    [a] = core.next(0.0)
    fail(core, a)
    core.retry("a")
    assert states(core) == {"a": "ready", "b": "blocked", "c": "blocked", "d": "blocked"}


def test_retry_of_a_cancelled_task_reopens_what_it_needs() -> None:
    core = begin(plan(*DIAMOND))
    core.next(0.0)
    core.cancel()
    core.retry("d")
    assert states(core) == {"a": "ready", "b": "blocked", "c": "blocked", "d": "blocked"}


def test_retry_leaves_a_join_closed_while_another_dependency_is_still_failed() -> None:
    core = begin(plan(("a", ()), ("b", ()), ("join", ("a", "b"))))
    a, b = core.next(0.0)
    fail(core, a)
    fail(core, b)
    core.retry("a")
    assert states(core) == {"a": "ready", "b": "failed", "join": "skipped"}


def test_skip_counts_as_satisfied() -> None:
    core = begin(plan(*DIAMOND))
    core.skip("a", "not needed")
    assert ids(core.next(0.0)) == ["b", "c"]


def test_skip_of_a_failed_task_revives_its_dependants() -> None:
    core = begin(plan(("a", ()), ("b", ("a",))))
    [a] = core.next(0.0)
    fail(core, a)
    core.skip("a", "done by hand")
    assert ids(core.next(0.0)) == ["b"]


@pytest.mark.parametrize("move", ["retry", "skip"])
def test_a_finished_task_is_never_opened_again(move: str) -> None:
    core = begin(plan(("a", ())))
    [a] = core.next(0.0)
    succeed(core, a)
    with pytest.raises(errors.InputError, match="'a' is succeeded"):
        getattr(core, move)("a")


def test_an_unknown_task_is_named_in_the_error() -> None:
    with pytest.raises(errors.UnknownHandle, match="'nope'"):
        begin(plan(("a", ()))).retry("nope")


def test_work_that_was_finished_before_is_replayed_without_an_attempt() -> None:
    first = begin(plan(*DIAMOND))
    finished: dict[str, transitions.EarlierResult] = {}
    while starts := first.next(0.0):
        for start in starts:
            succeed(first, start, start.task_id)
            finished[start.key] = transitions.EarlierResult(first.row(start.task_id).result)
    second = begin(plan(*DIAMOND))
    assert second.next(0.0, find_result=finished.get) == []
    assert second.state is RunState.SUCCEEDED
    assert [row.attempt for row in second.rows] == [0, 0, 0, 0]
    assert {row.cause for row in second.rows} == {transitions.REPLAYED}


def test_replayed_work_that_nobody_proved_stays_unverified() -> None:
    core = begin(plan(("a", ()), ("b", ("a",))))
    assert core.next(0.0, find_result=lambda _key: transitions.EarlierResult("digest", unverified=True)) == []
    assert [row.state for row in core.rows] == [TaskState.UNVERIFIED, TaskState.UNVERIFIED]


def test_a_commands_result_is_never_replayed() -> None:
    core = begin(plan(("a", ())), WorkerKind.COMMAND)
    assert ids(core.next(0.0, find_result=lambda _key: transitions.EarlierResult("digest"))) == ["a"]


def test_a_changed_upstream_result_changes_the_key_of_what_builds_on_it() -> None:
    keys: list[str] = []
    for output in (1, 2):
        core = begin(plan(("a", ()), ("b", ("a",))))
        succeed(core, core.next(0.0)[0], output)
        keys.append(core.next(0.0)[0].key)
    assert keys[0] != keys[1]


def test_unverified_work_satisfies_but_is_marked() -> None:
    core = begin(plan(("a", ()), ("b", ("a",))))
    [a] = core.next(0.0)
    core.finish(transitions.Finished("a", a.attempt, model.Outcome(state=AttemptState.SUCCEEDED, unverified=True)), 0.0)
    assert core.row("a").state is TaskState.UNVERIFIED
    assert ids(core.next(0.0)) == ["b"]


@st.composite
def plans(draw: st.DrawFn) -> model.Plan:
    size = draw(st.integers(1, 12))
    edges: list[tuple[str, list[str]]] = []
    for n in range(size):
        deps = draw(st.sets(st.integers(0, n - 1), max_size=3)) if n else set[int]()
        edges.append((f"t{n}", [f"t{dep}" for dep in sorted(deps)]))
    return plan(*edges, max_parallel=draw(st.integers(1, 4)), max_attempts=draw(st.integers(1, 3)))


def one_move(core: state_machine.RunCore, running: list[transitions.Start], rng: random.Random, now: float) -> None:
    move = rng.choice(["next", "next", "done", "done", "fail", "flaky", "crash", "retry", "skip", "pause", "cancel"])
    task_id = rng.choice(core.rows).id
    if move == "next":
        running += core.next(now, ALL, free=rng.choice([None, 1, 2]))
    elif move in ("done", "fail", "flaky") and running:
        start = running.pop(rng.randrange(len(running)))
        _ = succeed(core, start) if move == "done" else fail(core, start, now, retryable=move == "flaky")
    elif move == "crash":
        core.abandon(task_id, now, crashed=True)
    elif move == "pause":
        _ = core.resume() if core.paused else core.pause()
    elif move == "cancel" and rng.random() < 0.1:
        core.cancel()
    elif move in ("retry", "skip") and rng.random() < 0.3:
        with contextlib.suppress(errors.InputError):
            _ = core.retry(task_id) if move == "retry" else core.skip(task_id)


def check_invariants(core: state_machine.RunCore) -> None:
    by_id = {row.id: row for row in core.rows}
    satisfied = {
        row.id
        for row in core.rows
        if row.state in (TaskState.SUCCEEDED, TaskState.UNVERIFIED)
        or (row.state is TaskState.SKIPPED and row.cause in transitions.DONE_WITHOUT)
    }
    busy = sum(row.state is TaskState.RUNNING for row in core.rows)
    assert busy <= core.plan.max_parallel
    for task in core.plan.tasks:
        row = by_id[task.id]
        if row.state in (TaskState.READY, TaskState.RUNNING):
            assert satisfied.issuperset(task.deps)
        if row.state is TaskState.BLOCKED:
            assert not satisfied.issuperset(task.deps)
            closed = {dep for dep in task.deps if by_id[dep].state in model.TASK_FINAL}
            assert closed <= satisfied, "a blocked task must still be able to become ready"
    assert core.over == (core.state in model.RUN_FINAL)


@settings(max_examples=examples(300), deadline=None)
@given(plans(), st.integers(0, 2**32))
def test_random_histories_keep_every_invariant_and_survive_a_rebuild_from_rows(a_plan: model.Plan, seed: int) -> None:
    rng = random.Random(seed)
    core, now = begin(a_plan), 0.0
    running: list[transitions.Start] = []
    rows: dict[str, transitions.TaskRow] = {}
    for _ in range(60):
        now += rng.random()
        one_move(core, running, rng, now)
        check_invariants(core)
        rows.update(core.drain().rows)
        if rng.random() < 0.2:
            copies = [
                transitions.TaskRow(**{name: getattr(row, name) for name in row.__slots__}) for row in rows.values()
            ]
            core = state_machine.RunCore.restore("run", a_plan, copies, paused=core.paused, cancelled=core.cancelled)
            rows = {row.id: row for row in core.rows}
            check_invariants(core)


@settings(max_examples=examples(200), deadline=None)
@given(plans(), st.integers(0, 2**32))
def test_every_run_comes_to_an_end_when_its_tasks_do(a_plan: model.Plan, seed: int) -> None:
    rng, now = random.Random(seed), 0.0
    core = begin(a_plan)
    for _ in range(200):
        starts = core.next(now, ALL)
        if core.over:
            break
        assert starts or core.waiting_until() is not None
        for start in starts:
            _ = succeed(core, start) if rng.random() < 0.7 else fail(core, start, now, retryable=rng.random() < 0.5)
        now = max(now, core.waiting_until() or now)
    assert core.over
    assert core.state in model.RUN_FINAL
