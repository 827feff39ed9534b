"""What changes in the user's checkout while an attempt works in its worktree is told; it fails by its own moves."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temp_repository import Site, commit, git, make, nothing, puts, write

from dispatch_mcp import model
from dispatch_mcp.git import checkout_watch, command_log, git_process
from dispatch_mcp.git.checkout_watch import CheckoutState
from dispatch_mcp.model import AttemptState
from dispatch_mcp.process import child_environment

pytestmark = pytest.mark.anyio

InBoth = Callable[[Path, Path], object]
"""Does something, given the checkout and the worktree."""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    repo = make(tmp_path / "repo")
    write(repo, ".gitignore", "*.env\nbuild/\n")
    commit(repo)
    write(repo, "own.txt", "mine, not tracked")
    write(repo, "src/b.txt", "mine, not committed")
    write(repo, "build/settings.json", "mine, ignored")
    return Site(repo, tmp_path / "state")


async def told(site: Site, act: InBoth, **more: Any) -> str:
    """Returns what receipts tell of the checkout after an attempt that did something."""

    def work(at: Path) -> None:
        act(site.repo, at)

    outcome = await site.attempt(site.order(**more), work)
    assert outcome.state is AttemptState.SUCCEEDED, outcome.error
    return " / ".join(receipt.detail for receipt in outcome.receipts if receipt.kind == "touched")


def removes(path: str) -> InBoth:
    return lambda checkout, _at: (checkout / path).unlink()


def writes(path: str, text: str = "theirs") -> InBoth:
    return lambda checkout, _at: write(checkout, path, text)


def runs(*arguments: str) -> InBoth:
    """Returns what runs git in the checkout."""
    return lambda checkout, _at: git(checkout, *arguments)


def runs_in_worktree(*arguments: str) -> InBoth:
    return lambda _checkout, at: git(at, *arguments)


def commits_on_a_branch(_checkout: Path, at: Path) -> None:
    git(at, "checkout", "-q", "-b", "feature")
    write(at, "new.txt", "x")
    commit(at, "On a branch")


def stashes(_checkout: Path, at: Path) -> None:
    write(at, "a.txt", "stashed")
    git(at, "stash", "-q")


def adds_hook(checkout: Path, _at: Path) -> None:
    write(checkout, ".git/hooks/post-merge", "#!/bin/sh\n")


CHANGES = {
    "a tracked file": (writes("a.txt"), "`a.txt`"),
    "a tracked file that is gone": (removes("a.txt"), "`a.txt`"),
    "a new file": (writes("new.txt"), "`new.txt`"),
    "a file of the user's that was not committed": (writes("src/b.txt"), "`src/b.txt`"),
    "a file of the user's that was not tracked": (writes("own.txt"), "`own.txt`"),
    "one that is gone": (removes("own.txt"), "`own.txt`"),
    "an ignored file": (writes("secret.env"), "`secret.env`"),
    "a file that was staged": (runs("add", "src/b.txt"), "`src/b.txt`"),
    "a commit": (runs("commit", "-q", "--allow-empty", "-m", "Theirs"), "branch `main` went from "),
    "another branch": (runs("checkout", "-q", "-b", "other"), "`other` is checked out instead of `main`"),
    "a detached commit": (runs("checkout", "-q", "--detach"), "`(detached)` is checked out instead of `main`"),
    "a new branch": (commits_on_a_branch, "branch `feature` is new, at "),
    "a moved branch": (runs_in_worktree("branch", "-f", "side", "HEAD~1"), "branch `side` went from "),
    "a deleted branch": (runs_in_worktree("branch", "-D", "side"), "branch `side` is gone (it was at "),
    "a tag": (runs_in_worktree("tag", "v1"), "tag `v1` is new, at "),
    "the stash": (stashes, "the stash is new, at "),
    "a setting": (runs_in_worktree("config", "alias.x", "status"), "`.git/config`"),
    "a hook": (adds_hook, "`.git/hooks/post-merge`"),
}


@pytest.mark.slice(3)
@pytest.mark.promise("S8")
@pytest.mark.parametrize(("act", "words"), CHANGES.values(), ids=CHANGES.keys())
async def test_a_change_of_the_checkout_is_told_and_the_result_stays_what_it_is(
    site: Site, act: InBoth, words: str
) -> None:
    git(site.repo, "branch", "side")
    receipt = await told(site, act)
    assert receipt.startswith("changed meanwhile in the checkout itself, by this task or somebody else: ")
    assert words in receipt


async def test_an_attempt_that_looks_only_and_one_that_fails_are_told_of_as_well(site: Site) -> None:
    assert "`a.txt`" in await told(site, writes("a.txt"), isolation="merged")
    outcome = await site.attempt(site.order("u"), lambda _at: write(site.repo, "b.txt", "x"), ends=AttemptState.FAILED)
    assert [receipt.kind for receipt in outcome.receipts] == ["touched"]


async def test_a_declared_file_is_looked_at_even_in_a_folder_that_git_ignores(site: Site) -> None:
    task = model.Task(id="t", do="x", isolation="worktree", files=("build/settings.json",))
    assert "`build/settings.json`" in await told(site, writes("build/settings.json"), task=task)


@pytest.mark.parametrize("act", [nothing, puts("new.txt", "x"), puts("a.txt", "x")], ids=["nothing", "new", "changed"])
async def test_work_in_the_worktree_alone_is_no_change_of_the_checkout(
    site: Site, act: Callable[[Path], object]
) -> None:
    assert await told(site, lambda _checkout, at: act(at)) == ""
    assert await told(site.again(), lambda _checkout, at: write(at, "more.txt", "x"), attempt=1) == ""


async def test_caches_are_no_change_of_the_checkout(site: Site) -> None:
    assert await told(site, writes("__pycache__/a.cpython-311.pyc")) == ""


async def test_what_the_user_commits_meanwhile_is_told_by_its_branch_alone(site: Site) -> None:
    receipt = await told(site, lambda checkout, _at: commit(checkout, "Mine"))
    assert "branch `main` went from" in receipt
    assert "src/b.txt" not in receipt


async def test_a_bare_repository_is_watched_by_its_branches(site: Site, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--bare", str(site.repo), "bare.git")
    bare = Site(tmp_path / "bare.git", site.home)
    assert "branch `other` is new" in await told(bare, runs_in_worktree("branch", "other"))


async def test_a_checkout_that_cannot_be_looked_at_is_not_told_of(site: Site) -> None:
    git_here = git_process.Git(site.home, child_environment.ChildPolicy({"PATH": "bin"}))
    repo = git_process.Repository(site.repo, site.repo / ".git", "", "0" * 40)
    assert await checkout_watch.CheckoutWatch(git_here, repo).look() is None


def worker_git(site: Site, *arguments: str) -> InBoth:
    """Returns what runs git as a program of the worker's does; `{repo}` stands for the checkout."""

    def act(checkout: Path, at: Path) -> None:
        words = [word.replace("{repo}", str(checkout)) for word in arguments]
        env = {**os.environ, command_log.VARIABLE: site.orders[-1].git_log}
        subprocess.run(["git", *words], cwd=at, env=env, check=True, capture_output=True)

    return act


