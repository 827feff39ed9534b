"""Which refs of the user's an attempt took away, and how each can be had back."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import anyio
import pytest
from temp_repository import Site, commit, git, make, write

from dispatch_mcp.git import checkout_watch, command_log, git_process
from dispatch_mcp.git.checkout_watch import CheckoutState, RefLoss
from dispatch_mcp.model import AttemptState, ports
from dispatch_mcp.process import child_environment

A, B, C = "a" * 40, "b" * 40, "c" * 40


def state(head: str = A, stash: tuple[str, ...] = (), **refs: str) -> CheckoutState:
    return CheckoutState("main", head, {f"refs/{name.replace('_', '/')}": at for name, at in refs.items()}, stash=stash)


@pytest.mark.parametrize(
    ("after", "losses"),
    [
        (state(heads_main=A, tags_v=B, stash=(C,)), []),
        (state(heads_main=A, tags_v=B, heads_new=C, stash=(C, B)), []),
        (state(heads_main=A, stash=(C,)), [("refs/tags/v", B, "")]),
        (state(heads_main=A, tags_v=B), [("refs/stash", C, "")]),
        (state(head=B, heads_main=B, tags_v=B, stash=(C,)), [("refs/heads/main", A, B)]),
        (state(head=B, heads_main=A, tags_v=B, stash=(C,)), [("HEAD", A, B)]),
    ],
)
def test_refs_and_entries_of_a_repository_inside_are_missed_that_are_gone_or_elsewhere(
    after: CheckoutState, losses: list[tuple[str, str, str]]
) -> None:
    before = state(heads_main=A, tags_v=B, stash=(C,))
    assert checkout_watch.inner_ref_losses("sub", before, after) == [RefLoss(*loss, "sub") for loss in losses]


def test_remote_branches_of_a_repository_inside_and_a_head_without_a_commit_are_not_missed() -> None:
    before, after = state(head="(initial)", remotes_origin_x=A), state(head=B, remotes_origin_x=B)
    assert checkout_watch.inner_ref_losses("sub", before, after) == []


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (RefLoss("refs/tags/v", A), f"tag `v` is gone (it was at {A[:12]}) (`git update-ref refs/tags/v {A}` brings"),
        (
            RefLoss("refs/keep/x", A, B),
            f"ref `refs/keep/x` went from {A[:12]} to {B[:12]} (`git update-ref refs/keep/x",
        ),
        (RefLoss("refs/remotes/o/x", A), "remote branch `o/x` is gone"),
        (RefLoss("refs/stash", A), f"an entry of the stash is gone (`git stash store {A}` brings it back)"),
        (RefLoss("refs/heads/x", A, "", "a b"), f"in `a b`: branch `x` is gone (it was at {A[:12]}) (`git -C 'a b' up"),
        (RefLoss("HEAD", A, B, "s"), f"no branch has that commit (`git -C s branch NAME {A}` keeps it)"),
    ],
)
def test_what_is_missed_is_named_with_the_command_that_has_it_back(loss: RefLoss, words: str) -> None:
    assert words in loss.text


@pytest.mark.parametrize(
    ("command", "in_worktree", "losses"),
    [
        ("status", False, ["refs/tags/v"]),
        ("status", True, []),
        ("tag -d v", True, ["refs/tags/v"]),
        ("update-ref -d refs/keep/x", False, ["refs/keep/x", "refs/tags/v"]),
        ("fetch --prune", False, ["refs/tags/v"]),
        ("remote remove o", True, ["refs/remotes/o/x"]),
        ("stash drop", True, ["refs/stash"]),
    ],
)
def test_an_attempt_answers_for_the_refs_that_its_commands_can_have_taken(
    command: str, losses: list[str], *, in_worktree: bool
) -> None:
    before = state(stash=(B,), heads_main=A, tags_v=A, keep_x=A, remotes_o_x=A)
    before = before._replace(refs={**before.refs, "refs/stash": B})
    words = command.split()
    commands = [command_log.GitCommand(words[0], ("git", *words))]
    answers = checkout_watch.ref_losses(before, state(heads_main=A), commands, in_worktree=in_worktree)
    assert [loss.ref for loss in answers] == losses


async def look(repo: Path) -> CheckoutState:
    git_here = git_process.Git(repo.parent, child_environment.ChildPolicy(os.environ))
    return await checkout_watch.CheckoutWatch(git_here, await git_process.find(git_here, str(repo))).view()


@pytest.mark.anyio
async def test_a_look_has_all_refs_but_ours_and_every_entry_of_the_stash(tmp_path: Path) -> None:
    repo = make(tmp_path / "repo")
    for ref in ("refs/keep/x", "refs/remotes/o/x", "refs/dispatch/run/merged"):
        git(repo, "update-ref", ref, "HEAD")
    for text in ("one", "two"):
        write(repo, "a.txt", text)
        git(repo, "stash", "-q")
    state = await look(repo)
    assert set(state.refs) == {"refs/heads/main", "refs/keep/x", "refs/remotes/o/x", "refs/stash"}
    assert sorted(state.stash) == sorted(git(repo, "stash", "list", "--format=%H").split())


@pytest.mark.anyio
@pytest.mark.parametrize("is_packed", [False, True])
async def test_refs_of_a_repository_inside_are_those_that_git_names(tmp_path: Path, *, is_packed: bool) -> None:
    repo = make(tmp_path / "repo")
    inner = make(repo / "vendor")
    for ref in ("refs/tags/v", "refs/keep/x", "refs/dispatch/run/merged"):
        git(inner, "update-ref", ref, "HEAD")
    if is_packed:
        git(inner, "pack-refs", "--all", "--prune")
        git(inner, "branch", "later")
    lines = git(inner, "for-each-ref", "--format=%(refname) %(objectname)").splitlines()
    refs = dict(line.split() for line in lines if "dispatch" not in line)
    state = (await look(repo)).inner["vendor"]
    assert (state.refs, state.branch, state.head) == (refs, "main", git(inner, "rev-parse", "HEAD"))
    assert state.git_dir == str((inner / ".git").resolve())


@pytest.mark.anyio
async def test_repositories_inside_are_looked_into_up_to_a_number(tmp_path: Path) -> None:
    repo = make(tmp_path / "repo")
    for number in range(checkout_watch.MAX_INNER + 2):
        git(repo, "init", "-q", f"vendor{number}")
    assert len((await look(repo)).inner) == checkout_watch.MAX_INNER


@pytest.mark.anyio
async def test_a_user_who_deletes_a_tag_and_drops_a_stash_meanwhile_fails_no_attempt_in_a_worktree(
    tmp_path: Path,
) -> None:
    site = Site(make(tmp_path / "repo"), tmp_path / "state")
    write(site.repo, "a.txt", "stashed")
    git(site.repo, "stash", "-q")
    git(site.repo, "tag", "v")

    def work(at: Path) -> None:
        write(at, "new.txt", "work")
        commit(at)
        git(site.repo, "stash", "drop", "-q")
        git(site.repo, "tag", "-d", "v")

    outcome = await site.attempt(site.order(), work)
    assert outcome.state == "succeeded", outcome.error


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("harm", "ref"),
    [("rm .git/refs/heads/keepme", "refs/heads/keepme"), ("rm .git/refs/tags/v1", "refs/tags/v1"), ("true", "")],
)
async def test_a_ref_that_is_gone_while_a_worktree_is_worked_in_is_told_with_its_way_back(
    tmp_path: Path, harm: str, ref: str
) -> None:
    site = Site(make(tmp_path / "repo"), tmp_path / "state")
    git(site.repo, "checkout", "-q", "-b", "keepme")
    write(site.repo, "a.txt", "only here")
    git(site.repo, "commit", "-qam", "only here")
    git(site.repo, "checkout", "-q", "main")
    git(site.repo, "tag", "v1")
    before = git(site.repo, "for-each-ref", "refs/heads", "refs/tags")

    def work(folder: Path) -> None:
        write(folder, "src/b.txt", "done\n")
        subprocess.run(["sh", "-c", harm], cwd=site.repo, check=True)

    outcome = await site.attempt(site.order(), work)
    assert outcome.state is AttemptState.SUCCEEDED
    told = str(site.context.left.get(ports.LOSS, ""))
    assert ("Gone meanwhile" in told) is bool(ref)
    if ref:
        await anyio.run_process(["sh", "-c", told.split("`")[-2]], cwd=site.repo)
        assert git(site.repo, "for-each-ref", "refs/heads", "refs/tags") == before


@pytest.mark.anyio
@pytest.mark.parametrize(
    "act",
    ["git branch -q -m side elsewhere", "git merge -q side && git branch -q -d side", "rm .git/refs/heads/merged"],
)
async def test_a_branch_that_is_renamed_or_was_merged_and_is_gone_meanwhile_is_no_loss(
    tmp_path: Path, act: str
) -> None:
    site = Site(make(tmp_path / "repo"), tmp_path / "state")
    git(site.repo, "branch", "merged")
    git(site.repo, "checkout", "-q", "-b", "side")
    write(site.repo, "a.txt", "only here")
    git(site.repo, "commit", "-qam", "only here")
    git(site.repo, "checkout", "-q", "main")

    def work(folder: Path) -> None:
        write(folder, "src/b.txt", "done\n")
        subprocess.run(["sh", "-c", act], cwd=site.repo, check=True)

    await site.attempt(site.order(), work)
    assert ports.LOSS not in site.context.left
