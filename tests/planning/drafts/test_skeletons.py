from __future__ import annotations

import pytest

from dispatch_mcp import model
from dispatch_mcp.planning import graph, plan_checks
from dispatch_mcp.planning.drafts import skeletons
from dispatch_mcp.planning.drafts.skeletons import Part, TaskDraft

DB, API, UI = Part("database", "database-expert"), Part("api", "backend-developer"), Part("ui", "frontend-developer")


def waves(tasks: list[TaskDraft]) -> list[list[str]]:
    prepared = plan_checks.prepare([skeletons.as_task(task) for task in tasks], max_parallel=5)
    return [sorted(wave) for wave in prepared.waves]


def models(tasks: list[TaskDraft]) -> dict[str, str | None]:
    return {task.id: task.model for task in tasks}


def test_an_investigation_looks_everywhere_at_once_and_then_concludes() -> None:
    tasks = skeletons.parallel_investigation([DB, API, UI])
    assert waves(tasks) == [["look-api", "look-database", "look-ui"], ["conclude"]]
    assert set(models(tasks).values()) == {"sonnet"}


def test_a_chain_hands_each_result_on() -> None:
    tasks = skeletons.sequential_handoff([DB, API, UI])
    assert waves(tasks) == [["step-1"], ["step-2"], ["step-3"]]
    assert [task.agent for task in tasks] == [DB.agent, API.agent, UI.agent]


def test_a_chain_that_begins_with_a_look_begins_on_the_model_for_looking() -> None:
    assert [task.model for task in skeletons.sequential_handoff([DB, API], looks_first=True)] == ["sonnet", "opus"]


def test_a_consultation_asks_the_small_model_first() -> None:
    tasks = skeletons.consultation(DB, API)
    assert waves(tasks) == [["ask"], ["build"]]
    assert models(tasks) == {"ask": "haiku", "build": "opus"}


def test_the_same_change_has_its_contract_first_and_its_comparison_last() -> None:
    tasks = skeletons.parallel_implementation([API, UI], "reviewer")
    assert waves(tasks) == [["contract"], ["change-api", "change-ui"], ["compare"]]
    assert (tasks[-1].agent, tasks[-1].model) == ("reviewer", "sonnet")


def test_different_acts_that_share_nothing_wait_for_nothing() -> None:
    assert waves(skeletons.side_by_side([API, UI])) == [["do-api", "do-ui"]]


def test_a_rollout_is_verified_by_whoever_laid_its_base() -> None:
    tasks = skeletons.phased_rollout(DB, [API, UI])
    assert waves(tasks) == [["base"], ["integrate-api", "integrate-ui"], ["verify"]]
    assert (tasks[-1].agent, tasks[-1].model) == (DB.agent, "sonnet")


def test_three_phases_plan_from_all_findings_before_anybody_builds() -> None:
    tasks = skeletons.three_phases([DB, UI], skeletons.phased_rollout(DB, [API]))
    assert waves(tasks) == [["research-database", "research-ui"], ["plan"], ["base"], ["integrate-api"], ["verify"]]


@pytest.mark.parametrize("rounds", range(1, skeletons.MAX_ROUNDS + 1))
def test_a_feedback_loop_is_bounded_and_ends_with_a_person(rounds: int) -> None:
    tasks = skeletons.feedback_loop(API, Part("review", "reviewer"), rounds)
    assert waves(tasks) == [["execute"], ["review"], ["approve"]]
    assert tasks[-1].worker == model.WorkerKind.HUMAN
    assert (tasks[0].agent, tasks[1].agent) == (API.agent, "reviewer")
    assert (tasks[1].reviews, tasks[1].rounds) == (("execute",), rounds)


@pytest.mark.parametrize("rounds", [-1, 0, skeletons.MAX_ROUNDS + 1])
def test_a_loop_without_a_bound_is_refused(rounds: int) -> None:
    with pytest.raises(ValueError, match=str(rounds)):
        skeletons.feedback_loop(API, UI, rounds)


def test_what_only_the_host_knows_is_marked() -> None:
    known = skeletons.single(Part("work", "coder", ("a.py",)))[0]
    unknown = skeletons.single(Part("work"))[0]
    assert known.fill == ("do",)
    assert unknown.fill == ("do", "files", "agent")
    assert skeletons.wire(unknown)["fill"] == ["do", "files", "agent"]
    assert "fill" not in skeletons.wire(known)


def test_parts_of_one_name_get_ids_of_their_own() -> None:
    tasks = skeletons.parallel_investigation([Part("dịch vụ"), Part("Dịch vụ"), Part("***"), Part("{}")])
    ids = [task.id for task in tasks]
    assert len(set(ids)) == len(ids)
    assert not plan_checks.check([skeletons.as_task(task) for task in tasks], agents=None, models=("opus", "sonnet"))


def test_groups_are_the_waves() -> None:
    tasks = skeletons.three_phases([DB, UI], skeletons.phased_rollout(DB, [API, UI]))
    assert [sorted(group) for group in skeletons.groups(tasks)] == waves(tasks)
    assert skeletons.groups([]) == []


def test_minutes_of_a_draft_follow_its_effort() -> None:
    assert (
        plan_checks.prepare([skeletons.as_task(skeletons.phased_rollout(DB, [])[0])], max_parallel=1).estimate.serial
        == (graph.DEFAULT_MINUTES[model.Effort.L])
    )