MOVES = {
    "a commit in the checkout": (
        ("-C", "{repo}", "commit", "-q", "--allow-empty", "-m", "x"),
        "branch `main` went from",
    ),
    "a reset in the checkout": (("-C", "{repo}", "reset", "-q", "--soft", "HEAD~1"), "branch `main` went from"),
    "another branch in the checkout": (("-C", "{repo}", "checkout", "-q", "-b", "o"), "`o` is checked out instead of"),
    "a detached checkout": (("-C", "{repo}", "checkout", "-q", "--detach"), "`(detached)` is checked out instead of"),
    "the branch from afar": (("update-ref", "refs/heads/main", "HEAD~1"), "branch `main` went from"),
    "HEAD from afar": (("-C", "{repo}", "symbolic-ref", "HEAD", "refs/heads/side"), "`side` is checked out instead of"),
    "another branch": (("branch", "-f", "side", "HEAD~1"), "branch `side` went from"),
    "another branch by its ref": (("update-ref", "refs/heads/side", "HEAD~1"), "branch `side` went from"),
    "a push to another branch": (("push", "-q", "-f", ".", "HEAD~1:side"), "branch `side` went from"),
    "a branch that is deleted": (("branch", "-D", "side"), "branch `side` is gone"),
}


@pytest.mark.promise("S8")
@pytest.mark.parametrize("name", MOVES)
@pytest.mark.slice(2)
async def test_an_attempt_that_moves_the_users_branch_fails_with_that_reason_and_its_work_is_kept(
    site: Site, name: str
) -> None:
    git(site.repo, "branch", "side")
    arguments, words = MOVES[name]

    def work(at: Path) -> None:
        write(at, "new.txt", "work")
        worker_git(site, *arguments)(site.repo, at)

    outcome = await site.attempt(site.order(), work)
    assert (outcome.state, outcome.error_kind, outcome.retryable) == (AttemptState.FAILED, "moved_branch", False)
    assert words in outcome.error
    assert git(site.repo, "show", "refs/dispatch/run/kept/t/1:new.txt") == "work"
    assert git(site.repo, "for-each-ref", "refs/dispatch/run/done") == ""


async def test_without_its_own_log_of_git_a_move_from_afar_is_still_known(site: Site) -> None:
    def work(at: Path) -> None:
        git(at, "update-ref", "refs/heads/main", "HEAD~1")

    outcome = await site.attempt(site.order(), work)
    assert outcome.error_kind == "moved_branch"


