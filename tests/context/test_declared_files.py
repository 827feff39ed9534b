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
        ({"files": ["src/cart.py:12"]}, "src/cart.py"),
        ({"files": ["CHANGES.md#L3-9"]}, "CHANGES.md"),
        ({"context": ["file:src/crat.py#total"]}, "src/cart.py"),
    ],
)
def test_a_name_that_is_not_there_is_told_with_the_one_that_is(root: Path, task: dict[str, Any], near: str) -> None:
    assert nears(root, task) == [(near, ("t0",))]


@pytest.mark.parametrize(
    "task",
    [
        {"files": ["src/carts.py", "src/new.py", "other/CHANGES.rst", "CHANGES.md"]},
        {"files": ["src/*.py", "src", "src/new.py:3"], "reads": ["src/cart.py:12", "CHANGES.md#L3"]},
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


def linked(root: Path) -> Path:
    """Returns the workspace with links: to a file, to a folder, out of it, to nothing, and to itself."""
    (root / "shop").symlink_to("src")
    (root / "faq.md").symlink_to("docs/faq.md")
    (root / "out").symlink_to(root.parent)
    (root / "lost").symlink_to("nowhere.py")
    (root / "loop").symlink_to("loop")
    return root


def real(root: Path, *files: str, final: tuple[str, ...] = ()) -> tuple[tuple[str, ...], list[str]]:
    """Returns the files that a task `t` declares once links are followed, and what the notices of that say."""
    task = model.Task.model_validate({"id": "t", "do": "Mend it", "files": list(files)})
    [after], notices = declared_files.without_links(str(root), [task], final)
    assert all((notice.code, notice.tasks) == ("linked_file", ("t",)) for notice in notices)
    return after.files, [notice.message for notice in notices]


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("shop/cart.py", "src/cart.py"),
        ("./shop/cart.py", "src/cart.py"),
        ("shop/new.py", "src/new.py"),
    ],
)
def test_a_file_is_declared_by_its_real_path_and_the_author_is_told(root: Path, path: str, place: str) -> None:
    files, messages = real(linked(root), path)
    assert files == (place,)
    assert messages == [f"`{path}` leads to `{place}`, which is declared in its place."]


@pytest.mark.parametrize(("path", "place"), [("faq.md", "docs/faq.md"), ("lost", "nowhere.py")])
def test_a_link_that_is_named_itself_stays_declared_beside_what_it_leads_to(root: Path, path: str, place: str) -> None:
    files, messages = real(linked(root), path)
    assert files == (path, place)
    assert messages == [f"`{path}` leads to `{place}`, which is declared too."]


@pytest.mark.parametrize("path", ["src/cart.py", "new/part.py", "out/other.py", "loop", "../elsewhere.py"])
def test_a_path_that_goes_through_no_link_of_the_workspace_stays_as_it_is(root: Path, path: str) -> None:
    assert real(linked(root), path) == ((path,), [])


def test_two_names_of_one_file_are_declared_once(root: Path) -> None:
    files, messages = real(linked(root), "src/cart.py", "shop/cart.py", "docs/faq.md")
    assert files == ("src/cart.py", "docs/faq.md")
    assert len(messages) == 1


def test_a_task_that_is_final_keeps_the_names_that_it_was_given(root: Path) -> None:
    assert real(linked(root), "shop/cart.py", final=("t",)) == (("shop/cart.py",), [])
    assert real(root, "src/cart.py")[0] == ("src/cart.py",)


def test_tasks_that_use_one_link_share_a_notice_and_very_many_links_stay_short(root: Path) -> None:
    tasks = [model.Task.model_validate({"id": name, "do": "Mend it", "files": ["shop/cart.py"]}) for name in ("a", "b")]
    after, [notice] = declared_files.without_links(str(linked(root)), tasks)
    assert [task.files for task in after] == [("src/cart.py",)] * 2
    assert notice.tasks == ("a", "b")
    assert len(real(root, *(f"shop/f{at}.py" for at in range(30)))[1]) == declared_files.MAX_NOTICES
