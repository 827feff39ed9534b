"""What a live run's plan may not change (docs/rules.md#edits-of-a-plan)."""

from __future__ import annotations

import pytest

from dispatch_mcp import errors, model
from dispatch_mcp.model import AttemptState, RunState, TaskState, WorkerKind, transitions
from dispatch_mcp.next_steps import NextStep, StepKind
from dispatch_mcp.planning import edit_rules
from dispatch_mcp.runs import state_machine


def task(name: str, *deps: str, **more: object) -> model.Task:
    return model.Task.model_validate({"id": name, "do": f"Do {name}", "deps": deps, **more})


def begun(*tasks: model.Task, max_parallel: int = 5) -> state_machine.RunCore:
    core = state_machine.RunCore.begin(
        "r", model.Plan(id="p", tasks=tasks, max_parallel=max_parallel), WorkerKind.SCRIPTED
    )
    core.drain()
    return core


def edited(core: state_machine.RunCore, *tasks: model.Task) -> None:
    version = core.plan.version + 1
    core.edit(core.plan.model_copy(update={"tasks": tasks, "version": version}), WorkerKind.SCRIPTED)


def states(core: state_machine.RunCore) -> dict[str, str]:
    return {row.id: row.state.value for row in core.rows}


def done(core: state_machine.RunCore, name: str, state: AttemptState = AttemptState.SUCCEEDED) -> None:
    assert core.finish(transitions.Finished(name, core.row(name).attempt, model.Outcome(state=state)), 1.0)


def started(core: state_machine.RunCore) -> list[str]:
    return [start.task_id for start in core.next(1.0)]


def test_a_task_that_runs_or_has_ended_stays_as_it_is() -> None:
    core = begun(task("a"), task("b", "a"), max_parallel=1)
    started(core)
    for wrong in ([task("b")], [task("a", effort="L"), task("b", "a")], [task("n"), task("a", "n"), task("b", "a")]):
        before = states(core)
        with pytest.raises(errors.PlanRejected) as refused:
            edited(core, *wrong)
        assert [problem.code for problem in refused.value.problems] == ["task_started"]  # type: ignore[attr-defined]
        assert states(core) == before
        assert core.plan.version == 1


def test_a_new_task_may_depend_on_what_has_ended_and_starts_at_once() -> None:
    core = begun(task("a"))
    started(core)
    done(core, "a")
    core = begun(task("a"), task("z", "a"))
    started(core)
    done(core, "a")
    edited(core, task("a"), task("z", "a"), task("n", "a"))
    assert sorted(started(core)) == ["n", "z"]


def test_a_ready_task_with_a_new_dependency_waits_again() -> None:
    core = begun(task("a"), task("b"), max_parallel=1)
    assert started(core) == ["a"]
    edited(core, task("a"), task("n"), task("b", "n"))
    assert states(core) == {"a": "running", "n": "ready", "b": "blocked"}


def test_what_was_skipped_because_of_a_failure_revives_with_other_dependencies() -> None:
    core = begun(task("a"), task("b", "a"), task("c", "b"), task("d"), max_parallel=1)
    assert started(core) == ["a"]
    done(core, "a", AttemptState.FAILED)
    assert states(core) == {"a": "failed", "b": "skipped", "c": "skipped", "d": "ready"}
    edited(core, task("a"), task("n"), task("b", "n"), task("c", "b"), task("d"))
    assert states(core) == {"a": "failed", "n": "ready", "b": "blocked", "c": "blocked", "d": "ready"}


def test_a_task_that_comes_to_depend_on_a_failed_one_is_skipped() -> None:
    core = begun(task("a"), task("b"), task("c"), max_parallel=1)
    started(core)
    done(core, "a", AttemptState.FAILED)
    edited(core, task("a"), task("b", "a"), task("c"))
    assert states(core)["b"] == "skipped"
    assert core.row("b").cause == "upstream:a"


def test_a_removed_task_that_comes_back_keeps_its_fence() -> None:
    core = begun(task("a", max_attempts=5), task("b"), max_parallel=1)
    started(core)
    retry = model.Outcome(state=AttemptState.FAILED, retryable=True)
    core.finish(transitions.Finished("a", 1, retry), 1.0)
    edited(core, task("b"))
    assert states(core) == {"b": "ready"}
    edited(core, task("b"), task("a", max_attempts=5))
    core.next(1.0, free=1)
    done(core, "b")
    [start] = core.next(100.0)
    assert (start.task_id, start.attempt) == ("a", 2)


def test_the_change_is_recorded_row_by_row_and_as_an_event() -> None:
    core = begun(task("a"), task("b"))
    edited(core, task("b"), task("n"))
    changes = core.drain()
    assert {name: row.state for name, row in changes.rows.items()} == {
        "a": TaskState.SKIPPED,
        "b": TaskState.READY,
        "n": TaskState.READY,
    }
    assert [note.kind for note in changes.notes] == ["plan_edited"]


