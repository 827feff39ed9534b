"""What git is asked about a workspace: its files, its head, and what past commits touched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import temp_repository

from dispatch_mcp.context import git_log

git = temp_repository.git


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Returns a repository with two commits, and one more on a branch that is merged."""
    root = tmp_path / "repository"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    temp_repository.write(root, "src/app.py", "one\n")
    temp_repository.write(root, "docs/über uns.md", "two\n")
    temp_repository.commit(root, "Start the app")
    temp_repository.write(root, "src/app.py", "changed\n")
    temp_repository.commit(root, "Change the app")
    return root


def test_a_folder_below_a_repository_belongs_to_it(repository: Path, tmp_path: Path) -> None:
    assert git_log.belongs_to(repository)
    assert git_log.belongs_to(repository / "src")
    assert not git_log.belongs_to(tmp_path)


def test_files_are_what_git_tracks_or_would_track(repository: Path) -> None:
    temp_repository.write(repository, "src/new.py", "")
    temp_repository.write(repository, "src/new.log", "")
    temp_repository.write(repository, ".gitignore", "*.log\n")
    assert set(git_log.files(repository) or ()) == {"src/app.py", "docs/über uns.md", "src/new.py", ".gitignore"}


def test_the_files_of_a_folder_are_named_from_there(repository: Path) -> None:
    assert git_log.files(repository / "src") == ["app.py"]


def test_names_come_as_they_are_whatever_is_in_them(repository: Path) -> None:
    names = ["line\nbreak.py", 'quo"te.py', "tab\t.py", "back\\slash.py", "日本.py"]
    for name in names:
        (repository / name).write_text("")
    assert set(names) <= set(git_log.files(repository) or ())


def test_git_cannot_say_anything_about_a_folder_without_a_repository(tmp_path: Path) -> None:
    assert git_log.files(tmp_path) is None
    assert git_log.commits(tmp_path) is None
    assert git_log.head(tmp_path) == ""


def test_a_repository_without_a_commit_has_no_head_and_no_history(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    temp_repository.write(tmp_path, "a.py", "")
    assert git_log.head(tmp_path) == ""
    assert git_log.commits(tmp_path) is None
    assert git_log.files(tmp_path) == ["a.py"]


def test_commits_come_newest_first_with_what_they_touched(repository: Path) -> None:
    second, first = git_log.commits(repository) or []
    assert (first.subject, set(first.files)) == ("Start the app", {"src/app.py", "docs/über uns.md"})
    assert (second.subject, second.files) == ("Change the app", ("src/app.py",))
    assert second.sha == git_log.head(repository) == git(repository, "rev-parse", "HEAD")
    assert second.time >= first.time > 1_000_000_000


def test_only_commits_since_a_known_one_are_asked_for(repository: Path) -> None:
    known = git_log.head(repository)
    assert git_log.commits(repository, known) == []
    temp_repository.write(repository, "src/more.py", "")
    temp_repository.commit(repository, "Add more")
    assert [commit.subject for commit in git_log.commits(repository, known) or ()] == ["Add more"]


def test_a_commit_that_is_gone_is_no_place_to_start_from(repository: Path) -> None:
    assert git_log.commits(repository, "0" * 40) is None


def test_the_history_of_a_folder_has_only_what_lies_in_it(repository: Path) -> None:
    temp_repository.write(repository, "docs/more.md", "")
    temp_repository.commit(repository, "Write more")
    commits = git_log.commits(repository / "src") or []
    assert [(commit.subject, commit.files) for commit in commits] == [
        ("Change the app", ("app.py",)),
        ("Start the app", ("app.py",)),
    ]


def test_merges_are_left_out_for_their_commits_are_there(repository: Path) -> None:
    git(repository, "checkout", "-q", "-b", "side")
    temp_repository.write(repository, "src/side.py", "")
    temp_repository.commit(repository, "Work beside")
    git(repository, "checkout", "-q", "main")
    temp_repository.write(repository, "src/main.py", "")
    temp_repository.commit(repository, "Work here")
    git(repository, "merge", "-q", "--no-edit", "-m", "Merge the side", "side")
    subjects = [commit.subject for commit in git_log.commits(repository) or ()]
    assert "Merge the side" not in subjects
    assert {"Work beside", "Work here"} <= set(subjects)


def test_a_moved_file_counts_at_both_places(repository: Path) -> None:
    git(repository, "mv", "src/app.py", "src/main.py")
    temp_repository.commit(repository, "Move the app")
    (newest, *_) = git_log.commits(repository) or []
    assert set(newest.files) == {"src/app.py", "src/main.py"}


@pytest.mark.promise("S8")
def test_git_learns_nothing_of_the_servers_keys_and_runs_from_absolute_places_only(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = tmp_path / "environment"
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    fake = bin_folder / "git"
    fake.write_text(f'#!/bin/sh\nenv > "{listing}"\n')
    fake.chmod(0o755)
    temp_repository.write(repository, "git", "#!/bin/sh\nexit 1\n")
    (repository / "git").chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([".", str(bin_folder), os.environ["PATH"]]))
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-something-secret-1234567890")
    monkeypatch.setenv("GIT_DIR", "/elsewhere")
    assert git_log.files(repository) == []
    seen = dict(line.split("=", 1) for line in listing.read_text().splitlines() if "=" in line)
    assert not {"ANTHROPIC_API_KEY", "GIT_DIR"} & seen.keys()
    assert all(Path(entry).is_absolute() for entry in seen["PATH"].split(os.pathsep))
    assert seen["GIT_TERMINAL_PROMPT"] == "0"


def test_without_git_on_the_path_nothing_can_be_said(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert git_log.files(repository) is None
    assert git_log.head(repository) == ""


def test_a_name_or_a_subject_that_is_no_unicode_leaves_itself_out(repository: Path) -> None:
    (Path(os.fsdecode(os.fsencode(repository) + b"/k\xe6se.txt"))).write_text("x\n")
    temp_repository.write(repository, "src/lamp.py", "beam\n")
    temp_repository.commit(repository, "Change \x01 the \x02 lamp \x03 beam")
    temp_repository.write(repository, "src/lamp.py", "dim\n")
    temp_repository.commit(repository, "Dim the lamp")
    commits = git_log.commits(repository) or []
    assert (commits[0].subject, commits[0].files) == ("Dim the lamp", ("src/lamp.py",))
    assert [commit.subject for commit in commits[-2:]] == ["Change the app", "Start the app"]
    assert all(path.isprintable() for commit in commits for path in commit.files)
