from __future__ import annotations

import json
import os
from pathlib import Path

import anyio
import pytest
from temp_repository import Site, changes, commit, git, lines, make, nothing, puts, refs, shown, state_of, trees, write

from dispatch_mcp import errors
from dispatch_mcp.git import apply_rules, branch_apply, cleanup
from dispatch_mcp.model import AttemptState, merge_offer, run_refs

pytestmark = pytest.mark.anyio


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(make(tmp_path / "repo"), tmp_path / "state")


async def look(site: Site) -> merge_offer.Offer:
    with anyio.fail_after(120):
        return await branch_apply.BranchApply(site.workspaces.git).look(str(site.repo), "run")


async def apply(site: Site, expect: str = "") -> merge_offer.Offer:
    with anyio.fail_after(120):
        revision = expect or git(site.repo, "rev-parse", run_refs.Refs("run").merged)
        return await branch_apply.BranchApply(site.workspaces.git).apply(str(site.repo), "run", revision)


async def test_looking_tells_what_would_change_and_touches_nothing(site: Site) -> None:
    await site.attempt(site.order("x"), puts("new.txt", "x"))
    await site.attempt(site.order("y"), changes("a.txt", "line 1\n", "one\n"))
    before = state_of(site.repo)
    offer = await look(site)
    assert (offer.way, offer.commits, offer.files) == ("forward", 2, ("a.txt", "new.txt"))
    assert apply_rules.obstacle(offer) is None
    assert "Would apply 2 commits" in apply_rules.describe_offer(offer)
    assert state_of(site.repo) == before


async def test_applying_moves_an_unchanged_branch_forward(site: Site) -> None:
    await site.attempt(site.order(), puts("new.txt", "x"))
    offer = await apply(site)
    assert offer.applied
    assert (site.repo / "new.txt").read_text() == "x"
    assert state_of(site.repo) == (offer.revision, "main", "")
    assert (await look(site)).way == "nothing"
    assert not (await apply(site)).applied


async def test_applying_merges_into_a_branch_that_has_moved_on(site: Site) -> None:
    await site.attempt(site.order(), changes("a.txt", "line 1\n", "one\n"))
    write(site.repo, "a.txt", lines().replace("line 9", "nine"))
    commit(site.repo, "Mine")
    offer = await apply(site)
    assert (offer.way, offer.applied) == ("merge", True)
    assert (site.repo / "a.txt").read_text() == lines().replace("line 9", "nine").replace("line 1\n", "one\n")
    assert len(git(site.repo, "log", "-1", "--format=%P").split()) == 2
    assert git(site.repo, "fsck", "--no-dangling") == ""


async def test_local_changes_elsewhere_stay_and_those_in_the_way_refuse(site: Site) -> None:
    await site.attempt(site.order(), puts("new.txt", "x"))
    write(site.repo, "a.txt", "mine")
    git(site.repo, "add", "a.txt")
    write(site.repo, "new.txt", "mine, not tracked")
    before = state_of(site.repo)
    with pytest.raises(errors.NotAllowed, match=r"written over in `new\.txt`"):
        await apply(site)
    assert state_of(site.repo) == before
    (site.repo / "new.txt").unlink()
    assert (await apply(site)).applied
    assert (site.repo / "a.txt").read_text() == "mine"
    assert git(site.repo, "diff", "--cached", "--name-only") == "a.txt"


async def test_another_revision_than_the_one_looked_at_is_refused(site: Site) -> None:
    await site.attempt(site.order("x"), puts("new.txt", "x"))
    seen = (await look(site)).revision
    await site.attempt(site.order("y"), puts("more.txt", "y"))
    before = state_of(site.repo)
    for expect in (seen, "0" * 40, "main", "--hard", "HEAD~1", seen[:4]):
        with pytest.raises(errors.InputError):
            await apply(site, expect)
    assert state_of(site.repo) == before


async def test_a_conflict_with_the_branch_is_refused_with_the_files_and_touches_nothing(site: Site) -> None:
    await site.attempt(site.order(), changes("a.txt", "line 1\n", "one\n"))
    write(site.repo, "a.txt", lines().replace("line 1\n", "uno\n"))
    commit(site.repo, "Mine")
    before = state_of(site.repo)
    with pytest.raises(errors.NotAllowed, match=r"both changed `a\.txt`"):
        await apply(site)
    assert state_of(site.repo) == before


async def test_a_checkout_in_the_middle_of_something_or_on_no_branch_is_left_alone(site: Site) -> None:
    await site.attempt(site.order(), puts("new.txt", "x"))
    git(site.repo, "branch", "other")
    commit(site.repo, "Second")
    git(site.repo, "checkout", "-q", "--detach")
    with pytest.raises(errors.NotAllowed, match="on no branch"):
        await apply(site)
    git(site.repo, "checkout", "-q", "main")
    (site.repo / ".git" / "MERGE_HEAD").write_text(git(site.repo, "rev-parse", "other") + "\n")
    with pytest.raises(errors.NotAllowed, match="in the middle of a merge"):
        await apply(site)
    assert not (site.repo / "new.txt").exists()


async def test_a_locked_index_refuses_and_says_so(site: Site) -> None:
    await site.attempt(site.order(), puts("new.txt", "x"))
    before = state_of(site.repo)
    (site.repo / ".git" / "index.lock").touch()
    with pytest.raises(errors.NotAllowed, match=r"index\.lock"):
        await apply(site)
    assert state_of(site.repo) == before


