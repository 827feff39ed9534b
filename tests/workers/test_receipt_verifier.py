from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from dispatch_mcp import model
from dispatch_mcp.git import git_process
from dispatch_mcp.model import Receipt, WorkerKind, work_order
from dispatch_mcp.process import allowlist, child_environment
from dispatch_mcp.workers import command, receipt_verifier, workspace_snapshot

pytestmark = pytest.mark.anyio


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder


@pytest.fixture
def repository(workspace: Path) -> Path:
    git(workspace, "init", "-q", "-b", "main")
    write(workspace, "src/a.py", "one")
    write(workspace, "src/b.py", "one")
    write(workspace, ".gitignore", "build/\n")
    commit(workspace)
    return workspace


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def commit(folder: Path) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "change")


def write(folder: Path, path: str, text: str) -> None:
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_text(text)


def work(workspace: Path, *acceptance: str, files: tuple[str, ...] = (), **fields: model.Json) -> work_order.WorkOrder:
    task = model.Task(id="t", do="do it", acceptance=acceptance, files=files, **fields)
    return work_order.WorkOrder("run", task, 1, WorkerKind.HOST, workspace=str(workspace))


def make(home: Path, *allowed: list[str], limit_s: float = 20.0, **limits: int) -> receipt_verifier.ReceiptVerifier:
    policy = child_environment.ChildPolicy({"PATH": os.environ["PATH"], "HOME": str(home)})
    state = home / "state"
    commands = command.CommandWorker(allowlist.parse(allowed), state, policy, grace_s=0.2)
    return receipt_verifier.ReceiptVerifier(
        commands, workspace_snapshot.Snapshotter(git_process.Git(state, policy), **limits), limit_s=limit_s
    )


async def looked(
    found: receipt_verifier.ReceiptVerifier,
    work: work_order.WorkOrder,
    before: Mapping[str, model.Json] | None = None,
    *others: str,
) -> list[Receipt]:
    with anyio.fail_after(20):
        return list(await found.receipts(work, before or {}, others))


async def noted(found: receipt_verifier.ReceiptVerifier, work: work_order.WorkOrder) -> Mapping[str, model.Json]:
    with anyio.fail_after(20):
        return await found.before(work)


def facts(found: list[Receipt]) -> list[tuple[bool, bool]]:
    return [(receipt.ok, receipt.checked) for receipt in found]


async def test_files_folders_globs_and_absence_are_looked_at(tmp_path: Path, workspace: Path) -> None:
    for path in ("src/a.py", "src/deep/b.py", "docs/c d.md"):
        write(workspace, path, "x")
    good = work(
        workspace, "file:src/a.py", "file:src/deep", "file:docs/", "file:'docs/c d.md'", "glob:src/**/*.py >= 2",
        "absent:gone.py",
    )  # fmt: skip
    bad = work(workspace, "file:src/c.py", "file:src/a.py/", "glob:src/**/*.py >= 3", "glob:src/*.rs", "absent:src")
    assert facts(await looked(make(tmp_path), good)) == [(True, True)] * 6
    assert facts(await looked(make(tmp_path), bad)) == [(False, True)] * 5


async def test_words_are_neither_proven_nor_refuted(tmp_path: Path, workspace: Path) -> None:
    [found] = await looked(make(tmp_path), work(workspace, "is quick"))
    assert (found.kind, found.ok, found.checked, found.criterion) == ("words", False, False, "is quick")


async def test_no_link_leads_a_check_out_of_the_workspace(tmp_path: Path, workspace: Path) -> None:
    write(tmp_path, "outside/secret.py", "x")
    (workspace / "link").symlink_to(tmp_path / "outside")
    (workspace / "one.py").symlink_to(tmp_path / "outside/secret.py")
    asked = work(
        workspace, "file:link/secret.py", "file:one.py", "glob:link/*.py", "glob:**/*.py", "absent:link/other.py"
    )
    found = await looked(make(tmp_path), asked)
    assert not any(receipt.ok for receipt in found)
    assert [receipt.checked for receipt in found] == [False, False, False, True, False]


