"""Work inside submodules and other repositories of a worktree: never merged blindly, never lost, always named."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from submodule_setup import LOCAL, PLACE, add_submodule, commits, fill, filled, has, link, writes
from temp_repository import Site, Work, commit, git, lines, make, puts, refs, shown, state_of, trees, write

from dispatch_mcp import errors, model
from dispatch_mcp.git import branch_apply, cleanup, inner_repositories
from dispatch_mcp.model import AttemptState

pytestmark = [pytest.mark.anyio, pytest.mark.slice(2, table="work inside other repositories")]

MERGED = "refs/dispatch/run/merged"
KEPT = "refs/dispatch/run/kept/t/1"


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    return make(tmp_path / "pump")


@pytest.fixture
def site(tmp_path: Path, upstream: Path) -> Site:
    repo = make(tmp_path / "repo")
    add_submodule(repo, upstream)
    return Site(repo, tmp_path / "state")


def inner(site: Site) -> Path:
    """Returns the user's own copy of the submodule."""
    return site.repo / PLACE


def tree_of(site: Site) -> Path:
    return Path(site.orders[-1].cwd)


def receipts(outcome: model.Outcome) -> str:
    return " / ".join(receipt.detail for receipt in outcome.receipts if receipt.kind == "merge")


def then(*works: Work) -> Work:
    """Returns work that does one thing after the other."""

    def work(at: Path) -> None:
        for each in works:
            each(at)

    return work


def runs(*arguments: str) -> Work:
    """Returns work that runs git."""

    def work(at: Path) -> None:
        git(at, *arguments)

    return work


def in_shared_worktree(repo: Path) -> Work:
    """Returns work that takes the submodule's folder from the user's own copy, and commits there."""

    def work(at: Path) -> None:
        (at / PLACE).rmdir()
        git(repo / PLACE, "worktree", "add", "-q", "--detach", str(at / PLACE))
        write(at / PLACE, "a.txt", "work")
        commit(at / PLACE, "Inner work")

    return work


def stashes(at: Path) -> None:
    writes("a.txt")(at)
    git(at / PLACE, "stash", "-q")


def amends(at: Path) -> None:
    commits(branch="mine")(at)
    write(at / PLACE, "a.txt", "amended")
    git(at / PLACE, "commit", "-q", "-a", "--amend", "-m", "Amended")


def hides(at: Path) -> None:
    """Edits a file of which git is told not to look at it."""
    git(fill(at), "update-index", "--assume-unchanged", "a.txt")
    write(at / PLACE, "a.txt", "work")


def deletes(at: Path) -> None:
    (fill(at) / "a.txt").unlink()


def removes(at: Path) -> None:
    """Commits in the submodule, then takes the submodule out: its git directory stays behind."""
    commits()(at)
    git(at, "rm", "-q", "-f", PLACE)


def clones(upstream: Path) -> Work:
    """Returns work that clones into the submodule's folder instead of filling it."""

    def work(at: Path) -> None:
        git(at, "clone", "-q", str(upstream), PLACE)
        write(at / PLACE, "a.txt", "work")
        commit(at / PLACE, "Inner work")

    return work


def forget_copy(site: Site) -> None:
    """Takes the user's own copy of the submodule away."""
    git(site.repo, "submodule", "--quiet", "deinit", "-f", PLACE)
    shutil.rmtree(site.repo / ".git" / "modules")


def kept_texts(site: Site) -> list[str]:
    """Returns the texts of `a.txt` and `new.txt` in everything that the user's copy keeps of the attempt."""
    reachable = git(inner(site), "rev-list", KEPT).split()
    paths = [f"{commit_id}:{name}" for commit_id in reachable for name in ("a.txt", "new.txt")]
    return [git(inner(site), "show", path) for path in paths if has(inner(site), path)]


