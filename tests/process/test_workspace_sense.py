"""Folders that are no workspace are never searched, and it is said how to name one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dispatch_mcp.context import pack_gatherer
from dispatch_mcp.next_steps import NextStep, StepKind
from dispatch_mcp.process import safe_paths, workspace_sense

HOME = Path("/nobody-homes/ann")


@pytest.mark.parametrize(
    ("workspace", "why"),
    [
        ("/", "the root of the disk"),
        ("//", "the root of the disk"),
        ("/nobody-homes/..", "the root of the disk"),
        ("/nobody-homes/ann", "your home folder"),
        ("/nobody-homes/ann/", "your home folder"),
        ("/nobody-homes", "the folder of all homes"),
    ],
)
def test_the_root_and_homes_are_no_workspace_and_the_way_to_name_one_is_told(workspace: str, why: str) -> None:
    with pytest.raises(safe_paths.Refused, match=f"is no workspace: it is {why}") as refused:
        workspace_sense.refuse(workspace, HOME)
    assert refused.value.hint == NextStep(StepKind.NAME_WORKSPACE)


@pytest.mark.parametrize("workspace", ["ann/shop", "bob", "srv"])
def test_every_other_folder_that_somebody_has_named_may_be_searched(workspace: str, tmp_path: Path) -> None:
    (tmp_path / workspace).mkdir(parents=True)
    workspace_sense.refuse(tmp_path / workspace, tmp_path / "ann")


@pytest.mark.parametrize(
    "mark",
    [
        *(".git", ".hg", "pyproject.toml", "package.json", "Cargo.toml", "go.mod", "Makefile", "CMakeLists.txt"),
        *("README.md", "readme", "Shop.sln", "shop.gemspec", "AGENTS.md", ".vscode", "Dockerfile", "Shop.xcodeproj"),
    ],
)
def test_a_folder_that_nobody_has_named_may_be_searched_if_it_holds_a_mark(mark: str, tmp_path: Path) -> None:
    shop, home = tmp_path / "home/shop", tmp_path / "home"
    shop.mkdir(parents=True)
    (shop / "letter.txt").write_text("Dear Ann,")
    assert "no mark of a project" in workspace_sense.reason(shop, home, is_guess=True)
    assert workspace_sense.reason(shop, home) == ""
    (shop / mark).touch()
    assert workspace_sense.reason(shop, home, is_guess=True) == ""


@pytest.mark.parametrize(("history", "is_project"), [("home/shop/.git", True), ("home/.git", False), (".git", False)])
def test_a_folder_below_the_top_of_a_project_belongs_to_it_but_a_home_is_none(
    history: str, *, is_project: bool, tmp_path: Path
) -> None:
    inside = tmp_path / "home/shop/src/web"
    inside.mkdir(parents=True)
    (tmp_path / history).mkdir()
    assert (workspace_sense.reason(inside, tmp_path / "home", is_guess=True) == "") is is_project


@pytest.mark.parametrize("is_guess", [True, False])
def test_what_is_not_there_or_cannot_be_read_is_no_workspace(*, is_guess: bool, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    for place in (tmp_path / "gone", tmp_path / "notes.txt"):
        assert "cannot be read" in workspace_sense.reason(place, tmp_path / "home", is_guess=is_guess)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="whoever may read everything is refused nothing")
def test_a_folder_that_may_not_be_listed_is_no_workspace(tmp_path: Path) -> None:
    shut = tmp_path / "shut"
    shut.mkdir(mode=0)
    assert "permission denied" in workspace_sense.reason(shut, tmp_path / "home")


def test_what_nobody_has_named_is_searched_only_if_it_looks_like_a_project(tmp_path: Path) -> None:
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    (downloads / "harbour.txt").write_text("The tide table of the harbour\n")
    for guess, named in ((downloads, False), (None, True)):
        with pack_gatherer.Gatherer(tmp_path / "state", guess=guess) as gatherer:
            if named:
                assert "harbour.txt" in gatherer.pack(downloads, "Mend the tide table of the harbour").text
                continue
            with pytest.raises(safe_paths.Refused, match="no mark of a project"):
                gatherer.pack(downloads, "Mend the tide table of the harbour")


def test_a_link_to_the_root_is_the_root(tmp_path: Path) -> None:
    link = tmp_path / "everything"
    link.symlink_to("/")
    with pytest.raises(safe_paths.Refused):
        workspace_sense.refuse(link, HOME)


def test_home_is_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(safe_paths.Refused, match="your home folder"):
        workspace_sense.refuse(tmp_path)


def test_no_index_is_made_of_the_root(tmp_path: Path) -> None:
    with pack_gatherer.Gatherer(tmp_path) as gatherer:
        for ask in (gatherer.pack, gatherer.plain):
            with pytest.raises(safe_paths.Refused):
                ask("/", "Add a tide table")
        with pytest.raises(safe_paths.Refused):
            gatherer.refresh("/")
    assert list(tmp_path.iterdir()) == []
