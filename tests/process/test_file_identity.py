"""One name for each file of a repository, whichever way somebody came to it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from dispatch_mcp.process import file_identity, safe_paths


def git(at: Path, *command: str) -> None:
    subprocess.run(["git", *command], cwd=at, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "shop"
    (root / "app").mkdir(parents=True)
    (root / "app/cart.py").write_text("x = 1\n")
    git(root, "init", "-q", "-b", "main")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "First")
    return root


def place(root: Path, pattern: str = "") -> str:
    return file_identity.common_place(root, pattern)


def test_a_file_has_one_name_in_all_working_trees_and_behind_links(repository: Path, tmp_path: Path) -> None:
    tree, link = tmp_path / "trees/other", tmp_path / "link"
    git(repository, "worktree", "add", "-q", str(tree), "-b", "other")
    link.symlink_to(tree)
    (repository / "store").symlink_to("app")
    name = place(repository, "app/cart.py")
    assert name == safe_paths.real_place(repository, "app/cart.py")
    for root, pattern in (
        (tree, "app/cart.py"),
        (tree / "app", "cart.py"),
        (tmp_path, "trees/other/app/cart.py"),
        (link, "app/cart.py"),
        (repository, "store/cart.py"),
    ):
        assert place(root, pattern) == name
    assert place(tree) == place(repository)
    assert place(tree, "app/**") == place(repository, "app/**")
    assert place(tree, "new/file.py") == place(repository, "new/file.py")


def test_a_working_tree_of_a_bare_repository_has_its_name_in_common_with_others_of_it(
    repository: Path, tmp_path: Path
) -> None:
    git(tmp_path, "clone", "-q", "--bare", str(repository), "bare.git")
    for name in ("one", "two"):
        git(tmp_path / "bare.git", "worktree", "add", "-q", str(tmp_path / name), "-b", name)
    assert place(tmp_path / "one", "app/cart.py") == place(tmp_path / "two", "app/cart.py")
    assert place(tmp_path / "one") != place(repository)


@pytest.mark.parametrize("text", ["", "gitdir:", "gitdir: nowhere", "gitdir: ../shop/.git", "\x00\xff", "x" * 9_000])
def test_a_file_that_only_looks_like_a_working_trees_own_changes_no_name(
    repository: Path, tmp_path: Path, text: str
) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    (folder / ".git").write_text(text)
    assert place(folder, "a.py") == safe_paths.real_place(folder, "a.py")
    assert place(repository / "app", "cart.py") == safe_paths.real_place(repository, "app/cart.py")


def test_a_folder_that_is_not_there_has_its_own_name(tmp_path: Path) -> None:
    assert place(tmp_path / "gone", "a/b.py") == safe_paths.real_place(tmp_path, "gone/a/b.py")