INNER_WORK = {
    "a commit": (commits(), "1 commit of its own"),
    "a commit on a branch": (commits(branch="mine"), "1 commit of its own"),
    "a commit on a branch that was left": (commits(branch="mine", then="main"), "1 commit of its own"),
    "a commit that only the reflog knows": (commits(then="HEAD~1"), "1 commit of its own"),
    "a tracked file": (writes("a.txt"), "1 file that is in no commit (`a.txt`)"),
    "an untracked file": (writes("new.txt"), "1 file that is in no commit (`new.txt`)"),
    "a file that git shall not look at": (hides, "1 file that is in no commit (`a.txt`)"),
    "a stash": (stashes, "of its own"),
    "an amended commit": (amends, "2 commits of its own"),
    "a commit and a file": (then(commits(), puts(f"{PLACE}/new.txt", "x")), "1 commit of its own"),
    "a submodule that was taken out": (removes, "1 commit of its own"),
}


@pytest.mark.slice(3)
@pytest.mark.promise("S8")
@pytest.mark.promise("S20")
@pytest.mark.parametrize(("work", "words"), INNER_WORK.values(), ids=INNER_WORK.keys())
async def test_work_inside_a_submodule_is_no_success_and_is_kept_in_the_users_copy_of_it(
    site: Site, work: Work, words: str
) -> None:
    before, place = state_of(site.repo), link(site.repo, "HEAD")
    outcome = await site.attempt(site.order(), then(work, puts("new.txt", "outside")))
    assert (outcome.state, outcome.error_kind, outcome.retryable) == (AttemptState.FAILED, "submodule", False)
    assert f"submodule `{PLACE}`: " in outcome.error
    assert words in outcome.error
    assert KEPT in outcome.error
    assert str(tree_of(site)) in outcome.error
    assert f"`{PLACE}`" in receipts(outcome)
    assert "work" in kept_texts(site)
    assert git(inner(site), "fsck", "--no-dangling") == ""
    assert (link(site.repo, MERGED), shown(site.repo, "run", "a.txt")) == (place, lines().strip())
    assert git(site.repo, "show", f"{KEPT}:new.txt") == "outside"
    assert tree_of(site).is_dir()
    assert state_of(site.repo) == before


async def test_a_clone_in_the_place_of_a_submodule_is_work_inside_of_it(site: Site, upstream: Path) -> None:
    outcome = await site.attempt(site.order(), clones(upstream))
    assert (outcome.error_kind, "1 commit of its own" in outcome.error) == ("submodule", True)
    assert kept_texts(site)[0] == "work"


async def test_a_commit_in_a_folder_that_is_shared_with_the_users_copy_gets_a_ref_there(site: Site) -> None:
    outcome = await site.attempt(site.order(), in_shared_worktree(site.repo))
    assert (outcome.error_kind, "1 commit of its own" in outcome.error) == ("submodule", True)
    assert git(inner(site), "show", f"{KEPT}:a.txt") == "work"


async def test_files_that_were_written_into_the_empty_folder_of_a_submodule_stay_in_the_worktree(site: Site) -> None:
    outcome = await site.attempt(site.order(), then(puts(f"{PLACE}/new.txt", "x"), puts("log.txt", "x")))
    assert (outcome.state, outcome.error_kind, outcome.retryable) == (AttemptState.FAILED, "submodule", False)
    assert "1 file that is in no commit (`new.txt`)" in outcome.error
    assert (tree_of(site) / PLACE / "new.txt").read_text() == "x"
    assert git(site.repo, "show", f"{KEPT}:log.txt") == "x"
    assert git(site.repo, "rev-parse", MERGED) == git(site.repo, "rev-parse", "HEAD")


async def test_declared_files_inside_a_submodule_are_no_failure_that_is_tried_again(site: Site) -> None:
    task = model.Task(id="t", do="x", isolation="worktree", files=(f"{PLACE}/a.txt", f"{PLACE}/new.txt", "log.txt"))
    outcome = await site.attempt(site.order(task=task), then(writes("a.txt"), puts("log.txt", "x")))
    assert (outcome.error_kind, outcome.retryable) == ("submodule", False)


async def test_filling_a_submodule_is_no_work_and_leaves_nothing_behind(site: Site) -> None:
    def work(at: Path) -> None:
        write(fill(at), "__pycache__/a.pyc", "x")
        write(at, "new.txt", "x")

    outcome = await site.attempt(site.order(), work)
    assert outcome.state is AttemptState.SUCCEEDED, outcome.error
    assert git(site.repo, "diff", "--name-only", "HEAD", MERGED) == "new.txt"
    assert (trees(site.repo), refs(inner(site))) == (0, [])


