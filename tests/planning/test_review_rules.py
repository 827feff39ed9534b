"""Strategies of routes as tasks of the plan (docs/rules.md#confidence-bands)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import replace
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


def deps(reviewed: review_rules.Reviewed) -> dict[str, tuple[str, ...]]:
    return {task.id: task.deps for task in reviewed.tasks}


def seats(tasks_to_judge: Sequence[model.Task]) -> Sequence[str]:
    """A council of two, one of them of a roster of its own."""
    return ("strategist", "mine/sentinel") if tasks_to_judge else ()


END = review_rules.ReviewRules(council=seats, advocate="advocate", rounds=2)


def named(name: str, *deps: str, **fields: Any) -> model.Task:
    return model.Task(id=name, do=fields.pop("do", f"Do {name}"), deps=deps, **fields)


def judged(reviewed: review_rules.Reviewed) -> dict[str, tuple[str, ...]]:
    return {task.id: task.reviews for task in reviewed.tasks if task.reviews}


def test_one_council_looks_at_the_whole_change_and_only_the_end_waits_for_it() -> None:
    work = [named("a", files=("a.py",)), named("look", do="Investigate it"), named("b", "a", do="Write it")]
    reviewed = review_rules.with_reviews(work, {"a": "supervised"}, END)
    assert judged(reviewed) == dict.fromkeys(("council.strategist", "council.sentinel", "council"), ("a", "b"))
    assert deps(reviewed)["b"] == ("a",)
    assert deps(reviewed)["council.sentinel"] == ("a", "b")
    *_, seat, council = reviewed.tasks
    assert (seat.agent, seat.model, seat.rounds) == ("mine/sentinel", "sonnet", 2)
    assert (council.agent, council.joins) == ("advocate", ("council.strategist", "council.sentinel"))
    assert council.deps == ("a", "b", *council.joins)
    assert reviewed.added == dict.fromkeys(judged(reviewed), "reviews = end")


def test_a_change_of_which_every_route_is_sure_has_its_council_too() -> None:
    work = [named("a", files=("a.py",)), named("b", files=("b.py",))]
    reviewed = review_rules.with_reviews(work, {"a": "direct", "b": "direct"}, END)
    assert judged(reviewed)["council.strategist"] == ("a", "b")


def test_what_is_blocked_is_reviewed_though_an_earlier_version_was_not() -> None:
    work = [named("a", files=("a.py",)), named("b", files=("b.py",))]
    rules = dataclasses.replace(END, earlier=work, disputed_work={"b"})
    assert judged(review_rules.with_reviews(work, {}, rules))["council"] == ("b",)
    assert not review_rules.with_reviews(work, {}, dataclasses.replace(rules, disputed_work=())).added


@pytest.mark.parametrize(
    "task",
    [
        named("a"),
        named("a", do="Investigate the slow login"),
        named("a", files=("a.py",), command=("make",)),
        named("a", do="Write it", worker=WorkerKind.HUMAN),
        named("a", do="Write it", worker=WorkerKind.SCRIPTED),
    ],
)
def test_what_does_not_say_that_an_agent_changes_something_gets_no_council(task: model.Task) -> None:
    reviewed = review_rules.with_reviews([task], {}, END)
    assert list(reviewed.tasks) == [task]


def test_without_reviewers_nothing_is_added() -> None:
    assert not review_rules.with_reviews([named("a", files=("a.py",))], {}, review_rules.ReviewRules()).added


def test_an_open_council_takes_new_work_in_and_none_that_was_refused_comes_back() -> None:
    first = [named("a", files=("a.py",))]
    whole = review_rules.with_reviews(first, {}, END).tasks
    rules = replace(END, earlier=whole)
    grown = review_rules.with_reviews([*whole, named("b", files=("b.py",))], {}, rules)
    assert judged(grown) == dict.fromkeys(("council.strategist", "council.sentinel", "council"), ("a", "b"))
    assert not grown.added
    refused = review_rules.with_reviews(first, {}, rules)
    assert list(refused.tasks) == first
    late = replace(rules, final_ids={task.id for task in whole})
    again = review_rules.with_reviews([*whole, named("b", files=("b.py",))], {}, late)
    assert {name for name, subjects in judged(again).items() if subjects == ("b",)} == set(again.added)


def test_one_council_judges_however_much_work_there_is() -> None:
    work = [named(f"t{number}", files=(f"{number}.py",)) for number in range(3 * review_rules.MAX_SUBJECTS)]
    sizes = {name: len(subjects) for name, subjects in judged(review_rules.with_reviews(work, {}, END)).items()}
    assert sizes == dict.fromkeys(("council.strategist", "council.sentinel", "council"), len(work))


def test_one_decision_comes_before_work_that_writes_and_that_a_person_has_to_judge() -> None:
    strategies: dict[str, confidence.Strategy] = {"a": "human", "c": "human", "look": "human"}
    work = [named("a", do="Write it"), named("b"), named("c", "b", files=("c.py",)), named("look", do="Find the cause")]
    reviewed = review_rules.with_reviews(work, strategies)
    assert deps(reviewed) == {"decision": (), "a": ("decision",), "b": (), "c": ("decision", "b"), "look": ()}
    assert reviewed.tasks[0].worker is WorkerKind.HUMAN
    assert reviewed.added == {"decision": "a person decides: nobody is sure"}
    strict = review_rules.with_reviews(work, strategies, review_rules.ReviewRules(policy="strict"))
    assert deps(strict)["look"] == ("decision",)


def test_names_that_are_taken_are_not_used_again() -> None:
    work = [named("a", files=("a.py",)), named("council.strategist"), named("decision", do="Write it")]
    reviewed = review_rules.with_reviews(work, {"decision": "human"}, END)
    assert set(reviewed.added) == {"decision-2", "council", "council.strategist-2", "council.sentinel"}


def test_the_policy_can_be_switched_off() -> None:
    work = [named("a", do="Write it")]
    reviewed = review_rules.with_reviews(work, {"a": STRATEGIES[3]}, replace(END, policy="off"))
    assert list(reviewed.tasks) == work


@given(
    st.sampled_from(["end", "each", "none"]),
    st.lists(st.tuples(st.sampled_from(STRATEGIES), st.sets(st.integers(0, 11), max_size=4)), max_size=12),
)
def test_any_mixture_stays_a_valid_graph_that_keeps_the_old_order(
    scope: review_rules.Scope, rows: list[tuple[confidence.Strategy, set[int]]]
) -> None:
    names = [f"t{number}" for number in range(len(rows))]
    before = [
        named(names[place], *(names[dep] for dep in sorted(wanted) if dep < place), do="Write it")
        for place, (_, wanted) in enumerate(rows)
    ]
    strategies: dict[str, confidence.Strategy] = {names[place]: strategy for place, (strategy, _) in enumerate(rows)}
    reviewed = review_rules.with_reviews(before, strategies, replace(END, scope=scope))
    graph.graph_of(reviewed.tasks)
    now = {task.id: task for task in reviewed.tasks}
    assert set(reviewed.added) == now.keys() - set(names)
    for task in before:
        assert set(task.deps) <= set(now[task.id].deps)
        if strategies[task.id] == "human":
            assert "decision" in now[task.id].deps


EACH = review_rules.ReviewRules(scope="each")


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
    rules = review_rules.ReviewRules(scope="each", final_ids={"fixed", "z"})
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
    work = [named("a", files=("a.py",)), named("b", files=("b.py",))]
    reviewed = review_rules.with_reviews(work, {"b": "human"}, replace(END, scope="none"))
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
    assert {task.id: task.reviews for task in recognised if task.reviews} == {"check": ("fix",), "again": ("fix",)}


@pytest.mark.parametrize(
    ("do", "is_review"),
    [
        ("Review the discount", True),
        ("Please review the change for security problems", True),
        ("Audit what was changed", True),
        ("Code review of the discount; answer PASS or FAIL", True),
        ("Do a final review of the change", True),
        ("Review the discount and fix what is wrong", False),
        ("Implement the review page", False),
        ("Address the review comments", False),
        ("Investigate the login", False),
        ("", False),
    ],
)
def test_a_task_whose_goal_says_that_it_reviews_judges_the_nearest_work_before_it(do: str, *, is_review: bool) -> None:
    given_tasks = [
        named("far", files=("a.py",)),
        named("fix", "far", files=("a.py",)),
        named("tests", "fix", command=("pytest",)),
        named("facts", "tests", do="Investigate the login"),
        named("check", "facts", do=do or "x"),
    ]
    check = review_rules.with_reviewers(given_tasks, set())[-1]
    assert check.reviews == (("fix",) if is_review else ())
    assert check.deps == (("facts", "fix") if is_review else ("facts",))
    assert review_rules.with_reviewers(given_tasks, set(), {"check"}) == given_tasks
    apart = [named("facts", do="Investigate it"), named("check", "facts", do=do or "x")]
    assert review_rules.with_reviewers(apart, set()) == apart


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
