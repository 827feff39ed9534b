"""What git says is not committed yet, by its names below the workspace."""

from __future__ import annotations

from pathlib import Path

import pytest
import temp_repository

from dispatch_mcp.context import git_log

git = temp_repository.git


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Returns a repository in which everything is committed."""
    git(tmp_path, "init", "-q", "-b", "main")
    for path in ("src/app.py", "src/old.py", "docs/über uns.md", "a.txt"):
        temp_repository.write(tmp_path, path, f"{path}\n" * 20)
    temp_repository.write(tmp_path, ".gitignore", "*.log\n")
    temp_repository.commit(tmp_path, "Start")
    return tmp_path


def test_nothing_is_open_after_a_commit_but_what_is_ignored(root: Path) -> None:
    temp_repository.write(root, "src/run.log", "")
    assert git_log.changes(root) == []


def test_changed_new_and_deleted_files_are_open_by_their_own_names(root: Path) -> None:
    temp_repository.write(root, "docs/über uns.md", "other\n")
    temp_repository.write(root, "a new\nname.txt", "")
    (root / "a.txt").unlink()
    assert sorted(git_log.changes(root)) == ["a new\nname.txt", "a.txt", "docs/über uns.md"]


def test_a_moved_file_is_open_at_both_places(root: Path) -> None:
    git(root, "mv", "src/old.py", "src/new.py")
    assert sorted(git_log.changes(root)) == ["src/new.py", "src/old.py"]


def test_what_is_staged_is_still_open(root: Path) -> None:
    temp_repository.write(root, "src/app.py", "staged\n")
    git(root, "add", "src/app.py")
    assert git_log.changes(root) == ["src/app.py"]


def test_a_folder_of_a_repository_has_only_its_own_by_names_from_there(root: Path) -> None:
    temp_repository.write(root, "src/app.py", "other\n")
    temp_repository.write(root, "a.txt", "other\n")
    assert git_log.changes(root / "src") == ["app.py"]
    assert git_log.changes(root / "docs") == []