def fetches(at: Path) -> None:
    """Moves the submodule to the newest commit of its remote."""
    git(fill(at), *LOCAL, "fetch", "-q")
    git(at / PLACE, "checkout", "-q", "origin/main")


async def test_a_submodule_moves_to_a_commit_of_its_remote_once_the_users_copy_has_it(
    site: Site, upstream: Path
) -> None:
    newest = commit(upstream, "Newer")
    outcome = await site.attempt(site.order(), fetches)
    assert outcome.state is AttemptState.SUCCEEDED, outcome.error
    assert f"Submodule `{PLACE}` moves to commit {newest[:12]}" in receipts(outcome)
    assert link(site.repo, MERGED) == newest
    shutil.rmtree(upstream)
    applier = branch_apply.BranchApply(site.workspaces.git)
    offer = await applier.look(str(site.repo), "run")
    assert (await applier.apply(str(site.repo), "run", offer.revision)).applied
    git(site.repo, "submodule", "--quiet", "update", PLACE)
    assert git(inner(site), "rev-parse", "HEAD") == newest
    assert trees(site.repo) == 0


async def test_a_submodule_moves_to_a_commit_that_the_user_has_made_there(site: Site) -> None:
    own = commit(inner(site), "My own")

    def work(at: Path) -> None:
        git(fill(at), *LOCAL, "fetch", "-q", str(inner(site)), own)
        git(at / PLACE, "checkout", "-q", own)

    outcome = await site.attempt(site.order(), work)
    assert outcome.state is AttemptState.SUCCEEDED, outcome.error
    assert link(site.repo, MERGED) == own


async def test_without_the_users_copy_of_a_submodule_its_commits_stay_in_the_worktree(
    site: Site, upstream: Path
) -> None:
    forget_copy(site)
    outcome = await site.attempt(site.order(), commits())
    assert (outcome.error_kind, "kept as" in outcome.error) == ("submodule", False)
    assert git(tree_of(site) / PLACE, "show", "HEAD:a.txt") == "work"
    commit(upstream, "Newer")
    outcome = await site.attempt(site.order("u"), fetches)
    assert "which your copy of the submodule does not have" in outcome.error
    assert link(site.repo, MERGED) == link(site.repo, "HEAD")


async def test_a_submodule_never_moves_to_a_commit_that_nobody_has(site: Site) -> None:
    nowhere = "1" * 40
    outcome = await site.attempt(site.order(), runs("update-index", "--cacheinfo", f"160000,{nowhere},{PLACE}"))
    assert (outcome.state, outcome.error_kind) == (AttemptState.FAILED, "submodule")
    assert f"moved to commit {nowhere[:12]}" in outcome.error
    assert link(site.repo, MERGED) == link(site.repo, "HEAD")


def takes_out(at: Path) -> None:
    git(at, "rm", "-q", PLACE)


async def test_a_submodule_that_is_taken_out_is_gone_from_the_branch_and_stays_in_the_users_folder(site: Site) -> None:
    write(inner(site), "mine.txt", "mine")
    outcome = await site.attempt(site.order(), takes_out)
    assert outcome.state is AttemptState.SUCCEEDED, outcome.error
    assert f"Submodule `{PLACE}` is taken out" in receipts(outcome)
    assert "`.gitmodules` is changed" in receipts(outcome)
    applier = branch_apply.BranchApply(site.workspaces.git)
    assert (await applier.look(str(site.repo), "run")).local == (PLACE,)
    git(site.repo, "config", f"submodule.{PLACE}.ignore", "untracked")
    offer = await applier.look(str(site.repo), "run")
    assert (await applier.apply(str(site.repo), "run", offer.revision)).applied
    assert link(site.repo, "HEAD") == ""
    assert (inner(site) / "mine.txt").read_text() == "mine"


