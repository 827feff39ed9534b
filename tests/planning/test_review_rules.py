"""Strategies of routes as tasks of the plan (docs/rules.md#confidence-bands)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp import model
from dispatch_mcp.model import WorkerKind
from dispatch_mcp.planning import graph, review_rules
from dispatch_mcp.routing import confidence

STRATEGIES: tuple[confidence.Strategy, ...] = ("direct", "direct+async-review", "supervised", "human")


def tasks(**deps: str) -> list[model.Task]:
    return [model.Task(id=name, do=f"Do {name}", deps=tuple(before.split())) for name, before in deps.items()]


def deps(reviewed: review_rules.Reviewed) -> dict[str, tuple[str, ...]]:
    return {task.id: task.deps for task in reviewed.tasks}


def test_a_direct_route_adds_nothing() -> None:
    given_tasks = tasks(a="", b="a")
    reviewed = review_rules.with_reviews(given_tasks, {"a": "direct", "b": "direct"}, reviewers={})
    assert list(reviewed.tasks) == given_tasks
    assert not reviewed.notices


def test_what_depends_on_a_supervised_task_waits_for_its_review() -> None:
    reviewed = review_rules.with_reviews(tasks(a="", b="a"), {"a": "supervised"}, reviewers={"a": "performance-oracle"})
    assert deps(reviewed) == {"a": (), "a.review": ("a",), "b": ("a", "a.review")}
    review = reviewed.tasks[1]
    assert (review.agent, review.model) == ("performance-oracle", "sonnet")


def test_one_review_looks_at_all_unwatched_tasks_and_nobody_waits_for_it() -> None:
    strategies: dict[str, confidence.Strategy] = {"a": "direct+async-review", "b": "direct+async-review"}
    reviewed = review_rules.with_reviews(tasks(a="", b="a"), strategies, reviewers={})
    assert deps(reviewed) == {"a": (), "b": ("a",), "review": ("a", "b")}


def test_one_decision_comes_before_everything_that_a_person_has_to_judge() -> None:
    strategies: dict[str, confidence.Strategy] = {"a": "human", "c": "human"}
    reviewed = review_rules.with_reviews(tasks(a="", b="", c="b"), strategies, reviewers={})
    assert deps(reviewed) == {"decision": (), "a": ("decision",), "b": (), "c": ("decision", "b")}
    assert reviewed.tasks[0].worker is WorkerKind.HUMAN
    assert reviewed.added == {"decision": "a person decides"}


def test_names_that_are_taken_are_not_used_again() -> None:
    known = [*tasks(a=""), model.Task(id="a.review", do="x"), model.Task(id="decision", do="y")]
    strategies: dict[str, confidence.Strategy] = {"a": "supervised", "decision": "human"}
    reviewed = review_rules.with_reviews(known, strategies, reviewers={})
    assert {task.id for task in reviewed.tasks} == {"a", "a.review", "decision", "a.review-2", "decision-2"}


def test_the_policy_can_be_switched_off() -> None:
    assert list(
        review_rules.with_reviews(tasks(a=""), {"a": STRATEGIES[3]}, reviewers={}, policy="off").tasks
    ) == tasks(a="")


@given(st.lists(st.tuples(st.sampled_from(STRATEGIES), st.sets(st.integers(0, 11), max_size=4)), max_size=12))
def test_any_mixture_stays_a_valid_graph_that_keeps_the_old_order(
    rows: list[tuple[confidence.Strategy, set[int]]],
) -> None:
    names = [f"t{number}" for number in range(len(rows))]
    before = [
        model.Task(id=names[place], do="x", deps=tuple(names[dep] for dep in sorted(wanted) if dep < place))
        for place, (_, wanted) in enumerate(rows)
    ]
    strategies: dict[str, confidence.Strategy] = {names[place]: strategy for place, (strategy, _) in enumerate(rows)}
    reviewed = review_rules.with_reviews(before, strategies, reviewers={})
    graph.graph_of(reviewed.tasks)
    now = {task.id: task for task in reviewed.tasks}
    for task in before:
        assert set(task.deps) <= set(now[task.id].deps)
        if strategies[task.id] == "human":
            assert now["decision"].id in now[task.id].deps
        for dep in task.deps:
            assert strategies[dep] != "supervised" or f"{dep}.review" in now[task.id].deps
