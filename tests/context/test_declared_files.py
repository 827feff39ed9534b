"""Files that a plan names and that are not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import temp_repository

from dispatch_mcp import model
from dispatch_mcp.context.documents import declared_files

FILES = ("CHANGES.md", "docs/faq.md", "src/cart.py", ".github/workflows/ci.yml")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for path in FILES:
        temp_repository.write(tmp_path, path, "text\n")
    return tmp_path


def nears(root: Path, *tasks: dict[str, Any]) -> list[tuple[str, tuple[str, ...]]]:
    """Returns what notices say is there, each with the tasks that meant it."""
    read = [
        model.Task.model_validate({"id": f"t{at}", "do": "Write an entry", **task}) for at, task in enumerate(tasks)
    ]
    notices = declared_files.notices(str(root), read)
    assert {notice.code for notice in notices} <= {"near_file"}
    return [(notice.message.split("`")[3], notice.tasks) for notice in notices]


@pytest.mark.parametrize(
    ("task", "near"),
    [
        ({"files": ["CHANGES.rst"]}, "CHANGES.md"),
        ({"files": ["CHANGELOG"]}, "CHANGES.md"),
        ({"files": [".github/workflows/ci.yaml"]}, ".github/workflows/ci.yml"),
        ({"do": "Add an entry to CHANGES.rst"}, "CHANGES.md"),
        ({"reads": ["docs/fap.md"]}, "docs/faq.md"),
        ({"context": ["file:src/crat.py#total"]}, "src/cart.py"),
    ],
)
def test_a_name_that_is_not_there_is_told_with_the_one_that_is(root: Path, task: dict[str, Any], near: str) -> None:
    assert nears(root, task) == [(near, ("t0",))]


@pytest.mark.parametrize(
    "task",
    [
        {"files": ["src/carts.py", "src/new.py", "other/CHANGES.rst", "CHANGES.md"]},
        {"files": ["src/*.py", "src"]},
        {"do": "Write docs/guide.md as in e.g. v3.8"},
        {"context": ["rag:changes", "symbol:Crat", "file:/elsewhere/CHANGES.rst"]},
    ],
)
def test_new_files_and_what_is_there_are_no_news(root: Path, task: dict[str, Any]) -> None:
    assert nears(root, task) == []


def test_a_file_that_another_task_makes_is_no_news_to_its_readers(root: Path) -> None:
    assert nears(root, {"files": ["docs/fap.md"]}, {"reads": ["docs/fap.md"]}) == []


def test_tasks_that_mean_the_same_share_a_notice(root: Path) -> None:
    assert nears(root, {"files": ["CHANGES.rst"]}, {"do": "Mend CHANGES.rst"}) == [("CHANGES.md", ("t0", "t1"))]


def test_a_plan_without_a_workspace_and_one_with_many_misses_stay_short(root: Path) -> None:
    assert declared_files.notices("", [model.Task.model_validate({"id": "t", "do": "Mend CHANGES.rst"})]) == []
    many = [{"reads": [f"src/cart{at}.py"]} for at in range(40)]
    assert len(nears(root, *many)) == declared_files.MAX_NOTICES


def test_a_link_that_leads_out_of_the_workspace_is_not_looked_behind(root: Path) -> None:
    (root / "work").mkdir()
    (root / "work/up").symlink_to("..")
    assert declared_files.nearest(root / "work", "up/CHANGES.rst") == ""