async def test_a_commands_exit_code_decides_and_its_output_is_told(tmp_path: Path, workspace: Path) -> None:
    write(workspace, "check.sh", "echo 3 tests failed; exit 4")
    found = make(tmp_path, ["true"], ["sh", "*"])
    ok, failed = await looked(found, work(workspace, "command: true", "command: sh check.sh"))
    assert (ok.kind, ok.ok) == ("exit_code", True)
    assert (failed.ok, failed.checked) == (False, True)
    assert "exit code 4" in failed.detail
    assert "3 tests failed" in failed.detail


@pytest.mark.promise("S5")
@pytest.mark.promise("S7")
async def test_acceptance_runs_nothing_that_the_user_did_not_allow(tmp_path: Path, workspace: Path) -> None:
    asked = work(
        workspace, "command: touch owned", "command: sh -c 'touch owned'", "command: git -c alias.x=!touch x",
        "command: ./touch owned", "command: env touch owned",
    )  # fmt: skip
    found = await looked(make(tmp_path), asked)
    assert facts(found) == [(False, False)] * 5
    assert all("allow_commands" in receipt.detail for receipt in found)
    assert not (workspace / "owned").exists()


async def test_checks_are_bounded_together(tmp_path: Path, workspace: Path) -> None:
    write(workspace, "a", "x")
    found = make(tmp_path, ["sleep", "*"], limit_s=0.3)
    slow, late = await looked(found, work(workspace, "command: sleep 60", "command: sleep 60"))
    assert facts([slow, late]) == [(False, False)] * 2


async def test_a_program_that_is_not_there_proves_nothing(tmp_path: Path, workspace: Path) -> None:
    [found] = await looked(make(tmp_path, ["no-such-program"]), work(workspace, "command: no-such-program"))
    assert (found.ok, found.checked) == (False, False)


async def test_what_was_declared_and_changed_is_told_from_the_rest(tmp_path: Path, repository: Path) -> None:
    found = make(tmp_path)
    write(repository, "dirty.txt", "before")
    asked = work(repository, "diff", "diff:src/new/**", files=("src/a.py", "src/new/", "src/b.py"))
    before = await noted(found, asked)
    write(repository, "src/a.py", "two")
    write(repository, "src/new/c.py", "new")
    write(repository, "dirty.txt", "after")
    write(repository, "theirs.txt", "x")
    write(repository, "build/ignored.o", "x")
    diff, narrow, declared, strange = await looked(found, asked, before, "theirs.txt")
    assert (diff.ok, narrow.ok, declared.ok) == (True, True, True)
    assert declared.detail == "changed `src/a.py`, `src/new/c.py`; untouched: `src/b.py`"
    assert strange.kind == "touched"
    assert strange.detail.endswith(": `dirty.txt`")


@pytest.mark.parametrize("edit", ["nothing", "dirty file left alone", "committed as it was"])
async def test_a_write_task_that_changed_nothing_has_no_diff(tmp_path: Path, repository: Path, edit: str) -> None:
    found = make(tmp_path)
    if edit != "nothing":
        write(repository, "src/a.py", "changed before the task")
    asked = work(repository, "diff", files=("src/**",))
    before = await noted(found, asked)
    if edit == "committed as it was":
        commit(repository)
    diff, declared = await looked(found, asked, before)
    assert (diff.ok, diff.checked, declared.ok, declared.checked) == (False, True, False, True)


@pytest.mark.parametrize("how", ["edited", "committed", "deleted", "renamed", "restored", "mode and link"])
async def test_every_kind_of_change_is_seen(tmp_path: Path, repository: Path, how: str) -> None:
    found = make(tmp_path)
    if how == "restored":
        write(repository, "src/a.py", "dirty before")
    asked = work(repository, files=("src/a.py",))
    before = await noted(found, asked)
    target = repository / "src/a.py"
    if how in ("edited", "committed"):
        target.write_text("two")
    if how == "committed":
        commit(repository)
    if how == "renamed":
        git(repository, "mv", "src/a.py", "src/z.py")
    if how == "restored":
        git(repository, "checkout", "src/a.py")
    if how in ("deleted", "mode and link"):
        target.unlink()
    if how == "mode and link":
        target.symlink_to("b.py")
    declared, *_ = await looked(found, asked, before)
    assert declared.detail == "changed `src/a.py`"