def test_a_run_restored_from_its_rows_goes_on_as_edited() -> None:
    core = begun(task("a"), task("b", "a"))
    started(core)
    edited(core, task("a"), task("n", "a"))
    rows = [*core.rows, transitions.TaskRow("b", WorkerKind.SCRIPTED, TaskState.SKIPPED, cause=transitions.REMOVED)]
    again = state_machine.RunCore.restore("r", core.plan, rows)
    done(again, "a")
    assert started(again) == ["n"]


# -- decisions of people


def gated() -> state_machine.RunCore:
    return begun(task("gate", worker="human"), task("a", "gate"), task("b", "a"), task("free"))


def test_a_decision_begins_by_itself_and_is_nobodys_to_carry_out() -> None:
    core = gated()
    assert started(core) == ["free"]
    assert states(core)["gate"] == "running"
    assert core.state is RunState.RUNNING
    done(core, "free")
    assert core.state is RunState.WAITING_INPUT
    done(core, "gate")
    assert started(core) == ["a"]
    assert core.state is RunState.RUNNING


def test_a_decision_is_never_taken_over_from_another_run() -> None:
    core = gated()
    core.next(1.0, find_result=lambda _key: transitions.EarlierResult("digest"))
    assert states(core)["gate"] == "running"


def test_nobody_can_skip_a_decision() -> None:
    core = gated()
    started(core)
    with pytest.raises(errors.NotAllowed, match="is a person's decision") as refusal:
        core.skip("gate")
    assert refusal.value.hint == NextStep(StepKind.DECIDE, core.run_id, ("gate",))
    with pytest.raises(errors.NotAllowed, match="'a' waits for a person's decision in 'gate'"):
        core.skip("a")


@pytest.mark.parametrize(
    "after",
    [
        [task("a"), task("b", "a"), task("free")],
        [task("gate"), task("a", "gate"), task("b", "a"), task("free")],
        [task("gate", worker="human"), task("a"), task("b", "a"), task("free")],
        [task("gate", worker="human"), task("a", "gate"), task("b"), task("free")],
    ],
    ids=["removed", "given to somebody else", "gone round", "gone round further down"],
)
def test_an_edit_cannot_go_round_a_decision(after: list[model.Task]) -> None:
    core = gated()
    for now in (False, True):
        if now:
            started(core)
        with pytest.raises(errors.PlanRejected):
            edited(core, *after)
    before = [task("gate", worker="human"), task("a", "gate"), task("b", "a"), task("free")]
    assert "needs_person" in {problem.code for problem in edit_rules.refusals(before, after)}


def test_an_edit_cannot_revive_what_a_person_has_rejected() -> None:
    core = gated()
    started(core)
    done(core, "gate", AttemptState.FAILED)
    with pytest.raises(errors.PlanRejected):
        edited(core, task("gate", worker="human"), task("a"), task("b", "a"), task("free"))


def test_an_edge_that_planning_added_may_go_even_behind_a_decision() -> None:
    edge = model.AddedEdge(before="a", after="free", reason="both write `x`")
    before = [task("gate", worker="human"), task("a", "gate"), task("free", "a")]
    after = [task("gate", worker="human"), task("a", "gate"), task("free")]
    assert edit_rules.refusals(before, after)
    assert not edit_rules.refusals(before, after, additions=[edge])


@pytest.mark.parametrize("name", ["dollars", "tokens"])
@pytest.mark.parametrize("new", [None, 50])
def test_no_edit_lets_a_task_spend_more_than_its_plan_allowed_it(name: str, new: int | None) -> None:
    core = begun(task("a", limits={name: 10}), task("b", "a"))
    with pytest.raises(errors.PlanRejected) as refused:
        edited(core, task("a", limits={name: new} if new else {}), task("b", "a"))
    assert [problem.code for problem in refused.value.problems] == ["needs_person"]  # type: ignore[attr-defined]
    assert core.plan.version == 1


def test_an_edit_may_lower_what_a_task_may_spend_and_give_a_ceiling_to_one_without() -> None:
    core = begun(task("a", limits={"dollars": 10}), task("b", "a"))
    edited(core, task("a", limits={"dollars": 1, "tokens": 5}), task("b", "a", limits={"tokens": 5}))
    assert core.plan.version == 2


def test_a_run_that_is_over_is_not_reopened_with_more_to_spend_for_a_task() -> None:
    core = begun(task("a", limits={"dollars": 1}))
    [start] = core.next(1.0)
    core.finish(
        transitions.Finished("a", start.attempt, model.Outcome(state=AttemptState.FAILED, error_kind="exit_code")), 1.0
    )
    with pytest.raises(errors.PlanRejected) as refused:
        edited(core, task("a", limits={"dollars": 50}))
    assert [problem.code for problem in refused.value.problems] == ["needs_person"]  # type: ignore[attr-defined]
