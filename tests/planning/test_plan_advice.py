"""Advice about files that lie in other repositories of the workspace."""

from __future__ import annotations

import pytest

from dispatch_mcp import model
from dispatch_mcp.model import WorkerKind
from dispatch_mcp.planning import plan_advice


def task(name: str, *files: str, worker: WorkerKind | None = None) -> model.Task:
    return model.Task(id=name, do="Change files", files=files, worker=worker)


@pytest.mark.parametrize(
    ("path", "is_inside"),
    [
        ("parts/pump/a.txt", True),
        ("parts/pump", True),
        ("./parts//pump/deep/b.txt", True),
        ("parts/pump/**", True),
        ("/boat/parts/pump/a.txt", True),
        ("parts/pump2/a.txt", False),
        ("parts", False),
        ("a.txt", False),
        ("/elsewhere/parts/pump/a.txt", False),
    ],
)
def test_files_that_lie_in_a_submodule_are_told_of_when_they_are_planned(path: str, *, is_inside: bool) -> None:
    notices = list(plan_advice.of_inner_folders([task("t", path)], ["parts/pump"], "/boat"))
    assert [(notice.code, notice.tasks) for notice in notices] == [("inside_submodule", ("t",))] * is_inside


def test_there_is_one_notice_for_each_submodule_with_all_its_tasks() -> None:
    tasks = [task("a", "one/a", "two/a"), task("b", "one/b"), task("c", "c")]
    notices = list(plan_advice.of_inner_folders(tasks, ["one", "two", "three"], "/boat"))
    assert [notice.tasks for notice in notices] == [("a", "b"), ("a",)]
    assert [notice.message.split(" ")[0] for notice in notices] == ["`one`", "`two`"]


@pytest.mark.parametrize("worker", [WorkerKind.HOST, WorkerKind.HUMAN])
def test_who_works_in_the_checkout_itself_may_change_files_in_a_submodule(worker: WorkerKind) -> None:
    assert list(plan_advice.of_inner_folders([task("t", "one/a", worker=worker)], ["one"], "")) == []


@pytest.mark.parametrize("path", [".", "./", "/boat", "**"])
def test_the_workspace_itself_is_no_repository_inside_of_it(path: str) -> None:
    assert list(plan_advice.of_inner_folders([task("t", path)], [""], "/boat")) == []


@pytest.mark.parametrize(
    ("goal", "kind"),
    [
        ("Check that app.py is right", "judgement"),
        ("Security check of the login", "judgement"),
        ("Is app.py good enough to ship?", "judgement"),
        ("Verify the work of w", "judgement"),
        ("Critique the work", "judgement"),
        ("Find what is wrong with the totals", "search"),
        ("Reproduce the bug", "search"),
        ("Review how totals are made", "search"),
        ("Please audit the login", "search"),
        ("Investigate why it is slow, and say why", "answer"),
        ("Find out which tests are slow", "answer"),
        ("Investigate the login", "search"),
        ("Check why it is slow", "judgement"),
        ("List what has to be done", "account"),
        ("Prioritise the open work", "account"),
        ("Summarise the findings and check them", "account"),
    ],
)
def test_a_goal_that_looks_asks_for_a_judgement_a_search_an_answer_or_an_account(goal: str, kind: str) -> None:
    assert plan_advice.asks_for(model.Task(id="look", do=goal)) == kind