HARMLESS = {
    "commits in its worktree": ("commit", "-q", "--allow-empty", "-m", "x"),
    "a branch of its own": ("checkout", "-q", "-b", "feature"),
    "reads the checkout": ("-C", "{repo}", "log", "-1"),
    "reads a branch": ("log", "-1", "main"),
    "merges a branch": ("merge", "-q", "side"),
}


@pytest.mark.parametrize("arguments", HARMLESS.values(), ids=HARMLESS.keys())
async def test_an_attempt_is_not_blamed_for_what_the_user_does_meanwhile(
    site: Site, arguments: tuple[str, ...]
) -> None:
    git(site.repo, "branch", "side")

    def work(at: Path) -> None:
        write(at, "new.txt", "work")
        worker_git(site, *arguments)(site.repo, at)
        commit(site.repo, "Mine")
        git(site.repo, "checkout", "-q", "-b", "mine")

    outcome = await site.attempt(site.order(), work)
    assert outcome.state is AttemptState.SUCCEEDED, outcome.error


async def test_a_log_of_gits_commands_goes_with_the_worktree(site: Site) -> None:
    def work(at: Path) -> None:
        worker_git(site, "status")(site.repo, at)
        assert command_log.read(Path(site.orders[-1].git_log))

    await site.attempt(site.order(), work)
    assert not list((site.home / "worktrees").rglob("*"))


@given(
    st.lists(st.text(max_size=80) | st.sampled_from(['{"event":"start"}', '{"event":"cmd_name","name":1}', '"start"']))
)
def test_a_log_that_is_none_names_no_command(lines: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        path.write_text("\n".join(lines), "utf-8", "replace")
        assert command_log.read(path) == []
        assert command_log.read(path.with_name("none")) == []


def test_many_changes_are_told_by_the_first_and_a_count() -> None:
    before = CheckoutState(branch="main")
    refs = {f"refs/heads/b{number}": "1" * 40 for number in range(8)}
    after = CheckoutState(branch="main", refs=refs, files={f"f{number}": "x" for number in range(9)})
    parts = checkout_watch.differences(before, after)
    assert len(parts) == checkout_watch.NAMED + 2
    assert parts[-2] == "3 more branches and tags"
    assert parts[-1] == "`f0`, `f1`, `f2`, `f3`, `f4` and 4 more"


@pytest.mark.parametrize(
    ("states", "only_staged"),
    [
        ("MM", True),
        ("AM", True),
        ("AD", True),
        ("MD", True),
        ("M.", False),
        (".M", False),
        ("A.", False),
        ("D.", False),
        (".D", False),
        ("DM", False),
    ],
)
def test_only_what_is_staged_and_stands_nowhere_else_is_missed_in_the_index(states: str, *, only_staged: bool) -> None:
    mode = "000000" if states.startswith("D") else "100644"
    mark = f"1 {states} N... 100644 {mode} 100644 {'c' * 40} {'5' * 40} 100644 3 1"
    before = checkout_watch.CheckoutState(files={"a": mark, "b": "? 100644 3 1"})
    files = checkout_watch.staged_files(before)
    assert files == ({"a": checkout_watch.StagedFile(mode, "5" * 40, "c" * 40)} if only_staged else {})
    for after in ({}, {"a": "? 100644 3 1"}, {"a": mark.replace("5" * 40, "c" * 40)}):
        now = checkout_watch.CheckoutState(files=after)
        assert checkout_watch.unstaged_files(before, now, [], Path("/w")) == ["a"] * only_staged
        assert checkout_watch.unstaged_files(before, now._replace(head="other"), [], Path("/w")) == []
    assert checkout_watch.unstaged_files(before, before, [], Path("/w")) == []


def test_a_submodule_that_is_staged_is_no_file_of_which_anything_is_lost() -> None:
    mark = f"1 MM SC.. 160000 160000 160000 {'c' * 40} {'5' * 40} 40755 3 1"
    assert checkout_watch.staged_files(checkout_watch.CheckoutState(files={"inner": mark})) == {}


@pytest.mark.parametrize(("name", "is_lost"), [("add", True), ("commit", True), ("status", False), ("diff", False)])
def test_who_has_staged_something_else_is_known_by_the_commands(name: str, *, is_lost: bool) -> None:
    mark = f"1 MM N... 100644 100644 100644 {'c' * 40} {'5' * 40} 100644 3 1"
    before = checkout_watch.CheckoutState(files={"a": mark})
    after = checkout_watch.CheckoutState(files={"a": mark.replace("5" * 40, "6" * 40)})
    for top, is_here in (("/w", True), ("/elsewhere", False)):
        commands = [command_log.GitCommand(name, (name,), top)]
        gone = checkout_watch.unstaged_files(before, after, commands, Path("/w"))
        assert gone == ["a"] * (is_lost and is_here)