async def test_a_first_commit_is_a_change(tmp_path: Path, workspace: Path) -> None:
    git(workspace, "init", "-q")
    found, asked = make(tmp_path), work(workspace, files=("a.py",))
    before = await noted(found, asked)
    write(workspace, "a.py", "x")
    commit(workspace)
    [declared] = await looked(found, asked, before)
    assert declared.ok


async def test_a_workspace_below_the_top_of_its_repository_is_its_own_world(tmp_path: Path, repository: Path) -> None:
    found, asked = make(tmp_path), work(repository / "src", files=("a.py",))
    before = await noted(found, asked)
    write(repository, "src/a.py", "two")
    write(repository, "above.txt", "x")
    [declared] = await looked(found, asked, before)
    assert declared.detail == "changed `a.py`"


async def test_without_git_declared_files_are_compared_and_others_are_not_claimed(
    tmp_path: Path, workspace: Path
) -> None:
    write(workspace, "src/a.py", "one")
    found, asked = make(tmp_path), work(workspace, files=("src/", "new.py", "same.py"))
    before = await noted(found, asked)
    write(workspace, "src/a.py", "two")
    write(workspace, "new.py", "x")
    declared, strange = await looked(found, asked, before)
    assert declared.detail == "changed `new.py`, `src/a.py`; untouched: `same.py`"
    assert (strange.ok, strange.checked) == (False, False)


async def test_a_later_attempt_goes_on_with_the_first_snapshot(tmp_path: Path, repository: Path) -> None:
    found, asked = make(tmp_path), work(repository, files=("src/a.py",))
    first = await noted(found, asked)
    write(repository, "src/a.py", "two")
    second = await noted(found, replace(asked, attempt=2, last_beat={"session": "x", **first}))
    assert second == first


async def test_too_much_is_not_measured_and_says_so(tmp_path: Path, repository: Path) -> None:
    for at in range(5):
        write(repository, f"new/{at}", "x")
    found, asked = make(tmp_path, max_files=3), work(repository, "diff", files=("new/",))
    diff, declared = await looked(found, asked, await noted(found, asked))
    assert facts([diff, declared]) == [(False, False)] * 2
    assert "more than 3 files" in declared.detail


async def test_a_report_without_a_snapshot_measures_no_diff(tmp_path: Path, repository: Path) -> None:
    [declared] = await looked(make(tmp_path), work(repository, files=("src/a.py",)))
    assert (declared.ok, declared.checked) == (False, False)


async def test_nothing_is_noted_for_tasks_that_declare_nothing(tmp_path: Path, repository: Path) -> None:
    found = make(tmp_path)
    assert await noted(found, work(repository, "file:a", "command: true", "is quick")) == {}
    assert not (tmp_path / "state").exists()


async def test_a_simulated_attempt_is_never_checked(tmp_path: Path, workspace: Path) -> None:
    asked = work(workspace, "command: touch owned", "file:a", files=("a",))
    simulated = replace(asked, worker=WorkerKind.SCRIPTED)
    found = make(tmp_path, ["touch", "*"])
    assert await noted(found, simulated) == {}
    assert [receipt.kind for receipt in await looked(found, simulated)] == ["simulated"] * 2
    assert not (workspace / "owned").exists()


async def test_work_in_a_worktree_of_its_own_is_not_judged_from_here(tmp_path: Path, workspace: Path) -> None:
    [found] = await looked(make(tmp_path), work(workspace, "file:a", files=("a",), isolation="worktree"))
    assert (found.ok, found.checked) == (False, False)


async def test_a_repository_of_hostile_settings_runs_no_program(tmp_path: Path, repository: Path) -> None:
    hook = repository / ".git/hooks/fsmonitor"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/owned\n")
    hook.chmod(0o755)
    git(repository, "config", "core.fsmonitor", str(hook))
    found, asked = make(tmp_path), work(repository, files=("src/a.py",))
    await looked(found, asked, await noted(found, asked))
    assert not (tmp_path / "owned").exists()
