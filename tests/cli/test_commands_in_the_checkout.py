"""Commands without a worktree of their own work where the user does: what is the user's stays, or the task fails."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import command_runs
import pytest
import temp_repository
from temp_repository import git, write

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="programs are supervised on POSIX only")

Task = Callable[..., command_runs.Said]

MINE = {"list.txt": "first\nmine\n", "own.txt": "mine\n", "new/notes.txt": "mine\n", "new/more.txt": "mine\n"}


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    repo = temp_repository.listed(tmp_path / "repo", monkeypatch, [])
    git(repo, "branch", "side")
    for path, text in MINE.items():
        write(repo, path, text)
    return repo


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], repo: Path, tmp_path: Path) -> Task:
    """Returns what runs one command task on the command line, in the repository as it is."""
    monkeypatch.setenv("DISPATCH_MCP_ALLOW_COMMANDS", json.dumps([["git", "**"], ["sh", "-c", "*"]]))
    shell = command_runs.shell(monkeypatch, capsys)

    def run(*command: str, others: tuple[dict[str, object], ...] = (), **more: object) -> command_runs.Said:
        spec = {"id": "t", "do": "Tidy up", "command": [*command], **more}
        return shell("run", command_runs.written(tmp_path, [spec, *others]))

    return run


TAKEN = {
    "cleans": (("git", "clean", "-fdq"), {"own.txt", "new/notes.txt", "new/more.txt"}),
    "resets": (("git", "reset", "-q", "--hard"), {"list.txt"}),
    "checks out": (("git", "checkout", "-q", "."), {"list.txt"}),
    "restores": (("git", "restore", "."), {"list.txt"}),
    "stashes": (("git", "stash", "-q", "-u"), {*MINE}),
    "removes": (("sh", "-c", "rm own.txt"), {"own.txt"}),
    "removes one of a new folder": (("sh", "-c", "rm new/notes.txt"), {"new/notes.txt"}),
    "removes a tracked file with edits": (("sh", "-c", "rm list.txt"), {"list.txt"}),
    "resets, then commits": (
        ("sh", "-c", "git reset -q --hard && git -c user.name=A -c user.email=a@b.c commit -q --allow-empty -m x"),
        {"list.txt"},
    ),
}


@pytest.mark.parametrize(("command", "paths"), TAKEN.values(), ids=TAKEN.keys())
def test_a_command_that_takes_uncommitted_work_from_the_checkout_fails_and_the_command_that_it_names_brings_it_back(
    task: Task, repo: Path, command: tuple[str, ...], paths: set[str]
) -> None:
    run = task(*command)
    assert run.code == 1
    [loss] = run.json["losses"]
    assert loss in run.json["results"][0]["error"]
    named = loss.partition("`git restore")[2].partition("`")[0].split()
    assert {*named[named.index("--") + 1 :]} == paths
    git(repo, "restore", *named)
    assert {path: (repo / path).read_text() for path in paths} == {path: MINE[path] for path in paths}


MOVED = {
    "commits": (("git", "-c", "user.name=A", "-c", "user.email=a@b.c", "commit", "-qam", "x"), "branch `main` went"),
    "switches": (("git", "checkout", "-q", "-b", "other"), "`other` is checked out instead of `main`"),
    "deletes a branch": (("git", "branch", "-q", "-D", "side"), "branch `side` is gone"),
    "moves a ref": (("git", "update-ref", "-d", "refs/heads/side"), "branch `side` is gone"),
}


@pytest.mark.parametrize(("command", "words"), MOVED.values(), ids=MOVED.keys())
def test_a_command_that_moves_a_branch_in_the_checkout_fails_with_that_reason(
    task: Task, command: tuple[str, ...], words: str
) -> None:
    run = task(*command)
    error = run.json["results"][0]["error"]
    assert (run.code, words in error, "worktree" in error) == (1, True, False)
    assert "losses" not in run.json


HARMLESS = {
    "reads": ("git", "show", "--stat"),
    "makes a new file": ("sh", "-c", "echo x > report.txt"),
    "goes on with the user's file": ("sh", "-c", "echo x >> own.txt"),
    "tags": ("git", "tag", "v1"),
}


@pytest.mark.parametrize("command", HARMLESS.values(), ids=HARMLESS.keys())
def test_a_command_that_takes_nothing_and_moves_nothing_succeeds_and_leaves_no_copy(
    task: Task, repo: Path, command: tuple[str, ...]
) -> None:
    run = task(*command)
    assert (run.code, "losses" in run.json) == (0, False)
    assert git(repo, "for-each-ref", "refs/dispatch") == ""


def test_a_file_that_another_task_of_the_run_declares_is_told_of_and_no_fault_of_the_command(
    task: Task, repo: Path
) -> None:
    other = {
        "id": "u",
        "do": "Write it",
        "files": ["own.txt"],
        "deps": ["t"],
        "command": ["sh", "-c", "echo x > own.txt"],
    }
    run = task("sh", "-c", "rm own.txt", others=(other,))
    assert (run.code, len(run.json["losses"])) == (0, 1)


def test_a_check_that_takes_uncommitted_work_from_the_checkout_proves_nothing(task: Task, repo: Path) -> None:
    run = task("sh", "-c", "true", acceptance=["command: git clean -fdq"])
    assert run.code == 1
    assert "kept as refs/dispatch/" in run.json["results"][0]["error"]
    assert "kept as refs/dispatch/" in run.json["losses"][0]


def test_a_command_in_a_worktree_that_takes_work_from_the_checkout_by_git_fails_too(task: Task, repo: Path) -> None:
    act = f"echo x >> list.txt; git -C '{repo}' checkout -q -- list.txt"
    run = task("sh", "-c", act, files=["list.txt"])
    assert (run.code, len(run.json["losses"])) == (1, 1)
