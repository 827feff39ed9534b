from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from temp_repository import (
    Context,
    Site,
    changes,
    commit,
    git,
    lines,
    make,
    nothing,
    puts,
    refs,
    shown,
    state_of,
    trees,
    write,
)

from dispatch_mcp import model
from dispatch_mcp.git import git_process, merge_queue, workspace_provider, worktree
from dispatch_mcp.model import AttemptState, WorkerKind, ports, work_order
from dispatch_mcp.process import child_environment

pytestmark = pytest.mark.anyio


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make(tmp_path / "repo")


@pytest.fixture
def site(tmp_path: Path, repo: Path) -> Site:
    return Site(repo, tmp_path / "state")


def details(outcome: model.Outcome) -> str:
    return " / ".join(receipt.detail for receipt in outcome.receipts if receipt.kind == "merge")


@pytest.mark.promise("S8")
def in_one_second(at: Path) -> None:
    """Edits a file without a change of its size, and has all of it look as if the index was written just before."""
    file, old = at / "a.txt", (10**18, 10**18)
    index = Path(git(at, "rev-parse", "--path-format=absolute", "--git-path", "index"))
    os.utime(file, ns=old)
    git(at, "update-index", "--refresh")
    file.write_text(lines().replace("line 5", "LINE 5"))
    for path in (file, index):
        os.utime(path, ns=old)


async def test_an_edit_of_the_second_in_which_the_worktree_was_made_is_merged(site: Site) -> None:
    git(site.repo, "config", "core.trustctime", "false")  # that of an edit a second later would give it away
    outcome = await site.attempt(site.order(), in_one_second)
    assert outcome.state is AttemptState.SUCCEEDED, outcome.error
    assert shown(site.repo, "run", "a.txt") == lines().replace("line 5", "LINE 5").rstrip()


async def test_an_attempt_works_in_a_worktree_outside_the_repository_and_its_change_is_merged(site: Site) -> None:
    before = state_of(site.repo)
    outcome = await site.attempt(site.order(), changes("a.txt", "line 1\n", "one\n"))
    placed = site.orders[0]
    assert outcome.state is AttemptState.SUCCEEDED
    assert Path(placed.cwd).is_relative_to(site.home)
    assert not Path(placed.cwd).is_relative_to(site.repo)
    assert placed.base == before[0]
    assert shown(site.repo, "run", "a.txt").startswith("one\nline 2")
    assert "merged as" in details(outcome)
    assert details(outcome).endswith("the checkout stays as it is until a person applies it")
    assert outcome.handoff.artifacts[0].path == git(site.repo, "rev-parse", "refs/dispatch/run/merged")
    assert state_of(site.repo) == before
    assert trees(site.repo) == 0
    assert git(site.repo, "fsck", "--no-dangling") == ""


@pytest.mark.promise("S8")
async def test_two_writers_of_one_file_at_once_never_share_a_tree_and_both_changes_are_merged(site: Site) -> None:
    async def one(task_id: str, old: str, new: str) -> None:
        work = site.order(task_id)
        outcome = await site.attempt(work, changes("a.txt", old, new), also=both.wait_for_both)
        assert outcome.state is AttemptState.SUCCEEDED

    both = _Meeting(2)
    async with anyio.create_task_group() as group:
        group.start_soon(one, "x", "line 1\n", "one\n")
        group.start_soon(one, "y", "line 9\n", "nine\n")
    assert len({placed.cwd for placed in site.orders}) == 2
    assert shown(site.repo, "run", "a.txt") == "one\n" + lines()[7:-7] + "nine"
    assert trees(site.repo) == 0


