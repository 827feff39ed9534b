"""Repositories inside the checkout are watched as that is: commits, branches and edits in them are missed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import command_runs
import pytest
import submodule_setup
import temp_repository
from temp_repository import git, write

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="programs are supervised on POSIX only")

AUTHOR = ("-c", "user.name=A", "-c", "user.email=a@b.c")

Task = Callable[..., command_runs.Said]


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return temp_repository.listed(tmp_path / "repo", monkeypatch, [])


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], repo: Path, tmp_path: Path) -> Task:
    """Returns what runs one command task on the command line, in the repository as it is."""
    monkeypatch.setenv("DISPATCH_MCP_ALLOW_COMMANDS", json.dumps([["sh", "-c", "*"]]))
    shell = command_runs.shell(monkeypatch, capsys)

    def run(*command: str, **more: object) -> command_runs.Said:
        spec = {"id": "t", "do": "Tidy up", "command": [*command], **more}
        return shell("run", command_runs.written(tmp_path, [spec]))

    return run


@pytest.fixture
def inner(repo: Path) -> Path:
    """Returns a submodule and another repository in the checkout, with a commit of the user's and uncommitted work."""
    submodule_setup.add_submodule(repo, temp_repository.make(repo.parent / "upstream"))
    temp_repository.make(repo / "nested")
    for folder in (repo / submodule_setup.PLACE, repo / "nested"):
        git(folder, "checkout", "-q", "-B", "main")
        write(folder, "b.txt", "mine\n")
        temp_repository.commit(folder, "Mine")
        write(folder, "a.txt", "mine\n")
        write(folder, "own.txt", "mine\n")
    return repo


INSIDE = {
    "resets a commit away": ("git reset -q --soft HEAD~1", "branch `main` went from"),
    "leaves a commit behind": ("git checkout -q --detach && git branch -q -D main", "branch `main` is gone"),
    "resets": ("git reset -q --hard", "a.txt"),
    "cleans": ("git clean -ffdq", "own.txt"),
    "checks out": ("git checkout -q .", "a.txt"),
    "removes": ("rm own.txt", "own.txt"),
    "stashes": ("git stash -q", "a.txt"),
}


@pytest.mark.slice(3)
@pytest.mark.parametrize("place", [submodule_setup.PLACE, "nested"])
@pytest.mark.parametrize(("act", "words"), INSIDE.values(), ids=INSIDE.keys())
def test_a_command_that_takes_commits_or_uncommitted_work_from_a_repository_inside_fails(
    task: Task, inner: Path, act: str, words: str, place: str
) -> None:
    head = git(inner / place, "rev-parse", "HEAD")
    run = task("sh", "-c", f"cd {place} && {act}")
    error = run.json["results"][0]["error"]
    assert (run.code, words in error, place in error) == (1, True, True), error
    if "branch `main`" in words:
        git(inner, *error.partition("(`git ")[2].partition("`")[0].split())
        assert git(inner / place, "rev-parse", "refs/heads/main") == head


def test_a_commit_inside_that_no_branch_has_is_missed_when_another_one_is_checked_out(task: Task, inner: Path) -> None:
    place = inner / submodule_setup.PLACE
    git(place, "checkout", "-q", "--detach")
    git(place, "stash", "-q", "-u")
    git(place, "commit", "-q", "--allow-empty", "-m", "Loose")
    run = task("sh", "-c", f"cd {submodule_setup.PLACE} && git checkout -q main")
    assert (run.code, "no branch has that commit" in run.json["results"][0]["error"]) == (1, True)


GONE = {"with its folder": "rm -rf nested", "without its files": "rm -rf nested/.git"}


@pytest.mark.parametrize("act", GONE.values(), ids=GONE.keys())
def test_a_repository_inside_that_is_gone_is_said_to_be_so_and_that_there_is_no_copy_of_it(
    task: Task, inner: Path, act: str
) -> None:
    run = task("sh", "-c", act)
    error = run.json["results"][0]["error"]
    assert (run.code, "the repository in `nested` is gone" in error, "no copy of it" in error) == (1, True, True)
    assert "git restore" not in error


KEEPING = {
    "commits": f"git {' '.join(AUTHOR)} commit -qam more",
    "makes a branch": "git checkout -q -b topic",
    "fetches": "git fetch -q",
    "writes": "echo x > new.txt",
}


@pytest.mark.slice(2)
@pytest.mark.parametrize("place", [submodule_setup.PLACE, "nested"])
@pytest.mark.parametrize("act", KEEPING.values(), ids=KEEPING.keys())
def test_a_command_that_goes_on_in_a_repository_inside_and_takes_nothing_succeeds(
    task: Task, inner: Path, act: str, place: str
) -> None:
    run = task("sh", "-c", f"cd {place} && {act}")
    assert (run.code, "losses" in run.json) == (0, False), run.json["results"][0]


def test_a_command_in_a_worktree_answers_for_what_its_git_took_from_a_repository_inside(
    task: Task, inner: Path
) -> None:
    act = f"echo x >> list.txt; cd '{inner}/nested' && git reset -q --hard HEAD~1"
    run = task("sh", "-c", act, files=["list.txt"])
    error = run.json["results"][0]["error"]
    assert (run.code, "in `nested`: branch `main` went from" in error) == (1, True)


REMOVED = {
    "by force": ("git worktree remove --force ../linked", 1),
    "where nothing is lost": ("git -C ../linked clean -fdq && git worktree remove ../linked", 0),
    "and it was its own": ("git worktree add -q ../own HEAD && git worktree remove -f ../own", 0),
}


@pytest.mark.parametrize(("act", "code"), REMOVED.values(), ids=REMOVED.keys())
@pytest.mark.parametrize("files", [(), ("list.txt",)], ids=["in the checkout", "in a worktree"])
def test_a_command_that_removes_another_worktree_of_the_repository_by_force_fails(
    task: Task, repo: Path, act: str, code: int, files: tuple[str, ...]
) -> None:
    git(repo, "worktree", "add", "-q", "--detach", "../linked")
    write(repo.parent / "linked", "own.txt", "mine\n")
    more = {"files": [*files]} if files else {}
    run = task("sh", "-c", f"echo x >> list.txt; cd '{repo}' && {act}", **more)
    error = run.json["results"][0]["error"] or ""
    assert run.code == code, error
    assert ("was removed by force, with what was not committed in it" in error) is bool(code)


def test_refs_are_read_from_the_files_of_a_repository_inside_packed_or_not(task: Task, inner: Path) -> None:
    git(inner / "nested", "tag", "packed")
    git(inner / "nested", "pack-refs", "--all", "--prune")
    git(inner / "nested", "tag", "loose")
    for name in ("packed", "loose"):
        run = task("sh", "-c", f"cd nested && git tag -d {name}")
        assert (run.code, f"tag `{name}` is gone" in run.json["results"][0]["error"]) == (1, True)