async def test_an_empty_folder_that_somebody_cleaned_away_takes_no_submodule_out(site: Site) -> None:
    outcome = await site.attempt(site.order(), then(lambda at: (at / PLACE).rmdir(), puts("new.txt", "x")))
    assert outcome.state is AttemptState.SUCCEEDED, outcome.error
    assert link(site.repo, MERGED) == link(site.repo, "HEAD")
    assert "the submodule stays, because `.gitmodules` still lists it" in receipts(outcome)


async def test_files_in_the_place_of_a_submodule_never_come_into_the_users_copy_of_it(site: Site) -> None:
    def vendors(at: Path) -> None:
        git(at, "rm", "-q", "--cached", PLACE)
        write(at, f"{PLACE}/vendored.txt", "x")

    outcome = await site.attempt(site.order(), vendors)
    assert outcome.state is AttemptState.SUCCEEDED, outcome.error
    assert shown(site.repo, "run", f"{PLACE}/vendored.txt") == "x"
    applier = branch_apply.BranchApply(site.workspaces.git)
    offer = await applier.look(str(site.repo), "run")
    assert f"{PLACE}/" in offer.local
    with pytest.raises(errors.NotAllowed, match="would be written over"):
        await applier.apply(str(site.repo), "run", offer.revision)
    assert not (inner(site) / "vendored.txt").exists()


async def test_a_new_submodule_is_not_merged_before_the_user_has_a_copy_of_it(site: Site, upstream: Path) -> None:
    outcome = await site.attempt(site.order(), runs(*LOCAL, "submodule", "--quiet", "add", str(upstream), "other"))
    assert (outcome.state, outcome.error_kind) == (AttemptState.FAILED, "submodule")
    assert "submodule `other`" in outcome.error
    assert link(site.repo, MERGED, "other") == ""


def makes_repository(path: str) -> Work:
    def work(at: Path) -> None:
        make(at / path)

    return work


def makes_unborn(path: str) -> Work:
    def work(at: Path) -> None:
        write(at / path, "a.txt", "work")
        git(at / path, "init", "-q")

    return work


def turns_into_repository(at: Path) -> None:
    (at / "a.txt").unlink()
    make(at / "a.txt")


REPOSITORIES = {
    "one with a commit": (makes_repository("inner"), "inner"),
    "one without a commit": (makes_unborn("inner"), "inner"),
    "one without a commit in a new folder": (makes_unborn("new/deep"), "new/deep"),
    "two": (then(makes_unborn("one"), makes_repository("two")), "one"),
    "one in the place of a file": (turns_into_repository, "a.txt"),
}


@pytest.mark.parametrize(("work", "path"), REPOSITORIES.values(), ids=REPOSITORIES.keys())
async def test_a_repository_that_an_attempt_made_is_no_success_and_stays_in_the_worktree(
    site: Site, work: Work, path: str
) -> None:
    outcome = await site.attempt(site.order(), then(work, puts("log.txt", "x")))
    assert (outcome.state, outcome.error_kind, outcome.retryable) == (AttemptState.FAILED, "inner_repository", False)
    assert f"repository `{path}`" in outcome.error
    assert (tree_of(site) / path / "a.txt").is_file()
    assert git(site.repo, "diff", "--name-only", "HEAD", KEPT) == "log.txt"


async def test_repositories_among_installed_packages_are_nobodys_work(site: Site) -> None:
    work = then(makes_repository("node_modules/pack"), puts("new.txt", "x"))
    outcome = await site.attempt(site.order(), work)
    assert outcome.state is AttemptState.SUCCEEDED, outcome.error
    assert git(site.repo, "diff", "--name-only", "HEAD", MERGED) == "new.txt"


async def test_a_submodule_inside_a_submodule_keeps_its_work_in_the_users_copy(tmp_path: Path) -> None:
    valve = make(tmp_path / "valve")
    pump = make(tmp_path / "pump")
    add_submodule(pump, valve, "valve")
    repo = make(tmp_path / "repo")
    add_submodule(repo, pump)
    git(repo, *LOCAL, "submodule", "--quiet", "update", "--init", "--recursive")
    site = Site(repo, tmp_path / "state")

    def work(at: Path) -> None:
        write(fill(at) / "valve", "a.txt", "deep")
        commit(at / PLACE / "valve", "Deep work")

    outcome = await site.attempt(site.order(), work)
    assert (outcome.error_kind, f"`{PLACE}/valve`" in outcome.error) == ("submodule", True)
    assert git(repo / PLACE / "valve", "show", f"{KEPT}:a.txt") == "deep"
    outcome = await site.attempt(site.order("clean"), filled)
    assert outcome.state is AttemptState.SUCCEEDED, outcome.error