class _Meeting:
    """Lets several attempts go on only once all of them have done their work."""

    def __init__(self, count: int) -> None:
        self.left, self.event = count, anyio.Event()

    async def wait_for_both(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.event.set()
        with anyio.fail_after(120):
            await self.event.wait()


async def test_a_conflict_fails_the_attempt_with_a_brief_and_the_next_one_begins_from_the_merged_state(
    site: Site,
) -> None:
    both = _Meeting(2)
    outcomes: dict[str, model.Outcome] = {}

    async def one(task_id: str) -> None:
        outcomes[task_id] = await site.attempt(
            site.order(task_id), changes("a.txt", "line 1\n", f"{task_id}\n"), also=both.wait_for_both
        )

    async with anyio.create_task_group() as group:
        group.start_soon(one, "x")
        group.start_soon(one, "y")
    loser = next(name for name, outcome in outcomes.items() if outcome.state is AttemptState.FAILED)
    winner = "y" if loser == "x" else "x"
    lost = outcomes[loser]
    assert (lost.error_kind, lost.retryable) == ("merge_conflict", True)
    assert "`a.txt`" in lost.error
    assert f"task `{winner}`" in lost.error
    assert f"refs/dispatch/run/conflicts/{loser}/1" in refs(site.repo)
    assert shown(site.repo, "run", "a.txt").startswith(f"{winner}\n")
    again = await site.attempt(
        site.order(loser, 2, last_error=lost.error), changes("a.txt", f"{winner}\n", f"{winner} and {loser}\n")
    )
    assert again.state is AttemptState.SUCCEEDED
    assert shown(site.repo, "run", "a.txt").startswith(f"{winner} and {loser}\n")


async def test_a_change_that_is_not_accepted_is_kept_and_not_merged(site: Site) -> None:
    async def refused(_work: work_order.WorkOrder, outcome: model.Outcome) -> model.Outcome:
        return outcome.model_copy(update={"state": AttemptState.FAILED, "error_kind": "not_accepted"})

    outcome = await site.attempt(site.order(), puts("new.txt", "x"), judge=refused)
    assert outcome.error_kind == "not_accepted"
    assert refs(site.repo) == [f"refs/dispatch/run/{name}" for name in ("base", "kept/t/1", "merged")]
    assert git(site.repo, "show", "refs/dispatch/run/kept/t/1:new.txt") == "x"
    assert git(site.repo, "rev-parse", "refs/dispatch/run/merged") == git(site.repo, "rev-parse", "HEAD")
    assert trees(site.repo) == 0


async def test_what_checks_leave_behind_and_caches_are_not_part_of_the_change(site: Site) -> None:
    async def messy(work: work_order.WorkOrder, outcome: model.Outcome) -> model.Outcome:
        write(Path(work.cwd), "report.xml", "<x/>")
        return outcome

    def do(at: Path) -> None:
        write(at, "new.py", "x = 1")
        write(at, "__pycache__/new.cpython-311.pyc", "bytes")

    await site.attempt(site.order(), do, judge=messy)
    changed = git(site.repo, "diff", "--name-only", "HEAD", "refs/dispatch/run/merged")
    assert changed.split() == ["new.py"]


async def test_a_declared_file_that_git_ignores_is_merged_and_others_are_not(site: Site) -> None:
    write(site.repo, ".gitignore", "dist/\n")
    commit(site.repo)
    task = model.Task(id="t", do="build", isolation="worktree", files=("dist/app.js",))

    def do(at: Path) -> None:
        write(at, "dist/app.js", "x")
        write(at, "dist/app.js.map", "x")

    await site.attempt(site.order(task=task), do)
    changed = git(site.repo, "diff", "--name-only", "HEAD", "refs/dispatch/run/merged")
    assert changed.split() == ["dist/app.js"]


async def test_a_finished_attempt_whose_server_died_is_taken_over_without_being_carried_out_again(site: Site) -> None:
    first = await site.attempt(site.order(), puts("new.txt", "once"))
    later = site.again()
    outcome = await later.attempt(later.order(attempt=2), puts("new.txt", "twice"))
    assert later.orders == []
    assert outcome.summary == first.summary
    assert shown(site.repo, "run", "new.txt") == "once"
    assert git(site.repo, "rev-list", "--count", "HEAD..refs/dispatch/run/merged") == "1"


async def test_declared_absolute_paths_do_not_hide_that_an_attempt_had_finished(site: Site) -> None:
    task = model.Task(id="t", do="x", isolation="worktree", files=(f"{site.repo}/new.txt",))
    await site.attempt(site.order(task=task), puts("new.txt", "once"))
    later = site.again()
    await later.attempt(later.order(attempt=2, task=task), nothing)
    assert later.orders == []


async def test_work_of_another_text_under_the_same_name_is_not_taken_over(site: Site) -> None:
    await site.attempt(site.order(), puts("new.txt", "once"))
    task = model.Task(id="t", do="Something else", isolation="worktree")
    await site.attempt(site.order(attempt=2, task=task), puts("new.txt", "twice"))
    assert shown(site.repo, "run", "new.txt") == "twice"


async def test_a_finished_attempt_that_was_not_merged_yet_is_merged_by_the_next_one(site: Site) -> None:
    await site.attempt(site.order(), puts("new.txt", "once"))
    head = git(site.repo, "rev-parse", "HEAD")
    git(site.repo, "update-ref", "refs/dispatch/run/merged", head)
    later = site.again()
    outcome = await later.attempt(later.order(attempt=2), nothing)
    assert outcome.state is AttemptState.SUCCEEDED
    assert later.orders == []
    assert shown(site.repo, "run", "new.txt") == "once"


async def test_what_a_killed_attempt_left_is_kept_before_its_worktree_goes(site: Site) -> None:
    with pytest.raises(RuntimeError):
        await site.attempt(site.order(), _dies)
    assert trees(site.repo) == 1
    later = site.again()
    await later.attempt(later.order(attempt=2), puts("new.txt", "x"))
    assert git(site.repo, "show", "refs/dispatch/run/kept/t/1:half.txt") == "half"
    assert "half.txt" not in git(site.repo, "ls-tree", "--name-only", "refs/dispatch/run/merged")
    assert trees(site.repo) == 0


def _dies(at: Path) -> None:
    write(at, "half.txt", "half")
    raise RuntimeError("the server is killed here")


async def test_a_session_goes_on_in_the_worktree_where_it_was(site: Site) -> None:
    with pytest.raises(RuntimeError):
        await site.attempt(site.order(), _dies, beat={"session_id": "s"})
    later = site.again()
    outcome = await later.attempt(later.order(attempt=2, last_beat=site.context.left), puts("rest.txt", "rest"))
    assert later.orders[0].cwd == site.orders[0].cwd
    assert outcome.state is AttemptState.SUCCEEDED
    assert (shown(site.repo, "run", "half.txt"), shown(site.repo, "run", "rest.txt")) == ("half", "rest")
    assert trees(site.repo) == 0


async def test_a_session_that_timed_out_keeps_its_worktree_for_the_next_attempt(site: Site) -> None:
    await site.attempt(site.order(), puts("half.txt", "half"), ends=AttemptState.TIMED_OUT, beat={"session_id": "s"})
    await site.attempt(site.order(attempt=2, last_beat=site.context.left), nothing)
    assert site.orders[0].cwd == site.orders[1].cwd
    assert shown(site.repo, "run", "half.txt") == "half"


async def test_cancelled_work_is_kept_and_its_worktree_removed(site: Site) -> None:
    async with anyio.create_task_group() as group:

        async def stop() -> None:
            group.cancel_scope.cancel()
            await anyio.sleep_forever()

        async def run() -> None:
            await site.attempt(site.order(), puts("half.txt", "half"), also=stop)

        group.start_soon(run)
    assert git(site.repo, "show", "refs/dispatch/run/kept/t/1:half.txt") == "half"
    assert trees(site.repo) == 0


async def test_a_task_behind_changes_sees_them_and_what_it_changes_itself_is_kept_but_not_merged(site: Site) -> None:
    await site.attempt(site.order("x"), puts("new.txt", "x"))
    seen: list[str] = []

    def look(at: Path) -> None:
        seen.append((at / "new.txt").read_text())
        write(at, "scratch.txt", "y")

    outcome = await site.attempt(site.order("y", isolation="merged"), look)
    assert seen == ["x"]
    assert site.orders[1].directory == ""
    assert "not merged" in details(outcome)
    assert git(site.repo, "show", "refs/dispatch/run/kept/y/1:scratch.txt") == "y"
    assert trees(site.repo) == 0


async def test_an_agents_own_commits_become_one_commit_of_the_task(site: Site) -> None:
    def do(at: Path) -> None:
        for name in ("one", "two"):
            write(at, f"{name}.txt", name)
            commit(at, name)
        write(at, "three.txt", "three")

    await site.attempt(site.order(), do)
    log = git(site.repo, "log", "--format=%s", "HEAD..refs/dispatch/run/merged")
    assert log == "t: Do t"
    assert len(git(site.repo, "diff", "--name-only", "HEAD", "refs/dispatch/run/merged").split()) == 3


async def test_uncommitted_changes_of_the_checkout_are_not_included_and_it_is_said(site: Site) -> None:
    write(site.repo, "a.txt", "mine")
    write(site.repo, "own notes.txt", "mine")
    before = state_of(site.repo)
    outcome = await site.attempt(site.order(), puts("new.txt", "x"))
    assert (Path(site.repo) / "a.txt").read_text() == "mine"
    assert site.orders[0].notices[0].startswith("2 files of the checkout with uncommitted changes (`a.txt`, `own notes")
    assert "uncommitted changes" in details(outcome)
    assert shown(site.repo, "run", "a.txt") == lines().strip()
    assert state_of(site.repo) == before


async def test_a_workspace_below_the_repository_keeps_its_place(site: Site) -> None:
    file = f"{site.repo}/src/b.txt"
    task = model.Task(id="t", do="x", isolation="worktree", files=(file,), acceptance=(f"file:{file}",))
    await site.attempt(site.order(workspace=str(site.repo / "src"), task=task), puts("b.txt", "new"))
    assert site.orders[0].task.files == ("b.txt",)
    assert site.orders[0].task.acceptance == ("file:b.txt",)
    assert shown(site.repo, "run", "src/b.txt") == "new"


async def test_a_detached_head_and_a_shallow_clone_are_no_obstacle(site: Site, tmp_path: Path) -> None:
    commit(site.repo, "Second")
    git(site.repo, "checkout", "-q", "--detach", "HEAD~1")
    await site.attempt(site.order(), puts("new.txt", "x"))
    assert shown(site.repo, "run", "new.txt") == "x"
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{site.repo}", "shallow")
    shallow = Site(tmp_path / "shallow", site.home)
    await shallow.attempt(shallow.order("a"), puts("one.txt", "x"))
    await shallow.attempt(shallow.order("b"), puts("two.txt", "x"))
    assert shown(shallow.repo, "run", "two.txt") == "x"
    assert git(shallow.repo, "fsck", "--no-dangling") == ""


async def test_a_bare_repository_is_worked_on_as_well(site: Site, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--bare", str(site.repo), "bare.git")
    bare = Site(tmp_path / "bare.git", site.home)
    outcome = await bare.attempt(bare.order(), puts("new.txt", "x"))
    assert outcome.state is AttemptState.SUCCEEDED
    assert shown(bare.repo, "run", "new.txt") == "x"


async def test_a_linked_worktree_as_workspace_is_the_start_and_stays_as_it_is(site: Site, tmp_path: Path) -> None:
    git(site.repo, "worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    head = commit(tmp_path / "side", "On the side")
    linked = Site(tmp_path / "side", site.home)
    before = state_of(linked.repo)
    await linked.attempt(linked.order(), puts("new.txt", "x"))
    assert linked.orders[0].base == head
    assert state_of(linked.repo) == before


async def test_a_sparse_checkout_loses_nothing_outside_its_cone(site: Site) -> None:
    write(site.repo, "far/away.txt", "far")
    commit(site.repo)
    git(site.repo, "sparse-checkout", "set", "--cone", "src")

    def do(at: Path) -> None:
        write(at, "src/b.txt", "new")
        write(at, "other/new.txt", "new")

    outcome = await site.attempt(site.order(), do)
    assert outcome.state is AttemptState.SUCCEEDED, outcome.error
    assert shown(site.repo, "run", "far/away.txt") == "far"
    changed = git(site.repo, "diff", "--name-only", "HEAD", "refs/dispatch/run/merged")
    assert changed.split() == ["other/new.txt", "src/b.txt"]


async def test_a_submodule_stays_as_it_was(site: Site, tmp_path: Path) -> None:
    inner = make(tmp_path / "inner")
    git(site.repo, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(inner), "inner")
    commit(site.repo)
    outcome = await site.attempt(site.order(), puts("new.txt", "x"))
    assert outcome.state is AttemptState.SUCCEEDED, outcome.error
    changed = git(site.repo, "diff", "--name-only", "HEAD", "refs/dispatch/run/merged")
    assert changed.split() == ["new.txt"]


async def test_a_repository_made_inside_a_worktree_fails_the_attempt_and_its_files_stay(site: Site) -> None:
    def do(at: Path) -> None:
        make(at / "inner")

    outcome = await site.attempt(site.order(), do)
    assert (outcome.state, outcome.error_kind, outcome.retryable) == (AttemptState.FAILED, "inner_repository", False)
    assert "repository `inner`: 1 commit of its own" in outcome.error
    assert (Path(site.orders[0].cwd) / "inner" / "a.txt").is_file()


async def test_a_locked_index_is_nobodys_trouble(site: Site) -> None:
    (site.repo / ".git" / "index.lock").touch()

    def do(at: Path) -> None:
        write(at, "new.txt", "x")
        folder = git(at, "rev-parse", "--absolute-git-dir")
        (Path(folder) / "index.lock").touch()

    outcome = await site.attempt(site.order(), do)
    assert outcome.state is AttemptState.SUCCEEDED, outcome.error
    assert shown(site.repo, "run", "new.txt") == "x"


async def test_a_lock_that_a_killed_git_left_on_a_ref_of_the_run_is_taken_away(site: Site) -> None:
    await site.attempt(site.order("x"), puts("one.txt", "x"))
    lock = site.repo / ".git" / "refs" / "dispatch" / "run" / "merged.lock"
    lock.touch()
    os.utime(lock, (1.0, 1.0))
    outcome = await site.attempt(site.order("y"), puts("two.txt", "y"))
    assert outcome.state is AttemptState.SUCCEEDED, outcome.error
    assert shown(site.repo, "run", "two.txt") == "y"


async def test_a_half_made_worktree_of_a_killed_git_goes(site: Site) -> None:
    left = site.workspaces.worktrees.path("run", "t", 1)
    left.mkdir(parents=True)
    (left / "a.txt").write_text("half of it")
    admin = site.repo / ".git" / "worktrees" / left.name
    admin.mkdir(parents=True)
    (admin / "locked").write_text("initializing")
    (admin / "gitdir").write_text(f"{left}/.git\n")
    (admin / "HEAD").write_text(git(site.repo, "rev-parse", "HEAD") + "\n")
    (admin / "commondir").write_text("../..\n")
    outcome = await site.attempt(site.order(attempt=2), puts("new.txt", "x"))
    assert outcome.state is AttemptState.SUCCEEDED, outcome.error
    assert not left.exists()
    assert trees(site.repo) == 0


async def test_half_an_entry_of_a_killed_git_keeps_nobody_from_worktrees(site: Site, tmp_path: Path) -> None:
    def entry(name: str, place: Path) -> Path:
        admin = site.repo / ".git" / "worktrees" / name
        admin.mkdir(parents=True)
        (admin / "locked").write_text("initializing")
        (admin / "gitdir").write_text(f"{place}/.git\n")
        (admin / "HEAD").write_text("0" * 40 + "\n")
        (admin / "commondir").write_text("")
        os.utime(admin, (1.0, 1.0))
        return admin

    ours = entry("x.2", site.workspaces.worktrees.path("run", "x", 2))
    with pytest.raises(subprocess.CalledProcessError):
        git(site.repo, "worktree", "list")
    outcome = await site.attempt(site.order(), puts("new.txt", "x"))
    assert outcome.state is AttemptState.SUCCEEDED, outcome.error
    assert not ours.exists()
    assert git(site.repo, "fsck", "--no-dangling") == ""
    theirs = entry("theirs", tmp_path / "theirs")
    outcome = await site.attempt(site.order("y"), nothing)
    assert (outcome.error_kind, theirs.exists()) == ("git_failed", True)


WAVE = 8


@pytest.mark.promise("S8")
async def test_worktrees_of_one_repository_are_made_and_removed_one_after_the_other_and_none_is_tried_again(
    site: Site,
) -> None:
    calls = site.home.parent / "calls"
    wave = pretend(
        site,
        f'case "$*" in *worktree*add*|*worktree*remove*) echo begin >> {calls}; $real "$@"; code=$?; '
        f"echo end >> {calls}; exit $code;; esac",
    )
    outcomes: list[model.Outcome] = []
    begun = _Meeting(WAVE)

    async def one(task_id: str) -> None:
        work = wave.order(task_id)
        outcomes.append(await wave.attempt(work, puts(f"{task_id}.txt", task_id), also=begun.wait_for_both))

    async with anyio.create_task_group() as group:
        for number in range(WAVE):
            group.start_soon(one, f"t{number}")
    assert [outcome.state for outcome in outcomes] == [AttemptState.SUCCEEDED] * WAVE
    assert calls.read_text().split() == ["begin", "end"] * 2 * WAVE  # one to make and one to remove each
    assert trees(site.repo) == 0


async def test_an_entry_that_another_process_is_about_to_write_is_waited_for_and_left_to_it(site: Site) -> None:
    other = site.workspaces.worktrees.path("other", "x", 1)
    admin = site.repo / ".git" / "worktrees" / other.name
    git(site.repo, "worktree", "add", "--detach", "--quiet", "--", str(other), "HEAD")
    (admin / "commondir").write_text("")
    tries = site.home.parent / "tries"
    waiting = pretend(
        site,
        f'case "$*" in *worktree*add*) echo add >> {tries}; touch {admin}; '
        f"[ $(wc -l < {tries}) -lt 4 ] || echo ../.. > {admin}/commondir;; esac",
    )
    outcome = await waiting.attempt(waiting.order(), puts("new.txt", "x"))
    assert outcome.state is AttemptState.SUCCEEDED, outcome.error
    assert tries.read_text().split() == ["add"] * 4
    assert git(other, "rev-parse", "HEAD") == git(site.repo, "rev-parse", "HEAD")


async def test_a_git_that_fails_once_beside_another_one_is_tried_again(site: Site) -> None:
    once = site.home.parent / "once"
    beside = pretend(
        site,
        f'case "$*" in *worktree*add*) [ -e {once} ] || {{ touch {once}; '
        "echo 'fatal: failed to read .git/worktrees/x/commondir: Success' >&2; exit 128; };; esac",
    )
    outcome = await beside.attempt(beside.order(), puts("new.txt", "x"))
    assert (outcome.state, once.exists()) == (AttemptState.SUCCEEDED, True), outcome.error


async def test_what_cannot_be_checked_out_leaves_no_worktree_behind(site: Site) -> None:
    broken = pretend(site, 'case "$*" in *reset*) echo "disk full" >&2; exit 128;; esac')
    outcome = await broken.attempt(broken.order(), nothing)
    assert (outcome.error_kind, outcome.retryable) == ("git_failed", True)
    assert "disk full" in outcome.error
    assert trees(site.repo) == 0
    assert not site.workspaces.worktrees.path("run", "t", 1).exists()


async def test_hooks_signatures_and_monitors_of_the_repository_are_not_run(site: Site, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    trap.write_text(f'#!/bin/sh\necho "$0" >> {tmp_path}/ran\nexit 1\n')
    trap.chmod(0o755)
    for hook in (
        "post-checkout",
        "pre-commit",
        "commit-msg",
        "post-commit",
        "reference-transaction",
        "post-index-change",
    ):
        (site.repo / ".git" / "hooks" / hook).symlink_to(trap)
    for key, value in (
        ("core.fsmonitor", str(trap)),
        ("commit.gpgSign", "true"),
        ("gpg.program", str(trap)),
        ("core.editor", str(trap)),
    ):
        git(site.repo, "config", key, value)
    (tmp_path / "ran").unlink(missing_ok=True)
    outcome = await site.attempt(site.order(), puts("new.txt", "x"))
    ran = (tmp_path / "ran").read_text() if (tmp_path / "ran").exists() else ""
    assert outcome.state is AttemptState.SUCCEEDED, outcome.error
    assert ran == ""


async def test_commits_are_by_whom_git_is_set_up_for_or_by_the_product(site: Site) -> None:
    await site.attempt(site.order("a"), puts("one.txt", "x"))
    git(site.repo, "config", "user.name", "Ada")
    git(site.repo, "config", "user.email", "ada@example.org")
    later = site.again()
    await later.attempt(later.order("b"), puts("two.txt", "x"))
    log = git(site.repo, "log", "--format=%an <%ae> %cn", "HEAD..refs/dispatch/run/merged").splitlines()
    assert log == ["Ada <ada@example.org> Ada", "dispatch-mcp <dispatch-mcp@localhost> dispatch-mcp"]


@pytest.mark.parametrize("trouble", ["none", "unborn", "inside"])
async def test_without_a_usable_repository_a_demanded_worktree_is_refused(tmp_path: Path, trouble: str) -> None:
    folder = tmp_path / "plain"
    folder.mkdir()
    if trouble != "none":
        git(folder, "init", "-q")
    if trouble == "inside":
        commit(folder)
    site = Site(folder, folder / "state" if trouble == "inside" else tmp_path / "state")
    outcome = await site.attempt(site.order(), nothing)
    assert (outcome.error_kind, outcome.retryable) == ("no_worktree", False)
    assert site.orders == []


async def test_without_a_repository_an_agent_that_declares_files_works_in_the_workspace_and_it_is_said(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "plain"
    folder.mkdir()
    site = Site(folder, tmp_path / "state")
    task = model.Task(id="t", do="x", files=("new.txt",))
    outcome = await site.attempt(site.order(task=task, worker=WorkerKind.API), puts("new.txt", "x"))
    assert outcome.state is AttemptState.SUCCEEDED
    assert site.orders[0].directory == str(folder)
    assert "not in a git repository" in site.orders[0].notices[0]
    assert "works in the workspace itself" in details(outcome)


async def test_a_broken_worktree_is_left_alone_and_the_repository_around_it_is_not_touched(site: Site) -> None:
    git(site.home.parent, "init", "-q")  # a repository that git would find above the worktree
    outcome = await site.attempt(site.order(), lambda at: (at / ".git").unlink())
    assert outcome.error_kind == "not_kept"
    assert "is no worktree" in outcome.error
    assert git(site.home.parent, "status", "--porcelain", "-uno") == ""
    assert (Path(site.orders[0].cwd) / "a.txt").is_file()


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        ("git checkout -q HEAD~1", "is checked out, which does not hold that one"),
        ("git reset -q --hard HEAD~1", "is checked out, which does not hold that one"),
        ("git checkout -q --orphan z && git commit -qm z", "is checked out, which does not hold that one"),
        ("rm .git && git init -q", "another repository was made in its place"),
    ],
)
async def test_who_goes_behind_the_beginning_of_a_worktree_is_told_once_where_the_work_is(
    site: Site, harm: str, words: str
) -> None:
    write(site.repo, "second.txt", "x\n")
    commit(site.repo)

    def work(folder: Path) -> None:
        subprocess.run(["sh", "-c", harm], cwd=folder, check=True)
        write(folder, "a.txt", "done\n")

    outcome = await site.attempt(site.order(), work)
    assert (outcome.state, outcome.error_kind, outcome.retryable) == (AttemptState.FAILED, "set_back", False)
    assert words in outcome.error
    at = Path(site.orders[0].cwd)
    assert str(at) in outcome.error
    assert (at / "a.txt").read_text() == "done\n"
    assert words in worktree.reason(at)


@pytest.mark.parametrize(
    "history",
    [
        "git commit -qa --amend --no-edit",
        "git commit -qam own && git commit -q --amend -m better",
        "git commit -qam own && git reset -q --soft HEAD~1",
        "git reset -q --soft HEAD~1 && git commit -qam all",
        "git reset -q --soft HEAD~1",
        "git reset -q HEAD~1",
        "git checkout -q --orphan z && git commit -qam z",
    ],
)
@pytest.mark.parametrize("files", [("a.txt",), ()], ids=["declared", "not"])
@pytest.mark.slice(2)
async def test_another_history_with_all_that_was_there_is_taken_as_its_change(
    site: Site, history: str, files: tuple[str, ...]
) -> None:
    write(site.repo, "second.txt", "x\n")
    commit(site.repo)
    base = git(site.repo, "rev-parse", "HEAD")

    def work(folder: Path) -> None:
        write(folder, "a.txt", "done\n")
        subprocess.run(["sh", "-c", history], cwd=folder, check=True)

    outcome = await site.attempt(site.order(task=model.Task(id="t", do="x", files=files, isolation="worktree")), work)
    if "orphan" in history and not files:
        assert outcome.error_kind == "set_back"  # nothing tells that it did not begin elsewhere
        return
    assert outcome.state is AttemptState.SUCCEEDED, outcome.error
    assert git(site.repo, "diff", "--name-only", base, "refs/dispatch/run/merged") == "a.txt"
    assert trees(site.repo) == 0


async def test_a_declared_file_that_is_only_set_back_is_no_change(site: Site) -> None:
    write(site.repo, "a.txt", "newer\n")
    commit(site.repo)

    def work(folder: Path) -> None:
        subprocess.run(["git", "reset", "-q", "--hard", "HEAD~1"], cwd=folder, check=True)
        write(folder, "b.txt", "done\n")

    task = model.Task(id="t", do="x", files=("a.txt", "b.txt"), isolation="worktree")
    outcome = await site.attempt(site.order(task=task), work)
    assert outcome.error_kind == "set_back"
    assert "with another `a.txt`" in outcome.error


async def test_an_agent_that_goes_behind_the_beginning_of_its_worktree_is_told_once_and_tries_again(
    site: Site,
) -> None:
    write(site.repo, "second.txt", "x\n")
    commit(site.repo)

    def work(folder: Path) -> None:
        subprocess.run(["git", "reset", "-q", "--hard", "HEAD~1"], cwd=folder, check=True)

    outcome = await site.attempt(site.order(worker=WorkerKind.API), work)
    assert (outcome.error_kind, outcome.retryable) == ("set_back", True)
    again = await site.attempt(site.order("t", 2, worker=WorkerKind.API, last_error=outcome.error), work)
    assert (again.error_kind, again.retryable) == ("set_back", False)


@pytest.mark.promise("S5")
async def test_strange_names_are_only_names(site: Site) -> None:
    strange = [
        "-rf",
        "..",
        "a..b",
        "x.lock",
        "A",
        "a",
        "ä/ö",
        "$(touch pwned)",
        "--upload-pack=x",
        "t\nDispatch-Task: y",
    ]
    for rank, name in enumerate(strange):
        task = model.Task(id=name, do=name, isolation="worktree")
        outcome = await site.attempt(site.order(task=task, rank=rank), puts(f"file {rank} --x", name))
        assert outcome.state is AttemptState.SUCCEEDED, outcome.error
    names = [ref for ref in refs(site.repo) if "/done/" in ref]
    assert len({ref.lower() for ref in names}) == len(strange)
    assert not list(site.home.parent.rglob("pwned"))
    assert len(git(site.repo, "ls-tree", "--name-only", "refs/dispatch/run/merged").splitlines()) == len(strange) + 2


@pytest.mark.promise("S8")
async def test_git_gets_an_allow_listed_environment(
    tmp_path: Path, repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = shutil.which("git")
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\nenv >> {tmp_path}/env\nexec {real} "$@"\n')
    fake.chmod(0o755)
    monkeypatch.setenv("SECRET_TOKEN", "x" * 20)
    monkeypatch.setenv("PATH", f"{fake.parent}{os.pathsep}{os.environ['PATH']}")
    site = Site(repo, tmp_path / "state")
    outcome = await site.attempt(site.order(), puts("new.txt", "x"))
    assert outcome.state is AttemptState.SUCCEEDED, outcome.error
    seen = {line.partition("=")[0] for line in (tmp_path / "env").read_text().splitlines()}
    assert "SECRET_TOKEN" not in seen
    assert {name for name in seen if name.startswith("GIT_")} <= {
        "GIT_AUTHOR_EMAIL", "GIT_AUTHOR_NAME", "GIT_CEILING_DIRECTORIES", "GIT_COMMITTER_EMAIL", "GIT_COMMITTER_NAME",
        "GIT_ALLOW_PROTOCOL", "GIT_EDITOR", "GIT_EXEC_PATH", "GIT_INDEX_FILE", "GIT_LITERAL_PATHSPECS",
        "GIT_NO_LAZY_FETCH", "GIT_OPTIONAL_LOCKS", "GIT_PAGER", "GIT_SEQUENCE_EDITOR", "GIT_TERMINAL_PROMPT",
    }  # fmt: skip


async def test_the_merge_queue_lets_those_who_wait_in_by_their_place_in_the_plan() -> None:
    order_of_turns: list[int] = []
    turns = merge_queue.Turns()

    async def one(rank: int) -> None:
        async with turns.turn(rank):
            order_of_turns.append(rank)

    async with anyio.create_task_group() as group, turns.turn(0):
        for rank in (5, 3, 4, 1):
            group.start_soon(one, rank)
        await anyio.wait_all_tasks_blocked()
    assert order_of_turns == [1, 3, 4, 5]


async def test_who_gives_up_in_the_merge_queue_keeps_nobody_waiting() -> None:
    turns = merge_queue.Turns()

    async def one(scope: anyio.CancelScope) -> None:
        with scope:
            async with turns.turn(1):
                pass

    async with anyio.create_task_group() as group, turns.turn(0):
        scopes = [anyio.CancelScope() for _ in range(3)]
        for scope in scopes:
            group.start_soon(one, scope)
        await anyio.wait_all_tasks_blocked()
        scopes[0].cancel()
        await anyio.wait_all_tasks_blocked()
        scopes[1].cancel()
    with anyio.fail_after(120):
        async with turns.turn(9):
            pass


def pretend(site: Site, script: str) -> Site:
    """Returns the site with a program called git that runs `script` first; `$real` is git itself."""
    fake = site.home.parent / "fake" / "git"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\nreal={shutil.which("git")}\n{script}\nexec $real "$@"\n')
    fake.chmod(0o755)
    policy = child_environment.ChildPolicy({"PATH": f"{fake.parent}:{os.environ['PATH']}", "HOME": os.environ["HOME"]})
    found = site.again()
    found.workspaces = workspace_provider.WorktreeProvider(
        git_process.Git(site.home, policy, max_seconds=120.0), site.home
    )
    return found


async def test_a_merge_that_somebody_else_overtakes_is_made_anew(site: Site) -> None:
    await site.attempt(site.order("x"), puts("x.txt", "x"))
    first = git(site.repo, "rev-parse", "refs/dispatch/run/merged")
    await site.attempt(site.order("y"), puts("y.txt", "y"))
    second = git(site.repo, "rev-parse", "refs/dispatch/run/merged")
    git(site.repo, "update-ref", "refs/dispatch/run/merged", first)
    once = site.home.parent / "once"
    overtaken = pretend(
        site,
        f'case "$*" in *commit-tree*) [ -e {once} ] || {{ touch {once}; '
        f"$real -C {site.repo} update-ref refs/dispatch/run/merged {second}; }};; esac",
    )
    outcome = await overtaken.attempt(overtaken.order("z"), puts("z.txt", "z"))
    assert outcome.state is AttemptState.SUCCEEDED, outcome.error
    assert once.exists()
    assert {shown(site.repo, "run", f"{name}.txt") for name in "xyz"} == {"x", "y", "z"}


async def test_a_success_that_cannot_be_kept_is_a_failure_that_is_paid_for(site: Site) -> None:
    broken = pretend(site, 'case "$*" in *commit-tree*) echo "disk full" >&2; exit 128;; esac')
    outcome = await broken.attempt(broken.order(), puts("new.txt", "x"))
    assert (outcome.state, outcome.error_kind, outcome.retryable) == (AttemptState.FAILED, "not_kept", True)
    assert "disk full" in outcome.error
    assert (Path(broken.orders[0].cwd) / "new.txt").read_text() == "x"
    again = site.again()
    await again.attempt(again.order(attempt=2), puts("new.txt", "y"))
    assert git(site.repo, "show", "refs/dispatch/run/kept/t/1:new.txt") == "x"


async def test_a_git_that_hangs_is_told_to_stop_and_the_attempt_fails(site: Site) -> None:
    hanging = pretend(site, 'case "$*" in *worktree*add*) exec sleep 900;; esac')
    hanging.workspaces = workspace_provider.WorktreeProvider(
        replace(hanging.workspaces.git, max_seconds=0.5), site.home
    )
    outcome = await hanging.attempt(hanging.order(), nothing)
    assert (outcome.error_kind, outcome.retryable) == ("git_failed", True)
    assert "took longer" in outcome.error
    assert hanging.orders == []


async def test_an_old_git_and_none_at_all_mean_no_worktree(site: Site) -> None:
    old = pretend(site, 'case "$*" in *version*) echo git version 2.30.0; exit 0;; esac')
    outcome = await old.attempt(old.order(), nothing)
    assert "git 2.30 is too old" in outcome.error
    site.workspaces = workspace_provider.WorktreeProvider(
        git_process.Git(site.home, child_environment.ChildPolicy({"PATH": "bin"})), site.home
    )
    outcome = await site.attempt(site.order(), nothing)
    assert "but git is not on the PATH. Install git 2.38 or newer, or plan it with isolation `shared`" in outcome.error
    assert not outcome.retryable


async def test_an_outcome_that_is_lost_means_that_the_work_is_done_again(site: Site) -> None:
    await site.attempt(site.order(), puts("new.txt", "once"))
    shutil.rmtree(site.home / "blobs")
    later = site.again()
    await later.attempt(later.order(attempt=2), puts("new.txt", "twice"))
    assert len(later.orders) == 1
    assert shown(site.repo, "run", "new.txt") == "twice"


async def test_a_fresh_worktree_that_differs_from_its_commit_is_refused_with_the_files(site: Site) -> None:
    (site.repo / "dos.txt").write_bytes(b"one\r\ntwo\r\n")
    commit(site.repo)
    write(site.repo, ".gitattributes", "dos.txt text eol=lf\n")
    git(site.repo, "add", ".gitattributes")
    git(site.repo, "commit", "-q", "-m", "Attributes")
    outcome = await site.attempt(site.order(), nothing)
    assert (outcome.error_kind, outcome.retryable) == ("no_worktree", False)
    assert "`dos.txt`" in outcome.error


async def test_an_index_that_is_gone_loses_no_file(site: Site) -> None:
    def do(at: Path) -> None:
        write(at, "new.txt", "x")
        (Path(git(at, "rev-parse", "--absolute-git-dir")) / "index").unlink()

    await site.attempt(site.order(), do)
    changed = git(site.repo, "diff", "--name-status", "HEAD", "refs/dispatch/run/merged")
    assert changed.split() == ["A", "new.txt"]


async def test_a_shared_task_is_passed_through(site: Site) -> None:
    async def carry_out(_ctx: ports.TaskContext, work: work_order.WorkOrder) -> model.Outcome:
        site.orders.append(work)
        return model.Outcome(state=AttemptState.SUCCEEDED)

    async def judge(_work: work_order.WorkOrder, outcome: model.Outcome) -> model.Outcome:
        return outcome.model_copy(update={"summary": "judged"})

    work = replace(site.order(), isolation="shared")
    outcome = await site.workspaces.within(Context(site.blobs), work, carry_out, judge)
    assert outcome.summary == "judged"
    assert site.orders == [work]
    assert refs(site.repo) == []


@pytest.mark.promise("R21")
async def test_an_answer_goes_on_in_the_worktree_where_it_was_given(site: Site) -> None:
    with pytest.raises(RuntimeError):
        await site.attempt(site.order(), _dies, beat={"answer": {"outcome": "x"}})
    later = site.again()
    outcome = await later.attempt(later.order(attempt=2, last_beat=site.context.left), nothing)
    assert outcome.state is AttemptState.SUCCEEDED
    assert shown(site.repo, "run", "half.txt") == "half"


async def test_locks_that_a_killed_git_left_in_a_worktree_do_not_stop_who_goes_on_in_it(site: Site) -> None:
    locks: list[Path] = []

    def leaves_locks(at: Path) -> None:
        folder = Path(git(at, "rev-parse", "--absolute-git-dir"))
        locks.extend([folder / "index.lock", folder / "HEAD.lock"])
        for lock in locks:
            lock.touch()
            os.utime(lock, (1.0, 1.0))
        _dies(at)

    def commits(at: Path) -> None:
        git(at, "add", "-A")
        git(at, "commit", "-q", "-m", "Go on")

    with pytest.raises(RuntimeError):
        await site.attempt(site.order(), leaves_locks, beat={"session_id": "s"})
    assert all(lock.exists() for lock in locks)
    outcome = await site.attempt(site.order(attempt=2, last_beat=site.context.left), commits)
    assert outcome.state is AttemptState.SUCCEEDED, outcome.error
    assert shown(site.repo, "run", "half.txt") == "half"


async def test_no_git_of_ours_locks_the_index_of_the_users_checkout_to_look_at_it(tmp_path: Path, repo: Path) -> None:
    policy = child_environment.ChildPolicy({"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]})
    index = repo / ".git" / "index"
    (repo / "a.txt").touch()  # a `git status` that may would refresh the index
    before = (index.stat().st_mtime_ns, index.stat().st_ino)
    await git_process.Git(tmp_path / "state", policy).run(repo, "status", "--porcelain")
    assert (index.stat().st_mtime_ns, index.stat().st_ino) == before


@pytest.mark.promise("R21")
async def test_who_had_a_worktree_never_goes_on_in_the_checkout_while_git_cannot_be_used(site: Site) -> None:
    with pytest.raises(RuntimeError):
        await site.attempt(site.order(), _dies, beat={"answer": {"outcome": "x"}})
    order = site.order(attempt=2, last_beat=site.context.left)
    objects = site.repo / ".git" / "objects"
    objects.rename(site.repo / ".git" / "elsewhere")
    outcome = await site.attempt(order, puts("rest.txt", "rest"))
    assert (outcome.state, outcome.error_kind, len(site.orders)) == (AttemptState.FAILED, "git_failed", 1)
    assert not (site.repo / "rest.txt").exists()
    (site.repo / ".git" / "elsewhere").rename(objects)
    outcome = await site.attempt(replace(order, attempt=3), nothing)
    assert outcome.state is AttemptState.SUCCEEDED, outcome.error
    assert shown(site.repo, "run", "half.txt") == "half"