async def test_a_run_that_merged_nothing_cannot_be_applied(site: Site) -> None:
    with pytest.raises(errors.InputError, match="merged nothing"):
        await look(site)


async def test_hooks_of_the_checkout_are_not_run(site: Site, tmp_path: Path) -> None:
    for hook in ("post-merge", "post-checkout", "pre-merge-commit", "reference-transaction"):
        path = site.repo / ".git" / "hooks" / hook
        path.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\nexit 1\n")
        path.chmod(0o755)
    git(site.repo, "config", "core.hooksPath", str(site.repo / ".git" / "hooks"))
    await site.attempt(site.order(), puts("new.txt", "x"))
    (tmp_path / "ran").unlink(missing_ok=True)
    revision = (site.repo / ".git/refs/dispatch/run/merged").read_text().strip()
    assert (await apply(site, revision)).applied
    assert not (tmp_path / "ran").exists()


def cleaner(site: Site, *open_runs: str) -> cleanup.Cleaner:
    return cleanup.Cleaner(site.workspaces.git, site.home, frozenset(open_runs))


def dies(at: Path) -> None:
    write(at, "half.txt", "half")
    raise RuntimeError("the server is killed here")


async def test_who_tidies_only_runs_of_its_own_drops_no_refs_of_others(site: Site) -> None:
    for run in ("own", "other"):
        git(site.repo, "update-ref", run_refs.Refs(run).base, "HEAD")
    tidier = cleanup.Cleaner(site.workspaces.git, site.home, frozenset(), frozenset({"own"}))
    left = await tidier.prune(str(site.repo))
    assert {work.run: work.removed for work in left.works} == {"own": 1, "other": 0}
    assert git(site.repo, "rev-parse", run_refs.Refs("other").base) == git(site.repo, "rev-parse", "HEAD")


async def test_what_a_killed_run_left_is_listed_and_its_changes_survive_tidying(site: Site) -> None:
    await site.attempt(site.order("x"), puts("new.txt", "x"))
    with pytest.raises(RuntimeError):
        await site.attempt(site.order("y"), dies)
    found = await cleaner(site, "run").look(str(site.repo))
    assert [(tree.task, tree.attempt, tree.left) for tree in found.trees] == [("y", 1, False)]
    assert [work.fate for work in found.works] == ["goes on"]
    found = await cleaner(site).look(str(site.repo))
    assert [tree.left for tree in found.trees] == [True]
    assert [(work.fate, work.kept) for work in found.works] == [("not applied", 0)]
    found = await cleaner(site).prune(str(site.repo))
    assert (found.trees, [work.kept for work in found.works]) == ((), [1])
    assert trees(site.repo) == 0
    assert not list(site.home.glob("worktrees/*"))
    assert git(site.repo, "show", "refs/dispatch/run/kept/y/1:half.txt") == "half"
    assert shown(site.repo, "run", "new.txt") == "x"


async def test_tidying_removes_only_what_a_branch_holds(site: Site) -> None:
    await site.attempt(site.order("x"), puts("new.txt", "x"))
    await site.attempt(site.order("y"), puts("half.txt", "half"), ends=AttemptState.FAILED)
    await cleaner(site).prune(str(site.repo))
    assert refs(site.repo) == ["refs/dispatch/run/kept/y/1", "refs/dispatch/run/merged"]
    await apply(site)
    await cleaner(site).prune(str(site.repo))
    assert refs(site.repo) == ["refs/dispatch/run/kept/y/1"]


async def test_nothing_of_an_open_run_is_tidied(site: Site) -> None:
    with pytest.raises(RuntimeError):
        await site.attempt(site.order(), dies)
    await site.attempt(site.order("x"), nothing)
    before = refs(site.repo)
    await cleaner(site, "run").prune(str(site.repo))
    assert (refs(site.repo), trees(site.repo)) == (before, 1)


async def test_a_broken_worktree_stays_and_the_reason_is_given(site: Site) -> None:
    with pytest.raises(RuntimeError):
        await site.attempt(site.order(), dies)
    (Path(site.orders[0].cwd) / ".git").unlink()
    found = await cleaner(site).prune(str(site.repo))
    assert found.trees[0].note
    assert (Path(site.orders[0].cwd) / "half.txt").exists()


async def test_names_that_are_no_unicode_are_merged_told_and_applied(site: Site) -> None:
    def do(at: Path) -> None:
        (at / os.fsdecode(b"caf\xe9.txt")).write_text("x")
        (at / "two\nlines.txt").write_text("x")

    outcome = await site.attempt(site.order(), do)
    assert outcome.state is AttemptState.SUCCEEDED, outcome.error
    offer = await look(site)
    assert offer.files == ("caf\ufffd.txt", "two lines.txt")
    assert json.loads(offer.model_dump_json())["files"][0] == "caf\ufffd.txt"
    assert (await apply(site)).applied
    assert (site.repo / os.fsdecode(b"caf\xe9.txt")).read_text() == "x"


async def test_a_success_that_was_never_merged_is_counted_and_stays(site: Site) -> None:
    await site.attempt(site.order("x"), puts("new.txt", "x"))
    await site.attempt(site.order("y"), nothing)
    git(site.repo, "update-ref", "refs/dispatch/run/merged", "HEAD")  # as if it had been cancelled just before
    found = await cleaner(site).look(str(site.repo))
    assert [work.kept for work in found.works] == [1]
    await cleaner(site).prune(str(site.repo))
    assert refs(site.repo) == ["refs/dispatch/run/done/x/1"]
