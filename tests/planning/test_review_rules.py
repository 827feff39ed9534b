"""Strategies of routes as tasks of the plan (docs/rules.md#confidence-bands)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp import model
from dispatch_mcp.model import WorkerKind
from dispatch_mcp.planning import graph, review_rules
from dispatch_mcp.review import review_tasks
from dispatch_mcp.routing import confidence

STRATEGIES: tuple[confidence.Strategy, ...] = ("direct", "direct+async-review", "supervised", "human")


def tasks(**deps: str) -> list[model.Task]:
    return [model.Task(id=name, do=f"Do {name}", deps=tuple(before.split())) for name, before in deps.items()]


def deps(reviewed: review_rules.Reviewed) -> dict[str, tuple[str, ...]]:
    return {task.id: task.deps for task in reviewed.tasks}


def test_a_direct_route_adds_nothing() -> None:
    given_tasks = tasks(a="", b="a")
    reviewed = review_rules.with_reviews(given_tasks, {"a": "direct", "b": "direct"})
    assert list(reviewed.tasks) == given_tasks
    assert not reviewed.notices


def test_what_depends_on_a_supervised_task_waits_for_its_review() -> None:
    rules = review_rules.Rules(reviewer=lambda _task: "performance-oracle", rounds=2)
    reviewed = review_rules.with_reviews(tasks(a="", b="a"), {"a": "supervised"}, rules)
    assert deps(reviewed) == {"a": (), "a.review": ("a",), "b": ("a", "a.review")}
    review = reviewed.tasks[1]
    assert (review.agent, review.model) == ("performance-oracle", "sonnet")
    assert (review.reviews, review.rounds) == (("a",), 2)


def test_one_review_looks_at_all_unwatched_tasks_and_nobody_waits_for_it() -> None:
    strategies: dict[str, confidence.Strategy] = {"a": "direct+async-review", "b": "direct+async-review"}
    reviewed = review_rules.with_reviews(tasks(a="", b="a"), strategies)
    assert deps(reviewed) == {"a": (), "b": ("a",), "review": ("a", "b")}


def test_one_decision_comes_before_everything_that_a_person_has_to_judge() -> None:
    strategies: dict[str, confidence.Strategy] = {"a": "human", "c": "human"}
    reviewed = review_rules.with_reviews(tasks(a="", b="", c="b"), strategies)
    assert deps(reviewed) == {"decision": (), "a": ("decision",), "b": (), "c": ("decision", "b")}
    assert reviewed.tasks[0].worker is WorkerKind.HUMAN
    assert reviewed.added == {"decision": "a person decides"}


def test_names_that_are_taken_are_not_used_again() -> None:
    known = [*tasks(a=""), model.Task(id="a.review", do="x"), model.Task(id="decision", do="y")]
    strategies: dict[str, confidence.Strategy] = {"a": "supervised", "decision": "human"}
    reviewed = review_rules.with_reviews(known, strategies)
    assert {task.id for task in reviewed.tasks} == {"a", "a.review", "decision", "a.review-2", "decision-2"}


def test_the_policy_can_be_switched_off() -> None:
    assert list(
        review_rules.with_reviews(tasks(a=""), {"a": STRATEGIES[3]}, review_rules.Rules(policy="off")).tasks
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
    reviewed = review_rules.with_reviews(before, strategies)
    graph.graph_of(reviewed.tasks)
    now = {task.id: task for task in reviewed.tasks}
    for task in before:
        assert set(task.deps) <= set(now[task.id].deps)
        if strategies[task.id] == "human":
            assert now["decision"].id in now[task.id].deps
        for dep in task.deps:
            assert strategies[dep] != "supervised" or f"{dep}.review" in now[task.id].deps


EACH = review_rules.Rules(scope="each")


def named(name: str, *deps: str, **fields: Any) -> model.Task:
    return model.Task(id=name, do=fields.pop("do", f"Do {name}"), deps=deps, **fields)


def judged(reviewed: review_rules.Reviewed) -> dict[str, tuple[str, ...]]:
    return {task.id: task.reviews for task in reviewed.tasks if task.reviews}


def test_each_reviews_what_others_build_on_before_they_begin_and_the_rest_together_at_the_end() -> None:
    work = [named("a", files=("a.py",)), named("b", "a"), named("c", "a", agent="coder"), named("d")]
    reviewed = review_rules.with_reviews(work, {}, EACH)
    assert judged(reviewed) == {"a.review": ("a",), "review": ("b", "c", "d")}
    assert deps(reviewed)["b"] == ("a", "a.review")
    assert deps(reviewed)["review"] == ("b", "c", "d")


@pytest.mark.parametrize(
    ("task", "is_reviewed"),
    [
        (named("a"), True),
        (named("a", agent="coder"), True),
        (named("a", do="Make the totals on the dashboard right; all tests pass"), True),
        (named("a", do="Investigate the slow login"), False),
        (named("a", do="Investigate the slow login and write it down", files=("notes.md",)), True),
        (named("a", command=("make",)), False),
        (named("a", worker=WorkerKind.HUMAN), False),
    ],
)
def test_each_covers_whatever_does_not_clearly_only_look(task: model.Task, *, is_reviewed: bool) -> None:
    assert bool(judged(review_rules.with_reviews([task], {}, EACH))) is is_reviewed


def test_each_leaves_alone_what_is_sure_reviewed_already_or_can_no_longer_change() -> None:
    work = [named("sure"), named("own"), named("look", "own", reviews=("own",)), named("fixed"), named("z", "fixed")]
    rules = review_rules.Rules(scope="each", final_ids={"fixed", "z"})
    reviewed = review_rules.with_reviews(work, {"sure": "direct"}, rules)
    assert list(reviewed.tasks) == work


def test_a_shared_review_judges_no_more_than_fits_one_prompt() -> None:
    work = [named(f"t{number}") for number in range(review_rules.MAX_SUBJECTS + 1)]
    reviewed = judged(review_rules.with_reviews(work, {}, EACH))
    assert {name: len(subjects) for name, subjects in reviewed.items()} == {
        "review": review_rules.MAX_SUBJECTS,
        "review-2": 1,
    }


def test_none_reviews_nothing_and_still_lets_people_decide() -> None:
    strategies: dict[str, confidence.Strategy] = {"a": "supervised", "b": "human"}
    reviewed = review_rules.with_reviews(tasks(a="", b=""), strategies, review_rules.Rules(scope="none"))
    assert [task.id for task in reviewed.tasks] == ["decision", "a", "b"]


def test_a_task_that_a_reviewer_has_judges_the_work_that_it_depends_on() -> None:
    given_tasks = [
        named("fix", files=("a.py",)),
        named("facts", do="Investigate the login"),
        named("check", "fix", "facts", agent="sentinel"),
        named("again", "check", agent="sentinel"),
        named("report", "fix", agent="sentinel", files=("report.md",)),
        named("alone", agent="sentinel"),
        named("other", "fix", agent="coder"),
    ]
    recognised = review_rules.with_reviewers(given_tasks, {"sentinel"})
    assert {task.id: task.reviews for task in recognised if task.reviews} == {"check": ("fix",)}


def test_the_advocate_of_a_council_is_no_review_of_the_reviewers_before_it() -> None:
    place = {review_tasks.INPUT: {"manifest": "m", "diff": "d", "reviewer": "advocate"}}
    given_tasks = [named("one"), named("advocate", "one", agent="advocate", inputs=place)]
    assert review_rules.with_reviewers(given_tasks, {"advocate"}) == given_tasks


@given(st.lists(st.tuples(st.booleans(), st.sets(st.integers(0, 11), max_size=4)), max_size=12))
def test_under_each_nothing_that_writes_goes_unreviewed_and_nothing_builds_on_it_before(
    rows: list[tuple[bool, set[int]]],
) -> None:
    work = [
        named(
            f"t{place}",
            *(f"t{dep}" for dep in sorted(wanted) if dep < place),
            do=f"{'Write' if writes else 'Investigate'} it",
        )
        for place, (writes, wanted) in enumerate(rows)
    ]
    reviewed = review_rules.with_reviews(work, {}, EACH)
    graph.graph_of(reviewed.tasks)
    review_of = {subject: review for review, subjects in judged(reviewed).items() for subject in subjects}
    assert set(review_of) == {task.id for task in work if task.goal.startswith("Write")}
    for task in reviewed.tasks:
        for dep in task.deps if not task.reviews else ():
            assert dep not in review_of or review_of[dep] in task.deps
