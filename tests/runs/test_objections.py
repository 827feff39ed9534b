"""Reviews of a plan in the state machine: what they block goes back, nothing behind begins before they pass."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thoroughness import examples

from dispatch_mcp import errors, model
from dispatch_mcp.model import AttemptState, RunState, TaskState, WorkerKind, transitions
from dispatch_mcp.next_steps import StepKind
from dispatch_mcp.runs import objections, state_machine

Word = Literal["pass", "block", "garbage", "done", "fail"]
ALL = frozenset(WorkerKind)
DONE = (TaskState.SUCCEEDED, TaskState.UNVERIFIED)


def task(name: str, *deps: str, **fields: Any) -> model.Task:
    return model.Task(id=name, do=f"Do {name}", deps=deps, **fields)


def review(name: str, *subjects: str, rounds: int = 3, also: Sequence[str] = ()) -> model.Task:
    return task(name, *subjects, *also, reviews=subjects, rounds=rounds, max_attempts=2)


def begun(*tasks: model.Task, worker: WorkerKind = WorkerKind.HOST) -> state_machine.RunCore:
    return state_machine.RunCore.begin("run", model.Plan(id="p", tasks=tasks, max_parallel=16), worker)


def outcome(word: Word, sends_back: Iterable[str] = ()) -> model.Outcome:
    if word in ("pass", "done"):
        return model.Outcome(state=AttemptState.SUCCEEDED, summary=word)
    kinds = {"block": transitions.NEEDS_CHANGES, "garbage": transitions.UNUSABLE, "fail": "host"}
    return model.Outcome(
        state=AttemptState.FAILED,
        error="why",
        error_kind=kinds[word],
        retryable=word == "garbage",
        sends_back=tuple(sends_back),
    )


def end(core: state_machine.RunCore, name: str, word: Word, sends_back: Iterable[str] = ()) -> None:
    report = transitions.Finished(name, core.row(name).attempt, outcome(word, sends_back))
    assert core.finish(report, 0.0)


def started(core: state_machine.RunCore) -> list[str]:
    return [start.task_id for start in core.next(0.0, ALL)]


def states(core: state_machine.RunCore) -> dict[str, str]:
    return {row.id: row.state.value for row in core.rows}


def restored(core: state_machine.RunCore) -> state_machine.RunCore:
    rows = [transitions.TaskRow(**{name: getattr(row, name) for name in row.__slots__}) for row in core.rows]
    return state_machine.RunCore.restore("run", core.plan, rows, paused=core.paused, cancelled=core.cancelled)


def kinds(core: state_machine.RunCore) -> list[str]:
    return [note.kind for note in core.drain().notes]


GATE = (task("fix"), review("r", "fix"), task("docs", "fix", "r"))


@pytest.mark.parametrize(
    ("state", "rounds", "worker", "can_be"),
    [
        (TaskState.UNVERIFIED, 0, WorkerKind.HOST, True),
        (TaskState.RUNNING, 1, WorkerKind.HOST, True),
        (TaskState.RUNNING, 0, WorkerKind.HOST, False),
        (TaskState.FAILED, 0, WorkerKind.HOST, False),
        (TaskState.SUCCEEDED, 1, WorkerKind.COMMAND, False),
    ],
)
def test_only_a_model_mends_and_only_what_it_has_done_or_mends_already(
    state: TaskState, rounds: int, worker: WorkerKind, *, can_be: bool
) -> None:
    row = begun(task("fix"), worker=worker).row("fix")
    row.state, row.rounds = state, rounds
    assert objections.can_be_mended(row) is can_be


def test_work_that_a_review_blocks_is_done_again_before_anything_builds_on_it() -> None:
    core = begun(*GATE)
    assert started(core) == ["fix"]
    end(core, "fix", "done")
    assert started(core) == ["r"]
    end(core, "r", "block")
    assert states(core) == {"fix": "ready", "r": "blocked", "docs": "blocked"}
    assert (core.row("fix").result, core.row("fix").rounds, core.row("r").rounds) == ("", 1, 1)
    assert started(core) == ["fix"]
    end(core, "fix", "done")
    assert started(core) == ["r"]
    end(core, "r", "pass")
    assert started(core) == ["docs"]
    end(core, "docs", "done")
    assert core.state is RunState.SUCCEEDED
    assert [note for note in kinds(core) if note.startswith(("review", "task_sent"))] == [
        "review_blocked",
        "task_sent_back",
    ]


@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_rounds_are_bounded_and_the_last_one_ends_the_run_as_needing_changes(rounds: int) -> None:
    core = begun(task("fix"), review("r", "fix", rounds=rounds), task("docs", "fix", "r"))
    for _ in range(rounds):
        assert started(core) == ["fix"]
        end(core, "fix", "done")
        assert started(core) == ["r"]
        end(core, "r", "block")
    assert started(core) == []
    assert states(core) == {"fix": "succeeded", "r": "failed", "docs": "skipped"}
    assert [core.row(name).cause for name in ("fix", "r", "docs")] == ["needs_changes", "needs_changes", "upstream:r"]
    assert core.state is RunState.NEEDS_CHANGES


def test_a_review_that_says_nothing_usable_is_asked_once_more_and_then_blocks_as_inconclusive() -> None:
    core = begun(task("fix"), review("r", "fix").model_copy(update={"max_attempts": 20}), task("docs", "fix", "r"))
    started(core)
    end(core, "fix", "done")
    for _ in range(2):
        assert started(core) == ["r"]
        end(core, "r", "garbage")
    assert states(core) == {"fix": "succeeded", "r": "failed", "docs": "skipped"}
    assert core.row("r").cause == transitions.INCONCLUSIVE
    assert core.state is RunState.INCONCLUSIVE


def test_an_async_review_that_blocks_sends_its_work_back_and_lets_go_on_what_has_begun() -> None:
    core = begun(task("a"), task("begun", "a"), task("over", "a"), task("later", "a", "over"), review("r", "a"))
    started(core)
    end(core, "a", "done")
    assert set(started(core)) == {"begun", "over", "r"}
    end(core, "over", "done")
    end(core, "r", "block")
    assert states(core) == {"a": "ready", "begun": "running", "over": "succeeded", "later": "blocked", "r": "blocked"}
    end(core, "begun", "done")
    assert started(core) == ["a"]
    end(core, "a", "done")
    assert set(started(core)) == {"later", "r"}


def test_work_that_crashes_while_what_it_builds_on_is_done_again_waits_for_it() -> None:
    core = begun(task("a"), task("begun", "a"), review("r", "a"))
    started(core)
    end(core, "a", "done")
    assert set(started(core)) == {"begun", "r"}
    end(core, "r", "block")
    core.abandon("begun", 0.0, crashed=True)
    assert states(core) == {"a": "ready", "begun": "blocked", "r": "blocked"}
    assert started(core) == ["a"]
    end(core, "a", "done")
    assert set(started(core)) == {"begun", "r"}


def test_work_that_nobody_can_do_again_is_blocked_for_good_by_its_review() -> None:
    core = begun(task("a", max_attempts=1), task("b", "a"), review("ra", "a"), review("rb", "b"))
    started(core)
    end(core, "a", "done")
    assert set(started(core)) == {"b", "ra"}
    end(core, "b", "done")
    assert started(core) == ["rb"]
    end(core, "ra", "block")
    assert started(core) == ["a"]
    end(core, "a", "fail")
    end(core, "rb", "block")
    assert core.over
    assert (core.row("b").state, core.row("rb").state) == (TaskState.SUCCEEDED, TaskState.FAILED)
    assert core.state is RunState.NEEDS_CHANGES


def test_an_async_review_nobody_waits_for_decides_how_the_run_ends() -> None:
    core = begun(task("a"), review("r", "a", rounds=1))
    started(core)
    end(core, "a", "done")
    started(core)
    end(core, "r", "block")
    assert core.state is RunState.NEEDS_CHANGES


def test_one_attempt_mends_what_all_reviews_of_a_task_have_found() -> None:
    core = begun(task("a"), review("r1", "a"), review("r2", "a"), review("r3", "a"), task("z", "r1", "r2", "r3"))
    started(core)
    end(core, "a", "done")
    assert set(started(core)) == {"r1", "r2", "r3"}
    end(core, "r1", "block")
    assert states(core)["a"] == "succeeded"
    assert started(core) == []
    end(core, "r2", "pass")
    end(core, "r3", "block")
    assert states(core) == {"a": "ready", "r1": "blocked", "r2": "blocked", "r3": "blocked", "z": "blocked"}
    assert core.row("a").rounds == 1
    started(core)
    end(core, "a", "done")
    assert set(started(core)) == {"r1", "r2", "r3"}


def test_a_shared_review_sends_back_only_the_work_that_it_objects_to() -> None:
    core = begun(task("a"), task("b"), review("r", "a", "b"))
    started(core)
    end(core, "a", "done")
    end(core, "b", "done")
    started(core)
    end(core, "r", "block", ["b"])
    assert states(core) == {"a": "succeeded", "b": "ready", "r": "blocked"}


def test_sending_work_back_gives_it_all_its_attempts_and_none_of_its_failures() -> None:
    core = begun(task("a", max_attempts=1), review("r", "a"))
    started(core)
    end(core, "a", "done")
    started(core)
    end(core, "r", "block")
    started(core)
    end(core, "a", "fail")
    assert states(core) == {"a": "failed", "r": "skipped"}
    assert core.state is RunState.FAILED


def test_what_nobody_can_mend_is_not_done_again() -> None:
    core = begun(task("a", command=("make",)), review("r", "a"), worker=WorkerKind.HOST)
    started(core)
    end(core, "a", "done")
    started(core)
    end(core, "r", "block")
    assert states(core) == {"a": "succeeded", "r": "failed"}


def test_work_that_was_sent_back_and_reviews_of_new_work_are_never_taken_over_from_another_run() -> None:
    core = begun(*GATE)
    anything = transitions.EarlierResult("digest")
    assert core.next(0.0, ALL, find_result=lambda _key: anything) == []
    assert states(core) == dict.fromkeys(("fix", "r", "docs"), "succeeded")
    core = begun(*GATE)
    started(core)
    end(core, "fix", "done")
    assert [start.task_id for start in core.next(0.0, ALL, find_result=lambda _key: anything)] == ["r"]
    end(core, "r", "block")
    assert [start.task_id for start in core.next(0.0, ALL, find_result=lambda _key: anything)] == ["fix"]


def blocked_for_good() -> state_machine.RunCore:
    core = begun(task("fix"), review("r", "fix", rounds=1), task("docs", "fix", "r"))
    started(core)
    end(core, "fix", "done")
    started(core)
    end(core, "r", "block")
    return core


def test_retrying_blocked_work_sends_it_back_with_the_review_and_all_behind_it() -> None:
    core = blocked_for_good()
    core.retry("fix")
    assert states(core) == {"fix": "ready", "r": "blocked", "docs": "blocked"}
    started(core)
    end(core, "fix", "done")
    started(core)
    end(core, "r", "pass")
    assert started(core) == ["docs"]
    end(core, "docs", "done")
    assert core.state is RunState.SUCCEEDED


def test_retrying_the_review_alone_asks_it_again_and_a_pass_clears_the_objection() -> None:
    core = blocked_for_good()
    core.retry("r")
    assert started(core) == ["r"]
    end(core, "r", "pass")
    assert core.row("fix").cause == ""
    assert started(core) == ["docs"]


@pytest.mark.parametrize("name", ["r", "docs"])
def test_only_a_person_lets_a_review_go_that_has_not_passed(name: str) -> None:
    core = begun(*GATE)
    started(core)
    end(core, "fix", "done")
    started(core)
    end(core, "r", "block")
    with pytest.raises(errors.NotAllowed, match="only a person") as refused:
        core.skip(name)
    assert getattr(refused.value.hint, "kind", None) is StepKind.LET_REVIEW_GO
    core.skip(name, "as it is", by_person=True)
    assert core.row(name).state is TaskState.SKIPPED


def test_a_review_that_a_person_lets_go_no_longer_decides_how_the_run_ends() -> None:
    core = blocked_for_good()
    core.skip("r", "we know", by_person=True)
    assert started(core) == ["docs"]
    end(core, "docs", "done")
    assert (core.state, core.row("fix").cause) == (RunState.SUCCEEDED, "")


@pytest.mark.parametrize(
    "after",
    [
        (task("fix"), task("docs", "fix")),
        (task("fix"), review("r", "fix", rounds=1), task("docs", "fix")),
        (task("fix"), review("r", "fix", rounds=1).model_copy(update={"goal": "Say PASS"}), task("docs", "fix", "r")),
    ],
)
@pytest.mark.parametrize("is_final", [True, False])
def test_no_edit_leads_round_a_review_that_has_not_passed(after: Sequence[model.Task], *, is_final: bool) -> None:
    if is_final:
        core = blocked_for_good()
    else:
        core = begun(*GATE)
        started(core)
        end(core, "fix", "done")
        started(core)
        end(core, "r", "block")
    before = states(core)
    with pytest.raises(errors.PlanRejected) as refused:
        core.edit(core.plan.model_copy(update={"version": 2, "tasks": tuple(after)}), WorkerKind.HOST)
    assert "needs_person" in {problem.code for problem in refused.value.problems}  # type: ignore[attr-defined]
    assert states(core) == before


def worn_down(core: state_machine.RunCore, road: str) -> None:
    if road == "the review is asked again":
        core.retry("r")
    elif road == "its work fails":
        core.retry("fix")
        started(core)
        end(core, "fix", "fail")
    else:
        core.retry("r")
        core.cancel()
        core.retry("docs")


@pytest.mark.parametrize("road", ["the review is asked again", "its work fails", "the run is cancelled"])
@pytest.mark.parametrize("after", [(task("fix"), task("docs", "fix")), (task("fix"),)])
def test_nothing_that_happens_to_a_review_that_has_failed_lets_an_edit_remove_it(
    after: Sequence[model.Task], road: str
) -> None:
    core = blocked_for_good()
    worn_down(core, road)
    before = states(core)
    with pytest.raises(errors.PlanRejected) as refused:
        core.edit(core.plan.model_copy(update={"version": 2, "tasks": tuple(after)}), WorkerKind.HOST)
    assert "needs_person" in {problem.code for problem in refused.value.problems}  # type: ignore[attr-defined]
    assert states(core) == before


def test_an_edit_elsewhere_leaves_a_review_waiting_that_objects() -> None:
    core = begun(task("a"), review("r1", "a"), review("r2", "a"))
    started(core)
    end(core, "a", "done")
    started(core)
    end(core, "r1", "block")
    core.edit(core.plan.model_copy(update={"version": 2, "tasks": (*core.plan.tasks, task("n"))}), WorkerKind.HOST)
    assert states(core) == {"a": "succeeded", "r1": "blocked", "r2": "running", "n": "ready"}
    end(core, "r2", "pass")
    assert states(core)["a"] == "ready"


@pytest.mark.parametrize(
    ("rows", "state"),
    [
        ({"a": "succeeded", "r": "succeeded"}, RunState.SUCCEEDED),
        ({"a": "succeeded", "r": "failed:needs_changes"}, RunState.NEEDS_CHANGES),
        ({"a": "succeeded", "b": "failed:host", "r": "failed:needs_changes"}, RunState.NEEDS_CHANGES),
        ({"a": "succeeded", "r": "failed:inconclusive"}, RunState.INCONCLUSIVE),
        ({"a": "succeeded", "r": "failed:no_worker"}, RunState.INCONCLUSIVE),
        ({"a": "succeeded", "r": "cancelled"}, RunState.INCONCLUSIVE),
        ({"a": "succeeded", "r": "failed:inconclusive", "z": "skipped:upstream:r"}, RunState.INCONCLUSIVE),
        ({"a": "succeeded", "b": "failed:host", "r": "failed:inconclusive"}, RunState.PARTIAL),
        ({"a": "succeeded", "r": "skipped:user"}, RunState.SUCCEEDED),
        ({"a": "failed:host", "r": "skipped:upstream:a"}, RunState.FAILED),
        ({"a": "failed:host", "b": "succeeded", "r": "skipped:user"}, RunState.PARTIAL),
        ({"a": "skipped:user", "r": "skipped:user"}, RunState.PARTIAL),
        ({"a": "skipped:user", "b": "succeeded"}, RunState.SUCCEEDED),
        ({"a": "cancelled", "b": "skipped:upstream:a"}, RunState.FAILED),
    ],
)
def test_how_a_run_with_reviews_ends(rows: dict[str, str], state: RunState) -> None:
    table: list[transitions.TaskRow] = []
    for name, word in rows.items():
        value, _, cause = word.partition(":")
        table.append(transitions.TaskRow(name, WorkerKind.HOST, TaskState(value), cause=cause))
    reviews = [position for position, row in enumerate(table) if row.id == "r"]
    plan = [review("r", "a") if name == "r" else task(name) for name in rows]
    assert objections.ending(table, reviews, plan) is state


@st.composite
def plans(draw: st.DrawFn) -> model.Plan:
    """Draws work in any order with reviews of one or several tasks, behind which other work may wait."""
    tasks: list[model.Task] = []
    for number in range(draw(st.integers(1, 10))):
        work = [earlier.id for earlier in tasks if not earlier.reviews]
        others = [earlier.id for earlier in tasks]
        deps = draw(st.sets(st.sampled_from(others), max_size=3)) if others else set[str]()
        if work and draw(st.booleans()):
            subjects = sorted(draw(st.sets(st.sampled_from(work), min_size=1, max_size=3)))
            rounds = draw(st.integers(1, 3))
            tasks.append(review(f"r{number}", *subjects, rounds=rounds, also=sorted(deps - {*subjects})))
        else:
            tasks.append(task(f"t{number}", *sorted(deps), max_attempts=draw(st.integers(1, 3))))
    return model.Plan(id="p", tasks=tuple(tasks), max_parallel=draw(st.integers(1, 5)))


class Witness:
    """Remembers, from what is reported alone, which reviews have passed the newest work of what they judge."""

    def __init__(self, plan: model.Plan) -> None:
        self.tasks = {task.id: task for task in plan.tasks}
        self.passed: set[str] = set()

    def saw(self, name: str, word: Word) -> None:
        if self.tasks[name].reviews:
            self.passed.discard(name)
            self.passed |= {name} if word == "pass" else set[str]()
        elif word == "done":
            self.passed -= {task.id for task in self.tasks.values() if name in task.reviews}

    def allows(self, name: str, rows: Iterable[transitions.TaskRow]) -> bool:
        skipped = {row.id for row in rows if row.state is TaskState.SKIPPED and row.cause == transitions.BY_USER}
        reviews = {dep for dep in self.tasks[name].deps if self.tasks[dep].reviews}
        return reviews <= self.passed | skipped


def word_for(spec: model.Task, rng: random.Random) -> Word:
    if spec.reviews:
        return rng.choice(["pass", "block", "block", "garbage", "fail"])
    return rng.choice(["done", "done", "done", "done", "fail"])


def blames(spec: model.Task, rng: random.Random) -> list[str]:
    return rng.sample(list(spec.reviews), rng.randint(0, len(spec.reviews)))


def test_what_fails_once_while_what_it_waits_for_is_lost_is_lost_with_it() -> None:
    core = begun(
        task("one"),
        task("two", max_attempts=1),
        review("first", "one", "two"),
        review("second", "one", also=["first"]),
        review("third", "one", "two"),
        task("end", "second"),
    )
    steps: tuple[tuple[list[str], Word], ...] = ((["one", "two"], "done"), (["first"], "pass"))
    for names, word in steps:
        started(core)
        for name in names:
            end(core, name, word)
    assert started(core) == ["second"]
    end(core, "third", "block")
    assert started(core) == ["two"]
    end(core, "two", "fail")
    assert core.row("first").state is TaskState.SKIPPED
    end(core, "second", "garbage")
    ends = {name: (core.row(name).state, core.row(name).cause) for name in ("second", "end")}
    assert ends == {
        "second": (TaskState.SKIPPED, f"{transitions.UPSTREAM}first"),
        "end": (TaskState.SKIPPED, f"{transitions.UPSTREAM}second"),
    }
    assert core.over


@settings(max_examples=examples(300), deadline=None)
@given(plans(), st.integers(0, 2**32))
def test_nothing_begins_before_its_reviews_have_passed_and_every_run_ends(a_plan: model.Plan, seed: int) -> None:
    rng, now = random.Random(seed), 0.0
    core = state_machine.RunCore.begin("run", a_plan, WorkerKind.HOST)
    witness, running = Witness(a_plan), list[str]()
    for _ in range(2_000):
        if core.over:
            break
        for start in core.next(now, ALL):
            assert witness.allows(start.task_id, core.rows), start.task_id
            running.append(start.task_id)
        assert running or core.over or core.waiting_until() is not None
        now = max(now, core.waiting_until() or now)
        if running:
            name = running.pop(rng.randrange(len(running)))
            word = word_for(witness.tasks[name], rng)
            end(core, name, word, blames(witness.tasks[name], rng))
            witness.saw(name, word)
        if rng.random() < 0.2:
            core = restored(core)
    assert core.over
    blocked = any(row.state is TaskState.FAILED for row in core.rows if witness.tasks[row.id].reviews)
    assert core.state in model.RUN_FINAL
    assert not (blocked and core.state is RunState.SUCCEEDED)


@settings(max_examples=examples(200), deadline=None)
@given(plans(), st.integers(0, 2**32))
def test_random_steering_of_runs_with_reviews_keeps_what_is_counted_true(a_plan: model.Plan, seed: int) -> None:
    rng, now = random.Random(seed), 0.0
    core = state_machine.RunCore.begin("run", a_plan, WorkerKind.HOST)
    specs = {task.id: task for task in a_plan.tasks}
    for _ in range(60):
        now += rng.random()
        name = rng.choice(core.rows).id
        core.next(now, ALL, free=rng.choice([None, 1]))
        move = rng.choice(["end", "end", "end", "crash", "retry", "skip", "let go", "restore"])
        if move == "end" and core.row(name).state is TaskState.RUNNING:
            end(core, name, word_for(specs[name], rng), blames(specs[name], rng))
        elif move == "crash":
            core.abandon(name, now, crashed=rng.random() < 0.5)
        elif move in ("retry", "skip", "let go") and rng.random() < 0.4:
            with contextlib.suppress(errors.InputError, errors.NotAllowed):
                _ = core.retry(name) if move == "retry" else core.skip(name, by_person=move == "let go")
        elif move == "restore":
            core = restored(core)
        check(core)


def check(core: state_machine.RunCore) -> None:
    rows = {row.id: row for row in core.rows}
    satisfied = {
        row.id
        for row in core.rows
        if row.state in DONE or (row.state is TaskState.SKIPPED and row.cause in transitions.DONE_WITHOUT)
    }
    for spec in core.plan.tasks:
        row = rows[spec.id]
        if row.state is TaskState.READY:
            assert satisfied.issuperset(spec.deps)
        if row.state is TaskState.BLOCKED:
            assert not satisfied.issuperset(spec.deps) or transitions.is_objecting(row)
            closed = {dep for dep in spec.deps if rows[dep].state in model.TASK_FINAL}
            assert closed <= satisfied
        if transitions.is_objecting(row):
            assert spec.reviews
            assert row.rounds < spec.rounds
        assert bool(row.result) == (row.state in DONE)
    assert core.over == (core.state in model.RUN_FINAL)
    assert restored(core).state is core.state


def test_a_review_that_objects_blocks_for_good_when_something_else_that_it_waits_for_is_lost() -> None:
    also = review("r", "a").model_copy(update={"deps": ("a", "b")})
    core = begun(task("a"), task("b"), review("other", "a", "b"), also)
    started(core)
    end(core, "a", "done")
    end(core, "b", "done")
    started(core)
    end(core, "other", "block", ["b"])
    end(core, "r", "block")
    started(core)
    end(core, "b", "fail")
    end(core, "a", "done")
    started(core)
    assert core.over, states(core)
    assert states(core) == {"a": "succeeded", "b": "failed", "other": "skipped", "r": "skipped"}
    assert core.state is RunState.NEEDS_CHANGES
    core.retry("b")
    assert states(core) == {"a": "succeeded", "b": "ready", "other": "blocked", "r": "blocked"}


@pytest.mark.parametrize("name", ["first", "second"])
def test_a_review_that_is_retried_when_nothing_is_left_to_judge_ends_with_what_waits_for_it(name: str) -> None:
    second = review("second", "work", also=("first",)).model_copy(update={"max_attempts": 1})
    core = begun(task("work"), review("first", "work").model_copy(update={"max_attempts": 1}), second)
    started(core)
    end(core, "work", "done")
    started(core)
    end(core, "first", "fail")
    core.retry("first")
    started(core)
    end(core, "first", "block")
    core.skip("work", by_person=True)
    assert core.over
    core = restored(core)
    with contextlib.suppress(errors.InputError):
        core.retry(name)
    assert core.over
    assert restored(core).state is core.state


@pytest.mark.parametrize(
    ("owners", "word", "is_settled"),
    [
        ((), "pass", False),
        (("work",), "pass", True),
        (("work",), "fail", False),
        (("work", "other"), "pass", False),
    ],
)
def test_work_on_files_that_were_blocked_is_disputed_until_a_review_of_all_their_owners_has_passed(
    owners: tuple[str, ...], word: Word, *, is_settled: bool
) -> None:
    core = begun(task("work"), task("other"), task("look"), review("check", "work"))
    started(core)
    for name in ("work", "other"):
        end(core, name, "done")
    disputed = outcome("done").model_copy(update={"disputes": ("`council` of run x", *owners)})
    assert core.finish(transitions.Finished("look", 1, disputed), 0.0)
    assert objections.disputes(core.rows, core.plan.tasks) == {"look": "`council` of run x"}
    assert started(core) == ["check"]
    end(core, "check", word)
    assert (objections.disputes(core.rows, core.plan.tasks) == {}) is is_settled
    assert (core.state is RunState.SUCCEEDED) is is_settled


def test_a_review_of_the_disputed_work_itself_settles_it() -> None:
    core = begun(task("look"), review("check", "look"))
    started(core)
    disputed = outcome("done").model_copy(update={"disputes": ("`council` of run x",)})
    assert core.finish(transitions.Finished("look", 1, disputed), 0.0)
    assert started(core) == ["check"]
    end(core, "check", "pass")
    assert objections.disputes(core.rows, core.plan.tasks) == {}
    assert core.state is RunState.SUCCEEDED