async def test_a_submodule_of_a_bare_repository_keeps_its_work_in_the_worktree(site: Site, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--bare", str(site.repo), "bare.git")
    bare = Site(tmp_path / "bare.git", site.home)
    outcome = await bare.attempt(bare.order(), then(commits(), puts(f"{PLACE}/new.txt", "x")))
    assert (outcome.error_kind, "kept as" in outcome.error) == ("submodule", False)
    assert git(tree_of(bare) / PLACE, "show", "HEAD:a.txt") == "work"


async def test_a_shallow_copy_of_a_submodule_is_kept_as_well(site: Site, upstream: Path) -> None:
    git(site.repo, "config", "-f", ".gitmodules", f"submodule.{PLACE}.url", f"file://{upstream}")
    commit(site.repo)

    def work(at: Path) -> None:
        write(fill(at, "--depth", "1"), "a.txt", "work")
        commit(at / PLACE, "Inner work")

    outcome = await site.attempt(site.order(), work)
    assert (outcome.error_kind, KEPT in outcome.error) == ("submodule", True)
    assert git(inner(site), "show", f"{KEPT}:a.txt") == "work"


@pytest.mark.promise("S5")
async def test_no_program_that_a_submodule_names_is_started(site: Site, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\ncat\n")
    trap.chmod(0o755)

    def work(at: Path) -> None:
        inner_folder = fill(at)
        write(inner_folder, ".gitattributes", "* filter=trap diff=trap\n")
        write(inner_folder, "a.txt", "work")
        for key in ("filter.trap.clean", "filter.trap.smudge", "diff.trap.textconv", "core.fsmonitor", "gpg.program"):
            git(inner_folder, "config", key, str(trap))
        git(inner_folder, "config", "core.alternateRefsCommand", str(trap))

    outcome = await site.attempt(site.order(), work)
    assert outcome.error_kind == "submodule"
    await cleanup.Cleaner(site.workspaces.git, site.home, frozenset()).prune(str(site.repo))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("ends", [AttemptState.FAILED, AttemptState.TIMED_OUT])
async def test_an_attempt_that_fails_says_what_it_left_inside_a_submodule(site: Site, ends: AttemptState) -> None:
    outcome = await site.attempt(site.order(), commits(), ends=ends)
    assert (outcome.state, outcome.retryable) == (ends, True)
    assert f"submodule `{PLACE}`: 1 commit of its own" in receipts(outcome)
    assert git(inner(site), "show", f"{KEPT}:a.txt") == "work"
    assert tree_of(site).is_dir()


async def test_an_attempt_that_only_looks_may_leave_files_in_a_submodule_and_it_is_said(site: Site) -> None:
    outcome = await site.attempt(site.order(isolation="merged"), writes("new.txt"))
    assert outcome.state is AttemptState.SUCCEEDED
    assert f"submodule `{PLACE}`" in receipts(outcome)
    assert (tree_of(site) / PLACE / "new.txt").is_file()


def dies(work: Work) -> Work:
    def last(at: Path) -> None:
        work(at)
        raise RuntimeError("the server is killed here")

    return last


async def test_a_killed_attempt_leaves_its_inner_work_to_the_next_one_which_keeps_it(site: Site) -> None:
    with pytest.raises(RuntimeError):
        await site.attempt(site.order(), dies(then(commits(), puts("half.txt", "half"))))
    later = site.again()
    outcome = await later.attempt(later.order(attempt=2), puts("new.txt", "x"))
    assert outcome.state is AttemptState.SUCCEEDED, outcome.error
    assert git(inner(site), "show", f"{KEPT}:a.txt") == "work"
    assert git(site.repo, "show", f"{KEPT}:half.txt") == "half"
    assert tree_of(site).is_dir()


def cleaner(site: Site) -> cleanup.Cleaner:
    return cleanup.Cleaner(site.workspaces.git, site.home, frozenset())


def commits_outside_too(at: Path) -> None:
    """Commits in the submodule, and the submodule's new commit in the worktree."""
    commits()(at)
    commit(at, "Moved the submodule")


@pytest.mark.parametrize("work", [commits(), writes("new.txt"), commits_outside_too], ids=["commit", "file", "both"])
async def test_tidying_removes_a_worktree_once_the_users_copy_has_all_that_was_in_its_submodules(
    site: Site, work: Work
) -> None:
    with pytest.raises(RuntimeError):
        await site.attempt(site.order(), dies(work))
    leftovers = await cleaner(site).prune(str(site.repo))
    assert (leftovers.trees, trees(site.repo)) == ((), 0)
    assert "work" in kept_texts(site)


INNER_WORK_ONLY_HERE = {
    "a file in the empty folder": (puts(f"{PLACE}/new.txt", "x"), "new.txt"),
    "a repository": (makes_repository(PLACE.replace("pump", "inner")), "parts/inner"),
    "a repository without a commit": (makes_unborn("inner"), "inner"),
}


@pytest.mark.parametrize(("work", "words"), INNER_WORK_ONLY_HERE.values(), ids=INNER_WORK_ONLY_HERE.keys())
async def test_tidying_leaves_a_worktree_whose_inner_work_is_nowhere_else_and_says_why(
    site: Site, work: Work, words: str
) -> None:
    outcome = await site.attempt(site.order(), work)
    assert outcome.state is AttemptState.FAILED
    listing = (await cleaner(site).look(str(site.repo))).trees
    assert words in listing[0].note
    for _ in range(2):
        assert words in (await cleaner(site).prune(str(site.repo))).trees[0].note
    assert tree_of(site).is_dir()


async def test_tidying_leaves_the_commits_of_a_submodule_that_the_user_has_no_copy_of(site: Site) -> None:
    forget_copy(site)
    with pytest.raises(RuntimeError):
        await site.attempt(site.order(), dies(commits_outside_too))
    for _ in range(3):
        await cleaner(site).prune(str(site.repo))
        assert git(tree_of(site) / PLACE, "show", "HEAD:a.txt") == "work"


@pytest.mark.parametrize("below", ["", "parts"])
async def test_submodules_of_a_workspace_are_known_and_repositories_around_its_paths(site: Site, below: str) -> None:
    make(site.repo / "parts" / "own")
    (site.repo / "parts" / "pump" / ".git").unlink()
    paths = [str(site.repo / "parts" / "own" / "a.txt"), "parts/*/x", "../out/a", "/elsewhere/a"]
    folders = await inner_repositories.inner_folders(site.workspaces.git, str(site.repo / below), paths)
    assert folders == [path.removeprefix(f"{below}/") for path in (PLACE, "parts/own")]


async def test_outside_of_a_repository_and_without_a_workspace_there_are_no_submodules(
    site: Site, tmp_path: Path
) -> None:
    (tmp_path / "plain").mkdir()
    for workspace in (str(tmp_path / "plain"), "", str(tmp_path / "gone")):
        assert await inner_repositories.inner_folders(site.workspaces.git, workspace, ["a.txt"]) == []


async def test_a_run_is_not_applied_while_the_users_copy_of_a_submodule_lacks_its_commit(
    site: Site, upstream: Path
) -> None:
    commit(upstream, "Newer")
    outcome = await site.attempt(site.order(), fetches)
    assert outcome.state is AttemptState.SUCCEEDED, outcome.error
    git(inner(site), "update-ref", "-d", KEPT)
    before = state_of(site.repo)
    applier = branch_apply.BranchApply(site.workspaces.git)
    offer = await applier.look(str(site.repo), "run")
    assert offer.lacking == (PLACE,)
    with pytest.raises(errors.NotAllowed, match=f"your copies of them lack: `{PLACE}`"):
        await applier.apply(str(site.repo), "run", offer.revision)
    assert state_of(site.repo) == before
    git(inner(site), *LOCAL, "fetch", "-q")
    assert (await applier.apply(str(site.repo), "run", offer.revision)).applied
